//! Facts in, decision out: with `decide_host`, the only places where a level is decided.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{
    Demand, Domain, EnhancedStatus, Fate, ForwardPath, Hop, Level, OnExpiry, ReplyCode, ReversePath, TlsFacts, TlsRequirement, TlsVersion,
};

use crate::compile::Policy;
use crate::demand::join_shared;
use crate::facts::{DeliverFacts, ReceiveFacts};
use crate::scope::{Origin, Resolved, Scope};
use crate::trace::{NoTrace, Party, Question, Recorder, Source, SourceKind, Trace, Tracer};

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

/// Why a session may not hand this mail over, and the reply that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What is missing.
    pub reason: RefusalReason,
    /// Who asks for it.
    pub asked_by: Source,
    /// 530 at MAIL, 550 at RCPT and for TLS below a floor.
    pub code: ReplyCode,
    /// 5.7.0 at MAIL and for TLS below a floor, 5.7.10 at RCPT.
    pub status: EnhancedStatus,
    /// One line of printable ASCII, at most [`REFUSAL_TEXT_OCTETS`] long, that names the source.
    pub text: String,
}

/// What a session lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It is in clear.
    NoTls,
    /// Its TLS is older than the floor.
    BelowFloor {
        /// What it has.
        found: TlsVersion,
        /// What is asked.
        floor: TlsVersion,
    },
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
}

impl ReceiveDecision {
    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            ReceiveVerdict::Accept => None,
            ReceiveVerdict::Refuse(refusal) => Some(refusal),
        }
    }
}

impl Policy {
    /// Whether the session may hand over mail of this sender, and for this recipient once there is one.
    ///
    /// At MAIL only the sender's sources are asked; at RCPT the recipient's too, and the join of both holds.
    #[must_use]
    pub fn decide_receive(&self, facts: &ReceiveFacts<'_>) -> ReceiveDecision {
        self.receive(facts, &mut NoTrace).0
    }

    /// The same decision, and every source that was asked for it.
    #[must_use]
    pub fn explain_receive(&self, facts: &ReceiveFacts<'_>) -> (ReceiveDecision, Trace) {
        let mut recorder = Recorder::new(self, facts.tls.is_some());
        let (decision, joined) = self.receive(facts, &mut recorder);
        let trace = recorder.finish(Question::receive(facts), &joined, &decision.demand, decision.level, None);
        (decision, trace)
    }

    /// What is asked of the delivery to this recipient.
    #[must_use]
    pub fn decide_deliver(&self, facts: &DeliverFacts<'_>) -> DeliverDecision {
        self.deliver(facts, &mut NoTrace).0
    }

    /// The same decision, and every source that was asked for it.
    #[must_use]
    pub fn explain_deliver(&self, facts: &DeliverFacts<'_>) -> (DeliverDecision, Trace) {
        let mut recorder = Recorder::new(self, facts.received_secure);
        let (decision, joined) = self.deliver(facts, &mut recorder);
        let trace = recorder.finish(Question::deliver(facts), &joined, &decision.demand, decision.level, Some(decision.fate));
        (decision, trace)
    }

    fn receive<T: Tracer>(&self, facts: &ReceiveFacts<'_>, tracer: &mut T) -> (ReceiveDecision, Joined) {
        let mut joined = Joined::default();
        self.receive_from(facts.reverse_path, &mut joined, tracer);
        if let Some(forward_path) = facts.forward_path {
            self.receive_to(forward_path, &mut joined, tracer);
        }
        self.fill_up(Hop::Receive, &mut joined, tracer);
        let demand = joined.demand(self);
        let verdict =
            self.judge(facts, &demand, &joined).map_or(ReceiveVerdict::Accept, |refusal| ReceiveVerdict::Refuse(Box::new(refusal)));
        (ReceiveDecision { demand, level: joined.level(), verdict }, joined)
    }

