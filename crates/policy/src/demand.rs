//! Demands as a lattice: the join of two asks what either asks.

use std::sync::Arc;

use sealpost_types::{Clause, Demand, TlsRequirement, TlsVersion};

/// The least demand that asks everything `a` asks and everything `b` asks.
///
/// The strictest use of TLS, both sets of clauses, the higher floor. It is commutative, associative and idempotent, and
/// never asks less than either side.
///
/// # Example
/// ```
/// # use sealpost_policy::{covers, join};
/// # use sealpost_types::{Clause, Demand, TlsRequirement, TlsVersion};
/// let chain = Demand::new(TlsRequirement::Mandatory, vec![Clause::Chain], TlsVersion::Tls1_2);
/// let floor = Demand::new(TlsRequirement::Opportunistic, vec![], TlsVersion::Tls1_3);
/// let both = join(&chain, &floor);
/// assert_eq!(both, Demand::new(TlsRequirement::Mandatory, vec![Clause::Chain], TlsVersion::Tls1_3));
/// assert!(covers(&both, &chain) && covers(&both, &floor) && !covers(&chain, &floor));
/// ```
#[must_use]
pub fn join(a: &Demand, b: &Demand) -> Demand {
    let clauses = a.clauses.iter().chain(&b.clauses).cloned().collect();
    Demand::new(a.tls.max(b.tls), clauses, a.min_version.max(b.min_version))
}

/// Whether `a` asks everything that `b` asks: the order that [`join`] goes up in.
#[must_use]
pub fn covers(a: &Demand, b: &Demand) -> bool {
    a.tls >= b.tls && a.min_version >= b.min_version && b.clauses.iter().all(|clause| a.clauses.contains(clause))
}

/// The join without a new allocation where one side already asks it all.
pub(crate) fn join_shared(a: Arc<Demand>, b: Arc<Demand>) -> Arc<Demand> {
    if Arc::ptr_eq(&a, &b) || covers(&a, &b) {
        a
    } else if covers(&b, &a) {
        b
    } else {
        Arc::new(join(&a, &b))
    }
}

/// The demands without clauses, made once, so that a decision only counts a reference up.
#[derive(Debug)]
pub(crate) struct PlainDemands {
    floor_1_2: [Arc<Demand>; 3],
    floor_1_3: [Arc<Demand>; 3],
}

impl PlainDemands {
    pub(crate) fn new() -> Self {
        let row = |floor| {
            [TlsRequirement::Never, TlsRequirement::Opportunistic, TlsRequirement::Mandatory]
                .map(|tls| Arc::new(Demand::new(tls, Vec::new(), floor)))
        };
        Self { floor_1_2: row(TlsVersion::Tls1_2), floor_1_3: row(TlsVersion::Tls1_3) }
    }

    pub(crate) fn demand(&self, tls: TlsRequirement, floor: TlsVersion) -> Arc<Demand> {
        let [never, opportunistic, mandatory] = if floor >= TlsVersion::Tls1_3 { &self.floor_1_3 } else { &self.floor_1_2 };
        Arc::clone(match tls {
            TlsRequirement::Never => never,
            TlsRequirement::Opportunistic => opportunistic,
            TlsRequirement::Mandatory => mandatory,
        })
    }
}

/// What `verify` asks of a certificate: a chain, and each of these identities.
pub(crate) fn verified(identities: impl Iterator<Item = Clause>, floor: TlsVersion) -> Demand {
    Demand::new(TlsRequirement::Mandatory, std::iter::once(Clause::Chain).chain(identities).collect(), floor)
}
