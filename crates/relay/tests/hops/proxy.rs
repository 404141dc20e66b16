//! Clients behind a proxy: everything goes by the address that the proxy names.

use sealpost_report::EventKind;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Behaviour, Client, House, Mx, letter};

/// A client that the proxy on 127.0.0.1 says to be at this address.
async fn behind(address: std::net::SocketAddr, client: &str) -> Client {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("PROXY TCP4 {client} 127.0.0.1 4000 25\r\n").as_bytes()).await.unwrap();
    Client::begin(address, tcp).await
}

async fn asked(client: &mut Client) -> String {
    client.say("MAIL FROM:<ann@shop.example>").await;
    client.say("RCPT TO:<bob@other.example>").await
}

// req: E5
#[tokio::test]
async fn rights_and_records_go_by_the_address_that_the_proxy_names() {
    let server = Mx::start(Behaviour::plain()).await;
    let mut house = House::new().route("other.example", &[&server]);
    house.config.listeners[0].proxies = vec!["127.0.0.1/32".parse().unwrap()];
    // The proxy is trusted itself; that must not reach through to whomever it speaks for.
    house.config.rights.trusted_networks = vec!["127.0.0.0/8".parse().unwrap(), "203.0.113.7/32".parse().unwrap()];
    let relay = house.start().await;
    let mut stranger = behind(relay.address, "203.0.113.8").await;
    assert!(asked(&mut stranger).await.starts_with("550 5.7.1 "));
    let refused = relay.first(EventKind::Refused, "bob@other.example").await;
    assert_eq!(refused.address.unwrap().to_string(), "203.0.113.8:4000");

    let mut trusted = behind(relay.address, "203.0.113.7").await;
    trusted.start_tls().await;
    trusted.send("ann@shop.example", &["bob@other.example"], &letter("proxied")).await;
    let received = relay.first(EventKind::Received, "bob@other.example").await;
    assert_eq!(received.address.unwrap().to_string(), "203.0.113.7:4000");
    let octets = String::from_utf8(server.message().await.octets).unwrap();
    assert!(octets.contains("from client.example ([203.0.113.7])"), "{octets}");
    drop((stranger, trusted));
    relay.shutdown().await;
}

/// The negative control: who is not listed is a client, and its header a bad command.
#[tokio::test]
async fn who_is_no_proxy_cannot_choose_its_address() {
    let server = Mx::start(Behaviour::plain()).await;
    let mut house = House::new().route("other.example", &[&server]);
    house.config.listeners[0].proxies = vec!["127.0.0.1/32".parse().unwrap()];
    house.config.rights.trusted_networks = vec!["203.0.113.7/32".parse().unwrap()];
    let relay = house.start().await;
    let mut client = Client::clear_from([127, 0, 0, 2].into(), relay.address).await;
    assert!(client.say("PROXY TCP4 203.0.113.7 127.0.0.1 4000 25").await.starts_with("500 5.5.2 "));
    assert!(asked(&mut client).await.starts_with("550 5.7.1 "));
    drop(client);
    relay.shutdown().await;
}

/// The servers of a hosted domain are known by the address that the proxy names; being on the proxy's own helps nobody.
// req: B5 E5
#[tokio::test]
async fn own_servers_behind_a_proxy_are_known_by_the_address_that_it_names() {
    let server = Mx::start(Behaviour::plain()).await;
    let policy = "[[domain]]\nname = \"acme.example\"\nservers = \"203.0.113.7\"\nsubmit = \"require\"\n\
        [[domain]]\nname = \"proxy.example\"\nservers = \"127.0.0.0/8\"\nsubmit = \"require\"\n";
    let mut house = House::new().route("other.example", &[&server]).policy(policy);
    house.config.listeners[0].proxies = vec!["127.0.0.1/32".parse().unwrap()];
    house.config.rights.trusted_networks.clear();
    let relay = house.start().await;
    let mut own = behind(relay.address, "203.0.113.7").await;
    let refused = own.say("MAIL FROM:<ann@shop.example>").await;
    assert!(refused.starts_with("530 5.7.0 ") && refused.contains("acme.example"), "{refused}");
    own.start_tls().await;
    own.send("ann@shop.example", &["bob@other.example"], &letter("proxied")).await;
    server.message().await;

    // The negative control: another client of the same proxy is a stranger, in clear and over TLS.
    let mut stranger = behind(relay.address, "203.0.113.8").await;
    assert!(asked(&mut stranger).await.starts_with("550 5.7.1 "));
    stranger.start_tls().await;
    assert!(asked(&mut stranger).await.starts_with("550 5.7.1 "));
    drop((own, stranger));
    relay.shutdown().await;
}
