//! Rows of a damaged queue are taken into a fresh one: those that are sound as they are, the others set aside.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params};
use sealpost_store::{Salvage, SalvagedRow, SalvagedTables};

use super::schema::{self, Found, columns};

/// What is known so far of the rows that came.
#[derive(Debug, Default)]
pub(super) struct QueueSalvage {
    tables: SalvagedTables,
    /// Ids below may have been given.
    reserved: i64,
    /// How often holds were released.
    released: i64,
    /// Entries of a last transaction that is not whole, most likely because the power went meanwhile.
    torn: Vec<i64>,
    /// Whether any entry came.
    any: bool,
    /// Where word is left for whoever opens the files of the bodies next.
    mark: PathBuf,
}

impl Salvage for QueueSalvage {
    fn keep(&mut self, tx: &Transaction<'_>, row: SalvagedRow) -> rusqlite::Result<()> {
        let SalvagedRow { table, rowid, values, is_torn, .. } = row;
        match (table.as_deref(), &values[..]) {
            (Some("entry"), _) => self.entry(tx, rowid, &values, true),
            (None, [Value::Null, ..]) if values.len() >= ENTRY_COLUMNS => {
                if is_torn && show(tx, rowid)?.is_none() {
                    self.torn.push(rowid);
                }
                self.entry(tx, rowid, &values, false)
            }
            (Some("body") | None, [Value::Null, Value::Integer(uses), data @ (Value::Blob(_) | Value::Null)]) => {
                let insert = "INSERT OR IGNORE INTO body (id, uses, data) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(insert)?.execute(params![rowid, uses, data]).map(drop)
            }
            (Some("outbox") | None, [Value::Null, data @ Value::Blob(_)]) => {
                let insert = "INSERT OR IGNORE INTO outbox (place, data) VALUES (?1, ?2)";
                tx.prepare_cached(insert)?.execute(params![rowid, data]).map(drop)
            }
            (Some("reserved"), [Value::Integer(id)]) => {
                self.reserved = self.reserved.max(*id);
                Ok(())
            }
            (Some("released"), [Value::Integer(count)]) => {
                self.released = self.released.max(*count);
                Ok(())
            }
            // A page that no tree leads to: the two are told apart by their size.
            (None, [Value::Integer(number)]) => {
                let known = if *number < LARGEST_COUNT { &mut self.released } else { &mut self.reserved };
                *known = (*known).max(*number);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        // What has no entries is no queue, and stays as it is.
        if self.any {
            leave_word(&self.mark).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        }
        for id in self.torn.drain(..) {
            // After a loss of power nobody was told 250, and half a message is no loss. A disk that changed the last transaction looks the
            // same: who looks for a message finds its id here, and the rest in the log that was kept aside.
            if let Some(Err(damage)) = schema::load(tx, id)?.map(|found| found.entry) {
                tracing::warn!(id, damage, "a message of the last transaction of the log is not whole, and is left out");
                tx.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([id])?;
            }
        }
        tx.execute("UPDATE body SET uses = (SELECT count(*) FROM entry WHERE message = body.id)", [])?;
        tx.execute("DELETE FROM body WHERE uses = 0", [])?;
        tx.execute("UPDATE reserved SET id = max(id, ?1, (SELECT ifnull(max(id), 0) FROM entry))", [self.reserved])?;
        // Which wakes there were is not taken over: what they woke and nobody tried waits for its own time. They may still stand here, where
        // rows of a broken log come into the queue as it is.
        tx.execute("DELETE FROM woken", [])?;
        tx.execute("UPDATE entry SET wakes = 0 WHERE wakes <> 0", [])?;
        // What was held stays so, also if the count itself is lost.
        tx.execute("UPDATE released SET count = max(count, ?1)", [self.released])?;
        Ok(())
    }
}

impl QueueSalvage {
    /// Before what was salvaged is in place, this file says that bodies may be there whose rows are not, also to the process after one that
    /// died on the way to them.
    pub(super) fn marking(mark: &Path) -> Self {
        Self { mark: mark.to_owned(), ..Self::default() }
    }

    /// Takes a row of the table `entry`; one that is not sound only if `is_known` says that it is one.
    fn entry(&mut self, tx: &Transaction<'_>, id: i64, values: &[Value], is_known: bool) -> rusqlite::Result<()> {
        if id < 0 {
            return Ok(());
        }
        self.any = true;
        if show(tx, id)?.is_some_and(|found| found.entry.is_ok()) {
            return Ok(());
        }
        // Either there is none, or this one can only be better.
        tx.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([id])?;
        if values.len() < ENTRY_COLUMNS {
            return if is_known { stand_in(tx, id, "columns of it are missing") } else { Ok(()) };
        }
        if !self.tables.insert(tx, "entry", id, values)? {
            return if is_known { stand_in(tx, id, "the types of its columns are damaged") } else { Ok(()) };
        }
        let Some(found) = show(tx, id)? else { return Ok(()) };
        match found.entry {
            Ok((entry, _)) => {
                let releases = entry.deferrals.iter().flatten().filter_map(|deferral| deferral.hold.as_ref()).map(|hold| hold.releases);
                self.released = self.released.max(releases.max().and_then(|last| i64::try_from(last).ok()).unwrap_or(0));
                let repair = "UPDATE entry SET state = 1, due = created WHERE id = ?1 AND (state NOT BETWEEN 0 AND 3 OR (state = 1 AND due IS NULL))";
                tx.prepare_cached(repair)?.execute([id]).map(drop)
            }
            Err(_) if !is_known => tx.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([id]).map(drop),
            Err(_) if found.state == schema::DAMAGED => Ok(()),
            Err(damage) => schema::set_aside(tx, id, &damage),
        }
    }
}

/// Makes the file, durably.
fn leave_word(mark: &Path) -> io::Result<()> {
    File::create(mark)?.sync_all()?;
    mark.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// An entry of which nothing is left but its id.
fn stand_in(tx: &Transaction<'_>, id: i64, damage: &str) -> rusqlite::Result<()> {
    let insert = "INSERT INTO entry (id, state, destination, created, expires, attempts, reason, octets, body_check, envelope_check, \
                  recipients_check, envelope, recipients) VALUES (?1, 2, '', 0, 0, 0, ?2, 0, 0, 0, 0, '', '')";
    tx.prepare_cached(insert)?.execute(params![id, damage]).map(drop)
}

fn show(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<Found>> {
    let mut select = tx.prepare_cached(concat!("SELECT ", columns!(), " FROM entry WHERE id = ?1"))?;
    select.query_row([id], |row| Ok(schema::read(row, false))).optional()
}

/// Columns that `entry` had from the first.
const ENTRY_COLUMNS: usize = 17;

/// More often than this nobody releases holds; every id is larger.
const LARGEST_COUNT: i64 = 1 << 40;

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::embedded::woken::Wakes;
    use crate::embedded::{DATABASE, EmbeddedSpool, UNCLAIMED};
    use crate::{Settings, Spool as _};

    /// All that waited was due at once behind a broken log, if anybody had ever had all of it tried.
    #[tokio::test]
    async fn a_wake_of_before_wakes_nothing_behind_a_broken_log() {
        let folder = tempfile::tempdir().unwrap();
        EmbeddedSpool::open(folder.path(), Settings::default()).unwrap().close().await.unwrap();
        let mut db = Connection::open(folder.path().join(DATABASE)).unwrap();
        let tx = db.transaction().unwrap();
        schema::wake(&tx, b"", sealpost_types::UnixMillis(1)).unwrap();
        assert!(Wakes::load(&tx).unwrap().are_open(), "the control");
        let mark = folder.path().join(UNCLAIMED);
        QueueSalvage { any: true, ..QueueSalvage::marking(&mark) }.finish(&tx).unwrap();
        assert!(mark.exists());
        assert!(!Wakes::load(&tx).unwrap().are_open());
    }
}
