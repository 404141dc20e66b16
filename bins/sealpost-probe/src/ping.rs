//! `sealpost-probe ping`: the STARTTLS ping (A7).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sealpost_cert::TrustAnchors;
use sealpost_relay::{Reach, ReachError, ReachHost, any_certificate};
use sealpost_transport::{ConnectFault, ConnectStage, Connection, RustlsBackend};
use sealpost_types::{Level, NextHop, TlsFacts};
use serde_json::{Map, Value, json};

use crate::levels::{AtLevel, Judged};
use crate::network::{Network, Opened, runtime};
use crate::shown::{self, line, milliseconds};

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The mail server: a name or an address, port 25 unless another is given.
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// Ask for: require, chain, verify, dane, dane-only.
    #[arg(long, value_name = "LEVEL", default_value = "require")]
    level: String,
    /// Over IPv4 only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Over IPv6 only.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    implicit: bool,
    #[command(flatten)]
    network: Network,
    /// Say nothing when it passes.
    #[arg(long, short)]
    quiet: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn ping(options: &Ping) -> Result<ExitCode, String> {
    let target: NextHop = options.host.parse().map_err(|error| format!("{:?}: {error}", options.host))?;
    if matches!(target, NextHop::Mx(_)) {
        return Err(format!("{:?}: a host is meant, not a domain's mail exchangers", options.host));
    }
    let level = level(&options.level)?;
    let Opened { reach, anchors, time, .. } = options.network.open(None)?;
    let name = if let NextHop::Host { name, .. } = &target { Some(name) } else { None };
    let pinging = Pinging {
        asked: AtLevel::new(level, name)?,
        published: matches!(level, Level::Dane | Level::DaneOnly),
        implicit: options.implicit || matches!(&target, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. }),
        reach,
        options,
        target,
        time,
        anchors,
    };
    let report = runtime()?.block_on(pinging.ping());
    report.print(options);
    Ok(ExitCode::from(report.result.code()))
}

/// The levels that one connection can say something of.
fn level(word: &str) -> Result<Level, String> {
    match word.parse() {
        Ok(level @ (Level::Require | Level::Chain | Level::Verify | Level::Dane | Level::DaneOnly)) => Ok(level),
        _ => Err(format!("--level {word:?}: one of require, chain, verify, dane, dane-only is meant")),
    }
}

/// One ping.
struct Pinging<'a> {
    options: &'a Ping,
    target: NextHop,
    asked: AtLevel,
    published: bool,
    implicit: bool,
    reach: Reach,
    time: Duration,
    anchors: Arc<TrustAnchors>,
}

impl Pinging<'_> {
    async fn ping(&self) -> Report {
        let start = Instant::now();
        let mut report = Report::new(&self.options.host);
        let found = self.reach.hosts(&self.target, self.published).await;
        report.stages.push(("resolve", start.elapsed()));
        let hosts = match found {
            Ok(hosts) => hosts,
            Err(error) => return report.failed("resolve", &error, start.elapsed()),
        };
        let wanted = |host: &&ReachHost| match (self.options.ipv4, self.options.ipv6) {
            (true, _) => host.address().is_ipv4(),
            (_, true) => host.address().is_ipv6(),
            _ => true,
        };
        // What is published of a name is the same at all of its addresses.
        if let Some(why) = hosts.iter().find(wanted).and_then(|host| self.asked.unknown(host)) {
            return report.ended(Outcome::Untested, "resolve", why, start.elapsed());
        }
        let mut last = None;
        for host in hosts.iter().filter(wanted) {
            let left = self.time.saturating_sub(start.elapsed());
            match self.reach.connect(host, any_certificate(), self.implicit, left).await {
                Ok(connection) => return self.passed(report, host, connection, start).await,
                Err(error) => last = Some((host, error)),
            }
        }
        match last {
            Some((host, error)) => {
                report.host = Some((host.shown(), host.address().to_string()));
                let stage = if let ReachError::Connect(error) = &error { error.stage.as_str() } else { "connect" };
                if let ReachError::Connect(error) = &error {
                    report.stages.extend(ConnectStage::ALL.iter().filter_map(|s| error.times.time(*s).map(|time| (s.as_str(), time))));
                }
                report.failed(stage, &error, start.elapsed())
            }
            None => {
                report.result = Outcome::Fails;
                report.reason = Some(format!("there is no {} address", if self.options.ipv4 { "IPv4" } else { "IPv6" }));
                report
            }
        }
    }

    async fn passed(&self, mut report: Report, host: &ReachHost, connection: Connection<RustlsBackend>, start: Instant) -> Report {
        report.host = Some((host.shown(), host.address().to_string()));
        report.stages.extend(connection.times().iter().map(|(stage, time)| (stage.as_str(), time)));
        report.tls = connection.tls().copied();
        let judged = self.asked.judge(host, &connection, &self.anchors);
        let good_bye = Instant::now();
        connection.quit().await;
        report.stages.push(("quit", good_bye.elapsed()));
        report.total = start.elapsed();
        if !judged.would_deliver {
            report.result = Outcome::Fails;
            let why = judged.missed.clone().or_else(|| judged.verdict.most_telling().map(ToString::to_string));
            report.reason = Some(format!("not enough for `{}`: {}", self.options.level, why.unwrap_or_default()));
            report.stage = Some("handshake");
        }
        report.judged = Some(judged);
        report
    }
}

