//! Right after a start nobody knows which destinations answer: they are not all tried at once.

use std::collections::HashSet;
use std::time::Duration;

use sealpost_queue::Lease;
use sealpost_types::{Destination, UnixMillis};
use tokio::time::Instant;

/// Lets queued mail out destination by destination: [`AT_ONCE`] of them at the start, and in all twice as many after each [`DOUBLING`].
///
/// A relay that was down finds everything due at once, and what it had learnt of silent destinations is forgotten. Without this it dials them
/// all in the same moment, and those that answer wait for the time-outs of those that do not. Fresh mail is not concerned.
#[derive(Debug)]
pub(super) struct SlowStart {
    begun: (UnixMillis, Instant),
    let_out: HashSet<Destination>,
    kept_back: HashSet<Destination>,
    /// When, after the start, those kept back are looked at again.
    next_look: Duration,
}

impl SlowStart {
    pub(super) fn new(now: UnixMillis) -> Self {
        Self { begun: (now, Instant::now()), let_out: HashSet::new(), kept_back: HashSet::new(), next_look: Duration::ZERO }
    }

    /// A look at what is due begins: those kept back a while ago are looked at again. Whether it goes on being slow.
    pub(super) fn look(&mut self, now: UnixMillis) -> bool {
        let elapsed = self.elapsed(now);
        // Not each time: what goes back to the queue is reason enough for the next look.
        if elapsed >= self.next_look {
            self.kept_back.clear();
            self.next_look = elapsed + LOOKED_EVERY;
        }
        elapsed < LASTS
    }

    /// Which of these may be tried now; the others go back to the queue.
    pub(super) fn admit(&mut self, leases: Vec<Lease>, now: UnixMillis) -> Vec<Lease> {
        let (admitted, left): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| self.lets_out(&lease.entry().destination, now));
        left.into_iter().for_each(Lease::release);
        admitted
    }

    /// The destinations to which nothing is to be brought yet.
    pub(super) fn kept_back(&self) -> impl Iterator<Item = &Destination> {
        self.kept_back.iter()
    }

    /// How many these are.
    pub(super) fn count_kept_back(&self) -> usize {
        self.kept_back.len()
    }

    /// Whether so many are kept back that looking for others is not worth it.
    pub(super) fn is_enough(&self) -> bool {
        self.count_kept_back() >= KEPT_BACK
    }

    fn lets_out(&mut self, destination: &Destination, now: UnixMillis) -> bool {
        let elapsed = self.elapsed(now);
        if elapsed >= LASTS || self.let_out.contains(destination) {
            return true;
        }
        let lets_out = self.let_out.len() < allowed(elapsed);
        let among = if lets_out { &mut self.let_out } else { &mut self.kept_back };
        among.insert(destination.clone());
        lets_out
    }

    /// By whichever clock went faster: one that is set back must not make it longer.
    fn elapsed(&self, now: UnixMillis) -> Duration {
        now.since(self.begun.0).max(self.begun.1.elapsed())
    }
}

/// Destinations in all that may be let out so long after the start.
fn allowed(elapsed: Duration) -> usize {
    let doublings = elapsed.as_secs_f64() / DOUBLING.as_secs_f64();
    // Below 2^63: it is asked for the time before LASTS only.
    (AT_ONCE * doublings.exp2()) as usize
}

/// Destinations that are let out at the start: with no more than these in the queue nothing is slow.
const AT_ONCE: f64 = 50.0;

/// After each such time twice as many may be out.
const DOUBLING: Duration = Duration::from_secs(5);

/// After this time, with 200,000 of them, nobody is kept back any more.
const LASTS: Duration = Duration::from_secs(60);

/// How soon those kept back are looked at again.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// Destinations that are kept back before nothing more is looked at for a while.
const KEPT_BACK: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(number: usize) -> Destination {
        Destination::new(&format!("mx:d{number}.example"))
    }

    /// A relay that starts with a thousand overdue destinations, second by second.
    #[tokio::test(start_paused = true)]
    async fn destinations_are_let_out_more_and_more_and_all_of_them_in_bounded_time() {
        let mut slow = SlowStart::new(UnixMillis(0));
        let mut out = Vec::new();
        for second in 0..=60 {
            let now = UnixMillis(second * 1000);
            slow.look(now);
            out.push((0..1000).filter(|number| slow.lets_out(&destination(*number), now)).count());
        }
        assert_eq!((out[0], out[5], out[10], out[20], out[22]), (50, 100, 200, 800, 1000));
        assert!(out.windows(2).all(|pair| pair[0] <= pair[1]), "who is out stays out: {out:?}");
        assert!(!slow.look(UnixMillis(60_000)) && slow.lets_out(&destination(5000), UnixMillis(60_000)));
    }

    /// With few destinations nothing waits.
    #[tokio::test(start_paused = true)]
    async fn fifty_destinations_are_let_out_at_once() {
        let mut slow = SlowStart::new(UnixMillis(0));
        slow.look(UnixMillis(0));
        assert!((0..50).all(|number| slow.lets_out(&destination(number), UnixMillis(0))));
        assert!(!slow.lets_out(&destination(50), UnixMillis(0)));
        assert_eq!(slow.kept_back().count(), 1);
        slow.look(UnixMillis(999));
        assert_eq!(slow.kept_back().count(), 1);
        slow.look(UnixMillis(1000));
        assert_eq!(slow.kept_back().count(), 0, "it is looked at again");
        assert!(slow.lets_out(&destination(50), UnixMillis(1000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_does_not_make_it_longer() {
        let mut slow = SlowStart::new(UnixMillis(86_400_000));
        tokio::time::advance(LASTS).await;
        assert!(!slow.look(UnixMillis(0)));
        assert!((0..1000).all(|number| slow.lets_out(&destination(number), UnixMillis(0))));
    }
}
