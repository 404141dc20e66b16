//! A message becomes durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Transaction;
use sealpost_store::WriteError;
use sealpost_types::{Octets, UnixMillis};
use tokio::sync::oneshot;

use super::format::{Fixed, Waiting, envelope_text, recipients_text};
use super::schema::{NewRow, SharedBody, insert, insert_shared};
use super::writer::{Content, EmbeddedBodyWriter, FinishError, Finished};
use super::{Engine, SpoolError};
use crate::body::{Body, Kept};
use crate::files::Handle;
use crate::lease::has_recipients;
use crate::{AcceptError, BodyWriteError, Entry, Lease, NewMessage, QueueId};

/// All rows of one message, and what its leases need.
pub(super) struct NewRows {
    rows: Vec<NewRow>,
    shared: Option<SharedBody>,
    entries: Vec<Arc<Entry>>,
    granted: UnixMillis,
    size: u64,
    check: u32,
    kept: Option<Arc<Kept>>,
    file: Option<Handle>,
}

impl Engine {
    pub(super) async fn accept(self: Arc<Self>, message: NewMessage, body: EmbeddedBodyWriter) -> Result<Vec<Lease>, AcceptError> {
        if !has_recipients(&message) {
            return Err(AcceptError::NoRecipients);
        }
        self.ready()?;
        let engine = self.clone();
        let accepting = Accepting::begin(&engine.accepting);
        let inline = if accepting.is_alone { self.settings.inline_alone } else { self.settings.inline };
        let body = body.finish(inline).await.map_err(|error| self.unfinished(error))?;
        let new = Arc::new(self.rows(message, body));
        let (answer, answered) = oneshot::channel();
        let (rows, weight) = (new.clone(), new.weight());
        let insert = move |tx: &Transaction<'_>| rows.insert(tx);
        // Whoever waited may be gone: then the leases are dropped here, and with them the entries go back to the queue.
        let then = move |outcome| drop(answer.send(self.accepted(new, outcome)));
        engine.store.write_then(weight, insert, then).await;
        answered.await.unwrap_or(Err(AcceptError::Closed))
    }

    /// The rows that a message becomes; ids beyond its own are made here.
    pub(super) fn rows(self: &Arc<Self>, message: NewMessage, body: Finished) -> NewRows {
        let envelope: Arc<str> = envelope_text(&message).into();
        let (kept, file) = match body.content {
            Content::Memory(bytes) => {
                let room = self.budget.take(bytes.len());
                (Some(Kept::new(bytes, room)), None)
            }
            Content::File(handle) => (None, Some(handle)),
        };
        let (number, at) = file.as_ref().map(Handle::place).unzip();
        let many = message.groups.len() > 1;
        let shared = many.then(|| SharedBody {
            message: message.id.number(),
            uses: i64::try_from(message.groups.len()).unwrap_or(i64::MAX),
            body: kept.clone(),
        });
        let mut rows = Vec::with_capacity(message.groups.len());
        let mut entries = Vec::with_capacity(message.groups.len());
        for (index, group) in message.groups.into_iter().enumerate() {
            let id = if index == 0 { message.id } else { self.next_id() };
            let recipients = recipients_text(group.recipients.iter().map(|recipient| (recipient, group.deferral.as_ref())));
            let fixed = Fixed {
                id: id.number(),
                message: many.then_some(message.id.number()),
                destination: group.destination.clone(),
                created: message.reception.at.0,
                expires: group.expires.0,
                octets: i64::try_from(body.size).unwrap_or(i64::MAX),
                body_check: body.check,
                envelope: envelope.clone(),
                file: number.and_then(|number| i64::try_from(number).ok()),
                file_at: at.flatten().and_then(|at| i64::try_from(at).ok()),
            };
            let mut envelope = message.envelope.clone();
            let deferrals = vec![group.deferral.clone(); group.recipients.len()];
            envelope.recipients = group.recipients;
            entries.push(Arc::new(Entry {
                id,
                message: message.id,
                destination: group.destination,
                envelope,
                deferrals,
                reception: message.reception.clone(),
                expires: group.expires,
                attempts: 0,
                size: Octets(body.size),
            }));
            let body = if many { None } else { kept.clone() };
            rows.push(NewRow { fixed, waiting: Waiting { attempts: 0, recipients }, deferral: group.deferral, latest: group.latest, body });
        }
        NewRows { rows, shared, entries, granted: message.reception.at, size: body.size, check: body.check, kept, file }
    }

