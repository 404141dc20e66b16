//! The queue in memory: for tests, and for relays that may forget.

mod woken;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::{Destination, Octets, UnixMillis};

use self::woken::LastWake;
use crate::body::{Body, BodyWriter, Kept};
use crate::id::{IdMaker, reservation};
use crate::lease::{ABANDONED, GiveBack, Home, earliest, has_recipients};
use crate::wake::Waker;
use crate::{
    AcceptError, BodyWriteError, Change, Changed, Disk, Entry, Filter, Health, Lease, Listed, NewMessage, OutboxRow, QueueId, Selector,
    Settlement, Spool, SpoolError, State, Stats, Wake,
};

/// A queue that is gone with the process. Cloning shares it.
///
/// It does what every [`Spool`] does, in the plainest way: the other engines are tested against it.
#[derive(Clone, Debug)]
pub struct MemorySpool(Arc<Engine>);

/// Takes a body for a [`MemorySpool`].
#[derive(Debug, Default)]
pub struct MemoryBodyWriter(Vec<u8>);

#[derive(Debug)]
struct Engine {
    ids: IdMaker,
    waker: Waker,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    rows: BTreeMap<QueueId, Row>,
    held: HashSet<QueueId>,
    outbox: BTreeMap<u64, Vec<u8>>,
    places: u64,
    releases: u64,
    all: LastWake,
    each: BTreeMap<Destination, LastWake>,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Row {
    entry: Arc<Entry>,
    body: Body,
    state: State,
    due: Option<UnixMillis>,
    latest: Option<UnixMillis>,
    reason: Option<String>,
    /// The last wake that it saw when it began to wait.
    wakes: u64,
}

impl MemorySpool {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        let ids = IdMaker::new(0, reservation(i64::MAX >> 1, UnixMillis(0)));
        Self(Arc::new(Engine { ids, waker: Waker::default(), queue: Mutex::default() }))
    }
}

impl Default for MemorySpool {
    fn default() -> Self {
        Self::new()
    }
}

impl BodyWriter for MemoryBodyWriter {
    async fn write(&mut self, piece: &[u8]) -> Result<(), BodyWriteError> {
        self.0.extend_from_slice(piece);
        Ok(())
    }

    fn size(&self) -> Octets {
        Octets(self.0.len() as u64)
    }
}

impl Spool for MemorySpool {
    type Writer = MemoryBodyWriter;

    fn next_id(&self) -> QueueId {
        self.0.ids.next(crate::embedded::wall_clock()).0
    }

    fn body_writer(&self, _size_hint: Option<Octets>) -> Result<MemoryBodyWriter, SpoolError> {
        drop(self.0.open()?);
        Ok(MemoryBodyWriter::default())
    }

    async fn accept(&self, message: NewMessage, body: MemoryBodyWriter) -> Result<Vec<Lease>, AcceptError> {
        if !has_recipients(&message) {
            return Err(AcceptError::NoRecipients);
        }
        let granted = message.reception.at;
        let id = message.id;
        let rows = self.rows(message, body.0);
        let mut queue = self.0.open()?;
        if queue.rows.contains_key(&id) {
            return Err(AcceptError::Duplicate { id });
        }
        let mut leases = Vec::new();
        for mut row in rows {
            row.wakes = queue.wake_of(&row.entry.destination).number;
            if row.state == State::Fresh {
                queue.held.insert(row.entry.id);
                leases.push(Lease::new(row.entry.clone(), row.body.clone(), granted, self.0.clone()));
            } else {
                self.0.waker.wake();
            }
            queue.rows.insert(row.entry.id, row);
        }
        Ok(leases)
    }

