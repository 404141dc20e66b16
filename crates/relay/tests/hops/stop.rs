//! A relay that stops, and starts again on the same data: nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sealpost_queue::Spool as _;
use sealpost_report::EventKind;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Behaviour, Body, Client, House, Message, Mx, PATIENCE, letter, open_spool};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

fn house(bank: &Mx) -> House {
    let mut house = House::new().route("bank.example", &[bank]);
    house.config.delivery.connections_per_destination = 2;
    house
}

fn subjects(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(|message| message.fields("Subject").remove(0)).collect()
}

#[tokio::test]
async fn an_orderly_stop_finishes_what_is_under_way_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
    let spool = open_spool(folder.path()).await;
    let relay = house(&bank).start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    let all: BTreeSet<String> = (0..20).map(|number| format!("number {number}")).collect();
    for subject in &all {
        client.send(FROM, &[TO], &letter(subject)).await;
    }
    bank.when("two are under way", |record| record.held == 2, |_| ()).await;
    drop(client);

    let address = relay.address;
    let stopping = tokio::spawn(relay.shutdown());
    let given_back = async {
        while spool.stats().await.unwrap().leased != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("what was not begun is given back to the queue");
    assert!(TcpStream::connect(address).await.is_err(), "nobody is let in any more");
    bank.change(Behaviour::plain());
    stopping.await.unwrap();
    assert_eq!(bank.count(), 2, "what was under way is finished, and nothing is begun");
    drop(spool);

    let relay = house(&bank).start_with(open_spool(folder.path()).await).await;
    let messages = bank.messages(20).await;
    relay.shutdown().await;
    assert_eq!(subjects(&messages), all);
    assert_eq!(bank.count(), 20, "each once");
}

/// A server that never answers does not hold up the end, and the queue is free for the next relay.
#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
    let relay = house(&bank).start_with(open_spool(folder.path()).await).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("patience")).await;
    bank.when("it is under way", |record| record.held == 1, |_| ()).await;
    let began = Instant::now();
    relay.handle.shutdown(Duration::from_millis(200)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let spool = open_spool(folder.path()).await;
    bank.when("the connection is closed", |record| record.ended == record.sessions, |_| ()).await;
    bank.change(Behaviour::plain());
    let relay = house(&bank).start_with(spool).await;
    relay.first(EventKind::Delivered, TO).await;
    assert_eq!(bank.count(), 1);
    relay.shutdown().await;
}

/// Without a shutdown too: what was acknowledged is durable.
#[tokio::test]
async fn a_relay_that_is_dropped_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
    let relay = house(&bank).start_with(open_spool(folder.path()).await).await;
    let mut client = Client::secure(relay.address).await;
    let all: BTreeSet<String> = (0..10).map(|number| format!("number {number}")).collect();
    for subject in &all {
        client.send(FROM, &[TO], &letter(subject)).await;
    }
    bank.when("two are under way", |record| record.held == 2, |_| ()).await;
    drop(client);
    drop(relay);
    let spool = open_spool(folder.path()).await;
    bank.when("the connections of the first are gone", |record| record.held == 0, |_| ()).await;
    bank.change(Behaviour::plain());
    let relay = house(&bank).start_with(spool).await;
    assert_eq!(subjects(&bank.messages(10).await), all);
    relay.shutdown().await;
    assert_eq!(bank.count(), 10, "each once: what was under way had no answer");
}

/// A client in the middle of its message gets to finish it.
#[tokio::test]
async fn an_orderly_stop_lets_a_client_finish() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = house(&bank).start_with(open_spool(folder.path()).await).await;
    let mut client = Client::secure(relay.address).await;
    for line in ["MAIL FROM:<ann@shop.example>", "RCPT TO:<bob@bank.example>"] {
        assert!(client.say(line).await.starts_with("250 "));
    }
    assert!(client.say("DATA").await.starts_with("354 "));
    let address = relay.address;
    let stopping = tokio::spawn(relay.shutdown());
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("nobody else is let in");
    client.send_octets(&letter("the last one")).await;
    client.send_octets(b".\r\n").await;
    let reply = client.reply().await;
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    assert!(client.reply().await.starts_with("421 4.3.2 "));
    stopping.await.unwrap();

    let relay = house(&bank).start_with(open_spool(folder.path()).await).await;
    assert!(bank.message().await.text().contains("the last one"));
    relay.shutdown().await;
}
