//! What every command that reaches out begins with: whom to ask, whom to trust, under which name, for how long.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealpost_cert::TrustAnchors;
use sealpost_relay::config::{Config, DnssecMode};
use sealpost_relay::{Reach, read_config, read_trust_anchors};
use sealpost_transport::{ClientIdentities, ServerIdentity, Watch, system_anchors};
use sealpost_types::{Domain, WithCauses, parse_span};

#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Take name, name servers and anchors from this sealpost.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this name server, and not the system's; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Who proves answers: validate (here), trust-ad (the servers) or off.
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    dnssec: Option<Mode>,
    /// Trust the certificates in this file, and not the system's.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Show this certificate (PEM) to servers that ask for one, with --key.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "certificate", help = "Its key (PEM)")]
    key: Option<PathBuf>,
    /// How long a server may take in all.
    #[arg(long, value_name = "SPAN", default_value = "20s")]
    timeout: String,
    /// The name to say in EHLO; this machine's by default.
    #[arg(long, value_name = "NAME")]
    hello: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Validate,
    TrustAd,
    Off,
}

/// What reaches out.
pub(crate) struct Opened {
    pub(crate) reach: Reach,
    pub(crate) anchors: Arc<TrustAnchors>,
    pub(crate) time: Duration,
    pub(crate) config: Config,
}

impl Network {
    /// Whether the relay's own file is read.
    pub(crate) fn has_config(&self) -> bool {
        self.config.is_some()
    }

    pub(crate) fn open(&self, watch: Option<Arc<dyn Watch>>) -> Result<Opened, String> {
        let time = span("--timeout", &self.timeout)?;
        let mut config = match &self.config {
            Some(path) => read_config(path).map_err(|error| WithCauses(&error).to_string())?,
            None => Config::new(hello_name(self.hello.as_deref())?, PathBuf::new()),
        };
        if self.hello.is_some() {
            config.hostname = hello_name(self.hello.as_deref())?;
        }
        if !self.dns.is_empty() {
            config.dns.servers = self.dns.iter().map(|text| name_server(text)).collect::<Result<_, _>>()?;
        }
        if let Some(mode) = self.dnssec {
            config.dns.dnssec = match mode {
                Mode::Validate => DnssecMode::Validate,
                Mode::TrustAd => DnssecMode::TrustAd,
                Mode::Off => DnssecMode::Off,
            };
        }
        let anchors = match &self.anchors {
            Some(file) => {
                let text = std::fs::read(file).map_err(|error| format!("--anchors: cannot read {}: {error}", file.display()))?;
                Arc::new(TrustAnchors::from_pem(&text).map_err(|error| format!("--anchors {}: {error}", file.display()))?)
            }
            None if self.config.is_some() => read_trust_anchors(&config).map_err(|error| WithCauses(&error).to_string())?,
            // Without any every certificate is found untrusted, which is true and no reason not to look at it.
            None => Arc::new(system_anchors().anchors),
        };
        let identities = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let identity = ServerIdentity::from_pem_files(certificate, key).map_err(|error| WithCauses(&error).to_string())?;
                ClientIdentities::new(Some(identity), [])
            }
            _ => ClientIdentities::default(),
        };
        let mut reach = Reach::of_relay(&config, Arc::clone(&anchors), identities, time).map_err(|error| WithCauses(&error).to_string())?;
        if let Some(watch) = watch {
            reach = reach.watched_by(watch);
        }
        Ok(Opened { reach, anchors, time, config })
    }
}

/// The runtime of commands that talk to the network.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| format!("cannot start: {error}"))
}

/// The span that an option was given.
pub(crate) fn span(option: &str, text: &str) -> Result<Duration, String> {
    let span = parse_span(text).map_err(|error| format!("{option}: {error}"))?;
    if span.is_zero() { Err(format!("{option}: at least 1s is meant")) } else { Ok(span) }
}

/// What to say in EHLO: the name given, or this machine's.
fn hello_name(given: Option<&str>) -> Result<Domain, String> {
    if let Some(name) = given {
        return Domain::parse(name).map_err(|error| format!("--hello {name:?}: {error}"));
    }
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Domain::parse(own.trim())
        .or_else(|_| Domain::parse("localhost"))
        .map_err(|error| format!("this machine's name: {error}; --hello NAME gives another"))
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT)).or_else(|_| text.parse());
    address.map_err(|_| format!("--dns {text:?}: an address is meant, such as 192.0.2.53 or [2001:db8::53]:5353"))
}

const DNS_PORT: u16 = 53;
