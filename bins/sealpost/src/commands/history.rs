//! `sealpost history`: what became of each message.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use sealpost_relay::{history_directory, read_config};
use sealpost_report::{Clock, Filter, HistoryError, HistoryReader, Lang, TextStyle};
use sealpost_types::{Domain, UnixMillis, parse_span};

use super::{Failure, in_words, now};
use crate::cli::{self, Language};

pub(crate) fn history(options: &cli::History) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let mut filter = Filter::default();
    filter.queue_id.clone_from(&options.id);
    filter.domain = options.domain.as_deref().map(domain).transpose()?;
    filter.since = options.since.as_deref().map(|text| since("--since", text, now())).transpose()?;
    filter.limit = options.limit;
    filter.newest_first = true;
    let directory = history_directory(&config);
    let mut reader = match HistoryReader::open(&directory) {
        // A relay that has not run yet has nothing to tell: an answer, not a failure.
        Err(error @ HistoryError::Missing { .. }) => {
            eprintln!("{error}: no relay has run with this data_dir yet");
            return Ok(ExitCode::SUCCESS);
        }
        opened => opened.map_err(in_words)?,
    };
    let mut rows = reader.query(&filter).map_err(in_words)?;
    // The newest are chosen, and told in the order in which they happened.
    rows.reverse();
    let lang = match options.lang {
        Language::En => Lang::En,
        Language::De => Lang::De,
    };
    let style = TextStyle::new(lang, Clock::Local);
    let mut out = std::io::stdout().lock();
    for row in &rows {
        let line = if options.json { format!("{}\n", row.event.to_json()) } else { row.event.to_text(style) };
        // A reader that has seen enough and closed the pipe is no failure.
        if out.write_all(line.as_bytes()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if rows.is_empty() && std::io::stderr().is_terminal() {
        eprintln!("nothing in the history matches");
    }
    Ok(ExitCode::SUCCESS)
}

fn domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text).map_err(|error| format!("--domain {text:?}: {error}"))
}

/// The time that an option names: a span back from `now`, or a time.
pub(super) fn since(option: &str, text: &str, now: UnixMillis) -> Result<UnixMillis, Failure> {
    if let Ok(span) = parse_span(text) {
        return Ok(UnixMillis(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0)));
    }
    text.parse::<jiff::Timestamp>()
        .map(|time| UnixMillis(time.as_millisecond()))
        .map_err(|_| format!("{option} {text:?}: neither a span such as 36h nor a time such as 2026-11-22T04:00:00Z"))
}