    /// What a body that did not get to its place means for all.
    fn unfinished(&self, error: FinishError) -> AcceptError {
        match error {
            FinishError::Write(error) => error.into(),
            FinishError::Sync(error) => match BodyWriteError::from(error) {
                BodyWriteError::Full => BodyWriteError::Full.into(),
                error => {
                    self.store.poison(&format!("sync: {error}"));
                    self.ready().err().map_or_else(|| error.into(), AcceptError::from)
                }
            },
        }
    }

    /// Gives the answer when the rows are durable, or are not.
    fn accepted(self: Arc<Self>, new: Arc<NewRows>, outcome: Result<(), WriteError>) -> Result<Vec<Lease>, AcceptError> {
        if let Err(error) = outcome {
            self.refused(&new, &error);
            return Err(match error {
                WriteError::Failed(failure) if failure.code & 0xff == CONSTRAINT => match new.entries.first() {
                    Some(entry) => AcceptError::Duplicate { id: entry.id },
                    None => AcceptError::NoRecipients,
                },
                error => SpoolError::from(error).into(),
            });
        }
        self.stored(&new);
        let mut leases = Vec::with_capacity(new.rows.len());
        for (row, entry) in new.rows.iter().zip(&new.entries) {
            if row.deferral.is_none() {
                self.leases.hold(entry.id);
                leases.push(Lease::new(entry.clone(), new.body(&self, entry.id), new.granted, self.clone()));
            }
        }
        Ok(leases)
    }

    /// What is to be done when rows have become durable.
    pub(super) fn stored(&self, new: &NewRows) {
        if let Some(handle) = &new.file {
            self.files.keep(handle);
        }
        if new.rows.iter().any(|row| row.deferral.is_some()) {
            self.waker.wake();
        }
    }

    /// What is to be done when they have not.
    pub(super) fn refused(&self, new: &NewRows, error: &WriteError) {
        // Nobody knows whether the rows are there after all: their file must not be overwritten.
        if new.file.is_some() && matches!(error, WriteError::Poisoned { .. }) {
            self.files.freeze();
        }
    }
}

/// A message that is being accepted.
struct Accepting<'a> {
    count: &'a AtomicUsize,
    /// Whether it was the only one when that began.
    is_alone: bool,
}

impl<'a> Accepting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, is_alone: count.fetch_add(1, Ordering::Relaxed) == 0 }
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl NewRows {
    pub(super) fn insert(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        if let Some(shared) = &self.shared {
            insert_shared(tx, shared)?;
        }
        self.rows.iter().try_for_each(|row| insert(tx, row))
    }

    /// About how much is written.
    pub(super) fn weight(&self) -> usize {
        let texts = |row: &NewRow| row.fixed.envelope.len() + row.waiting.recipients.len();
        self.rows.iter().map(texts).sum::<usize>() + self.kept.as_ref().map_or(0, |kept| kept.bytes.len())
    }

    fn body(&self, engine: &Arc<Engine>, id: QueueId) -> Body {
        match (&self.file, &self.kept) {
            (Some(handle), _) => Body::in_file(handle.clone(), self.size, self.check),
            (None, Some(kept)) if kept.is_counted() => Body::in_memory(kept.clone(), self.check),
            (None, _) => Body::in_row(engine.clone(), id, self.size, self.check),
        }
    }
}

/// SQLite's primary result code for a broken constraint: here, an id that is there already.
const CONSTRAINT: i32 = 19;
