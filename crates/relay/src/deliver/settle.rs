//! From what became of each recipient to what the queue records, the history tells and the sender is told.

use sealpost_policy::DeliverDecision;
use sealpost_queue::{Deferral, Entry, FollowUp, Lease, Settlement, Spool as _};
use sealpost_report::{Event, EventKind};
use sealpost_types::{OnExpiry, UnixMillis};

use super::notice::{self, GivenUp};
use super::outcome::{self, Outcome, Party, Trouble};
use super::tell;
use crate::engine::{Components, Engine};
use crate::random;

/// What one attempt comes to.
pub(crate) struct Settling<'a, C: Components> {
    engine: &'a Engine<C>,
    entry: &'a Entry,
    now: UnixMillis,
    settlement: Settlement,
    given_up: Vec<GivenUp>,
    touched: Vec<bool>,
}

impl<'a, C: Components> Settling<'a, C> {
    pub(crate) fn new(engine: &'a Engine<C>, entry: &'a Entry) -> Self {
        let touched = vec![false; entry.envelope.recipients.len()];
        Self { engine, entry, now: engine.now(), settlement: Settlement::finished(), given_up: Vec::new(), touched }
    }

    /// Whether nothing became of anybody: then there was no attempt.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched.contains(&true)
    }

    /// Takes in what became of a party, in the order of its recipients.
    pub(crate) fn add(&mut self, party: &Party, outcomes: Vec<Outcome>) {
        for (index, outcome) in party.recipients.iter().copied().zip(outcomes) {
            if let Some(touched) = self.touched.get_mut(index) {
                *touched = true;
            }
            match outcome {
                Outcome::Delivered(contact, reply) => {
                    self.engine.counters.delivered.add_one();
                    let Some(mut event) = self.event(EventKind::Delivered, index, party) else { continue };
                    event.host = Some(contact.host.clone());
                    event.address = Some(contact.address);
                    event.proof = Some(contact.proof.clone());
                    event.reason.clone_from(&contact.downgrade);
                    event.reply = Some(reply.to_string());
                    self.engine.record(event);
                }
                Outcome::PutOff(deferral) if self.is_expired(&party.decision) => {
                    self.expire(index, party, Trouble::new(deferral.reason, outcome::NO_ANSWER));
                }
                Outcome::PutOff(deferral) => self.settlement.remaining.push((index, deferral)),
                Outcome::Deferred(trouble) if self.is_expired(&party.decision) => self.expire(index, party, trouble),
                Outcome::Deferred(trouble) => self.defer(index, party, trouble),
                Outcome::Failed(trouble) => self.give_up(index, party, trouble, EventKind::Bounced),
            }
        }
    }

    /// Records everything, durably where the mail has come to an end.
    pub(crate) async fn finish(mut self, lease: Lease) {
        for (index, _) in self.touched.iter().enumerate().filter(|(_, touched)| !**touched) {
            let waiting = self.entry.deferrals.get(index).cloned().flatten();
            self.settlement.remaining.push((index, waiting.unwrap_or_else(|| Deferral::new(self.now, "not tried yet"))));
        }
        if !self.given_up.is_empty()
            && let Some((message, bytes)) = notice::about(self.engine, self.entry, lease.body(), &self.given_up, self.now).await
        {
            let (id, notification) = (self.entry.message, message.id);
            match FollowUp::new(message, bytes) {
                Ok(follow_up) => {
                    tracing::info!(%id, %notification, "the sender is notified");
                    self.settlement = self.settlement.follow_up(follow_up);
                }
                Err(error) => tracing::error!(%id, %error, "the sender cannot be notified"),
            }
        }
        let id = lease.id();
        let ends = !self.settlement.outbox.is_empty();
        // Where everybody was served nobody needs to wait: if it is lost, so is at most the knowledge of a delivery.
        let urgent = ends || !self.settlement.remaining.is_empty() || self.settlement.follow_up.is_some();
        let settled = if urgent {
            self.engine.spool.settle(lease, self.settlement).await
        } else {
            self.engine.spool.settle_soon(lease, self.settlement)
        };
        if let Err(error) = settled {
            tracing::error!(%id, %error, "what became of an entry is not recorded");
        }
        if ends {
            self.engine.outbox.notify_one();
        }
    }

    fn is_expired(&self, decision: &DeliverDecision) -> bool {
        self.expiry(decision) <= self.now
    }

    fn expiry(&self, decision: &DeliverDecision) -> UnixMillis {
        self.entry.reception.at.after(decision.fate.lifetime)
    }

    fn defer(&mut self, index: usize, party: &Party, trouble: Trouble) {
        self.engine.counters.deferred.add_one();
        let wait = self.engine.config.queue.retry.wait_after(self.entry.attempts.saturating_add(1), random::jitter());
        // The last try comes when the lifetime ends, not up to a whole wait later.
        let due = self.now.after(wait).min(self.expiry(&party.decision).max(self.now));
        if let Some(event) = self.event(EventKind::Deferred, index, party) {
            let mut event = tell::with_trouble(event, &trouble);
            event.next_attempt = Some(due);
            self.engine.record(event);
        }
        // A host that is down beside one whose TLS is broken must not hold back mail that may go in clear.
        let deferral = if trouble.tls_at_a_host { Deferral::tls(due, trouble.reason) } else { Deferral::new(due, trouble.reason) };
        self.settlement.remaining.push((index, deferral));
    }

    /// The lifetime is over: how it ends depends on whether TLS was the reason.
    fn expire(&mut self, index: usize, party: &Party, mut trouble: Trouble) {
        trouble.status = if trouble.tls { outcome::ENCRYPTION_NEEDED } else { outcome::TIME_EXPIRED };
        if let Some(event) = self.event(EventKind::Expired, index, party) {
            self.engine.record(tell::with_trouble(event, &trouble));
        }
        let kind = match party.decision.fate.on_expiry {
            OnExpiry::Delete if trouble.tls => EventKind::DeletedByTlsPolicy,
            _ => EventKind::Bounced,
        };
        self.give_up(index, party, trouble, kind);
    }

    /// The end: the last entry of the history is recorded together with the removal, so that it cannot be lost.
    fn give_up(&mut self, index: usize, party: &Party, trouble: Trouble, kind: EventKind) {
        if let Some(event) = self.event(kind, index, party) {
            self.settlement.outbox.push(tell::with_trouble(event, &trouble).to_bytes());
        }
        if kind == EventKind::DeletedByTlsPolicy {
            self.engine.counters.deleted.add_one();
            return;
        }
        self.engine.counters.bounced.add_one();
        if let Some(recipient) = self.entry.envelope.recipients.get(index) {
            self.given_up.push(GivenUp { recipient: recipient.clone(), decision: party.decision.clone(), trouble });
        }
    }

    fn event(&self, kind: EventKind, index: usize, party: &Party) -> Option<Event> {
        tell::of_recipient(&self.engine.policy.load(), kind, self.now, self.entry, index, &party.next_hop)
    }
}
