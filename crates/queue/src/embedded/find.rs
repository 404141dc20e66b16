//! Which entries are due: in the order of their due times, past the destinations that are to be left alone.

use std::collections::HashSet;

use rusqlite::{Connection, ErrorCode};
use sealpost_types::{Destination, UnixMillis};

use super::Engine;
use super::groups::{self, Group};
use super::schema::{self, Found};

/// Where the next walk over the groups of what waits for one destination goes on: behind this one, at the first if there is none.
pub(super) type Place = Option<(Vec<u8>, i64)>;

/// What is looked for.
pub(super) struct Wanted {
    pub(super) now: UnixMillis,
    pub(super) limit: usize,
    pub(super) skip: Vec<Destination>,
}

impl Engine {
    /// Due rows that nobody holds, with the lengths of their files. Blocks.
    pub(super) fn find(&self, db: &Connection, wanted: &Wanted, place: &mut Place) -> rusqlite::Result<Vec<Found>> {
        let ids = self.due(db, wanted, place)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match schema::load(db, id) {
                Ok(Some(mut row)) => {
                    if let Ok((_, body)) = &mut row.entry {
                        body.length = body.file.and_then(|place| self.files.length(place));
                    }
                    found.push(row);
                }
                // An index leads to a row that is not there.
                Ok(None) => self.store.report_damage(&format!("entry {id} is due and has no row")),
                // A page that is damaged: the next process salvages what is on the others.
                Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                    self.store.report_damage(&format!("entry {id}: {error}"));
                }
                // One row that cannot be read must not keep back all others.
                Err(error) => found.push(Found {
                    id,
                    state: schema::DEFERRED,
                    destination: String::new(),
                    due: None,
                    reason: None,
                    wakes: 0,
                    entry: Err(format!("its row cannot be read: {error}")),
                }),
            }
        }
        Ok(found)
    }

    /// What must be looked at, what is due by its time, and then what was woken.
    fn due(&self, db: &Connection, wanted: &Wanted, place: &mut Place) -> rusqlite::Result<Vec<i64>> {
        // Before the first look into the database: then all that these wakes concern is in what is seen of it.
        let open = self.wakes.open();
        let skip: HashSet<_> = wanted.skip.iter().map(|destination| destination.as_str().as_bytes()).collect();
        // Where nothing is left alone, all of that is among what is due.
        let overdue = if skip.is_empty() { Vec::new() } else { self.overdue(db, wanted.now, wanted.limit)? };
        // It comes again and again while nobody can take it, and must not keep what is due for others waiting: they have half of the room.
        let (first, more) = overdue.split_at(overdue.len().min(wanted.limit.div_ceil(2)));
        let mut ids = self.due_by_time(db, wanted, &skip, place, first.to_vec())?;
        if ids.len() < wanted.limit {
            self.find_woken(db, open, wanted.limit, &skip, &mut ids)?;
        }
        for id in more {
            if ids.len() < wanted.limit && !ids.contains(id) {
                ids.push(*id);
            }
        }
        Ok(ids)
    }

    /// Goes through what is due in its order; only where too much of it is to be left alone, destination by destination. It comes behind `ids`.
    fn due_by_time(
        &self,
        db: &Connection,
        wanted: &Wanted,
        skip: &HashSet<&[u8]>,
        place: &mut Place,
        mut ids: Vec<i64>,
    ) -> rusqlite::Result<Vec<i64>> {
        let Wanted { now, limit, .. } = wanted;
        let spare = if skip.is_empty() { 0 } else { PASSED_OVER };
        let many = limit.saturating_add(self.leases.count()).saturating_add(spare);
        let due = schema::due(db, *now, i64::try_from(many).unwrap_or(i64::MAX))?;
        let is_all = due.len() < many;
        let free = due.into_iter().filter(|id| self.leases.is_free(*id));
        if skip.is_empty() {
            return Ok(free.take(*limit).collect());
        }
        // Where the destination cannot be read, the entry is damaged, and set aside when it is loaded.
        let is_wanted = |id: &i64| !schema::destination(db, *id).is_ok_and(|destination| skip.contains(&destination[..]));
        let rest = limit.saturating_sub(ids.len());
        let before = ids.len();
        let due: Vec<_> = free.filter(is_wanted).filter(|id| !ids.contains(id)).take(rest).collect();
        ids.extend(due);
        if !is_all && ids.len() < *limit {
            ids.truncate(before);
            let walked = self.walk(db, *now, rest, skip, place)?;
            let walked: Vec<_> = walked.into_iter().filter(|id| !ids.contains(id)).collect();
            ids.extend(walked);
        }
        Ok(ids)
    }

    /// What somebody must look at, wherever it goes.
    fn overdue(&self, db: &Connection, now: UnixMillis, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let many = i64::try_from(limit.saturating_add(self.leases.count())).unwrap_or(i64::MAX);
        Ok(schema::overdue(db, now, many)?.into_iter().filter(|id| self.leases.is_free(*id)).take(limit).collect())
    }

    /// The entries longest due of destination after destination: those of one that is left alone cost nothing, however
    /// many they are. A walk that is too long for one look goes on with the next.
    fn walk(&self, db: &Connection, now: UnixMillis, limit: usize, skip: &HashSet<&[u8]>, place: &mut Place) -> rusqlite::Result<Vec<i64>> {
        let mut first: Vec<(i64, i64)> = Vec::new();
        let start = place.take();
        let mut behind = start.clone();
        let mut is_second_half = start.is_none();
        for _ in 0..GROUPS {
            let next = groups::next_group(db, behind.as_ref().map(|(destination, wakes)| (&destination[..], *wakes)))?;
            let is_before = |next: &Group| start.as_ref().is_none_or(|(name, wakes)| (&next.destination, next.wakes) <= (name, *wakes));
            let Some(group) = next.filter(|next| !is_second_half || is_before(next)) else {
                if is_second_half {
                    return Ok(first.into_iter().map(|(_, id)| id).collect());
                }
                (is_second_half, behind) = (true, None);
                continue;
            };
            if group.due <= now.0 && !skip.contains(&group.destination[..]) {
                let latest = first.get(limit.saturating_sub(1)).map_or(now.0, |(due, _)| *due);
                groups::due_of(db, &group, latest, limit, |id| self.leases.is_free(id), &mut first)?;
                first.sort_unstable();
                first.truncate(limit);
            }
            behind = Some((group.destination, group.wakes));
        }
        *place = behind;
        Ok(first.into_iter().map(|(_, id)| id).collect())
    }
}

/// Due entries of destinations to be left alone that one look passes over one by one.
const PASSED_OVER: usize = 200;

/// Groups of what waits for one destination that one look walks over at most.
const GROUPS: usize = 10_000;
