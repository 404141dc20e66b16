//! SIGTERM: what is in flight is finished, what waits stays, and nothing is lost.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, stuffed};
use crate::content::{message, split_received};
use crate::relay::{House, free_address};
use crate::sink::{Behaviour, Sink};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";

fn house_before(slow: Duration) -> (House, Sink) {
    let house = House::new();
    let behaviour = Behaviour { slow, ..Behaviour::offering(&house.authority.issue(&["sink.test"])) };
    let sink = Sink::start(behaviour);
    (house.route("*", sink.address), sink)
}

#[test]
fn a_delivery_in_flight_is_finished() {
    let (house, sink) = house_before(Duration::from_secs(2));
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &[TO], message("flight").as_bytes()).unwrap().code, 250);
    client.quit();
    sink.wait_for_line("MAIL", LIMIT);
    relay.terminate();
    let status = relay.wait(LIMIT);
    assert!(status.success(), "{status:?}");
    assert_eq!(sink.message_count(), 1);
    // It was settled: the next start does not send it again.
    let relay = house.start_again();
    thread::sleep(Duration::from_secs(3));
    drop(relay);
    assert_eq!(sink.message_count(), 1);
}

#[test]
fn a_transaction_in_flight_is_finished_or_refused() {
    let (house, sink) = house_before(Duration::ZERO);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.envelope(FROM, &[TO]).unwrap();
    let sent = message("transaction");
    let wire = stuffed(sent.as_bytes());
    let (first, rest) = wire.split_at(wire.len() / 2);
    client.wire.send(first).unwrap();
    thread::sleep(Duration::from_millis(200));
    relay.terminate();
    thread::sleep(Duration::from_millis(300));
    let taken = client.wire.send(rest).and_then(|()| client.reply()).is_ok_and(|reply| reply.code == 250);
    let status = relay.wait(LIMIT);
    assert!(status.success(), "{status:?}");
    let relay = house.start_again();
    if taken {
        let arrived = sink.wait_for(1, LIMIT);
        assert_eq!(String::from_utf8(split_received(&arrived[0].content).1).unwrap(), sent);
    } else {
        thread::sleep(Duration::from_secs(2));
        assert_eq!(sink.message_count(), 0, "half a message was sent on");
    }
    drop(relay);
}

#[test]
fn an_idle_session_does_not_hold_up_the_end() {
    let (house, _sink) = house_before(Duration::ZERO);
    let relay = house.start();
    let mut idle = Client::secure(relay.address, &house.authority.client()).unwrap();
    let start = Instant::now();
    relay.terminate();
    let status = relay.wait(LIMIT);
    assert!(status.success(), "{status:?}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    if let Ok(reply) = idle.reply() {
        assert_eq!(reply.code, 421);
    }
}

/// SIGHUP used to end the relay at once, in the middle of everything.
#[test]
fn a_hangup_ends_nothing() {
    let (house, sink) = house_before(Duration::ZERO);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    relay.hang_up();
    let end = Instant::now() + LIMIT;
    while !relay.log().contains("a policy is in force") {
        assert!(Instant::now() < end, "nothing is said of it");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.send(FROM, &[TO], message("hangup").as_bytes()).unwrap().code, 250);
    sink.wait_for(1, LIMIT);
    relay.terminate();
    assert!(relay.wait(LIMIT).success());
}

#[test]
fn what_waits_is_there_after_the_restart() {
    let address = free_address();
    let house = House::new().route("*", address);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for number in 0..20 {
        assert_eq!(client.send(FROM, &[TO], message(&number.to_string()).as_bytes()).unwrap().code, 250);
    }
    relay.terminate();
    assert!(relay.wait(LIMIT).success());
    let sink = Sink::start_at(address, Behaviour::offering(&house.authority.issue(&["sink.test"])));
    let relay = house.start_again();
    sink.wait_for(20, LIMIT);
    drop(relay);
    assert_eq!(sink.message_count(), 20);
}
