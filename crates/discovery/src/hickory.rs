//! Answers from real name servers.

mod anchors;
mod cache;
mod check;
mod question;
mod wildcard;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{NetError, RetryDnsHandle};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, NameServerPool, PoolContext, TlsConfig, system_conf};
use sealpost_types::{DnssecStatus, Domain, TlsaRecord};
use tokio::time::Instant;

use self::cache::Cache;
use self::check::Check;
use self::question::{Answer, Asker, Fault};
use crate::{Addresses, MxSet, ProbeError, ResolveError, Resolver, ResolverSetupError, TlsaSet, Validation};

pub use anchors::{AnchorsError, DnssecAnchors};

/// A [`Resolver`] that asks name servers, over UDP and, where an answer does not fit, over TCP.
///
/// Names are always asked as they are: no search list is applied. Answers are kept as long as they allow, but for those that
/// are too large. Clones share connections and cache.
///
/// # Limits
/// [`LOOKUP_TIMEOUT`] for one question, retries and the following of CNAMEs included. 16,384 answers of up to 16 KiB are kept.
#[derive(Clone)]
pub struct HickoryResolver {
    shared: Arc<Shared>,
    timeout: Duration,
}

/// Who says what of an answer is proven by DNSSEC.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Dnssec {
    /// Nobody.
    #[default]
    Off,
    /// The name servers, by the AD bit of their answers: they, and the way to them, have to be trusted. A validating
    /// resolver on the same host is meant.
    TrustAd,
    /// This resolver validates what the name servers hand on, down from these keys.
    Validate(DnssecAnchors),
}

struct Shared {
    /// What is asked where nothing can be proven.
    plain: Asker,
    /// What is asked otherwise.
    proving: Option<(Asker, Check)>,
    hosts: Hosts,
    cache: Cache,
}

impl HickoryResolver {
    /// A resolver that asks the servers that the system's configuration names, and looks into the system's hosts file
    /// for addresses. It does not validate.
    ///
    /// # Errors
    /// [`ResolverSetupError::System`] if that configuration cannot be read or names no server.
    pub fn system() -> Result<Self, ResolverSetupError> {
        Self::of_the_system(Dnssec::Off)
    }

    /// The same, with DNSSEC.
    ///
    /// # Errors
    /// As for [`system`](Self::system).
    pub fn of_the_system(dnssec: Dnssec) -> Result<Self, ResolverSetupError> {
        let (config, options) = system_conf::read_system_conf().map_err(|error| setup_error(&error))?;
        // The search list is left out: a mail domain is a full name, and never one relative to ours.
        let (_, _, servers) = config.into_parts();
        Self::build(servers, options, Hosts::from_system().unwrap_or_default(), dnssec)
    }

