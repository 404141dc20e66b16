//! Two relays in one process.

use sealpost_report::EventKind;
use sealpost_transport::TlsBackend as _;
use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion, WireKey};
use tokio::net::TcpStream;

use crate::support::{Behaviour, Client, House, Kind, Mx, PATIENCE, free_address, letter, trusting};

const TO: &str = "bob@bank.example";

/// Whether the server shows a certificate that is right for this name.
async fn shows_certificate_for(address: std::net::SocketAddr, name: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let mut said = [0; 1024];
    for line in ["", "EHLO client.example\r\n", "STARTTLS\r\n"] {
        tcp.write_all(line.as_bytes()).await.unwrap();
        assert!(tcp.read(&mut said).await.unwrap() > 0);
    }
    let clauses = vec![HostClause::Chain, HostClause::Identity(vec![name.parse().unwrap()])];
    let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
    trusting().connect(tcp, &WireKey::new(address, Some(name.parse().unwrap()), demand)).await.is_ok()
}

// req: A5
#[tokio::test]
async fn two_relays_have_certificates_and_policies_of_their_own() {
    let bank = Mx::start(Behaviour::plain()).await;
    let strict = House::named("strict.example").route("bank.example", &[&bank]);
    let strict = strict.policy("[[partner]]\ndomains = \"shop.example\"\nreceive = \"require\"\n").start().await;
    let easy = House::named("easy.example").route("bank.example", &[&bank]).start().await;

    assert!(shows_certificate_for(strict.address, "strict.example").await);
    assert!(shows_certificate_for(easy.address, "easy.example").await);
    assert!(!shows_certificate_for(strict.address, "easy.example").await, "the negative control: names are looked at");

    let refused = Client::clear(strict.address).await.say("MAIL FROM:<ann@shop.example>").await;
    assert!(refused.starts_with("530 5.7.0 "), "{refused}");
    assert_eq!(strict.count(EventKind::Refused), 1);
    Client::secure(strict.address).await.send("ann@shop.example", &[TO], &letter("strict")).await;
    Client::clear(easy.address).await.send("ann@shop.example", &[TO], &letter("easy")).await;
    let mut words: Vec<_> = bank.messages(2).await.iter().map(|message| message.fields("Subject").remove(0)).collect();
    words.sort();
    assert_eq!(words, ["easy", "strict"]);
    assert_eq!((strict.handle.stats().accepted, easy.handle.stats().accepted), (1, 1));
    strict.shutdown().await;

    // One ends, the other goes on.
    Client::secure(easy.address).await.send("ann@shop.example", &[TO], &letter("again")).await;
    bank.messages(3).await;
    easy.shutdown().await;
}

// req: E5 F6
#[tokio::test]
async fn a_message_passes_two_relays_over_verified_tls() {
    let bank = Mx::start(Behaviour::secure(Kind::Right, "mx.bank.example")).await;
    let second = House::named("second.example").route("bank.example", &[&bank]).partner("bank.example", "\"verify\"").start().await;
    let first = House::named("first.example").route_via("bank.example", "second.example", &[second.address]);
    let first = first.partner("bank.example", "\"verify\"").start().await;
    Client::secure(first.address).await.send("ann@shop.example", &[TO], &letter("far away")).await;

    let message = bank.message().await;
    let [last, before] = <[String; 2]>::try_from(message.fields("Received")).unwrap();
    for (field, from, by) in [(&last, "first.example", "second.example"), (&before, "client.example", "first.example")] {
        assert!(field.starts_with(&format!("from {from} ([127.0.0.1]) (using TLSv1.3 with cipher TLS_AES_")), "{field}");
        assert!(field.contains(" key-exchange X25519MLKEM768) "), "{field}");
        assert!(field.contains(&format!(" by {by} (Sealpost) with ESMTPS id ")) && field.contains(" for <bob@bank.example>; "), "{field}");
    }
    assert_eq!(message.text().split_once("From:").unwrap().1, " <ann@shop.example>\r\nSubject: far away\r\n\r\nThe words of far away.\r\n");
    for relay in [first, second] {
        let delivered = relay.first(EventKind::Delivered, TO).await;
        let proof = delivered.proof.as_ref().unwrap();
        assert!(proof.satisfied && proof.findings.is_empty() && proof.is_post_quantum() == Some(true), "{proof:?}");
        relay.shutdown().await;
    }
}

/// Two relays that send to each other: the one that sees too many Received fields refuses, and the sender is told, once.
#[tokio::test]
async fn a_loop_ends_with_one_notification() {
    // The second round is the negative control: it is the number of hops that ends the first.
    for (hops, rounds) in [(5, 5), (9, 9)] {
        let sender = Mx::start(Behaviour::plain()).await;
        let (left, right) = (free_address(), free_address());
        let relay = |name: &str, own, other: &str, address| {
            let mut house = House::named(name).at(own).route_via("loop.example", other, &[address]).route("shop.example", &[&sender]);
            house.config.limits.hops = hops;
            house
        };
        let first = relay("left.example", left, "right.example", right).start().await;
        let second = relay("right.example", right, "left.example", left).start().await;
        Client::secure(first.address).await.send("ann@shop.example", &["x@loop.example"], &letter("circle")).await;

        let notification = sender.message().await;
        assert_eq!((notification.from.as_str(), notification.to.as_slice()), ("", ["ann@shop.example".to_owned()].as_slice()));
        let text = notification.text();
        assert!(text.contains("Status: 5.4.6") && text.contains("554"), "{text}");
        // The notification is the last of the messages that were accepted, on the side that was refused.
        let accepted = first.handle.stats().accepted + second.handle.stats().accepted;
        assert_eq!(accepted, rounds);
        first.shutdown().await;
        second.shutdown().await;
        assert_eq!(sender.count(), 1);
    }
}

/// A relay that was dropped without a shutdown gives its port back.
#[tokio::test]
async fn a_dropped_relay_stops_listening() {
    let relay = House::new().start().await;
    let address = relay.address;
    Client::clear(address).await;
    drop(relay);
    let free = async {
        while std::net::TcpListener::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("its listener goes with it");
    let again = House::new().at(address).start().await;
    Client::clear(again.address).await;
    again.shutdown().await;
}
