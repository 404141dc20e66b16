//! A disk that is full, broken or read-only, from any call on: nothing acknowledged is lost, and nothing refused is stored.
//!
//! The test starts itself as a child, with `failing_disk/fail.c` preloaded, that accepts and settles mail while calls fail; then it
//! opens the queue without it, and holds it against what the child had said. `FAILING_DISK_EVERY=1` fails each call once, as the
//! first of several; otherwise some of them.
#![allow(clippy::print_stdout, reason = "the child tells its parent what it did")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealpost_queue::{AcceptError, BodyWriter, Deferral, EmbeddedSpool, Filter, Health, QueueId, Settlement, Spool, State};
use sealpost_types::{Octets, WithCauses};
use support::{at, content, message, settings};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;
const FOR_EVER: u32 = 1_000_000;

#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing_and_needs_no_restart() {
    let found = sweep("write", ENOSPC, 3, false);
    assert!(found.tried > 10 && found.refused > 5 && found.accepted_after > found.tried && found.wrong.is_empty(), "{found:?}");
}

#[test]
fn a_disk_that_stays_full_loses_nothing() {
    let found = sweep("write", ENOSPC, FOR_EVER, false);
    assert!(found.tried > 10 && found.refused > found.tried && found.wrong.is_empty(), "{found:?}");
}

#[test]
fn a_disk_that_breaks_or_turns_read_only_loses_nothing() {
    for error in [EIO, EROFS] {
        let found = sweep("write", error, FOR_EVER, false);
        assert!(found.tried > 10 && found.refused > found.tried && found.wrong.is_empty(), "{found:?}");
    }
}

/// One failure is enough: what the system could not sync once it forgets, and a second sync would find nothing wrong.
#[test]
fn after_one_failed_sync_nothing_is_accepted() {
    let found = sweep("sync", EIO, 1, false);
    // A sync of the database, off the path of the accepts, may fail while one is under way.
    assert!(found.tried > 5 && found.refused > found.tried && found.most_after <= 1 && found.wrong.is_empty(), "{found:?}");
}

/// The negative control of these: a store that answers before it commits.
#[test]
fn a_store_that_answers_early_is_found_out() {
    let found = sweep("write", ENOSPC, FOR_EVER, true);
    assert!(found.wrong.iter().any(|wrong| wrong.ends_with("is lost")), "{found:?}");
}

#[test]
fn a_read_only_disk_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let said = run(directory.path(), "open", 1, FOR_EVER, EROFS, false);
    let line = said.lines().find(|line| line.starts_with("not open")).unwrap();
    assert!(line.contains(directory.path().to_str().unwrap()) && line.contains("Read-only"), "{line}");
}

/// Whoever removes the directory of a running relay hears of it with the next message.
#[tokio::test]
async fn nothing_is_accepted_into_a_directory_that_is_gone() {
    for gone in ["", "queue.db", "queue.db-wal", "bodies"] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("queue");
        let queue = EmbeddedSpool::open(&directory, settings()).unwrap();
        // Also one whose file is open already.
        support::accept(&queue, at(0), &["a@one.example"], &content(1, 20_000)).await.unwrap();
        let mut begun = queue.body_writer(Some(Octets(600_000))).unwrap();
        begun.write(&content(2, 600_000)).await.unwrap();
        let other = support::body(&queue, &content(3, if gone == "bodies" { 20_000 } else { 100 })).await;
        let path = directory.join(gone);
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.unwrap();
        for body in [other, begun] {
            let error = queue.accept(message(queue.next_id(), at(0), &["a@one.example"]), body).await.unwrap_err();
            assert!(matches!(error, AcceptError::Poisoned { .. } | AcceptError::Body(_)), "{gone}: {error}");
        }
        assert!(matches!(queue.health(), Health::Poisoned { .. }), "{gone}");
    }
}

#[derive(Debug, Default)]
struct Found {
    /// Places at which calls failed.
    tried: usize,
    refused: usize,
    /// Messages accepted after the first call had failed, all in all, and at most with one place.
    accepted_after: usize,
    most_after: usize,
    wrong: Vec<String>,
}

/// Runs the child again and again, each time with another call as the first that fails, until none does.
fn sweep(calls: &str, error: i32, count: u32, lie: bool) -> Found {
    let every = std::env::var("FAILING_DISK_EVERY").map_or(9, |text| text.parse().unwrap());
    let mut found = Found::default();
    for first in (1..).step_by(every) {
        let directory = scratch();
        let said = run(directory.path(), calls, first, count, error, lie);
        if !said.lines().any(|line| line == "failed") {
            return found;
        }
        found.tried += 1;
        let mut known = Known::default();
        let (mut is_open, mut has_failed, mut after) = (false, false, 0);
        for line in said.lines() {
            is_open |= line == "open";
            has_failed |= is_open && line == "failed";
            known.hear(line);
            found.refused += usize::from(line.starts_with("refused"));
            after += usize::from(has_failed && line.starts_with("accepted"));
        }
        found.accepted_after += after;
        found.most_after = found.most_after.max(after);
        if let Err(wrong) = compare(directory.path(), &known) {
            found.wrong.push(format!("{calls} {first} with error {error}: {wrong}"));
        }
    }
    found
}

