//! One connection to one host, made as the deliver hop makes it: for tools that look at other servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealpost_cert::TrustAnchors;
use sealpost_discovery::{Dane, HickoryResolver, MxSet, ResolveError, Resolver as _, ResolverSetupError, StsFound, Validation};
use sealpost_policy::{DeliverDecision, HostDecision, HostFacts, Policy};
use sealpost_smtp::{ClientConfig, HelloName};
use sealpost_transport::{
    BackendError, ClientIdentities, ConnectError, ConnectFault, ConnectOptions, Connection, Connector, ConnectorSettings, RustlsBackend,
    RustlsSettings, Watch,
};
use sealpost_types::{Domain, HostDemand, NextHop, Severity, TlsRequirement, TlsVersion, WireKey};
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::error::StartError;
use crate::hosts::{Host, Wanted};
use crate::survey::{self, Policies};
use crate::{assemble, hosts};

/// Reaches out to servers with the resolver, the connector and the checks of the deliver hop.
#[derive(Debug)]
pub struct Reach {
    resolver: HickoryResolver,
    connector: Connector<RustlsBackend>,
    own_name: Domain,
    time: Duration,
    sts: Option<Policies>,
}

/// A host that mail for a next hop may go to, at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachHost {
    next_hop: NextHop,
    host: Host,
}

/// A server that was reached.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reached {
    /// Its name, or its address in brackets.
    pub host: String,
    /// The address that answered.
    pub address: SocketAddr,
    /// Its name, if it has one.
    pub name: Option<Domain>,
    /// Whether that name (or the bare address) was learnt securely: written by an operator, or proven by DNSSEC.
    pub securely_known: bool,
    /// What is asked of it, if it was reached for a decision.
    pub asked: Option<HostDecision>,
    /// What DNS says of its certificate; not looked up without a decision.
    pub dane: Dane,
    /// What its domain says by MTA-STS; not looked up without a decision.
    pub sts: Arc<StsFound>,
    /// How long it took to find the address.
    pub resolve_time: Duration,
    /// The connection, under TLS and after the second EHLO.
    pub connection: Connection<RustlsBackend>,
}

/// Why no server was reached over TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// Its address could not be found.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No connection came about.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// What it publishes of its certificate could not be found out, so that mail would not be given to it now.
    #[error("{host}: whether it publishes TLSA records (DANE) could not be found out")]
    Published {
        /// The host.
        host: String,
        /// Why not.
        source: ResolveError,
    },
    /// It took too long in all.
    #[error("no result within {} s", after.as_secs())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
}

