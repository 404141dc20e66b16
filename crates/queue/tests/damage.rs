//! Bits that fell over: each message comes back bit by bit, or it is reported; never a panic, never another message's bytes.
//!
//! A small queue is laid out, one octet of one of its files is changed, and the queue is opened. `DAMAGE_EVERY=1` does so with
//! each octet there is, which takes some minutes in a release build; otherwise with some of them, others in each run.
//! `DAMAGE_PART=2/8` tries the second of eight parts of each file only, and `--nocapture` shows what came of them.
//!
//! Negative control: without looking through the queue, and with nobody listening to what opening it reports, the same sweep misses
//! messages.

#![allow(clippy::print_stdout, reason = "a sweep says what it found")]

mod support;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sealpost_queue::{Deferral, EmbeddedSpool, Filter, QueueId, Settings, Settlement, Spool, SpoolError, State};
use sealpost_types::Octets;
use support::{accept, at, content};

#[test]
fn each_octet_of_a_queue_that_was_closed_may_change() {
    sweep("closed", "queue.db", true, 150);
    sweep("closed", "bodies/shared-0", true, 30);
}

#[test]
fn each_octet_of_a_queue_that_was_killed_may_change() {
    sweep("killed", "queue.db-wal", true, 150);
}

/// The negative control of both.
#[test]
fn without_looking_through_the_queue_messages_are_missed() {
    assert!(sweep("closed", "queue.db", false, 200).missed > 0, "damage does nothing: the comparison sees nothing");
    assert!(sweep("killed", "queue.db-wal", false, 400).missed > 0, "damage does nothing: the comparison sees nothing");
}

/// What must be had back of one entry: all but the body, the body, and whether it was settled. That one need not come back, but it
/// may, where what was damaged is the record of its settlement.
type Stored = (String, Vec<u8>, bool);

/// What came of a sweep.
#[derive(Debug, Default)]
struct Tally {
    changes: usize,
    /// Changes after which all messages came back and nothing was said.
    unnoticed: usize,
    /// Changes that were reported, and after which all messages came back.
    restored: usize,
    /// Changes that were reported, and that cost messages.
    costly: usize,
    /// Messages that went missing without a word.
    missed: usize,
}

/// What came of one change.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    is_reported: bool,
    /// Messages that did not come back.
    missing: usize,
}

/// Changes octets of this file one at a time.
fn sweep(kind: &str, file: &str, is_watched: bool, times: usize) -> Tally {
    let scratch = scratch();
    let sound = scratch.path().join("sound");
    std::fs::create_dir(&sound).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let known = runtime.block_on(fill(&sound, &scratch.path().join("killed"), kind == "killed"));
    let from = if kind == "killed" { scratch.path().join("killed") } else { sound };
    // The sound queue, opened in the same manner, has all of it.
    let outcome = runtime.block_on(try_one(&from, scratch.path(), None, is_watched, &known));
    assert_eq!(outcome, Ok(Outcome { is_reported: false, missing: 0 }));
    let mut length = usize::try_from(std::fs::metadata(from.join(file)).unwrap().len()).unwrap();
    if file.starts_with("bodies") {
        length = length.min(IN_FILE);
    }
    let every = std::env::var("DAMAGE_EVERY").ok().filter(|_| is_watched);
    let step = every.as_ref().map_or_else(|| (length / times).max(1), |text| text.parse().unwrap());
    let start = usize::try_from(RandomState::new().hash_one(kind) % step as u64).unwrap();
    let part = if every.is_some() { part(length) } else { 0..length };
    let mut tally = Tally::default();
    for offset in (start..length).step_by(step).filter(|offset| part.contains(offset)) {
        let bit = 1 << (offset / step % 8);
        match runtime.block_on(try_one(&from, scratch.path(), Some((file, offset, bit)), is_watched, &known)) {
            Ok(outcome) => tally.count(&outcome),
            Err(wrong) => panic!("{kind}, {file}, octet {offset}, bit {bit}: {wrong}"),
        }
    }
    println!("{kind}, {file}, octets {part:?} of {length}: {tally:?}");
    tally
}

/// The part of a file that is asked for.
fn part(length: usize) -> Range<usize> {
    let Ok(text) = std::env::var("DAMAGE_PART") else { return 0..length };
    let (number, parts) = text.split_once('/').unwrap();
    let (number, parts): (usize, usize) = (number.parse().unwrap(), parts.parse().unwrap());
    length * (number - 1) / parts..length * number / parts
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.changes += 1;
        match outcome {
            Outcome { is_reported: false, missing } => {
                self.unnoticed += usize::from(*missing == 0);
                self.missed += missing;
            }
            Outcome { missing: 0, .. } => self.restored += 1,
            Outcome { .. } => self.costly += 1,
        }
    }
}

