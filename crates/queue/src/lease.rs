//! The right to try an entry, and what comes of it.

use std::sync::Arc;

use sealpost_types::{Octets, Recipient, UnixMillis};

use crate::{Body, Deferral, Entry, FollowUpError, NewMessage, QueueId, SpoolError};

/// The right to try one entry, held by nobody else at the same time.
///
/// It ends with [`Spool::settle`](crate::Spool::settle). If it is dropped instead, because the task died, the entry goes
/// back to the deferred ones and is due a little later; [`Lease::release`] gives it back at once. Where that cannot be
/// recorded the entry stays leased, and each [`Spool::lease_due`](crate::Spool::lease_due) tries again.
#[derive(Debug)]
#[must_use = "a lease that is dropped counts as an attempt that died"]
pub struct Lease {
    entry: Arc<Entry>,
    body: Body,
    until: Option<UnixMillis>,
    guard: Guard,
}

/// What became of a lease: recipients that remain wait, all others are done and leave the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settlement {
    /// Whether an attempt was made: then [`Entry::attempts`](crate::Entry::attempts) counts it.
    pub attempted: bool,
    /// The recipients that must be tried again, by index in the entry's envelope.
    pub remaining: Vec<(usize, Deferral)>,
    /// When somebody must look at what remains though its destination is left alone: to give it up, or to tell its sender.
    pub latest: Option<UnixMillis>,
    /// Rows for whoever keeps the history, opaque to the queue and recorded in the same durable step.
    pub outbox: Vec<Vec<u8>>,
    /// A message that follows from this one, accepted in the same durable step.
    pub follow_up: Option<FollowUp>,
}

/// A message that follows from another, such as a notification to its sender. It is due at once.
///
/// One that exists can be accepted: whoever makes it learns beforehand that it cannot, with all outcomes still in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    message: NewMessage,
    body: Vec<u8>,
}

impl Lease {
    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.entry.id
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// When the lease ends by itself; never where one process owns the queue.
    #[must_use]
    pub fn until(&self) -> Option<UnixMillis> {
        self.until
    }

    /// Gives the entry back as it was: no attempt was made, it stays due.
    pub fn release(mut self) {
        self.guard.end(GiveBack::Released);
    }

    pub(crate) fn new(entry: Arc<Entry>, body: Body, granted: UnixMillis, home: Arc<dyn Home>) -> Self {
        let guard = Guard { home: Some(home), id: entry.id, granted };
        Self { entry, body, until: None, guard }
    }

    /// Ends the lease without giving the entry back.
    pub(crate) fn into_entry(mut self) -> Arc<Entry> {
        self.guard.home = None;
        self.entry.clone()
    }

    /// Refuses a lease of another queue: its id may mean another message here.
    pub(crate) fn check_home<H: Home>(&self, home: &Arc<H>) -> Result<(), SpoolError> {
        let own = self.guard.home.as_ref().is_some_and(|own| std::ptr::addr_eq(Arc::as_ptr(own), Arc::as_ptr(home)));
        if own { Ok(()) } else { Err(SpoolError::ForeignLease { id: self.id() }) }
    }
}

impl Default for Settlement {
    fn default() -> Self {
        Self { attempted: true, remaining: Vec::new(), latest: None, outbox: Vec::new(), follow_up: None }
    }
}

impl Settlement {
    /// Everybody is served or given up: the entry leaves the queue.
    #[must_use]
    pub fn finished() -> Self {
        Self::default()
    }

    /// Every recipient of `entry` waits for the same reason.
    #[must_use]
    pub fn deferred(entry: &Entry, deferral: &Deferral) -> Self {
        let remaining = (0..entry.envelope.recipients.len()).map(|index| (index, deferral.clone())).collect();
        Self { remaining, ..Self::default() }
    }

    /// The recipient of this index waits too.
    #[must_use]
    pub fn remain(mut self, index: usize, deferral: Deferral) -> Self {
        self.remaining.push((index, deferral));
        self
    }

