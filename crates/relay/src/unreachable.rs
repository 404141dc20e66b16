//! Addresses that did not answer a short while ago.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::UnixMillis;

/// Remembers addresses that could not be connected to, so that others of the same host are tried first.
///
/// A relay without IPv6, or a host with one dead address, so pays for it once in a while and not with each message.
#[derive(Debug, Default)]
pub(crate) struct Unreachable(Mutex<HashMap<SocketAddr, UnixMillis>>);

impl Unreachable {
    /// The address did not answer.
    pub(crate) fn note(&self, address: SocketAddr, now: UnixMillis) {
        let mut until = self.lock();
        if until.len() >= REMEMBERED {
            until.retain(|_, until| *until > now);
        }
        if until.len() < REMEMBERED {
            until.insert(address, now.after(MEMORY));
        }
    }

    /// The address answered.
    pub(crate) fn forget(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// Whether it did not answer a short while ago.
    pub(crate) fn contains(&self, address: SocketAddr, now: UnixMillis) -> bool {
        self.lock().get(&address).is_some_and(|until| *until > now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, UnixMillis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is remembered.
const MEMORY: Duration = Duration::from_secs(120);

/// Addresses remembered at most.
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_avoided_for_a_while_or_until_it_answers() {
        let unreachable = Unreachable::default();
        let address: SocketAddr = "192.0.2.1:25".parse().unwrap();
        unreachable.note(address, UnixMillis(0));
        assert!(unreachable.contains(address, UnixMillis(1)));
        assert!(!unreachable.contains(address, UnixMillis(0).after(MEMORY)));
        unreachable.forget(address);
        assert!(!unreachable.contains(address, UnixMillis(1)));
    }
}
