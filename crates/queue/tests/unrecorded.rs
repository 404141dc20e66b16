//! What happens to leases whose end cannot be recorded: none stays leased for ever, and none is handed out meanwhile.

mod support;

use std::path::Path;
use std::time::Duration;

use sealpost_queue::{Deferral, EmbeddedSpool, FollowUp, Lease, RECORD_TRIES, Settings, Settlement, Spool, SpoolError, State};
use sealpost_types::Retry;
use support::{accept, accept_deferred, at, content, destination, eventually, message};

fn open(directory: &Path) -> EmbeddedSpool {
    EmbeddedSpool::open(directory, Settings::default()).unwrap()
}

/// Runs SQL beside the queue that is open.
fn run(directory: &Path, sql: &str) {
    rusqlite::Connection::open(directory.join("queue.db")).unwrap().execute_batch(sql).unwrap();
}

/// From now on the store refuses to remove rows, or to change them.
fn refuse(directory: &Path, what: &str) {
    run(directory, &format!("CREATE TRIGGER refuse BEFORE {what} ON entry BEGIN SELECT RAISE(ABORT, 'damaged page'); END"));
}

async fn leased(queue: &EmbeddedSpool) -> u64 {
    queue.stats().await.unwrap().leased
}

/// One lease each to be settled, dropped, released and set aside, of entries that were deferred.
async fn four(queue: &EmbeddedSpool) -> [Lease; 4] {
    for _ in 0..4 {
        accept_deferred(queue, at(0), &["a@one.example"], at(1)).await;
    }
    queue.lease_due(at(1), 4, &[]).await.unwrap().try_into().unwrap()
}

#[tokio::test]
async fn on_a_full_disk_ends_wait_for_space() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let [settled, dropped, released, rotten] = four(&queue).await;
    let (dropped_id, released_id) = (dropped.id(), released.id());
    let soon = accept(&queue, at(0), &["a@one.example"], b"fresh").await.unwrap().remove(0);
    queue.faults().danger_fill_disk(true);
    let notice = FollowUp::new(message(queue.next_id(), at(9), &["sender@hosted.example"]), content(1, 3_000)).unwrap();
    let settlement = Settlement::finished().record(b"bounced".to_vec()).follow_up(notice);
    let error = queue.settle(settled, settlement).await.unwrap_err();
    assert_eq!((&error, error.retry()), (&SpoolError::Full, Retry::Later));
    assert_eq!(queue.set_aside(rotten, "rotten").await, Err(SpoolError::Full));
    queue.settle_soon(soon, Settlement::finished()).unwrap();
    drop(dropped);
    released.release();
    for look in 0..10 {
        // However often it is tried: as long as the disk is full nothing is recorded, and nobody gets them.
        assert!(queue.lease_due(at(2 + look * 2_000), 10, &[]).await.unwrap().is_empty());
        queue.outbox_done(0).await.unwrap_err(); // behind those tries
        assert_eq!(leased(&queue).await, 5);
    }
    queue.faults().danger_fill_disk(false);
    assert!(queue.lease_due(at(30_000), 10, &[]).await.unwrap().is_empty());
    eventually(|| async { leased(&queue).await == 0 }).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.damaged), (0, 3, 1));
    assert_eq!(queue.outbox(10).await.unwrap()[0].row, b"bounced");
    let shown = queue.show(dropped_id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.due), (State::Deferred, Some(at(1).after(Duration::from_secs(60)))));
    let again = queue.lease_due(at(30_000), 10, &[]).await.unwrap();
    assert_eq!(again.iter().map(|lease| lease.id()).collect::<Vec<_>>()[..1], [released_id]);
    assert_eq!(again[1].entry().destination, destination("hosted.example"));
    assert!(again[1].body().to_vec().await.unwrap() == content(1, 3_000));
}

