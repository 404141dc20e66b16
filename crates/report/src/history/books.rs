//! The files of a history, opened to be written.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_store::rusqlite::config::DbConfig;
use sealpost_store::rusqlite::{self, Transaction};
use sealpost_store::{Migrations, OpenError, Reader, Recovery, Settings, Store, WriteError};
use sealpost_types::{Octets, WithCauses};

use super::day::Day;
use super::salvage::HistorySalvage;
use super::write::{self, Known};
use super::{retain, schema, single};
use crate::Event;

/// The files of a history, opened to be written: today's, and for a while another day's.
#[derive(Debug)]
pub(super) struct Books {
    directory: PathBuf,
    /// The one used last stands last.
    open: Vec<(Day, Book)>,
    opening: Opening,
}

/// Held while a file is opened: that of a day may be salvaged on another thread just then. True once no more are to be.
pub(super) type Opening = Arc<Mutex<bool>>;

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
        // Nothing is written to it: if it cannot be opened, the rest of the history can.
        if single.exists()
            && let Err(error) = open_single(&single)
        {
            tracing::error!(error = %WithCauses(&error), "the history of before cannot be opened");
        }
        let mut books = Self { directory: directory.to_owned(), open: Vec::new(), opening: Opening::default() };
        books.book(day)?;
        Ok(books)
    }

    /// The days whose files are open.
    pub(super) fn days(&self) -> Vec<Day> {
        self.open.iter().map(|(day, _)| *day).collect()
    }

    /// Writes events of one day, ordered by time, and returns when they are durable.
    pub(super) fn write(&mut self, day: Day, events: &Arc<Vec<Event>>, manner: Manner) -> Result<(), WriteError> {
        let written = self.try_write(day, events, manner);
        // Damaged under our hands: opened again it is salvaged, and what happens now must be recorded.
        if self.open.last().is_some_and(|(open, book)| *open == day && book.store.is_damaged()) {
            self.open.pop();
            return if written.is_err() { self.try_write(day, events, manner) } else { written };
        }
        written
    }

    fn try_write(&mut self, day: Day, events: &Arc<Vec<Event>>, manner: Manner) -> Result<(), WriteError> {
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

    /// What is held to open a file.
    pub(super) fn opening(&self) -> Opening {
        Arc::clone(&self.opening)
    }

    /// Opens those files anew of which somebody left word that they are damaged, and so salvages them.
    pub(super) fn salvage_open(&mut self) {
        for day in self.days() {
            if sealpost_store::is_reported_damaged(&self.directory.join(day.to_string())) {
                self.open.retain(|(open, _)| *open != day);
                if let Err(error) = self.book(day) {
                    tracing::error!(error = %WithCauses(&error), "a damaged file of the history cannot be salvaged");
                }
            }
        }
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
                let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
                let book = Book::open(&self.directory.join(day.to_string()))?;
                drop(opening);
                book
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
    fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { store: open_day(path)?, known: Arc::default() })
    }

    fn run<T: Send + 'static>(
        &self,
        octets: usize,
        mut job: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (answer, answered) = sync_channel(1);
        let job = move |tx: &Transaction<'_>| {
            // What an entry refers to is looked up by whoever writes it, in the same transaction: eleven more searches for each entry would cost
            // as much as writing it.
            tx.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
            job(tx)
        };
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

/// Opens the file of a day. A damaged one is salvaged and kept aside, and a new one is begun if nothing can be read of it.
fn open_day(path: &Path) -> Result<Store, OpenError> {
    open(path, &schema::DAY, HistorySalvage::of_day())
}

fn open_single(path: &Path) -> Result<Store, OpenError> {
    open(path, &schema::SINGLE, HistorySalvage::of_single())
}

fn open(path: &Path, migrations: &Migrations, mut salvage: HistorySalvage) -> Result<Store, OpenError> {
    let (store, (), recovery) = Store::open_or_begin_anew(path, migrations, &settings(), &mut salvage, |_| Ok(()))?;
    let Recovery { damage, rows, .. } = recovery;
    if !damage.is_empty() {
        tracing::error!(file = %path.display(), damage = damage.join("; "), rows, "a file of the history was damaged");
    }
    Ok(store)
}

/// Salvages the files of which somebody left word that they are damaged, except those of `open` days. Blocks.
pub(super) fn salvage_reported(directory: &Path, open: &[Day], opening: &Opening) {
    open_each(directory, open, opening, sealpost_store::is_reported_damaged);
}

/// Brings the files that an earlier version wrote up to date, except those of `open` days. Blocks.
pub(super) fn bring_up_to_date(directory: &Path, open: &[Day], opening: &Opening) {
    open_each(directory, open, opening, |path| matches!(Reader::open(path, &schema::DAY), Err(OpenError::Older { found: 1.., .. })));
}

/// Opens those that need it, which is all that they need.
fn open_each(directory: &Path, open: &[Day], opening: &Opening, needs_it: impl Fn(&Path) -> bool) {
    let days = super::shelf::days(directory).into_iter().filter(|day| !open.contains(day));
    for path in days.map(|day| directory.join(day.to_string())).filter(|path| needs_it(path)) {
        let closed = opening.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return;
        }
        match open_day(&path) {
            // It was opened to be written meanwhile.
            Ok(_) | Err(OpenError::InUse { .. }) => {}
            Err(error) => tracing::error!(error = %WithCauses(&error), "a damaged file of the history cannot be salvaged"),
        }
        drop(closed);
    }
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    // Nearly all that is written stands behind all that is there: a page is written less often the more it holds.
    settings.page = Octets(8 << 10);
    settings.cache = Octets(4 << 20);
    settings.readers = 1;
    settings
}

/// Files that are kept open: today's, and that of the day before around midnight.
const OPEN_FILES: usize = 2;

/// SQLite's primary result codes.
const BUSY: i32 = 5;
const FULL: i32 = 13;
