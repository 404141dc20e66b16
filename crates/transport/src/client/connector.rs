//! Opening a connection: TCP, greeting, EHLO, STARTTLS, certificate, EHLO again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{ClientConfig, ClientError, ClientEvent, Extensions, Reply, Stage};
use sealpost_types::{DOMAIN_OCTETS, TlsRequirement, WireKey};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug, debug_span, warn};

use super::Connection;
use super::choking::{Choking, may_be_small, suspicion};
use super::connection::{Broken, Happening, Secured, Talk};
use super::dial::{DialError, dial};
use super::error::{ConnectError, ConnectFault, Ends};
use super::stage::{ConnectStage, StageTimes};
use super::watch::Watch;
use crate::WallClock;
use crate::stream::Wire;
use crate::tls::{ClientHandshake, HandshakeError, Hello, Progress, TlsBackend, valid_until};

/// What a [`Connector`] connects with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectorSettings {
    /// What each session says, and how long it waits for the server.
    pub session: Arc<ClientConfig>,
    /// Time for the TCP connection. 30 s.
    pub connect_timeout: Duration,
    /// Time for the TLS handshake. 60 s.
    pub handshake_timeout: Duration,
    /// Time for the first octet of an answer to a hello with a post-quantum key exchange, where one without may follow. 15 s.
    pub full_hello_timeout: Duration,
    /// How long a host that answered only a hello without it is sent no other. A day.
    pub small_hello_time: Duration,
    /// The address to connect from over IPv4; the kernel's choice without one.
    pub source_ipv4: Option<Ipv4Addr>,
    /// The address to connect from over IPv6; the kernel's choice without one.
    pub source_ipv6: Option<Ipv6Addr>,
    /// Where the date comes from.
    pub clock: WallClock,
    /// Who looks on; nobody by default.
    pub watch: Option<Arc<dyn Watch>>,
}

/// What differs from one connection to the next, beside its [`WireKey`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether TLS begins with the first octet (RFC 8314 section 3) and not by STARTTLS.
    pub implicit_tls: bool,
    /// The policy generation by which the demand was decided: an older one is not reused once it is invalidated.
    pub generation: u64,
    /// Time for all stages together, beside the limits of each; none by default.
    pub time: Option<Duration>,
}

/// Opens connections, each for one [`WireKey`].
///
/// # Example
/// See the crate page.
#[derive(Debug)]
pub struct Connector<B> {
    backend: Arc<B>,
    settings: ConnectorSettings,
    choking: Choking,
}

/// How one connection is opened.
struct Opening<'a> {
    key: &'a WireKey,
    options: &'a ConnectOptions,
    /// Time for all stages together.
    time: Option<Duration>,
    hello: Hello,
    /// How far its handshake came.
    progress: Arc<Progress>,
}

impl ConnectorSettings {
    /// The defaults around a session configuration.
    #[must_use]
    pub fn new(session: Arc<ClientConfig>) -> Self {
        Self {
            session,
            connect_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(60),
            full_hello_timeout: Duration::from_secs(15),
            small_hello_time: Duration::from_secs(24 * 3600),
            source_ipv4: None,
            source_ipv6: None,
            clock: WallClock::system(),
            watch: None,
        }
    }

    fn source(&self, address: SocketAddr) -> Option<IpAddr> {
        match address {
            SocketAddr::V4(_) => self.source_ipv4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.source_ipv6.map(IpAddr::V6),
        }
    }
}

impl ConnectOptions {
    /// Options with everything at its default but the policy generation.
    #[must_use]
    pub fn of_generation(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }
}

impl<B: TlsBackend> Connector<B> {
    /// A connector over this TLS backend.
    #[must_use]
    pub fn new(backend: Arc<B>, settings: ConnectorSettings) -> Self {
        let choking = Choking::new(settings.small_hello_time);
        Self { backend, settings, choking }
    }

