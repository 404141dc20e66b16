//! What a recipient domain says of its mail servers by MTA-STS (RFC 8461).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Domain, DomainError};

/// An MTA-STS policy: which hosts take a domain's mail, and what they must prove.
///
/// # Example
/// ```
/// # use sealpost_types::{Domain, StsMode, StsPolicy};
/// let mx = vec!["mail.example.com".parse()?, "*.example.net".parse()?];
/// let policy = StsPolicy::new(StsMode::Enforce, mx, std::time::Duration::from_secs(604_800));
/// assert!(policy.names(&Domain::parse("backup.example.net")?));
/// assert!(!policy.names(&Domain::parse("a.backup.example.net")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StsPolicy {
    /// What it is for.
    pub mode: StsMode,
    /// The hosts; at least one unless the mode is `none`.
    pub mx: Vec<MxPattern>,
    /// How long it holds after it was fetched.
    pub max_age: Duration,
}

/// What a policy is for (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "RFC 8461 has these three")]
pub enum StsMode {
    /// The domain has no policy any more.
    None,
    /// What does not meet it is reported, and delivered all the same.
    Testing,
    /// Mail goes only to hosts that meet it.
    Enforce,
}

/// What the name of a host must be like: a name, or one label and a name.
///
/// # Wire
/// RFC 8461 sections 3.2 and 4.1: `mail.example.com`, or `*.example.com`, whose star is exactly one left-most label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "RFC 8461 has these two")]
pub enum MxPattern {
    /// This name.
    Exact(Domain),
    /// One label below this name.
    Below(Domain),
}

/// A text that is no [`MxPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no host: {cause}; \"mail.example.com\" or \"*.example.com\" is meant")]
#[non_exhaustive]
pub struct MxPatternError {
    /// The text, cut where it is very long.
    pub found: String,
    /// What is wrong with it, but for a star in front.
    #[source]
    pub cause: DomainError,
}

/// A word that is no [`StsMode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode {found:?}; enforce, testing or none is meant")]
#[non_exhaustive]
pub struct UnknownStsMode {
    /// The word, cut where it is very long.
    pub found: String,
}

impl StsPolicy {
    /// A policy of its parts.
    #[must_use]
    pub fn new(mode: StsMode, mx: Vec<MxPattern>, max_age: Duration) -> Self {
        Self { mode, mx, max_age }
    }

    /// Whether a host is one of those that it names.
    #[must_use]
    pub fn names(&self, host: &Domain) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }
}

impl MxPattern {
    /// Its name, without the star.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Exact(name) | Self::Below(name) => name,
        }
    }

    /// Whether this is what a host's name is like.
    #[must_use]
    pub fn matches(&self, host: &Domain) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(parent) => host.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str()),
        }
    }
}

impl StsMode {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Testing => "testing",
            Self::Enforce => "enforce",
        }
    }
}

impl FromStr for MxPattern {
    type Err = MxPatternError;

    fn from_str(text: &str) -> Result<Self, MxPatternError> {
        let (make, name): (fn(Domain) -> Self, _) = match text.strip_prefix("*.") {
            Some(parent) => (Self::Below, parent),
            None => (Self::Exact, text),
        };
        Domain::parse(name).map(make).map_err(|cause| MxPatternError { found: shown(text), cause })
    }
}

impl FromStr for StsMode {
    type Err = UnknownStsMode;

    /// RFC 8461 section 3.2: the words are case-sensitive.
    fn from_str(text: &str) -> Result<Self, UnknownStsMode> {
        let known = [Self::None, Self::Testing, Self::Enforce].into_iter().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| UnknownStsMode { found: shown(text) })
    }
}

/// What stands there, cut where it is very long: others wrote it.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

const SHOWN_CHARACTERS: usize = 80;

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl fmt::Display for StsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others let a star stand for any number of labels, or for none.
    // req: E2
    #[test]
    fn rfc8461_4_1_a_star_is_one_left_most_label() {
        for (pattern, host, matches) in [
            ("mail.example.com", "mail.example.com", true),
            ("Mail.Example.COM.", "mail.example.com", true),
            ("mail.example.com", "xmail.example.com", false),
            ("mail.example.com", "a.mail.example.com", false),
            ("*.example.com", "mail.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.mail.example.com", false),
            ("*.example.com", "mail.example.com.evil.example", false),
            ("*.example.com", "mailexample.com", false),
        ] {
            let (pattern, host) = (pattern.parse::<MxPattern>().unwrap(), Domain::parse(host).unwrap());
            assert_eq!(pattern.matches(&host), matches, "{pattern} {host}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", "*.", ".example.com", "*example.com", "mail.*.example.com", "*.*.example.com", "mail example.com", "a..b"] {
            assert!(text.parse::<MxPattern>().is_err(), "{text}");
        }
        assert!("Enforce".parse::<StsMode>().is_err());
    }
}
