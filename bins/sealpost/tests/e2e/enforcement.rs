//! Mail that must travel over TLS does so on both hops, or it does not travel, and the history says why.

use std::thread;
use std::time::{Duration, Instant};

use crate::authority::Identity;
use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const REQUIRE: &str = "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\nreceive = \"require\"\ndeliver = \"require\"\n";
const VERIFY: &str =
    "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliver = { level = \"verify\", names = [\"mx.bank.example\"] }\n";
const OPPORTUNISTIC: &str =
    "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\nreceive = \"opportunistic\"\ndeliver = \"opportunistic\"\n";

/// A relay with this policy before a bank's server, and one message for the bank handed in over TLS.
fn mail_for_the_bank(policy: &str, behaviour: Behaviour, house: House) -> (House, Relay, Sink) {
    let sink = Sink::start(behaviour);
    let house = house.route("bank.example", sink.address).policy(policy);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    let reply = client.send("alice@sender.example", &["teller@bank.example"], message("bank").as_bytes()).unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    client.quit();
    (house, relay, sink)
}

/// The bank's server fails in this way: nothing reaches it in clear, the mail stays, and it goes out once the server is right.
fn held_until_right(policy: &str, wrong: impl FnOnce(&House) -> Behaviour, words: &[&str]) {
    let house = House::new();
    let wrong = wrong(&house);
    let (house, relay, sink) = mail_for_the_bank(policy, wrong, house);
    let history = house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
    for word in words {
        assert!(history.to_ascii_lowercase().contains(&word.to_ascii_lowercase()), "no {word:?} in the history:\n{history}");
    }
    // A second attempt goes no further than the first.
    let sessions = sink.session_count();
    sink.wait_for_sessions(sessions + 1, LIMIT);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.message_count(), 0);
    let said = sink.said();
    assert!(!said.iter().any(|said| ["MAIL", "RCPT", "DATA", "BDAT"].iter().any(|verb| said.line.starts_with(verb))), "{said:#?}");
    // The right certificate, the same policy, the same queue.
    sink.change(Behaviour::offering(&house.authority.issue(&["mx.bank.example"])));
    let messages = sink.wait_for(1, LIMIT);
    assert!(messages[0].tls.is_some());
    assert!(String::from_utf8_lossy(&messages[0].content).ends_with(&message("bank")));
    assert!(sink.mail_in_clear().is_empty());
    house.wait_for_history(&["teller@bank.example", "TLSv1.3", "delivered"], LIMIT);
    drop(relay);
    assert_eq!(sink.message_count(), 1);
}

// req: A5 A8 A9
#[test]
fn require_without_starttls_holds_the_mail() {
    held_until_right(REQUIRE, |_| Behaviour::new(StartTls::Absent), &["STARTTLS"]);
}

// req: A5 A8 A9
#[test]
fn require_with_454_to_starttls_holds_the_mail() {
    held_until_right(REQUIRE, |_| Behaviour::new(StartTls::Refused), &["454"]);
}

// req: A5 A8 A9
#[test]
fn require_with_a_broken_handshake_holds_the_mail() {
    held_until_right(REQUIRE, |_| Behaviour::new(StartTls::Broken), &[]);
}

/// What stands in clear behind the 220 may come from anybody on the path; it ends the session.
// req: A5 A8
#[test]
fn a_reply_injected_behind_220_ends_the_session() {
    let injected = |house: &House| Behaviour::new(StartTls::Injected(house.authority.issue(&["mx.bank.example"]).server()));
    held_until_right(REQUIRE, injected, &[]);
}

/// `require` asks for TLS, not for a good certificate.
// req: B8
#[test]
fn require_takes_any_certificate() {
    let behaviour = Behaviour::offering(&Identity::self_signed(&["wrong.example"]));
    let (_house, _relay, sink) = mail_for_the_bank(REQUIRE, behaviour, House::new());
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
}

/// The negative control of all the above: under `opportunistic` the same server gets the mail in clear, and the record shows it.
// req: B1 B2
#[test]
fn opportunistic_sends_in_clear_where_tls_is_not_offered() {
    let (_house, _relay, sink) = mail_for_the_bank(OPPORTUNISTIC, Behaviour::new(StartTls::Absent), House::new());
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_none());
    assert!(!sink.mail_in_clear().is_empty());
}

/// With nothing configured, TLS is used where it is offered, whatever the certificate.
// req: B1 B2
#[test]
fn nothing_configured_uses_tls_where_offered() {
    let behaviour = Behaviour::offering(&Identity::self_signed(&["wrong.example"]));
    let (_house, _relay, sink) = mail_for_the_bank("", behaviour, House::new());
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
    assert!(sink.mail_in_clear().is_empty());
}

/// The fall-back of opportunistic TLS comes on a new connection.
// req: B2
#[test]
fn opportunistic_falls_back_on_a_new_connection() {
    let (_house, _relay, sink) = mail_for_the_bank(OPPORTUNISTIC, Behaviour::new(StartTls::Refused), House::new());
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_none());
    let mail = sink.mail_in_clear().first().unwrap().session;
    assert!(!sink.said().iter().any(|said| said.session == mail && said.line == "STARTTLS"), "{:#?}", sink.said());
}

