//! `sealpost cert show`: every detail of a certificate, from a file or from a server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sealpost_cert::{CertificateDetails, Verdict, certificates_from_pem, verify_server};
use sealpost_relay::{Reach, ReachError, Reached};
use sealpost_transport::{ConnectFault, ConnectStage, WallClock, system_anchors};
use sealpost_types::{
    Domain, HostClause, HostDemand, NextHop, ReferenceName, TlsFacts, TlsRequirement, TlsVersion, UnixMillis, WithCauses,
};

use super::{Failure, in_words, runtime};
use crate::cli;

/// Certificates as they were found, the server's or the file's first one first.
struct Found {
    chain: Vec<Vec<u8>>,
    /// Where they were shown, and what the check says of them.
    server: Option<Server>,
}

/// A server that showed its certificates.
struct Server {
    host: String,
    address: SocketAddr,
    tls: Option<TlsFacts>,
    verdict: Verdict,
}

pub(crate) fn show(options: &cli::CertShow) -> Result<ExitCode, Failure> {
    let path = Path::new(&options.source);
    // No server has a slash in its name.
    let found = if path.exists() || options.source.contains('/') { from_file(path)? } else { from_server(options)? };
    let details: Vec<_> = found
        .chain
        .iter()
        .map(|der| CertificateDetails::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", options.source))?;
    if options.json {
        println!("{}", serde_json::json!({ "certificates": details, "server": found.server.as_ref().map(Server::to_json) }));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(server) = &found.server {
        server.print();
    }
    for (number, certificate) in details.iter().enumerate() {
        if details.len() > 1 {
            println!("Certificate {} of {}", number + 1, details.len());
        }
        println!("{certificate}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Server {
    fn to_json(&self) -> serde_json::Value {
        let tls = self.tls.map(|tls| {
            let group = tls.group.map(|group| group.to_string());
            serde_json::json!({ "version": tls.version.as_str(), "cipher": tls.suite.to_string(), "group": group })
        });
        let findings: Vec<_> = self.verdict.findings.iter().map(ToString::to_string).collect();
        serde_json::json!({
            "host": self.host,
            "address": self.address.to_string(),
            "tls": tls,
            "trusted": self.verdict.trusted,
            "satisfied": self.verdict.satisfied,
            "findings": findings,
        })
    }

    fn print(&self) {
        println!("Server:               {} {}", self.host, self.address);
        if let Some(tls) = self.tls {
            let group = tls.group.map(|group| group.to_string()).unwrap_or_default();
            println!("{}", format!("Session:              {} {} {group}", tls.version, tls.suite).trim_end());
        }
        for finding in &self.verdict.findings {
            println!("Check:                {finding}");
        }
        if self.verdict.findings.is_empty() {
            let anchor = self.verdict.path.last().map_or("a trust anchor", String::as_str);
            println!("Check:                passes: the chain ends in {anchor}");
        }
        println!();
    }
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
    Ok(Found { chain, server: None })
}

fn from_server(options: &cli::CertShow) -> Result<Found, Failure> {
    let source = &options.source;
    let target: NextHop = source.parse().map_err(|error| format!("{source:?} is no file, and no server: {error}"))?;
    let implicit = options.implicit || matches!(&target, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. });
    // Without anchors every certificate is found untrusted, which is true and no reason not to show it.
    let anchors = Arc::new(system_anchors().anchors);
    let reached: Reached = runtime()?.block_on(async {
        let reach = Reach::new(own_name()?, Arc::clone(&anchors), PATIENCE).map_err(in_words)?;
        reach.reach(&target, implicit).await.map_err(|error| unreached(source, implicit, &error))
    })?;
    let chain = reached.connection.chain().to_vec();
    // A server is asked for by its name, so its certificate should have it; a bare address is asked for no name.
    let mut clauses = vec![HostClause::Chain];
    clauses.extend(Domain::parse(&reached.host).ok().map(|name| HostClause::Identity(vec![ReferenceName::Exact(name)])));
    let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::default());
    let shown: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let verdict = verify_server(&shown, &demand, &anchors, WallClock::system().now());
    let server = Server { host: reached.host, address: reached.address, tls: reached.connection.tls().copied(), verdict };
    Ok(Found { chain, server: Some(server) })
}

/// Why there is nothing to show, with the hint that helps most often.
fn unreached(source: &str, implicit: bool, error: &ReachError) -> Failure {
    let text = WithCauses(error).to_string();
    match error {
        ReachError::Resolve(_) => format!("{source:?} is no file, and as a server: {text}"),
        ReachError::Connect(failed)
            if failed.stage == ConnectStage::Banner && matches!(failed.fault, ConnectFault::TimedOut { .. }) && !implicit =>
        {
            format!("{text}; a server that speaks TLS from the first octet needs --implicit")
        }
        ReachError::Connect(failed) if failed.stage == ConnectStage::Handshake && implicit => {
            format!("{text}; a server that speaks STARTTLS needs no --implicit and another port than 465")
        }
        _ => text,
    }
}

/// The name of this machine, for EHLO.
fn own_name() -> Result<Domain, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Domain::parse(name.trim()).or_else(|_| Domain::parse("localhost")).map_err(in_words)
}

/// A date for people, in UTC.
pub(super) fn date(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How long a server may take in all.
const PATIENCE: Duration = Duration::from_secs(20);
