//! Which entries are wanted, and the rows that they come from.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use sealpost_store::rusqlite;
use sealpost_types::{Domain, ForwardPath, Hop, Mailbox, Octets, ReversePath, UnixMillis};

use super::check::{Changed, Texts, checksum, digest};
use crate::{Decided, Event, EventKind, EventResult, Proof, Shadow};

/// Which entries are wanted: those that everything set here applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Of this message.
    pub queue_id: Option<String>,
    /// From or to this domain; names below it are others.
    pub domain: Option<Domain>,
    /// From this sender. Without a domain or a message, its domain is walked along: that takes time where there is much of it.
    pub sender: Option<ReversePath>,
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
    /// Its number: of entries of the same moment the later one has the higher one.
    pub id: i64,
    /// What happened.
    pub event: Event,
}

/// What of a history a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The entries.
    pub rows: Vec<Row>,
    /// The files that could not be read, or not whole, and why: entries of theirs may be missing.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Filter {
    /// Entries that a query gives where no other limit is set.
    pub const LIMIT: usize = 1000;

    /// Whether an entry is wanted, whatever the page: [`after`](Self::after), the limit and the order have no say.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let of = |wanted: &Domain, domain: Option<&Domain>| domain == Some(wanted);
        let (from, to) = event.domains();
        self.queue_id.as_ref().is_none_or(|id| event.queue_id.as_ref() == Some(id))
            && self.domain.as_ref().is_none_or(|domain| of(domain, from) || of(domain, to))
            && self.sender.as_ref().is_none_or(|sender| event.sender.as_ref() == Some(sender))
            && self.takes(event.kind, event.result)
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }

    /// Whether entries of this kind and result are wanted.
    pub(super) fn takes(&self, kind: EventKind, result: EventResult) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && self.result.is_none_or(|wanted| wanted == result)
    }

    /// Orders rows as they are asked for.
    pub(super) fn sort(&self, rows: &mut [Row]) {
        let key = |row: &Row| (row.event.at, row.id);
        if self.newest_first { rows.sort_by_key(|row| std::cmp::Reverse(key(row))) } else { rows.sort_by_key(key) }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            queue_id: None,
            domain: None,
            sender: None,
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

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    /// Entries that are not what was written.
    pub(super) left_out: usize,
}

impl Found {
    /// Asks for so many entries of a file, and for others in the place of those that are left out: they take no room on a page, or whoever
    /// goes through page by page would take it for the last one.
    ///
    /// `ask` gives what is behind an entry of this time and number, or the first ones.
    pub(super) fn page(
        limit: usize,
        mut ask: impl FnMut(usize, Option<(UnixMillis, i64)>) -> rusqlite::Result<Hits>,
    ) -> rusqlite::Result<Self> {
        let (mut found, mut last) = (Self::default(), None);
        loop {
            let wanted = limit.saturating_sub(found.rows.len());
            let hits = ask(wanted, last)?;
            let is_last = hits.left_out == 0 || hits.rows.len() + hits.left_out < wanted || hits.last == last;
            found.rows.extend(hits.rows);
            found.left_out += hits.left_out;
            last = hits.last;
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// What one statement found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    rows: Vec<Row>,
    left_out: usize,
    /// Time and number of the last one that has them, whatever became of it.
    last: Option<(UnixMillis, i64)>,
}

/// The entries of these rows, `COLUMNS` of whichever file. One that does not read as an entry is left out and said in the log.
pub(super) fn read_all(mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<Hits> {
    let mut found = Hits::default();
    while let Some(row) = rows.next()? {
        if let (Ok(id), Ok(at)) = (row.get(0), row.get(1)) {
            found.last = Some((UnixMillis(at), id));
        }
        match read(row) {
            Ok(row) => found.rows.push(row),
            Err(error) => {
                tracing::warn!(id = row.get::<_, i64>(0).unwrap_or(-1), %error, "a history entry is damaged");
                found.left_out += 1;
            }
        }
    }
    Ok(found)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut event = Event::new(UnixMillis(row.get(1)?), word(row, 2)?, hop(row, 3)?);
    event.result = word(row, 4)?;
    event.queue_id = row.get(5)?;
    event.sender = optional(row, 6, sender)?;
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
        event.decided = Some(Arc::new(Decided::new(level, row.get::<_, String>(17)?, row.get::<_, String>(18)?)));
    }
    event.proof = optional(row, 19, |text| serde_json::from_str::<Proof>(text))?.map(Arc::new);
    event.received_secure = row.get(20)?;
    event.level_header = row.get(21)?;
    event.shadow = optional(row, 22, |text| serde_json::from_str::<Shadow>(text))?.map(Arc::new);
    event.more = row.get::<_, Option<i64>>(23)?.and_then(|more| u64::try_from(more).ok());
    let row_of = Row { id: row.get(0)?, event };
    verify(row, &row_of)?;
    Ok(row_of)
}

/// Whether an entry, and what it refers to, is what was written; those of earlier versions have no checksum.
fn verify(row: &rusqlite::Row<'_>, Row { id, event }: &Row) -> rusqlite::Result<()> {
    let changed = |column| damaged(column, Changed);
    if let Some(expected) = row.get::<_, Option<u32>>(24)? {
        let references = [row.get(25)?, row.get(27)?];
        if checksum(*id, event, &Texts::of(event)?, references) != expected {
            return Err(changed(24));
        }
        let is_there = [(references[0], event.decided.is_some()), (references[1], event.proof.is_some())];
        if is_there.into_iter().any(|(reference, found)| reference.is_some() != found) {
            return Err(changed(24));
        }
    }
    if let (Some(expected), Some(decided)) = (row.get::<_, Option<i64>>(26)?, &event.decided)
        && digest(&[&decided.level, &decided.source, &decided.trace]) != expected
    {
        return Err(changed(26));
    }
    if let (Some(expected), Some(proof)) = (row.get::<_, Option<i64>>(28)?, row.get::<_, Option<String>>(19)?)
        && digest(&[&proof]) != expected
    {
        return Err(changed(28));
    }
    Ok(())
}

fn sender(text: &str) -> Result<ReversePath, <Mailbox as FromStr>::Err> {
    match text {
        "" => Ok(ReversePath::Null),
        text => Mailbox::parse(text).map(ReversePath::Mailbox),
    }
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
