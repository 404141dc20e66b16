//! What waits for which destination, and how many workers may be at it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealpost_types::{Destination, UnixMillis};

/// One lane for each destination that has work: what waits, who is at it, and whether the destination answers.
///
/// One worker finds out whether it does; others join when it has. A destination that does not answer gets one item when the
/// next probe is due, and nothing else is brought.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: Mutex<HashMap<Destination, Lane<T>>>,
    waiting: AtomicUsize,
    workers_each: usize,
    kept: usize,
}

/// A place among the workers of one lane; whoever has it takes items until none is left.
#[derive(Debug)]
pub(crate) struct Worker<'a, T> {
    lanes: &'a Lanes<T>,
    destination: Destination,
    ended: bool,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<Waiting<T>>,
    workers: usize,
    /// Whether it answered since the lane was opened.
    answers: bool,
    silence: Option<Silence>,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    since: Instant,
}

/// A destination of which no host could be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// When it is tried again.
    pub(crate) until: UnixMillis,
    /// How often in a row it was tried in vain.
    pub(crate) failures: u32,
    /// What happened, in words.
    pub(crate) reason: String,
    /// The message that found it out: its history tells the whole.
    pub(crate) probe: String,
}

/// What changes when a destination answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// It was known not to: what waits for it can be tried.
    pub(crate) was_silent: bool,
    /// More waits than one worker does.
    pub(crate) wants_workers: bool,
}

impl<T> Lanes<T> {
    /// Lanes with at most this many workers each.
    pub(crate) fn new(workers_each: usize) -> Self {
        Self::keeping(workers_each, KEPT)
    }

    /// Lanes that are at most so many, as far as they hold nothing but a silence.
    fn keeping(workers_each: usize, kept: usize) -> Self {
        Self { lanes: Mutex::default(), waiting: AtomicUsize::new(0), workers_each, kept }
    }

    /// Puts `item` into its lane. If this says yes, the caller starts a [`worker`](Self::worker).
    pub(crate) fn push(&self, destination: &Destination, item: T) -> bool {
        let mut lanes = self.lock();
        let lane = lanes.entry(destination.clone()).or_insert_with(Lane::new);
        lane.waiting.push_back(Waiting { item, since: Instant::now() });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A lone sender keeps one connection busy instead of opening many.
        let start = lane.workers < lane.allowed(self.workers_each) && (lane.workers == 0 || lane.waiting.len() > SPARE);
        lane.workers += usize::from(start);
        start
    }

