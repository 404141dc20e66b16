//! The policy's file: read, checked, guarded against slips, and written so that it is whole at every moment.

mod error;
mod lists;
mod named;
mod rows;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_policy::{Differences, Edit, EditError, Place, Policy, PolicyErrors, PolicyText, diff};

pub use error::PolicyFileError;
pub use named::{NamedFileFault, NamedFiles, read_named_anchors};
pub use rows::RowChange;

use crate::places::explained;
pub(crate) use lists::beside;
use lists::{List, ListsBeside};
use rows::NewList;

/// The policy's file as it was last read or written: what is in force.
///
/// It is used by one at a time; a relay does so for all who ask it, and a command without a relay for itself. All calls block.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    read: Read,
    /// What it compiles to; a change of one row starts from it.
    policy: Policy,
}

/// What was read of a policy: its text, and the lists that it includes.
#[derive(Clone, Debug)]
struct Read {
    text: Arc<str>,
    lists: Vec<List>,
    entries: usize,
}

/// How careful a change of the policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeOptions {
    /// Say what would change, and change nothing.
    pub dry_run: bool,
    /// Also if more than [`GUARD_PERCENT`] of the entries, a whole included list, or all entries of a list would go.
    pub force: bool,
    /// Mail that was deferred for TLS is let go, where the policy asks for less now.
    pub apply_to_queue: bool,
}

/// What a change of the policy came to, or would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyChange {
    /// Whether the policy differs from the one that was in force.
    pub changed: bool,
    /// Entries before, those of included lists among them.
    pub entries_before: usize,
    /// Entries after.
    pub entries_after: usize,
    /// Which of them came, went and differ.
    pub differences: Differences,
    /// The difference of the texts, line by line; only if it was asked for by [`ChangeOptions::dry_run`].
    pub diff: String,
    /// Where rows of the same domain stand already as the one that comes: all of them hold.
    pub also: Vec<Place>,
}

/// A policy that is compiled and allowed, and not in force yet.
#[derive(Debug)]
pub struct Draft {
    read: Read,
    policy: Policy,
    change: PolicyChange,
    write: ToWrite,
}

/// What has to be written, because it was made here.
#[derive(Debug)]
enum ToWrite {
    Nothing,
    Document,
    List(NewList),
}

impl PolicyFile {
    /// Reads the file and what it says.
    ///
    /// # Errors
    /// [`PolicyFileError::Unreadable`] and [`PolicyFileError::Policy`].
    pub fn open(path: &Path) -> Result<(Self, Policy), PolicyFileError> {
        let (read, policy) = compile(path, read(path)?)?;
        Ok((Self { path: path.to_owned(), read, policy: policy.clone() }, policy))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.read.text
    }

    /// What the file says now.
    ///
    /// # Errors
    /// [`PolicyFileError::Unreadable`], [`PolicyFileError::Policy`], [`PolicyFileError::Guarded`].
    pub fn read_again(&self, options: ChangeOptions) -> Result<Draft, PolicyFileError> {
        self.draft(read(&self.path)?, None, options, ToWrite::Nothing)
    }

    /// What comes of these edits, made one after the other.
    ///
    /// # Errors
    /// [`PolicyFileError::ChangedOnDisk`]: the file, or a list, is not what is in force, and the edits would bring that into
    /// force unseen;
    /// [`PolicyFileError::Edit`], [`PolicyFileError::Unreadable`], [`PolicyFileError::Policy`], [`PolicyFileError::Guarded`].
    pub fn edit(&self, edits: &[Edit], options: ChangeOptions) -> Result<Draft, PolicyFileError> {
        if read(&self.path)? != *self.read.text {
            return Err(PolicyFileError::ChangedOnDisk { path: self.path.clone() });
        }
        if let Some(list) = self.read.lists.iter().find(|list| !list.is_as_read(&self.path)) {
            return Err(PolicyFileError::ChangedOnDisk { path: beside(&self.path, &list.file) });
        }
        let failed = |(number, problem)| PolicyFileError::Edit { number, problem };
        let text = PolicyText::parse(&self.name(), &self.read.text).map_err(EditError::from);
        let before = text.map_err(|problem| failed((1, problem)))?;
        let mut after = before.clone();
        after.apply_all(edits).map_err(failed)?;
        self.draft(after.to_string(), Some((before, after)), options, ToWrite::Document)
    }

    /// This draft is in force from now on: written, if it was made here. Gives its policy.
    ///
    /// # Errors
    /// [`PolicyFileError::ChangedOnDisk`], [`PolicyFileError::Unreadable`], [`PolicyFileError::Unwritable`]: nothing changed.
    pub fn commit(&mut self, draft: Draft) -> Result<Policy, PolicyFileError> {
        let Draft { read, policy, write, .. } = draft;
        match write {
            ToWrite::Document if self.read.text != read.text => write::replace(&self.path, &self.read.text, &read.text)?,
            ToWrite::List(list) => list.commit()?,
            ToWrite::Document | ToWrite::Nothing => {}
        }
        self.read = read;
        self.policy = policy.clone();
        Ok(policy)
    }

