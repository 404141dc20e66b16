//! What a message needs of a server: nothing is converted, and nothing is asked for that is not needed.

use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Mx, Running, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

/// A relay, the server of the bank without one extension, and that of the sender.
async fn relay(missing: &str) -> (Running, Mx, Mx) {
    let (bank, sender) = (Mx::start(Behaviour::plain().without(missing)).await, Mx::start(Behaviour::plain()).await);
    let relay = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).start().await;
    (relay, bank, sender)
}

/// Bounced with this status, and the bank never heard of it.
async fn assert_bounced(relay: &Running, bank: &Mx, sender: &Mx, to: &str, status: &str) {
    let mails = bank.said("MAIL").len();
    relay.first(EventKind::Bounced, to).await;
    let notification = sender.messages(1).await.pop().unwrap();
    assert!(notification.text().contains(&format!("Status: {status}")), "{}", notification.text());
    assert_eq!(bank.said("MAIL").len(), mails);
}

// req: E5
#[tokio::test]
async fn eight_bit_mail_is_not_sent_where_it_cannot_be_taken() {
    let (relay, bank, sender) = relay("8BITMIME").await;
    let mut client = Client::secure(relay.address).await;
    // Declared, but pure ASCII: it needs nothing.
    client.send_with(FROM, "BODY=8BITMIME", &[TO], &letter("ascii")).await;
    assert_eq!(bank.message().await.parameters, format!("SIZE={}", bank.message().await.octets.len()));

    let umlauts = letter("Grüße");
    assert_ne!(umlauts.len(), letter("Grusse").len());
    client.send_with(FROM, "BODY=8BITMIME", &[TO], &umlauts).await;
    assert_bounced(&relay, &bank, &sender, TO, "5.6.3").await;
    // Nor if the client does not say so.
    client.send(FROM, &["cat@bank.example"], &umlauts).await;
    assert_bounced(&relay, &bank, &sender, "cat@bank.example", "5.6.3").await;
    assert_eq!(bank.count(), 1);
    drop(client);
    relay.shutdown().await;
}

/// Every host is asked before mail is returned, and what is returned says which one lacks what.
// req: E5
#[tokio::test]
async fn another_host_may_take_what_the_first_cannot() {
    let umlauts = letter("Gr\u{fc}\u{df}e");
    let lacking = || Behaviour::plain().without("8BITMIME").without("SMTPUTF8");
    for second in [Behaviour::plain(), lacking()] {
        let takes = second.extensions.contains(&"8BITMIME");
        let first = Mx::start(lacking()).await;
        let (second, sender) = (Mx::start_beside(&first, second).await, Mx::start(Behaviour::plain()).await);
        let relay = House::new().route("bank.example", &[&first, &second]).route("shop.example", &[&sender]).start().await;
        let mut client = Client::secure(relay.address).await;
        client.send(FROM, &[TO], &umlauts).await;
        if takes {
            client.send_with(FROM, "SMTPUTF8", &["j\u{fc}rgen@bank.example"], &letter("ascii")).await;
            assert!(second.messages(2).await.iter().any(|message| message.octets.ends_with(&umlauts)));
        } else {
            let text = sender.message().await.text().replace("\r\n    ", " ");
            assert!(
                text.contains(
                    "mx.bank.example does not offer 8BITMIME; the message has octets beyond ASCII, and messages are not converted here"
                ),
                "{text}"
            );
            client.send_with(FROM, "SMTPUTF8", &["j\u{fc}rgen@bank.example"], &letter("ascii")).await;
            let bounced = relay.first(EventKind::Bounced, "j\u{fc}rgen@bank.example").await;
            let reason = "mx.bank.example does not offer SMTPUTF8; the address <j\u{fc}rgen@bank.example> needs it";
            assert_eq!(bounced.reason.as_deref(), Some(reason));
            assert!(second.record().sessions > 0, "the second host was asked too");
        }
        assert_eq!(first.count(), 0);
        drop(client);
        relay.shutdown().await;
    }
}

/// The negative control: to a server that offers it, the same mail goes, as it is.
// req: E5
#[tokio::test]
async fn eight_bit_mail_goes_where_it_is_taken() {
    let (relay, bank, _sender) = relay("nothing").await;
    let umlauts = letter("Grüße");
    for parameters in ["BODY=8BITMIME", ""] {
        Client::secure(relay.address).await.send_with(FROM, parameters, &[TO], &umlauts).await;
    }
    for message in bank.messages(2).await {
        assert!(message.octets.ends_with(&umlauts) && message.parameters.contains("BODY=8BITMIME"), "{}", message.parameters);
    }
    relay.shutdown().await;
}

// req: E5
#[tokio::test]
async fn addresses_beyond_ascii_need_smtputf8() {
    let (relay, bank, sender) = relay("SMTPUTF8").await;
    let mut client = Client::secure(relay.address).await;
    client.send_with(FROM, "SMTPUTF8", &[TO], &letter("ascii")).await;
    assert!(!bank.message().await.parameters.contains("SMTPUTF8"), "declared, but not needed");
    client.send_with(FROM, "SMTPUTF8", &["jürgen@bank.example"], &letter("ascii")).await;
    assert_bounced(&relay, &bank, &sender, "jürgen@bank.example", "5.6.7").await;
    drop(client);
    relay.shutdown().await;

    // The negative control.
    let (relay, bank, _sender) = self::relay("nothing").await;
    Client::secure(relay.address).await.send_with(FROM, "SMTPUTF8", &["jürgen@bank.example"], &letter("ascii")).await;
    let message = bank.message().await;
    assert!(message.parameters.contains("SMTPUTF8") && message.to == ["jürgen@bank.example"]);
    assert!(message.fields("Received")[0].contains(" with UTF8SMTPS id "), "{:?}", message.fields("Received"));
    relay.shutdown().await;
}

// req: E5
#[tokio::test]
async fn a_size_that_a_server_does_not_take_is_not_sent() {
    let (relay, bank, sender) = relay("SIZE").await;
    let small = Behaviour { extensions: vec!["PIPELINING", "SIZE 2000"], ..Behaviour::plain() };
    bank.change(small);
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &[TO], &letter("small")).await;
    bank.message().await;
    client.send(FROM, &[TO], &letter(&"large ".repeat(400))).await;
    assert_bounced(&relay, &bank, &sender, TO, "5.3.4").await;
    drop(client);
    relay.shutdown().await;
}

// req: E5
#[tokio::test]
async fn a_size_that_the_relay_does_not_take_is_refused_at_mail_and_at_the_end() {
    let bank = Mx::start(Behaviour::plain()).await;
    let mut house = House::new().route("bank.example", &[&bank]);
    house.config.limits.message_size = sealpost_types::Octets(2000);
    let relay = house.start().await;
    let mut client = Client::clear(relay.address).await;
    assert!(client.say("EHLO again.example").await.contains("SIZE 2000"));
    let refused = client.say("MAIL FROM:<ann@shop.example> SIZE=2001").await;
    assert!(refused.starts_with("552 5.3.4 "), "{refused}");
    let refused = client.send(FROM, &[TO], &letter(&"large ".repeat(400))).await;
    assert!(refused.starts_with("552 5.3.4 "), "{refused}");
    client.send_with(FROM, "SIZE=100", &[TO], &letter("small")).await;
    assert!(bank.message().await.text().contains("small"));
    drop(client);
    relay.shutdown().await;
}
