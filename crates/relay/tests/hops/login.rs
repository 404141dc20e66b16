//! AUTH: who logs in may send anywhere, and everybody learns of it who has to.

use sealpost_relay::{Users, users_line};
use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Mx, Running, letter};

/// `ann` with her password, and with another one.
const RIGHT: &str = "AUTH PLAIN AGFubgBodW50ZXIy";
const WRONG: &str = "AUTH PLAIN AGFubgBodW50ZXIz";

/// A relay that trusts nobody by address, and knows ann.
async fn relay(server: &Mx) -> Running {
    let mut house = House::new().route("other.example", &[server]);
    house.config.rights.trusted_networks.clear();
    let users = Users::parse("users", &users_line("ann", b"hunter2").unwrap()).unwrap();
    let builder = house.build(sealpost_queue::MemorySpool::new()).users(users).accept_hook(|_, reception| {
        assert_eq!(reception.login.as_deref(), Some("ann"));
        Ok(())
    });
    Running::start(builder).await
}

async fn may_relay(client: &mut Client) -> bool {
    client.say("MAIL FROM:<ann@shop.example>").await;
    let reply = client.say("RCPT TO:<bob@other.example>").await;
    client.say("RSET").await;
    assert!(reply.starts_with("250 ") || reply.starts_with("550 5.7.1 "), "{reply}");
    reply.starts_with("250 ")
}

// req: E5
#[tokio::test]
async fn who_logs_in_may_send_anywhere() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server).await;
    let mut client = Client::secure(relay.address).await;
    assert!(!may_relay(&mut client).await);
    assert!(client.say(WRONG).await.starts_with("535 5.7.8 "));
    assert!(!may_relay(&mut client).await, "an attempt is no login");
    assert!(client.say(RIGHT).await.starts_with("235 2.7.0 "));
    assert!(client.say(RIGHT).await.starts_with("503 5.5.1 "));
    assert!(may_relay(&mut client).await);
    client.say("EHLO client.example").await;
    assert!(may_relay(&mut client).await, "EHLO forgets no login");
    client.send("ann@shop.example", &["bob@other.example"], &letter("submitted")).await;
    let body = String::from_utf8(server.message().await.octets).unwrap();
    assert!(body.contains("with ESMTPSA id"), "{body}");
    let received = relay.first(EventKind::Received, "bob@other.example").await;
    assert_eq!(received.proof.as_ref().unwrap().login.as_deref(), Some("ann"));

    let mut other = Client::secure(relay.address).await;
    assert!(other.say("AUTH LOGIN").await.starts_with("334 "));
    assert!(other.say("YW5u").await.starts_with("334 "));
    assert!(other.say("aHVudGVyMg==").await.starts_with("235 "));
    assert!(may_relay(&mut other).await);
    drop((client, other));
    relay.shutdown().await;
}

// req: E5
#[tokio::test]
async fn nobody_logs_in_in_clear() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server).await;
    let mut client = Client::clear(relay.address).await;
    assert!(!client.say("EHLO client.example").await.contains("AUTH"));
    assert!(client.say(RIGHT).await.starts_with("538 5.7.11 "));
    assert!(!may_relay(&mut client).await);
    client.start_tls().await;
    assert!(client.say("EHLO client.example").await.contains("250 AUTH PLAIN LOGIN"), "the negative control");
    drop(client);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_relay_without_users_offers_no_auth() {
    let relay = House::new().start().await;
    let mut client = Client::secure(relay.address).await;
    assert!(!client.say("EHLO client.example").await.contains("AUTH"));
    assert!(client.say(RIGHT).await.starts_with("502 5.5.1 "));
    drop(client);
    relay.shutdown().await;
}

#[tokio::test]
async fn who_guesses_passwords_is_sent_away() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server).await;
    let mut client = Client::secure(relay.address).await;
    for _ in 0..20 {
        assert!(client.say(WRONG).await.starts_with("535 5.7.8 "));
    }
    assert!(client.reply().await.starts_with("421 4.7.0 "));
    relay.shutdown().await;
}
