//! The files of a history, opened to be written.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_store::rusqlite::{self, Transaction};
use sealpost_store::{OpenError, Settings, Store, WriteError};
use sealpost_types::{Octets, WithCauses};

use super::day::Day;
use super::write::{self, Known};
use super::{retain, schema, single};
use crate::Event;

/// The files of a history, opened to be written: today's, and for a while another day's.
#[derive(Debug)]
pub(super) struct Books {
    directory: PathBuf,
    /// The one used last stands last.
    open: Vec<(Day, Book)>,
}

/// The file of a day.
#[derive(Debug)]
struct Book {
    store: Store,
    known: Arc<Mutex<Known>>,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// All of them.
    All,
    /// Those that are not there yet.
    New,
}

impl Books {
    /// Opens the file of `day`, and brings the file of earlier versions up to date, if there is one.
    pub(super) fn open(directory: &Path, day: Day) -> Result<Self, OpenError> {
        let single = directory.join(single::NAME);
        if single.exists() {
            drop(Store::open(&single, &schema::SINGLE, &settings())?);
        }
        let mut books = Self { directory: directory.to_owned(), open: Vec::new() };
        books.book(day)?;
        Ok(books)
    }

    /// The days whose files are open.
    pub(super) fn days(&self) -> Vec<Day> {
        self.open.iter().map(|(day, _)| *day).collect()
    }

    /// Writes events of one day, ordered by time, and returns when they are durable.
    pub(super) fn write(&mut self, day: Day, events: &Arc<Vec<Event>>, manner: Manner) -> Result<(), WriteError> {
        let octets = events.iter().map(write::octets).sum();
        let known = Arc::clone(&self.book_to_write(day)?.known);
        let events = Arc::clone(events);
        let job = move |tx: &Transaction<'_>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            match manner {
                Manner::All => write::insert(tx, day, &events, &known),
                Manner::New => write::insert_new(tx, day, &events, &known),
            }
        };
        let book = self.book_to_write(day)?;
        let learnt = book.run(octets, job)?;
        book.known.lock().unwrap_or_else(PoisonError::into_inner).learn(learnt);
        Ok(())
    }

    /// Takes the oldest entries out of the newest day that is open, if it takes more than `max_size`.
    pub(super) fn thin_out(&mut self, max_size: Octets) -> Result<(), WriteError> {
        let Some((_, book)) = self.open.iter().max_by_key(|(day, _)| *day) else { return Ok(()) };
        book.run(0, move |tx| retain::thin_out(tx, max_size))
    }

    fn book_to_write(&mut self, day: Day) -> Result<&Book, WriteError> {
        self.book(day).map_err(|error| cannot_be_written(&error))
    }

    fn book(&mut self, day: Day) -> Result<&Book, OpenError> {
        let book = match self.open.iter().position(|(open, _)| *open == day) {
            Some(place) => self.open.remove(place).1,
            None => {
                if self.open.len() >= OPEN_FILES {
                    self.open.remove(0);
                }
                Book::open(&self.directory.join(day.to_string()))?
            }
        };
        self.open.push((day, book));
        let place = self.open.len() - 1;
        self.open
            .get(place)
            .map(|(_, book)| book)
            .ok_or_else(|| OpenError::Io { path: self.directory.clone(), source: std::io::ErrorKind::NotFound.into() })
    }
}

impl Book {
    /// Opens the file. One that is no database any more is set aside, and a new one is begun: what happens now must be recorded.
    fn open(path: &Path) -> Result<Self, OpenError> {
        let store = match Store::open(path, &schema::DAY, &settings()) {
            Err(error @ OpenError::Sqlite { .. }) if is_damaged(&error) => {
                let mut aside = path.as_os_str().to_owned();
                aside.push(".damaged");
                tracing::error!(error = %WithCauses(&error), aside = %Path::new(&aside).display(), "a file of the history is damaged and set aside");
                std::fs::rename(path, &aside).map_err(|source| OpenError::Io { path: aside.into(), source })?;
                Store::open(path, &schema::DAY, &settings())?
            }
            opened => opened?,
        };
        Ok(Self { store, known: Arc::default() })
    }

    fn run<T: Send + 'static>(
        &self,
        octets: usize,
        job: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (answer, answered) = sync_channel(1);
        self.store.write_now(octets, job, move |outcome| drop(answer.send(outcome)));
        answered.recv().unwrap_or(Err(WriteError::Closed))
    }
}

/// A file that cannot be opened fails like one that cannot be written.
fn cannot_be_written(error: &OpenError) -> WriteError {
    match error {
        OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => WriteError::Full,
        OpenError::Sqlite { source, .. } => match source.code & 0xff {
            FULL => WriteError::Full,
            BUSY => WriteError::Busy,
            _ => WriteError::Failed(source.clone()),
        },
        error => WriteError::Poisoned { reason: WithCauses(error).to_string().into() },
    }
}

fn is_damaged(error: &OpenError) -> bool {
    matches!(error, OpenError::Sqlite { source, .. } if matches!(source.code & 0xff, CORRUPT | NOT_A_DATABASE))
}

/// Small pages: entries of many domains touch many of them.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.page = Octets(4 << 10);
    settings.cache = Octets(16 << 20);
    settings.readers = 1;
    settings
}

/// Files that are kept open: today's, and that of the day before around midnight.
const OPEN_FILES: usize = 2;

/// SQLite's primary result codes.
const BUSY: i32 = 5;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;
