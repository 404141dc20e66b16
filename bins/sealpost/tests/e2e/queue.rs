//! `sealpost queue`: what waits is listed, shown, tried, held, let go and deleted, by the running relay or without one.

use std::time::Duration;

use crate::authority::Identity;
use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";

/// A bank without TLS, for which TLS is required, and a shop that is busy; both tried once an hour.
fn house() -> (House, [Sink; 2]) {
    let busy = Behaviour { refuse: Some(("RCPT", "450 4.2.1 Mailbox busy")), ..Behaviour::new(StartTls::Absent) };
    let sinks = [Sink::start(Behaviour::new(StartTls::Absent)), Sink::start(busy)];
    let house = House::new().route("bank.example", sinks[0].address).route("shop.example", sinks[1].address);
    let house = house.policy("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = { level = \"require\", retry = \"1h\" }\n[defaults]\nretry = \"1h\"\n");
    (house, sinks)
}

fn send(house: &House, relay: &Relay, to: &[&str]) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, to, message("waits").as_bytes()).unwrap().code, 250);
}

/// The entries of the queue, when there are so many that wait.
fn entries(house: &House, options: &[&str], waiting: usize) -> Vec<serde_json::Value> {
    let end = std::time::Instant::now() + LIMIT;
    loop {
        let text = house.says(&[&["queue", "list", "--json"], options].concat(), 0);
        let entries: Vec<serde_json::Value> =
            text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
        if entries.len() == waiting && entries.iter().all(|entry| entry["state"] != "fresh" && entry["under_way"] == false) {
            return entries;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Each command through the API of the running relay.
#[test]
fn the_queue_of_a_running_relay() {
    let (house, [bank, shop]) = house();
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example"]);
    send(&house, &relay, &["clerk@shop.example"]);
    let both = entries(&house, &[], 2);
    let [id, other] = [text(&both[0]["id"]), text(&both[1]["id"])];
    assert_eq!((both[0]["sender"].as_str(), both[0]["recipients"][0]["address"].as_str()), (Some(FROM), Some("teller@bank.example")));
    assert_eq!((both[0]["recipients"][0]["tls_failed"].as_bool(), both[0]["attempts"].as_u64()), (Some(true), Some(1)));

    let listed = house.says(&["queue", "list"], 0);
    for words in [
        &id,
        &other,
        "deferred, due in ",
        "from <alice@sender.example>",
        "to <teller@bank.example>",
        "does not offer STARTTLS",
        "Mailbox busy",
    ] {
        assert!(listed.contains(words), "{words} is missing in\n{listed}");
    }
    for (options, found) in [
        (vec!["--destination", "shop.example"], vec![]),
        (vec!["--sender", "alice@sender.example", "--reason", "starttls"], vec![&id]),
        (vec!["--sender", "<>"], vec![]),
        (vec!["--older", "1h"], vec![]),
        (vec!["--older", "0s", "--limit", "1"], vec![&id]),
        (vec!["--after", &id], vec![&other]),
        (vec!["--state", "held"], vec![]),
    ] {
        let ids: Vec<_> = entries(&house, &options, found.len()).iter().map(|entry| text(&entry["id"])).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), found, "{options:?}");
    }
    let route = format!("{}", shop.address);
    assert_eq!(entries(&house, &["--destination", &route], 1)[0]["id"].as_str(), Some(other.as_str()));

    house.wait_for_history(&["Processing: Check TLS", &id], LIMIT);
    let shown = house.says(&["queue", "show", &id], 0);
    for words in
        ["partner \"Bank\"", "policy.toml:1", "TLS mandatory", "-> next hop", "Processing: Check TLS", "Mail was received", "tried once"]
    {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    let shown: serde_json::Value = serde_json::from_str(&house.says(&["queue", "show", &id, "--json"], 0)).unwrap();
    assert_eq!((shown["entry"]["id"].as_str(), shown["outlook"][0]["trace"]["level"].as_str()), (Some(id.as_str()), Some("require")));
    assert!(shown["history"].as_array().is_some_and(|events| events.len() >= 3), "{shown}");

    let stats: serde_json::Value = serde_json::from_str(&house.says(&["queue", "stats", "--json"], 0)).unwrap();
    assert_eq!((stats["deferred"].as_u64(), stats["held"].as_u64()), (Some(2), Some(0)));
    assert!(house.says(&["queue", "stats"], 0).lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["deferred", "2"]));

    // Held: not tried by anything but a release.
    assert_eq!(house.says(&["queue", "hold", "--destination", &format!("{}", bank.address)], 0), "held: 1 entry\n");
    bank.change(Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])));
    assert_eq!(house.says(&["queue", "retry", "--all"], 0), "tried again: 1 entry\n");
    shop.wait_for_sessions(2, LIMIT);
    assert_eq!(bank.message_count(), 0);
    assert_eq!(text(&entries(&house, &["--state", "held"], 1)[0]["id"]), id);
    assert_eq!(house.says(&["queue", "release", &id], 0), "let go: 1 entry\n");
    bank.wait_for(1, LIMIT);

    // Deleted: only when somebody says yes.
    entries(&house, &[], 1);
    house.says(&["queue", "delete", &other], 1);
    assert_eq!(entries(&house, &[], 1).len(), 1);
    assert_eq!(house.says(&["queue", "delete", &other, "--yes"], 0), "deleted: 1 entry\n");
    house.says(&["queue", "delete", &other, "--yes"], 1);
    house.says(&["queue", "show", &other], 1);
    let history = house.wait_for_history(&["Mail was removed from the queue", &other], LIMIT);
    for title in ["Mail is held until somebody lets it go", "Mail was let go and is tried again"] {
        assert!(history.contains(title), "{title} is missing in\n{history}");
    }
}

