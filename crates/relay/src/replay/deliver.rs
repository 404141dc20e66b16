//! The deliver hop: mail that a host took, and mail that came to its end for want of TLS.

use sealpost_policy::{DeliverDecision, DeliverFacts, HeaderLevel, HostDecision, HostFacts, Note, Step};
use sealpost_report::{Event, EventKind, NoTls};
use sealpost_types::{ClearFallback, ForwardPath, Level, NextHop, OnExpiry, TlsRequirement, UnixMillis};

use super::change::{Case, Change, Gap, Why, Would};
use super::seen::{Met, Seen};
use super::{Judged, Replay};
use crate::{account, route};

/// What a policy makes of what was seen; nothing where it comes out the same.
pub(super) type Answer = Option<(Would, Why)>;

impl Replay<'_> {
    pub(super) fn delivered(&self, event: &Event) -> Judged {
        self.by_recipient(Case::Delivery, event, of_taken)
    }

    /// Mail that was given up for another reason is none that a policy saves.
    pub(super) fn failed(&self, event: &Event) -> Option<Judged> {
        event.proof.as_ref().filter(|proof| !proof.satisfied)?;
        Some(self.by_recipient(Case::Failure, event, |seen, decision, host| {
            of_held(seen, decision, host).or_else(|| {
                let returned = event.kind == EventKind::DeletedByTlsPolicy && decision.fate.on_expiry == OnExpiry::Bounce;
                returned.then_some((Would::Return, Why::ReturnedOnExpiry))
            })
        }))
    }

    fn by_recipient(&self, case: Case, event: &Event, judge: impl Fn(&Seen<'_>, &DeliverDecision, &HostDecision) -> Answer) -> Judged {
        let domain = event.recipient.as_ref().and_then(ForwardPath::domain).cloned();
        let change = match Seen::of(event) {
            Some(seen) => self.change(&seen, event.received_secure, event.at, judge),
            None => Some(Change::untold(Gap::Entry)),
        };
        Judged { case, domain, change }
    }

    /// What the policy makes of it, whatever holds of the facts that were not kept; if that matters, it cannot be told.
    pub(super) fn change(
        &self,
        seen: &Seen<'_>,
        received_secure: Option<bool>,
        at: UnixMillis,
        judge: impl Fn(&Seen<'_>, &DeliverDecision, &HostDecision) -> Answer,
    ) -> Option<Change> {
        if route::next_hop(self.policy, self.config, seen.recipient) != seen.next_hop {
            return Some(Change::untold(Gap::NextHop));
        }
        let secure = received_secure.unwrap_or(true);
        let host_secure = if matches!(seen.next_hop, NextHop::Mx(_)) { seen.proof.host_secure } else { Some(true) };
        let header_level = seen.event.level_header.as_deref().map(HeaderLevel::of_client);
        let require_tls = seen.proof.require_tls.is_some();
        let facts = |received_secure| {
            let facts = DeliverFacts::new(seen.sender, seen.recipient, received_secure).with_header_level(header_level);
            facts.with_sender_choice(require_tls, false).at(at)
        };
        let ask = |facts: DeliverFacts<'_>, host_secure| {
            let decision = self.policy.decide_deliver(&facts);
            let host = HostFacts::new(&seen.next_hop, seen.host.as_ref(), host_secure, seen.address);
            judge(seen, &decision, &self.policy.decide_host(&decision, &host))
        };
        let host_is_sure = host_secure.unwrap_or(true);
        let mut answer = ask(facts(secure), host_is_sure);
        let untold = |gap| Some((Would::Untold, Why::Unknown(gap)));
        if received_secure.is_none() && ask(facts(!secure), host_is_sure) != answer {
            answer = untold(Gap::ReceivedSecure);
        } else if host_secure.is_none() && ask(facts(secure), false) != answer {
            answer = untold(Gap::HostSecure);
        }
        if self.policy.reads_header() {
            let (_, trace) = self.policy.explain_deliver(&facts(secure));
            let mut open = trace.steps.iter().filter(|step| step.note == Some(Note::HeaderUnknown)).peekable();
            // A rule that requires TLS only adds: where that would change nothing, its header does not matter.
            let requires = |step: &Step| step.asked.level == Some(Level::Require);
            let first = open.peek().map(|step| step.source.clone());
            if first.is_some()
                && !(open.all(requires) && ask(facts(secure).with_header_level(Some(HeaderLevel::Require)), host_is_sure) == answer)
            {
                return Some(Change { source: first, ..Change::untold(Gap::Header) });
            }
        }
        self.explained(&facts(secure), answer)
    }

    /// An answer with the source that gives it.
    pub(super) fn explained(&self, facts: &DeliverFacts<'_>, answer: Answer) -> Option<Change> {
        let (would, why) = answer?;
        let (_, trace) = self.policy.explain_deliver(facts);
        let source = account::deciding(&trace, why.axis()).map(|step| step.source.clone());
        Some(Change { would, why, source })
    }
}

