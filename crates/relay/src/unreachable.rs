//! Addresses that did not answer a short while ago.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::UnixMillis;

/// Remembers addresses that could not be connected to, and leaves them alone for a while that grows with each failure,
/// whichever destination they belong to: a thousand domains at one dead host are one dial.
#[derive(Debug, Default)]
pub(crate) struct Unreachable(Mutex<HashMap<SocketAddr, Silent>>);

/// An address that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Until when it is left alone.
    pub(crate) until: UnixMillis,
    /// What happened, in words.
    pub(crate) reason: String,
    failures: u32,
}

impl Unreachable {
    /// The address did not answer, for the reason given: it is left alone for as long as `wait` says for this many failures.
    pub(crate) fn note(&self, address: SocketAddr, now: UnixMillis, reason: &str, wait: impl Fn(u32) -> Duration) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, silent| silent.until.after(FORGOTTEN) > now);
        }
        let failures = match known.get(&address) {
            // Several that dialled it together failed once.
            Some(silent) if silent.until > now => silent.failures,
            before => before.map_or(0, |silent| silent.failures).saturating_add(1),
        };
        if known.len() < REMEMBERED || known.contains_key(&address) {
            known.insert(address, Silent { until: now.after(wait(failures)), reason: reason.to_owned(), failures });
        }
    }

    /// The address answered.
    pub(crate) fn forget(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// No address is left alone any more.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    /// Why it is left alone, if it is.
    pub(crate) fn silent(&self, address: SocketAddr, now: UnixMillis) -> Option<Silent> {
        self.lock().get(&address).filter(|silent| silent.until > now).cloned()
    }

    /// How many addresses are left alone.
    pub(crate) fn len(&self, now: UnixMillis) -> usize {
        self.lock().values().filter(|silent| silent.until > now).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Silent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is remembered how often an address failed.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Addresses remembered at most.
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_left_alone_longer_each_time_until_it_answers() {
        let unreachable = Unreachable::default();
        let address: SocketAddr = "192.0.2.1:25".parse().unwrap();
        let wait = |failures: u32| Duration::from_secs(u64::from(failures) * 10);
        let until = |now| unreachable.silent(address, UnixMillis(now)).map(|silent| silent.until.0);
        unreachable.note(address, UnixMillis(0), "refused", wait);
        assert_eq!((until(1), until(9_999), until(10_000)), (Some(10_000), Some(10_000), None));
        unreachable.note(address, UnixMillis(10_000), "refused", wait);
        unreachable.note(address, UnixMillis(10_001), "refused", wait);
        assert_eq!((until(10_002), until(30_001)), (Some(30_001), None));
        unreachable.forget(address);
        assert_eq!(until(10_002), None);
    }
}
