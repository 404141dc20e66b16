//! A relay with everything around it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sealpost_discovery::StaticResolver;
use sealpost_policy::Policy;
use sealpost_queue::{EmbeddedSpool, MemorySpool, Settings, Spool};
use sealpost_relay::config::{Config, Listener, ListenerTls};
use sealpost_relay::{QueueAction, QueueSelection, Relay, RelayBuilder, RelayHandle};
use sealpost_report::{Event, EventKind};
use sealpost_transport::{RustlsBackend, WallClock};
use sealpost_types::{Domain, RetrySchedule, UnixMillis};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Kind, Mx, PATIENCE, backend};

/// A relay that is not started yet: `relay.example`, trusting every client on loopback, trying again after 0.1 s.
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) dns: StaticResolver,
    policy: String,
    clock: WallClock,
}

/// A relay that runs.
pub(crate) struct Running {
    pub(crate) handle: RelayHandle,
    pub(crate) address: SocketAddr,
    events: watch::Receiver<Vec<Arc<Event>>>,
}

/// A time of day that can be moved.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::named("relay.example")
    }

    pub(crate) fn named(hostname: &str) -> Self {
        let mut config = Config::new(domain(hostname), "nothing-lies-here".into());
        config.listeners = vec![Listener::new(([127, 0, 0, 1], 0).into(), ListenerTls::StartTls)];
        config.rights.trusted_networks = vec!["127.0.0.0/8".parse().unwrap()];
        let house = Self { config, dns: StaticResolver::new(), policy: String::new(), clock: WallClock::system() };
        house.retry(Duration::from_millis(100))
    }

    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.config.listeners = vec![Listener::new(address, ListenerTls::StartTls)];
        self
    }

    pub(crate) fn retry(mut self, wait: Duration) -> Self {
        self.config.queue.retry = RetrySchedule::new(vec![wait]).unwrap();
        self.config.queue.retry_tls = self.config.queue.retry.clone();
        self
    }

    pub(crate) fn retry_tls(mut self, wait: Duration) -> Self {
        self.config.queue.retry_tls = RetrySchedule::new(vec![wait]).unwrap();
        self
    }

    /// Mail for `to` goes to `mx.TO`, which has the addresses of these servers, in this order.
    pub(crate) fn route(self, to: &str, servers: &[&Mx]) -> Self {
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        self.route_to(to, &addresses)
    }

    pub(crate) fn route_to(self, to: &str, addresses: &[SocketAddr]) -> Self {
        self.route_via(to, &format!("mx.{to}"), addresses)
    }

    pub(crate) fn route_via(mut self, to: &str, host: &str, addresses: &[SocketAddr]) -> Self {
        self.dns.set_addresses(&domain(host), addresses.iter().map(SocketAddr::ip).collect());
        self.config.routes.insert(to, format!("{host}:{}", addresses[0].port()).parse().unwrap()).unwrap();
        self
    }

    pub(crate) fn policy(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.policy);
        self
    }

    /// A partner whose mail is delivered so.
    pub(crate) fn partner(mut self, domain: &str, deliver: &str) -> Self {
        self.policy.push_str(&format!("[[partner]]\nname = \"{domain}\"\ndomains = \"{domain}\"\ndeliver = {deliver}\n"));
        self
    }

    pub(crate) fn clock(mut self, clock: &Clock) -> Self {
        let (clock, system) = (clock.clone(), WallClock::system());
        self.clock = WallClock::from_fn(move || UnixMillis(system.now().0 + clock.0.load(Ordering::SeqCst)));
        self
    }

    /// Starts it with a queue in memory.
    pub(crate) async fn start(self) -> Running {
        self.start_with(MemorySpool::new()).await
    }

    pub(crate) async fn start_with<S: Spool>(self, spool: S) -> Running {
        Running::start(self.build(spool)).await
    }

    pub(crate) fn build<S: Spool>(self, spool: S) -> RelayBuilder<S, StaticResolver, RustlsBackend> {
        let policy = policy(&self.policy);
        let tls = backend(Kind::Right, self.config.hostname.as_str());
        Relay::builder(self.config, spool, self.dns, tls).policy(policy).clock(self.clock)
    }
}

impl Running {
    pub(crate) async fn start<S: Spool>(builder: RelayBuilder<S, StaticResolver, RustlsBackend>) -> Self {
        let handle = builder.start().await.unwrap();
        let mut source = handle.events();
        let (sender, events) = watch::channel(Vec::new());
        tokio::spawn(async move {
            loop {
                match source.recv().await {
                    Ok(event) => sender.send_modify(|events| events.push(event)),
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(count)) => panic!("{count} events were missed"),
                }
            }
        });
        Self { address: handle.addresses()[0], handle, events }
    }

    pub(crate) fn set_policy(&self, text: &str) {
        self.handle.set_policy(policy(text));
    }

    /// Has all that waits tried at once, as soon as nothing is under way any more.
    pub(crate) async fn retry_all(&self) {
        let control = self.handle.control();
        let quiet = async {
            while control.status().await.unwrap().queue.leased > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, quiet).await.expect("something stays under way");
        control.change_queue(QueueSelection::All, QueueAction::Retry).await.unwrap();
    }

    /// What happened so far.
    pub(crate) fn events(&self) -> Vec<Arc<Event>> {
        self.events.borrow().clone()
    }

    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.events.borrow().iter().filter(|event| event.kind == kind).count()
    }

    /// Waits until what happened so far is so, and gives it.
    pub(crate) async fn when(&self, what: &str, condition: impl Fn(&[Arc<Event>]) -> bool) -> Vec<Arc<Event>> {
        let mut events = self.events.clone();
        match timeout(PATIENCE, events.wait_for(|events| condition(events))).await {
            Ok(Ok(events)) => events.clone(),
            Ok(Err(_)) => panic!("the relay ended before there was {what}"),
            Err(_) => panic!("there was no {what}, but {:#?}", &self.events()[self.events().len().saturating_sub(30)..]),
        }
    }

    /// Waits until there were so many events of this kind for this recipient, and gives them.
    pub(crate) async fn wait(&self, kind: EventKind, to: &str, count: usize) -> Vec<Arc<Event>> {
        let is = |event: &&Arc<Event>| event.kind == kind && event.recipient.as_ref().is_some_and(|path| path.to_string() == to);
        let events = self.when(&format!("{count} {kind} for {to}"), |events| events.iter().filter(is).count() >= count).await;
        events.into_iter().filter(|event| is(&event)).collect()
    }

    /// The first event of this kind for this recipient.
    pub(crate) async fn first(&self, kind: EventKind, to: &str) -> Arc<Event> {
        self.wait(kind, to, 1).await.remove(0)
    }

    pub(crate) async fn shutdown(self) {
        self.handle.shutdown(PATIENCE).await;
    }
}

/// The queue in this folder, as soon as nobody else has it.
pub(crate) async fn open_spool(folder: &Path) -> EmbeddedSpool {
    let opened = async {
        loop {
            match EmbeddedSpool::open(folder, Settings::default()) {
                Ok(spool) => return spool,
                Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, opened).await.expect("the queue of the relay that ended is still held")
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}
