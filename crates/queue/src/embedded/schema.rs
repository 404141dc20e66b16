//! The tables, and every statement on them.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sealpost_store::Migrations;
use sealpost_types::{Destination, UnixMillis};

use super::format::{Damage, Fixed, Waiting, entry};
use crate::body::Kept;
use crate::files::Place;
use crate::{Deferral, Entry};

/// The columns in the order in which [`read`] wants them.
macro_rules! columns {
    () => {
        "id, message, state, destination, created, expires, due, attempts, reason, octets, \
         body_check, envelope_check, recipients_check, file, envelope, recipients, file_at, wakes"
    };
}
pub(super) use columns;

/// The number of the last wake that concerns an entry with this destination.
macro_rules! last_wake {
    ($destination:literal) => {
        concat!("(SELECT ifnull(max(wakes), 0) FROM woken WHERE destination IN ('', ", $destination, "))")
    };
}
pub(super) use last_wake;

/// A row to be inserted.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) fixed: Fixed,
    pub(super) waiting: Waiting,
    /// None: the first attempt is under way.
    pub(super) deferral: Option<Deferral>,
    /// When somebody must look at it all the same.
    pub(super) latest: Option<UnixMillis>,
    /// The body, if it is small and this row's alone.
    pub(super) body: Option<Arc<Kept>>,
}

/// A body that several entries share.
#[derive(Debug)]
pub(super) struct SharedBody {
    pub(super) message: i64,
    pub(super) uses: i64,
    /// None: it is in a file.
    pub(super) body: Option<Arc<Kept>>,
}

/// A row as it was found.
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) state: i64,
    pub(super) destination: String,
    pub(super) due: Option<UnixMillis>,
    pub(super) reason: Option<String>,
    /// The last wake that it saw.
    pub(super) wakes: i64,
    pub(super) entry: Result<(Entry, FoundBody), Damage>,
}

/// Where the body of a row is.
pub(super) struct FoundBody {
    pub(super) check: u32,
    pub(super) file: Option<Place>,
    /// Octets of its file, if they were asked for and it is there.
    pub(super) length: Option<u64>,
    /// The bytes, if they were asked for and are in a row.
    pub(super) bytes: Option<Vec<u8>>,
}

/// What stays in the way of using it again.
pub(super) struct Left {
    /// The body in a file that no row names any more.
    pub(super) body: Option<Place>,
}

pub(super) fn insert(tx: &Transaction<'_>, row: &NewRow) -> rusqlite::Result<()> {
    let NewRow { fixed, waiting, deferral, latest, body } = row;
    tx.prepare_cached(if deferral.is_some() { INSERT_DEFERRED } else { INSERT })?.execute(params![
        fixed.id,
        fixed.message,
        if deferral.is_some() { DEFERRED } else { FRESH },
        fixed.destination.as_str(),
        fixed.created,
        fixed.expires,
        deferral.as_ref().map(|d| d.due.0),
        waiting.attempts,
        deferral.as_ref().map(|d| &d.reason),
        fixed.octets,
        fixed.body_check,
        fixed.check(),
        waiting.check(fixed.id),
        fixed.file,
        fixed.envelope,
        waiting.recipients,
        fixed.file_at,
        body.as_ref().map(|kept| &kept.bytes),
        latest.map(|at| at.0),
    ])?;
    Ok(())
}

pub(super) fn insert_shared(tx: &Transaction<'_>, shared: &SharedBody) -> rusqlite::Result<()> {
    let bytes = shared.body.as_ref().map(|kept| &kept.bytes);
    tx.prepare_cached("INSERT INTO body (id, uses, data) VALUES (?1, ?2, ?3)")?.execute(params![shared.message, shared.uses, bytes])?;
    Ok(())
}

