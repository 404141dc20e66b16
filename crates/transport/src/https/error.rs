//! Why a request over HTTPS has no answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sealpost_types::{Blame, Retry};

use super::HttpsUrl;
use crate::tls::HandshakeError;

/// Why a request over HTTPS has no answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpsError {
    /// What was asked for.
    pub url: HttpsUrl,
    /// Where the connection went; none if there was no address to go to.
    pub address: Option<SocketAddr>,
    /// What went wrong.
    pub fault: HttpsFault,
}

/// What went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HttpsFault {
    /// There is no address to connect to.
    NoAddress,
    /// This host cannot open a socket.
    Local {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The host refuses connections, or there is no way to it.
    Unreachable {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// It took too long.
    TimedOut {
        /// In the middle of what.
        stage: HttpsStage,
        /// How long was waited in all.
        after: Duration,
    },
    /// The TLS handshake failed, or the certificate is not one of this host by a trusted authority.
    Handshake {
        /// Why.
        cause: HandshakeError,
    },
    /// The request cannot be sent as HTTP; nothing was.
    Request {
        /// What is wrong with it.
        detail: Box<str>,
    },
    /// The connection broke, or what came is no HTTP.
    Broken {
        /// What the HTTP library says.
        detail: Box<str>,
    },
    /// The answer is larger than what is taken.
    TooLarge {
        /// Octets that are taken.
        limit: usize,
    },
}

/// A stage of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HttpsStage {
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Sending the request and reading the answer.
    Answer,
}

impl HttpsError {
    /// Whether the host's certificate was judged, and is not right.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        matches!(&self.fault, HttpsFault::Handshake { cause: HandshakeError::Unverified { .. } | HandshakeError::Certificate { .. } })
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match &self.fault {
            HttpsFault::Local { .. } => Blame::Us,
            HttpsFault::Request { .. } => Blame::Caller,
            HttpsFault::Unreachable { .. } | HttpsFault::TimedOut { .. } => Blame::Network,
            HttpsFault::Handshake { cause } => cause.blame(),
            HttpsFault::NoAddress | HttpsFault::Broken { .. } | HttpsFault::TooLarge { .. } => Blame::Peer,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.fault {
            HttpsFault::Request { .. } => Retry::Never,
            _ => Retry::Later,
        }
    }
}

impl fmt::Display for HttpsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} ({address}): {}", self.url, self.fault),
            None => write!(f, "{}: {}", self.url, self.fault),
        }
    }
}

impl fmt::Display for HttpsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("the host has no address"),
            Self::Local { kind } => write!(f, "this host cannot open the connection ({kind})"),
            Self::Unreachable { kind } => kind.fmt(f),
            Self::TimedOut { stage, after } => write!(f, "{stage} did not end within {} s", (after.as_secs_f32() * 100.0).round() / 100.0),
            Self::Handshake { cause } => cause.fmt(f),
            Self::Request { detail } => write!(f, "the request cannot be sent: {detail}"),
            Self::Broken { detail } => write!(f, "the answer did not come whole: {detail}"),
            Self::TooLarge { limit } => write!(f, "the answer is larger than {limit} octets"),
        }
    }
}

impl fmt::Display for HttpsStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Handshake => "the TLS handshake",
            Self::Answer => "the answer",
        })
    }
}

impl std::error::Error for HttpsError {}
