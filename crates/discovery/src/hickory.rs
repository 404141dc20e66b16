//! Answers from real name servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use sealpost_types::Domain;

use crate::{Addresses, MxSet, ResolveError, Resolver, ResolverSetupError};

/// A [`Resolver`] that asks name servers, over UDP and, where an answer does not fit, over TCP.
///
/// Names are always asked as they are: no search list is applied. Answers are kept as long as they allow. Clones share
/// connections and cache.
///
/// # Limits
/// [`LOOKUP_TIMEOUT`] for one question, retries and the following of CNAMEs included.
#[derive(Clone)]
pub struct HickoryResolver {
    resolver: TokioResolver,
    timeout: Duration,
}

impl HickoryResolver {
    /// A resolver that asks the servers that the system's configuration names, and looks into the system's hosts file
    /// for addresses.
    ///
    /// # Errors
    /// [`ResolverSetupError::System`] if that configuration cannot be read or names no server.
    pub fn system() -> Result<Self, ResolverSetupError> {
        let (config, options) = system_conf::read_system_conf().map_err(|error| setup_error(&error))?;
        // The search list is left out: a mail domain is a full name, and never one relative to ours.
        let (_, _, servers) = config.into_parts();
        Self::build(servers, options)
    }

    /// A resolver that asks these servers and nobody else; the system's hosts file is not read.
    ///
    /// # Errors
    /// [`ResolverSetupError::NoServers`] for an empty list.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, ResolverSetupError> {
        let servers = servers.iter().map(|server| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            NameServerConfig::new(server.ip(), true, vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())])
        });
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        Self::build(servers.collect(), options)
    }

    /// The same resolver with another limit than [`LOOKUP_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn build(servers: Vec<NameServerConfig>, options: ResolverOpts) -> Result<Self, ResolverSetupError> {
        if servers.is_empty() {
            return Err(ResolverSetupError::NoServers);
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let resolver = builder.build().map_err(|error| setup_error(&error))?;
        Ok(Self { resolver, timeout: LOOKUP_TIMEOUT })
    }

    /// The records of one type behind a name, CNAMEs followed; nothing if the name has none of that type.
    async fn records(&self, name: &Domain, record_type: RecordType) -> Result<Vec<RData>, ResolveError> {
        let mut query = Name::from_ascii(name.as_str()).map_err(|_| ResolveError::BadAnswer { name: name.clone() })?;
        query.set_fqdn(true);
        let lookup = tokio::time::timeout(self.timeout, self.resolver.lookup(query, record_type)).await;
        match lookup.unwrap_or(Err(NetError::Timeout)) {
            Ok(lookup) => {
                let owner = end_of_chain(lookup.query().name(), lookup.answers());
                let ours = |record: &&Record| record.record_type() == record_type && record.name == *owner;
                Ok(lookup.answers().iter().filter(ours).map(|record| record.data.clone()).collect())
            }
            Err(error) => self.without_answer(name, error),
        }
    }

    fn without_answer(&self, name: &Domain, error: NetError) -> Result<Vec<RData>, ResolveError> {
        let name = name.clone();
        Err(match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => ResolveError::NoSuchDomain { domain: name },
                ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => ResolveError::Referral { name },
                ResponseCode::NoError => return Ok(Vec::new()),
                code => ResolveError::Server { name, code: code.into() },
            },
            NetError::Dns(DnsError::ResponseCode(code)) => ResolveError::Server { name, code: code.into() },
            NetError::Timeout => ResolveError::Timeout { name, waited: self.timeout },
            NetError::Busy => ResolveError::Busy { name },
            NetError::Io(error) => ResolveError::Unreachable { name, kind: error.kind() },
            NetError::NoConnections => ResolveError::Unreachable { name, kind: std::io::ErrorKind::NotConnected },
            error => {
                tracing::debug!(%name, %error, "unusable answer");
                ResolveError::BadAnswer { name }
            }
        })
    }
}

impl Resolver for HickoryResolver {
    async fn mx(&self, domain: &Domain) -> Result<MxSet, ResolveError> {
        let records = self.records(domain, RecordType::MX).await?;
        let records: Vec<_> = records
            .into_iter()
            .filter_map(|data| match data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                _ => None,
            })
            .collect();
        if !records.is_empty() {
            return MxSet::from_records(domain, records);
        }
        match self.addresses(domain).await {
            Ok(_) => Ok(MxSet::implicit(domain)),
            Err(ResolveError::NoAddress { .. }) => Err(ResolveError::NoMailHost { domain: domain.clone() }),
            Err(error) => Err(error),
        }
    }

    async fn addresses(&self, host: &Domain) -> Result<Addresses, ResolveError> {
        let (v6, v4) = tokio::join!(self.records(host, RecordType::AAAA), self.records(host, RecordType::A));
        let mut found = Vec::new();
        let mut failure = None;
        for family in [v6, v4] {
            match family {
                Ok(records) => found.extend(records.into_iter().filter_map(address)),
                // An answer that did not come weighs more than one that says there is nothing.
                Err(error) if failure.as_ref().is_none_or(ResolveError::is_permanent) => failure = Some(error),
                Err(_) => {}
            }
        }
        let addresses = Addresses::new(found);
        match failure {
            _ if !addresses.list.is_empty() => Ok(addresses),
            Some(error) => Err(error),
            None => Err(ResolveError::NoAddress { host: host.clone() }),
        }
    }
}

/// The name at the end of the CNAMEs: records of any other name are no answer, whatever put them there.
fn end_of_chain<'a>(asked: &'a Name, answers: &'a [Record]) -> &'a Name {
    let mut name = asked;
    // Each step uses up a record, so a circle ends.
    for _ in answers {
        let next = answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
        match next {
            Some(next) => name = next,
            None => break,
        }
    }
    name
}

fn address(data: RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
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
