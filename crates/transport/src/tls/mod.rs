//! What a TLS library must do for Sealpost: handshake in; stream, facts, certificates and verdict out.

mod adapter;
mod anchors;
mod hello;
mod identity;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use sealpost_cert::Verdict;
use sealpost_types::{Blame, FloorMissed, Retry, TlsFacts, UnixMillis, WireKey};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::net::TcpStream;

pub use adapter::{
    AnchorSwitch, BackendError, ClientIdentities, ClientIdentitySwitch, IdentitySwitch, RustlsBackend, RustlsSettings, RustlsStream,
    SESSION_KEYS, SESSION_LIFETIME,
};
pub use anchors::{SystemAnchors, system_anchors};
pub use hello::{Hello, Progress};
pub use identity::{IdentityError, ServerIdentity};

/// A TLS library in both roles.
///
/// No type of the library shows here, so that a second one may serve peers that the first cannot talk to.
pub trait TlsBackend: Send + Sync + 'static {
    /// A connection under TLS that this side opened.
    type ClientStream: AsyncBufRead + AsyncWrite + Unpin + Send + 'static;
    /// A connection under TLS that the other side opened.
    type ServerStream: AsyncBufRead + AsyncWrite + Unpin + Send + 'static;

    /// Shakes hands as a client and judges the server's certificate against the demand of `key`.
    ///
    /// The full check runs whatever the demand is. The handshake fails because of it only if the demand is
    /// authenticated and not satisfied. Tickets are kept per `key` and never cross to another. `progress` tells how far it
    /// came, also if the future is dropped.
    ///
    /// # Errors
    /// [`HandshakeError`]; there is no time limit here, so the caller sets one.
    fn connect_with(
        &self,
        tcp: TcpStream,
        key: &WireKey,
        hello: Hello,
        progress: &Arc<Progress>,
    ) -> impl Future<Output = Result<ClientHandshake<Self::ClientStream>, HandshakeError>> + Send;

    /// [`connect_with`](Self::connect_with) all that the demand allows in the hello.
    ///
    /// # Errors
    /// The same.
    fn connect(
        &self,
        tcp: TcpStream,
        key: &WireKey,
    ) -> impl Future<Output = Result<ClientHandshake<Self::ClientStream>, HandshakeError>> + Send {
        async move { self.connect_with(tcp, key, Hello::Full, &Arc::default()).await }
    }

    /// Shakes hands as a server. A client that is asked for a certificate may have none, or one that proves nothing.
    ///
    /// # Errors
    /// [`HandshakeError`]; there is no time limit here, so the caller sets one.
    fn accept(
        &self,
        tcp: TcpStream,
        certificate: ClientCertificate,
    ) -> impl Future<Output = Result<ServerHandshake<Self::ServerStream>, HandshakeError>> + Send;

    /// Whether there is a certificate to accept connections with.
    fn can_accept(&self) -> bool;

    /// Forgets the tickets of every policy generation before `generation`.
    fn invalidate(&self, generation: u64);
}

/// Whether a server asks its clients for a certificate. None has to have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a question is put or it is not")]
pub enum ClientCertificate {
    /// It does not: some clients break when asked.
    #[default]
    NotAsked,
    /// It does.
    Asked,
}

/// What a finished handshake yields on the connecting side.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientHandshake<S> {
    /// The connection.
    pub stream: S,
    /// What was negotiated.
    pub facts: TlsFacts,
    /// The server's certificates in DER, its own first; those of the first handshake if this one was resumed.
    pub chain: Arc<[Vec<u8>]>,
    /// What the demand says of the chain; that of the first handshake if this one was resumed.
    pub verdict: Arc<Verdict>,
    /// Whether the server asked for a certificate and was shown that of [`WireKey::identity`]; what it makes of it, it need not say.
    pub certificate_shown: bool,
}

