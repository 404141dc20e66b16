//! What the two hops share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use sealpost_discovery::Resolver;
use sealpost_policy::Policy;
use sealpost_queue::{Lease, Spool};
use sealpost_report::{Event, History};
use sealpost_transport::{Connector, Pool, TlsBackend, WallClock};
use sealpost_types::UnixMillis;
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::builder::AcceptHook;
use crate::config::Config;
use crate::deliver::Lanes;
use crate::stats::Counters;
use crate::tasks::Tasks;

/// The parts that an embedder may replace, as one type instead of four.
pub(crate) trait Components: Send + Sync + 'static {
    type Spool: Spool;
    type Resolver: Resolver;
    type Tls: TlsBackend;
}

/// What the two hops share.
pub(crate) struct Engine<C: Components> {
    pub(crate) config: Arc<Config>,
    pub(crate) policy: ArcSwap<Policy>,
    pub(crate) spool: C::Spool,
    pub(crate) resolver: C::Resolver,
    pub(crate) connector: Connector<C::Tls>,
    pub(crate) pool: Arc<Pool<C::Tls>>,
    /// Which policy is in force, by number: what was verified for an older one is not used again.
    pub(crate) generation: AtomicU64,
    pub(crate) clock: WallClock,
    pub(crate) history: Option<History>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) accept_hook: Option<AcceptHook>,
    pub(crate) lanes: Lanes<Lease>,
    /// One for each open connection of the deliver hop.
    pub(crate) permits: Semaphore,
    pub(crate) workers: Tasks,
    /// Told when a settlement recorded final entries of the history.
    pub(crate) outbox: Notify,
    pub(crate) counters: Counters,
}

impl<C: Components> Engine<C> {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Notes what happened; the mail never waits for it.
    pub(crate) fn record(&self, event: Event) {
        self.announce(&event);
        if let Some(history) = &self.history {
            history.record(event);
        }
    }
}

impl<C: Components> Engine<C> {
    /// Tells whoever listens now.
    pub(crate) fn announce(&self, event: &Event) {
        if self.events.receiver_count() > 0 {
            // It fails only if the last listener has just gone.
            let _ = self.events.send(Arc::new(event.clone()));
        }
    }
}

impl<C: Components> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("hostname", &self.config.hostname).finish_non_exhaustive()
    }
}
