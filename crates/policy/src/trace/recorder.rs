//! What listens to a decision while it is made: nothing, or a recorder.

use std::sync::Arc;

use sealpost_types::{Demand, Fate, Hop, KexFloor, Level, TlsRequirement, TlsVersion};

use super::{Axes, Axis, Note, Party, Question, Source, Step, Trace};
use crate::asked::{Asked, SharedAsked};
use crate::decide::Joined;
use crate::facts::HeaderLevel;
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::scope::{Origin, has_clauses};
use crate::setting::tls_of;

/// Listens to a decision. One code path serves both: what [`NoTrace`] ignores is compiled away.
pub(crate) trait Tracer {
    /// Whether sources that cannot change the outcome are asked as well.
    const ON: bool;

    /// The sources of another scope follow.
    fn scope(&mut self, party: Party);

    /// A source says this.
    fn asked(&mut self, rank: u32, origin: Origin, seen: impl FnOnce() -> Seen, asked: &SharedAsked, note: Option<Note>);

    /// A source would say this, and does not speak.
    fn passed_over(&mut self, rank: u32, origin: Origin, seen: impl FnOnce() -> Seen, asked: &SharedAsked, note: Note);

    /// A rule or a header field asks this.
    fn rule_asked(&mut self, origin: Origin, level: HeaderLevel, note: Option<Note>);

    /// A rule or a header field does not speak.
    fn rule_passed_over(&mut self, origin: Origin, level: Option<HeaderLevel>, note: Note);

    /// What the sender says of TLS by RFC 8689 asks this; it settles an axis that the join knows nothing of, or none.
    fn sender_asked(&mut self, origin: Origin, asked: impl FnOnce() -> Asked, settled: Option<Axis>);

    /// Within the scope, this source's word holds.
    fn holds(&mut self, axis: Axis, origin: Origin);
}

/// A source as a trace shows it.
pub(crate) struct Seen {
    pub(crate) source: Source,
    /// The pattern by which it covers the name; none for what has no patterns.
    pub(crate) pattern: Option<Pattern>,
}

/// Listens to nothing.
pub(crate) struct NoTrace;

/// Keeps all.
pub(crate) struct Recorder<'p> {
    policy: &'p Policy,
    secure: bool,
    scope: usize,
    party: Party,
    steps: Vec<Step>,
    /// Beside each step what is needed until it is settled.
    drafts: Vec<Draft>,
}

struct Draft {
    scope: usize,
    rank: u32,
    origin: Origin,
    /// Whether what it says counts.
    speaks: bool,
    /// Where its word holds within its scope.
    holds: Axes,
}

impl Seen {
    /// A source that covers no name by a pattern.
    pub(crate) fn of(policy: &Policy, origin: Origin) -> Self {
        Self { source: Source::of(policy, origin), pattern: None }
    }
}

impl Tracer for NoTrace {
    const ON: bool = false;

    fn scope(&mut self, _: Party) {}

    fn asked(&mut self, _: u32, _: Origin, _: impl FnOnce() -> Seen, _: &SharedAsked, _: Option<Note>) {}

    fn passed_over(&mut self, _: u32, _: Origin, _: impl FnOnce() -> Seen, _: &SharedAsked, _: Note) {}

    fn rule_asked(&mut self, _: Origin, _: HeaderLevel, _: Option<Note>) {}

    fn rule_passed_over(&mut self, _: Origin, _: Option<HeaderLevel>, _: Note) {}

    fn sender_asked(&mut self, _: Origin, _: impl FnOnce() -> Asked, _: Option<Axis>) {}

    fn holds(&mut self, _: Axis, _: Origin) {}
}