/// What a finished handshake yields on the accepting side.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerHandshake<S> {
    /// The connection.
    pub stream: S,
    /// What was negotiated.
    pub facts: TlsFacts,
    /// The client's certificates in DER, its own first; empty if it showed none, or one that cannot be read or whose key is too
    /// weak. That the client holds the key of the first is certain; nothing else is.
    pub chain: Vec<Vec<u8>>,
}

impl<S> ClientHandshake<S> {
    /// A finished handshake of its parts.
    #[must_use]
    pub fn new(stream: S, facts: TlsFacts, chain: Arc<[Vec<u8>]>, verdict: Arc<Verdict>) -> Self {
        Self { stream, facts, chain, verdict, certificate_shown: false }
    }

    /// The same after a certificate was shown.
    #[must_use]
    pub fn with_certificate_shown(mut self, shown: bool) -> Self {
        self.certificate_shown = shown;
        self
    }
}

impl<S> ServerHandshake<S> {
    /// A finished handshake of its parts.
    #[must_use]
    pub fn new(stream: S, facts: TlsFacts, chain: Vec<Vec<u8>>) -> Self {
        Self { stream, facts, chain }
    }
}

/// Why a handshake failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The certificate does not satisfy the demand; the findings say why.
    Unverified {
        /// What was found, boxed because it is large.
        verdict: Arc<Verdict>,
    },
    /// The session came about, and is below a floor of the demand.
    BelowFloor {
        /// What it lacks.
        missed: FloorMissed,
    },
    /// The other side broke it off with an alert.
    Alert {
        /// The alert's name in the IANA registry "TLS Alerts", such as `handshake_failure`, or its number.
        alert: AlertName,
    },
    /// The other side closed or reset the connection.
    Closed {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The two sides have no version, cipher suite or group in common, or the other side broke the protocol.
    Protocol {
        /// What the TLS library says.
        detail: Box<str>,
    },
    /// The other side's certificate cannot be read, or its key does not sign as it should.
    Certificate {
        /// What the TLS library says.
        detail: Box<str>,
    },
    /// This side has no certificate to show.
    NoIdentity,
}

/// The name of a TLS alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertName(Box<str>);

/// When a chain stops being what the verdict says of it: the end of its validated path, else of the certificate itself.
/// A certificate that had expired before says nothing about the future.
pub(crate) fn valid_until(verdict: &Verdict, now: UnixMillis) -> UnixMillis {
    let leaf = verdict.leaf.as_ref().map(|leaf| leaf.not_after).filter(|end| *end > now);
    verdict.valid_until.or(leaf).unwrap_or(UnixMillis(i64::MAX))
}

impl AlertName {
    /// The alert of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HandshakeError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unverified { .. } | Self::BelowFloor { .. } | Self::Alert { .. } | Self::Protocol { .. } | Self::Certificate { .. } => {
                Blame::Peer
            }
            Self::Closed { .. } => Blame::Network,
            Self::NoIdentity => Blame::Us,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NoIdentity => Retry::Later,
            _ => Retry::OtherHost,
        }
    }
}

impl fmt::Display for AlertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified { verdict } => {
                f.write_str("the certificate does not satisfy the demand")?;
                verdict.findings.iter().enumerate().try_for_each(|(n, finding)| {
                    f.write_str(if n == 0 { ": " } else { "; " })?;
                    finding.fmt(f)
                })
            }
            Self::BelowFloor { missed } => missed.fmt(f),
            Self::Alert { alert } => write!(f, "the other side refused with the TLS alert {alert}"),
            Self::Closed { kind } => write!(f, "the connection was lost during the handshake ({kind})"),
            Self::Protocol { detail } => write!(f, "no agreement on TLS: {detail}"),
            Self::Certificate { detail } => write!(f, "the certificate cannot be used: {detail}"),
            Self::NoIdentity => f.write_str("there is no certificate to accept TLS with"),
        }
    }
}

impl std::error::Error for HandshakeError {}
