//! Levels beyond the partner at `require` or `verify`: mirrored mail, defaults and overrides, hosted domains, single recipients.

use std::time::Duration;

use crate::client::Client;
use crate::content::message;
use crate::relay::House;
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";

fn sink_with_tls(house: &House) -> Sink {
    Sink::start(Behaviour::offering(&house.authority.issue(&["sink.test"])))
}

fn clear(house: &House) -> Client {
    let mut client = Client::connect(house.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client
}

// req: B2 B3
#[test]
fn mirrored_mail_leaves_as_it_came() {
    let house = House::new();
    let sink = sink_with_tls(&house);
    let house = house.route("*", sink.address).policy("[defaults.external]\ndeliver = \"mirror\"\n");
    let _relay = house.start();
    assert_eq!(clear(&house).send(FROM, &["bob@other.example"], message("clear").as_bytes()).unwrap().code, 250);
    let arrived = sink.wait_for(1, LIMIT);
    assert!(arrived[0].tls.is_none());
    assert!(!sink.said().iter().any(|said| said.line == "STARTTLS"), "TLS was attempted");
    assert!(String::from_utf8_lossy(&arrived[0].content).contains("with ESMTP "), "no TLS, so no ESMTPS");
    let mut client = Client::secure(house.address, &house.authority.client()).unwrap();
    client.send(FROM, &["bob@other.example"], message("secure").as_bytes()).unwrap();
    assert!(sink.wait_for(2, LIMIT)[1].tls.is_some());
}

// req: B4
#[test]
fn an_override_holds_before_the_default() {
    let house = House::new();
    let (strict, loose) = (Sink::start(Behaviour::new(StartTls::Absent)), Sink::start(Behaviour::new(StartTls::Absent)));
    let policy = "[defaults.external]\ndeliver = \"require\"\n[[partner]]\nname = \"Loose\"\ndomains = [\"loose.example\"]\ndeliver = \"opportunistic\"\n";
    let house = house.route("loose.example", loose.address).route("*", strict.address).policy(policy);
    let _relay = house.start();
    let mut client = clear(&house);
    for to in ["a@strict.example", "a@loose.example", "a@below.loose.example"] {
        client.send(FROM, &[to], message("override").as_bytes()).unwrap();
    }
    loose.wait_for(1, LIMIT);
    house.wait_for_history(&["Processing: Check TLS", "strict.example"], LIMIT);
    // the route is for the name itself, the partner's entry for all below it
    let below = strict.wait_for(1, LIMIT);
    assert_eq!(below[0].to, ["a@below.loose.example"]);
    assert!(!strict.said().iter().any(|said| said.line.contains("a@strict.example")));
}

// req: A1
#[test]
fn a_wildcard_covers_what_lies_below() {
    let house = House::new();
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let policy = "[[partner]]\nname = \"Government\"\ndomains = [\"*.gov.example\"]\nsubdomains = false\nreceive = \"require\"\ndeliver = \"require\"\n";
    let house = house.route("*", sink.address).policy(policy);
    let _relay = house.start();
    let mut client = clear(&house);
    for (from, code) in [("a@tax.gov.example", 530), ("a@deep.tax.gov.example", 530), ("a@gov.example", 250), ("a@notgov.example", 250)] {
        assert_eq!(client.command(&format!("MAIL FROM:<{from}>")).unwrap().code, code, "{from}");
        client.expect("RSET", 250).unwrap();
    }
    for to in ["b@tax.gov.example", "b@gov.example"] {
        client.send(FROM, &[to], message("wildcard").as_bytes()).unwrap();
    }
    assert_eq!(sink.wait_for(1, LIMIT)[0].to, ["b@gov.example"]);
    house.wait_for_history(&["Processing: Check TLS", "tax.gov.example"], LIMIT);
}

/// The servers of a hosted domain are always reached over TLS, from whomever the mail comes.
// req: B6
#[test]
fn a_hosted_domain_gets_its_mail_over_tls_only() {
    let house = House::new();
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let policy = format!("[[domain]]\nname = \"acme.example\"\nroute = \"{}\"\ndeliver = \"require\"\n", sink.address);
    let house = house.policy(&policy);
    let _relay = house.start();
    clear(&house).send(FROM, &["boss@acme.example"], message("hosted").as_bytes()).unwrap();
    house.wait_for_history(&["Processing: Check TLS", "acme.example"], LIMIT);
    assert!(sink.mail_in_clear().is_empty());
    sink.change(Behaviour::offering(&house.authority.issue(&["mail.acme.example"])));
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
}

/// Two recipients of one message may differ.
// req: D4
#[test]
fn a_recipient_who_needs_tls_is_refused_alone() {
    let house = House::new();
    let sink = sink_with_tls(&house);
    let domain =
        |name: &str, receive: &str| format!("[[domain]]\nname = \"{name}\"\nroute = \"{}\"\nreceive = \"{receive}\"\n", sink.address);
    let policy = domain("strict.example", "require") + &domain("loose.example", "opportunistic");
    let house = house.policy(&policy);
    let _relay = house.start();
    let mut client = clear(&house);
    client.expect(&format!("MAIL FROM:<{FROM}>"), 250).unwrap();
    let refused = client.command("RCPT TO:<a@strict.example>").unwrap();
    assert!(refused.text.starts_with("550 5.7.10"), "{}", refused.text);
    client.expect("RCPT TO:<a@loose.example>", 250).unwrap();
    client.expect("DATA", 354).unwrap();
    client.wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    assert_eq!(sink.wait_for(1, LIMIT)[0].to, ["a@loose.example"]);
    // the negative control: over TLS both are taken
    let mut client = Client::secure(house.address, &house.authority.client()).unwrap();
    client.send(FROM, &["a@strict.example", "a@loose.example"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    let to: Vec<_> = sink.wait_for(2, LIMIT).into_iter().skip(1).flat_map(|message| message.to).collect();
    assert!(to.contains(&"a@strict.example".to_owned()), "{to:?}");
}

/// What an auditor wants to see of a delivery.
// req: F6
#[test]
fn the_history_proves_how_mail_travelled() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["mx.bank.example"])));
    let policy =
        "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliver = { level = \"verify\", names = [\"mx.bank.example\"] }\n";
    let house = house.route("*", sink.address).policy(policy);
    let _relay = house.start();
    let mut client = Client::secure(house.address, &house.authority.client()).unwrap();
    client.send(FROM, &["teller@bank.example"], message("proof").as_bytes()).unwrap();
    sink.wait_for(1, LIMIT);
    let words =
        ["delivered", "TLSv1.3", "TLS_AES_", "X25519MLKEM768", "mx.bank.example", "Test Authority", "sha256//", "verify", "policy.toml:"];
    house.wait_for_history(&words, LIMIT);
    // by domain, and by nobody else's
    let shown = |domain: &str| String::from_utf8(house.run(&["history", "--json", "--domain", domain]).stdout).unwrap();
    assert!(shown("bank.example").contains("delivered"));
    assert!(!shown("other.example").contains("delivered"));
}

