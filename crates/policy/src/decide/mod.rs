//! Facts in, decision out: with `decide_host`, the only places where a level is decided.

mod deliver;
mod receive;
mod refusal;

use std::sync::Arc;

use sealpost_types::{ClearFallback, ClientIdentity, Demand, Fate, ForwardPath, Hop, KexFloor, Level, TlsRequirement, TlsVersion};

use crate::facts::{DeliverFacts, ReceiveFacts};
use crate::policy::Policy;
use crate::require_tls::RequireTls;
use crate::scope::Resolved;
use crate::trace::{NoTrace, Question, Recorder, Trace, TraceKey};

pub use refusal::{CertificateLack, REFUSAL_TEXT_OCTETS, Refusal, RefusalReason};

/// What is asked of a client's session for one sender, or one sender and recipient, and whether it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveDecision {
    /// What all sources together ask.
    pub demand: Arc<Demand>,
    /// The strictest level among them, for people to read.
    pub level: Level,
    /// Whether the session has what is asked.
    pub verdict: ReceiveVerdict,
    /// What would hold if entries in testing counted (F2); none where that is the same.
    pub shadow: Option<Box<ReceiveShadow>>,
}

/// What a reception would have come to with entries in testing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveShadow {
    /// What would have been asked.
    pub demand: Arc<Demand>,
    /// The strictest level among the sources.
    pub level: Level,
    /// Whether the session has that.
    pub verdict: ReceiveVerdict,
}

/// Whether a session has what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveVerdict {
    /// It has.
    Accept,
    /// It has not.
    Refuse(Box<Refusal>),
}

/// What is asked of the deliver hop for one recipient, before a host is known.
///
/// Two recipients of equal decisions and equal destinations may travel together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliverDecision {
    /// What all sources together ask.
    pub demand: Arc<Demand>,
    /// The strictest level among them, for people to read.
    pub level: Level,
    /// How long it is tried, and how it ends.
    pub fate: Fate,
    /// When it may go in clear after TLS failed; means something only where the demand is opportunistic.
    pub clear_fallback: ClearFallback,
    /// The certificate that is shown to a host that asks for one.
    pub client_identity: ClientIdentity,
    /// Whether what the recipient's domain publishes is left out of account: by `ignore_published`, by a `none` that an
    /// entry writes, or by the sender's `TLS-Required: No`.
    pub ignores_published: bool,
    /// How much of REQUIRETLS is insisted on, if the sender asks for it; the host's name and certificate are part of it.
    pub require_tls: Option<RequireTls>,
    /// What would hold if entries in testing counted (F2); none where that is the same.
    pub shadow: Option<Box<DeliverShadow>>,
}

/// What a delivery would have been asked with entries in testing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliverShadow {
    /// What would have been asked.
    pub demand: Arc<Demand>,
    /// The strictest level among the sources.
    pub level: Level,
    /// Whether what the recipient's domain publishes would have been left out of account.
    pub ignores_published: bool,
}

/// What the sources that were asked come to.
pub(crate) struct Outcome {
    pub(crate) joined: Joined,
    pub(crate) left_out_testing: bool,
}

/// The join of several scopes; nothing before the first.
#[derive(Default)]
pub(crate) struct Joined(Option<Resolved>);

impl ReceiveVerdict {
    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Accept => None,
            Self::Refuse(refusal) => Some(refusal),
        }
    }
}

impl ReceiveDecision {
    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.verdict.refusal()
    }
}

impl Policy {
    /// Whether the session may hand over mail of this sender, and for this recipient once there is one.
    ///
    /// At MAIL only the sender's sources are asked; at RCPT the recipient's too, and the join of both holds.
    #[must_use]
    pub fn decide_receive(&self, facts: &ReceiveFacts<'_>) -> ReceiveDecision {
        self.receive_decision(facts, self.receive(facts, false, &mut NoTrace))
    }

    /// The same decision, and every source that was asked for it.
    #[must_use]
    pub fn explain_receive(&self, facts: &ReceiveFacts<'_>) -> (ReceiveDecision, Trace) {
        let mut recorder = Recorder::new(self, facts.tls.is_some());
        let outcome = self.receive(facts, false, &mut recorder);
        recorder.settle(&outcome.joined, Hop::Receive);
        let decision = self.receive_decision(facts, outcome);
        let shadow = decision.shadow.as_ref().map(|shadow| (shadow.level, Arc::clone(&shadow.demand)));
        let trace = recorder.finish(Question::receive(facts), &decision.demand, decision.level, None, shadow);
        (decision, trace)
    }

