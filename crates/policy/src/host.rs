//! From the demand on a delivery to the demand on one host.

use sealpost_types::{
    Clause, Demand, Domain, HostClause, HostDemand, NameMatch, NameRule, NextHop, ReferenceName, TlsRequirement, TlsVersion, TlsaRecord,
    WireKey,
};

use crate::decide::{DeliverDecision, DeliverShadow};
use crate::facts::{HostFacts, Sts, Tlsa};
use crate::policy::Policy;
use crate::require_tls::RequireTls;

/// What is asked of one host, and which connections to it will do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostDecision {
    /// Connections with this key meet the demand, and no others do.
    pub wire_key: WireKey,
    /// A name that is a right one only because `match = "mx"` trusts a name learnt from DNS without DNSSEC: a proof
    /// that rests on it must say so.
    pub insecure_name: Option<Domain>,
    /// Whether the host may not be used at all, whatever it presents.
    pub barred: Option<Barred>,
}

/// Why a host may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Barred {
    /// The recipient domain's MTA-STS policy does not name it (RFC 8461 section 4.1).
    NotInStsPolicy,
    /// REQUIRETLS was asked for, and the host's name was learnt without DNSSEC and without MTA-STS (RFC 8689 section 4.2.1).
    NotKnownForSure,
}

/// What is asked of a host, with what comes of it.
struct Filled<'f> {
    facts: &'f HostFacts<'f>,
    tls: TlsRequirement,
    clauses: Vec<HostClause>,
    insecure: bool,
}

impl DeliverDecision {
    /// Whether it depends on what the hosts of `next_hop` publish in DNS of their certificates: by a level of its own, or because what is
    /// published counts. Such a host is not to be used while that cannot be found out.
    #[must_use]
    pub fn depends_on_tlsa(&self, next_hop: &NextHop) -> bool {
        depends_on_tlsa(&self.demand, self.ignores_published, self.require_tls, next_hop)
    }

    /// The same with entries in testing.
    #[must_use]
    pub fn shadow_depends_on_tlsa(&self, next_hop: &NextHop) -> bool {
        let depends = |shadow: &DeliverShadow| depends_on_tlsa(&shadow.demand, shadow.ignores_published, self.require_tls, next_hop);
        self.shadow.as_deref().is_some_and(depends)
    }

    /// Whether it depends on the MTA-STS policy of the domain whose exchangers `next_hop` is: because what is published counts, or because
    /// REQUIRETLS asks for hosts that are known for sure.
    #[must_use]
    pub fn depends_on_sts(&self, next_hop: &NextHop) -> bool {
        depends_on_sts(self.ignores_published, self.require_tls, next_hop)
    }

    /// The same with entries in testing.
    #[must_use]
    pub fn shadow_depends_on_sts(&self, next_hop: &NextHop) -> bool {
        self.shadow.as_deref().is_some_and(|shadow| depends_on_sts(shadow.ignores_published, self.require_tls, next_hop))
    }
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
    ///
    /// What the recipient's domain publishes counts only for a next hop that came from its MX, raises and never lowers:
    /// a host with secure TLSA records is under DANE (RFC 7672) and not under MTA-STS.
    #[must_use]
    pub fn decide_host(&self, decision: &DeliverDecision, facts: &HostFacts<'_>) -> HostDecision {
        let mut host = host_decision(&decision.demand, decision.ignores_published, decision.require_tls, facts);
        // Nothing is shown in clear: such connections are alike whatever would be.
        if host.wire_key.demand.tls != TlsRequirement::Never {
            host.wire_key.identity = decision.client_identity.clone();
        }
        host
    }

    /// What would be asked of it if entries in testing counted; nothing where that is the same.
    #[must_use]
    pub fn decide_host_shadow(&self, decision: &DeliverDecision, facts: &HostFacts<'_>) -> Option<HostDecision> {
        let DeliverShadow { demand, ignores_published, .. } = decision.shadow.as_deref()?;
        Some(host_decision(demand, *ignores_published, decision.require_tls, facts))
    }
}

