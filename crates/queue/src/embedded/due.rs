//! Deferred entries are handed out when they are due.

use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};
use sealpost_types::UnixMillis;

use super::find::Wanted;
use super::schema::{self, FoundBody};
use super::{Engine, SpoolError};
use crate::body::{Body, Kept};
use crate::{Entry, Lease, QueueId, Selector};

impl Engine {
    pub(super) async fn lease_due(self: Arc<Self>, wanted: Wanted) -> Result<Vec<Lease>, SpoolError> {
        let now = wanted.now;
        if wanted.limit == 0 {
            return Ok(Vec::new());
        }
        self.sound()?;
        let mut place = self.looking.lock().await;
        self.record_again(now);
        let looking = self.leases.look();
        let engine = self.clone();
        let mut from = place.take();
        let look = move |db: &Connection| engine.find(db, &wanted, &mut from).map(|found| (found, from));
        let (found, from) = self.store.read(look).await?;
        *place = from;
        // What failed meanwhile stops this look too.
        self.sound()?;
        let mut leases = Vec::with_capacity(found.len());
        for found in found {
            let Some(id) = QueueId::from_number(found.id) else { continue };
            if !looking.claim(id) {
                continue;
            }
            match found.entry.and_then(|(entry, body)| self.body_of(&entry, body).map(|body| (entry, body))) {
                Ok((entry, body)) => leases.push(Lease::new(Arc::new(entry), body, now, self.clone())),
                Err(reason) => self.set_aside_soon(id, reason),
            }
        }
        Ok(leases)
    }

    pub(super) async fn next_due(&self) -> Result<Option<UnixMillis>, SpoolError> {
        // Those that are held stand first, for they were due.
        let limit = i64::try_from(self.leases.count()).unwrap_or(i64::MAX).saturating_add(1);
        let first = self.store.read(move |db| schema::first_due(db, limit)).await?;
        let held = |id| QueueId::from_number(id).is_some_and(|id| self.leases.is_held(id));
        Ok(first.into_iter().find(|(id, _)| !held(*id)).map(|(_, due)| UnixMillis(due)))
    }

    pub(super) async fn retry_now(&self, selector: &Selector, now: UnixMillis) -> Result<u64, SpoolError> {
        // In pieces, so that mail can be accepted in between. What is deferred anew meanwhile may be taken along, hence
        // the end after as many pieces as there were at first.
        let filter = match selector {
            Selector::All => "INDEXED BY entry_due WHERE state = 1 AND due > ?1".to_owned(),
            Selector::Destination(_) => "INDEXED BY entry_destination WHERE state = 1 AND destination = ?2 AND due > ?1".to_owned(),
            Selector::Id(_) => "WHERE (id = ?2 OR message = ?2) AND state = 1 AND due > ?1".to_owned(),
        };
        let value = match selector {
            Selector::All => rusqlite::types::Value::Null,
            Selector::Destination(destination) => destination.as_str().to_owned().into(),
            Selector::Id(id) => id.number().into(),
        };
        // The second parameter must occur in every statement, used or not.
        let count = format!("SELECT count(*) FROM entry {filter} AND ?2 IS ?2");
        let some =
            format!("UPDATE entry SET due = ?1 WHERE id IN (SELECT id FROM entry {filter} AND ?2 IS ?2 ORDER BY due LIMIT {RETRY_PIECE})");
        let waiting = {
            let value = value.clone();
            self.store.read(move |db| db.query_row(&count, params![now.0, value], |row| row.get::<_, u64>(0))).await?
        };
        let mut woken = 0;
        for _ in 0..waiting.div_ceil(RETRY_PIECE) {
            let (sql, value) = (some.clone(), value.clone());
            let update = move |tx: &Transaction<'_>| tx.prepare_cached(&sql)?.execute(params![now.0, value]);
            woken += self.store.write(0, update).await? as u64;
            self.waker.wake();
        }
        Ok(woken)
    }

    /// The body of an entry; a file is only looked for here, and checked while it is read.
    fn body_of(self: &Arc<Self>, entry: &Entry, found: FoundBody) -> Result<Body, String> {
        let size = entry.size.0;
        if let Some(place) = found.file {
            return match found.length {
                Some(length) if length >= place.end() => Ok(Body::in_file(self.files.handle(place, length), size, found.check)),
                Some(length) => Err(format!("its body file {} ends at octet {length}, the body at {}", place.name(), place.end())),
                None => Err(format!("its body file {} is gone", place.name())),
            };
        }
        let bytes = found.bytes.unwrap_or_default();
        Ok(match self.budget.take(bytes.len()) {
            Some(room) => Body::in_memory(Kept::new(bytes, Some(room)), found.check),
            None => Body::in_row(self.clone(), entry.id, size, found.check),
        })
    }
}

/// Rows that are woken in one transaction.
const RETRY_PIECE: u64 = 1000;
