//! `sealpost policy replay`: what would have become of recent mail, and of what waits, under another policy.

mod table;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use sealpost_policy::{Policy, Source};
use sealpost_queue::{QueueView, State};
use sealpost_relay::config::Config;
use sealpost_relay::replay::{Judged, Replay, Tally};
use sealpost_relay::{history_directory, queue_directory, read_config, read_policy};
use sealpost_report::{Clock, Event, Filter, HistoryError, HistoryReader, Row};
use sealpost_types::{ForwardPath, Hop, ReversePath, UnixMillis};

use super::history::since;
use super::{Failure, in_words, now};
use crate::cli;

pub(crate) fn replay(options: &cli::Replay) -> Result<ExitCode, Failure> {
    // Whoever asks "does it differ?" must not take "it could not be tried" for a yes.
    Ok(attempt(options).unwrap_or_else(|failure| {
        eprintln!("sealpost: {failure}");
        ExitCode::from(UNKNOWN)
    }))
}

fn attempt(options: &cli::Replay) -> Result<ExitCode, Failure> {
    let mut config = read_config(&options.config.config).map_err(in_words)?;
    let current = read_policy(&config).map_err(in_words)?;
    config.policy = Some(options.policy.clone());
    let new = read_policy(&config).map_err(in_words)?;
    let now = now();
    let since = since("--since", &options.since, now)?;
    let mut teller = Teller { tally: Tally::default(), json: options.json, broken: false };
    let mut history = History::open(&config)?;
    let replay = Replay::new(&config, &new);
    if let Some(history) = &mut history {
        past(&replay, history, since, now, &mut teller)?;
    }
    waiting(&replay, &config, &current, history.as_mut(), now, &mut teller)?;
    let tally = &teller.tally;
    if !options.json {
        let text = table::text(tally, &options.policy, Clock::Local.iso(since));
        // A reader that has seen enough and closed the pipe is no failure.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
    let is_whole = history.is_none_or(|history| history.unreadable.is_empty());
    Ok(match (tally.has_changes(), tally.has_untold() || !is_whole) {
        (true, _) => ExitCode::from(DIFFERS),
        (false, true) => ExitCode::from(UNKNOWN),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The history, and what of it could not be read: what is not known of may differ.
struct History {
    reader: HistoryReader,
    unreadable: BTreeSet<(PathBuf, String)>,
}

impl History {
    /// A relay that has not run yet has no history, and so nothing that would differ.
    fn open(config: &Config) -> Result<Option<Self>, Failure> {
        match HistoryReader::open(&history_directory(config)) {
            Err(error @ HistoryError::Missing { .. }) => {
                eprintln!("{error}: no relay has run with this data_dir yet");
                Ok(None)
            }
            opened => opened.map(|reader| Some(Self { reader, unreadable: BTreeSet::new() })).map_err(in_words),
        }
    }

    /// What cannot be read is told, each file once.
    fn query(&mut self, filter: &Filter) -> Result<Vec<Row>, Failure> {
        let rows = self.reader.query(filter).map_err(in_words)?;
        for (file, problem) in self.reader.unreadable() {
            if self.unreadable.insert((file.clone(), problem.clone())) {
                eprintln!("warning: {} cannot be read, its entries are missing: {problem}", file.display());
            }
        }
        Ok(rows)
    }
}

/// The history page by page, oldest first: what comes in meanwhile is not looked at.
fn past(replay: &Replay<'_>, history: &mut History, since: UnixMillis, now: UnixMillis, teller: &mut Teller) -> Result<(), Failure> {
    let mut page = Filter::default();
    page.kinds = Replay::KINDS.to_vec();
    (page.since, page.until) = (Some(since), Some(now));
    (page.limit, page.newest_first) = (PAGE, false);
    loop {
        let rows = history.query(&page)?;
        let Some(last) = rows.last() else { return Ok(()) };
        page.after = Some((last.event.at, last.id));
        for row in &rows {
            if let Some(judged) = replay.event(&row.event) {
                teller.tell(&judged, &Subject::of(&row.event));
            }
        }
    }
}

/// The queue page by page: each recipient with the newest entry of the history that shows a host it was tried at.
fn waiting(
    replay: &Replay<'_>,
    config: &Config,
    current: &Policy,
    mut history: Option<&mut History>,
    now: UnixMillis,
    teller: &mut Teller,
) -> Result<(), Failure> {
    let directory = queue_directory(config);
    if directory.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let mut queue = QueueView::open(&directory).map_err(in_words)?;
    let mut page = sealpost_queue::Filter::all().state(State::Deferred);
    loop {
        let listed = queue.list(&page, PAGE).map_err(in_words)?;
        let Some(last) = listed.last() else { return Ok(()) };
        page = page.after(last.id);
        for entry in listed.iter().filter_map(|listed| listed.entry.as_deref()) {
            let queue_id = entry.message.to_string();
            let attempts = match history.as_deref_mut() {
                Some(history) if entry.attempts > 0 => attempts(history, &queue_id)?,
                _ => Vec::new(),
            };
            for (index, recipient) in entry.envelope.recipients.iter().enumerate() {
                let last = attempts.iter().find(|event| event.recipient.as_ref() == Some(&recipient.path));
                let Some(judged) = replay.waiting(current, entry, index, last, now) else { continue };
                let sender = Some(&entry.envelope.reverse_path);
                let subject = Subject { at: entry.reception.at, queue_id: Some(&queue_id), sender, recipient: Some(&recipient.path) };
                teller.tell(&judged, &subject);
            }
        }
    }
}

/// What the history says of attempts at a message that reached a host, the newest first.
fn attempts(history: &mut History, queue_id: &str) -> Result<Vec<Event>, Failure> {
    let mut filter = Filter::default();
    filter.queue_id = Some(queue_id.to_owned());
    let rows = history.query(&filter)?;
    Ok(rows.into_iter().map(|row| row.event).filter(|event| event.hop == Hop::Deliver && event.proof.is_some()).collect())
}

/// Whom a judgement is about.
struct Subject<'a> {
    at: UnixMillis,
    queue_id: Option<&'a str>,
    sender: Option<&'a ReversePath>,
    recipient: Option<&'a ForwardPath>,
}

impl<'a> Subject<'a> {
    fn of(event: &'a Event) -> Self {
        Self { at: event.at, queue_id: event.queue_id.as_deref(), sender: event.sender.as_ref(), recipient: event.recipient.as_ref() }
    }
}

/// Counts judgements, and writes each change at once where programs read.
struct Teller {
    tally: Tally,
    json: bool,
    /// Nobody reads any more.
    broken: bool,
}

impl Teller {
    fn tell(&mut self, judged: &Judged, subject: &Subject<'_>) {
        self.tally.add(judged, subject.queue_id);
        let Some(change) = judged.change.as_ref().filter(|_| self.json && !self.broken) else { return };
        let place = change.source.as_ref().and_then(Source::place);
        let line = serde_json::json!({
            "case": judged.case.as_str(),
            "would": change.would.as_str(),
            "why": change.why.to_string(),
            "domain": judged.domain.as_ref().map(ToString::to_string),
            "source": change.source.as_ref().map(ToString::to_string),
            "file": place.map(|place| &*place.file),
            "line": place.map(|place| place.line),
            "at": Clock::Utc.iso(subject.at),
            "queue_id": subject.queue_id,
            "sender": subject.sender.map(ToString::to_string),
            "recipient": subject.recipient.map(ToString::to_string),
        });
        self.broken = writeln!(std::io::stdout().lock(), "{line}").is_err();
    }
}

/// The exit code where something would have come out otherwise.
const DIFFERS: u8 = 1;

/// The exit code where nothing is certain to come out otherwise, and something could not be told; and where nothing could be tried.
const UNKNOWN: u8 = 2;

/// Entries that are read at a time.
const PAGE: usize = 2000;