    /// The same, with somebody who looks on.
    #[must_use]
    pub fn watched_by(mut self, watch: Arc<dyn Watch>) -> Self {
        self.settings.watch = Some(watch);
        self
    }

    /// The TLS backend.
    #[must_use]
    pub fn backend(&self) -> &Arc<B> {
        &self.backend
    }

    /// A connection to the host of `key` that satisfies its demand, ready for a transaction.
    ///
    /// `tls` of the demand | STARTTLS offered | not offered, refused or failed
    /// ---|---|---
    /// `Never` | not used | -
    /// `Opportunistic` | used | not offered: a connection in clear; else an error, after which the caller may connect again with a key that says `Never`
    /// `Mandatory` | used | an error: nothing of a message has been sent
    ///
    /// A host that does not answer a TLS hello with a post-quantum key exchange is asked again at once without, unless the demand insists
    /// on one; [`Connection::small_hello`] tells of it, and it is remembered for a while.
    ///
    /// # Wire
    /// RFC 5321 section 3.1 and 4.5.3.2, RFC 3207.
    ///
    /// # Errors
    /// [`ConnectError`] with the stage; [`ConnectError::is_tls_failure`] says whether TLS was the reason.
    pub async fn connect(&self, key: &WireKey, options: &ConnectOptions) -> Result<Connection<B>, ConnectError> {
        let begun = Instant::now();
        let may_be_small = may_be_small(key);
        let full = Opening { key, options, time: options.time, hello: Hello::Full, progress: Arc::default() };
        if let Some(why) = self.choking.recall(key.address, self.settings.clock.now()).filter(|_| may_be_small) {
            return self.open(&Opening { hello: Hello::Small, ..full }).await.map(|connection| connection.after_choking(why));
        }
        let error = match self.open(&full).await {
            Err(error) if may_be_small => error,
            done => return done,
        };
        let Some(why) = suspicion(error.stage, &error.fault, &full.progress) else { return Err(error) };
        let time = options.time.map(|time| time.saturating_sub(begun.elapsed()));
        if time.is_some_and(|left| left.is_zero()) {
            return Err(error);
        }
        let small = Opening { key, options, time, hello: Hello::Small, progress: Arc::default() };
        let again = self.open(&small).await;
        if !small.progress.is_answered() {
            // It was not the size: what was found first is what there is to tell.
            return Err(error);
        }
        let why: Arc<str> = why.into();
        warn!(address = %key.address, "a host does not answer TLS with a post-quantum key exchange, and does without: {why}");
        self.choking.note(key.address, self.settings.clock.now(), Arc::clone(&why));
        again.map(|connection| connection.after_choking(why))
    }

    async fn open(&self, opening: &Opening<'_>) -> Result<Connection<B>, ConnectError> {
        let key = opening.key;
        let mut attempt = Attempt::begin(key.address);
        let span = debug_span!("connect", address = %key.address);
        let attempting = self.attempt(opening, &mut attempt).instrument(span.clone());
        let result = match opening.time {
            None => attempting.await,
            Some(after) => timeout(after, attempting).await.unwrap_or(Err(ConnectFault::TimedOut { after })),
        };
        let times = attempt.times();
        span.in_scope(|| match result {
            Ok(mut connection) => {
                debug!(tls = ?connection.tls(), "connected");
                connection.set_opening(times, attempt.ends);
                Ok(connection)
            }
            Err(fault) => {
                let error = ConnectError {
                    address: key.address,
                    stage: attempt.stage,
                    fault,
                    times: Box::new(times),
                    extensions: attempt.extensions,
                    ends: Box::new(attempt.ends),
                };
                debug!(%error, "no connection");
                Err(error)
            }
        })
    }