/// Removes an entry, and the shared body with its last one.
pub(super) fn remove(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Left> {
    // RETURNING would make a table in memory for its one row, which costs more than to look twice.
    let mut select = tx.prepare_cached("SELECT message, state, file, file_at, octets FROM entry WHERE id = ?1")?;
    let found = select.query_row([id], |row| {
        let message = row.get::<_, Option<i64>>(0)?;
        // What a damaged row says of a file may be another one's.
        let is_sound = row.get_ref(1)?.as_i64().is_ok_and(|state| state != DAMAGED);
        Ok((message, if is_sound { place(row.get(2)?, row.get(3)?, row.get(4)?) } else { None }))
    });
    let Some((message, body)) = found.optional()? else { return Ok(Left { body: None }) };
    tx.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([id])?;
    let Some(message) = message else { return Ok(Left { body }) };
    let uses =
        tx.prepare_cached("UPDATE body SET uses = uses - 1 WHERE id = ?1 RETURNING uses")?.query_row([message], |row| row.get::<_, i64>(0));
    if uses.optional()?.is_some_and(|uses| uses > 0) {
        return Ok(Left { body: None });
    }
    tx.prepare_cached("DELETE FROM body WHERE id = ?1")?.execute([message])?;
    Ok(Left { body })
}

/// Where a row says that its body stands, if it is in a file.
fn place(file: Option<i64>, at: Option<i64>, octets: i64) -> Option<Place> {
    let at = at.map(u64::try_from).transpose().ok()?;
    Some(Place { file: u64::try_from(file?).ok()?, at, octets: u64::try_from(octets).ok()? })
}

/// All bodies in files.
pub(super) fn bodies_in_files(db: &Connection) -> rusqlite::Result<Vec<Place>> {
    let mut select = db.prepare("SELECT DISTINCT file, file_at, octets FROM entry INDEXED BY entry_file WHERE file IS NOT NULL")?;
    let places = select.query_map([], |row| Ok(place(row.get(0)?, row.get(1)?, row.get(2)?)))?;
    places.filter_map(Result::transpose).collect()
}

pub(super) fn defer(
    tx: &Transaction<'_>,
    id: i64,
    deferral: &Deferral,
    latest: Option<UnixMillis>,
    waiting: &Waiting,
) -> rusqlite::Result<()> {
    let sql = concat!(
        "UPDATE entry SET state = ?7, due = ?2, reason = ?3, attempts = ?4, recipients = ?5, recipients_check = ?6, latest = ?8, wakes = ",
        last_wake!("entry.destination"),
        " WHERE id = ?1"
    );
    let check = waiting.check(id);
    let (state, due) = if deferral.until_released { (HELD, None) } else { (DEFERRED, Some(deferral.due.0)) };
    tx.prepare_cached(sql)?.execute(params![
        id,
        due,
        deferral.reason,
        waiting.attempts,
        waiting.recipients,
        check,
        state,
        latest.map(|at| at.0)
    ])?;
    Ok(())
}

/// Writes the columns that a deferral changes.
pub(super) fn write_waiting(tx: &Transaction<'_>, id: i64, waiting: &Waiting) -> rusqlite::Result<()> {
    let sql = "UPDATE entry SET attempts = ?2, recipients = ?3, recipients_check = ?4 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute(params![id, waiting.attempts, waiting.recipients, waiting.check(id)])?;
    Ok(())
}

/// The entry without its body.
pub(super) fn look(db: &Connection, id: i64) -> rusqlite::Result<Option<Found>> {
    let mut select = db.prepare_cached(concat!("SELECT ", columns!(), " FROM entry WHERE id = ?1"))?;
    select.query_row([id], |row| Ok(read(row, false))).optional()
}

/// The state of an entry.
pub(super) fn state(db: &Connection, id: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT state FROM entry WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

pub(super) fn hold(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE entry SET state = 3, due = NULL WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Makes a deferred or held entry due.
pub(super) fn make_due(tx: &Transaction<'_>, id: i64, now: UnixMillis) -> rusqlite::Result<()> {
    let sql = concat!("UPDATE entry SET state = 1, due = ?2, wakes = ", last_wake!("entry.destination"), " WHERE id = ?1");
    tx.prepare_cached(sql)?.execute(params![id, now.0])?;
    Ok(())
}

/// A lease came back without an outcome: a fresh entry becomes a deferred one, a deferred one may be put off.
pub(super) fn give_back(tx: &Transaction<'_>, id: i64, due: UnixMillis, reason: Option<&str>) -> rusqlite::Result<()> {
    macro_rules! back {
        ($state:literal) => {
            concat!(
                "UPDATE entry SET state = 1, due = ?2, reason = ?3, wakes = ",
                last_wake!("entry.destination"),
                " WHERE id = ?1 AND ",
                $state
            )
        };
    }
    let sql = if reason.is_some() { back!("state < 2") } else { back!("state = 0") };
    tx.prepare_cached(sql)?.execute(params![id, due.0, reason])?;
    Ok(())
}

pub(super) fn set_aside(tx: &Transaction<'_>, id: i64, reason: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE entry SET state = 2, due = NULL, reason = ?2 WHERE id = ?1")?.execute(params![id, reason])?;
    Ok(())
}

/// Deferred entries due at `now`, those longest due first.
pub(super) fn due(db: &Connection, now: UnixMillis, limit: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT id FROM entry INDEXED BY entry_due WHERE state = 1 AND due <= ?1 ORDER BY due, id LIMIT ?2";
    db.prepare_cached(sql)?.query_map(params![now.0, limit], |row| row.get(0))?.collect()
}

/// Deferred entries that somebody must look at, those longest due first.
pub(super) fn overdue(db: &Connection, now: UnixMillis, limit: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT id FROM entry INDEXED BY entry_latest \
               WHERE state = 1 AND latest IS NOT NULL AND latest <= ?1 ORDER BY latest, id LIMIT ?2";
    db.prepare_cached(sql)?.query_map(params![now.0, limit], |row| row.get(0))?.collect()
}

/// The first moment behind this one at which a deferred entry is due or must be looked at.
pub(super) fn next_moment(db: &Connection, behind: UnixMillis) -> rusqlite::Result<Option<i64>> {
    let due = "SELECT min(due) FROM entry INDEXED BY entry_due WHERE state = 1 AND due > ?1";
    let latest = "SELECT min(latest) FROM entry INDEXED BY entry_latest WHERE state = 1 AND latest IS NOT NULL AND latest > ?1";
    let first = |sql| db.prepare_cached(sql)?.query_row([behind.0], |row| row.get::<_, Option<i64>>(0));
    Ok(first(due)?.into_iter().chain(first(latest)?).min())
}

/// The destination of an entry, as the bytes it consists of.
pub(super) fn destination(db: &Connection, id: i64) -> rusqlite::Result<Vec<u8>> {
    let mut select = db.prepare_cached("SELECT destination FROM entry WHERE id = ?1")?;
    select.query_row([id], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))
}

/// How many entries wait for a destination until later than `now` that this wake has not woken.
pub(super) fn count_sleeping(db: &Connection, destination: &[u8], wake: i64, now: UnixMillis) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM entry INDEXED BY entry_destination WHERE state = 1 AND destination = ?1 AND wakes >= ?2 AND due > ?3";
    db.prepare_cached(sql)?.query_row(params![text(destination), wake, now.0], |row| row.get(0))
}

/// How many entries that were to be due later than `now` have been woken.
pub(super) fn count_woken(db: &Connection, now: UnixMillis) -> rusqlite::Result<u64> {
    let sql = concat!(
        "SELECT count(*) FROM entry INDEXED BY entry_destination WHERE state = 1 AND due > ?1 AND EXISTS (SELECT 1 FROM woken) AND wakes < ",
        last_wake!("entry.destination")
    );
    db.prepare_cached(sql)?.query_row([now.0], |row| row.get(0))
}

/// Notes a wake of this destination, or of all if it is empty; its number.
pub(super) fn wake(tx: &Transaction<'_>, destination: &[u8], now: UnixMillis) -> rusqlite::Result<i64> {
    if destination.is_empty() {
        let number = tx.query_row("SELECT ifnull(max(wakes), 0) + 1 FROM woken", [], |row| row.get::<_, i64>(0))?;
        // It wakes what those before it did.
        tx.execute("DELETE FROM woken", [])?;
        tx.execute("INSERT INTO woken (destination, wakes, at) VALUES ('', ?1, ?2)", params![number, now.0])?;
        return Ok(number);
    }
    let sql = concat!(
        "INSERT INTO woken (destination, wakes, at) VALUES (?1, 1 + ",
        last_wake!("?1"),
        ", ?2) ON CONFLICT (destination) DO UPDATE SET wakes = excluded.wakes, at = excluded.at RETURNING wakes"
    );
    tx.prepare_cached(sql)?.query_row(params![text(destination), now.0], |row| row.get(0))
}

/// Forgets a wake of a destination, unless there was another or somebody waits; whether it did.
pub(super) fn forget_wake(tx: &Transaction<'_>, destination: &[u8], number: i64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM woken WHERE destination = ?1 AND wakes = ?2 \
               AND NOT EXISTS (SELECT 1 FROM entry INDEXED BY entry_destination WHERE state = 1 AND destination = ?1)";
    Ok(tx.prepare_cached(sql)?.execute(params![text(destination), number])? > 0)
}

/// When an entry is due that was to be due then: at once, if it was woken since it began to wait.
pub(super) fn due_at(db: &Connection, found: &Found) -> rusqlite::Result<Option<UnixMillis>> {
    let Some(due) = found.due else { return Ok(None) };
    let sql = "SELECT at FROM woken WHERE destination IN ('', ?1) AND wakes > ?2 ORDER BY wakes DESC LIMIT 1";
    let woken = db.prepare_cached(sql)?.query_row(params![found.destination, found.wakes], |row| row.get(0)).optional()?;
    Ok(Some(woken.map_or(due, |at| due.min(UnixMillis(at)))))
}

pub(super) fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

/// The first deferred entries with their due times.
pub(super) fn first_due(db: &Connection, limit: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
    let sql = "SELECT id, due FROM entry INDEXED BY entry_due WHERE state = 1 ORDER BY due, id LIMIT ?1";
    db.prepare_cached(sql)?.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The entry with its body, if that is in a row.
pub(super) fn load(db: &Connection, id: i64) -> rusqlite::Result<Option<Found>> {
    let mut select = db.prepare_cached(concat!("SELECT ", columns!(), ", body FROM entry WHERE id = ?1"))?;
    let Some(mut found) = select.query_row([id], |row| Ok(read(row, true))).optional()? else { return Ok(None) };
    if let Ok((entry, body)) = &mut found.entry
        && body.file.is_none()
    {
        if entry.message != entry.id || body.bytes.is_none() {
            body.bytes = fetch_shared(db, entry.message.number())?;
        }
        let stored = u64::try_from(body.bytes.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX);
        if body.bytes.is_none() || stored != entry.size.0 {
            found.entry = Err(format!("the body has {stored} octets, {} were stored", entry.size));
        } else if body.bytes.as_ref().is_none_or(|bytes| crc32fast::hash(bytes) != body.check) {
            found.entry = Err("the checksum of the body differs".into());
        }
    }
    Ok(Some(found))
}

/// The body of an entry, from wherever it is in the database.
pub(super) fn fetch(db: &Connection, id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select = db.prepare_cached("SELECT message, body FROM entry WHERE id = ?1")?;
    match select.query_row([id], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?))).optional()? {
        Some((Some(message), None)) => fetch_shared(db, message),
        Some((_, body)) => Ok(body),
        None => Ok(None),
    }
}

