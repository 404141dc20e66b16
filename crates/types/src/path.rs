//! The two ends of an envelope.

use std::fmt;

use crate::{Domain, Mailbox};

/// Where a message came from: a mailbox, or nowhere (`<>`), to which nothing is ever bounced.
///
/// # Wire
/// RFC 5321 section 4.1.1.2 (`Reverse-path`) and 4.5.5 (the null one).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5321 knows these two and no other")]
pub enum ReversePath {
    /// `<>`.
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// Where a message goes to.
///
/// # Wire
/// RFC 5321 section 4.1.1.3 (`Forward-path`) and 4.5.1 (`<Postmaster>` without a domain).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5321 knows these two and no other")]
pub enum ForwardPath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<Postmaster>`: whoever looks after this relay.
    Postmaster,
}

impl ReversePath {
    /// The mailbox, if there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Null => None,
        }
    }

    /// The sender's domain, if there is one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.mailbox().and_then(Mailbox::domain)
    }

    /// Whether this is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it can be sent without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

impl ForwardPath {
    /// The mailbox, if there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Postmaster => None,
        }
    }

    /// The recipient's domain, if there is one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.mailbox().and_then(Mailbox::domain)
    }

    /// Whether it can be sent without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Without the angle brackets: the null path is the empty text.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// Without the angle brackets.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(mailbox) => mailbox.fmt(f),
            Self::Postmaster => f.write_str("Postmaster"),
        }
    }
}

impl From<Mailbox> for ReversePath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

impl From<Mailbox> for ForwardPath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

#[cfg(feature = "serde")]
mod serial {
    use super::{ForwardPath, ReversePath};
    use crate::Mailbox;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::borrow::Cow;

    impl Serialize for Mailbox {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Mailbox {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }

    impl Serialize for ReversePath {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for ReversePath {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            if text.is_empty() {
                return Ok(Self::Null);
            }
            Mailbox::parse(&text).map(Self::Mailbox).map_err(D::Error::custom)
        }
    }

    impl Serialize for ForwardPath {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for ForwardPath {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            if text == "Postmaster" {
                return Ok(Self::Postmaster);
            }
            Mailbox::parse(&text).map(Self::Mailbox).map_err(D::Error::custom)
        }
    }
}

/// Octets in a path, angle brackets and punctuation included, RFC 5321 section 4.5.3.1.3.
pub const PATH_OCTETS: usize = 256;
