//! What makes two connections exchangeable.

use std::net::SocketAddr;

use crate::{ClientIdentity, Domain, HostDemand};

/// Everything about a connection that its security rests on, and nothing else.
///
/// Two deliveries share a connection, or a TLS session ticket, exactly if their keys are equal: a connection that
/// was verified for one demand is never used for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct WireKey {
    /// Where the connection goes.
    pub address: SocketAddr,
    /// The name sent in the handshake; none for a host known only by its address.
    pub server_name: Option<Domain>,
    /// What was demanded of the host.
    pub demand: HostDemand,
    /// The certificate that is shown if the host asks for one.
    pub identity: ClientIdentity,
}

impl WireKey {
    /// A key of its parts, for a connection over which the usual certificate is shown.
    #[must_use]
    pub fn new(address: SocketAddr, server_name: Option<Domain>, demand: HostDemand) -> Self {
        Self { address, server_name, demand, identity: ClientIdentity::Usual }
    }

    /// The same for another certificate.
    #[must_use]
    pub fn showing(mut self, identity: ClientIdentity) -> Self {
        self.identity = identity;
        self
    }
}
