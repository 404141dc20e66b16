//! The addresses of a host, and the order in which they are tried.

use std::net::IpAddr;

use sealpost_types::{DnssecStatus, Domain};

/// The addresses of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// The addresses in the order of the answer, without those that mail can never go to.
    pub list: Vec<IpAddr>,
    /// What DNSSEC says of them, and of every CNAME on the way to them.
    pub dnssec: DnssecStatus,
    /// What it says of the host's own record alone: its CNAME, where it is an alias.
    pub first: DnssecStatus,
    /// The name at the end of the CNAMEs, where the host is an alias.
    pub alias_of: Option<Domain>,
}

impl Addresses {
    /// The addresses of this list that mail can go to ([`is_destination`]), each once; nobody validated them.
    #[must_use]
    pub fn new(found: Vec<IpAddr>) -> Self {
        let mut list = Vec::with_capacity(found.len());
        for address in found {
            if is_destination(address) && !list.contains(&address) {
                list.push(address);
            }
            if list.len() == ADDRESSES_KEPT {
                break;
            }
        }
        Self { list, dnssec: DnssecStatus::Indeterminate, first: DnssecStatus::Indeterminate, alias_of: None }
    }

    /// The same of which DNSSEC says this, without a CNAME on the way.
    #[must_use]
    pub fn with_dnssec(mut self, dnssec: DnssecStatus) -> Self {
        (self.dnssec, self.first) = (dnssec, dnssec);
        self
    }

    /// The same for a host that is an alias of `name`; `first` is what DNSSEC says of its own CNAME.
    #[must_use]
    pub fn behind_alias(mut self, name: Domain, first: DnssecStatus) -> Self {
        (self.first, self.alias_of) = (first, Some(name));
        self
    }
}

/// Whether a connection to this address can mean one other host: not `0.0.0.0`, `::`, multicast or broadcast.
///
/// Loopback and private addresses are destinations: a relay in front of a local server has no others.
#[must_use]
pub fn is_destination(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast()),
    }
}

/// The order in which a host's addresses are tried: IPv6 and IPv4 in turn, IPv6 first, each family in the order given.
///
/// A host whose IPv6 is broken so costs one failed attempt and not as many as it has IPv6 addresses.
///
/// # Limits
/// The first [`ADDRESSES_TRIED`] of that order.
#[must_use]
pub fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut v6 = addresses.iter().copied().filter(IpAddr::is_ipv6);
    let mut v4 = addresses.iter().copied().filter(IpAddr::is_ipv4);
    let mut order = Vec::with_capacity(addresses.len().min(ADDRESSES_TRIED));
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] || order.len() >= ADDRESSES_TRIED {
            order.truncate(ADDRESSES_TRIED);
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// Addresses of one host that are tried in one attempt; RFC 5321 section 5.1 asks for at least two.
pub const ADDRESSES_TRIED: usize = 6;

/// Addresses kept of one answer; what lies beyond is nobody's honest answer.
const ADDRESSES_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_with_ipv6_first() {
        let found = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
        assert_eq!(interleave(&found), addresses(&["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]));
        assert_eq!(interleave(&addresses(&["192.0.2.1"])), addresses(&["192.0.2.1"]));
        assert!(interleave(&[]).is_empty());
    }

    #[test]
    fn no_more_than_the_limit_is_tried_and_both_families_are_among_them() {
        let mut found: Vec<IpAddr> = (1..=50).map(|i| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, i])).collect();
        found.extend((1..=50).map(|i| IpAddr::from([192, 0, 2, i])));
        let order = interleave(&found);
        assert_eq!(order.len(), ADDRESSES_TRIED);
        assert_eq!(order.iter().filter(|a| a.is_ipv4()).count(), ADDRESSES_TRIED / 2);
    }

    #[test]
    fn addresses_that_are_no_host_are_left_out() {
        let found =
            addresses(&["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:0.0.0.0", "127.0.0.1", "::1", "127.0.0.1"]);
        assert_eq!(Addresses::new(found).list, addresses(&["127.0.0.1", "::1"]));
    }
}