    async fn attempt(&self, opening: &Opening<'_>, attempt: &mut Attempt) -> Result<Connection<B>, ConnectFault> {
        let Opening { key, options, .. } = opening;
        let tcp = self.dial(key.address).await?;
        attempt.ends.local = tcp.local_addr().ok().map(|address| address.ip().to_canonical());
        let (config, watch) = (&self.settings.session, &self.settings.watch);
        let (mut talk, mut secured) = if options.implicit_tls {
            attempt.enter(ConnectStage::Handshake);
            let shaken = self.handshake(tcp, opening).await?;
            let (stream, secured) = self.secured(shaken);
            (Talk::<B>::new(Arc::clone(config), Wire::Tls(stream), Some(secured.facts), watch.clone()), Some(secured))
        } else {
            (Talk::<B>::new(Arc::clone(config), Wire::plain_to_server(tcp), None, watch.clone()), None)
        };
        attempt.enter(ConnectStage::Banner);
        match self.greet(&mut talk, opening, attempt, &mut secured).await {
            Ok(extensions) => Ok(Connection::new(talk, WireKey::clone(key), options.generation, extensions, secured)),
            Err(fault) => {
                talk.hang_up();
                Err(fault)
            }
        }
    }

    /// From the greeting to the last EHLO, with TLS in between if it is wanted.
    async fn greet(
        &self,
        talk: &mut Talk<B>,
        opening: &Opening<'_>,
        attempt: &mut Attempt,
        secured: &mut Option<Secured>,
    ) -> Result<Arc<Extensions>, ConnectFault> {
        let extensions = greeted(talk, attempt).await?;
        let starttls = match (&secured, opening.key.demand.tls) {
            (Some(_), _) | (None, TlsRequirement::Never) => false,
            (None, TlsRequirement::Opportunistic) => extensions.starttls(),
            (None, TlsRequirement::Mandatory) if extensions.starttls() => true,
            (None, TlsRequirement::Mandatory) => {
                attempt.extensions = Some(extensions);
                return Err(ConnectFault::StartTlsNotOffered);
            }
        };
        if !starttls {
            return Ok(extensions);
        }
        attempt.extensions = Some(extensions);
        attempt.enter(ConnectStage::StartTls);
        let tcp = go_over(talk).await?;
        attempt.enter(ConnectStage::Handshake);
        let (stream, tls) = self.secured(self.handshake(tcp, opening).await?);
        talk.secure(stream, tls.facts);
        *secured = Some(tls);
        attempt.enter(ConnectStage::EhloAgain);
        greeted(talk, attempt).await
    }

    async fn dial(&self, address: SocketAddr) -> Result<TcpStream, ConnectFault> {
        let after = self.settings.connect_timeout;
        match timeout(after, dial(address, self.settings.source(address))).await {
            Err(_) => Err(ConnectFault::TimedOut { after }),
            Ok(Err(DialError::Local(error))) => Err(ConnectFault::Local { kind: error.kind() }),
            Ok(Err(DialError::Remote(error))) => Err(ConnectFault::Unreachable { kind: error.kind() }),
            Ok(Ok(tcp)) => Ok(tcp),
        }
    }

    async fn handshake(&self, tcp: TcpStream, opening: &Opening<'_>) -> Result<ClientHandshake<B::ClientStream>, ConnectFault> {
        let Opening { key, hello, progress, .. } = opening;
        let (all, first) = (self.settings.handshake_timeout, self.settings.full_hello_timeout);
        let mut shaking = pin!(self.backend.connect_with(tcp, key, *hello, progress));
        let mut after = all;
        // Another hello may follow: nobody waits long for an answer to this one.
        if *hello == Hello::Full && may_be_small(key) && first < all {
            match timeout(first, &mut shaking).await {
                Ok(shaken) => return shaken.map_err(ConnectFault::from),
                Err(_) if progress.is_answered() => after = all - first,
                Err(_) => return Err(ConnectFault::TimedOut { after: first }),
            }
        }
        match timeout(after, shaking).await {
            Err(_) => Err(ConnectFault::TimedOut { after: all }),
            Ok(shaken) => shaken.map_err(ConnectFault::from),
        }
    }

