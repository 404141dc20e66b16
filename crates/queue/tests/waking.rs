//! Mail is woken without its rows being written, each is tried once for it, and a wake outlives the process.
#![allow(clippy::print_stdout, reason = "figures, for whoever asks for them with --nocapture")]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sealpost_queue::{Change, Deferral, EmbeddedSpool, Filter, QueueView, Selector, Settings, Settlement, Spool};
use support::{accept_deferred, at, destination};

fn open(folder: &Path) -> EmbeddedSpool {
    EmbeddedSpool::open(folder, Settings::default()).unwrap()
}

/// Fills the queue with mail that is due in a day.
async fn fill(folder: &Path, count: usize, domains: usize) {
    let queue = Arc::new(open(folder));
    let mut accepting = tokio::task::JoinSet::new();
    for number in 0..count {
        let queue = Arc::clone(&queue);
        let to = format!("a@d{}.example", number % domains);
        accepting.spawn(async move { accept_deferred(&*queue, at(0), &[&to], at(DAY + number as i64)).await });
        if accepting.len() >= 500 {
            accepting.join_next().await.unwrap().unwrap();
        }
    }
    accepting.join_all().await;
    queue.close().await.unwrap();
}

/// Octets in the log; a queue that was closed and opened again begins with none.
fn written(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("queue.db-wal")).map_or(0, |file| file.len())
}

/// Tries all that is due and defers it for a day; how many, each once.
async fn try_all(queue: &EmbeddedSpool) -> usize {
    let mut tried = HashSet::new();
    loop {
        let leases = queue.lease_due(at(10), 200, &[]).await.unwrap();
        // With very many destinations one look may be too short to find anything.
        if leases.is_empty() && queue.next_due().await.unwrap().is_none_or(|due| due > at(10)) {
            return tried.len();
        }
        for lease in leases {
            assert!(tried.insert(lease.id()), "{} is tried twice", lease.id());
            let settlement = Settlement::deferred(lease.entry(), &Deferral::new(at(DAY), "451"));
            queue.settle_soon(lease, settlement).unwrap();
        }
    }
}

/// How many messages wait: for a figure at full size, WAKE=100000.
fn size() -> usize {
    std::env::var("WAKE").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// However many wait, waking them takes a few pages of the log. To write their rows takes far more: that is the negative control.
// req: A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waking_writes_no_rows() {
    let (folder, count) = (tempfile::tempdir().unwrap(), size());
    fill(folder.path(), count, 100).await;
    let queue = open(folder.path());
    let (before, start) = (written(folder.path()), Instant::now());
    assert_eq!(queue.retry_now(Selector::All, at(1)).await, Ok(count as u64));
    let (took, octets) = (start.elapsed(), written(folder.path()) - before);
    println!("{count} messages were woken in {took:?}, with {octets} octets written");
    assert!(octets < 150_000, "{octets}");
    queue.close().await.unwrap();

    let queue = open(folder.path());
    let (before, start) = (written(folder.path()), Instant::now());
    let mut page = Filter::all();
    loop {
        let listed = queue.list(page.clone(), 500).await.unwrap();
        let Some(last) = listed.last() else { break };
        page = page.after(last.id);
        queue.change(listed.iter().map(|listed| (listed.id, Change::Retry { now: at(2) })).collect()).await.unwrap();
    }
    let (took, control) = (start.elapsed(), written(folder.path()) - before);
    println!("their rows were written in {took:?}, with {control} octets written or more");
    assert!(control > octets * 10, "{control}");
    queue.close().await.unwrap();
}

/// What is tried because it was woken is not tried again for it, and what was not is after the process died.
// req: A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_woken_is_tried_once_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 1000, 10).await;
    let queue = open(folder.path());
    let some = Selector::Destinations(vec![destination("d3.example"), destination("d4.example"), destination("none.example")]);
    assert_eq!(queue.retry_now(some.clone(), at(1)).await, Ok(200));
    assert_eq!(queue.retry_now(some, at(2)).await, Ok(0), "they are awake");
    assert_eq!((queue.next_due().await, queue.due(at(1)).await), (Ok(Some(at(1))), Ok(200)));
    let leases = queue.lease_due(at(1), 50, &[destination("d3.example")]).await.unwrap();
    assert!(leases.len() == 50 && leases.iter().all(|lease| lease.entry().destination == destination("d4.example")));
    for lease in leases {
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    drop(queue);

    let view = QueueView::open(folder.path()).unwrap().list(&Filter::all().destination(destination("d3.example")), 1).unwrap();
    assert_eq!(view[0].due, Some(at(1)), "whoever looks sees it");
    let queue = open(folder.path());
    assert_eq!(queue.next_due().await, Ok(Some(at(1))));
    assert_eq!(try_all(&queue).await, 150);
    assert_eq!(queue.next_due().await, Ok(Some(at(DAY))), "those that were tried wait for a day again");
    queue.close().await.unwrap();
}

/// More destinations than one look walks over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_destinations_are_woken() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 12_000, 12_000).await;
    let queue = open(folder.path());
    assert_eq!(queue.retry_now(Selector::All, at(1)).await, Ok(12_000));
    let start = Instant::now();
    assert_eq!(try_all(&queue).await, 12_000);
    println!("12000 destinations of one message each were tried in {:?}", start.elapsed());
    queue.close().await.unwrap();
}

/// A wake comes before what was woken earlier is tried: it is tried once for both.
#[tokio::test]
async fn wakes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 20, 2).await;
    let queue = open(folder.path());
    assert_eq!(queue.retry_now(Selector::Destinations(vec![destination("d0.example")]), at(1)).await, Ok(10));
    assert_eq!(queue.retry_now(Selector::All, at(2)).await, Ok(10), "the others");
    assert_eq!(try_all(&queue).await, 20);
    // Nothing of the wakes is left over for mail that begins to wait now.
    accept_deferred(&queue, at(3), &["a@d0.example"], at(DAY)).await;
    assert_eq!(try_all(&queue).await, 0);
    queue.close().await.unwrap();
}

/// A day in milliseconds.
const DAY: i64 = 86_400_000;
