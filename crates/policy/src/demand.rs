//! Demands as a lattice: the join of two asks what either asks.

use std::sync::Arc;

use sealpost_types::{CipherSet, Demand, KexFloor, TlsRequirement, TlsVersion};

/// The least demand that asks everything `a` asks and everything `b` asks.
///
/// The strictest use of TLS, both sets of clauses, the higher floors, the cipher suites that both put up with. It is
/// commutative, associative and idempotent, and never asks less than either side.
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
    let ciphers = match (&a.ciphers, &b.ciphers) {
        (Some(a), Some(b)) => Some(a.intersection(b)),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    };
    Demand::new(a.tls.max(b.tls), clauses, a.min_version.max(b.min_version)).with_floors(a.min_group.max(b.min_group), ciphers)
}

/// Whether `a` asks everything that `b` asks: the order that [`join`] goes up in.
#[must_use]
pub fn covers(a: &Demand, b: &Demand) -> bool {
    a.tls >= b.tls
        && a.min_version >= b.min_version
        && a.min_group >= b.min_group
        && b.clauses.iter().all(|clause| a.clauses.contains(clause))
        && b.ciphers.as_ref().is_none_or(|wider| a.ciphers.as_ref().is_some_and(|own| own.is_subset(wider)))
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

/// The demands without clauses and ciphers, made once, so that a decision only counts a reference up.
#[derive(Debug)]
pub(crate) struct PlainDemands(Vec<Arc<Demand>>);

impl PlainDemands {
    pub(crate) fn new() -> Self {
        let mut all = Vec::with_capacity(TLS.len() * VERSIONS.len() * GROUPS.len());
        for tls in TLS {
            for version in VERSIONS {
                all.extend(GROUPS.map(|group| Arc::new(Demand::new(tls, Vec::new(), version).with_floors(group, None))));
            }
        }
        Self(all)
    }

    pub(crate) fn demand(&self, tls: TlsRequirement, version: TlsVersion, group: KexFloor, ciphers: Option<&CipherSet>) -> Arc<Demand> {
        let new = || Arc::new(Demand::new(tls, Vec::new(), version).with_floors(group, ciphers.cloned()));
        let place = || {
            let tls = TLS.iter().position(|one| *one == tls)?;
            let version = VERSIONS.iter().position(|one| *one == version)?;
            let group = GROUPS.iter().position(|one| *one == group)?;
            self.0.get((tls * VERSIONS.len() + version) * GROUPS.len() + group)
        };
        if ciphers.is_some() { new() } else { place().map_or_else(new, Arc::clone) }
    }
}

const TLS: [TlsRequirement; 3] = [TlsRequirement::Never, TlsRequirement::Opportunistic, TlsRequirement::Mandatory];
const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls1_2, TlsVersion::Tls1_3];
const GROUPS: [KexFloor; 5] = [KexFloor::Any, KexFloor::Bits128, KexFloor::Bits192, KexFloor::Bits256, KexFloor::PostQuantum];
