//! What the relay would make of a host at a level of the policy.

use sealpost_cert::{TrustAnchors, Verdict, verify_server};
use sealpost_discovery::Dane;
use sealpost_policy::{Barred, DeliverDecision, DeliverFacts, HostDecision, Policy, Sts};
use sealpost_relay::ReachHost;
use sealpost_transport::{Connection, RustlsBackend, WallClock};
use sealpost_types::{Domain, ForwardPath, HostClause, HostDemand, Level, Mailbox, ReversePath, TlsFacts};

/// A level, as the relay decides it for mail to one domain that no entry of a policy speaks of.
#[derive(Debug)]
pub(crate) struct AtLevel {
    policy: Policy,
    decision: DeliverDecision,
    /// Whether the MTA-STS policy of the domain counts as enforced, whatever its mode.
    sts_enforced: bool,
}

/// What a host has to show, and whether it does.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Whether mail would go to this host.
    pub(crate) would_deliver: bool,
    /// What the certificate is held against.
    pub(crate) verdict: Verdict,
    /// Why not, where that is no matter of the certificate.
    pub(crate) missed: Option<String>,
}

impl AtLevel {
    /// The level as the only thing that is asked of mail to this domain.
    pub(crate) fn new(level: Level, domain: Option<&Domain>) -> Result<Self, String> {
        Self::by(policy_of(&format!("\"{level}\""))?, domain)
    }

    /// What a policy asks of mail to this domain.
    pub(crate) fn by(policy: Policy, domain: Option<&Domain>) -> Result<Self, String> {
        let path = recipient_of(domain)?;
        let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &path, true));
        Ok(Self::decided(policy, decision))
    }

    /// What the domain's MTA-STS policy asks, or would ask once it leaves its testing mode.
    pub(crate) fn by_sts(domain: Option<&Domain>) -> Result<Self, String> {
        Ok(Self { sts_enforced: true, ..Self::new(Level::Opportunistic, domain)? })
    }

    /// What a policy has decided.
    pub(crate) fn decided(policy: Policy, decision: DeliverDecision) -> Self {
        Self { policy, decision, sts_enforced: false }
    }

    /// The strictest level that was decided.
    pub(crate) fn level(&self) -> Level {
        self.decision.level
    }

    /// Why nobody knows what would be asked of this host, where that hangs on its TLSA records: while they cannot be had it is not used
    /// (RFC 7672 section 2.1.2), and that is no answer.
    pub(crate) fn unknown(&self, host: &ReachHost) -> Option<String> {
        let asks_for_records = |clause: &HostClause| matches!(clause, HostClause::Dane { records, .. } if records.is_empty());
        match host.dane() {
            Dane::Failed { error } if self.decision.depends_on_tlsa(host.facts().next_hop) => {
                Some(format!("its TLSA records could not be looked up: {error}"))
            }
            Dane::Unknown if self.demand(host).clauses.iter().any(asks_for_records) => {
                Some("nothing proves here what the DNS says".to_owned())
            }
            _ => None,
        }
    }

    /// Why this host may not be used, whatever it shows.
    pub(crate) fn barred(&self, host: &ReachHost) -> Option<&'static str> {
        Some(match self.decide(host).barred? {
            Barred::NotInStsPolicy => "the MTA-STS policy of the domain does not name it",
            Barred::NotKnownForSure => "its name was learnt without DNSSEC and MTA-STS, and REQUIRETLS is asked for",
            _ => "it may not be used",
        })
    }

    /// What would be asked of this host.
    pub(crate) fn demand(&self, host: &ReachHost) -> HostDemand {
        self.decide(host).demand().clone()
    }

    fn decide(&self, host: &ReachHost) -> HostDecision {
        let mut facts = host.facts();
        if let Some(kept) = host.sts().policy.as_ref().filter(|_| self.sts_enforced) {
            facts = facts.with_sts(Sts::Enforce { host_matches: host.name().is_some_and(|name| kept.policy.names(name)) });
        }
        self.policy.decide_host(&self.decision, &facts)
    }

    /// Whether a connection that was made without asking for anything has what would be asked.
    pub(crate) fn judge(&self, host: &ReachHost, connection: &Connection<RustlsBackend>, anchors: &TrustAnchors) -> Judged {
        judge(&self.demand(host), connection.chain(), connection.tls(), anchors)
    }
}

/// Whether a session that was made without asking for anything has what this demand asks.
pub(crate) fn judge(demand: &HostDemand, chain: &[Vec<u8>], tls: Option<&TlsFacts>, anchors: &TrustAnchors) -> Judged {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let verdict = verify_server(&chain, demand, anchors, WallClock::system().now());
    let missed = tls.and_then(|facts| demand.floor_missed(facts)).map(|missed| missed.to_string());
    Judged { would_deliver: verdict.satisfied && missed.is_none(), verdict, missed }
}

/// A policy in which this level is all that is asked.
pub(crate) fn policy_of(deliver: &str) -> Result<Policy, String> {
    let document = format!("[defaults.external]\ndeliver = {deliver}\n");
    Policy::parse("the level", &document).map_err(|error| format!("{deliver}: {error}"))
}

/// Somebody there; nobody in particular, where all that is known is an address.
pub(crate) fn recipient_of(domain: Option<&Domain>) -> Result<ForwardPath, String> {
    let domain = domain.map_or("host.invalid", Domain::as_str);
    let mailbox = Mailbox::parse(&format!("postmaster@{domain}")).map_err(|error| format!("{domain:?}: {error}"))?;
    Ok(ForwardPath::Mailbox(mailbox))
}
