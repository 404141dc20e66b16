//! One row of an included list comes, goes or changes: the list is copied line by line, and nothing else is read again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_policy::{Differences, NewRow, Pattern, Place, Policy, RowEdit, RowsEdited};

use super::lists::{Digest, List, beside};
use super::write::Replacement;
use super::{ChangeOptions, Draft, PolicyChange, PolicyFile, PolicyFileError, Read, ToWrite};

/// What happens to the rows of an included list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowChange {
    /// A row comes, behind all others.
    Add(NewRow),
    /// The rows of a domain pattern, or of this name, become comments.
    Remove(String),
    /// The rows of a domain pattern, or of this name, say something else from now on.
    Set {
        /// The pattern, or the name.
        at: String,
        /// What changes, by the names of the columns; an empty cell leaves it to the list.
        cells: BTreeMap<String, String>,
    },
}

/// A list with its change, which is not in place yet.
#[derive(Debug)]
pub(super) struct NewList {
    path: PathBuf,
    replacement: Replacement,
    before: Stamp,
}

impl PolicyFile {
    /// What comes of this change of an included list; `list` is what the policy calls it. Others wait to write in its folder
    /// until the draft is committed or dropped.
    ///
    /// # Limits
    /// The list is copied a line at a time, and the policy shares all but a few kilobytes with the one in force.
    ///
    /// # Errors
    /// [`PolicyFileError::NoList`]; [`PolicyFileError::ChangedOnDisk`]: the list is not what is in force;
    /// [`PolicyFileError::Edit`], [`PolicyFileError::Policy`], [`PolicyFileError::Guarded`],
    /// [`PolicyFileError::Unreadable`], [`PolicyFileError::Unwritable`].
    pub fn edit_row(&self, list: &str, change: &RowChange, options: ChangeOptions) -> Result<Draft, PolicyFileError> {
        let known = self.read.lists.iter().find(|known| known.file == list);
        let known = known.ok_or_else(|| PolicyFileError::NoList { file: list.to_owned() })?;
        let path = beside(&self.path, list);
        let copied = Copied::make(&path, change, options)?;
        if copied.digest_before != known.digest {
            return Err(PolicyFileError::ChangedOnDisk { path });
        }
        let edited = copied.edited?;
        let (policy, also) = self.with_rows(list, &path, &edited, change)?;
        let (before, rows) = (self.read.entries, edited.rows.len());
        let entries = match change {
            RowChange::Add(_) => before.saturating_add(rows),
            RowChange::Remove(_) => before.saturating_sub(rows),
            RowChange::Set { .. } => before,
        };
        let diff = if options.dry_run { difference(list, &edited, change) } else { String::new() };
        let differences = Differences::of_rows(&self.policy, &policy);
        let changed = edited.rows.iter().any(|row| row.was.as_ref() != Some(&row.text));
        let change = PolicyChange { changed, entries_before: before, entries_after: entries, differences, diff, also };
        self.guard(&change, options)?;
        let mut lists = self.read.lists.clone();
        lists.iter_mut().filter(|other| other.file == list).for_each(|list: &mut List| list.digest = copied.digest_after);
        let read = Read { text: Arc::clone(&self.read.text), lists, entries };
        let write = copied.new.map_or(ToWrite::Nothing, ToWrite::List);
        Ok(Draft { read, policy, change, write })
    }

    /// The policy in force with these rows, or without them, and where else rows of the same domain stand.
    fn with_rows(&self, list: &str, path: &Path, edited: &RowsEdited, change: &RowChange) -> Result<(Policy, Vec<Place>), PolicyFileError> {
        let mut policy = self.policy.clone();
        let mut also = Vec::new();
        for row in &edited.rows {
            let pattern = row.domain.parse::<Pattern>();
            policy = match change {
                RowChange::Add(_) => {
                    also.extend(pattern.iter().flat_map(|pattern| policy.rows_of(pattern)));
                    policy.with_row(list, row.line, edited.header.as_deref(), &row.text)?
                }
                RowChange::Remove(_) => {
                    let without = pattern.ok().and_then(|pattern| policy.without_row(list, row.line, &pattern));
                    without.ok_or_else(|| PolicyFileError::ChangedOnDisk { path: path.to_owned() })?
                }
                RowChange::Set { .. } => {
                    // The new one first, so that a pattern with wildcards keeps its place among those.
                    let with = policy.with_row(list, row.line, edited.header.as_deref(), &row.text)?;
                    let without = pattern.ok().and_then(|pattern| with.without_row(list, row.line, &pattern));
                    without.ok_or_else(|| PolicyFileError::ChangedOnDisk { path: path.to_owned() })?
                }
            };
        }
        Ok((policy, also))
    }
}

