//! What recipient domains say of their mail servers by MTA-STS: discovered, fetched, kept, and looked for anew.

mod cache;
mod fetch;
mod numbers;
mod policy;
mod record;
mod trouble;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sealpost_store::WriteError;
use sealpost_transport::WallClock;
use sealpost_types::{Domain, StsMode, UnixMillis};
use tokio::sync::OwnedMutexGuard;

pub use cache::{KeptPolicy, STS_CACHE_OCTETS, STS_POLICIES, StsCache, StsCacheError, StsFailure, StsKept};
pub use fetch::{HttpsSource, STS_POLICY_OCTETS, StsSource};
pub use numbers::StsNumbers;
pub use policy::{STS_MAX_AGE, STS_POLICY_HOSTS, StsPolicyError, parse_sts_policy};
pub use record::{StsRecord, StsRecordError};
pub use trouble::StsTrouble;

use self::numbers::Fetches;
use crate::Resolver;

/// Finds the MTA-STS policies of recipient domains.
///
/// State is kept by recipient domain and by nothing else: not by host, not by set of hosts.
///
/// # Wire
/// RFC 8461 sections 3.1 to 3.3 and 5.1. Whether there is another policy is asked in DNS each time, where answers are kept as long as they
/// allow. A policy that was had before holds until it ends, whatever DNS and the policy's host say meanwhile, unless another one can be had.
///
/// # Limits
/// Those of [`StsCache`]. After a policy could not be had, it is not tried again for [`STS_PAUSE`].
pub struct MtaSts<S> {
    source: S,
    cache: StsCache,
    clock: WallClock,
    fetches: Fetches,
    troubles: Mutex<HashMap<Domain, Remembered>>,
    /// Who fetches for a domain now: one at a time.
    under_way: Mutex<HashMap<Domain, Weak<tokio::sync::Mutex<()>>>>,
}

/// What is known of a domain's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StsFound {
    /// The policy that holds; none if the domain counts as one without.
    pub policy: Option<Arc<KeptPolicy>>,
    /// Why there is none, or none newer, although the domain seems to have one.
    pub trouble: Option<Arc<StsTrouble>>,
}

/// What a look for policies anew came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StsRefreshed {
    /// Policies that were fetched again.
    pub fetched: usize,
    /// Those that were not: they hold until they end.
    pub failed: usize,
}

#[derive(Clone, Debug)]
struct Remembered {
    trouble: Arc<StsTrouble>,
    until: UnixMillis,
}

impl<S: StsSource> MtaSts<S> {
    /// Fetches from `source` what is not in `cache`.
    #[must_use]
    pub fn new(source: S, cache: StsCache, clock: WallClock) -> Self {
        Self { source, cache, clock, fetches: Fetches::default(), troubles: Mutex::default(), under_way: Mutex::default() }
    }

    /// What is known of a domain's policy, after a look whether there is another one.
    pub async fn find<R: Resolver>(&self, resolver: &R, domain: &Domain) -> StsFound {
        let now = self.clock.now();
        let kept = self.cache.find(domain, now);
        if let Some(trouble) = self.remembered(domain, now).filter(|trouble| matches!(**trouble, StsTrouble::Unknown(_))) {
            return StsFound { policy: kept, trouble: Some(trouble) };
        }
        match record(resolver, domain).await {
            Ok(None) => StsFound { policy: kept, trouble: None },
            Ok(Some(record)) if kept.as_ref().is_some_and(|kept| kept.id == record.id) => StsFound { policy: kept, trouble: None },
            Ok(Some(record)) => self.fetched(resolver, domain, record).await,
            Err(trouble) => {
                let trouble = Arc::new(trouble);
                self.fetches.count(Some(&trouble));
                self.cache.note_failure(domain, &trouble.to_string(), now);
                if matches!(*trouble, StsTrouble::Unknown(_)) {
                    self.remember(domain, &trouble, now.after(PAUSE_OF_DNS));
                }
                StsFound { policy: kept, trouble: Some(trouble) }
            }
        }
    }

