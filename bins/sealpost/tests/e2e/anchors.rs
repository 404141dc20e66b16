//! What one entry brings of its own: trust anchors, a certificate that the relay shows, and a common name that counts.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::{Authority, Identity};
use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

fn send(house: &House, relay: &Relay, to: &str) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &[to], message(to).as_bytes()).unwrap().code, 250);
}

fn entry(domain: &str, deliver: &str) -> String {
    format!("[[partner]]\ndomains = '{domain}'\ndeliver = {{ {deliver} }}\n")
}

/// A house beside a server that another authority vouches for; two domains of it, and its authority in `bank-ca.pem`.
fn beside_bank(policy: &str) -> (House, Sink, Authority) {
    let bank = Authority::new();
    let sink = Sink::start(Behaviour::offering(&bank.issue(&["mx.bank.example"])));
    let house = House::new().route("bank.example", sink.address).route("shop.example", sink.address).policy(policy);
    house.write();
    fs::write(house.file("bank-ca.pem"), &bank.pem).unwrap();
    (house, sink, bank)
}

fn bank_and_shop() -> String {
    entry("bank.example", "level = 'verify', names = 'mx.bank.example', anchors = 'bank-ca.pem'")
        + &entry("shop.example", "level = 'verify', names = 'mx.bank.example'")
}

/// Two entries for one and the same host: what the one's anchors let through helps the other nothing, by no open connection and no ticket.
// req: E6
#[test]
fn anchors_of_an_entry_are_trusted_for_that_entry_alone() {
    let (house, sink, _) = beside_bank(&bank_and_shop());
    let relay = house.start();
    for round in 1..=2 {
        send(&house, &relay, "teller@bank.example");
        assert!(sink.wait_for(round, LIMIT)[round - 1].tls.is_some());
        send(&house, &relay, &format!("round{round}@shop.example"));
        let words = [&*format!("round{round}@shop.example"), "\"kind\":\"check-tls\""];
        let history = house.wait_for_history(&words, LIMIT);
        assert!(history.contains("the certificate does not satisfy the demand"), "{history}");
        assert_eq!(sink.message_count(), round);
    }
    let history = house.wait_for_history(&["teller@bank.example", "\"kind\":\"delivered\"", "\"anchors\":\"bank-ca.pem\""], LIMIT);
    assert!(history.contains("a chain to a trust anchor of bank-ca.pem"), "{history}");
    let block = house.says(&["history", "--long", "--domain", "bank.example"], 0);
    assert!(block.contains("trust anchors      bank-ca.pem"), "{block}");
}

/// The control of the test above: with these anchors both entries are served.
#[test]
fn control_the_same_anchors_for_both_serve_both() {
    let both = bank_and_shop().replace("names = 'mx.bank.example' }", "names = 'mx.bank.example', anchors = 'bank-ca.pem' }");
    let (house, sink, _) = beside_bank(&both);
    let relay = house.start();
    send(&house, &relay, "teller@bank.example");
    send(&house, &relay, "clerk@shop.example");
    sink.wait_for(2, LIMIT);
    drop(relay);
}

/// In place of the usual anchors, unless the entry says `system` as well.
// req: E6
#[test]
fn anchors_take_the_place_of_the_usual_ones() {
    let (house, _bank, _) = beside_bank("");
    let usual = Sink::start(Behaviour::offering(&house.authority.issue(&["mx.usual.example"])));
    let policy = entry("own.example", "level = 'verify', names = 'mx.usual.example', anchors = 'bank-ca.pem'")
        + &entry("both.example", "level = 'verify', names = 'mx.usual.example', anchors = 'system bank-ca.pem'");
    let house = house.route("own.example", usual.address).route("both.example", usual.address).policy(&policy);
    let relay = house.start();
    send(&house, &relay, "bob@both.example");
    usual.wait_for(1, LIMIT);
    send(&house, &relay, "bob@own.example");
    house.wait_for_history(&["bob@own.example", "\"kind\":\"check-tls\""], LIMIT);
    assert_eq!(usual.message_count(), 1);
}