fn depends_on_tlsa(demand: &Demand, ignores_published: bool, require_tls: Option<RequireTls>, next_hop: &NextHop) -> bool {
    let is_asked = demand.clauses.iter().any(|clause| matches!(clause, Clause::Dane | Clause::DaneElse(_)));
    // Under REQUIRETLS, DANE is one of two ways to be the right host.
    let is_asked = is_asked || require_tls.is_some_and(|grade| grade != RequireTls::Require);
    is_asked || (!ignores_published && matches!(next_hop, NextHop::Mx(_)))
}

fn depends_on_sts(ignores_published: bool, require_tls: Option<RequireTls>, next_hop: &NextHop) -> bool {
    matches!(next_hop, NextHop::Mx(_)) && (!ignores_published || require_tls.is_some())
}

fn host_decision(demand: &Demand, ignores_published: bool, require_tls: Option<RequireTls>, facts: &HostFacts<'_>) -> HostDecision {
    let mut filled = Filled { facts, tls: demand.tls, clauses: Vec::new(), insecure: false };
    demand.clauses.iter().for_each(|clause| filled.fill(clause));
    let mut barred = None;
    if !ignores_published && matches!(facts.next_hop, NextHop::Mx(_)) {
        barred = filled.add_published();
    }
    if let Some(grade) = require_tls {
        let unknown = filled.add_require_tls(grade);
        barred = barred.or(unknown);
    }
    if filled.tls == TlsRequirement::Never {
        // Nothing of the name or the floors reaches the wire in clear.
        let clear = HostDemand::new(TlsRequirement::Never, Vec::new(), TlsVersion::default());
        return HostDecision { wire_key: WireKey::new(facts.address, None, clear), insecure_name: None, barred };
    }
    let server_name = filled.server_name();
    let insecure_name = if filled.insecure { facts.host.cloned() } else { None };
    let host = HostDemand::new(filled.tls, filled.clauses, demand.min_version).with_floors(demand.min_group, demand.ciphers.clone());
    HostDecision { wire_key: WireKey::new(facts.address, server_name, host), insecure_name, barred }
}

