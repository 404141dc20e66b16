//! What listens to a decision while it is made: nothing, or a recorder.

use std::sync::Arc;

use sealpost_types::{Demand, Fate, Level, TlsRequirement, TlsVersion};

use super::{Axes, Axis, Party, Question, Source, Step, Trace};
use crate::asked::Asked;
use crate::compile::Policy;
use crate::decide::Joined;
use crate::scope::{Origin, tls_of};
use crate::table::Matched;

/// Listens to a decision. One code path serves both: what [`NoTrace`] ignores is compiled away.
pub(crate) trait Tracer {
    /// Whether sources that cannot change the outcome are asked as well.
    const ON: bool;

    /// The sources of another scope follow.
    fn scope(&mut self, party: Party);

    /// A source says this.
    fn asked(&mut self, rank: u32, origin: Origin, matched: Option<Matched<'_>>, asked: &Arc<Asked>);

    /// Within the scope, this source's word holds.
    fn holds(&mut self, axis: Axis, origin: Origin);
}

/// Listens to nothing.
pub(crate) struct NoTrace;

/// Keeps all.
pub(crate) struct Recorder<'p> {
    policy: &'p Policy,
    secure: bool,
    scope: usize,
    party: Party,
    drafts: Vec<Draft>,
}

struct Draft {
    scope: usize,
    rank: u32,
    origin: Origin,
    /// Where its word holds within its scope.
    holds: Axes,
    step: Step,
}

impl Tracer for NoTrace {
    const ON: bool = false;

    fn scope(&mut self, _: Party) {}

    fn asked(&mut self, _: u32, _: Origin, _: Option<Matched<'_>>, _: &Arc<Asked>) {}

    fn holds(&mut self, _: Axis, _: Origin) {}
}

impl Tracer for Recorder<'_> {
    const ON: bool = true;

    fn scope(&mut self, party: Party) {
        self.scope += 1;
        self.party = party;
    }

    fn asked(&mut self, rank: u32, origin: Origin, matched: Option<Matched<'_>>, asked: &Arc<Asked>) {
        if asked.is_empty() && !origin.kind.is_entry() {
            return;
        }
        let step = Step {
            source: Source::of(self.policy, origin),
            party: self.party,
            pattern: matched.map(Matched::pattern),
            asked: Arc::clone(asked),
            raised: Axes::default(),
            decided: Axes::default(),
        };
        self.drafts.push(Draft { scope: self.scope, rank, origin, holds: Axes::default(), step });
    }

    fn holds(&mut self, axis: Axis, origin: Origin) {
        if let Some(draft) = self.drafts.iter_mut().find(|draft| draft.scope == self.scope && draft.origin == origin) {
            draft.holds.insert(axis);
        }
    }
}

impl<'p> Recorder<'p> {
    pub(crate) fn new(policy: &'p Policy, secure: bool) -> Self {
        Self { policy, secure, scope: 0, party: Party::Nobody, drafts: Vec::with_capacity(4) }
    }

    pub(crate) fn finish(mut self, question: Question, joined: &Joined, demand: &Arc<Demand>, level: Level, fate: Option<Fate>) -> Trace {
        self.raise(Axis::Tls, |asked, secure| asked.level.map(|level| Strictness::Tls(tls_of(level, secure))));
        self.raise(Axis::Certificate, |asked, _| asked.level.map(|level| Strictness::Certificate(level == Level::Verify)));
        self.raise(Axis::MinVersion, |asked, _| asked.min_version.map(Strictness::MinVersion));
        if let Some(resolved) = joined.resolved() {
            self.decide(Axis::Tls, resolved.tls_from);
            self.decide(Axis::MinVersion, resolved.floor_from);
            if fate.is_some() {
                self.decide(Axis::Lifetime, resolved.lifetime.map(|(_, origin)| origin));
                self.decide(Axis::OnExpiry, resolved.on_expiry.map(|(_, origin)| origin));
            }
        }
        for draft in self.drafts.iter_mut().filter(|draft| draft.holds.contains(Axis::Certificate)) {
            draft.step.decided.insert(Axis::Certificate);
        }
        let steps = self.drafts.into_iter().map(|draft| draft.step).collect();
        Trace { question, level, demand: Arc::clone(demand), fate, steps }
    }

    fn decide(&mut self, axis: Axis, origin: Option<Origin>) {
        if let Some(draft) = self.drafts.iter_mut().find(|draft| Some(draft.origin) == origin) {
            draft.step.decided.insert(axis);
        }
    }

    /// Marks where a source that holds in its scope is stricter than the scopes before and than what its scope would say without it.
    fn raise(&mut self, axis: Axis, strictness: impl Fn(&Asked, bool) -> Option<Strictness>) {
        let mut before = None;
        for scope in 1..=self.scope {
            let said: Vec<(usize, u32, Strictness)> = (self.drafts.iter().enumerate())
                .filter(|(_, draft)| draft.scope == scope)
                .filter_map(|(index, draft)| Some((index, draft.rank, strictness(&draft.step.asked, self.secure)?)))
                .collect();
            let mut highest = before;
            for &(index, _, own) in &said {
                let Some(draft) = self.drafts.get_mut(index).filter(|draft| draft.holds.contains(axis)) else { continue };
                let others = || said.iter().filter(|(other, ..)| *other != index);
                let next = others().map(|(_, rank, _)| *rank).min();
                let without = others().filter(|(_, rank, _)| Some(*rank) == next).map(|(.., value)| *value).max();
                if own > without.unwrap_or_else(|| own.least()) && before.is_none_or(|before| own > before) {
                    draft.step.raised.insert(axis);
                }
                highest = highest.max(Some(own));
            }
            before = highest;
        }
    }
}

/// A value on one axis, the stricter the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    Tls(TlsRequirement),
    Certificate(bool),
    MinVersion(TlsVersion),
}

impl Strictness {
    fn least(self) -> Self {
        match self {
            Self::Tls(_) => Self::Tls(TlsRequirement::Never),
            Self::Certificate(_) => Self::Certificate(false),
            Self::MinVersion(_) => Self::MinVersion(TlsVersion::default()),
        }
    }
}