    /// No attempt was made, because the destination is known not to answer: none is counted.
    #[must_use]
    pub fn without_attempt(mut self) -> Self {
        self.attempted = false;
        self
    }

    /// Records this row too.
    #[must_use]
    pub fn record(mut self, row: Vec<u8>) -> Self {
        self.outbox.push(row);
        self
    }

    /// Accepts this message too.
    #[must_use]
    pub fn follow_up(mut self, follow_up: FollowUp) -> Self {
        self.follow_up = Some(follow_up);
        self
    }

    /// What stays of the entry: recipients with their deferrals, in the entry's order.
    pub(crate) fn kept(&self, entry: &Entry) -> Result<Vec<(Recipient, Deferral)>, SpoolError> {
        let recipients = &entry.envelope.recipients;
        let mut kept = vec![None; recipients.len()];
        for (index, deferral) in &self.remaining {
            let unknown = SpoolError::UnknownRecipient { index: *index, recipients: recipients.len() };
            *kept.get_mut(*index).ok_or(unknown)? = Some(deferral);
        }
        let both = recipients.iter().zip(kept);
        Ok(both.filter_map(|(recipient, deferral)| Some((recipient.clone(), deferral?.clone()))).collect())
    }
}

impl FollowUp {
    /// The message with its body.
    ///
    /// # Errors
    /// [`FollowUpError::NoRecipients`]: it has no group, or one without recipients; [`FollowUpError::TooLong`]: the body has more
    /// than [`FOLLOW_UP_OCTETS`].
    pub fn new(message: NewMessage, body: Vec<u8>) -> Result<Self, FollowUpError> {
        if !has_recipients(&message) {
            return Err(FollowUpError::NoRecipients);
        }
        let found = Octets(body.len() as u64);
        if found > FOLLOW_UP_OCTETS {
            return Err(FollowUpError::TooLong { found, limit: FOLLOW_UP_OCTETS });
        }
        Ok(Self { message, body })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &NewMessage {
        &self.message
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Message and body as they are stored: each group that is not deferred is due at once.
    pub(crate) fn into_parts(self) -> (NewMessage, Vec<u8>) {
        let Self { mut message, body } = self;
        for group in &mut message.groups {
            group.deferral.get_or_insert_with(|| Deferral::new(message.reception.at, String::new()));
        }
        (message, body)
    }
}

pub(crate) fn has_recipients(message: &NewMessage) -> bool {
    !message.groups.is_empty() && message.groups.iter().all(|group| !group.recipients.is_empty())
}

/// When the row of these recipients is due next, and the reason to show: of those that wait to be let go only if all do.
pub(crate) fn earliest(kept: &[(Recipient, Deferral)]) -> Option<&Deferral> {
    kept.iter().map(|(_, deferral)| deferral).min_by_key(|deferral| (deferral.until_released, deferral.due))
}

/// Where leases go back to.
pub(crate) trait Home: Send + Sync {
    fn give_back(self: Arc<Self>, id: QueueId, granted: UnixMillis, how: GiveBack);
}

/// Why a lease ends without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveBack {
    /// No attempt was made.
    Released,
    /// The task died.
    Abandoned,
}

struct Guard {
    home: Option<Arc<dyn Home>>,
    id: QueueId,
    granted: UnixMillis,
}

impl Guard {
    fn end(&mut self, how: GiveBack) {
        if let Some(home) = self.home.take() {
            home.give_back(self.id, self.granted, how);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(GiveBack::Abandoned);
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("granted", &self.granted).finish_non_exhaustive()
    }
}

/// Octets in the body of a follow-up: notifications are short, and this one is held in memory.
pub const FOLLOW_UP_OCTETS: Octets = Octets(1 << 20);

/// How often the store may refuse an outcome for what it is before the outcome is given up.
pub const RECORD_TRIES: u32 = 5;

/// What an attempt that died is deferred for.
pub(crate) const ABANDONED: &str = "the attempt ended without an outcome";
