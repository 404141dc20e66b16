//! The wanted entries of one day's file.

use std::fmt::Write as _;

use sealpost_store::rusqlite::types::Value;
use sealpost_store::rusqlite::{self, Connection, OptionalExtension as _, params_from_iter};
use sealpost_types::{Domain, ReversePath};

use super::day::{Day, MOMENT_BITS};
use super::query::{Filter, Found, read_all};
use super::schema::ANY_DOMAIN;
use crate::{EventKind, EventResult};

/// Whether the day may have entries that the filter lets through, by its times.
pub(super) fn may_have(day: Day, filter: &Filter) -> bool {
    let (from, before) = bounds(day, filter);
    from < before && from < day.first_number(day.end())
}

/// At most `limit` of the entries that the filter lets through.
pub(super) fn select(db: &Connection, day: Day, filter: &Filter, limit: usize) -> rusqlite::Result<Found> {
    let Some(mut search) = Search::new(db, day, filter, limit)? else { return Ok(Found::default()) };
    let mut found = Found::page(limit, |limit, behind| {
        search.limit = limit;
        if let Some((_, number)) = behind {
            search.go_on_behind(number);
        }
        let (sql, values) = search.statement();
        read_all(db.prepare_cached(&sql)?.query(params_from_iter(values))?)
    })?;
    for row in &mut found.rows {
        row.event.at = day.time_of(row.id);
    }
    Ok(found)
}

/// A filter in the numbers of one file.
struct Search<'a> {
    filter: &'a Filter,
    limit: usize,
    /// The codes that are wanted; none if all are that the file has.
    codes: Option<Vec<i64>>,
    /// All codes of the file.
    all: Vec<i64>,
    /// The domain to walk along, and to look for.
    domain: Option<i64>,
    /// From this number on, before that one.
    from: i64,
    before: i64,
}

impl<'a> Search<'a> {
    /// Nothing if no entry of the file can be wanted.
    fn new(db: &Connection, day: Day, filter: &'a Filter, limit: usize) -> rusqlite::Result<Option<Self>> {
        let (from, before) = bounds(day, filter);
        if from >= before {
            return Ok(None);
        }
        let of_sender = filter.sender.as_ref().and_then(ReversePath::domain).filter(|_| filter.queue_id.is_none());
        let domain = match filter.domain.as_ref().or(of_sender) {
            None => None,
            Some(domain) => match domain_id(db, domain)? {
                None => return Ok(None),
                found => found,
            },
        };
        let (mut all, mut wanted) = (Vec::new(), Vec::new());
        let mut statement = db.prepare_cached("SELECT id, kind, result FROM codes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, kind, result): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            all.push(id);
            // A word that cannot be read is no word that somebody asks for.
            if let (Ok(kind), Ok(result)) = (kind.parse::<EventKind>(), result.parse::<EventResult>())
                && filter.takes(kind, result)
            {
                wanted.push(id);
            }
        }
        let is_choosy = !filter.kinds.is_empty() || filter.result.is_some();
        let codes = is_choosy.then_some(wanted);
        let hopeless = codes.as_ref().unwrap_or(&all).is_empty();
        Ok((!hopeless).then_some(Self { filter, limit, codes, all, domain, from, before }))
    }

    fn go_on_behind(&mut self, number: i64) {
        if self.filter.newest_first { self.before = number } else { self.from = number.saturating_add(1) }
    }

