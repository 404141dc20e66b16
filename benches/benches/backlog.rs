//! A queue of very many deferred messages: how soon it is ready after `kill -9`, what memory and disk it takes, how soon the next due
//! message is there.
//!
//! ```console
//! $ cargo bench -p sealpost-benches --bench backlog
//! $ BACKLOG_MESSAGES=100000 BACKLOG_DIRECTORY=/var/tmp cargo bench ...
//! ```
//! One process fills the queue with bodies of 1 KiB and kills itself; as root, the page cache is then emptied; a second one measures.
#![allow(clippy::print_stdout, reason = "a program that prints its figures")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_policy::{DeliverFacts, Policy};
use sealpost_queue::{BodyWriter, Deferral, EmbeddedSpool, Filter, NewMessage, Settings, Settlement, Spool, State};
use sealpost_store::rusqlite;
use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Octets, Reception, Recipient, ReversePath, UnixMillis};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let messages: u64 = std::env::var("BACKLOG_MESSAGES").map_or(Ok(1_000_000), |text| text.parse())?;
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_time().build();
    match (std::env::var("BACKLOG_STEP"), std::env::var_os("BACKLOG_IN")) {
        (Ok(step), Some(directory)) if step == "fill" => runtime()?.block_on(fill(Path::new(&directory), messages)),
        (Ok(_), Some(directory)) => runtime()?.block_on(measure(Path::new(&directory))),
        _ => {
            let directory = std::env::var_os("BACKLOG_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
            let directory = directory.join(format!("backlog-{}", std::process::id()));
            let outcome = both(&directory);
            std::fs::remove_dir_all(&directory)?;
            outcome
        }
    }
}

fn both(directory: &Path) -> Result<(), Failure> {
    let step = |name| Command::new(std::env::current_exe()?).env("BACKLOG_STEP", name).env("BACKLOG_IN", directory).status();
    step("fill")?;
    Command::new("sync").status()?;
    let dropped = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    println!("page cache: {}", if dropped { "emptied" } else { "as it was (only root can empty it)" });
    if step("measure")?.success() { Ok(()) } else { Err("the second process failed".into()) }
}

async fn fill(directory: &Path, messages: u64) -> Result<(), Failure> {
    let queue = EmbeddedSpool::open(directory, Settings::default())?;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(defer(queue.clone(), writer, messages))).collect();
    for task in tasks {
        task.await??;
    }
    println!("{messages} messages of 1 KiB deferred, {:.0} a second", messages as f64 / begin.elapsed().as_secs_f64());
    let me = std::process::id().to_string();
    Command::new("kill").args(["-9", &me]).status()?;
    std::future::pending().await
}

/// Accepts every so many-th message as deferred.
async fn defer(queue: EmbeddedSpool, writer: u64, messages: u64) -> Result<(), Failure> {
    let body: Arc<[u8]> = (0..1024_usize).map(|n| (n * 31 % 251) as u8).collect();
    let mut number = writer;
    while number < messages {
        let mut content = queue.body_writer(Some(Octets(1024)))?;
        content.write(&body).await?;
        let address = format!("recipient{number}@domain{}.example", number % 10_007);
        let from = ReversePath::Mailbox(Mailbox::parse("sender@hosted.example")?);
        let reception = Reception::from_client(UnixMillis(0), [192, 0, 2, 1].into(), "client.example".into(), None);
        let envelope = Envelope::new(from, vec![Recipient::new(ForwardPath::Mailbox(Mailbox::parse(&address)?))]);
        let place = |_: &Recipient| Destination::new(&format!("mx:domain{}.example", number % 10_007));
        let mut message = NewMessage::split(queue.next_id(), reception, envelope, UnixMillis(604_800_000), place);
        let due = UnixMillis((number * 7_919 % messages) as i64);
        for group in &mut message.groups {
            *group = group.clone().deferred(Deferral::new(due, "450 4.7.1 try again later"));
        }
        queue.accept(message, content).await?;
        number += WRITERS;
    }
    Ok(())
}

