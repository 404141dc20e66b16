//! What was found out of a host or a destination is not found out anew by each message, and concerns nobody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealpost_queue::{Filter, MemorySpool, Spool as _};
use sealpost_relay::{QueueAction, QueueSelection};
use sealpost_report::EventKind;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::{Behaviour, Client, Clock, House, Kind, Mx, Running, free_address, letter, open_spool, waiting};

const FROM: &str = "ann@shop.example";
const HOUR: Duration = Duration::from_secs(3600);

async fn retry_all(relay: &Running) {
    relay.handle.control().change_queue(QueueSelection::All, QueueAction::Retry).await.unwrap();
}

// req: A8
#[tokio::test]
async fn a_thousand_messages_for_a_dead_host_are_one_probe_and_one_row() {
    let (address, spool) = (free_address(), MemorySpool::new());
    let relay = House::new().retry(HOUR).route_to("bank.example", &[address]).start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["bob@bank.example"], &letter("the first")).await;
    relay.first(EventKind::Deferred, "bob@bank.example").await;
    for number in 1..1000 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
    }
    waiting(&spool, 1000).await;
    assert_eq!((relay.count(EventKind::Attempt), relay.count(EventKind::Deferred)), (1, 1), "one probe, and one row");
    let listed = spool.list(Filter::all(), 1000).await.unwrap();
    let see = format!("waiting for the next try at the destination, see {}: ", listed[0].id);
    assert!(listed[1..].iter().all(|entry| entry.reason.as_deref().is_some_and(|reason| reason.starts_with(&see))), "{:?}", listed[1]);
    assert!(listed[1..].iter().all(|entry| entry.entry.as_ref().is_some_and(|entry| entry.attempts == 0)));

    // The probe of later: still one, and the rows of all others stay as they are.
    retry_all(&relay).await;
    relay.wait(EventKind::Attempt, "bob@bank.example", 2).await;
    waiting(&spool, 1000).await;
    let events = (relay.count(EventKind::Attempt), relay.count(EventKind::Deferred));
    assert!(events.0 <= 3 && events.1 <= 3, "{events:?}");

    let bank = Mx::start_at(address, Behaviour::plain()).await;
    retry_all(&relay).await;
    bank.messages(1000).await;
    relay.shutdown().await;
}

/// A probe that succeeds wakes all that waits, and no row is written for it.
#[tokio::test]
async fn a_probe_that_succeeds_wakes_what_waits() {
    let (address, spool, wait) = (free_address(), MemorySpool::new(), Duration::from_millis(500));
    let relay = House::new().retry(wait).route_to("bank.example", &[address]).start_with(spool.clone()).await;
    let begin = Instant::now();
    let mut client = Client::secure(relay.address).await;
    for number in 0..100 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
    }
    relay.first(EventKind::Deferred, "bob@bank.example").await;
    let bank = Mx::start_at(address, Behaviour::plain()).await;
    bank.messages(100).await;
    // One for each wait; by themselves all hundred would be tried.
    let waits = begin.elapsed().as_millis() / wait.as_millis();
    let attempts = relay.count(EventKind::Attempt);
    assert!((attempts as u128) < 5 + waits, "{attempts} in {waits} waits");
    relay.shutdown().await;
}

/// Twenty domains at one dead host are one dial; at twenty hosts they are twenty.
#[tokio::test]
async fn a_dead_host_of_many_domains_is_dialled_once() {
    for shared in [true, false] {
        let (one, spool) = (free_address(), MemorySpool::new());
        let mut house = House::new().retry(HOUR);
        for number in 0..20 {
            house = house.route_to(&format!("d{number}.example"), &[if shared { one } else { free_address() }]);
        }
        let relay = house.start_with(spool.clone()).await;
        let mut client = Client::secure(relay.address).await;
        for number in 0..20 {
            client.send(FROM, &[&format!("bob@d{number}.example")], &letter("hosted together")).await;
            waiting(&spool, number + 1).await;
        }
        assert_eq!(relay.count(EventKind::Attempt), if shared { 1 } else { 20 });
        drop(client);
        relay.shutdown().await;
    }
}