    async fn lease_due(&self, now: UnixMillis, limit: usize, skip: &[Destination]) -> Result<Vec<Lease>, SpoolError> {
        let mut queue = self.0.open()?;
        let is_skipped = |id: &QueueId| queue.rows.get(id).is_some_and(|row| skip.contains(&row.entry.destination));
        let mut due: Vec<_> = queue.due_by_time().filter(|(due, id)| *due <= now && !is_skipped(id)).collect();
        due.sort_unstable();
        let mut first: Vec<_> = if skip.is_empty() { Vec::new() } else { queue.overdue(now).collect() };
        first.sort_unstable();
        // It comes again and again while nobody can take it: what is due for others has half of the room.
        let more = first.split_off(first.len().min(limit.div_ceil(2)));
        let mut ids: Vec<_> = first.into_iter().chain(due).map(|(_, id)| id).collect();
        ids.extend(queue.woken().into_iter().filter(|id| !is_skipped(id)));
        ids.extend(more.into_iter().map(|(_, id)| id));
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id));
        ids.truncate(limit);
        let mut leases = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(row) = queue.rows.get(&id) else { continue };
            leases.push(Lease::new(row.entry.clone(), row.body.clone(), now, self.0.clone()));
            queue.held.insert(id);
        }
        Ok(leases)
    }

    async fn next_due(&self) -> Result<Option<UnixMillis>, SpoolError> {
        Ok(self.0.open()?.waiting().min())
    }

    async fn due_after(&self, moment: UnixMillis) -> Result<Option<UnixMillis>, SpoolError> {
        let queue = self.0.open()?;
        let deferred = queue.rows.values().filter(|row| row.state == State::Deferred);
        Ok(deferred.flat_map(|row| [row.due, row.latest]).flatten().filter(|at| *at > moment).min())
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        self.settle_soon(lease, settlement)
    }

    fn settle_soon(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        lease.check_home(&self.0)?;
        let kept = settlement.kept(lease.entry())?;
        let entry = lease.into_entry();
        let mut queue = self.0.open()?;
        match earliest(&kept) {
            None => drop(queue.rows.remove(&entry.id)),
            Some(deferral) => {
                let wakes = queue.wake_of(&entry.destination).number;
                if let Some(row) = queue.rows.get_mut(&entry.id) {
                    (row.state, row.due) =
                        if deferral.until_released { (State::Held, None) } else { (State::Deferred, Some(deferral.due)) };
                    (row.reason, row.latest, row.wakes) = (Some(deferral.reason.clone()), settlement.latest, wakes);
                    let mut changed = (*entry).clone();
                    changed.attempts = changed.attempts.saturating_add(u32::from(settlement.attempted));
                    (changed.envelope.recipients, changed.deferrals) =
                        kept.iter().map(|(recipient, deferral)| (recipient.clone(), Some(deferral.clone()))).unzip();
                    row.entry = Arc::new(changed);
                }
            }
        }
        for row in settlement.outbox {
            queue.places += 1;
            let place = queue.places;
            queue.outbox.insert(place, row);
        }
        if let Some(follow_up) = settlement.follow_up {
            let (message, body) = follow_up.into_parts();
            for mut row in self.rows(message, body) {
                row.wakes = queue.wake_of(&row.entry.destination).number;
                queue.rows.insert(row.entry.id, row);
            }
        }
        queue.held.remove(&entry.id);
        self.0.waker.wake();
        Ok(())
    }

    async fn set_aside(&self, lease: Lease, reason: &str) -> Result<(), SpoolError> {
        lease.check_home(&self.0)?;
        let id = lease.into_entry().id;
        let mut queue = self.0.open()?;
        if let Some(row) = queue.rows.get_mut(&id) {
            (row.state, row.due, row.reason) = (State::Damaged, None, Some(reason.to_owned()));
        }
        queue.held.remove(&id);
        Ok(())
    }

    async fn retry_now(&self, selector: Selector, now: UnixMillis) -> Result<u64, SpoolError> {
        let mut queue = self.0.open()?;
        let woken = match selector {
            Selector::All => queue.wake_all(now),
            Selector::Destinations(mut destinations) => {
                destinations.sort_unstable();
                destinations.dedup();
                destinations.into_iter().map(|destination| queue.wake_destination(destination, now)).sum()
            }
            Selector::Id(id) => queue.wake_message(id, now),
        };
        self.0.waker.wake();
        Ok(woken)
    }

    async fn change(&self, changes: Vec<(QueueId, Change)>) -> Result<Vec<Changed>, SpoolError> {
        let mut queue = self.0.open()?;
        let changed = changes.into_iter().map(|(id, change)| queue.change(id, change)).collect();
        self.0.waker.wake();
        Ok(changed)
    }

    fn wake(&self) -> Wake {
        self.0.waker.listen()
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        let queue = self.0.open()?;
        let mut stats = Stats { leased: queue.held.len() as u64, ..Stats::default() };
        for row in queue.rows.values() {
            match row.state {
                State::Fresh => stats.fresh += 1,
                State::Deferred => stats.deferred += 1,
                State::Held => stats.held += 1,
                State::Damaged => stats.damaged += 1,
            }
            if row.state != State::Damaged {
                stats.size.0 += row.entry.size.0;
            }
        }
        stats.oldest = queue.rows.values().next().map(|row| row.entry.reception.at);
        Ok(stats)
    }

    async fn due(&self, now: UnixMillis) -> Result<u64, SpoolError> {
        let queue = self.0.open()?;
        let is_due = |row: &&Row| row.state == State::Deferred && row.due.is_some_and(|due| due <= now || queue.is_woken(row));
        Ok(queue.rows.values().filter(is_due).count() as u64)
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, SpoolError> {
        let queue = self.0.open()?;
        let matches = |row: &&Row| {
            filter.after.is_none_or(|after| row.entry.id > after)
                && filter.state.is_none_or(|state| row.state == state)
                && filter.destination.as_ref().is_none_or(|destination| row.entry.destination == *destination)
                && filter.message.is_none_or(|id| row.entry.message == id || row.entry.id == id)
                && filter.sender.as_ref().is_none_or(|sender| row.entry.envelope.reverse_path.to_string().eq_ignore_ascii_case(sender))
                && filter.reason.as_ref().is_none_or(|words| row.reason.as_ref().is_some_and(|reason| has_words(reason, words)))
                && filter.before.is_none_or(|before| row.entry.reception.at < before)
        };
        Ok(queue.rows.values().filter(matches).take(limit).map(|row| row.listed(&queue)).collect())
    }

    async fn show(&self, id: QueueId) -> Result<Option<Listed>, SpoolError> {
        let queue = self.0.open()?;
        Ok(queue.rows.get(&id).map(|row| row.listed(&queue)))
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, SpoolError> {
        let queue = self.0.open()?;
        Ok(queue.outbox.iter().take(limit).map(|(place, row)| OutboxRow { place: *place, row: row.clone() }).collect())
    }

    async fn outbox_done(&self, place: u64) -> Result<(), SpoolError> {
        let mut queue = self.0.open()?;
        queue.outbox.retain(|kept, _| *kept > place);
        Ok(())
    }

    fn releases(&self) -> u64 {
        self.0.lock().releases
    }

    async fn release_holds(&self) -> Result<(), SpoolError> {
        self.0.open()?.releases += 1;
        Ok(())
    }

    fn health(&self) -> Health {
        if self.0.lock().closed { Health::Closed } else { Health::Good }
    }

    fn disk(&self) -> Option<Disk> {
        None
    }

    async fn close(&self) -> Result<(), SpoolError> {
        self.0.lock().closed = true;
        Ok(())
    }
}

impl MemorySpool {
    fn rows(&self, message: NewMessage, body: Vec<u8>) -> Vec<Row> {
        let size = Octets(body.len() as u64);
        let body = Body::in_memory(Kept::new(body, None), 0);
        let row = |(index, group): (usize, crate::Group)| {
            let mut envelope = message.envelope.clone();
            let deferrals = vec![group.deferral.clone(); group.recipients.len()];
            envelope.recipients = group.recipients;
            let entry = Entry {
                id: if index == 0 { message.id } else { self.next_id() },
                message: message.id,
                destination: group.destination,
                envelope,
                deferrals,
                reception: message.reception.clone(),
                expires: group.expires,
                attempts: 0,
                size,
            };
            Row {
                entry: Arc::new(entry),
                body: body.clone(),
                state: if group.deferral.is_some() { State::Deferred } else { State::Fresh },
                due: group.deferral.as_ref().map(|deferral| deferral.due),
                latest: group.latest,
                reason: group.deferral.map(|deferral| deferral.reason),
                wakes: 0,
            }
        };
        message.groups.into_iter().enumerate().map(row).collect()
    }
}

impl Engine {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Queue>, SpoolError> {
        let queue = self.lock();
        if queue.closed { Err(SpoolError::Closed) } else { Ok(queue) }
    }
}

impl Queue {
    /// Deferred entries that nobody holds and somebody must look at, with since when.
    fn overdue(&self, now: UnixMillis) -> impl Iterator<Item = (UnixMillis, QueueId)> {
        let waits = move |(id, row): (&QueueId, &Row)| {
            row.latest.filter(|at| *at <= now && row.state == State::Deferred && !self.held.contains(id)).map(|at| (at, *id))
        };
        self.rows.iter().filter_map(waits)
    }
}

impl Queue {
    fn change(&mut self, id: QueueId, change: Change) -> Changed {
        if self.held.contains(&id) {
            return Changed::Leased;
        }
        let Some(wakes) = self.rows.get(&id).map(|row| self.wake_of(&row.entry.destination).number) else { return Changed::Missing };
        let Some(row) = self.rows.get_mut(&id) else { return Changed::Missing };
        match (&change, row.state) {
            (Change::Retry { now }, State::Deferred) => (row.due, row.wakes) = (Some(*now), wakes),
            (Change::Hold { .. }, State::Deferred) => (row.state, row.due) = (State::Held, None),
            (Change::Release { now, .. }, State::Deferred | State::Held) => {
                let mut entry = (*row.entry).clone();
                let mut any = row.state == State::Held;
                for deferral in entry.deferrals.iter_mut().flatten().filter(|deferral| deferral.until_released) {
                    (deferral.until_released, deferral.due, any) = (false, *now, true);
                }
                if !any {
                    return Changed::Unfit;
                }
                (row.entry, row.state, row.due, row.wakes) = (Arc::new(entry), State::Deferred, Some(*now), wakes);
            }
            (Change::Delete { .. }, state) if state != State::Fresh => drop(self.rows.remove(&id)),
            _ => return Changed::Unfit,
        }
        for row in change.outbox() {
            self.places += 1;
            self.outbox.insert(self.places, row.clone());
        }
        Changed::Done
    }
}

impl Row {
    fn listed(&self, queue: &Queue) -> Listed {
        Listed {
            id: self.entry.id,
            state: self.state,
            leased: queue.held.contains(&self.entry.id),
            destination: self.entry.destination.clone(),
            due: queue.due(self),
            reason: self.reason.clone(),
            entry: Some(self.entry.clone()),
        }
    }
}

impl Home for Engine {
    fn give_back(self: Arc<Self>, id: QueueId, granted: UnixMillis, how: GiveBack) {
        let mut queue = self.lock();
        let wakes = queue.rows.get(&id).map_or(0, |row| queue.wake_of(&row.entry.destination).number);
        if let Some(row) = queue.rows.get_mut(&id) {
            match how {
                GiveBack::Abandoned => {
                    (row.due, row.wakes, row.reason) = (Some(granted.after(ABANDONED_WAIT)), wakes, Some(ABANDONED.to_owned()));
                }
                GiveBack::Released if row.state == State::Fresh => (row.due, row.wakes) = (Some(granted), wakes),
                GiveBack::Released => {}
            }
            row.state = State::Deferred;
        }
        queue.held.remove(&id);
        self.waker.wake();
    }
}

fn has_words(reason: &str, words: &str) -> bool {
    reason.to_ascii_lowercase().contains(&words.to_ascii_lowercase())
}

/// How long an entry waits whose lease was dropped without an outcome.
const ABANDONED_WAIT: Duration = Duration::from_secs(60);
