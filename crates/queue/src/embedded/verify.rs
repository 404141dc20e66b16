//! Looks through the whole queue for damage that nobody would meet otherwise: a message that no index leads to is never due.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use sealpost_store::{ReadError, Reader};
use sealpost_types::{UnixMillis, WithCauses};

use super::record::{Record, Tried};
use super::schema::{self, Found};
use super::settle::End;
use super::{Engine, SpoolError, wall_clock};
use crate::QueueId;

/// What a look through the whole queue found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Entries that were looked at.
    pub entries: u64,
    /// Entries that were set aside as damaged.
    pub set_aside: u64,
    /// Entries whose due time cannot be right, and that are due at once now.
    pub put_right: u64,
    /// What is wrong with the database itself. If anything is, the queue takes nothing more, and the next process salvages it.
    pub damage: Vec<String>,
}

/// Verifies again and again, on a thread of its own that takes a small part of one processor.
#[derive(Debug)]
pub(super) struct Verifier {
    /// The thread ends with it.
    _end: Sender<()>,
}

/// One row that was looked at.
struct Looked {
    found: Found,
    /// An index that should lead to it and does not.
    missing: Option<&'static str>,
}

impl Verifier {
    pub(super) fn start(engine: &Arc<Engine>) -> std::io::Result<Self> {
        let (end, ended) = channel::<()>();
        let engine = Arc::downgrade(engine);
        std::thread::Builder::new().name("queue-verify".into()).spawn(move || {
            let mut wait = FIRST;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = AGAIN;
                let pause = |took: Duration| ended.recv_timeout((took * 4).max(PAUSE)) == Err(RecvTimeoutError::Timeout);
                match pass(&engine, pause) {
                    Ok(found) => tracing::info!(entries = found.entries, set_aside = found.set_aside, "the queue was looked through"),
                    Err(error) => tracing::warn!(%error, "the queue could not be looked through"),
                }
            }
        })?;
        Ok(Self { _end: end })
    }
}

/// Looks through the whole queue, in pieces with a pause after each, as long as `pause` says to go on. Blocks.
pub(super) fn pass(engine: &Weak<Engine>, pause: impl FnMut(Duration) -> bool) -> Result<Verified, SpoolError> {
    let Some(path) = engine.upgrade().map(|engine| engine.store.path().to_owned()) else { return Ok(Verified::default()) };
    let view =
        Reader::open(&path, &schema::MIGRATIONS).map_err(|error| SpoolError::Store { reason: WithCauses(&error).to_string().into() })?;
    let mut pass = Pass { engine, view, pause, verified: Verified::default() };
    let outcome = pass.structure().and_then(|()| pass.rows()).and_then(|()| pass.due_times());
    // Also if the rest could not be read.
    if let (Some(first), Some(engine)) = (pass.verified.damage.first(), engine.upgrade()) {
        engine.store.report_damage(first);
    }
    outcome.map(|()| pass.verified)
}

/// One look through the queue, under way.
struct Pass<'a, P> {
    engine: &'a Weak<Engine>,
    view: Reader,
    pause: P,
    verified: Verified,
}

