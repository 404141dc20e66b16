//! Putting a relay together from its parts, and starting it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use sealpost_cert::TrustAnchors;
use sealpost_discovery::{HttpsSource, MtaSts, Resolver, StsCache};
use sealpost_policy::Policy;
use sealpost_queue::Spool;
use sealpost_report::History;
use sealpost_report::tlsrpt::{Book, DkimSigner};
use sealpost_smtp::{AuthMechanism, ClientConfig, HelloName, Offer, Reply, ServerConfig};
use sealpost_transport::{
    ClientCertificate, ConnectionLimits, Connector, ConnectorSettings, Gate, ListenOptions, ListenerTls, Pool, PoolSettings, Server,
    ServerSettings, TlsBackend, WallClock, listen,
};
use sealpost_types::{Envelope, Reception};
use tokio::sync::{Notify, Semaphore, broadcast, watch};

use crate::certificates::{self, Certificates};
use crate::config::{self, Config, TlsReports};
use crate::config_file::ConfigFile;
use crate::control::{RelayControl, Watched};
use crate::deliver;
use crate::engine::{Components, Engine};
use crate::error::StartError;
use crate::handle::{self, RelayHandle};
use crate::hook::AcceptHook;
use crate::lanes::Lanes;
use crate::mta_sts;
use crate::policy_file::{PolicyFile, PolicyFileError};
use crate::receive::{Logins, Receiver};
use crate::resolver_watch::{self, ResolverWatch};
use crate::revocation::{self, WatchedLists};
use crate::room::Room;
use crate::stats::Counters;
use crate::tasks::Tasks;
use crate::tlsrpt::{self, Reports};
use crate::trust::{self, Trust};
use crate::unreachable::Unreachable;
use crate::users::Users;
use crate::verdicts::Verdicts;

/// The parts of a relay, and how it is started.
///
/// What is not set has a default: the built-in policy, the clock of the machine, no history, a cache in memory, no hook.
pub struct RelayBuilder<S, R, T> {
    config: Config,
    spool: S,
    resolver: R,
    tls: T,
    policy: Policy,
    policy_file: Option<PolicyFile>,
    clock: WallClock,
    history: Option<History>,
    sts_cache: StsCache,
    accept_hook: Option<AcceptHook>,
    users: Option<Users>,
    client_anchors: Arc<TrustAnchors>,
    certificates: Option<(Certificates, Trust)>,
    config_file: Option<ConfigFile>,
    reports: Option<Reports>,
}

struct Parts<S, R, T>(PhantomData<S>, PhantomData<R>, PhantomData<T>);

impl<S: Spool, R: Resolver, T: TlsBackend> Components for Parts<S, R, T> {
    type Spool = S;
    type Resolver = R;
    type Tls = T;
}

impl<S: Spool, R: Resolver, T: TlsBackend> RelayBuilder<S, R, T> {
    pub(crate) fn new(config: Config, spool: S, resolver: R, tls: T) -> Self {
        let (policy, clock) = (Policy::builtin(), WallClock::system());
        let client_anchors = Arc::default();
        Self {
            config,
            spool,
            resolver,
            tls,
            policy,
            policy_file: None,
            clock,
            history: None,
            sts_cache: StsCache::in_memory(),
            accept_hook: None,
            users: None,
            client_anchors,
            certificates: None,
            config_file: None,
            reports: None,
        }
    }

    /// The policy that decides.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The policy that decides, and the file that it stands in: it can be read again, and edited, while the relay runs.
    #[must_use]
    pub fn policy_file(mut self, file: PolicyFile, policy: Policy) -> Self {
        self.policy_file = Some(file);
        self.policy(policy)
    }

    /// The file that the configuration stands in: it can be read again while the relay runs.
    #[must_use]
    pub fn config_file(mut self, file: ConfigFile) -> Self {
        self.config_file = Some(file);
        self
    }

    /// The time of day.
    #[must_use]
    pub fn clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    /// Where what happens is kept. Without it nothing is.
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// Where the MTA-STS policies of recipient domains are kept. Without it they end with the relay.
    #[must_use]
    pub fn sts_cache(mut self, cache: StsCache) -> Self {
        self.sts_cache = cache;
        self
    }

