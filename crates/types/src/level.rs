//! Levels: what an administrator writes.

use std::fmt;
use std::str::FromStr;

/// One of the two hops of a message through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "a relay has these two hops and no other")]
pub enum Hop {
    /// A client connects to the relay.
    Receive,
    /// The relay connects to the next host.
    Deliver,
}

/// What a source asks of a hop, in one word. What each means on which hop stands in the policy documentation.
///
/// Ordered roughly by strictness, to name the strictest of several for people; what holds is the join of their demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Level {
    /// TLS is not attempted.
    None,
    /// In clear if it came in clear, else opportunistic.
    Mirror,
    /// TLS if offered, with any certificate; else clear.
    Opportunistic,
    /// What the host's TLSA records say, where there are secure ones; elsewhere another level.
    Dane,
    /// TLS or nothing, with any certificate.
    Require,
    /// TLS with a certificate that chains to a trust anchor, whatever its name, or nothing.
    Chain,
    /// TLS with a certificate that chains to a trust anchor and has the right name, or nothing.
    Verify,
    /// TLS with a certificate whose key is one of those written down, or nothing.
    Pinned,
    /// What the host's secure TLSA records say, or nothing.
    DaneOnly,
}

/// A word that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown level {found:?}; one of none, mirror, opportunistic, require, chain, verify, dane, dane-only, pinned is meant")]
#[non_exhaustive]
pub struct UnknownLevel {
    /// The word.
    pub found: String,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 9] =
        [Self::None, Self::Mirror, Self::Opportunistic, Self::Dane, Self::Require, Self::Chain, Self::Verify, Self::Pinned, Self::DaneOnly];

    /// The word for it in files, logs and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mirror => "mirror",
            Self::Opportunistic => "opportunistic",
            Self::Dane => "dane",
            Self::Require => "require",
            Self::Chain => "chain",
            Self::Verify => "verify",
            Self::Pinned => "pinned",
            Self::DaneOnly => "dane-only",
        }
    }
}

/// Reads our own word, or another product's for the same thing (Postfix's `may`, `encrypt`, `secure`, ...).
impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Ok(match text {
            "none" | "never" => Self::None,
            "mirror" => Self::Mirror,
            "opportunistic" | "may" | "try" => Self::Opportunistic,
            "require" | "encrypt" | "relaxed" => Self::Require,
            "chain" | "trust" => Self::Chain,
            "verify" | "strong" | "secure" => Self::Verify,
            "dane" => Self::Dane,
            "dane-only" => Self::DaneOnly,
            "pinned" | "fingerprint" => Self::Pinned,
            _ => return Err(UnknownLevel { found: text.to_owned() }),
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receive => "receive",
            Self::Deliver => "deliver",
        })
    }
}
