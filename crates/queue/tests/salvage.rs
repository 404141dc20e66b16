//! Whole pages that are broken cost only what stands on them.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use sealpost_queue::{Deferral, EmbeddedSpool, Health, OpenError, QueueId, Recovery, Settlement, Spool, SpoolError, Stats};
use sealpost_types::Octets;
use support::{accept, at, content, settings};

const PAGE: usize = 4096;
const MESSAGES: u64 = 300;

fn open(directory: &Path) -> Result<EmbeddedSpool, OpenError> {
    let mut settings = settings();
    settings.store.page = Octets(PAGE as u64);
    EmbeddedSpool::open(directory, settings)
}

/// Octets of a body: small ones stand in rows, larger ones in a file that they share, the largest in files of their own.
fn octets(number: u64) -> usize {
    match number % 30 {
        0 | 10 | 20 => 20_000,
        5 => 300_000,
        _ => 1_000,
    }
}

/// A closed queue of many deferred messages; their ids.
async fn fill(directory: &Path) -> BTreeSet<QueueId> {
    let queue = open(directory).unwrap();
    let mut ids = BTreeSet::new();
    for number in 0..MESSAGES {
        let id = queue.next_id();
        let body = support::body(&queue, &content(id.number().unsigned_abs(), octets(number))).await;
        let mut message = support::message(id, at(0), &["a@one.example"]);
        message.groups[0] = message.groups[0].clone().deferred(Deferral::new(at(5), "451 later"));
        queue.accept(message, body).await.unwrap();
        ids.insert(id);
    }
    queue.release_holds().await.unwrap();
    queue.close().await.unwrap();
    ids
}

/// The ids of all messages that come back, each with its own body.
async fn take_all(queue: &EmbeddedSpool) -> BTreeSet<QueueId> {
    let mut ids = BTreeSet::new();
    loop {
        let leases = queue.lease_due(at(5), 50, &[]).await.unwrap();
        if leases.is_empty() {
            return ids;
        }
        for lease in leases {
            let size = usize::try_from(lease.body().size().0).unwrap();
            assert!(lease.body().to_vec().await.unwrap() == content(lease.entry().message.number().unsigned_abs(), size));
            ids.insert(lease.id());
            queue.settle(lease, Settlement::finished()).await.unwrap();
        }
    }
}

/// Overwrites pages of the closed database, as a broken disk would.
fn break_pages(directory: &Path, pages: &[usize]) {
    let path = directory.join("queue.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for page in pages {
        bytes[(page - 1) * PAGE..page * PAGE].copy_from_slice(&content(*page as u64, PAGE));
    }
    std::fs::write(path, bytes).unwrap();
}

fn root_of(directory: &Path, name: &str) -> usize {
    let db = rusqlite::Connection::open(directory.join("queue.db")).unwrap();
    db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap()
}

/// Pages with rows of the table `entry`.
fn leaves(directory: &Path) -> Vec<usize> {
    let bytes = std::fs::read(directory.join("queue.db")).unwrap();
    (2..bytes.len() / PAGE).filter(|page| bytes[(page - 1) * PAGE] == 13 && bytes[(page - 1) * PAGE + 4] > 1).collect()
}

