//! What one destination or one host does is nobody else's trouble.

use std::net::SocketAddr;
use std::time::Duration;

use sealpost_report::EventKind;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::{Behaviour, Client, House, Mx, StartTls, free_address, letter};

const FROM: &str = "ann@shop.example";

/// A server that accepts connections and never says a word.
async fn silent_server() -> SocketAddr {
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
        }
    });
    address
}

/// Twenty workers sit in the wait for a greeting, and their lane is full; once, fresh and deferred mail for everybody
/// else waited with them.
#[tokio::test]
async fn a_server_that_says_nothing_holds_up_nobody_else() {
    let slow = silent_server().await;
    let fresh = Mx::start(Behaviour::plain()).await;
    let again = Mx::start(Behaviour::plain().answering("RCPT", "450 4.2.1 greylisted")).await;
    let house = House::new().route_to("slow.example", &[slow]).route("fresh.example", &[&fresh]).route("again.example", &[&again]);
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["cat@again.example"], &letter("comes back")).await;
    relay.first(EventKind::Deferred, "cat@again.example").await;
    for number in 0..1200 {
        client.send(FROM, &["bob@slow.example"], &letter(&format!("number {number}"))).await;
    }
    client.send(FROM, &["dan@fresh.example"], &letter("passes by")).await;
    fresh.message().await;
    again.change(Behaviour::plain());
    again.message().await;
    drop(client);
    relay.handle.shutdown(Duration::from_millis(200)).await;
}

/// One dead address of two: it is tried once, and then the other one first.
#[tokio::test]
async fn a_dead_address_is_not_dialled_for_each_message() {
    let bank = Mx::start(Behaviour::plain()).await;
    let dead = SocketAddr::new(free_address().ip(), bank.address.port());
    let relay = House::new().route_to("bank.example", &[dead, bank.address]).start().await;
    let mut client = Client::secure(relay.address).await;
    for number in 0..10 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
        relay.wait(EventKind::Delivered, "bob@bank.example", number + 1).await;
    }
    assert_eq!(relay.count(EventKind::Attempt), 1);
    relay.shutdown().await;
}

/// A host whose TLS failed may be talked to in clear at the second attempt; the other host of the domain offers TLS and
/// was only busy. (design: fall-back)
#[tokio::test]
async fn clear_text_goes_only_to_the_host_whose_tls_failed() {
    // In clear it would take the mail: only that nobody tries keeps it from that.
    let busy = Mx::start(Behaviour::plain().with_start_tls(StartTls::Refused("421 4.3.2 busy"))).await;
    let broken = Mx::start_beside(&busy, Behaviour::plain().with_start_tls(StartTls::Refused("454 4.7.0 no TLS now"))).await;
    let relay = House::new().route("bank.example", &[&busy, &broken]).start().await;
    Client::secure(relay.address).await.send(FROM, &["bob@bank.example"], &letter("second attempt")).await;
    relay.first(EventKind::Delivered, "bob@bank.example").await;
    assert_eq!((broken.count(), busy.count()), (1, 0));
    assert!(busy.saw_no_mail_in_clear());
    relay.shutdown().await;
}
