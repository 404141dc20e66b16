//! What became of a lease is recorded.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rusqlite::{Transaction, params};
use sealpost_store::WriteError;
use sealpost_types::UnixMillis;
use tokio::sync::oneshot;

use super::accept::NewRows;
use super::format::{Waiting, recipients_text};
use super::schema::{self, Left};
use super::writer::Finished;
use super::{Engine, SpoolError};
use crate::lease::{ABANDONED, GiveBack, Home, earliest};
use crate::{Deferral, Lease, QueueId, Settlement};

/// A settlement as it is written; cheap to clone, so that it can be written again.
#[derive(Clone)]
pub(super) struct Record(Arc<Settled>);

struct Settled {
    id: QueueId,
    /// None: the entry leaves the queue.
    waiting: Option<(Deferral, Waiting)>,
    outbox: Vec<Vec<u8>>,
    follow_up: Option<NewRows>,
}

impl Engine {
    pub(super) async fn settle(self: Arc<Self>, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        let record = self.record(lease, &settlement)?;
        let (answer, answered) = oneshot::channel();
        let (write, engine, weight) = (record.clone(), self.clone(), record.0.weight());
        let job = move |tx: &Transaction<'_>| write.0.write(&engine, tx);
        let engine = self.clone();
        self.store.write_then(weight, job, move |outcome| drop(answer.send(engine.settled(record, outcome)))).await;
        answered.await.unwrap_or(Err(SpoolError::Closed))
    }

    pub(super) fn settle_soon(self: &Arc<Self>, lease: Lease, settlement: &Settlement) -> Result<(), SpoolError> {
        let record = self.record(lease, settlement)?;
        self.write_soon(record);
        Ok(())
    }

    /// Writes once more what could not be written.
    pub(super) fn record_again(self: &Arc<Self>) {
        let records = std::mem::take(&mut *self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner));
        records.into_iter().for_each(|record| self.write_soon(record));
    }

    pub(super) async fn set_aside(self: Arc<Self>, lease: Lease, reason: String) -> Result<(), SpoolError> {
        lease.check_home(&self)?;
        let id = lease.into_entry().id;
        tracing::error!(%id, reason, "a queued message is damaged and was set aside");
        let engine = self.clone();
        let (answer, answered) = oneshot::channel();
        let then = move |outcome: Result<(), WriteError>| {
            if outcome.is_ok() {
                engine.leases.end(id);
            }
            let _ = answer.send(outcome);
        };
        self.store.write_then(reason.len(), move |tx| schema::set_aside(tx, id.number(), &reason), then).await;
        Ok(answered.await.unwrap_or(Err(WriteError::Closed))?)
    }

    fn record(self: &Arc<Self>, lease: Lease, settlement: &Settlement) -> Result<Record, SpoolError> {
        lease.check_home(self)?;
        let kept = settlement.kept(lease.entry())?;
        let entry = lease.into_entry();
        let waiting = earliest(&kept).map(|deferral| {
            let recipients = recipients_text(kept.iter().map(|(recipient, deferral)| (recipient, Some(deferral))));
            (deferral.clone(), Waiting { attempts: entry.attempts.saturating_add(u32::from(settlement.attempted)), recipients })
        });
        let follow_up = settlement.follow_up.clone().map(|follow_up| {
            let (message, body) = follow_up.into_parts();
            self.rows(message, Finished::of(body))
        });
        Ok(Record(Arc::new(Settled { id: entry.id, waiting, outbox: settlement.outbox.clone(), follow_up })))
    }

    fn write_soon(self: &Arc<Self>, record: Record) {
        let (write, engine, then) = (record.clone(), self.clone(), self.clone());
        let job = move |tx: &Transaction<'_>| write.0.write(&engine, tx);
        self.store.write_soon(record.0.weight(), job, move |outcome| drop(then.settled(record, outcome)));
    }

    fn settled(&self, record: Record, outcome: Result<Left, WriteError>) -> Result<(), SpoolError> {
        let Settled { id, waiting, follow_up, .. } = &*record.0;
        let left = match outcome {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(%id, %error, "what became of a message could not be recorded");
                if let Some(new) = follow_up {
                    self.refused(new, &error);
                }
                if matches!(error, WriteError::Full | WriteError::Busy) {
                    self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                }
                return Err(error.into());
            }
        };
        if let Some(file) = left.file.and_then(|file| u64::try_from(file).ok()) {
            self.pool.release(file);
        }
        if let Some(new) = follow_up {
            self.stored(new);
        }
        self.leases.end(*id);
        if waiting.is_some() {
            self.waker.wake();
        }
        Ok(())
    }
}

impl Settled {
    fn write(&self, engine: &Engine, tx: &Transaction<'_>) -> rusqlite::Result<Left> {
        let left = match &self.waiting {
            None => schema::remove(tx, self.id.number())?,
            Some((deferral, waiting)) => {
                schema::defer(tx, self.id.number(), deferral, waiting)?;
                Left { file: None }
            }
        };
        for row in &self.outbox {
            let place = engine.outbox.fetch_add(1, Ordering::Relaxed) + 1;
            tx.prepare_cached("INSERT INTO outbox (place, data) VALUES (?1, ?2)")?.execute(params![place, row])?;
        }
        self.follow_up.as_ref().map_or(Ok(()), |new| new.insert(tx))?;
        Ok(left)
    }

    fn weight(&self) -> usize {
        let waiting = self.waiting.as_ref().map_or(0, |(_, waiting)| waiting.recipients.len());
        waiting + self.outbox.iter().map(Vec::len).sum::<usize>() + self.follow_up.as_ref().map_or(0, NewRows::weight)
    }
}

impl Home for Engine {
    fn give_back(self: Arc<Self>, id: QueueId, granted: UnixMillis, how: GiveBack) {
        let (due, reason) = match how {
            GiveBack::Released => (granted, None),
            GiveBack::Abandoned => (granted.after(self.settings.abandoned), Some(ABANDONED)),
        };
        let engine = self.clone();
        self.store.write_soon(
            0,
            move |tx| schema::give_back(tx, id.number(), due, reason),
            move |outcome| match outcome {
                Ok(()) => {
                    engine.leases.end(id);
                    engine.waker.wake();
                }
                // It is still there, and due when the queue is opened again.
                Err(error) => tracing::warn!(%id, %error, "a lease came back and could not be recorded"),
            },
        );
    }
}
