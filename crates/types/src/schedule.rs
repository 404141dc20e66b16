//! When a deferred message is tried again.

use std::sync::Arc;
use std::time::Duration;

/// The waits between attempts; the last one repeats. Cloning shares them.
///
/// Of two schedules the lesser one tries again sooner, at the first wait in which they differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "Vec<Duration>", into = "Vec<Duration>"))]
pub struct RetrySchedule(Arc<[Duration]>);

impl RetrySchedule {
    /// A schedule of these waits, or nothing if there is none or one of them is zero.
    #[must_use]
    pub fn new(waits: Vec<Duration>) -> Option<Self> {
        if waits.is_empty() || waits.contains(&Duration::ZERO) { None } else { Some(Self(waits.into())) }
    }

    /// The waits, in order.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }

    /// How long to wait after `attempts` failed ones (1 or more), spread by up to a fifth.
    ///
    /// `jitter` is the caller's random number: 0 gives nine tenths of the wait, `u16::MAX` eleven tenths.
    #[must_use]
    pub fn wait_after(&self, attempts: u32, jitter: u16) -> Duration {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.0.get(index).or_else(|| self.0.last()).copied().unwrap_or(DEFAULT_WAIT);
        let spread = f64::from(jitter) / f64::from(u16::MAX) * 0.2;
        wait.mul_f64(0.9 + spread)
    }
}

impl TryFrom<Vec<Duration>> for RetrySchedule {
    type Error = &'static str;

    fn try_from(waits: Vec<Duration>) -> Result<Self, Self::Error> {
        Self::new(waits).ok_or("a retry schedule needs a wait, and none of 0")
    }
}

impl From<RetrySchedule> for Vec<Duration> {
    fn from(schedule: RetrySchedule) -> Self {
        schedule.0.to_vec()
    }
}

/// One minute, five, fifteen, an hour, then every four hours.
impl Default for RetrySchedule {
    fn default() -> Self {
        Self([1, 5, 15, 60, 240].map(|minutes| Duration::from_secs(minutes * 60)).into())
    }
}

const DEFAULT_WAIT: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_wait_repeats() {
        let schedule = RetrySchedule::default();
        let minutes = |attempts| schedule.wait_after(attempts, u16::MAX / 2).as_secs_f64() / 60.0;
        for (attempts, expected) in [(1, 1.0), (2, 5.0), (3, 15.0), (4, 60.0), (5, 240.0), (6, 240.0), (1000, 240.0)] {
            assert!((minutes(attempts) - expected).abs() < expected * 0.01, "{attempts}");
        }
    }

    #[test]
    fn jitter_spreads_by_a_tenth_each_way() {
        let schedule = RetrySchedule::new(vec![Duration::from_secs(100)]).unwrap();
        assert_eq!(schedule.wait_after(1, 0).as_secs(), 90);
        assert_eq!(schedule.wait_after(1, u16::MAX).as_secs_f64().round(), 110.0);
    }

    #[test]
    fn no_wait_is_no_schedule() {
        assert_eq!(RetrySchedule::new(vec![]), None);
        assert_eq!(RetrySchedule::new(vec![Duration::ZERO]), None);
    }
}