    /// A resolver that asks these servers and nobody else; the system's hosts file is not read. It does not validate.
    ///
    /// # Errors
    /// [`ResolverSetupError::NoServers`] for an empty list.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, ResolverSetupError> {
        Self::of_servers(servers, Dnssec::Off)
    }

    /// The same, with DNSSEC.
    ///
    /// # Errors
    /// As for [`with_servers`](Self::with_servers).
    pub fn of_servers(servers: &[SocketAddr], dnssec: Dnssec) -> Result<Self, ResolverSetupError> {
        let servers = servers.iter().map(|server| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            NameServerConfig::new(server.ip(), true, vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())])
        });
        Self::build(servers.collect(), ResolverOpts::default(), Hosts::default(), dnssec)
    }

    /// The same resolver with another limit than [`LOOKUP_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Forgets every answer.
    pub fn forget(&self) {
        self.shared.cache.clear();
    }

    fn build(servers: Vec<NameServerConfig>, options: ResolverOpts, hosts: Hosts, dnssec: Dnssec) -> Result<Self, ResolverSetupError> {
        if servers.is_empty() {
            return Err(ResolverSetupError::NoServers);
        }
        let attempts = options.attempts;
        let context = PoolContext::new(options, TlsConfig::new().map_err(|error| setup_error(&error))?);
        let pool = NameServerPool::from_config(servers, Arc::new(context), TokioRuntimeProvider::default());
        let handle = RetryDnsHandle::new(pool, attempts);
        let proving = match dnssec {
            Dnssec::Off => None,
            Dnssec::TrustAd => Some((Asker::TrustAd(handle.clone()), Check::new(vec![Name::root()]))),
            Dnssec::Validate(anchors) => {
                let validating = DnssecDnsHandle::with_trust_anchor(handle.clone(), anchors.keys);
                Some((Asker::Validating(validating), Check::new(anchors.zones)))
            }
        };
        let shared = Shared { plain: Asker::Plain(handle), proving, hosts, cache: Cache::default() };
        Ok(Self { shared: Arc::new(shared), timeout: LOOKUP_TIMEOUT })
    }

    /// The records of one type behind a name, CNAMEs followed; none if the name has none of that type.
    async fn records(&self, domain: &Domain, record_type: RecordType) -> Result<Answer, ResolveError> {
        let mut name = Name::from_ascii(domain.as_str()).map_err(|_| ResolveError::BadAnswer { name: domain.clone() })?;
        name.set_fqdn(true);
        let now = Instant::now();
        let answer = match self.known_here(&name, record_type, now) {
            Some(known) => known,
            None => self.looked_up(domain, name, record_type, now).await?,
        };
        if answer.no_such_name { Err(ResolveError::NoSuchDomain { domain: domain.clone() }) } else { Ok(answer) }
    }

    async fn looked_up(&self, domain: &Domain, name: Name, record_type: RecordType, now: Instant) -> Result<Answer, ResolveError> {
        let asker = self.asker().await;
        if let Some(answer) = self.shared.cache.find(&name, record_type, now) {
            return Ok(answer);
        }
        let found = tokio::time::timeout(self.timeout, asker.find(name.clone(), record_type, now)).await;
        let answer = found.unwrap_or(Err(Fault::Net(NetError::Timeout))).map_err(|fault| self.without_answer(domain.clone(), &fault))?;
        self.shared.cache.keep(name, record_type, answer.clone(), now);
        Ok(answer)
    }

    /// Whom to ask now: what proves answers, unless it is certain that it cannot.
    async fn asker(&self) -> &Asker {
        match &self.shared.proving {
            Some((asker, check)) if !check.result(asker, self.timeout).await.is_ruled_out() => asker,
            _ => &self.shared.plain,
        }
    }

    /// What no name server is asked for: the hosts file, and names that mean this host or nobody (RFC 6761, RFC 7686).
    fn known_here(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Answer> {
        let nothing = || Answer::nothing(name.clone(), now);
        if let Some(found) = self.shared.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
            let records = found.answers().iter().map(|record| record.data.clone()).collect();
            return Some(Answer { records, ..nothing() });
        }
        let last = name.iter().next_back().map(<[u8]>::to_ascii_lowercase)?;
        match last.as_slice() {
            b"localhost" => {
                let address = match kind {
                    RecordType::A => Some(RData::A(Ipv4Addr::LOCALHOST.into())),
                    RecordType::AAAA => Some(RData::AAAA(Ipv6Addr::LOCALHOST.into())),
                    _ => None,
                };
                Some(Answer { records: address.into_iter().collect(), ..nothing() })
            }
            b"invalid" | b"onion" => Some(Answer { no_such_name: true, ..nothing() }),
            _ => None,
        }
    }

    fn without_answer(&self, name: Domain, fault: &Fault) -> ResolveError {
        match fault {
            Fault::Code(code) => ResolveError::Server { name, code: (*code).into() },
            Fault::Referral => ResolveError::Referral { name },
            Fault::Bogus => ResolveError::Bogus { name },
            Fault::Unusable => ResolveError::BadAnswer { name },
            Fault::Net(NetError::Timeout) => ResolveError::Timeout { name, waited: self.timeout },
            Fault::Net(NetError::Busy) => ResolveError::Busy { name },
            Fault::Net(NetError::Io(error)) => ResolveError::Unreachable { name, kind: error.kind() },
            Fault::Net(_) => ResolveError::Unreachable { name, kind: std::io::ErrorKind::NotConnected },
        }
    }
}