async fn measure(directory: &Path) -> Result<(), Failure> {
    let begin = Instant::now();
    let queue = EmbeddedSpool::open(directory, Settings::default())?;
    println!("ready after kill -9 in {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let first = queue.next_due().await?;
    println!("first due time, cold: {:.2} ms ({first:?})", begin.elapsed().as_secs_f64() * 1e3);
    let mut times = Vec::new();
    let mut due = Vec::new();
    for _ in 0..2_000 {
        let begin = Instant::now();
        due.extend(queue.lease_due(UnixMillis(i64::MAX / 2), 1, &[]).await?);
        times.push(begin.elapsed());
        if due.len() >= 20 {
            for lease in due.drain(..) {
                let wait = Settlement::deferred(lease.entry(), &Deferral::new(UnixMillis(1 << 40), "450 4.7.1 try again later"));
                queue.settle_soon(lease, wait)?;
            }
        }
    }
    drop(due);
    println!(
        "next due message: p50 {:.3} ms, p99 {:.3} ms, longest {:.3} ms",
        at(&mut times, 0.5),
        at(&mut times, 0.99),
        at(&mut times, 1.0)
    );
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        queue.next_due().await?;
        times.push(begin.elapsed());
    }
    println!("next due time: p50 {:.3} ms, p99 {:.3} ms", at(&mut times, 0.5), at(&mut times, 0.99));
    let begin = Instant::now();
    let stats = queue.stats().await?;
    println!("stats of {} deferred: {:.0} ms", stats.deferred, begin.elapsed().as_secs_f64() * 1e3);
    hold_against_a_policy(&queue).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("resident: {:.0} MiB at most", mebibytes(peak_octets()));
    queue.close().await?;
    let stored = stored(directory)?;
    let used = disk(directory)?;
    println!(
        "disk, once settled: {:.1} MiB, {:.2} times the {:.1} MiB of bodies and envelopes",
        mebibytes(used),
        used as f64 / stored as f64,
        mebibytes(stored)
    );
    Ok(())
}

/// Reads all that waits and decides of it twice, as the relay does when its policy changes.
async fn hold_against_a_policy(queue: &EmbeddedSpool) -> Result<(), Failure> {
    let policy =
        |level: &str| Policy::parse("policy.toml", &format!("[[partner]]\ndomains = \"domain7.example\"\ndeliver = \"{level}\"\n"));
    let (before, after) = (policy("require")?, policy("verify")?);
    let (begin, mut page, mut read, mut longest) = (Instant::now(), Filter::all().state(State::Deferred), 0, Duration::ZERO);
    let (mut concerned, cpu) = (0, cpu());
    loop {
        let listed = queue.list(page.clone(), 500).await?;
        let Some(last) = listed.last() else { break };
        page = page.after(last.id);
        read += listed.len();
        let begin = Instant::now();
        for entry in listed.iter().filter_map(|listed| listed.entry.as_ref()) {
            let decided = entry.envelope.recipients.iter().any(|to| {
                let facts = DeliverFacts::new(&entry.envelope.reverse_path, &to.path, false).at(UnixMillis(0));
                before.decide_deliver(&facts) != after.decide_deliver(&facts)
            });
            concerned += usize::from(decided);
        }
        longest = longest.max(begin.elapsed());
    }
    println!(
        "{read} entries held against another policy in {:.1} s, {:.1} CPU-us each, {concerned} concerned; {:.1} ms at a time at most",
        begin.elapsed().as_secs_f64(),
        (self::cpu() - cpu) * 1e6 / read as f64,
        longest.as_secs_f64() * 1e3
    );
    Ok(())
}

/// Seconds of processor time of this process.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The latency in milliseconds that this part of them does not exceed.
fn at(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let place = times.len().saturating_sub(1) as f64 * part;
    times.get(place as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Octets of all bodies and envelopes.
fn stored(directory: &Path) -> Result<u64, Failure> {
    let db = rusqlite::Connection::open(directory.join("queue.db"))?;
    let sum = "SELECT sum(octets + octet_length(envelope) + octet_length(recipients) + octet_length(destination)) FROM entry";
    Ok(db.query_row(sum, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// Octets that all files below take.
fn disk(directory: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for found in std::fs::read_dir(directory)? {
        let found = found?;
        sum += if found.file_type()?.is_dir() { disk(&found.path())? } else { found.metadata()?.blocks() * 512 };
    }
    Ok(sum)
}

/// The most memory that this process had so far.
fn peak_octets() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn mebibytes(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

const WRITERS: u64 = 256;
