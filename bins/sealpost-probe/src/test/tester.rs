//! Tests domains: their hosts, what each shows, and what that means at each level and by a policy.

use std::path::Path;
use std::sync::Arc;

use sealpost_cert::TrustAnchors;
use sealpost_discovery::{MxSet, Validation};
use sealpost_policy::{DeliverDecision, DeliverFacts, Policy, Trace};
use sealpost_relay::ReachHost;
use sealpost_relay::config::Config;
use sealpost_transport::WallClock;
use sealpost_types::{Domain, Level, NextHop, ReversePath, StsMode, UnixMillis, WithCauses};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::host::{Examined, Examiner};
use super::outlook::Outlook;
use crate::levels::{AtLevel, policy_of, recipient_of};
use crate::ping::Outcome;

/// Tests domains, one after the other or many at a time.
pub(crate) struct Tester {
    examiner: Arc<Examiner>,
    anchors: Arc<TrustAnchors>,
    config: Config,
    levels: Vec<(&'static str, Policy)>,
    asked: Option<Level>,
    by_policy: Option<InForce>,
    from: ReversePath,
}

/// A policy that domains are held against.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    /// Its file, or that it is the built-in one.
    pub(crate) file: String,
    /// What the file says; nothing of the built-in one.
    pub(crate) text: String,
    /// Whether a running relay obeys it.
    pub(crate) running: bool,
}

/// Everything that was found of a domain.
pub(crate) struct Report {
    pub(super) domain: String,
    /// When it was tested.
    pub(super) at: UnixMillis,
    pub(super) next_hop: NextHop,
    pub(super) validation: Validation,
    /// The mail exchangers; none where a server was named.
    pub(super) exchangers: Option<MxSet>,
    pub(super) hosts: Vec<Examined>,
    /// Why there are no hosts.
    pub(super) error: Option<(Outcome, String)>,
    pub(super) levels: Vec<(&'static str, Outlook)>,
    pub(super) policy: Option<ByPolicy>,
    /// By which chains are told to be trusted.
    pub(super) anchors: Arc<TrustAnchors>,
    /// What the result is about.
    pub(super) asked: String,
    pub(crate) result: Outcome,
}

/// What a policy says of the domain.
pub(super) struct ByPolicy {
    pub(super) file: String,
    pub(super) running: bool,
    pub(super) level: Level,
    pub(super) trace: Trace,
    pub(super) outlook: Outlook,
}

impl InForce {
    /// The policy in a file.
    pub(crate) fn in_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("--policy: cannot read {}: {error}", path.display()))?;
        let policy = sealpost_relay::policy_file::compile_at(path, &text).map_err(|error| WithCauses(&error).to_string())?;
        Ok(Self { policy, file: path.display().to_string(), text, running: false })
    }

    fn judge(&self, domain: &Domain, from: &ReversePath, hosts: &[Examined], anchors: &TrustAnchors) -> Result<ByPolicy, String> {
        let (decision, trace) = self.explain(domain, from)?;
        let at = AtLevel::decided(self.policy.clone(), decision);
        let outlook = Outlook::of(&at, hosts, anchors);
        Ok(ByPolicy { file: self.file.clone(), running: self.running, level: at.level(), trace, outlook })
    }

    fn explain(&self, domain: &Domain, from: &ReversePath) -> Result<(DeliverDecision, Trace), String> {
        let to = recipient_of(Some(domain))?;
        Ok(self.policy.explain_deliver(&DeliverFacts::new(from, &to, true).at(WallClock::system().now())))
    }
}

impl Tester {
    /// A tester whose results are about the level `asked`, or the policy, or else `require`.
    pub(crate) fn new(
        examiner: Examiner,
        anchors: Arc<TrustAnchors>,
        config: Config,
        asked: Option<Level>,
        by_policy: Option<InForce>,
        from: ReversePath,
    ) -> Result<Self, String> {
        let levels = LEVELS.iter().map(|(word, document)| Ok((*word, policy_of(document)?))).collect::<Result<_, String>>()?;
        Ok(Self { examiner: Arc::new(examiner), anchors, config, levels, asked, by_policy, from })
    }

    /// How many hosts were asked, each address under each name once.
    pub(crate) fn asked_hosts(&self) -> usize {
        self.examiner.known.len()
    }

    /// The level that results are about; none where that is the policy.
    pub(crate) fn asked_level(&self) -> Option<Level> {
        if self.by_policy.is_some() { self.asked } else { Some(self.level()) }
    }

    /// Why the policy asks what it does of mail to this domain, as results have it; nothing without a policy.
    pub(crate) fn trace(&self, domain: &Domain) -> Option<Value> {
        let (_, trace) = self.by_policy.as_ref()?.explain(domain, &self.from).ok()?;
        serde_json::to_value(trace).ok()
    }

    /// What mail to this domain would meet: at `server`, if one is given, and else where the policy, the routes or the DNS say.
    pub(crate) async fn test(&self, domain: &Domain, server: Option<NextHop>) -> Report {
        let next_hop = server.unwrap_or_else(|| self.next_hop(domain));
        let mut report = Report {
            domain: domain.to_string(),
            at: WallClock::system().now(),
            validation: self.examiner.reach.validation().await,
            next_hop,
            exchangers: None,
            hosts: Vec::new(),
            error: None,
            levels: Vec::new(),
            policy: None,
            anchors: Arc::clone(&self.anchors),
            asked: self.level().to_string(),
            result: Outcome::Untested,
        };
        if let Err((result, error)) = self.fill(domain, &mut report).await {
            report.result = result;
            report.error = Some((result, error));
        }
        report
    }

