//! Every detail of the certificates in a file, or of those that a server shows.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_cert::{CertificateDetails, TrustAnchors, Verdict, certificates_from_pem, verify_server};
use sealpost_relay::{Reach, ReachError};
use sealpost_transport::{ConnectFault, ConnectStage, WallClock};
use sealpost_types::{
    Domain, HostClause, HostDemand, NextHop, ReferenceName, TlsFacts, TlsRequirement, TlsVersion, TlsaRecord, WithCauses,
};
use serde_json::{Value, json};

/// Certificates as they were found, the server's or the file's first one first.
#[derive(Debug)]
pub struct Found {
    /// In DER.
    chain: Vec<Vec<u8>>,
    details: Vec<CertificateDetails>,
    /// Where they were shown, and what the check says of them.
    server: Option<Server>,
}

/// A server that showed its certificates.
#[derive(Debug)]
struct Server {
    host: String,
    address: SocketAddr,
    tls: Option<TlsFacts>,
    verdict: Verdict,
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nothing {
    /// Why, for people.
    pub reason: String,
    /// Whether a later try may show something: the server was busy or silent, or the DNS did not answer.
    pub is_inconclusive: bool,
}

/// Whether `source` means a file: one is there, or it has a slash, which no server's name has, or it is `-`.
#[must_use]
pub fn is_file(source: &str) -> bool {
    source == "-" || source.contains('/') || Path::new(source).exists()
}

impl Found {
    /// The certificates of a file, PEM or DER; `-` is standard input.
    ///
    /// # Errors
    /// [`Nothing`]: it cannot be read, or holds something else.
    pub fn in_file(source: &str) -> Result<Self, Nothing> {
        let octets = if source == "-" {
            let mut octets = Vec::new();
            io::stdin().read_to_end(&mut octets).map(|_| octets)
        } else {
            std::fs::read(source)
        };
        let octets = octets.map_err(|error| Nothing::of(format!("cannot read {source}: {error}")))?;
        // A DER file starts with the tag of a sequence, which no PEM file does.
        let chain = if octets.first() == Some(&0x30) {
            vec![octets]
        } else {
            certificates_from_pem(&octets).map_err(|error| Nothing::of(format!("{source}: {error}")))?
        };
        Self::of(source, chain, None)
    }