    /// Asks `hook` about each message after its body and before the 250; its refusal is what the client gets.
    ///
    /// It runs on the connection's own task and must not block.
    #[must_use]
    pub fn accept_hook(mut self, hook: impl Fn(&Envelope, &Reception) -> Result<(), Reply> + Send + Sync + 'static) -> Self {
        self.accept_hook = Some(AcceptHook::new(hook));
        self
    }

    /// Offers AUTH to clients under TLS; who logs in may send anywhere. Without it, nobody is asked for a password.
    #[must_use]
    pub fn users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Whom clients' certificates must lead to before the names in them count, on listeners that ask for one. Without them,
    /// no certificate proves anything.
    #[must_use]
    pub fn client_anchors(mut self, anchors: Arc<TrustAnchors>) -> Self {
        self.client_anchors = anchors;
        self
    }

    /// Counts TLS for the domains that mail goes to in `book`, and reports to those that want it (RFC 8460): by HTTPS, and with a
    /// `signer` by mail.
    #[must_use]
    pub fn tls_reports(mut self, settings: TlsReports, book: Book, signer: Option<DkimSigner>) -> Self {
        self.reports = Some(Reports::new(settings, book, signer));
        self
    }

    pub(crate) fn reports(mut self, reports: Option<Reports>) -> Self {
        self.reports = reports;
        self
    }

    /// The certificates of the TLS backend, whose files are watched, and whom it trusts and what it shows as a client.
    pub(crate) fn certificates(mut self, certificates: Certificates, trust: Trust) -> Self {
        self.certificates = Some((certificates, trust));
        self
    }

    /// Opens every listener and begins to receive and to deliver, on the current tokio runtime.
    ///
    /// # Errors
    /// Those of [`ready`](Self::ready) and [`ReadyRelay::begin`].
    pub async fn start(self) -> Result<RelayHandle, StartError> {
        self.ready().await?.begin()
    }

