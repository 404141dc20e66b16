//! The STARTTLS ping of the mail servers of domains (A7), and whether they have what the policy asks.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sealpost_admin::Kind;
use sealpost_cert::{TrustAnchors, verify_server};
use sealpost_discovery::Dane;
use sealpost_policy::{DeliverDecision, DeliverFacts, Edit, Include, IncludeError, NewRow, Policy, PolicyText, RowEdit};
use sealpost_relay::policy_file::{NamedFiles, compile_at, read_named_anchors};
use sealpost_relay::{Reach, ReachError, Reached, next_hop, read_client_identity, read_trust_anchors};
use sealpost_transport::{ClientIdentities, WallClock};
use sealpost_types::{ForwardPath, Mailbox, NextHop, ReversePath, WithCauses};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::hosts::sts_lines;
use super::super::{Failure, in_words};
use super::desk::Desk;
use super::located::Located;
use crate::cli;

/// A policy that is asked what mail for a domain needs.
pub(super) struct Draft(Arc<Policy>);

impl Draft {
    /// The policy in force.
    fn in_force(desk: &Desk) -> Result<Self, Failure> {
        Self::of(desk, desk.text())
    }

    /// The policy as it would be with this edit. What is wrong with the edit is found before anybody is pinged.
    pub(super) fn with(desk: &Desk, edit: &Edit) -> Result<Self, Failure> {
        let mut text = desk.text().clone();
        text.apply(edit).map_err(in_words)?;
        Self::of(desk, &text)
    }

    fn of(desk: &Desk, text: &PolicyText) -> Result<Self, Failure> {
        compile_at(desk.file(), text.as_str()).map(|policy| Self(Arc::new(policy))).map_err(in_words)
    }

    /// The policy with this row more of an included list. Other rows are not read: a ping of this one needs none of them.
    pub(super) fn with_row(desk: &Desk, list: &str, row: &NewRow) -> Result<Self, Failure> {
        let include = OneRow { desk, list, row };
        let policy = Policy::parse_with(&desk.file().display().to_string(), desk.text().as_str(), &include).map_err(in_words)?;
        Ok(Self(Arc::new(policy)))
    }
}

/// Reads no more of a list than where its columns stand, and adds one row.
struct OneRow<'a> {
    desk: &'a Desk,
    list: &'a str,
    row: &'a NewRow,
}

impl OneRow<'_> {
    fn text(&self) -> Result<String, Failure> {
        let mut edit = RowEdit::add_row(self.row.clone()).map_err(in_words)?;
        let mut text = String::new();
        for line in BufReader::new(File::open(self.desk.beside(self.list)).map_err(in_words)?).lines() {
            let line = line.map_err(in_words)? + "\n";
            edit.line(&line, &mut text);
            if !line.trim_start_matches('\u{feff}').starts_with('#') && !line.trim_ascii().is_empty() {
                break;
            }
        }
        edit.finish(&mut text).map_err(in_words)?;
        Ok(text)
    }
}

impl Include for OneRow<'_> {
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError> {
        if file == self.list { self.text().map(Arc::from).map_err(IncludeError::new) } else { Ok(Arc::from("")) }
    }
}

/// Pings before these domains are added, and says what was found.
pub(super) fn before(desk: &Desk, draft: &Draft, patterns: &[String]) -> Result<Pings, Failure> {
    let found = ping_all(desk, draft, patterns)?;
    found.iter().for_each(Found::print);
    Ok(Pings(found))
}

/// What pings found.
pub(super) struct Pings(Vec<Found>);

impl Pings {
    /// The exit code: 0 passes, 1 fails, 2 not known.
    pub(super) fn code(&self) -> u8 {
        worst(&self.0)
    }

    /// Has what waits for servers that are in order tried at once.
    pub(super) fn wake(&self, desk: &Desk) -> Result<(), Failure> {
        for found in self.0.iter().filter(|found| found.result == Verdict::Passes) {
            let Some(next_hop) = &found.next_hop else { continue };
            match desk.retry(next_hop)? {
                0 => {}
                1 => eprintln!("{}: 1 message that waits is tried now", found.domain),
                many => eprintln!("{}: {many} messages that wait are tried now", found.domain),
            }
        }
        Ok(())
    }
}

