//! What an operator sees, beside the process that owns the queue or through it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use sealpost_store::Reader;
use sealpost_types::{Destination, Octets, UnixMillis};

use super::schema::{self, Found, columns};
use super::{DATABASE, OpenError, SpoolError};
use crate::{Filter, Listed, OutboxRow, QueueId, State, Stats};

/// A queue opened only to look, without owning it: beside the process that does, or without one.
///
/// It knows nothing of leases: [`Stats::leased`] is 0 and [`Listed::leased`] false.
#[derive(Debug)]
pub struct QueueView(Reader);

impl QueueView {
    /// Looks at the queue in `directory`. Blocks, as all of it does.
    ///
    /// # Errors
    /// [`OpenError::Store`]: there is none, or its schema is another one than this version's.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Ok(Self(Reader::open(&directory.join(DATABASE), &schema::MIGRATIONS)?))
    }

    /// The queue in numbers.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub fn stats(&mut self) -> Result<Stats, SpoolError> {
        Ok(self.0.read(stats)?)
    }

    /// How many deferred entries are due at `now`.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub fn due(&mut self, now: UnixMillis) -> Result<u64, SpoolError> {
        Ok(self.0.read(|db| due(db, now, true))?)
    }

    /// Up to `limit` entries that match, oldest first.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub fn list(&mut self, filter: &Filter, limit: usize) -> Result<Vec<Listed>, SpoolError> {
        Ok(self.0.read(|db| list(db, filter, limit))?)
    }

    /// One entry.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub fn show(&mut self, id: QueueId) -> Result<Option<Listed>, SpoolError> {
        Ok(self.0.read(|db| show(db, id))?)
    }
}

pub(super) fn stats(db: &Connection) -> rusqlite::Result<Stats> {
    // Each of these is answered by an index alone.
    let sums = |sql| db.query_row(sql, [], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)));
    let (fresh, fresh_size) = sums("SELECT count(*), ifnull(sum(octets), 0) FROM entry INDEXED BY entry_fresh WHERE state = 0")?;
    let (deferred, size) = sums("SELECT count(*), ifnull(sum(octets), 0) FROM entry INDEXED BY entry_destination WHERE state = 1")?;
    let (held, held_size) = sums("SELECT count(*), ifnull(sum(octets), 0) FROM entry INDEXED BY entry_held WHERE state = 3")?;
    let (damaged, _) = sums("SELECT count(*), 0 FROM entry INDEXED BY entry_damaged WHERE state = 2")?;
    let oldest = db.query_row("SELECT created FROM entry ORDER BY id LIMIT 1", [], |row| row.get(0)).optional()?;
    let size = Octets(size + fresh_size + held_size);
    Ok(Stats { fresh, deferred, held, damaged, leased: 0, size, oldest: oldest.map(UnixMillis) })
}

/// How many deferred entries are due, by their time or because they were woken; the latter are looked for if some `may_be_woken`.
pub(super) fn due(db: &Connection, now: UnixMillis, may_be_woken: bool) -> rusqlite::Result<u64> {
    let by_time = "SELECT count(*) FROM entry INDEXED BY entry_due WHERE state = 1 AND due <= ?1";
    let by_time: u64 = db.query_row(by_time, [now.0], |row| row.get(0))?;
    Ok(by_time + if may_be_woken { schema::count_woken(db, now)? } else { 0 })
}

pub(super) fn list(db: &Connection, filter: &Filter, limit: usize) -> rusqlite::Result<Vec<Listed>> {
    // Each combination of filters is a statement of its own, so that the indexes serve it.
    let mut sql = concat!("SELECT ", columns!(), " FROM entry WHERE id > ?1").to_owned();
    match filter.state {
        Some(State::Fresh) => sql += " AND state = 0",
        Some(State::Deferred) => sql += " AND state = 1",
        Some(State::Damaged) => sql += " AND state = 2",
        Some(State::Held) => sql += " AND state = 3",
        None => {}
    }
    if filter.destination.is_some() {
        sql += " AND destination = ?2";
    }
    if filter.message.is_some() {
        sql += " AND (id = ?3 OR message = ?3)";
    }
    if filter.sender.is_some() {
        // A damaged row may hold anything.
        sql += " AND CASE WHEN json_valid(envelope) THEN lower(json_extract(envelope, '$.from')) END = lower(?5)";
    }
    if filter.reason.is_some() {
        sql += " AND instr(lower(reason), lower(?6)) > 0";
    }
    if filter.before.is_some() {
        sql += " AND created < ?7";
    }
    // Each parameter must occur in every statement, used or not.
    sql += " AND ?2 IS ?2 AND ?3 IS ?3 AND ?5 IS ?5 AND ?6 IS ?6 AND ?7 IS ?7 ORDER BY id LIMIT ?4";
    let values = params![
        filter.after.map_or(-1, QueueId::number),
        filter.destination.as_ref().map(Destination::as_str),
        filter.message.map(QueueId::number),
        i64::try_from(limit).unwrap_or(i64::MAX),
        filter.sender,
        filter.reason,
        filter.before.map(|at| at.0),
    ];
    let found: Vec<_> = db.prepare_cached(&sql)?.query_map(values, |row| Ok(schema::read(row, false)))?.collect::<Result<_, _>>()?;
    found.into_iter().map(|found| listed(db, found)).collect()
}

pub(super) fn show(db: &Connection, id: QueueId) -> rusqlite::Result<Option<Listed>> {
    schema::look(db, id.number())?.map(|found| listed(db, found)).transpose()
}

pub(super) fn outbox(db: &Connection, limit: i64) -> rusqlite::Result<Vec<OutboxRow>> {
    let mut select = db.prepare_cached("SELECT place, data FROM outbox ORDER BY place LIMIT ?1")?;
    select.query_map([limit], |row| Ok(OutboxRow { place: row.get(0)?, row: row.get(1)? }))?.collect()
}

fn listed(db: &Connection, found: Found) -> rusqlite::Result<Listed> {
    let due = schema::due_at(db, &found)?;
    let state = match found.state {
        schema::FRESH => State::Fresh,
        schema::DEFERRED => State::Deferred,
        schema::HELD => State::Held,
        _ => State::Damaged,
    };
    let (entry, damage) = match found.entry {
        Ok((entry, _)) => (Some(Arc::new(entry)), None),
        Err(damage) => (None, Some(damage)),
    };
    Ok(Listed {
        id: QueueId::from_number(found.id.max(0)).unwrap_or(QueueId::FIRST),
        state,
        leased: false,
        destination: Destination::new(&found.destination),
        due,
        reason: found.reason.or(damage),
        entry,
    })
}