    /// The worker that [`push`](Self::push) asked for.
    pub(crate) fn worker(&self, destination: Destination) -> Worker<'_, T> {
        Worker { lanes: self, destination, ended: false }
    }

    /// Destinations where something has waited for a while and there may be more workers: a place for each to be started.
    pub(crate) fn reinforce(&self) -> Vec<Destination> {
        let mut wanted = Vec::new();
        for (destination, lane) in self.lock().iter_mut() {
            let is_patient = lane.waiting.front().is_none_or(|oldest| oldest.since.elapsed() < PATIENCE);
            if lane.answers && (!is_patient || lane.waiting.len() > SPARE) {
                let more = lane.allowed(self.workers_each).saturating_sub(lane.workers).min(lane.waiting.len());
                lane.workers += more;
                wanted.extend(std::iter::repeat_n(destination.clone(), more));
            }
        }
        wanted
    }

    /// Whether so much waits for the destination that more is better left in the queue.
    pub(crate) fn is_full(&self, destination: &Destination, now: UnixMillis) -> bool {
        self.lock().get(destination).is_some_and(|lane| lane.is_full(now))
    }

    /// Every destination to which nothing is to be brought: those that have as much as they take, and those that do not answer.
    pub(crate) fn left_alone(&self, now: UnixMillis) -> Vec<Destination> {
        let is_left_alone = |lane: &Lane<T>| lane.is_full(now) || lane.silence.as_ref().is_some_and(|silence| silence.until > now);
        self.lock().iter().filter(|(_, lane)| is_left_alone(lane)).map(|(destination, _)| destination.clone()).collect()
    }

    /// How many workers are at a destination.
    pub(crate) fn workers(&self, destination: &Destination) -> usize {
        self.lock().get(destination).map_or(0, |lane| lane.workers)
    }

    /// How many destinations do not answer, as far as anybody knows.
    pub(crate) fn silences(&self, now: UnixMillis) -> usize {
        self.lock().values().filter(|lane| lane.silence.as_ref().is_some_and(|silence| silence.until > now || lane.is_busy())).count()
    }

    /// When the next probe is due of a destination that does not answer.
    pub(crate) fn next_probe(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.lock().values().filter_map(|lane| lane.silence.as_ref()).map(|silence| silence.until).filter(|until| *until > now).min()
    }

    /// What is known of a destination that does not answer, also while somebody probes it.
    pub(crate) fn known_silence(&self, destination: &Destination, now: UnixMillis) -> Option<Silence> {
        let lanes = self.lock();
        let lane = lanes.get(destination)?;
        lane.silence.clone().filter(|silence| silence.until > now || lane.is_busy())
    }

    /// Whether the destination is known not to answer, and not yet due for a probe.
    pub(crate) fn silence(&self, destination: &Destination, now: UnixMillis) -> Option<Silence> {
        self.lock().get(destination)?.silence.clone().filter(|silence| silence.until > now)
    }

    /// No host of the destination could be reached, as the message `probe` shows: it is left alone for as long as `wait` says for
    /// this many failures. What waits in its lane comes back, to be left in the queue.
    pub(crate) fn fell_silent(
        &self,
        destination: &Destination,
        now: UnixMillis,
        (reason, probe): (&str, &str),
        wait: impl Fn(u32) -> Duration,
    ) -> (Silence, Vec<T>) {
        let mut lanes = self.lock();
        if lanes.len() >= self.kept {
            forget_half(&mut lanes);
        }
        let lane = lanes.entry(destination.clone()).or_insert_with(Lane::new);
        // Several that failed together failed once.
        let failures = match &lane.silence {
            Some(silence) if silence.until > now => silence.failures,
            before => before.as_ref().map_or(0, |silence| silence.failures).saturating_add(1),
        };
        let silence = Silence { until: now.after(wait(failures)), failures, reason: reason.to_owned(), probe: probe.to_owned() };
        (lane.silence, lane.answers) = (Some(silence.clone()), false);
        let items: Vec<T> = lane.waiting.drain(..).map(|waiting| waiting.item).collect();
        self.waiting.fetch_sub(items.len(), Ordering::Relaxed);
        (silence, items)
    }

    /// A host of the destination answered.
    pub(crate) fn answered(&self, destination: &Destination) -> Answered {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(destination) else { return Answered::default() };
        let is_news = !lane.answers;
        lane.answers = true;
        Answered { was_silent: lane.silence.take().is_some(), wants_workers: is_news && lane.waiting.len() > SPARE }
    }

    /// Forgets every silence, so that the next attempt at each destination is made at once.
    pub(crate) fn forget_silences(&self) {
        self.lock().retain(|_, lane| {
            lane.silence = None;
            lane.is_busy()
        });
    }

    /// Forgets the silence of one destination.
    pub(crate) fn forget_silence(&self, destination: &Destination) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(destination) {
            lane.silence = None;
            if !lane.is_busy() {
                lanes.remove(destination);
            }
        }
    }

    /// Whether a lane that answers, or is probed, has as much as it takes: there is room again any moment.
    pub(crate) fn is_crowded(&self, now: UnixMillis) -> bool {
        self.lock().values().any(|lane| lane.is_full(now))
    }

    /// Items that wait in all lanes.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Forgets silences that ended long ago: nobody has mail for those destinations any more.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.lock().retain(|_, lane| lane.is_busy() || lane.silence.as_ref().is_some_and(|silence| silence.until.after(FORGOTTEN) > now));
    }

    /// Takes everything out that waits; workers end when they ask for more.
    pub(crate) fn drain(&self) -> Vec<T> {
        let items: Vec<T> = self.lock().values_mut().flat_map(|lane| lane.waiting.drain(..)).map(|waiting| waiting.item).collect();
        self.waiting.fetch_sub(items.len(), Ordering::Relaxed);
        items
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination, Lane<T>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Worker<'_, T> {
    /// The next item; nothing ends the worker.
    pub(crate) fn next(&mut self) -> Option<T> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.get_mut(&self.destination)?;
        let item = lane.waiting.pop_front();
        match item {
            Some(_) => {
                self.lanes.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            // Under the same lock as the last look: an item that comes now starts another worker.
            None => {
                self.ended = true;
                lane.workers = lane.workers.saturating_sub(1);
                if !lane.is_busy() && lane.silence.is_none() {
                    lanes.remove(&self.destination);
                }
            }
        }
        item.map(|waiting| waiting.item)
    }
}

/// A worker that died gives its place back; what waits is taken by the next one.
impl<T> Drop for Worker<'_, T> {
    fn drop(&mut self) {
        if !self.ended
            && let Some(lane) = self.lanes.lock().get_mut(&self.destination)
        {
            lane.workers = lane.workers.saturating_sub(1);
        }
    }
}