/// The same straight in the store, where no relay runs; what was done holds when it starts.
#[test]
fn the_queue_of_a_relay_that_does_not_run() {
    let (house, [bank, shop]) = house();
    house.write();
    assert_eq!(entries(&house, &[], 0).len(), 0);
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example", "clerk@shop.example"]);
    send(&house, &relay, &["second@bank.example"]);
    let ids: Vec<_> = entries(&house, &[], 3).iter().map(|entry| (text(&entry["id"]), text(&entry["message"]))).collect();
    relay.terminate();
    relay.wait(LIMIT);

    assert_eq!(entries(&house, &["--sender", FROM], 3).len(), 3);
    let shown = house.says(&["queue", "show", &ids[0].1], 0);
    assert!(
        shown.contains("teller@bank.example") && shown.contains("clerk@shop.example") && !shown.contains("second@bank.example"),
        "{shown}"
    );
    let held = house.says(&["queue", "hold", "--reason", "Mailbox BUSY"], 0);
    assert!(held.starts_with("held: 1 entry (no relay runs"), "{held}");
    let deleted = house.says(&["queue", "delete", &ids[2].0, "--yes", "--json"], 0);
    assert_eq!(deleted, "{\"done\":1,\"under_way\":0,\"unfit\":0,\"missing\":[]}\n");
    house.says(&["queue", "retry"], 1);
    house.says(&["queue", "retry", "--all", &ids[0].0], 1);
    house.says(&["queue", "retry", "--all"], 0);

    bank.change(Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])));
    shop.change(Behaviour::new(StartTls::Absent));
    let _relay = house.start_again();
    assert_eq!(bank.wait_for(1, LIMIT)[0].to, ["teller@bank.example"]);
    house.wait_for_history(&["Mail was removed from the queue"], LIMIT);
    assert_eq!(text(&entries(&house, &[], 1)[0]["state"]), "held");
    assert_eq!((bank.message_count(), shop.message_count()), (1, 0));
}

/// One of two recipients is served; then the relay is killed. The other one is served after the restart, and nobody twice.
// req: A8
#[test]
fn after_a_kill_each_recipient_is_served_once() {
    let busy = Behaviour { refuse: Some(("RCPT TO:<later@", "450 4.2.1 Busy")), ..Behaviour::new(StartTls::Absent) };
    let bank = Sink::start(busy);
    let house = House::new().route("bank.example", bank.address);
    let relay = house.start();
    send(&house, &relay, &["now@bank.example", "later@bank.example"]);
    assert_eq!(bank.wait_for(1, LIMIT)[0].to, ["now@bank.example"]);
    let rest = &entries(&house, &[], 1)[0];
    assert_eq!(rest["recipients"].as_array().unwrap().len(), 1, "{rest}");
    relay.kill();
    bank.change(Behaviour::new(StartTls::Absent));
    let relay = house.start_again();
    assert_eq!(bank.wait_for(2, LIMIT)[1].to, ["later@bank.example"]);
    entries(&house, &[], 0);
    relay.kill();
    let _relay = house.start_again();
    assert_eq!(entries(&house, &[], 0).len(), 0);
    assert_eq!(bank.message_count(), 2);
}

/// A ping that finds the servers in order wakes what waits for them, and nothing else; one that fails wakes nothing.
// req: A7 A8
#[test]
fn a_ping_that_passes_wakes_what_waits() {
    let (house, [bank, shop]) = house();
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example"]);
    send(&house, &relay, &["clerk@shop.example"]);
    entries(&house, &[], 2);
    let tested = || house.run(&["domains", "test", "Bank"]);
    let failed = tested();
    assert_eq!((failed.status.code(), String::from_utf8(failed.stderr).unwrap().as_str()), (Some(1), ""));
    bank.change(Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])));
    let passed = tested();
    let said = String::from_utf8(passed.stderr).unwrap();
    assert_eq!((passed.status.code(), said.as_str()), (Some(0), "bank.example: 1 message that waits is tried now\n"));
    bank.wait_for(1, LIMIT);
    assert_eq!(entries(&house, &[], 1)[0]["attempts"].as_u64(), Some(1));
    assert_eq!(shop.session_count(), 1);
}

/// The ping made for an entry that is added does so too, though what is asked of the domain stays the same.
// req: A7 A8
#[test]
fn the_ping_of_an_entry_that_is_added_wakes_what_waits() {
    let (house, [_bank, shop]) = house();
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example"]);
    send(&house, &relay, &["clerk@shop.example"]);
    entries(&house, &[], 2);
    shop.change(Behaviour::offering(&Identity::self_signed(&["mx.shop.example"])));
    let level = "deliver=opportunistic";
    let added = house.run(&["domains", "add", "shop.example", level, "--dry-run"]);
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    assert_eq!(shop.message_count(), 0, "nothing is added");
    let added = house.run(&["domains", "add", "shop.example", level]);
    let said = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.success() && said.contains("shop.example: 1 message that waits is tried now"), "{said}");
    shop.wait_for(1, LIMIT);
    assert_eq!(entries(&house, &[], 1)[0]["attempts"].as_u64(), Some(1));
}
