//! The history as JSON lines, for log shippers.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::Event;

/// Where the history goes as JSON lines, one entry a line, beside its files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamTarget {
    /// Standard output.
    Stdout,
    /// The end of this file. When it is renamed or removed, as log rotation does, a new one is begun.
    File(PathBuf),
}

/// The thread that writes the stream: a reader who stops reading holds up nobody else.
#[derive(Debug)]
pub(super) struct Stream {
    batches: Option<SyncSender<Arc<Vec<Event>>>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// The file, once it is open.
struct Sink {
    target: StreamTarget,
    file: Option<(File, Inode)>,
}

/// Device and number.
type Inode = (u64, u64);

impl Stream {
    /// Opens the target, and starts the thread that writes to it.
    pub(super) fn start(target: StreamTarget) -> io::Result<Self> {
        let mut sink = Sink { target, file: None };
        sink.reopen()?;
        let (batches, taken) = sync_channel(BATCHES);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let thread = std::thread::Builder::new().name("history-stream".into()).spawn(move || run(sink, &taken, &lost))?;
        Ok(Self { batches: Some(batches), dropped, thread: Some(thread) })
    }

    /// Hands over events to be written; never waits.
    pub(super) fn push(&self, events: &Arc<Vec<Event>>) {
        let Some(batches) = &self.batches else { return };
        if let Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) = batches.try_send(Arc::clone(events)) {
            count(&self.dropped, lost.len());
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.batches = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the history's stream panicked");
        }
    }
}

fn run(mut sink: Sink, batches: &Receiver<Arc<Vec<Event>>>, dropped: &AtomicU64) {
    let mut told = 0;
    while let Ok(events) = batches.recv() {
        let mut lines = Vec::with_capacity(events.len() * 512);
        for event in events.iter() {
            lines.extend_from_slice(event.to_json().as_bytes());
            lines.push(b'\n');
        }
        if let Err(error) = sink.write(&lines) {
            count(dropped, events.len());
            tracing::error!(%error, lost = events.len(), "the history's stream cannot be written");
        }
        let now = dropped.load(Ordering::Relaxed);
        if now > told {
            tracing::warn!(dropped = now - told, "entries are missing in the history's stream; its files have them");
            told = now;
        }
    }
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.reopen()?;
        match (&self.target, &mut self.file) {
            (StreamTarget::Stdout, _) => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            (StreamTarget::File(_), Some((file, _))) => file.write_all(lines),
            (StreamTarget::File(_), None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens the file unless it is open and still the one of its name.
    fn reopen(&mut self) -> io::Result<()> {
        let StreamTarget::File(path) = &self.target else { return Ok(()) };
        let current = inode(path.metadata().ok().as_ref());
        if self.file.as_ref().is_some_and(|(_, open)| Some(*open) == current) {
            return Ok(());
        }
        self.file = None;
        let file = open(path)?;
        let inode = inode(Some(&file.metadata()?)).unwrap_or_default();
        self.file = Some((file, inode));
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn inode(metadata: Option<&std::fs::Metadata>) -> Option<Inode> {
    metadata.map(|metadata| (metadata.dev(), metadata.ino()))
}

fn count(dropped: &AtomicU64, events: usize) {
    dropped.fetch_add(u64::try_from(events).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Batches that wait at most; further ones are dropped.
const BATCHES: usize = 64;