impl<T> Lane<T> {
    fn allowed(&self, workers_each: usize) -> usize {
        if self.answers { workers_each } else { 1 }
    }

    /// One item is a probe. What comes before it is due asks no host: it is looked at, and left again.
    fn is_full(&self, now: UnixMillis) -> bool {
        let is_probed = self.silence.as_ref().is_some_and(|silence| silence.until <= now);
        self.waiting.len() >= LANE || (is_probed && self.is_busy())
    }

    fn is_busy(&self) -> bool {
        self.workers > 0 || !self.waiting.is_empty()
    }

    fn new() -> Self {
        Self { waiting: VecDeque::new(), workers: 0, answers: false, silence: None }
    }
}

/// Forgets half of the silences that nobody probes, those that end first: rather dial in vain once more than grow with the destinations.
fn forget_half<T>(lanes: &mut HashMap<Destination, Lane<T>>) {
    let idle = |lane: &Lane<T>| lane.silence.as_ref().filter(|_| !lane.is_busy()).map(|silence| silence.until);
    let mut ends: Vec<UnixMillis> = lanes.values().filter_map(idle).collect();
    let half = ends.len() / 2;
    if half < ends.len() {
        let (_, &mut last, _) = ends.select_nth_unstable(half);
        lanes.retain(|_, lane| idle(lane).is_none_or(|until| until > last));
    }
}

/// Items that may wait behind a busy worker before a second worker is worth a connection.
const SPARE: usize = 1;

/// How long an item waits behind busy workers before more of them are started.
const PATIENCE: Duration = Duration::from_secs(1);

/// Items that wait for one destination at most: enough to keep its workers busy, and few enough that others find room.
const LANE: usize = 500;

/// Destinations that are remembered: some 700 octets each.
const KEPT: usize = 32_768;