impl Tracer for Recorder<'_> {
    const ON: bool = true;

    fn scope(&mut self, party: Party) {
        self.scope += 1;
        self.party = party;
    }

    fn asked(&mut self, rank: u32, origin: Origin, seen: impl FnOnce() -> Seen, asked: &SharedAsked, note: Option<Note>) {
        if asked.is_empty() && !origin.kind.is_entry() {
            return;
        }
        self.draft(rank, origin, seen(), Arc::clone(asked), note, true);
    }

    fn passed_over(&mut self, rank: u32, origin: Origin, seen: impl FnOnce() -> Seen, asked: &SharedAsked, note: Note) {
        if asked.is_empty() && !origin.kind.is_entry() {
            return;
        }
        self.draft(rank, origin, seen(), Arc::clone(asked), Some(note), false);
    }

    fn rule_asked(&mut self, origin: Origin, level: HeaderLevel, note: Option<Note>) {
        self.draft(0, origin, Seen::of(self.policy, origin), asked_by_rule(Some(level)), note, true);
    }

    fn rule_passed_over(&mut self, origin: Origin, level: Option<HeaderLevel>, note: Note) {
        let party = std::mem::replace(&mut self.party, Party::Nobody);
        self.draft(0, origin, Seen::of(self.policy, origin), asked_by_rule(level), Some(note), false);
        self.party = party;
    }

    fn sender_asked(&mut self, origin: Origin, asked: impl FnOnce() -> Asked, settled: Option<Axis>) {
        self.draft(0, origin, Seen::of(self.policy, origin), Arc::new(asked()), None, true);
        if let (Some(axis), Some(step)) = (settled, self.steps.last_mut()) {
            step.decided.insert(axis);
        }
    }

    fn holds(&mut self, axis: Axis, origin: Origin) {
        let scope = self.scope;
        let here = |draft: &&mut Draft| draft.speaks && draft.scope == scope && draft.origin == origin;
        if let Some(draft) = self.drafts.iter_mut().find(here) {
            draft.holds.insert(axis);
        }
    }
}

impl<'p> Recorder<'p> {
    pub(crate) fn new(policy: &'p Policy, secure: bool) -> Self {
        Self { policy, secure, scope: 0, party: Party::Nobody, steps: Vec::with_capacity(STEPS), drafts: Vec::with_capacity(STEPS) }
    }

    fn draft(&mut self, rank: u32, origin: Origin, Seen { source, pattern }: Seen, asked: SharedAsked, note: Option<Note>, speaks: bool) {
        self.steps.push(Step { source, party: self.party, pattern, asked, note, raised: Axes::default(), decided: Axes::default() });
        self.drafts.push(Draft { scope: self.scope, rank, origin, speaks, holds: Axes::default() });
    }

    /// Marks whose words hold in all, once every source was asked.
    pub(crate) fn settle(&mut self, joined: &Joined, hop: Hop) {
        let own_level = |asked: &Asked| match asked.level {
            Some(Level::Dane) => asked.otherwise.or(asked.level),
            level => level,
        };
        self.raise(Axis::Tls, |asked, secure| own_level(asked).map(|level| Strictness::Tls(tls_of(level, secure))));
        self.raise(Axis::Certificate, |asked, _| asked.level.map(|level| Strictness::Certificate(has_clauses(level))));
        self.raise(Axis::MinVersion, |asked, _| asked.min_version.map(Strictness::MinVersion));
        self.raise(Axis::MinGroup, |asked, _| asked.min_group.map(Strictness::MinGroup));
        if let Some(resolved) = joined.resolved() {
            self.decide(Axis::Tls, resolved.tls_from);
            self.decide(Axis::MinVersion, resolved.floor_from);
            self.decide(Axis::MinGroup, resolved.group_from);
            resolved.ciphers_from.into_iter().flatten().for_each(|origin| self.decide(Axis::Ciphers, Some(origin)));
            if hop == Hop::Deliver {
                self.decide(Axis::Lifetime, resolved.lifetime.map(|(_, origin)| origin));
                self.decide(Axis::Retry, resolved.retry.as_ref().map(|(_, origin)| *origin));
                self.decide(Axis::OnExpiry, resolved.on_expiry.map(|(_, origin)| origin));
                self.decide(Axis::OnFailure, resolved.on_failure.map(|(_, origin)| origin));
                self.decide(Axis::ClearFallback, resolved.clear_fallback.map(|(_, origin)| origin));
                self.decide(Axis::ClientCertificate, resolved.client_identity.as_ref().map(|(_, origin)| *origin));
                self.decide(Axis::IgnorePublished, resolved.ignores_from.filter(|_| resolved.ignores_published));
            }
        }
        for (step, _) in self.steps.iter_mut().zip(&self.drafts).filter(|(_, draft)| draft.holds.contains(Axis::Certificate)) {
            step.decided.insert(Axis::Certificate);
        }
    }

