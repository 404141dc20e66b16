//! What waits to be written.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Transaction;

use crate::WriteError;

/// Something to write. It may be run more than once before it counts: each time in a fresh state of the database.
pub(crate) trait Job: Send {
    fn run(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()>;
    fn finish(self: Box<Self>, outcome: Result<(), WriteError>);
}

struct Waiting {
    job: Box<dyn Job>,
    octets: usize,
    urgent: bool,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    urgent: usize,
    /// When the oldest job that is in no hurry must go all the same.
    deadline: Option<Instant>,
    closed: bool,
    asleep: bool,
}

/// What [`Inbox::take`] came back with.
pub(crate) enum Taken {
    Batch,
    Nothing,
    End,
}

/// Jobs in the order in which they came.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Inbox {
    /// Puts a job at the end; hands it back if the store is closed.
    pub(crate) fn push(&self, job: Box<dyn Job>, octets: usize, urgent: bool) -> Result<(), Box<dyn Job>> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(job);
        }
        queue.jobs.push_back(Waiting { job, octets, urgent });
        let first_lazy = !urgent && queue.deadline.is_none();
        if urgent {
            queue.urgent += 1;
        } else if first_lazy {
            queue.deadline = Some(Instant::now() + RIDE_ALONG);
        }
        if queue.asleep && (urgent || first_lazy || queue.jobs.len() >= BATCH_JOBS) {
            queue.asleep = false;
            drop(queue);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until something must be written and fills `batch` with what is there; [`Taken::End`] when closed and empty,
    /// [`Taken::Nothing`] if nothing came for so long.
    pub(crate) fn take(&self, batch: &mut Vec<Box<dyn Job>>, patience: Option<Duration>) -> Taken {
        let mut queue = self.lock();
        loop {
            let overdue = queue.deadline.is_some_and(|deadline| deadline <= Instant::now());
            if queue.urgent > 0 || overdue || queue.closed || queue.jobs.len() >= BATCH_JOBS {
                break;
            }
            queue.asleep = true;
            queue = match queue.deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => match patience {
                    Some(patience) => {
                        let (mut queue, waited) = self.wake.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
                        if waited.timed_out() && queue.jobs.is_empty() && !queue.closed {
                            queue.asleep = false;
                            return Taken::Nothing;
                        }
                        queue
                    }
                    None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                },
            };
            queue.asleep = false;
        }
        let mut octets = 0;
        while batch.len() < BATCH_JOBS && octets < BATCH_OCTETS {
            let Some(waiting) = queue.jobs.pop_front() else { break };
            octets += waiting.octets;
            queue.urgent -= usize::from(waiting.urgent);
            batch.push(waiting.job);
        }
        if queue.jobs.len() == queue.urgent {
            queue.deadline = None;
        }
        if batch.is_empty() { Taken::End } else { Taken::Batch }
    }

    /// Takes nothing more; what is there is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs in one transaction at most.
pub const BATCH_JOBS: usize = 256;

/// Octets in one transaction at most (exceeded by at most the last job's).
pub const BATCH_OCTETS: usize = 8 << 20;

/// Jobs that wait at most; further ones wait for room.
pub const INBOX_JOBS: usize = 4 * BATCH_JOBS;

/// How long a job that is in no hurry waits for others to ride along with.
pub const RIDE_ALONG: Duration = Duration::from_millis(20);
