//! What a store promises, shown on a table of numbers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sealpost_store::{Health, Migrations, OpenError, Reader, Settings, Store, WriteError, rusqlite};
use sealpost_types::{Octets, Retry};

const NUMBERS: Migrations = Migrations::new(0x4e55_4d42, &["CREATE TABLE number (n INTEGER PRIMARY KEY, data BLOB) STRICT"]);

fn open(directory: &Path) -> Store {
    Store::open(&path(directory), &NUMBERS, &Settings::default()).unwrap()
}

fn path(directory: &Path) -> PathBuf {
    directory.join("sub/numbers.db")
}

async fn insert(store: &Store, n: i64) -> Result<usize, WriteError> {
    store.write(8, move |tx| tx.execute("INSERT INTO number (n) VALUES (?1)", [n])).await
}

async fn numbers(store: &Store) -> Vec<i64> {
    let all = |db: &rusqlite::Connection| db.prepare("SELECT n FROM number ORDER BY n")?.query_map([], |row| row.get(0))?.collect();
    store.read(all).await.unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_drop_and_after_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    insert(&store, 1).await.unwrap();
    drop(store);
    let store = open(directory.path());
    insert(&store, 2).await.unwrap();
    store.write_soon(0, |tx| tx.execute("INSERT INTO number (n) VALUES (3)", []), |outcome| assert_eq!(outcome, Ok(1)));
    store.close().await.unwrap();
    assert_eq!(store.health(), Health::Closed);
    assert_eq!(insert(&store, 4).await, Err(WriteError::Closed));
    assert!(store.read(|_| Ok(())).await.is_err());
    assert_eq!(numbers(&open(directory.path())).await, [1, 2, 3]);
}

#[tokio::test]
async fn to_open_what_is_up_to_date_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, log) = (path(directory.path()), path(directory.path()).with_extension("db-wal"));
    let store = open(directory.path());
    // What writes can be seen: each write that the start of a relay makes is a sync that it waits for.
    let written = std::fs::metadata(&log).unwrap().len();
    assert!(written > 0, "{written}");
    insert(&store, 1).await.unwrap();
    store.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let store = open(directory.path());
    assert_eq!(std::fs::metadata(&log).map_or(0, |log| log.len()), 0);
    assert!(std::fs::read(&file).unwrap() == before);
    assert_eq!(numbers(&store).await, [1]);
}

#[tokio::test]
async fn a_second_owner_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = Store::open(&path(directory.path()), &NUMBERS, &Settings::default()).unwrap_err();
    let OpenError::InUse { directory: found, pid } = &error else { panic!("{error}") };
    assert_eq!((found, *pid), (&directory.path().join("sub"), Some(std::process::id())));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    // To look is allowed.
    insert(&store, 7).await.unwrap();
    let mut reader = Reader::open(&path(directory.path()), &NUMBERS).unwrap();
    assert_eq!(reader.read(|db| db.query_row("SELECT n FROM number", [], |row| row.get::<_, i64>(0))), Ok(7));
    assert!(reader.read(|db| db.execute("DELETE FROM number", [])).is_err());
    drop(store);
    open(directory.path());
}

#[tokio::test]
async fn schemas_are_brought_up_to_date_and_later_ones_refused() {
    let directory = tempfile::tempdir().unwrap();
    const TWO: Migrations = Migrations::new(
        0x4e55_4d42,
        &["CREATE TABLE number (n INTEGER PRIMARY KEY, data BLOB) STRICT", "CREATE INDEX data ON number (data)"],
    );
    const OTHER: Migrations = Migrations::new(1, &[]);
    insert(&open(directory.path()), 1).await.unwrap();
    let path = path(directory.path());
    assert!(matches!(Reader::open(&path, &TWO), Err(OpenError::Older { found: 1, known: 2, .. })));
    let store = Store::open(&path, &TWO, &Settings::default()).unwrap();
    assert_eq!(numbers(&store).await, [1]);
    drop(store);
    assert!(matches!(Store::open(&path, &NUMBERS, &Settings::default()), Err(OpenError::Newer { found: 2, known: 1, .. })));
    assert!(matches!(Store::open(&path, &OTHER, &Settings::default()), Err(OpenError::Foreign { found: 0x4e55_4d42, .. })));
    // A step that fails leaves the schema as it was.
    const BROKEN: Migrations = Migrations::new(0x4e55_4d42, &["", "", "CREATE TABLE a (b); CREATE NONSENSE"]);
    assert!(matches!(Store::open(&path, &BROKEN, &Settings::default()), Err(OpenError::Sqlite { .. })));
    drop(Store::open(&path, &TWO, &Settings::default()).unwrap());
    // No database at all.
    std::fs::write(&path, "this is a text that somebody put here, long enough not to be taken for an empty file").unwrap();
    assert!(matches!(Store::open(&path, &TWO, &Settings::default()), Err(OpenError::Sqlite { .. })));
}

