//! What the two hops share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use sealpost_cert::TrustAnchors;
use sealpost_discovery::{HttpsSource, MtaSts, Resolver};
use sealpost_policy::Policy;
use sealpost_queue::{Lease, Spool};
use sealpost_report::{Event, EventResult, History};
use sealpost_transport::{Connector, Gate, Pool, TlsBackend, WallClock};
use sealpost_types::{Destination, UnixMillis};
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::config::Config;
use crate::decided::DecidedWords;
use crate::deliver::Trouble;
use crate::hook::AcceptHook;
use crate::lanes::Lanes;
use crate::receive::Logins;
use crate::resolver_watch::ResolverWatch;
use crate::room::Room;
use crate::stats::Counters;
use crate::tasks::Tasks;
use crate::tlsrpt::Reports;
use crate::trust::Trust;
use crate::unreachable::Unreachable;
use crate::verdicts::Verdicts;

/// The parts that an embedder may replace, as one type instead of four.
pub(crate) trait Components: Send + Sync + 'static {
    type Spool: Spool;
    type Resolver: Resolver;
    type Tls: TlsBackend;
}

/// What the two hops share.
pub(crate) struct Engine<C: Components> {
    /// What is obeyed of it now: [`Engine::config`].
    pub(crate) config: ArcSwap<Config>,
    pub(crate) policy: ArcSwap<Policy>,
    /// The policy that what waits was held against last; locked while it is held against the one in force.
    pub(crate) judged: tokio::sync::Mutex<Arc<Policy>>,
    pub(crate) spool: C::Spool,
    pub(crate) resolver: C::Resolver,
    /// None where MTA-STS is switched off.
    pub(crate) sts: Option<MtaSts<HttpsSource<C::Tls>>>,
    pub(crate) connector: Connector<C::Tls>,
    pub(crate) pool: Arc<Pool<C::Tls>>,
    /// Which policy is in force, by number: what was verified for an older one is not used again.
    pub(crate) generation: AtomicU64,
    pub(crate) clock: WallClock,
    pub(crate) history: Option<History>,
    pub(crate) words: Arc<DecidedWords>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) accept_hook: Option<AcceptHook>,
    /// None where AUTH is not offered.
    pub(crate) logins: Option<Logins>,
    /// Whom clients' certificates must lead to.
    pub(crate) client_anchors: Arc<ArcSwap<TrustAnchors>>,
    /// Whom servers' certificates must lead to, and what is shown to them; none where an embedder's TLS knows that itself.
    pub(crate) trust: Option<Arc<Trust>>,
    pub(crate) lanes: Lanes<Lease>,
    pub(crate) unreachable: Unreachable,
    /// Where TLS could not be had.
    pub(crate) verdicts: Verdicts<Trouble>,
    /// Destinations that answer again, until somebody has woken what waits for them.
    pub(crate) woken: std::sync::Mutex<Vec<Destination>>,
    /// Told when more workers are wanted, or something is woken.
    pub(crate) reinforce: Notify,
    /// Held by whoever brings what is due into the lanes, or wants nobody to.
    pub(crate) bringing: tokio::sync::Mutex<()>,
    /// One for each open connection of the deliver hop.
    pub(crate) permits: Semaphore,
    pub(crate) workers: Tasks,
    /// What is reported of TLS to the domains that mail goes to; none where nothing is.
    pub(crate) reports: Option<Reports>,
    /// Told when a settlement recorded final entries of the history.
    pub(crate) outbox: Notify,
    pub(crate) counters: Counters,
    /// What clients have to pass.
    pub(crate) gate: Gate,
    /// How many connections there are at most.
    pub(crate) room: Room,
    /// Whether the name servers answer.
    pub(crate) resolver_watch: ResolverWatch,
}

impl<C: Components> Engine<C> {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// What the relay's own file says.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// What waits for this destination is tried at once. Those that were left alone are due already, and their rows stay as they are.
    pub(crate) fn wake(&self, destination: Destination) {
        self.woken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(destination);
        self.reinforce.notify_one();
    }

    /// What was found out of hosts and destinations is found out anew.
    pub(crate) fn forget_failures(&self) {
        self.lanes.forget_silences();
        self.forget_hosts();
    }

    /// What was found out of one destination, and of any host: which are its own is not known before it is resolved.
    pub(crate) fn forget_failures_of(&self, destination: &Destination) {
        self.lanes.forget_silence(destination);
        self.forget_hosts();
    }

    /// What was found out of hosts is found out anew, as soon as somebody asks them.
    pub(crate) fn forget_hosts(&self) {
        self.unreachable.forget_all();
        self.verdicts.forget_all();
    }

    /// Notes what happened; the mail never waits for it.
    pub(crate) fn record(&self, event: Event) {
        self.announce(&event);
        log(&event);
        if let Some(history) = &self.history {
            history.record(event);
        }
    }
}

impl<C: Components> Engine<C> {
    /// Tells of an entry that goes into the history by way of the queue.
    pub(crate) fn final_event(&self, event: &Event) {
        self.announce(event);
        log(event);
    }

    /// Tells whoever listens now.
    fn announce(&self, event: &Event) {
        if self.events.receiver_count() > 0 {
            // It fails only if the last listener has just gone.
            let _ = self.events.send(Arc::new(event.clone()));
        }
    }
}

/// The line that an operator who follows the log sees.
fn log(event: &Event) {
    let id = event.queue_id.as_deref().unwrap_or("-");
    let from = Shown(event.sender.as_ref());
    let to = Shown(event.recipient.as_ref());
    let host = event.host.as_deref().unwrap_or("-");
    let tls = event.proof.as_ref().and_then(|proof| proof.tls).map_or("none", |tls| tls.version.as_str());
    let reason = event.reason.as_deref().or(event.reply.as_deref());
    match event.result {
        EventResult::Success => tracing::info!(id, %from, %to, host, tls, reason, "{}", event.kind),
        EventResult::Transient | EventResult::Permanent => tracing::warn!(id, %from, %to, host, tls, reason, "{}", event.kind),
    }
}

/// A path in angle brackets, or a dash.
struct Shown<'a, T>(Option<&'a T>);

impl<T: fmt::Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "<{path}>"),
            None => f.write_str("-"),
        }
    }
}

impl<C: Components> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("hostname", &self.config().hostname).finish_non_exhaustive()
    }
}