    fn secured(&self, shaken: ClientHandshake<B::ClientStream>) -> (B::ClientStream, Secured) {
        let ClientHandshake { stream, facts, chain, verdict, certificate_shown } = shaken;
        let valid_until = valid_until(&verdict, self.settings.clock.now());
        (stream, Secured { facts, chain, verdict, valid_until, certificate_shown })
    }
}

/// Where an attempt stands.
struct Attempt {
    address: SocketAddr,
    stage: ConnectStage,
    since: Instant,
    times: StageTimes,
    extensions: Option<Arc<Extensions>>,
    ends: Ends,
}

impl Attempt {
    fn begin(address: SocketAddr) -> Self {
        let (stage, times) = (ConnectStage::Connect, StageTimes::default());
        Self { address, stage, since: Instant::now(), times, extensions: None, ends: Ends::default() }
    }

    /// RFC 5321 section 4.2: the first word of a greeting is the name of the server.
    fn greeted(&mut self, greeting: &Reply) {
        self.enter(ConnectStage::Ehlo);
        let name = greeting.lines().next().and_then(|line| line.split(' ').next()).unwrap_or_default();
        self.ends.greeted_as = (!name.is_empty() && name.len() <= DOMAIN_OCTETS).then(|| name.into());
    }

    fn enter(&mut self, stage: ConnectStage) {
        let now = Instant::now();
        self.times.set(self.stage, now - self.since);
        debug!(address = %self.address, %stage, "stage");
        (self.stage, self.since) = (stage, now);
    }

    /// The times, that of the stage at hand included.
    fn times(&self) -> StageTimes {
        let mut times = self.times;
        times.set(self.stage, self.since.elapsed());
        times
    }
}

/// Waits for the reply to EHLO, and for the greeting before it if that is still to come.
async fn greeted<B: TlsBackend>(talk: &mut Talk<B>, attempt: &mut Attempt) -> Result<Arc<Extensions>, ConnectFault> {
    loop {
        match talk.next().await? {
            Happening::Event(ClientEvent::Greeting(greeting)) => attempt.greeted(&greeting),
            Happening::Event(ClientEvent::Ready { extensions, .. }) => return Ok(extensions),
            other => return Err(refused(other)),
        }
    }
}

/// Says STARTTLS and waits for 220; gives out the bare connection.
async fn go_over<B: TlsBackend>(talk: &mut Talk<B>) -> Result<TcpStream, ConnectFault> {
    let begun = talk.start_tls();
    match talk.next().await? {
        Happening::StartTls if begun => talk.take_tcp().ok_or(ConnectFault::Injected),
        other => Err(refused(other)),
    }
}

/// What it means that something else came than what was waited for.
pub(super) fn refused(happening: Happening) -> ConnectFault {
    match happening {
        Happening::Event(ClientEvent::Refused { stage: Stage::StartTls, reply }) => ConnectFault::StartTlsRefused { reply },
        Happening::Event(ClientEvent::Refused { reply, .. }) => ConnectFault::Refused { reply },
        Happening::Event(ClientEvent::Failed(ClientError::Closing { reply, .. })) => ConnectFault::Refused { reply },
        Happening::Event(ClientEvent::Failed(ClientError::BytesBehindStartTls)) => ConnectFault::Injected,
        Happening::Event(ClientEvent::Failed(cause)) => ConnectFault::Protocol { cause },
        Happening::Event(_) | Happening::StartTls | Happening::Closed => ConnectFault::Lost { kind: std::io::ErrorKind::UnexpectedEof },
    }
}

impl From<Broken> for ConnectFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TimedOut { after } => Self::TimedOut { after },
            Broken::Lost { kind } => Self::Lost { kind },
            Broken::Alert { alert } => Self::Handshake { cause: HandshakeError::Alert { alert } },
        }
    }
}

impl From<HandshakeError> for ConnectFault {
    fn from(cause: HandshakeError) -> Self {
        Self::Handshake { cause }
    }
}
