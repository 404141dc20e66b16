//! `sealpost-probe test`: what mail to a domain would meet, host by host, and at which level it would go.

mod host;
mod outlook;
mod shown;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sealpost_cert::TrustAnchors;
use sealpost_discovery::{MxSet, Validation};
use sealpost_policy::{DeliverDecision, DeliverFacts, Policy, Trace};
use sealpost_relay::policy_file::compile_at;
use sealpost_relay::{Reach, ReachHost};
use sealpost_transport::WallClock;
use sealpost_types::{Domain, Level, Mailbox, NextHop, ReversePath, WithCauses};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::host::{Examined, Examining};
use self::outlook::Outlook;
use self::shown::Paint;
use crate::levels::{AtLevel, recipient_of};
use crate::network::{Network, Opened, runtime};
use crate::ping::Outcome;
use crate::shown::line;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The domain that mail would go to.
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// What the exit code is about, such as verify or dane.
    #[arg(long, value_name = "LEVEL", default_value = "require", conflicts_with = "policy")]
    level: String,
    /// Which level holds by this policy, why, and would it hold today?
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The sender that the policy is asked about.
    #[arg(long, value_name = "ADDRESS", default_value = "<>")]
    from: String,
    /// Test this server, and not the mail exchangers.
    #[arg(long, value_name = "HOST[:PORT]")]
    server: Option<String>,
    /// Also try each version and cipher suite, with one connection each.
    #[arg(long)]
    deep: bool,
    /// Do not ask whether mail is taken in clear: a connection less a host.
    #[arg(long)]
    no_clear: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Say nothing when it passes, and one line when it does not.
    #[arg(long, short)]
    quiet: bool,
}

/// Everything that was found.
struct Report {
    domain: String,
    next_hop: NextHop,
    validation: Validation,
    /// The mail exchangers; none where a server was named.
    exchangers: Option<MxSet>,
    hosts: Vec<Examined>,
    /// Why there are no hosts.
    error: Option<(Outcome, String)>,
    levels: Vec<(&'static str, Outlook)>,
    policy: Option<ByPolicy>,
    /// What the exit code is about.
    asked: String,
    result: Outcome,
}

/// What a policy says of the domain.
struct ByPolicy {
    file: String,
    level: Level,
    trace: Trace,
    outlook: Outlook,
}

pub(crate) fn test(options: &Test) -> Result<ExitCode, String> {
    let domain = Domain::parse(&options.domain).map_err(|error| format!("{:?}: {error}", options.domain))?;
    let level = level(&options.level)?;
    let Opened { reach, anchors, time, config } = options.network.open(None)?;
    let policy = match &options.policy {
        Some(path) => Some(read_policy(path)?),
        None if options.network.has_config() => Some(sealpost_relay::read_policy(&config).map_err(|error| WithCauses(&error).to_string())?),
        None => None,
    };
    let next_hop = match (&options.server, &policy) {
        (Some(server), _) => server.parse().map_err(|error| format!("--server {server:?}: {error}"))?,
        (None, Some(policy)) => sealpost_relay::next_hop(policy, &config, &recipient_of(Some(&domain))?),
        (None, None) => NextHop::Mx(domain.clone()),
    };
    let decided = match &policy {
        Some(policy) => Some(decide(policy, &domain, &options.from)?),
        None => None,
    };
    let testing = Testing { reach: Arc::new(reach), anchors, time, options, domain, next_hop };
    let mut report = runtime()?.block_on(testing.run())?;
    if let (Some(policy), Some((decision, trace))) = (policy, decided) {
        let at = AtLevel::decided(policy, decision);
        let outlook = Outlook::of(&at, &report.hosts, &testing.anchors);
        report.result = outlook.result;
        report.asked = format!("the policy ({})", at.level());
        let file = options.policy.as_ref().or(config.policy.as_ref());
        let file = file.map_or_else(|| "the built-in policy".to_owned(), |path| path.display().to_string());
        report.policy = Some(ByPolicy { file, level: at.level(), trace, outlook });
    } else {
        let found = report.levels.iter().find(|(word, _)| *word == level.as_str());
        report.result = found.map_or(Outcome::Untested, |(_, outlook)| outlook.result);
    }
    if let Some((result, _)) = &report.error {
        report.result = *result;
    }
    if options.json {
        line!("{}", report.to_json());
    } else if options.quiet {
        report.print_reason();
    } else {
        report.print(Paint::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()));
    }
    Ok(ExitCode::from(report.result.code()))
}

