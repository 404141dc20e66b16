//! Hosts are judged by what DNS says of their certificates (RFC 7672). The zones that prove it are tried end to end; here a table says what is
//! proven.

use std::sync::Arc;
use std::time::Duration;

use sealpost_discovery::ResolveError;
use sealpost_report::EventKind;
use sealpost_types::{DnssecStatus, Domain, Pin, TlsaRecord};

use crate::support::{Behaviour, Client, House, Kind, Mx, StartTls, backend_and_pin, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

fn host() -> Domain {
    Domain::parse(HOST).unwrap()
}

fn of_key(pin: Pin) -> TlsaRecord {
    TlsaRecord { usage: 3, selector: 1, matching: 1, data: pin.0.to_vec() }
}

/// A server whose certificate nobody vouches for, and the record of its key.
async fn bank() -> (Mx, TlsaRecord) {
    let (backend, pin) = backend_and_pin(Kind::SelfSigned, "elsewhere.example");
    (Mx::start(Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(backend)))).await, of_key(pin))
}

/// A relay that routes mail to the bank's host under this level, and what DNS says of that host.
fn house(bank: &Mx, level: &str, dnssec: DnssecStatus, records: Vec<TlsaRecord>) -> House {
    let house = House::new().route("bank.example", &[bank]).partner("bank.example", level);
    house.dns.set_dnssec(&host(), dnssec);
    house.dns.set_tlsa(&host(), records);
    house
}

// req: E1
#[tokio::test]
async fn a_certificate_is_right_by_its_record_and_by_nothing_else() {
    let (bank, right) = bank().await;
    let wrong = of_key(backend_and_pin(Kind::Right, HOST).1);
    let verify_or_dane = "{ level = \"verify\", dane_satisfies = true }";
    let dane_or_verify = "{ level = \"dane\", else = \"verify\" }";
    use DnssecStatus::{Indeterminate, Insecure, Secure};
    for (level, dnssec, records, outcome) in [
        ("\"dane-only\"", Secure, vec![right.clone()], Ok(())),
        ("\"dane-only\"", Secure, vec![wrong.clone(), right.clone()], Ok(())),
        ("\"dane-only\"", Secure, vec![wrong.clone()], Err("what the TLSA records say: 3 1 1 ")),
        ("\"dane-only\"", Secure, vec![], Err("secure TLSA records are asked for")),
        ("\"dane-only\"", Insecure, vec![right.clone()], Err("secure TLSA records are asked for")),
        ("\"dane-only\"", Indeterminate, vec![right.clone()], Err("secure TLSA records are asked for")),
        (verify_or_dane, Secure, vec![right.clone()], Ok(())),
        (verify_or_dane, Insecure, vec![right.clone()], Err("self-signed")),
        (dane_or_verify, Secure, vec![right.clone()], Ok(())),
        (dane_or_verify, Secure, vec![], Err("self-signed")),
        // whether there are records is not known: what `else` says must not do
        ("\"dane\"", Indeterminate, vec![right.clone()], Err("secure TLSA records are asked for")),
        ("\"dane\"", Insecure, vec![right.clone()], Ok(())),
        // of records that cannot be used, TLS alone is what is left; but not for who wants DANE or nothing
        ("\"dane\"", Secure, vec![TlsaRecord { usage: 1, ..right.clone() }], Ok(())),
        ("\"dane-only\"", Secure, vec![TlsaRecord { usage: 1, ..right.clone() }], Err("secure TLSA records are asked for")),
    ] {
        let before = bank.count();
        let relay = house(&bank, level, dnssec, records.clone()).start().await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
        match outcome {
            Ok(()) => {
                let proof = relay.first(EventKind::Delivered, TO).await.proof.clone().unwrap();
                assert!(proof.satisfied && proof.tls.is_some(), "{level} {dnssec} {records:?}");
                let is_right = dnssec == Secure && records.contains(&right);
                let dane = proof.dane.as_ref().and_then(|dane| dane.matched.clone());
                assert_eq!(dane, is_right.then(|| format!("{right} (certificate)")), "{level} {dnssec} {records:?}");
                assert_eq!(bank.count(), before + 1);
            }
            Err(words) => {
                let check = relay.first(EventKind::CheckTls, TO).await;
                let reason = check.reason.as_deref().unwrap();
                let findings = &check.proof.as_ref().unwrap().findings;
                assert!(reason.contains(words) || findings.iter().any(|finding| finding.contains(words)), "{level} {dnssec}: {reason}");
                assert_eq!(bank.count(), before, "{level} {dnssec} {records:?}");
            }
        }
        assert!(bank.saw_no_mail_in_clear());
        relay.shutdown().await;
    }
}

