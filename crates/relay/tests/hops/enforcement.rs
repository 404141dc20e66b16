//! Mail that must travel over TLS does so or waits, and the history says why.

use sealpost_report::{Clock, EventKind, Filter, History, Lang, TextStyle};

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

/// A relay that sends to the bank at this level, with one message from Ann to Bob accepted over TLS.
async fn sent(bank: &Mx, level: &str) -> Running {
    let relay = House::new().route("bank.example", &[bank]).partner("bank.example", level).start().await;
    let reply = Client::secure(relay.address).await.send(FROM, &[TO], &letter("enforcement")).await;
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    relay
}

// req: A5 A8 A9 F6
#[tokio::test]
async fn require_waits_for_tls_and_tells_why() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let bank = Mx::start(Behaviour::plain()).await;
    let house = House::new().route("bank.example", &[&bank]).partner("bank.example", "\"require\"");
    let relay = Running::start(house.build(sealpost_queue::MemorySpool::new()).history(history)).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("patience")).await;

    let check = relay.first(EventKind::CheckTls, TO).await;
    assert!(check.reason.as_deref().is_some_and(|reason| reason.contains("does not offer STARTTLS")), "{check:?}");
    assert_eq!(check.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"));
    assert!(check.proof.as_ref().is_some_and(|proof| !proof.satisfied && proof.tls.is_none()), "{check:?}");
    relay.wait(EventKind::Deferred, TO, 2).await;
    assert!(bank.saw_no_mail_in_clear());

    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    let message = bank.message().await;
    assert!(message.tls.is_some() && message.text().ends_with("The words of patience.\r\n"));
    let delivered = relay.first(EventKind::Delivered, TO).await;
    let proof = delivered.proof.as_ref().unwrap();
    assert!(proof.satisfied && proof.tls == message.tls && proof.spki_pin.is_some(), "{proof:?}");
    assert!(proof.findings.iter().any(|finding| finding.contains("self-signed")), "judged although nothing is asked: {proof:?}");
    assert!(bank.saw_no_mail_in_clear());
    relay.shutdown().await;

    let history = History::open(directory.path()).unwrap();
    let mut filter = Filter::default();
    filter.kinds = vec![EventKind::CheckTls];
    let rows = history.query(&filter).await.unwrap();
    let text = rows[0].event.to_text(TextStyle::new(Lang::En, Clock::Utc));
    assert!(text.contains("Processing: Check TLS") && text.contains(TO), "{text}");
}

/// The negative control of all that waits in clear: what is not enforced goes.
// req: B1 B2
#[tokio::test]
async fn opportunistic_mail_goes_in_clear_where_tls_is_not_offered() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = sent(&bank, "\"opportunistic\"").await;
    assert!(bank.message().await.tls.is_none());
    let delivered = relay.first(EventKind::Delivered, TO).await;
    assert_eq!(delivered.reason.as_deref(), Some("in clear: the server does not offer STARTTLS"));
    assert!(!bank.saw_no_mail_in_clear(), "the record does show mail in clear");
    relay.shutdown().await;
}

// req: A5 A8 A9
#[tokio::test]
async fn require_holds_whatever_becomes_of_starttls() {
    for broken in [StartTls::Refused("454 4.7.0 not now"), StartTls::Refused("502 5.5.1 never"), StartTls::Broken, StartTls::Injected] {
        let bank = Mx::start(Behaviour::plain().with_start_tls(broken)).await;
        let relay = sent(&bank, "\"require\"").await;
        relay.wait(EventKind::CheckTls, TO, 3).await;
        assert!(bank.saw_no_mail_in_clear() && bank.count() == 0);
        relay.shutdown().await;
    }
}

// req: B8 B9 A9
#[tokio::test]
async fn verify_takes_the_right_certificate_and_no_other() {
    for (kind, words) in
        [(Kind::SelfSigned, "self-signed"), (Kind::Expired, "expired"), (Kind::WrongName, "no certificate for mx.bank.example")]
    {
        let bank = Mx::start(Behaviour::secure(kind, HOST)).await;
        let relay = sent(&bank, "\"verify\"").await;
        let check = relay.first(EventKind::CheckTls, TO).await;
        assert!(check.reason.as_deref().is_some_and(|reason| reason.contains(words)), "{kind:?}: {check:?}");
        relay.first(EventKind::Deferred, TO).await;
        assert_eq!((bank.count(), bank.said("MAIL").len()), (0, 0), "{kind:?}");

        bank.change(Behaviour::secure(Kind::Right, HOST));
        assert!(bank.message().await.tls.is_some());
        let delivered = relay.first(EventKind::Delivered, TO).await;
        let proof = delivered.proof.as_ref().unwrap();
        assert!(proof.satisfied && proof.findings.is_empty(), "{proof:?}");
        assert_eq!(proof.validation_path, ["CN=mx.bank.example", "CN=Test Authority"]);
        relay.shutdown().await;
    }
}

/// The negative control of `verify`: each of these certificates does make a connection where none is asked for.
// req: B8
#[tokio::test]
async fn require_takes_any_certificate() {
    for kind in [Kind::SelfSigned, Kind::Expired, Kind::WrongName] {
        let bank = Mx::start(Behaviour::secure(kind, HOST)).await;
        let relay = sent(&bank, "\"require\"").await;
        assert!(bank.message().await.tls.is_some(), "{kind:?}");
        relay.shutdown().await;
    }
}

// req: B2 B3
#[tokio::test]
async fn mirror_sends_on_as_it_came() {
    let bank = Mx::start(Behaviour::secure(Kind::SelfSigned, HOST)).await;
    let relay = House::new().route("bank.example", &[&bank]).partner("bank.example", "\"mirror\"").start().await;
    Client::clear(relay.address).await.send(FROM, &[TO], &letter("clear")).await;
    assert!(bank.message().await.tls.is_none());
    assert!(bank.said("STARTTLS").is_empty(), "TLS is not attempted");

    Client::secure(relay.address).await.send(FROM, &[TO], &letter("secret")).await;
    let secret = bank.messages(2).await.remove(1);
    assert!(secret.tls.is_some() && secret.text().contains("secret"));

    bank.change(Behaviour::plain());
    relay.set_policy("[defaults.external]\ndeliver = \"mirror\"\n");
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("third")).await;
    let third = bank.messages(3).await.remove(2);
    assert!(third.tls.is_none(), "over TLS if the next host has it, else in clear");
    relay.shutdown().await;
}
