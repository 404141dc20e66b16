//! Rows back into events.

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use sealpost_store::rusqlite::types::Value;
use sealpost_store::rusqlite::{self, Connection, params_from_iter};
use sealpost_types::{Domain, ForwardPath, Hop, Mailbox, Octets, ReversePath, UnixMillis};

use crate::{Decided, Event, EventKind, EventResult, Proof, Shadow};

/// Which entries are wanted: those that everything set here applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Of this message.
    pub queue_id: Option<String>,
    /// From or to this domain; names below it are others.
    pub domain: Option<Domain>,
    /// Of one of these kinds; of every kind if empty.
    pub kinds: Vec<EventKind>,
    /// With this result.
    pub result: Option<EventResult>,
    /// Not before this time.
    pub since: Option<UnixMillis>,
    /// Before this time.
    pub until: Option<UnixMillis>,
    /// Only those behind the entry of this time and number ([`Row::id`]), in the order that is asked for: the last one of the
    /// page before.
    pub after: Option<(UnixMillis, i64)>,
    /// No more than this many. Default [`Filter::LIMIT`].
    pub limit: usize,
    /// The newest first, and if there are more than the limit, the newest of them (default); else the oldest.
    pub newest_first: bool,
}

/// One stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its number: later entries have higher ones.
    pub id: i64,
    /// What happened.
    pub event: Event,
}

impl Filter {
    /// Entries that a query gives where no other limit is set.
    pub const LIMIT: usize = 1000;
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            queue_id: None,
            domain: None,
            kinds: Vec::new(),
            result: None,
            since: None,
            until: None,
            after: None,
            limit: Self::LIMIT,
            newest_first: true,
        }
    }
}

/// The rows that the filter lets through. A row that does not read as an entry is left out and said in the log.
pub(super) fn select(db: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let (sql, values) = statement(filter);
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(row) => found.push(row),
            Err(error) => tracing::warn!(id = row.get::<_, i64>(0).unwrap_or(-1), %error, "a history entry is damaged"),
        }
    }
    Ok(found)
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
        values.extend([Value::Integer(at.0), Value::Integer(id)]);
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

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut event = Event::new(UnixMillis(row.get(1)?), word(row, 2)?, hop(row, 3)?);
    event.result = word(row, 4)?;
    event.queue_id = row.get(5)?;
    event.sender = optional(row, 6, |text| match text {
        "" => Ok(ReversePath::Null),
        text => Mailbox::parse(text).map(ReversePath::Mailbox),
    })?;
    event.recipient = optional(row, 7, |text| match text {
        "Postmaster" => Ok(ForwardPath::Postmaster),
        text => Mailbox::parse(text).map(ForwardPath::Mailbox),
    })?;
    event.size = row.get::<_, Option<i64>>(8)?.and_then(|size| u64::try_from(size).ok()).map(Octets);
    event.next_hop = row.get(9)?;
    event.host = row.get(10)?;
    event.address = optional(row, 11, str::parse)?;
    event.attempts = row.get(12)?;
    event.next_attempt = row.get::<_, Option<i64>>(13)?.map(UnixMillis);
    event.reason = row.get(14)?;
    event.reply = row.get(15)?;
    if let Some(level) = row.get::<_, Option<String>>(16)? {
        event.decided = Some(Decided::new(level, row.get::<_, String>(17)?, row.get::<_, String>(18)?));
    }
    event.proof = optional(row, 19, |text| serde_json::from_str::<Proof>(text))?.map(Arc::new);
    event.received_secure = row.get(20)?;
    event.level_header = row.get(21)?;
    event.shadow = optional(row, 22, |text| serde_json::from_str::<Shadow>(text))?.map(Arc::new);
    Ok(Row { id: row.get(0)?, event })
}

fn word<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| damaged(column, error))
}

fn hop(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Hop> {
    let text: String = row.get(column)?;
    serde_json::from_value(text.into()).map_err(|error| damaged(column, error))
}

fn optional<T, E: std::error::Error + Send + Sync + 'static>(
    row: &rusqlite::Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| parse(&text).map_err(|error| damaged(column, error))).transpose()
}

fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

const COLUMNS: &str = "SELECT e.id, e.at, e.kind, e.hop, e.result, e.queue_id, e.sender, e.recipient, e.size, e.next_hop, e.host,
    e.address, e.attempts, e.next_attempt, e.reason, e.reply, d.level, d.source, d.trace, p.proof,
    e.received_secure, e.level_header, e.shadow";

const JOINS: &str = "CROSS JOIN events AS e ON e.id = hit.id
    LEFT JOIN decisions AS d ON d.id = e.decision LEFT JOIN proofs AS p ON p.id = e.proof";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::schema;

    /// Every query must be walks along indices: a full scan would not stay under 100 ms with ten million entries.
    #[test]
    fn no_query_reads_more_than_it_gives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("h.db");
        drop(sealpost_store::Store::open(&path, &schema::MIGRATIONS, &sealpost_store::Settings::default()).unwrap());
        let mut reader = sealpost_store::Reader::open(&path, &schema::MIGRATIONS).unwrap();
        let domain = || Some(Domain::parse("example.org").unwrap());
        let filters = [
            Filter::default(),
            Filter { newest_first: false, ..Filter::default() },
            Filter { queue_id: Some("Q".into()), ..Filter::default() },
            Filter { domain: domain(), ..Filter::default() },
            Filter { domain: domain(), since: Some(UnixMillis(5)), until: Some(UnixMillis(9)), ..Filter::default() },
            Filter { kinds: vec![EventKind::CheckTls, EventKind::DeletedByTlsPolicy], ..Filter::default() },
            Filter { result: Some(EventResult::Permanent), since: Some(UnixMillis(5)), ..Filter::default() },
            Filter { since: Some(UnixMillis(5)), ..Filter::default() },
            Filter { after: Some((UnixMillis(5), 7)), kinds: vec![EventKind::Received, EventKind::Delivered], ..Filter::default() },
            Filter { after: Some((UnixMillis(5), 7)), since: Some(UnixMillis(1)), newest_first: false, ..Filter::default() },
        ];
        for filter in filters {
            let (sql, values) = statement(&filter);
            let plan: Vec<String> = reader
                .read(|db| {
                    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    explain.query_map(params_from_iter(values), |row| row.get("detail"))?.collect()
                })
                .unwrap();
            let walks: Vec<_> = plan.iter().filter(|step| step.contains(" events") && !step.contains(" e ")).collect();
            assert!(!walks.is_empty(), "{plan:#?}");
            assert!(walks.iter().all(|step| step.contains("USING") && step.contains("INDEX")), "{filter:?}: {plan:#?}");
        }
    }
}