fn names(directory: &Path) -> BTreeSet<String> {
    std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_trees_above_the_rows_may_be_broken() {
    for tree in ["entry", "entry_due", "entry_destination", "released", "sqlite_schema"] {
        let directory = tempfile::tempdir().unwrap();
        let ids = fill(directory.path()).await;
        let root = if tree == "sqlite_schema" { 1 } else { root_of(directory.path(), tree) };
        break_pages(directory.path(), &[root]);
        let queue = match open(directory.path()) {
            Ok(queue) => queue,
            Err(error) => panic!("{tree}: {error:?}"),
        };
        // What nothing needs at the start is found when it is needed, and salvaged at the next start.
        let queue = match queue.verify().await {
            Ok(_) if queue.health() == Health::Good => queue,
            _ => {
                assert!(matches!(queue.lease_due(at(5), 1, &[]).await, Err(SpoolError::Poisoned { .. })), "{tree}");
                assert!(names(directory.path()).contains("queue.db.salvage"));
                let _ = queue.close().await;
                open(directory.path()).unwrap()
            }
        };
        assert!(!queue.recovery().damage.is_empty() && queue.recovery().rows >= MESSAGES, "{tree}: {:?}", queue.recovery());
        assert_eq!(take_all(&queue).await, ids, "{tree}");
        if tree != "released" {
            assert_eq!(queue.releases(), 1, "{tree}");
        }
        assert!(queue.next_id() > *ids.last().unwrap());
        queue.close().await.unwrap();
        let found = names(directory.path());
        assert!(
            found.contains("queue.db.damaged-1") && !found.contains("queue.db.salvage") && !found.contains("queue.db.fresh"),
            "{found:?}"
        );
        let queue = open(directory.path()).unwrap();
        assert_eq!(queue.recovery().damage, Vec::<String>::new());
    }
}

/// A process that salvages the rows may die before it comes to the files of the bodies. It leaves word: the next one uses none again that no
/// row names.
#[tokio::test]
async fn bodies_without_a_row_are_kept_aside_by_the_start_after_the_one_that_salvaged() {
    for died in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path()).await;
        let (bodies, mark) = (directory.path().join("bodies"), directory.path().join("bodies.unclaimed"));
        std::fs::write(bodies.join("77"), content(77, 400_000)).unwrap();
        if died {
            std::fs::write(&mark, "").unwrap();
        }
        open(directory.path()).unwrap().close().await.unwrap();
        assert_eq!(names(&bodies).contains("77.unclaimed"), died, "{:?}", names(&bodies));
        assert!(!mark.exists());
    }
}

#[tokio::test]
async fn a_broken_leaf_costs_only_its_own_rows() {
    let directory = tempfile::tempdir().unwrap();
    let ids = fill(directory.path()).await;
    let leaves = leaves(directory.path());
    let broken: Vec<_> = leaves.iter().copied().step_by(leaves.len() / 4).collect();
    break_pages(directory.path(), &broken);
    let queue = open(directory.path()).unwrap();
    let _ = queue.verify().await;
    let _ = queue.close().await;
    let queue = open(directory.path()).unwrap();
    let recovery = queue.recovery().clone();
    assert!(!recovery.damage.is_empty(), "{recovery:?}");
    let back = take_all(&queue).await;
    assert!(back.is_subset(&ids) && back.len() < ids.len());
    assert!(ids.len() - back.len() <= broken.len() * 8, "{} of {} lost by {} pages", ids.len() - back.len(), ids.len(), broken.len());
    // The bodies of rows that are gone stay where somebody can find them.
    let bodies = directory.path().join("bodies");
    // That of the shared file gets there when the last row that names it has gone, too.
    support::eventually(|| async { bodies.join("shared-0.unclaimed").exists() }).await;
    let unclaimed = names(&bodies).into_iter().filter(|name| name.ends_with(".unclaimed") && !name.starts_with("shared")).count();
    let lost: Vec<_> = (0..).zip(&ids).filter(|(_, id)| !back.contains(id)).map(|(number, id)| (octets(number), id)).collect();
    assert_eq!(unclaimed, lost.iter().filter(|(octets, _)| *octets == 300_000).count());
    let shared = std::fs::read(bodies.join("shared-0.unclaimed")).unwrap();
    for (octets, id) in lost.into_iter().filter(|(octets, _)| *octets == 20_000) {
        let body = content(id.number().unsigned_abs(), octets);
        assert!(shared.chunks(4096).any(|block| block == &body[..4096]), "{id}");
    }
}

#[tokio::test]
async fn what_is_no_queue_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = "this is a text that somebody put here, long enough not to be taken for an empty file".repeat(100);
    std::fs::write(directory.path().join("queue.db"), &text).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::Store(sealpost_store::OpenError::Sqlite { .. }))));
    assert_eq!(std::fs::read_to_string(directory.path().join("queue.db")).unwrap(), text);
    assert_eq!(names(directory.path()), ["queue.db", "queue.db.lock"].map(str::to_owned).into());
}

