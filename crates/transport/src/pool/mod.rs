//! Connections that lie idle until the next message for the same [`WireKey`].

mod shelf;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::{Destination, WireKey};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use self::shelf::Shelf;
use crate::WallClock;
use crate::client::Connection;
use crate::tls::TlsBackend;

/// What a pool keeps, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// Idle connections of one key. 20.
    pub idle_per_key: usize,
    /// Idle connections in all. 500.
    pub idle_total: usize,
    /// How long one lies idle before it is closed. 30 s: many servers close after a minute or two.
    pub idle_time: Duration,
    /// How old a connection may become. 5 minutes, so that a host that left the DNS loses its mail soon.
    pub age: Duration,
    /// Messages over one connection. 100: many servers allow no more.
    pub uses: u32,
}

/// Idle connections, keyed by [`WireKey`]: what was verified for one demand never serves another.
///
/// # Example
/// ```no_run
/// # use sealpost_transport::{ConnectError, ConnectOptions, Connection, Connector, Pool, RustlsBackend};
/// # use sealpost_types::{Destination, WireKey};
/// async fn connection(
///     pool: &Pool<RustlsBackend>,
///     connector: &Connector<RustlsBackend>,
///     key: &WireKey,
/// ) -> Result<Connection<RustlsBackend>, ConnectError> {
///     match pool.take(key) {
///         Some(connection) => Ok(connection),
///         None => connector.connect(key, &ConnectOptions::default()).await,
///     }
///     // ... and when the message is delivered: pool.put(connection, &destination)
/// }
/// ```
pub struct Pool<B: TlsBackend> {
    shelf: Mutex<Shelf<Connection<B>>>,
    settings: PoolSettings,
    clock: WallClock,
    changed: Notify,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { idle_per_key: 20, idle_total: 500, idle_time: Duration::from_secs(30), age: Duration::from_secs(5 * 60), uses: 100 }
    }
}

impl<B: TlsBackend> Pool<B> {
    /// An empty pool. `clock` tells whether certificates are still in date.
    #[must_use]
    pub fn new(settings: PoolSettings, clock: WallClock) -> Self {
        Self { shelf: Mutex::new(Shelf::new(settings.clone())), settings, clock, changed: Notify::new() }
    }

    /// A live connection of `key`, ready for a transaction; none if there is none.
    ///
    /// Checked again before it is given out: that the server has not closed it or said anything, age and number of
    /// uses, the dates of the certificate path, and the policy generation. What an earlier transaction may have left
    /// open is reset ahead of the next one, in the same flight.
    pub fn take(&self, key: &WireKey) -> Option<Connection<B>> {
        loop {
            let mut gone = Vec::new();
            let found = self.shelf().take(key, Instant::now(), &mut gone);
            let nothing_left = found.is_none();
            let mut usable = None;
            if let Some(mut connection) = found {
                if self.is_good(&mut connection) {
                    usable = Some(connection);
                } else {
                    gone.push(connection);
                }
            }
            close_all(gone);
            if nothing_left || usable.is_some() {
                return usable;
            }
        }
    }

    /// Takes a connection back that was used for this destination. One that cannot be used again, or for which there is no room, is closed.
    pub fn put(&self, mut connection: Connection<B>, destination: &Destination) {
        let mut gone = Vec::new();
        if self.is_good(&mut connection) {
            let (key, generation) = (connection.key().clone(), connection.generation());
            self.shelf().put((&key, destination), connection, generation, Instant::now(), &mut gone);
            self.changed.notify_one();
        } else {
            gone.push(connection);
        }
        close_all(gone);
    }

    /// Closes what has lain idle longest until no more than `idle` connections do: before another one is opened, where only so many may be
    /// open in all.
    pub fn make_room(&self, idle: usize) {
        let mut gone = Vec::new();
        self.shelf().shrink(idle, &mut gone);
        close_all(gone);
    }

    /// The same for what was used for one destination last, whatever the addresses and the demands: before another one is opened for it.
    pub fn make_room_of(&self, destination: &Destination, idle: usize) {
        let mut gone = Vec::new();
        self.shelf().shrink_of(destination, idle, &mut gone);
        close_all(gone);
    }

    /// Closes every idle connection that was opened under an older policy generation, now and when it comes back.
    pub fn invalidate_all(&self, generation: u64) {
        let gone = self.shelf().invalidate(generation, Instant::now());
        close_all(gone);
    }

    /// The policy generation that connections must belong to.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shelf().generation()
    }

    /// How many connections lie idle.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelf().len()
    }

    /// Whether none lies idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes what has lain idle too long, for ever: spawn it, and abort it when the pool is no longer needed.
    pub async fn reap(self: Arc<Self>) {
        loop {
            let next = self.shelf().next_end();
            match next {
                Some(end) => sleep_until(end).await,
                None => self.changed.notified().await,
            }
            let gone = self.shelf().reap(Instant::now());
            if !gone.is_empty() {
                debug!(connections = gone.len(), "idle connections closed");
            }
            close_all(gone);
        }
    }

    /// Closes every idle connection, with QUIT.
    pub fn clear(&self) {
        let gone = self.shelf().drain();
        close_all(gone);
    }

    fn is_good(&self, connection: &mut Connection<B>) -> bool {
        connection.is_reusable()
            && connection.uses() < self.settings.uses
            && connection.age() < self.settings.age
            && connection.valid_until().is_none_or(|end| self.clock.now() < end)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Connection<B>>> {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: TlsBackend> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.len()).field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn close_all<B: TlsBackend>(connections: Vec<Connection<B>>) {
    connections.into_iter().for_each(Connection::hang_up);
}
