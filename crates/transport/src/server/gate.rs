//! How many connections are let in, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Refusal;

/// How many connections are let in at once.
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

/// Lets connections in up to its limits.
///
/// Clones are the same gate: listeners that are given clones of one share its limits.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Count>);

#[derive(Debug)]
struct Count {
    limits: ConnectionLimits,
    inside: Mutex<Inside>,
    turned_away: TurnedAway<AtomicU64>,
}

/// How many connections were turned away, by which limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnedAway<T = u64> {
    /// By the limit of all together.
    pub total: T,
    /// By the limit of their address.
    pub per_address: T,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to be inside, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Gate,
    counted_as: Option<IpAddr>,
}

impl Gate {
    /// A gate that nobody has passed yet.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Count { limits, inside: Mutex::default(), turned_away: TurnedAway::default() }))
    }

    /// How many connections are inside, whichever listener they came by.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inside().total
    }

    /// How many connections were turned away since the gate was made.
    #[must_use]
    pub fn turned_away(&self) -> TurnedAway {
        let TurnedAway { total, per_address } = &self.0.turned_away;
        TurnedAway { total: total.load(Ordering::Relaxed), per_address: per_address.load(Ordering::Relaxed) }
    }

    /// Lets a client in, or says why not. `exempt` clients are counted in the total only.
    pub(super) fn enter(&self, client: IpAddr, exempt: bool) -> Result<Pass, Refusal> {
        self.let_in(client, exempt).inspect_err(|refusal| self.count_refusal(*refusal))
    }

    fn let_in(&self, client: IpAddr, exempt: bool) -> Result<Pass, Refusal> {
        let counted_as = (!exempt).then(|| network(client));
        let mut inside = self.inside();
        if inside.total >= self.0.limits.total {
            return Err(Refusal::TooManyConnections);
        }
        if let Some(address) = counted_as {
            inside.count(address, self.0.limits.per_address)?;
        }
        inside.total += 1;
        drop(inside);
        Ok(Pass { gate: self.clone(), counted_as })
    }

    fn count_refusal(&self, refusal: Refusal) {
        let TurnedAway { total, per_address } = &self.0.turned_away;
        let counter = if refusal == Refusal::TooManyConnections { total } else { per_address };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn count(&mut self, address: IpAddr, limit: usize) -> Result<(), Refusal> {
        let count = self.by_address.entry(address).or_default();
        if *count >= limit {
            // A limit of zero must not leave an entry behind for each address that knocks.
            if *count == 0 {
                self.by_address.remove(&address);
            }
            return Err(Refusal::TooManyFromAddress);
        }
        *count += 1;
        Ok(())
    }
}

impl Pass {
    /// Counts the connection of an exempt client as one of this address from now on, or says why not.
    pub(super) fn count_as(&mut self, client: IpAddr) -> Result<(), Refusal> {
        let address = network(client);
        let counted = self.gate.inside().count(address, self.gate.0.limits.per_address);
        counted.inspect_err(|refusal| self.gate.count_refusal(*refusal))?;
        self.counted_as = Some(address);
        Ok(())
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(ConnectionLimits::default())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
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
        assert_eq!(gate.enter(two, false).map(|_| gate.connections()), Ok(4));
        let _fourth = gate.enter(two, true).unwrap();
        assert_eq!(gate.enter(two, true).unwrap_err(), Refusal::TooManyConnections, "nobody is exempt from the total");
        assert_eq!(gate.turned_away(), TurnedAway { total: 1, per_address: 1 });
    }

    #[test]
    fn exempt_addresses_have_no_share() {
        let gate = Gate::new(ConnectionLimits { total: 10, per_address: 0 });
        let one = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(gate.enter(one, false).unwrap_err(), Refusal::TooManyFromAddress);
        let passes: Vec<_> = (0..3).map(|_| gate.enter(one, true).unwrap()).collect();
        assert_eq!((passes.len(), gate.connections()), (3, 3));
        drop(passes);
        let inside = gate.inside();
        assert_eq!((inside.total, inside.by_address.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn who_is_learnt_later_has_a_share_too() {
        let gate = Gate::new(ConnectionLimits { total: 10, per_address: 1 });
        let (proxy, client) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
        let mut first = gate.enter(proxy, true).unwrap();
        let mut second = gate.enter(proxy, true).unwrap();
        first.count_as(client).unwrap();
        assert_eq!(second.count_as(client), Err(Refusal::TooManyFromAddress));
        drop(first);
        second.count_as(client).unwrap();
        drop(second);
        let inside = gate.inside();
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
