//! `kill -9` at random moments under load: every message that was acknowledged is there afterwards, bit by bit.
//!
//! The test starts itself as a child that accepts mail and says on its output what it did; the parent kills it, opens the
//! queue and compares. The negative control is a store that answers before it commits: the same comparison must miss mail.
#![allow(clippy::print_stdout, reason = "the child tells its parent what it did")]

mod support;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Deferral, EmbeddedSpool, Filter, QueueId, Settings, Settlement, Spool, State};
use support::{at, body, content, message};

// req: A8
#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let mut rounds = 0;
    // A slow machine needs more rounds.
    while rounds < 4 || known.verified <= 200 {
        run_and_kill(directory.path(), false, &mut known);
        let lost = compare(directory.path(), &mut known);
        assert_eq!(lost, 0, "round {rounds}");
        rounds += 1;
        assert!(rounds < 100, "only {} messages were compared", known.verified);
    }
}

/// The negative control of the test above.
#[test]
fn a_store_that_answers_before_it_commits_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut lost = 0;
    for _ in 0..10 {
        let mut known = Known::default();
        run_and_kill(directory.path(), true, &mut known);
        lost += compare(directory.path(), &mut known);
        if lost > 0 {
            return;
        }
    }
    panic!("no message was lost by a store that lies: the comparison sees nothing");
}

/// What the child said it did.
#[derive(Default)]
struct Known {
    /// Acknowledged messages, with the number of their entries that cannot have been settled.
    accepted: HashMap<QueueId, (usize, usize)>,
    /// Entries whose settlement was begun: they may be there or not.
    begun: HashSet<QueueId>,
    verified: usize,
}

fn run_and_kill(directory: &Path, lie: bool, known: &mut Known) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(LIE, if lie { "1" } else { "" })
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut kill_at = None;
    let time = Duration::from_millis(30 + RandomState::new().hash_one(0) % 300);
    for line in output.lines() {
        let Ok(line) = line else { break };
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["accepted", id, entries, size] => {
                known.accepted.insert(id.parse().unwrap(), (entries.parse().unwrap(), size.parse().unwrap()));
            }
            ["settling", id] => drop(known.begun.insert(id.parse().unwrap())),
            _ => continue,
        }
        // The pipe holds what the child said before it died: it is read to its end.
        if Instant::now() > *kill_at.get_or_insert_with(|| Instant::now() + time) {
            child.kill().unwrap(); // SIGKILL
        }
    }
    child.wait().unwrap();
}

/// Opens the queue and counts the messages that are not as they were acknowledged.
fn compare(directory: &Path, known: &mut Known) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = EmbeddedSpool::open(directory, Settings::default()).unwrap();
        let mut entries: HashMap<QueueId, usize> = HashMap::new();
        for listed in queue.list(Filter::all(), usize::MAX).await.unwrap() {
            assert_eq!(listed.state, State::Deferred, "{listed:?}");
            *entries.entry(listed.entry.unwrap().message).or_default() += 1;
        }
        let mut lost = 0;
        for (id, (accepted, _)) in &known.accepted {
            if !known.begun.contains(id) && entries.get(id) != Some(accepted) {
                lost += 1;
            }
        }
        // All of them, due or not, bit by bit; and in the end the queue is empty.
        loop {
            let leases = queue.lease_due(at(i64::MAX / 2), 100, &[]).await.unwrap();
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                let id = lease.entry().message;
                let size = usize::try_from(lease.body().size().0).unwrap();
                match lease.body().to_vec().await {
                    Ok(stored) => assert!(stored == content(id.number().unsigned_abs(), size), "{id} has another content"),
                    // A lying store also gives files to others before the removal of their rows is durable.
                    Err(error) => {
                        lost += 1;
                        queue.set_aside(lease, &error.to_string()).await.unwrap();
                        continue;
                    }
                }
                if let Some((_, accepted)) = known.accepted.get(&id) {
                    assert_eq!(size, *accepted, "{id}");
                    known.verified += 1;
                }
                queue.settle_soon(lease, Settlement::finished()).unwrap();
            }
        }
        queue.close().await.unwrap();
        let queue = EmbeddedSpool::open(directory, Settings::default()).unwrap();
        assert!(lost > 0 || queue.stats().await.unwrap() == sealpost_queue::Stats::default());
        known.accepted.clear();
        known.begun.clear();
        lost
    })
}

/// The child: accepts and settles until it is killed.
#[test]
#[ignore = "run by the other tests of this file"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = Arc::new(EmbeddedSpool::open(Path::new(&directory), Settings::default()).unwrap());
        if std::env::var_os(LIE).is_some_and(|lie| !lie.is_empty()) {
            queue.faults().danger_answer_before_commit();
        }
        let tasks: Vec<_> = (0..16).map(|writer| tokio::spawn(work(queue.clone(), writer))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn work(queue: Arc<EmbeddedSpool>, writer: usize) {
    for n in writer.. {
        // Sizes on both sides of all borders; now and then one that is shared, in a row and in a file.
        let size = [500, 4_000, 9_000, 20_000, 1_000, 70_000, 200, 300_000][n % 8];
        let to: &[&str] = if n % 3 == 0 { &["a@one.example", "b@two.example", "c@one.example"] } else { &["a@one.example"] };
        let id = queue.next_id();
        let body = body(&*queue, &content(id.number().unsigned_abs(), size)).await;
        let leases = queue.accept(message(id, at(0), to), body).await.unwrap();
        say(format_args!("accepted {id} {} {size}", leases.len()));
        for lease in leases {
            match n % 5 {
                0 => {
                    say(format_args!("settling {id}"));
                    queue.settle(lease, Settlement::finished()).await.unwrap();
                }
                1 => {
                    say(format_args!("settling {id}"));
                    queue.settle_soon(lease, Settlement::finished()).unwrap();
                }
                2 => {
                    let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1_000), "later"));
                    queue.settle(lease, wait).await.unwrap();
                }
                3 => drop(lease),
                _ => std::mem::forget(lease), // under way until the end
            }
        }
    }
}

/// One line, at once.
fn say(line: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}

const DIRECTORY: &str = "SEALPOST_TEST_CRASH_DIRECTORY";
const LIE: &str = "SEALPOST_TEST_CRASH_LIE";
