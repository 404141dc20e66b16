//! The thread that commits for everybody who waits.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::checkpoint::{self, Checkpoints};
use crate::commits::CommitCounts;
use crate::error::{SqliteFailure, WriteError, is_fatal};
use crate::faults::Faults;
use crate::files::Files;
use crate::health::Poison;
use crate::inbox::{Inbox, Job, Taken};
use crate::lock::Lock;
use crate::reclaim;

/// All that the writer thread owns or shares.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) poison: Arc<Poison>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) files: Files,
    pub(crate) commits: Arc<CommitCounts>,
    /// Let go of last.
    pub(crate) _lock: Lock,
}

impl Writer {
    /// Writes until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        self.db.wal_hook(Some(|_: &Wal, frames| {
            FRAMES.set(u32::try_from(frames).unwrap_or(0));
            Ok(())
        }));
        let mut batch = Vec::new();
        // Space that became free is given back while nothing is to be written, and after each checkpoint in case there always is.
        let mut patience = Some(reclaim::IDLE);
        let mut is_shorter = false;
        let mut gather = Duration::ZERO;
        loop {
            match self.inbox.take(&mut batch, patience, gather) {
                Taken::Batch => {
                    let begin = Instant::now();
                    self.write(&mut batch);
                    gather = begin.elapsed().min(GATHER_AT_MOST);
                    self.checkpoints.after_commit(FRAMES.get());
                    if self.checkpoints.finish(&self.db, &self.poison) {
                        self.reclaim();
                    }
                    patience = Some(reclaim::IDLE);
                }
                Taken::Nothing => {
                    let is_more = self.reclaim();
                    self.checkpoints.after_commit(FRAMES.get());
                    self.checkpoints.finish(&self.db, &self.poison);
                    // The file gets shorter when the log is copied into it.
                    if std::mem::replace(&mut is_shorter, is_more) && !is_more {
                        checkpoint::run(&self.db, &self.poison);
                    }
                    patience = is_more.then_some(reclaim::PAUSE);
                }
                Taken::End => break,
            }
        }
        self.db.wal_hook(None);
        if self.poison.check().is_ok() {
            // A clean end leaves nothing in the log. If it fails, the log has it all.
            let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    /// Gives some free space back to the system; whether there is more.
    fn reclaim(&self) -> bool {
        if self.poison.check().is_err() {
            return false;
        }
        reclaim::some(&self.db).unwrap_or_else(|error| {
            if is_fatal(&error) {
                self.poison.judge("reclaim", &error);
                self.poison.set(&format!("reclaim: {error}"));
            }
            false
        })
    }

    fn write(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        if let Err(poisoned) = self.poison.check() {
            return answer_all(batch, &Err(poisoned));
        }
        if self.faults.answers_early() {
            return self.write_late(batch);
        }
        let begin = Instant::now();
        // At first without savepoints, which cost; only if a job fails, once more with them, so that it fails alone.
        match self.transact(|writer, tx| writer.run_all(tx, batch)) {
            Ok(()) => {
                self.commits.note(begin.elapsed(), batch.len());
                return answer_all(batch, &Ok(()));
            }
            Err(Stop::Job) => {}
            Err(Stop::All(error)) => return answer_all(batch, &Err(error)),
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        match self.transact(|writer, tx| writer.run_each(tx, batch, &mut outcomes)) {
            Ok(()) => {
                self.commits.note(begin.elapsed(), batch.len());
                batch.drain(..).zip(outcomes).for_each(|(job, outcome)| answer(job, outcome));
            }
            Err(Stop::All(error)) => answer_all(batch, &Err(error)),
            Err(Stop::Job) => answer_all(batch, &Err(WriteError::Closed)),
        }
    }

    fn transact(&mut self, jobs: impl FnOnce(&Self, &Transaction<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate).map_err(|e| self.judge("begin", &e))?;
        if let Err(stop) = jobs(self, &tx) {
            drop(tx); // rolls back
            if !self.db.is_autocommit() {
                self.poison.set("a transaction could not be rolled back");
            }
            self.poison.check().map_err(Stop::All)?;
            return Err(stop);
        }
        if self.faults.takes_commit_failure() {
            drop(tx);
            self.poison.set("commit: made to fail by a test");
            return self.poison.check().map_err(Stop::All);
        }
        // After a failed commit the drop of the transaction rolls back; nothing of it was answered.
        tx.commit().map_err(|e| self.judge("commit", &e))?;
        match self.files.check() {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.poison.set(&format!("a file of the database is gone: {reason}"));
                self.poison.check().map_err(Stop::All)
            }
        }
    }

    /// A failure of the whole transaction: full and busy pass, anything else means that the disk cannot be trusted.
    fn judge(&self, what: &str, error: &rusqlite::Error) -> Stop {
        self.poison.judge(what, error);
        if is_fatal(error) {
            self.poison.set(&format!("{what}: {error}"));
        }
        Stop::All(self.poison.check().err().unwrap_or_else(|| WriteError::of(error)))
    }

    /// What a store without durability would do; only a test asks for it.
    fn write_late(&self, batch: &mut Vec<Box<dyn Job>>) {
        let Ok(tx) = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate) else { return };
        let _ = self.run_all(&tx, batch);
        answer_all(batch, &Ok(()));
        std::thread::sleep(Duration::from_millis(20));
        let _ = tx.commit();
    }

    /// Runs the jobs; stops at the first that fails.
    fn run_all(&self, tx: &Transaction<'_>, batch: &mut [Box<dyn Job>]) -> Result<(), Stop> {
        batch.iter_mut().try_for_each(|job| self.run_one(tx, job.as_mut()).map_err(|_| Stop::Job))
    }

    /// Runs each job in a savepoint of its own, so that those that fail leave nothing.
    fn run_each(&self, tx: &Transaction<'_>, batch: &mut [Box<dyn Job>], outcomes: &mut Vec<Result<(), WriteError>>) -> Result<(), Stop> {
        let all = |error: &rusqlite::Error| Stop::All(WriteError::of(error));
        for job in batch {
            tx.execute_batch("SAVEPOINT job").map_err(|e| all(&e))?;
            let outcome = self.run_one(tx, job.as_mut());
            if let (Err(error), true) = (&outcome, tx.is_autocommit()) {
                // A full disk makes SQLite roll back everything by itself.
                return Err(Stop::All(error.clone()));
            }
            tx.execute_batch(if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" }).map_err(|e| all(&e))?;
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// A job that panics fails; the thread goes on, or nobody would ever be answered again.
    fn run_one(&self, tx: &Transaction<'_>, job: &mut dyn Job) -> Result<(), WriteError> {
        if self.faults.is_disk_full() {
            return Err(WriteError::Full);
        }
        match catch_unwind(AssertUnwindSafe(|| job.run(tx))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                self.poison.judge("write", &error);
                if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
                    self.poison.set(&format!("write: {error}"));
                }
                Err(WriteError::of(&error))
            }
            Err(_) => Err(WriteError::Failed(SqliteFailure { code: -1, message: "the job panicked".into() })),
        }
    }
}

/// Why a transaction did not come to its end.
enum Stop {
    /// One job failed; the others may go again.
    Job,
    /// Nobody's can be written.
    All(WriteError),
}

fn answer(job: Box<dyn Job>, outcome: Result<(), WriteError>) {
    if catch_unwind(AssertUnwindSafe(|| job.finish(outcome))).is_err() {
        tracing::error!("what waited for a write panicked");
    }
}

fn answer_all(batch: &mut Vec<Box<dyn Job>>, outcome: &Result<(), WriteError>) {
    batch.drain(..).for_each(|job| answer(job, outcome.clone()));
}

/// A batch waits for others no longer than the last commit took, and no longer than this.
const GATHER_AT_MOST: Duration = Duration::from_millis(2);

thread_local! {
    /// Frames in the log after the last commit; the hook takes no closure, and each writer has its thread.
    static FRAMES: Cell<u32> = const { Cell::new(0) };
}
