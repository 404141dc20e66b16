//! From an envelope to what the queue takes: recipients grouped by where they go.

use std::sync::Arc;

use sealpost_queue::{Deferral, Group, Lease, NewMessage, QueueId, Settlement, Spool as _};
use sealpost_types::{Destination, Envelope, Reception, UnixMillis};

use crate::engine::{Components, Engine};
use crate::lanes::Silence;
use crate::{facts, route};

/// The message as the queue takes it: a group for each destination, put off where an attempt now would be in vain.
///
/// How long it is tried is decided anew at each attempt; what is written here is what an operator sees.
pub(crate) fn message<C: Components>(engine: &Engine<C>, id: QueueId, reception: Reception, mut envelope: Envelope) -> NewMessage {
    let policy = engine.policy.load();
    let mut groups: Vec<Group> = Vec::new();
    for recipient in std::mem::take(&mut envelope.recipients) {
        let require_tls = envelope.require_tls;
        let facts = facts::of_delivery(&envelope.reverse_path, &recipient.path, &reception, require_tls, None, reception.at);
        let expires = reception.at.after(policy.decide_deliver(&facts).fate.lifetime);
        let destination = route::next_hop(&policy, &engine.config(), &recipient.path).destination();
        match groups.iter_mut().find(|group| group.destination == destination) {
            Some(group) => {
                group.expires = group.expires.max(expires);
                group.latest = group.latest.min(Some(expires));
                group.recipients.push(recipient);
            }
            None => {
                let mut group = Group::new(destination, vec![recipient], expires);
                group.latest = Some(expires);
                groups.push(group);
            }
        }
    }
    let now = reception.at;
    let late = late(engine, now);
    let groups = groups.into_iter().map(|group| {
        let full = || engine.lanes.is_full(&group.destination, now).then(|| Deferral::new(now, "waiting for a free connection"));
        let silence = engine.lanes.known_silence(&group.destination, now).as_ref().map(waiting_for);
        let latest = late.into_iter().chain(group.latest).min();
        let mut group = match silence.or_else(full) {
            Some(deferral) => group.deferred(deferral),
            None => group,
        };
        group.latest = latest;
        group
    });
    NewMessage::new(id, reception, envelope, groups.collect())
}

/// What mail for a destination waits for that is known not to answer.
pub(crate) fn put_off<C: Components>(engine: &Engine<C>, destination: &Destination, now: UnixMillis) -> Option<Deferral> {
    engine.lanes.silence(destination, now).as_ref().map(waiting_for)
}

/// Leaves fresh mail in the queue, because its destination does not answer.
pub(crate) fn leave<C: Components>(engine: &Engine<C>, lease: Lease, silence: &Silence) {
    let entry = Arc::clone(lease.entry());
    let mut settlement = Settlement::deferred(&entry, &waiting_for(silence)).without_attempt();
    settlement.latest = Some(late(engine, entry.reception.at).map_or(entry.expires, |late| late.min(entry.expires)));
    if let Err(error) = engine.spool.settle_soon(lease, settlement) {
        tracing::error!(id = %entry.id, %error, "the entry is not left in the queue");
    }
}

/// When the sender of mail that came in then is told that it takes long.
pub(crate) fn late<C: Components>(engine: &Engine<C>, received: UnixMillis) -> Option<UnixMillis> {
    Some(received.after(engine.config().queue.delay_warning?))
}

/// One row of the history tells of the attempt that all wait for the next of: that of the message named.
pub(crate) fn waiting_for(silence: &Silence) -> Deferral {
    Deferral::new(silence.until, format!("waiting for the next try at the destination, see {}: {}", silence.probe, silence.reason))
}
