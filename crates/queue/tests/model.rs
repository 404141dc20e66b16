//! Random operations on the embedded engine and on the plain one in memory: they agree after each.

mod support;

use std::path::Path;

use proptest::prelude::*;
use sealpost_queue::{
    Change, Changed, Deferral, EmbeddedSpool, Filter, FollowUp, Lease, MemorySpool, QueueId, Selector, Settings, Settlement, Spool, State,
};
use sealpost_types::UnixMillis;
use support::{at, body, content, destination, eventually, message};

#[derive(Clone, Debug)]
enum Operation {
    /// Recipients as (address, domain), octets, and whether the first group waits.
    Accept {
        to: Vec<(u8, u8)>,
        size: usize,
        waits: bool,
    },
    LeaseDue {
        limit: usize,
        skip: Vec<u8>,
    },
    /// Of a lease that is held: which, and which of its recipients remain.
    Settle {
        lease: usize,
        remaining: u8,
        tls: bool,
        follow_up: bool,
        attempted: bool,
    },
    Drop {
        lease: usize,
    },
    Release {
        lease: usize,
    },
    SetAside {
        lease: usize,
    },
    Change {
        message: usize,
        how: u8,
    },
    RetryAll,
    RetryDomain {
        domain: u8,
    },
    RetryMessage {
        message: usize,
    },
    /// The clock jumps by so many hours.
    Jump {
        hours: i64,
    },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let size = prop_oneof![0..200_usize, 16_000..17_000_usize, 60_000..70_000_usize];
    prop_oneof![
        4 => (prop::collection::vec((0..3_u8, 0..3_u8), 1..4), size, any::<bool>())
            .prop_map(|(to, size, waits)| Operation::Accept { to, size, waits }),
        3 => (0..4_usize, prop::collection::vec(0..3_u8, 0..2)).prop_map(|(limit, skip)| Operation::LeaseDue { limit, skip }),
        4 => (0..8_usize, any::<u8>(), any::<bool>(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(lease, remaining, tls, follow_up, attempted)| Operation::Settle { lease, remaining, tls, follow_up, attempted }),
        1 => (0..8_usize).prop_map(|lease| Operation::Drop { lease }),
        1 => (0..8_usize).prop_map(|lease| Operation::Release { lease }),
        1 => (0..8_usize).prop_map(|lease| Operation::SetAside { lease }),
        3 => (0..8_usize, 0..4_u8).prop_map(|(message, how)| Operation::Change { message, how }),
        1 => Just(Operation::RetryAll),
        1 => (0..3_u8).prop_map(|domain| Operation::RetryDomain { domain }),
        1 => (0..8_usize).prop_map(|message| Operation::RetryMessage { message }),
        1 => (-24..=24_i64).prop_map(|hours| Operation::Jump { hours }),
        1 => Just(Operation::Reopen),
    ]
}

/// One of the two queues. Both make their ids in the same order, so that what they answer can be compared.
struct Side<S> {
    queue: S,
    messages: Vec<QueueId>,
    held: Vec<Lease>,
    changed: Vec<Changed>,
}

impl<S: Spool> Side<S> {
    fn new(queue: S) -> Self {
        Self { queue, messages: Vec::new(), held: Vec::new(), changed: Vec::new() }
    }

    async fn apply(&mut self, operation: &Operation, now: UnixMillis) {
        match operation.clone() {
            Operation::Accept { to, size, waits } => {
                let to: Vec<_> = to.iter().map(|(address, domain)| format!("r{address}@d{domain}.example")).collect();
                let id = self.queue.next_id();
                let mut message = message(id, now, &to.iter().map(String::as_str).collect::<Vec<_>>());
                if waits {
                    message.groups[0] = message.groups[0].clone().deferred(Deferral::new(UnixMillis(now.0 + 2), "waits"));
                }
                let number = self.messages.len() as u64;
                self.messages.push(id);
                let body = body(&self.queue, &content(number, size)).await;
                self.held.extend(self.queue.accept(message, body).await.unwrap());
            }
            Operation::LeaseDue { limit, skip } => {
                let skip: Vec<_> = skip.iter().map(|domain| destination(&format!("d{domain}.example"))).collect();
                self.held.extend(self.queue.lease_due(now, limit, &skip).await.unwrap());
            }
            Operation::Settle { lease, remaining, tls, follow_up, attempted } => {
                let Some(lease) = self.take(lease) else { return };
                let mut settlement = Settlement::finished().record(vec![remaining]);
                settlement.latest = (remaining % 4 == 1).then(|| UnixMillis(now.0 + i64::from(remaining) % 7));
                settlement.attempted = attempted;
                for index in 0..lease.entry().envelope.recipients.len() {
                    if remaining >> index & 1 == 1 {
                        let due = UnixMillis(now.0 + i64::from(remaining) % 5);
                        let mut deferral = if tls { Deferral::tls(due, "tls") } else { Deferral::new(due, "451") };
                        deferral.until_released = remaining >= 200 && index == 0;
                        deferral.attempts = u32::from(remaining % 3);
                        settlement = settlement.remain(index, deferral);
                    }
                }
                if follow_up {
                    let id = self.queue.next_id();
                    let notice = message(id, now, &["sender@hosted.example", "postmaster@hosted.example"]);
                    let body = content(self.messages.len() as u64, 3_000);
                    settlement = settlement.follow_up(FollowUp::new(notice, body).unwrap());
                    self.messages.push(id);
                }
                self.queue.settle(lease, settlement).await.unwrap();
            }
            Operation::Drop { lease } => {
                let before = self.held.len();
                drop(self.take(lease));
                self.quiet(before).await;
            }
            Operation::Release { lease } => {
                let before = self.held.len();
                if let Some(lease) = self.take(lease) {
                    lease.release();
                }
                self.quiet(before).await;
            }
            Operation::SetAside { lease } => {
                if let Some(lease) = self.take(lease) {
                    self.queue.set_aside(lease, "rotten").await.unwrap();
                }
            }
            Operation::Change { message, how } => {
                let Some(id) = self.messages.get(message) else { return };
                let change = match how {
                    0 => Change::Retry { now },
                    1 => Change::Hold { outbox: vec![vec![how]] },
                    2 => Change::Release { now, outbox: Vec::new() },
                    _ => Change::Delete { outbox: vec![vec![how]] },
                };
                let changed = self.queue.change(vec![(*id, change)]).await.unwrap();
                self.changed.extend(changed);
            }
            Operation::RetryAll => drop(self.queue.retry_now(Selector::All, now).await.unwrap()),
            Operation::RetryDomain { domain } => {
                let selector = Selector::Destinations(vec![destination(&format!("d{domain}.example"))]);
                self.queue.retry_now(selector, now).await.unwrap();
            }
            Operation::RetryMessage { message } => {
                if let Some(id) = self.messages.get(message) {
                    self.queue.retry_now(Selector::Id(*id), now).await.unwrap();
                }
            }
            Operation::Jump { .. } => {}
            // To a queue in memory it is as if all leases were given back.
            Operation::Reopen => {
                let before = self.held.len();
                self.held.drain(..).for_each(Lease::release);
                self.quiet(before).await;
            }
        }
    }

