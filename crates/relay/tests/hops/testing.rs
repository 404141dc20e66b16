//! Entries in testing: mail flows as if they were not there, and the history says what they would have stopped.

use std::sync::Arc;

use sealpost_report::{Event, EventKind, ShadowOutcome};

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

fn in_testing(deliver: &str) -> String {
    format!("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = {deliver}\nmode = \"testing\"\n")
}

async fn relay(bank: &Mx, policy: &str) -> Running {
    House::new().route("bank.example", &[bank]).policy(policy).start().await
}

/// The delivery of one message that comes in over TLS.
async fn delivered(bank: &Mx, policy: &str) -> Arc<Event> {
    let relay = relay(bank, policy).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("testing")).await;
    let event = relay.first(EventKind::Delivered, TO).await;
    relay.shutdown().await;
    event
}

/// The level, the outcome and the reason of what the history says of entries in testing.
fn shadow(event: &Event) -> (&str, ShadowOutcome, &str) {
    let shadow = event.shadow.as_deref().unwrap_or_else(|| panic!("no shadow: {event:?}"));
    (&shadow.level, shadow.outcome, shadow.reason.as_deref().unwrap_or_default())
}

// req: F2
#[tokio::test]
async fn require_in_testing_stops_nothing_and_says_what_it_would_have_stopped() {
    let bank = Mx::start(Behaviour::plain()).await;
    let event = delivered(&bank, &in_testing("\"require\"")).await;
    assert!(bank.message().await.tls.is_none());
    assert_eq!(shadow(&event), ("require", ShadowOutcome::NotMet, "it went in clear"));
    assert_eq!(event.decided.as_ref().map(|decided| decided.level.as_str()), Some("opportunistic"), "it is out of the enforced decision");

    let secure = Mx::start(Behaviour::secure(Kind::SelfSigned, HOST)).await;
    let event = delivered(&secure, &in_testing("\"require\"")).await;
    assert_eq!(shadow(&event), ("require", ShadowOutcome::Met, ""));

    // The negative controls: enforced it stops the mail, and without it there is nothing to say.
    let enforced = in_testing("\"require\"").replace("testing", "enforce");
    let relay = relay(&bank, &enforced).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("testing")).await;
    relay.wait(EventKind::CheckTls, TO, 2).await;
    assert_eq!(bank.count(), 1);
    relay.shutdown().await;
    assert!(delivered(&bank, "").await.shadow.is_none());
}

/// TLS that fails is as good as none, and the reason is told.
// req: F2
#[tokio::test]
async fn mail_that_fell_back_is_judged_too() {
    for fallback in ["second-attempt", "immediate"] {
        let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Refused("554 5.7.3 never"))).await;
        let policy = format!("[defaults.external]\ndeliver = {{ level = \"opportunistic\", clear_fallback = \"{fallback}\" }}\n");
        let event = delivered(&bank, &format!("{policy}{}", in_testing("\"require\""))).await;
        assert_eq!(shadow(&event), ("require", ShadowOutcome::NotMet, "it went in clear"), "{fallback}");
        assert!(event.reason.as_deref().is_some_and(|reason| reason.contains("554 5.7.3 never")), "{event:?}");
        assert!(bank.message().await.tls.is_none());
    }
}

// req: F2 B8
#[tokio::test]
async fn verify_in_testing_looks_at_the_certificate() {
    for (kind, words) in [
        (Kind::SelfSigned, "self-signed"),
        (Kind::Expired, "expired"),
        (Kind::WrongName, "no certificate for mx.bank.example"),
        (Kind::Right, ""),
    ] {
        let bank = Mx::start(Behaviour::secure(kind, HOST)).await;
        let event = delivered(&bank, &in_testing("\"verify\"")).await;
        assert!(bank.message().await.tls.is_some());
        let (level, outcome, reason) = shadow(&event);
        let expected = if kind == Kind::Right { ShadowOutcome::Met } else { ShadowOutcome::NotMet };
        assert_eq!((level, outcome), ("verify", expected), "{kind:?}: {reason}");
        assert!(reason.contains(words), "{kind:?}: {reason}");
    }
}

/// What TLS would have been like is not known where it was not tried.
// req: F2 B3
#[tokio::test]
async fn what_was_not_tried_is_not_judged() {
    let bank = Mx::start(Behaviour::secure(Kind::Right, HOST)).await;
    let policy = format!("[defaults.external]\ndeliver = \"mirror\"\n{}", in_testing("\"require\""));
    let relay = relay(&bank, &policy).await;
    Client::clear(relay.address).await.send(FROM, &[TO], &letter("in clear")).await;
    let event = relay.first(EventKind::Delivered, TO).await;
    assert_eq!(shadow(&event), ("require", ShadowOutcome::NotJudged, ""));
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("over TLS")).await;
    let event = relay.wait(EventKind::Delivered, TO, 2).await.remove(1);
    assert_eq!(shadow(&event), ("require", ShadowOutcome::Met, ""));

    // A server that wants TLS after all gets it, and so it is known.
    bank.change(Behaviour { mail_in_clear: Some("530 5.7.0 STARTTLS first"), ..Behaviour::secure(Kind::Right, HOST) });
    Client::clear(relay.address).await.send(FROM, &[TO], &letter("in clear")).await;
    let event = relay.wait(EventKind::Delivered, TO, 3).await.remove(2);
    assert_eq!(shadow(&event), ("require", ShadowOutcome::Met, ""));
    relay.shutdown().await;
}

// req: F2
#[tokio::test]
async fn the_receive_hop_takes_what_testing_would_refuse_and_says_so() {
    let server = Mx::start(Behaviour::plain()).await;
    let policy = "[[partner]]\nname = \"Shop\"\ndomains = \"shop.example\"\nreceive = \"require\"\nmode = \"testing\"\n";
    let relay = relay(&server, policy).await;
    Client::clear(relay.address).await.send(FROM, &[TO], &letter("in clear")).await;
    let received = relay.first(EventKind::Received, TO).await;
    let (level, outcome, reason) = shadow(&received);
    assert_eq!((level, outcome), ("require", ShadowOutcome::NotMet));
    assert!(reason.contains("Mail from shop.example is accepted over TLS only") && reason.contains("Shop"), "{reason}");
    assert_eq!(received.decided.as_ref().map(|decided| decided.level.as_str()), Some("opportunistic"));
    server.message().await;

    Client::secure(relay.address).await.send(FROM, &[TO], &letter("over TLS")).await;
    let received = relay.wait(EventKind::Received, TO, 2).await.remove(1);
    assert_eq!(shadow(&received), ("require", ShadowOutcome::Met, ""));

    // The negative control.
    relay.set_policy(&policy.replace("testing", "enforce"));
    let refused = Client::clear(relay.address).await.say(&format!("MAIL FROM:<{FROM}>")).await;
    assert!(refused.starts_with("530 5.7.0 "), "{refused}");
    relay.shutdown().await;
}
