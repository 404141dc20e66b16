//! TLS that a host did not have as demanded, a short while ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::{NextHop, UnixMillis, WireKey};

/// Remembers for which next hop which connection could not be had because of TLS, so that mail with the same demand does not
/// find it out again each time. What asks for anything else is not concerned: one tenant's `verify` blocks nobody else.
#[derive(Debug)]
pub(crate) struct Verdicts<V>(Mutex<HashMap<(NextHop, WireKey), Known<V>>>);

#[derive(Debug)]
struct Known<V> {
    until: UnixMillis,
    failures: u32,
    verdict: V,
}

impl<V> Default for Verdicts<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Verdicts<V> {
    /// It could not be had, and is not tried for as long as `wait` says for this many failures.
    pub(crate) fn note(&self, next_hop: &NextHop, key: &WireKey, now: UnixMillis, verdict: V, wait: impl Fn(u32) -> Duration) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, known| known.until.after(FORGOTTEN) > now);
        }
        let of = (next_hop.clone(), key.clone());
        let failures = known.get(&of).map_or(0, |known| known.failures).saturating_add(1);
        if known.len() < REMEMBERED || failures > 1 {
            known.insert(of, Known { until: now.after(wait(failures)), failures, verdict });
        }
    }

    /// What is known of it, unless it is time to try again.
    pub(crate) fn recall(&self, next_hop: &NextHop, key: &WireKey, now: UnixMillis) -> Option<V> {
        let known = self.lock();
        if known.is_empty() {
            return None;
        }
        known.get(&(next_hop.clone(), key.clone())).filter(|known| known.until > now).map(|known| known.verdict.clone())
    }

    /// It could be had.
    pub(crate) fn forget(&self, next_hop: &NextHop, key: &WireKey) {
        let mut known = self.lock();
        if !known.is_empty() {
            known.remove(&(next_hop.clone(), key.clone()));
        }
    }

    /// Everything is tried again.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    /// How many are not tried now.
    pub(crate) fn len(&self, now: UnixMillis) -> usize {
        self.lock().values().filter(|known| known.until > now).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(NextHop, WireKey), Known<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is remembered how often it failed.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Verdicts remembered at most.
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use sealpost_types::{Domain, HostClause, HostDemand, TlsRequirement, TlsVersion};

    use super::*;

    #[test]
    fn a_verdict_is_of_one_next_hop_and_one_demand() {
        let hop = |name: &str| NextHop::Mx(Domain::parse(name).unwrap());
        let key = |clauses: Vec<HostClause>| {
            WireKey::new("192.0.2.1:25".parse().unwrap(), None, HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::default()))
        };
        let (chain, plain) = (key(vec![HostClause::Chain]), key(Vec::new()));
        let verdicts = Verdicts::default();
        let wait = |failures: u32| Duration::from_secs(u64::from(failures) * 10);
        verdicts.note(&hop("bank.example"), &chain, UnixMillis(0), "expired", wait);
        let recall = |name: &str, key: &WireKey, now| verdicts.recall(&hop(name), key, UnixMillis(now));
        assert_eq!(recall("bank.example", &chain, 9_999), Some("expired"));
        assert_eq!(
            (recall("bank.example", &plain, 1), recall("shop.example", &chain, 1), recall("bank.example", &chain, 10_000)),
            (None, None, None)
        );
        verdicts.note(&hop("bank.example"), &chain, UnixMillis(10_000), "expired", wait);
        assert_eq!(recall("bank.example", &chain, 29_999), Some("expired"), "longer each time");
        verdicts.forget(&hop("bank.example"), &chain);
        assert_eq!(recall("bank.example", &chain, 10_001), None);
    }
}
