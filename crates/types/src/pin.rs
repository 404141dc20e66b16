//! Digests that a public key is known by.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SHA-256 of a public key (its `SubjectPublicKeyInfo`), written `sha256//base64` as curl writes it.
///
/// It stays the same when a certificate is renewed with the same key.
///
/// # Example
/// ```
/// # use sealpost_types::Pin;
/// let pin: Pin = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?;
/// assert_eq!(pin.to_string(), "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
/// # Ok::<(), sealpost_types::PinError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "String", into = "String"))]
#[allow(clippy::exhaustive_structs, reason = "a digest")]
pub struct Pin(pub [u8; PIN_OCTETS]);

/// A text that is no [`Pin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// It does not start with `sha256//`.
    #[error("{found:?} does not start with \"sha256//\"")]
    Scheme {
        /// The text.
        found: String,
    },
    /// What follows is no base64 of [`PIN_OCTETS`] octets.
    #[error("{found:?} is not the base64 of {PIN_OCTETS} octets behind \"sha256//\"")]
    Digest {
        /// The text.
        found: String,
    },
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digest = text.strip_prefix("sha256//").ok_or_else(|| PinError::Scheme { found: text.to_owned() })?;
        let octets = STANDARD.decode(digest).ok().and_then(|octets| <[u8; PIN_OCTETS]>::try_from(octets).ok());
        octets.map(Self).ok_or_else(|| PinError::Digest { found: text.to_owned() })
    }
}

impl TryFrom<String> for Pin {
    type Error = PinError;

    fn try_from(text: String) -> Result<Self, PinError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Octets of a [`Pin`].
pub const PIN_OCTETS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pin_says_why() {
        let short = "sha256//47DEQpj8HBSa".parse::<Pin>();
        assert!(matches!(short, Err(PinError::Digest { .. })), "{short:?}");
        let scheme = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse::<Pin>();
        assert!(matches!(scheme, Err(PinError::Scheme { .. })), "{scheme:?}");
    }
}