fn fetch_shared(db: &Connection, message: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT data FROM body WHERE id = ?1")?.query_row([message], |row| row.get(0)).optional().map(Option::flatten)
}

/// Reads a row whose columns may hold anything.
pub(super) fn read(row: &Row<'_>, with_body: bool) -> Found {
    let integer = |index: usize| match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Some(number),
        _ => None,
    };
    let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok().map(str::to_owned));
    let found = || -> Result<_, Damage> {
        let number = |index, name: &str| integer(index).ok_or_else(|| format!("the column {name} is damaged"));
        let small =
            |index, name: &str| number(index, name).and_then(|n| u32::try_from(n).map_err(|_| format!("the column {name} is damaged")));
        let words = |index, name: &str| text(index).ok_or_else(|| format!("the column {name} is damaged"));
        let fixed = Fixed {
            id: number(0, "id")?,
            message: integer(1),
            destination: Destination::new(&words(3, "destination")?),
            created: number(4, "created")?,
            expires: number(5, "expires")?,
            octets: number(9, "octets")?,
            body_check: small(10, "body_check")?,
            envelope: words(14, "envelope")?.into(),
            file: integer(13),
            file_at: integer(16),
        };
        let waiting = Waiting { attempts: small(7, "attempts")?, recipients: words(15, "recipients")? };
        let entry = entry(&fixed, small(11, "envelope_check")?, &waiting, small(12, "recipients_check")?)?;
        let file = place(fixed.file, fixed.file_at, fixed.octets);
        if file.is_none() && fixed.file.is_some() {
            return Err("the column file is damaged".into());
        }
        let bytes = match with_body.then(|| row.get_ref(18)) {
            Some(Ok(ValueRef::Blob(bytes))) => Some(bytes.to_vec()),
            _ => None,
        };
        Ok((entry, FoundBody { check: fixed.body_check, file, length: None, bytes }))
    };
    Found {
        id: integer(0).unwrap_or(-1),
        state: integer(2).unwrap_or(DAMAGED),
        destination: text(3).unwrap_or_default(),
        due: integer(6).map(UnixMillis),
        reason: text(8),
        wakes: integer(17).unwrap_or(0),
        entry: found(),
    }
}

macro_rules! insert {
    ($wakes:expr) => {
        concat!(
            "INSERT INTO entry (",
            columns!(),
            ", body, latest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ",
            $wakes,
            ", ?18, ?19)"
        )
    };
}

/// What is under way does not wait: the last wake it saw is noted when it begins to.
const INSERT: &str = insert!("0");

const INSERT_DEFERRED: &str = insert!(last_wake!("?4"));

pub(super) const FRESH: i64 = 0;
pub(super) const DEFERRED: i64 = 1;
pub(super) const DAMAGED: i64 = 2;
pub(super) const HELD: i64 = 3;

/// The schema. `application_id` is "SpQu".
pub(super) const MIGRATIONS: Migrations = Migrations::new(
    0x5370_5175,
    &[
        include_str!("schema-1.sql"),
        include_str!("schema-2.sql"),
        include_str!("schema-3.sql"),
        include_str!("schema-4.sql"),
        include_str!("schema-5.sql"),
        include_str!("schema-6.sql"),
    ],
);
