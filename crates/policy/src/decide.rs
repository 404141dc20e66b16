//! Facts in, decision out: with `decide_host`, the only places where a level is decided.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{
    Demand, Domain, EnhancedStatus, Fate, ForwardPath, Hop, Level, ReplyCode, ReversePath, TlsFacts, TlsRequirement, TlsVersion,
};

use crate::compile::Policy;
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
        if joined.0.as_ref().is_none_or(|resolved| resolved.level.is_none()) {
            let mut scope = Scope::new(self, hop);
            tracer.scope(Party::Nobody);
            scope.ask_builtin(tracer);
            joined.join(scope.resolve(true, tracer));
        }
    }

    fn judge(&self, facts: &ReceiveFacts<'_>, demand: &Demand, joined: &Joined) -> Option<Refusal> {
        let resolved = joined.resolved();
        let (reason, origin) = match facts.tls {
            None if demand.is_mandatory() => (RefusalReason::NoTls, resolved.and_then(|resolved| resolved.tls_from)),
            Some(TlsFacts { version, .. }) if *version < demand.min_version => {
                let floor = demand.min_version;
                (RefusalReason::BelowFloor { found: *version, floor }, resolved.and_then(|resolved| resolved.floor_from))
            }
            _ => return None,
        };
        let asked_by = Source::of(self, origin.unwrap_or(Origin { kind: SourceKind::Builtin, entry: 0 }));
        let (code, status) = match (reason, facts.forward_path) {
            (RefusalReason::NoTls, None) => (AUTHENTICATION_REQUIRED, SECURITY_OTHER),
            (RefusalReason::NoTls, Some(_)) => (MAILBOX_UNAVAILABLE, ENCRYPTION_NEEDED),
            (RefusalReason::BelowFloor { .. }, _) => (MAILBOX_UNAVAILABLE, SECURITY_OTHER),
        };
        let text = refusal_text(reason, &asked_by, facts);
        Some(Refusal { reason, asked_by, code, status, text })
    }
}

/// The join of several scopes; nothing before the first.
#[derive(Default)]
pub(crate) struct Joined(Option<Resolved>);

impl Joined {
    fn join(&mut self, resolved: Option<Resolved>) {
        self.0 = match (self.0.take(), resolved) {
            (Some(before), Some(next)) => Some(before.join(next)),
            (before, next) => before.or(next),
        };
    }

    pub(crate) fn resolved(&self) -> Option<&Resolved> {
        self.0.as_ref()
    }

    fn demand(&self, policy: &Policy) -> Arc<Demand> {
        let nothing = || policy.plain.demand(TlsRequirement::Opportunistic, TlsVersion::Tls1_2);
        self.0.as_ref().map_or_else(nothing, |resolved| Arc::clone(&resolved.demand))
    }

    fn level(&self) -> Level {
        self.0.as_ref().and_then(|resolved| resolved.level).unwrap_or(Level::Opportunistic)
    }

    fn fate(&self) -> Fate {
        let builtin = Fate::default();
        let said = self.0.as_ref();
        Fate::new(
            said.and_then(|resolved| resolved.lifetime).map_or(builtin.lifetime, |(lifetime, _)| lifetime),
            said.and_then(|resolved| resolved.on_expiry).map_or(builtin.on_expiry, |(on_expiry, _)| on_expiry),
        )
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

const AUTHENTICATION_REQUIRED: ReplyCode = code(530);
const MAILBOX_UNAVAILABLE: ReplyCode = code(550);
/// RFC 3463 section 3.8: "other or undefined security status", the one that RFC 3207 section 4 gives beside 530.
const SECURITY_OTHER: EnhancedStatus = status(5, 7, 0);
/// RFC 5248 section 2.4 and the IANA registry: "encryption needed".
const ENCRYPTION_NEEDED: EnhancedStatus = status(5, 7, 10);

#[allow(clippy::unwrap_used, reason = "called in constants only: a wrong code does not compile")]
const fn code(value: u16) -> ReplyCode {
    ReplyCode::new(value).unwrap()
}

#[allow(clippy::unwrap_used, reason = "called in constants only: a wrong status does not compile")]
const fn status(class: u8, subject: u16, detail: u16) -> EnhancedStatus {
    EnhancedStatus::new(class, subject, detail).unwrap()
}