/// Files that change are read anew, by themselves and at a reload; what is wrong is told with its place, and that of before counts.
// req: E6
#[test]
fn anchors_are_read_anew_and_what_is_wrong_is_told_with_its_place() {
    let (house, sink, bank) = beside_bank(&entry("bank.example", "level = 'verify', names = 'mx.bank.example', anchors = 'bank-ca.pem'"));
    fs::write(house.file("bank-ca.pem"), &Authority::new().pem).unwrap();
    let relay = house.start();
    send(&house, &relay, "teller@bank.example");
    house.wait_for_history(&["teller@bank.example", "\"kind\":\"check-tls\""], LIMIT);
    let wrong = "-----BEGIN CERTIFICATE-----\nMIIB\n?\n-----END CERTIFICATE-----\n";
    fs::write(house.file("bank-ca.pem"), wrong).unwrap();
    for command in [&["reload"][..], &["check"]] {
        let said = house.says(command, 1);
        assert!(said.contains("policy.toml:1") && said.contains("bank-ca.pem") && said.contains("line 3, column 1: '?'"), "{said}");
    }
    assert_eq!(sink.message_count(), 0);
    // Mail that waits goes out without anybody saying so.
    fs::write(house.file("bank-ca.pem"), &bank.pem).unwrap();
    sink.wait_for(1, LIMIT);
    // What was verified by anchors that are gone is verified no more, in spite of open connections and tickets.
    fs::write(house.file("bank-ca.pem"), &Authority::new().pem).unwrap();
    house.says(&["reload"], 0);
    send(&house, &relay, "late@bank.example");
    house.wait_for_history(&["late@bank.example", "\"kind\":\"check-tls\""], LIMIT);
    assert_eq!(sink.message_count(), 1);
    fs::remove_file(house.file("bank-ca.pem")).unwrap();
    let said = house.says(&["domains", "set", "bank.example", "mode=testing"], 1);
    assert!(said.contains("policy.toml:1") && said.contains("cannot read anchors"), "{said}");
}