/// Copies the queue, changes one octet, and sees what comes back.
async fn try_one(
    from: &Path,
    scratch: &Path,
    change: Option<(&str, usize, u8)>,
    is_watched: bool,
    known: &BTreeMap<QueueId, Stored>,
) -> Result<Outcome, String> {
    let to = scratch.join("tried");
    let _ = std::fs::remove_dir_all(&to);
    std::fs::create_dir_all(to.join("bodies")).unwrap();
    for file in ["queue.db", "queue.db-wal", "bodies/shared-0"] {
        let _ = std::fs::copy(from.join(file), to.join(file));
    }
    if let Some((file, offset, bit)) = change {
        let mut bytes = std::fs::read(to.join(file)).unwrap();
        bytes[offset] ^= bit;
        std::fs::write(to.join(file), bytes).unwrap();
    }
    let mut reported = false;
    let mut open = || match EmbeddedSpool::open(&to, settings()) {
        Ok(queue) => {
            reported |= !queue.recovery().damage.is_empty();
            Ok(Some(queue))
        }
        Err(error) => match change {
            // What says whose database it is and of which version: the operator hears it, and the file is as it was.
            Some(("queue.db", 44..48 | 56..64 | 68..72, _)) => Ok(None),
            _ => Err(format!("cannot be opened: {}", sealpost_types::WithCauses(&error))),
        },
    };
    let refused = Outcome { is_reported: true, missing: known.len() };
    let Some(mut queue) = open()? else { return Ok(refused) };
    let mut back = BTreeMap::new();
    for _ in 0..4 {
        if is_watched {
            match queue.verify().await {
                Ok(_) | Err(SpoolError::Poisoned { .. } | SpoolError::Store { .. }) => {}
                Err(error) => return Err(format!("cannot be looked through: {error}")),
            }
        }
        match take_all(&queue, &mut back, known).await {
            Ok(()) => break,
            // Found damaged while it was open: the next process salvages it.
            Err(Failure::Poisoned) if is_watched => {
                let _ = queue.close().await;
                let Some(again) = open()? else { return Ok(refused) };
                queue = again;
            }
            Err(Failure::Poisoned) => break,
            Err(Failure::Wrong(wrong)) => return Err(wrong),
        }
    }
    let aside: Vec<_> = match queue.list(Filter::all().state(State::Damaged), 100).await {
        Ok(aside) => aside.into_iter().map(|entry| entry.id).collect(),
        Err(_) => Vec::new(),
    };
    let _ = queue.close().await;
    let missing: Vec<_> = known.keys().filter(|id| !known[*id].2 && !back.contains_key(*id)).collect();
    let is_silent = missing.iter().any(|id| !aside.contains(id));
    reported &= is_watched;
    if is_watched && !reported && is_silent {
        return Err(format!("{missing:?} are gone, and nobody says so"));
    }
    Ok(Outcome { is_reported: reported || !(missing.is_empty() || is_silent), missing: missing.len() })
}

enum Failure {
    Poisoned,
    Wrong(String),
}

/// Leases all there is, until nothing more comes.
async fn take_all(queue: &EmbeddedSpool, back: &mut BTreeMap<QueueId, Vec<u8>>, known: &BTreeMap<QueueId, Stored>) -> Result<(), Failure> {
    loop {
        let leases = queue.lease_due(at(i64::MAX / 4), 100, &[]).await.map_err(|_| Failure::Poisoned)?;
        if leases.is_empty() {
            return Ok(());
        }
        for lease in leases {
            let id = lease.id();
            let entry = format!("{:?}", (&lease.entry().envelope, &lease.entry().destination, lease.entry().message));
            match lease.body().to_vec().await {
                Ok(body) if known.get(&id).is_some_and(|stored| (&stored.0, &stored.1) == (&entry, &body)) => {
                    back.insert(id, body);
                    queue.settle(lease, Settlement::finished()).await.map_err(|_| Failure::Poisoned)?;
                }
                Ok(body) => return Err(Failure::Wrong(format!("{id} came back as {entry} with {} octets", body.len()))),
                Err(error) => queue.set_aside(lease, &error.to_string()).await.map_err(|_| Failure::Poisoned)?,
            }
        }
    }
}

/// A few messages of each kind; the queue is closed, or copied as it is while it is open.
async fn fill(directory: &Path, copy: &Path, is_killed: bool) -> BTreeMap<QueueId, Stored> {
    let queue = EmbeddedSpool::open(directory, settings()).unwrap();
    let mut known = BTreeMap::new();
    for (number, size) in [(1, 300), (2, 2_500), (3, IN_FILE), (4, 40), (5, 900), (6, 700), (7, 10)] {
        let to: &[&str] = if number % 2 == 0 { &["a@one.example", "b@two.example"] } else { &["a@one.example"] };
        let body = content(number, size);
        for lease in accept(&queue, at(0), to, &body).await.unwrap() {
            let entry = format!("{:?}", (&lease.entry().envelope, &lease.entry().destination, lease.entry().message));
            known.insert(lease.id(), (entry, body.clone(), false));
            let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(10_000 + i64::try_from(number).unwrap()), "451 later"));
            queue.settle(lease, wait).await.unwrap();
        }
    }
    for lease in accept(&queue, at(0), &["gone@one.example", "gone@two.example"], &content(9, 900)).await.unwrap() {
        let entry = format!("{:?}", (&lease.entry().envelope, &lease.entry().destination, lease.entry().message));
        known.insert(lease.id(), (entry, content(9, 900), true));
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    // The last commit of all: nothing in the log comes after it.
    let last = accept(&queue, at(0), &["last@one.example"], &content(10, 600)).await.unwrap().remove(0);
    let entry = format!("{:?}", (&last.entry().envelope, &last.entry().destination, last.entry().message));
    known.insert(last.id(), (entry, content(10, 600), false));
    std::mem::forget(last);
    if is_killed {
        std::fs::create_dir_all(copy.join("bodies")).unwrap();
        for file in ["queue.db", "queue.db-wal", "bodies/shared-0"] {
            std::fs::copy(directory.join(file), copy.join(file)).unwrap();
        }
    }
    queue.close().await.unwrap();
    known
}

/// Small pages, so that there are many of them in few octets.
fn settings() -> Settings {
    let mut settings = support::settings();
    settings.store.page = Octets(1024);
    settings.abandoned = std::time::Duration::ZERO;
    settings
}

fn scratch() -> tempfile::TempDir {
    let memory: PathBuf = "/dev/shm".into();
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Octets of the body that stands in a file.
const IN_FILE: usize = 20_000;
