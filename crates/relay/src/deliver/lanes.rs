//! What waits for which destination, and how many workers may be at it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::{Destination, UnixMillis};

/// One lane for each destination that has work: what waits, who is at it, and whether the destination answers.
///
/// A destination that does not answer gets one worker, the probe; the others' work is put off until the probe is due.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: Mutex<HashMap<Destination, Lane<T>>>,
    workers_each: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    workers: usize,
    silence: Option<Silence>,
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
        Self { lanes: Mutex::default(), workers_each }
    }

    /// Puts `item` into its lane. If this says yes, the caller starts a worker, which calls [`Self::next`] until it ends.
    pub(crate) fn push(&self, destination: &Destination, item: T) -> bool {
        let mut lanes = self.lock();
        let lane = lanes.entry(destination.clone()).or_insert_with(Lane::new);
        lane.waiting.push_back(item);
        let allowed = if lane.silence.is_some() { 1 } else { self.workers_each };
        // A lone sender keeps one connection busy instead of opening many.
        let start = lane.workers < allowed && (lane.workers == 0 || lane.waiting.len() > SPARE);
        lane.workers += usize::from(start);
        start
    }

    /// The next item for a worker of this lane; nothing ends the worker.
    pub(crate) fn next(&self, destination: &Destination) -> Option<T> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(destination)?;
        let item = lane.waiting.pop_front();
        if item.is_none() {
            lane.workers = lane.workers.saturating_sub(1);
            if lane.workers == 0 && lane.silence.is_none() {
                lanes.remove(destination);
            }
        }
        item
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
            lane.workers > 0 || !lane.waiting.is_empty()
        });
    }

    /// Items that wait in all lanes.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().values().map(|lane| lane.waiting.len()).sum()
    }

    /// Takes everything out that waits; workers end when they ask for more.
    pub(crate) fn drain(&self) -> Vec<T> {
        self.lock().values_mut().flat_map(|lane| lane.waiting.drain(..)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination, Lane<T>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lane<T> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), workers: 0, silence: None }
    }
}

/// Items that may wait behind a busy worker before a second worker is worth a connection.
const SPARE: usize = 1;

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
        assert_eq!(lanes.next(&destination()), Some(0));
        assert_eq!(lanes.waiting(), 9);
    }

    #[test]
    fn a_worker_that_finds_nothing_ends_and_a_new_item_starts_another() {
        let lanes = Lanes::new(3);
        assert!(lanes.push(&destination(), 1));
        assert_eq!(lanes.next(&destination()), Some(1));
        assert_eq!(lanes.next(&destination()), None);
        assert!(lanes.push(&destination(), 2));
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
}
