//! From a next hop to the hosts that are tried, in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealpost_discovery::{Dane, Published, ResolveError, Resolver, StsFound, dane, interleave};
use sealpost_policy::{HostFacts, Sts, Tlsa};
use sealpost_types::{DnssecStatus, Domain, NextHop, StsMode};

/// One host that may take the mail, at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name; none for a route that is an address.
    pub(crate) name: Option<Domain>,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Whether the name is known for sure: written by the operator, or proven by DNSSEC.
    pub(crate) secure: bool,
    /// What is published of it.
    pub(crate) published: Arc<Published>,
    /// What is known of the MTA-STS policy of the recipient's domain; nothing where that does not count.
    pub(crate) sts: Arc<StsFound>,
}

/// The hosts of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// At least one, in the order in which they are tried.
    pub(crate) list: Vec<Host>,
    /// Whether there are more: their addresses cannot be had for now, or they are too many for one attempt.
    pub(crate) some_unknown: bool,
}

impl Hosts {
    /// The same hosts under an MTA-STS policy.
    pub(crate) fn under(mut self, sts: &Arc<StsFound>) -> Self {
        self.list.iter_mut().for_each(|host| host.sts = Arc::clone(sts));
        self
    }
}

/// Whose hosts are looked for, and whether what is published of them is asked for too.
pub(crate) struct Wanted<'a> {
    pub(crate) next_hop: &'a NextHop,
    /// This relay's own name: mail must not come back to it.
    pub(crate) own_name: &'a Domain,
    pub(crate) published: bool,
}

/// Names that a host was found by.
struct Found<'a> {
    name: &'a Domain,
    port: u16,
    /// What DNSSEC says of the host being one of the next hop's.
    dnssec: DnssecStatus,
    /// Names that count for its certificate beside its own, where all of it is secure (RFC 7672 section 3.2.2).
    others: &'a [Domain],
}

impl Host {
    /// What is known of it.
    pub(crate) fn facts<'f>(&'f self, next_hop: &'f NextHop) -> HostFacts<'f> {
        let tlsa = match &self.published.dane {
            Dane::Absent => Tlsa::Absent,
            Dane::Secure { .. } => Tlsa::Secure { usable: &self.published.usable },
            _ => Tlsa::Unknown,
        };
        let facts = HostFacts::new(next_hop, self.name.as_ref(), self.secure, self.address);
        facts.with_tlsa(tlsa).with_tlsa_names(&self.published.names).with_sts(self.sts_facts())
    }

    fn sts_facts(&self) -> Sts {
        match self.sts.mode() {
            StsMode::Enforce => Sts::Enforce { host_matches: self.is_named_by_sts() },
            StsMode::Testing => Sts::Testing,
            StsMode::None => Sts::Absent,
        }
    }

    /// Whether the MTA-STS policy of the recipient's domain names it.
    pub(crate) fn is_named_by_sts(&self) -> bool {
        let named = |name| self.sts.policy.as_ref().is_some_and(|kept| kept.policy.names(name));
        self.name.as_ref().is_some_and(named)
    }

    /// Its name, or its address in brackets.
    pub(crate) fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("[{}]", self.address.ip()), ToString::to_string)
    }
}

/// The hosts of a next hop, in the order in which they are tried; at least one.
///
/// # Errors
/// What the resolver says; where several names were asked for, an error that may pass goes before one that will not.
pub(crate) async fn resolve<R: Resolver>(resolver: &R, wanted: Wanted<'_>, random: u64) -> Result<Hosts, ResolveError> {
    let all = |list| Hosts { list, some_unknown: false };
    match wanted.next_hop {
        NextHop::Address { address, port } => {
            // Nothing is published of an address.
            let published = Arc::new(Published::new(Dane::Absent, None));
            let address = SocketAddr::new(*address, *port);
            Ok(all(vec![Host { name: None, address, secure: true, published, sts: Arc::default() }]))
        }
        NextHop::Host { name, port } => {
            // The operator wrote this name.
            let found = Found { name, port: *port, dnssec: DnssecStatus::Secure, others: &[] };
            addresses(resolver, &found, wanted.published).await.map(all)
        }
        NextHop::Mx(domain) => {
            let set = resolver.mx(domain).await?.without_loops(std::slice::from_ref(wanted.own_name))?;
            let mut hosts = Vec::new();
            let mut last_error = None;
            let others: Vec<_> = std::iter::once(domain.clone()).chain(set.alias_of.clone()).collect();
            let order = set.in_order(random);
            let mut some_left_out = order.len() < set.hosts.len();
            for mx in order {
                if hosts.len() >= HOSTS_TRIED {
                    some_left_out = true;
                    break;
                }
                let found = Found { name: &mx.name, port: SMTP_PORT, dnssec: set.dnssec, others: &others };
                match addresses(resolver, &found, wanted.published).await {
                    Ok(found) => hosts.extend(found),
                    // The others may do. If none does, one that may answer later keeps the mail from being returned.
                    Err(error) if last_error.as_ref().is_none_or(ResolveError::is_permanent) => last_error = Some(error),
                    Err(_) => {}
                }
            }
            match last_error {
                Some(error) if hosts.is_empty() => Err(error),
                error => Ok(Hosts { list: hosts, some_unknown: some_left_out || error.is_some_and(|error| !error.is_permanent()) }),
            }
        }
    }
}

