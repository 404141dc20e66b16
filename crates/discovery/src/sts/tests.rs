use std::sync::atomic::{AtomicI64, Ordering};

use sealpost_types::StsPolicy;

use super::*;
use crate::{ResolveError, StaticResolver};

const START: i64 = 1_800_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Policies as the table says, and how often they were fetched.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    policies: HashMap<Domain, StsPolicy>,
    fetches: usize,
    slow: bool,
}

impl Table {
    fn set(&self, domain: &Domain, policy: Option<StsPolicy>) {
        let policies = &mut self.0.lock().unwrap().policies;
        match policy {
            Some(policy) => policies.insert(domain.clone(), policy),
            None => policies.remove(domain),
        };
    }

    fn fetches(&self) -> usize {
        self.0.lock().unwrap().fetches
    }
}

impl StsSource for Table {
    async fn fetch<R: Resolver>(&self, _: &R, domain: &Domain) -> Result<StsPolicy, StsTrouble> {
        let (policy, slow) = {
            let mut table = self.0.lock().unwrap();
            table.fetches += 1;
            (table.policies.get(domain).cloned(), table.slow)
        };
        if slow {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        policy.ok_or_else(|| StsTrouble::Unreachable { detail: "blocked".into() })
    }
}

struct Scene {
    dns: StaticResolver,
    table: Table,
    time: Arc<AtomicI64>,
    sts: MtaSts<Table>,
    domain: Domain,
}

impl Scene {
    /// A domain with an id in DNS and a policy.
    fn new(policy: StsPolicy) -> Self {
        Self::with_cache(policy, StsCache::in_memory())
    }

    fn with_cache(policy: StsPolicy, cache: StsCache) -> Self {
        let (dns, table, domain) = (StaticResolver::new(), Table::default(), Domain::parse("bank.example").unwrap());
        let time = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&time);
        let clock = WallClock::from_fn(move || UnixMillis(clock.load(Ordering::SeqCst)));
        let scene = Self { sts: MtaSts::new(table.clone(), cache, clock), dns, table, time, domain };
        scene.announce(Some("1"));
        scene.table.set(&scene.domain, Some(policy));
        scene
    }

    fn name() -> Domain {
        Domain::parse("_mta-sts.bank.example").unwrap()
    }

    fn announce(&self, id: Option<&str>) {
        let record = id.map(|id| format!("v=STSv1; id={id};").into_bytes());
        self.dns.set_txt(&Self::name(), record.into_iter().collect());
    }

