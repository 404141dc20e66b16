//! What can go wrong with a queue.

use std::path::PathBuf;
use std::sync::Arc;

use sealpost_store::{ReadError, WriteError};
use sealpost_types::{Blame, Octets, Retry};

use crate::QueueId;

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its database could not be opened: in use, of a later version, damaged, or refused by the system.
    #[error(transparent)]
    Store(#[from] sealpost_store::OpenError),
    /// The directory of the large bodies could not be made or read, or no thread could be started for it.
    #[error("cannot use {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a message was not accepted. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Less space is left on the disk than is kept in reserve, or none.
    #[error("the disk is full")]
    Full,
    /// An earlier write failed: nothing is accepted until the process starts anew.
    #[error("the queue takes nothing since a write failed: {reason}")]
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// The message has no recipient, or a group of it has none.
    #[error("the message has a group without recipients, or no group")]
    NoRecipients,
    /// There is a message of this id.
    #[error("there is a message {id} already")]
    Duplicate {
        /// The id.
        id: QueueId,
    },
    /// The store refused this message.
    #[error("the store refused the message: {reason}")]
    Store {
        /// What it said.
        reason: Arc<str>,
    },
    /// Its body could not be written.
    #[error(transparent)]
    Body(#[from] BodyWriteError),
}

/// Why the queue could not do something else than accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The disk is full, or less is left than is kept in reserve.
    #[error("the disk is full")]
    Full,
    /// An earlier write failed: nothing is written until the process starts anew.
    #[error("the queue takes nothing since a write failed: {reason}")]
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// A settlement names a recipient that the entry does not have.
    #[error("the entry has {recipients} recipients, there is none of index {index}")]
    UnknownRecipient {
        /// The index named.
        index: usize,
        /// How many the entry has.
        recipients: usize,
    },
    /// A lease that another queue gave.
    #[error("the lease of {id} was given by another queue")]
    ForeignLease {
        /// The entry's id there.
        id: QueueId,
    },
    /// The store refused.
    #[error("the store refused: {reason}")]
    Store {
        /// What it said.
        reason: Arc<str>,
    },
}

/// Why a message cannot follow from another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowUpError {
    /// It has no recipient, or a group of it has none.
    #[error("the follow-up has a group without recipients, or no group")]
    NoRecipients,
    /// Its body is longer than [`FOLLOW_UP_OCTETS`](crate::FOLLOW_UP_OCTETS).
    #[error("the follow-up has {} octets, {} are allowed", found.0, limit.0)]
    TooLong {
        /// Octets found.
        found: Octets,
        /// Octets allowed.
        limit: Octets,
    },
}

/// Why a body could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyWriteError {
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The system refused to write or sync the file.
    #[error("cannot write a body: {reason}")]
    Io {
        /// What it said.
        reason: Arc<str>,
    },
}

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyReadError {
    /// It is not what was stored: too short, or its checksum differs. The last piece is not given out then.
    #[error("the body is damaged: {reason}")]
    Damaged {
        /// How.
        reason: Arc<str>,
    },
    /// The system refused to read the file.
    #[error("cannot read a body: {reason}")]
    Io {
        /// What it said.
        reason: Arc<str>,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
}

impl OpenError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Store(error) => error.blame(),
            Self::Io { .. } => Blame::Us,
        }
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Io { .. } => Retry::Never,
        }
    }
}

impl AcceptError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoRecipients | Self::Duplicate { .. } => Blame::Caller,
            Self::Full | Self::Poisoned { .. } | Self::Closed | Self::Store { .. } | Self::Body(_) => Blame::Us,
        }
    }

    /// Whether the client may try again: always, unless the caller is wrong. Our troubles pass.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NoRecipients | Self::Duplicate { .. } => Retry::Never,
            Self::Full | Self::Poisoned { .. } | Self::Closed | Self::Store { .. } | Self::Body(_) => Retry::Later,
        }
    }
}

impl SpoolError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::UnknownRecipient { .. } | Self::ForeignLease { .. } => Blame::Caller,
            Self::Full | Self::Poisoned { .. } | Self::Closed | Self::Store { .. } => Blame::Us,
        }
    }

    /// Whether it may work again in this process.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Full => Retry::Later,
            _ => Retry::Never,
        }
    }
}

impl FollowUpError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Whether it may work again: not the same message.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl BodyWriteError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Later
    }
}

impl BodyReadError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Damaged { .. } | Self::Closed => Retry::Never,
            Self::Io { .. } => Retry::Later,
        }
    }
}

impl From<WriteError> for SpoolError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Poisoned { reason } => Self::Poisoned { reason },
            WriteError::Full => Self::Full,
            WriteError::Closed => Self::Closed,
            other => Self::Store { reason: other.to_string().into() },
        }
    }
}

impl From<ReadError> for SpoolError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            other => Self::Store { reason: other.to_string().into() },
        }
    }
}

impl From<SpoolError> for AcceptError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Full => Self::Full,
            SpoolError::Poisoned { reason } => Self::Poisoned { reason },
            SpoolError::Closed => Self::Closed,
            other => Self::Store { reason: other.to_string().into() },
        }
    }
}

impl From<std::io::Error> for BodyWriteError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { reason: error.to_string().into() },
        }
    }
}

impl From<std::io::Error> for BodyReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io { reason: error.to_string().into() }
    }
}
