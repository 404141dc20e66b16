//! Mail is woken without its rows being written.
//!
//! A wake has a number. An entry notes the last one that concerned it when it began to wait, in the column `wakes`; if there was another
//! one since, of its destination or of all, it is due. Whoever tries it and defers it again notes the new number with the rest.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, params};
use sealpost_types::{Destination, UnixMillis};

use super::groups;
use super::schema::{self, last_wake};
use super::{Engine, SpoolError};
use crate::QueueId;

/// The last wakes, as the table `woken` has them.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    all: Wake,
    each: BTreeMap<Vec<u8>, Wake>,
    round: Round,
}

/// One wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wake {
    number: i64,
    at: UnixMillis,
    /// Whether somebody may still wait whom it woke.
    is_open: bool,
}

/// The look through all groups for those that a wake of all reaches, which may take several looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Where it goes on: behind this one, at the first if there is none.
    behind: Option<(Vec<u8>, i64)>,
    /// Whether it met any.
    met: bool,
}

/// Which wakes may still have to be obeyed.
pub(super) enum Open {
    Nothing,
    Each(Vec<(Vec<u8>, Wake)>),
    All(Wake, Round),
}

impl Wakes {
    /// What stands in the database. Destinations for which nobody waits are forgotten.
    pub(super) fn load(tx: &Transaction<'_>) -> rusqlite::Result<Self> {
        let forget = "DELETE FROM woken WHERE destination <> '' AND NOT EXISTS \
                      (SELECT 1 FROM entry INDEXED BY entry_destination WHERE state = 1 AND entry.destination = woken.destination)";
        tx.execute(forget, [])?;
        let mut table = Table::default();
        let mut select = tx.prepare("SELECT destination, wakes, at FROM woken")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let wake = Wake { number: row.get(1)?, at: UnixMillis(row.get(2)?), is_open: true };
            table.note(row.get_ref(0)?.as_bytes()?, wake);
        }
        Ok(Self(Mutex::new(table)))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which these are at the moment.
    pub(super) fn open(&self) -> Open {
        let table = self.lock();
        if table.all.is_open {
            return Open::All(table.all, table.round.clone());
        }
        let open: Vec<_> = table.each.iter().filter(|(_, wake)| wake.is_open).map(|(name, wake)| (name.clone(), *wake)).collect();
        if open.is_empty() { Open::Nothing } else { Open::Each(open) }
    }

    /// Whether somebody may still wait whom a wake woke.
    pub(super) fn are_open(&self) -> bool {
        let table = self.lock();
        table.all.is_open || table.each.values().any(|wake| wake.is_open)
    }

    /// The last wake that concerns this destination.
    fn of(&self, destination: &[u8]) -> Wake {
        let table = self.lock();
        table.each.get(destination).copied().filter(|each| each.number > table.all.number).unwrap_or(table.all)
    }

    /// Nobody waits any more whom this wake of all woke.
    fn close_all(&self, wake: Wake) {
        let mut table = self.lock();
        if table.all.number == wake.number {
            table.all.is_open = false;
            table.round = Round::default();
        }
    }

    fn close(&self, destination: &[u8], wake: Wake) {
        if let Some(known) = self.lock().each.get_mut(destination).filter(|known| known.number == wake.number) {
            known.is_open = false;
        }
    }

    fn forget(&self, destination: &[u8], wake: Wake) {
        let mut table = self.lock();
        if table.each.get(destination).is_some_and(|known| known.number == wake.number) {
            table.each.remove(destination);
        }
    }

    fn keep_round(&self, wake: Wake, round: Round) {
        let mut table = self.lock();
        if table.all.number == wake.number {
            table.round = round;
        }
    }
}

impl Table {
    /// Takes in a wake, unless a later one is known.
    fn note(&mut self, destination: &[u8], wake: Wake) {
        if destination.is_empty() {
            if wake.number > self.all.number {
                (self.all, self.round) = (wake, Round::default());
                self.each.retain(|_, each| each.number > wake.number);
            }
        } else if wake.number > self.all.number {
            let known = self.each.entry(destination.to_owned()).or_default();
            if wake.number > known.number {
                *known = wake;
            }
        }
    }
}

