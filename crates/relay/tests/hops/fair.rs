//! Very many messages for one dead domain beside some for live ones: how long the live ones wait, and how much the dead one costs.
#![allow(clippy::print_stdout, reason = "figures, for whoever asks for them with --nocapture")]

use std::time::{Duration, Instant};

use sealpost_queue::{BodyWriter as _, Deferral, EmbeddedSpool, Group, NewMessage, Settings, Spool};
use sealpost_report::EventKind;
use sealpost_types::{Destination, Envelope, Mailbox, Reception, Recipient, ReversePath, UnixMillis};

use crate::support::{Behaviour, Clock, House, Mx, domain, free_address, letter};

/// Live domains.
const DOMAINS: usize = 10;

/// How many messages for the dead domain, and for all live ones: for a figure at full size, FAIR_DEAD=100000 FAIR_LIVE=1000.
fn sizes() -> (usize, usize) {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    (number("FAIR_DEAD", 5_000), number("FAIR_LIVE", 200))
}

/// Puts mail into the queue that is due, that for the dead domain first and `overdue` if that is; `destination` says where each is queued.
async fn fill(
    spool: &EmbeddedSpool,
    (dead, overdue): (usize, bool),
    live: usize,
    domains: usize,
    destination: impl Fn(&str) -> Destination,
) {
    let now = UnixMillis(i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    let from = || ReversePath::Mailbox(Mailbox::parse("ann@shop.example").unwrap());
    let domains = (0..dead).map(|_| "dead.example".to_owned()).chain((0..live).map(|number| format!("d{}.example", number % domains)));
    let mut accepting = tokio::task::JoinSet::new();
    for (place, domain) in domains.enumerate() {
        let to = Recipient::new(Mailbox::parse(&format!("bob@{domain}")).unwrap().into());
        let due = UnixMillis(now.0 - 3_600_000 + i64::try_from(place).unwrap());
        let mut group =
            Group::new(destination(&domain), vec![to], now.after(Duration::from_secs(86_400))).deferred(Deferral::new(due, "451"));
        group.latest = (overdue && place < dead).then_some(due);
        let message = NewMessage::new(spool.next_id(), Reception::local(now), Envelope::new(from(), Vec::new()), vec![group]);
        let spool = spool.clone();
        accepting.spawn(async move {
            let mut body = spool.body_writer(None).unwrap();
            body.write(&letter("waits")).await.unwrap();
            spool.accept(message, body).await.unwrap();
        });
        if accepting.len() >= 500 {
            accepting.join_next().await.unwrap().unwrap();
        }
    }
    accepting.join_all().await;
}

/// What came of it: how long until the live mail was there, if it was, and how often the dead host was dialled.
struct Run {
    took: Option<Duration>,
    dials: usize,
}

async fn run(dead: usize, live: usize, at_most: Duration, in_one: bool) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let server = Mx::start(Behaviour::plain()).await;
    let mut house = House::new().retry(Duration::from_secs(60)).route_to("dead.example", &[free_address()]);
    for number in 0..DOMAINS {
        house = house.route(&format!("d{number}.example"), &[&server]);
    }
    let spool = EmbeddedSpool::open(folder.path(), Settings::default()).unwrap();
    let routes = house.config.routes.clone();
    let own = |name: &str| routes.find(&domain(name)).unwrap().destination();
    fill(&spool, (dead, false), live, DOMAINS, |name| if in_one { Destination::new("all") } else { own(name) }).await;
    let start = Instant::now();
    let relay = house.start_with(spool.clone()).await;
    let mut took = None;
    while took.is_none() && start.elapsed() < at_most {
        tokio::time::sleep(Duration::from_millis(10)).await;
        took = (server.count() == live).then(|| start.elapsed());
    }
    let dials = relay.count(EventKind::Attempt);
    let left = spool.stats().await.unwrap();
    assert!(took.is_none() || left.deferred + left.fresh >= dead as u64, "{left:?}");
    relay.handle.shutdown(Duration::from_millis(100)).await;
    Run { took, dials }
}

/// A thousand destinations that were due while the relay was down were dialled in the same moment at its start. It is told by its clock that
/// time passes; the control is that without that the rest keeps waiting.
// req: A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_start_destinations_are_tried_more_and_more() {
    const MANY: usize = 150;
    let server = Mx::start_at((std::net::Ipv4Addr::UNSPECIFIED, free_address().port()).into(), Behaviour::plain()).await;
    let clock = Clock::default();
    let mut house = House::new().clock(&clock).retry(Duration::from_secs(3600));
    for number in 0..MANY {
        let address = std::net::Ipv4Addr::new(127, 77, 0, u8::try_from(number).unwrap() + 1);
        house = house.route_to(&format!("d{number}.example"), &[(address, server.address.port()).into()]);
    }
    let folder = tempfile::tempdir().unwrap();
    let spool = EmbeddedSpool::open(folder.path(), Settings::default()).unwrap();
    let routes = house.config.routes.clone();
    fill(&spool, (0, false), MANY, MANY, |name| routes.find(&domain(name)).unwrap().destination()).await;
    let relay = house.start_with(spool.clone()).await;
    server.messages(50).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let early = server.count();
    assert!((50..80).contains(&early), "{early} of {MANY}");
    clock.advance(Duration::from_secs(5));
    server.messages(100).await;
    clock.advance(Duration::from_secs(5));
    server.messages(MANY).await;
    relay.shutdown().await;
}

/// A server that takes connections and says nothing, with more mail than its lane takes. Somebody must look at all of that, because it is late:
/// it was brought again and again, and nothing else was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_much_late_mail_for_a_server_that_hangs_holds_up_nobody() {
    let hanging = tokio::net::TcpListener::bind(free_address()).await.unwrap();
    let server = Mx::start(Behaviour::plain()).await;
    let house = House::new().route_to("dead.example", &[hanging.local_addr().unwrap()]).route("d0.example", &[&server]);
    let folder = tempfile::tempdir().unwrap();
    let spool = EmbeddedSpool::open(folder.path(), Settings::default()).unwrap();
    let routes = house.config.routes.clone();
    fill(&spool, (1000, true), 20, 1, |name| routes.find(&domain(name)).unwrap().destination()).await;
    let relay = house.start_with(spool).await;
    server.messages(20).await;
    relay.handle.shutdown(Duration::from_millis(100)).await;
}

/// The negative control: with one queue for all destinations the live mail waits behind all the dead mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_much_mail_for_a_dead_domain_holds_up_nobody() {
    let (dead, live) = sizes();
    let fair = run(dead, live, Duration::from_secs(120), false).await;
    let took = fair.took.expect("the live mail is not delivered");
    println!(
        "{live} messages for live domains were delivered in {took:?} beside {dead} for a dead one, which was dialled {} times",
        fair.dials
    );
    assert!(fair.dials <= 3, "{} dials", fair.dials);

    let at_most = (took * 3).max(Duration::from_secs(1));
    let together = run(dead, live, at_most, true).await;
    println!("with one queue for all destinations: {:?} of {at_most:?}", together.took);
    assert!(together.took.is_none(), "the control does not fail: {:?}", together.took);
}
