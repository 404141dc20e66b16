//! Why a domain that seems to have a policy has none that can be used.

use sealpost_transport::{HttpsError, HttpsFault};
use sealpost_types::{Domain, TlsFailureType};

use super::{StsPolicyError, StsRecordError};
use crate::ResolveError;

/// Why a policy could not be had. One that was had before holds on; else the domain counts as one without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StsTrouble {
    /// The name servers do not say whether there is one.
    #[error("whether there is an MTA-STS policy could not be found out: {0}")]
    Unknown(#[source] ResolveError),
    /// The records that should say which one there is say nothing.
    #[error(transparent)]
    Record(#[from] StsRecordError),
    /// The host that should have it cannot be found.
    #[error("the host of the MTA-STS policy cannot be found: {0}")]
    NoHost(#[source] ResolveError),
    /// The host's certificate is not one for it that can be trusted.
    #[error("the host of the MTA-STS policy cannot be trusted: {detail}")]
    Untrusted {
        /// The certificate's faults, with the host.
        detail: Box<str>,
    },
    /// The host does not answer, or not to the end.
    #[error("the MTA-STS policy cannot be fetched: {detail}")]
    Unreachable {
        /// What happened, with the host.
        detail: Box<str>,
    },
    /// The host answers that there is none, or that it is elsewhere.
    #[error("the MTA-STS policy cannot be fetched: {host} answers with status {status}, and 200 is meant")]
    Status {
        /// The host.
        host: Domain,
        /// The status of HTTP.
        status: u16,
    },
    /// What it answers is of another kind.
    #[error("the MTA-STS policy of {host} is of the type {found:?}, and text/plain is meant")]
    MediaType {
        /// The host.
        host: Domain,
        /// What it says of it.
        found: String,
    },
    /// It is longer than a policy may be.
    #[error("the MTA-STS policy of {host} is longer than {limit} octets")]
    TooLong {
        /// The host.
        host: Domain,
        /// Octets that are read.
        limit: usize,
    },
    /// It is no policy.
    #[error("the MTA-STS policy of {host} is void: {cause}")]
    Void {
        /// The host.
        host: Domain,
        /// What is wrong with it.
        #[source]
        cause: StsPolicyError,
    },
}

impl StsTrouble {
    /// The words of [`code`](Self::code), one for each kind of trouble.
    pub const CODES: [&'static str; 9] =
        ["dns", "record", "no-host", "untrusted", "unreachable", "status", "media-type", "too-long", "void"];

    /// A word for the kind of trouble: it stays the same over versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "dns",
            Self::Record(_) => "record",
            Self::NoHost(_) => "no-host",
            Self::Untrusted { .. } => "untrusted",
            Self::Unreachable { .. } => "unreachable",
            Self::Status { .. } => "status",
            Self::MediaType { .. } => "media-type",
            Self::TooLong { .. } => "too-long",
            Self::Void { .. } => "void",
        }
    }

    /// What a report to the domain says of it; nothing where nobody said for sure that there is a policy.
    ///
    /// # Wire
    /// RFC 8460 section 4.3.2.
    #[must_use]
    pub fn failure(&self) -> Option<TlsFailureType> {
        match self {
            Self::Unknown(_) | Self::Record(_) => None,
            Self::NoHost(_) | Self::Unreachable { .. } | Self::Status { .. } => Some(TlsFailureType::StsPolicyFetchError),
            Self::Untrusted { .. } => Some(TlsFailureType::StsWebpkiInvalid),
            Self::MediaType { .. } | Self::TooLong { .. } | Self::Void { .. } => Some(TlsFailureType::StsPolicyInvalid),
        }
    }

    pub(super) fn of(error: &HttpsError) -> Self {
        let detail = || error.to_string().into();
        match error.fault {
            HttpsFault::TooLarge { limit } => Self::TooLong { host: error.url.host().clone(), limit },
            _ if error.is_unverified() => Self::Untrusted { detail: detail() },
            _ => Self::Unreachable { detail: detail() },
        }
    }
}
