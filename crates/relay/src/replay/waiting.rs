//! Mail that waits in the queue, by what its last attempt showed.

use sealpost_policy::{DeliverDecision, Policy, covers};
use sealpost_queue::Entry;
use sealpost_report::Event;
use sealpost_types::UnixMillis;

use super::change::{Case, Change, Gap, Why, Would};
use super::deliver::{of_held, of_taken};
use super::seen::Seen;
use super::{Judged, Replay};
use crate::{facts, route};

impl Replay<'_> {
    /// What the policy makes of the recipient at `index` of a queued entry that waits under `current`; nothing if it has none
    /// there.
    ///
    /// `last` is the newest entry of the history about an attempt at it that shows what a host's connection was like.
    #[must_use]
    pub fn waiting(&self, current: &Policy, entry: &Entry, index: usize, last: Option<&Event>, now: UnixMillis) -> Option<Judged> {
        let recipient = &entry.envelope.recipients.get(index)?.path;
        let envelope = &entry.envelope;
        let facts = facts::of_delivery(&envelope.reverse_path, recipient, &entry.reception, envelope.require_tls, None, now);
        let (before, after) = (current.decide_deliver(&facts), self.policy.decide_deliver(&facts));
        let ends = |decision: &DeliverDecision| entry.reception.at.after(decision.fate.lifetime);
        let change = if ends(&after) <= now && ends(&before) > now {
            self.explained(&facts, Some((Would::Expire, Why::Lifetime)))
        } else if route::next_hop(current, self.config, recipient) != route::next_hop(self.policy, self.config, recipient) {
            Some(Change::untold(Gap::NextHop))
        } else if before == after {
            None
        } else {
            match last.and_then(Seen::of) {
                Some(seen) => self.change(&seen, Some(facts.received_secure), now, |seen, decision, host| {
                    if seen.proof.satisfied { of_taken(seen, decision, host) } else { of_held(seen, decision, host) }
                }),
                // What asks no more than before keeps nothing back.
                None if covers(&before.demand, &after.demand) => None,
                None => self.explained(&facts, Some((Would::Untold, Why::Unknown(Gap::NotReached)))),
            }
        };
        Some(Judged { case: Case::Waiting, domain: recipient.domain().cloned(), change })
    }
}
