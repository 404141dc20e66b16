//! The two clocks: one that tells the date, one that never jumps.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpost_types::{Ticks, UnixMillis};
use tokio::time::Instant;

/// Tells the date, against which certificates are checked.
///
/// An embedding program or a test may bring its own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> UnixMillis + Send + Sync>);

impl WallClock {
    /// The clock of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }))
    }

    /// A clock that asks `now` each time.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The date.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.0)()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

/// Ticks since a start of its own, on tokio's clock (so that a test may pause it).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticker(Instant);

impl Ticker {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Ticks {
        Ticks::default().after(self.0.elapsed())
    }

    pub(crate) fn instant(self, at: Ticks) -> Instant {
        self.0 + at.since(Ticks::default())
    }
}
