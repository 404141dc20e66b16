//! A fresh database takes the place of a damaged one, so that at each moment a crash finds one of them whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::OpenError;

/// A file beside the database that says what the next one who opens it must do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// The database is damaged, for this reason.
    Damaged(String),
    /// A fresh database is complete, and this one is to be kept aside under this number.
    Replace(u32),
}

impl Marker {
    /// What was left for the database at `path`.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, OpenError> {
        let marker = marker_path(path);
        let text = match std::fs::read(&marker) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { path: marker, source }),
        };
        let text = text.trim();
        Ok(Some(match text.strip_prefix(REPLACE).map(|number| number.trim().parse()) {
            Some(Ok(number)) => Self::Replace(number),
            _ => Self::Damaged(text.to_owned()),
        }))
    }

    /// Leaves this at `marker`, durably.
    pub(crate) fn write(&self, marker: &Path) -> io::Result<()> {
        let fresh = with(marker, ".tmp");
        let mut file = File::create(&fresh)?;
        match self {
            Self::Damaged(reason) => writeln!(file, "{reason}"),
            Self::Replace(number) => writeln!(file, "{REPLACE} {number}"),
        }?;
        file.sync_all()?;
        std::fs::rename(fresh, marker)?;
        sync_directory(marker)
    }
}

/// Keeps a database aside of which nothing can be used; where. Nothing is in its place then.
pub(crate) fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = aside_path(path, free_number(path));
    // The log first: it must never lie beside another database.
    for (old, new) in [(log_path(path), log_path(&aside)), (path.to_owned(), aside.clone())] {
        match std::fs::rename(old, new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    remove(&with(path, "-shm"))?;
    remove(&journal_path(path))?;
    remove(&marker_path(path))?;
    sync_directory(path)?;
    Ok(aside)
}

/// Leaves word for the next owner of the database at `path` that it is damaged, for whoever only looked at it.
///
/// # Errors
/// What the system says.
pub fn report_damage(path: &Path, reason: &str) -> io::Result<()> {
    let marker = marker_path(path);
    if marker.exists() { Ok(()) } else { Marker::Damaged(reason.to_owned()).write(&marker) }
}

/// Whether somebody left word that the database at `path` is damaged, and it was not opened by its owner since.
#[must_use]
pub fn is_reported_damaged(path: &Path) -> bool {
    marker_path(path).exists()
}

/// Puts the fresh database, which is complete and synced, in the place of the one at `path`; where that is kept.
pub(super) fn replace(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let number = free_number(path);
    sync_directory(path).map_err(failed)?;
    Marker::Replace(number).write(&marker_path(path)).map_err(failed)?;
    finish(path, number).map_err(failed)?;
    Ok(aside_path(path, number))
}

/// Does what is left to do of [`replace`], whatever was done already.
pub(crate) fn finish(path: &Path, number: u32) -> io::Result<()> {
    let fresh = fresh_path(path);
    if fresh.exists() {
        let aside = aside_path(path, number);
        // The log first: it must never lie beside the fresh database.
        for (old, new) in [(log_path(path), log_path(&aside)), (path.to_owned(), aside), (fresh, path.to_owned())] {
            match std::fs::rename(old, new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync_directory(path)?;
    }
    remove(&with(path, "-shm"))?;
    remove(&marker_path(path))?;
    sync_directory(path)
}

/// Keeps a copy of the log of the database at `path`, which SQLite is about to cut; where. Older copies go but for two.
pub(crate) fn keep_log(path: &Path) -> io::Result<PathBuf> {
    let prefix = with(path, "-wal.aside-");
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let number = |name: OsString| name.to_string_lossy().strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok());
    let found = std::fs::read_dir(directory_of(path))?.filter_map(|found| number(found.ok()?.file_name()));
    let found: Vec<_> = found.collect();
    let aside = |number: u32| with(path, &format!("-wal.aside-{number}"));
    let number = found.iter().max().map_or(1, |last| last.saturating_add(1));
    found.iter().filter(|old| **old < number.saturating_sub(2)).try_for_each(|old| remove(&aside(*old)))?;
    let mut from = File::open(log_path(path))?;
    let mut to = File::create(aside(number))?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    sync_directory(path)?;
    Ok(aside(number))
}

/// Removes a database with all that belongs to it, as far as it is there.
pub(super) fn remove_database(path: &Path) -> Result<(), OpenError> {
    let files = [path.to_owned(), log_path(path), with(path, "-shm")];
    files.iter().try_for_each(|file| remove(file).map_err(|source| OpenError::Io { path: file.clone(), source }))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(of: &Path) -> io::Result<()> {
    File::open(directory_of(of))?.sync_all()
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

pub(crate) fn marker_path(path: &Path) -> PathBuf {
    with(path, ".salvage")
}

pub(super) fn fresh_path(path: &Path) -> PathBuf {
    with(path, ".fresh")
}

pub(crate) fn log_path(path: &Path) -> PathBuf {
    with(path, "-wal")
}

/// What SQLite takes back a first page by that was not written as a whole: with a log there is no other use for it.
pub(crate) fn journal_path(path: &Path) -> PathBuf {
    with(path, "-journal")
}

fn free_number(path: &Path) -> u32 {
    (1..).find(|number| !aside_path(path, *number).exists()).unwrap_or(u32::MAX)
}

fn aside_path(path: &Path, number: u32) -> PathBuf {
    with(path, &format!(".damaged-{number}"))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

const REPLACE: &str = "replace by the fresh one, keep as";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever was done of it when a crash came, it is done to its end, and once only.
    #[test]
    fn a_crash_between_any_two_steps_is_made_good() {
        for done in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("queue.db");
            let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
            write(&path, "damaged");
            write(&log_path(&path), "its log");
            write(&fresh_path(&path), "fresh");
            Marker::Replace(1).write(&marker_path(&path)).unwrap();
            let steps = [
                (log_path(&path), log_path(&aside_path(&path, 1))),
                (path.clone(), aside_path(&path, 1)),
                (fresh_path(&path), path.clone()),
            ];
            steps.iter().take(done).for_each(|(old, new)| std::fs::rename(old, new).unwrap());
            assert_eq!(Marker::read(&path).unwrap(), Some(Marker::Replace(1)));
            finish(&path, 1).unwrap();
            let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
            assert_eq!([read(&path), read(&log_path(&path))], ["fresh", ""], "after {done} steps");
            assert_eq!([read(&aside_path(&path, 1)), read(&log_path(&aside_path(&path, 1)))], ["damaged", "its log"]);
            assert_eq!(Marker::read(&path).unwrap(), None);
        }
    }

    #[test]
    fn of_logs_kept_aside_the_last_three_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        for n in 0..6 {
            std::fs::write(log_path(&path), n.to_string()).unwrap();
            keep_log(&path).unwrap();
        }
        let mut kept: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        kept.sort();
        assert_eq!(kept, ["3", "4", "5", "5"]);
    }
}