/// Where nothing is demanded of the certificate, all of it is looked at, and what a stricter level would have said stands in the history.
// req: F6
#[test]
fn levels_that_take_any_certificate_record_what_is_wrong_with_it() {
    let house = House::new();
    let (right, revoked) = (house.authority.issue(&["127.0.0.1"]), house.authority.issue(&["127.0.0.1"]));
    let stranger = crate::authority::Authority::new();
    let sink = Sink::start(Behaviour::offering(&right));
    let policy =
        "[[partner]]\ndomains = 'may.example'\ndeliver = 'opportunistic'\n[[partner]]\ndomains = 'must.example'\ndeliver = 'require'\n";
    let house = house.route("*", sink.address).policy(policy);
    std::fs::write(house.file("crls.pem"), house.authority.revoke(&[&revoked])).unwrap();
    house.write();
    std::fs::write(house.config(), house.config_text().replace("[tls]\n", "[tls]\nrevocation_lists = \"crls.pem\"\n")).unwrap();
    let relay = house.start_again();
    let mut count = 0;
    for (case, identity, finding) in [
        ("expired", house.authority.issue_expired(&["127.0.0.1"]), "certificate expired"),
        ("self-signed", crate::authority::Identity::self_signed(&["127.0.0.1"]), "self-signed certificate"),
        ("unknown", stranger.issue(&["127.0.0.1"]), "is not signed with the key of CN=Test Authority"),
        ("revoked", revoked, "was revoked by its issuer"),
        // the control: nothing is found where nothing is wrong
        ("right", right, ""),
    ] {
        sink.change(Behaviour::offering(&identity));
        // What was verified before must not be used again.
        house.says(&["domains", "set", "may.example", &format!("reason={case}")], 0);
        for domain in ["may.example", "must.example"] {
            count += 1;
            let to = format!("{case}@{domain}");
            let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
            client.send(FROM, &[&to], message(case).as_bytes()).unwrap();
            assert!(sink.wait_for(count, LIMIT)[count - 1].tls.is_some());
            let entries = house.wait_for_history(&[&to, "\"kind\":\"delivered\""], LIMIT);
            let entry = entries.lines().find(|line| line.contains(&to) && line.contains("\"kind\":\"delivered\"")).unwrap();
            assert!(entry.contains("\"satisfied\":true"), "{entry}");
            assert_eq!(entry.contains("\"findings\":[]"), finding.is_empty(), "{entry}");
            assert!(entry.contains(finding), "{entry}");
        }
    }
}
