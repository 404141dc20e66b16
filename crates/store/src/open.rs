//! A database is opened by its owner, and put right if it is damaged.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use sealpost_types::{Octets, WithCauses};

use crate::lock::Lock;
use crate::read::configure;
use crate::salvage::{Log, Marker, Salvager, directory_of, finish, journal_path, keep_aside, keep_log, log_path};
use crate::{Migrations, OpenError, Recovery, Salvage, SalvagedRow, Settings, SqliteFailure};

/// A database about to be opened, by its owner.
pub(crate) struct Opening<'a, F> {
    pub(crate) path: &'a Path,
    pub(crate) directory: &'a Path,
    pub(crate) migrations: &'a Migrations,
    pub(crate) settings: &'a Settings,
    /// Whether damage is looked for that SQLite does not see.
    pub(crate) is_checked: bool,
    /// Whether the log has frames behind its last valid commit.
    pub(crate) has_rest: bool,
    pub(crate) prepare: F,
}

impl<T, F: FnMut(&Transaction<'_>) -> rusqlite::Result<T>> Opening<'_, F> {
    /// Opens it; `lost` are rows of its own that its log no longer yields.
    pub(crate) fn open(&mut self, lost: Option<(Vec<SalvagedRow>, &mut dyn Salvage)>) -> Result<(Connection, T), OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: self.path.to_owned(), source: SqliteFailure::of(error) };
        // A journal is there if the power went while the first page was written: SQLite takes that back before the head counts.
        let has_journal = journal_path(self.path).metadata().is_ok_and(|file| file.len() > 0);
        if self.is_checked && !has_journal {
            check_head(self.path)?;
        }
        let mut db = open_writer(self.path, self.settings).map_err(|e| failed(&e))?;
        if self.is_checked && has_journal {
            check_head(self.path)?;
        }
        // If it cannot be opened after all, it stays as it is.
        let leave_log = |db: &Connection, on| db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on).map_err(|e| failed(&e));
        leave_log(&db, true)?;
        self.migrations.run(self.path, &mut db)?;
        if self.is_checked {
            self.migrations.check_schema(self.path, &db)?;
        }
        sync_directory(self.directory)?;
        // A lost row may come before the one that it refers to.
        let had_keys: bool = db.pragma_query_value(None, "foreign_keys", |row| row.get(0)).map_err(|e| failed(&e))?;
        let keys = |on: bool| db.pragma_update(None, "foreign_keys", on).map_err(|e| failed(&e));
        keys(had_keys && lost.is_none())?;
        let prepared = Transaction::new_unchecked(&db, TransactionBehavior::Immediate).and_then(|tx| {
            if let Some((rows, salvage)) = lost {
                rows.into_iter().try_for_each(|row| salvage.keep(&tx, row))?;
                salvage.finish(&tx)?;
            }
            let prepared = (self.prepare)(&tx)?;
            tx.commit().map(|()| prepared)
        });
        let prepared = prepared.map_err(|e| failed(&e))?;
        keys(had_keys)?;
        leave_log(&db, false)?;
        if std::mem::take(&mut self.has_rest) {
            // What comes next is written over the rest, and not over all of it: the next look at the log would find it again.
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| failed(&e))?;
        }
        Ok((db, prepared))
    }

    pub(crate) fn open_or_salvage(&mut self, salvage: &mut dyn Salvage) -> Result<((Connection, T), Recovery), OpenError> {
        let io = |source| OpenError::Io { path: self.path.to_owned(), source };
        let mut recovery = Recovery::default();
        let damage = match Marker::read(self.path)? {
            Some(Marker::Replace(number)) => {
                finish(self.path, number).map_err(io)?;
                None
            }
            Some(Marker::Damaged(reason)) => Some(reason),
            None => None,
        };
        let log = self.salvager().log()?;
        self.has_rest = log.as_ref().is_some_and(|log| log.has_rest);
        let lost = log.filter(|log| log.behind > 0).map_or(Ok(Vec::new()), |log| self.keep_broken_log(&log, &mut recovery))?;
        if let Some(reason) = damage
            && self.salvager().run(salvage, lost.clone(), reason, &mut recovery)?
        {
            return Ok((self.open(None)?, recovery));
        }
        recovery.rows += lost.len() as u64;
        let taker: &mut dyn Salvage = &mut *salvage;
        let error = match self.open(Some((lost.clone(), taker)).filter(|(lost, _)| !lost.is_empty())) {
            Ok(opened) => return Ok((opened, recovery)),
            Err(error) if error.is_damage() => error,
            Err(error) => return Err(error),
        };
        let damage = WithCauses(&error).to_string();
        if self.salvager().run(salvage, lost, damage, &mut recovery)? { Ok((self.open(None)?, recovery)) } else { Err(error) }
    }

    /// As [`open_or_salvage`](Self::open_or_salvage); what cannot be salvaged either is kept aside, and a new database begun.
    pub(crate) fn open_or_begin_anew(&mut self, salvage: &mut dyn Salvage) -> Result<((Connection, T), Recovery), OpenError> {
        let error = match self.open_or_salvage(salvage) {
            Err(error) if error.is_of_content() => error,
            opened => return opened,
        };
        let damage = WithCauses(&error).to_string();
        let mut recovery = Recovery::default();
        // One of another kind or version was not looked into yet.
        if error.is_damage() || !self.salvager().run(salvage, Vec::new(), damage.clone(), &mut recovery)? {
            let aside = keep_aside(self.path).map_err(|source| OpenError::Io { path: self.path.to_owned(), source })?;
            tracing::error!(path = %self.path.display(), damage, aside = %aside.display(), "the database is kept aside, and a new one begun");
            recovery.damage.push(damage);
            recovery.aside.push(aside);
        }
        Ok((self.open(None)?, recovery))
    }

    /// Keeps aside a log that is broken before its end; rows behind the broken place.
    fn keep_broken_log(&self, log: &Log, recovery: &mut Recovery) -> Result<Vec<SalvagedRow>, OpenError> {
        let aside = keep_log(self.path).map_err(|source| OpenError::Io { path: log_path(self.path), source })?;
        let lost = self.salvager().lost_rows(log)?;
        let (frames, rows) = (log.behind, lost.len());
        let what = if log.is_torn {
            "the last transaction of the log is not whole, as after a loss of power"
        } else {
            "the log is broken before its end"
        };
        tracing::warn!(path = %self.path.display(), frames, rows, aside = %aside.display(), "{what}: the log is kept aside");
        recovery.damage.push(format!("{what}: {frames} pages stand behind its last valid commit"));
        recovery.aside.push(aside);
        Ok(lost)
    }

    fn salvager(&self) -> Salvager<'_> {
        Salvager { path: self.path, migrations: self.migrations, settings: self.settings }
    }
}

