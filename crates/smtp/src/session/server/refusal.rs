//! What a server says when it says no: every code and status in one place.

use sealpost_types::{MailboxError, Octets};

use crate::command::{CommandError, Verb};
use crate::data::BodyFault;
use crate::reply::Reply;

/// Why a command that was understood is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TlsFirst,
    HelloFirst,
    MailFirst,
    NestedMail,
    ContentBegun,
    NoRecipients,
    TooManyRecipients { limit: usize },
    TooLarge { limit: Octets },
    Fault(BodyFault),
    NotOffered(Verb),
    AlreadyTls,
    BehindStartTls,
    AuthInClear,
    AlreadyAuthenticated,
    AuthInTransaction,
    Mechanism,
    Cancelled,
    Credentials,
    TooManyErrors,
    TooManyIdleCommands,
}

impl Refusal {
    /// RFC 5321 section 4.2 and 4.3.2, RFC 3463, RFC 5248, RFC 3207 section 4, RFC 4954 section 6.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::TlsFirst => Reply::fixed::<530, 7, 0>("must issue a STARTTLS command first"),
            Self::HelloFirst => Reply::fixed::<503, 5, 1>("say EHLO first"),
            Self::MailFirst => Reply::fixed::<503, 5, 1>("say MAIL first"),
            Self::NestedMail => Reply::fixed::<503, 5, 1>("a transaction is open already"),
            Self::ContentBegun => Reply::fixed::<503, 5, 1>("the content has begun with BDAT"),
            Self::NoRecipients => Reply::fixed::<554, 5, 1>("no valid recipients"),
            Self::TooManyRecipients { limit } => Reply::fixed::<452, 5, 3>(format!("too many recipients, {limit} are allowed")),
            Self::TooLarge { limit } => Reply::fixed::<552, 3, 4>(format!("message too large, {limit} octets are allowed")),
            Self::Fault(fault) => Reply::fixed::<554, 6, 0>(format!("message refused: {fault}")),
            Self::NotOffered(verb) => Reply::fixed::<502, 5, 1>(format!("{verb} is not available")),
            Self::AlreadyTls => Reply::fixed::<503, 5, 1>("TLS is in use already"),
            Self::BehindStartTls => Reply::fixed::<554, 5, 1>("nothing may follow STARTTLS before the handshake"),
            Self::AuthInClear => Reply::fixed::<538, 7, 11>("authentication needs TLS"),
            Self::AlreadyAuthenticated => Reply::fixed::<503, 5, 1>("authenticated already"),
            Self::AuthInTransaction => Reply::fixed::<503, 5, 1>("no AUTH within a transaction"),
            Self::Mechanism => Reply::fixed::<504, 5, 4>("mechanism not available"),
            Self::Cancelled => Reply::fixed::<501, 7, 0>("authentication cancelled"),
            Self::Credentials => Reply::fixed::<501, 5, 2>("malformed credentials"),
            Self::TooManyErrors => Reply::fixed::<421, 7, 0>("too many errors"),
            Self::TooManyIdleCommands => Reply::fixed::<421, 7, 0>("too many commands without a message"),
        }
    }
}

impl CommandError {
    /// What a server says to such a line.
    ///
    /// # Wire
    /// RFC 5321 section 4.2.4 and 4.3.2, RFC 3463 section 3, RFC 6531 section 3.5.
    #[must_use]
    pub fn reply(&self) -> Reply {
        // Replies are ASCII: nobody asked for anything else.
        let why = self.to_string().replace(|c: char| !c.is_ascii(), "?");
        match self {
            Self::LineTooLong { .. }
            | Self::BareCarriageReturn { .. }
            | Self::BareLineFeed { .. }
            | Self::Nul { .. }
            | Self::NotUtf8 { .. }
            | Self::Unknown { .. } => Reply::fixed::<500, 5, 2>(why),
            Self::NotImplemented { .. } => Reply::fixed::<502, 5, 1>(why),
            Self::ArgumentMissing { .. } | Self::ArgumentUnexpected { .. } | Self::Argument { .. } => Reply::fixed::<501, 5, 4>(why),
            Self::ReversePathSyntax | Self::ForwardPathSyntax | Self::ParameterSyntax | Self::Base64 => Reply::fixed::<501, 5, 2>(why),
            Self::ReversePath(MailboxError::Domain(_)) => Reply::fixed::<553, 1, 7>(why),
            Self::ReversePath(_) => Reply::fixed::<501, 1, 7>(why),
            Self::ForwardPath(MailboxError::Domain(_)) => Reply::fixed::<553, 1, 2>(why),
            Self::ForwardPath(_) => Reply::fixed::<501, 1, 3>(why),
            Self::ReversePathNeedsSmtpUtf8 | Self::ForwardPathNeedsSmtpUtf8 => Reply::fixed::<553, 6, 7>(why),
            Self::UnknownParameter { .. } => Reply::fixed::<555, 5, 4>(why),
            Self::ParameterValue { .. } | Self::DuplicateParameter { .. } => Reply::fixed::<501, 5, 4>(why),
        }
    }
}
