//! Why a relay cannot be managed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sealpost_types::{Blame, Retry};

/// Why the management of a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another process answers on the socket.
    #[error("[admin] socket {}: a relay answers there already; stop it, or name another socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else in its place.
    #[error("[admin] socket {}: that is no socket, and is left alone; remove it, or name another one", path.display())]
    NoSocket {
        /// What is there.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("[admin] socket {} cannot be made (a folder that this user may write, and at most 107 octets, are meant)", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("[admin] address {address} cannot be listened on")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The address for metrics cannot be listened on.
    #[error("[metrics] address {address} cannot be listened on")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The token's file cannot be read.
    #[error("[admin] token {} cannot be read", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The token is too easy to guess, or nothing that a header can carry.
    #[error("[admin] token {}: one line of at least 16 printable characters without spaces is meant", path.display())]
    WeakToken {
        /// The file.
        path: PathBuf,
    },
}

impl AdminError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::InUse { .. } | Self::NoSocket { .. } | Self::WeakToken { .. } => Blame::Caller,
            Self::Socket { .. } | Self::Address { .. } | Self::Metrics { .. } | Self::Token { .. } => Blame::Us,
        }
    }

    /// Not before somebody changes something.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}