/// Refuses a head as no version of SQLite writes it for us: some of it SQLite obeys without a question.
fn check_head(path: &Path) -> Result<(), OpenError> {
    let mut octets = [0; 60];
    match File::open(path).and_then(|file| file.read_exact_at(&mut octets, 0)) {
        Ok(()) => {}
        // None yet, or SQLite says what is wrong with it.
        Err(_) => return Ok(()),
    }
    // Versions of the format, no room kept on each page, fractions that are fixed, the format of the schema, UTF-8.
    let head = octets.as_slice();
    let is_sound = head.starts_with(b"SQLite format 3\0")
        && matches!(head.get(18..24), Some([1 | 2, 1 | 2, 0, 64, 32, 32]))
        && matches!(head.get(44..48), Some([0, 0, 0, 0..=4]))
        && matches!(head.get(56..60), Some([0, 0, 0, 0 | 1]));
    if is_sound { Ok(()) } else { Err(OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::damaged_head() }) }
}

/// The directory of a database, made if it was not there, and the right to write it.
pub(crate) fn own(path: &Path) -> Result<(&Path, Lock), OpenError> {
    let directory = directory_of(path);
    make_directory(directory)?;
    Ok((directory, Lock::take(path)?))
}

pub(crate) fn open_writer(path: &Path, settings: &Settings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    configure(&db, settings, 1)?;
    // These two count only before the first table; space that becomes free can then be given back step by step.
    db.pragma_update(None, "page_size", signed(settings.page))?;
    // Said again to a database that has it, it would be written and synced again.
    if db.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0))? != INCREMENTAL {
        db.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "journal_size_limit", signed(settings.log_limit))?;
    Ok(db)
}

/// What SQLite calls an `auto_vacuum` that happens step by step.
const INCREMENTAL: i64 = 2;

/// A pragma takes no unsigned number.
fn signed(size: Octets) -> i64 {
    i64::try_from(size.0).unwrap_or(i64::MAX)
}

/// Makes the directory, for its owner alone, and makes its making durable.
fn make_directory(directory: &Path) -> Result<(), OpenError> {
    if directory.is_dir() {
        return Ok(());
    }
    let failed = |source| OpenError::Io { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    directory.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> Result<(), OpenError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(|source| OpenError::Io { path: directory.to_owned(), source })
}
