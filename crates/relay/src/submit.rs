//! From an envelope to what the queue takes: recipients grouped by where they go.

use sealpost_queue::{Deferral, Group, NewMessage, QueueId};
use sealpost_types::{Destination, Envelope, Reception, UnixMillis};

use crate::engine::{Components, Engine};
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
                group.recipients.push(recipient);
            }
            None => groups.push(Group::new(destination, vec![recipient], expires)),
        }
    }
    let now = reception.at;
    let groups = groups.into_iter().map(|group| {
        let full = || engine.lanes.is_full(&group.destination).then(|| Deferral::new(now, "waiting for a free connection"));
        match put_off(engine, &group.destination, now).or_else(full) {
            Some(deferral) => group.deferred(deferral),
            None => group,
        }
    });
    NewMessage::new(id, reception, envelope, groups.collect())
}

/// What mail for a destination waits for that is known not to answer.
pub(crate) fn put_off<C: Components>(engine: &Engine<C>, destination: &Destination, now: UnixMillis) -> Option<Deferral> {
    let silence = engine.lanes.silence(destination, now)?;
    Some(Deferral::new(silence.until, format!("waiting for the next try at the destination: {}", silence.reason)))
}
