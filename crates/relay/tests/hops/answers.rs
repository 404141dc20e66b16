//! What a server does in the middle of things, and which host is tried next.

use std::time::Duration;

use sealpost_report::EventKind;

use crate::support::{Behaviour, Body, Client, House, Kind, Mx, Running, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

/// A relay with one message for a domain that has these two hosts; tried again after an hour only.
async fn sent(first: &Mx, second: &Mx, octets: &[u8]) -> Running {
    let relay = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[first, second]).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], octets).await;
    relay
}

/// A message that no socket's buffer takes as a whole.
fn large() -> Vec<u8> {
    let mut octets = letter("large");
    while octets.len() < 12 << 20 {
        octets.extend_from_slice(b"The quick brown fox jumps over the lazy dog.\r\n.And a line with a dot.\r\n");
    }
    octets
}

#[tokio::test]
async fn a_server_that_closes_in_the_middle_of_the_body_makes_way_for_the_next() {
    let octets = large();
    for extensions in [vec!["PIPELINING", "CHUNKING"], vec!["PIPELINING"]] {
        let cut = Behaviour { extensions, ..Behaviour::plain() }.with_body(Body::CutOff);
        let first = Mx::start(cut.clone()).await;
        let second = Mx::start_beside(&first, Behaviour { body: Body::Taken, ..cut }).await;
        let relay = sent(&first, &second, &octets).await;
        assert!(second.message().await.octets.ends_with(&octets), "all of it, from the beginning");
        let attempt = relay.first(EventKind::Attempt, TO).await;
        assert!(attempt.reason.as_deref().is_some_and(|reason| reason.contains("during the body")), "{attempt:?}");
        assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(1), "in the same attempt");
        assert_eq!(relay.count(EventKind::Deferred), 0);
        relay.shutdown().await;
    }
}

/// All of the body was sent, and no answer came: it may have been delivered. Another host would make a second copy for sure.
#[tokio::test]
async fn a_server_that_closes_after_the_body_is_asked_again_later() {
    let first = Mx::start(Behaviour::plain().with_body(Body::Unanswered)).await;
    let second = Mx::start_beside(&first, Behaviour::plain()).await;
    let relay = sent(&first, &second, &letter("unknown")).await;
    let deferred = relay.first(EventKind::Deferred, TO).await;
    assert!(deferred.reason.as_deref().is_some_and(|reason| reason.contains("may have been delivered")), "{deferred:?}");
    assert_eq!((second.record().sessions, relay.count(EventKind::Delivered)), (0, 0));
    relay.shutdown().await;
}

#[tokio::test]
async fn a_host_that_turns_everybody_away_makes_way_for_the_next() {
    for away in [
        Behaviour { greeting: "554 5.3.2 not here", ..Behaviour::plain() },
        Behaviour { greeting: "421 4.3.2 busy", ..Behaviour::plain() },
        Behaviour::plain().answering("EHLO", "421 4.3.2 busy"),
        Behaviour::plain().answering("MAIL", "421 4.3.2 busy"),
    ] {
        let first = Mx::start(away).await;
        let second = Mx::start_beside(&first, Behaviour::plain()).await;
        let relay = sent(&first, &second, &letter("next")).await;
        second.message().await;
        relay.first(EventKind::Delivered, TO).await;
        assert_eq!((relay.count(EventKind::Attempt), relay.count(EventKind::Bounced), first.count()), (1, 0, 0));
        relay.shutdown().await;
    }
}

/// 5yz is final as an answer to the mail, and 4yz waits; neither is a reason to ask another host.
#[tokio::test]
async fn an_answer_to_the_mail_is_an_answer() {
    for (beginning, body, reply, kind) in [
        ("MAIL", Body::Taken, "550 5.7.1 not from you", EventKind::Bounced),
        ("RCPT", Body::Taken, "550 5.1.1 nobody", EventKind::Bounced),
        ("none", Body::Refused("554 5.6.0 spam"), "554 5.6.0 spam", EventKind::Bounced),
        ("MAIL", Body::Taken, "451 4.3.0 later", EventKind::Deferred),
        ("RCPT", Body::Taken, "450 4.2.1 later", EventKind::Deferred),
        ("none", Body::Refused("452 4.3.1 full"), "452 4.3.1 full", EventKind::Deferred),
    ] {
        let first = Mx::start(Behaviour::plain().answering(beginning, reply).with_body(body)).await;
        let second = Mx::start_beside(&first, Behaviour::plain()).await;
        let sender = Mx::start(Behaviour::plain()).await;
        let house =
            House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&first, &second]).route("shop.example", &[&sender]);
        let relay = house.start().await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("answer")).await;
        let event = relay.first(kind, TO).await;
        assert_eq!(event.reply.as_deref(), Some(reply));
        if kind == EventKind::Bounced {
            assert!(sender.message().await.text().contains(&reply[4..]));
        }
        relay.shutdown().await;
        assert_eq!((second.record().sessions, sender.count()), (0, usize::from(kind == EventKind::Bounced)));
    }
}

/// The TLS of one host says nothing of the next: each is judged.
// req: A5 B8
#[tokio::test]
async fn each_host_is_verified() {
    let first = Mx::start(Behaviour::secure(Kind::WrongName, "mx.bank.example")).await;
    let second = Mx::start_beside(&first, Behaviour::secure(Kind::Right, "mx.bank.example")).await;
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&first, &second]);
    let relay = house.partner("bank.example", "\"verify\"").start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("each")).await;
    assert!(second.message().await.tls.is_some());
    let check = relay.first(EventKind::CheckTls, TO).await;
    assert_eq!(check.address, Some(first.address));
    assert_eq!((first.count(), first.said("MAIL").len(), relay.count(EventKind::Deferred)), (0, 0, 0));
    relay.shutdown().await;
}
