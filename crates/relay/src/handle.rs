//! A running relay, as whoever started it sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealpost_discovery::{MtaSts, Resolver as _, StsKept, StsNumbers, Validation};
use sealpost_policy::Policy;
use sealpost_queue::{Filter, Listed, Spool as _, SpoolError};
use sealpost_report::{Answer, Event, Filter as HistoryFilter, HistoryError};
use sealpost_store::WriteError;
use sealpost_transport::{Server, TlsBackend as _};
use sealpost_types::{Domain, UnixMillis};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::config_file::ConfigFile;
use crate::control::{Control, RelayControl, Waiting, Watched};
use crate::engine::{Components, Engine};
use crate::metrics::Gauges;
use crate::operate::{self, Outlook, QueueAction, QueueOutcome, QueueSelection, change_queue};
use crate::policy_file::PolicyFile;
use crate::ready::Stage;
use crate::resolver_watch::Found;
use crate::stats::{Counters, RelayStats};
use crate::tlsrpt::Reports;
use crate::waking;

/// A running relay.
///
/// Dropped without [`shutdown`](Self::shutdown) it stops at once; nothing that was accepted is lost by that.
pub struct RelayHandle {
    control: RelayControl,
    servers: Vec<Server>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    reaper: JoinHandle<()>,
}

impl RelayHandle {
    pub(crate) fn new(
        control: RelayControl,
        servers: Vec<Server>,
        stop: watch::Sender<bool>,
        tasks: Vec<JoinHandle<()>>,
        reaper: JoinHandle<()>,
    ) -> Self {
        let addresses: Vec<_> = servers.iter().map(Server::local_addr).collect();
        control.enter(Stage::Running(addresses.clone()));
        Self { control, servers, addresses, stop, tasks, reaper }
    }

    /// Where it listens, in the order of the configuration, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What can be asked of it and done to it, for whoever manages it.
    #[must_use]
    pub fn control(&self) -> &RelayControl {
        &self.control
    }

    /// What it did since its start.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.control.engine().stats()
    }

    /// What happens from now on, as the history tells it. Whoever falls a thousand events behind misses some.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.control.engine().events()
    }

    /// Decides by this policy from now on. What waits for a destination is tried at once if it decides otherwise of any mail for it. Mail
    /// that was deferred for TLS stays under what was asked of it then as well.
    ///
    /// A relay with a policy file is better told by [`RelayControl::reload`].
    pub fn set_policy(&self, policy: Policy) {
        self.control.engine().set_policy(policy);
    }

    /// Stops in order: takes no more connections, lets transactions and deliveries that are under way finish for up to
    /// `grace` in all, and closes the queue and the history. What is not delivered stays queued.
    pub async fn shutdown(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        self.control.enter(Stage::Stopping);
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
        if tokio::time::timeout_at(end, self.control.engine().close()).await.is_err() {
            tracing::warn!("deliveries under way are broken off; they are tried again at the next start");
            self.control.engine().break_off();
            if tokio::time::timeout(LAST_STEPS, self.control.engine().close()).await.is_err() {
                tracing::error!("the queue was not closed in order");
            }
        }
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.control.enter(Stage::Stopping);
        self.stop.send_replace(true);
        self.reaper.abort();
        self.control.engine().break_off();
    }
}

/// What can be asked of an engine, and done to it.
pub(crate) fn control<C: Components>(
    engine: Arc<Engine<C>>,
    policy: Option<PolicyFile>,
    watched: Option<Watched>,
    config: Option<ConfigFile>,
) -> RelayControl {
    RelayControl::new(Box::new(Controls(engine)), policy, watched, config)
}

struct Controls<C: Components>(Arc<Engine<C>>);

impl<C: Components> Control for Controls<C> {
    fn hostname(&self) -> Domain {
        self.0.config().hostname.clone()
    }

    fn now(&self) -> UnixMillis {
        self.0.now()
    }

