//! Defects that other mail servers have or had, one test each: what they did, and that this relay does not.
//!
//! `docs/testing.md` has the whole table; those about MTA-STS and DANE lie beside their equipment.

use std::time::Duration;

use crate::authority::Identity;
use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";

fn send(house: &House, relay: &Relay, to: &[&str]) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, to, message(to[0]).as_bytes()).unwrap().code, 250);
}

fn partner(domain: &str, deliver: &str) -> String {
    format!("[[partner]]\ndomains = '{domain}'\nsubdomains = false\ndeliver = {deliver}\n")
}

/// A house beside a server of bank.example that does this, and one that gets what goes back to the sender.
fn beside_bank(policy: &str, behaviour: Behaviour) -> (House, Sink, Sink) {
    let (bank, sender) = (Sink::start(behaviour), Sink::start(Behaviour::new(StartTls::Absent)));
    let house = House::new().policy(policy).route("bank.example", bank.address).route("sender.example", sender.address);
    (house, bank, sender)
}

/// How often TLS failed so far.
fn failures(house: &House) -> usize {
    house.history().lines().filter(|line| line.contains("\"kind\":\"check-tls\"")).count()
}

fn wait_for_failures(house: &House, count: usize) {
    let end = std::time::Instant::now() + LIMIT;
    while failures(house) < count {
        assert!(std::time::Instant::now() < end, "{count} failures expected:\n{}", house.history());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Stalwart: STARTTLS that is missing where TLS is required, and a wrong certificate, were permanent failures. A host that is put in order a
/// minute later never got the mail.
// req: A8
#[test]
fn b4_tls_that_cannot_be_had_waits_and_bounces_nothing() {
    for (deliver, broken) in
        [("'require'", StartTls::Absent), ("'verify'", StartTls::Offered(Identity::self_signed(&["127.0.0.1"]).server()))]
    {
        let (house, bank, sender) = beside_bank(&partner("bank.example", deliver), Behaviour::new(broken));
        let relay = house.start();
        send(&house, &relay, &["teller@bank.example"]);
        wait_for_failures(&house, 2);
        assert_eq!((bank.message_count(), sender.message_count()), (0, 0), "{deliver}");
        bank.change(Behaviour::offering(&house.authority.issue(&["bank.example", "127.0.0.1"])));
        bank.wait_for(1, LIMIT);
        assert_eq!(sender.message_count(), 0, "{deliver}");
    }
}

/// The control of the test above: where an entry wants a bounce, this is how it is seen.
#[test]
fn control_b4_a_bounce_that_is_asked_for_is_seen() {
    let policy = partner("bank.example", "{ level = 'require', on_failure = 'bounce', bounce_after = 2 }");
    let (house, bank, sender) = beside_bank(&policy, Behaviour::new(StartTls::Absent));
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example"]);
    sender.wait_for(1, LIMIT);
    assert_eq!(bank.message_count(), 0);
    drop(relay);
}

/// Stalwart: REQUIRETLS was handed on where it was announced, and silently left out elsewhere. RFC 8689 section 4.2.1: it fails with 5.7.30.
// req: E4
#[test]
fn b5_requiretls_that_a_host_does_not_announce_goes_back() {
    for announced in [false, true] {
        let (house, bank, sender) = beside_bank("", Behaviour::new(StartTls::Absent));
        let offering = Behaviour::offering(&house.authority.issue(&["127.0.0.1"]));
        sender.change(offering.clone());
        bank.change(Behaviour { require_tls: announced, ..offering });
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        client.expect(&format!("MAIL FROM:<{FROM}> REQUIRETLS"), 250).unwrap();
        client.expect("RCPT TO:<teller@bank.example>", 250).unwrap();
        client.expect("DATA", 354).unwrap();
        client.wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        if announced {
            // the control
            bank.wait_for(1, LIMIT);
            assert!(bank.said().iter().any(|said| said.line.starts_with("MAIL") && said.line.contains("REQUIRETLS")), "{:?}", bank.said());
        } else {
            let notice = String::from_utf8(sender.wait_for(1, LIMIT)[0].content.clone()).unwrap();
            assert!(notice.contains("5.7.30"), "{notice}");
            assert!(!bank.said().iter().any(|said| said.line.starts_with("MAIL")), "{:?}", bank.said());
        }
    }
}

/// Stalwart: recipients of one destination travelled together, under the demand of the first.
// req: B6
#[test]
fn b6_each_recipient_has_its_own_demand_whoever_comes_first() {
    // Both domains are one server, whose certificate nobody vouches for.
    let policy = partner("bank.example", "'verify'") + &partner("shop.example", "'require'");
    for order in [["teller@bank.example", "clerk@shop.example"], ["clerk@shop.example", "teller@bank.example"]] {
        let (house, bank, _sender) = beside_bank(&policy, Behaviour::offering(&Identity::self_signed(&["127.0.0.1"])));
        let house = house.route("shop.example", bank.address);
        let relay = house.start();
        send(&house, &relay, &order);
        assert_eq!(bank.wait_for(1, LIMIT)[0].to, ["clerk@shop.example"], "{order:?}");
        house.wait_for_history(&["teller@bank.example", "\"kind\":\"check-tls\""], LIMIT);
        assert_eq!(bank.message_count(), 1, "{order:?}");
    }
}

/// The control of the test above: under one demand they do travel together.
#[test]
fn control_b6_recipients_of_one_demand_travel_together() {
    let policy = partner("bank.example", "'require'") + &partner("shop.example", "'require'");
    let (house, bank, _sender) = beside_bank(&policy, Behaviour::offering(&Identity::self_signed(&["127.0.0.1"])));
    let house = house.route("shop.example", bank.address);
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example", "clerk@shop.example"]);
    assert_eq!(bank.wait_for(1, LIMIT)[0].to.len(), 2);
    let said = bank.said();
    assert_eq!(said.iter().filter(|said| said.line == "STARTTLS").count(), 1, "one connection does for both: {said:?}");
    drop(relay);
}

/// Stalwart: after a failure of TLS the next attempt took any certificate, or none.
// req: A8
#[test]
fn b7_no_later_attempt_asks_for_less() {
    let wrong = || StartTls::Offered(Identity::self_signed(&["127.0.0.1"]).server());
    for (deliver, broken) in
        [("'require'", StartTls::Broken), ("'require'", StartTls::Refused), ("'verify'", wrong()), ("'verify'", StartTls::Absent)]
    {
        let (house, bank, sender) = beside_bank(&partner("bank.example", deliver), Behaviour::new(broken));
        let relay = house.start();
        send(&house, &relay, &["teller@bank.example"]);
        wait_for_failures(&house, 4);
        assert!(bank.mail_in_clear().is_empty(), "{deliver}");
        assert_eq!((bank.message_count(), sender.message_count()), (0, 0), "{deliver}");
    }
}

/// The control of the test above: where clear is allowed, the second attempt is the one that goes so.
#[test]
fn control_b7_opportunistic_mail_goes_in_clear_at_the_second_attempt() {
    let (house, bank, _sender) = beside_bank(&partner("bank.example", "'opportunistic'"), Behaviour::new(StartTls::Broken));
    let relay = house.start();
    send(&house, &relay, &["teller@bank.example"]);
    assert!(bank.wait_for(1, LIMIT)[0].tls.is_none());
    drop(relay);
}

/// Haraka: TLS could be asked for message by message; a later release no longer read that, and nobody noticed.
// req: C4
#[test]
fn b8_what_a_message_asks_for_is_read() {
    let policy = "[defaults]\nheader_trust = '127.0.0.1'\n";
    for (field, waits) in [("X-TLSLevel: Require\r\n", true), ("", false)] {
        let (house, bank, _sender) = beside_bank(policy, Behaviour::new(StartTls::Absent));
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        let content = format!("{field}Subject: x\r\n\r\nx\r\n");
        assert_eq!(client.send(FROM, &["teller@bank.example"], content.as_bytes()).unwrap().code, 250);
        if waits {
            wait_for_failures(&house, 2);
            assert!(bank.mail_in_clear().is_empty());
        } else {
            // the control
            bank.wait_for(1, LIMIT);
        }
    }
}

/// Zone-MTA: a setting that requires TLS for a whole zone stood in the configuration, and no code read it.
// req: B1
#[test]
fn b9_tls_required_for_everybody_is_read() {
    for (policy, waits) in
        [("[defaults.external]\ndeliver = 'require'\n", true), ("[defaults.external]\ndeliver = 'opportunistic'\n", false)]
    {
        let (house, bank, sender) = beside_bank(policy, Behaviour::new(StartTls::Absent));
        let relay = house.start();
        send(&house, &relay, &["teller@bank.example"]);
        if waits {
            // It is no bounce either, as an unmet MTA-STS policy was there.
            wait_for_failures(&house, 2);
            assert_eq!((bank.mail_in_clear().len(), sender.message_count()), (0, 0));
        } else {
            // the control
            bank.wait_for(1, LIMIT);
        }
    }
}

/// maddy: connections were pooled by domain, so that one without any check served mail that needs one. Here two entries lead to one server,
/// of which one takes any certificate.
// req: A8
#[test]
fn b10_a_connection_that_nobody_verified_serves_no_mail_that_needs_it() {
    let policy = partner("shop.example", "'require'") + &partner("bank.example", "'verify'");
    let (house, bank, _sender) = beside_bank(&policy, Behaviour::offering(&Identity::self_signed(&["127.0.0.1"])));
    let house = house.route("shop.example", bank.address);
    let relay = house.start();
    send(&house, &relay, &["clerk@shop.example"]);
    bank.wait_for(1, LIMIT);
    send(&house, &relay, &["teller@bank.example"]);
    wait_for_failures(&house, 1);
    assert_eq!(bank.message_count(), 1);
    // The control: mail of the first kind does use the open connection.
    let sessions = bank.session_count();
    send(&house, &relay, &["clerk@shop.example"]);
    bank.wait_for(2, LIMIT);
    assert_eq!(bank.session_count(), sessions);
}

/// OpenSMTPD: `*.example.org` covered one label and no more, so that hosts deeper down were not enforced.
// req: C2
#[test]
fn b11_a_wildcard_covers_every_name_below() {
    for (domain, waits) in [("gov.example", false), ("a.gov.example", true), ("mail.a.gov.example", true)] {
        let (house, bank, _sender) = beside_bank(&partner("*.gov.example", "'require'"), Behaviour::new(StartTls::Absent));
        let house = house.route("*.gov.example", bank.address).route("gov.example", bank.address);
        let relay = house.start();
        send(&house, &relay, &[&format!("clerk@{domain}")]);
        if waits {
            wait_for_failures(&house, 2);
            assert!(bank.mail_in_clear().is_empty(), "{domain}");
        } else {
            // the name itself is another entry's
            bank.wait_for(1, LIMIT);
        }
    }
}

/// Exim: a setting that verifies certificates did not require TLS, and a host without any got the mail in clear.
// req: B8
#[test]
fn b12_a_verified_certificate_needs_tls_without_a_second_setting() {
    for (deliver, waits) in [("'verify'", true), ("'chain'", true), ("'opportunistic'", false)] {
        let (house, bank, _sender) = beside_bank(&partner("bank.example", deliver), Behaviour::new(StartTls::Absent));
        let relay = house.start();
        send(&house, &relay, &["teller@bank.example"]);
        if waits {
            wait_for_failures(&house, 2);
            assert!(bank.mail_in_clear().is_empty(), "{deliver}");
        } else {
            // the control
            bank.wait_for(1, LIMIT);
        }
    }
}
