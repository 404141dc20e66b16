//! One sync for all bodies that wait for one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Part, Shared, StoreError};

/// Bodies that were written and wait to be durable. Whoever comes while nobody syncs does so for all, until nobody waits.
#[derive(Default)]
pub(super) struct Group {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    bodies: Vec<Written>,
    is_led: bool,
    /// A sync that failed. What the system could not write it forgets, also of bodies that waited for the next one: none succeeds.
    failure: Option<String>,
}

struct Written {
    part: Arc<Part>,
    done: Done,
}

pub(super) type Done = Box<dyn FnOnce(Result<Arc<Part>, StoreError>) + Send>;

impl Group {
    /// Makes a body durable that was written. Blocks, or leaves it to somebody who does.
    pub(super) fn sync(&self, shared: &Shared, part: Arc<Part>, done: Done) {
        let mut waiting = self.lock();
        waiting.bodies.push(Written { part, done });
        if std::mem::replace(&mut waiting.is_led, true) {
            return;
        }
        while !waiting.bodies.is_empty() {
            let bodies = std::mem::take(&mut waiting.bodies);
            drop(waiting);
            self.sync_all(shared, bodies);
            waiting = self.lock();
        }
        waiting.is_led = false;
    }

    /// One sync for each file that they stand in: nearly always it is one.
    fn sync_all(&self, shared: &Shared, bodies: Vec<Written>) {
        let mut files: BTreeMap<u64, Vec<Written>> = BTreeMap::new();
        for body in bodies {
            files.entry(body.part.stand().file).or_default().push(body);
        }
        for (number, bodies) in files {
            let outcome = self.sync_file(shared, number, bodies.first().map(|body| &body.part));
            for Written { part, done } in bodies {
                done(match &outcome {
                    Ok(()) => Ok(part),
                    Err(failure) => Err(StoreError::Sync(io::Error::other(failure.clone()))),
                });
            }
        }
    }

    fn sync_file(&self, shared: &Shared, number: u64, part: Option<&Arc<Part>>) -> Result<(), String> {
        if let Some(failure) = &self.lock().failure {
            return Err(failure.clone());
        }
        let synced = part.map_or(Ok(()), |part| part.file(false).and_then(|file| shared.sync(number, file)));
        synced.map_err(|error| self.lock().failure.get_or_insert_with(|| error.to_string()).clone())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("waiting", &self.lock().bodies.len()).finish_non_exhaustive()
    }
}
