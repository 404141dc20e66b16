//! Schemas by number.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::{OpenError, SqliteFailure};

/// The schema of a database as the steps that lead to it, oldest first. A step that was ever released never changes.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    application_id: i32,
    steps: &'static [&'static str],
}

impl Migrations {
    /// The steps of one kind of database, told from other kinds by `application_id`.
    ///
    /// Each step is SQL, run in one transaction together with the new number (`user_version`).
    #[must_use]
    pub const fn new(application_id: i32, steps: &'static [&'static str]) -> Self {
        Self { application_id, steps }
    }

    fn known(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Runs the steps that the database has not seen.
    pub(crate) fn run(&self, path: &Path, db: &mut Connection) -> Result<(), OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::of(error) };
        let mut found = self.check(path, db)?;
        while let Some(step) = usize::try_from(found).ok().and_then(|index| self.steps.get(index)) {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| failed(&e))?;
            tx.execute_batch(step).map_err(|e| failed(&e))?;
            found += 1;
            tx.pragma_update(None, "user_version", found).map_err(|e| failed(&e))?;
            tx.pragma_update(None, "application_id", self.application_id).map_err(|e| failed(&e))?;
            tx.commit().map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Whether all that the steps make is there as they make it: its text may be damaged too. Call it when they were run.
    pub(crate) fn check_schema(&self, path: &Path, db: &Connection) -> Result<(), OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::of(error) };
        let mut sound = Connection::open_in_memory().map_err(|e| failed(&e))?;
        self.run(path, &mut sound)?;
        let [expected, found] = [&sound, db].map(objects);
        let (expected, found) = (expected.map_err(|e| failed(&e))?, found.map_err(|e| failed(&e))?);
        match expected.into_iter().find(|object| !found.contains(object)) {
            Some((kind, name, _)) => Err(OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::damaged_schema(&kind, &name) }),
            None => Ok(()),
        }
    }

    /// Refuses a database that needs steps, for those who only look.
    pub(crate) fn require_current(&self, path: &Path, db: &Connection) -> Result<(), OpenError> {
        match self.check(path, db)? {
            found if found < self.known() => Err(OpenError::Older { path: path.to_owned(), found, known: self.known() }),
            _ => Ok(()),
        }
    }

    /// The number of the database's schema, if it is one of ours and known.
    fn check(&self, path: &Path, db: &Connection) -> Result<u32, OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::of(error) };
        let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|e| failed(&e));
        let id = i32::try_from(number("application_id")?).unwrap_or(0);
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(|e| failed(&e))?;
        let found = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
        let untouched = tables == 0 && id == 0 && found == 0;
        if !untouched && id != self.application_id {
            return Err(OpenError::Foreign { path: path.to_owned(), found: id, expected: self.application_id });
        }
        if found > self.known() {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: self.known() });
        }
        Ok(found)
    }
}

/// A table or an index: its kind, its name and how it was made.
type Object = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn objects(db: &Connection) -> rusqlite::Result<Vec<Object>> {
    // As bytes, for they may be no text any more.
    db.prepare("SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}
