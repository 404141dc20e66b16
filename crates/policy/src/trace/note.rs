//! What is to be said of a source beside what it asks.

use std::fmt;

/// Why a source did not speak, or spoke otherwise than its level says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Note {
    /// Its pattern covers the name at another depth only: `example.org` without its sub-domains, or `*.example.org` without
    /// itself.
    WrongDepth,
    /// The name is in its `exclude`.
    Excluded,
    /// The mail's other end is not in its `for`.
    OtherEnd,
    /// The mail has no other end that its `for` could name (`<>`): it counts where it is the stricter.
    OtherEndUnknown,
    /// Whether it speaks hangs on the recipient, who is not known at MAIL.
    AtRecipient,
    /// A rule for mail of the other direction.
    OtherDirection,
    /// The mail is not among its senders and recipients, or a rule's conditions do not hold.
    OtherMail,
    /// Whether a rule's condition on the header section holds is not known: there is no header section among the facts.
    HeaderUnknown,
    /// The mail is not among its senders and recipients: its `else` holds.
    Otherwise,
    /// The client is in its `exempt_clients`: TLS is on offer, and no more is asked.
    ExemptClient,
    /// It is past its `until`: it counts where its absence would be weaker.
    Expired,
    /// It is in testing: it counts in the shadow only.
    Testing,
    /// A rule before it has set the level.
    LaterRule,
    /// `Try` does not raise a `none` that is written for this domain.
    WrittenNone,
}

impl Note {
    /// A stable word for programs: `wrong-depth`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongDepth => "wrong-depth",
            Self::Excluded => "excluded",
            Self::OtherEnd => "other-end",
            Self::OtherEndUnknown => "other-end-unknown",
            Self::AtRecipient => "at-recipient",
            Self::OtherDirection => "other-direction",
            Self::OtherMail => "other-mail",
            Self::HeaderUnknown => "header-unknown",
            Self::Otherwise => "otherwise",
            Self::ExemptClient => "exempt-client",
            Self::Expired => "expired",
            Self::Testing => "testing",
            Self::LaterRule => "later-rule",
            Self::WrittenNone => "written-none",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongDepth => "does not cover this name: it stands at another depth",
            Self::Excluded => "does not cover this name: it is excluded",
            Self::OtherEnd => "does not speak: the mail's other end is not in its \"for\"",
            Self::OtherEndUnknown => "\"for\" names no <>: counts where it is stricter",
            Self::AtRecipient => "does not speak yet: that hangs on the recipient",
            Self::OtherDirection => "does not speak: it is for mail of the other direction",
            Self::OtherMail => "does not speak: this mail is not what it is for",
            Self::HeaderUnknown => "does not speak: it asks for a header field, and the header is not known",
            Self::Otherwise => "this mail is not among its senders and recipients: its \"else\" holds",
            Self::ExemptClient => "the client is exempt: no more than TLS on offer is asked",
            Self::Expired => "past its \"until\": counts where its absence would be weaker",
            Self::Testing => "in testing: counts in the shadow only",
            Self::LaterRule => "does not speak: a rule before it has set the level",
            Self::WrittenNone => "raises no \"none\" that is written for this domain",
        })
    }
}