    fn queue(&self) -> Waiting<'_, Result<sealpost_queue::Stats, SpoolError>> {
        Box::pin(self.0.spool.stats())
    }

    fn list_queue(&self, filter: Filter, limit: usize) -> Waiting<'_, Result<Vec<Listed>, SpoolError>> {
        Box::pin(self.0.spool.list(filter, limit))
    }

    fn change_queue(&self, selection: QueueSelection, action: QueueAction) -> Waiting<'_, Result<QueueOutcome, SpoolError>> {
        Box::pin(async move {
            let engine = &self.0;
            // Nothing is brought into the lanes meanwhile, and what waits there goes back: it is changed like all else.
            let pause = engine.bringing.lock().await;
            if action != QueueAction::Retry {
                self.give_back().await;
            }
            match (action, operate::one_destination(&selection)) {
                (QueueAction::Retry, Some(destination)) => engine.forget_failures_of(destination),
                (QueueAction::Retry | QueueAction::Release, _) => engine.forget_failures(),
                _ => {}
            }
            let outcome = change_queue(&engine.spool, &selection, action, engine.now()).await;
            drop(pause);
            engine.outbox.notify_one();
            outcome
        })
    }

    fn outlook(&self, listed: &Listed) -> Vec<Outlook> {
        operate::outlook(&self.0.policy.load(), &self.0.config(), listed, Some(self.0.spool.releases()), self.0.now())
    }

    fn sts_policies(&self) -> Option<Vec<StsKept>> {
        self.0.sts.as_ref().map(MtaSts::list)
    }

    fn sts_numbers(&self) -> Option<StsNumbers> {
        self.0.sts.as_ref().map(MtaSts::numbers)
    }

    fn reports(&self) -> Option<&Reports> {
        self.0.reports.as_ref()
    }

    fn forget_sts_policy<'a>(&'a self, domain: &'a Domain) -> Waiting<'a, Result<Option<StsKept>, WriteError>> {
        Box::pin(async move {
            match &self.0.sts {
                Some(sts) => sts.forget(domain).await,
                None => Ok(None),
            }
        })
    }

    fn policy(&self) -> Arc<Policy> {
        self.0.policy.load_full()
    }

    fn validation(&self) -> Waiting<'_, Validation> {
        Box::pin(self.0.resolver.validation())
    }

    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn stats(&self) -> RelayStats {
        self.0.counters.snapshot()
    }

    fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn config(&self) -> Arc<Config> {
        self.0.config()
    }

    fn due(&self, now: UnixMillis) -> Waiting<'_, Result<u64, SpoolError>> {
        Box::pin(self.0.spool.due(now))
    }

    fn gauges(&self) -> Gauges {
        let (engine, now) = (&self.0, self.0.now());
        Gauges {
            clients: engine.gate.connections(),
            turned_away: engine.gate.turned_away(),
            hosts: engine.room.delivered.saturating_sub(engine.permits.available_permits()),
            idle: engine.pool.len(),
            health: engine.spool.health(),
            disk: engine.spool.disk(),
            history_dropped: engine.history.as_ref().map_or(0, sealpost_report::History::dropped),
            left_alone: [
                ("destination", engine.lanes.silences(now)),
                ("address", engine.unreachable.len(now)),
                ("tls", engine.verdicts.len(now)),
            ],
        }
    }

    fn resolver_found(&self) -> Option<Found> {
        self.0.resolver_watch.found()
    }

    fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    fn history<'a>(&'a self, filter: &'a HistoryFilter) -> Waiting<'a, Option<Result<Answer, HistoryError>>> {
        Box::pin(async move {
            let history = self.0.history.as_ref()?;
            // What cannot be written is told in the log, and may take its time; what is there can be read.
            let _ = tokio::time::timeout(UP_TO_DATE, history.flush()).await;
            Some(history.answer(filter).await)
        })
    }

    fn set_policy(&self, policy: Policy) {
        let engine = Arc::clone(&self.0);
        engine.policy.store(Arc::new(policy));
        distrust(&engine);
        // A destination that does not answer goes on being left alone, unless it is woken.
        engine.forget_hosts();
        tokio::spawn(async move { waking::after_policy(&engine).await });
    }

    fn renew(&self) {
        renew(&self.0);
    }

    fn set_config(&self, new: Config) {
        let engine = Arc::clone(&self.0);
        let before = engine.config();
        let mut after = Config::clone(&before);
        after.take_live(new);
        let after = Arc::new(after);
        engine.config.store(Arc::clone(&after));
        // Another route, or another wait, reaches mail that waits.
        tokio::spawn(async move { waking::after_config(&engine, &before, &after).await });
    }

    fn record(&self, event: Event) {
        self.0.record(event);
    }

    fn release_holds(&self) -> Waiting<'_, Result<(), SpoolError>> {
        Box::pin(async {
            self.0.spool.release_holds().await?;
            waking::after_release(&self.0).await;
            Ok(())
        })
    }

    fn close(&self) -> Waiting<'_, ()> {
        Box::pin(async {
            let engine = &self.0;
            self.give_back_all();
            engine.workers.all_done().await;
            engine.pool.clear();
            crate::deliver::drain_outbox(engine).await;
            if let Some(reports) = &engine.reports {
                reports.close().await;
            }
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
        self.give_back_all();
        self.0.workers.break_off();
    }
}

impl<C: Components> Controls<C> {
    /// Gives back to the queue what no worker has begun.
    fn give_back_all(&self) {
        for lease in self.0.lanes.drain() {
            lease.release();
        }
    }

    /// The same, and waits until nobody holds it any more.
    async fn give_back(&self) {
        let ids: Vec<_> = self.0.lanes.drain().into_iter().map(|lease| (lease.id(), lease.release()).0).collect();
        let end = Instant::now() + GIVEN_BACK;
        for id in ids {
            while Instant::now() < end && self.0.spool.show(id).await.is_ok_and(|shown| shown.is_some_and(|shown| shown.leased)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Nothing that was verified before is used again, also not what is in use now.
pub(crate) fn distrust<C: Components>(engine: &Engine<C>) {
    let generation = engine.generation.fetch_add(1, Ordering::AcqRel) + 1;
    engine.pool.invalidate_all(generation);
    engine.connector.backend().invalidate(generation);
}

/// The same, and what waits is tried at once.
pub(crate) fn renew<C: Components>(engine: &Arc<Engine<C>>) {
    let engine = Arc::clone(engine);
    distrust(&engine);
    engine.forget_failures();
    tokio::spawn(async move {
        if let Err(error) = engine.spool.retry_now(sealpost_queue::Selector::All, engine.now()).await {
            tracing::error!(%error, "what waits is not woken by new files");
        }
    });
}

impl fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayHandle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// For what goes back to the queue to be there again: it rides along with other work.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// How long whoever asks for the history waits for the entries of this moment.
const UP_TO_DATE: Duration = Duration::from_secs(2);

/// Beyond the grace: for deliveries that were broken off to note it, and for the queue to close.
const LAST_STEPS: Duration = Duration::from_secs(5);
