//! Why no connection came about.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{ClientError, Extensions, Reply};
use sealpost_types::{Blame, Retry, Severity};

use super::stage::{ConnectStage, StageTimes};
use crate::tls::HandshakeError;

/// Why no connection came about, and where in its making.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectError {
    /// Where the connection was going.
    pub address: SocketAddr,
    /// What was being done.
    pub stage: ConnectStage,
    /// What went wrong.
    pub fault: ConnectFault,
    /// How long each stage took, the failed one included.
    pub times: Box<StageTimes>,
    /// What the server offered in clear, if it came to that.
    pub extensions: Option<Arc<Extensions>>,
    /// Who met, as far as it came to that.
    pub ends: Box<Ends>,
}

/// The two ends of a connection, beside the address that it goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends {
    /// The address of this side, if a connection came about at all.
    pub local: Option<IpAddr>,
    /// What the server calls itself in its greeting, if it came to that.
    pub greeted_as: Option<Box<str>>,
}

/// What went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectFault {
    /// This host cannot open a socket, or not from the source address that was asked for.
    Local {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The host refuses connections, or there is no way to it.
    Unreachable {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// Nothing came in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The server closed or reset the connection without a word.
    Lost {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The server refused: 4yz or 5yz at the greeting or at EHLO, or 421 anywhere.
    Refused {
        /// What it said, in full.
        reply: Reply,
    },
    /// TLS is mandatory, and the server does not offer STARTTLS.
    StartTlsNotOffered,
    /// The server offers STARTTLS and then refuses it.
    StartTlsRefused {
        /// What it said, in full.
        reply: Reply,
    },
    /// The TLS handshake failed, or the certificate does not satisfy the demand.
    Handshake {
        /// Why.
        cause: HandshakeError,
    },
    /// Something was sent in clear behind the reply to STARTTLS, where TLS must begin: somebody injects
    /// (CVE-2011-0411).
    Injected,
    /// The server does not speak SMTP as it should.
    Protocol {
        /// How.
        cause: ClientError,
    },
}

impl ConnectError {
    /// Whether TLS cannot be had from this host: then an opportunistic delivery may go in clear on a new connection,
    /// and a mandatory one failed because of TLS.
    ///
    /// A time-out, a 421 or a connection lost outside the handshake is not: it says nothing of TLS.
    #[must_use]
    pub fn is_tls_failure(&self) -> bool {
        match &self.fault {
            ConnectFault::StartTlsNotOffered | ConnectFault::Injected => true,
            ConnectFault::StartTlsRefused { reply } => reply.severity() == Severity::Permanent || reply.code().value() == TLS_NOT_AVAILABLE,
            ConnectFault::Handshake { cause } => !matches!(cause, HandshakeError::NoIdentity),
            _ => false,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match &self.fault {
            ConnectFault::Local { .. } => Blame::Us,
            ConnectFault::Unreachable { .. } | ConnectFault::TimedOut { .. } | ConnectFault::Lost { .. } | ConnectFault::Injected => {
                Blame::Network
            }
            ConnectFault::Handshake { cause } => cause.blame(),
            ConnectFault::Refused { .. }
            | ConnectFault::StartTlsNotOffered
            | ConnectFault::StartTlsRefused { .. }
            | ConnectFault::Protocol { .. } => Blame::Peer,
        }
    }

    /// What to do about it: nearly always another host, for nothing was said of the message.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match &self.fault {
            ConnectFault::Local { .. } => Retry::Later,
            ConnectFault::Handshake { cause } => cause.retry(),
            _ => Retry::OtherHost,
        }
    }

    /// What the server said, where it said something.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.fault {
            ConnectFault::Refused { reply } | ConnectFault::StartTlsRefused { reply } => Some(reply),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.address, self.stage, self.fault)
    }
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { kind } => write!(f, "this host cannot open the connection ({kind})"),
            Self::Unreachable { kind } => kind.fmt(f),
            Self::TimedOut { after } => write!(f, "no answer within {} s", (after.as_secs_f32() * 100.0).round() / 100.0),
            Self::Lost { kind } => write!(f, "the server closed the connection ({kind})"),
            Self::Refused { reply } => write!(f, "refused: {reply}"),
            Self::StartTlsNotOffered => f.write_str("TLS is required, but the server does not offer STARTTLS"),
            Self::StartTlsRefused { reply } => write!(f, "STARTTLS refused: {reply}"),
            Self::Handshake { cause } => cause.fmt(f),
            Self::Injected => f.write_str("text in clear follows STARTTLS where TLS must begin"),
            Self::Protocol { cause } => cause.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

/// RFC 3207 section 4: TLS not available due to temporary reason.
const TLS_NOT_AVAILABLE: u16 = 454;
