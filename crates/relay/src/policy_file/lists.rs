//! The lists that a policy includes: files that are named from its folder.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use sealpost_policy::{Include, IncludeError};

/// A list as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// What the policy calls it.
    pub(super) file: String,
    /// Tells whether its text is another one than before: a list may be too long to be kept for that.
    digest: u64,
}

/// Reads lists, and notes which.
#[derive(Debug)]
pub(super) struct ListsBeside<'a> {
    folder: &'a Path,
    read: RefCell<Vec<List>>,
}

impl<'a> ListsBeside<'a> {
    /// Lists beside this policy.
    pub(super) fn new(policy: &'a Path) -> Self {
        Self { folder: policy.parent().unwrap_or_else(|| Path::new(".")), read: RefCell::default() }
    }

    /// What was read.
    pub(super) fn into_read(self) -> Vec<List> {
        self.read.into_inner()
    }
}

impl Include for ListsBeside<'_> {
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError> {
        let text = std::fs::read_to_string(self.folder.join(file)).map_err(|error| IncludeError::new(error.to_string()))?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.read.borrow_mut().push(List { file: file.to_owned(), digest: hasher.finish() });
        Ok(text.into())
    }
}