/// `domains test`, `hosted test`.
pub(super) fn test(kind: Kind, options: &cli::Test) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let patterns = match kind.find(desk.text(), &options.name) {
        Ok(entry) => {
            let domains = entry.get("domains").and_then(Value::as_array).into_iter().flatten();
            let domains: Vec<_> = domains.filter_map(Value::as_str).map(str::to_owned).collect();
            if domains.is_empty() { vec![options.name.clone()] } else { domains }
        }
        // Rows of a list by the name that they share; any domain can be tested, before there is an entry for it.
        Err(_) if kind == Kind::Partner && !options.name.contains('.') => domains_of_rows(&desk, &options.name)?,
        Err(_) if options.name.contains('.') => vec![options.name.clone()],
        Err(error) => return Err(in_words(error)),
    };
    let found = ping_all(&desk, &Draft::in_force(&desk)?, &patterns)?;
    if options.json {
        say!("{}", Value::Array(found.iter().map(Found::to_json).collect()));
    } else {
        found.iter().for_each(Found::print);
    }
    let pings = Pings(found);
    pings.wake(&desk)?;
    Ok(ExitCode::from(pings.code()))
}

fn domains_of_rows(desk: &Desk, name: &str) -> Result<Vec<String>, Failure> {
    match Located::find(desk, name, None)? {
        Located::Rows { rows, .. } => {
            let domains = rows.iter().filter_map(|row| row.get("domains")?.get(0)?.as_str().map(str::to_owned));
            Ok(domains.collect())
        }
        Located::Entry => Ok(vec![name.to_owned()]),
    }
}

/// What the ping of one domain found.
struct Found {
    domain: String,
    host: Option<String>,
    result: Verdict,
    /// The session, the certificate, or the reason.
    lines: Vec<String>,
    next_hop: Option<NextHop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    /// There is nothing to ping.
    Pattern,
    Fails,
    Unknown,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Pattern => "is a pattern without mail servers of its own: nothing to ping",
            Self::Fails => "fails",
            Self::Unknown => "could not be tested",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Passes | Self::Pattern => 0,
            Self::Fails => 1,
            Self::Unknown => 2,
        }
    }
}

impl Found {
    fn print(&self) {
        let host = self.host.as_ref().map(|host| format!(" ({host})")).unwrap_or_default();
        say!("{}{host} {}", self.domain, self.result.words());
        self.lines.iter().for_each(|line| say!("  {line}"));
    }

    fn to_json(&self) -> Value {
        json!({ "domain": self.domain, "result": self.result.words(), "host": self.host, "found": self.lines })
    }
}

fn worst(found: &[Found]) -> u8 {
    let any = |verdict: Verdict| found.iter().any(|one| one.result == verdict);
    [Verdict::Fails, Verdict::Unknown].into_iter().find(|verdict| any(*verdict)).map_or(0, Verdict::code)
}