/// The three results of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passes,
    Fails,
    /// Nothing was learnt of it.
    Untested,
}

impl Outcome {
    pub(crate) fn of(error: &ReachError) -> Self {
        if error.is_inconclusive() { Self::Untested } else { Self::Fails }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Fails => "fails",
            Self::Untested => "could not be tested",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Passes => 0,
            Self::Fails => 1,
            Self::Untested => 2,
        }
    }
}

/// What a ping found.
struct Report {
    target: String,
    result: Outcome,
    /// Where it ended, if it did not pass, and why.
    stage: Option<&'static str>,
    reason: Option<String>,
    host: Option<(String, String)>,
    stages: Vec<(&'static str, Duration)>,
    total: Duration,
    tls: Option<TlsFacts>,
    judged: Option<Judged>,
}

impl Report {
    fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            result: Outcome::Passes,
            stage: None,
            reason: None,
            host: None,
            stages: Vec::new(),
            total: Duration::ZERO,
            tls: None,
            judged: None,
        }
    }

    fn failed(self, stage: &'static str, error: &ReachError, total: Duration) -> Self {
        self.ended(Outcome::of(error), stage, format!("{}{}", shown::reason(error), hint(error)), total)
    }

    fn ended(mut self, result: Outcome, stage: &'static str, reason: String, total: Duration) -> Self {
        (self.result, self.stage, self.reason, self.total) = (result, Some(stage), Some(reason), total);
        self
    }

    fn print(&self, options: &Ping) {
        if options.quiet && self.result == Outcome::Passes {
            return;
        }
        if options.json {
            line!("{}", self.to_json());
        } else {
            self.print_text();
        }
    }

    fn to_json(&self) -> Value {
        let stages: Map<_, _> = self.stages.iter().map(|(stage, time)| (stage.replace(' ', "_"), milliseconds(*time).into())).collect();
        let host = self.host.as_ref();
        json!({
            "target": self.target, "result": self.result.words(), "stage": self.stage.map(|stage| stage.replace(' ', "_")),
            "reason": self.reason, "host": host.map(|(name, _)| name), "address": host.map(|(_, address)| address),
            "stages_ms": stages, "total_ms": milliseconds(self.total), "tls": self.tls.as_ref().map(shown::session_json),
            "certificate": self.judged.as_ref().map(|judged| shown::certificate_json(&judged.verdict)),
        })
    }

    fn print_text(&self) {
        let host = match &self.host {
            Some((_, address)) if *address != self.target => format!("{} ({address})", self.target),
            _ => self.target.clone(),
        };
        match &self.reason {
            None => line!("{host} {} in {:.1} ms", self.result.words(), milliseconds(self.total)),
            Some(reason) => line!("{host} {}: {reason}", self.result.words()),
        }
        for (stage, time) in &self.stages {
            line!("  {stage:<11} {:>8.1} ms", milliseconds(*time));
        }
        let leaf = self.judged.as_ref().and_then(|judged| judged.verdict.leaf.as_ref());
        let parts = [self.tls.as_ref().map(shown::session), leaf.map(shown::certificate)];
        let line: Vec<_> = parts.into_iter().flatten().collect();
        if !line.is_empty() {
            line!("  {}", line.join("; "));
        }
        let Some(judged) = &self.judged else { return };
        if judged.verdict.trusted {
            line!("  the chain is trusted here");
        }
        judged.verdict.findings.iter().for_each(|finding| line!("  {finding}"));
    }
}

/// The hint that helps most often.
pub(crate) fn hint(error: &ReachError) -> &'static str {
    match error {
        ReachError::Connect(failed)
            if failed.stage == ConnectStage::Banner
                && matches!(failed.fault, ConnectFault::TimedOut { .. })
                && failed.times.time(ConnectStage::Handshake).is_none() =>
        {
            " (a server that speaks TLS from the first octet needs --implicit)"
        }
        ReachError::Connect(failed) if failed.stage == ConnectStage::Handshake && failed.times.time(ConnectStage::StartTls).is_none() => {
            " (a server that speaks STARTTLS needs no --implicit, and another port than 465)"
        }
        _ => "",
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe ping mx.bank.example
  sealpost-probe ping mx.bank.example --level verify --quiet || mail -s 'TLS' admin
  sealpost-probe ping 192.0.2.1:465 --timeout 5s --json

Exit code 0: it passes. 1: it does not. 2: nobody knows (time-out, 421, other 4xx, DNS). 64: usage.
A server that answers 421 or is too slow is never said to be without STARTTLS.";
