//! The history: every event in a database of its own.
//!
//! ```text
//! record() ─ waiting (bounded) ─ pump thread ─ one transaction per batch ─┐
//! record_durably() ─ at once ─────────────────────────────────────────────┴─ history.db ─ query()
//!                                                        another process: HistoryReader ─┘
//! ```

mod pump;
mod query;
mod schema;
mod write;

use std::path::Path;
use std::sync::Arc;

use sealpost_store::{Reader, Settings, Store};

use self::pump::Pump;
pub use self::pump::{BATCH_EVENTS, BATCH_WAIT, WAITING_EVENTS};
pub use self::query::{Filter, Row};
use crate::{Event, HistoryError};

/// The history as the process that writes it has it.
///
/// One process owns the directory; others look with [`HistoryReader`]. Dropping it writes what waits.
#[derive(Debug)]
pub struct History {
    // The pump goes first: it writes what waits into the store.
    pump: Pump,
    store: Arc<Store>,
}

/// A history opened only to look: beside the process that writes it, or without one.
#[derive(Debug)]
pub struct HistoryReader {
    reader: Reader,
}

impl History {
    /// Opens the history in this directory, and makes both if there is none.
    ///
    /// # Errors
    /// [`HistoryError::Open`] if the directory cannot be used, is another process's, or was written by a later version.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let store = Arc::new(Store::open(&directory.join(FILE), &schema::MIGRATIONS, &settings())?);
        let pump = Pump::start(store.clone()).map_err(|error| HistoryError::Thread { kind: error.kind() })?;
        Ok(Self { pump, store })
    }

    /// Takes an event to be written soon. Returns at once, and never waits for a disk or for anybody.
    ///
    /// # Limits
    /// [`WAITING_EVENTS`] wait at most; one more is dropped, counted in [`dropped`](Self::dropped) and said in the log.
    /// A crash loses what was recorded in the last [`BATCH_WAIT`]: what must not be lost goes through the queue's
    /// outbox and [`record_durably`](Self::record_durably).
    pub fn record(&self, event: Event) {
        self.pump.push(event);
    }

    /// Writes events and returns when they are durable. An event about a message that is there already, in every
    /// respect that tells events apart, is not written twice: what may have been written before a crash may be given again.
    ///
    /// # Errors
    /// [`HistoryError::Write`]; then none of them is written.
    pub async fn record_durably(&self, events: Vec<Event>) -> Result<(), HistoryError> {
        let octets = events.iter().map(write::octets).sum();
        let job = move |tx: &sealpost_store::rusqlite::Transaction<'_>| write::insert_new(tx, &events);
        Ok(self.store.write(octets, job).await?)
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

    /// The entries that a filter lets through.
    ///
    /// # Errors
    /// [`HistoryError::Read`].
    pub async fn query(&self, filter: &Filter) -> Result<Vec<Row>, HistoryError> {
        let filter = filter.clone();
        Ok(self.store.read(move |db| query::select(db, &filter)).await?)
    }

    /// Writes what waits and lets go of the directory.
    ///
    /// # Errors
    /// [`HistoryError::Write`] if something could not be written; it is closed all the same.
    pub async fn close(self) -> Result<(), HistoryError> {
        let flushed = self.flush().await;
        self.store.close().await?;
        flushed
    }
}

impl HistoryReader {
    /// Opens the history in this directory.
    ///
    /// # Errors
    /// [`HistoryError::Missing`] if there is none, [`HistoryError::Open`] if it cannot be read or is of another version.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        if let Ok(false) = directory.join(FILE).try_exists() {
            return Err(HistoryError::Missing { directory: directory.to_owned() });
        }
        Ok(Self { reader: Reader::open(&directory.join(FILE), &schema::MIGRATIONS)? })
    }

    /// The entries that a filter lets through, as of now.
    ///
    /// # Errors
    /// [`HistoryError::Read`].
    pub fn query(&mut self, filter: &Filter) -> Result<Vec<Row>, HistoryError> {
        Ok(self.reader.read(|db| query::select(db, filter))?)
    }
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.readers = 1;
    settings
}

/// The one file of today. The directory is there so that there may be one a day.
const FILE: &str = "history.db";