#[tokio::test]
async fn those_who_wait_are_committed_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (started, start) = std::sync::mpsc::channel();
    // The first one holds the writer until all others wait.
    let mut tasks = vec![tokio::spawn({
        let store = store.clone();
        async move {
            let slow = move |tx: &rusqlite::Transaction<'_>| {
                let _ = started.send(());
                let _ = wait.recv();
                tx.execute("INSERT INTO number (n) VALUES (0)", [])
            };
            store.write(8, slow).await
        }
    })];
    tokio::task::yield_now().await;
    start.recv().unwrap();
    for n in 1..=64 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { insert(&store, n).await }));
        tokio::task::yield_now().await;
    }
    let mut seen = BTreeSet::new();
    drop(go);
    while seen.last() != Some(&65) {
        seen.insert(numbers(&store).await.len());
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(1));
    }
    assert!(seen.iter().all(|count| [0, 1, 65].contains(count)), "{seen:?}");
}

#[tokio::test]
async fn a_bad_member_of_a_batch_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write(8, move |tx| {
                        tx.execute("INSERT INTO number (n) VALUES (?1)", [n])?;
                        match n % 10 {
                            3 => tx.execute("INSERT INTO number (n) VALUES (?1)", [n]), // a second time
                            7 => panic!("a job that panics"),
                            _ => Ok(1),
                        }
                    })
                    .await
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        match (n % 10, task.await.unwrap()) {
            (3 | 7, outcome) => assert!(matches!(outcome, Err(WriteError::Failed(_))), "{n}: {outcome:?}"),
            (_, outcome) => assert_eq!(outcome, Ok(1), "{n}"),
        }
    }
    let expected: Vec<i64> = (0..40).filter(|n| !matches!(n % 10, 3 | 7)).collect();
    assert_eq!(numbers(&store).await, expected);
    assert_eq!(store.health(), Health::Good);
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    insert(&store, 1).await.unwrap();
    store.faults().danger_fail_next_commit();
    let tasks: Vec<_> = (2..10)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { insert(&store, n).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Err(WriteError::Poisoned { .. })));
    }
    assert!(matches!(insert(&store, 10).await, Err(WriteError::Poisoned { .. })));
    let (told, tells) = std::sync::mpsc::channel();
    store.write_soon(0, |tx| tx.execute("DELETE FROM number", []), move |outcome| told.send(outcome).unwrap());
    assert!(matches!(tells.recv().unwrap(), Err(WriteError::Poisoned { .. })));
    assert!(matches!(store.health(), Health::Poisoned { .. }));
    assert_eq!(numbers(&store).await, [1]);
    assert!(matches!(store.close().await, Err(WriteError::Poisoned { .. })));
    drop(store);
    let store = open(directory.path());
    assert_eq!(numbers(&store).await, [1]);
    assert_eq!(insert(&store, 2).await, Ok(1));
}

#[tokio::test]
async fn what_is_in_no_hurry_is_written_soon_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (told, tells) = tokio::sync::oneshot::channel();
    store.write_soon(0, |tx| tx.execute("INSERT INTO number (n) VALUES (1)", []), move |outcome| told.send(outcome).unwrap());
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), tells).await.unwrap().unwrap(), Ok(1));
    // It keeps its place before what comes later and hurries.
    store.write_soon(0, |tx| tx.execute("INSERT INTO number (n) VALUES (2)", []), |_| ());
    let counted = |tx: &rusqlite::Transaction<'_>| tx.query_row("SELECT count(*) FROM number", [], |row| row.get::<_, i64>(0));
    assert_eq!(store.write(0, counted).await, Ok(2));
}

