//! The one file of all days, which earlier versions wrote: the wanted entries of it.

use std::fmt::Write as _;

use sealpost_store::rusqlite::types::Value;
use sealpost_store::rusqlite::{self, Connection, params_from_iter};
use sealpost_types::UnixMillis;

use super::query::{Filter, Found, read_all};
use crate::EventKind;

/// The name of the file.
pub(super) const NAME: &str = "history.db";

/// The entries that the filter lets through. Their numbers are below those of any day's file.
pub(super) fn select(db: &Connection, filter: &Filter) -> rusqlite::Result<Found> {
    let mut found = Found::page(filter.limit, |limit, behind| {
        let after = behind.map(|(at, id)| (at, id - BELOW)).or(filter.after);
        let (sql, values) = statement(&Filter { limit, after, ..filter.clone() });
        read_all(db.prepare_cached(&sql)?.query(params_from_iter(values))?)
    })?;
    for row in &mut found.rows {
        row.id -= BELOW;
    }
    Ok(found)
}

/// When the newest entry happened; none in an empty file.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(db.query_row("SELECT max(at) FROM events", [], |row| row.get::<_, Option<i64>>(0))?.map(UnixMillis))
}

/// First the ids, along one index and no further than the limit; then the rows with what they refer to.
fn statement(filter: &Filter) -> (String, Vec<Value>) {
    let mut values = vec![Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX))];
    let mut conditions = String::new();
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        let _ = write!(conditions, " AND {text} ?{}", values.len());
    };
    if let Some(id) = &filter.queue_id {
        condition("queue_id =", Value::Text(id.clone()));
    }
    if let Some(sender) = &filter.sender {
        condition("sender =", Value::Text(sender.to_string()));
    }
    if let Some(result) = filter.result {
        condition("result =", Value::Text(result.as_str().into()));
    }
    if let Some(since) = filter.since {
        condition("at >=", Value::Integer(since.0));
    }
    if let Some(until) = filter.until {
        condition("at <", Value::Integer(until.0));
    }
    if let Some((at, id)) = filter.after {
        let (time, number) = (values.len() + 1, values.len() + 2);
        let (from, behind) = if filter.newest_first { ("<=", "<") } else { (">=", ">") };
        // The first half is what an index serves.
        let _ = write!(conditions, " AND at {from} ?{time} AND (at, id) {behind} (?{time}, ?{number})");
        values.extend([Value::Integer(at.0), Value::Integer(id.saturating_add(BELOW))]);
    }
    let kinds: Vec<Option<EventKind>> = if filter.kinds.is_empty() { vec![None] } else { filter.kinds.iter().copied().map(Some).collect() };
    let domains: &[&str] = match &filter.domain {
        None => &[""],
        Some(domain) => {
            values.push(Value::Text(domain.as_str().into()));
            &["sender_domain", "recipient_domain"]
        }
    };
    let domain_value = values.len();

    let direction = if filter.newest_first { "DESC" } else { "ASC" };
    // One branch per domain column and kind, each a walk along an index that stops at the limit.
    let mut branches = Vec::new();
    for column in domains {
        for kind in &kinds {
            let mut branch = format!("SELECT id, at FROM events WHERE 1{conditions}");
            if let Some(kind) = kind {
                // A word of ours, never a text from outside.
                let _ = write!(branch, " AND kind = '{kind}'");
            }
            if !column.is_empty() {
                let _ = write!(branch, " AND {column} = ?{domain_value}");
            }
            branches.push(format!("SELECT * FROM ({branch} ORDER BY at {direction}, id {direction} LIMIT ?1)"));
        }
    }
    let hits = format!("{} ORDER BY at {direction}, id {direction} LIMIT ?1", branches.join(" UNION "));
    (format!("{COLUMNS} FROM ({hits}) AS hit {JOINS} ORDER BY hit.at {direction}, hit.id {direction}"), values)
}

/// Lower than any number of a day's file, whatever is added.
const BELOW: i64 = 1 << 62;

const COLUMNS: &str = "SELECT hit.id, hit.at, e.kind, e.hop, e.result, e.queue_id, e.sender, e.recipient, e.size, e.next_hop, e.host,
    e.address, e.attempts, e.next_attempt, e.reason, e.reply, d.level, d.source, d.trace, p.proof,
    e.received_secure, e.level_header, e.shadow, NULL, NULL, NULL, NULL, NULL, NULL";

const JOINS: &str = "LEFT JOIN events AS e ON e.id = hit.id
    LEFT JOIN decisions AS d ON d.id = e.decision LEFT JOIN proofs AS p ON p.id = e.proof";
