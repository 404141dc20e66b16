//! Measures durable accepts a second, each followed by its removal: `accepts [DIRECTORY [SECONDS]]`.
//!
//! Sizes 4 KiB, 64 KiB and 1 MiB by 1, 16 and 64 writers, on the disk of DIRECTORY (default: the temporary directory).
#![allow(clippy::print_stdout, reason = "a program that prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{BodyWriter, EmbeddedSpool, NewMessage, Settings, Settlement, Spool};
use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Octets, Reception, Recipient, ReversePath, UnixMillis};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join(format!("accepts-{}", std::process::id()));
    let seconds = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    println!("size KiB  writers  accepts/s  p50 ms  p99 ms  CPU us/message");
    for size in [4 << 10, 64 << 10, 1 << 20] {
        for writers in [1, 16, 64] {
            let outcome = measure(&directory, size, writers, Duration::from_secs_f64(seconds)).await;
            std::fs::remove_dir_all(&directory)?;
            outcome?;
        }
    }
    Ok(())
}

async fn measure(directory: &std::path::Path, size: usize, writers: usize, time: Duration) -> Result<(), Failure> {
    let queue = EmbeddedSpool::open(directory, Settings::default())?;
    // Warm: the log and the body files get their lengths.
    load(&queue, size, writers, time / 4).await?;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut latencies = load(&queue, size, writers, time).await?;
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    queue.close().await?;
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let count = latencies.len() as f64;
    println!("{:8}  {writers:7}  {:9.0}  {:6.2}  {:6.2}  {:14.0}", size >> 10, count / elapsed, at(0.5), at(0.99), cpu / count * 1e6);
    Ok(())
}

/// Accepts and removes until the time is over; the latency of each accept.
async fn load(queue: &EmbeddedSpool, size: usize, writers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + time;
    let body: Arc<[u8]> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
    let mut tasks = Vec::new();
    for _ in 0..writers {
        let (queue, body) = (queue.clone(), body.clone());
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let begin = Instant::now();
                let mut writer = queue.body_writer(Some(Octets(size as u64)))?;
                for piece in body.chunks(16 << 10) {
                    writer.write(piece).await?;
                }
                let to = ForwardPath::Mailbox(Mailbox::parse("recipient@partner.example")?);
                let from = ReversePath::Mailbox(Mailbox::parse("sender@hosted.example")?);
                let reception = Reception::from_client(UnixMillis(0), [192, 0, 2, 1].into(), "client.example".into(), None);
                let envelope = Envelope::new(from, vec![Recipient::new(to)]);
                let place = |_: &Recipient| Destination::new("mx:partner.example");
                let message = NewMessage::split(queue.next_id(), reception, envelope, UnixMillis(604_800_000), place);
                let leases = queue.accept(message, writer).await?;
                latencies.push(begin.elapsed());
                for lease in leases {
                    queue.settle_soon(lease, Settlement::finished())?;
                }
            }
            Ok::<_, Failure>(latencies)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// CPU seconds of this process so far, in user and kernel mode.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
