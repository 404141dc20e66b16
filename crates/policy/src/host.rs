//! From the demand on a delivery to the demand on one host.

use sealpost_types::{
    Clause, Domain, HostClause, HostDemand, NameMatch, NameRule, NextHop, ReferenceName, TlsRequirement, TlsVersion, WireKey,
};

use crate::compile::Policy;
use crate::decide::DeliverDecision;
use crate::facts::HostFacts;

/// What is asked of one host, and which connections to it will do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostDecision {
    /// Connections with this key meet the demand, and no others do.
    pub wire_key: WireKey,
    /// A name that is a right one only because `match = "mx"` trusts a name learnt from DNS without DNSSEC: a proof
    /// that rests on it must say so.
    pub insecure_name: Option<Domain>,
}

impl HostDecision {
    /// What the host's certificate and TLS must have.
    #[must_use]
    pub fn demand(&self) -> &HostDemand {
        &self.wire_key.demand
    }
}

impl Policy {
    /// What is asked of one host of the next hop: the decision's demand with every name filled in.
    ///
    /// Right names are: the domain whose mail exchangers the next hop is, and every name below it; the host's own name,
    /// or its bare address, where it is securely known; with `match = "mx"` the host's name however it was learnt; and the
    /// `names` of the policy.
    #[must_use]
    pub fn decide_host(&self, decision: &DeliverDecision, facts: &HostFacts<'_>) -> HostDecision {
        let demand = &decision.demand;
        if demand.tls == TlsRequirement::Never {
            // Nothing of the name or the floor reaches the wire in clear.
            let clear = HostDemand::new(TlsRequirement::Never, Vec::new(), TlsVersion::default());
            return HostDecision { wire_key: WireKey::new(facts.address, None, clear), insecure_name: None };
        }
        let mut insecure = false;
        let clauses = demand.clauses.iter().map(|clause| match clause {
            Clause::Identity(rule) => {
                let (names, trusted) = right_names(rule, facts);
                insecure |= trusted;
                HostClause::Identity(names)
            }
            // A clause that this release does not know must not be waived: with no name to match it cannot hold.
            Clause::Chain => HostClause::Chain,
            _ => HostClause::Identity(Vec::new()),
        });
        let demand = HostDemand::new(demand.tls, clauses.collect(), demand.min_version);
        let insecure_name = if insecure { facts.host.cloned() } else { None };
        HostDecision { wire_key: WireKey::new(facts.address, facts.host.cloned(), demand), insecure_name }
    }
}

/// The names that satisfy a rule on this host, and whether one of them is there only by trust in plain DNS.
fn right_names(rule: &NameRule, facts: &HostFacts<'_>) -> (Vec<ReferenceName>, bool) {
    let mut names = rule.names.clone();
    if let NextHop::Mx(domain) = facts.next_hop {
        names.push(ReferenceName::Exact(domain.clone()));
        names.push(ReferenceName::Below(domain.clone()));
    }
    let mut insecure = false;
    match facts.host {
        Some(host) if facts.securely_known => names.push(ReferenceName::Exact(host.clone())),
        Some(host) if rule.matching == NameMatch::Mx => {
            insecure = !names.iter().any(|name| covers(name, host));
            names.push(ReferenceName::Exact(host.clone()));
        }
        None if facts.securely_known => names.push(ReferenceName::Address(facts.address.ip())),
        _ => {}
    }
    names.sort();
    names.dedup();
    (names, insecure)
}

fn covers(name: &ReferenceName, host: &Domain) -> bool {
    match name {
        ReferenceName::Exact(exact) => exact == host,
        ReferenceName::Below(parent) => host.is_below(parent),
        _ => false,
    }
}
