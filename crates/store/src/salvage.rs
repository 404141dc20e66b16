//! A database that is damaged: every row that can still be read goes into a fresh one, and the damaged one is kept aside.

mod log;
mod pages;
mod record;
mod replace;
mod tables;

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

pub(crate) use log::Log;
pub(crate) use replace::{Marker, directory_of, finish, journal_path, keep_aside, keep_log, log_path, marker_path};
pub use replace::{is_reported_damaged, report_damage};
pub use tables::SalvagedTables;

use crate::error::SqliteFailure;
use crate::open::open_writer;
use crate::{Migrations, OpenError, Settings};
use pages::Pages;

/// Takes the rows of a damaged database. It knows the tables, and which rows are sound.
///
/// Rows come in no order and may come twice, also in several versions.
pub trait Salvage {
    /// Takes a row into the fresh database, or not.
    ///
    /// # Errors
    /// What SQLite says: then the database stays as it was, and cannot be opened.
    fn keep(&mut self, tx: &Transaction<'_>, row: SalvagedRow) -> rusqlite::Result<()>;

    /// Called when all rows were handed out, to put right what depends on several of them.
    ///
    /// # Errors
    /// As for [`Salvage::keep`].
    fn finish(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()>;
}

/// A row as it was found on a page. Nothing says that its values are right.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SalvagedRow {
    /// Its table; unknown if no tree leads to the page any more.
    pub table: Option<String>,
    /// Its row id. The column that is an `INTEGER PRIMARY KEY` is null among the values.
    pub rowid: i64,
    /// Its values in the order of the table's columns; those that were added to the table later may be missing.
    pub values: Vec<Value>,
    /// It stands in the last transaction of the log, of which not all is there, as after a loss of power: whoever wrote it was perhaps
    /// never told that it is durable.
    pub is_torn: bool,
}

/// What was found damaged when a store was opened, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// What was damaged, in words; empty if nothing was.
    pub damage: Vec<String>,
    /// Files that were kept aside. Nothing reads them any more: remove them when you have looked at them.
    pub aside: Vec<PathBuf>,
    /// Rows that were found in a damaged database or behind the broken place of its log.
    pub rows: u64,
}

/// Reads a database as far as it can be read.
pub(crate) struct Salvager<'a> {
    pub(crate) path: &'a Path,
    pub(crate) migrations: &'a Migrations,
    pub(crate) settings: &'a Settings,
}

impl Salvager<'_> {
    /// Puts a fresh database with all rows, and those in `lost`, in the place of the damaged one; nothing happens and false comes
    /// back if there is no row in it.
    pub(crate) fn run(
        &self,
        salvage: &mut dyn Salvage,
        lost: Vec<SalvagedRow>,
        damage: String,
        recovery: &mut Recovery,
    ) -> Result<bool, OpenError> {
        let fresh = replace::fresh_path(self.path);
        replace::remove_database(&fresh)?;
        let rows = self.fill(&fresh, salvage, lost)?;
        if rows == 0 {
            replace::remove_database(&fresh)?;
            return Ok(false);
        }
        let aside = replace::replace(self.path)?;
        tracing::error!(path = %self.path.display(), damage, rows, aside = %aside.display(), "the database was damaged: its rows are in a fresh one now");
        recovery.damage.push(damage);
        recovery.aside.push(aside);
        recovery.rows += rows;
        Ok(true)
    }

    /// The log beside the database, if there is one.
    pub(crate) fn log(&self) -> Result<Option<Log>, OpenError> {
        let path = log_path(self.path);
        log::inspect(&path, self.page()).map_err(|source| OpenError::Io { path, source })
    }

    /// Rows behind the broken place of the log.
    pub(crate) fn lost_rows(&self, log: &Log) -> Result<Vec<SalvagedRow>, OpenError> {
        let mut rows = Vec::new();
        if !log.lost.is_empty() {
            let Ok(()) = self.pages(Some(log))?.with_lost(log).lost_rows(log, |row| {
                rows.push(SalvagedRow { is_torn: log.is_torn, ..row });
                Ok::<_, std::convert::Infallible>(())
            });
        }
        Ok(rows)
    }

    fn fill(&self, fresh: &Path, salvage: &mut dyn Salvage, lost: Vec<SalvagedRow>) -> Result<u64, OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: fresh.to_owned(), source: SqliteFailure::of(error) };
        let mut db = open_writer(fresh, self.settings).map_err(|e| failed(&e))?;
        self.migrations.run(fresh, &mut db)?;
        let pages = self.pages(self.log()?.as_ref())?;
        copy(&db, &pages, lost, salvage).map_err(|e| failed(&e))
    }

    fn pages(&self, log: Option<&Log>) -> Result<Pages, OpenError> {
        Pages::open(self.path, &log_path(self.path), log, self.page())
            .map_err(|source| OpenError::Io { path: self.path.to_owned(), source })
    }

    /// Octets a page, if the files do not say.
    fn page(&self) -> usize {
        usize::try_from(self.settings.page.0).unwrap_or(4096).clamp(512, 65_536)
    }
}

/// Copies all rows; how many there were.
fn copy(db: &Connection, pages: &Pages, lost: Vec<SalvagedRow>, salvage: &mut dyn Salvage) -> rusqlite::Result<u64> {
    // The log of the fresh database stays small, though it is filled as a whole.
    db.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // A row may come before the one that it refers to.
    db.pragma_update(None, "foreign_keys", false)?;
    let mut rows = 0;
    let mut tx = Some(db.unchecked_transaction()?);
    let mut keep = |row: SalvagedRow| {
        rows += 1;
        if rows % ROWS_A_COMMIT == 0 {
            tx.take().map_or(Ok(()), Transaction::commit)?;
        }
        let tx = match &mut tx {
            Some(tx) => tx,
            none => none.insert(db.unchecked_transaction()?),
        };
        salvage.keep(tx, row)
    };
    pages.rows(&mut keep)?;
    lost.into_iter().try_for_each(&mut keep)?;
    tx.take().map_or(Ok(()), Transaction::commit)?;
    let tx = db.unchecked_transaction()?;
    salvage.finish(&tx)?;
    tx.commit()?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(rows)
}

/// Rows that go into the fresh database together.
const ROWS_A_COMMIT: u64 = 1000;
