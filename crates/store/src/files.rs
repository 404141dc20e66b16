//! Whether the files of the database are still where they were: what is written to a file that somebody removed is lost.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::salvage::log_path;

/// The files of one open database.
#[derive(Debug)]
pub(crate) struct Files {
    database: (PathBuf, u64),
    /// Known from the first commit on.
    log: (PathBuf, Option<u64>),
}

impl Files {
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let number = std::fs::metadata(database)?.ino();
        Ok(Self { database: (database.to_owned(), number), log: (log_path(database), None) })
    }

    /// What is wrong, in words. Call it after a commit.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let number = |path: &Path| match std::fs::metadata(path) {
            Ok(found) => Ok(found.ino()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        let found = number(&self.log.0)?;
        let known = *self.log.1.get_or_insert(found);
        for (path, known) in [(&self.database.0, self.database.1), (&self.log.0, known)] {
            if number(path)? != known {
                return Err(format!("{} is another file now", path.display()));
            }
        }
        Ok(())
    }
}
