//! What becomes of mail that cannot be delivered.

use std::time::Duration;

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
}

/// How long mail is tried, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Fate {
    /// From acceptance to expiry.
    pub lifetime: Duration,
    /// How it ends when TLS was the reason.
    pub on_expiry: OnExpiry,
}

impl Fate {
    /// A fate of its two parts.
    #[must_use]
    pub fn new(lifetime: Duration, on_expiry: OnExpiry) -> Self {
        Self { lifetime, on_expiry }
    }
}

/// Seven days, then a bounce.
impl Default for Fate {
    fn default() -> Self {
        Self::new(Duration::from_secs(7 * 24 * 3600), OnExpiry::Bounce)
    }
}
