//! What was counted and what is on its way, in a database of its own.

use std::path::Path;

use sealpost_store::rusqlite::{self, Connection, Row as Record, Transaction};
use sealpost_store::{Migrations, OpenError, ReadError, Reader, SalvagedTables, Settings, Store, WriteError};
use sealpost_types::{Domain, Octets, UnixMillis};

use super::record::ReportAddress;
use super::report::{PolicyReport, ReportedPolicy};
use super::tally::{Day, Failure, Tally};

/// The counters of each day and domain, and the reports on their way. One process owns it.
#[derive(Debug)]
pub struct Book {
    store: Store,
}

/// A book opened only to look: beside the process that owns it, or without one.
#[derive(Debug)]
pub struct BookReader {
    reader: Reader,
}

/// Why the book cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// It cannot be opened.
    #[error("the counters for TLS reports cannot be opened")]
    Open(#[from] std::sync::Arc<OpenError>),
    /// It cannot be read.
    #[error("the counters for TLS reports cannot be read")]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error("the counters for TLS reports cannot be written")]
    Write(#[from] WriteError),
}

/// What was counted of one domain on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// The day.
    pub day: Day,
    /// Whom it is for.
    pub domain: Domain,
    /// What was counted, by policy.
    pub policies: Vec<PolicyReport>,
}

/// One report on its way to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sending {
    /// The day that it is about.
    pub day: Day,
    /// Whom it is for.
    pub domain: Domain,
    /// What it is called.
    pub report_id: String,
    /// Where it goes.
    pub address: ReportAddress,
    /// When it is tried next.
    pub due: UnixMillis,
    /// When it is given up.
    pub until: UnixMillis,
    /// How often it was tried.
    pub attempts: u32,
    /// How it stands.
    pub state: SendingState,
    /// How many sessions it tells of; none of one that a version made which did not keep that.
    pub sessions: Option<Sessions>,
}

/// Sessions, by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sessions {
    /// With TLS as it is published.
    pub successful: u64,
    /// Without.
    pub failed: u64,
}

/// How a report on its way stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendingState {
    /// It waits for its time.
    Waiting,
    /// It was taken.
    Sent,
    /// It was given up.
    Dropped,
}

