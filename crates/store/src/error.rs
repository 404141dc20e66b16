//! What can go wrong with a store.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;
use sealpost_types::{Blame, Retry};

/// What SQLite said, without its types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLite code {code})")]
#[non_exhaustive]
pub struct SqliteFailure {
    /// The extended result code; negative for a failure of the call, not of SQLite.
    pub code: i32,
    /// Its words.
    pub message: Arc<str>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or the lock file could not be made, opened or synced.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process owns it.
    #[error("{} is in use by another process{}; stop that one first", directory.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The directory of the store.
        directory: PathBuf,
        /// The process that holds the lock, as far as the lock file says.
        pid: Option<u32>,
    },
    /// It was written by a later version.
    #[error("{} has schema {found}, this version knows schemas up to {known}; use the later version that wrote it", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema found.
        found: u32,
        /// The last schema known.
        known: u32,
    },
    /// It is some other program's database.
    #[error("{} is another program's database (application id {found:#x}, expected {expected:#x})", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// The application id found.
        found: i32,
        /// The application id expected.
        expected: i32,
    },
    /// It is older than this version, and was opened only to look.
    #[error("{} has schema {found}, this version expects {known}; start the relay once to bring it up to date", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// The schema found.
        found: u32,
        /// The schema needed.
        known: u32,
    },
    /// SQLite refused.
    #[error("cannot open {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: SqliteFailure,
    },
}

/// Why something was not written. None of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// An earlier commit or sync failed: nothing is written any more until the process starts anew.
    #[error("the store takes nothing more since a write failed: {reason}")]
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// Another program holds the database's write lock.
    #[error("another program holds the database's lock")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// This job alone failed.
    #[error(transparent)]
    Failed(#[from] SqliteFailure),
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// SQLite refused.
    #[error(transparent)]
    Failed(#[from] SqliteFailure),
}

impl OpenError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Io { .. } | Self::Sqlite { .. } => Blame::Us,
            Self::InUse { .. } | Self::Newer { .. } | Self::Older { .. } | Self::Foreign { .. } => Blame::Caller,
        }
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::InUse { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }
}

impl OpenError {
    /// Whether the file is not what was written.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        // What is none of SQLite's failures is a row that is missing, or a value of another type.
        matches!(self, Self::Sqlite { source, .. } if source.is_damage() || source.code < 0)
    }
}

impl OpenError {
    /// Whether it is what stands in the file that is wrong, not the disk or the rights.
    pub(crate) fn is_of_content(&self) -> bool {
        self.is_damage() || matches!(self, Self::Newer { .. } | Self::Foreign { .. })
    }
}

impl WriteError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Full | Self::Busy => Retry::Later,
            Self::Poisoned { .. } | Self::Closed | Self::Failed(_) => Retry::Never,
        }
    }

    /// What a failure inside a transaction means for the job that caused it.
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Failed(SqliteFailure::of(error)),
        }
    }
}

impl ReadError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl SqliteFailure {
    /// Whether the file is not what was written.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self.code & 0xff, CORRUPT | NOT_A_DATABASE)
    }

    /// Whether a value was of another type than its column takes: also what is not the file's fault may say so, but only in a store
    /// whose tables are not strict.
    #[must_use]
    pub fn is_wrong_type(&self) -> bool {
        self.code == WRONG_TYPE
    }

    pub(crate) fn damaged_head() -> Self {
        Self { code: NOT_A_DATABASE, message: "the head of the file is not that of a database".into() }
    }

    pub(crate) fn damaged_schema(kind: &[u8], name: &[u8]) -> Self {
        let [kind, name] = [kind, name].map(String::from_utf8_lossy);
        Self { code: CORRUPT, message: format!("the {kind} {name} is not there as it was made").into() }
    }

    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        let code = if is_wrong_type(error) { WRONG_TYPE } else { error.sqlite_error().map_or(-1, |e| e.extended_code) };
        Self { code, message: error.to_string().into() }
    }
}

/// Whether the pages behind this failure can no longer be trusted: the system could not write or sync them.
pub(crate) fn is_fatal(error: &rusqlite::Error) -> bool {
    !matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether a value was of another type than its column takes.
pub(crate) fn is_wrong_type(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    // What SQLite says when it writes back a row of a strict table in which it found such a value.
    if error.sqlite_error().is_some_and(|error| error.extended_code == WRONG_TYPE_IN_STRICT_TABLE) {
        return true;
    }
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// Whether this failure says that the file is not what was written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// SQLite's primary result codes for a damaged file.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

const WRONG_TYPE_IN_STRICT_TABLE: i32 = 3091;

/// A code of our own.
const WRONG_TYPE: i32 = -2;