/// KumoMTA (#543) and Stalwart went on as if there were no records when they could not be asked for.
// req: E1
#[tokio::test]
async fn b13_mail_waits_while_it_cannot_be_found_out_whether_there_are_records() {
    let (bank, right) = bank().await;
    for level in ["\"dane\"", "\"dane-only\""] {
        let house = house(&bank, level, DnssecStatus::Secure, vec![right.clone()]);
        let (dns, before) = (house.dns.clone(), (bank.count(), bank.record().sessions));
        dns.set_tlsa_failure(&host(), Some(ResolveError::Bogus { name: host() }));
        let relay = house.start().await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
        let deferred = relay.wait(EventKind::Deferred, TO, 3).await;
        let reason = deferred[0].reason.as_deref().unwrap();
        assert!(reason.contains("whether it publishes TLSA records") && reason.contains("bogus"), "{reason}");
        assert_eq!((bank.count(), bank.record().sessions), before, "nobody was talked to");
        dns.set_tlsa_failure(&host(), None);
        relay.first(EventKind::Delivered, TO).await;
        relay.shutdown().await;
    }
    // the control: a level that asks for nothing of the kind does not care
    let house = house(&bank, "\"require\"", DnssecStatus::Secure, vec![right]);
    house.dns.set_tlsa_failure(&host(), Some(ResolveError::Bogus { name: host() }));
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
    relay.first(EventKind::Delivered, TO).await;
    relay.shutdown().await;
}

/// `dane` asks for TLS host by host. What it kept from a host is not let go by a weaker policy either; new mail is not concerned.
// req: E1 E8
#[tokio::test]
async fn a_weaker_policy_does_not_let_go_what_waits_for_dane() {
    let (bank, right) = bank().await;
    let wrong = of_key(backend_and_pin(Kind::Right, HOST).1);
    let house = house(&bank, "\"dane\"", DnssecStatus::Secure, vec![wrong]).retry(Duration::from_secs(3600));
    let dns = house.dns.clone();
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay.set_policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"none\"\n");
    let held = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    let trace = &held.decided.as_ref().unwrap().trace;
    assert!(trace.starts_with("held by an earlier policy: dane; by the policy of now none: "), "{trace}");
    assert!(bank.saw_no_mail_in_clear() && bank.count() == 0);
    Client::secure(relay.address).await.send(FROM, &["eve@bank.example"], &letter("new")).await;
    assert!(bank.message().await.tls.is_none());
    dns.set_tlsa(&host(), vec![right]);
    relay.retry_all().await;
    let proof = relay.first(EventKind::Delivered, TO).await.proof.clone().unwrap();
    assert!(proof.satisfied && proof.tls.is_some(), "{proof:?}");
    relay.shutdown().await;
}

/// What was right by records of an hour ago is not right by those of now: neither an open connection nor a ticket outlives them.
// req: E1 E7
#[tokio::test]
async fn a_connection_does_not_outlive_the_records_that_it_was_right_by() {
    let (bank, right) = bank().await;
    let next = of_key(backend_and_pin(Kind::Right, HOST).1);
    let house = house(&bank, "\"dane-only\"", DnssecStatus::Secure, vec![right.clone()]);
    let dns = house.dns.clone();
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    for number in 1..=2 {
        client.send(FROM, &[TO], &letter("dane")).await;
        relay.wait(EventKind::Delivered, TO, number).await;
    }
    assert_eq!(bank.record().sessions, 1, "the control: the same records share a connection");
    dns.set_tlsa(&host(), vec![next.clone(), right.clone()]);
    client.send(FROM, &[TO], &letter("dane")).await;
    relay.wait(EventKind::Delivered, TO, 3).await;
    assert_eq!(bank.record().sessions, 2, "the roll-over begins");
    dns.set_tlsa(&host(), vec![next]);
    client.send(FROM, &[TO], &letter("dane")).await;
    relay.first(EventKind::CheckTls, TO).await;
    assert_eq!(bank.count(), 3, "it has the old key, and no record says so any more");
    drop(client);
    relay.shutdown().await;
}