    /// The certificates that a server shows, and what is wrong with them. It should have the name that it is asked for by; a bare
    /// address is asked for no name.
    ///
    /// # Errors
    /// [`Nothing`]: the server cannot be reached over TLS.
    pub async fn at_server(reach: &Reach, anchors: &TrustAnchors, source: &str, implicit: bool) -> Result<Self, Nothing> {
        let wrong = |error| Nothing::of(format!("{source:?} is no file, and no server: {error}"));
        let target: NextHop = source.parse().map_err(wrong)?;
        let implicit = implicit || matches!(&target, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. });
        let reached = reach.reach(&target, implicit).await.map_err(|error| Nothing::unreached(source, implicit, &error))?;
        let chain = reached.connection.chain().to_vec();
        let mut clauses = vec![HostClause::Chain];
        clauses.extend(Domain::parse(&reached.host).ok().map(|name| HostClause::Identity(vec![ReferenceName::Exact(name)])));
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::default());
        let shown: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let verdict = verify_server(&shown, &demand, anchors, WallClock::system().now());
        let server = Server { host: reached.host, address: reached.address, tls: reached.connection.tls().copied(), verdict };
        reached.connection.quit().await;
        Self::of(source, chain, Some(server))
    }

    fn of(source: &str, chain: Vec<Vec<u8>>, server: Option<Server>) -> Result<Self, Nothing> {
        let details: Result<_, _> = chain.iter().map(|der| CertificateDetails::from_der(der)).collect();
        let details = details.map_err(|error| Nothing::of(format!("{source}: {error}")))?;
        Ok(Self { chain, details, server })
    }

    /// Every detail, for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.server.as_ref().map(Server::to_text).unwrap_or_default();
        for (number, certificate) in self.details.iter().enumerate() {
            if self.details.len() > 1 {
                text.push_str(&format!("Certificate {} of {}\n", number + 1, self.details.len()));
            }
            text.push_str(&format!("{certificate}\n"));
        }
        text
    }

    /// Every detail, for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let records: Vec<_> = self.tlsa().map(|record| record.to_string()).collect();
        json!({ "certificates": self.details, "server": self.server.as_ref().map(Server::to_json), "tlsa": records })
    }

    /// The certificates in PEM, each under its subject.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut text = String::new();
        for (der, details) in self.chain.iter().zip(&self.details) {
            text.push_str(&format!("# {}\n-----BEGIN CERTIFICATE-----\n", details.subject()));
            for (at, character) in STANDARD.encode(der).chars().enumerate() {
                if at > 0 && at % 64 == 0 {
                    text.push('\n');
                }
                text.push(character);
            }
            text.push_str("\n-----END CERTIFICATE-----\n");
        }
        text
    }

    /// The TLSA records to publish for a server with these certificates, as lines of a zone (RFC 7672 section 3.1): its own key, and,
    /// commented out, the keys of the authorities that were sent along.
    #[must_use]
    pub fn to_zone(&self) -> String {
        let (host, port) = match &self.server {
            Some(server) if !server.host.starts_with('[') => (server.host.clone(), server.address.port()),
            _ => ("mx.example.org".to_owned(), 25),
        };
        let line = |record: TlsaRecord| format!("{}_{port}._tcp.{host}. IN TLSA {record}\n", if record.usage == 3 { "" } else { "; " });
        self.tlsa().map(line).collect()
    }

    /// `3 1 1` of the server's own key, then `2 1 1` of each authority's.
    fn tlsa(&self) -> impl Iterator<Item = TlsaRecord> {
        self.details.iter().enumerate().filter(|(number, details)| *number == 0 || details.is_ca()).map(|(number, details)| TlsaRecord {
            usage: if number == 0 { 3 } else { 2 },
            selector: 1,
            matching: 1,
            data: details.pin().0.to_vec(),
        })
    }
}

impl Server {
    fn to_json(&self) -> Value {
        let tls = self.tls.map(|tls| {
            let group = tls.group.map(|group| group.to_string());
            json!({ "version": tls.version.as_str(), "cipher": tls.suite.to_string(), "group": group })
        });
        let findings: Vec<_> = self.verdict.findings.iter().map(ToString::to_string).collect();
        json!({
            "host": self.host,
            "address": self.address.to_string(),
            "tls": tls,
            "trusted": self.verdict.trusted,
            "satisfied": self.verdict.satisfied,
            "findings": findings,
        })
    }

    fn to_text(&self) -> String {
        let mut text = format!("Server:               {} {}\n", self.host, self.address);
        if let Some(tls) = self.tls {
            let group = tls.group.map(|group| group.to_string()).unwrap_or_default();
            text.push_str(format!("Session:              {} {} {group}", tls.version, tls.suite).trim_end());
            text.push('\n');
        }
        for finding in &self.verdict.findings {
            text.push_str(&format!("Check:                {finding}\n"));
        }
        if self.verdict.findings.is_empty() {
            let anchor = self.verdict.path.last().map_or("a trust anchor", String::as_str);
            text.push_str(&format!("Check:                passes: the chain ends in {anchor}\n"));
        }
        text.push('\n');
        text
    }
}

impl Nothing {
    fn of(reason: String) -> Self {
        Self { reason, is_inconclusive: false }
    }

    /// With the hint that helps most often.
    fn unreached(source: &str, implicit: bool, error: &ReachError) -> Self {
        let text = WithCauses(error).to_string();
        let reason = match error {
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
        };
        Self { reason, is_inconclusive: error.is_inconclusive() }
    }
}