    /// Looks for each policy anew that is a day old, or half as old as it gets, so that it is a new one when it would end.
    pub async fn refresh<R: Resolver>(&self, resolver: &R) -> StsRefreshed {
        let now = self.clock.now();
        self.cache.drop_ended(now);
        let due = Mutex::new(self.cache.due(now));
        // A host that is slow must not make the others late.
        let lane = async || {
            let mut refreshed = StsRefreshed::default();
            loop {
                let next = due.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(domain) = next else { return refreshed };
                let outcome = if self.refreshed(resolver, &domain).await { &mut refreshed.fetched } else { &mut refreshed.failed };
                *outcome += 1;
            }
        };
        let lanes = tokio::join!(lane(), lane(), lane(), lane());
        let lanes = [lanes.0, lanes.1, lanes.2, lanes.3];
        let sum = |of: fn(&StsRefreshed) -> usize| lanes.iter().map(of).sum();
        StsRefreshed { fetched: sum(|lane| lane.fetched), failed: sum(|lane| lane.failed) }
    }

    /// What is kept and holds now, by domain.
    #[must_use]
    pub fn list(&self) -> Vec<StsKept> {
        self.cache.list(self.clock.now())
    }

    /// The same in numbers, with what came of looking for policies.
    #[must_use]
    pub fn numbers(&self) -> StsNumbers {
        StsNumbers::of(&self.list(), self.cache.octets(), &self.fetches)
    }

    /// Forgets a domain's policy, and what was in the way of a newer one: the next mail looks for it anew. What it was.
    ///
    /// # Errors
    /// As for [`StsCache::forget`].
    pub async fn forget(&self, domain: &Domain) -> Result<Option<StsKept>, WriteError> {
        self.troubles().remove(domain);
        self.cache.forget(domain).await
    }

    /// The policy of this record, fetched unless somebody else has just done so.
    async fn fetched<R: Resolver>(&self, resolver: &R, domain: &Domain, record: StsRecord) -> StsFound {
        let _alone = self.alone(domain).await;
        let now = self.clock.now();
        let kept = self.cache.find(domain, now);
        if kept.as_ref().is_some_and(|kept| kept.id == record.id) {
            return StsFound { policy: kept, trouble: None };
        }
        if let Some(trouble) = self.remembered(domain, now) {
            return StsFound { policy: kept, trouble: Some(trouble) };
        }
        match self.fetch(resolver, domain, record).await {
            Ok(policy) => StsFound { policy: Some(policy), trouble: None },
            // Whoever spoofs a record and blocks the way to the policy must not get rid of one that was had before.
            Err(trouble) => StsFound { policy: self.cache.find(domain, self.clock.now()), trouble: Some(trouble) },
        }
    }

    async fn refreshed<R: Resolver>(&self, resolver: &R, domain: &Domain) -> bool {
        let _alone = self.alone(domain).await;
        let trouble = match record(resolver, domain).await {
            Ok(Some(record)) => match self.fetch(resolver, domain, record).await {
                Ok(_) => return true,
                Err(trouble) => Some(trouble),
            },
            Ok(None) => None,
            Err(trouble) => {
                self.fetches.count(Some(&trouble));
                Some(Arc::new(trouble))
            }
        };
        let now = self.clock.now();
        self.cache.postpone(domain, now);
        let failure = trouble.as_ref().map_or_else(|| NO_LONGER_ANNOUNCED.to_owned(), ToString::to_string);
        self.cache.note_failure(domain, &failure, now);
        // RFC 8461 section 3.3: administrators are told, unless the policy is none.
        if let Some(kept) = self.cache.get(domain, now).filter(|kept| kept.policy.mode != StsMode::None) {
            let days = kept.expires_at.since(now).as_secs() / (24 * 3600);
            match trouble {
                Some(trouble) => {
                    tracing::warn!(%domain, %trouble, days_left = days, "an MTA-STS policy could not be renewed, and holds until it ends")
                }
                None => {
                    tracing::info!(%domain, days_left = days, "the domain announces its MTA-STS policy no more, which holds until it ends")
                }
            }
        }
        false
    }