/// Stalwart bounced at once what no record named, and took any certificate after the first failure. A record that lags behind a renewed
/// certificate is the commonest reason, and is put right in hours.
#[tokio::test]
async fn b4_b7_a_certificate_that_no_record_names_is_refused_each_time_and_bounces_nothing() {
    let (bank, right) = bank().await;
    let wrong = of_key(backend_and_pin(Kind::Right, HOST).1);
    let house = house(&bank, "\"dane-only\"", DnssecStatus::Secure, vec![wrong]);
    let dns = house.dns.clone();
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
    relay.wait(EventKind::Deferred, TO, 3).await;
    assert_eq!((bank.count(), relay.count(EventKind::Bounced)), (0, 0));
    dns.set_tlsa(&host(), vec![right]);
    relay.first(EventKind::Delivered, TO).await;
    relay.shutdown().await;
}

/// RFC 7672 sections 2.2 and 3.1, RFC 7671 section 4: what no certificate can be held against asks for TLS and nothing more, beside what can
/// be used it counts for nothing, and it is never as if there were no records.
// req: E1
#[tokio::test]
async fn records_of_each_unusable_kind_ask_for_tls_alone_and_count_for_nothing_beside_others() {
    let (bank, right) = bank().await;
    let plain = Mx::start(Behaviour::plain()).await;
    let wrong = of_key(backend_and_pin(Kind::Right, HOST).1);
    let kinds = [
        ("PKIX-TA", TlsaRecord { usage: 0, ..right.clone() }),
        ("PKIX-EE", TlsaRecord { usage: 1, ..right.clone() }),
        ("a usage that nobody knows", TlsaRecord { usage: 4, ..right.clone() }),
        ("a private usage", TlsaRecord { usage: 255, ..right.clone() }),
        ("a selector that nobody knows", TlsaRecord { selector: 2, ..right.clone() }),
        ("a matching type that nobody knows", TlsaRecord { matching: 3, ..right.clone() }),
        ("no data", TlsaRecord { data: Vec::new(), ..right.clone() }),
        ("no data, whole", TlsaRecord { matching: 0, data: Vec::new(), ..right.clone() }),
        ("a digest that is cut", TlsaRecord { data: right.data[..20].to_vec(), ..right.clone() }),
        ("a digest of another length", TlsaRecord { matching: 2, ..right.clone() }),
        ("a whole key that is none", TlsaRecord { matching: 0, data: vec![0x30, 0x03, 1, 2, 3], ..right.clone() }),
    ];
    for (kind, unusable) in kinds {
        // the server, the level, the records; whether the mail goes, and by which record
        for (server, level, records, delivered, matched) in [
            (&bank, "\"dane\"", vec![unusable.clone()], true, None),
            (&plain, "\"dane\"", vec![unusable.clone()], false, None),
            (&bank, "\"dane-only\"", vec![unusable.clone()], false, None),
            (&bank, "\"dane-only\"", vec![unusable.clone(), right.clone()], true, Some(&right)),
            (&bank, "\"dane\"", vec![unusable.clone(), wrong.clone()], false, None),
            (&bank, "{ level = \"verify\", dane_satisfies = true }", vec![unusable.clone()], false, None),
        ] {
            let before = server.count();
            let relay = house(server, level, DnssecStatus::Secure, records.clone()).start().await;
            Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
            if delivered {
                let proof = relay.first(EventKind::Delivered, TO).await.proof.clone().unwrap();
                let dane = proof.dane.as_ref().unwrap();
                assert_eq!((dane.records, dane.usable), (records.len(), records.len() - 1), "{kind} {level}");
                assert_eq!(dane.matched, matched.map(|record| format!("{record} (certificate)")), "{kind} {level}");
                assert!(proof.tls.is_some());
            } else {
                relay.first(EventKind::CheckTls, TO).await;
                assert_eq!(server.count(), before, "{kind} {level} {records:?}");
            }
            assert!(server.saw_no_mail_in_clear(), "{kind} {level}");
            relay.shutdown().await;
        }
    }
    // The control: without any record the level `dane` asks for no TLS, and clear text is what the plain server gets.
    let relay = house(&plain, "\"dane\"", DnssecStatus::Secure, Vec::new()).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("dane")).await;
    plain.message().await;
    relay.shutdown().await;
}
