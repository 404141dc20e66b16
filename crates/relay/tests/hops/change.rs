//! A policy that is replaced while the relay runs.

use std::time::Duration;

use sealpost_report::EventKind;

use crate::support::{Behaviour, Body, Client, House, Kind, Mx, Running, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

fn bank_at(level: &str) -> String {
    format!("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"{level}\"\n")
}

/// A relay that tries again after an hour, with one message that waits for TLS.
async fn waiting(bank: &Mx) -> Running {
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[bank]);
    let relay = house.policy(&bank_at("require")).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("wake up")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay
}

// req: E8
#[tokio::test]
async fn a_new_policy_wakes_what_waits() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = waiting(&bank).await;
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    relay.set_policy(&bank_at("require"));
    assert!(bank.message().await.tls.is_some());
    assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(2));
    relay.shutdown().await;
}

/// Mail is decided anew at each attempt: what is stricter now holds for what was accepted before.
// req: E8 B8
#[tokio::test]
async fn a_stricter_policy_reaches_mail_that_waits() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = waiting(&bank).await;
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    relay.set_policy(&bank_at("verify"));
    let deferred = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some("verify"));
    assert_eq!(bank.count(), 0, "the certificate that was good enough before is not now");
    bank.change(Behaviour::secure(Kind::Right, HOST));
    relay.set_policy(&bank_at("verify"));
    bank.message().await;
    relay.shutdown().await;
}

/// A new policy holds for sessions that are open, from the next command on.
// req: E8 A5
#[tokio::test]
async fn a_new_policy_holds_for_open_sessions() {
    let relay = House::new().start().await;
    let mut client = Client::clear(relay.address).await;
    assert!(client.say("MAIL FROM:<bob@bank.example>").await.starts_with("250 "));
    assert!(client.say("RSET").await.starts_with("250 "));
    relay.set_policy("[[partner]]\ndomains = \"bank.example\"\nreceive = \"require\"\n");
    assert!(client.say("MAIL FROM:<bob@bank.example>").await.starts_with("530 5.7.0 "));
    drop(client);
    relay.shutdown().await;
}

/// The route is the policy's too: mail that waits goes where a new one says, and a silent destination is not waited for.
// req: E8
#[tokio::test]
async fn a_new_route_reaches_mail_that_waits() {
    let (down, bank) = (crate::support::free_address(), Mx::start(Behaviour::plain()).await);
    let routed = |address: std::net::SocketAddr| format!("[[domain]]\nname = \"bank.example\"\nroute = \"{address}\"\n");
    let relay = House::new().retry(Duration::from_secs(3600)).policy(&routed(down)).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("moved")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay.set_policy(&routed(bank.address));
    assert!(bank.message().await.text().contains("moved"));
    relay.shutdown().await;
}

/// An attempt that was under way when the policy changed, and fails: its mail is tried by the new one at once, not after the
/// whole wait.
// req: E8
#[tokio::test]
async fn a_new_policy_reaches_mail_that_is_under_way() {
    let bank = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&bank]);
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("under way")).await;
    bank.when("it is under way", |record| record.held == 1, |_| ()).await;
    relay.set_policy(&bank_at("require"));
    bank.change(Behaviour::plain().with_body(Body::Refused("451 4.3.0 later")));
    let deferred = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"));
    bank.change(Behaviour::secure(Kind::Right, HOST));
    relay.set_policy(&bank_at("require"));
    assert!(bank.message().await.tls.is_some());
    relay.shutdown().await;
}
