//! Why a question had no usable answer, and what that means for the mail.

use std::io;
use std::time::Duration;

use sealpost_types::{Blame, Domain, EnhancedStatus, ReplyCode, Retry};

/// Why a domain's mail servers, or a host's addresses, could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist (NXDOMAIN).
    #[error("the domain {domain} does not exist")]
    NoSuchDomain {
        /// What was asked for.
        domain: Domain,
    },
    /// The domain exists, but has neither an MX nor an address.
    #[error("the domain {domain} has no mail server: neither an MX nor an address")]
    NoMailHost {
        /// What was asked for.
        domain: Domain,
    },
    /// The domain says that it takes no mail: its only MX is `.` (RFC 7505).
    #[error("the domain {domain} accepts no mail: it publishes a null MX")]
    NullMx {
        /// What was asked for.
        domain: Domain,
    },
    /// Each MX names something that is no host: an IP address, `localhost`, a text that is no host name.
    #[error("no MX of {domain} names a host: {}", found.join(", ").escape_debug())]
    UnusableMx {
        /// What was asked for.
        domain: Domain,
        /// What stands there instead of host names.
        found: Vec<String>,
    },
    /// The best MX of the domain is this relay itself (RFC 5321 section 5.1).
    #[error("mail for {domain} loops back: {host} is this relay, and no better MX is left")]
    LoopsBack {
        /// What was asked for.
        domain: Domain,
        /// Our own name among the MX hosts.
        host: Domain,
    },
    /// The host exists, but has no address that a connection can go to.
    #[error("the host {host} has no address")]
    NoAddress {
        /// What was asked for.
        host: Domain,
    },
    /// The name server answered with a failure (SERVFAIL, REFUSED, ...).
    #[error("the name server failed to answer for {name} (response code {code})")]
    Server {
        /// What was asked for.
        name: Domain,
        /// The code in the registry "DNS RCODEs"; 2 is SERVFAIL.
        code: u16,
    },
    /// The name server does not know the name and points elsewhere instead of asking there.
    #[error("the name server did not resolve {name} but referred to other servers")]
    Referral {
        /// What was asked for.
        name: Domain,
    },
    /// No answer came in time.
    #[error("no name server answered for {name} within {} s", waited.as_secs_f32())]
    Timeout {
        /// What was asked for.
        name: Domain,
        /// How long was waited.
        waited: Duration,
    },
    /// The name server could not be talked to.
    #[error("no name server could be reached for {name}: {kind}")]
    Unreachable {
        /// What was asked for.
        name: Domain,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// An answer came that cannot be read, was cut off even over TCP, or fits no question.
    #[error("the answer for {name} could not be used")]
    BadAnswer {
        /// What was asked for.
        name: Domain,
    },
    /// The answer is not what DNSSEC proves: it is forged, or the zone or a name server on the way is broken.
    #[error("the answer for {name} fails DNSSEC validation (bogus): it is forged, or its zone is signed wrongly")]
    Bogus {
        /// What was asked for.
        name: Domain,
    },
    /// More questions are under way than the resolver takes.
    #[error("too many questions are under way to ask for {name}")]
    Busy {
        /// What was asked for.
        name: Domain,
    },
}

/// Why a resolver could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverSetupError {
    /// An empty list of servers.
    #[error("no name server is given")]
    NoServers,
    /// The system's configuration (`/etc/resolv.conf`) cannot be read or names no server.
    #[error("the system's resolver configuration cannot be used ({detail}); name servers can be given instead")]
    System {
        /// What is wrong with it.
        detail: String,
    },
}