/// One tenant's `verify` fails; it is found out once for all its mail, and the other's mail to the same host goes on.
// req: A5 D4
#[tokio::test]
async fn a_verdict_on_tls_is_of_those_who_ask_the_same() {
    let bank = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.bank.example")).await;
    let spool = MemorySpool::new();
    let house = House::new().retry(HOUR).route("bank.example", &[&bank]);
    let house = house.partner("bank.example", "{ level = \"verify\", senders = \"*@strict.example\", else = \"require\" }");
    let relay = house.start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    for number in 0..20 {
        client.send("ann@strict.example", &["bob@bank.example"], &letter(&format!("number {number}"))).await;
        waiting(&spool, number + 1).await;
    }
    assert_eq!((bank.record().sessions, bank.count()), (1, 0), "it was found out once");
    assert_eq!(relay.count(EventKind::CheckTls), 20, "and each message tells of it");
    client.send("ann@easy.example", &["bob@bank.example"], &letter("passes by")).await;
    assert_eq!(bank.message().await.from, "ann@easy.example");

    bank.change(Behaviour::secure(Kind::Right, "mx.bank.example"));
    retry_all(&relay).await;
    bank.messages(21).await;
    relay.shutdown().await;
}

/// What others found out counts once, not once for each message and look.
// req: F5
#[tokio::test]
async fn what_is_known_from_others_is_no_further_proof() {
    let bank = Mx::start(Behaviour::plain()).await;
    let sender = Mx::start(Behaviour::plain()).await;
    let level = "{ level = \"require\", on_failure = \"bounce\", bounce_after = 2, retry = \"1s\" }";
    let house = House::new().retry(HOUR).route("bank.example", &[&bank]).route("shop.example", &[&sender]).partner("bank.example", level);
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &["bob@bank.example"], &letter("own schedule")).await;
    // Its own waits are shorter than those for which the verdict is remembered.
    relay.wait(EventKind::CheckTls, "bob@bank.example", 3).await;
    assert_eq!((bank.record().sessions, relay.count(EventKind::Bounced)), (1, 0));
    retry_all(&relay).await;
    relay.first(EventKind::Bounced, "bob@bank.example").await;
    assert_eq!(bank.record().sessions, 2);
    relay.shutdown().await;
}

/// A server that takes connections and never says a word; how many it took.
async fn silent_server(address: SocketAddr) -> Arc<AtomicUsize> {
    let (listener, taken) = (TcpListener::bind(address).await.unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
        }
    });
    taken
}

/// After a restart everything is due. A host gets one connection until it has answered, and only then more of them.
#[tokio::test]
async fn a_restart_is_no_stampede() {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let house = || House::new().retry(HOUR).route_to("bank.example", &[address]);
    let spool = open_spool(folder.path()).await;
    let relay = house().start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    for number in 0..300 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
    }
    waiting(&spool, 300).await;
    drop(client);
    relay.shutdown().await;

    let clock = Clock::default();
    clock.advance(2 * HOUR);
    let taken = silent_server(address).await;
    let relay = house().clock(&clock).start_with(open_spool(folder.path()).await).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(taken.load(Ordering::SeqCst), 1, "of 300 that are due");
    relay.handle.shutdown(Duration::from_millis(100)).await;
}

/// What was found out of destinations is forgotten with the process. Each that does not answer is asked once after that, and no more of them
/// at a time than there may be connections.
#[tokio::test]
async fn after_a_restart_dead_destinations_are_asked_one_by_one() {
    const DESTINATIONS: usize = 40;
    // Without the limit all of them are asked at the same time: that is the negative control.
    for (limit, expected) in [(5, 5), (500, DESTINATIONS)] {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_address().port());
        let address = |number: usize| SocketAddr::from(([127, 0, 1, u8::try_from(number + 1).unwrap()], port));
        let house = || {
            let mut house = House::new().retry(HOUR);
            house.config.delivery.connections = limit;
            (0..DESTINATIONS).fold(house, |house, number| house.route_to(&format!("d{number}.example"), &[address(number)]))
        };
        let spool = open_spool(folder.path()).await;
        let relay = house().start_with(spool.clone()).await;
        let mut client = Client::secure(relay.address).await;
        for message in 0..3 {
            for number in 0..DESTINATIONS {
                client.send(FROM, &[&format!("bob@d{number}.example")], &letter(&format!("number {message}"))).await;
            }
        }
        waiting(&spool, 3 * DESTINATIONS as u64).await;
        drop(client);
        relay.shutdown().await;

        let clock = Clock::default();
        clock.advance(2 * HOUR);
        let taken = silent_server(SocketAddr::from(([0, 0, 0, 0], port))).await;
        let relay = house().clock(&clock).start_with(open_spool(folder.path()).await).await;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if taken.load(Ordering::SeqCst) >= expected {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(taken.load(Ordering::SeqCst), expected, "of {DESTINATIONS} destinations with three messages each");
        relay.handle.shutdown(Duration::from_millis(100)).await;
    }
}

