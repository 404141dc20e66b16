//! Deferred entries are handed out when they are due.

use std::sync::Arc;

use rusqlite::Connection;
use sealpost_types::UnixMillis;

use super::find::Wanted;
use super::schema::{self, FoundBody};
use super::{Engine, SpoolError};
use crate::body::{Body, Kept};
use crate::{Entry, Lease, QueueId};

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

    pub(super) async fn next_due(self: Arc<Self>) -> Result<Option<UnixMillis>, SpoolError> {
        // Those that are held stand first, for they were due.
        let limit = i64::try_from(self.leases.count()).unwrap_or(i64::MAX).saturating_add(1);
        let engine = Arc::clone(&self);
        let look = move |db: &Connection| Ok((schema::first_due(db, limit)?, engine.woken_since(db)?));
        let (first, woken) = self.store.read(look).await?;
        let held = |id| QueueId::from_number(id).is_some_and(|id| self.leases.is_held(id));
        let first = first.into_iter().find(|(id, _)| !held(*id)).map(|(_, due)| UnixMillis(due));
        Ok(first.into_iter().chain(woken).min())
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
