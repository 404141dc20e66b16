//! The whole relay inside another program: parts of its own, a hook on what it accepts, its events, an orderly end.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use sealpost_discovery::StaticResolver;
use sealpost_examples::{Authority, Inbox, Outcome};
use sealpost_policy::Policy;
use sealpost_queue::MemorySpool;
use sealpost_relay::Relay;
use sealpost_relay::config::{Config, Listener, ListenerTls};
use sealpost_report::EventKind;
use sealpost_smtp::Reply;
use sealpost_types::Domain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> Outcome {
    let authority = Authority::new()?;
    let mut bank = Inbox::start("mx.bank.example", authority.backend("mx.bank.example")?)?;
    let dns = StaticResolver::new();
    dns.set_addresses(&Domain::parse("mx.bank.example")?, vec![bank.address().ip()]);
    let route = format!("mx.bank.example:{}", bank.address().port());
    let policy = format!("[[domain]]\nname = \"bank.example\"\nroute = \"{route}\"\ndeliver = \"verify\"\n");

    let mut config = Config::new(Domain::parse("relay.example")?, "not-used-with-a-queue-in-memory".into());
    config.listeners = vec![Listener::new("127.0.0.1:0".parse()?, ListenerTls::StartTls)];
    let relay = Relay::builder(config, MemorySpool::new(), dns, authority.backend("relay.example")?)
        .policy(Policy::parse("policy.toml", &policy)?)
        .accept_hook(|envelope, _| match envelope.reverse_path.domain().map(Domain::as_str) {
            Some("spam.example") => Err(Reply::fixed::<554, 7, 1>("not from you")),
            _ => Ok(()),
        })
        .start()
        .await?;
    let mut events = relay.events();

    let mut client = TcpStream::connect(relay.addresses()[0]).await?;
    let mail = |from: &str| format!("MAIL FROM:<{from}>\r\nRCPT TO:<bob@bank.example>\r\nBDAT 18 LAST\r\nSubject: hello\r\n\r\n");
    client.write_all(format!("EHLO c.example\r\n{}{}QUIT\r\n", mail("eve@spam.example"), mail("ann@shop.example")).as_bytes()).await?;
    let mut said = String::new();
    client.read_to_string(&mut said).await?;
    assert!(said.contains("554 5.7.1 not from you") && said.contains("queued as"), "{said}");

    let delivered = loop {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await??;
        println!("event: {}", event.kind);
        if event.kind == EventKind::Delivered {
            break event;
        }
    };
    let proof = delivered.proof.as_ref().ok_or("no proof")?;
    assert!(proof.satisfied);
    println!("delivered over {} as demanded: {}", proof.tls.ok_or("in clear")?.version, proof.demand);
    assert!(bank.next().await?.tls.is_some() && bank.is_empty());
    relay.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