    fn pass(&self, time: Duration) {
        self.time.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The mode that holds, and what is wrong.
    async fn found(&self) -> (StsMode, Option<StsTrouble>) {
        let found = self.sts.find(&self.dns, &self.domain).await;
        (found.mode(), found.trouble.as_deref().cloned())
    }
}

fn enforce() -> StsPolicy {
    StsPolicy::new(StsMode::Enforce, vec!["mx.bank.example".parse().unwrap()], DAY * 7)
}

fn other(mode: StsMode) -> StsPolicy {
    StsPolicy::new(mode, enforce().mx, enforce().max_age)
}

fn blocked() -> Option<StsTrouble> {
    Some(StsTrouble::Unreachable { detail: "blocked".into() })
}

// req: E2
#[tokio::test]
async fn a_policy_is_fetched_once_and_again_when_its_id_changes() {
    let scene = Scene::new(enforce());
    for _ in 0..3 {
        assert_eq!(scene.found().await, (StsMode::Enforce, None));
    }
    assert_eq!(scene.table.fetches(), 1);
    scene.table.set(&scene.domain, Some(other(StsMode::Testing)));
    assert_eq!(scene.found().await.0, StsMode::Enforce, "the id is the same");
    scene.announce(Some("2"));
    assert_eq!(scene.found().await, (StsMode::Testing, None));
    scene.pass(DAY * 7);
    assert_eq!(scene.found().await, (StsMode::Testing, None), "it ended, and is fetched again");
    assert_eq!(scene.table.fetches(), 3);
}

/// Stalwart and KumoMTA: a spoofed TXT record with another id and a blocked way to the policy's host switched the policy off.
// req: E2
#[tokio::test]
async fn b1_b2_another_id_and_a_blocked_fetch_do_not_undo_a_policy() {
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    scene.announce(Some("spoofed"));
    scene.table.set(&scene.domain, None);
    for _ in 0..3 {
        assert_eq!(scene.found().await, (StsMode::Enforce, blocked()));
        scene.pass(STS_PAUSE);
    }
    assert_eq!(scene.table.fetches(), 4, "it was tried each time that the pause was over");
    // the control: once it has ended, nothing is left of it
    scene.pass(DAY * 7);
    assert_eq!(scene.found().await, (StsMode::None, blocked()));
}

/// RFC 8461 section 5.1: a policy is not undone by taking its record away, nor by one that says nothing, nor by silent name servers.
// req: E2
#[tokio::test]
async fn b1_a_missing_record_does_not_undo_a_policy() {
    let name = Scene::name();
    let failure = ResolveError::Server { name: name.clone(), code: 2 };
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    scene.announce(None);
    assert_eq!(scene.found().await, (StsMode::Enforce, None));
    scene.dns.set_txt(&name, vec![b"v=STSv1;".to_vec()]);
    assert_eq!(scene.found().await, (StsMode::Enforce, Some(StsTrouble::Record(StsRecordError::NoId))));
    scene.dns.set_failure(&name, Some(failure.clone()));
    assert_eq!(scene.found().await, (StsMode::Enforce, Some(StsTrouble::Unknown(failure))));

    // the control: of a domain of which nothing was had before, all this is no policy
    let scene = Scene::new(enforce());
    scene.announce(None);
    assert_eq!(scene.found().await, (StsMode::None, None));
    scene.announce(Some("1"));
    assert_eq!(scene.found().await.0, StsMode::Enforce);
}

/// B2: a cache that ends with the process.
// req: E2
#[tokio::test]
async fn b2_a_restart_does_not_undo_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mta-sts.db");
    let now = UnixMillis(START);
    let scene = Scene::with_cache(enforce(), StsCache::open(&path, now).unwrap());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    drop(scene);
    for (cache, expected) in [(StsCache::open(&path, now).unwrap(), StsMode::Enforce), (StsCache::in_memory(), StsMode::None)] {
        let scene = Scene::with_cache(enforce(), cache);
        scene.table.set(&scene.domain, None);
        assert_eq!(scene.found().await.0, expected);
    }
}

#[tokio::test]
async fn mode_none_ends_a_policy() {
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    scene.table.set(&scene.domain, Some(StsPolicy::new(StsMode::None, vec![], DAY)));
    scene.announce(Some("2"));
    assert_eq!(scene.found().await, (StsMode::None, None));
}

/// A negative answer is remembered briefly: a host that cannot be reached is not tried for each mail.
#[tokio::test]
async fn what_could_not_be_had_is_tried_again_after_a_pause() {
    let scene = Scene::new(enforce());
    scene.table.set(&scene.domain, None);
    for _ in 0..3 {
        assert_eq!(scene.found().await, (StsMode::None, blocked()));
    }
    scene.table.set(&scene.domain, Some(enforce()));
    assert_eq!((scene.found().await.0, scene.table.fetches()), (StsMode::None, 1));
    scene.pass(STS_PAUSE);
    assert_eq!((scene.found().await.0, scene.table.fetches()), (StsMode::Enforce, 2));

    let scene = Scene::new(enforce());
    scene.dns.set_failure(&Scene::name(), Some(ResolveError::Server { name: Scene::name(), code: 2 }));
    let found = scene.sts.find(&scene.dns, &scene.domain).await;
    assert!(found.is_unknown());
    scene.dns.set_failure(&Scene::name(), None);
    assert!(scene.sts.find(&scene.dns, &scene.domain).await.is_unknown());
    scene.pass(PAUSE_OF_DNS);
    assert_eq!(scene.found().await, (StsMode::Enforce, None));
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let scene = Scene::new(enforce());
    scene.table.0.lock().unwrap().slow = true;
    let (a, b, c) = tokio::join!(scene.found(), scene.found(), scene.found());
    assert_eq!([a.0, b.0, c.0], [StsMode::Enforce; 3]);
    assert_eq!(scene.table.fetches(), 1);
}