    pub(crate) fn finish(
        self,
        question: Question,
        demand: &Arc<Demand>,
        level: Level,
        fate: Option<Fate>,
        shadow: Option<(Level, Arc<Demand>)>,
    ) -> Trace {
        Trace { question, level, demand: Arc::clone(demand), fate, steps: self.steps, shadow }
    }

    fn decide(&mut self, axis: Axis, origin: Option<Origin>) {
        let mut both = self.steps.iter_mut().zip(&self.drafts);
        if let Some((step, _)) = both.find(|(_, draft)| draft.speaks && Some(draft.origin) == origin) {
            step.decided.insert(axis);
        }
    }

    /// Marks where a source that holds in its scope is stricter than the scopes before and than what its scope would say without it.
    fn raise(&mut self, axis: Axis, strictness: impl Fn(&Asked, bool) -> Option<Strictness>) {
        let mut before = None;
        for scope in 1..=self.scope {
            let mut highest = before;
            for index in 0..self.drafts.len() {
                let Some((draft, step)) = self.drafts.get(index).zip(self.steps.get(index)) else { continue };
                if !draft.speaks || draft.scope != scope || !draft.holds.contains(axis) {
                    continue;
                }
                let Some(own) = strictness(&step.asked, self.secure) else { continue };
                let without = self.said_without(index, scope, &strictness);
                if own > without.unwrap_or_else(|| own.least()) && before.is_none_or(|before| own > before) {
                    self.steps.iter_mut().skip(index).take(1).for_each(|step| step.raised.insert(axis));
                }
                highest = highest.max(Some(own));
            }
            before = highest;
        }
    }

    /// The strictest word of the most specific sources of a scope that speak, one left out.
    fn said_without(&self, left_out: usize, scope: usize, strictness: impl Fn(&Asked, bool) -> Option<Strictness>) -> Option<Strictness> {
        let mut best: Option<(u32, Strictness)> = None;
        for (index, (draft, step)) in self.drafts.iter().zip(&self.steps).enumerate() {
            if index == left_out || !draft.speaks || draft.scope != scope {
                continue;
            }
            let Some(value) = strictness(&step.asked, self.secure) else { continue };
            best = match best {
                Some((rank, highest)) if rank == draft.rank => Some((rank, highest.max(value))),
                Some((rank, highest)) if rank < draft.rank => Some((rank, highest)),
                _ => Some((draft.rank, value)),
            };
        }
        best.map(|(_, value)| value)
    }
}

fn asked_by_rule(level: Option<HeaderLevel>) -> SharedAsked {
    let level = level.map(|level| match level {
        HeaderLevel::Require => Level::Require,
        HeaderLevel::Try => Level::Opportunistic,
    });
    Arc::new(Asked { level, ..Asked::default() })
}

/// A value on one axis, the stricter the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    Tls(TlsRequirement),
    Certificate(bool),
    MinVersion(TlsVersion),
    MinGroup(KexFloor),
}

impl Strictness {
    fn least(self) -> Self {
        match self {
            Self::Tls(_) => Self::Tls(TlsRequirement::Never),
            Self::Certificate(_) => Self::Certificate(false),
            Self::MinVersion(_) => Self::MinVersion(TlsVersion::default()),
            Self::MinGroup(_) => Self::MinGroup(KexFloor::Any),
        }
    }
}

/// Steps of most decisions: more of them need room anew.
const STEPS: usize = 4;
