//! `sealpost cert show`: every detail of a certificate, from a file or from a server.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sealpost_cert::{CertificateDetails, Verdict, certificates_from_pem};
use sealpost_relay::{Reach, Reached};
use sealpost_transport::system_anchors;
use sealpost_types::{Domain, NextHop, UnixMillis};

use super::{Failure, in_words, runtime};
use crate::cli;

/// Certificates as they were found, the server's or the file's first one first.
struct Found {
    chain: Vec<Vec<u8>>,
    /// The session that they were shown in, and what the check says of them.
    session: Option<(String, Arc<Verdict>)>,
}

pub(crate) fn show(options: &cli::CertShow) -> Result<ExitCode, Failure> {
    let path = Path::new(&options.source);
    let found = if path.exists() { from_file(path)? } else { from_server(options)? };
    let details: Vec<_> = found
        .chain
        .iter()
        .map(|der| CertificateDetails::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", options.source))?;
    if options.json {
        let verdict = found.session.as_ref().map(|(session, verdict)| {
            let findings: Vec<_> = verdict.findings.iter().map(ToString::to_string).collect();
            serde_json::json!({ "session": session, "trusted": verdict.trusted, "findings": findings })
        });
        println!("{}", serde_json::json!({ "certificates": details, "check": verdict }));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((session, verdict)) = &found.session {
        println!("{session}");
        match verdict.most_telling() {
            None => println!(
                "Check:                passes: the chain ends in {}\n",
                verdict.path.last().map_or("a trust anchor", String::as_str)
            ),
            Some(_) => {
                for finding in &verdict.findings {
                    println!("Check:                {finding}");
                }
                println!();
            }
        }
    }
    for (number, certificate) in details.iter().enumerate() {
        if details.len() > 1 {
            println!("Certificate {} of {}", number + 1, details.len());
        }
        println!("{certificate}");
    }
    Ok(ExitCode::SUCCESS)
}

fn from_file(path: &Path) -> Result<Found, Failure> {
    let shown = path.display();
    let octets = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    // A DER file starts with the tag of a sequence, which no PEM file does.
    let chain = if octets.first() == Some(&0x30) {
        vec![octets]
    } else {
        certificates_from_pem(&octets).map_err(|error| format!("{shown}: {error}"))?
    };
    Ok(Found { chain, session: None })
}

fn from_server(options: &cli::CertShow) -> Result<Found, Failure> {
    let source = &options.source;
    let target: NextHop = source.parse().map_err(|error| format!("{source:?} is no file, and no server: {error}"))?;
    let implicit = options.implicit || matches!(&target, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. });
    // Without anchors every certificate is found untrusted, which is true and no reason not to show it.
    let anchors = system_anchors().anchors;
    let reached: Reached = runtime()?.block_on(async {
        let reach = Reach::new(own_name(), Arc::new(anchors), PATIENCE).map_err(in_words)?;
        reach.reach(&target, implicit).await.map_err(|error| format!("{source}: {error}"))
    })?;
    let chain = reached.connection.chain().to_vec();
    let facts = reached
        .connection
        .tls()
        .map(|tls| format!("{} {} {}", tls.version, tls.suite, tls.group.map(|group| group.to_string()).unwrap_or_default()));
    let session = format!(
        "Server:               {} {}\nSession:              {}",
        reached.host,
        reached.address,
        facts.unwrap_or_default().trim_end()
    );
    let verdict = reached.connection.verdict().cloned();
    Ok(Found { chain, session: verdict.map(|verdict| (session, verdict)) })
}

/// The name of this machine, for EHLO.
fn own_name() -> Domain {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Domain::parse(name.trim()).or_else(|_| Domain::parse("localhost")).unwrap_or_else(|_| unreachable_name())
}

/// `localhost` is a domain; should the parser ever change its mind, the program says so.
fn unreachable_name() -> Domain {
    eprintln!("sealpost: this machine has no name that can be said in EHLO");
    std::process::exit(1)
}

/// A date for people, in UTC.
pub(super) fn date(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How long a server may take in all.
const PATIENCE: Duration = Duration::from_secs(20);