#[tokio::test]
async fn an_outcome_that_is_refused_for_a_while_is_recorded_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let [settled, dropped, released, rotten] = four(&queue).await;
    refuse(directory.path(), "DELETE");
    run(directory.path(), "CREATE TRIGGER neither BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'damaged page'); END");
    assert!(matches!(queue.settle(settled, Settlement::finished()).await, Err(SpoolError::Store { .. })));
    assert!(matches!(queue.set_aside(rotten, "rotten").await, Err(SpoolError::Store { .. })));
    drop(dropped);
    released.release(); // it was deferred and stays so: there is nothing to write
    eventually(|| async { leased(&queue).await == 3 }).await;
    let released = queue.lease_due(at(2), 10, &[]).await.unwrap();
    assert_eq!(released.len(), 1);
    queue.outbox_done(0).await.unwrap();
    assert_eq!(leased(&queue).await, 4);
    run(directory.path(), "DROP TRIGGER refuse; DROP TRIGGER neither");
    // Not at each look, for it seldom helps.
    assert!(queue.lease_due(at(3), 10, &[]).await.unwrap().is_empty());
    queue.outbox_done(0).await.unwrap();
    assert_eq!(leased(&queue).await, 4);
    assert!(queue.lease_due(at(60_002), 10, &[]).await.unwrap().is_empty());
    eventually(|| async { leased(&queue).await == 1 }).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.deferred, stats.damaged), (2, 1), "who was served is not served again");
}

#[tokio::test]
async fn an_outcome_that_is_refused_for_ever_ends_the_lease() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let lease = accept(&queue, at(0), &["a@one.example"], b"x").await.unwrap().remove(0);
    let id = lease.id();
    refuse(directory.path(), "DELETE");
    let mut wake = queue.wake();
    assert!(matches!(queue.settle(lease, Settlement::finished()).await, Err(SpoolError::Store { .. })));
    let mut now = at(1);
    for _ in 1..RECORD_TRIES {
        assert!(queue.lease_due(now, 10, &[]).await.unwrap().is_empty());
        queue.outbox_done(0).await.unwrap();
        assert_eq!((leased(&queue).await, queue.stats().await.unwrap().fresh), (1, 1));
        now = now.after(Duration::from_secs(60));
    }
    assert!(queue.lease_due(now, 10, &[]).await.unwrap().is_empty());
    tokio::time::timeout(Duration::from_secs(10), wake.changed()).await.unwrap();
    let due = now.after(Duration::from_secs(60));
    assert_eq!((leased(&queue).await, queue.next_due().await), (0, Ok(Some(due))));
    assert!(queue.lease_due(now, 10, &[]).await.unwrap().is_empty(), "a little later, not at once");
    assert_eq!(queue.lease_due(due, 10, &[]).await.unwrap()[0].id(), id);
}

#[tokio::test]
async fn a_damaged_row_that_cannot_be_set_aside_is_not_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    accept_deferred(&queue, at(0), &["a@one.example"], at(1)).await;
    run(directory.path(), "UPDATE entry SET attempts = attempts + 1");
    refuse(directory.path(), "UPDATE");
    let mut now = at(1);
    for _ in 0..RECORD_TRIES * 2 {
        assert!(queue.lease_due(now, 10, &[]).await.unwrap().is_empty());
        queue.outbox_done(0).await.unwrap();
        assert_eq!((leased(&queue).await, queue.stats().await.unwrap().damaged), (1, 0));
        now = now.after(Duration::from_secs(60));
    }
    run(directory.path(), "DROP TRIGGER refuse");
    assert!(queue.lease_due(now, 10, &[]).await.unwrap().is_empty());
    eventually(|| async { leased(&queue).await == 0 }).await;
    assert_eq!(queue.stats().await.unwrap().damaged, 1);
}

/// Whoever settles may be gone before the store had room for it.
#[tokio::test]
async fn an_outcome_is_recorded_though_nobody_waits_for_room() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let to: Vec<_> = (0..1_500).map(|n| format!("a@n{n}.example")).collect();
    let leases = accept(&queue, at(0), &to.iter().map(String::as_str).collect::<Vec<_>>(), b"x").await.unwrap();
    let other = rusqlite::Connection::open(directory.path().join("queue.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap(); // the writer waits for it, and the inbox fills
    for (n, lease) in leases.into_iter().enumerate() {
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(5), "later"));
        let mut settle: std::pin::Pin<Box<dyn Future<Output = _>>> =
            if n % 2 == 0 { Box::pin(queue.settle(lease, wait)) } else { Box::pin(queue.set_aside(lease, "rotten")) };
        std::future::poll_fn(|cx| {
            assert!(settle.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(leased(&queue).await, 1_500);
    other.execute_batch("COMMIT").unwrap();
    eventually(|| async { leased(&queue).await == 0 }).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.damaged), (0, 750, 750));
}
