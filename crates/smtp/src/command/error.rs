//! What can be wrong with a command line.

use std::fmt;

use sealpost_types::{Blame, MailboxError, Retry};

/// Why a line is no command that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// More octets than [`crate::Limits::command_line`].
    #[error("the line has more than {limit} octets")]
    LineTooLong {
        /// Octets allowed, CRLF included.
        limit: usize,
    },
    /// A CR that no LF follows.
    #[error("bare CR at octet {offset} of the line")]
    BareCarriageReturn {
        /// Octets before it.
        offset: usize,
    },
    /// An LF that follows no CR.
    #[error("bare LF at octet {offset} of the line")]
    BareLineFeed {
        /// Octets before it.
        offset: usize,
    },
    /// A NUL.
    #[error("NUL at octet {offset} of the line")]
    Nul {
        /// Octets before it.
        offset: usize,
    },
    /// Octets that are no UTF-8.
    #[error("octet {offset} of the line is not UTF-8")]
    NotUtf8 {
        /// Octets before it.
        offset: usize,
    },
    /// A verb that nobody knows.
    #[error("unknown command {verb:?}")]
    Unknown {
        /// The verb, shortened.
        verb: String,
    },
    /// A verb that is known and not carried out: SEND, SOML, SAML, TURN, ETRN.
    #[error("command {verb} is not implemented")]
    NotImplemented {
        /// The verb.
        verb: String,
    },
    /// The verb stands alone where it must not.
    #[error("{verb} needs an argument")]
    ArgumentMissing {
        /// The verb.
        verb: Verb,
    },
    /// Something follows a verb that takes nothing.
    #[error("{verb} takes no argument")]
    ArgumentUnexpected {
        /// The verb.
        verb: Verb,
    },
    /// What follows the verb is not what it takes.
    #[error("the argument of {verb} is malformed")]
    Argument {
        /// The verb.
        verb: Verb,
    },
    /// No `FROM:<...>`, or brackets that do not close.
    #[error("the reverse path is not an address in angle brackets")]
    ReversePathSyntax,
    /// No `TO:<...>`, brackets that do not close, or nothing in them.
    #[error("the forward path is not an address in angle brackets")]
    ForwardPathSyntax,
    /// The sender is no mailbox.
    #[error("the reverse path is no mailbox: {0}")]
    ReversePath(MailboxError),
    /// The recipient is no mailbox.
    #[error("the forward path is no mailbox: {0}")]
    ForwardPath(MailboxError),
    /// The sender has characters beyond ASCII, and SMTPUTF8 was not asked for.
    #[error("the reverse path is not ASCII and SMTPUTF8 was not asked for")]
    ReversePathNeedsSmtpUtf8,
    /// The recipient has characters beyond ASCII, and SMTPUTF8 was not asked for.
    #[error("the forward path is not ASCII and SMTPUTF8 was not asked for")]
    ForwardPathNeedsSmtpUtf8,
    /// What follows the path is no list of parameters.
    #[error("the parameters are malformed")]
    ParameterSyntax,
    /// A parameter of no extension that is offered.
    #[error("parameter {keyword} is not known here")]
    UnknownParameter {
        /// Its keyword, shortened.
        keyword: String,
    },
    /// The value of a parameter is missing or malformed.
    #[error("parameter {parameter} has a missing or malformed value")]
    ParameterValue {
        /// Which one.
        parameter: Parameter,
    },
    /// A parameter twice.
    #[error("parameter {parameter} is given twice")]
    DuplicateParameter {
        /// Which one.
        parameter: Parameter,
    },
    /// What should be base64 is not.
    #[error("the response is not base64")]
    Base64,
}

impl CommandError {
    /// Whose fault it is: always the peer's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Peer
    }

    /// Whether it may work again: never, as it was said.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// The first word of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the word that it spells")]
pub enum Verb {
    Helo,
    Ehlo,
    StartTls,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    Auth,
}

impl Verb {
    /// The word in capitals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
            Self::Vrfy => "VRFY",
            Self::Expn => "EXPN",
            Self::Help => "HELP",
            Self::Auth => "AUTH",
        }
    }

    /// The verb that `word` spells, in any case.
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        let Ok(word) = <[u8; 4]>::try_from(word) else {
            return word.eq_ignore_ascii_case(b"STARTTLS").then_some(Self::StartTls);
        };
        Some(match &word.map(|octet| octet.to_ascii_uppercase()) {
            b"HELO" => Self::Helo,
            b"EHLO" => Self::Ehlo,
            b"MAIL" => Self::Mail,
            b"RCPT" => Self::Rcpt,
            b"DATA" => Self::Data,
            b"BDAT" => Self::Bdat,
            b"RSET" => Self::Rset,
            b"NOOP" => Self::Noop,
            b"QUIT" => Self::Quit,
            b"VRFY" => Self::Vrfy,
            b"EXPN" => Self::Expn,
            b"HELP" => Self::Help,
            b"AUTH" => Self::Auth,
            _ => return None,
        })
    }
}

/// A parameter of MAIL or RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parameter {
    /// `SIZE=`, RFC 1870.
    Size,
    /// `BODY=`, RFC 6152.
    Body,
    /// `SMTPUTF8`, RFC 6531.
    SmtpUtf8,
    /// `REQUIRETLS`, RFC 8689.
    RequireTls,
    /// `RET=`, RFC 3461.
    Ret,
    /// `ENVID=`, RFC 3461.
    EnvelopeId,
    /// `AUTH=`, RFC 4954.
    Auth,
    /// `NOTIFY=`, RFC 3461.
    Notify,
    /// `ORCPT=`, RFC 3461.
    OriginalRecipient,
}

impl Parameter {
    /// The keyword in capitals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "SIZE",
            Self::Body => "BODY",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::RequireTls => "REQUIRETLS",
            Self::Ret => "RET",
            Self::EnvelopeId => "ENVID",
            Self::Auth => "AUTH",
            Self::Notify => "NOTIFY",
            Self::OriginalRecipient => "ORCPT",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_the_words_that_they_spell() {
        use Verb as V;
        let first = [V::Helo, V::Ehlo, V::StartTls, V::Mail, V::Rcpt, V::Data, V::Bdat];
        let second = [V::Rset, V::Noop, V::Quit, V::Vrfy, V::Expn, V::Help, V::Auth];
        for verb in first.into_iter().chain(second) {
            assert_eq!(Verb::parse(verb.as_str().as_bytes()), Some(verb));
            assert_eq!(Verb::parse(verb.as_str().to_ascii_lowercase().as_bytes()), Some(verb));
        }
        for wrong in [&b""[..], b"MAI", b"MAILS", b"STARTTL", b"M\xc1IL", b"-ATA", b"\x0dAIL"] {
            assert_eq!(Verb::parse(wrong), None);
        }
    }
}
