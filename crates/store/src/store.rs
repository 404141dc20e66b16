//! One open database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::checkpoint::Checkpoints;
use crate::commits::CommitCounts;
use crate::faults::Faults;
use crate::files::Files;
use crate::health::Poison;
use crate::inbox::{INBOX_JOBS, Inbox, Job};
use crate::lock::Lock;
use crate::open::{Opening, open_writer, own};
use crate::read::{Readers, open_reader};
use crate::salvage::marker_path;
use crate::writer::Writer;
use crate::{Commits, Health, Migrations, OpenError, ReadError, Recovery, Salvage, Settings, SqliteFailure, WriteError};

/// One open database: the only one that writes it.
///
/// Dropping it writes what waits, then lets go of the lock; [`Store::close`] does so without blocking the caller's thread.
pub struct Store {
    path: PathBuf,
    inbox: Arc<Inbox>,
    readers: Readers,
    room: Arc<Semaphore>,
    poison: Arc<Poison>,
    commits: Arc<CommitCounts>,
    #[cfg(feature = "faults")]
    faults: Arc<Faults>,
    open: Mutex<Option<Threads>>,
}

/// What must end before the lock goes.
struct Threads {
    writer: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Store {
    /// Opens the database at `path`, makes it and its directory if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process owns it; [`OpenError::Newer`] or [`OpenError::Foreign`] if a later
    /// version or another program wrote it; [`OpenError::Io`] or [`OpenError::Sqlite`] if the system or SQLite refuses.
    pub fn open(path: &Path, migrations: &Migrations, settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with(path, migrations, settings, |_| Ok(())).map(|(store, ())| store)
    }

    /// Like [`Store::open`], and runs `prepare` in a transaction of its own before anybody else reads or writes.
    ///
    /// # Errors
    /// Those of [`Store::open`]; [`OpenError::Sqlite`] also for what `prepare` returns.
    pub fn open_with<T>(
        path: &Path,
        migrations: &Migrations,
        settings: &Settings,
        prepare: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Self, T), OpenError> {
        let (directory, lock) = own(path)?;
        let mut opening = Opening { path, directory, migrations, settings, is_checked: false, has_rest: false, prepare };
        let opened = opening.open(None)?;
        Self::start(opened, path, settings, lock, Poison::new(None))
    }

    /// Like [`Store::open_with`], for a database that is worth it: if it turns out damaged, then or while it was last open, its rows
    /// go through `salvage` into a fresh one, and it is kept aside. So is a log that is broken in its middle, and rows behind the
    /// broken place go through `salvage` too.
    ///
    /// # Errors
    /// Those of [`Store::open_with`]; what is wrong with a database in which no row can be found.
    pub fn open_salvaging<T>(
        path: &Path,
        migrations: &Migrations,
        settings: &Settings,
        salvage: &mut dyn Salvage,
        prepare: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Self, T, Recovery), OpenError> {
        let (directory, lock) = own(path)?;
        let mut opening = Opening { path, directory, migrations, settings, is_checked: true, has_rest: false, prepare };
        let (opened, recovery) = opening.open_or_salvage(salvage)?;
        let (store, prepared) = Self::start(opened, path, settings, lock, Poison::new(Some(marker_path(path))))?;
        Ok((store, prepared, recovery))
    }

    /// Like [`Store::open_salvaging`], for what must be written on, whatever became of the past: a file in which no row can be found is
    /// kept aside too, as is one of another kind or of a later version, and a new one is begun.
    ///
    /// # Errors
    /// Those of [`Store::open_with`] that are not about what stands in the file.
    pub fn open_or_begin_anew<T>(
        path: &Path,
        migrations: &Migrations,
        settings: &Settings,
        salvage: &mut dyn Salvage,
        prepare: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Self, T, Recovery), OpenError> {
        let (directory, lock) = own(path)?;
        let mut opening = Opening { path, directory, migrations, settings, is_checked: true, has_rest: false, prepare };
        let (opened, recovery) = opening.open_or_begin_anew(salvage)?;
        let (store, prepared) = Self::start(opened, path, settings, lock, Poison::new(Some(marker_path(path))))?;
        Ok((store, prepared, recovery))
    }

    /// Whether it takes nothing more because the database turned out damaged: opened again, it is salvaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.poison.is_damage()
    }