impl<P: FnMut(Duration) -> bool> Pass<'_, P> {
    fn structure(&mut self) -> Result<(), SpoolError> {
        let found = self.read(structure)?;
        self.verified.damage.extend(found.into_iter().flatten());
        Ok(())
    }

    fn rows(&mut self) -> Result<(), SpoolError> {
        let mut last = -1;
        while let Some(looked) = self.read(|db| rows(db, last))? {
            let (Some(end), Some(engine)) = (looked.last(), self.engine.upgrade()) else { break };
            last = end.found.id;
            looked.iter().for_each(|row| engine.judge(row, &mut self.verified));
        }
        Ok(())
    }

    fn due_times(&mut self) -> Result<(), SpoolError> {
        let mut place = (i64::MIN, -1);
        while let Some((Some(next), wrong)) = self.read(|db| due_rows(db, place))? {
            place = next;
            let wrong = wrong.into_iter().map(|id| format!("the index entry_due leads to entry {id}, which is another"));
            self.verified.damage.extend(wrong);
        }
        Ok(())
    }

    /// Reads a piece and pauses; nothing if it is time to end, or if the database is damaged there.
    fn read<T>(&mut self, piece: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<Option<T>, SpoolError> {
        let begin = Instant::now();
        let found = match self.view.read(piece) {
            Ok(found) => found,
            Err(ReadError::Failed(failure)) if failure.is_damage() || failure.is_wrong_type() => {
                self.verified.damage.push(failure.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok((self.pause)(begin.elapsed()).then_some(found))
    }
}

impl Engine {
    fn judge(self: &Arc<Self>, row: &Looked, verified: &mut Verified) {
        let Looked { found, missing } = row;
        verified.entries += 1;
        let Some(id) = QueueId::from_number(found.id) else {
            verified.damage.push(format!("an entry has the id {}", found.id));
            return;
        };
        if let Some(index) = missing {
            verified.damage.push(format!("the index {index} does not lead to entry {id}"));
        }
        if !(schema::FRESH..=schema::HELD).contains(&found.state) {
            verified.damage.push(format!("entry {id} has the state {}", found.state));
        }
        let late = match &found.entry {
            // Leased ones change; they are looked at the next time.
            Err(reason) if found.state != schema::DAMAGED && self.leases.hold_free(id) => {
                verified.set_aside += 1;
                self.set_aside_soon(id, reason.clone());
                return;
            }
            Ok((entry, _)) => {
                let last = entry.deferrals.iter().flatten().map(|deferral| deferral.due).max();
                last.into_iter().chain([entry.expires, wall_clock()]).max().map(|last| last.after(SLACK))
            }
            Err(_) => None,
        };
        if let (Some(due), Some(late)) = (found.due, late)
            && found.state == schema::DEFERRED
            && due > late
            && self.leases.hold_free(id)
        {
            verified.put_right += 1;
            let end = End::GivenBack { due: entry_created(found), reason: Some("its due time was damaged") };
            self.record_soon(Record { id, end }, Tried::default());
        }
    }
}

fn entry_created(found: &Found) -> UnixMillis {
    found.entry.as_ref().map_or(UnixMillis(0), |(entry, _)| entry.reception.at)
}

/// What SQLite says of the structure of a database that is small enough to ask.
fn structure(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("page_count")?.saturating_mul(number("page_size")?) > WHOLE_OCTETS {
        return Ok(Vec::new());
    }
    let mut check = db.prepare("PRAGMA integrity_check(10)")?;
    let said: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

/// The next rows behind this id, each with what leads to it.
fn rows(db: &Connection, last: i64) -> rusqlite::Result<Vec<Looked>> {
    let mut select = db.prepare_cached("SELECT id FROM entry NOT INDEXED WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let ids = select.query_map([last, PIECE], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let mut looked = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(found) = schema::load(db, id)? else { continue };
        let missing = if found.state == schema::DEFERRED { missing_index(db, &found)? } else { None };
        looked.push(Looked { found, missing });
    }
    Ok(looked)
}

fn missing_index(db: &Connection, found: &Found) -> rusqlite::Result<Option<&'static str>> {
    let due = found.due.map(|due| due.0);
    let by_due = "SELECT 1 FROM entry INDEXED BY entry_due WHERE state = 1 AND due = ?1 AND id = ?2";
    if db.prepare_cached(by_due)?.query_row(params![due, found.id], |_| Ok(())).optional()?.is_none() {
        return Ok(Some("entry_due"));
    }
    let by_destination = "SELECT 1 FROM entry INDEXED BY entry_destination WHERE state = 1 AND destination = ?1 AND wakes = ?4 \
                          AND due = ?2 AND id = ?3";
    let values = params![found.destination, due, found.id, found.wakes];
    let leads = db.prepare_cached(by_destination)?.query_row(values, |_| Ok(())).optional()?;
    Ok(if leads.is_none() && found.entry.is_ok() { Some("entry_destination") } else { None })
}

/// Where the index of due times goes on behind this place, and the entries that it leads to wrongly.
type DueRows = (Option<(i64, i64)>, Vec<i64>);

fn due_rows(db: &Connection, (due, id): (i64, i64)) -> rusqlite::Result<DueRows> {
    let sql = "SELECT due, id FROM entry INDEXED BY entry_due WHERE state = 1 AND (due, id) > (?1, ?2) ORDER BY due, id LIMIT ?3";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([due, id, PIECE * 4], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, i64)>, _>>()?;
    let mut wrong = Vec::new();
    let mut select = db.prepare_cached("SELECT 1 FROM entry NOT INDEXED WHERE id = ?1 AND due = ?2 AND state = 1")?;
    for (due, id) in &found {
        if select.query_row([id, due], |_| Ok(())).optional()?.is_none() {
            wrong.push(*id);
        }
    }
    Ok((found.last().copied(), wrong))
}

/// How long after the start the queue is looked through ...
const FIRST: Duration = Duration::from_secs(60);

/// ... and how long after that again.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// The shortest pause after a piece.
const PAUSE: Duration = Duration::from_millis(5);

/// Rows in a piece.
const PIECE: i64 = 64;

/// Octets of a database up to which SQLite checks all of it at once.
const WHOLE_OCTETS: i64 = 64 << 20;

/// How far behind the end of trying a due time may lie.
const SLACK: Duration = Duration::from_secs(24 * 3600);
