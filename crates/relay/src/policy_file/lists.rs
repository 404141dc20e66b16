//! The lists that a policy includes: files that are named from its folder.

use std::cell::RefCell;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_policy::{Include, IncludeError};

use crate::places::explained;

/// A list as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// What the policy calls it.
    pub(super) file: String,
    /// Tells whether its text is another one than before: a list may be too long to be kept for that.
    pub(super) digest: u64,
}

/// Takes a text in pieces; how it is cut makes no difference.
#[derive(Debug, Default)]
pub(super) struct Digest(DefaultHasher);

/// Reads lists, and notes which.
#[derive(Debug)]
pub(super) struct ListsBeside<'a> {
    policy: &'a Path,
    read: RefCell<Vec<List>>,
}

impl Digest {
    pub(super) fn take(&mut self, text: &[u8]) {
        self.0.write(text);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finish()
    }
}

impl List {
    /// Whether it is what it was when it was read; one that cannot be read is not.
    pub(super) fn is_as_read(&self, policy: &Path) -> bool {
        let (mut digest, mut piece) = (Digest::default(), vec![0; PIECE_OCTETS]);
        let Ok(mut file) = File::open(beside(policy, &self.file)) else { return false };
        loop {
            match file.read(&mut piece) {
                Ok(0) => return digest.value() == self.digest,
                Ok(octets) => digest.take(piece.get(..octets).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

impl<'a> ListsBeside<'a> {
    /// Lists beside this policy.
    pub(super) fn new(policy: &'a Path) -> Self {
        Self { policy, read: RefCell::default() }
    }

    /// What was read.
    pub(super) fn into_read(self) -> Vec<List> {
        self.read.into_inner()
    }
}

impl Include for ListsBeside<'_> {
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError> {
        let text = std::fs::read_to_string(beside(self.policy, file)).map_err(|error| IncludeError::new(explained(error).to_string()))?;
        let mut digest = Digest::default();
        digest.take(text.as_bytes());
        self.read.borrow_mut().push(List { file: file.to_owned(), digest: digest.value() });
        Ok(text.into())
    }
}

/// Where a list lies.
pub(crate) fn beside(policy: &Path, file: &str) -> PathBuf {
    policy.parent().unwrap_or_else(|| Path::new(".")).join(file)
}

/// Octets that are read at a time.
const PIECE_OCTETS: usize = 256 * 1024;
