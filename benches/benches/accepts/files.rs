//! One file a message: made under its name, written, synced, later removed; a thread for each writer, as Postfix has a process.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Failure, body};

pub(crate) fn load(directory: &Path, size: usize, writers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + time;
    let body = &body(size);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..writers).map(|writer| scope.spawn(move || write(&directory.join(writer.to_string()), body, end))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a writer panicked")??);
        }
        Ok(all)
    })
}

fn write(directory: &Path, body: &[u8], end: Instant) -> std::io::Result<Vec<Duration>> {
    std::fs::create_dir(directory)?;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let path = directory.join(latencies.len().to_string());
        let mut file = File::create_new(&path)?;
        let mut record = vec![b'e'; ENVELOPE];
        record.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        record.extend_from_slice(body);
        file.write_all(&record)?;
        file.sync_all()?;
        latencies.push(begin.elapsed());
        drop(file);
        std::fs::remove_file(path)?;
    }
    Ok(latencies)
}

/// Octets of an envelope, about as many as the queue writes for one.
const ENVELOPE: usize = 300;