    async fn fetch<R: Resolver>(&self, resolver: &R, domain: &Domain, record: StsRecord) -> Result<Arc<KeptPolicy>, Arc<StsTrouble>> {
        match self.source.fetch(resolver, domain).await {
            Ok(policy) => {
                let now = self.clock.now();
                tracing::info!(%domain, id = %record.id, mode = %policy.mode, "an MTA-STS policy was fetched");
                self.fetches.count(None);
                self.troubles().remove(domain);
                Ok(self.cache.keep(domain, KeptPolicy::new(record.id, policy, now), now).await)
            }
            Err(trouble) => {
                tracing::warn!(%domain, id = %record.id, "{trouble}");
                self.fetches.count(Some(&trouble));
                let trouble = Arc::new(trouble);
                let now = self.clock.now();
                self.cache.note_failure(domain, &trouble.to_string(), now);
                self.remember(domain, &trouble, now.after(STS_PAUSE));
                Err(trouble)
            }
        }
    }

    /// Waits until nobody else fetches for this domain.
    async fn alone(&self, domain: &Domain) -> OwnedMutexGuard<()> {
        let gate = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.len() >= GATES {
                under_way.retain(|_, gate| gate.strong_count() > 0);
            }
            let known = under_way.get(domain).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let gate = Arc::default();
                under_way.insert(domain.clone(), Arc::downgrade(&gate));
                gate
            })
        };
        gate.lock_owned().await
    }

    fn remembered(&self, domain: &Domain, now: UnixMillis) -> Option<Arc<StsTrouble>> {
        self.troubles().get(domain).filter(|remembered| remembered.until > now).map(|remembered| Arc::clone(&remembered.trouble))
    }

    fn remember(&self, domain: &Domain, trouble: &Arc<StsTrouble>, until: UnixMillis) {
        let mut troubles = self.troubles();
        if troubles.len() >= TROUBLES {
            let now = self.clock.now();
            troubles.retain(|_, remembered| remembered.until > now);
            // Nothing has ended: rather try again than grow.
            if troubles.len() >= TROUBLES {
                troubles.clear();
            }
        }
        troubles.insert(domain.clone(), Remembered { trouble: Arc::clone(trouble), until });
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<Domain, Remembered>> {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StsFound {
    /// The mode of the policy that holds; none without one.
    #[must_use]
    pub fn mode(&self) -> StsMode {
        self.policy.as_ref().map_or(StsMode::None, |kept| kept.policy.mode)
    }

    /// Whether it is not known if there is a policy.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.policy.is_none() && matches!(self.trouble.as_deref(), Some(StsTrouble::Unknown(_)))
    }
}

/// Which policy a domain says in DNS that it has; nothing if none.
async fn record<R: Resolver>(resolver: &R, domain: &Domain) -> Result<Option<StsRecord>, StsTrouble> {
    // A domain so long that this is no name has no policy.
    let Ok(name) = Domain::parse(&format!("_mta-sts.{domain}")) else { return Ok(None) };
    Ok(StsRecord::read(&resolver.txt(&name).await.map_err(StsTrouble::Unknown)?)?)
}

impl<S> fmt::Debug for MtaSts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtaSts").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// How long it is not tried again to have a policy that could not be had: the five minutes of RFC 8461 section 3.3.
pub const STS_PAUSE: Duration = Duration::from_secs(300);

/// The same for name servers that do not say whether there is one.
const PAUSE_OF_DNS: Duration = Duration::from_secs(60);

/// What is noted of a domain whose record is gone.
const NO_LONGER_ANNOUNCED: &str = "the domain announces no MTA-STS policy any more";

/// Domains of which trouble is remembered.
const TROUBLES: usize = 10_000;

/// Gates that may be left behind before they are looked through.
const GATES: usize = 1000;

#[cfg(test)]
mod tests;
