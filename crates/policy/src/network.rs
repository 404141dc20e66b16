//! Who a client is: networks, certificate names and logins, and which entries name it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use sealpost_types::ReferenceName;

use crate::facts::ClientFacts;

/// One way in which an entry names clients.
///
/// Written `192.0.2.0/28`, `192.0.2.1`, `shared:192.0.2.0/24`, `cert:out.acme.example` or `auth:acme-out`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientPattern {
    /// An address in this network.
    Network(IpNetwork),
    /// An address in a network that serves many customers: it counts only together with the sender's domain.
    Shared(IpNetwork),
    /// A verified certificate with this name.
    Certificate(ReferenceName),
    /// This login.
    Login(Box<str>),
}

/// An IP network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork(IpNet);

/// A text that is no [`ClientPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientPatternError {
    /// Neither an address nor a network.
    #[error("{found:?} is no address and no network")]
    Network {
        /// The text.
        found: String,
    },
    /// Bits of the address lie behind the prefix: which network is meant is not sure.
    #[error("{found} has bits behind its prefix; the network is {network}")]
    HostBits {
        /// The text.
        found: String,
        /// The network that it lies in.
        network: String,
    },
    /// No name that a certificate can have.
    #[error(transparent)]
    Certificate(#[from] sealpost_types::ReferenceNameError),
    /// Nothing behind `auth:`.
    #[error("no login stands behind \"auth:\"")]
    Login,
}

/// Clients that one entry names.
#[derive(Debug, Default)]
pub(crate) struct ClientSet(Vec<ClientPattern>);

/// Which entries name a client: a hash lookup for each length of prefix that occurs.
#[derive(Debug, Default)]
pub(crate) struct ClientIndex {
    networks: HashMap<IpNet, Vec<Member>>,
    /// The lengths of prefixes that occur.
    v4: Vec<u8>,
    v6: Vec<u8>,
    logins: HashMap<Box<str>, Vec<u32>>,
    certificates: Vec<(ReferenceName, u32)>,
}

/// An entry that names a network.
#[derive(Clone, Copy, Debug)]
struct Member {
    entry: u32,
    shared: bool,
}

impl ClientPattern {
    /// Whether the client is one of these. What is shared needs the sender too, and is told apart by the caller.
    fn covers(&self, client: &ClientFacts<'_>) -> bool {
        match self {
            Self::Network(network) | Self::Shared(network) => network.contains(client.address),
            Self::Certificate(name) => has_name(client, name),
            Self::Login(login) => client.login == Some(login),
        }
    }

    /// Whether it is a network that is not shared.
    pub(crate) fn is_network(&self) -> bool {
        matches!(self, Self::Network(_))
    }
}

impl IpNetwork {
    /// Whether the address lies in it; an IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for IpNetwork {
    type Err = ClientPatternError;

    fn from_str(text: &str) -> Result<Self, ClientPatternError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| ClientPatternError::Network { found: text.to_owned() })?;
        let network = as_ipv4(network).unwrap_or(network);
        if network.trunc() != network {
            return Err(ClientPatternError::HostBits { found: text.to_owned(), network: network.trunc().to_string() });
        }
        Ok(Self(network))
    }
}

/// The IPv4 network that an IPv6 network stands for (`::ffff:192.0.2.0/120`): clients are compared as what they are. Nothing for any other.
#[must_use]
pub fn as_ipv4(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(mapped) = network else { return None };
    let address = mapped.addr().to_ipv4_mapped()?;
    IpNet::new(IpAddr::V4(address), mapped.prefix_len().checked_sub(96)?).ok()
}

impl FromStr for ClientPattern {
    type Err = ClientPatternError;

    fn from_str(text: &str) -> Result<Self, ClientPatternError> {
        match text.split_once(':') {
            Some(("auth", "")) => Err(ClientPatternError::Login),
            Some(("auth", login)) => Ok(Self::Login(login.into())),
            Some(("cert", name)) => Ok(Self::Certificate(name.parse()?)),
            Some(("shared", network)) => Ok(Self::Shared(network.parse()?)),
            _ => Ok(Self::Network(text.parse()?)),
        }
    }
}

impl ClientSet {
    pub(crate) fn new(patterns: Vec<ClientPattern>) -> Self {
        Self(patterns)
    }

    pub(crate) fn contains(&self, client: &ClientFacts<'_>) -> bool {
        self.0.iter().any(|pattern| pattern.covers(client))
    }
}

impl ClientIndex {
    pub(crate) fn insert(&mut self, pattern: &ClientPattern, entry: u32) {
        let network = |index: &mut Self, network: IpNet, shared| {
            let lengths = if matches!(network, IpNet::V4(_)) { &mut index.v4 } else { &mut index.v6 };
            if !lengths.contains(&network.prefix_len()) {
                lengths.push(network.prefix_len());
            }
            index.networks.entry(network).or_default().push(Member { entry, shared });
        };
        match pattern {
            ClientPattern::Network(IpNetwork(net)) => network(self, *net, false),
            ClientPattern::Shared(IpNetwork(net)) => network(self, *net, true),
            ClientPattern::Certificate(name) => self.certificates.push((name.clone(), entry)),
            ClientPattern::Login(login) => self.logins.entry(login.clone()).or_default().push(entry),
        }
    }

    /// Calls `visit` with each entry that names the client, and whether by a network that is shared with others. An entry
    /// that names it twice is visited twice.
    pub(crate) fn visit(&self, client: &ClientFacts<'_>, mut visit: impl FnMut(u32, bool)) {
        let address = client.address.to_canonical();
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        for length in lengths {
            let Ok(network) = IpNet::new(address, *length) else { continue };
            let members = self.networks.get(&network.trunc()).map(Vec::as_slice).unwrap_or_default();
            members.iter().for_each(|member| visit(member.entry, member.shared));
        }
        if let Some(entries) = client.login.and_then(|login| self.logins.get(login)) {
            entries.iter().for_each(|entry| visit(*entry, false));
        }
        // Most clients show none: then the list is not gone through.
        if client.certificate.is_some_and(|certificate| certificate.is_trusted) {
            let certified = self.certificates.iter().filter(|(name, _)| has_name(client, name));
            certified.for_each(|(_, entry)| visit(*entry, false));
        }
    }
}

/// Whether the client showed a trusted certificate with this name.
fn has_name(client: &ClientFacts<'_>, name: &ReferenceName) -> bool {
    let trusted = client.certificate.filter(|certificate| certificate.is_trusted);
    trusted.is_some_and(|certificate| certificate.names.iter().any(|presented| name.covers(presented)))
}

impl std::fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for ClientPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Shared(network) => write!(f, "shared:{network}"),
            Self::Certificate(name) => write!(f, "cert:{name}"),
            Self::Login(login) => write!(f, "auth:{login}"),
        }
    }
}
