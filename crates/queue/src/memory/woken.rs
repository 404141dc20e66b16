//! When entries are due: by the time that was set, or because they were woken since.

use sealpost_types::{Destination, UnixMillis};

use super::{Queue, Row};
use crate::QueueId;

/// The last wake of a destination, or of all: its number, and when it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastWake {
    pub(super) number: u64,
    at: UnixMillis,
}

impl Queue {
    /// Deferred entries that nobody holds, with the due times that were set.
    pub(super) fn due_by_time(&self) -> impl Iterator<Item = (UnixMillis, QueueId)> {
        let waits = |(id, row): (&QueueId, &Row)| row.due.filter(|_| !self.held.contains(id)).map(|due| (due, *id));
        self.rows.iter().filter_map(waits)
    }

    /// When deferred entries that nobody holds are due.
    pub(super) fn waiting(&self) -> impl Iterator<Item = UnixMillis> {
        self.rows.iter().filter(|(id, _)| !self.held.contains(id)).filter_map(|(_, row)| self.due(row))
    }

    /// Entries that nobody holds and that were woken, destination by destination.
    pub(super) fn woken(&self) -> Vec<QueueId> {
        let is_woken = |(id, row): &(&QueueId, &Row)| row.due.is_some() && self.is_woken(row) && !self.held.contains(id);
        let mut woken: Vec<_> = self.rows.iter().filter(is_woken).collect();
        woken.sort_by_key(|(id, row)| (row.entry.destination.clone(), row.wakes, row.due, **id));
        woken.into_iter().map(|(id, _)| *id).collect()
    }

    /// When an entry is due: at once, if it was woken since it began to wait.
    pub(super) fn due(&self, row: &Row) -> Option<UnixMillis> {
        row.due.map(|due| if self.is_woken(row) { due.min(self.wake_of(&row.entry.destination).at) } else { due })
    }

    pub(super) fn is_woken(&self, row: &Row) -> bool {
        row.wakes < self.wake_of(&row.entry.destination).number
    }

    /// The last wake that concerns a destination.
    pub(super) fn wake_of(&self, destination: &Destination) -> LastWake {
        self.each.get(destination).copied().filter(|each| each.number > self.all.number).unwrap_or(self.all)
    }

    /// How many sleep that a wake of these would wake.
    fn sleeping(&self, now: UnixMillis, is_meant: impl Fn(&Row) -> bool) -> u64 {
        self.rows.values().filter(|row| is_meant(row) && row.due.is_some_and(|due| due > now) && !self.is_woken(row)).count() as u64
    }
}

impl Queue {
    pub(super) fn wake_all(&mut self, now: UnixMillis) -> u64 {
        let woken = self.sleeping(now, |_| true);
        if woken > 0 {
            let last = self.each.values().map(|wake| wake.number).max().unwrap_or(0).max(self.all.number);
            self.all = LastWake { number: last + 1, at: now };
            self.each.clear();
        }
        woken
    }

    pub(super) fn wake_destination(&mut self, destination: Destination, now: UnixMillis) -> u64 {
        let woken = self.sleeping(now, |row| row.entry.destination == destination);
        if woken > 0 {
            let number = self.wake_of(&destination).number + 1;
            self.each.insert(destination, LastWake { number, at: now });
        }
        woken
    }

    pub(super) fn wake_message(&mut self, id: QueueId, now: UnixMillis) -> u64 {
        let (all, each) = (self.all, &self.each);
        let mut woken = 0;
        for row in self.rows.values_mut().filter(|row| row.entry.id == id || row.entry.message == id) {
            if row.due.is_some_and(|due| due > now) {
                let wakes = each.get(&row.entry.destination).map_or(0, |wake| wake.number).max(all.number);
                (row.due, row.wakes, woken) = (Some(now), wakes, woken + 1);
            }
        }
        woken
    }
}