    /// What is asked of the delivery to this recipient.
    #[must_use]
    pub fn decide_deliver(&self, facts: &DeliverFacts<'_>) -> DeliverDecision {
        self.deliver_decision(facts, self.deliver(facts, false, &mut NoTrace))
    }

    /// The same decision, and every source that was asked for it.
    #[must_use]
    pub fn explain_deliver(&self, facts: &DeliverFacts<'_>) -> (DeliverDecision, Trace) {
        let mut recorder = Recorder::new(self, facts.received_secure);
        let outcome = self.deliver(facts, false, &mut recorder);
        recorder.settle(&outcome.joined, Hop::Deliver);
        let decision = self.deliver_decision(facts, outcome);
        let shadow = decision.shadow.as_ref().map(|shadow| (shadow.level, Arc::clone(&shadow.demand)));
        let trace = recorder.finish(Question::deliver(facts), &decision.demand, decision.level, Some(decision.fate.clone()), shadow);
        (decision, trace)
    }

    /// What tells the trace of [`explain_receive`](Self::explain_receive) apart.
    #[must_use]
    pub fn receive_key(&self, facts: &ReceiveFacts<'_>) -> TraceKey {
        let mut key = TraceKey::of_reception(facts);
        self.receive(facts, false, &mut key);
        key
    }

    /// What tells the trace of [`explain_deliver`](Self::explain_deliver) apart.
    #[must_use]
    pub fn deliver_key(&self, facts: &DeliverFacts<'_>) -> TraceKey {
        let mut key = TraceKey::of_delivery(facts);
        self.deliver(facts, false, &mut key);
        key
    }

    fn receive_decision(&self, facts: &ReceiveFacts<'_>, outcome: Outcome) -> ReceiveDecision {
        let Outcome { joined, left_out_testing } = outcome;
        let level = joined.level();
        let verdict = self.verdict(facts, &joined);
        let demand = joined.into_demand(self);
        let shadow = left_out_testing.then(|| self.receive(facts, true, &mut NoTrace).joined).and_then(|shadow| {
            let (level, verdict) = (shadow.level(), self.verdict(facts, &shadow));
            let wanted = shadow.into_demand(self);
            (wanted != demand).then(|| Box::new(ReceiveShadow { demand: wanted, level, verdict }))
        });
        ReceiveDecision { demand, level, verdict, shadow }
    }

    fn deliver_decision(&self, facts: &DeliverFacts<'_>, outcome: Outcome) -> DeliverDecision {
        let Outcome { ref joined, left_out_testing } = outcome;
        let level = joined.level();
        let require_tls = self.require_tls(facts);
        let by_sender = facts.tls_optional && require_tls.is_none();
        let ignores_published = by_sender || joined.resolved().is_some_and(Resolved::leaves_out_published);
        let fate = joined.resolved().map_or_else(Fate::default, Resolved::fate);
        let clear_fallback = joined.resolved().map_or_else(ClearFallback::default, Resolved::clear_fallback);
        let client_identity = joined.resolved().map_or_else(ClientIdentity::default, Resolved::client_identity);
        let demand = outcome.joined.into_demand(self);
        let shadow = left_out_testing.then(|| self.deliver(facts, true, &mut NoTrace).joined).and_then(|shadow| {
            let level = shadow.level();
            let ignores = by_sender || shadow.resolved().is_some_and(Resolved::leaves_out_published);
            let wanted = shadow.into_demand(self);
            let differs = wanted != demand || ignores != ignores_published;
            differs.then(|| Box::new(DeliverShadow { demand: wanted, level, ignores_published: ignores }))
        });
        DeliverDecision { demand, level, fate, clear_fallback, client_identity, ignores_published, require_tls, shadow }
    }
}

impl Joined {
    fn join(&mut self, next: Resolved) {
        // Nearly always it is the first: that one is not moved about.
        if self.0.is_none() {
            self.0 = Some(next);
        } else {
            self.0 = self.0.take().map(|before| before.join(next));
        }
    }

    pub(crate) fn resolved(&self) -> Option<&Resolved> {
        self.0.as_ref()
    }

    fn into_demand(self, policy: &Policy) -> Arc<Demand> {
        match self.0 {
            Some(Resolved { demand, .. }) => demand,
            None => policy.plain.demand(TlsRequirement::Opportunistic, TlsVersion::Tls1_2, KexFloor::Any, None),
        }
    }

    fn level(&self) -> Level {
        self.0.as_ref().and_then(|resolved| resolved.level).unwrap_or(Level::Opportunistic)
    }
}

/// `<Postmaster>` without a domain is whoever looks after this relay.
fn is_own(forward_path: &ForwardPath) -> bool {
    matches!(forward_path, ForwardPath::Postmaster)
}