    async fn fill(&self, domain: &Domain, report: &mut Report) -> Result<(), (Outcome, String)> {
        let broken = |error: String| (Outcome::Untested, error);
        if let NextHop::Mx(domain) = &report.next_hop {
            report.exchangers = self.examiner.reach.mx(domain).await.ok();
        }
        let found = self.examiner.reach.hosts(&report.next_hop, true).await;
        let hosts = found.map_err(|error| (Outcome::of(&error), WithCauses(&error).to_string()));
        report.hosts = match hosts {
            Ok(hosts) => self.examine_all(hosts).await.map_err(broken)?,
            Err(none) => {
                // What the policy says of it is told all the same.
                report.policy = self.judged(domain, &[]).map_err(broken)?;
                if let Some(policy) = &mut report.policy {
                    policy.outlook.result = none.0;
                    report.asked = self.asked_by(policy);
                }
                return Err(none);
            }
        };
        let named = match &report.next_hop {
            NextHop::Address { .. } => None,
            NextHop::Host { name, .. } => Some(name),
            NextHop::Mx(domain) => Some(domain),
        };
        for (word, policy) in &self.levels {
            let at = AtLevel::by(policy.clone(), named).map_err(broken)?;
            report.levels.push((word, Outlook::of(&at, &report.hosts, &self.anchors)));
        }
        if let Some(word) = report.hosts.first().and_then(|examined| by_sts(examined.host.sts().mode())) {
            let at = AtLevel::by_sts(named).map_err(broken)?;
            report.levels.push((word, Outlook::of(&at, &report.hosts, &self.anchors)));
        }
        report.policy = self.judged(domain, &report.hosts).map_err(broken)?;
        report.result = match &report.policy {
            Some(policy) if self.asked.is_none() => {
                report.asked = self.asked_by(policy);
                policy.outlook.result
            }
            _ => {
                let found = report.levels.iter().find(|(word, _)| *word == self.level().as_str());
                found.map_or(Outcome::Untested, |(_, outlook)| outlook.result)
            }
        };
        Ok(())
    }

    /// What results are about where it is no policy.
    fn level(&self) -> Level {
        self.asked.unwrap_or(Level::Require)
    }

    /// What results are about beside this policy.
    fn asked_by(&self, policy: &ByPolicy) -> String {
        self.asked.map_or_else(|| the_policy(policy.level.as_str()), |level| level.to_string())
    }

    fn judged(&self, domain: &Domain, hosts: &[Examined]) -> Result<Option<ByPolicy>, String> {
        self.by_policy.as_ref().map(|policy| policy.judge(domain, &self.from, hosts, &self.anchors)).transpose()
    }

    /// Where mail to this domain goes, by the policy, the routes or the DNS.
    pub(crate) fn next_hop(&self, domain: &Domain) -> NextHop {
        match (&self.by_policy, recipient_of(Some(domain))) {
            (Some(in_force), Ok(recipient)) => sealpost_relay::next_hop(&in_force.policy, &self.config, &recipient),
            _ => NextHop::Mx(domain.clone()),
        }
    }

    /// A few hosts at a time, the addresses of one host one after the other.
    async fn examine_all(&self, hosts: Vec<ReachHost>) -> Result<Vec<Examined>, String> {
        let mut by_name: Vec<Vec<(usize, ReachHost)>> = Vec::new();
        for (place, host) in hosts.into_iter().enumerate() {
            match by_name.iter_mut().find(|group| group.first().is_some_and(|(_, first)| first.shown() == host.shown())) {
                Some(group) => group.push((place, host)),
                None => by_name.push(vec![(place, host)]),
            }
        }
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for group in by_name {
            let (examiner, at_once) = (Arc::clone(&self.examiner), Arc::clone(&at_once));
            tasks.spawn(async move {
                let _permit = at_once.acquire().await;
                examiner.group(group).await
            });
        }
        let mut found = Vec::new();
        while let Some(done) = tasks.join_next().await {
            found.extend(done.map_err(|error| format!("a test broke off: {error}"))?);
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, examined)| examined).collect())
    }
}

/// What results are about where it is the policy, and this level is what it comes to.
pub(crate) fn the_policy(level: &str) -> String {
    format!("the policy ({level})")
}

/// What the demand of an MTA-STS policy is called beside the levels; nothing where there is no policy.
fn by_sts(mode: StsMode) -> Option<&'static str> {
    match mode {
        StsMode::Enforce => Some("MTA-STS"),
        StsMode::Testing => Some(STS_IN_TESTING),
        StsMode::None => None,
    }
}

/// The levels that are told, weakest first, as they are written for a domain.
pub(crate) const LEVELS: [(&str, &str); 7] = [
    ("opportunistic", "\"opportunistic\""),
    ("require", "\"require\""),
    ("chain", "\"chain\""),
    ("verify", "\"verify\""),
    (VERIFY_MX, "{ level = \"verify\", match = \"mx\" }"),
    ("dane", "\"dane\""),
    ("dane-only", "\"dane-only\""),
];

/// What a policy in testing would ask if it were enforced.
pub(crate) const STS_IN_TESTING: &str = "MTA-STS (in testing)";

/// `verify` that takes the names of mail exchangers although nothing proves them.
pub(crate) const VERIFY_MX: &str = "verify (match = \"mx\")";

/// Hosts of one domain that are examined at a time.
const AT_ONCE: usize = 4;