async fn addresses<R: Resolver>(resolver: &R, found: &Found<'_>, with_published: bool) -> Result<Vec<Host>, ResolveError> {
    let addresses = resolver.addresses(found.name).await?;
    let dane = match found.dnssec {
        _ if !with_published => Dane::Unknown,
        DnssecStatus::Secure => dane(resolver, found.name, &addresses, found.port).await,
        DnssecStatus::Insecure => Dane::Absent,
        DnssecStatus::Bogus | DnssecStatus::Indeterminate => Dane::Unknown,
    };
    let secure = found.dnssec.is_secure();
    let published = Arc::new(Published::new(dane, std::iter::once(found.name).chain(found.others).cloned()));
    let host = |address: IpAddr| {
        let published = Arc::clone(&published);
        let address = SocketAddr::new(address, found.port);
        Host { name: Some(found.name.clone()), address, secure, published, sts: Arc::default() }
    };
    Ok(interleave(&addresses.list).into_iter().map(host).collect())
}

/// With so many addresses, those of further hosts are not tried in the same attempt.
const HOSTS_TRIED: usize = 10;

const SMTP_PORT: u16 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_discovery::StaticResolver;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    async fn found(resolver: &StaticResolver, next_hop: &str) -> Result<Hosts, ResolveError> {
        let (next_hop, own_name) = (next_hop.parse().unwrap(), domain("relay.example"));
        resolve(resolver, Wanted { next_hop: &next_hop, own_name: &own_name, published: true }, 1).await
    }

    async fn tried(resolver: &StaticResolver, next_hop: &str) -> Vec<String> {
        let hosts = found(resolver, next_hop).await.unwrap();
        hosts.list.iter().map(|h| format!("{} {} {}", h.name.as_ref().map_or("-", |n| n.as_str()), h.address, h.secure)).collect()
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_looked_up_now_keeps_the_mail_whatever_the_others_say() {
        let resolver = StaticResolver::new();
        resolver.set_mx(&domain("b.example"), vec![(10, "slow.b.example".into()), (20, "gone.b.example".into())]);
        let slow = domain("slow.b.example");
        resolver.set_failure(&slow, Some(ResolveError::Server { name: slow.clone(), code: 2 }));
        let error = found(&resolver, "mx:b.example").await.unwrap_err();
        assert!(!error.is_permanent(), "{error}");
    }

    /// A host that is gone is no host; one that cannot be looked up now may be the one that has TLS.
    #[tokio::test]
    async fn hosts_that_may_come_to_be_known_are_told_of() {
        let resolver = StaticResolver::new();
        resolver.set_mx(&domain("b.example"), vec![(10, "mx.b.example".into()), (20, "other.b.example".into())]);
        resolver.set_addresses(&domain("mx.b.example"), vec!["192.0.2.1".parse().unwrap()]);
        let some_unknown = async || found(&resolver, "mx:b.example").await.unwrap().some_unknown;
        assert!(!some_unknown().await, "it is gone");
        let other = domain("other.b.example");
        resolver.set_failure(&other, Some(ResolveError::Server { name: other.clone(), code: 2 }));
        assert!(some_unknown().await);
    }

    /// What the hosts that are tried have in common is not said of those that they are too many with.
    #[tokio::test]
    async fn hosts_that_are_left_out_are_told_of() {
        let resolver = StaticResolver::new();
        let hosts = |count: u16| (1..=count).map(|number| (number, format!("mx{number}.b.example")));
        let found = async |count, addresses: u8| {
            resolver.set_mx(&domain("b.example"), hosts(count).collect());
            for (_, name) in hosts(count) {
                resolver.set_addresses(&domain(&name), (1..=addresses).map(|last| [192, 0, 2, last].into()).collect());
            }
            let found = found(&resolver, "mx:b.example").await.unwrap();
            (found.list.len(), found.some_unknown)
        };
        assert_eq!(found(2, 5).await, (10, false), "all of them are tried");
        assert_eq!(found(3, 5).await, (10, true));
        assert_eq!(found(3, 4).await, (12, false), "those of a host are not torn apart");
        assert_eq!(found(13, 1).await, (10, true));
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

    /// RFC 7672 sections 2.2.1 and 3.2.2: of the hosts of an unsigned MX nothing is asked, and under a trust anchor the names of the whole
    /// secure way count.
    #[tokio::test]
    async fn what_is_published_is_asked_for_where_the_whole_way_is_secure() {
        use DnssecStatus::{Indeterminate, Insecure, Secure};
        let record = sealpost_types::TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![1; 32] };
        for (mx, host, expected) in [
            (Secure, Secure, "secure mx.b.example b.example"),
            (Insecure, Secure, "absent"),
            (Secure, Insecure, "absent"),
            (Indeterminate, Secure, "unknown"),
            (Secure, Indeterminate, "unknown"),
        ] {
            let (resolver, name) = (StaticResolver::new(), domain("mx.b.example"));
            resolver.set_mx(&domain("b.example"), vec![(10, "mx.b.example".into())]);
            resolver.set_dnssec(&domain("b.example"), mx);
            resolver.set_addresses(&name, vec!["192.0.2.1".parse().unwrap()]);
            resolver.set_dnssec(&name, host);
            resolver.set_tlsa(&name, vec![record.clone()]);
            let hosts = found(&resolver, "mx:b.example").await.unwrap();
            let published = &hosts.list[0].published;
            let word = match &published.dane {
                Dane::Secure { .. } => "secure",
                Dane::Absent => "absent",
                _ => "unknown",
            };
            let names = published.names.iter().map(|name| format!(" {name}")).collect::<String>();
            assert_eq!(format!("{word}{names}"), expected, "{mx} {host}");
        }
    }
}