    fn start<T>(
        (db, prepared): (Connection, T),
        path: &Path,
        settings: &Settings,
        lock: Lock,
        poison: Poison,
    ) -> Result<(Self, T), OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::of(error) };
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let path = path.to_owned();
        let readers =
            (0..settings.readers.max(1)).map(|_| open_reader(&path, settings)).collect::<Result<_, _>>().map_err(|e| failed(&e))?;
        let copier = open_writer(&path, settings).map_err(|e| failed(&e))?;
        let (inbox, faults, commits) = <(Arc<Inbox>, Arc<Faults>, Arc<CommitCounts>)>::default();
        let poison = Arc::new(poison);
        let threshold = u32::try_from(settings.checkpoint.0 / settings.page.0.max(512)).unwrap_or(u32::MAX);
        let (checkpoints, checkpointer) = Checkpoints::start(copier, threshold.max(1), poison.clone()).map_err(io)?;
        let (readers, mut others) = Readers::start(readers, poison.clone()).map_err(io)?;
        others.push(checkpointer);
        let files = Files::of(&path).map_err(io)?;
        let writer = Writer {
            db,
            inbox: inbox.clone(),
            poison: poison.clone(),
            faults: faults.clone(),
            checkpoints,
            files,
            commits: commits.clone(),
            _lock: lock,
        };
        let writer = std::thread::Builder::new().name("store-write".into()).spawn(move || writer.run()).map_err(io)?;
        let open = Mutex::new(Some(Threads { writer, others }));
        let room = Arc::new(Semaphore::new(INBOX_JOBS));
        #[cfg(feature = "faults")]
        return Ok((Self { path, inbox, readers, room, poison, commits, faults, open }, prepared));
        #[cfg(not(feature = "faults"))]
        Ok((Self { path, inbox, readers, room, poison, commits, open }, prepared))
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `job` in the next transaction; what it returned, once that is durable.
    ///
    /// `octets` is about how much it writes. The job may run more than once, each time on a state without its own earlier
    /// runs; it must not commit, and what it does besides writing must bear being repeated. If the future is dropped the
    /// job may still be written.
    ///
    /// # Errors
    /// Nothing of the job is written then: [`WriteError::Failed`] if it returned an error or panicked;
    /// [`WriteError::Full`], [`WriteError::Busy`], [`WriteError::Poisoned`], [`WriteError::Closed`] for all that wait.
    pub async fn write<T, F>(&self, octets: usize, job: F) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.write_then(octets, job, move |outcome| drop(answer.send(outcome))).await;
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Like [`Store::write`], and `then` gets the outcome on the writer's thread, before any later job runs and even if
    /// nobody waits any more. The future ends when the job is handed over; before that, dropping it drops the job.
    pub async fn write_then<T, F, D>(&self, octets: usize, job: F, then: D)
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, WriteError>) + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await.ok();
        self.push(octets, job, then, room, true);
    }

    /// Hands over `job` to ride along with the next transaction, at the latest after
    /// [`RIDE_ALONG`](crate::RIDE_ALONG); never waits for room. `then` as in [`Store::write_then`].
    pub fn write_soon<T, F, D>(&self, octets: usize, job: F, then: D)
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, WriteError>) + Send + 'static,
    {
        self.push(octets, job, then, None, false);
    }

    /// Hands over `job` for the next transaction without waiting for others to ride along; never waits for room. `then` as in
    /// [`Store::write_then`].
    pub fn write_now<T, F, D>(&self, octets: usize, job: F, then: D)
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, WriteError>) + Send + 'static,
    {
        self.push(octets, job, then, None, true);
    }

    /// Runs `job` on a thread of its own kind, all of it on one state of the database: the last one committed.
    ///
    /// # Errors
    /// [`ReadError::Failed`] with what SQLite said, [`ReadError::Closed`] after [`Store::close`].
    pub async fn read<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers.read(job).await
    }

    /// Says that something failed after which nobody knows what the disk holds, for whoever keeps files beside the database: nothing
    /// is written any more.
    pub fn poison(&self, reason: &str) {
        self.poison.set(reason);
    }

    /// Says that the database is damaged, for whoever found that out by what stands in it: nothing is written any more, and the next
    /// [`Store::open_salvaging`] salvages it.
    pub fn report_damage(&self, reason: &str) {
        self.poison.set_damaged(reason);
    }

    /// Whether it still takes anything.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.poison.check() {
            Err(WriteError::Poisoned { reason }) => Health::Poisoned { reason },
            _ if self.inbox.is_closed() => Health::Closed,
            _ => Health::Good,
        }
    }

    /// How long its commits took, and how much each wrote.
    #[must_use]
    pub fn commits(&self) -> Commits {
        self.commits.snapshot()
    }

    /// What a test may make it do.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Writes what waits, copies the log into the database, and lets go of the lock. Later calls find it closed.
    ///
    /// # Errors
    /// [`WriteError::Poisoned`] if a write had failed; it is closed all the same.
    pub async fn close(&self) -> Result<(), WriteError> {
        if let Some(threads) = self.shut() {
            let (ended, end) = oneshot::channel();
            let joiner = move || {
                threads.join();
                let _ = ended.send(());
            };
            match std::thread::Builder::new().name("store-close".into()).spawn(joiner) {
                Ok(_) => drop(end.await),
                Err(error) => tracing::error!(%error, "cannot wait for the store's threads to end"),
            }
        }
        self.poison.check()
    }

    fn push<T, F, D>(&self, octets: usize, job: F, then: D, room: Option<OwnedSemaphorePermit>, urgent: bool)
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, WriteError>) + Send + 'static,
    {
        let refused = match self.poison.check() {
            Err(poisoned) => return then(Err(poisoned)),
            Ok(()) => self.inbox.push(Box::new(Task { job, then, room, value: None }), octets, urgent),
        };
        if let Err(job) = refused {
            job.finish(Err(WriteError::Closed));
        }
    }

    fn shut(&self) -> Option<Threads> {
        let threads = self.open.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.inbox.close();
        self.readers.close();
        Some(threads)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The last owner may live in a job or its answer: a thread cannot wait for itself. The writer holds the lock until
        // it has written what waits.
        if let Some(threads) = self.shut().filter(|threads| !threads.is_one()) {
            threads.join();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Threads {
    /// Whether the caller runs on one of them.
    fn is_one(&self) -> bool {
        let current = std::thread::current().id();
        self.others.iter().chain([&self.writer]).any(|thread| thread.thread().id() == current)
    }

    fn join(self) {
        for thread in self.others.into_iter().chain([self.writer]) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

/// A job with what it returned and who wants it.
struct Task<T, F, D> {
    job: F,
    then: D,
    room: Option<OwnedSemaphorePermit>,
    value: Option<T>,
}

impl<T, F, D> Job for Task<T, F, D>
where
    T: Send,
    F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send,
    D: FnOnce(Result<T, WriteError>) + Send,
{
    fn run(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.job)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), WriteError>) {
        let Self { job, then, room, value } = *self;
        drop((job, room));
        then(outcome.and_then(|()| value.ok_or(WriteError::Closed)));
    }
}