impl Book {
    /// Opens the book at `path`, and makes it if there is none. A damaged one is kept aside, and a new one begun: what it
    /// counted is lost, mail is not.
    ///
    /// # Errors
    /// [`BookError::Open`].
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let mut settings = Settings::default();
        settings.page = Octets(4 << 10);
        settings.cache = Octets(1 << 20);
        settings.checkpoint = Octets(1 << 20);
        settings.log_limit = Octets(4 << 20);
        settings.readers = 1;
        let opened = Store::open_or_begin_anew(path, &SCHEMA, &settings, &mut SalvagedTables::default(), |_| Ok(()));
        let (store, ..) = opened.map_err(std::sync::Arc::new)?;
        Ok(Self { store })
    }

    /// Adds what was counted; when this returns it is durable. What is for a day that was closed already is left out.
    ///
    /// # Limits
    /// [`POLICIES_COUNTED`] policies of a domain and day; [`FAILURES_COUNTED`] different failures under one, further ones by their
    /// kind alone.
    ///
    /// # Errors
    /// [`BookError::Write`]: nothing of it was added.
    pub async fn add(&self, tally: &Tally) -> Result<(), BookError> {
        let rows: Vec<_> = tally
            .rows()
            .map(|(row, count)| (row.day.number(), row.domain.to_string(), json(&row.policy), row.failure.clone(), count))
            .collect();
        let job = move |tx: &Transaction<'_>| {
            rows.iter().try_for_each(|(day, domain, policy, failure, count)| add(tx, (*day, domain, policy), failure.as_ref(), *count))
        };
        Ok(self.store.write(64 << 10, job).await?)
    }

    /// The domains of which something was counted before `today`, and whose day is not closed, oldest first; those behind one of them, or from
    /// the first on.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub async fn open_days(&self, today: Day, behind: Option<(Day, Domain)>, limit: usize) -> Result<Vec<(Day, Domain)>, BookError> {
        Ok(self.store.read(move |db| open_days(db, today, behind.as_ref(), limit)).await?)
    }

    /// What was counted of a domain on a day.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub async fn counted(&self, day: Day, domain: &Domain) -> Result<Vec<PolicyReport>, BookError> {
        let domain = domain.clone();
        Ok(self.store.read(move |db| counted(db, day, &domain)).await?)
    }

    /// Ends the counting of a domain's day. Its report, if there are places for it, is on its way from now on; without any, what was
    /// counted goes. When this returns it is durable.
    ///
    /// # Errors
    /// [`BookError::Write`].
    pub async fn close_day(
        &self,
        (day, domain): (Day, &Domain),
        report_id: &str,
        addresses: &[ReportAddress],
        (due, until): (UnixMillis, UnixMillis),
    ) -> Result<(), BookError> {
        let (domain, report_id) = (domain.to_string(), report_id.to_owned());
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let job = move |tx: &Transaction<'_>| {
            let day = day.number();
            tx.prepare_cached(CLOSE)?.execute((day, &domain, &report_id))?;
            for address in &addresses {
                let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO sending VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)")?;
                insert.execute((day, &domain, address, due.0, until.0, SendingState::Waiting.as_str()))?;
            }
            if addresses.is_empty() {
                tx.prepare_cached("DELETE FROM counted WHERE day = ?1 AND domain = ?2")?.execute((day, &domain))?;
            }
            Ok(())
        };
        Ok(self.store.write(1 << 10, job).await?)
    }

    /// The reports whose time has come, those longest due first.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub async fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<Sending>, BookError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |db: &Connection| {
            let text = format!("{SENDINGS} WHERE state = 'waiting' AND due <= ?1 ORDER BY due LIMIT ?2");
            db.prepare_cached(&text)?.query_map((now.0, limit), sending)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(self.store.read(read).await?.into_iter().flatten().collect())
    }

    /// When the next report is due; nothing where none waits.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub async fn next_due(&self) -> Result<Option<UnixMillis>, BookError> {
        let next = |db: &Connection| {
            db.prepare_cached("SELECT min(due) FROM sending WHERE state = 'waiting'")?.query_row([], |row| row.get::<_, Option<i64>>(0))
        };
        Ok(self.store.read(next).await?.map(UnixMillis))
    }

    /// How many reports wait for their time.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub async fn waiting(&self) -> Result<u64, BookError> {
        let count = |db: &Connection| {
            db.prepare_cached("SELECT count(*) FROM sending WHERE state = 'waiting'")?.query_row([], |row| row.get::<_, i64>(0))
        };
        Ok(u64::try_from(self.store.read(count).await?).unwrap_or_default())
    }

    /// Records how a report stands; when this returns it is durable.
    ///
    /// # Errors
    /// [`BookError::Write`].
    pub async fn record(&self, sending: &Sending) -> Result<(), BookError> {
        let Sending { day, domain, address, due, attempts, state, .. } = sending.clone();
        let job = move |tx: &Transaction<'_>| {
            let text = "UPDATE sending SET due = ?4, attempts = ?5, state = ?6 WHERE day = ?1 AND domain = ?2 AND address = ?3";
            let key = (day.number(), domain.as_str(), address.to_string());
            tx.prepare_cached(text)?.execute((key.0, key.1, key.2, due.0, attempts, state.as_str()))?;
            Ok(())
        };
        Ok(self.store.write(1 << 10, job).await?)
    }

    /// Removes what was counted of a domain's day, if none of its reports waits any more.
    ///
    /// # Errors
    /// [`BookError::Write`].
    pub async fn tidy(&self, day: Day, domain: &Domain) -> Result<(), BookError> {
        let domain = domain.to_string();
        let text = "DELETE FROM counted WHERE day = ?1 AND domain = ?2 AND NOT EXISTS \
                    (SELECT 1 FROM sending WHERE day = ?1 AND domain = ?2 AND state = 'waiting')";
        let job = move |tx: &Transaction<'_>| tx.prepare_cached(text)?.execute((day.number(), &domain)).map(|_| ());
        Ok(self.store.write(1 << 10, job).await?)
    }

    /// Removes what is about days before `day`.
    ///
    /// # Errors
    /// [`BookError::Write`].
    pub async fn forget_before(&self, day: Day) -> Result<(), BookError> {
        let job = move |tx: &Transaction<'_>| {
            let delete = |table: &str| tx.execute(&format!("DELETE FROM {table} WHERE day < ?1"), [day.number()]).map(|_| ());
            ["counted", "closed", "sending"].into_iter().try_for_each(delete)
        };
        Ok(self.store.write(1 << 10, job).await?)
    }

    /// Writes what waits, and lets go of the file.
    ///
    /// # Errors
    /// [`BookError::Write`].
    pub async fn close(&self) -> Result<(), BookError> {
        Ok(self.store.close().await?)
    }
}

