//! Loss of power at any moment: what was acknowledged is there afterwards, bit by bit, though all that was not yet synced is gone.
//!
//! The test starts itself as a child that accepts and settles mail, with `power_loss/record.c` preloaded. From the record it
//! makes the disk as it was before and after each sync of the child, once with everything that was not synced dropped, and
//! once with any part of it there, torn at sectors; opens the queue there, and holds it against what the child had said by then.
//! `POWER_LOSS_SEEDS=20` tries so many torn disks at each place; `POWER_LOSS_ROUNDS=500` makes so many random runs besides, each of which
//! loses power at some of its syncs.
//!
//! Negative controls: with the syncs of the log, of the bodies or of the directory left out, and with a store that answers before
//! it commits, the same comparison must miss mail.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the child tells its parent what it did")]

#[path = "power_loss/disk.rs"]
mod disk;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::{Disk, Step, Unsynced};
use sealpost_queue::{Deferral, EmbeddedSpool, Filter, QueueId, Settings, Settlement, Spool, State};
use sealpost_types::Octets;
use support::{at, body, content, message};

// req: A8
#[test]
fn what_was_acknowledged_survives_a_loss_of_power_at_every_sync() {
    let _alone = alone();
    let seeds = std::env::var("POWER_LOSS_SEEDS").map_or(1, |text| text.parse().unwrap());
    let found = sweep(Load::FIXED, "", false, 1, seeds);
    assert_eq!(found.broken, Vec::<String>::new());
    assert!(found.syncs > 80 && found.verified > 1_000, "{} syncs, {} messages compared", found.syncs, found.verified);
    assert!(found.checkpoints > 3, "the log was copied into the database {} times only", found.checkpoints);
}

/// Other mail, in another order, each time.
// req: A8
#[test]
fn what_was_acknowledged_survives_in_random_runs() {
    let _alone = alone();
    let rounds = std::env::var("POWER_LOSS_ROUNDS").map_or(2, |text| text.parse().unwrap());
    let mut sum = Found::default();
    for seed in 1..=rounds {
        let found = sweep(Load { seed }, "", false, 5 + usize::try_from(seed % 17).unwrap(), 1);
        assert_eq!(found.broken, Vec::<String>::new(), "in the run of seed {seed}");
        sum.syncs += found.syncs;
        sum.losses += found.losses;
        sum.verified += found.verified;
    }
    eprintln!("{rounds} random runs: {} syncs, power lost {} times, {} messages compared", sum.syncs, sum.losses, sum.verified);
    assert!(sum.losses as u64 > rounds * 4 && sum.verified > sum.losses, "{} losses, {} messages compared", sum.losses, sum.verified);
}

/// The negative controls of the tests above.
#[test]
fn a_sync_that_does_nothing_is_found_out() {
    let _alone = alone();
    for (without, nth) in [("queue.db-wal", 2), ("queue.db", 9), ("/bodies/", 9), ("directories", 9), ("", 3)] {
        // In the last one the syncs are right, and the store answers too early.
        let found = sweep(Load::FIXED, without, without.is_empty(), nth, 0);
        assert!(!found.broken.is_empty(), "without syncs of {without} nothing was lost: the comparison sees nothing");
    }
}

/// One test at a time: a child that another test starts has the lock of a queue of this one for a moment, until it is a program
/// of its own, and the queue cannot be opened again meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Found {
    syncs: usize,
    checkpoints: usize,
    losses: usize,
    verified: usize,
    broken: Vec<String>,
}

/// What the child does: always the same, or drawn by lot.
#[derive(Clone, Copy)]
struct Load {
    seed: u64,
}

/// One message of it.
struct Drawn {
    size: usize,
    to: &'static [&'static str],
    /// What becomes of it.
    end: u64,
}

impl Load {
    const FIXED: Self = Self { seed: 0 };

    fn message(self, n: usize) -> Drawn {
        if self.seed == 0 {
            let size = [500, 4_000, 9_000, 20_000, 300_000, 70_000, 200][n % 7];
            return Drawn { size, to: if n.is_multiple_of(3) { THREE } else { &THREE[..1] }, end: n as u64 % 5 };
        }
        let lots = content(self.seed * 1_000 + n as u64, 32);
        let lot = |at: usize, limit: u64| u64::from_le_bytes(lots[at * 8..at * 8 + 8].try_into().unwrap()) % limit;
        // As often short as long, up to some 500 KB.
        let size = lot(1, 1 << (6 + lot(0, 14))) as usize + 1;
        Drawn { size, to: &THREE[..1 + lot(2, 3) as usize], end: lot(3, 5) }
    }
}

