//! Who holds what: in memory, since one process owns the queue and a new one starts with nobody holding anything.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::QueueId;

/// The entries that nobody else may be given.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    held: HashSet<QueueId>,
    /// Whether somebody looks for due entries, on a state of the database that may be old already ...
    looking: bool,
    /// ... and what was settled meanwhile, so that it is not given out by what the old state says.
    settled: HashSet<QueueId>,
}

/// Somebody looks for due entries; one at a time.
#[derive(Debug)]
pub(super) struct Looking<'a>(&'a Leases);

impl Leases {
    /// Begins to look: before the state of the database to look at is chosen.
    pub(super) fn look(&self) -> Looking<'_> {
        self.lock().looking = true;
        Looking(self)
    }

    /// Somebody holds it now.
    pub(super) fn hold(&self, id: QueueId) {
        self.lock().held.insert(id);
    }

    /// Holds it if nobody does.
    pub(super) fn hold_free(&self, id: QueueId) -> bool {
        self.lock().held.insert(id)
    }

    /// Nobody holds it any more; called when what became of it is committed.
    pub(super) fn end(&self, id: QueueId) {
        let mut table = self.lock();
        table.held.remove(&id);
        if table.looking {
            table.settled.insert(id);
        }
    }

    pub(super) fn is_held(&self, id: QueueId) -> bool {
        self.lock().held.contains(&id)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().held.len()
    }

    /// Whether nobody holds the entry of this number, which may be none of an id.
    pub(super) fn is_free(&self, number: i64) -> bool {
        QueueId::from_number(number).is_none_or(|id| !self.is_held(id))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looking<'_> {
    /// Takes the entry, unless somebody holds it or it was settled since the look began.
    pub(super) fn claim(&self, id: QueueId) -> bool {
        let mut table = self.0.lock();
        !table.settled.contains(&id) && table.held.insert(id)
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.looking = false;
        table.settled.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_settled_during_a_look_is_not_given_out() {
        let leases = Leases::default();
        let [a, b] = [1, 2].map(|number| QueueId::from_number(number).unwrap());
        leases.hold(a);
        let looking = leases.look();
        leases.end(a); // its row is gone, but the look may still see it
        assert!(!looking.claim(a));
        assert!(looking.claim(b) && !looking.claim(b));
        drop(looking);
        assert!(leases.look().claim(a));
        assert_eq!([1, 2, 3].map(|number| leases.is_free(number)), [false, false, true]);
    }
}