impl Resolver for HickoryResolver {
    async fn mx(&self, domain: &Domain) -> Result<MxSet, ResolveError> {
        let answer = self.records(domain, RecordType::MX).await?;
        let records: Vec<_> = answer
            .records
            .iter()
            .filter_map(|data| match data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                _ => None,
            })
            .collect();
        let alias_of = answer.is_alias.then(|| domain_of(&answer.end)).flatten();
        let set = if records.is_empty() {
            match self.addresses(domain).await {
                // The host is the domain itself: its name is a right one however it was learnt that there is no MX.
                Ok(addresses) => MxSet::implicit(domain).with_dnssec(addresses.dnssec),
                Err(ResolveError::NoAddress { .. }) => return Err(ResolveError::NoMailHost { domain: domain.clone() }),
                Err(error) => return Err(error),
            }
        } else {
            MxSet::from_records(domain, records)?.with_dnssec(answer.dnssec)
        };
        Ok(match alias_of {
            Some(name) => set.behind_alias(name),
            None => set,
        })
    }

    async fn addresses(&self, host: &Domain) -> Result<Addresses, ResolveError> {
        let (v6, v4) = tokio::join!(self.records(host, RecordType::AAAA), self.records(host, RecordType::A));
        let mut found = Vec::new();
        let mut ways: Vec<Answer> = Vec::new();
        let mut failure = None;
        for family in [v6, v4] {
            match family {
                Ok(answer) if answer.records.is_empty() => {}
                Ok(answer) => {
                    found.extend(answer.records.iter().filter_map(address));
                    ways.push(answer);
                }
                // An answer that did not come weighs more than one that says there is nothing.
                Err(error) if failure.as_ref().is_none_or(ResolveError::is_permanent) => failure = Some(error),
                Err(_) => {}
            }
        }
        let mut addresses = Addresses::new(found);
        match (failure, ways.split_first()) {
            (_, Some((way, others))) if !addresses.list.is_empty() => {
                // Of two families, both have to be proven; two that end in different names have no common one.
                let all = |of: fn(&Answer) -> DnssecStatus| others.iter().map(of).fold(of(way), DnssecStatus::and);
                let same_end = others.iter().all(|other| other.end == way.end);
                addresses = addresses.with_dnssec(all(|way| way.dnssec));
                if let Some(name) = domain_of(&way.end).filter(|_| way.is_alias && same_end) {
                    addresses = addresses.behind_alias(name, all(|way| way.first));
                }
                Ok(addresses)
            }
            (Some(error), _) => Err(error),
            (None, _) => Err(ResolveError::NoAddress { host: host.clone() }),
        }
    }

    async fn tlsa(&self, base: &Domain, port: u16) -> Result<TlsaSet, ResolveError> {
        let name = Domain::parse(&format!("_{port}._tcp.{base}")).map_err(|_| ResolveError::BadAnswer { name: base.clone() })?;
        match self.records(&name, RecordType::TLSA).await {
            Ok(answer) => Ok(TlsaSet::new(answer.records.iter().filter_map(tlsa_record).collect(), answer.dnssec)),
            // That there is no such name counts as no records, if it is proven or the zone is unsigned: everything else is bogus.
            Err(ResolveError::NoSuchDomain { .. }) => Ok(TlsaSet::default()),
            Err(error) => Err(error),
        }
    }

    async fn txt(&self, name: &Domain) -> Result<Vec<Vec<u8>>, ResolveError> {
        match self.records(name, RecordType::TXT).await {
            Ok(answer) => Ok(answer.records.iter().filter_map(text).collect()),
            Err(ResolveError::NoSuchDomain { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn validation(&self) -> Validation {
        match &self.shared.proving {
            Some((asker, check)) => check.result(asker, self.timeout).await,
            None => Validation::Off,
        }
    }

    /// Asks for the SOA of the root. Whatever is said of it, somebody is there; only who says SERVFAIL or REFUSED would say so of mail too.
    async fn probe(&self) -> Result<(), ProbeError> {
        let waited = self.timeout.min(PROBE_TIMEOUT);
        let found = tokio::time::timeout(waited, self.shared.plain.find(Name::root(), RecordType::SOA, Instant::now())).await;
        match found.unwrap_or(Err(Fault::Net(NetError::Timeout))) {
            Err(Fault::Code(code @ (ResponseCode::ServFail | ResponseCode::Refused))) => {
                Err(ProbeError::Refused { code: code.to_string() })
            }
            Err(Fault::Net(NetError::Timeout | NetError::Busy)) => Err(ProbeError::Silent { waited }),
            Err(Fault::Net(NetError::Io(error))) => Err(ProbeError::Unreachable { kind: error.kind() }),
            Err(Fault::Net(_)) => Err(ProbeError::Unreachable { kind: std::io::ErrorKind::NotConnected }),
            Ok(_) | Err(Fault::Code(_) | Fault::Referral | Fault::Bogus | Fault::Unusable) => Ok(()),
        }
    }
}

fn domain_of(name: &Name) -> Option<Domain> {
    Domain::parse(&name.to_ascii()).ok()
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

fn tlsa_record(data: &RData) -> Option<TlsaRecord> {
    match data {
        RData::TLSA(tlsa) => Some(TlsaRecord {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    }
}

/// The strings of a record, one behind the other.
fn text(data: &RData) -> Option<Vec<u8>> {
    match data {
        RData::TXT(txt) => Some(txt.txt_data.iter().flatten().copied().collect()),
        _ => None,
    }
}

fn setup_error(error: &NetError) -> ResolverSetupError {
    ResolverSetupError::System { detail: error.to_string() }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// How long one question may take, retries and CNAMEs included.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a probe waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
