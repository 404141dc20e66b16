//! From what became of each recipient to what the queue records, the history tells and the sender is told.

use std::time::Duration;

use sealpost_policy::DeliverDecision;
use sealpost_queue::{Deferral, Lease, SameVerdict, Selector, Settlement, Spool as _};
use sealpost_report::{Event, EventKind};
use sealpost_types::{ClearFallback, OnExpiry, OnFailure, UnixMillis};

use super::held;
use super::notice::{self, Notice};
use super::outcome::{self, Outcome, Party, Trouble};
use super::subject::{self, Subject};
use crate::engine::{Components, Engine};
use crate::words::Fate;
use crate::{random, submit};

/// What one attempt comes to.
pub(crate) struct Settling<'a, C: Components> {
    engine: &'a Engine<C>,
    subject: Subject<'a>,
    now: UnixMillis,
    /// Spreads the waits. One number for the whole entry, so that recipients with the same schedule come back together.
    jitter: u16,
    /// Whether a host was asked on behalf of anybody.
    attempted: bool,
    settlement: Settlement,
    /// What the sender is told, as far as it wants to hear it.
    notices: Vec<Notice>,
    touched: Vec<bool>,
}

impl<'a, C: Components> Settling<'a, C> {
    /// Of an attempt at this message.
    pub(crate) fn new(engine: &'a Engine<C>, subject: Subject<'a>) -> Self {
        let touched = vec![false; subject.entry.envelope.recipients.len()];
        let (now, settlement) = (engine.now(), Settlement::finished());
        Self { engine, subject, now, jitter: random::jitter(), settlement, attempted: false, notices: Vec::new(), touched }
    }