    fn take(&mut self, lease: usize) -> Option<Lease> {
        (lease < self.held.len()).then(|| self.held.remove(lease))
    }

    /// Waits until leases that were given back are recorded.
    async fn quiet(&self, before: usize) {
        if self.held.len() < before {
            eventually(|| async { self.queue.stats().await.unwrap().leased == self.held.len() as u64 }).await;
        }
    }

    /// All that can be seen of it, with places in the order of messages instead of ids.
    async fn seen(&self) -> String {
        let place = |id: QueueId| self.messages.iter().position(|known| *known == id).unwrap();
        let mut seen = format!("{:?}\n{:?}\n", self.queue.stats().await.unwrap(), self.queue.next_due().await.unwrap());
        seen += &format!("{:?} {}\n", self.queue.due_after(at(10)).await.unwrap(), self.queue.due(at(12)).await.unwrap());
        for listed in self.queue.list(Filter::all(), usize::MAX).await.unwrap() {
            let entry = listed.entry.unwrap();
            seen += &format!(
                "{} {} {:?} {} {:?} {:?} {:?} {:?} {} {:?}\n",
                place(entry.message),
                listed.destination,
                listed.state,
                listed.leased,
                listed.due,
                listed.reason,
                entry.envelope,
                entry.deferrals,
                entry.attempts,
                entry.size,
            );
        }
        for lease in &self.held {
            let body = lease.body().to_vec().await.unwrap();
            seen += &format!("{} {} {:08x}\n", place(lease.entry().message), lease.entry().destination, crc32fast::hash(&body));
        }
        let outbox = self.queue.outbox(usize::MAX).await.unwrap();
        seen += &format!("{:?} {:?}", self.changed, outbox.iter().map(|row| row.row.clone()).collect::<Vec<_>>());
        seen
    }
}

async fn agree(directory: &Path, operations: &[Operation]) -> Result<(), TestCaseError> {
    let mut memory = Side::new(MemorySpool::new());
    let mut embedded = Side::new(EmbeddedSpool::open(directory, Settings::default()).unwrap());
    let mut jumped = 0;
    for (step, operation) in operations.iter().enumerate() {
        if let Operation::Jump { hours } = operation {
            jumped += hours * 3_600_000;
        }
        let now = at(step as i64 * 3 + jumped);
        memory.apply(operation, now).await;
        if matches!(operation, Operation::Reopen) {
            embedded.queue.close().await.unwrap();
            embedded.held.clear();
            embedded.queue = EmbeddedSpool::open(directory, Settings::default()).unwrap();
        } else {
            embedded.apply(operation, now).await;
        }
        let (expected, found) = (memory.seen().await, embedded.seen().await);
        prop_assert_eq!(expected, found, "after step {}: {:?}", step, operation);
    }
    // Whatever there is can be had in the end.
    let now = at(i64::MAX / 2);
    memory.apply(&Operation::Reopen, now).await;
    let all = memory.queue.lease_due(now, usize::MAX, &[]).await.unwrap().len();
    let deferred = memory.queue.stats().await.unwrap();
    prop_assert_eq!(all as u64, deferred.deferred);
    prop_assert!(memory.queue.list(Filter::all().state(State::Fresh), 1).await.unwrap().is_empty());
    embedded.queue.close().await.unwrap();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_agree(operations in prop::collection::vec(operation(), 1..25)) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agree(directory.path(), &operations))?;
    }
}