// req: A5 D4
#[test]
fn a_partner_in_clear_gets_530_and_others_do_not() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["sink.test"])));
    let house = house.route("*", sink.address).policy(REQUIRE);
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    let refused = client.command("MAIL FROM:<teller@bank.example>").unwrap();
    assert!(refused.text.starts_with("530 5.7.0"), "{}", refused.text);
    // the same session may send what no policy concerns
    assert_eq!(client.send("alice@sender.example", &["bob@other.example"], message("clear").as_bytes()).unwrap().code, 250);
    // and the partner may, over TLS
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("teller@bank.example", &["bob@other.example"], message("secure").as_bytes()).unwrap().code, 250);
    let mut senders: Vec<_> = sink.wait_for(2, LIMIT).into_iter().map(|message| message.from).collect();
    senders.sort();
    assert_eq!(senders, ["alice@sender.example", "teller@bank.example"]);
}

// req: A5
#[test]
fn a_listener_at_require_takes_nothing_in_clear() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).listener("require");
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    let refused = client.command("MAIL FROM:<alice@sender.example>").unwrap();
    assert!(refused.text.starts_with("530 5.7.0"), "{}", refused.text);
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["bob@other.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
    sink.wait_for(1, LIMIT);
}

// req: B8 B9
#[test]
fn verify_refuses_a_self_signed_certificate() {
    held_until_right(VERIFY, |_| Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])), &["self"]);
}

// req: B8 B9
#[test]
fn verify_refuses_an_expired_certificate() {
    held_until_right(VERIFY, |house| Behaviour::offering(&house.authority.issue_expired(&["mx.bank.example"])), &["expired"]);
}

// req: B8 B9
#[test]
fn verify_refuses_a_certificate_for_another_name() {
    held_until_right(
        VERIFY,
        |house| Behaviour::offering(&house.authority.issue(&["mx.other.example"])),
        &["mx.other.example", "mx.bank.example"],
    );
}

/// The negative control of the three above: the same certificates pass where nobody verifies them.
// req: B8
#[test]
fn the_refused_certificates_pass_under_require() {
    let house = House::new();
    let identities = [
        Identity::self_signed(&["mx.bank.example"]),
        house.authority.issue_expired(&["mx.bank.example"]),
        house.authority.issue(&["mx.other.example"]),
    ];
    let sinks = identities.map(|identity| Sink::start(Behaviour::offering(&identity)));
    let domains = ["a.bank.example", "b.bank.example", "c.bank.example"];
    let routed = domains.iter().zip(&sinks).fold(house, |house, (domain, sink)| house.route(domain, sink.address));
    let house = routed.policy(REQUIRE);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for domain in domains {
        client.send("alice@sender.example", &[&format!("teller@{domain}")], b"Subject: x\r\n\r\nx\r\n").unwrap();
    }
    for sink in &sinks {
        assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
    }
}

/// A connection that was good enough for one mail is not used for another that demands more. The first two messages are the
/// negative control: the same server, the same policy file, and mail does flow.
// req: B8
#[test]
fn a_connection_is_not_reused_for_a_stricter_demand() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])));
    let house = house.route("*", sink.address).policy(VERIFY);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for (to, arrived) in [("bob@other.example", 1), ("bob@other.example", 2)] {
        client.send("alice@sender.example", &[to], message("easy").as_bytes()).unwrap();
        sink.wait_for(arrived, LIMIT);
    }
    client.send("alice@sender.example", &["teller@bank.example"], message("strict").as_bytes()).unwrap();
    house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
    client.send("alice@sender.example", &["bob@other.example"], message("easy").as_bytes()).unwrap();
    let all = sink.wait_for(3, LIMIT);
    assert!(all.iter().all(|message| message.to == ["bob@other.example"]), "{all:#?}");
}

/// A policy that was made stricter holds for mail that is queued already.
// req: A8
#[test]
fn a_stricter_policy_reaches_queued_mail() {
    let address = free_address();
    let house = House::new().route("bank.example", address).policy(OPPORTUNISTIC);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send("alice@sender.example", &["teller@bank.example"], message("queued").as_bytes()).unwrap();
    relay.kill();
    let house = house.policy(REQUIRE);
    let relay = house.start();
    let sink = Sink::start_at(address, Behaviour::new(StartTls::Absent));
    house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
    assert!(sink.mail_in_clear().is_empty());
    // the negative control: under the old policy, applied to what waits, the same mail goes out in clear
    relay.kill();
    let house = house.policy(OPPORTUNISTIC);
    let _relay = house.start();
    house.says(&["reload", "--apply-to-queue"], 0);
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_none());
}

/// One recipient's failure keeps nobody else's mail.
// req: A8
#[test]
fn a_held_message_holds_no_other() {
    let house = House::new();
    let (bank, other) = (Sink::start(Behaviour::new(StartTls::Absent)), Sink::start(Behaviour::new(StartTls::Absent)));
    let house = house.route("bank.example", bank.address).route("*", other.address).policy(REQUIRE);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    let to = ["teller@bank.example", "bob@other.example"];
    assert_eq!(client.send("alice@sender.example", &to, message("both").as_bytes()).unwrap().code, 250);
    assert_eq!(other.wait_for(1, LIMIT)[0].to, ["bob@other.example"]);
    assert_eq!(bank.message_count(), 0);
}

/// A partner whose server is away is no TLS failure; the mail goes out when it is back.
#[test]
fn a_server_that_is_away_is_tried_again() {
    let address = free_address();
    let house = House::new().route("*", address).policy(REQUIRE);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send("alice@sender.example", &["teller@bank.example"], message("away").as_bytes()).unwrap();
    thread::sleep(Duration::from_secs(2));
    let start = Instant::now();
    let sink = Sink::start_at(address, Behaviour::offering(&house.authority.issue(&["mx.bank.example"])));
    sink.wait_for(1, LIMIT);
    assert!(start.elapsed() < Duration::from_secs(15), "the retry came late");
    let history = house.history();
    assert!(!history.contains("Check TLS"), "{history}");
}
