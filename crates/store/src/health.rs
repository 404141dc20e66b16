//! Whether a store still takes anything.

use std::sync::{Arc, OnceLock};

use crate::WriteError;

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
pub(crate) struct Poison(OnceLock<Arc<str>>);

impl Poison {
    pub(crate) fn set(&self, reason: &str) {
        if self.0.set(reason.into()).is_ok() {
            tracing::error!(reason, "the store is poisoned: nothing more is written; restart the process");
        }
    }

    pub(crate) fn check(&self) -> Result<(), WriteError> {
        match self.0.get() {
            Some(reason) => Err(WriteError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}
