//! What an operator does to entries that wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Transaction, params};
use sealpost_store::WriteError;
use sealpost_types::UnixMillis;
use tokio::sync::oneshot;

use super::format::{Waiting, recipients_text};
use super::schema::{self, DEFERRED, FRESH, HELD, Left};
use super::{Engine, SpoolError};
use crate::{Change, Changed, QueueId};

impl Engine {
    pub(super) async fn change(self: Arc<Self>, changes: Vec<(QueueId, Change)>) -> Result<Vec<Changed>, SpoolError> {
        self.sound()?;
        // As one who holds them, so that nobody begins an attempt meanwhile.
        let claimed = {
            // A look that is under way would give them out by what they were before.
            let looking = self.looking.lock().await;
            let look = self.leases.look();
            let ids = changes.iter().map(|(id, _)| look.claim(*id).then_some(*id)).collect();
            drop((look, looking));
            Claimed { engine: Arc::clone(&self), ids }
        };
        let (engine, owner) = (Arc::clone(&self), Arc::clone(&self));
        let wakes = changes.iter().any(|(_, change)| matches!(change, Change::Retry { .. } | Change::Release { .. }));
        let weight = changes.iter().flat_map(|(_, change)| change.outbox()).map(Vec::len).sum();
        let mine: Vec<bool> = claimed.ids.iter().map(Option::is_some).collect();
        let write = move |tx: &Transaction<'_>| {
            let write = |((id, change), mine): (&(QueueId, Change), &bool)| {
                if *mine { engine.write_change(tx, *id, change) } else { Ok((Changed::Leased, Left { body: None })) }
            };
            changes.iter().zip(&mine).map(write).collect::<Result<Vec<_>, _>>()
        };
        let (answer, answered) = oneshot::channel();
        // Whoever waited may be gone; they are held until it is written all the same.
        let then = move |outcome: Result<Vec<(Changed, Left)>, WriteError>| {
            let release = |(changed, left): (Changed, Left)| {
                if let Some(place) = left.body {
                    self.files.release(place);
                }
                changed
            };
            let changed = outcome.map(|all| all.into_iter().map(release).collect());
            drop(claimed);
            if wakes {
                self.waker.wake();
            }
            drop(answer.send(changed));
        };
        owner.store.write_then(weight, write, then).await;
        Ok(answered.await.unwrap_or(Err(WriteError::Closed))?)
    }

    fn write_change(&self, tx: &Transaction<'_>, id: QueueId, change: &Change) -> rusqlite::Result<(Changed, Left)> {
        let (id, mut left) = (id.number(), Left { body: None });
        let Some(state) = schema::state(tx, id)? else { return Ok((Changed::Missing, left)) };
        match (change, state) {
            (Change::Retry { now }, DEFERRED) => schema::make_due(tx, id, *now)?,
            (Change::Hold { .. }, DEFERRED) => schema::hold(tx, id)?,
            (Change::Release { now, .. }, DEFERRED | HELD) => match release(tx, id, state, *now)? {
                Changed::Done => {}
                other => return Ok((other, left)),
            },
            (Change::Delete { .. }, state) if state != FRESH => left = schema::remove(tx, id)?,
            _ => return Ok((Changed::Unfit, left)),
        }
        for row in change.outbox() {
            let place = self.outbox.fetch_add(1, Ordering::Relaxed) + 1;
            tx.prepare_cached("INSERT INTO outbox (place, data) VALUES (?1, ?2)")?.execute(params![place, row])?;
        }
        Ok((Changed::Done, left))
    }
}

/// Lets go the entry, and each of its recipients that waits for it.
fn release(tx: &Transaction<'_>, id: i64, state: i64, now: UnixMillis) -> rusqlite::Result<Changed> {
    let Some(found) = schema::look(tx, id)? else { return Ok(Changed::Missing) };
    let entry = match found.entry {
        Ok((entry, _)) => entry,
        Err(damage) => {
            schema::set_aside(tx, id, &damage)?;
            return Ok(Changed::Unfit);
        }
    };
    let mut deferrals = entry.deferrals;
    let mut any = state == HELD;
    for deferral in deferrals.iter_mut().flatten().filter(|deferral| deferral.until_released) {
        (deferral.until_released, deferral.due, any) = (false, now, true);
    }
    if !any {
        return Ok(Changed::Unfit);
    }
    let recipients = recipients_text(entry.envelope.recipients.iter().zip(deferrals.iter().map(Option::as_ref)));
    schema::write_waiting(tx, id, &Waiting { attempts: entry.attempts, recipients })?;
    schema::make_due(tx, id, now)?;
    Ok(Changed::Done)
}

/// Holds entries like leases, until it is dropped.
struct Claimed {
    engine: Arc<Engine>,
    ids: Vec<Option<QueueId>>,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.ids.iter().flatten().for_each(|id| self.engine.leases.end(*id));
    }
}
