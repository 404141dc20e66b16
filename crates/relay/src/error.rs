//! Why a relay does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sealpost_cert::PemError;
use sealpost_discovery::ResolverSetupError;
use sealpost_policy::PolicyErrors;
use sealpost_report::HistoryError;
use sealpost_transport::{AnchorsError, BackendError, IdentityError, ListenError};
use sealpost_types::{Blame, Domain, Retry};

use crate::config::ConfigError;

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The relay's own file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// The relay's own certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The trust anchors cannot be used.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] BackendError),
    /// The name servers cannot be used.
    #[error("[dns]: {0}")]
    Resolver(#[from] ResolverSetupError),
    /// The data directory cannot be used.
    #[error("data_dir {}: {source}; a directory that this user may write is meant", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of trust anchors holds none.
    #[error("{}: {source}; a PEM file of certificates is meant", path.display())]
    TrustAnchors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// The host name cannot be said in EHLO.
    #[error("hostname {hostname} is too long for EHLO")]
    Hostname {
        /// The name.
        hostname: Domain,
    },
    /// The queue cannot be opened.
    #[error("the queue cannot be opened: {0}")]
    Queue(#[from] sealpost_queue::OpenError),
    /// The history cannot be opened.
    #[error("the history cannot be opened: {0}")]
    History(#[from] HistoryError),
    /// A listener offers TLS, and there is no certificate.
    #[error("the listener on {address} offers TLS, but there is no certificate; [tls] certificate and private_key are needed")]
    NoCertificate {
        /// The listener's address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A socket that was opened cannot be used.
    #[error("cannot serve {address}: {source}")]
    Listener {
        /// The listener's address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl StartError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Config(_) | Self::Policy(_) | Self::NoCertificate { .. } => Blame::Caller,
            Self::Listen(error) => error.blame(),
            _ => Blame::Us,
        }
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Listen(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