impl BookReader {
    /// Opens the book at `path`.
    ///
    /// # Errors
    /// [`BookError::Open`].
    pub fn open(path: &Path) -> Result<Self, BookError> {
        Ok(Self { reader: Reader::open(path, &SCHEMA).map_err(std::sync::Arc::new)? })
    }

    /// What was counted on a day, by domain.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub fn day(&mut self, day: Day) -> Result<Vec<Counted>, BookError> {
        let read = |db: &Connection| {
            let mut domains = db.prepare("SELECT DISTINCT domain FROM counted WHERE day = ?1 ORDER BY domain")?;
            let domains = domains.query_map([day.number()], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            let read = |domain: Domain| Ok(Counted { day, policies: counted(db, day, &domain)?, domain });
            domains.iter().filter_map(|domain| Domain::parse(domain).ok()).map(read).collect()
        };
        Ok(self.reader.read(read)?)
    }

    /// The reports that are on their way or were, the newest first.
    ///
    /// # Errors
    /// [`BookError::Read`].
    pub fn sendings(&mut self) -> Result<Vec<Sending>, BookError> {
        let read = |db: &Connection| {
            let text = format!("{SENDINGS} ORDER BY sending.day DESC, sending.domain, address");
            db.prepare(&text)?.query_map([], sending)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(self.reader.read(read)?.into_iter().flatten().collect())
    }
}

impl SendingState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Sent, Self::Dropped].into_iter().find(|state| state.as_str() == word)
    }
}

fn add(tx: &Transaction<'_>, key: (i64, &str, &str), failure: Option<&Failure>, count: u64) -> rusqlite::Result<()> {
    let (day, domain, policy) = key;
    if tx.prepare_cached("SELECT 1 FROM closed WHERE day = ?1 AND domain = ?2")?.exists((day, domain))? {
        return Ok(());
    }
    let is_known = |failure: &str| {
        let text = "SELECT 1 FROM counted WHERE day = ?1 AND domain = ?2 AND policy = ?3 AND failure = ?4";
        tx.prepare_cached(text)?.exists((day, domain, policy, failure))
    };
    let mut word = failure.map(json).unwrap_or_default();
    if !is_known(&word)? {
        let number = |text: &str, policy: Option<&str>| -> rusqlite::Result<usize> {
            let number: i64 = match policy {
                Some(policy) => tx.prepare_cached(text)?.query_row((day, domain, policy), |row| row.get(0))?,
                None => tx.prepare_cached(text)?.query_row((day, domain), |row| row.get(0))?,
            };
            Ok(usize::try_from(number).unwrap_or(usize::MAX))
        };
        let failures = number("SELECT count(*) FROM counted WHERE day = ?1 AND domain = ?2 AND policy = ?3", Some(policy))?;
        if failures == 0 && number("SELECT count(DISTINCT policy) FROM counted WHERE day = ?1 AND domain = ?2", None)? >= POLICIES_COUNTED {
            return Ok(());
        }
        if failures > FAILURES_COUNTED {
            word = failure.map(|failure| json(&failure.coarse())).unwrap_or_default();
        }
    }
    let text = "INSERT INTO counted VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET count = min(count + excluded.count, 1 << 62)";
    tx.prepare_cached(text)?.execute((day, domain, policy, word, i64::try_from(count).unwrap_or(1 << 62)))?;
    Ok(())
}

