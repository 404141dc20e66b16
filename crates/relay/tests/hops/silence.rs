//! A destination that does not answer is asked now and then, not once for each message.

use std::sync::Arc;
use std::time::Duration;

use sealpost_report::{Event, EventKind};

use crate::support::{Behaviour, Client, House, Mx, free_address, letter};

const FROM: &str = "ann@shop.example";

#[tokio::test]
async fn two_hundred_messages_for_a_dead_host_are_a_few_attempts() {
    let (address, other) = (free_address(), Mx::start(Behaviour::plain()).await);
    let house = House::new().retry(Duration::from_millis(300)).route_to("bank.example", &[address]).route("other.example", &[&other]);
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    for number in 0..200 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
    }
    // A dead destination holds up no other.
    client.send(FROM, &["cat@other.example"], &letter("meanwhile")).await;
    other.message().await;
    drop(client);
    // Over a second, in which each message would have been due three times.
    let long_enough = |events: &[Arc<Event>]| {
        let mut attempts = events.iter().filter(|event| event.kind == EventKind::Attempt).map(|event| event.at);
        attempts.next().zip(attempts.next_back()).is_some_and(|(first, last)| last.since(first) > Duration::from_secs(1))
    };
    relay.when("attempt after a second", long_enough).await;
    let attempts = relay.count(EventKind::Attempt);
    assert!(attempts < 20, "{attempts} attempts for 200 messages");

    let bank = Mx::start_at(address, Behaviour::plain()).await;
    relay.wait(EventKind::Delivered, "bob@bank.example", 200).await;
    let attempts = relay.count(EventKind::Attempt);
    assert!(attempts < 30, "{attempts} attempts for 200 messages");
    assert_eq!(bank.count(), 200);
    relay.shutdown().await;
}

/// The negative control: a host that answers and says no each time is asked for each message.
#[tokio::test]
async fn a_host_that_answers_is_asked_for_each_message() {
    let bank = Mx::start(Behaviour::plain().answering("RCPT", "450 4.2.1 busy")).await;
    let relay = House::new().route("bank.example", &[&bank]).start().await;
    let mut client = Client::secure(relay.address).await;
    for number in 0..30 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
    }
    drop(client);
    bank.when("30 tries", |record| record.commands.iter().filter(|(_, _, line)| line.starts_with("RCPT")).count() >= 30, |_| ()).await;
    bank.change(Behaviour::plain());
    bank.messages(30).await;
    relay.shutdown().await;
}