    /// First the numbers, along indices and no further than the limit; then the rows with what they refer to.
    fn statement(&self) -> (String, Vec<Value>) {
        let mut values =
            vec![Value::Integer(i64::try_from(self.limit).unwrap_or(i64::MAX)), Value::Integer(self.from), Value::Integer(self.before)];
        let mut next = |value: Value| {
            values.push(value);
            values.len()
        };
        let sender = self.filter.sender.as_ref().map(|sender| next(Value::Text(sender.to_string())));
        let mut restricted = String::new();
        if let Some(place) = sender {
            let _ = write!(restricted, " AND e.sender = ?{place}");
        }
        let direction = if self.filter.newest_first { "DESC" } else { "ASC" };
        let page = format!("{restricted} ORDER BY e.id {direction} LIMIT ?1");
        let branches: Vec<String> = match (&self.filter.queue_id, self.domain, &self.codes) {
            (Some(id), domain, codes) => {
                let id = next(Value::Text(id.clone()));
                let mut text = format!("SELECT e.id FROM events AS e INDEXED BY events_by_queue_id WHERE e.queue_id = ?{id} AND {RANGE}");
                if let Some(domain) = domain {
                    let _ = write!(text, " AND {}", of_domain(domain));
                }
                if let Some(codes) = codes {
                    let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
                    let _ = write!(text, " AND e.code IN ({})", codes.join(", "));
                }
                vec![format!("{text}{page}")]
            }
            (None, None, None) => vec![format!("SELECT e.id FROM events AS e NOT INDEXED WHERE {RANGE}{page}")],
            (None, domain, codes) => {
                let codes = codes.as_ref().unwrap_or(&self.all).iter();
                codes.map(|code| along_moments(domain, *code, &restricted, direction)).collect()
            }
        };
        let branches: Vec<String> = branches.iter().map(|branch| format!("SELECT * FROM ({branch})")).collect();
        let hits = format!("{} ORDER BY id {direction} LIMIT ?1", branches.join(" UNION ALL "));
        (format!("{COLUMNS} FROM ({hits}) AS hit {JOINS} ORDER BY hit.id {direction}"), values)
    }
}

/// The entries with this code, and from or to this domain if there is one: moment by moment, and in each those that fit. Both loops run in
/// the wanted order, so that no more is read than the page needs.
fn along_moments(domain: Option<i64>, code: i64, restricted: &str, direction: &str) -> String {
    let of = domain.map(|domain| format!(" AND {}", of_domain(domain))).unwrap_or_default();
    let domain = domain.unwrap_or(ANY_DOMAIN);
    // The sign keeps the last two from being what the rows are found by.
    format!(
        "SELECT e.id FROM moments AS m CROSS JOIN events AS e NOT INDEXED
         ON e.id >= (m.moment << {MOMENT_BITS}) AND e.id < ((m.moment + 1) << {MOMENT_BITS})
         WHERE m.domain = {domain} AND m.code = {code} AND m.moment >= (?2 >> {MOMENT_BITS}) AND m.moment <= (?3 >> {MOMENT_BITS})
         AND +e.id >= ?2 AND +e.id < ?3 AND e.code = {code}{of}{restricted}
         ORDER BY m.moment {direction}, e.id {direction} LIMIT ?1"
    )
}

fn of_domain(domain: i64) -> String {
    format!("{domain} IN (e.sender_domain, e.recipient_domain)")
}

/// Which numbers of the day lie within the filter's times, and on the wanted side of the last page.
fn bounds(day: Day, filter: &Filter) -> (i64, i64) {
    let mut from = filter.since.map_or(0, |since| day.first_number(since));
    let mut before = filter.until.map_or(i64::MAX, |until| day.first_number(until));
    match filter.after {
        None => {}
        Some((at, _)) if at < day.start() => before = if filter.newest_first { 0 } else { before },
        Some((at, _)) if at >= day.end() => from = if filter.newest_first { from } else { i64::MAX },
        // A number below those of the moment is one of another file: all of this file's come after it.
        Some((at, number)) => {
            let first = day.first_number(at);
            if filter.newest_first {
                before = before.min(number.max(first));
            } else {
                from = from.max(if number < first { first } else { number.saturating_add(1) });
            }
        }
    }
    (from, before)
}

fn domain_id(db: &Connection, domain: &Domain) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM domains WHERE name = ?1")?.query_row([domain.as_str()], |row| row.get(0)).optional()
}

const RANGE: &str = "e.id >= ?2 AND e.id < ?3";

/// The time is in the number.
const COLUMNS: &str = "SELECT hit.id, 0, c.kind, c.hop, c.result, e.queue_id, e.sender, e.recipient, e.size, e.next_hop, e.host,
    e.address, e.attempts, e.next_attempt, e.reason, e.reply, d.level, d.source, d.trace, p.proof,
    e.received_secure, e.level_header, e.shadow, e.more, e.checksum, e.decision, d.digest, e.proof, p.digest";

const JOINS: &str = "LEFT JOIN events AS e ON e.id = hit.id LEFT JOIN codes AS c ON c.id = e.code
    LEFT JOIN decisions AS d ON d.id = e.decision LEFT JOIN proofs AS p ON p.id = e.proof";