impl Filled<'_> {
    fn fill(&mut self, clause: &Clause) {
        match clause {
            Clause::Chain => self.clauses.push(HostClause::Chain),
            Clause::ChainTo(anchors) => self.clauses.push(HostClause::ChainTo(anchors.clone())),
            Clause::Pinned(pins) => self.clauses.push(HostClause::Pinned(pins.clone())),
            Clause::Identity(rule) => {
                let (names, trusted) = right_names(rule, self.facts);
                self.insecure |= trusted;
                self.clauses.push(HostClause::Identity(names));
            }
            Clause::Dane => self.add_dane(true),
            Clause::DaneElse(otherwise) => match self.facts.tlsa {
                Tlsa::Absent => otherwise.iter().for_each(|clause| self.fill(clause)),
                // Whether there are records is not known: nothing weaker may be taken for granted.
                Tlsa::Unknown => self.add_dane(true),
                // No certificate can be held against unusable records: what they cannot prove must be proven otherwise.
                Tlsa::Secure { usable: [] } => {
                    self.tls = TlsRequirement::Mandatory;
                    otherwise.iter().for_each(|clause| self.fill(clause));
                }
                Tlsa::Secure { .. } => self.add_dane(true),
            },
            // A clause that this release does not know must not be waived: with no name to match it cannot hold.
            _ => self.clauses.push(HostClause::Identity(Vec::new())),
        }
    }

    /// TLS, and what the records say. Records of which none is usable ask for TLS alone (RFC 7672 section 2.2), unless DANE
    /// itself is asked for.
    fn add_dane(&mut self, must_match: bool) {
        self.tls = TlsRequirement::Mandatory;
        match self.facts.tlsa {
            Tlsa::Secure { usable: [] } if !must_match => {}
            Tlsa::Secure { usable } => self.clauses.push(HostClause::Dane { records: usable.to_vec(), names: self.dane_names(usable) }),
            _ => self.clauses.push(HostClause::Dane { records: Vec::new(), names: Vec::new() }),
        }
    }

    /// What REQUIRETLS asks of a host, but for that it announces it (RFC 8689 section 4.2.1).
    fn add_require_tls(&mut self, grade: RequireTls) -> Option<Barred> {
        self.tls = TlsRequirement::Mandatory;
        if grade == RequireTls::Require {
            return None;
        }
        let facts = self.facts;
        let known = facts.securely_known || facts.sts == Sts::Enforce { host_matches: true };
        if grade == RequireTls::Strict && !known {
            return Some(Barred::NotKnownForSure);
        }
        if matches!(facts.tlsa, Tlsa::Secure { usable: [_, ..] }) {
            self.add_dane(false);
            return None;
        }
        let name = facts.host.map_or_else(|| ReferenceName::Address(facts.address.ip()), |host| ReferenceName::Exact(host.clone()));
        self.insecure |= !known;
        self.add_chain();
        self.clauses.push(HostClause::Identity(vec![name]));
        None
    }

    /// A chain to an anchor that this relay trusts for this host: where an entry names some, these are the ones (RFC 8461 section 4.2 and
    /// RFC 8689 section 4.2.1 leave it to the sender whom it trusts).
    fn add_chain(&mut self) {
        if !self.clauses.iter().any(HostClause::is_chain) {
            self.clauses.push(HostClause::Chain);
        }
    }

    /// The right names under a trust anchor that a record names; none where none does, so that equal demands stay equal.
    fn dane_names(&self, usable: &[TlsaRecord]) -> Vec<ReferenceName> {
        if !usable.iter().any(|record| record.usage == DANE_TA) {
            return Vec::new();
        }
        let facts = self.facts;
        let mut names: Vec<_> = facts.tlsa_names.iter().cloned().map(ReferenceName::Exact).collect();
        if names.is_empty() {
            names.extend(facts.host.filter(|_| facts.securely_known).cloned().map(ReferenceName::Exact));
            if let NextHop::Mx(domain) = facts.next_hop {
                names.push(ReferenceName::Exact(domain.clone()));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// The name for SNI: the one that the records stand under, where there are any (RFC 7672 section 8.1).
    fn server_name(&self) -> Option<Domain> {
        let is_dane = self.clauses.iter().any(|clause| matches!(clause, HostClause::Dane { .. }));
        self.facts.tlsa_names.first().filter(|_| is_dane).or(self.facts.host).cloned()
    }

    /// What the recipient's domain publishes of this host.
    fn add_published(&mut self) -> Option<Barred> {
        if matches!(self.facts.tlsa, Tlsa::Secure { .. }) {
            self.add_dane(false);
            return None;
        }
        let Sts::Enforce { host_matches } = self.facts.sts else { return None };
        if !host_matches {
            return Some(Barred::NotInStsPolicy);
        }
        self.tls = TlsRequirement::Mandatory;
        self.add_chain();
        // The policy is what makes the host's name a right one (RFC 8461 section 4.2).
        self.clauses.push(HostClause::Identity(self.facts.host.cloned().map(ReferenceName::Exact).into_iter().collect()));
        None
    }
}

/// The usage of TLSA records that name a trust anchor.
const DANE_TA: u8 = 2;

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
            insecure = !names.iter().any(|name| name.covers(host));
            names.push(ReferenceName::Exact(host.clone()));
        }
        None if facts.securely_known => names.push(ReferenceName::Address(facts.address.ip())),
        _ => {}
    }
    names.sort();
    names.dedup();
    (names, insecure)
}
