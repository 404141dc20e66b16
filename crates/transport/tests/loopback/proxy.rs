//! Connections that come through a proxy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_transport::{ListenerTls, Server, ServerSettings, TlsBackend as _};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::pki::{Kind, Pki};
use crate::raw::RawClient;
use crate::receiver::{Receiver, config, plain_server, serve};
use crate::sending::verify;
use crate::server::limits;

const HEADER: &str = "PROXY TCP4 203.0.113.7 127.0.0.1 4000 25\r\n";

fn behind_proxy() -> Arc<Receiver> {
    Receiver { behind_proxy: true, ..Receiver::default() }.into()
}

async fn say(server: &Server, text: &str) -> RawClient {
    let mut client = RawClient::connect(server.local_addr()).await;
    client.say(text).await;
    client
}

/// What comes until the end of the connection.
async fn rest(client: &mut RawClient) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset says the same as an end.
    let _ = timeout(Duration::from_secs(5), client.tcp.read_to_end(&mut rest)).await.expect("an end in time");
    rest
}

// req: E5
#[tokio::test]
async fn the_client_is_whom_the_proxy_names() {
    let receiver = behind_proxy();
    let server = plain_server(ListenerTls::None, &Pki::new().server(Kind::Right), &receiver);
    let mut client = say(&server, &format!("{HEADER}EHLO client.example\r\n")).await;
    assert!(client.reply().await.starts_with("220 ") && client.reply().await.starts_with("250-"));
    let mut itself = say(&server, "PROXY UNKNOWN\r\n").await;
    assert!(itself.reply().await.starts_with("220 "));
    let clients: Vec<_> = receiver.clients.lock().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(clients, ["203.0.113.7:4000".to_owned(), itself.tcp.local_addr().unwrap().to_string()]);
}

#[tokio::test]
async fn nothing_is_said_to_a_proxy_without_a_header() {
    let receiver = behind_proxy();
    let server = plain_server(ListenerTls::StartTls, &Pki::new().server(Kind::Right), &receiver);
    for octets in ["EHLO client.example\r\n", "PROXY TCP4 203.0.113.7\r\n", "\r\n\r\n\0\r\nQUAT\n"] {
        assert_eq!(rest(&mut say(&server, octets).await).await, b"", "{octets:?}");
    }
    assert_eq!(receiver.clients.lock().unwrap().len(), 0);
}

/// Whoever is no proxy cannot choose its address.
#[tokio::test]
async fn a_header_of_anybody_else_is_a_bad_command() {
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    assert!(client.ask(HEADER).await.starts_with("500 5.5.2 "));
    assert_eq!(*receiver.clients.lock().unwrap(), [client.tcp.local_addr().unwrap()]);
}

#[tokio::test]
async fn tls_comes_behind_the_header() {
    let (pki, receiver) = (Pki::new(), behind_proxy());
    let backend = pki.server(Kind::Right);
    for (tls, words) in [(ListenerTls::StartTls, "EHLO c\r\nSTARTTLS\r\n"), (ListenerTls::Implicit, "")] {
        let server = plain_server(tls, &backend, &receiver);
        let mut client = say(&server, &format!("{HEADER}{words}")).await;
        if tls == ListenerTls::StartTls {
            for code in ["220 ", "250-", "220 "] {
                assert!(client.reply().await.starts_with(code));
            }
        }
        pki.client().connect(client.tcp, &verify(server.local_addr())).await.unwrap();
    }
    assert!(receiver.clients.lock().unwrap().iter().all(|client| client.to_string() == "203.0.113.7:4000"));
}

/// The limit per address is that of the client, not that of the proxy.
#[tokio::test]
async fn one_client_behind_a_proxy_has_its_share_of_connections() {
    let receiver = behind_proxy();
    let server = serve(limits(3, 1), &Pki::new().server(Kind::Right), &receiver);
    let mut first = say(&server, HEADER).await;
    assert!(first.reply().await.starts_with("220 "));
    let refused = say(&server, HEADER).await.reply().await;
    assert!(refused.starts_with("421 4.7.0 too many connections from your address"), "{refused}");
    let mut other = say(&server, &HEADER.replace("203.0.113.7", "203.0.113.8")).await;
    assert!(other.reply().await.starts_with("220 "), "another client has a share of its own");
    // The total holds for connections that have not said whose they are, too.
    let _silent = say(&server, "").await;
    while server.connections() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(say(&server, HEADER).await.reply().await.starts_with("421 4.7.0 too many connections, "));
}

#[tokio::test]
async fn a_proxy_that_waits_is_not_waited_for() {
    let receiver = behind_proxy();
    let mut settings = ServerSettings::new(Arc::new(config()), ListenerTls::StartTls);
    settings.proxy_header_timeout = Duration::from_millis(100);
    let server = serve(settings, &Pki::new().server(Kind::Right), &receiver);
    assert_eq!(rest(&mut say(&server, "PROXY TCP4 ").await).await, b"");

    // Nor at the end of the server.
    let server = plain_server(ListenerTls::StartTls, &Pki::new().server(Kind::Right), &receiver);
    let _silent = say(&server, "PROXY ").await;
    while server.connections() < 1 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    server.shutdown(Duration::from_secs(30)).await;
    assert!(start.elapsed() < Duration::from_secs(5));
}
