//! Policies that are kept until they end: in memory, and in a database that survives a restart.

mod file;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_store::rusqlite::{Transaction, params};
use sealpost_store::{OpenError, ReadError, Reader, Store, WriteError};
use sealpost_types::{Domain, StsPolicy, UnixMillis, WithCauses};

/// A policy that was fetched, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptPolicy {
    /// The id that its domain had in DNS when it was fetched.
    pub id: Box<str>,
    /// What it says.
    pub policy: StsPolicy,
    /// When it was fetched.
    pub fetched_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// Policies that are kept until they end.
///
/// A policy is durable before it is first used, so that nobody can undo it by a restart. One that ended is not there any more.
///
/// # Limits
/// [`STS_POLICIES`] domains and [`STS_CACHE_OCTETS`] of their patterns. Where there are more, those go first that mail did not come back to
/// after a day, or not in the last month; among equals, those that take the most room for the longest time. So new ones, however many and
/// large, displace one another before any that is in use.
#[derive(Debug)]
pub struct StsCache {
    policies: Mutex<Policies>,
    store: Option<Store>,
}

#[derive(Debug)]
struct Policies {
    by_domain: HashMap<Domain, Entry>,
    octets: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    domains: usize,
    octets: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    kept: Arc<KeptPolicy>,
    /// When it is looked for anew, so that it does not end while the domain still has it.
    refresh_at: UnixMillis,
    /// When mail last asked for it.
    used_at: UnixMillis,
    /// Whether it did so again, a day or more after it first had.
    came_back: bool,
    failure: Option<StsFailure>,
}

/// A kept policy with what is known of it beside: for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StsKept {
    /// Whose it is.
    pub domain: Domain,
    /// What it says, and until when.
    pub kept: Arc<KeptPolicy>,
    /// When it is looked for anew, if mail goes on asking for it.
    pub refresh_at: UnixMillis,
    /// When mail last asked for it, to the day.
    pub used_at: UnixMillis,
    /// The last look for a newer one, since this one was fetched, that failed.
    pub failure: Option<StsFailure>,
}

/// A look for a newer policy that came to nothing. The one that is kept holds on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StsFailure {
    /// When.
    pub at: UnixMillis,
    /// Why, in words.
    pub reason: Box<str>,
}

impl KeptPolicy {
    /// A policy of this id, fetched now.
    #[must_use]
    pub fn new(id: Box<str>, policy: StsPolicy, now: UnixMillis) -> Self {
        let expires_at = now.after(policy.max_age.max(SHORTEST_LIFE));
        Self { id, policy, fetched_at: now, expires_at }
    }

    /// When it is looked for anew: once a day, or in the middle of a shorter life.
    fn refresh_at(&self) -> UnixMillis {
        self.fetched_at.after(REFRESH_EVERY.min(self.expires_at.since(self.fetched_at) / 2))
    }

    fn octets(&self) -> usize {
        ENTRY_OCTETS + self.policy.mx.iter().map(|pattern| PATTERN_OCTETS + pattern.domain().as_str().len()).sum::<usize>()
    }
}

