//! The history: every event, in a database for each day.
//!
//! ```text
//! record() ─ throttle of refusals ─ waiting (bounded) ─┬─ pump thread ─┬─ one transaction a batch ─ 2026-11-26.db
//! record_durably() ─ at once ──────────────────────────┘               └─ stream: JSON lines, a thread of its own
//!                                         query(), another process's HistoryReader ─ the files, the newest first
//! ```

mod books;
mod check;
mod day;
mod pump;
mod query;
mod retain;
mod salvage;
mod schema;
mod select;
mod shelf;
mod single;
mod stream;
mod throttle;
mod write;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_store::Lock;
use sealpost_types::Octets;

use self::books::Books;
use self::day::Day;
pub use self::pump::{BATCH_EVENTS, BATCH_WAIT, WAITING_EVENTS};
use self::pump::{Desk, Pump};
pub use self::query::{Answer, Filter, Row};
use self::retain::Bounds;
use self::shelf::Shelf;
use self::stream::Stream;
pub use self::stream::StreamTarget;
use crate::{Event, HistoryError};

/// The history as the process that writes it has it.
///
/// One process owns the directory; others look with [`HistoryReader`]. Dropping it writes what waits.
#[derive(Debug)]
pub struct History {
    // The pump goes first: it writes what waits.
    pump: Pump,
    shelf: Arc<Mutex<Shelf>>,
    _lock: Lock,
}

/// A history opened only to look: beside the process that writes it, or without one.
#[derive(Debug)]
pub struct HistoryReader {
    shelf: Shelf,
}

/// What of a history is kept, and where else it goes. The default keeps everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistorySettings {
    /// A day's entries are removed when all of them are older than this.
    pub keep: Duration,
    /// When the files take more than this, the oldest go. Today's is thinned out from its beginning.
    pub max_size: Octets,
    /// Where entries go beside the files.
    pub stream: Option<StreamTarget>,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { keep: Duration::MAX, max_size: Octets(u64::MAX), stream: None }
    }
}

impl History {
    /// Opens the history in this directory, makes both if there is none, and keeps everything.
    ///
    /// # Errors
    /// As for [`open_with`](Self::open_with).
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        Self::open_with(directory, HistorySettings::default())
    }

    /// Opens the history in this directory, and makes both if there is none: for their owner alone, because they say who wrote to whom.
    ///
    /// # Errors
    /// [`HistoryError::Open`] if the directory cannot be used, is another process's, or was written by a later version;
    /// [`HistoryError::Stream`] if the file of the stream cannot be opened.
    pub fn open_with(directory: &Path, settings: HistorySettings) -> Result<Self, HistoryError> {
        let HistorySettings { keep, max_size, stream } = settings;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| sealpost_store::OpenError::Io { path: directory.to_owned(), source })?;
        let lock = Lock::take(&directory.join(LOCK))?;
        let books = Books::open(directory, Day::of(pump::now()))?;
        let stream = match stream {
            None => None,
            Some(target) => {
                let path = if let StreamTarget::File(path) = &target { path.clone() } else { PathBuf::from("standard output") };
                Some(Stream::start(target).map_err(|source| HistoryError::Stream { path, source: Arc::new(source) })?)
            }
        };
        let desk =
            Desk { directory: directory.to_owned(), books, bounds: Bounds { keep, max_size }, stream, is_over: false, salvage: None };
        let pump = Pump::start(desk).map_err(|error| HistoryError::Thread { kind: error.kind() })?;
        Ok(Self { pump, shelf: Arc::new(Mutex::new(Shelf::new(directory))), _lock: lock })
    }

    /// Takes an event to be written soon. Returns at once, and never waits for a disk or for anybody.
    ///
    /// # Limits
    /// [`WAITING_EVENTS`] wait at most; one more is dropped, counted in [`dropped`](Self::dropped) and said in the log.
    /// A crash loses what was recorded in the last [`BATCH_WAIT`]: what must not be lost goes through the queue's
    /// outbox and [`record_durably`](Self::record_durably). Of many refusals from one network, or of very many in all, the
    /// first are written and then one a minute that says how many it stands for ([`Event::more`]).
    pub fn record(&self, event: Event) {
        self.pump.push(event);
    }

    /// Writes events and returns when they are durable. An event about a message that is there already, in every
    /// respect that tells events apart, is not written twice: what may have been written before a crash may be given again.
    ///
    /// # Errors
    /// [`HistoryError::Write`]; then those of one day at least are not written.
    pub async fn record_durably(&self, events: Vec<Event>) -> Result<(), HistoryError> {
        self.pump.write_new(events).await
    }

    /// Waits until everything recorded before is durable, or is known to be lost.
    ///
    /// # Errors
    /// [`HistoryError::Write`] if it could not be written.
    pub async fn flush(&self) -> Result<(), HistoryError> {
        self.pump.flush().await
    }

    /// How many events were dropped: because too many waited, or because they could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.pump.dropped()
    }

    /// How many events wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pump.waiting()
    }

    /// The entries that a filter lets through. A file that cannot be read hides none of the others; the log says so.
    ///
    /// # Errors
    /// [`HistoryError::Stopping`] when the runtime ends.
    pub async fn query(&self, filter: &Filter) -> Result<Vec<Row>, HistoryError> {
        Ok(self.answer(filter).await?.rows)
    }

    /// The same, with the files that could not be read.
    ///
    /// # Errors
    /// As for [`query`](Self::query).
    pub async fn answer(&self, filter: &Filter) -> Result<Answer, HistoryError> {
        let (shelf, filter) = (Arc::clone(&self.shelf), filter.clone());
        let query = move || {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            Answer { rows: shelf.query(&filter), unreadable: shelf.damaged().to_vec() }
        };
        tokio::task::spawn_blocking(query).await.map_err(|_| HistoryError::Stopping)
    }

    /// Writes what waits and lets go of the directory.
    ///
    /// # Errors
    /// [`HistoryError::Write`] if something could not be written; it is closed all the same.
    pub async fn close(self) -> Result<(), HistoryError> {
        let flushed = self.flush().await;
        tokio::task::spawn_blocking(move || drop(self)).await.map_err(|_| HistoryError::Stopping)?;
        flushed
    }
}

impl HistoryReader {
    /// Opens the history in this directory.
    ///
    /// # Errors
    /// [`HistoryError::Missing`] if there is none, [`HistoryError::Open`] if it cannot be read or is of another version.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let mut shelf = Shelf::new(directory);
        if shelf.look()? { Ok(Self { shelf }) } else { Err(HistoryError::Missing { directory: directory.to_owned() }) }
    }

    /// The entries that a filter lets through, as of now.
    ///
    /// # Errors
    /// None at present: what cannot be read is [`unreadable`](Self::unreadable).
    pub fn query(&mut self, filter: &Filter) -> Result<Vec<Row>, HistoryError> {
        Ok(self.shelf.query(filter))
    }

    /// The files that the last query could not read, and why. They hide none of the others.
    #[must_use]
    pub fn unreadable(&self) -> &[(PathBuf, String)] {
        self.shelf.damaged()
    }
}

/// What one process holds for all files.
const LOCK: &str = "history";
