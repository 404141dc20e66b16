//! From an envelope to what the queue takes: recipients grouped by where they go.

use sealpost_policy::DeliverFacts;
use sealpost_queue::{Deferral, Group, NewMessage, QueueId};
use sealpost_types::{Envelope, Reception};

use crate::engine::{Components, Engine};
use crate::lanes::Silence;
use crate::route;

/// The message as the queue takes it: a group for each destination, put off where the destination is known not to answer.
///
/// How long it is tried is decided anew at each attempt; what is written here is what an operator sees.
pub(crate) fn message<C: Components>(engine: &Engine<C>, id: QueueId, reception: Reception, mut envelope: Envelope) -> NewMessage {
    let policy = engine.policy.load();
    let mut groups: Vec<Group> = Vec::new();
    for recipient in std::mem::take(&mut envelope.recipients) {
        let facts = DeliverFacts::new(&envelope.reverse_path, &recipient.path, reception.is_secure());
        let expires = reception.at.after(policy.decide_deliver(&facts).fate.lifetime);
        let destination = route::next_hop(&policy, &engine.config, &recipient.path).destination();
        match groups.iter_mut().find(|group| group.destination == destination) {
            Some(group) => {
                group.expires = group.expires.max(expires);
                group.recipients.push(recipient);
            }
            None => {
                let group = Group::new(destination, vec![recipient], expires);
                let silence = engine.lanes.silence(&group.destination, reception.at);
                groups.push(match silence {
                    Some(silence) => group.deferred(put_off(&silence)),
                    None => group,
                });
            }
        }
    }
    NewMessage::new(id, reception, envelope, groups)
}

/// What mail for a destination that does not answer waits for.
pub(crate) fn put_off(silence: &Silence) -> Deferral {
    Deferral::new(silence.until, format!("waiting for the next try at the destination: {}", silence.reason))
}
