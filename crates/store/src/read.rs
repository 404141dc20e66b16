//! Readers: threads with a connection each, and databases opened only to look.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::error::SqliteFailure;
use crate::health::Poison;
use crate::{Migrations, OpenError, ReadError, Settings};

type Read = Box<dyn FnOnce(&mut Connection) + Send>;

/// Hands reads to the threads that do them.
pub(crate) struct Readers {
    ask: Mutex<Option<Sender<Read>>>,
    poison: Arc<Poison>,
}

impl Readers {
    /// Starts a thread for each connection; they end after [`Readers::close`].
    pub(crate) fn start(connections: Vec<Connection>, poison: Arc<Poison>) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (ask, asked) = channel::<Read>();
        let asked = Arc::new(Mutex::new(asked));
        let start = |db| {
            let asked = asked.clone();
            std::thread::Builder::new().name("store-read".into()).spawn(move || serve(db, &asked))
        };
        let threads = connections.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok((Self { ask: Mutex::new(Some(ask)), poison }, threads))
    }

    /// Runs `job` on one of the threads, all of it on one state of the database.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let poison = self.poison.clone();
        let read: Read = Box::new(move |db| {
            // The read transaction ends with the drop; there is nothing to commit.
            let outcome = db.transaction().and_then(|tx| job(&tx));
            outcome.as_ref().err().into_iter().for_each(|error| poison.judge("read", error));
            let _ = answer.send(outcome.map_err(|e| ReadError::Failed(SqliteFailure::of(&e))));
        });
        let sent = match self.ask.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(ask) => ask.send(read).is_ok(),
            None => false,
        };
        if !sent {
            return Err(ReadError::Closed);
        }
        answered.await.unwrap_or(Err(ReadError::Closed))
    }

    pub(crate) fn close(&self) {
        self.ask.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn serve(mut db: Connection, asked: &Mutex<Receiver<Read>>) {
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&mut db))).is_err() {
            tracing::error!("a read panicked");
        }
    }
}

/// A database opened only to look: without the lock, beside the process that owns it or without one.
#[derive(Debug)]
pub struct Reader {
    db: Connection,
}

impl Reader {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`] if there is none; [`OpenError::Older`], [`OpenError::Newer`], [`OpenError::Foreign`] if
    /// its schema is not the one of `migrations`.
    pub fn open(path: &Path, migrations: &Migrations) -> Result<Self, OpenError> {
        let failed = |error: &rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: SqliteFailure::of(error) };
        // Not read-only: without an owner, the log must first be replayed.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|e| failed(&e))?;
        configure(&db, &Settings::default(), READER_SHARE).map_err(|e| failed(&e))?;
        migrations.require_current(path, &db)?;
        db.pragma_update(None, "query_only", true).map_err(|e| failed(&e))?;
        Ok(Self { db })
    }

    /// Runs `job` on the calling thread, all of it on one state of the database.
    ///
    /// # Errors
    /// [`ReadError::Failed`] with what SQLite said.
    pub fn read<T>(&mut self, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        self.db.transaction().and_then(|tx| job(&tx)).map_err(|e| ReadError::Failed(SqliteFailure::of(&e)))
    }
}

/// A connection to an existing database that cannot write.
pub(crate) fn open_reader(path: &PathBuf, settings: &Settings) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    configure(&db, settings, READER_SHARE)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// What every connection needs; `share` divides the memory for pages.
pub(crate) fn configure(db: &Connection, settings: &Settings, share: u64) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    let kibibytes = i64::try_from(settings.cache.0 / share / 1024).unwrap_or(i64::MAX);
    db.pragma_update(None, "cache_size", -kibibytes)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "trusted_schema", false)
}

/// Statements that a connection keeps compiled.
const STATEMENTS: usize = 64;

/// How long a connection waits for a lock that another one holds.
pub(crate) const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// A reader has this part of the writer's memory for pages.
const READER_SHARE: u64 = 4;
