//! What of a history is kept: for so long, and in so much space.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealpost_store::Reader;
use sealpost_store::rusqlite::{self, Transaction, params};
use sealpost_types::{Octets, UnixMillis};

use super::day::{Day, MOMENT_BITS};
use super::schema::ANY_DOMAIN;
use super::shelf::days;
use super::{schema, single};

/// How long, and in how much space, a history is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) keep: Duration,
    pub(super) max_size: Octets,
}

impl Bounds {
    /// Removes the days that are too old, and the oldest beyond the space, except those that are `written`. Whether what is
    /// left still takes too much: then [`thin_out`] the day.
    pub(super) fn enforce(&self, directory: &Path, written: &[Day], now: UnixMillis) -> bool {
        let oldest = UnixMillis(now.0.saturating_sub(i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX)));
        let single = directory.join(single::NAME);
        if single.exists() && newest_of_single(&single).is_some_and(|newest| newest.is_none_or(|newest| newest < oldest)) {
            remove(&single);
        }
        let mut files: Vec<(Option<Day>, PathBuf)> = Vec::new();
        if single.exists() {
            files.push((None, single));
        }
        for day in days(directory) {
            let path = directory.join(day.to_string());
            if day.end() <= oldest && !written.contains(&day) { remove(&path) } else { files.push((Some(day), path)) }
        }
        let mut size: u64 = files.iter().map(|(_, path)| size_of(path)).sum();
        for (day, path) in files {
            if size <= self.max_size.0 {
                break;
            }
            if day.is_none_or(|day| !written.contains(&day)) {
                size = size.saturating_sub(size_of(&path));
                tracing::warn!(file = %path.display(), max_size = self.max_size.0, "the oldest part of the history goes: it takes too much space");
                remove(&path);
            }
        }
        size > self.max_size.0
    }
}

/// Takes the oldest entries out of a day, until what is left takes no more than `max_size`, or enough are out for one
/// transaction. Their space is used again; proofs and decisions stay, as others may rest on them.
pub(super) fn thin_out(tx: &Transaction<'_>, max_size: Octets) -> rusqlite::Result<()> {
    let number = |name| tx.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    for _ in 0..ROUNDS {
        let used = (number("page_count")? - number("freelist_count")?).saturating_mul(number("page_size")?);
        if u64::try_from(used).unwrap_or(0) <= max_size.0 {
            break;
        }
        let last: Option<i64> =
            tx.query_row("SELECT max(id) FROM (SELECT id FROM events ORDER BY id LIMIT ?1)", [AT_ONCE], |row| row.get(0))?;
        let Some(last) = last else { break };
        // Whole moments, so that nothing is left of them.
        let end = (Day::moment_of(last) + 1) << MOMENT_BITS;
        for domain in [&ANY_DOMAIN.to_string(), "sender_domain", "recipient_domain"] {
            let emptied = format!(
                "DELETE FROM moments WHERE (domain, code, moment) IN
                 (SELECT {domain}, code, id >> {MOMENT_BITS} FROM events WHERE id < ?1 AND {domain} IS NOT NULL)"
            );
            tx.execute(&emptied, params![end])?;
        }
        tx.execute("DELETE FROM events WHERE id < ?1", params![end])?;
    }
    Ok(())
}

/// The time of its newest entry, if it can be read; the inner none if it is empty.
fn newest_of_single(path: &Path) -> Option<Option<UnixMillis>> {
    let mut reader = Reader::open(path, &schema::SINGLE).ok()?;
    reader.read(single::newest).ok()
}

/// The database with its log.
fn size_of(path: &Path) -> u64 {
    ["", "-wal"].iter().filter_map(|suffix| with(path, suffix).metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", ".lock", ".salvage"] {
        match std::fs::remove_file(with(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::error!(file = %path.display(), %error, "a file of the history cannot be removed");
            }
            _ => {}
        }
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Entries that are taken out of a day before the space is looked at again, and how often in one transaction.
const AT_ONCE: i64 = 500;
const ROUNDS: usize = 40;