/// Several at a time, told in the order given.
fn ping_all(desk: &Desk, draft: &Draft, patterns: &[String]) -> Result<Vec<Found>, Failure> {
    let usual = read_trust_anchors(desk.config()).map_err(in_words)?;
    let Draft(policy) = draft;
    let anchors = Arc::new(read_named_anchors(policy, desk.file(), &usual).map_err(in_words)?);
    // Whoever may not read a key can ping all the same: a server that insists on a certificate turns them away.
    let identities = read_client_identity(desk.config())
        .map_err(in_words)
        .and_then(|usual| NamedFiles::read(policy, desk.file()).map(|named| named.identities(usual)).map_err(in_words))
        .unwrap_or_else(|error| {
            eprintln!("warning: no client certificate is shown: {error}");
            ClientIdentities::default()
        });
    let targets: Vec<_> = patterns.iter().map(|pattern| Target::of(desk, draft, pattern)).collect::<Result<_, _>>()?;
    desk.runtime().block_on(async {
        let reach = Arc::new(Reach::of_relay(desk.config(), Arc::clone(&anchors), identities, PATIENCE).map_err(in_words)?);
        let mut found = Vec::with_capacity(targets.len());
        let mut waiting = targets.into_iter().enumerate();
        let mut pings = JoinSet::new();
        loop {
            while pings.len() < AT_ONCE
                && let Some((place, target)) = waiting.next()
            {
                let (reach, anchors) = (Arc::clone(&reach), Arc::clone(&anchors));
                pings.spawn(async move { (place, target.ping(&reach, &anchors).await) });
            }
            match pings.join_next().await {
                Some(done) => found.push(done.map_err(in_words)?),
                None => break,
            }
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    })
}

/// A domain, where its mail goes, and what is asked there.
struct Target {
    pattern: String,
    hop: Option<(NextHop, DeliverDecision)>,
    policy: Arc<Policy>,
}

impl Target {
    fn of(desk: &Desk, Draft(policy): &Draft, pattern: &str) -> Result<Self, Failure> {
        // What a wildcard covers is no name; the name below which it covers all may have mail servers.
        let name = pattern.strip_prefix("*.").unwrap_or(pattern);
        let (pattern, policy) = (pattern.to_owned(), Arc::clone(policy));
        if name.contains(['*', '?']) {
            return Ok(Self { pattern, hop: None, policy });
        }
        let mailbox = Mailbox::parse(&format!("postmaster@{name}")).map_err(|error| format!("{pattern:?} is no domain: {error}"))?;
        let path = ForwardPath::Mailbox(mailbox);
        let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &path, true));
        let hop = next_hop(&policy, desk.config(), &path);
        Ok(Self { pattern, hop: Some((hop, decision)), policy })
    }

    async fn ping(self, reach: &Reach, anchors: &TrustAnchors) -> Found {
        let next_hop = self.hop.as_ref().map(|(hop, _)| hop.clone());
        let mut found = Found { domain: self.pattern.clone(), host: None, result: Verdict::Pattern, lines: Vec::new(), next_hop };
        let Some((hop, decision)) = &self.hop else { return found };
        match reach.reach_for(&self.policy, decision, hop).await {
            Ok(reached) => {
                found.host = Some(format!("{}, {}", reached.host, reached.address));
                let missing = judge(decision, &reached, anchors, &mut found.lines);
                found.result = if missing { Verdict::Fails } else { Verdict::Passes };
                reached.connection.quit().await;
            }
            // Names below may have mail servers where this one has none.
            Err(ReachError::Resolve(error)) if error.is_permanent() && self.pattern.starts_with("*.") => {}
            Err(error) => {
                found.result = if error.is_inconclusive() { Verdict::Unknown } else { Verdict::Fails };
                found.lines.push(WithCauses(&error).to_string());
            }
        }
        found
    }
}

/// Tells of the session and the certificate, and says whether something is missing that the policy, or the domain itself, asks for.
fn judge(decision: &DeliverDecision, reached: &Reached, anchors: &TrustAnchors, lines: &mut Vec<String>) -> bool {
    let connection = &reached.connection;
    if let Some(tls) = connection.tls() {
        let group = tls.group.map(|group| format!(" {group}")).unwrap_or_default();
        lines.push(format!("{} {}{group}", tls.version, tls.suite));
    }
    lines.extend(connection.small_hello().map(|why| format!("without a post-quantum key exchange: {why}")));
    if connection.certificate_shown() {
        lines.push("it was shown the client certificate".to_owned());
    }
    let Some(asked) = &reached.asked else { return false };
    let demand = asked.demand();
    let chain: Vec<&[u8]> = connection.chain().iter().map(Vec::as_slice).collect();
    let verdict = verify_server(&chain, demand, anchors, WallClock::system().now());
    if let Some(leaf) = &verdict.leaf {
        lines.push(format!("{}, issued by {}", leaf.subject, leaf.issuer));
    }
    match (&reached.dane, &verdict.matched_tlsa) {
        (Dane::Secure { base, .. }, Some(matched)) => lines.push(format!("DANE: right by {} at {base}", matched.record)),
        (Dane::Secure { base, records }, None) => lines.push(format!("DANE: {} secure TLSA records at {base}", records.len())),
        _ => {}
    }
    let has_sts = reached.sts.policy.is_some() || reached.sts.trouble.is_some();
    lines.extend(has_sts.then(|| sts_lines(&reached.sts)).into_iter().flatten());
    lines.extend(verdict.findings.iter().map(ToString::to_string));
    if verdict.findings.is_empty() && verdict.trusted {
        lines.push("the chain is trusted here".to_owned());
    }
    if asked.barred.is_some() {
        lines.push("what the domain publishes does not let mail go to this host".to_owned());
    }
    let floor = connection.tls().and_then(|tls| demand.floor_missed(tls));
    lines.extend(floor.iter().map(ToString::to_string));
    let missing = asked.barred.is_some() || (demand.is_mandatory() && (!verdict.satisfied || floor.is_some()));
    if missing {
        lines.push(match decision.demand.is_mandatory() {
            true => format!("that is not enough for `{}`: mail would wait", decision.level),
            false => "that is not what the domain publishes: mail would wait".to_owned(),
        });
    }
    missing
}

/// How long a domain may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Domains that are pinged at a time.
const AT_ONCE: usize = 8;