/// How long after a silence ended it is still remembered that there was one.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination::new("mx:example.org")
    }

    #[test]
    fn workers_grow_with_what_waits_up_to_the_limit() {
        let lanes = Lanes::new(3);
        assert!(lanes.push(&destination(), 0));
        assert_eq!(lanes.answered(&destination()), Answered::default());
        assert_eq!((1..10).filter(|i| lanes.push(&destination(), *i)).count(), 2);
        assert_eq!(lanes.worker(destination()).next(), Some(0));
        assert_eq!(lanes.waiting(), 9);
    }

    /// A thousand items for a dead host are one dial, not twenty.
    #[test]
    fn one_worker_finds_out_whether_the_destination_answers() {
        let lanes = Lanes::new(3);
        assert_eq!((0..10).filter(|i| lanes.push(&destination(), *i)).count(), 1);
        assert_eq!(lanes.reinforce(), []);
        let mut first = lanes.worker(destination());
        assert_eq!(first.next(), Some(0));
        assert_eq!(lanes.answered(&destination()), Answered { was_silent: false, wants_workers: true });
        assert_eq!(lanes.answered(&destination()), Answered::default(), "no news");
        assert_eq!(lanes.reinforce(), [destination(), destination()]);
    }

    #[test]
    fn a_worker_that_finds_nothing_ends_and_a_new_item_starts_another() {
        let lanes = Lanes::new(3);
        assert!(lanes.push(&destination(), 1));
        let mut worker = lanes.worker(destination());
        assert_eq!((worker.next(), worker.next()), (Some(1), None));
        drop(worker);
        assert!(lanes.push(&destination(), 2));
    }

    #[test]
    fn a_worker_that_dies_gives_its_place_back() {
        let lanes = Lanes::new(1);
        assert!(lanes.push(&destination(), 1));
        assert!(!lanes.push(&destination(), 2), "the one place is taken");
        drop(lanes.worker(destination()));
        assert!(lanes.push(&destination(), 3));
    }

    #[test]
    fn silences_that_ended_long_ago_are_forgotten() {
        let lanes: Lanes<()> = Lanes::new(1);
        lanes.fell_silent(&destination(), UnixMillis(0), ("refused", "1"), |_| Duration::from_secs(1));
        lanes.prune(UnixMillis(1_000));
        assert_eq!(lanes.silence(&destination(), UnixMillis(0)).map(|s| s.failures), Some(1));
        lanes.prune(UnixMillis(1_000).after(FORGOTTEN));
        assert_eq!(lanes.silence(&destination(), UnixMillis(0)), None);
    }

    /// The control: where they are not bounded, there are as many as destinations.
    #[test]
    fn silences_are_bounded_and_those_that_last_stay() {
        let silent = |kept| {
            let lanes: Lanes<u64> = Lanes::keeping(1, kept);
            lanes.push(&destination(), 0);
            for number in 0..1_000 {
                let destination = Destination::new(&format!("mx:n{number}.example"));
                lanes.fell_silent(&destination, UnixMillis(number), ("refused", "1"), |_| Duration::from_secs(60));
                assert!(lanes.silence(&destination, UnixMillis(number)).is_some(), "news is kept");
            }
            assert_eq!(lanes.waiting(), 1, "what waits is not forgotten");
            assert_eq!(lanes.worker(destination()).next(), Some(0));
            lanes
        };
        let bounded = silent(100);
        assert!(bounded.lock().len() <= 100);
        assert_eq!(bounded.known_silence(&Destination::new("mx:n0.example"), UnixMillis(0)), None);
        assert_eq!(silent(usize::MAX).lock().len(), 1_001);
    }

    #[test]
    fn a_silent_destination_gets_one_item_at_a_time_and_waits_longer_each_time() {
        let lanes = Lanes::new(3);
        let wait = |failures: u32| Duration::from_secs(u64::from(failures) * 10);
        assert_eq!((0..5).filter(|item| lanes.push(&destination(), *item)).count(), 1);
        let mut worker = lanes.worker(destination());
        assert_eq!(worker.next(), Some(0));
        let (_, back) = lanes.fell_silent(&destination(), UnixMillis(0), ("refused", "1"), wait);
        assert_eq!(lanes.workers(&destination()), 1);
        assert_eq!((back, lanes.waiting(), worker.next()), (vec![1, 2, 3, 4], 0, None));
        assert_eq!((lanes.workers(&destination()), lanes.silences(UnixMillis(9_999)), lanes.silences(UnixMillis(10_000))), (0, 1, 0));
        assert_eq!(lanes.silence(&destination(), UnixMillis(9_999)).map(|s| s.failures), Some(1));
        assert_eq!(lanes.left_alone(UnixMillis(9_999)), [destination()]);
        assert_eq!(lanes.next_probe(UnixMillis(0)), Some(UnixMillis(10_000)));
        assert_eq!(lanes.silence(&destination(), UnixMillis(10_000)), None, "due for a probe");
        assert_eq!((lanes.left_alone(UnixMillis(10_000)), lanes.known_silence(&destination(), UnixMillis(10_000))), (vec![], None));

        assert!(lanes.push(&destination(), 5), "the probe");
        assert!(lanes.is_full(&destination(), UnixMillis(10_000)) && lanes.left_alone(UnixMillis(10_000)) == [destination()]);
        assert!(lanes.known_silence(&destination(), UnixMillis(10_000)).is_some(), "what comes in now waits for it");
        let mut probe = lanes.worker(destination());
        assert_eq!(probe.next(), Some(5));
        let (again, _) = lanes.fell_silent(&destination(), UnixMillis(10_000), ("refused", "5"), wait);
        assert_eq!((again.until, again.failures), (UnixMillis(30_000), 2));
        let (late, _) = lanes.fell_silent(&destination(), UnixMillis(10_100), ("refused", "4"), wait);
        assert_eq!(late.failures, 2, "an attempt that ended a little later is no further failure");
        assert_eq!(lanes.answered(&destination()), Answered { was_silent: true, wants_workers: false });
        assert_eq!(lanes.silence(&destination(), UnixMillis(10_001)), None);

        let other = Destination::new("mx:other.example");
        for destination in [&destination(), &other] {
            lanes.fell_silent(destination, UnixMillis(0), ("refused", "1"), wait);
        }
        lanes.forget_silence(&other);
        assert_eq!(lanes.left_alone(UnixMillis(1)), [destination()], "of one alone");
    }

    #[test]
    fn a_lane_that_is_full_is_named() {
        let lanes = Lanes::new(1);
        for item in 0..LANE {
            assert!(!lanes.is_full(&destination(), UnixMillis(0)));
            lanes.push(&destination(), item);
        }
        assert!(lanes.is_full(&destination(), UnixMillis(0)));
        assert_eq!(lanes.left_alone(UnixMillis(0)), [destination()]);
    }

    #[test]
    fn what_waits_behind_a_worker_that_hangs_gets_another_one() {
        let lanes = Lanes::new(3);
        assert!(lanes.push(&destination(), 1));
        lanes.answered(&destination());
        let mut hanging = lanes.worker(destination());
        assert_eq!(hanging.next(), Some(1));
        assert!(!lanes.push(&destination(), 2), "one spare item waits");
        assert_eq!(lanes.reinforce(), []);
        lanes.lock().values_mut().for_each(|lane| lane.waiting.iter_mut().for_each(|waiting| waiting.since -= PATIENCE));
        assert_eq!(lanes.reinforce(), [destination()]);
        assert_eq!(lanes.worker(destination()).next(), Some(2));
    }
}
