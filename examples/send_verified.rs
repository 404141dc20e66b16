//! One message over TLS to a server whose certificate was verified; nothing at all where the name is wrong.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use sealpost_examples::{Authority, Inbox, Outcome};
use sealpost_smtp::{ClientConfig, HelloName, Transaction};
use sealpost_transport::{ConnectOptions, Connector, ConnectorSettings, MemoryBody, RecipientOutcome, RustlsBackend, RustlsSettings};
use sealpost_types::{Domain, HostClause, HostDemand, Mailbox, Octets, Recipient, TlsRequirement, TlsVersion, WireKey};

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nHello, Bob.\r\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let authority = Authority::new()?;
    let mut bank = Inbox::start("mx.bank.example", authority.backend("mx.bank.example")?)?;
    let backend = Arc::new(RustlsBackend::new(RustlsSettings::new(authority.anchors()))?);
    let hello = HelloName::new("shop.example").ok_or("no name for EHLO")?;
    let connector = Connector::new(backend, ConnectorSettings::new(Arc::new(ClientConfig::new(hello))));

    // What the connection has to be like is its key.
    let key = |name: &str| -> Outcome<WireKey> {
        let clauses = vec![HostClause::Chain, HostClause::Identity(vec![name.parse()?])];
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
        Ok(WireKey::new(bank.address(), Some(Domain::parse(name)?), demand))
    };
    let options = ConnectOptions::default();
    let refused = connector.connect(&key("mx.other.example")?, &options).await.err().ok_or("the wrong name was taken")?;
    assert!(refused.is_tls_failure());
    println!("not sent: {}", refused.fault);

    let mut connection = connector.connect(&key("mx.bank.example")?, &options).await?;
    let bob = Recipient::new(Mailbox::parse("bob@bank.example")?.into());
    let message = Transaction::new(Mailbox::parse("ann@shop.example")?.into(), vec![bob], Octets(u64::try_from(MESSAGE.len())?));
    let outcome = connection.deliver(message, &mut MemoryBody::new(MESSAGE)).await?;
    let Some(RecipientOutcome::Delivered(reply)) = outcome.recipient(0) else { return Err("not delivered".into()) };
    let (facts, verdict) = (connection.tls().ok_or("in clear")?, connection.verdict().ok_or("not judged")?);
    println!("sent over {} {} to {}: {reply}", facts.version, facts.suite, verdict.path.join(" <- "));
    connection.quit().await;

    assert_eq!(bank.next().await?.text.as_bytes(), MESSAGE);
    assert!(bank.is_empty(), "the refused connection brought nothing");
    Ok(())
}
