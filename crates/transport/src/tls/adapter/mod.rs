//! rustls with aws-lc-rs behind [`TlsBackend`]. No type of either leaves this folder, except inside opaque ones.

mod fault;
mod identities;
mod sessions;
mod shown;
mod stream;
mod verifier;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WantsServerCert;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, CommonState, ConfigBuilder, HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion, WantsVerifier,
};
use sealpost_cert::TrustAnchors;
use sealpost_types::{Blame, CipherSet, CipherSuite, HostDemand, KexFloor, KexGroup, Retry, TlsFacts, TlsVersion, WireKey};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::fault::handshake_error;
use self::identities::IdentitySlot;
use self::sessions::{SessionStore, TicketStore, WireTls};
use self::shown::Shown;
use self::verifier::{DangerAnyClient, WireVerifier, is_provable};
use super::{ClientCertificate, ClientHandshake, HandshakeError, Hello, Progress, ServerHandshake, ServerIdentity, TlsBackend};
use crate::WallClock;
use crate::stream::PlainStream;

pub use identities::IdentitySwitch;
pub use shown::{ClientIdentities, ClientIdentitySwitch};
pub use stream::RustlsStream;

/// What a [`RustlsBackend`] is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RustlsSettings {
    /// Whom chains must end in, for demands that ask for a chain.
    pub anchors: Arc<TrustAnchors>,
    /// The certificates to show as a server, chosen by name ([`IdentitySwitch::set`]); none on a side that only connects.
    pub identities: Vec<ServerIdentity>,
    /// The certificates to show as a client to servers that ask for one; none.
    pub client_identities: ClientIdentities,
    /// The lowest version that is accepted as a server. TLS 1.2. (As a client, each demand brings its own.)
    pub min_version: TlsVersion,
    /// The weakest key exchange that is accepted as a server. Any.
    pub min_group: KexFloor,
    /// The cipher suites that are accepted as a server. All that there are.
    pub ciphers: Option<CipherSet>,
    /// For how many [`WireKey`]s tickets are kept. [`SESSION_KEYS`].
    pub session_keys: usize,
    /// How long tickets are used before a full handshake judges the certificate again. [`SESSION_LIFETIME`].
    pub session_lifetime: Duration,
    /// Where the date comes from.
    pub clock: WallClock,
}

/// TLS 1.2 and 1.3 by rustls, its algorithms by aws-lc-rs, the post-quantum group X25519MLKEM768 first.
///
/// The process-wide default provider is neither read nor set; any number of these live side by side.
///
/// # Limits
/// No RSA key exchange, no TLS below 1.2, no certificate with an RSA key below 2048 bits: peers that have nothing else
/// cannot be reached over TLS.
pub struct RustlsBackend {
    /// All that a configuration needs but the verifier and the tickets of a key.
    client_tls12: ConfigBuilder<ClientConfig, WantsVerifier>,
    client_tls13: ConfigBuilder<ClientConfig, WantsVerifier>,
    server: TlsAcceptor,
    /// The same, but asking clients for a certificate. Its tickets are its own.
    asking_server: TlsAcceptor,
    algorithms: WebPkiSupportedAlgorithms,
    identities: IdentitySwitch,
    client_identities: ClientIdentitySwitch,
    anchors: AnchorSwitch,
    session_lifetime: Duration,
    clock: WallClock,
}

/// Why a [`RustlsBackend`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The system gives no random bytes to make ticket keys from.
    #[error("the operating system gives no random bytes")]
    Randomness,
    /// The cryptographic library lacks an algorithm that the versions need.
    #[error("the cryptographic library cannot serve TLS 1.2 and 1.3: {detail}")]
    Provider {
        /// What it says.
        detail: Box<str>,
    },
}

/// Exchanges the trust anchors of a [`RustlsBackend`], and what is revoked below them, while it connects.
#[derive(Clone, Debug)]
pub struct AnchorSwitch {
    anchors: Arc<RwLock<Arc<TrustAnchors>>>,
    sessions: Arc<SessionStore>,
}

