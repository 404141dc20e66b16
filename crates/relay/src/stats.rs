//! The relay in numbers, since its start.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a relay did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Messages accepted.
    pub accepted: u64,
    /// Senders and recipients refused by policy or by right.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients deferred, each time counted.
    pub deferred: u64,
    /// Recipients given up with a notification or without a sender to notify.
    pub bounced: u64,
    /// Recipients deleted because of the TLS policy.
    pub deleted: u64,
    /// Recipients held because of it, each time counted.
    pub held: u64,
    /// Hosts where TLS could not be had as demanded.
    pub tls_failures: u64,
}

/// Counts for [`RelayStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) refused: Counter,
    pub(crate) delivered: Counter,
    pub(crate) deferred: Counter,
    pub(crate) bounced: Counter,
    pub(crate) deleted: Counter,
    pub(crate) held: Counter,
    pub(crate) tls_failures: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> RelayStats {
        RelayStats {
            accepted: self.accepted.value(),
            refused: self.refused.value(),
            delivered: self.delivered.value(),
            deferred: self.deferred.value(),
            bounced: self.bounced.value(),
            deleted: self.deleted.value(),
            held: self.held.value(),
            tls_failures: self.tls_failures.value(),
        }
    }
}
