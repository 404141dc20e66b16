//! What becomes of mail that cannot be delivered.

use std::time::Duration;

use crate::RetrySchedule;

/// What happens to mail that expired because TLS could not be had. Every other expiry bounces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum OnExpiry {
    /// The sender gets a notification (B9).
    #[default]
    Bounce,
    /// It is removed; the history says so (A8).
    Delete,
    /// It is kept and tried no more, until an operator lets it go or removes it.
    Hold,
}

/// What happens when TLS cannot be had and that is certain to last (F5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum OnFailure {
    /// It is tried until it expires.
    #[default]
    Retry,
    /// It is bounced after so many identical conclusive verdicts in a row.
    Bounce {
        /// How many: at least 1.
        after: u32,
    },
}

/// When mail whose TLS failed may go in clear, where a policy asks no more than opportunistic TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClearFallback {
    /// In the same attempt, on a new connection, after every host was tried with TLS.
    Immediate,
    /// Not before the next attempt.
    #[default]
    SecondAttempt,
    /// Never: where TLS is offered, it must work.
    Never,
}

/// How long mail is tried, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Fate {
    /// From acceptance to expiry.
    pub lifetime: Duration,
    /// How it ends when TLS was the reason.
    pub on_expiry: OnExpiry,
    /// Whether it ends before that.
    #[cfg_attr(feature = "serde", serde(default))]
    pub on_failure: OnFailure,
    /// The waits between attempts; none means those of the queue.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retry: Option<RetrySchedule>,
}

impl Fate {
    /// A fate of these two parts, tried until it expires.
    #[must_use]
    pub fn new(lifetime: Duration, on_expiry: OnExpiry) -> Self {
        Self { lifetime, on_expiry, on_failure: OnFailure::Retry, retry: None }
    }

    /// The same that may end early.
    #[must_use]
    pub fn with_on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// The same, tried again after these waits.
    #[must_use]
    pub fn with_retry(mut self, retry: Option<RetrySchedule>) -> Self {
        self.retry = retry;
        self
    }
}

/// Seven days, then a bounce.
impl Default for Fate {
    fn default() -> Self {
        Self::new(Duration::from_secs(7 * 24 * 3600), OnExpiry::Bounce)
    }
}
