//! What the history tells of an attempt.

use sealpost_policy::{DeliverFacts, Policy};
use sealpost_queue::Entry;
use sealpost_report::{Event, EventKind};
use sealpost_types::{Hop, NextHop, UnixMillis};

use super::outcome::Trouble;
use crate::account;

/// An entry about the recipient at `index`; nothing if the message has none there.
pub(crate) fn of_recipient(
    policy: &Policy,
    kind: EventKind,
    at: UnixMillis,
    entry: &Entry,
    index: usize,
    next_hop: &NextHop,
) -> Option<Event> {
    let path = &entry.envelope.recipients.get(index)?.path;
    let facts = DeliverFacts::new(&entry.envelope.reverse_path, path, entry.reception.is_secure());
    let mut event = Event::new(at, kind, Hop::Deliver)
        .of_message(entry.message.to_string(), entry.envelope.reverse_path.clone())
        .for_recipient(path.clone());
    event.size = Some(entry.size);
    event.next_hop = Some(next_hop.to_string());
    event.attempts = Some(entry.attempts.saturating_add(1));
    event.decided = Some(account::decided(&policy.explain_deliver(&facts).1));
    Some(event)
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
