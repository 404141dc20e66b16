//! What a sender may ask about notifications: RFC 3461.

use std::fmt;

/// When the sender wants to hear of a recipient (`NOTIFY=`).
///
/// # Wire
/// RFC 3461 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_enums, reason = "RFC 3461 section 4.1 knows these two forms and no other")]
pub enum Notify {
    /// Not at all.
    Never,
    /// On each of these events; at least one is set.
    On {
        /// When it was delivered.
        success: bool,
        /// When it could not be delivered.
        failure: bool,
        /// When it takes longer than usual.
        delay: bool,
    },
}

/// How much of the message a notification gives back (`RET=`).
///
/// # Wire
/// RFC 3461 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_enums, reason = "RFC 3461 section 4.3 knows these two and no other")]
pub enum Ret {
    /// All of it.
    Full,
    /// Only its header fields.
    Headers,
}

/// The sender's own name for the message (`ENVID=`), decoded from xtext.
///
/// # Wire
/// RFC 3461 section 4.4; at most 100 octets, printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EnvelopeId(String);

/// The recipient as the sender first wrote it (`ORCPT=`), decoded from xtext.
///
/// # Wire
/// RFC 3461 section 4.2 (`addr-type ";" xtext`); RFC 6533 section 3 for `utf-8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OriginalRecipient {
    address_type: String,
    address: String,
}

/// Why a decoded text cannot be an [`EnvelopeId`] or an [`OriginalRecipient`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XtextError {
    /// Nothing there.
    #[error("the value is empty")]
    Empty,
    /// Longer than allowed.
    #[error("the value has {found} octets, {limit} are allowed")]
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A control character, or one beyond ASCII where only ASCII may stand.
    #[error("the value has {found:?} at octet {offset}, which is not allowed")]
    Character {
        /// Where, in octets from the start.
        offset: usize,
        /// What stands there.
        found: char,
    },
}

impl EnvelopeId {
    /// The id that `text` (already decoded) is.
    ///
    /// # Errors
    /// [`XtextError`]: empty, over 100 octets, or not printable ASCII.
    pub fn new(text: &str) -> Result<Self, XtextError> {
        check(text, ENVELOPE_ID_OCTETS, |c| matches!(c, ' '..='~'))?;
        Ok(Self(text.to_owned()))
    }

    /// The decoded text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OriginalRecipient {
    /// The original recipient of its type (`rfc822`, `utf-8`) and decoded address.
    ///
    /// # Errors
    /// [`XtextError`]: a part is empty, the whole is over 500 octets, the type is not an atom of letters, digits and
    /// hyphens, or the address has a control character.
    pub fn new(address_type: &str, address: &str) -> Result<Self, XtextError> {
        check(address_type, ORIGINAL_RECIPIENT_OCTETS, |c| c.is_ascii_alphanumeric() || c == '-')?;
        let left = ORIGINAL_RECIPIENT_OCTETS.saturating_sub(address_type.len() + 1);
        check(address, left, |c| !c.is_control())?;
        Ok(Self { address_type: address_type.to_owned(), address: address.to_owned() })
    }

    /// `rfc822`, `utf-8` or another registered type, as written.
    #[must_use]
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// The decoded address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, self.address)
    }
}

fn check(text: &str, limit: usize, allowed: impl Fn(char) -> bool) -> Result<(), XtextError> {
    if text.is_empty() {
        return Err(XtextError::Empty);
    }
    if text.len() > limit {
        return Err(XtextError::TooLong { found: text.len(), limit });
    }
    match text.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((offset, found)) => Err(XtextError::Character { offset, found }),
        None => Ok(()),
    }
}

/// Octets in an envelope id, RFC 3461 section 4.4 (before decoding, so this is generous by nothing).
const ENVELOPE_ID_OCTETS: usize = 100;

/// Octets in an original recipient, RFC 3461 section 4.2.
const ORIGINAL_RECIPIENT_OCTETS: usize = 500;
