//! What each kind of listener does about TLS.

use sealpost_queue::MemorySpool;
use sealpost_relay::config::{Listener, ListenerTls};

use crate::support::{Behaviour, Client, House, Mx, Running, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

#[tokio::test]
async fn each_listener_does_about_tls_what_it_is_told() {
    let bank = Mx::start(Behaviour::plain()).await;
    let mut house = House::new().route("bank.example", &[&bank]);
    let kinds = [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Require, ListenerTls::Implicit];
    house.config.listeners = kinds.map(|tls| Listener::new(([127, 0, 0, 1], 0).into(), tls)).to_vec();
    let relay = Running::start(house.build(MemorySpool::new())).await;
    let [none, starttls, require, implicit] = <[_; 4]>::try_from(relay.handle.addresses()).unwrap();

    let mut client = Client::clear(none).await;
    assert!(!client.say("EHLO again.example").await.contains("STARTTLS"));
    assert!(client.say("STARTTLS").await.starts_with("502 5.5.1 "));
    client.send(FROM, &[TO], &letter("none")).await;

    let mut client = Client::clear(starttls).await;
    assert!(client.say("EHLO again.example").await.contains("STARTTLS"));
    client.send(FROM, &[TO], &letter("starttls, in clear")).await;
    Client::secure(starttls).await.send(FROM, &[TO], &letter("starttls")).await;

    let mut client = Client::clear(require).await;
    assert!(client.say("MAIL FROM:<ann@shop.example>").await.starts_with("530 5.7.0 "));
    client.start_tls().await;
    client.send(FROM, &[TO], &letter("require")).await;

    let mut client = Client::implicit(implicit).await;
    assert!(!client.say("EHLO again.example").await.contains("STARTTLS"));
    client.send(FROM, &[TO], &letter("implicit")).await;
    drop(client);

    for message in bank.messages(5).await {
        let subject = message.fields("Subject").remove(0);
        let secure = !["none", "starttls, in clear"].contains(&subject.as_str());
        let with = if secure { " with ESMTPS id " } else { " with ESMTP id " };
        assert!(message.fields("Received")[0].contains(with), "{subject}: {:?}", message.fields("Received"));
    }
    relay.shutdown().await;
}

/// A listener that needs a certificate does not start without one.
#[tokio::test]
async fn a_listener_with_tls_needs_a_certificate() {
    for (tls, starts) in
        [(ListenerTls::None, true), (ListenerTls::StartTls, false), (ListenerTls::Require, false), (ListenerTls::Implicit, false)]
    {
        let mut config = House::new().config;
        config.listeners = vec![Listener::new(([127, 0, 0, 1], 0).into(), tls)];
        let dns = sealpost_discovery::StaticResolver::new();
        let started = sealpost_relay::Relay::builder(config, MemorySpool::new(), dns, crate::support::trusting()).start().await;
        match started {
            Ok(relay) => {
                assert!(starts, "{tls:?}");
                relay.shutdown(crate::support::PATIENCE).await;
            }
            Err(error) => assert!(!starts && matches!(error, sealpost_relay::StartError::NoCertificate { .. }), "{tls:?}: {error}"),
        }
    }
}
