//! How a lease ends is recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Transaction, params};
use sealpost_types::UnixMillis;

use super::accept::NewRows;
use super::format::{Waiting, recipients_text};
use super::record::{Record, Tried};
use super::schema::{self, Left};
use super::writer::Finished;
use super::{Engine, SpoolError};
use crate::lease::{ABANDONED, GiveBack, Home, earliest};
use crate::{Deferral, Lease, QueueId, Settlement};

/// How a lease ends, as it is written; cheap to clone, so that it can be written again.
#[derive(Clone)]
pub(super) enum End {
    /// With an outcome.
    Settled(Arc<Settled>),
    /// Without one: the entry waits until it is due.
    GivenBack { due: UnixMillis, reason: Option<&'static str> },
    /// Its row or its body is not what was stored.
    SetAside(Arc<str>),
}

/// What became of an entry.
pub(super) struct Settled {
    /// None: the entry leaves the queue.
    waiting: Option<(Deferral, Waiting)>,
    /// When somebody must look at it all the same.
    latest: Option<UnixMillis>,
    outbox: Vec<Vec<u8>>,
    follow_up: Option<NewRows>,
}

impl Engine {
    pub(super) async fn settle(self: Arc<Self>, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        let record = self.settlement(lease, &settlement)?;
        self.record(record).await
    }

    pub(super) fn settle_soon(self: &Arc<Self>, lease: Lease, settlement: &Settlement) -> Result<(), SpoolError> {
        let record = self.settlement(lease, settlement)?;
        self.record_soon(record, Tried::default());
        Ok(())
    }

    pub(super) async fn set_aside(self: Arc<Self>, lease: Lease, reason: String) -> Result<(), SpoolError> {
        lease.check_home(&self)?;
        let record = Record { id: lease.into_entry().id, end: End::SetAside(reason.into()) };
        self.record(record).await
    }

    /// The entry is held until it is set aside.
    pub(super) fn set_aside_soon(self: &Arc<Self>, id: QueueId, reason: String) {
        tracing::error!(%id, reason, "a queued message is damaged and is set aside");
        self.record_soon(Record { id, end: End::SetAside(reason.into()) }, Tried::default());
    }

    fn settlement(self: &Arc<Self>, lease: Lease, settlement: &Settlement) -> Result<Record, SpoolError> {
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
        let settled = Settled { waiting, latest: settlement.latest, outbox: settlement.outbox.clone(), follow_up };
        Ok(Record { id: entry.id, end: End::Settled(Arc::new(settled)) })
    }
}

impl End {
    pub(super) fn write(&self, id: QueueId, engine: &Engine, tx: &Transaction<'_>) -> rusqlite::Result<Left> {
        let id = id.number();
        match self {
            Self::Settled(settled) => return settled.write(id, engine, tx),
            Self::GivenBack { due, reason } => schema::give_back(tx, id, *due, *reason)?,
            Self::SetAside(reason) => schema::set_aside(tx, id, reason)?,
        }
        Ok(Left { body: None })
    }

    /// About how much is written.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Settled(settled) => settled.weight(),
            Self::GivenBack { .. } => 0,
            Self::SetAside(reason) => reason.len(),
        }
    }

    /// Whether the entry may be due now, or earlier than before.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Settled(settled) => settled.waiting.is_some(),
            Self::GivenBack { .. } => true,
            Self::SetAside(_) => false,
        }
    }

    /// The message that is accepted with it.
    pub(super) fn follow_up(&self) -> Option<&NewRows> {
        match self {
            Self::Settled(settled) => settled.follow_up.as_ref(),
            Self::GivenBack { .. } | Self::SetAside(_) => None,
        }
    }
}

impl Settled {
    fn write(&self, id: i64, engine: &Engine, tx: &Transaction<'_>) -> rusqlite::Result<Left> {
        let left = match &self.waiting {
            None => schema::remove(tx, id)?,
            Some((deferral, waiting)) => {
                schema::defer(tx, id, deferral, self.latest, waiting)?;
                Left { body: None }
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
        let end = match how {
            GiveBack::Released => End::GivenBack { due: granted, reason: None },
            GiveBack::Abandoned => End::GivenBack { due: granted.after(self.settings.abandoned), reason: Some(ABANDONED) },
        };
        self.record_soon(Record { id, end }, Tried::default());
    }
}