/// Records a run and loses power at every `nth` sync of it.
fn sweep(load: Load, without: &str, lie: bool, nth: usize, seeds: u64) -> Found {
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let queue = scratch.path().join("child");
    let record = scratch.path().join("record");
    std::fs::create_dir(&queue).unwrap();
    run(load, &queue, &record, without, lie);
    let steps = disk::read(&record);
    let mut found = Found::default();
    let (mut disk, mut known) = (Disk::default(), Known::default());
    for (index, step) in steps.iter().enumerate() {
        // Before a sync ends, and before the next one does: what was said in between counts on it.
        if matches!(step, Step::SyncEnded { .. }) {
            found.syncs += 1;
            if found.syncs % nth == 0 {
                lose_power(&disk, &queue, scratch.path(), &known, index, seeds, &mut found);
            }
        }
        disk.step(step);
        match step {
            Step::Said { text } => text.lines().for_each(|line| known.hear(line)),
            Step::SyncBegun { path, .. } if path.ends_with("queue.db") => found.checkpoints += 1,
            _ => {}
        }
    }
    lose_power(&disk, &queue, scratch.path(), &known, steps.len(), seeds, &mut found);
    found
}

fn lose_power(disk: &Disk, from: &Path, scratch: &Path, known: &Known, index: usize, seeds: u64, found: &mut Found) {
    let torn = (0..seeds).map(|seed| Unsynced::Torn { seed: index as u64 * 1_000 + seed });
    for (kind, unsynced) in std::iter::once(Unsynced::Dropped).chain(torn).enumerate() {
        let to = scratch.join("after");
        std::fs::create_dir(&to).unwrap();
        disk.lay_out(from, &to, &unsynced);
        found.losses += 1;
        match compare(&to, known) {
            Ok(verified) => found.verified += verified,
            Err(broken) => found.broken.push(format!("step {index}, kind {kind}: {broken}")),
        }
        std::fs::remove_dir_all(&to).unwrap();
    }
}

/// What the child said it did.
#[derive(Default)]
struct Known {
    /// Entries by id: their message and the octets of the body.
    accepted: BTreeMap<QueueId, (QueueId, usize)>,
    /// Entries whose settlement was begun: they may be there or not.
    begun: BTreeSet<QueueId>,
    /// Entries that are gone for good.
    settled: BTreeSet<QueueId>,
    /// Entries that wait for this many recipients after an attempt.
    waiting: BTreeMap<QueueId, usize>,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let id = |text: &str| text.parse().unwrap();
        match words[..] {
            ["accepted", entry, message, size] => drop(self.accepted.insert(id(entry), (id(message), size.parse().unwrap()))),
            ["settling", entry] => drop(self.begun.insert(id(entry))),
            ["settled", entry] => drop(self.settled.insert(id(entry))),
            ["waits", entry, recipients] => drop(self.waiting.insert(id(entry), recipients.parse().unwrap())),
            _ => {}
        }
    }
}

