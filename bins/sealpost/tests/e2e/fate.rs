//! How mail ends that cannot be delivered: tried again, bounced, or deleted, as the policy says.

use std::thread;
use std::time::Duration;

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Message, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "teller@bank.example";

/// One message from `from` for a bank that behaves so; the second sink gets what goes back to the sender.
fn sent(from: &str, policy: &str, behaviour: Behaviour) -> (House, Relay, Sink, Sink) {
    let (bank, sender) = (Sink::start(behaviour), Sink::start(Behaviour::new(StartTls::Absent)));
    let house = House::new().route("bank.example", bank.address).route("sender.example", sender.address).policy(policy);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(from, &[TO], message("fate").as_bytes()).unwrap().code, 250);
    (house, relay, bank, sender)
}

fn expiring(on_expiry: &str) -> String {
    format!(
        "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\n\
         deliver = {{ level = \"require\", lifetime = \"3s\", on_expiry = \"{on_expiry}\" }}\n"
    )
}

fn is_notification(message: &Message) -> String {
    assert_eq!((message.from.as_str(), message.to.as_slice()), ("", [FROM.to_owned()].as_slice()));
    let text = String::from_utf8_lossy(&message.content).into_owned();
    for words in ["multipart/report", "report-type=delivery-status", "Reporting-MTA: dns;relay.test", "Action: failed", TO] {
        assert!(text.replace("; ", ";").contains(words), "no {words:?} in\n{text}");
    }
    text
}

// req: B9
#[test]
fn what_expires_for_want_of_tls_bounces() {
    let (house, _relay, bank, sender) = sent(FROM, &expiring("bounce"), Behaviour::new(StartTls::Absent));
    let text = is_notification(&sender.wait_for(1, LIMIT)[0]);
    assert!(text.contains("TLS"), "the reason is missing:\n{text}");
    assert!(bank.mail_in_clear().is_empty());
    house.wait_for_history(&["Processing: Check TLS", TO], LIMIT);
}

// req: A8 A9
#[test]
fn what_expires_for_want_of_tls_is_deleted_where_the_policy_says_so() {
    let (house, _relay, bank, sender) = sent(FROM, &expiring("delete"), Behaviour::new(StartTls::Absent));
    let history = house.wait_for_history(&["deleted-by-tls-policy", TO], LIMIT);
    assert!(history.contains("Processing: Check TLS"), "{history}");
    let shown = house.run(&["history"]);
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("deleted because of the TLS policy"),
        "{}",
        String::from_utf8_lossy(&shown.stdout)
    );
    // The end stands last: the newest entry is the deletion.
    let last = house.run(&["history", "--json", "--limit", "1"]);
    assert!(String::from_utf8_lossy(&last.stdout).contains("deleted-by-tls-policy"), "{}", String::from_utf8_lossy(&last.stdout));
    let german = house.run(&["history", "--lang", "de"]);
    assert!(String::from_utf8_lossy(&german.stdout).contains("TLS prüfen"), "{}", String::from_utf8_lossy(&german.stdout));
    thread::sleep(Duration::from_secs(2));
    assert_eq!((bank.message_count(), sender.message_count()), (0, 0));
}

/// A notification is never answered with another one.
#[test]
fn a_notification_that_expires_is_not_answered() {
    let (house, _relay, _bank, sender) = sent("", &expiring("bounce"), Behaviour::new(StartTls::Absent));
    house.wait_for_history(&["Processing: Check TLS", TO], LIMIT);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(sender.session_count(), 0);
}

#[test]
fn a_refused_recipient_bounces_at_once() {
    let refusing = Behaviour { refuse: Some(("RCPT", "550 5.1.1 Nobody of that name")), ..Behaviour::new(StartTls::Absent) };
    let (_house, _relay, bank, sender) = sent(FROM, "", refusing);
    let text = is_notification(&sender.wait_for(1, LIMIT)[0]);
    assert!(text.contains("Nobody of that name") && text.contains("Status: 5.1.1"), "{text}");
    assert_eq!(bank.message_count(), 0);
}

#[test]
fn a_recipient_put_off_is_tried_again() {
    let busy = Behaviour { refuse: Some(("RCPT", "450 4.2.1 Later")), ..Behaviour::new(StartTls::Absent) };
    let (_house, _relay, bank, sender) = sent(FROM, "", busy);
    bank.wait_for_sessions(2, LIMIT);
    bank.change(Behaviour::new(StartTls::Absent));
    bank.wait_for(1, LIMIT);
    assert_eq!(sender.session_count(), 0);
}

/// A 5xx greeting means another host or later, not a bounce.
#[test]
fn a_refusing_greeting_is_tried_again() {
    let closed = Behaviour { refuse: Some(("", "554 5.3.2 Not today")), ..Behaviour::new(StartTls::Absent) };
    let (_house, _relay, bank, sender) = sent(FROM, "", closed);
    bank.wait_for_sessions(2, LIMIT);
    bank.change(Behaviour::new(StartTls::Absent));
    bank.wait_for(1, LIMIT);
    assert_eq!(sender.session_count(), 0);
}
