//! What is kept per [`WireKey`]: its configurations, one verifier, and the tickets of both.
//!
//! rustls resumes a session only with the very verifier that judged it. So each key has its own, and a ticket cannot
//! cross from one demand to another even if this store mixed them up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use sealpost_types::{UnixMillis, WireKey};
use tokio_rustls::TlsConnector;

use super::shown::Shown;
use super::verifier::WireVerifier;
use crate::WallClock;

/// The TLS side of one [`WireKey`].
pub(super) struct WireTls {
    /// What connects with all that the demand allows, and without a post-quantum key exchange.
    pub(super) full: OnceLock<TlsConnector>,
    pub(super) small: OnceLock<TlsConnector>,
    pub(super) verifier: Arc<WireVerifier>,
    pub(super) tickets: Arc<TicketStore>,
    /// The certificate that is shown to servers that ask for one.
    pub(super) shown: Option<Arc<Shown>>,
}

/// A bounded store of [`WireTls`]; the least recently used one makes room.
#[derive(Debug)]
pub(super) struct SessionStore {
    capacity: usize,
    reduce: fn(&WireKey) -> WireKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    uses: u64,
    wires: HashMap<WireKey, Slot>,
}

#[derive(Debug)]
struct Slot {
    wire: Arc<WireTls>,
    last_use: u64,
}

impl SessionStore {
    pub(super) fn new(capacity: usize) -> Self {
        Self::keyed_by(capacity, WireKey::clone)
    }

    /// A store whose keys are what `reduce` leaves of them: only tests leave anything out.
    pub(super) fn keyed_by(capacity: usize, reduce: fn(&WireKey) -> WireKey) -> Self {
        Self { capacity: capacity.max(1), reduce, state: Mutex::default() }
    }

    /// What is kept for `key`, made by `make` if there is nothing.
    pub(super) fn wire(&self, key: &WireKey, make: impl FnOnce() -> Arc<WireTls>) -> Arc<WireTls> {
        let key = (self.reduce)(key);
        let mut state = lock(&self.state);
        state.uses += 1;
        let now = state.uses;
        if let Some(slot) = state.wires.get_mut(&key) {
            slot.last_use = now;
            return Arc::clone(&slot.wire);
        }
        if state.wires.len() >= self.capacity {
            // A walk over all of them, but only when a new host is met and the store is full.
            let oldest = state.wires.iter().min_by_key(|(_, slot)| slot.last_use).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                state.wires.remove(&oldest);
            }
        }
        let wire = make();
        state.wires.insert(key, Slot { wire: Arc::clone(&wire), last_use: now });
        wire
    }

    /// Forgets everything made before `generation`. A handshake under way keeps what it has, and leaves nothing here.
    pub(super) fn invalidate(&self, generation: u64) {
        let mut state = lock(&self.state);
        if generation > state.generation {
            state.generation = generation;
            state.wires.clear();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        lock(&self.state).wires.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.state).wires.len()
    }
}

/// The tickets of one [`WireKey`].
#[derive(Debug)]
pub(super) struct TicketStore {
    clock: WallClock,
    tickets: Mutex<Tickets>,
}

struct Tickets {
    until: UnixMillis,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Vec<Tls13ClientSessionValue>,
}

impl TicketStore {
    pub(super) fn new(clock: WallClock) -> Self {
        Self { clock, tickets: Mutex::new(Tickets { until: UnixMillis(i64::MAX), tls12: None, tls13: Vec::new() }) }
    }

    /// From now on no ticket is used at or after `until`. A full handshake says so before its tickets arrive.
    ///
    /// Of two servers behind one address the shorter term counts for both.
    pub(super) fn expire_at(&self, until: UnixMillis) {
        let now = self.clock.now();
        let mut tickets = lock(&self.tickets);
        let old = if tickets.until > now { tickets.until } else { UnixMillis(i64::MAX) };
        if old == UnixMillis(i64::MAX) {
            // What is left from before the term ran out must not live on under the new one.
            tickets.tls12 = None;
            tickets.tls13.clear();
        }
        tickets.until = old.min(until);
    }

    /// The tickets, unless their term is over.
    fn valid(&self) -> MutexGuard<'_, Tickets> {
        let now = self.clock.now();
        let mut tickets = lock(&self.tickets);
        if tickets.until <= now {
            tickets.tls12 = None;
            tickets.tls13.clear();
        }
        tickets
    }
}

impl std::fmt::Debug for WireTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireTls").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("until", &self.until).field("tls13", &self.tls13.len()).finish_non_exhaustive()
    }
}

impl ClientSessionStore for TicketStore {
    /// Not kept: a hint would leave the post-quantum group out of the first flight for good.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        lock(&self.tickets).tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.valid().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        lock(&self.tickets).tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = lock(&self.tickets);
        if tickets.tls13.len() >= TICKETS_PER_WIRE {
            tickets.tls13.remove(0);
        }
        tickets.tls13.push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.valid().tls13.pop()
    }
}

/// Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// TLS 1.3 tickets kept per key; each is used once, and a resumed session brings new ones.
const TICKETS_PER_WIRE: usize = 4;
