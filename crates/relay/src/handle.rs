//! A running relay, as whoever started it sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealpost_policy::Policy;
use sealpost_queue::{Selector, Spool as _};
use sealpost_report::Event;
use sealpost_transport::{Server, TlsBackend as _};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::{Components, Engine};
use crate::stats::RelayStats;

/// A running relay.
///
/// Dropped without [`shutdown`](Self::shutdown) it stops at once; nothing that was accepted is lost by that.
pub struct RelayHandle {
    control: Box<dyn Control>,
    servers: Vec<Server>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    reaper: JoinHandle<()>,
}

/// What a handle needs of an engine, whatever its parts are.
trait Control: Send + Sync {
    fn stats(&self) -> RelayStats;
    fn events(&self) -> broadcast::Receiver<Arc<Event>>;
    fn set_policy(&self, policy: Policy);
    fn close(&self) -> Closing<'_>;
    fn break_off(&self);
}

type Closing<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl RelayHandle {
    pub(crate) fn new<C: Components>(
        engine: Arc<Engine<C>>,
        servers: Vec<Server>,
        stop: watch::Sender<bool>,
        tasks: Vec<JoinHandle<()>>,
        reaper: JoinHandle<()>,
    ) -> Self {
        let addresses = servers.iter().map(Server::local_addr).collect();
        Self { control: Box::new(Controls(engine)), servers, addresses, stop, tasks, reaper }
    }

    /// Where it listens, in the order of the configuration, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it did since its start.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.control.stats()
    }

    /// What happens from now on, as the history tells it. Whoever falls a thousand events behind misses some.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.control.events()
    }

    /// Decides by this policy from now on; mail that waits is decided by it at its next attempt, which is made at once.
    pub fn set_policy(&self, policy: Policy) {
        self.control.set_policy(policy);
    }

    /// Stops in order: takes no more connections, lets transactions and deliveries that are under way finish for up to
    /// `grace` in all, and closes the queue and the history. What is not delivered stays queued.
    pub async fn shutdown(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        // Nothing more is taken out of the queue, while clients finish what they have begun.
        self.stop.send_replace(true);
        let mut stops = tokio::task::JoinSet::new();
        for server in std::mem::take(&mut self.servers) {
            stops.spawn(server.shutdown(grace));
        }
        stops.join_all().await;
        for task in std::mem::take(&mut self.tasks) {
            let _ = tokio::time::timeout_at(end, task).await;
        }
        if tokio::time::timeout_at(end, self.control.close()).await.is_err() {
            tracing::warn!("deliveries under way are broken off; they are tried again at the next start");
            self.control.break_off();
            if tokio::time::timeout(LAST_STEPS, self.control.close()).await.is_err() {
                tracing::error!("the queue was not closed in order");
            }
        }
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.reaper.abort();
        self.control.break_off();
    }
}

struct Controls<C: Components>(Arc<Engine<C>>);

impl<C: Components> Control for Controls<C> {
    fn stats(&self) -> RelayStats {
        self.0.counters.snapshot()
    }

    fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    fn set_policy(&self, policy: Policy) {
        let engine = Arc::clone(&self.0);
        engine.policy.store(Arc::new(policy));
        let generation = engine.generation.fetch_add(1, Ordering::AcqRel) + 1;
        engine.pool.invalidate_all(generation);
        engine.connector.backend().invalidate(generation);
        engine.lanes.forget_silences();
        tokio::spawn(async move {
            if let Err(error) = engine.spool.retry_now(Selector::All, engine.now()).await {
                tracing::error!(%error, "what waits is not woken by the new policy");
            }
        });
    }

    fn close(&self) -> Closing<'_> {
        Box::pin(async {
            let engine = &self.0;
            self.give_back();
            engine.workers.all_done().await;
            engine.pool.clear();
            crate::deliver::drain_outbox(engine).await;
            if let Some(history) = &engine.history
                && let Err(error) = history.flush().await
            {
                tracing::error!(%error, "the last events are not in the history");
            }
            if let Err(error) = engine.spool.close().await {
                tracing::error!(%error, "the queue was not closed in order");
            }
        })
    }

    fn break_off(&self) {
        self.give_back();
        self.0.workers.break_off();
    }
}

impl<C: Components> Controls<C> {
    /// Gives back to the queue what no worker has begun.
    fn give_back(&self) {
        for lease in self.0.lanes.drain() {
            lease.release();
        }
    }
}

impl fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayHandle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Beyond the grace: for deliveries that were broken off to note it, and for the queue to close.
const LAST_STEPS: Duration = Duration::from_secs(5);
