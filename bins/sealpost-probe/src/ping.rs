//! `sealpost-probe ping`: the STARTTLS ping (A7).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sealpost_relay::{Reach, ReachError, Reached};
use sealpost_transport::{ConnectStage, system_anchors};
use sealpost_types::{Domain, NextHop, WithCauses, parse_span};

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The mail server: a name or an address, port 25 unless another is given.
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    implicit: bool,
    /// How long the server may take in all.
    #[arg(long, value_name = "SPAN", default_value = "20s")]
    timeout: String,
    /// The name to say in EHLO; this machine's by default.
    #[arg(long, value_name = "NAME")]
    hello: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn ping(options: &Ping) -> Result<ExitCode, String> {
    let target: NextHop = options.host.parse().map_err(|error| format!("{:?}: {error}", options.host))?;
    if matches!(target, NextHop::Mx(_)) {
        return Err(format!("{:?}: a host is meant, not a domain's mail exchangers", options.host));
    }
    let time = parse_span(&options.timeout).map_err(|error| format!("--timeout: {error}"))?;
    if time.is_zero() {
        return Err("--timeout: at least 1s is meant".to_owned());
    }
    let hello = hello_name(options.hello.as_deref())?;
    let implicit = options.implicit || matches!(&target, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. });
    // Without anchors every certificate is found untrusted, which is true and no reason not to ping.
    let anchors = system_anchors().anchors;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| format!("cannot start: {error}"))?;
    let start = Instant::now();
    let reached = runtime.block_on(async {
        let reach = Reach::new(hello, Arc::new(anchors), time).map_err(|error| WithCauses(&error).to_string())?;
        Ok::<_, String>(match reach.reach(&target, implicit).await {
            Ok(reached) => {
                let report = Report::new(options, &reached, start.elapsed());
                reached.connection.quit().await;
                Ok(report)
            }
            Err(error) => Err(error),
        })
    })?;
    Ok(match reached {
        Ok(report) => {
            report.print(options.json);
            ExitCode::SUCCESS
        }
        Err(error) => failed(options, &error, start.elapsed()),
    })
}

/// What a ping that passed found.
struct Report {
    target: String,
    host: String,
    address: String,
    stages: Vec<(&'static str, Duration)>,
    total: Duration,
    session: Option<(String, String, Option<String>, bool)>,
    certificate: Option<String>,
    trusted: bool,
    findings: Vec<String>,
}

impl Report {
    fn new(options: &Ping, reached: &Reached, total: Duration) -> Self {
        let connection = &reached.connection;
        let verdict = connection.verdict();
        let mut stages = vec![("resolve", reached.resolve_time)];
        stages.extend(connection.times().iter().map(|(stage, time)| (stage.as_str(), time)));
        let session = connection.tls().map(|tls| {
            let group = tls.group.map(|group| group.to_string());
            (tls.version.to_string(), tls.suite.to_string(), group, tls.group.is_some_and(sealpost_types::KexGroup::is_post_quantum))
        });
        let leaf = verdict.and_then(|verdict| verdict.leaf.as_ref());
        Self {
            target: options.host.clone(),
            host: reached.host.clone(),
            address: reached.address.to_string(),
            stages,
            total,
            session,
            certificate: leaf.map(|leaf| format!("{}, issued by {}", leaf.subject, leaf.issuer)),
            trusted: verdict.is_some_and(|verdict| verdict.trusted),
            findings: verdict.map(|verdict| verdict.findings.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        }
    }

    fn print(&self, json: bool) {
        if json {
            let stages: serde_json::Map<_, _> =
                self.stages.iter().map(|(stage, time)| ((*stage).to_owned(), milliseconds(*time).into())).collect();
            let session = self.session.as_ref().map(|(version, suite, group, post_quantum)| {
                serde_json::json!({ "version": version, "cipher": suite, "group": group, "post_quantum": post_quantum })
            });
            let certificate = serde_json::json!({ "summary": self.certificate, "trusted": self.trusted, "findings": self.findings });
            println!(
                "{}",
                serde_json::json!({ "target": self.target, "result": "passes", "host": self.host, "address": self.address, "stages_ms": stages,
                    "total_ms": milliseconds(self.total), "tls": session, "certificate": certificate })
            );
            return;
        }
        println!("{} ({}) passes", self.host, self.address);
        for (stage, time) in &self.stages {
            println!("  {stage:<12} {:>9.1} ms", milliseconds(*time));
        }
        println!("  {:<12} {:>9.1} ms", "in all", milliseconds(self.total));
        if let Some((version, suite, group, post_quantum)) = &self.session {
            let group = group.as_deref().unwrap_or("no key exchange");
            println!("  {version} {suite} {group}{}", if *post_quantum { " (post-quantum)" } else { "" });
        }
        if let Some(certificate) = &self.certificate {
            println!("  {certificate}");
        }
        if self.trusted {
            println!("  the chain is trusted here");
        }
        for finding in &self.findings {
            println!("  {finding}");
        }
    }
}

fn failed(options: &Ping, error: &ReachError, total: Duration) -> ExitCode {
    let (result, code) = if error.is_inconclusive() { ("could not be tested", 2) } else { ("fails", 1) };
    if options.json {
        let stage = match error {
            ReachError::Connect(error) => Some(error.stage.as_str()),
            ReachError::Resolve(_) => Some("resolve"),
            _ => None,
        };
        println!(
            "{}",
            serde_json::json!({ "target": options.host, "result": result, "stage": stage, "reason": WithCauses(error).to_string(), "total_ms": milliseconds(total) })
        );
    } else {
        println!("{} {result}: {}", options.host, WithCauses(error));
        if let ReachError::Connect(error) = error {
            for stage in ConnectStage::ALL {
                if let Some(time) = error.times.time(stage) {
                    println!("  {:<12} {:>9.1} ms", stage.as_str(), milliseconds(time));
                }
            }
        }
    }
    ExitCode::from(code)
}

fn hello_name(given: Option<&str>) -> Result<Domain, String> {
    if let Some(name) = given {
        return Domain::parse(name).map_err(|error| format!("--hello {name:?}: {error}"));
    }
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Domain::parse(own.trim())
        .or_else(|_| Domain::parse("localhost"))
        .map_err(|error| format!("this machine's name: {error}; --hello NAME gives another"))
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
