//! What became of a transaction, recipient by recipient.

use std::fmt;
use std::io;
use std::time::Duration;

use sealpost_smtp::{ClientError, Reply};
use sealpost_types::{Blame, Retry};

/// Every reply to one transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransactionOutcome {
    /// The reply to MAIL, if it came.
    pub mail: Option<Reply>,
    /// The replies to RCPT that came, in the order of the recipients.
    pub recipients: Vec<Option<Reply>>,
    /// How it ended.
    pub end: TransactionEnd,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransactionEnd {
    /// The server answered the message as a whole: to the body, or to DATA before it.
    Answered {
        /// The reply.
        reply: Reply,
    },
    /// MAIL or every recipient was refused, so that the message goes to nobody.
    NotSent,
    /// It broke off.
    Broken {
        /// Why, and when.
        error: TransferError,
    },
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RecipientOutcome<'a> {
    /// The server has taken responsibility.
    Delivered(&'a Reply),
    /// The server refused: the recipient, the sender or the message. 4yz or 5yz says for how long.
    Refused(&'a Reply),
    /// It broke off before there was an answer for this recipient.
    Broken(&'a TransferError),
}

/// Why a transaction broke off.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransferError {
    /// How far it had come.
    pub phase: TransferPhase,
    /// What went wrong.
    pub fault: TransferFault,
}

/// How far a transaction had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TransferPhase {
    /// The envelope was under way. Nothing was delivered.
    Envelope,
    /// The body was under way, and its end was not sent. Nothing was delivered.
    Body,
    /// All of the body was sent and the answer is missing: nobody knows. Trying again may deliver a second time, not
    /// trying may lose the message; so it is tried again (RFC 1047).
    Answer,
}

/// What went wrong in a transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferFault {
    /// Nothing came in time, or nothing was taken.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The server closed or reset the connection without a word.
    Lost {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The server ended the session with 421.
    Closing {
        /// What it said.
        reply: Reply,
    },
    /// The body cannot be read on this side.
    Body {
        /// What the storage says.
        kind: io::ErrorKind,
    },
    /// The body has another length than was announced.
    BodyLength {
        /// Octets announced.
        announced: u64,
        /// Octets read, or more.
        found: u64,
    },
    /// The server does not speak SMTP as it should.
    Protocol {
        /// How.
        cause: ClientError,
    },
}

impl TransactionOutcome {
    /// What became of the recipient at `index`; nothing if there is none.
    #[must_use]
    pub fn recipient(&self, index: usize) -> Option<RecipientOutcome<'_>> {
        let own = self.recipients.get(index)?;
        if let Some(reply) = own.as_ref().filter(|reply| !reply.is_success()) {
            return Some(RecipientOutcome::Refused(reply));
        }
        Some(match &self.end {
            TransactionEnd::Answered { reply } if reply.is_success() => RecipientOutcome::Delivered(reply),
            TransactionEnd::Answered { reply } => RecipientOutcome::Refused(reply),
            TransactionEnd::Broken { error } => RecipientOutcome::Broken(error),
            TransactionEnd::NotSent => RecipientOutcome::Refused(self.mail.as_ref()?),
        })
    }

    /// What became of each recipient, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = RecipientOutcome<'_>> {
        (0..self.recipients.len()).filter_map(|index| self.recipient(index))
    }
}

impl TransferError {
    /// Whether the message may have been delivered. A 421 is an answer: it has not.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.phase == TransferPhase::Answer && !matches!(self.fault, TransferFault::Closing { .. })
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self.fault {
            TransferFault::TimedOut { .. } | TransferFault::Lost { .. } => Blame::Network,
            TransferFault::Closing { .. } | TransferFault::Protocol { .. } => Blame::Peer,
            TransferFault::Body { .. } | TransferFault::BodyLength { .. } => Blame::Us,
        }
    }

    /// What to do about it. After the whole body was sent another host would get a second copy for sure.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if self.is_unknown() || self.blame() == Blame::Us { Retry::Later } else { Retry::OtherHost }
    }
}

impl fmt::Display for TransferPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "during the envelope",
            Self::Body => "during the body",
            Self::Answer => "after the body, so that it may have been delivered",
        })
    }
}

impl fmt::Display for TransferFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { after } => write!(f, "no answer within {} s", (after.as_secs_f32() * 100.0).round() / 100.0),
            Self::Lost { kind } => write!(f, "the server closed the connection ({kind})"),
            Self::Closing { reply } => write!(f, "the server ended the session: {reply}"),
            Self::Body { kind } => write!(f, "the body cannot be read ({kind})"),
            Self::BodyLength { announced, found } => write!(f, "the body has {found} octets where {announced} were announced"),
            Self::Protocol { cause } => cause.fmt(f),
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fault, self.phase)
    }
}

impl std::error::Error for TransferError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok() -> Reply {
        Reply::fixed::<250, 1, 5>("ok")
    }

    fn unknown() -> Reply {
        Reply::fixed::<550, 1, 1>("no such user")
    }

    fn outcome(recipients: Vec<Option<Reply>>, end: TransactionEnd) -> TransactionOutcome {
        TransactionOutcome { mail: Some(ok()), recipients, end }
    }

    #[test]
    fn recipients_fare_differently() {
        let outcome = outcome(vec![Some(ok()), Some(unknown())], TransactionEnd::Answered { reply: Reply::fixed::<250, 0, 0>("queued") });
        assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Delivered(reply)) if reply.text() == "queued"));
        assert!(matches!(outcome.recipient(1), Some(RecipientOutcome::Refused(reply)) if *reply == unknown()));
        assert!(outcome.recipient(2).is_none());
        assert_eq!(outcome.outcomes().count(), 2);
    }

    #[test]
    fn a_refused_message_is_refused_for_everybody_who_was_accepted() {
        let outcome = outcome(vec![Some(ok()), Some(unknown())], TransactionEnd::Answered { reply: Reply::fixed::<554, 7, 1>("spam") });
        assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Refused(reply)) if reply.text() == "spam"));
        assert!(matches!(outcome.recipient(1), Some(RecipientOutcome::Refused(reply)) if *reply == unknown()));
    }

    #[test]
    fn a_refused_sender_is_refused_for_everybody() {
        let mut outcome = outcome(vec![None], TransactionEnd::NotSent);
        outcome.mail = Some(unknown());
        assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Refused(reply)) if *reply == unknown()));
    }

    #[test]
    fn only_a_missing_answer_to_the_whole_body_is_unknown() {
        for (phase, is_unknown, retry) in [
            (TransferPhase::Envelope, false, Retry::OtherHost),
            (TransferPhase::Body, false, Retry::OtherHost),
            (TransferPhase::Answer, true, Retry::Later),
        ] {
            let error = TransferError { phase, fault: TransferFault::Lost { kind: io::ErrorKind::ConnectionReset } };
            assert_eq!((error.is_unknown(), error.retry()), (is_unknown, retry));
            let outcome = outcome(vec![Some(ok()), Some(unknown())], TransactionEnd::Broken { error });
            assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Broken(_))));
            assert!(matches!(outcome.recipient(1), Some(RecipientOutcome::Refused(_))), "a refusal that came stays");
        }
    }
}
