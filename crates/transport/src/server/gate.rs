//! How many connections are let in, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::Refusal;

/// How many connections a listener takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// From everybody together. 1000.
    pub total: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits, unless the handler exempts it. 50.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 1000, per_address: 50 }
    }
}

/// Counts who is in.
#[derive(Debug)]
pub(super) struct Gate {
    limits: ConnectionLimits,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to be inside, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    counted_as: Option<IpAddr>,
}

impl Gate {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, inside: Mutex::default() })
    }

    /// Lets a client in, or says why not. `exempt` clients are counted in the total only.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr, exempt: bool) -> Result<Pass, Refusal> {
        let counted_as = (!exempt).then(|| network(client));
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.total >= self.limits.total {
            return Err(Refusal::TooManyConnections);
        }
        if let Some(address) = counted_as {
            let count = inside.by_address.entry(address).or_default();
            if *count >= self.limits.per_address {
                // A limit of zero must not leave an entry behind for each address that knocks.
                if *count == 0 {
                    inside.by_address.remove(&address);
                }
                return Err(Refusal::TooManyFromAddress);
            }
            *count += 1;
        }
        inside.total += 1;
        Ok(Pass { gate: Arc::clone(self), counted_as })
    }

    pub(super) fn count(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total = inside.total.saturating_sub(1);
        if let Some(address) = self.counted_as
            && let Some(count) = inside.by_address.get_mut(&address)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
    }
}

/// What one customer has: a whole IPv4 address, or the first half of an IPv6 address (RFC 6177 section 2).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gives_it_back() {
        let gate = Gate::new(ConnectionLimits { total: 4, per_address: 2 });
        let one = IpAddr::from([192, 0, 2, 1]);
        let two = IpAddr::from([192, 0, 2, 2]);
        let first = gate.enter(one, false).unwrap();
        let _second = gate.enter(one, false).unwrap();
        assert_eq!(gate.enter(one, false).unwrap_err(), Refusal::TooManyFromAddress);
        let _other = gate.enter(two, false).unwrap();
        drop(first);
        let _again = gate.enter(one, false).unwrap();
        assert_eq!(gate.enter(two, false).map(|_| gate.count()), Ok(4));
        let _fourth = gate.enter(two, true).unwrap();
        assert_eq!(gate.enter(two, true).unwrap_err(), Refusal::TooManyConnections, "nobody is exempt from the total");
    }

    #[test]
    fn exempt_addresses_have_no_share() {
        let gate = Gate::new(ConnectionLimits { total: 10, per_address: 0 });
        let one = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(gate.enter(one, false).unwrap_err(), Refusal::TooManyFromAddress);
        let passes: Vec<_> = (0..3).map(|_| gate.enter(one, true).unwrap()).collect();
        assert_eq!((passes.len(), gate.count()), (3, 3));
        drop(passes);
        let inside = gate.inside.lock().unwrap();
        assert_eq!((inside.total, inside.by_address.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let gate = Gate::new(ConnectionLimits { total: 10, per_address: 1 });
        let _pass = gate.enter("2001:db8::1".parse().unwrap(), false).unwrap();
        assert!(gate.enter("2001:db8::2:1".parse().unwrap(), false).is_err());
        let _pass = gate.enter("::ffff:192.0.2.1".parse().unwrap(), false).unwrap();
        assert!(gate.enter("192.0.2.1".parse().unwrap(), false).is_err(), "a mapped address is the IPv4 address");
    }
}
