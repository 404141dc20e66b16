//! The content of a message as it comes in: DATA and BDAT.

use sealpost_types::{Octets, Ticks};

use super::refusal::Refusal;
use super::{Aborted, Greeting, ServerEvent, ServerSession, State, Transaction, Wait};
use crate::command::Verb;
use crate::data::{BodyCheck, BodyFault};
use crate::reply::Reply;

/// What is known of the content so far.
#[derive(Debug)]
pub(super) struct Content {
    /// Used by BDAT only; DATA has a check of its own.
    check: BodyCheck,
    size: u64,
    limit: Octets,
    refusal: Option<Reply>,
}

/// A chunk of BDAT on its way.
#[derive(Debug)]
pub(super) struct Chunk {
    size: u64,
    left: u64,
    last: bool,
    /// What to say at its end, if it counts for nothing.
    refusal: Option<Reply>,
}

impl Content {
    pub(super) fn new(limit: Octets) -> Self {
        Self { check: BodyCheck::new(), size: 0, limit, refusal: None }
    }

    /// Makes nothing of it count; the first reason stands.
    pub(super) fn refuse(&mut self, reply: Reply) {
        self.refusal.get_or_insert(reply);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Counts a piece, and says why nothing of the message counts any more, if that is news.
    fn add(&mut self, octets: usize, fault: Option<BodyFault>) -> Option<Aborted> {
        self.size = self.size.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        if self.is_refused() {
            return None;
        }
        if let Some(fault) = fault {
            self.refuse(Refusal::Fault(fault).reply());
            return Some(Aborted::Fault(fault));
        }
        if self.size > self.limit.0 {
            self.refuse(Refusal::TooLarge { limit: self.limit }.reply());
            return Some(Aborted::TooLarge);
        }
        None
    }
}

impl Chunk {
    pub(super) fn new(size: Octets, last: bool) -> Self {
        Self { size: size.0, left: size.0, last, refusal: None }
    }

    pub(super) fn refused(self, reply: Reply) -> Self {
        Self { refusal: Some(reply), ..self }
    }
}

impl ServerSession {
    /// Takes octets of DATA, up to the next event.
    pub(super) fn take_data(&mut self, input: &[u8], at: usize, now: Ticks) -> usize {
        let State::Data(scanner) = &mut self.state else { return input.len() };
        let scan = scanner.scan(input);
        let fault = scanner.fault();
        self.since = now;
        self.add_content(at.saturating_add(scan.content.start), scan.content.len(), fault);
        if scan.ended {
            self.end_content();
        }
        scan.used
    }

    /// Takes octets of a chunk, up to the next event.
    pub(super) fn take_chunk(&mut self, input: &[u8], at: usize, now: Ticks) -> usize {
        let State::Chunk(chunk) = &mut self.state else { return input.len() };
        let octets = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len());
        chunk.left = chunk.left.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
        let counts = chunk.refusal.is_none();
        self.since = now;
        let content = self.transaction.as_mut().and_then(|transaction| transaction.content.as_mut());
        if let (true, Some(content)) = (counts, content) {
            content.check.check(input.get(..octets).unwrap_or(input));
            let fault = content.check.fault();
            self.add_content(at, octets, fault);
        }
        octets
    }

    /// BDAT was said.
    pub(super) fn bdat(&mut self, chunk: Chunk, needs_tls: bool) {
        let limit = self.config.limits.message;
        let refusal = match &self.transaction {
            _ if needs_tls => Some(Refusal::TlsFirst),
            _ if !self.config.offer.chunking || self.greeted != Some(Greeting::Ehlo) => Some(Refusal::NotOffered(Verb::Bdat)),
            None => Some(Refusal::MailFirst),
            Some(Transaction { recipients: 0, .. }) => Some(Refusal::NoRecipients),
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            self.errors = self.errors.saturating_add(1);
            self.refusals.count(&refusal);
            return self.begin_chunk(chunk.refused(refusal.reply()), self.since);
        }
        let content = self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref());
        let size = content.map_or(0, |content| content.size).saturating_add(chunk.size);
        if size > limit.0 {
            let refusal = Refusal::TooLarge { limit };
            self.refusals.count(&refusal);
            self.abort(Aborted::TooLarge);
            self.begin_chunk(chunk.refused(refusal.reply()), self.since);
        } else if content.is_some() {
            self.begin_chunk(chunk, self.since);
        } else {
            self.state = State::Waiting(Wait::Chunk(chunk));
            self.events.push_back(ServerEvent::BodyStart);
        }
    }

    /// Lets the octets of a chunk come.
    pub(super) fn begin_chunk(&mut self, chunk: Chunk, now: Ticks) {
        if chunk.refusal.is_some() {
            self.content_since = now;
        }
        self.state = State::Chunk(chunk);
    }

    pub(super) fn end_chunk_if_done(&mut self) {
        let State::Chunk(chunk) = &mut self.state else { return };
        if chunk.left > 0 {
            return;
        }
        let (size, last, refusal) = (chunk.size, chunk.last, chunk.refusal.take());
        self.state = State::Command;
        if let Some(refusal) = refusal {
            self.say_refusal(&refusal);
            return self.check_errors();
        }
        let content = self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref());
        if last || content.is_some_and(Content::is_refused) {
            if last && let Some(fault) = content.and_then(|content| content.check.clone().finish()) {
                self.add_content(0, 0, Some(fault));
            }
            self.end_content();
        } else if size > 0 || !self.is_idling() {
            self.say(&Reply::fixed::<250, 0, 0>(format!("{size} octets received")));
        }
    }

    /// Tells the owner of a piece of content, or of the end of all hope for it.
    fn add_content(&mut self, at: usize, octets: usize, fault: Option<BodyFault>) {
        let Some(content) = self.transaction.as_mut().and_then(|transaction| transaction.content.as_mut()) else { return };
        if let Some(why) = content.add(octets, fault) {
            match why {
                Aborted::Fault(fault) => self.refusals.count_fault(fault),
                _ => self.refusals.count(&Refusal::TooLarge { limit: self.config.limits.message }),
            }
            self.events.push_back(ServerEvent::Aborted(why));
        } else if octets > 0 && !content.is_refused() {
            self.events.push_back(ServerEvent::Body(at..at.saturating_add(octets)));
        }
    }

    /// The content is complete, or is not wanted to be.
    fn end_content(&mut self) {
        let Some(content) = self.transaction.as_mut().and_then(|transaction| transaction.content.as_mut()) else { return };
        if let Some(refusal) = content.refusal.take() {
            self.transaction = None;
            self.state = State::Command;
            return self.say_refusal(&refusal);
        }
        let size = Octets(content.size);
        self.state = State::Waiting(Wait::End);
        self.events.push_back(ServerEvent::BodyEnd { size });
    }
}
