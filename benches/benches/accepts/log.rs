//! A plain log: what waits is appended in one write, synced once, and answered. What is removed costs nothing here: the log goes
//! on in a new file every 64 MiB, and the old one is removed.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{Failure, body};

type Waiting = (Vec<u8>, oneshot::Sender<()>);

pub(crate) fn load(directory: &Path, size: usize, writers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    let (log, records) = sync_channel(1024);
    let place = directory.to_owned();
    let thread = std::thread::spawn(move || append(&place, &records));
    let end = Instant::now() + time;
    let all = tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
        let body: Arc<[u8]> = body(size).into();
        let tasks: Vec<_> = (0..writers).map(|_| tokio::spawn(write(log.clone(), body.clone(), end))).collect();
        drop(log);
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok::<_, Failure>(all)
    })?;
    thread.join().map_err(|_| "the log's thread panicked")??;
    Ok(all)
}

async fn write(log: SyncSender<Waiting>, body: Arc<[u8]>, end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let mut record = Vec::with_capacity(body.len() + ENVELOPE + 8);
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        record.resize(ENVELOPE + 8, b'e');
        record.extend_from_slice(&body);
        let (answer, answered) = oneshot::channel();
        log.send((record, answer))?;
        answered.await?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

fn append(directory: &Path, records: &Receiver<Waiting>) -> std::io::Result<()> {
    let (mut number, mut length) = (0, 0);
    let mut file = File::create(directory.join("0"))?;
    File::open(directory)?.sync_all()?;
    let (mut buffer, mut waiting) = (Vec::new(), Vec::new());
    while let Ok(first) = records.recv() {
        for (record, answer) in std::iter::once(first).chain(records.try_iter()) {
            buffer.extend_from_slice(&record);
            waiting.push(answer);
            if buffer.len() > BATCH {
                break;
            }
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        length += buffer.len();
        buffer.clear();
        for answer in waiting.drain(..) {
            let _ = oneshot::Sender::send(answer, ());
        }
        if length > SEGMENT {
            (length, number) = (0, number + 1);
            file = File::create(directory.join(number.to_string()))?;
            File::open(directory)?.sync_all()?;
            std::fs::remove_file(directory.join((number - 1).to_string()))?;
        }
    }
    Ok(())
}

/// Octets of an envelope, about as many as the queue writes for one.
const ENVELOPE: usize = 300;
const BATCH: usize = 8 << 20;
const SEGMENT: usize = 64 << 20;
