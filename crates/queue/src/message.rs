//! Messages on their way into the queue, and entries in it.

use std::sync::Arc;

use sealpost_types::{Demand, Destination, Envelope, Level, Octets, Reception, Recipient, UnixMillis};

use crate::QueueId;

/// A message to be accepted, without its body.
///
/// It becomes one [`Entry`] for each of its groups, all of them in one durable step; they share the body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewMessage {
    /// Its id, from [`Spool::next_id`](crate::Spool::next_id).
    pub id: QueueId,
    /// How it came in.
    pub reception: Reception,
    /// Who sent it and what was asked for; the recipients are in `groups`, not here.
    pub envelope: Envelope,
    /// The recipients by where they go.
    pub groups: Vec<Group>,
}

/// The recipients of one message that go to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Where they go.
    pub destination: Destination,
    /// Who they are.
    pub recipients: Vec<Recipient>,
    /// When trying is to end as things stand; see [`Entry::expires`].
    pub expires: UnixMillis,
    /// Set if no attempt is to be made now, because the destination is known not to answer: no lease is given for it.
    pub deferral: Option<Deferral>,
    /// When somebody must look at it though its destination is left alone: see [`Settlement::latest`](crate::Settlement::latest).
    pub latest: Option<UnixMillis>,
}

/// Why a recipient waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deferral {
    /// When it is due.
    pub due: UnixMillis,
    /// What went wrong, in words for the sender and the operator.
    pub reason: String,
    /// Whether TLS failed at a host in the last attempt: then a delivery that wants TLS only where it can be had may go in
    /// clear next time. How it ends does not depend on it.
    pub tls_failure: bool,
    /// The conclusive verdict on the TLS of all hosts, and how often in a row it was the same; none where the last attempt
    /// had none.
    pub verdict: Option<SameVerdict>,
    /// What it stays under when the policy asks for less: mail that was held back for TLS is not let go by a later mistake.
    pub hold: Option<Arc<Hold>>,
    /// How often a host was asked on behalf of this recipient in vain.
    pub attempts: u32,
    /// Whether the sender was told that it takes long.
    pub warned: bool,
    /// Whether it is tried no more before somebody says so ([`Change::Release`](crate::Change::Release)); `due` means nothing then.
    pub until_released: bool,
}

/// A verdict that was given again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SameVerdict {
    /// What it was, as a word that is compared.
    pub word: String,
    /// How often in a row.
    pub times: u32,
}

/// What a recipient was deferred under because TLS could not be had so. It binds until the holds are released
/// ([`Spool::release_holds`](crate::Spool::release_holds)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// The level, for people to read.
    pub level: Level,
    /// What was asked.
    pub demand: Demand,
    /// [`Spool::releases`](crate::Spool::releases) as the attempt began: with another count this binds no more.
    pub releases: u64,
}

/// One queued message as far as one destination is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The entry's own id; for the first entry of a message that of the message.
    pub id: QueueId,
    /// The id of the message.
    pub message: QueueId,
    /// Where it goes.
    pub destination: Destination,
    /// Who sent it, what was asked for, and the recipients that are still to be served.
    pub envelope: Envelope,
    /// Why each of these recipients waits, in the same order; none for those that were never tried.
    pub deferrals: Vec<Option<Deferral>>,
    /// How it came in.
    pub reception: Reception,
    /// When trying was to end by what held when it was accepted: for an operator to see. The queue does not act on it, and
    /// whoever tries decides anew, so that a changed policy holds for mail that waits.
    pub expires: UnixMillis,
    /// Attempts that ended in a deferral; see [`Settlement::attempted`](crate::Settlement::attempted).
    pub attempts: u32,
    /// Octets of the body.
    pub size: Octets,
}

impl NewMessage {
    /// A message of its groups; recipients in `envelope` itself are dropped.
    #[must_use]
    pub fn new(id: QueueId, reception: Reception, mut envelope: Envelope, groups: Vec<Group>) -> Self {
        envelope.recipients.clear();
        Self { id, reception, envelope, groups }
    }

    /// A message whose recipients are grouped by where `destination` sends each, in the order given.
    #[must_use]
    pub fn split(
        id: QueueId,
        reception: Reception,
        mut envelope: Envelope,
        expires: UnixMillis,
        mut destination: impl FnMut(&Recipient) -> Destination,
    ) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for recipient in envelope.recipients.drain(..) {
            let destination = destination(&recipient);
            match groups.iter_mut().find(|group| group.destination == destination) {
                Some(group) => group.recipients.push(recipient),
                None => groups.push(Group::new(destination, vec![recipient], expires)),
            }
        }
        Self { id, reception, envelope, groups }
    }
}

impl Group {
    /// Recipients to be tried at once.
    #[must_use]
    pub fn new(destination: Destination, recipients: Vec<Recipient>, expires: UnixMillis) -> Self {
        Self { destination, recipients, expires, deferral: None, latest: None }
    }

    /// The same, but not to be tried before the deferral is due.
    #[must_use]
    pub fn deferred(mut self, deferral: Deferral) -> Self {
        self.deferral = Some(deferral);
        self
    }
}

impl Deferral {
    /// A deferral of which TLS is no part.
    #[must_use]
    pub fn new(due: UnixMillis, reason: impl Into<String>) -> Self {
        Self {
            due,
            reason: reason.into(),
            tls_failure: false,
            verdict: None,
            hold: None,
            attempts: 0,
            warned: false,
            until_released: false,
        }
    }

    /// A deferral after an attempt in which TLS failed at a host.
    #[must_use]
    pub fn tls(due: UnixMillis, reason: impl Into<String>) -> Self {
        Self { tls_failure: true, ..Self::new(due, reason) }
    }

    /// The same, under this hold.
    #[must_use]
    pub fn held(mut self, hold: Option<Arc<Hold>>) -> Self {
        self.hold = hold;
        self
    }
}

impl Hold {
    /// A hold of its parts.
    #[must_use]
    pub fn new(level: Level, demand: Demand, releases: u64) -> Self {
        Self { level, demand, releases }
    }
}

impl SameVerdict {
    /// This verdict, after `before`: counted on if it is the same.
    #[must_use]
    pub fn after(word: String, before: Option<&Self>) -> Self {
        let times = before.filter(|before| before.word == word).map_or(1, |before| before.times.saturating_add(1));
        Self { word, times }
    }
}

impl Entry {
    /// The indices of the recipients to try at `now`: those that are due; all, if none is and the entry was woken early. Those
    /// that wait for somebody to let them go are never among them.
    #[must_use]
    pub fn due_recipients(&self, now: UnixMillis) -> Vec<usize> {
        let deferral = |index: &usize| self.deferrals.get(*index).and_then(Option::as_ref);
        let all = || (0..self.envelope.recipients.len()).filter(|index| deferral(index).is_none_or(|deferral| !deferral.until_released));
        let due: Vec<_> = all().filter(|index| deferral(index).is_none_or(|deferral| deferral.due <= now)).collect();
        if due.is_empty() { all().collect() } else { due }
    }
}
