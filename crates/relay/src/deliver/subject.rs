//! The message of one attempt, as the policy decides of it and the history tells of it.

use std::sync::Arc;

use sealpost_policy::{DeliverDecision, DeliverFacts, HEADER_OCTETS, HeaderBlock, Policy};
use sealpost_queue::{BodyReadError, Deferral, Entry, Lease};
use sealpost_report::{Decided, Event, EventKind};
use sealpost_types::{ClearFallback, Hop, NextHop, OnExpiry, UnixMillis};

use super::body::start_of;
use super::held::{self, Held};
use super::outcome::Trouble;
use crate::config::Config;
use crate::decided::DecidedWords;
use crate::tlsrpt::RETRIED;
use crate::{facts, waking};

/// The message of one attempt, and the policy that the attempt obeys, whatever is in force when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) policy: Arc<Policy>,
    words: Arc<DecidedWords>,
    /// How often holds were released before the attempt began.
    pub(crate) releases: u64,
    pub(crate) entry: &'a Entry,
    /// Its header section, where a rule looks at it; or why it cannot be read.
    header: Option<Result<Arc<HeaderBlock>, Arc<BodyReadError>>>,
}

impl<'a> Subject<'a> {
    /// The message of a lease; its header section is read from the stored body if the policy has a rule for it.
    pub(crate) async fn new(policy: Arc<Policy>, words: Arc<DecidedWords>, releases: u64, lease: &'a Lease) -> Self {
        let header = if policy.reads_header() {
            let start = start_of(lease.body(), HEADER_OCTETS).await;
            Some(start.map(|start| Arc::new(HeaderBlock::parse(&start))).map_err(Arc::new))
        } else {
            None
        };
        Self { policy, words, releases, entry: lease.entry(), header }
    }

    /// Why the header section cannot be read that a rule looks at, if it cannot.
    pub(crate) fn unreadable_header(&self) -> Option<&BodyReadError> {
        self.header.as_ref().and_then(|header| header.as_ref().err()).map(|damage| &**damage)
    }

    /// The same message, held by another reference.
    pub(crate) fn of<'b>(&self, entry: &'b Entry) -> Subject<'b> {
        Subject {
            policy: Arc::clone(&self.policy),
            words: Arc::clone(&self.words),
            releases: self.releases,
            entry,
            header: self.header.clone(),
        }
    }

    /// What is asked of the delivery to the recipient at `index`, by the policy and by what the mail is held under; nothing if the
    /// message has none there.
    pub(crate) fn decide(&self, index: usize, now: UnixMillis) -> Option<DeliverDecision> {
        self.decide_held(index, now).map(|(decision, _)| decision)
    }

    /// Whether another policy is in force by now that may decide otherwise of this message.
    pub(crate) fn is_outdated(&self, now_in_force: &Arc<Policy>, config: &Config, now: UnixMillis) -> bool {
        !Arc::ptr_eq(now_in_force, &self.policy) && waking::decides_otherwise(&self.policy, now_in_force, config, self.entry, now)
    }

    /// Why the recipient at `index` waited until this attempt.
    pub(crate) fn before(&self, index: usize) -> Option<&Deferral> {
        self.entry.deferrals.get(index).and_then(Option::as_ref)
    }

    fn decide_held(&self, index: usize, now: UnixMillis) -> Option<(DeliverDecision, Option<Held>)> {
        let mut decision = self.policy.decide_deliver(&self.facts(index, now)?);
        if self.entry.reception.is_tls_report {
            as_report(&mut decision);
        }
        let held = held::raise(&mut decision, self.before(index), self.releases);
        Some((decision, held))
    }

    /// An entry of the history about the recipient at `index`.
    pub(crate) fn event(&self, kind: EventKind, at: UnixMillis, index: usize, next_hop: &NextHop) -> Option<Event> {
        let entry = self.entry;
        let facts = self.facts(index, at)?;
        let mut event = Event::new(at, kind, Hop::Deliver)
            .of_message(entry.message.to_string(), entry.envelope.reverse_path.clone())
            .for_recipient(facts.forward_path.clone());
        event.size = Some(entry.size);
        event.next_hop = Some(next_hop.to_string());
        event.attempts = Some(entry.attempts.saturating_add(1));
        event.received_secure = Some(entry.reception.is_secure());
        event.level_header.clone_from(&entry.reception.level_header);
        event.decided = Some(self.decided(index, at)?);
        Some(event)
    }

    /// The decision on the recipient at `index` in the words of the history.
    pub(crate) fn decided(&self, index: usize, at: UnixMillis) -> Option<Arc<Decided>> {
        let decided = self.words.of_delivery(&self.policy, &self.facts(index, at)?);
        if self.before(index).is_none_or(|before| before.hold.is_none()) {
            return Some(decided);
        }
        let (decision, Some(held)) = self.decide_held(index, at)? else { return Some(decided) };
        let trace = format!("{held}; by the policy of now {}", decided.trace);
        Some(Arc::new(Decided::new(decision.level.as_str(), held.to_string(), trace)))
    }

    fn facts(&self, index: usize, now: UnixMillis) -> Option<DeliverFacts<'_>> {
        let envelope = &self.entry.envelope;
        let path = &envelope.recipients.get(index)?.path;
        let header = self.header.as_ref().and_then(|header| header.as_deref().ok());
        Some(facts::of_delivery(&envelope.reverse_path, path, &self.entry.reception, envelope.require_tls, header, now))
    }
}

/// A report about TLS must arrive even if TLS is what is wrong (RFC 8460 section 3): what the recipient publishes does not count. After
/// a day it is worth nothing (section 5.5).
fn as_report(decision: &mut DeliverDecision) {
    decision.ignores_published = true;
    decision.clear_fallback = ClearFallback::Immediate;
    decision.fate.lifetime = decision.fate.lifetime.min(RETRIED);
    decision.fate.on_expiry = OnExpiry::Bounce;
}

/// The same entry with why it failed, and where.
pub(crate) fn with_trouble(mut event: Event, trouble: &Trouble) -> Event {
    event.reason = Some(trouble.reason.clone());
    event.reply = trouble.reply.as_ref().map(ToString::to_string);
    event.host.clone_from(&trouble.host);
    event.address = trouble.address;
    event.proof.clone_from(&trouble.proof);
    event
}