    /// What errors call it.
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What comes of this text if the lists need not be read again for it: a million rows take seconds.
    fn with_lists_kept(&self, text: &str) -> Option<Policy> {
        let lists = &self.read.lists;
        if lists.is_empty() || !lists.iter().all(|list| list.is_as_read(&self.path)) {
            return None;
        }
        self.policy.with_document(&self.name(), text)
    }

    /// `parsed`: the texts of before and after, where they are read already.
    fn draft(
        &self,
        text: String,
        parsed: Option<(PolicyText, PolicyText)>,
        options: ChangeOptions,
        write: ToWrite,
    ) -> Result<Draft, PolicyFileError> {
        let before = &self.read;
        let (read, policy) = match self.with_lists_kept(&text) {
            Some(policy) => (Read { text: text.into(), lists: before.lists.clone(), entries: policy.entries() }, policy),
            None => compile(&self.path, text)?,
        };
        let change = PolicyChange {
            changed: before.text != read.text || before.lists != read.lists,
            entries_before: before.entries,
            entries_after: read.entries,
            differences: self.differences(parsed, &read, &policy),
            diff: if options.dry_run { diff(&self.name(), &before.text, &read.text) } else { String::new() },
            also: Vec::new(),
        };
        if !options.force {
            let is_gone = |list: &&List| !read.lists.iter().any(|other| other.file == list.file);
            if let Some(list) = before.lists.iter().find(is_gone) {
                return Err(PolicyFileError::ListGone { file: list.file.clone() });
            }
        }
        self.guard(&change, options)?;
        Ok(Draft { read, policy, change, write })
    }

    /// What becomes of the entries. A text that is in force, or could be, is one that reads.
    fn differences(&self, parsed: Option<(PolicyText, PolicyText)>, read: &Read, policy: &Policy) -> Differences {
        let parse = |text: &str| PolicyText::parse("policy", text).ok();
        match parsed.or_else(|| Some((parse(&self.read.text)?, parse(&read.text)?))) {
            Some((before, after)) => Differences::between((&before, &self.policy), (&after, policy)),
            // Should a policy be none to edit, what there is is counted at least.
            None => {
                let mut found = Differences::of_rows(&self.policy, policy);
                found.before = self.read.entries;
                found.gone.count = found.gone.count.max(self.read.entries.saturating_sub(read.entries));
                found
            }
        }
    }

    /// Lets nobody take out much by a slip.
    fn guard(&self, change: &PolicyChange, options: ChangeOptions) -> Result<(), PolicyFileError> {
        let Differences { gone, emptied, .. } = &change.differences;
        if options.force {
            return Ok(());
        }
        if let Some(list) = emptied.first() {
            return Err(PolicyFileError::Emptied { list: list.clone() });
        }
        if gone.count <= GUARD_LEAST {
            return Ok(());
        }
        // Of one row that changes nobody has counted the others yet.
        let before = match change.differences.before {
            0 => PolicyText::parse("policy", &self.read.text).map_or(0, |text| Differences::entries(&text, &self.policy)),
            before => before,
        };
        if gone.count.saturating_mul(100) > before.saturating_mul(GUARD_PERCENT) {
            return Err(PolicyFileError::Guarded { before, gone: gone.clone() });
        }
        Ok(())
    }
}

impl Draft {
    /// Where it needs what only DNSSEC can show, if it does.
    pub(crate) fn needs_dnssec(&self) -> Option<Place> {
        self.policy.needs_dnssec()
    }

    /// What would be in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it changes.
    #[must_use]
    pub fn change(&self) -> &PolicyChange {
        &self.change
    }

    /// The file that it changes: an included list, or the policy itself.
    pub(crate) fn file(&self, policy: &PolicyFile) -> PathBuf {
        match &self.write {
            ToWrite::List(list) => list.path().to_owned(),
            ToWrite::Document | ToWrite::Nothing => policy.path.clone(),
        }
    }
}

/// The policy that this text would be in the place of the file, with the lists beside it.
///
/// # Errors
/// Every problem that can be found in the text and in the lists.
pub fn compile_at(path: &Path, text: &str) -> Result<Policy, PolicyErrors> {
    Policy::parse_with(&path.display().to_string(), text, &ListsBeside::new(path))
}

fn read(path: &Path) -> Result<String, PolicyFileError> {
    std::fs::read_to_string(path)
        .map_err(|source| PolicyFileError::Unreadable { path: path.to_owned(), source: Arc::new(explained(source)) })
}

fn compile(path: &Path, text: String) -> Result<(Read, Policy), PolicyFileError> {
    let lists = ListsBeside::new(path);
    let policy = Policy::parse_with(&path.display().to_string(), &text, &lists)?;
    Ok((Read { text: text.into(), lists: lists.into_read(), entries: policy.entries() }, policy))
}

/// A change that takes out more than this share of the entries needs [`ChangeOptions::force`].
pub const GUARD_PERCENT: usize = 5;

/// So many entries may go in any case.
const GUARD_LEAST: usize = 1;
