//! The history: which entries are asked for, and how they are given.

use std::path::PathBuf;

use sealpost_report::{Clock, Event, EventKind, Filter, Lang, Row, TextStyle, parse_moment};
use sealpost_types::{Domain, Mailbox, ReversePath, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// Which entries of the history are asked for, and in which shape: those that everything given here applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Of this message, by its queue id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// From or to this domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// From this address; `<>` for notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Not before: a span back from now such as `36h`, a time, or a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Of one of these kinds, with commas between them: `check-tls,bounced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// With this result: `success`, `transient` or `permanent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// At most so many, 100 by default, 1000 at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The oldest first; else the newest.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oldest_first: bool,
    /// Only those behind this one, in the order that is asked for: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Each as text too, in this language: `en` or `de`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// With the text as a block of everything that is known, not a few lines.
    #[serde(default, skip_serializing_if = "is_false")]
    pub long: bool,
    /// With the trace of the decision in the block.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trace: bool,
    /// With colours for a terminal in the text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub color: bool,
}

/// A page of the history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The entries, in the order that was asked for.
    pub entries: Vec<HistoryEntry>,
    /// What to ask for with `after` if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Which files of the history cannot be read, or not whole, and why, in words: entries of theirs are missing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// An entry of the history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Where it stands, for `after`; none of an entry that has just happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What is known, as in the stream of JSON lines: `at`, `kind`, `result` and so on. Fields are added over time, never renamed.
    #[schema(value_type = Object)]
    pub entry: Box<RawValue>,
    /// The same for people, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
#[non_exhaustive]
pub struct HistoryQueryError {
    /// Which parameter.
    pub parameter: &'static str,
    /// Why it does not do, and what would.
    pub problem: String,
}

impl HistoryQuery {
    /// The filter that it means at this time.
    ///
    /// # Errors
    /// [`HistoryQueryError`] for the first parameter that cannot be read.
    pub fn filter(&self, now: UnixMillis) -> Result<Filter, HistoryQueryError> {
        let mut filter = Filter::default();
        filter.queue_id.clone_from(&self.id);
        filter.domain = read("domain", self.domain.as_deref(), Domain::parse)?;
        filter.sender = read("sender", self.sender.as_deref(), sender)?;
        filter.since = read("since", self.since.as_deref(), |text| parse_moment(text, now))?;
        filter.until = read("until", self.until.as_deref(), |text| parse_moment(text, now))?;
        for kind in self.event.iter().flat_map(|kinds| kinds.split(',')) {
            filter.kinds.extend(read("event", Some(kind.trim()), str::parse::<EventKind>)?);
        }
        filter.result = read("result", self.result.as_deref(), str::parse)?;
        filter.limit = self.limit.unwrap_or(ENTRIES).min(Filter::LIMIT);
        filter.newest_first = !self.oldest_first;
        filter.after = read("after", self.after.as_deref(), cursor)?;
        Ok(filter)
    }

    /// How the text is shown; none if none is asked for.
    ///
    /// # Errors
    /// [`HistoryQueryError`] for a language that there is none of.
    pub fn style(&self) -> Result<Option<TextStyle>, HistoryQueryError> {
        let lang: Option<Lang> = read("text", self.text.as_deref(), str::parse)?;
        Ok(lang.map(|lang| {
            let mut style = TextStyle::new(lang, Clock::Local);
            (style.trace, style.color) = (self.trace, self.color);
            style
        }))
    }

    /// A page of these rows, which are what the filter lets through.
    ///
    /// # Errors
    /// As for [`style`](Self::style).
    pub fn page(&self, filter: &Filter, rows: &[Row]) -> Result<HistoryPage, HistoryQueryError> {
        let style = self.style()?;
        let entries: Vec<HistoryEntry> = rows.iter().map(|row| self.entry(Some(row.id), &row.event, style)).collect();
        let is_full = rows.len() >= filter.limit && filter.limit > 0;
        let next = entries.last().filter(|_| is_full).and_then(|last| last.cursor.clone());
        Ok(HistoryPage { entries, next, unreadable: Vec::new() })
    }

    /// One entry; `number` is that of its row.
    #[must_use]
    pub fn entry(&self, number: Option<i64>, event: &Event, style: Option<TextStyle>) -> HistoryEntry {
        HistoryEntry {
            cursor: number.map(|number| format!("{}.{number}", event.at.0)),
            // It is JSON that was just made.
            entry: RawValue::from_string(event.to_json()).unwrap_or_default(),
            text: style.map(|style| if self.long { event.to_text(style) } else { event.to_lines(style) }),
        }
    }
}

impl HistoryPage {
    /// The same page, of a history of which these files could not be read, or not whole.
    #[must_use]
    pub fn lacking(mut self, files: &[(PathBuf, String)]) -> Self {
        let in_words =
            |(file, problem): &(PathBuf, String)| format!("{} cannot be read, its entries are missing: {problem}", file.display());
        self.unreadable = files.iter().map(in_words).collect();
        self
    }
}

fn read<T, E: ToString>(
    parameter: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, HistoryQueryError> {
    text.map(|text| parse(text).map_err(|error| HistoryQueryError { parameter, problem: error.to_string() })).transpose()
}

fn sender(text: &str) -> Result<ReversePath, String> {
    match text {
        "<>" => Ok(ReversePath::Null),
        text => Mailbox::parse(text).map(Into::into).map_err(|error| format!("{text:?}: {error}")),
    }
}

fn cursor(text: &str) -> Result<(UnixMillis, i64), String> {
    let parts = text.split_once('.').and_then(|(at, number)| Some((UnixMillis(at.parse().ok()?), number.parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is no place in the history; the `cursor` of an entry is meant"))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Entries that are given where nobody says how many.
const ENTRIES: usize = 100;
