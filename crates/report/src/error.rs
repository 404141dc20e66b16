//! What can go wrong with a history.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sealpost_store::{OpenError, WriteError};
use sealpost_types::{Blame, Retry};

/// Why bytes are no [`Event`](crate::Event).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventBytesError {
    /// There are none.
    #[error("a history entry cannot be empty")]
    Empty,
    /// The first octet names a version that this program does not know.
    #[error("the history entry has version {found}; this program knows up to {newest}")]
    Version {
        /// The octet.
        found: u8,
        /// The newest version known.
        newest: u8,
    },
    /// What follows does not read as an entry.
    #[error("the history entry cannot be read from octet {offset} on")]
    Content {
        /// Where, in octets behind the version.
        offset: usize,
    },
}

impl EventBytesError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// Why a history could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// There is none to look at: no relay has written one there yet.
    #[error("there is no history in {}", directory.display())]
    Missing {
        /// Where it would lie.
        directory: PathBuf,
    },
    /// It could not be opened.
    #[error("the history cannot be opened")]
    Open(#[from] OpenError),
    /// The thread that writes it could not be started.
    #[error("the history's thread cannot be started: {kind}")]
    Thread {
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The file of its stream could not be opened.
    #[error("the history's stream cannot be opened: {}", path.display())]
    Stream {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The runtime ends.
    #[error("the history is closing")]
    Stopping,
    /// It could not be written.
    #[error("the history cannot be written: {0}")]
    Write(WriteError),
}

impl HistoryError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Open(error) => error.blame(),
            Self::Missing { .. } | Self::Stream { .. } => Blame::Caller,
            Self::Thread { .. } | Self::Stopping => Blame::Us,
            Self::Write(error) => error.blame(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Open(error) => error.retry(),
            Self::Missing { .. } | Self::Thread { .. } => Retry::Later,
            Self::Stream { .. } | Self::Stopping => Retry::Never,
            Self::Write(error) => error.retry(),
        }
    }
}

impl From<WriteError> for HistoryError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