impl ResolveError {
    /// Whether it stays so until somebody changes the domain: the mail is returned, not kept.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.status().class() == 5
    }

    /// The enhanced status code that says it.
    ///
    /// # Wire
    /// RFC 3463 section 3; RFC 7505 section 4.1 for the null MX.
    #[must_use]
    pub fn status(&self) -> EnhancedStatus {
        match self {
            Self::NoSuchDomain { .. } | Self::NoMailHost { .. } => BAD_DOMAIN,
            Self::NullMx { .. } => NULL_MX,
            Self::UnusableMx { .. } | Self::NoAddress { .. } => UNROUTABLE,
            Self::LoopsBack { .. } => LOOP,
            Self::Server { .. }
            | Self::Referral { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. }
            | Self::Busy { .. } => DIRECTORY_FAILURE,
            Self::Bogus { .. } => CRYPTOGRAPHIC_FAILURE,
        }
    }

    /// The reply code that goes with [`status`](Self::status).
    #[must_use]
    pub fn code(&self) -> ReplyCode {
        match self {
            Self::NullMx { .. } => NO_MAIL_HERE,
            _ if self.is_permanent() => PERMANENT,
            _ => TRANSIENT,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoSuchDomain { .. }
            | Self::NoMailHost { .. }
            | Self::NullMx { .. }
            | Self::UnusableMx { .. }
            | Self::LoopsBack { .. }
            | Self::NoAddress { .. } => Blame::Peer,
            Self::Server { .. }
            | Self::Referral { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. }
            | Self::Bogus { .. } => Blame::Network,
            Self::Busy { .. } => Blame::Us,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NoAddress { .. } => Retry::OtherHost,
            _ if self.is_permanent() => Retry::Never,
            _ => Retry::Later,
        }
    }
}

impl ResolverSetupError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoServers => Blame::Caller,
            Self::System { .. } => Blame::Us,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

const BAD_DOMAIN: EnhancedStatus = EnhancedStatus::constant::<5, 1, 2>();
const NULL_MX: EnhancedStatus = EnhancedStatus::constant::<5, 1, 10>();
const UNROUTABLE: EnhancedStatus = EnhancedStatus::constant::<5, 4, 4>();
const LOOP: EnhancedStatus = EnhancedStatus::constant::<5, 4, 6>();
/// RFC 3463 section 3.8: cryptographic failure.
const CRYPTOGRAPHIC_FAILURE: EnhancedStatus = EnhancedStatus::constant::<4, 7, 5>();
const DIRECTORY_FAILURE: EnhancedStatus = EnhancedStatus::constant::<4, 4, 3>();

const PERMANENT: ReplyCode = ReplyCode::constant::<550>();
const NO_MAIL_HERE: ReplyCode = ReplyCode::constant::<556>();
const TRANSIENT: ReplyCode = ReplyCode::constant::<451>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_what_becomes_of_the_mail() {
        let domain = Domain::parse("example.org").unwrap();
        let name = domain.clone();
        let table = [
            (ResolveError::NoSuchDomain { domain: domain.clone() }, "550 5.1.2", Blame::Peer, Retry::Never),
            (ResolveError::NoMailHost { domain: domain.clone() }, "550 5.1.2", Blame::Peer, Retry::Never),
            (ResolveError::NullMx { domain: domain.clone() }, "556 5.1.10", Blame::Peer, Retry::Never),
            (ResolveError::UnusableMx { domain: domain.clone(), found: vec!["192.0.2.1".into()] }, "550 5.4.4", Blame::Peer, Retry::Never),
            (ResolveError::LoopsBack { domain: domain.clone(), host: domain.clone() }, "550 5.4.6", Blame::Peer, Retry::Never),
            (ResolveError::NoAddress { host: domain }, "550 5.4.4", Blame::Peer, Retry::OtherHost),
            (ResolveError::Server { name: name.clone(), code: 2 }, "451 4.4.3", Blame::Network, Retry::Later),
            (ResolveError::Referral { name: name.clone() }, "451 4.4.3", Blame::Network, Retry::Later),
            (ResolveError::Timeout { name: name.clone(), waited: Duration::from_millis(1500) }, "451 4.4.3", Blame::Network, Retry::Later),
            (
                ResolveError::Unreachable { name: name.clone(), kind: io::ErrorKind::ConnectionRefused },
                "451 4.4.3",
                Blame::Network,
                Retry::Later,
            ),
            (ResolveError::BadAnswer { name: name.clone() }, "451 4.4.3", Blame::Network, Retry::Later),
            (ResolveError::Bogus { name: name.clone() }, "451 4.7.5", Blame::Network, Retry::Later),
            (ResolveError::Busy { name }, "451 4.4.3", Blame::Us, Retry::Later),
        ];
        for (error, reply, blame, retry) in table {
            assert_eq!(format!("{} {}", error.code(), error.status()), reply, "{error}");
            assert_eq!((error.blame(), error.retry()), (blame, retry), "{error}");
            assert_eq!(error.is_permanent(), reply.starts_with('5'), "{error}");
            assert!(error.to_string().contains("example.org"), "{error}");
        }
    }
}
