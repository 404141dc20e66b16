//! The files of a history, opened to look.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sealpost_store::{OpenError, ReadError, Reader};
use sealpost_types::WithCauses;

use super::day::Day;
use super::query::{Filter, Found, Row};
use super::{schema, select, single};

/// The files of a history, opened as they are needed and kept open.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    /// Those used last stand last.
    open: Vec<(File, Reader)>,
    damaged: Vec<(PathBuf, String)>,
}

/// A file, and which one of that name: it may have been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    part: Part,
    inode: u64,
}

/// A part of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Single,
    Day(Day),
}

impl Shelf {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), open: Vec::new(), damaged: Vec::new() }
    }

    /// Opens the newest file, to see whether anything can be read here; false if there is none.
    pub(super) fn look(&mut self) -> Result<bool, OpenError> {
        let Some(newest) = self.parts().pop() else { return Ok(false) };
        match self.reader(newest) {
            Err(OpenError::Older { found: 0, .. }) | Ok(_) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The entries that a filter lets through. What cannot be read of a file hides none of the others: it is
    /// [`damaged`](Self::damaged).
    pub(super) fn query(&mut self, filter: &Filter) -> Vec<Row> {
        self.damaged.clear();
        let mut parts = self.parts();
        self.open.retain(|(file, _)| parts.contains(&file.part));
        if filter.newest_first {
            parts.reverse();
        }
        let (mut rows, mut single) = (Vec::new(), Vec::new());
        for part in parts {
            // The single file overlaps with the first of its successors: its entries are sorted in.
            let (found, limit) = match part {
                Part::Day(_) => {
                    let limit = filter.limit.saturating_sub(rows.len());
                    (&mut rows, limit)
                }
                Part::Single => (&mut single, filter.limit),
            };
            if limit == 0 || matches!(part, Part::Day(day) if !select::may_have(day, filter)) {
                continue;
            }
            match self.ask(part, filter, limit) {
                Ok(more) => {
                    found.extend(more.rows);
                    if more.left_out > 0 {
                        let problem = format!("{} entries are not what was written, and left out", more.left_out);
                        self.damaged.push((self.path(part), problem));
                    }
                }
                Err(problem) => {
                    let path = self.path(part);
                    tracing::error!(file = %path.display(), problem, "a file of the history cannot be read");
                    self.damaged.push((path, problem));
                }
            }
        }
        rows.append(&mut single);
        filter.sort(&mut rows);
        rows.truncate(filter.limit);
        rows
    }

    /// The files that the last query could not read, and why.
    pub(super) fn damaged(&self) -> &[(PathBuf, String)] {
        &self.damaged
    }

    fn ask(&mut self, part: Part, filter: &Filter, limit: usize) -> Result<Found, String> {
        let path = self.path(part);
        let reader = match self.reader(part) {
            Ok(reader) => reader,
            // It is being made, or has just been taken away.
            Err(OpenError::Older { found: 0, .. }) => return Ok(Found::default()),
            Err(error) if !path.exists() => {
                tracing::debug!(%error, "a file of the history is gone");
                return Ok(Found::default());
            }
            Err(error) => {
                if error.is_damage() {
                    leave_word(&path, &error);
                }
                return Err(WithCauses(&error).to_string());
            }
        };
        let found = match part {
            Part::Day(day) => reader.read(|db| select::select(db, day, filter, limit)),
            Part::Single => reader.read(|db| single::select(db, filter)),
        };
        found.map_err(|error: ReadError| {
            if matches!(&error, ReadError::Failed(failure) if failure.is_damage()) {
                leave_word(&path, &error);
            }
            error.to_string()
        })
    }

    fn reader(&mut self, part: Part) -> Result<&mut Reader, OpenError> {
        let path = self.path(part);
        let inode = path.metadata().map_or(0, |metadata| metadata.ino());
        let file = File { part, inode };
        let reader = match self.open.iter().position(|(open, _)| *open == file) {
            Some(place) => self.open.remove(place).1,
            None => {
                self.open.retain(|(open, _)| open.part != part);
                if self.open.len() >= OPEN_FILES {
                    self.open.remove(0);
                }
                let migrations = if part == Part::Single { schema::SINGLE } else { schema::DAY };
                let mut reader = Reader::open(&path, &migrations)?;
                // There may be many of them, and a walk needs few pages.
                let small = reader.read(|db| db.pragma_update(None, "cache_size", -CACHE_KIBIBYTES));
                small.map_err(|error| OpenError::Io { path: path.clone(), source: std::io::Error::other(error.to_string()) })?;
                reader
            }
        };
        self.open.push((file, reader));
        self.open.last_mut().map(|(_, reader)| reader).ok_or_else(|| OpenError::Io { path, source: std::io::ErrorKind::NotFound.into() })
    }

    /// What there is, the oldest first.
    fn parts(&self) -> Vec<Part> {
        let single = self.directory.join(single::NAME).exists().then_some(Part::Single);
        single.into_iter().chain(days(&self.directory).into_iter().map(Part::Day)).collect()
    }

    fn path(&self, part: Part) -> PathBuf {
        match part {
            Part::Single => self.directory.join(single::NAME),
            Part::Day(day) => self.directory.join(day.to_string()),
        }
    }
}

/// Says to the one who writes the history that a file is damaged. Whoever may not write there says it only to whom he shows it.
fn leave_word(path: &Path, damage: &dyn std::error::Error) {
    if let Err(error) = sealpost_store::report_damage(path, &damage.to_string()) {
        tracing::debug!(file = %path.display(), %error, "no word can be left that the file is damaged");
    }
}

/// The days that have a file in this directory, the oldest first.
pub(super) fn days(directory: &Path) -> Vec<Day> {
    let names = std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut days: Vec<Day> = names.filter_map(|name| Day::of_file(&name)).collect();
    days.sort_unstable();
    days
}

/// Files that are kept open.
const OPEN_FILES: usize = 100;

/// Memory for pages of each.
const CACHE_KIBIBYTES: i64 = 256;
