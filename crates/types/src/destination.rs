//! Where the next hop is, before any host is known.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::{AddressLiteral, Domain, DomainError};

/// Where mail for a recipient goes next.
///
/// Written `mx:example.org`, `host.example:25`, `192.0.2.1:25` or `[2001:db8::1]:25`; a route without a port means 25. `mx:26` is port 26 of
/// a host called `mx`, `mx:26.` the mail exchangers of a domain called `26`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "whoever routes mail has to handle each kind")]
pub enum NextHop {
    /// The mail exchangers of this domain.
    Mx(Domain),
    /// This host: a configured route.
    Host {
        /// Its name.
        name: Domain,
        /// Its port.
        port: u16,
    },
    /// This address: a configured route, or an address literal.
    Address {
        /// The address.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
}

/// A text that is no [`NextHop`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NextHopError {
    /// The port is no number from 1 to 65535.
    #[error("the port {found:?} is no number from 1 to 65535")]
    Port {
        /// What stands behind the last colon.
        found: String,
    },
    /// The brackets do not hold an IPv6 address.
    #[error("[{}] is no IPv6 address", found.escape_debug())]
    Address {
        /// What stands in the brackets.
        found: String,
    },
    /// The host is no domain name.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// What the queue groups its entries by; to the queue it is an opaque text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination(Arc<str>);

impl NextHop {
    /// The destination that the queue knows it by.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination::new(&self.to_string())
    }

    /// The next hop for mail to an address literal.
    #[must_use]
    pub fn literal(literal: AddressLiteral) -> Self {
        Self::Address { address: literal.0, port: SMTP_PORT }
    }
}

impl FromStr for NextHop {
    type Err = NextHopError;

    fn from_str(text: &str) -> Result<Self, NextHopError> {
        if let Some(domain) = text.strip_prefix("mx:").filter(|rest| !is_port(rest)) {
            return Ok(Self::Mx(Domain::parse(domain)?));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, port) = rest.split_once(']').ok_or_else(|| NextHopError::Address { found: rest.to_owned() })?;
            let address = inner.parse().map_err(|_| NextHopError::Address { found: inner.to_owned() })?;
            return Ok(Self::Address { address: IpAddr::V6(address), port: parse_port(port.strip_prefix(':'))? });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, parse_port(Some(port))?),
            None => (text, SMTP_PORT),
        };
        Ok(match host.parse() {
            Ok(address) => Self::Address { address: IpAddr::V4(address), port },
            Err(_) => Self::Host { name: Domain::parse(host)?, port },
        })
    }
}

/// Whether it is the port of a host that is called `mx`, and not a domain.
fn is_port(text: &str) -> bool {
    parse_port(Some(text)).is_ok()
}

fn parse_port(text: Option<&str>) -> Result<u16, NextHopError> {
    let Some(text) = text else { return Ok(SMTP_PORT) };
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(NextHopError::Port { found: text.to_owned() }),
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A domain that is a number would be the port of a host called mx.
            Self::Mx(domain) if is_port(domain.as_str()) => write!(f, "mx:{domain}."),
            Self::Mx(domain) => write!(f, "mx:{domain}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Address { address: IpAddr::V4(address), port } => write!(f, "{address}:{port}"),
            Self::Address { address: IpAddr::V6(address), port } => write!(f, "[{address}]:{port}"),
        }
    }
}

impl Destination {
    /// The destination of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The port of SMTP between relays.
const SMTP_PORT: u16 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_written() {
        for (text, shown) in [
            ("mx:Example.org", "mx:example.org"),
            ("mail.example.org", "mail.example.org:25"),
            ("mail.example.org:587", "mail.example.org:587"),
            ("192.0.2.1:2626", "192.0.2.1:2626"),
            ("[2001:db8::1]:26", "[2001:db8::1]:26"),
            ("[2001:db8::1]", "[2001:db8::1]:25"),
            // What was written for a host called mx was read as a domain called 25, and the queue knew both by one name.
            ("mx.", "mx:25"),
            ("mx:26", "mx:26"),
            ("mx:26.", "mx:26."),
            ("mx:99999", "mx:99999"),
        ] {
            let hop: NextHop = text.parse().unwrap();
            assert_eq!(hop.to_string(), shown);
            assert_eq!(shown.parse::<NextHop>(), Ok(hop));
        }
        assert!(matches!("a:0".parse::<NextHop>(), Err(NextHopError::Port { .. })));
        assert!(matches!("a:x".parse::<NextHop>(), Err(NextHopError::Port { .. })));
        assert!(matches!("[1.2.3.4]".parse::<NextHop>(), Err(NextHopError::Address { .. })));
        assert!(matches!("".parse::<NextHop>(), Err(NextHopError::Domain(_))));
    }
}
