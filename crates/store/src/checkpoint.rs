//! Copies the write-ahead log into the database, off the commit path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::is_fatal;
use crate::health::Poison;
use crate::read::BUSY;

/// Asks for a checkpoint and learns that one was made.
///
/// A log under constant writing is never copied in full by a second connection, and so never starts anew. The thread
/// therefore copies nearly all of it, and the writer copies the little rest between two of its transactions.
pub(crate) struct Checkpoints {
    ask: SyncSender<()>,
    made: Arc<AtomicBool>,
    /// Frames in the log at which to ask.
    threshold: u32,
    /// Frames in the log at which to ask next.
    next: u32,
    /// Frames in the log after the last commit.
    frames: u32,
    /// Frames in the log at which readers are waited for.
    overlong: u32,
}

impl Checkpoints {
    /// Starts the thread; it ends when this is dropped.
    pub(crate) fn start(db: Connection, threshold: u32, poison: Arc<Poison>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (ask, asked) = sync_channel(1);
        let made = Arc::new(AtomicBool::new(false));
        let flag = made.clone();
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(move || serve(&db, &asked, &flag, &poison))?;
        Ok((Self { ask, made, threshold, next: threshold, frames: 0, overlong: threshold.saturating_mul(OVERLONG) }, thread))
    }

    /// Called by the writer after each commit, with the frames that the log has now.
    pub(crate) fn after_commit(&mut self, frames: u32) {
        self.frames = frames;
        if frames < self.threshold {
            // The log has started anew.
            self.next = self.threshold;
            self.overlong = self.threshold.saturating_mul(OVERLONG);
        } else if frames >= self.next {
            // If one is under way, the next commit asks again.
            if !matches!(self.ask.try_send(()), Err(TrySendError::Full(()))) {
                self.next = frames.saturating_add(self.threshold / 4);
            }
        }
    }

    /// Called by the writer between two transactions: copies the rest if the thread has copied most; whether it had.
    pub(crate) fn finish(&mut self, db: &Connection, poison: &Poison) -> bool {
        let is_made = self.made.load(Ordering::Acquire);
        if is_made {
            self.made.store(false, Ordering::Release);
            run(db, poison);
            if self.frames >= self.overlong {
                // One who reads for long must not hold up every commit.
                self.overlong = self.frames.saturating_add(self.threshold);
                wait_for_readers(db, poison);
            }
        }
        is_made
    }
}

fn serve(db: &Connection, asked: &Receiver<()>, made: &AtomicBool, poison: &Poison) {
    while asked.recv().is_ok() {
        // Each pass copies what came during the one before.
        for _ in 0..PASSES {
            if run(db, poison).is_none_or(|left| left <= SMALL_REST) {
                break;
            }
        }
        made.store(true, Ordering::Release);
    }
}

/// Copies what can be copied without waiting for anybody; frames left, if SQLite said.
pub(crate) fn run(db: &Connection, poison: &Poison) -> Option<i64> {
    copy(db, "PRAGMA wal_checkpoint(PASSIVE)", poison)
}

/// Copies all, and waits a while for those who read what was before: where one always does, beginning before the last one ends, the log would
/// never start anew.
fn wait_for_readers(db: &Connection, poison: &Poison) {
    if db.busy_timeout(READERS_WAIT).is_ok() {
        copy(db, "PRAGMA wal_checkpoint(RESTART)", poison);
    }
    if let Err(error) = db.busy_timeout(BUSY) {
        poison.judge("checkpoint", &error);
    }
}

fn copy(db: &Connection, pragma: &str, poison: &Poison) -> Option<i64> {
    let outcome = db.query_row(pragma, [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    match outcome {
        Ok((log, copied)) => Some(log - copied),
        Err(error) => {
            poison.judge("checkpoint", &error);
            if is_fatal(&error) {
                poison.set(&format!("checkpoint: {error}"));
            }
            None
        }
    }
}

/// Passes of the thread over the log before the writer takes the rest.
const PASSES: usize = 3;

/// Frames that the writer may copy itself.
const SMALL_REST: i64 = 32;

/// How many times as long as it should be the log has to be before readers are waited for.
const OVERLONG: u32 = 4;

/// How long they are waited for at most: nothing is written meanwhile.
const READERS_WAIT: Duration = Duration::from_millis(250);