/// The settings' clock, for rustls.
#[derive(Debug)]
struct RustlsClock(WallClock);

impl RustlsSettings {
    /// Settings for a side that connects, with these trust anchors.
    #[must_use]
    pub fn new(anchors: Arc<TrustAnchors>) -> Self {
        Self {
            anchors,
            identities: Vec::new(),
            client_identities: ClientIdentities::default(),
            min_version: TlsVersion::Tls1_2,
            min_group: KexFloor::Any,
            ciphers: None,
            session_keys: SESSION_KEYS,
            session_lifetime: SESSION_LIFETIME,
            clock: WallClock::system(),
        }
    }
}

impl RustlsBackend {
    /// A backend of these settings.
    ///
    /// # Errors
    /// [`BackendError::Randomness`] for want of random bytes; [`BackendError::Provider`] if the library was built without
    /// what it needs, or the settings leave it no cipher suite or group.
    pub fn new(settings: RustlsSettings) -> Result<Self, BackendError> {
        let sessions = SessionStore::new(settings.session_keys);
        Self::with_sessions(settings, sessions)
    }

    /// Has the cryptographic library gather the randomness that it begins with.
    ///
    /// That takes it some 60 ms of a processor (aws-lc measures jitter), once in a process, when random bytes are first wanted: by
    /// [`new`](Self::new), if by nothing before. A program that calls this in a thread of its own reads its files meanwhile.
    /// Where it fails, `new` says so.
    pub fn gather_randomness() {
        let _ = aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
    }

    fn with_sessions(settings: RustlsSettings, sessions: SessionStore) -> Result<Self, BackendError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let time: Arc<dyn TimeProvider> = Arc::new(RustlsClock(settings.clock.clone()));
        let identities = IdentitySwitch::default();
        identities.set(&settings.identities);
        let offered = Arc::new(provider_of(settings.min_group, settings.ciphers.as_ref()));
        let builder = ServerConfig::builder_with_details(offered, Arc::clone(&time))
            .with_protocol_versions(versions(settings.min_version))
            .map_err(provider_error)?;
        let algorithms = provider.signature_verification_algorithms;
        let asking = builder.clone().with_client_cert_verifier(Arc::new(DangerAnyClient { algorithms }));
        let server = acceptor(builder.with_no_client_auth(), &identities.0)?;
        let asking_server = acceptor(asking, &identities.0)?;
        let client = |lowest| {
            ClientConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&time))
                .with_protocol_versions(versions(lowest))
                .map_err(provider_error)
        };
        let sessions = Arc::new(sessions);
        let shown = Arc::new(RwLock::new(settings.client_identities));
        Ok(Self {
            client_tls12: client(TlsVersion::Tls1_2)?,
            client_tls13: client(TlsVersion::Tls1_3)?,
            server,
            asking_server,
            algorithms,
            identities,
            client_identities: ClientIdentitySwitch { identities: shown, sessions: Arc::clone(&sessions) },
            anchors: AnchorSwitch { anchors: Arc::new(RwLock::new(settings.anchors)), sessions },
            session_lifetime: settings.session_lifetime,
            clock: settings.clock,
        })
    }

    /// What exchanges the certificates that are shown, for whoever watches their files.
    #[must_use]
    pub fn identity_switch(&self) -> IdentitySwitch {
        self.identities.clone()
    }

    /// What exchanges the certificates that are shown as a client, for whoever watches their files.
    #[must_use]
    pub fn client_identity_switch(&self) -> ClientIdentitySwitch {
        self.client_identities.clone()
    }

    /// What exchanges the anchors, for whoever watches their files.
    #[must_use]
    pub fn anchor_switch(&self) -> AnchorSwitch {
        self.anchors.clone()
    }

    /// The configurations, verifier and tickets of `key`; made once, when the key is first met.
    fn wire(&self, key: &WireKey) -> Arc<WireTls> {
        self.anchors.sessions.wire(key, || {
            let tickets = Arc::new(TicketStore::new(self.clock.clone()));
            let verifier = Arc::new(WireVerifier {
                demand: key.demand.clone(),
                anchors: Arc::clone(&self.anchors.anchors.read().unwrap_or_else(PoisonError::into_inner)),
                algorithms: self.algorithms,
                session_lifetime: self.session_lifetime,
                tickets: Arc::clone(&tickets),
                judged: Mutex::default(),
            });
            let shown = self.client_identities.shown(&key.identity);
            Arc::new(WireTls { full: OnceLock::new(), small: OnceLock::new(), verifier, tickets, shown })
        })
    }

    /// What connects for `key` with such a hello; one verifier and its tickets serve both.
    fn connector<'w>(&self, wire: &'w WireTls, key: &WireKey, hello: Hello) -> &'w TlsConnector {
        let place = if hello == Hello::Small { &wire.small } else { &wire.full };
        place.get_or_init(|| {
            // "Dangerous" because a verifier of one's own may check nothing. This one checks all there is.
            let dangerous = self.client_builder(&key.demand, hello).dangerous();
            let builder = dangerous.with_custom_certificate_verifier(Arc::clone(&wire.verifier) as _);
            let mut config = match &wire.shown {
                Some(shown) => builder.with_client_cert_resolver(Arc::clone(shown) as _),
                None => builder.with_no_client_auth(),
            };
            // A resumed TLS 1.2 session has no key exchange of its own, which no floor but the lowest puts up with.
            let resumes = key.demand.min_group == KexFloor::Any;
            config.resumption = if resumes { Resumption::store(Arc::clone(&wire.tickets) as _) } else { Resumption::disabled() };
            TlsConnector::from(Arc::new(config))
        })
    }
}

