//! One session after the other, until there are no messages left.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sealpost_relay::{Reach, ReachHost};
use sealpost_smtp::Transaction;
use sealpost_transport::{Connection, MemoryBody, RecipientOutcome, RustlsBackend};
use sealpost_types::{HostDemand, Mailbox, Octets, Recipient, ReversePath, Severity};

use super::figures::{Refusal, Sample, Tally};

/// What all sessions do together.
pub(super) struct Plan {
    pub(super) reach: Reach,
    pub(super) host: ReachHost,
    pub(super) demand: HostDemand,
    pub(super) implicit: bool,
    pub(super) time: Duration,
    pub(super) from: ReversePath,
    pub(super) to: String,
    pub(super) size: usize,
    pub(super) messages: u64,
    pub(super) per_session: u64,
    /// From one message to the next, over all sessions.
    pub(super) pause: Option<Duration>,
    /// Whether content is sent before the envelope is answered.
    pub(super) inline: bool,
    pub(super) start: Instant,
    pub(super) end: Option<Instant>,
    /// Whether somebody has had enough.
    pub(super) stopped: AtomicBool,
    pub(super) tally: Tally,
}

impl Plan {
    /// The number of the next message, and when it is due.
    fn next(&self) -> Option<(u64, Instant)> {
        let number = self.tally.begun.fetch_add(1, Ordering::Relaxed);
        let due = match self.pause {
            None => Instant::now(),
            Some(pause) => self.start + pause.mul_f64(f64::from(u32::try_from(number).unwrap_or(u32::MAX))),
        };
        let is_over = self.is_stopped() || number >= self.messages || self.end.is_some_and(|end| due.max(Instant::now()) >= end);
        (!is_over).then_some((number, due))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// One of the sessions.
pub(super) struct Worker {
    plan: Arc<Plan>,
    sample: Sample,
    content: Vec<u8>,
    filling: Vec<u8>,
    recipient: Option<Mailbox>,
}

impl Worker {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let line = b"This line has been written to fill a message, and says nothing else at all.\r\n";
        let filling = line.iter().copied().cycle().take(plan.size).collect();
        let recipient = if plan.to.contains('#') { None } else { Mailbox::parse(&plan.to).ok() };
        Self { plan, sample: Sample::default(), content: Vec::new(), filling, recipient }
    }

    pub(super) async fn run(mut self) -> Sample {
        let mut next = self.plan.next();
        while let Some(first) = next.take() {
            self.wait_until(first.1).await;
            let opening = Instant::now();
            let plan = Arc::clone(&self.plan);
            let mut connection = match plan.reach.connect(&plan.host, plan.demand.clone(), plan.implicit, plan.time).await {
                Ok(connection) => connection,
                Err(error) => {
                    let kind = if error.is_inconclusive() { Refusal::Later } else { Refusal::Never };
                    self.failed(kind, error.to_string());
                    // A server that cannot be reached is not run down.
                    tokio::time::sleep(PAUSE).await;
                    next = self.plan.next();
                    continue;
                }
            };
            self.sample.opened(opening.elapsed(), connection.tls());
            let mut message = Some(first);
            let mut sent = 0_u64;
            while let Some((number, due)) = message.take() {
                self.wait_until(due).await;
                let goes_on = self.message(&mut connection, number, due).await;
                sent += 1;
                next = self.plan.next();
                if goes_on && sent < self.plan.per_session {
                    message = next.take();
                }
            }
            connection.quit().await;
        }
        self.sample
    }

    /// Sends one message; whether the session can go on.
    async fn message(&mut self, connection: &mut Connection<RustlsBackend>, number: u64, due: Instant) -> bool {
        let plan = Arc::clone(&self.plan);
        let recipient = match &self.recipient {
            Some(mailbox) => mailbox.clone(),
            None => match Mailbox::parse(&plan.to.replace('#', &number.to_string())) {
                Ok(mailbox) => mailbox,
                Err(error) => {
                    self.failed(Refusal::Never, error.to_string());
                    return true;
                }
            },
        };
        self.write(number, &recipient);
        let length = Octets(u64::try_from(self.content.len()).unwrap_or(u64::MAX));
        let mut transaction = Transaction::new(plan.from.clone(), vec![Recipient::new(recipient.into())], length);
        transaction.inline_body = plan.inline;
        // What waits for its turn waits already when it is due: a slow server does not hide its own delays.
        let begun = if plan.pause.is_some() { due } else { Instant::now() };
        let mut body = MemoryBody::new(&self.content);
        let delivered = tokio::time::timeout(plan.time, connection.deliver(transaction, &mut body)).await;
        let (kind, reason) = match &delivered {
            Err(_) => (Refusal::Later, "no answer in time".to_owned()),
            Ok(Err(error)) => (Refusal::Never, error.to_string()),
            Ok(Ok(outcome)) => match outcome.recipient(0) {
                Some(RecipientOutcome::Delivered(_)) => {
                    self.sample.accepted(begun.elapsed(), length.0);
                    plan.tally.accepted.fetch_add(1, Ordering::Relaxed);
                    return connection.is_reusable();
                }
                Some(RecipientOutcome::Refused(reply)) if reply.severity() == Severity::Permanent => (Refusal::Never, reply.to_string()),
                Some(RecipientOutcome::Refused(reply)) => (Refusal::Later, reply.to_string()),
                Some(RecipientOutcome::Broken(error)) => (Refusal::Later, error.to_string()),
                _ => (Refusal::Later, "nothing was said of it".to_owned()),
            },
        };
        self.failed(kind, reason);
        delivered.is_ok() && connection.is_reusable()
    }

    fn failed(&mut self, kind: Refusal, reason: String) {
        self.plan.tally.failed.fetch_add(1, Ordering::Relaxed);
        self.sample.failed(kind, reason);
    }

    /// The message of this number, in one piece.
    fn write(&mut self, number: u64, to: &Mailbox) {
        self.content.clear();
        let from = self.plan.from.mailbox().map(ToString::to_string).unwrap_or_default();
        // Writing into a Vec cannot fail.
        let _ = write!(
            self.content,
            "From: {from}\r\nTo: {to}\r\nSubject: load {number}\r\nMessage-ID: <{number}.{}@sealpost-probe.invalid>\r\n\r\n",
            std::process::id()
        );
        let room = self.plan.size.saturating_sub(self.content.len() + 2);
        self.content.extend_from_slice(self.filling.get(..room).unwrap_or_default());
        // A CR at the cut would be a bare one.
        if self.content.last() == Some(&b'\r') {
            self.content.pop();
        }
        self.content.extend_from_slice(b"\r\n");
    }

    async fn wait_until(&self, due: Instant) {
        if self.plan.pause.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

const PAUSE: Duration = Duration::from_millis(200);
