//! Why a relay does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sealpost_cert::{AnchorProblem, PemError, RevocationListError};
use sealpost_discovery::{AnchorsError, ResolverSetupError};
use sealpost_report::HistoryError;
use sealpost_report::tlsrpt::{BookError, DkimKeyError};
use sealpost_transport::{BackendError, IdentityError, ListenError};
use sealpost_types::{Blame, Domain, Retry};

use crate::config::ConfigError;
use crate::policy_file::PolicyFileError;

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file cannot be read.
    #[error("cannot read {what} {}", path.display())]
    Unreadable {
        /// What the file is for, as the configuration calls it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The relay's own file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy cannot be read, or is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The relay's own certificate cannot be used.
    #[error("[tls] certificate and private_key cannot be used")]
    Identity(#[from] IdentityError),
    /// The certificate that is shown to servers cannot be used.
    #[error("[delivery] client_certificate and client_key cannot be used")]
    ClientIdentity(#[source] IdentityError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] BackendError),
    /// The name servers cannot be used.
    #[error("[dns] servers cannot be used")]
    Resolver(#[from] ResolverSetupError),
    /// The data directory cannot be used.
    #[error("cannot use data_dir {} (a directory that this user may write is meant)", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of trust anchors is no list of certificates.
    #[error("{what} {} (a PEM file of certificates is meant)", path.display())]
    TrustAnchors {
        /// What the file is for, as the configuration calls it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// No certificate in a file of trust anchors can be one.
    #[error("{what} {} has none that can be used", path.display())]
    NoTrustAnchor {
        /// What the file is for, as the configuration calls it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with the first.
        source: AnchorProblem,
    },
    /// The file of DNSSEC's trust anchors has none.
    #[error("[dns] trust_anchor {}", path.display())]
    DnssecAnchor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: AnchorsError,
    },
    /// The revocation lists cannot be used.
    #[error("[tls] revocation_lists {}", path.display())]
    RevocationLists {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RevocationListError,
    },
    /// The counters for TLS reports cannot be opened.
    #[error(transparent)]
    TlsReports(BookError),
    /// The key that signs TLS reports cannot be used.
    #[error("[tlsrpt] dkim_key {}", path.display())]
    DkimKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DkimKeyError,
    },
    /// The host name cannot be said in EHLO.
    #[error("hostname {hostname} is too long for EHLO")]
    Hostname {
        /// The name.
        hostname: Domain,
    },
    /// The queue cannot be opened.
    #[error("the queue cannot be opened")]
    Queue(#[from] sealpost_queue::OpenError),
    /// The history cannot be opened.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The cache of MTA-STS policies cannot be opened.
    #[error("the cache of MTA-STS policies cannot be opened")]
    StsCache(#[from] sealpost_store::OpenError),
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
    #[error("cannot serve {address}")]
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
            Self::Policy(error) => error.blame(),
            Self::Config(_) | Self::NoCertificate { .. } => Blame::Caller,
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use sealpost_types::WithCauses;

    use super::*;

    /// Whoever shows an error walks to its causes: what the text says already would stand there twice.
    #[test]
    fn no_text_repeats_its_cause() {
        let (path, io) = (PathBuf::from("/a"), || io::Error::other("the cause"));
        let store = || sealpost_queue::OpenError::Io { path: PathBuf::from("/q"), source: io() };
        let errors = [
            StartError::Policy(PolicyFileError::Unreadable { path: path.clone(), source: io().into() }),
            StartError::Unreadable { what: "the configuration", path: path.clone(), source: io() },
            StartError::Identity(IdentityError::Unreadable { path: path.clone(), source: io() }),
            StartError::ClientIdentity(IdentityError::NoKey { path: path.clone() }),
            StartError::Resolver(ResolverSetupError::NoServers),
            StartError::DataDir { path: path.clone(), source: io() },
            StartError::TrustAnchors { what: "[tls] trust_anchors", path, source: sealpost_cert::TrustAnchors::from_pem(b"").unwrap_err() },
            StartError::Queue(store()),
            StartError::Listen(ListenError::Io { address: ([127, 0, 0, 1], 25).into(), source: io() }),
            StartError::Listener { address: ([127, 0, 0, 1], 25).into(), source: io() },
        ];
        for error in errors {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(!cause.is_empty() && !error.to_string().contains(&cause), "{error}");
            assert!(WithCauses(&error).to_string().contains(&cause));
        }
    }
}