#[cfg(test)]
mod tests {
    use sealpost_types::UnixMillis;

    use super::*;
    use crate::history::schema;

    /// Every query must be walks along indices: a full scan would not stay under 100 ms with ten million entries.
    #[test]
    fn no_query_reads_more_than_it_gives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("h.db");
        let prepare = |tx: &rusqlite::Transaction<'_>| {
            tx.execute_batch(
                "INSERT INTO domains (name) VALUES ('example.org');
                 INSERT INTO codes (kind, hop, result) VALUES ('check-tls', 'deliver', 'transient'), ('received', 'receive', 'success'),
                     ('deleted-by-tls-policy', 'deliver', 'permanent')",
            )
        };
        drop(sealpost_store::Store::open_with(&path, &schema::DAY, &sealpost_store::Settings::default(), prepare).unwrap());
        let mut reader = sealpost_store::Reader::open(&path, &schema::DAY).unwrap();
        let day = Day::of(UnixMillis(0));
        let domain = || Some(Domain::parse("example.org").unwrap());
        let filters = [
            Filter::default(),
            Filter { newest_first: false, ..Filter::default() },
            Filter { queue_id: Some("Q".into()), ..Filter::default() },
            Filter { queue_id: Some("Q".into()), kinds: vec![EventKind::CheckTls], domain: domain(), ..Filter::default() },
            Filter { domain: domain(), ..Filter::default() },
            Filter { domain: domain(), since: Some(UnixMillis(5)), until: Some(UnixMillis(9)), ..Filter::default() },
            Filter { domain: domain(), kinds: vec![EventKind::CheckTls], result: Some(EventResult::Transient), ..Filter::default() },
            Filter { kinds: vec![EventKind::CheckTls, EventKind::DeletedByTlsPolicy], ..Filter::default() },
            Filter { result: Some(EventResult::Permanent), since: Some(UnixMillis(5)), ..Filter::default() },
            Filter { since: Some(UnixMillis(5)), ..Filter::default() },
            Filter { after: Some((UnixMillis(5), 7)), kinds: vec![EventKind::Received, EventKind::Delivered], ..Filter::default() },
            Filter { after: Some((UnixMillis(5), 7)), since: Some(UnixMillis(1)), newest_first: false, ..Filter::default() },
        ];
        for filter in filters {
            let plan: Vec<String> = reader
                .read(|db| {
                    let (sql, values) = Search::new(db, day, &filter, 100)?.unwrap().statement();
                    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    explain.query_map(params_from_iter(values), |row| row.get("detail"))?.collect()
                })
                .unwrap();
            let steps = plan.iter().filter(|step| step.starts_with("SCAN") || step.starts_with("SEARCH"));
            let scans: Vec<_> =
                steps.clone().filter(|step| step.starts_with("SCAN") && !step.ends_with("hit") && !step.contains("(subquery")).collect();
            assert!(steps.count() > 1 && scans.is_empty(), "{filter:?}: {plan:#?}");
            // The rows of a walk come in order along their index: only the few that it gives are sorted.
            let sorted = plan.windows(2).any(|pair| pair[0].starts_with("SEARCH") && pair[1].contains("TEMP B-TREE"));
            assert!(!sorted, "{filter:?}: {plan:#?}");
        }
    }

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let at = UnixMillis(1_763_784_727_123);
        let day = Day::of(at);
        let first = day.first_number(at);
        let page = |at, number, newest_first| bounds(day, &Filter { after: Some((at, number)), newest_first, ..Filter::default() });
        assert_eq!(page(at, first + 5, true), (0, first + 5));
        assert_eq!(page(at, first + 5, false), (first + 6, i64::MAX));
        assert_eq!(page(at, -9, true), (0, first), "behind an entry of the same moment in another file");
        assert_eq!(page(at, -9, false), (first, i64::MAX));
        let (yesterday, tomorrow) = (UnixMillis(day.start().0 - 1), day.end());
        assert_eq!(page(yesterday, 9, false), (0, i64::MAX));
        assert_eq!(page(yesterday, 9, true), (0, 0));
        assert_eq!(page(tomorrow, 9, true), (0, i64::MAX));
        assert_eq!(page(tomorrow, 9, false), (i64::MAX, i64::MAX));
    }
}
