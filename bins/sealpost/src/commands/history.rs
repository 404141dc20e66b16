//! `sealpost history`: what became of each message.

mod export;
mod source;

use std::collections::{HashSet, VecDeque};
use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use sealpost_admin::{Followed, HistoryEntry, HistoryQuery};
use sealpost_report::parse_moment;
use sealpost_types::UnixMillis;

use self::source::Source;
use super::{Failure, now};
use crate::cli::{self, HistoryCommand};

pub(crate) fn history(options: &cli::History) -> Result<ExitCode, Failure> {
    if let Some(HistoryCommand::Export(options)) = &options.command {
        return export::export(options);
    }
    let Some(mut source) = Source::open(&options.config)? else { return Ok(ExitCode::SUCCESS) };
    let query = query(options);
    let mut screen = Screen { json: options.json, out: std::io::stdout().lock() };
    if options.follow {
        return follow(&mut source, &query, &mut screen);
    }
    let page = newest(&mut source, &query, options.limit)?;
    for entry in page.entries.iter().rev() {
        if screen.show(entry).is_break() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if std::io::stderr().is_terminal() {
        match &page.next {
            _ if page.entries.is_empty() => eprintln!("nothing in the history matches"),
            Some(place) => eprintln!("there may be older ones: the same with --before {place}"),
            None => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn query(options: &cli::History) -> HistoryQuery {
    let mut query = HistoryQuery::default();
    query.id.clone_from(&options.id);
    query.domain.clone_from(&options.domain);
    query.since.clone_from(&options.since);
    query.after.clone_from(&options.before);
    wanted(&mut query, &options.wanted);
    if !options.json {
        query.text = Some(options.lang.to_string());
        query.long = options.long || options.id.is_some();
        query.color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    }
    query
}

fn wanted(query: &mut HistoryQuery, wanted: &cli::Wanted) {
    query.sender.clone_from(&wanted.sender);
    query.until.clone_from(&wanted.until);
    let kinds: Vec<&str> = wanted.event.iter().map(|kind| kind.as_str()).collect();
    query.event = (!kinds.is_empty()).then(|| kinds.join(","));
    query.result = wanted.result.map(|result| result.as_str().to_owned());
}

/// What is shown, the newest first.
#[derive(Default)]
struct Shown {
    entries: Vec<HistoryEntry>,
    next: Option<String>,
}

/// The newest entries up to a limit, page by page.
fn newest(source: &mut Source, query: &HistoryQuery, limit: usize) -> Result<Shown, Failure> {
    let (mut query, mut shown) = (query.clone(), Shown::default());
    // A span back from now must not move while pages are read.
    query.since = query.since.as_deref().map(at).transpose()?;
    query.until = query.until.as_deref().map(at).transpose()?;
    while shown.entries.len() < limit {
        query.limit = Some((limit - shown.entries.len()).min(PAGE));
        let page = source.page(&query)?;
        shown.entries.extend(page.entries);
        shown.next.clone_from(&page.next);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(shown)
}

/// A span or a day as the time that it means now.
fn at(text: &str) -> Result<String, Failure> {
    let moment = parse_moment(text, now()).map_err(|error| error.to_string())?;
    Ok(sealpost_report::Clock::Utc.iso(moment))
}

/// What happened last, and then what happens, until the relay or whoever reads ends.
fn follow(source: &mut Source, query: &HistoryQuery, screen: &mut Screen<'_>) -> Result<ExitCode, Failure> {
    // What happens while the last ones are looked up comes in both ways.
    let mut seen = Seen::default();
    source.follow(query, LAST, |followed| match followed {
        Followed::Entry(entry) if seen.is_new(&entry) => screen.show(&entry),
        Followed::Missed { missed } => {
            eprintln!("{missed} entries came too fast to be shown; without --follow they are");
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The entries shown last.
#[derive(Default)]
struct Seen {
    entries: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, entry: &HistoryEntry) -> bool {
        let entry = entry.entry.get();
        if !self.entries.insert(entry.to_owned()) {
            return false;
        }
        self.order.push_back(entry.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        true
    }
}

struct Screen<'a> {
    json: bool,
    out: std::io::StdoutLock<'a>,
}

impl Screen<'_> {
    /// Shows an entry. A reader that has seen enough and closed the pipe is no failure.
    fn show(&mut self, entry: &HistoryEntry) -> ControlFlow<()> {
        let shown = if self.json { json(entry) } else { entry.text.clone().unwrap_or_default() };
        match self.out.write_all(shown.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// The entry on a line, its place in front.
fn json(entry: &HistoryEntry) -> String {
    match (&entry.cursor, entry.entry.get().strip_prefix('{')) {
        (Some(cursor), Some(rest)) => format!("{{\"cursor\":\"{cursor}\",{rest}\n"),
        _ => format!("{}\n", entry.entry.get()),
    }
}

/// The time that an option names: a span back from `now`, a time, or a day.
pub(super) fn since(option: &str, text: &str, now: UnixMillis) -> Result<UnixMillis, Failure> {
    parse_moment(text, now).map_err(|error| format!("{option}: {error}"))
}

/// Entries that are asked for at once.
const PAGE: usize = 1000;

/// Entries that are shown before those that happen.
const LAST: usize = 10;

/// Entries of which is known that they were shown.
const REMEMBERED: usize = 4096;
