//! Notices that the time of day was set back: what waits would wait that much longer.

use std::time::{Duration, Instant};

use sealpost_types::UnixMillis;

/// The time of day beside a clock that never jumps.
#[derive(Debug)]
pub(crate) struct Steady {
    wall: UnixMillis,
    since: Instant,
}

impl Steady {
    /// From this time of day on.
    pub(crate) fn start(now: UnixMillis) -> Self {
        Self { wall: now, since: Instant::now() }
    }

    /// How far the time of day was set back since the last look, if that is more than clocks are put right by now and then.
    pub(crate) fn set_back(&mut self, now: UnixMillis) -> Option<Duration> {
        let expected = self.wall.after(self.since.elapsed());
        *self = Self::start(now);
        Some(expected.since(now)).filter(|back| *back > UNNOTICED)
    }
}

/// Less than any wait that matters.
const UNNOTICED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_is_set_back_is_noticed() {
        let day = 24 * 3600 * 1000;
        let mut steady = Steady::start(UnixMillis(10 * day));
        assert_eq!(steady.set_back(UnixMillis(10 * day + 5)), None);
        assert_eq!(steady.set_back(UnixMillis(11 * day)), None, "set forward");
        assert_eq!(steady.set_back(UnixMillis(11 * day - 20_000)), None, "put right");
        let back = steady.set_back(UnixMillis(10 * day)).unwrap();
        assert!(back > Duration::from_secs(23 * 3600), "{back:?}");
        assert_eq!(steady.set_back(UnixMillis(10 * day)), None, "said once");
    }
}