/// RFC 8461 section 3.3: a policy does not end while its domain has it, also if the id stays the same.
// req: E2
#[tokio::test]
async fn a_policy_is_renewed_before_it_ends() {
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    let mut refreshed = Vec::new();
    for _ in 0..10 {
        scene.pass(DAY);
        refreshed.push(scene.sts.refresh(&scene.dns).await);
        assert_eq!(scene.sts.refresh(&scene.dns).await, StsRefreshed::default(), "once a day");
    }
    assert_eq!(refreshed, [StsRefreshed { fetched: 1, failed: 0 }; 10]);
    let fetches = scene.table.fetches();
    assert_eq!((scene.found().await.0, scene.table.fetches()), (StsMode::Enforce, fetches));

    // It cannot be renewed: it holds on until it ends, and not longer.
    scene.table.set(&scene.domain, None);
    for _ in 0..6 {
        scene.pass(DAY);
        assert_eq!(scene.sts.refresh(&scene.dns).await, StsRefreshed { fetched: 0, failed: 1 });
        assert_eq!(scene.found().await.0, StsMode::Enforce);
    }
    scene.pass(DAY);
    assert_eq!(scene.sts.refresh(&scene.dns).await, StsRefreshed::default());
    assert_eq!(scene.found().await.0, StsMode::None);
}

/// A domain that takes its record away is left alone: its policy ends by itself.
#[tokio::test]
async fn a_policy_that_is_announced_no_more_is_not_renewed() {
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    scene.announce(None);
    scene.pass(DAY * 6);
    assert_eq!(scene.sts.refresh(&scene.dns).await, StsRefreshed { fetched: 0, failed: 1 });
    assert_eq!((scene.found().await.0, scene.table.fetches()), (StsMode::Enforce, 1));
    scene.pass(DAY);
    assert_eq!(scene.found().await.0, StsMode::None);
}

/// KumoMTA #484: state by set of exchangers lets one domain's policy rule another's mail.
#[tokio::test]
async fn the_policy_of_a_domain_is_its_own() {
    let scene = Scene::new(enforce());
    let shop = Domain::parse("shop.example").unwrap();
    for domain in [&scene.domain, &shop] {
        scene.dns.set_mx(domain, vec![(10, "mx.hosting.example".into())]);
    }
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    assert_eq!(scene.sts.find(&scene.dns, &shop).await, StsFound::default());
}

/// What an operator sees and drops is what mail goes by.
#[tokio::test]
async fn policies_are_counted_and_one_that_is_forgotten_is_looked_for_anew() {
    let scene = Scene::new(enforce());
    assert_eq!(scene.found().await.0, StsMode::Enforce);
    scene.announce(Some("2"));
    scene.table.set(&scene.domain, None);
    assert_eq!(scene.found().await, (StsMode::Enforce, blocked()));
    let listed = scene.sts.list();
    assert_eq!((listed.len(), listed[0].failure.as_ref().unwrap().at), (1, UnixMillis(START)));
    let numbers = scene.sts.numbers();
    assert_eq!(numbers.policies, [(StsMode::Enforce, 1), (StsMode::Testing, 0), (StsMode::None, 0)]);
    assert_eq!((numbers.failing, numbers.octets > 300), (1, true));
    let counted: Vec<_> = numbers.fetches.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("fetched", 1), ("unreachable", 1)]);

    let forgotten = scene.sts.forget(&scene.domain).await.unwrap().unwrap();
    assert_eq!((&*forgotten.kept.id, scene.sts.list()), ("1", vec![]));
    assert_eq!(scene.found().await, (StsMode::None, blocked()));
    assert_eq!(scene.table.fetches(), 3, "the pause after the failure before is over with it");
    scene.table.set(&scene.domain, Some(enforce()));
    scene.pass(STS_PAUSE);
    assert_eq!(scene.found().await, (StsMode::Enforce, None));
    assert_eq!(scene.sts.list()[0].failure, None);
}

/// Each kind of trouble has a word of its own, which is counted.
#[test]
fn the_words_of_trouble_are_those_that_are_listed() {
    let host = Domain::parse("mta-sts.bank.example").unwrap();
    let lookup = || ResolveError::Server { name: host.clone(), code: 2 };
    let found = [
        StsTrouble::Unknown(lookup()),
        StsTrouble::Record(StsRecordError::NoId),
        StsTrouble::NoHost(lookup()),
        StsTrouble::Untrusted { detail: "x".into() },
        StsTrouble::Unreachable { detail: "x".into() },
        StsTrouble::Status { host: host.clone(), status: 404 },
        StsTrouble::MediaType { host: host.clone(), found: "x".into() },
        StsTrouble::TooLong { host: host.clone(), limit: 1 },
        StsTrouble::Void { host: host.clone(), cause: parse_sts_policy(b"").unwrap_err() },
    ];
    assert_eq!(found.each_ref().map(StsTrouble::code), StsTrouble::CODES);
}