#[test]
fn what_an_entry_brings_is_shown() {
    let policy = entry(
        "bank.example",
        "level = 'verify', names = 'cn:old.bank.example', anchors = 'bank-ca.pem', client_certificate = 'client.pem', client_key = 'client.key'",
    );
    let (house, _sink, bank) = beside_bank(&policy);
    let client = bank.issue(&["relay.test"]);
    fs::write(house.file("client.pem"), &client.certificate).unwrap();
    fs::write(house.file("client.key"), &client.key).unwrap();
    let said = house.says(&["explain", "--from", "a@sender.example", "--to", "t@bank.example"], 0);
    for words in [
        "a chain to a trust anchor of bank-ca.pem",
        "or cn:old.bank.example",
        "anchors bank-ca.pem",
        "client_certificate \"client.pem\"",
        "set the client certificate to client.pem",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let said = house.says(&["domains", "show", "bank.example"], 0);
    for words in ["bank-ca.pem", "cn:old.bank.example", "client.pem", "client.key"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    house.says(&["check"], 0);
    fs::write(house.file("client.key"), &Identity::self_signed(&["other.example"]).key).unwrap();
    let said = house.says(&["check"], 1);
    assert!(said.contains("policy.toml:1") && said.contains("does not belong to the first certificate"), "{said}");
}

/// A server that asks for a certificate of this authority, and turns away whoever has none.
fn demanding(own: &Identity, authority: &Authority) -> Sink {
    Sink::start(Behaviour::new(StartTls::Offered(authority.server_demanding(own))))
}

/// The certificate that a server was shown last.
fn shown(sink: &Sink, count: usize) -> Option<Vec<u8>> {
    sink.wait_for(count, LIMIT)[count - 1].tls.clone().unwrap().shown
}

/// A certificate is shown to the destination that it is written for; others that ask see none, or the relay's usual one.
// req: E6
#[test]
fn a_client_certificate_is_shown_to_its_destination_only() {
    let (partners, house) = (Authority::new(), House::new());
    let own = house.authority.issue(&["127.0.0.1"]);
    let [bank, shop] = [demanding(&own, &partners), demanding(&own, &partners)];
    let [named, usual] = ["named.example", "usual.example"].map(|name| partners.issue(&[name]));
    let policy = entry("bank.example", "level = 'require', client_certificate = 'named.pem'")
        + &entry("same.example", "level = 'require'")
        + &entry("shop.example", "level = 'require', client_certificate = 'none'");
    let house = house.policy(&policy).route("bank.example", bank.address).route("shop.example", shop.address);
    let house = house.route("same.example", bank.address);
    house.write();
    fs::write(house.file("named.pem"), named.certificate.clone() + &named.key).unwrap();
    fs::write(house.file("usual.pem"), usual.certificate.clone() + &usual.key).unwrap();
    let relay = house.start_again();
    send(&house, &relay, "teller@bank.example");
    assert_eq!(shown(&bank, 1).as_deref(), Some(&*named.der()));
    house.wait_for_history(&["teller@bank.example", "\"kind\":\"delivered\"", "\"shown\":\"named.pem\""], LIMIT);
    // The same host for another domain: no connection and no ticket of the first is used for it.
    send(&house, &relay, "bob@same.example");
    send(&house, &relay, "clerk@shop.example");
    for to in ["bob@same.example", "clerk@shop.example"] {
        let history = house.wait_for_history(&[to, "\"kind\":\"check-tls\""], LIMIT);
        assert!(!history.contains(&format!("{to}\",\"kind\":\"delivered\"")), "{history}");
    }
    assert_eq!((bank.message_count(), shop.message_count()), (1, 0));
    relay.kill();

    // With a usual one, whoever asks is shown that, unless the entry says otherwise.
    let house = house.also("[delivery]\nclient_certificate = 'usual.pem'\n");
    let relay = house.start();
    assert_eq!(shown(&bank, 2).as_deref(), Some(&*usual.der()), "what waits goes out now");
    send(&house, &relay, "teller@bank.example");
    assert_eq!(shown(&bank, 3).as_deref(), Some(&*named.der()));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(shop.message_count(), 0);
}

/// One that is renewed is shown without a restart.
#[test]
fn a_renewed_client_certificate_is_shown() {
    let (partners, house) = (Authority::new(), House::new());
    let bank = demanding(&house.authority.issue(&["127.0.0.1"]), &partners);
    let policy = entry("bank.example", "level = 'require', client_certificate = 'client.pem'");
    let house = house.policy(&policy).route("bank.example", bank.address);
    house.write();
    let [first, second] = ["first.example", "second.example"].map(|name| partners.issue(&[name]));
    fs::write(house.file("client.pem"), first.certificate.clone() + &first.key).unwrap();
    let relay = house.start_again();
    send(&house, &relay, "teller@bank.example");
    assert_eq!(shown(&bank, 1).as_deref(), Some(&*first.der()));
    fs::write(house.file("client.pem"), second.certificate.clone() + &second.key).unwrap();
    let end = Instant::now() + LIMIT;
    while !relay.log().contains("a new certificate is shown from now on") {
        assert!(Instant::now() < end, "{}", relay.log());
        thread::sleep(Duration::from_millis(100));
    }
    send(&house, &relay, "teller@bank.example");
    assert_eq!(shown(&bank, 2).as_deref(), Some(&*second.der()));
}

/// RFC 9525 section 2: a common name counts only for an entry that asks for it.
// req: B8
#[test]
fn a_common_name_counts_only_where_an_entry_asks_for_it() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue_without_names("old.bank.example")));
    let policy = entry("bank.example", "level = 'verify', names = 'cn:old.bank.example'")
        + &entry("shop.example", "level = 'verify', names = 'old.bank.example'");
    let house = house.policy(&policy).route("bank.example", sink.address).route("shop.example", sink.address);
    let relay = house.start();
    send(&house, &relay, "teller@bank.example");
    sink.wait_for(1, LIMIT);
    send(&house, &relay, "clerk@shop.example");
    house.wait_for_history(&["clerk@shop.example", "the common name old.bank.example does not count"], LIMIT);
    assert_eq!(sink.message_count(), 1);
}

mod with_postfix {
    use super::*;
    use crate::peers::Peer;

    /// `smtpd_tls_req_ccert = yes`: Postfix takes mail of whoever shows a certificate that it can verify.
    // req: E6
    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_that_asks_for_a_certificate_is_shown_it() {
        let (partners, house) = (Authority::new(), House::new());
        let peer = Peer::postfix_demanding(&house.authority.issue(&["mx.bank.example"]), &partners.pem);
        let policy = entry("bank.example", "level = 'verify', names = 'mx.bank.example', client_certificate = 'client.pem'")
            + &entry("shop.example", "level = 'verify', names = 'mx.bank.example'");
        let house = house.policy(&policy).route("bank.example", peer.address).route("shop.example", peer.address);
        house.write();
        let client = partners.issue(&["relay.test"]);
        fs::write(house.file("client.pem"), client.certificate.clone() + &client.key).unwrap();
        let relay = house.start_again();
        send(&house, &relay, "teller@bank.example");
        let mail = String::from_utf8(peer.wait_for_mail(1, LIMIT).remove(0)).unwrap();
        assert!(mail.contains("Client CN \"relay.test\", Issuer \"Test Authority\" (verified OK)"), "{mail}");
        send(&house, &relay, "clerk@shop.example");
        house.wait_for_history(&["clerk@shop.example", "\"result\":\"transient\""], LIMIT);
        assert_eq!(peer.mail().len(), 1);
    }
}
