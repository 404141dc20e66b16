//! Durable accepts a second, each followed by the message's removal, side by side on one disk: the queue; a plain log to which
//! messages are appended with one sync for all that wait, which is the most that the disk gives; and one synced file a message, as
//! Postfix does it.
//!
//! ```console
//! $ cargo bench -p sealpost-benches --bench accepts
//! $ ACCEPTS_DIRECTORY=/var/tmp ACCEPTS_SECONDS=5 ACCEPTS_ROUNDS=5 ACCEPTS_KIB=4 ACCEPTS_WRITERS=16 cargo bench ...
//! ```
//! `ACCEPTS_INLINE_KIB` says up to which size the queue keeps bodies in its database. The three take turns, round after round, and the medians are given.
#![allow(clippy::print_stdout, reason = "a program that prints its figures")]

mod files;
mod log;
mod queue;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one run of one of them gave.
struct Run {
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu: f64,
}

/// Runs writers until the time is over.
type Load = fn(&Path, usize, usize, Duration) -> Result<Vec<Duration>, Failure>;

const ALL: [(&str, Load); 3] = [("queue", queue::load), ("log", log::load), ("files", files::load)];

fn main() -> Result<(), Failure> {
    let directory = std::env::var_os("ACCEPTS_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("accepts-{}", std::process::id()));
    let seconds = Duration::from_secs_f64(setting("ACCEPTS_SECONDS", 2.0)?);
    let rounds: usize = setting("ACCEPTS_ROUNDS", 3)?;
    println!("size KiB  writers  store  accepts/s  p50 ms  p99 ms  CPU us/message   queue/files  queue/log");
    for kib in chosen("ACCEPTS_KIB", &[4, 64, 1024])? {
        for writers in chosen("ACCEPTS_WRITERS", &[1, 16, 64])? {
            let mut runs: [Vec<Run>; 3] = Default::default();
            for _ in 0..rounds {
                for ((_, load), runs) in ALL.iter().zip(&mut runs) {
                    std::fs::create_dir_all(&directory)?;
                    let run = measure(*load, &directory, kib << 10, writers, seconds);
                    std::fs::remove_dir_all(&directory)?;
                    runs.push(run?);
                }
            }
            let rates = runs.each_ref().map(|runs| median(runs.iter().map(Run::rate)));
            for (((name, _), runs), rate) in ALL.iter().zip(&runs).zip(rates) {
                let [p50, p99] = [0.5, 0.99].map(|part| median(runs.iter().map(|run| run.latency(part))));
                let cpu = median(runs.iter().map(|run| run.cpu / run.latencies.len() as f64 * 1e6));
                print!("{kib:8}  {writers:7}  {name:5}  {rate:9.0}  {p50:6.2}  {p99:6.2}  {cpu:14.0}");
                println!(
                    "{}",
                    if *name == "queue" { format!("   {:11.2}  {:9.2}", rate / rates[2], rate / rates[1]) } else { String::new() }
                );
            }
        }
    }
    Ok(())
}

fn measure(load: Load, directory: &Path, size: usize, writers: usize, time: Duration) -> Result<Run, Failure> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut latencies = load(directory, size, writers, time)?;
    let (elapsed, cpu) = (start.elapsed(), cpu_seconds() - cpu);
    latencies.sort_unstable();
    Ok(Run { latencies, elapsed, cpu })
}

impl Run {
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn latency(&self, part: f64) -> f64 {
        let place = self.latencies.len().saturating_sub(1) as f64 * part;
        self.latencies.get(place as usize).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The bytes of a message's body.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

fn setting<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(name: &str, default: T) -> Result<T, Failure> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().map_err(Into::into))
}

/// The one that is set, else all.
fn chosen(name: &str, all: &[usize]) -> Result<Vec<usize>, Failure> {
    Ok(match std::env::var(name) {
        Ok(text) => vec![text.parse()?],
        Err(_) => all.to_vec(),
    })
}

/// CPU seconds of this process so far, in user and kernel mode.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
