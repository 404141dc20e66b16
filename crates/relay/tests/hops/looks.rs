//! How often the relay looks for what is due, counted by the queue, on a clock that only runs while everybody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealpost_queue::{
    AcceptError, Change, Changed, Disk, Filter, Health, Lease, Listed, MemoryBodyWriter, MemorySpool, NewMessage, OutboxRow, QueueId,
    Selector, Settlement, Spool, SpoolError, Stats, Wake,
};
use sealpost_types::{Destination, Octets, UnixMillis};
use tokio::time::sleep;

use crate::support::House;

/// Where a look takes long, what changes meanwhile does not make the next one begin at once: each change would, and where thousands of outcomes
/// were recorded in a second while a million messages waited, the looks kept a processor busy, and with their readers there a log of
/// 1.7 GB never started anew.
///
/// The negative control is the queue whose looks take no time, so that nobody rests: each change makes one. A look of 50 ms is over
/// before the next change, so it is the rest alone that makes them fewer.
#[tokio::test(start_paused = true)]
async fn who_looked_for_long_rests_before_the_next_look() {
    let looks = async |takes| {
        let spool = SlowSpool { queue: MemorySpool::new(), takes, looks: Arc::default() };
        let relay = House::new().start_with(spool.clone()).await;
        for _ in 0..CHANGES {
            sleep(BETWEEN_CHANGES).await;
            spool.retry_now(Selector::Destinations(Vec::new()), UnixMillis(0)).await.unwrap();
        }
        let looks = spool.looks.load(Ordering::SeqCst);
        relay.shutdown().await;
        looks
    };
    let at_once = looks(Duration::ZERO).await;
    assert!(at_once >= CHANGES, "{at_once} looks: this does not see them");
    // Nine times as long as a look: two in a second.
    let rested = looks(Duration::from_millis(50)).await;
    assert!((CHANGES / 5..CHANGES / 4).contains(&rested), "{rested} looks at {CHANGES} changes, {at_once} without a rest");
    // But a second at most: what came due is found then, however large the queue is.
    let rested = looks(Duration::from_millis(500)).await;
    assert!((CHANGES / 15..CHANGES / 12).contains(&rested), "{rested} looks at {CHANGES} changes");
}

/// Changes of the queue, none of which makes anything due.
const CHANGES: usize = 300;
const BETWEEN_CHANGES: Duration = Duration::from_millis(100);

/// A queue in which each look for what is due takes so long, and is counted.
#[derive(Clone)]
struct SlowSpool {
    queue: MemorySpool,
    takes: Duration,
    looks: Arc<AtomicUsize>,
}

impl Spool for SlowSpool {
    type Writer = MemoryBodyWriter;

    async fn lease_due(&self, now: UnixMillis, limit: usize, skip: &[Destination]) -> Result<Vec<Lease>, SpoolError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        // Also a wait of no time lets others run, and takes the millisecond of the timer.
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        self.queue.lease_due(now, limit, skip).await
    }

    fn next_id(&self) -> QueueId {
        self.queue.next_id()
    }

    fn body_writer(&self, size_hint: Option<Octets>) -> Result<MemoryBodyWriter, SpoolError> {
        self.queue.body_writer(size_hint)
    }

    async fn accept(&self, message: NewMessage, body: MemoryBodyWriter) -> Result<Vec<Lease>, AcceptError> {
        self.queue.accept(message, body).await
    }

    async fn next_due(&self) -> Result<Option<UnixMillis>, SpoolError> {
        self.queue.next_due().await
    }

    async fn due_after(&self, moment: UnixMillis) -> Result<Option<UnixMillis>, SpoolError> {
        self.queue.due_after(moment).await
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        self.queue.settle(lease, settlement).await
    }

    fn settle_soon(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        self.queue.settle_soon(lease, settlement)
    }

    async fn set_aside(&self, lease: Lease, reason: &str) -> Result<(), SpoolError> {
        self.queue.set_aside(lease, reason).await
    }

    async fn retry_now(&self, selector: Selector, now: UnixMillis) -> Result<u64, SpoolError> {
        self.queue.retry_now(selector, now).await
    }

    async fn change(&self, changes: Vec<(QueueId, Change)>) -> Result<Vec<Changed>, SpoolError> {
        self.queue.change(changes).await
    }

    fn wake(&self) -> Wake {
        self.queue.wake()
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        self.queue.stats().await
    }

    async fn due(&self, now: UnixMillis) -> Result<u64, SpoolError> {
        self.queue.due(now).await
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, SpoolError> {
        self.queue.list(filter, limit).await
    }

    async fn show(&self, id: QueueId) -> Result<Option<Listed>, SpoolError> {
        self.queue.show(id).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, SpoolError> {
        self.queue.outbox(limit).await
    }

    async fn outbox_done(&self, place: u64) -> Result<(), SpoolError> {
        self.queue.outbox_done(place).await
    }

    fn releases(&self) -> u64 {
        self.queue.releases()
    }

    async fn release_holds(&self) -> Result<(), SpoolError> {
        self.queue.release_holds().await
    }

    fn health(&self) -> Health {
        self.queue.health()
    }

    fn disk(&self) -> Option<Disk> {
        self.queue.disk()
    }

    async fn close(&self) -> Result<(), SpoolError> {
        self.queue.close().await
    }
}
