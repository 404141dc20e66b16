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
    TooManyRefused,
    TooManyIdleCommands,
    EndlessLine,
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
            Self::TooManyRefused => Reply::fixed::<421, 7, 0>("too many senders and recipients refused"),
            Self::TooManyIdleCommands => Reply::fixed::<421, 7, 0>("too many commands without a message"),
            Self::EndlessLine => Reply::fixed::<421, 7, 0>("a line without end"),
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

#[cfg(test)]
mod tests {
    use sealpost_types::{Blame, DomainError, Retry};

    use super::*;
    use crate::command::Parameter;

    fn shown(reply: &Reply) -> String {
        let status = reply.status().map(|status| status.to_string()).unwrap_or_default();
        format!("{} {status}", reply.code())
    }

    #[test]
    fn rfc5321_4_2_4_every_command_error_has_its_code() {
        use CommandError as E;
        let verb = || "x".to_owned();
        let table = [
            (E::LineTooLong { limit: 512 }, "500 5.5.2"),
            (E::BareCarriageReturn { offset: 1 }, "500 5.5.2"),
            (E::BareLineFeed { offset: 1 }, "500 5.5.2"),
            (E::Nul { offset: 1 }, "500 5.5.2"),
            (E::NotUtf8 { offset: 1 }, "500 5.5.2"),
            (E::Unknown { verb: verb() }, "500 5.5.2"),
            (E::NotImplemented { verb: verb() }, "502 5.5.1"),
            (E::ArgumentMissing { verb: Verb::Helo }, "501 5.5.4"),
            (E::ArgumentUnexpected { verb: Verb::Data }, "501 5.5.4"),
            (E::Argument { verb: Verb::Bdat }, "501 5.5.4"),
            (E::ReversePathSyntax, "501 5.5.2"),
            (E::ForwardPathSyntax, "501 5.5.2"),
            (E::ReversePath(MailboxError::NoAt), "501 5.1.7"),
            (E::ReversePath(MailboxError::Domain(DomainError::Empty)), "553 5.1.7"),
            (E::ForwardPath(MailboxError::NoAt), "501 5.1.3"),
            (E::ForwardPath(MailboxError::Domain(DomainError::Idna { domain: "ü".to_owned() })), "553 5.1.2"),
            (E::ReversePathNeedsSmtpUtf8, "553 5.6.7"),
            (E::ForwardPathNeedsSmtpUtf8, "553 5.6.7"),
            (E::ParameterSyntax, "501 5.5.2"),
            (E::UnknownParameter { keyword: verb() }, "555 5.5.4"),
            (E::ParameterValue { parameter: Parameter::Size }, "501 5.5.4"),
            (E::DuplicateParameter { parameter: Parameter::Size }, "501 5.5.4"),
            (E::Base64, "501 5.5.2"),
        ];
        for (error, code) in &table {
            let reply = error.reply();
            assert_eq!(shown(&reply), *code, "{error:?}");
            assert!(reply.text().is_ascii() && !reply.text().is_empty(), "{reply}");
            assert_eq!((error.blame(), error.retry()), (Blame::Peer, Retry::Never));
        }
        // A new variant has to be added here, or this does not compile; and the table must have one of each.
        let number = |error: &E| match error {
            E::LineTooLong { .. } => 0,
            E::BareCarriageReturn { .. } => 1,
            E::BareLineFeed { .. } => 2,
            E::Nul { .. } => 3,
            E::NotUtf8 { .. } => 4,
            E::Unknown { .. } => 5,
            E::NotImplemented { .. } => 6,
            E::ArgumentMissing { .. } => 7,
            E::ArgumentUnexpected { .. } => 8,
            E::Argument { .. } => 9,
            E::ReversePathSyntax => 10,
            E::ForwardPathSyntax => 11,
            E::ReversePath(_) => 12,
            E::ForwardPath(_) => 13,
            E::ReversePathNeedsSmtpUtf8 => 14,
            E::ForwardPathNeedsSmtpUtf8 => 15,
            E::ParameterSyntax => 16,
            E::UnknownParameter { .. } => 17,
            E::ParameterValue { .. } => 18,
            E::DuplicateParameter { .. } => 19,
            E::Base64 => 20,
        };
        let seen: std::collections::BTreeSet<i32> = table.iter().map(|(error, _)| number(error)).collect();
        assert_eq!(seen, (0..=20).collect());
    }

    #[test]
    fn rfc2034_4_every_refusal_has_a_status_of_its_class() {
        let refusals = [
            (Refusal::TlsFirst, "530 5.7.0"),
            (Refusal::HelloFirst, "503 5.5.1"),
            (Refusal::MailFirst, "503 5.5.1"),
            (Refusal::NestedMail, "503 5.5.1"),
            (Refusal::ContentBegun, "503 5.5.1"),
            (Refusal::NoRecipients, "554 5.5.1"),
            (Refusal::TooManyRecipients { limit: 1 }, "452 4.5.3"),
            (Refusal::TooLarge { limit: Octets(1) }, "552 5.3.4"),
            (Refusal::Fault(BodyFault::Nul { offset: 1 }), "554 5.6.0"),
            (Refusal::NotOffered(Verb::Expn), "502 5.5.1"),
            (Refusal::AlreadyTls, "503 5.5.1"),
            (Refusal::BehindStartTls, "554 5.5.1"),
            (Refusal::AuthInClear, "538 5.7.11"),
            (Refusal::AlreadyAuthenticated, "503 5.5.1"),
            (Refusal::AuthInTransaction, "503 5.5.1"),
            (Refusal::Mechanism, "504 5.5.4"),
            (Refusal::Cancelled, "501 5.7.0"),
            (Refusal::Credentials, "501 5.5.2"),
            (Refusal::TooManyErrors, "421 4.7.0"),
            (Refusal::TooManyIdleCommands, "421 4.7.0"),
            (Refusal::EndlessLine, "421 4.7.0"),
        ];
        for (refusal, code) in refusals {
            assert_eq!(shown(&refusal.reply()), code, "{refusal:?}");
        }
    }
}