    /// The sender's sources: a partner entry, and the defaults unless the domain is hosted.
    fn receive_from<T: Tracer>(&self, reverse_path: &ReversePath, joined: &mut Joined, tracer: &mut T) {
        let domain = reverse_path.domain();
        let hosted = domain.is_some_and(|domain| self.is_hosted(domain));
        let mut scope = Scope::new(self, Hop::Receive);
        tracer.scope(Party::Sender);
        scope.ask_table(SourceKind::Partner, domain, !hosted, tracer);
        if !hosted {
            scope.ask_defaults(SourceKind::DefaultsExternal, tracer);
        }
        joined.join(scope.resolve(true, tracer));
    }

    /// The recipient's sources: its hosted domain and the defaults for those. An external recipient has no say here.
    fn receive_to<T: Tracer>(&self, forward_path: &ForwardPath, joined: &mut Joined, tracer: &mut T) {
        let mut scope = Scope::new(self, Hop::Receive);
        tracer.scope(Party::Recipient);
        if scope.ask_table(SourceKind::Domain, forward_path.domain(), true, tracer) || is_own(forward_path) {
            scope.ask_defaults(SourceKind::DefaultsHosted, tracer);
        }
        joined.join(scope.resolve(true, tracer));
    }

    fn deliver<T: Tracer>(&self, facts: &DeliverFacts<'_>, tracer: &mut T) -> (DeliverDecision, Joined) {
        let domain = facts.forward_path.domain();
        let mut joined = Joined::default();
        let mut scope = Scope::new(self, Hop::Deliver);
        tracer.scope(Party::Recipient);
        let hosted = scope.ask_table(SourceKind::Domain, domain, true, tracer) || is_own(facts.forward_path);
        if hosted {
            scope.ask_defaults(SourceKind::DefaultsHosted, tracer);
            joined.join(scope.resolve(facts.received_secure, tracer));
            scope = Scope::new(self, Hop::Deliver);
            tracer.scope(Party::Recipient);
        }
        // A hosted domain may lie below a partner's; `*` speaks of other people's domains only.
        if !is_own(facts.forward_path) {
            scope.ask_table(SourceKind::Partner, domain, !hosted, tracer);
        }
        if !hosted {
            scope.ask_defaults(SourceKind::DefaultsExternal, tracer);
        }
        joined.join(scope.resolve(facts.received_secure, tracer));
        (DeliverDecision { demand: joined.demand(self), level: joined.level(), fate: joined.fate() }, joined)
    }

    /// Where nobody has a say, what is built in has.
    fn fill_up<T: Tracer>(&self, hop: Hop, joined: &mut Joined, tracer: &mut T) {
        if joined.level.is_none() {
            let mut scope = Scope::new(self, hop);
            tracer.scope(Party::Nobody);
            scope.ask_builtin(tracer);
            joined.join(scope.resolve(true, tracer));
        }
    }

    fn judge(&self, facts: &ReceiveFacts<'_>, demand: &Demand, joined: &Joined) -> Option<Refusal> {
        let (reason, origin) = match facts.tls {
            None if demand.is_mandatory() => (RefusalReason::NoTls, joined.tls_from),
            Some(TlsFacts { version, .. }) if *version < demand.min_version => {
                (RefusalReason::BelowFloor { found: *version, floor: demand.min_version }, joined.floor_from)
            }
            _ => return None,
        };
        let asked_by = Source::of(self, origin?);
        let (code, status) = match (reason, facts.forward_path) {
            (RefusalReason::NoTls, None) => (ReplyCode::new(530)?, EnhancedStatus::new(5, 7, 0)?),
            (RefusalReason::NoTls, Some(_)) => (ReplyCode::new(550)?, EnhancedStatus::new(5, 7, 10)?),
            (RefusalReason::BelowFloor { .. }, _) => (ReplyCode::new(550)?, EnhancedStatus::new(5, 7, 0)?),
        };
        let text = refusal_text(reason, &asked_by, facts);
        Some(Refusal { reason, asked_by, code, status, text })
    }
}

