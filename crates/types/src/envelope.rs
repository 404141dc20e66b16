//! The envelope of one message.

use crate::{EnvelopeId, ForwardPath, Notify, OriginalRecipient, Ret, ReversePath};

/// What the sender says of the body (`BODY=`).
///
/// # Wire
/// RFC 6152 section 2 and RFC 3030 section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum BodyKind {
    /// Lines of ASCII.
    #[default]
    SevenBit,
    /// Lines of octets.
    EightBitMime,
    /// Octets, not lines; needs CHUNKING.
    BinaryMime,
}

/// One recipient with what the sender asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Recipient {
    /// Where the message goes.
    pub path: ForwardPath,
    /// When the sender wants to hear of it.
    pub notify: Option<Notify>,
    /// The address that the sender first wrote.
    pub original: Option<OriginalRecipient>,
}

/// Who sends to whom, and what goes with it: everything of a message but its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Envelope {
    /// Where the message came from.
    pub reverse_path: ReversePath,
    /// Where it goes, in the order given.
    pub recipients: Vec<Recipient>,
    /// What the sender says of the body.
    pub body: BodyKind,
    /// Whether the sender asked for RFC 6531.
    pub smtputf8: bool,
    /// How much a notification gives back.
    pub ret: Option<Ret>,
    /// The sender's own name for the message.
    pub envelope_id: Option<EnvelopeId>,
    /// Whether the sender asked for RFC 8689 REQUIRETLS.
    pub require_tls: bool,
}

impl Recipient {
    /// A recipient for which nothing was asked.
    #[must_use]
    pub fn new(path: ForwardPath) -> Self {
        Self { path, notify: None, original: None }
    }
}

impl Envelope {
    /// An envelope with nothing asked for beyond its ends.
    #[must_use]
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Self {
        Self { reverse_path, recipients, body: BodyKind::default(), smtputf8: false, ret: None, envelope_id: None, require_tls: false }
    }
}
