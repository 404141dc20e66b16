//! Rows of a damaged file go into a fresh one: an entry whose page is broken is lost, the others are not.

use sealpost_store::rusqlite::types::Value;
use sealpost_store::rusqlite::{self, Transaction};
use sealpost_store::{Salvage, SalvagedRow, SalvagedTables};

use super::day::MOMENT_BITS;
use super::schema::ANY_DOMAIN;

/// Takes the rows of a file of the history.
#[derive(Debug)]
pub(super) struct HistorySalvage {
    kind: Kind,
    tables: SalvagedTables,
    /// The lowest number of an entry that came.
    first: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Day,
    Single,
}

impl HistorySalvage {
    /// For the file of a day.
    pub(super) fn of_day() -> Self {
        Self { kind: Kind::Day, tables: SalvagedTables::default(), first: i64::MAX }
    }

    /// For the one file that earlier versions wrote.
    pub(super) fn of_single() -> Self {
        Self { kind: Kind::Single, ..Self::of_day() }
    }
}

impl Salvage for HistorySalvage {
    fn keep(&mut self, tx: &Transaction<'_>, row: SalvagedRow) -> rusqlite::Result<()> {
        let Some(table) = table_of(&row, self.kind) else { return Ok(()) };
        if self.tables.insert(tx, table, row.rowid, &row.values)? && table == "events" {
            self.first = self.first.min(row.rowid);
        }
        Ok(())
    }

    fn finish(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        // What an entry refers to may be lost.
        for (column, table) in [("decision", "decisions"), ("proof", "proofs")] {
            self.forget_missing(tx, column, table)?;
        }
        if self.kind == Kind::Single {
            return Ok(());
        }
        for column in ["sender_domain", "recipient_domain"] {
            self.forget_missing(tx, column, "domains")?;
        }
        tx.execute("DELETE FROM events WHERE id >= ?1 AND code NOT IN (SELECT id FROM codes)", [self.first])?;
        // This table says nothing that the others do not.
        for domain in [&ANY_DOMAIN.to_string(), "sender_domain", "recipient_domain"] {
            let insert = format!(
                "INSERT OR IGNORE INTO moments (domain, code, moment)
                 SELECT {domain}, code, id >> {MOMENT_BITS} FROM events WHERE id >= ?1 AND {domain} IS NOT NULL"
            );
            tx.execute(&insert, [self.first])?;
        }
        Ok(())
    }
}

impl HistorySalvage {
    fn forget_missing(&self, tx: &Transaction<'_>, column: &str, table: &str) -> rusqlite::Result<()> {
        // Its checksum is over what it referred to.
        let more = if self.kind == Kind::Day && ["decision", "proof"].contains(&column) { ", checksum = NULL" } else { "" };
        let forget = format!("UPDATE events SET {column} = NULL{more} WHERE id >= ?1 AND {column} NOT IN (SELECT id FROM {table})");
        tx.execute(&forget, [self.first]).map(drop)
    }
}

/// The table of a row: also where no tree leads to its page any more, for no two of them look alike.
fn table_of(row: &SalvagedRow, kind: Kind) -> Option<&'static str> {
    let known = ["events", "decisions", "proofs", "domains", "codes"];
    if let Some(table) = &row.table {
        return known.into_iter().find(|known| known == table);
    }
    match (&row.values[..], kind) {
        ([Value::Null, Value::Text(_)], Kind::Day) => Some("domains"),
        ([Value::Null, Value::Text(_), Value::Text(_), Value::Text(_)], Kind::Day) => Some("codes"),
        ([Value::Null, Value::Integer(_), Value::Text(_)], _) => Some("proofs"),
        ([Value::Null, Value::Integer(_), Value::Text(_), Value::Text(_), Value::Text(_)], _) => Some("decisions"),
        ([Value::Null, Value::Integer(_), rest @ ..], _) if rest.len() >= EVENT_COLUMNS => Some("events"),
        _ => None,
    }
}

/// Columns that `events` had from the first, behind the first two.
const EVENT_COLUMNS: usize = 18;