/// The join of several scopes, without an allocation where one of them asks it all.
#[derive(Default)]
pub(crate) struct Joined {
    demand: Option<Arc<Demand>>,
    level: Option<Level>,
    pub(crate) tls_from: Option<Origin>,
    pub(crate) floor_from: Option<Origin>,
    pub(crate) lifetime: Option<(Duration, Origin)>,
    pub(crate) on_expiry: Option<(OnExpiry, Origin)>,
}

impl Joined {
    fn join(&mut self, resolved: Option<Resolved>) {
        let Some(resolved) = resolved else { return };
        let before = self.demand.take();
        if before.as_ref().is_none_or(|before| resolved.demand.tls > before.tls) {
            self.tls_from = Some(resolved.tls_from);
        }
        if before.as_ref().is_none_or(|before| resolved.demand.min_version > before.min_version) {
            self.floor_from = Some(resolved.floor_from);
        }
        self.demand = Some(match before {
            Some(before) => join_shared(before, resolved.demand),
            None => resolved.demand,
        });
        self.level = self.level.max(resolved.level);
        self.lifetime = more_binding(self.lifetime, resolved.lifetime, |a, b| a < b);
        self.on_expiry = more_binding(self.on_expiry, resolved.on_expiry, |a, b| *a == OnExpiry::Bounce && *b == OnExpiry::Delete);
    }

    fn demand(&self, policy: &Policy) -> Arc<Demand> {
        self.demand.as_ref().map_or_else(|| policy.plain.demand(TlsRequirement::Opportunistic, TlsVersion::Tls1_2), Arc::clone)
    }

    fn level(&self) -> Level {
        self.level.unwrap_or(Level::Opportunistic)
    }

    fn fate(&self) -> Fate {
        let builtin = Fate::default();
        Fate::new(
            self.lifetime.map_or(builtin.lifetime, |(lifetime, _)| lifetime),
            self.on_expiry.map_or(builtin.on_expiry, |(on_expiry, _)| on_expiry),
        )
    }
}

/// Of two scopes that speak of the fate, an entry goes before a default, then the one that `wins`.
fn more_binding<T>(a: Option<(T, Origin)>, b: Option<(T, Origin)>, wins: impl Fn(&T, &T) -> bool) -> Option<(T, Origin)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match (a.1.kind.is_entry(), b.1.kind.is_entry()) {
            (true, false) => a,
            (false, true) => b,
            _ if wins(&b.0, &a.0) => b,
            _ => a,
        }),
        (a, b) => a.or(b),
    }
}

/// `<Postmaster>` without a domain is whoever looks after this relay.
fn is_own(forward_path: &ForwardPath) -> bool {
    matches!(forward_path, ForwardPath::Postmaster)
}

fn refusal_text(reason: RefusalReason, asked_by: &Source, facts: &ReceiveFacts<'_>) -> String {
    let whose = match facts.forward_path.and_then(ForwardPath::domain) {
        Some(to) if asked_by.kind() == SourceKind::Domain || asked_by.kind() == SourceKind::DefaultsHosted => Whose::To(to),
        _ => facts.reverse_path.domain().map_or(Whose::Any, Whose::From),
    };
    let text = match reason {
        RefusalReason::NoTls => format!("{whose} is accepted over TLS only, use STARTTLS ({})", asked_by.in_words()),
        RefusalReason::BelowFloor { found, floor } => {
            format!("{whose} is accepted over {floor} or later only, this session has {found} ({})", asked_by.in_words())
        }
    };
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(REFUSAL_TEXT_OCTETS).collect()
}

enum Whose<'a> {
    From(&'a Domain),
    To(&'a Domain),
    Any,
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(domain) => write!(f, "Mail from {domain}"),
            Self::To(domain) => write!(f, "Mail to {domain}"),
            Self::Any => f.write_str("This mail"),
        }
    }
}

/// `530 5.7.0 text`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.status, self.text)
    }
}

/// Octets in the text of a [`Refusal`]: with code and status it fits a reply line of RFC 5321 section 4.5.3.1.5.
pub const REFUSAL_TEXT_OCTETS: usize = 480;
