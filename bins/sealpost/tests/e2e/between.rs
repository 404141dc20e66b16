//! The relay dies between the next server's 250 and its own record of it: that message goes out twice, and nothing else does.

use std::path::Path;
use std::time::{Duration, Instant};

use sealpost_store::rusqlite::Connection;

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";

fn send(house: &House, relay: &Relay, to: &[&str]) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, to, message("counted").as_bytes()).unwrap().code, 250);
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until nothing is left in the queue.
fn empty(house: &House) {
    until("an empty queue", || house.says(&["queue", "list", "--json"], 0).lines().all(|line| !line.starts_with('{')));
}

/// Keeps the relay from recording anything for as long as it lives: the database has one writer at a time.
fn hold_the_writer(queue: &Path) -> Connection {
    let db = Connection::open(queue.join("queue.db")).unwrap();
    db.busy_timeout(LIMIT).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    db
}

/// Bodies that began to come.
fn bodies(sink: &Sink) -> usize {
    sink.said().iter().filter(|said| said.line.starts_with("BDAT") || said.line.starts_with("DATA")).count()
}

/// How often the recipient was served.
fn served(sink: &Sink, to: &str) -> usize {
    sink.messages().iter().filter(|message| message.to.iter().any(|recipient| recipient == to)).count()
}

fn slow() -> Behaviour {
    Behaviour { slow: Duration::from_millis(1500), ..Behaviour::new(StartTls::Absent) }
}

/// Ten messages are delivered and recorded; of the eleventh the server's 250 has come, and the relay is killed before or after it has
/// recorded that.
fn killed_after_the_250(is_recorded: bool) -> [usize; 2] {
    let (shop, bank) = (Sink::start(Behaviour::new(StartTls::Absent)), Sink::start(slow()));
    let house = House::new().route("shop.example", shop.address).route("bank.example", bank.address);
    let relay = house.start();
    for number in 0..10 {
        send(&house, &relay, &[&format!("r{number}@shop.example")]);
    }
    shop.wait_for(10, LIMIT);
    empty(&house);
    send(&house, &relay, &["teller@bank.example"]);
    until("the body", || bodies(&bank) == 1);
    let held = (!is_recorded).then(|| hold_the_writer(&house.file("data/queue")));
    until("the 250", || relay.log().lines().any(|line| line.contains("delivered") && line.contains("teller@bank.example")));
    if is_recorded {
        empty(&house);
    }
    relay.kill();
    drop(held);
    let _relay = house.start_again();
    empty(&house);
    let each: Vec<_> = (0..10).map(|number| served(&shop, &format!("r{number}@shop.example"))).collect();
    assert_eq!(each, [1; 10], "what was recorded is not sent again");
    [bank.message_count(), shop.message_count()]
}

// req: A8
#[test]
fn what_was_not_recorded_is_sent_exactly_twice() {
    assert_eq!(killed_after_the_250(false), [2, 10]);
}

/// The negative control: once it is recorded, a kill costs nothing.
// req: A8
#[test]
fn what_was_recorded_is_sent_once() {
    assert_eq!(killed_after_the_250(true), [1, 10]);
}

/// Of the recipients of one message, the first was recorded long ago, the second's 250 is lost with the relay, the third's turn has not come.
// req: A8
#[test]
fn of_several_recipients_only_the_one_in_between_is_served_twice() {
    let busy = |refused| Behaviour { refuse: Some((refused, "450 4.2.1 Busy")), ..slow() };
    let bank = Sink::start(busy("RCPT TO:<later"));
    let house = House::new().route("bank.example", bank.address);
    let relay = house.start();
    send(&house, &relay, &["now@bank.example", "later1@bank.example", "later2@bank.example"]);
    bank.wait_for(1, LIMIT);
    let recipients = |listed: &str| listed.matches("\"address\":\"later").count();
    until("the record of the first", || recipients(&house.says(&["queue", "list", "--json"], 0)) == 2);
    relay.kill();

    bank.change(busy("RCPT TO:<later2@"));
    let relay = house.start_again();
    until("the second body", || bodies(&bank) == 2);
    let held = hold_the_writer(&house.file("data/queue"));
    until("the second 250", || relay.log().lines().any(|line| line.contains("delivered") && line.contains("later1@bank.example")));
    relay.kill();
    drop(held);

    bank.change(Behaviour::new(StartTls::Absent));
    let _relay = house.start_again();
    empty(&house);
    let counts = ["now", "later1", "later2"].map(|name| served(&bank, &format!("{name}@bank.example")));
    assert_eq!(counts, [1, 2, 1]);
}