/// Why nothing can be reached from here at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachSetupError {
    /// The name servers cannot be used.
    #[error(transparent)]
    Resolver(#[from] ResolverSetupError),
    /// The name servers of a relay, or its trust anchor for DNSSEC, cannot be used.
    #[error(transparent)]
    Relay(#[from] StartError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] BackendError),
    /// The own name cannot be said in EHLO.
    #[error("{name} cannot be said in EHLO")]
    Name {
        /// The name.
        name: Domain,
    },
}

impl Reach {
    /// A reach under this name in EHLO, that judges certificates by `anchors` and waits at most `time` for each server.
    ///
    /// # Errors
    /// [`ReachSetupError`]: the system's name servers, TLS, or the name cannot be used.
    pub fn new(own_name: Domain, anchors: Arc<TrustAnchors>, time: Duration) -> Result<Self, ReachSetupError> {
        Self::with_resolver(HickoryResolver::system()?, own_name, RustlsSettings::new(anchors), time)
    }

    /// The same, but under the name and by the name servers of a relay, with the certificates that it shows to servers.
    ///
    /// # Errors
    /// [`ReachSetupError`]: the name servers, TLS, or the name cannot be used.
    pub fn of_relay(
        config: &Config,
        anchors: Arc<TrustAnchors>,
        identities: ClientIdentities,
        time: Duration,
    ) -> Result<Self, ReachSetupError> {
        let sts = survey::policies(config, Arc::clone(&anchors))?;
        let mut settings = RustlsSettings::new(anchors);
        settings.client_identities = identities;
        let reach = Self::with_resolver(assemble::open_resolver(config)?, config.hostname.clone(), settings, time)?;
        Ok(Self { sts, ..reach })
    }

    fn with_resolver(resolver: HickoryResolver, own_name: Domain, tls: RustlsSettings, time: Duration) -> Result<Self, ReachSetupError> {
        let hello = HelloName::new(own_name.as_str()).ok_or_else(|| ReachSetupError::Name { name: own_name.clone() })?;
        let mut settings = ConnectorSettings::new(Arc::new(ClientConfig::new(hello)));
        settings.connect_timeout = time;
        let backend = Arc::new(RustlsBackend::new(tls)?);
        Ok(Self { resolver, connector: Connector::new(backend, settings), own_name, time, sts: None })
    }

    /// The same, with somebody who looks on at every dialogue.
    #[must_use]
    pub fn watched_by(mut self, watch: Arc<dyn Watch>) -> Self {
        self.connector = self.connector.watched_by(watch);
        self
    }

    /// The first server of `next_hop` that can be reached over TLS, whatever its certificate; the verdict on that is with
    /// the connection. `implicit_tls` says that the connection starts with the handshake.
    ///
    /// # Errors
    /// [`ReachError`]: that of the last address that was tried.
    pub async fn reach(&self, next_hop: &NextHop, implicit_tls: bool) -> Result<Reached, ReachError> {
        let tried = self.try_addresses(next_hop, implicit_tls, None);
        timeout(self.time + MARGIN, tried).await.unwrap_or(Err(ReachError::TimedOut { after: self.time }))
    }

    /// The same for mail of this decision: what hosts publish is looked up, their names are asked for and certificates are shown as the
    /// deliver hop does, and [`Reached::asked`] says what it would ask. Any certificate is taken all the same.
    ///
    /// # Errors
    /// As for [`reach`](Self::reach).
    pub async fn reach_for(&self, policy: &Policy, decision: &DeliverDecision, next_hop: &NextHop) -> Result<Reached, ReachError> {
        let tried = self.try_addresses(next_hop, false, Some((policy, decision)));
        timeout(self.time + MARGIN, tried).await.unwrap_or(Err(ReachError::TimedOut { after: self.time }))
    }

    /// The hosts of `next_hop`, one for each address, in the order in which mail would try them; with `published` also what
    /// DNS says of their certificates, and the MTA-STS policy of the domain.
    ///
    /// # Errors
    /// [`ReachError::Resolve`], or [`ReachError::TimedOut`] after the time for one server.
    pub async fn hosts(&self, next_hop: &NextHop, published: bool) -> Result<Vec<ReachHost>, ReachError> {
        let wanted = Wanted { next_hop, own_name: &self.own_name, published };
        let sts = async {
            match (&self.sts, next_hop) {
                (Some(sts), NextHop::Mx(domain)) if published => Arc::new(sts.find(&self.resolver, domain).await),
                _ => Arc::default(),
            }
        };
        let look = async { tokio::join!(hosts::resolve(&self.resolver, wanted, crate::random::number()), sts) };
        let (found, sts) = timeout(self.time, look).await.map_err(|_| ReachError::TimedOut { after: self.time })?;
        let found = found?.under(&sts);
        Ok(found.list.into_iter().map(|host| ReachHost { next_hop: next_hop.clone(), host }).collect())
    }

    /// A connection to this host that satisfies `demand`, in at most `time`.
    ///
    /// # Errors
    /// [`ReachError::Connect`].
    pub async fn connect(
        &self,
        host: &ReachHost,
        demand: HostDemand,
        implicit_tls: bool,
        time: Duration,
    ) -> Result<Connection<RustlsBackend>, ReachError> {
        self.connect_by(&WireKey::new(host.host.address, host.host.name.clone(), demand), implicit_tls, time).await
    }

    async fn connect_by(&self, key: &WireKey, implicit_tls: bool, time: Duration) -> Result<Connection<RustlsBackend>, ReachError> {
        let mut options = ConnectOptions::default();
        options.implicit_tls = implicit_tls;
        // A server that says nothing is given up at a stage, which tells more than that the time is over.
        options.time = Some(time);
        self.connector.connect(key, &options).await.map_err(|error| ReachError::Connect(Box::new(error)))
    }

    /// The mail exchangers of a domain.
    ///
    /// # Errors
    /// [`ReachError::Resolve`], or [`ReachError::TimedOut`] after the time for one server.
    pub async fn mx(&self, domain: &Domain) -> Result<MxSet, ReachError> {
        let found = timeout(self.time, self.resolver.mx(domain)).await;
        Ok(found.map_err(|_| ReachError::TimedOut { after: self.time })??)
    }

    /// Whether what the DNS answers can be proven.
    pub async fn validation(&self) -> Validation {
        self.resolver.validation().await
    }

    async fn try_addresses(
        &self,
        next_hop: &NextHop,
        implicit_tls: bool,
        mail: Option<(&Policy, &DeliverDecision)>,
    ) -> Result<Reached, ReachError> {
        let start = Instant::now();
        let hosts = self.hosts(next_hop, mail.is_some()).await?;
        let resolve_time = start.elapsed();
        let mut last = None;
        for found in &hosts {
            let (host, left) = (&found.host, self.time.saturating_sub(start.elapsed()));
            let asked = mail.map(|(policy, decision)| policy.decide_host(decision, &found.facts()));
            let counts = mail.is_some_and(|(_, decision)| decision.depends_on_tlsa(next_hop));
            if let Some(source) = host.published.failure().filter(|_| counts) {
                last = Some(ReachError::Published { host: host.shown(), source: source.clone() });
                continue;
            }
            let server_name = asked.as_ref().and_then(|asked| asked.wire_key.server_name.clone()).or_else(|| host.name.clone());
            let identity = mail.map(|(_, decision)| decision.client_identity.clone()).unwrap_or_default();
            let key = WireKey::new(host.address, server_name, any_certificate()).showing(identity);
            match self.connect_by(&key, implicit_tls, left).await {
                Ok(connection) => {
                    let (shown, address, dane) = (host.shown(), host.address, host.published.dane.clone());
                    let (name, securely_known, sts) = (host.name.clone(), host.secure, Arc::clone(&host.sts));
                    return Ok(Reached { host: shown, address, name, securely_known, asked, dane, sts, resolve_time, connection });
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error),
            None => Err(ReachError::Resolve(ResolveError::NoMailHost { domain: self.own_name.clone() })),
        }
    }
}

impl ReachHost {
    /// Its name, or its address in brackets.
    #[must_use]
    pub fn shown(&self) -> String {
        self.host.shown()
    }

    /// Its name; none for an address.
    #[must_use]
    pub fn name(&self) -> Option<&Domain> {
        self.host.name.as_ref()
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address
    }

    /// Whether its name is known for sure: written by an operator, or proven by DNSSEC.
    #[must_use]
    pub fn is_securely_known(&self) -> bool {
        self.host.secure
    }

    /// What DNS says of its certificate; not known where that was not asked for.
    #[must_use]
    pub fn dane(&self) -> &Dane {
        &self.host.published.dane
    }

    /// What its domain says by MTA-STS; nothing where that was not asked for.
    #[must_use]
    pub fn sts(&self) -> &StsFound {
        &self.host.sts
    }

    /// What a decision about it rests on.
    #[must_use]
    pub fn facts(&self) -> HostFacts<'_> {
        self.host.facts(&self.next_hop)
    }
}

/// TLS or nothing, whatever the certificate: what is said of that is found out afterwards.
#[must_use]
pub fn any_certificate() -> HostDemand {
    HostDemand::new(TlsRequirement::Mandatory, Vec::new(), TlsVersion::default())
}

impl ReachError {
    /// Whether TLS is what could not be had.
    #[must_use]
    pub fn is_tls_failure(&self) -> bool {
        matches!(self, Self::Connect(error) if error.is_tls_failure())
    }

    /// Whether nothing was learnt of the server's TLS: it did not answer in time, asked to come back later, or the DNS
    /// failed. Everything else is an answer, and the answer is no.
    #[must_use]
    pub fn is_inconclusive(&self) -> bool {
        match self {
            Self::Resolve(error) => !error.is_permanent(),
            Self::TimedOut { .. } | Self::Published { .. } => true,
            Self::Connect(error) => match &error.fault {
                ConnectFault::TimedOut { .. } | ConnectFault::Lost { .. } | ConnectFault::Local { .. } => true,
                ConnectFault::Refused { reply } | ConnectFault::StartTlsRefused { reply } => {
                    reply.severity() == Severity::Transient && !error.is_tls_failure()
                }
                _ => false,
            },
        }
    }
}

/// So that the time-out of the connection, which knows its stage, comes before that of the whole.
const MARGIN: Duration = Duration::from_millis(100);
