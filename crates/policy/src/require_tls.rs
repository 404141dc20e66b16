//! REQUIRETLS: a sender that would rather have its mail back than see it travel unguarded.

use std::fmt;

/// How much of REQUIRETLS is insisted on: `[defaults] requiretls`. Ordered: a later one is stricter.
///
/// # Wire
/// RFC 8689 section 4.2.1. Only [`Strict`](Self::Strict) is what it asks; the others are an operator's choice for an Internet where
/// few servers know REQUIRETLS, and hand it on to those who do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RequireTls {
    /// `require`: TLS with any certificate. Notifications about such mail are never asked for more.
    Require,
    /// `verify`: TLS with a chain to a trust anchor and the host's name, however that name was learnt, or DANE.
    Verify,
    /// `strict`: a host that is known for sure (a route, DNSSEC, MTA-STS), verified by its name or by DANE, that announces
    /// REQUIRETLS under TLS. Where no host has it, the mail goes back.
    #[default]
    Strict,
}

impl RequireTls {
    /// The word in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Verify => "verify",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for RequireTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
