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
    /// Urgent jobs of the last batch: as many may come again.
    crowd: usize,
    /// The batch that gathers waits for so many urgent jobs.
    gathers: Option<usize>,
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
        let is_full = queue.jobs.len() >= BATCH_JOBS;
        let is_gathered = is_full || queue.gathers.is_some_and(|wanted| queue.urgent >= wanted);
        if queue.gathers.is_some() && is_gathered || queue.asleep && (urgent || first_lazy || is_full) {
            queue.asleep = false;
            queue.gathers = None;
            drop(queue);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until something must be written and fills `batch` with what is there; [`Taken::End`] when closed and empty,
    /// [`Taken::Nothing`] if nothing came for so long. Where several waited for the last batch, this one gathers as many, for `gather` at
    /// most: each commit costs a sync, however much is in it.
    pub(crate) fn take(&self, batch: &mut Vec<Box<dyn Job>>, patience: Option<Duration>, gather: Duration) -> Taken {
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
        queue = self.gather(queue, gather);
        let (mut octets, waited) = (0, queue.urgent);
        while batch.len() < BATCH_JOBS && octets < BATCH_OCTETS {
            let Some(waiting) = queue.jobs.pop_front() else { break };
            octets += waiting.octets;
            queue.urgent -= usize::from(waiting.urgent);
            batch.push(waiting.job);
        }
        queue.crowd = waited - queue.urgent;
        if queue.jobs.len() == queue.urgent {
            queue.deadline = None;
        }
        if batch.is_empty() { Taken::End } else { Taken::Batch }
    }

    /// Waits for as many urgent jobs as the last batch had, if those were several.
    fn gather<'q>(&self, mut queue: MutexGuard<'q, Queue>, gather: Duration) -> MutexGuard<'q, Queue> {
        if queue.crowd < CROWD || queue.urgent >= queue.crowd || queue.jobs.len() >= BATCH_JOBS || queue.closed {
            return queue;
        }
        queue.gathers = Some(queue.crowd);
        let waits = |queue: &mut Queue| queue.gathers.is_some() && !queue.closed;
        queue = self.wake.wait_timeout_while(queue, gather, waits).unwrap_or_else(PoisonError::into_inner).0;
        queue.gathers = None;
        queue
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

/// Urgent jobs of a batch for which the next one waits for as many. Who writes alone, or nearly, is never kept waiting.
const CROWD: usize = 3;

/// How long a job that is in no hurry waits for others to ride along with.
pub const RIDE_ALONG: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    struct Nothing;

    impl Job for Nothing {
        fn run(&mut self, _: &Transaction<'_>) -> rusqlite::Result<()> {
            Ok(())
        }

        fn finish(self: Box<Self>, _: Result<(), WriteError>) {}
    }

    fn push(inbox: &Inbox, jobs: usize) {
        (0..jobs).for_each(|_| assert!(inbox.push(Box::new(Nothing), 0, true).is_ok()));
    }

    fn take(inbox: &Inbox, gather: Duration) -> usize {
        let mut batch = Vec::new();
        inbox.take(&mut batch, None, gather);
        batch.len()
    }

    const HOURS: Duration = Duration::from_hours(3);

    #[test]
    fn a_batch_gathers_as_many_as_waited_for_the_last_one() {
        let second_batch = |gather| {
            let inbox = Arc::new(Inbox::default());
            push(&inbox, 5);
            assert_eq!(take(&inbox, HOURS), 5, "before it, nobody waited for any");
            push(&inbox, 2);
            let first = take(&inbox, Duration::ZERO);
            push(&inbox, 5);
            assert_eq!((first, take(&inbox, HOURS)), (2, 5));
            push(&inbox, 1);
            let pusher = Arc::clone(&inbox);
            let more = thread::spawn(move || push(&pusher, 4));
            let size = take(&inbox, gather);
            more.join().unwrap();
            size
        };
        assert_eq!(second_batch(HOURS), 5);
        // The negative control: without it the first one goes alone, or with those that are quick.
        let hurried = (0..100).map(|_| second_batch(Duration::ZERO)).min();
        assert!(hurried < Some(5), "{hurried:?}");
    }

    #[test]
    fn who_writes_alone_waits_for_nobody() {
        let inbox = Inbox::default();
        for _ in 0..3 {
            push(&inbox, CROWD - 1);
            // It would not end today.
            assert_eq!(take(&inbox, HOURS), CROWD - 1);
            push(&inbox, 1);
            assert_eq!(take(&inbox, HOURS), 1);
        }
    }

    #[test]
    fn who_gathers_for_nobody_ends_when_closed() {
        let inbox = Arc::new(Inbox::default());
        push(&inbox, 5);
        assert_eq!(take(&inbox, HOURS), 5);
        push(&inbox, 1);
        let closer = Arc::clone(&inbox);
        let closes = thread::spawn(move || closer.close());
        assert_eq!(take(&inbox, HOURS), 1);
        closes.join().unwrap();
    }
}
