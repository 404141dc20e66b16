//! What waits for which destination, and how many workers may be at it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealpost_types::{Destination, UnixMillis};

/// One lane for each destination that has work: what waits, who is at it, and whether the destination answers.
///
/// A destination that does not answer gets one worker, the probe; the others' work is put off until the probe is due.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: Mutex<HashMap<Destination, Lane<T>>>,
    waiting: AtomicUsize,
    workers_each: usize,
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
}

impl<T> Lanes<T> {
    /// Lanes with at most this many workers each.
    pub(crate) fn new(workers_each: usize) -> Self {
        Self { lanes: Mutex::default(), waiting: AtomicUsize::new(0), workers_each }
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
            if lane.waiting.front().is_some_and(|oldest| oldest.since.elapsed() >= PATIENCE) {
                let more = lane.allowed(self.workers_each).saturating_sub(lane.workers).min(lane.waiting.len());
                lane.workers += more;
                wanted.extend(std::iter::repeat_n(destination.clone(), more));
            }
        }
        wanted
    }

    /// Whether so much waits for the destination that more is better left in the queue.
    pub(crate) fn is_full(&self, destination: &Destination) -> bool {
        self.lock().get(destination).is_some_and(Lane::is_full)
    }

    /// Every destination of which that is so.
    pub(crate) fn full(&self) -> Vec<Destination> {
        self.lock().iter().filter(|(_, lane)| lane.is_full()).map(|(destination, _)| destination.clone()).collect()
    }

    /// Whether the destination is known not to answer, and not yet due for a probe.
    pub(crate) fn silence(&self, destination: &Destination, now: UnixMillis) -> Option<Silence> {
        self.lock().get(destination)?.silence.clone().filter(|silence| silence.until > now)
    }

    /// No host of the destination could be reached: it is left alone for as long as `wait` says for this many failures.
    pub(crate) fn fell_silent(&self, destination: &Destination, now: UnixMillis, reason: &str, wait: impl Fn(u32) -> Duration) -> Silence {
        let mut lanes = self.lock();
        let lane = lanes.entry(destination.clone()).or_insert_with(Lane::new);
        let failures = lane.silence.as_ref().map_or(0, |silence| silence.failures).saturating_add(1);
        let silence = Silence { until: now.after(wait(failures)), failures, reason: reason.to_owned() };
        lane.silence = Some(silence.clone());
        silence
    }

    /// A host of the destination answered.
    pub(crate) fn answered(&self, destination: &Destination) {
        if let Some(lane) = self.lock().get_mut(destination) {
            lane.silence = None;
        }
    }

    /// Forgets every silence, so that the next attempt at each destination is made at once.
    pub(crate) fn forget_silences(&self) {
        self.lock().retain(|_, lane| {
            lane.silence = None;
            lane.is_busy()
        });
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
        if self.silence.is_some() { 1 } else { workers_each }
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= LANE
    }

    fn is_busy(&self) -> bool {
        self.workers > 0 || !self.waiting.is_empty()
    }

    fn new() -> Self {
        Self { waiting: VecDeque::new(), workers: 0, silence: None }
    }
}

/// Items that may wait behind a busy worker before a second worker is worth a connection.
const SPARE: usize = 1;

/// How long an item waits behind busy workers before more of them are started.
const PATIENCE: Duration = Duration::from_secs(1);

/// Items that wait for one destination at most: enough to keep its workers busy, and few enough that others find room.
const LANE: usize = 500;

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
        let started = (0..10).filter(|i| lanes.push(&destination(), *i)).count();
        assert_eq!(started, 3);
        assert_eq!(lanes.worker(destination()).next(), Some(0));
        assert_eq!(lanes.waiting(), 9);
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
        lanes.fell_silent(&destination(), UnixMillis(0), "refused", |_| Duration::from_secs(1));
        lanes.prune(UnixMillis(1_000));
        assert_eq!(lanes.silence(&destination(), UnixMillis(0)).map(|s| s.failures), Some(1));
        lanes.prune(UnixMillis(1_000).after(FORGOTTEN));
        assert_eq!(lanes.silence(&destination(), UnixMillis(0)), None);
    }

    #[test]
    fn a_silent_destination_gets_one_worker_and_waits_longer_each_time() {
        let lanes = Lanes::new(3);
        let wait = |failures: u32| Duration::from_secs(u64::from(failures) * 10);
        lanes.fell_silent(&destination(), UnixMillis(0), "refused", wait);
        assert_eq!((0..10).filter(|i| lanes.push(&destination(), *i)).count(), 1);
        assert_eq!(lanes.silence(&destination(), UnixMillis(9_999)).map(|s| s.failures), Some(1));
        assert_eq!(lanes.silence(&destination(), UnixMillis(10_000)), None, "due for a probe");
        let again = lanes.fell_silent(&destination(), UnixMillis(10_000), "refused", wait);
        assert_eq!((again.until, again.failures), (UnixMillis(30_000), 2));
        lanes.answered(&destination());
        assert_eq!(lanes.silence(&destination(), UnixMillis(10_001)), None);
        assert!(lanes.push(&destination(), 11));
    }

    #[test]
    fn a_lane_that_is_full_is_named() {
        let lanes = Lanes::new(1);
        for item in 0..LANE {
            assert!(!lanes.is_full(&destination()));
            lanes.push(&destination(), item);
        }
        assert!(lanes.is_full(&destination()));
        assert_eq!(lanes.full(), [destination()]);
    }

    #[test]
    fn what_waits_behind_a_worker_that_hangs_gets_another_one() {
        let lanes = Lanes::new(3);
        assert!(lanes.push(&destination(), 1));
        let mut hanging = lanes.worker(destination());
        assert_eq!(hanging.next(), Some(1));
        assert!(!lanes.push(&destination(), 2), "one spare item waits");
        assert_eq!(lanes.reinforce(), []);
        lanes.lock().values_mut().for_each(|lane| lane.waiting.iter_mut().for_each(|waiting| waiting.since -= PATIENCE));
        assert_eq!(lanes.reinforce(), [destination()]);
        assert_eq!(lanes.worker(destination()).next(), Some(2));
    }
}
