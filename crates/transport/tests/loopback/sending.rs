//! What the client side of a test needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{ClientConfig, HelloName, Transaction};
use sealpost_transport::{
    ConnectError, ConnectOptions, Connection, Connector, ConnectorSettings, MemoryBody, RustlsBackend, TransactionOutcome,
};
use sealpost_types::{Domain, ForwardPath, HostClause, HostDemand, Mailbox, Octets, Recipient, TlsRequirement, TlsVersion, WireKey};

use crate::pki::NAME;

pub(crate) fn connector(backend: &Arc<RustlsBackend>) -> Connector<RustlsBackend> {
    connector_with(backend, ClientConfig::new(HelloName::new("client.example").unwrap()))
}

pub(crate) fn connector_with(backend: &Arc<RustlsBackend>, config: ClientConfig) -> Connector<RustlsBackend> {
    Connector::new(Arc::clone(backend), ConnectorSettings::new(Arc::new(config)))
}

/// A client that waits for nothing longer than `after`.
pub(crate) fn impatient(after: Duration) -> ClientConfig {
    let mut config = ClientConfig::new(HelloName::new("client.example").unwrap());
    let timeouts = &mut config.timeouts;
    timeouts.greeting = after;
    timeouts.command = after;
    timeouts.mail = after;
    timeouts.rcpt = after;
    timeouts.data = after;
    timeouts.block = after;
    timeouts.finish = after;
    config
}

pub(crate) fn key(address: SocketAddr, tls: TlsRequirement, clauses: Vec<HostClause>) -> WireKey {
    WireKey::new(address, Some(Domain::parse(NAME).unwrap()), HostDemand::new(tls, clauses, TlsVersion::Tls1_2))
}

pub(crate) fn never(address: SocketAddr) -> WireKey {
    key(address, TlsRequirement::Never, vec![])
}

pub(crate) fn opportunistic(address: SocketAddr) -> WireKey {
    key(address, TlsRequirement::Opportunistic, vec![])
}

pub(crate) fn require(address: SocketAddr) -> WireKey {
    key(address, TlsRequirement::Mandatory, vec![])
}

pub(crate) fn verify(address: SocketAddr) -> WireKey {
    key(address, TlsRequirement::Mandatory, vec![HostClause::Chain, HostClause::Identity(vec![NAME.parse().unwrap()])])
}

pub(crate) async fn connect(backend: &Arc<RustlsBackend>, key: &WireKey) -> Result<Connection<RustlsBackend>, ConnectError> {
    connector(backend).connect(key, &ConnectOptions::default()).await
}

pub(crate) fn transaction(to: &[&str], body: &[u8]) -> Transaction {
    let recipient = |to: &&str| Recipient::new(ForwardPath::from(Mailbox::parse(to).unwrap()));
    let from = Mailbox::parse("ann@sender.example").unwrap();
    Transaction::new(from.into(), to.iter().map(recipient).collect(), Octets(u64::try_from(body.len()).unwrap()))
}

pub(crate) async fn deliver(connection: &mut Connection<RustlsBackend>, to: &[&str], body: &[u8]) -> TransactionOutcome {
    connection.deliver(transaction(to, body), &mut MemoryBody::new(body)).await.unwrap()
}
