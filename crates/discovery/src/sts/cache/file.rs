//! The file of the cache: its rows, and what becomes of a damaged one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealpost_store::rusqlite::{self, Connection, Row, Transaction, params};
use sealpost_store::{Migrations, OpenError, Settings, Store, WriteError};
use sealpost_types::{Domain, MxPattern, Octets, StsPolicy, UnixMillis, WithCauses};

use super::{Entry, KeptPolicy, StsFailure};

/// What stands there and has not ended.
pub(super) fn load(path: &Path, now: UnixMillis) -> Result<(Store, Vec<(Domain, Entry)>), OpenError> {
    Store::open_with(path, &SCHEMA, &settings(), |tx| {
        tx.execute("DELETE FROM policies WHERE expires_at <= ?1", [now.0])?;
        select(tx)
    })
}

/// What stands there, all of it taken for what mail came back to. A row that is no policy is left out.
pub(super) fn select(db: &Connection) -> rusqlite::Result<Vec<(Domain, Entry)>> {
    let mut statement =
        db.prepare("SELECT domain, id, mode, mx, max_age, fetched_at, expires_at, refresh_at, used_at, failed_at, failure FROM policies")?;
    let rows = statement.query_map([], |row| Ok(read(row)?.ok_or_else(|| row.get::<_, String>(0))))?;
    let mut found = Vec::new();
    for row in rows {
        match row? {
            Ok(policy) => found.push(policy),
            Err(domain) => tracing::warn!(domain = domain?, "a kept MTA-STS policy cannot be read and does not count"),
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<(Domain, Entry)>> {
    let text = |column| row.get::<_, String>(column);
    let time = |column| row.get(column).map(UnixMillis);
    let (domain, id, mode, mx, max_age): (_, _, _, _, i64) = (text(0)?, text(1)?, text(2)?, text(3)?, row.get(4)?);
    let (fetched_at, expires_at, refresh_at, used_at) = (time(5)?, time(6)?, time(7)?, time(8)?);
    let (failed_at, reason): (Option<i64>, Option<String>) = (row.get(9)?, row.get(10)?);
    let failure = failed_at.zip(reason).map(|(at, reason)| StsFailure { at: UnixMillis(at), reason: reason.into() });
    let mx = mx.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<MxPattern>, _>>();
    let (Ok(domain), Ok(mode), Ok(mx), Ok(max_age)) = (Domain::parse(&domain), mode.parse(), mx, u64::try_from(max_age)) else {
        return Ok(None);
    };
    let policy = StsPolicy::new(mode, mx, Duration::from_secs(max_age));
    let kept = Arc::new(KeptPolicy { id: id.into(), policy, fetched_at, expires_at });
    Ok(Some((domain, Entry { kept, refresh_at, used_at, came_back: true, failure })))
}

pub(super) fn insert(tx: &Transaction<'_>, domain: &Domain, entry: &Entry) -> rusqlite::Result<()> {
    let KeptPolicy { id, policy, fetched_at, expires_at } = &*entry.kept;
    let mx: Vec<_> = policy.mx.iter().map(ToString::to_string).collect();
    let max_age = i64::try_from(policy.max_age.as_secs()).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT OR REPLACE INTO policies (domain, id, mode, mx, max_age, fetched_at, expires_at, refresh_at, used_at, failed_at, failure)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            domain.as_str(),
            id,
            policy.mode.as_str(),
            mx.join(" "),
            max_age,
            fetched_at.0,
            expires_at.0,
            entry.refresh_at.0,
            entry.used_at.0,
            entry.failure.as_ref().map(|failure| failure.at.0),
            entry.failure.as_ref().map(|failure| &*failure.reason),
        ],
    )?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, domains: &[Domain]) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached("DELETE FROM policies WHERE domain = ?1")?;
    domains.iter().try_for_each(|domain| statement.execute([domain.as_str()]).map(drop))
}

pub(super) fn log(outcome: &Result<(), WriteError>) {
    if let Err(error) = outcome {
        tracing::error!(error = %WithCauses(error), "the cache of MTA-STS policies could not be written");
    }
}

pub(super) fn is_damage(error: &OpenError) -> bool {
    matches!(error, OpenError::Sqlite { source, .. } if source.is_damage() || source.code < 0)
}

/// Moves the file, and the log beside it, out of the way.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = with(".damaged");
    for (from, to) in [(path.to_owned(), aside.clone()), (with("-wal"), with(".damaged-wal"))] {
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(OpenError::Io { path: from, source: error }),
            _ => {}
        }
    }
    Ok(aside)
}

/// Few and small rows.
fn settings() -> Settings {
    let mut settings = Settings::default();
    (settings.page, settings.cache, settings.readers) = (Octets(4 << 10), Octets(1 << 20), 1);
    (settings.checkpoint, settings.log_limit) = (Octets(1 << 20), Octets(4 << 20));
    settings
}

pub(super) const SCHEMA: Migrations = Migrations::new(
    APPLICATION_ID,
    &[
        "CREATE TABLE policies (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    mx TEXT NOT NULL,
    max_age INTEGER NOT NULL,
    fetched_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    refresh_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;",
        "ALTER TABLE policies ADD COLUMN failed_at INTEGER;
ALTER TABLE policies ADD COLUMN failure TEXT;",
    ],
);

/// `SpSt`.
const APPLICATION_ID: i32 = 0x5370_5374;