/// Of a connection that a host took mail over.
pub(super) fn of_taken(seen: &Seen<'_>, decision: &DeliverDecision, host: &HostDecision) -> Answer {
    let demand = host.demand();
    match (demand.tls, &seen.proof.tls) {
        (TlsRequirement::Never, None) => None,
        // `mirror` follows the first hop, but for a host that insists on TLS.
        (TlsRequirement::Never, Some(_)) if decision.level == Level::Mirror && was_mirrored(seen) => None,
        (TlsRequirement::Never, Some(_)) => Some((Would::GoInClear, Why::TlsNotTried)),
        (TlsRequirement::Opportunistic, None) if decision.clear_fallback == ClearFallback::Never => match seen.no_tls() {
            Some(NoTls::NotOffered | NoTls::NotTried) => None,
            Some(_) => Some((Would::NotGoOut, Why::InClear)),
            None => Some((Would::Untold, Why::Unknown(Gap::Handshake))),
        },
        (TlsRequirement::Opportunistic, None) => None,
        (TlsRequirement::Opportunistic, Some(facts)) => {
            let missed = demand.floor_missed(facts)?;
            let would = if decision.clear_fallback == ClearFallback::Never { Would::NotGoOut } else { Would::GoInClear };
            Some((would, Why::BelowFloor(missed)))
        }
        (TlsRequirement::Mandatory, None) => match seen.no_tls() {
            _ if !decision.demand.is_mandatory() => Some((Would::Untold, Why::Unknown(Gap::Tlsa))),
            Some(NoTls::NotTried) => Some((Would::Untold, Why::Unknown(Gap::TlsNotTried))),
            _ => Some((Would::NotGoOut, Why::InClear)),
        },
        (TlsRequirement::Mandatory, Some(_)) => match seen.meets(demand) {
            Met::Yes => None,
            Met::No(why) => Some((Would::NotGoOut, why)),
            Met::Unknown(gap) => Some((Would::Untold, Why::Unknown(gap))),
        },
    }
}

/// Of a host at which TLS could not be had as it was demanded.
pub(super) fn of_held(seen: &Seen<'_>, decision: &DeliverDecision, host: &HostDecision) -> Answer {
    let demand = host.demand();
    // The same was demanded then, so the same comes out.
    if account::demand_in_words(demand) == seen.proof.demand {
        return None;
    }
    let untold = |gap| Some((Would::Untold, Why::Unknown(gap)));
    let certificate_seen = seen.proof.subject.is_some();
    match demand.tls {
        TlsRequirement::Never => Some((Would::GoOut, Why::TlsNotTried)),
        TlsRequirement::Opportunistic if certificate_seen => Some((Would::GoOut, Why::CertificateWillDo)),
        TlsRequirement::Opportunistic => match (decision.clear_fallback, seen.no_tls()) {
            (ClearFallback::Never, Some(NoTls::NotOffered)) => Some((Would::GoOut, Why::MayGoInClear)),
            (ClearFallback::Never, _) => untold(Gap::Handshake),
            _ => Some((Would::GoOut, Why::MayGoInClear)),
        },
        TlsRequirement::Mandatory if !decision.demand.is_mandatory() => untold(Gap::Tlsa),
        TlsRequirement::Mandatory if certificate_seen => match seen.meets(demand) {
            Met::Yes => Some((Would::GoOut, Why::CertificateWillDo)),
            Met::No(_) => None,
            Met::Unknown(gap) => untold(gap),
        },
        TlsRequirement::Mandatory => match seen.no_tls() {
            Some(NoTls::NotOffered) => None,
            _ => untold(Gap::Handshake),
        },
    }
}

fn was_mirrored(seen: &Seen<'_>) -> bool {
    seen.event.decided.as_ref().is_some_and(|decided| decided.level == Level::Mirror.as_str())
}
