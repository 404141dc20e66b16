//! Included lists: rows of partners, many of them.

use std::sync::Arc;

use crate::document::{IncludeEntry, PolicyError, Problem, Text};
use crate::policy::Policy;

/// Reads the lists that a document includes.
pub trait Include {
    /// The text of a list; `file` is what the document calls it.
    ///
    /// # Errors
    /// [`IncludeError`]: it cannot be read.
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError>;
}

/// Why an included list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct IncludeError {
    /// What the reader says.
    pub message: String,
}

/// A list that a document includes.
#[derive(Debug)]
pub(crate) struct IncludedList {
    /// What the document calls it.
    pub(crate) file: Arc<str>,
}

/// Reads nothing.
pub(super) struct Nothing;

impl Include for Nothing {
    fn read(&self, _: &str) -> Result<Arc<str>, IncludeError> {
        Err(IncludeError { message: "this program reads no included lists".to_owned() })
    }
}

impl Policy {
    pub(super) fn include(&mut self, includes: Vec<IncludeEntry>, include: &dyn Include, text: &mut Text<'_>) -> Vec<PolicyError> {
        for IncludeEntry { file, .. } in includes {
            let read = include.read(&file.value).and_then(|_| Err(IncludeError { message: "not read yet".to_owned() }));
            let _: Option<()> = text.noted(file.offset, read.map_err(|error| error.of(&file.value)));
        }
        Vec::new()
    }
}

impl IncludeError {
    /// An error in these words.
    #[must_use]
    pub fn new(message: String) -> Self {
        Self { message }
    }

    fn of(self, file: &str) -> Problem {
        Problem::Include { file: file.to_owned(), cause: self.message }
    }
}
