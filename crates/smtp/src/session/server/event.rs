//! What a server session tells its owner, and what it wants to hear.

use std::ops::Range;

use sealpost_types::{Blame, Octets, ReplyCode, Retry};

use crate::auth::Credentials;
use crate::command::{HelloName, MailCommand, RcptCommand};
use crate::data::BodyFault;
use crate::reply::Reply;

/// What happened in a server session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// The client said who it is. It is under way to do so again after STARTTLS.
    Hello {
        /// What it calls itself.
        name: HelloName,
        /// Whether it said EHLO or HELO.
        greeting: Greeting,
    },
    /// A transaction begins; awaits an [`Answer`].
    Mail(MailCommand),
    /// A recipient of it; awaits an [`Answer`].
    Rcpt(RcptCommand),
    /// Its content is about to come; awaits an [`Answer`].
    BodyStart,
    /// A piece of its content, with the dots of DATA taken out: this range of the octets last given to `receive`.
    Body(Range<usize>),
    /// All of its content has come; awaits an [`Answer`], and only acceptance makes the message ours.
    BodyEnd {
        /// Octets of content.
        size: Octets,
    },
    /// The transaction that was begun is over, and nothing of it counts.
    Aborted(Aborted),
    /// The client wants to prove who it is; awaits an [`Answer`].
    Auth(Credentials),
}

/// How a client says who it is (RFC 5321 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5321 has two")]
pub enum Greeting {
    /// HELO: a session without extensions.
    Helo,
    /// EHLO.
    Ehlo,
}

/// Why a transaction was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aborted {
    /// The client said RSET.
    Reset,
    /// The client greeted again.
    Hello,
    /// The client went over to TLS.
    StartTls,
    /// The client said QUIT.
    Quit,
    /// The content has octets that no content may have; the client is told so at its end.
    Fault(BodyFault),
    /// The content is larger than [`crate::Limits::message`]; the client is told so at its end.
    TooLarge,
    /// The client took too long.
    TimedOut,
    /// The client did what ends a session: too many errors, octets behind STARTTLS.
    Violation,
    /// The owner ended the session.
    Refused,
}

/// What the owner says to an event that awaits it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Yes, with the session's own words.
    Accept,
    /// The message is ours, in these words (2yz). Only for [`ServerEvent::BodyEnd`].
    Queued {
        /// What the client is told.
        reply: Reply,
    },
    /// No, for this reason (4yz or 5yz).
    Refuse(Reply),
}

/// Why an [`Answer`] was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No event awaits such an answer.
    #[error("no event awaits this answer")]
    NotAwaited,
    /// A refusal that refuses nothing, or a confirmation that does not confirm.
    #[error("{code} is not the code of such an answer")]
    Severity {
        /// The code of the reply.
        code: ReplyCode,
    },
}

impl AnswerError {
    /// Whose fault it is: the owner's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl Answer {
    pub(super) fn check(&self) -> Result<(), AnswerError> {
        match self {
            Self::Accept => Ok(()),
            Self::Queued { reply } if reply.is_success() => Ok(()),
            Self::Refuse(reply) if reply.is_refusal() => Ok(()),
            Self::Queued { reply } | Self::Refuse(reply) => Err(AnswerError::Severity { code: reply.code() }),
        }
    }
}