impl RustlsBackend {
    /// A configuration that offers nothing below the floors of a demand.
    ///
    /// Where the library has nothing left to offer, all of it is: the session is then found to be below the floor.
    fn client_builder(&self, demand: &HostDemand, hello: Hello) -> ConfigBuilder<ClientConfig, WantsVerifier> {
        let builder = if demand.min_version > TlsVersion::Tls1_2 { &self.client_tls13 } else { &self.client_tls12 };
        if demand.min_group == KexFloor::Any && demand.ciphers.is_none() && hello == Hello::Full {
            return builder.clone();
        }
        let mut provider = provider_of(demand.min_group, demand.ciphers.as_ref());
        if hello == Hello::Small {
            provider.kx_groups.retain(|group| !KexGroup(u16::from(group.name())).is_post_quantum());
        }
        let time: Arc<dyn TimeProvider> = Arc::new(RustlsClock(self.clock.clone()));
        let floored = ClientConfig::builder_with_details(Arc::new(provider), time).with_protocol_versions(versions(demand.min_version));
        floored.unwrap_or_else(|_| builder.clone())
    }
}

impl TlsBackend for RustlsBackend {
    type ClientStream = RustlsStream;
    type ServerStream = RustlsStream;

    async fn connect_with(
        &self,
        tcp: TcpStream,
        key: &WireKey,
        hello: Hello,
        progress: &Arc<Progress>,
    ) -> Result<ClientHandshake<RustlsStream>, HandshakeError> {
        let wire = self.wire(key);
        let connector = self.connector(&wire, key, hello);
        let (stream, shown) = Shown::watch(connector.connect(server_name(key), PlainStream::to_server(tcp).telling(progress))).await;
        let stream = stream.map_err(|error| handshake_error(&error))?;
        let connection = stream.get_ref().1;
        let chain = connection.peer_certificates().unwrap_or_default();
        let judged = wire.verifier.judged(chain, self.clock.now());
        // A resumed session comes without a call to the verifier: what it would refuse is refused here too.
        if let Some(unsatisfied) = wire.verifier.refusal(&judged) {
            return Err(HandshakeError::Unverified { verdict: unsatisfied.0 });
        }
        let facts = facts(connection)?;
        if let Some(missed) = key.demand.floor_missed(&facts) {
            return Err(HandshakeError::BelowFloor { missed });
        }
        let certificate_shown = wire.shown.as_ref().is_some_and(|identity| identity.was_shown(shown, facts.resumed));
        let stream = RustlsStream::new(stream.into());
        Ok(ClientHandshake { stream, facts, chain: judged.chain, verdict: judged.verdict, certificate_shown })
    }

