//! From a next hop to the hosts that are tried, in order.

use std::net::{IpAddr, SocketAddr};

use sealpost_discovery::{ResolveError, Resolver, interleave};
use sealpost_types::{Domain, NextHop};

/// One host that may take the mail, at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name; none for a route that is an address.
    pub(crate) name: Option<Domain>,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Whether the name is known for sure: written by the operator, or proven by DNSSEC.
    pub(crate) secure: bool,
}

/// The hosts of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// At least one, in the order in which they are tried.
    pub(crate) list: Vec<Host>,
    /// Whether there are more, whose addresses cannot be had for now.
    pub(crate) some_unknown: bool,
}

impl Host {
    /// Its name, or its address in brackets.
    pub(crate) fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("[{}]", self.address.ip()), ToString::to_string)
    }
}

/// The hosts of a next hop, in the order in which they are tried; at least one.
///
/// # Errors
/// What the resolver says; where several names were asked for, an error that may pass goes before one that will not.
pub(crate) async fn resolve<R: Resolver>(resolver: &R, next_hop: &NextHop, own_name: &Domain, random: u64) -> Result<Hosts, ResolveError> {
    let all = |list| Hosts { list, some_unknown: false };
    match next_hop {
        NextHop::Address { address, port } => Ok(all(vec![Host { name: None, address: SocketAddr::new(*address, *port), secure: true }])),
        NextHop::Host { name, port } => addresses(resolver, name, *port, true).await.map(all),
        NextHop::Mx(domain) => {
            let set = resolver.mx(domain).await?.without_loops(std::slice::from_ref(own_name))?;
            let mut hosts = Vec::new();
            let mut last_error = None;
            for mx in set.in_order(random) {
                match addresses(resolver, &mx.name, SMTP_PORT, set.dnssec.is_secure()).await {
                    Ok(found) => hosts.extend(found),
                    // The others may do. If none does, one that may answer later keeps the mail from being returned.
                    Err(error) if last_error.as_ref().is_none_or(ResolveError::is_permanent) => last_error = Some(error),
                    Err(_) => {}
                }
                if hosts.len() >= HOSTS_TRIED {
                    break;
                }
            }
            match last_error {
                Some(error) if hosts.is_empty() => Err(error),
                error => Ok(Hosts { list: hosts, some_unknown: error.is_some_and(|error| !error.is_permanent()) }),
            }
        }
    }
}

async fn addresses<R: Resolver>(resolver: &R, name: &Domain, port: u16, secure: bool) -> Result<Vec<Host>, ResolveError> {
    let host = |address: IpAddr| Host { name: Some(name.clone()), address: SocketAddr::new(address, port), secure };
    Ok(interleave(&resolver.addresses(name).await?.list).into_iter().map(host).collect())
}

/// Addresses tried in one attempt, over all hosts.
const HOSTS_TRIED: usize = 10;

const SMTP_PORT: u16 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_discovery::StaticResolver;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    async fn tried(resolver: &StaticResolver, next_hop: &str) -> Vec<String> {
        let hosts = resolve(resolver, &next_hop.parse().unwrap(), &domain("relay.example"), 1).await.unwrap();
        hosts.list.iter().map(|h| format!("{} {} {}", h.name.as_ref().map_or("-", |n| n.as_str()), h.address, h.secure)).collect()
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_looked_up_now_keeps_the_mail_whatever_the_others_say() {
        let resolver = StaticResolver::new();
        resolver.set_mx(&domain("b.example"), vec![(10, "slow.b.example".into()), (20, "gone.b.example".into())]);
        let slow = domain("slow.b.example");
        resolver.set_failure(&slow, Some(ResolveError::Server { name: slow.clone(), code: 2 }));
        let error = resolve(&resolver, &"mx:b.example".parse().unwrap(), &domain("relay.example"), 1).await.unwrap_err();
        assert!(!error.is_permanent(), "{error}");
    }

    /// A host that is gone is no host; one that cannot be looked up now may be the one that has TLS.
    #[tokio::test]
    async fn hosts_that_may_come_to_be_known_are_told_of() {
        let resolver = StaticResolver::new();
        resolver.set_mx(&domain("b.example"), vec![(10, "mx.b.example".into()), (20, "other.b.example".into())]);
        resolver.set_addresses(&domain("mx.b.example"), vec!["192.0.2.1".parse().unwrap()]);
        let some_unknown = async || {
            let next_hop = "mx:b.example".parse().unwrap();
            resolve(&resolver, &next_hop, &domain("relay.example"), 1).await.unwrap().some_unknown
        };
        assert!(!some_unknown().await, "it is gone");
        let other = domain("other.b.example");
        resolver.set_failure(&other, Some(ResolveError::Server { name: other.clone(), code: 2 }));
        assert!(some_unknown().await);
    }

    #[tokio::test]
    async fn a_route_is_known_for_sure_and_an_mx_is_not() {
        let resolver = StaticResolver::new();
        resolver.set_mx(&domain("b.example"), vec![(10, "mx.b.example".into()), (20, "gone.b.example".into())]);
        resolver.set_addresses(&domain("mx.b.example"), vec!["192.0.2.1".parse().unwrap()]);
        assert_eq!(tried(&resolver, "mx:b.example").await, ["mx.b.example 192.0.2.1:25 false"]);
        assert_eq!(tried(&resolver, "mx.b.example:26").await, ["mx.b.example 192.0.2.1:26 true"]);
        assert_eq!(tried(&resolver, "[2001:db8::1]:26").await, ["- [2001:db8::1]:26 true"]);
    }
}