    /// Opens every listener, on the current tokio runtime, and lets clients wait: so that whoever manages the relay reaches it before the
    /// first of them is greeted.
    ///
    /// # Errors
    /// [`StartError::Listen`] for an address that cannot be listened on, [`StartError::NoCertificate`] for a listener that
    /// needs one where the TLS backend has none, [`StartError::Policy`] for a policy that needs DNSSEC where nobody validates.
    pub async fn ready(self) -> Result<ReadyRelay, StartError> {
        check_dnssec(&self.resolver, &self.policy).await?;
        let listeners = open_listeners(&self.config, self.tls.can_accept())?;
        let config = Arc::new(self.config);
        let tls = Arc::new(self.tls);
        let sts = || MtaSts::new(HttpsSource::new(Arc::clone(&tls), config.mta_sts.timeout), self.sts_cache, self.clock.clone());
        let sts = config.mta_sts.enabled.then(sts);
        let pool = Arc::new(Pool::new(pool_settings(&config), self.clock.clone()));
        let room = Room::of(&config);
        let (certificates, trust) = self.certificates.map(|(certificates, trust)| (certificates, Arc::new(trust))).unzip();
        let policy = Arc::new(self.policy);
        let engine = Arc::new(Engine::<Parts<S, R, T>> {
            judged: tokio::sync::Mutex::new(Arc::clone(&policy)),
            policy: ArcSwap::new(policy),
            spool: self.spool,
            resolver: self.resolver,
            sts,
            connector: Connector::new(Arc::clone(&tls), connector_settings(&config, &self.clock)?),
            generation: AtomicU64::new(0),
            pool: Arc::clone(&pool),
            clock: self.clock,
            history: self.history,
            words: Arc::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            accept_hook: self.accept_hook,
            logins: self.users.map(Logins::new),
            client_anchors: Arc::new(ArcSwap::new(self.client_anchors)),
            trust: trust.clone(),
            lanes: Lanes::new(config.delivery.connections_per_destination),
            unreachable: Unreachable::default(),
            verdicts: Verdicts::default(),
            woken: std::sync::Mutex::default(),
            reinforce: Notify::new(),
            bringing: tokio::sync::Mutex::default(),
            permits: Semaphore::new(room.delivered),
            workers: Tasks::new(),
            outbox: Notify::new(),
            reports: self.reports,
            counters: Counters::default(),
            gate: gate(&config.limits, room),
            room,
            resolver_watch: ResolverWatch::default(),
            config: ArcSwap::new(Arc::clone(&config)),
        });
        let watched = certificates.zip(trust).map(|(certificates, trust)| {
            let lists = config.tls.revocation_lists.clone().map(|path| {
                let (trust, clients, engine) = (Arc::clone(&trust), Arc::clone(&engine.client_anchors), Arc::clone(&engine));
                // New lists come every day, and what waits need not all be tried for that.
                Arc::new(WatchedLists::new(path, trust, clients, move || handle::distrust(&engine)))
            });
            Watched { certificates: Arc::new(certificates), lists, trust }
        });
        let control = handle::control(Arc::clone(&engine), self.policy_file, watched.clone(), self.config_file);
        let begin = move |control: RelayControl| {
            let mut servers = Vec::with_capacity(listeners.len());
            for (socket, listener) in listeners {
                let settings = server_settings(&config, &listener, engine.logins.is_some(), &engine.gate);
                let (address, mode) = (listener.address, listener.tls);
                let receiver = Arc::new(Receiver::new(Arc::clone(&engine), listener));
                let server = Server::start(socket, settings, Arc::clone(&tls), receiver)
                    .map_err(|source| StartError::Listener { address, source })?;
                tracing::info!(address = %server.local_addr(), tls = ?mode, "listening");
                servers.push(server);
            }
            let (stop, stopped) = watch::channel(false);
            let pump = tokio::spawn(deliver::pump(Arc::clone(&engine), stopped.clone()));
            let outbox = tokio::spawn(deliver::keep_outbox_empty(Arc::clone(&engine), stopped.clone()));
            let resolver = tokio::spawn(resolver_watch::keep_watch(Arc::clone(&engine), stopped.clone()));
            let policies = tokio::spawn(mta_sts::keep_fresh(Arc::clone(&engine), stopped.clone()));
            let mut tasks = vec![pump, outbox, resolver, policies];
            if engine.reports.is_some() {
                tasks.push(tokio::spawn(tlsrpt::keep_counting(Arc::clone(&engine), stopped.clone())));
                tasks.push(tokio::spawn(tlsrpt::keep_sending(Arc::clone(&engine), stopped.clone())));
            }
            if let Some(Watched { certificates, lists, trust }) = watched {
                let clock = &engine.clock;
                tasks.push(tokio::spawn(certificates::keep_watch(certificates, clock.clone(), stopped.clone())));
                tasks.extend(lists.map(|lists| tokio::spawn(revocation::keep_watch(lists, clock.clone(), stopped.clone()))));
                let renewed = Arc::clone(&engine);
                tasks.push(tokio::spawn(trust::keep_watch(trust, move || handle::renew(&renewed), clock.clone(), stopped)));
            }
            let reaper = tokio::spawn(pool.reap());
            // What it finds out stands in the log, and is known when the first mail needs it.
            let asking = Arc::clone(&engine);
            tokio::spawn(async move { asking.resolver.validation().await });
            Ok(RelayHandle::new(control, servers, stop, tasks, reaper))
        };
        Ok(ReadyRelay { control, begin: Box::new(begin) })
    }
}

/// A relay whose addresses are open and that greets nobody yet.
pub struct ReadyRelay {
    control: RelayControl,
    begin: Begin,
}

type Begin = Box<dyn FnOnce(RelayControl) -> Result<RelayHandle, StartError> + Send>;

impl ReadyRelay {
    /// What can be asked of it and done to it, for whoever manages it.
    #[must_use]
    pub fn control(&self) -> &RelayControl {
        &self.control
    }

    /// Begins to receive and to deliver.
    ///
    /// # Errors
    /// [`StartError::Listener`] if the kernel does not say where it listens.
    pub fn begin(self) -> Result<RelayHandle, StartError> {
        (self.begin)(self.control)
    }
}