fn open_days(db: &Connection, today: Day, behind: Option<&(Day, Domain)>, limit: usize) -> rusqlite::Result<Vec<(Day, Domain)>> {
    let text = "SELECT DISTINCT day, domain FROM counted WHERE day < ?1 AND (day, domain) > (?2, ?3) AND NOT EXISTS \
                (SELECT 1 FROM closed WHERE closed.day = counted.day AND closed.domain = counted.domain) ORDER BY day, domain LIMIT ?4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (day, domain) = behind.map_or((i64::MIN, ""), |(day, domain)| (day.number(), domain.as_str()));
    let mut statement = db.prepare_cached(text)?;
    let rows = statement.query_map((today.number(), day, domain, limit), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let read = |row: rusqlite::Result<(i64, String)>| {
        row.map(|(day, domain)| Domain::parse(&domain).ok().map(|domain| (Day::numbered(day), domain))).transpose()
    };
    rows.filter_map(read).collect()
}

fn counted(db: &Connection, day: Day, domain: &Domain) -> rusqlite::Result<Vec<PolicyReport>> {
    let text = "SELECT policy, failure, count FROM counted WHERE day = ?1 AND domain = ?2 ORDER BY policy, count DESC, failure";
    let mut statement = db.prepare_cached(text)?;
    let mut rows = statement.query((day.number(), domain.as_str()))?;
    let mut policies: Vec<(ReportedPolicy, u64, Vec<_>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (policy, failure): (String, String) = (row.get(0)?, row.get(1)?);
        let count = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        // What cannot be read is nobody's count.
        let Ok(policy) = serde_json::from_str::<ReportedPolicy>(&policy) else { continue };
        if policies.last().is_none_or(|(last, ..)| *last != policy) {
            policies.push((policy, 0, Vec::new()));
        }
        let Some((_, successes, failures)) = policies.last_mut() else { continue };
        if failure.is_empty() {
            *successes = successes.saturating_add(count);
        } else if let Ok(failure) = serde_json::from_str::<Failure>(&failure) {
            failures.push(failure.counted(count));
        }
    }
    Ok(policies.into_iter().map(|(policy, successes, failures)| PolicyReport::new(policy, successes, failures)).collect())
}

/// A row of [`SENDINGS`]; nothing where it cannot be read.
fn sending(row: &Record<'_>) -> rusqlite::Result<Option<Sending>> {
    let (domain, address, state): (String, String, String) = (row.get(1)?, row.get(3)?, row.get(7)?);
    let read = || Some((Domain::parse(&domain).ok()?, ReportAddress::of_uri(&address)?, SendingState::of_word(&state)?));
    let Some((domain, address, state)) = read() else { return Ok(None) };
    Ok(Some(Sending {
        day: Day::numbered(row.get(0)?),
        domain,
        report_id: row.get(2)?,
        address,
        due: UnixMillis(row.get(4)?),
        until: UnixMillis(row.get(5)?),
        attempts: row.get(6)?,
        state,
        sessions: sessions(row.get(8)?, row.get(9)?),
    }))
}

fn sessions(successful: Option<i64>, failed: Option<i64>) -> Option<Sessions> {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    Some(Sessions { successful: number(successful?), failed: number(failed?) })
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Of texts and lists of them nothing can fail to be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// Policies that are counted apart, of one domain on one day.
pub const POLICIES_COUNTED: usize = 32;

/// Different failures that are counted apart, under one policy.
pub const FAILURES_COUNTED: usize = 100;

const SENDINGS: &str = "SELECT sending.day, sending.domain, closed.report_id, address, due, until, attempts, state, successful, failed \
                        FROM sending JOIN closed ON closed.day = sending.day AND closed.domain = sending.domain";

/// Of what cannot be added up in an integer, so much is told.
const CLOSE: &str = "INSERT OR REPLACE INTO closed (day, domain, report_id, successful, failed) SELECT ?1, ?2, ?3, \
                     CAST(min(total(count) FILTER (WHERE failure = ''), 4611686018427387904.0) AS INTEGER), \
                     CAST(min(total(count) FILTER (WHERE failure <> ''), 4611686018427387904.0) AS INTEGER) \
                     FROM counted WHERE day = ?1 AND domain = ?2";

/// "TLSR".
const SCHEMA: Migrations = Migrations::new(
    0x544c_5352,
    &[
        "CREATE TABLE counted (day INTEGER NOT NULL, domain TEXT NOT NULL, policy TEXT NOT NULL, failure TEXT NOT NULL,
         count INTEGER NOT NULL, PRIMARY KEY (day, domain, policy, failure)) STRICT, WITHOUT ROWID;
       CREATE TABLE closed (day INTEGER NOT NULL, domain TEXT NOT NULL, report_id TEXT NOT NULL,
         PRIMARY KEY (day, domain)) STRICT, WITHOUT ROWID;
       CREATE TABLE sending (day INTEGER NOT NULL, domain TEXT NOT NULL, address TEXT NOT NULL, due INTEGER NOT NULL,
         until INTEGER NOT NULL, attempts INTEGER NOT NULL, state TEXT NOT NULL,
         PRIMARY KEY (day, domain, address)) STRICT, WITHOUT ROWID;",
        "ALTER TABLE closed ADD COLUMN successful INTEGER; ALTER TABLE closed ADD COLUMN failed INTEGER;",
    ],
);
