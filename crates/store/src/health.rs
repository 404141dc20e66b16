//! Whether a store still takes anything.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::WriteError;
use crate::error::{is_damage, is_wrong_type};
use crate::salvage::Marker;

/// Whether a store still takes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Good,
    /// It was closed.
    Closed,
    /// A commit or a sync failed, so that nobody knows what the disk holds: nothing is written any more. Only a new
    /// process, which reads everything back, may go on.
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
}

/// Set once, never cleared.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    reason: OnceLock<Arc<str>>,
    is_damage: AtomicBool,
    /// Where to leave word that the database is damaged, if the next owner can do something about it.
    marker: Option<PathBuf>,
}

impl Poison {
    pub(crate) fn new(marker: Option<PathBuf>) -> Self {
        Self { marker, ..Self::default() }
    }

    pub(crate) fn set(&self, reason: &str) {
        if self.reason.set(reason.into()).is_ok() {
            tracing::error!(reason, "the store is poisoned: nothing more is written; restart the process");
        }
    }

    /// Poisons, and leaves word that the database itself is damaged.
    pub(crate) fn set_damaged(&self, reason: &str) {
        if self.reason.get().is_some() {
            return;
        }
        self.is_damage.store(true, Ordering::Release);
        self.set(reason);
        if let Some(marker) = &self.marker
            && let Err(error) = Marker::Damaged(reason.to_owned()).write(marker)
        {
            tracing::error!(path = %marker.display(), %error, "cannot leave word that the database is damaged");
        }
    }

    pub(crate) fn is_damage(&self) -> bool {
        self.is_damage.load(Ordering::Acquire)
    }

    /// Poisons if this failure says that the database is damaged.
    pub(crate) fn judge(&self, what: &str, error: &rusqlite::Error) {
        // Whoever can salvage has strict tables: a value of another type was not written so.
        if is_damage(error) || (self.marker.is_some() && is_wrong_type(error)) {
            self.set_damaged(&format!("{what}: {error}"));
        }
    }

    pub(crate) fn check(&self) -> Result<(), WriteError> {
        match self.reason.get() {
            Some(reason) => Err(WriteError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}
