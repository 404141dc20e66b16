//! The X-TLSLevel field: obeyed where its client is trusted with it, taken out in any case.

use std::net::IpAddr;
use std::time::Duration;

use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Message, Mx, Running, letter, open_spool};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";
/// 127.0.0.2 alone may ask for a level.
const TRUSTED: &str = "[defaults]\nheader_trust = \"127.0.0.2\"\n";

/// Who sends, and in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Trusted,
    TrustedInClear,
    Stranger,
    StrangerInClear,
}

impl Sender {
    async fn send(self, relay: &Running, fields: &str) {
        let own = IpAddr::from([127, 0, 0, if matches!(self, Self::Trusted | Self::TrustedInClear) { 2 } else { 3 }]);
        let mut client = Client::clear_from(own, relay.address).await;
        if matches!(self, Self::Trusted | Self::Stranger) {
            client.start_tls().await;
        }
        client.send(FROM, &[TO], &[fields.as_bytes(), &letter("levels")].concat()).await;
    }
}

fn house(bank: &Mx, policy: &str) -> House {
    House::new().route("bank.example", &[bank]).policy(&format!("{TRUSTED}{policy}"))
}

/// The field and its value are nowhere in it, and the rest is.
fn assert_without_field(message: &Message) {
    let text = message.text();
    let header = text.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(!header.contains("tlslevel") && !header.contains("require") && header.contains("subject: levels"), "{text}");
}

/// What the first message comes to: held, or delivered; then under TLS or not.
async fn outcome(from: Sender, fields: &str, policy: &str, server: Behaviour) -> Option<bool> {
    let bank = Mx::start(server).await;
    let relay = house(&bank, policy).start().await;
    from.send(&relay, fields).await;
    let is_end = |kind| matches!(kind, EventKind::Delivered | EventKind::Deferred);
    let events = relay.when("an end", |events| events.iter().any(|event| is_end(event.kind))).await;
    let delivered = events.iter().any(|event| event.kind == EventKind::Delivered);
    relay.shutdown().await;
    if !delivered {
        assert!(bank.saw_no_mail_in_clear(), "{fields}");
        return None;
    }
    let message = bank.message().await;
    assert_without_field(&message);
    Some(message.tls.is_some())
}

// req: C4 C5
#[tokio::test]
async fn require_of_a_trusted_client_holds_the_mail_until_there_is_tls() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = house(&bank, "").start().await;
    Sender::Trusted.send(&relay, "X-TLSLevel: Require\r\n").await;
    let deferred = relay.wait(EventKind::Deferred, TO, 3).await;
    for event in &deferred {
        assert_eq!(event.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"), "at each attempt: {event:?}");
        assert_eq!(event.level_header.as_deref(), Some("Require"));
    }
    relay.first(EventKind::CheckTls, TO).await;
    assert!(bank.saw_no_mail_in_clear() && bank.count() == 0);
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    let message = bank.message().await;
    assert!(message.tls.is_some());
    assert_without_field(&message);
    relay.shutdown().await;
}

// req: C4 C5
#[tokio::test]
async fn what_a_client_asked_for_holds_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Mx::start(Behaviour::plain()).await;
    let house = || house(&bank, "").retry(Duration::from_secs(3600));
    let relay = house().start_with(open_spool(folder.path()).await).await;
    Sender::Trusted.send(&relay, "X-TLSLevel: Require\r\n").await;
    Sender::Stranger.send(&relay, "X-TLSLevel: Require\r\n").await;
    let first = relay.first(EventKind::Deferred, TO).await;
    assert_eq!(bank.messages(1).await.len(), 1, "the stranger's, which is the negative control");
    relay.shutdown().await;

    let relay = house().start_with(open_spool(folder.path()).await).await;
    relay.retry_all().await;
    let deferred = relay.first(EventKind::Deferred, TO).await;
    assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"));
    assert_eq!((&deferred.decided, deferred.level_header.as_deref()), (&first.decided, Some("Require")));
    assert_eq!((deferred.attempts, bank.count()), (Some(2), 1));
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    relay.retry_all().await;
    assert!(bank.messages(2).await[1].tls.is_some());
    relay.shutdown().await;
}

// req: C5
#[tokio::test]
async fn a_strangers_field_changes_nothing_and_is_taken_out() {
    for (fields, held) in [("X-TLSLevel: Require\r\n", true), ("x-tlslevel:\r\n  REQUIRE\r\n", true), ("", false)] {
        assert_eq!(outcome(Sender::Stranger, fields, "", Behaviour::plain()).await, Some(false), "{fields}");
        let expected = if held { None } else { Some(false) };
        assert_eq!(outcome(Sender::Trusted, fields, "", Behaviour::plain()).await, expected, "the negative control: {fields}");
    }
}

// req: C5
#[tokio::test]
async fn the_first_field_counts_and_none_is_passed_on() {
    for (fields, expected) in [
        ("X-TLSLevel: Try\r\nX-TLSLevel: Require\r\n", Some(false)),
        ("X-TLSLevel: Require\r\nX-TLSLevel: Try\r\n", None),
        ("X-TLSLEVEL: Require\r\nSubject: levels\r\nx-tlslevel: Try\r\n", None),
        ("X-TLSLevel: Requier\r\n", None),
        ("X-TLSLevel:\r\n", None),
    ] {
        assert_eq!(outcome(Sender::Trusted, fields, "", Behaviour::plain()).await, expected, "{fields}");
    }
}

// req: C4 B3
#[tokio::test]
async fn try_raises_mirror_and_lowers_nothing() {
    let mirror = "[defaults.external]\ndeliver = \"mirror\"\n";
    let secure = || Behaviour::secure(Kind::SelfSigned, HOST);
    for (from, fields, expected) in [
        (Sender::TrustedInClear, "X-TLSLevel: Try\r\n", Some(true)),
        (Sender::TrustedInClear, "", Some(false)),
        (Sender::StrangerInClear, "X-TLSLevel: Try\r\n", Some(false)),
    ] {
        assert_eq!(outcome(from, fields, mirror, secure()).await, expected, "{from:?} {fields}");
    }
    let require = "[[partner]]\ndomains = \"bank.example\"\ndeliver = \"require\"\n";
    assert_eq!(outcome(Sender::Trusted, "X-TLSLevel: Try\r\n", require, Behaviour::plain()).await, None);
    assert_eq!(outcome(Sender::Trusted, "X-TLSLevel: Try\r\n", "", Behaviour::plain()).await, Some(false), "the negative control");
}
