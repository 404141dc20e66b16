//! What can go wrong in a client session.

use sealpost_types::{Blame, Retry};

use super::{Missing, Stage};
use crate::reply::{Reply, ReplyError};

/// Why a client session ended before its owner said so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// What the server sent is no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The server closes the connection (421).
    #[error("the server closes the session at {stage}: {reply}")]
    Closing {
        /// What was under way.
        stage: Stage,
        /// What the server said.
        reply: Reply,
    },
    /// A reply that answers nothing, or not in a way that it may.
    #[error("unexpected reply to {stage}: {reply}")]
    UnexpectedReply {
        /// What was under way.
        stage: Stage,
        /// What the server said.
        reply: Reply,
    },
    /// Octets behind the reply to STARTTLS and before the handshake: an attacker's, or a broken server's.
    #[error("octets in clear behind the reply to STARTTLS")]
    BytesBehindStartTls,
    /// The server refuses to forget a transaction.
    #[error("RSET refused: {reply}")]
    ResetRefused {
        /// What the server said.
        reply: Reply,
    },
    /// The server did not answer in time.
    #[error("no reply to {stage} in time")]
    TimedOut {
        /// What was under way.
        stage: Stage,
    },
}

impl ClientError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut { .. } => Blame::Network,
            Self::Reply(_)
            | Self::Closing { .. }
            | Self::UnexpectedReply { .. }
            | Self::BytesBehindStartTls
            | Self::ResetRefused { .. } => Blame::Peer,
        }
    }

    /// Whether it may work again: with another host now, and with this one later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::OtherHost
    }
}

/// Why a transaction was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The session has something else under way, or is over.
    #[error("the session is not ready for a transaction")]
    NotReady,
    /// Nobody to send to.
    #[error("the transaction has no recipients")]
    NoRecipients,
    /// The server lacks an extension without which sending would be wrong.
    #[error("the server lacks {0}")]
    Missing(Missing),
}

impl TransactionError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotReady | Self::NoRecipients => Blame::Caller,
            Self::Missing(_) => Blame::Peer,
        }
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotReady => Retry::Later,
            Self::NoRecipients => Retry::Never,
            Self::Missing(_) => Retry::OtherHost,
        }
    }
}

/// The session has something else under way, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is not ready for this")]
#[allow(clippy::exhaustive_structs, reason = "one reason, and nothing beside it")]
pub struct NotReady;

impl NotReady {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Later
    }
}