    async fn accept(&self, tcp: TcpStream, certificate: ClientCertificate) -> Result<ServerHandshake<RustlsStream>, HandshakeError> {
        if !self.can_accept() {
            return Err(HandshakeError::NoIdentity);
        }
        let acceptor = match certificate {
            ClientCertificate::NotAsked => &self.server,
            ClientCertificate::Asked => &self.asking_server,
        };
        let stream = acceptor.accept(PlainStream::new(tcp)).await.map_err(|error| handshake_error(&error))?;
        let connection = stream.get_ref().1;
        let shown = connection.peer_certificates().filter(|chain| chain.first().is_some_and(is_provable));
        let chain = shown.unwrap_or_default().iter().map(|der| der.to_vec()).collect();
        let facts = facts(connection)?;
        Ok(ServerHandshake { facts, chain, stream: RustlsStream::new(stream.into()) })
    }

    fn can_accept(&self) -> bool {
        !self.identities.0.is_empty()
    }

    fn invalidate(&self, generation: u64) {
        self.anchors.sessions.invalidate(generation);
    }
}

impl AnchorSwitch {
    /// Trusts these anchors from the next handshake on, and forgets every ticket.
    pub fn set(&self, anchors: Arc<TrustAnchors>) {
        *self.anchors.write().unwrap_or_else(PoisonError::into_inner) = anchors;
        self.sessions.clear();
    }
}

impl BackendError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Randomness => Retry::Later,
            Self::Provider { .. } => Retry::Never,
        }
    }
}

impl fmt::Debug for RustlsBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsBackend").field("sessions", &self.anchors.sessions).finish_non_exhaustive()
    }
}

impl TimeProvider for RustlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        u64::try_from(self.0.now().0).ok().map(|millis| UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

/// The library's algorithms at or above these floors.
fn provider_of(min_group: KexFloor, ciphers: Option<&CipherSet>) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| KexGroup(u16::from(group.name())).strength() >= min_group);
    if let Some(ciphers) = ciphers {
        provider.cipher_suites.retain(|suite| ciphers.contains(CipherSuite(u16::from(suite.suite()))));
    }
    provider
}

fn acceptor(builder: ConfigBuilder<ServerConfig, WantsServerCert>, identities: &Arc<IdentitySlot>) -> Result<TlsAcceptor, BackendError> {
    let mut config = builder.with_cert_resolver(Arc::clone(identities) as _);
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|_| BackendError::Randomness)?;
    // Enough for a client that resumes: that connection brings it the next one.
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    if lowest > TlsVersion::Tls1_2 { TLS13_ONLY } else { TLS12_TOO }
}

fn provider_error(error: rustls::Error) -> BackendError {
    BackendError::Provider { detail: error.to_string().into() }
}

/// The name for SNI. An address is never sent, and a name that TLS cannot carry (an underscore at its end) is left out.
fn server_name(key: &WireKey) -> ServerName<'static> {
    let name = key.server_name.as_ref().and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
    name.unwrap_or_else(|| ServerName::from(key.address.ip()))
}

fn facts(connection: &CommonState) -> Result<TlsFacts, HandshakeError> {
    let missing = |what: &str| HandshakeError::Protocol { detail: format!("no {what} was negotiated").into() };
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls1_2,
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls1_3,
        _ => return Err(missing("version")),
    };
    let suite = connection.negotiated_cipher_suite().ok_or_else(|| missing("cipher suite"))?.suite();
    let group = connection.negotiated_key_exchange_group().map(|group| KexGroup(u16::from(group.name())));
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(TlsFacts::new(version, CipherSuite(u16::from(suite)), group, resumed))
}

/// Default of [`RustlsSettings::session_keys`]: some 10 KiB each at the very most.
pub const SESSION_KEYS: usize = 1024;

/// Default of [`RustlsSettings::session_lifetime`]: an hour.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(3600);

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];
static TLS12_TOO: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

#[cfg(test)]
mod tests;