impl fmt::Debug for ReadyRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyRelay").field("control", &self.control).finish_non_exhaustive()
    }
}

/// Mail under a level that needs what nobody proves would wait for ever.
async fn check_dnssec<R: Resolver>(resolver: &R, policy: &Policy) -> Result<(), PolicyFileError> {
    let Some(place) = policy.needs_dnssec() else { return Ok(()) };
    PolicyFileError::unless_proven(place, &resolver.validation().await)
}

fn open_listeners(config: &Config, has_certificate: bool) -> Result<Vec<(tokio::net::TcpListener, config::Listener)>, StartError> {
    let open = |listener: &config::Listener| {
        if listener.tls != config::ListenerTls::None && !has_certificate {
            return Err(StartError::NoCertificate { address: listener.address });
        }
        if listener.tls == config::ListenerTls::Require && listener.address.port() == SMTP_PORT {
            tracing::warn!(address = %listener.address, "tls = \"require\" on port 25 turns away senders without TLS (RFC 3207 section 4)");
        }
        Ok((listen(listener.address, &ListenOptions::default())?, listener.clone()))
    };
    config.listeners.iter().map(open).collect()
}

/// The limits of all listeners together.
fn gate(limits: &config::Limits, room: Room) -> Gate {
    let mut connections = ConnectionLimits::default();
    connections.total = room.received;
    connections.per_address = limits.connections_per_address;
    Gate::new(connections)
}

fn server_settings(config: &Config, listener: &config::Listener, logins: bool, gate: &Gate) -> ServerSettings {
    let limits = &config.limits;
    let mut session = ServerConfig::new(config.hostname.clone());
    session.offer = offer(logins);
    session.require_tls_before_mail = listener.tls == config::ListenerTls::Require;
    session.limits.recipients = limits.recipients;
    session.limits.message = limits.message_size;
    session.timeouts.command = limits.idle;
    session.timeouts.block = limits.idle;
    session.timeouts.session = limits.session;
    session.timeouts.message = limits.session;
    let tls = match listener.tls {
        config::ListenerTls::None => ListenerTls::None,
        config::ListenerTls::Implicit => ListenerTls::Implicit,
        config::ListenerTls::StartTls | config::ListenerTls::Require => ListenerTls::StartTls,
    };
    let mut settings = ServerSettings::new(Arc::new(session), tls);
    settings.gate = gate.clone();
    if listener.client_certificates {
        settings.client_certificate = ClientCertificate::Asked;
    }
    settings.handshake_timeout = settings.handshake_timeout.min(limits.idle);
    settings.write_timeout = settings.write_timeout.min(limits.idle);
    settings.proxy_header_timeout = settings.proxy_header_timeout.min(limits.idle);
    settings
}

/// What the whole path honours beside the default of the session; AUTH where there are users.
fn offer(logins: bool) -> Offer {
    let mut offer = Offer::default();
    offer.smtputf8 = true;
    offer.dsn = true;
    offer.require_tls = true;
    if logins {
        offer.auth = vec![AuthMechanism::Plain, AuthMechanism::Login];
    }
    offer
}

fn pool_settings(config: &Config) -> PoolSettings {
    let mut settings = PoolSettings::default();
    settings.idle_per_key = config.delivery.connections_per_destination;
    settings.idle_total = config.delivery.connections;
    settings
}

fn connector_settings(config: &Config, clock: &WallClock) -> Result<ConnectorSettings, StartError> {
    let hello = HelloName::new(config.hostname.as_str()).ok_or_else(|| StartError::Hostname { hostname: config.hostname.clone() })?;
    let mut settings = ConnectorSettings::new(Arc::new(ClientConfig::new(hello)));
    settings.connect_timeout = config.delivery.connect_timeout;
    settings.clock = clock.clone();
    Ok(settings)
}

impl<S, R, T> fmt::Debug for RelayBuilder<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where an embedding program that listens to events may fall behind before it misses some.
const EVENTS_KEPT: usize = 1024;

const SMTP_PORT: u16 = 25;
