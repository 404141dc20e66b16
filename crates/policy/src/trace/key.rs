//! What tells the traces of decisions apart, for whoever keeps the words of each once.

use std::hash::{Hash, Hasher};

use sealpost_types::{Domain, ForwardPath, Hop, Level, ReversePath};

use super::{Axis, Note, Party, Seen, Tracer};
use crate::asked::{Asked, SharedAsked};
use crate::facts::{DeliverFacts, HeaderLevel, ReceiveFacts};
use crate::scope::Origin;

/// What tells the traces of one policy apart, as far as a history shows them.
///
/// Decisions of the same policy with equal keys have the same level, the same sources that settled something, and the same
/// [`Trace::short`](super::Trace::short). To make a key costs little more than to decide: nothing is put into words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceKey {
    hop: Hop,
    is_secure: bool,
    /// The domains of the mail: by the name that a pattern matched, an entry is called.
    names: Vec<Domain>,
    is_from_nobody: bool,
    heard: Vec<Heard>,
}

/// What a decision tells its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Scope(Party),
    Asked { rank: u32, origin: Origin, place: usize, note: Option<Note> },
    PassedOver { rank: u32, origin: Origin, place: usize, note: Note },
    RuleAsked(Origin, HeaderLevel, Option<Note>),
    RulePassedOver(Origin, Option<HeaderLevel>, Note),
    SenderAsked(Origin, Option<Level>, Option<Axis>),
    Holds(Axis, Origin),
}

/// By what nearly always differs where keys do: to hash all of it would cost as much as the decision.
impl Hash for TraceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names.hash(state);
        state.write_usize(self.heard.len());
        for heard in &self.heard {
            if let Heard::Asked { place, .. } = heard {
                state.write_usize(*place);
            }
        }
    }
}

impl TraceKey {
    pub(crate) fn of_delivery(facts: &DeliverFacts<'_>) -> Self {
        let mut key = Self::new(Hop::Deliver, facts.received_secure, facts.reverse_path);
        key.names.extend(facts.forward_path.domain().cloned());
        key
    }

    pub(crate) fn of_reception(facts: &ReceiveFacts<'_>) -> Self {
        let mut key = Self::new(Hop::Receive, facts.tls.is_some(), facts.reverse_path);
        key.names.extend(facts.reverse_path.domain().cloned());
        key.names.extend(facts.forward_path.and_then(ForwardPath::domain).cloned());
        key.names.extend(facts.client.certificate.iter().flat_map(|certificate| certificate.names.iter().cloned()));
        key
    }

    fn new(hop: Hop, is_secure: bool, reverse_path: &ReversePath) -> Self {
        let is_from_nobody = *reverse_path == ReversePath::Null;
        Self { hop, is_secure, names: Vec::with_capacity(NAMES), is_from_nobody, heard: Vec::with_capacity(HEARD) }
    }
}

impl Tracer for TraceKey {
    const ON: bool = true;

    fn scope(&mut self, party: Party) {
        self.heard.push(Heard::Scope(party));
    }

    fn asked(&mut self, rank: u32, origin: Origin, _: impl FnOnce() -> Seen, asked: &SharedAsked, note: Option<Note>) {
        self.heard.push(Heard::Asked { rank, origin, place: place(asked), note });
    }

    fn passed_over(&mut self, rank: u32, origin: Origin, _: impl FnOnce() -> Seen, asked: &SharedAsked, note: Note) {
        self.heard.push(Heard::PassedOver { rank, origin, place: place(asked), note });
    }

    fn rule_asked(&mut self, origin: Origin, level: HeaderLevel, note: Option<Note>) {
        self.heard.push(Heard::RuleAsked(origin, level, note));
    }

    fn rule_passed_over(&mut self, origin: Origin, level: Option<HeaderLevel>, note: Note) {
        self.heard.push(Heard::RulePassedOver(origin, level, note));
    }

    fn sender_asked(&mut self, origin: Origin, asked: impl FnOnce() -> Asked, settled: Option<Axis>) {
        self.heard.push(Heard::SenderAsked(origin, asked().level, settled));
    }

    fn holds(&mut self, axis: Axis, origin: Origin) {
        self.heard.push(Heard::Holds(axis, origin));
    }
}

/// Where a policy keeps what a source asks: the same place is the same words as long as the policy lives.
fn place(asked: &SharedAsked) -> usize {
    std::sync::Arc::as_ptr(asked).addr()
}

/// Names in most keys: more of them need room anew.
const NAMES: usize = 2;

/// What most decisions tell.
const HEARD: usize = 16;