/// The sender is told once that it takes long, at the time that is set, whether its mail is tried or left alone.
// req: B9
#[tokio::test]
async fn the_sender_is_told_once_that_mail_is_late() {
    let plain = Mx::start(Behaviour::plain()).await;
    for (bank, words) in [(plain.address, "does not offer STARTTLS"), (free_address(), "refused")] {
        let (sender, clock, spool) = (Mx::start(Behaviour::plain()).await, Clock::default(), MemorySpool::new());
        let house = House::new().route_to("bank.example", &[bank]).route("shop.example", &[&sender]).partner("bank.example", "\"require\"");
        let relay = house.clock(&clock).start_with(spool.clone()).await;
        let mut client = Client::secure(relay.address).await;
        for number in 0..3 {
            client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
        }
        relay.first(EventKind::Deferred, "bob@bank.example").await;
        clock.advance(4 * HOUR - Duration::from_secs(60));
        retry_all(&relay).await;
        relay.wait(EventKind::Deferred, "bob@bank.example", 2).await;
        assert_eq!(sender.count(), 0, "not yet");
        clock.advance(Duration::from_secs(61));
        retry_all(&relay).await;
        for notification in sender.messages(3).await {
            let text = notification.text();
            assert!(text.contains("Action: delayed") && text.contains(words) && text.contains("Will-Retry-Until:"), "{text}");
        }
        for _ in 0..3 {
            clock.advance(12 * HOUR);
            let before = relay.count(EventKind::Deferred);
            retry_all(&relay).await;
            relay
                .when("a further attempt", |events| events.iter().filter(|event| event.kind == EventKind::Deferred).count() > before)
                .await;
        }
        waiting(&spool, 3).await;
        assert_eq!(sender.count(), 3, "each once");
        drop(client);
        relay.shutdown().await;
    }
}

/// Time is an argument: a week of retries, on the schedule that is the default.
// req: B9
#[tokio::test]
async fn a_week_of_retries() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
    let (clock, spool) = (Clock::default(), MemorySpool::new());
    let mut house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).partner("bank.example", "\"require\"");
    house.config.queue = sealpost_relay::config::Queue::default();
    let relay = house.clock(&clock).start_with(spool.clone()).await;
    Client::secure(relay.address).await.send(FROM, &["bob@bank.example"], &letter("a week")).await;
    let mut attempts = 1;
    while relay.count(EventKind::Expired) == 0 {
        relay.wait(EventKind::CheckTls, "bob@bank.example", attempts).await;
        let over = |events: &[Arc<sealpost_report::Event>]| {
            let ends = |event: &&Arc<sealpost_report::Event>| matches!(event.kind, EventKind::Deferred | EventKind::Expired);
            events.iter().filter(ends).count() >= attempts
        };
        let last = relay.when("end of the attempt", over).await;
        let Some(deferred) = last.iter().rfind(|event| event.kind == EventKind::Deferred || event.kind == EventKind::Expired) else {
            break;
        };
        let Some(next) = deferred.next_attempt else { break };
        clock.advance(next.since(deferred.at) + Duration::from_millis(1));
        // The clock was moved behind the relay's back.
        spool.retry_now(sealpost_queue::Selector::Id(spool.next_id()), deferred.at).await.unwrap();
        attempts += 1;
        assert!(attempts < 80, "{attempts}");
    }
    assert!((40..=55).contains(&attempts), "{attempts} attempts in a week");
    let actions: Vec<_> = sender.messages(2).await.iter().map(|message| message.text().contains("Action: delayed")).collect();
    assert_eq!(actions, [true, false], "late after 4 hours, failed after a week");
    waiting(&spool, 0).await;
    relay.shutdown().await;
}