impl Engine {
    /// Wakes all that waits.
    pub(super) async fn wake_all(self: Arc<Self>, now: UnixMillis) -> Result<u64, SpoolError> {
        let is_simple = !self.wakes.are_open();
        let waiting = self.store.read(move |db| db.query_row(if is_simple { COUNT } else { COUNT_SLEEPING }, [now.0], |row| row.get(0)));
        let woken = waiting.await?;
        if woken > 0 {
            self.write_wakes(vec![Vec::new()], now).await?;
        }
        Ok(woken)
    }

    /// Wakes what waits for these.
    pub(super) async fn wake_destinations(self: Arc<Self>, destinations: Vec<Destination>, now: UnixMillis) -> Result<u64, SpoolError> {
        let mut woken = 0;
        let mut names: Vec<Vec<u8>> = destinations.iter().map(|name| name.as_str().as_bytes().to_vec()).collect();
        names.sort_unstable();
        names.dedup();
        for names in names.chunks(PIECE) {
            let (engine, names) = (Arc::clone(&self), names.to_vec());
            let count = move |db: &Connection| {
                let mut waiting = Vec::new();
                for name in names {
                    match schema::count_sleeping(db, &name, engine.wakes.of(&name).number, now)? {
                        0 => {}
                        count => waiting.push((name, count)),
                    }
                }
                Ok(waiting)
            };
            let waiting = self.store.read(count).await?;
            woken += waiting.iter().map(|(_, count)| count).sum::<u64>();
            if !waiting.is_empty() {
                Arc::clone(&self).write_wakes(waiting.into_iter().map(|(name, _)| name).collect(), now).await?;
            }
        }
        Ok(woken)
    }