/// Opens the queue and holds it against what is known; how many messages were compared.
fn compare(directory: &Path, known: &Known) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = EmbeddedSpool::open(directory, Settings::default()).map_err(|error| format!("{error:?}"))?;
        if let Some(damage) = queue.recovery().damage.iter().find(|damage| !damage.contains("as after a loss of power")) {
            return Err(damage.clone());
        }
        let mut there = BTreeSet::new();
        for listed in queue.list(Filter::all(), usize::MAX).await.unwrap() {
            let Some(entry) = listed.entry.filter(|_| listed.state == State::Deferred) else {
                return Err(format!("{} is {:?}: {:?}", listed.id, listed.state, listed.reason));
            };
            there.insert(listed.id);
            if known.settled.contains(&listed.id) {
                return Err(format!("{} came back", listed.id));
            }
            if let Some(recipients) = known.waiting.get(&listed.id)
                && !known.begun.contains(&listed.id)
                && (entry.attempts, entry.envelope.recipients.len()) != (1, *recipients)
            {
                return Err(format!("the outcome of {} is forgotten", listed.id));
            }
        }
        if let Some(id) = known.accepted.keys().find(|id| !known.begun.contains(id) && !there.contains(id)) {
            return Err(format!("{id} is lost"));
        }
        if queue.next_id() <= known.accepted.keys().max().copied().unwrap_or_else(|| QueueId::from_number(0).unwrap()) {
            return Err("an id is given twice".into());
        }
        let mut verified = 0;
        loop {
            let leases = queue.lease_due(at(i64::MAX / 2), 100, &[]).await.unwrap();
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                let id = lease.entry().message;
                let size = usize::try_from(lease.body().size().0).unwrap();
                let stored = lease.body().to_vec().await.map_err(|error| format!("{id}: {error}"))?;
                if stored != content(id.number().unsigned_abs(), size) {
                    return Err(format!("{id} has another content"));
                }
                verified += 1;
                queue.settle_soon(lease, Settlement::finished()).unwrap();
            }
        }
        queue.close().await.unwrap();
        let queue = EmbeddedSpool::open(directory, Settings::default()).map_err(|error| format!("again: {error:?}"))?;
        if !queue.recovery().damage.is_empty() {
            return Err(format!("again: {:?}", queue.recovery()));
        }
        let left = queue.list(Filter::all(), usize::MAX).await.unwrap();
        let left: Vec<_> = left.iter().map(|listed| format!("{} is {:?}: {:?}", listed.id, listed.state, listed.reason)).collect();
        if left.is_empty() { Ok(verified) } else { Err(format!("something stays behind: {left:?}")) }
    })
}

/// Runs the child with the recorder preloaded.
fn run(load: Load, queue: &Path, record: &Path, without: &str, lie: bool) {
    let recorder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/record.c");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", support::preloaded::library(&recorder))
        .env("RECORD_TO", record)
        .env("RECORD_BELOW", queue)
        .env("RECORD_NO_SYNC", if lie { "" } else { without })
        .env(DIRECTORY, queue)
        .env(SEED, load.seed.to_string())
        .env(LIE, if lie { "1" } else { "" })
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// The child: accepts and settles, closes, opens again, and goes on.
#[test]
#[ignore = "run by the other tests of this file"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let load = Load { seed: std::env::var(SEED).map_or(0, |text| text.parse().unwrap()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..2 {
            let mut settings = Settings::default();
            settings.store.checkpoint = Octets(256 << 10);
            settings.recycle = Octets(1_500_000);
            let queue = Arc::new(EmbeddedSpool::open(Path::new(&directory), settings).unwrap());
            if std::env::var_os(LIE).is_some_and(|lie| !lie.is_empty()) {
                queue.faults().danger_answer_before_commit();
            }
            let tasks: Vec<_> = (0..4).map(|writer| tokio::spawn(work(load, queue.clone(), writer * 3 + round * 2))).collect();
            for task in tasks {
                task.await.unwrap();
            }
            queue.close().await.unwrap();
        }
    });
}

async fn work(load: Load, queue: Arc<EmbeddedSpool>, writer: usize) {
    for n in writer..writer + 7 {
        let Drawn { size, to, end } = load.message(n);
        let id = queue.next_id();
        let body = body(&*queue, &content(id.number().unsigned_abs(), size)).await;
        let leases = queue.accept(message(id, at(0), to), body).await.unwrap();
        for lease in &leases {
            say(format_args!("accepted {} {id} {size}", lease.id()));
        }
        for lease in leases {
            let entry = lease.id();
            let wait = Deferral::new(at(1_000), "later");
            match end {
                0 => {
                    say(format_args!("settling {entry}"));
                    queue.settle(lease, Settlement::finished()).await.unwrap();
                    say(format_args!("settled {entry}"));
                }
                1 => {
                    say(format_args!("settling {entry}"));
                    queue.settle_soon(lease, Settlement::finished()).unwrap();
                }
                // The first recipient is served, or there is one only and it waits.
                2 => {
                    let last = lease.entry().envelope.recipients.len() - 1;
                    queue.settle(lease, Settlement::finished().remain(last, wait)).await.unwrap();
                    say(format_args!("waits {entry} 1"));
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

const THREE: &[&str] = &["a@one.example", "b@two.example", "c@one.example"];
const SEED: &str = "SEALPOST_TEST_POWER_SEED";
const DIRECTORY: &str = "SEALPOST_TEST_POWER_DIRECTORY";
const LIE: &str = "SEALPOST_TEST_POWER_LIE";