/// What the child said it did.
#[derive(Default)]
struct Known {
    accepted: BTreeMap<QueueId, usize>,
    refused: BTreeSet<QueueId>,
    begun: BTreeSet<QueueId>,
    settled: BTreeSet<QueueId>,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let id = |text: &str| text.parse().unwrap();
        match words[..] {
            ["accepted", message, size] => drop(self.accepted.insert(id(message), size.parse().unwrap())),
            ["refused", message] => drop(self.refused.insert(id(message))),
            ["settling", message] => drop(self.begun.insert(id(message))),
            ["settled", message] => drop(self.settled.insert(id(message))),
            _ => {}
        }
    }
}

/// Holds the queue, on a disk that is well again, against what is known.
fn compare(directory: &Path, known: &Known) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = EmbeddedSpool::open(directory, settings()).map_err(|error| WithCauses(&error).to_string())?;
        let mut there = BTreeSet::new();
        for listed in queue.list(Filter::all(), usize::MAX).await.unwrap() {
            if listed.state != State::Deferred {
                return Err(format!("{} is {:?}: {:?}", listed.id, listed.state, listed.reason));
            }
            there.insert(listed.entry.unwrap().message);
        }
        let lost = known.accepted.keys().find(|id| !known.begun.contains(id) && !there.contains(id));
        if let Some(id) = lost {
            return Err(format!("{id} is lost"));
        }
        if let Some(id) = known.settled.iter().find(|id| there.contains(id)) {
            return Err(format!("{id} came back"));
        }
        if let Some(id) = known.refused.iter().find(|id| there.contains(id)) {
            return Err(format!("{id} was refused, and is there"));
        }
        for lease in queue.lease_due(at(i64::MAX / 2), usize::MAX >> 1, &[]).await.unwrap() {
            let id = lease.entry().message;
            let size = usize::try_from(lease.body().size().0).unwrap();
            let stored = lease.body().to_vec().await.map_err(|error| format!("{id}: {error}"))?;
            if stored != content(id.number().unsigned_abs(), size) {
                return Err(format!("{id} has another content"));
            }
            queue.settle(lease, Settlement::finished()).await.unwrap();
        }
        queue.close().await.map_err(|error| error.to_string())
    })
}

/// What the child says while calls fail.
fn run(directory: &Path, calls: &str, first: usize, count: u32, error: i32, lie: bool) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", shim())
        .env("FAIL_BELOW", directory)
        .env("FAIL_CALLS", calls)
        .env("FAIL_AT", first.to_string())
        .env("FAIL_COUNT", count.to_string())
        .env("FAIL_WITH", error.to_string())
        .env(DIRECTORY, directory)
        .env(LIE, if lie { "1" } else { "" })
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The shim, compiled once for this version of it.
fn shim() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failing_disk/fail.c");
    support::preloaded::library(&source)
}

/// The child: accepts and settles, and goes on whatever fails.
#[test]
#[ignore = "run by the other tests of this file"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut settings = settings();
        settings.store.checkpoint = Octets(128 << 10);
        let queue = match EmbeddedSpool::open(Path::new(&directory), settings) {
            Ok(queue) => queue,
            Err(error) => return say(format_args!("not open: {}", WithCauses(&error))),
        };
        say(format_args!("open"));
        if std::env::var_os(LIE).is_some_and(|lie| !lie.is_empty()) {
            queue.faults().danger_answer_before_commit();
        }
        for n in 0..14 {
            work(&queue, n).await;
        }
        let _ = queue.close().await;
    });
}

async fn work(queue: &EmbeddedSpool, n: usize) {
    let size = [500, 9_000, 20_000, 70_000, 300_000][n % 5];
    let id = queue.next_id();
    let Ok(mut body) = queue.body_writer(None) else { return say(format_args!("refused {id}")) };
    for piece in content(id.number().unsigned_abs(), size).chunks(10_000) {
        if body.write(piece).await.is_err() {
            return say(format_args!("refused {id}"));
        }
    }
    let Ok(leases) = queue.accept(message(id, at(0), &["a@one.example"]), body).await else { return say(format_args!("refused {id}")) };
    say(format_args!("accepted {id} {size}"));
    for lease in leases {
        match n % 3 {
            0 => {
                say(format_args!("settling {id}"));
                if queue.settle(lease, Settlement::finished()).await.is_ok() {
                    say(format_args!("settled {id}"));
                }
            }
            1 => {
                let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1_000), "later"));
                let _ = queue.settle(lease, wait).await;
            }
            _ => drop(lease),
        }
    }
}

/// One line, at once.
fn say(line: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

const LIE: &str = "SEALPOST_TEST_FAILING_LIE";
const DIRECTORY: &str = "SEALPOST_TEST_FAILING_DIRECTORY";
