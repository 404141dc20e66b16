//! The ends of leases on their way to the disk: what cannot be recorded is kept and recorded later, so that no entry
//! stays leased for ever.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::Transaction;
use sealpost_store::WriteError;
use sealpost_types::UnixMillis;
use tokio::sync::oneshot;

use super::schema::Left;
use super::settle::End;
use super::{Engine, SpoolError};
use crate::QueueId;
use crate::lease::{ABANDONED, RECORD_TRIES};

/// The end of the lease of one entry.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) id: QueueId,
    pub(super) end: End,
}

/// What was tried to record it.
#[derive(Clone, Copy, Default)]
pub(super) struct Tried {
    /// How often the store refused it for what it is, not because the disk was full.
    failures: u32,
    /// When it was last taken up again.
    last: Option<UnixMillis>,
}

/// A record that the store has. If it is dropped there, because whoever waited for room is gone, it is handed over again.
struct Pending {
    engine: Arc<Engine>,
    record: Option<(Record, Tried)>,
}

impl Engine {
    /// Records it durably, if that can be done at once.
    pub(super) async fn record(self: Arc<Self>, record: Record) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        let (weight, job, pending) = self.begin(record, Tried::default());
        self.store.write_then(weight, job, move |outcome| drop(answer.send(pending.end(outcome)))).await;
        answered.await.unwrap_or(Err(SpoolError::Closed))
    }

    pub(super) fn record_soon(self: &Arc<Self>, record: Record, tried: Tried) {
        let (weight, job, pending) = self.begin(record, tried);
        self.store.write_soon(weight, job, move |outcome| drop(pending.end(outcome)));
    }

    /// Takes up what could not be recorded, as far as it was not just tried.
    pub(super) fn record_again(self: &Arc<Self>, now: UnixMillis) {
        let ready: Vec<_> = {
            let mut unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
            unrecorded.extract_if(.., |(_, tried)| tried.is_ready(now, self.settings.abandoned)).collect()
        };
        for (mut record, tried) in ready {
            if tried.failures >= RECORD_TRIES && matches!(record.end, End::Settled(_)) {
                tracing::error!(id = %record.id, "the outcome of an attempt is given up: the entry is tried again");
                record.end = End::GivenBack { due: now.after(self.settings.abandoned), reason: Some(ABANDONED) };
            }
            self.record_soon(record, Tried { last: Some(now), ..tried });
        }
    }

    /// Takes up all that could not be recorded, for the last time.
    pub(super) fn record_rest(self: &Arc<Self>) {
        let rest = std::mem::take(&mut *self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner));
        rest.into_iter().for_each(|(record, tried)| self.record_soon(record, tried));
    }

    fn begin(
        self: &Arc<Self>,
        record: Record,
        tried: Tried,
    ) -> (usize, impl FnMut(&Transaction<'_>) -> rusqlite::Result<Left> + use<>, Pending) {
        let (engine, Record { id, end }) = (self.clone(), record.clone());
        let job = move |tx: &Transaction<'_>| end.write(id, &engine, tx);
        (record.end.weight(), job, Pending { engine: self.clone(), record: Some((record, tried)) })
    }

    fn recorded(&self, Record { id, end }: &Record, left: &Left) {
        if let Some(place) = left.body {
            self.files.release(place);
        }
        if let Some(new) = end.follow_up() {
            self.stored(new);
        }
        self.leases.end(*id);
        if end.waits() {
            self.waker.wake();
        }
    }

    fn not_recorded(&self, record: Record, mut tried: Tried, error: &WriteError) {
        tracing::error!(id = %record.id, %error, "the end of a lease could not be recorded");
        if let Some(new) = record.end.follow_up() {
            self.refused(new, error);
        }
        match error {
            WriteError::Full | WriteError::Busy => {}
            // Nothing is recorded any more: the next process finds the entry as it was.
            WriteError::Poisoned { .. } | WriteError::Closed => return,
            _ => tried.failures = tried.failures.saturating_add(1),
        }
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).push((record, tried));
    }
}

impl Tried {
    /// Space may come back any moment; what else is wrong seldom goes away. A clock that was set back delays nothing.
    fn is_ready(&self, now: UnixMillis, seldom: Duration) -> bool {
        let pause = if self.failures == 0 { FULL_AGAIN } else { seldom };
        self.last.is_none_or(|last| last > now || last.after(pause) <= now)
    }
}

impl Pending {
    fn end(mut self, outcome: Result<Left, WriteError>) -> Result<(), SpoolError> {
        let Some((record, tried)) = self.record.take() else { return Ok(()) };
        match outcome {
            Ok(left) => {
                self.engine.recorded(&record, &left);
                Ok(())
            }
            Err(error) => {
                self.engine.not_recorded(record, tried, &error);
                Err(error.into())
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((record, tried)) = self.record.take() {
            self.engine.record_soon(record, tried);
        }
    }
}

/// How long to wait before a full disk is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);