impl StsCache {
    /// A cache that ends with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { policies: Mutex::default(), store: None }
    }

    /// A cache that has these, and ends with the process: for those who only look.
    #[must_use]
    pub fn of(policies: Vec<StsKept>) -> Self {
        let mut kept = Policies::default();
        for StsKept { domain, kept: policy, refresh_at, used_at, failure } in policies {
            kept.insert_within_limits(domain, Entry { kept: policy, refresh_at, used_at, came_back: true, failure });
        }
        Self { policies: Mutex::new(kept), store: None }
    }

    /// Opens the cache in this file, or begins one.
    ///
    /// A file that is damaged is set aside, and a new one begun: what stood in it is fetched again.
    ///
    /// # Errors
    /// [`OpenError`]: the file is another process's or another program's, or the system does not let it be used.
    pub fn open(path: &Path, now: UnixMillis) -> Result<Self, OpenError> {
        let (store, policies) = match file::load(path, now) {
            Err(error) if file::is_damage(&error) => {
                let aside = file::set_aside(path)?;
                tracing::error!(error = %WithCauses(&error), aside = %aside.display(), "the cache of MTA-STS policies is damaged and set aside");
                file::load(path, now)?
            }
            loaded => loaded?,
        };
        let mut kept = Policies::default();
        policies.into_iter().for_each(|(domain, entry)| kept.insert(domain, entry));
        Ok(Self { policies: Mutex::new(kept), store: Some(store) })
    }

    /// The policies in the file of a cache, which another process may have open: for those who only look.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn peek(path: &Path) -> Result<Vec<StsKept>, StsCacheError> {
        let rows = Reader::open(path, &file::SCHEMA)?.read(file::select)?;
        Ok(in_order(rows.into_iter().map(|(domain, entry)| entry.shown(domain))))
    }

    /// What is kept and holds now, by domain.
    #[must_use]
    pub fn list(&self, now: UnixMillis) -> Vec<StsKept> {
        let policies = self.policies();
        in_order(
            policies
                .by_domain
                .iter()
                .filter(|(_, entry)| entry.kept.expires_at > now)
                .map(|(domain, entry)| entry.clone().shown(domain.clone())),
        )
    }

    /// Octets of memory that the policies take, about.
    pub(super) fn octets(&self) -> usize {
        self.policies().octets
    }

    /// Forgets a domain's policy, and returns what it was when that is durable: the next mail looks for one anew.
    ///
    /// # Errors
    /// [`WriteError`]: the file cannot be written. The policy counts no more all the same, until the file is opened again.
    pub async fn forget(&self, domain: &Domain) -> Result<Option<StsKept>, WriteError> {
        let Some(entry) = self.policies().remove(domain) else { return Ok(None) };
        if let Some(store) = &self.store {
            let name = domain.clone();
            store.write(0, move |tx| file::delete(tx, std::slice::from_ref(&name))).await?;
        }
        Ok(Some(entry.shown(domain.clone())))
    }

    /// Writes what waits, and lets the file go.
    ///
    /// # Errors
    /// [`WriteError`]: not all could be written.
    pub async fn close(&self) -> Result<(), WriteError> {
        match &self.store {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    /// The policy of a domain, if there is one that holds now.
    pub(super) fn get(&self, domain: &Domain, now: UnixMillis) -> Option<Arc<KeptPolicy>> {
        self.policies().by_domain.get(domain).map(|entry| Arc::clone(&entry.kept)).filter(|kept| kept.expires_at > now)
    }

    /// The same, because mail asks for it.
    pub(super) fn find(&self, domain: &Domain, now: UnixMillis) -> Option<Arc<KeptPolicy>> {
        let mut policies = self.policies();
        let entry = policies.by_domain.get_mut(domain).filter(|entry| entry.kept.expires_at > now)?;
        if now.since(entry.used_at) >= NOTE_USE_EVERY {
            (entry.used_at, entry.came_back) = (now, true);
            self.note(domain, "UPDATE policies SET used_at = ?2 WHERE domain = ?1", now);
        }
        Some(Arc::clone(&entry.kept))
    }

    /// Keeps a policy, and returns when it is durable.
    pub(super) async fn keep(&self, domain: &Domain, kept: KeptPolicy, now: UnixMillis) -> Arc<KeptPolicy> {
        let kept = Arc::new(kept);
        let (used_at, came_back) = self.use_of(domain).unwrap_or((now, false));
        let entry = Entry { refresh_at: kept.refresh_at(), used_at, came_back, kept: Arc::clone(&kept), failure: None };
        if let Some(store) = &self.store {
            let (name, row) = (domain.clone(), entry.clone());
            let written = store.write(entry.kept.octets(), move |tx| file::insert(tx, &name, &row)).await;
            if let Err(error) = written {
                tracing::error!(%domain, error = %WithCauses(&error), "an MTA-STS policy could not be kept, and ends with this process");
            }
        }
        let gone = self.policies().insert_within_limits(domain.clone(), entry);
        self.remove(gone);
        kept
    }

    /// Looks for a domain's policy later.
    pub(super) fn postpone(&self, domain: &Domain, now: UnixMillis) {
        let refresh_at = now.after(RETRY_EVERY);
        if let Some(entry) = self.policies().by_domain.get_mut(domain) {
            entry.refresh_at = refresh_at;
        }
        self.note(domain, "UPDATE policies SET refresh_at = ?2 WHERE domain = ?1", refresh_at);
    }

    /// Notes beside a kept policy that no newer one could be had.
    pub(super) fn note_failure(&self, domain: &Domain, reason: &str, at: UnixMillis) {
        {
            let mut policies = self.policies();
            let Some(entry) = policies.by_domain.get_mut(domain) else { return };
            // Where each mail finds the same again, not each writes it down.
            let is_known = |known: &StsFailure| *known.reason == *reason && at.since(known.at) < RETRY_EVERY;
            if entry.failure.as_ref().is_some_and(is_known) {
                return;
            }
            entry.failure = Some(StsFailure { at, reason: reason.into() });
        }
        if let Some(store) = &self.store {
            let (domain, reason) = (domain.clone(), reason.to_owned());
            let update = move |tx: &Transaction<'_>| {
                let mut statement = tx.prepare_cached("UPDATE policies SET failed_at = ?2, failure = ?3 WHERE domain = ?1")?;
                statement.execute(params![domain.as_str(), at.0, reason]).map(drop)
            };
            store.write_soon(0, update, |outcome| file::log(&outcome));
        }
    }

    /// The domains whose policies are to be looked for anew: those that mail asked for in the last month.
    pub(super) fn due(&self, now: UnixMillis) -> Vec<Domain> {
        let is_due = |entry: &Entry| entry.refresh_at <= now && now.since(entry.used_at) < IDLE;
        self.policies().by_domain.iter().filter(|(_, entry)| is_due(entry)).map(|(domain, _)| domain.clone()).collect()
    }

    /// Forgets policies that have ended.
    pub(super) fn drop_ended(&self, now: UnixMillis) {
        let gone = self.policies().remove_ended(now);
        self.remove(gone);
    }

    /// When mail last asked for it, and whether it came back.
    fn use_of(&self, domain: &Domain) -> Option<(UnixMillis, bool)> {
        self.policies().by_domain.get(domain).map(|entry| (entry.used_at, entry.came_back))
    }

    fn remove(&self, domains: Vec<Domain>) {
        let Some(store) = self.store.as_ref().filter(|_| !domains.is_empty()) else { return };
        store.write_soon(0, move |tx: &Transaction<'_>| file::delete(tx, &domains), |outcome| file::log(&outcome));
    }

    /// Notes a time beside a policy, with the next that is written.
    fn note(&self, domain: &Domain, statement: &'static str, at: UnixMillis) {
        let Some(store) = &self.store else { return };
        let domain = domain.clone();
        let update = move |tx: &Transaction<'_>| tx.prepare_cached(statement)?.execute(params![domain.as_str(), at.0]).map(drop);
        store.write_soon(0, update, |outcome| file::log(&outcome));
    }

    fn policies(&self) -> MutexGuard<'_, Policies> {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the file of a cache could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StsCacheError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Default for Policies {
    fn default() -> Self {
        let limits = Limits { domains: STS_POLICIES, octets: STS_CACHE_OCTETS };
        Self { by_domain: HashMap::new(), octets: 0, limits }
    }
}

impl Policies {
    fn insert(&mut self, domain: Domain, entry: Entry) {
        self.octets += entry.kept.octets();
        if let Some(old) = self.by_domain.insert(domain, entry) {
            self.octets -= old.kept.octets();
        }
    }

    /// The domains that had to go for it, what has ended and then the last in rank, and a few more, so that not each new one costs
    /// a look at all.
    fn insert_within_limits(&mut self, domain: Domain, entry: Entry) -> Vec<Domain> {
        let (newest, now) = (domain.clone(), entry.kept.fetched_at);
        self.insert(domain, entry);
        if self.is_within(self.limits) {
            return Vec::new();
        }
        let mut gone = self.remove_ended(now);
        let Limits { domains, octets } = self.limits;
        let with_room = Limits { domains: domains - domains / ROOM, octets: octets - octets / ROOM };
        let mut others: Vec<_> = self.by_domain.iter().map(|(domain, entry)| (entry.rank(now), domain.clone())).collect();
        others.sort_unstable();
        for (_, last) in others.into_iter().filter(|(_, domain)| *domain != newest) {
            if self.is_within(with_room) {
                break;
            }
            self.remove(&last);
            gone.push(last);
        }
        gone
    }

    fn is_within(&self, limits: Limits) -> bool {
        self.by_domain.len() <= limits.domains && self.octets <= limits.octets
    }

    fn remove_ended(&mut self, now: UnixMillis) -> Vec<Domain> {
        let has_ended = |entry: &Entry| entry.kept.expires_at <= now;
        let gone: Vec<_> = self.by_domain.iter().filter(|(_, entry)| has_ended(entry)).map(|(domain, _)| domain.clone()).collect();
        gone.iter().for_each(|domain| drop(self.remove(domain)));
        gone
    }

    fn remove(&mut self, domain: &Domain) -> Option<Entry> {
        let entry = self.by_domain.remove(domain)?;
        self.octets -= entry.kept.octets();
        Some(entry)
    }
}

impl Entry {
    fn shown(self, domain: Domain) -> StsKept {
        let Self { kept, refresh_at, used_at, failure, .. } = self;
        StsKept { domain, kept, refresh_at, used_at, failure }
    }

    /// What it is worth beside others: whether it is in use, and how little room it takes for how short a time since. That it is new
    /// or holds long is worth nothing: whoever publishes it has that for free.
    fn rank(&self, now: UnixMillis) -> (bool, Reverse<u64>) {
        let idle = now.since(self.used_at);
        let room = self.kept.octets() as u64;
        (self.came_back && idle < IDLE, Reverse(room.saturating_mul(idle.max(NOTE_USE_EVERY).as_secs())))
    }
}

fn in_order(policies: impl Iterator<Item = StsKept>) -> Vec<StsKept> {
    let mut policies: Vec<_> = policies.collect();
    policies.sort_unstable_by(|one, other| one.domain.cmp(&other.domain));
    policies
}

/// Domains whose policies are kept.
pub const STS_POLICIES: usize = 100_000;

/// Memory for them, about.
pub const STS_CACHE_OCTETS: usize = 64 << 20;

/// Where there is no room left, one part of so many is made.
const ROOM: usize = 100;

/// What an entry and a pattern take beside their names, about.
const ENTRY_OCTETS: usize = 300;
const PATTERN_OCTETS: usize = 40;

/// A policy is not fetched for each mail, however short a life it gives itself.
const SHORTEST_LIFE: Duration = Duration::from_secs(300);

/// RFC 8461 section 3.3: "a suggested refresh frequency is once per day".
const REFRESH_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How soon it is tried again if that fails.
const RETRY_EVERY: Duration = Duration::from_secs(3600);

/// The grain in which it is noted when mail asked for a policy.
const NOTE_USE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A policy that no mail asked for so long ends when it ends.
const IDLE: Duration = Duration::from_secs(31 * 24 * 3600);

#[cfg(test)]
mod tests {
    use sealpost_types::StsMode;

    use super::*;
    use crate::{STS_MAX_AGE, STS_POLICY_HOSTS};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn policy(mode: StsMode, hours: u32) -> StsPolicy {
        StsPolicy::new(mode, vec!["mx.a.example".parse().unwrap(), "*.b.example".parse().unwrap()], HOUR * hours)
    }

    fn kept(hours: u32) -> KeptPolicy {
        KeptPolicy::new("1".into(), policy(StsMode::Enforce, hours), NOW)
    }

    /// A small policy or a large one, of the longest life.
    fn stranger(patterns: usize, now: UnixMillis) -> KeptPolicy {
        let mx = (0..patterns).map(|number| format!("mx{number}.a.example").parse().unwrap()).collect();
        KeptPolicy::new("1".into(), StsPolicy::new(StsMode::Enforce, mx, STS_MAX_AGE), now)
    }

    /// A cache with little room.
    fn bounded() -> StsCache {
        let policies = Policies { limits: Limits { domains: 200, octets: 1 << 20 }, ..Policies::default() };
        StsCache { policies: Mutex::new(policies), store: None }
    }

    async fn close(cache: StsCache) {
        cache.close().await.unwrap();
    }

    // req: E2
    #[tokio::test]
    async fn a_policy_survives_a_restart_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mta-sts.db");
        let cache = StsCache::open(&path, NOW).unwrap();
        let (a, b) = (domain("a.example"), domain("b.example"));
        cache.keep(&a, kept(10), NOW).await;
        cache.keep(&b, KeptPolicy::new("2".into(), StsPolicy::new(StsMode::None, vec![], HOUR), NOW), NOW).await;
        let looked_at = StsCache::peek(&path).unwrap();
        assert_eq!(looked_at.len(), 2, "beside the process that has it open");
        close(cache).await;

        let later = NOW.after(HOUR * 9);
        let cache = StsCache::open(&path, later).unwrap();
        assert_eq!(*cache.find(&a, later).unwrap(), kept(10));
        assert_eq!(cache.find(&b, later), None);
        assert_eq!(cache.find(&a, NOW.after(HOUR * 10)), None);
        cache.drop_ended(NOW.after(HOUR * 10));
        close(cache).await;
        assert_eq!(StsCache::peek(&path).unwrap(), [], "what has ended is removed");
    }

    /// A file of the version before has no failures, and keeps what it has.
    #[tokio::test]
    async fn a_failure_is_kept_beside_the_policy_until_a_newer_one_is_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mta-sts.db");
        let (a, b) = (domain("a.example"), domain("b.example"));
        let cache = StsCache::open(&path, NOW).unwrap();
        cache.keep(&b, kept(10), NOW).await;
        cache.keep(&a, kept(10), NOW).await;
        cache.note_failure(&a, "the web server is gone", NOW.after(HOUR));
        cache.note_failure(&domain("none.example"), "nobody keeps it", NOW);
        let listed = cache.list(NOW.after(HOUR));
        assert_eq!(listed.iter().map(|kept| kept.domain.as_str()).collect::<Vec<_>>(), ["a.example", "b.example"]);
        let failure = StsFailure { at: NOW.after(HOUR), reason: "the web server is gone".into() };
        assert_eq!((listed[0].failure.as_ref(), listed[1].failure.as_ref()), (Some(&failure), None));
        close(cache).await;
        assert_eq!(StsCache::peek(&path).unwrap(), listed, "it survives");
        let cache = StsCache::open(&path, NOW).unwrap();
        cache.keep(&a, kept(20), NOW.after(HOUR)).await;
        assert_eq!(cache.list(NOW)[0].failure, None);
        assert_eq!(cache.list(NOW.after(HOUR * 10)).len(), 1, "what has ended is not listed");
    }

    #[tokio::test]
    async fn a_policy_that_is_forgotten_is_not_there_after_a_restart_either() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mta-sts.db");
        let (a, b) = (domain("a.example"), domain("b.example"));
        let cache = StsCache::open(&path, NOW).unwrap();
        cache.keep(&a, kept(10), NOW).await;
        cache.keep(&b, kept(10), NOW).await;
        assert_eq!(*cache.forget(&a).await.unwrap().unwrap().kept, kept(10));
        assert_eq!(cache.forget(&a).await.unwrap(), None);
        assert!(cache.find(&a, NOW).is_none() && cache.find(&b, NOW).is_some());
        close(cache).await;
        let left = StsCache::peek(&path).unwrap();
        assert_eq!(left.iter().map(|kept| &kept.domain).collect::<Vec<_>>(), [&b]);
    }

    /// Killed between the answer and the next moment: what was used once is there.
    #[tokio::test]
    async fn a_policy_is_durable_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mta-sts.db");
        let cache = StsCache::open(&path, NOW).unwrap();
        cache.keep(&domain("a.example"), kept(10), NOW).await;
        // What a crash leaves: the files as they are now.
        let left = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
        }
        let after = StsCache::open(&left.path().join("mta-sts.db"), NOW).unwrap();
        assert!(after.find(&domain("a.example"), NOW).is_some());
    }

    #[tokio::test]
    async fn policies_are_looked_for_daily_while_mail_asks_for_them() {
        let cache = StsCache::in_memory();
        let (long, short) = (domain("long.example"), domain("short.example"));
        cache.keep(&long, kept(2000), NOW).await;
        cache.keep(&short, kept(4), NOW).await;
        let due = |hours: u32| {
            let mut due = cache.due(NOW.after(HOUR * hours));
            due.sort();
            due
        };
        assert_eq!(due(1), []);
        assert_eq!(due(2), std::slice::from_ref(&short));
        assert_eq!(due(24), [long.clone(), short]);
        cache.postpone(&long, NOW.after(HOUR * 24));
        assert_eq!((due(24).len(), due(25).len()), (1, 2));
        assert_eq!(due(31 * 24), [], "nobody asked");
        assert!(cache.find(&long, NOW.after(HOUR * 30 * 24)).is_some());
        assert_eq!(due(32 * 24), [long], "the control: somebody did");
    }

    /// `max_age: 0` must not have the policy fetched for each mail.
    #[test]
    fn a_policy_without_a_life_has_a_short_one() {
        assert_eq!(kept(0).expires_at, NOW.after(Duration::from_secs(300)));
    }

    #[test]
    fn the_number_and_the_size_of_policies_are_bounded() {
        let limits = Limits { domains: 1000, octets: 1 << 20 };
        let mut policies = Policies { limits, ..Policies::default() };
        let now = NOW.after(HOUR * 48);
        let entry = |used_at: UnixMillis, patterns: usize| {
            let kept = stranger(patterns, now);
            Entry { refresh_at: kept.refresh_at(), used_at, came_back: true, kept: Arc::new(kept), failure: None }
        };
        for number in 0..limits.domains {
            let used_at = if number == 7 { NOW } else { now };
            let gone = policies.insert_within_limits(domain(&format!("n{number}.example")), entry(used_at, 1));
            assert_eq!(gone, []);
        }
        let gone = policies.insert_within_limits(domain("new.example"), entry(now, 1));
        assert_eq!((gone.len(), &gone[0]), (1 + limits.domains / ROOM, &domain("n7.example")), "what was used least lately goes first");
        assert!(policies.by_domain.contains_key(&domain("new.example")));
        let mut gone = Vec::new();
        for number in 0..20 {
            gone.extend(policies.insert_within_limits(domain(&format!("huge{number}.example")), entry(now, 2000)));
        }
        assert!(policies.is_within(limits) && gone.len() > 10, "{} {gone:?}", policies.octets);
        let large = gone.iter().filter(|domain| domain.as_str().starts_with("huge")).count();
        assert!(large + 1 >= gone.len(), "what is largest goes first, and one more for some room: {gone:?}");
        let sum: usize = policies.by_domain.values().map(|entry| entry.kept.octets()).sum();
        assert_eq!(sum, policies.octets);
    }

    /// Some 200 domains with 64 KiB of hosts, for a year each, pushed out whatever ended before: all that was honest.
    #[tokio::test]
    async fn the_huge_policies_of_a_stranger_displace_none_that_is_in_use() {
        let (cache, used, strangers) = (bounded(), domain("used.example"), 100);
        cache.keep(&used, kept(24 * 7), NOW).await;
        // For days, so that mail comes back to the stranger's too.
        for now in (1..=3_u32).map(|day| NOW.after(HOUR * 24 * day)) {
            assert!(cache.find(&used, now).is_some());
            for number in 0..strangers {
                let other = domain(&format!("n{number}.stranger.example"));
                if cache.find(&other, now).is_none() {
                    cache.keep(&other, stranger(STS_POLICY_HOSTS, now), now).await;
                }
            }
            assert!(cache.get(&used, now).is_some());
            assert!(cache.list(now).len() < strangers, "the control: there is no room for all");
        }
    }

    #[tokio::test]
    async fn the_many_policies_of_a_stranger_displace_none_that_mail_came_back_to() {
        let (cache, used, once) = (bounded(), domain("used.example"), domain("once.example"));
        cache.keep(&used, kept(24 * 7), NOW).await;
        cache.keep(&once, kept(24 * 7), NOW).await;
        let now = NOW.after(HOUR * 24);
        assert!(cache.find(&used, now).is_some());
        for number in 0..1000 {
            cache.keep(&domain(&format!("n{number}.stranger.example")), stranger(1, now), now).await;
        }
        assert!(cache.get(&used, now).is_some());
        assert!(cache.get(&once, now).is_none(), "the control: without that, it goes");
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_rows_that_are_no_policy_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mta-sts.db");
        let cache = StsCache::open(&path, NOW).unwrap();
        cache.keep(&domain("a.example"), kept(10), NOW).await;
        cache.keep(&domain("b.example"), kept(10), NOW).await;
        cache
            .store
            .as_ref()
            .unwrap()
            .write(1, |tx| tx.execute("UPDATE policies SET mode = 'weak' WHERE domain = 'b.example'", []))
            .await
            .unwrap();
        close(cache).await;
        let cache = StsCache::open(&path, NOW).unwrap();
        assert!(cache.find(&domain("a.example"), NOW).is_some() && cache.find(&domain("b.example"), NOW).is_none());
        close(cache).await;
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let cache = StsCache::open(&path, NOW).unwrap();
        assert!(cache.find(&domain("a.example"), NOW).is_none());
        cache.keep(&domain("a.example"), kept(10), NOW).await;
        assert!(folder.path().join("mta-sts.db.damaged").exists());
    }
}