fn level(word: &str) -> Result<Level, String> {
    let wrong = || format!("--level {word:?}: one of opportunistic, require, chain, verify, dane, dane-only is meant");
    let level: Level = word.parse().map_err(|_| wrong())?;
    if matches!(level, Level::None | Level::Mirror | Level::Pinned) { Err(wrong()) } else { Ok(level) }
}

fn read_policy(path: &std::path::Path) -> Result<Policy, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--policy: cannot read {}: {error}", path.display()))?;
    compile_at(path, &text).map_err(|error| WithCauses(&error).to_string())
}

fn decide(policy: &Policy, domain: &Domain, from: &str) -> Result<(DeliverDecision, Trace), String> {
    let from = match from.trim_start_matches('<').trim_end_matches('>') {
        "" => ReversePath::Null,
        text => ReversePath::from(Mailbox::parse(text).map_err(|error| format!("--from {text:?}: {error}"))?),
    };
    let to = recipient_of(Some(domain))?;
    Ok(policy.explain_deliver(&DeliverFacts::new(&from, &to, true).at(WallClock::system().now())))
}

/// One test.
struct Testing<'a> {
    reach: Arc<Reach>,
    anchors: Arc<TrustAnchors>,
    time: Duration,
    options: &'a Test,
    domain: Domain,
    next_hop: NextHop,
}

impl Testing<'_> {
    async fn run(&self) -> Result<Report, String> {
        let mut report = Report {
            domain: self.domain.to_string(),
            next_hop: self.next_hop.clone(),
            validation: self.reach.validation().await,
            exchangers: None,
            hosts: Vec::new(),
            error: None,
            levels: Vec::new(),
            policy: None,
            asked: self.options.level.clone(),
            result: Outcome::Untested,
        };
        if let NextHop::Mx(domain) = &self.next_hop {
            report.exchangers = self.reach.mx(domain).await.ok();
        }
        let hosts = match self.reach.hosts(&self.next_hop, true).await {
            Ok(hosts) => hosts,
            Err(error) => {
                report.error = Some((Outcome::of(&error), WithCauses(&error).to_string()));
                return Ok(report);
            }
        };
        report.hosts = self.examine_all(hosts).await?;
        let domain = match &self.next_hop {
            NextHop::Address { .. } => None,
            NextHop::Host { name, .. } => Some(name),
            NextHop::Mx(domain) => Some(domain),
        };
        for (word, document) in LEVELS {
            let at = AtLevel::of_document(document, domain)?;
            report.levels.push((word, Outlook::of(&at, &report.hosts, &self.anchors)));
        }
        Ok(report)
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
            let examining = Examining {
                reach: Arc::clone(&self.reach),
                time: self.time,
                asks_in_clear: !self.options.no_clear,
                deep: self.options.deep,
            };
            let at_once = Arc::clone(&at_once);
            tasks.spawn(async move {
                let _permit = at_once.acquire().await;
                examining.group(group).await
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

/// The levels that are told, weakest first, as they are written for a domain.
const LEVELS: [(&str, &str); 7] = [
    ("opportunistic", "\"opportunistic\""),
    ("require", "\"require\""),
    ("chain", "\"chain\""),
    ("verify", "\"verify\""),
    (VERIFY_MX, "{ level = \"verify\", match = \"mx\" }"),
    ("dane", "\"dane\""),
    ("dane-only", "\"dane-only\""),
];

/// `verify` that takes the names of mail exchangers although nothing proves them.
const VERIFY_MX: &str = "verify (match = \"mx\")";

/// Hosts that are examined at a time.
const AT_ONCE: usize = 4;

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe test bank.example
  sealpost-probe test bank.example --level verify --quiet      for cron: silent when it passes
  sealpost-probe test bank.example --policy /etc/sealpost/policy.toml
  sealpost-probe test bank.example --deep --json

Exit code 0: mail would go, over TLS but at `opportunistic`. 1: it would not. 2: nobody knows
(time-out, 421, other 4xx, DNS). 64: usage. Nothing is sent; MAIL is the last command said.";