/// A log that is broken in its middle: SQLite drops all behind, the rows come back, and the log is kept aside.
#[tokio::test]
async fn what_stands_behind_a_broken_place_of_the_log_comes_back() {
    let [directory, copy] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let queue = open(directory.path()).unwrap();
    for number in 0..20 {
        std::mem::forget(accept(&queue, at(0), &["a@one.example"], &content(number, 1_000)).await.unwrap());
    }
    for file in ["queue.db", "queue.db-wal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let log = copy.path().join("queue.db-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    let frames = (bytes.len() - 32) / (PAGE + 24);
    bytes[32 + frames / 2 * (PAGE + 24) + 100] ^= 1;
    std::fs::write(log, &bytes).unwrap();
    let again = open(copy.path()).unwrap();
    assert_eq!(again.stats().await.unwrap().deferred, 20);
    let recovery = again.recovery();
    assert_eq!((recovery.damage.len(), recovery.aside.len()), (1, 1));
    assert!(recovery.rows > 0 && std::fs::read(&recovery.aside[0]).unwrap() == bytes);
    again.close().await.unwrap();
    assert_eq!(open(copy.path()).unwrap().recovery().damage.len(), 0);
    // The negative control: SQLite alone misses them.
    std::fs::write(copy.path().join("queue.db-wal"), &bytes).unwrap();
    std::fs::copy(directory.path().join("queue.db"), copy.path().join("queue.db")).unwrap();
    let db = rusqlite::Connection::open(copy.path().join("queue.db")).unwrap();
    let left: i64 = db.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap_or(0);
    assert!(left < 20, "{left}");
}

/// A log whose last transaction is not whole, as after a loss of power: what is missing of it was never acknowledged, and is no damage.
#[tokio::test]
async fn a_torn_transaction_damages_nothing_and_does_not_come_back_later() {
    const ENTRIES: usize = 40;
    let [directory, copy, later] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let copy_to = |from: &Path, to: &Path| {
        for file in ["queue.db", "queue.db-wal"] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    };
    let queue = open(directory.path()).unwrap();
    let accept = async |octets, to: &[&str]| {
        let id = queue.next_id();
        let body = support::body(&queue, &content(id.number().unsigned_abs(), octets)).await;
        std::mem::forget(queue.accept(support::message(id, at(0), to), body).await.unwrap());
    };
    for _ in 0..5 {
        accept(1_000, &["a@one.example"]).await;
    }
    let log = directory.path().join("queue.db-wal");
    let before = std::fs::metadata(&log).unwrap().len() as usize;
    // Entries that share a body on pages of its own: more of them than the next start writes.
    let to: Vec<_> = (0..ENTRIES).map(|number| format!("a@{number}.example")).collect();
    accept(15_000, &to.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let whole = std::fs::read(&log).unwrap();
    let mut was_dropped = false;
    for frame in (before..whole.len()).step_by(PAGE + 24) {
        copy_to(directory.path(), copy.path());
        let mut torn = whole.clone();
        torn[frame + 24..frame + 24 + PAGE].fill(0);
        std::fs::write(copy.path().join("queue.db-wal"), torn).unwrap();
        let again = open(copy.path()).unwrap();
        let Recovery { damage, .. } = again.recovery().clone();
        assert!(damage.len() == 1 && damage[0].contains("as after a loss of power"), "{damage:?}");
        // It dies at once, and what is opened next has nothing to tell of the same transaction.
        copy_to(copy.path(), later.path());
        assert_eq!(open(later.path()).unwrap().recovery(), &Recovery::default());
        let stats = again.stats().await.unwrap();
        assert_eq!(stats.damaged, 0);
        was_dropped |= stats.deferred == 5;
        let back = take_all(&again).await.len();
        assert!((5..=5 + ENTRIES).contains(&back), "{back} in {stats:?}");
        assert_eq!(again.stats().await.unwrap(), Stats::default());
        again.close().await.unwrap();
    }
    assert!(was_dropped);
}