#[tokio::test]
async fn a_job_is_written_though_nobody_waits_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut write = Box::pin(insert(&store, 1));
    std::future::poll_fn(|cx| {
        let _ = write.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
    drop(write);
    store.close().await.unwrap();
    assert_eq!(numbers(&open(directory.path())).await, [1]);
}

#[tokio::test]
async fn the_last_owner_may_go_on_any_of_its_threads() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..2 {
        let store = Arc::new(open(directory.path()));
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let last = store.clone();
        if n == 0 {
            let answer = move |_: Result<usize, WriteError>| {
                let _ = wait.recv();
                drop((last, ended));
            };
            store.write_soon(0, |tx| tx.execute("INSERT INTO number (n) VALUES (1)", []), answer);
        } else {
            let read = store.read(move |_| {
                let _ = wait.recv();
                drop((last, ended));
                Ok(())
            });
            let mut read = Box::pin(read);
            std::future::poll_fn(|cx| {
                let _ = read.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        }
        drop(store);
        drop(go);
        assert!(end.recv().is_err());
        // The lock goes when the writer is done.
        while let Err(error) = Store::open(&path(directory.path()), &NUMBERS, &Settings::default()) {
            assert!(matches!(error, OpenError::InUse { .. }), "{error}");
            std::thread::yield_now();
        }
    }
    assert_eq!(numbers(&open(directory.path())).await, [1]);
}

#[tokio::test]
async fn the_log_stays_small_and_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.checkpoint = Octets(1 << 20);
    let store = Store::open(&path(directory.path()), &NUMBERS, &settings).unwrap();
    let log = directory.path().join("sub/numbers.db-wal");
    let mut largest = 0;
    for n in 0..400 {
        // Each writes some 100 KiB: 40 MiB in all.
        let job = move |tx: &rusqlite::Transaction<'_>| {
            tx.execute("INSERT INTO number VALUES (?1, zeroblob(100000))", [n])?;
            tx.execute("DELETE FROM number WHERE n = ?1 - 5", [n])
        };
        store.write(100_000, job).await.unwrap();
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert!(largest < 8 << 20, "the log grew to {largest} octets");
    assert_eq!(numbers(&store).await.len(), 5);
}

/// Two readers, of which one ends only when the other one has begun: somebody always reads, and mostly not the last state.
#[tokio::test]
async fn the_log_stays_small_while_somebody_always_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.checkpoint = Octets(1 << 20);
    let store = Store::open(&path(directory.path()), &NUMBERS, &settings).unwrap();
    let (end, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = || {
        let (end, begun) = (end.clone(), begun.clone());
        let mut reader = Reader::open(&path(directory.path()), &NUMBERS).unwrap();
        std::thread::spawn(move || {
            let read = |db: &rusqlite::Connection| {
                let _: i64 = db.query_row("SELECT count(*) FROM number", [], |row| row.get(0))?;
                let mine = begun.fetch_add(1, Ordering::AcqRel) + 1;
                std::thread::sleep(Duration::from_millis(5));
                while begun.load(Ordering::Acquire) == mine && !end.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(end.load(Ordering::Acquire))
            };
            while !reader.read(read).unwrap() {}
        })
    };
    let readers = [reader(), reader()];
    while begun.load(Ordering::Acquire) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let log = directory.path().join("sub/numbers.db-wal");
    let mut largest = 0;
    for n in 0..600 {
        store.write(100_000, move |tx| tx.execute("INSERT OR REPLACE INTO number VALUES (?1 % 5, zeroblob(100000))", [n])).await.unwrap();
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    end.store(true, Ordering::Release);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let reads = begun.load(Ordering::Acquire);
    assert!(reads > 20, "{reads} reads");
    assert!(largest < 16 << 20, "the log grew to {largest} octets");
}

#[tokio::test]
async fn space_that_a_backlog_left_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let length = || std::fs::metadata(path(directory.path())).unwrap().len();
    for n in 0..60 {
        store.write(1 << 20, move |tx| tx.execute("INSERT INTO number VALUES (?1, zeroblob(1000000))", [n])).await.unwrap();
    }
    store.write(0, |tx| tx.execute("DELETE FROM number WHERE n > 0", [])).await.unwrap();
    let begin = std::time::Instant::now();
    let mut largest = 0;
    while largest < 40 << 20 || length() > 24 << 20 {
        largest = largest.max(length());
        assert!(begin.elapsed().as_secs() < 30, "{} octets, {largest} at most", length());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What little is free stays, to be used again, and the rest is as it was.
    assert!(length() > 8 << 20);
    assert_eq!(numbers(&store).await, [0]);
}

#[test]
fn the_bundled_sqlite_is_recent_enough() {
    // Before 3.51.3 a rare race between a checkpoint and a writer could damage the database.
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}
