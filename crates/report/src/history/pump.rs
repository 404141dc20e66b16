//! Takes events at once and writes them in batches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sealpost_store::{Store, WriteError};
use sealpost_types::Retry;
use tokio::sync::oneshot;

use super::write;
use crate::{Event, HistoryError};

/// Events on their way to the store, and the thread that brings them there.
#[derive(Debug)]
pub(super) struct Pump {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Event>,
    /// Who wants to know when all of the above is written.
    flushes: Vec<oneshot::Sender<Result<(), WriteError>>>,
    /// Dropped since the last batch was taken.
    dropped: u64,
    closed: bool,
}

impl Pump {
    pub(super) fn start(store: Arc<Store>) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let theirs = inbox.clone();
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || theirs.run(&store))?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.inbox.lock();
        if waiting.events.len() >= WAITING_EVENTS {
            waiting.dropped += 1;
            self.inbox.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.events.push(event);
        let count = waiting.events.len();
        drop(waiting);
        if count == 1 || count == BATCH_EVENTS {
            self.inbox.wake.notify_one();
        }
    }

    pub(super) async fn flush(&self) -> Result<(), HistoryError> {
        let (done, written) = oneshot::channel();
        self.inbox.lock().flushes.push(done);
        self.inbox.wake.notify_one();
        Ok(written.await.unwrap_or(Err(WriteError::Closed))?)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.inbox.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.inbox.lock().closed = true;
        self.inbox.wake.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the history's thread panicked");
        }
    }
}

impl Inbox {
    fn run(&self, store: &Store) {
        while let Some(batch) = self.take() {
            if batch.dropped > 0 {
                tracing::warn!(dropped = batch.dropped, "history entries were dropped: more came than could be written");
            }
            let outcome = self.write(store, batch.events);
            for flush in batch.flushes {
                let _ = flush.send(outcome.clone());
            }
        }
    }

    /// Waits for something to write, and a while for more of it; nothing when closed and empty.
    fn take(&self) -> Option<Waiting> {
        let mut waiting = self.lock();
        while waiting.events.is_empty() && waiting.flushes.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Instant::now() + BATCH_WAIT;
        while waiting.events.len() < BATCH_EVENTS && waiting.flushes.is_empty() && !waiting.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let closed = waiting.closed;
        let batch = std::mem::take(&mut *waiting);
        waiting.closed = closed;
        Some(batch)
    }

    /// Writes a batch; while the disk is full it is tried again as long as the history is open.
    fn write(&self, store: &Store, events: Vec<Event>) -> Result<(), WriteError> {
        if events.is_empty() {
            return Ok(());
        }
        let octets = events.iter().map(write::octets).sum();
        let events = Arc::new(events);
        loop {
            let (answer, answered) = sync_channel(1);
            let batch = events.clone();
            let then = move |outcome| drop(answer.send(outcome));
            store.write_soon(octets, move |tx| write::insert(tx, &batch), then);
            let Err(error) = answered.recv().unwrap_or(Err(WriteError::Closed)) else { return Ok(()) };
            if error.retry() != Retry::Later || self.is_closed_after(RETRY_WAIT) {
                self.dropped.fetch_add(u64::try_from(events.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                tracing::error!(%error, lost = events.len(), "history entries could not be written");
                return Err(error);
            }
            tracing::warn!(%error, "history entries wait until they can be written");
        }
    }

    fn is_closed_after(&self, wait: Duration) -> bool {
        let waiting = self.lock();
        let (waiting, _) = self.wake.wait_timeout_while(waiting, wait, |waiting| !waiting.closed).unwrap_or_else(PoisonError::into_inner);
        waiting.closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that wait to be written at most; further ones are dropped.
pub const WAITING_EVENTS: usize = 16 * 1024;

/// Events that are written without waiting for more.
pub const BATCH_EVENTS: usize = 2048;

/// How long the first event of a batch waits for others.
pub const BATCH_WAIT: Duration = Duration::from_millis(200);

/// How long to wait before a batch that the disk did not take is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(1);