    async fn write_wakes(self: Arc<Self>, names: Vec<Vec<u8>>, now: UnixMillis) -> Result<(), SpoolError> {
        let write = move |tx: &Transaction<'_>| {
            let write = |name: &Vec<u8>| Ok((name.clone(), Wake { number: schema::wake(tx, name, now)?, at: now, is_open: true }));
            names.iter().map(write).collect::<rusqlite::Result<Vec<_>>>()
        };
        let wakes = self.store.write(0, write).await?;
        {
            let mut table = self.wakes.lock();
            wakes.iter().for_each(|(name, wake)| table.note(name, *wake));
        }
        self.waker.wake();
        Ok(())
    }

    /// Adds what was woken and nobody holds, destination by destination, as far as `limit` lets it.
    pub(super) fn find_woken(
        &self,
        db: &Connection,
        open: Open,
        limit: usize,
        skip: &HashSet<&[u8]>,
        ids: &mut Vec<i64>,
    ) -> rusqlite::Result<()> {
        match open {
            Open::Nothing => Ok(()),
            Open::Each(open) => {
                for (name, wake) in open.iter().filter(|(name, _)| !skip.contains(&name[..])) {
                    if ids.len() >= limit {
                        break;
                    }
                    let is_any =
                        self.add_free(limit, ids, |room, is_free, found| groups::woken_of(db, name, wake.number, room, is_free, found))?;
                    if !is_any {
                        self.close_wake(name, *wake);
                    }
                }
                Ok(())
            }
            Open::All(wake, round) => self.find_in_round(db, limit, skip, wake, round, ids),
        }
    }

    /// Goes on with the look through all groups.
    fn find_in_round(
        &self,
        db: &Connection,
        limit: usize,
        skip: &HashSet<&[u8]>,
        wake: Wake,
        mut round: Round,
        ids: &mut Vec<i64>,
    ) -> rusqlite::Result<()> {
        // Up to here nobody waits any more whom a wake woke, held or not: there the next look begins.
        let (mut done, mut is_done) = (round.behind.clone(), true);
        let mut is_whole = done.is_none();
        for _ in 0..GROUPS {
            let behind = round.behind.as_ref().map(|(name, wakes)| (&name[..], *wakes));
            let Some(group) = groups::next_group(db, behind)? else {
                if !round.met {
                    self.wakes.close_all(wake);
                    return Ok(());
                }
                round = Round::default();
                self.wakes.keep_round(wake, round.clone());
                if is_whole {
                    return Ok(());
                }
                (is_whole, done, is_done) = (true, None, true);
                continue;
            };
            if group.wakes < self.wakes.of(&group.destination).number {
                (round.met, is_done) = (true, false);
                if !skip.contains(&group.destination[..]) {
                    self.add_free(limit, ids, |room, is_free, found| groups::due_of(db, &group, i64::MAX, room, is_free, found))?;
                    if ids.len() >= limit {
                        self.wakes.keep_round(wake, Round { behind: done, met: true });
                        return Ok(());
                    }
                }
            } else if is_done {
                done = Some((group.destination.clone(), group.wakes));
            }
            round.behind = Some((group.destination, group.wakes));
        }
        self.wakes.keep_round(wake, round);
        Ok(())
    }

    /// Adds what `find` finds to what is there, each once.
    fn add_free<T>(
        &self,
        limit: usize,
        ids: &mut Vec<i64>,
        find: impl FnOnce(usize, &dyn Fn(i64) -> bool, &mut Vec<(i64, i64)>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let known: HashSet<i64> = ids.iter().copied().collect();
        let mut found = Vec::new();
        let is_free = |id: i64| self.leases.is_free(id) && !known.contains(&id);
        let outcome = find(limit.saturating_sub(ids.len()), &is_free, &mut found)?;
        ids.extend(found.into_iter().map(|(_, id)| id));
        Ok(outcome)
    }

    /// Since when something is due that was woken and nobody holds.
    pub(super) fn woken_since(&self, db: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
        let mut since = Vec::new();
        let (all, each) = {
            let table = self.wakes.lock();
            let open = |(name, wake): (&Vec<u8>, &Wake)| (wake.is_open && wake.number > table.all.number).then(|| (name.clone(), *wake));
            (table.all, table.each.iter().filter_map(open).collect::<Vec<_>>())
        };
        for (name, wake) in each {
            let mut found = Vec::new();
            groups::woken_of(db, &name, wake.number, 1, |id| self.leases.is_free(id), &mut found)?;
            since.extend((!found.is_empty()).then_some(wake.at));
        }
        if all.is_open && self.is_any_woken(db, all)? {
            since.push(all.at);
        }
        Ok(since.into_iter().min())
    }

    /// Whether a wake of all reaches somebody whom nobody holds. Where there are very many groups it may, for all that is known.
    fn is_any_woken(&self, db: &Connection, all: Wake) -> rusqlite::Result<bool> {
        let mut behind: Option<groups::Group> = None;
        for _ in 0..GROUPS {
            let place = behind.as_ref().map(|group| (&group.destination[..], group.wakes));
            let Some(group) = groups::next_group(db, place)? else { return Ok(false) };
            if group.wakes < all.number && self.wakes.of(&group.destination) == all {
                let mut found = Vec::new();
                groups::due_of(db, &group, i64::MAX, 1, |id| self.leases.is_free(id), &mut found)?;
                if !found.is_empty() {
                    return Ok(true);
                }
            }
            behind = Some(group);
        }
        Ok(true)
    }

    /// Nobody waits any more whom this wake woke; if nobody waits for the destination at all, its row goes.
    fn close_wake(&self, name: &[u8], wake: Wake) {
        self.wakes.close(name, wake);
        let (wakes, name) = (Arc::clone(&self.wakes), name.to_vec());
        let row = name.clone();
        self.store.write_soon(
            0,
            move |tx| schema::forget_wake(tx, &row, wake.number),
            move |outcome| {
                if outcome == Ok(true) {
                    wakes.forget(&name, wake);
                }
            },
        );
    }

    /// Makes entries of one message due.
    pub(super) async fn wake_message(&self, id: QueueId, now: UnixMillis) -> Result<u64, SpoolError> {
        let sql = concat!(
            "UPDATE entry SET due = ?1, wakes = ",
            last_wake!("entry.destination"),
            " WHERE (id = ?2 OR message = ?2) AND state = 1 AND due > ?1"
        );
        let update = move |tx: &Transaction<'_>| tx.prepare_cached(sql)?.execute(params![now.0, id.number()]);
        let woken = self.store.write(0, update).await?;
        self.waker.wake();
        Ok(woken as u64)
    }
}

/// What waits for later, where no wake is open.
const COUNT: &str = "SELECT count(*) FROM entry INDEXED BY entry_due WHERE state = 1 AND due > ?1";

/// The same without what was woken already.
const COUNT_SLEEPING: &str = concat!(
    "SELECT count(*) FROM entry INDEXED BY entry_destination WHERE state = 1 AND due > ?1 AND wakes >= ",
    last_wake!("entry.destination")
);

/// Groups that one look walks over at most.
const GROUPS: usize = 10_000;

/// Destinations that are woken in one transaction.
const PIECE: usize = 1000;