impl NewList {
    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It is in place, for good.
    pub(super) fn commit(self) -> Result<(), PolicyFileError> {
        let unwritable = |source| PolicyFileError::Unwritable { path: self.path.clone(), source: Arc::new(source) };
        if std::fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata)).map_err(unwritable)? != self.before {
            return Err(PolicyFileError::ChangedOnDisk { path: self.path });
        }
        self.replacement.finish().map_err(unwritable)
    }
}

/// A list that was read, and written with its change.
struct Copied {
    edited: Result<RowsEdited, PolicyFileError>,
    digest_before: u64,
    digest_after: u64,
    /// Nothing if it is only looked at.
    new: Option<NewList>,
}

impl Copied {
    fn make(path: &Path, change: &RowChange, options: ChangeOptions) -> Result<Self, PolicyFileError> {
        let refused = |problem| PolicyFileError::Edit { number: 1, problem };
        let unreadable = |source| PolicyFileError::Unreadable { path: path.to_owned(), source: Arc::new(source) };
        let unwritable = |source| PolicyFileError::Unwritable { path: path.to_owned(), source: Arc::new(source) };
        let mut edit = match change {
            RowChange::Add(row) => RowEdit::add_row(row.clone()).map_err(refused)?,
            RowChange::Remove(at) => RowEdit::remove(at),
            RowChange::Set { at, cells } => RowEdit::set(at, cells.clone()).map_err(refused)?,
        };
        let replacement = if options.dry_run { None } else { Some(Replacement::begin(path).map_err(unwritable)?) };
        let list = File::open(path).map_err(unreadable)?;
        let before = Stamp::of(&list.metadata().map_err(unreadable)?);
        let mut reader = BufReader::with_capacity(BUFFER_OCTETS, list);
        let file: Box<dyn Write + '_> = match &replacement {
            Some(replacement) => Box::new(&replacement.file),
            None => Box::new(std::io::sink()),
        };
        let mut writer = BufWriter::with_capacity(BUFFER_OCTETS, file);
        let (mut digest_before, mut digest_after) = (Digest::default(), Digest::default());
        let (mut line, mut out) = (String::new(), String::new());
        let mut put = |out: &mut String| {
            digest_after.take(out.as_bytes());
            let written = writer.write_all(out.as_bytes());
            out.clear();
            written
        };
        while reader.read_line(&mut line).map_err(unreadable)? > 0 {
            digest_before.take(line.as_bytes());
            edit.line(&line, &mut out);
            put(&mut out).map_err(unwritable)?;
            line.clear();
        }
        let edited = edit.finish(&mut out).map_err(refused);
        put(&mut out).map_err(unwritable)?;
        writer.flush().map_err(unwritable)?;
        drop(writer);
        let new = replacement.map(|replacement| NewList { path: path.to_owned(), replacement, before });
        Ok(Self { edited, digest_before: digest_before.value(), digest_after: digest_after.value(), new })
    }
}

/// Tells a file from another, or from itself after somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    octets: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: (metadata.dev(), metadata.ino()), octets: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// The rows as a unified diff without context.
fn difference(list: &str, edited: &RowsEdited, change: &RowChange) -> String {
    let mut diff = format!("--- {list}\n+++ {list}\n");
    for row in &edited.rows {
        let lines = match row.text.split('\n').count() {
            1 => String::new(),
            several => format!(",{several}"),
        };
        // Writing to a text does not fail.
        let _ = match change {
            RowChange::Add(_) => write!(diff, "@@ -{},0 +{} @@\n+{}\n", row.line.saturating_sub(1), row.line, row.text),
            RowChange::Set { .. } => {
                let (old, new) = (row.was.as_deref().unwrap_or_default().replace('\n', "\n-"), row.text.replace('\n', "\n+"));
                write!(diff, "@@ -{0}{lines} +{0}{lines} @@\n-{old}\n+{new}\n", row.line)
            }
            RowChange::Remove(_) => {
                let old = row.text.replace('\n', "\n-");
                let new = row.text.replace('\n', "\n+#");
                write!(diff, "@@ -{0}{lines} +{0}{lines} @@\n-{old}\n+#{new}\n", row.line)
            }
        };
    }
    diff
}

/// Octets that are read and written at a time.
const BUFFER_OCTETS: usize = 256 * 1024;