    /// Whether nothing became of anybody: then there was no attempt.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched.contains(&true)
    }

    /// Takes in what became of a party, in the order of its recipients.
    pub(crate) fn add(&mut self, party: &Party, outcomes: Vec<Outcome>) {
        // What became of it comes after what was tried for it.
        self.now = self.engine.now();
        for (index, outcome) in party.recipients.iter().copied().zip(outcomes) {
            if let Some(touched) = self.touched.get_mut(index) {
                *touched = true;
            }
            self.attempted |= !matches!(outcome, Outcome::PutOff(_));
            match outcome {
                Outcome::Delivered(contact, reply) => {
                    let in_clear = contact.downgrade.as_ref().and(contact.proof.no_tls);
                    self.engine.counters.delivered(party.decision.level, in_clear);
                    let recipient = self.subject.entry.envelope.recipients.get(index);
                    let told = recipient.and_then(|to| notice::relayed(index, to, &party.decision, &contact, &reply));
                    let notices = |engine: &Engine<C>| engine.config().rights.success_notices;
                    self.notices.extend(told.filter(|_| notices(self.engine).covers(&self.subject.entry.reception)));
                    let Some(mut event) = self.event(EventKind::Delivered, index, party) else { continue };
                    event.host = Some(contact.host.clone());
                    event.address = Some(contact.address);
                    event.proof = Some(contact.proof.clone());
                    event.reason.clone_from(&contact.downgrade);
                    event.shadow.clone_from(&contact.shadow);
                    event.reply = Some(reply.to_string());
                    self.engine.record(event);
                }
                Outcome::PutOff(deferral) if self.is_expired(&party.decision) => {
                    let trouble = self.still_standing(index, deferral);
                    self.expire(index, party, trouble);
                }
                Outcome::PutOff(deferral) => self.put_off(index, party, deferral),
                Outcome::Deferred(trouble) if self.is_expired(&party.decision) => self.expire(index, party, trouble),
                Outcome::Deferred(trouble) => self.defer(index, party, trouble),
                Outcome::Failed(trouble) => self.give_up(index, party, trouble, EventKind::Bounced, false),
            }
        }
    }

    /// Records everything, durably where the mail has come to an end.
    pub(crate) async fn finish(mut self, lease: Lease) {
        for (index, _) in self.touched.iter().enumerate().filter(|(_, touched)| !**touched) {
            let waiting = self.subject.entry.deferrals.get(index).cloned().flatten();
            if let Some(decision) = self.subject.decide(index, self.now) {
                let (end, warned) = (self.expiry(&decision), waiting.as_ref().is_some_and(|waiting| waiting.warned));
                let at = self.late().filter(|_| !warned).map_or(end, |late| late.min(end));
                let latest = &mut self.settlement.latest;
                *latest = Some(latest.map_or(at, |before| before.min(at)));
            }
            self.settlement.remaining.push((index, waiting.unwrap_or_else(|| Deferral::new(self.now, "not tried yet"))));
        }
        if !self.notices.is_empty()
            && let Some(notice) = notice::about(self.engine, &self.subject, lease.body(), &self.notices, self.now).await
        {
            self.settlement = self.settlement.follow_up(notice);
        }
        self.settlement.attempted = self.attempted;
        let notification = self.settlement.follow_up.as_ref().map(|notice| notice.message().id);
        let id = lease.id();
        let ends = !self.settlement.outbox.is_empty();
        let waits = !self.settlement.remaining.is_empty();
        let is_held = self.settlement.remaining.iter().any(|(_, deferral)| deferral.hold.is_some());
        // Where everybody was served nobody needs to wait: if it is lost, so is at most the knowledge of a delivery.
        let urgent = ends || waits || self.settlement.follow_up.is_some();
        let settled = if urgent {
            self.engine.spool.settle(lease, self.settlement).await
        } else {
            self.engine.spool.settle_soon(lease, self.settlement)
        };
        match (settled, notification) {
            (Err(error), _) => tracing::error!(%id, %error, "what became of an entry is not recorded"),
            (Ok(()), Some(notification)) => tracing::info!(id = %self.subject.entry.message, %notification, "the sender is notified"),
            (Ok(()), None) => {}
        }
        if ends {
            self.engine.outbox.notify_one();
        }
        // A policy or a release that came during the attempt woke what waited, and this did not wait yet.
        let is_released = is_held && self.engine.spool.releases() != self.subject.releases;
        let is_outdated = is_released || self.subject.is_outdated(&self.engine.policy.load(), &self.engine.config(), self.now);
        if waits
            && is_outdated
            && let Err(error) = self.engine.spool.retry_now(Selector::Id(id), self.engine.now()).await
        {
            tracing::error!(%id, %error, "the entry is not woken by the new policy");
        }
    }

    fn is_expired(&self, decision: &DeliverDecision) -> bool {
        self.expiry(decision) <= self.now
    }

    fn expiry(&self, decision: &DeliverDecision) -> UnixMillis {
        self.subject.entry.reception.at.after(decision.fate.lifetime)
    }

    fn defer(&mut self, index: usize, party: &Party, trouble: Trouble) {
        let verdict = trouble.verdict.clone().filter(|_| trouble.tls).map(|word| self.same_verdict(index, word, trouble.recalled));
        // Mail that may come to go in clear is not given up for want of TLS.
        let may_be_clear = !party.decision.demand.is_mandatory() && party.decision.clear_fallback != ClearFallback::Never;
        if let (OnFailure::Bounce { after }, Some(verdict)) = (party.decision.fate.on_failure, &verdict)
            && verdict.times >= after
            && !may_be_clear
        {
            return self.certain(index, party, trouble, verdict.times);
        }
        self.count(party, Fate::Deferred, &trouble);
        let attempts = self.subject.before(index).map_or(0, |before| before.attempts).saturating_add(1);
        let due = self.at_the_latest(party, self.now.after(self.wait(party, &trouble, attempts)));
        if let Some(event) = self.event(EventKind::Deferred, index, party) {
            let mut event = subject::with_trouble(event, &trouble);
            event.next_attempt = Some(due);
            self.engine.record(event);
        }
        let given = trouble.clone();
        let hold = held::after(&party.decision, &trouble, self.subject.before(index), self.subject.releases);
        // A host that is down beside one whose TLS is broken must not hold back mail that may go in clear.
        let mut deferral = if trouble.tls_at_a_host { Deferral::tls(due, trouble.reason) } else { Deferral::new(due, trouble.reason) };
        deferral.verdict = verdict;
        deferral.attempts = attempts;
        self.warn(index, party, &mut deferral, &given);
        self.settlement.remaining.push((index, deferral.held(hold)));
    }

    /// The verdict after the one of before. What others found out is no further proof, and what was proven before stands.
    fn same_verdict(&self, index: usize, word: String, recalled: bool) -> SameVerdict {
        let before = self.subject.before(index).and_then(|deferral| deferral.verdict.as_ref());
        match before {
            Some(before) if recalled && before.word == word => before.clone(),
            _ => SameVerdict::after(word, before),
        }
    }

    /// The same verdict so often that it is certain to last, and the policy has it bounced then (F5).
    fn certain(&mut self, index: usize, party: &Party, mut trouble: Trouble, times: u32) {
        trouble.status = outcome::ENCRYPTION_NEEDED;
        trouble.reason = match times {
            1 => trouble.reason,
            times => format!("{} ({times} times in a row)", trouble.reason),
        };
        self.give_up(index, party, trouble, EventKind::Bounced, false);
    }

    /// No attempt was made: the reason says whose attempt it waits for, and the history tells of that one.
    fn put_off(&mut self, index: usize, party: &Party, mut deferral: Deferral) {
        deferral.due = self.at_the_latest(party, deferral.due);
        // Nobody was asked, so what the last attempt showed still stands.
        if let Some(before) = self.subject.before(index) {
            deferral.hold.clone_from(&before.hold);
            deferral.verdict.clone_from(&before.verdict);
            (deferral.tls_failure, deferral.attempts) = (before.tls_failure, before.attempts);
        }
        let trouble = Trouble::new(deferral.reason.clone(), outcome::NO_ANSWER);
        self.warn(index, party, &mut deferral, &trouble);
        self.settlement.remaining.push((index, deferral));
    }

    /// The trouble at the end of a lifetime where nobody was asked: if the last attempt was certain that TLS is the reason, it is.
    fn still_standing(&self, index: usize, deferral: Deferral) -> Trouble {
        let verdict = self.subject.before(index).and_then(|before| before.verdict.as_ref());
        let mut trouble = Trouble::new(deferral.reason, outcome::NO_ANSWER);
        (trouble.tls, trouble.tls_at_a_host) = (verdict.is_some(), verdict.is_some());
        trouble.verdict = verdict.map(|verdict| verdict.word.clone());
        trouble
    }

    /// Tells the sender once if it takes long, and sees to it that somebody looks again when that is so, and when it is over.
    fn warn(&mut self, index: usize, party: &Party, deferral: &mut Deferral, trouble: &Trouble) {
        let end = self.expiry(&party.decision);
        deferral.warned = self.subject.before(index).is_some_and(|before| before.warned);
        let late = self.late().filter(|late| !deferral.warned && *late < end);
        match late {
            Some(late) if late <= self.now => {
                deferral.warned = true;
                if let Some(recipient) = self.subject.entry.envelope.recipients.get(index) {
                    self.notices.push(notice::delayed(index, recipient, &party.decision, trouble.clone(), end));
                }
                self.look_at(end);
            }
            Some(late) => {
                deferral.due = deferral.due.min(late);
                self.look_at(late);
            }
            None => self.look_at(end),
        }
    }

    /// When the sender is told that it takes long.
    fn late(&self) -> Option<UnixMillis> {
        submit::late(self.engine, self.subject.entry.reception.at)
    }

    fn look_at(&mut self, at: UnixMillis) {
        let latest = &mut self.settlement.latest;
        *latest = Some(latest.map_or(at, |before| before.min(at)));
    }

    /// Until the next attempt after so many: by the entry of the policy, else by the queue's own schedule for such failures.
    fn wait(&self, party: &Party, trouble: &Trouble, attempts: u32) -> Duration {
        let queue = &self.engine.config().queue;
        let own = party.decision.fate.retry.as_ref();
        let schedule = own.unwrap_or(if trouble.tls { &queue.retry_tls } else { &queue.retry });
        schedule.wait_after(attempts, self.jitter)
    }

    /// The last try comes when the lifetime ends, not up to a whole wait later.
    fn at_the_latest(&self, party: &Party, due: UnixMillis) -> UnixMillis {
        due.min(self.expiry(&party.decision).max(self.now))
    }

    /// The lifetime is over: how it ends depends on whether TLS was the reason.
    fn expire(&mut self, index: usize, party: &Party, mut trouble: Trouble) {
        trouble.status = if trouble.tls { outcome::ENCRYPTION_NEEDED } else { outcome::TIME_EXPIRED };
        if let Some(event) = self.event(EventKind::Expired, index, party) {
            self.engine.record(subject::with_trouble(event, &trouble));
        }
        match party.decision.fate.on_expiry {
            OnExpiry::Delete if trouble.tls => self.give_up(index, party, trouble, EventKind::DeletedByTlsPolicy, true),
            OnExpiry::Hold if trouble.tls => self.keep(index, party, trouble),
            _ => self.give_up(index, party, trouble, EventKind::Bounced, true),
        }
    }

    /// It stays in the queue and is not tried before somebody lets it go.
    fn keep(&mut self, index: usize, party: &Party, trouble: Trouble) {
        self.count(party, Fate::Held, &trouble);
        if let Some(event) = self.event(EventKind::Held, index, party) {
            self.settlement.outbox.push(subject::with_trouble(event, &trouble).to_bytes());
        }
        let hold = held::after(&party.decision, &trouble, self.subject.before(index), self.subject.releases);
        let mut deferral = Deferral::tls(self.now, trouble.reason).held(hold);
        deferral.attempts = self.subject.before(index).map_or(0, |before| before.attempts).saturating_add(1);
        deferral.until_released = true;
        self.settlement.remaining.push((index, deferral));
    }

    /// The end: the last entry of the history is recorded together with the removal, so that it cannot be lost.
    fn give_up(&mut self, index: usize, party: &Party, trouble: Trouble, kind: EventKind, is_expired: bool) {
        if let Some(event) = self.event(kind, index, party) {
            self.settlement.outbox.push(subject::with_trouble(event, &trouble).to_bytes());
        }
        if kind == EventKind::DeletedByTlsPolicy {
            return self.count(party, Fate::Deleted, &trouble);
        }
        self.count(party, Fate::Bounced, &trouble);
        if let Some(recipient) = self.subject.entry.envelope.recipients.get(index) {
            let expired = Some(self.expiry(&party.decision)).filter(|_| is_expired);
            self.notices.push(notice::failed(index, recipient, &party.decision, trouble, expired));
        }
    }

    fn count(&self, party: &Party, fate: Fate, trouble: &Trouble) {
        self.engine.counters.outcomes.add_one((party.decision.level, fate, trouble.word()));
    }

    fn event(&self, kind: EventKind, index: usize, party: &Party) -> Option<Event> {
        self.subject.event(kind, self.now, index, &party.next_hop)
    }
}
