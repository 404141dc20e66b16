//! `sealpost queue`: mail that waits, through the running relay or straight in its store.

mod shown;
mod store;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use sealpost_admin::{Client, ClientError, QueueFilter, QueueRequest, QueueState, QueueVerb};
use sealpost_relay::config::Config;
use sealpost_relay::read_config;
use sealpost_types::{Domain, NextHop, UnixMillis};
use tokio::runtime::Runtime;

use self::shown::{Style, entry_text, page_hint, stats_text};
use self::store::Store;
use super::history::since;
use super::{Failure, in_words, now, runtime};
use crate::cli::{self, Queue};

pub(crate) fn queue(command: &Queue) -> Result<ExitCode, Failure> {
    match command {
        Queue::List(options) => list(options),
        Queue::Show(options) => show(options),
        Queue::Retry(options) => change(options, QueueVerb::Retry),
        Queue::Hold(options) => change(options, QueueVerb::Hold),
        Queue::Release(options) => change(options, QueueVerb::Release),
        Queue::Delete(options) => delete(options),
        Queue::Stats(options) => stats(options),
    }
}

/// Who is asked.
struct Desk {
    config: Config,
    runtime: Runtime,
}

/// The relay that answers, or the store that nobody runs.
enum Asked {
    Relay(Client),
    Store(Box<Store>),
}

impl Desk {
    fn open(options: &cli::Config) -> Result<(Self, Asked), Failure> {
        let config = read_config(&options.config).map_err(in_words)?;
        let desk = Self { runtime: runtime()?, config };
        let client = desk.config.admin.socket.clone().map(Client::new);
        let asked = match client {
            Some(client) => match desk.runtime.block_on(client.status()) {
                Ok(_) => Asked::Relay(client),
                Err(ClientError::NotRunning { .. }) => Asked::Store(Box::new(Store::of(&desk.config))),
                Err(error) => return Err(in_words(error)),
            },
            None => Asked::Store(Box::new(Store::of(&desk.config))),
        };
        Ok((desk, asked))
    }
}

fn list(options: &cli::QueueList) -> Result<ExitCode, Failure> {
    let filter = filter(&options.matching, now())?;
    let (desk, asked) = Desk::open(&options.config)?;
    let (limit, after) = (usize::try_from(options.limit).unwrap_or(usize::MAX), options.after.as_deref());
    let page = match &asked {
        Asked::Relay(client) => desk.runtime.block_on(client.queue(&filter, after, limit)).map_err(in_words)?,
        Asked::Store(store) => store.list(&filter, after, limit)?,
    };
    let mut out = std::io::stdout().lock();
    let style = Style { now: now() };
    for entry in &page.entries {
        let text = if options.json { format!("{}\n", serde_json::to_string(entry).unwrap_or_default()) } else { entry_text(entry, style) };
        // A reader that has seen enough and closed the pipe is no failure.
        if out.write_all(text.as_bytes()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if page.entries.is_empty() && !options.json {
        eprintln!("nothing in the queue matches");
    }
    if let Some(next) = &page.next {
        eprintln!("{}", page_hint(next));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(options: &cli::QueueShow) -> Result<ExitCode, Failure> {
    let (desk, asked) = Desk::open(&options.config)?;
    let entries = match &asked {
        Asked::Relay(client) => match desk.runtime.block_on(client.queue_entry(&options.id)) {
            Err(ClientError::Refused { status: 404, .. }) => Vec::new(),
            answer => answer.map_err(in_words)?,
        },
        Asked::Store(store) => store.show(&options.id, now())?,
    };
    let Some(first) = entries.first() else {
        return Err(format!("nothing in the queue has the id {}; `sealpost history --id {0}` tells what became of it", options.id));
    };
    let events = store::events(&desk.config, &first.entry.message)?;
    let mut text = String::new();
    for shown in &entries {
        if options.json {
            let history: Vec<serde_json::Value> = events.iter().filter_map(|event| serde_json::from_str(&event.to_json()).ok()).collect();
            let answer = serde_json::json!({ "entry": shown.entry, "outlook": shown.outlook, "history": history });
            text += &format!("{answer}\n");
        } else {
            text += &entry_text(&shown.entry, Style { now: now() });
            text += &shown::outlook_text(&shown.outlook);
        }
    }
    if !options.json {
        text += &shown::events_text(&events);
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn stats(options: &cli::QueueStats) -> Result<ExitCode, Failure> {
    let (desk, asked) = Desk::open(&options.config)?;
    let queued = match &asked {
        Asked::Relay(client) => desk.runtime.block_on(client.status()).map_err(in_words)?.queue,
        Asked::Store(store) => store.stats(now())?,
    };
    let text = if options.json { format!("{}\n", serde_json::to_string(&queued).unwrap_or_default()) } else { stats_text(&queued, now()) };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn delete(options: &cli::QueueDelete) -> Result<ExitCode, Failure> {
    if !options.yes {
        if !std::io::stdin().is_terminal() {
            return Err("deleting cannot be undone: --yes is needed where nobody can be asked".to_owned());
        }
        let found = count(&options.change)?;
        eprint!("Delete {found} from the queue, for good? [y/N] ");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(in_words)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err("nothing is deleted".to_owned());
        }
    }
    change(&options.change, QueueVerb::Delete)
}

/// How much would be deleted, as far as one page tells.
fn count(options: &cli::QueueChange) -> Result<String, Failure> {
    let selected = &options.selected;
    if !selected.ids.is_empty() {
        return Ok(selected.ids.join(", "));
    }
    let filter = filter(&selected.matching, now())?;
    let (desk, asked) = Desk::open(&options.config)?;
    let page = match &asked {
        Asked::Relay(client) => desk.runtime.block_on(client.queue(&filter, None, COUNTED)).map_err(in_words)?,
        Asked::Store(store) => store.list(&filter, None, COUNTED)?,
    };
    let more = if page.next.is_some() { "at least " } else { "" };
    Ok(format!("{more}{} entries", page.entries.len()))
}

fn change(options: &cli::QueueChange, verb: QueueVerb) -> Result<ExitCode, Failure> {
    let request = request(&options.selected, verb)?;
    let (desk, asked) = Desk::open(&options.config)?;
    let result = match &asked {
        Asked::Relay(client) => desk.runtime.block_on(client.change_queue(&request)).map_err(in_words)?,
        Asked::Store(store) => desk.runtime.block_on(store.change(&request, now()))?,
    };
    if options.json {
        say!("{}", serde_json::to_string(&result).unwrap_or_default());
    } else {
        let whose = if matches!(asked, Asked::Relay(_)) { "" } else { " (no relay runs: it holds from its next start)" };
        say!("{}: {}{whose}", shown::verb_word(verb), shown::entries_word(result.done));
        if result.under_way > 0 {
            eprintln!("{} being tried just now: left alone", shown::entries_are(result.under_way));
        }
        if result.unfit > 0 {
            eprintln!("{} not of the kind for that: left alone", shown::entries_are(result.unfit));
        }
        for id in &result.missing {
            eprintln!("nothing in the queue has the id {id}");
        }
    }
    Ok(if result.missing.is_empty() && result.under_way == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn request(selected: &cli::Selected, verb: QueueVerb) -> Result<QueueRequest, Failure> {
    let filter = filter(&selected.matching, now())?;
    match (selected.all, selected.ids.is_empty(), filter.is_empty()) {
        (true, true, true) => Ok(QueueRequest::all(verb)),
        (false, false, true) => Ok(QueueRequest::ids(verb, selected.ids.clone())),
        (false, true, false) => Ok(QueueRequest::matching(verb, filter)),
        (false, true, true) => {
            Err("which mail? An id, --all, or one of --destination, --sender, --reason, --older, --state is meant".to_owned())
        }
        _ => Err("ids, --all and options that select do not go together; one of them is meant".to_owned()),
    }
}

fn filter(matching: &cli::Matching, now: UnixMillis) -> Result<QueueFilter, Failure> {
    let mut filter = QueueFilter::default();
    filter.destination = matching.destination.as_deref().map(destination).transpose()?;
    filter.sender = matching.sender.as_deref().map(|text| text.trim_start_matches('<').trim_end_matches('>').to_owned());
    filter.reason.clone_from(&matching.reason);
    filter.before = matching.older.as_deref().map(|text| since("--older", text, now)).transpose()?.map(|at| at.0);
    filter.state = matching.state.map(|state| match state {
        cli::State::Fresh => QueueState::Fresh,
        cli::State::Deferred => QueueState::Deferred,
        cli::State::Held => QueueState::Held,
        cli::State::Damaged => QueueState::Damaged,
    });
    Ok(filter)
}

/// A domain means its mail exchangers; a route is written as in the configuration.
fn destination(text: &str) -> Result<String, Failure> {
    if let Ok(domain) = Domain::parse(text) {
        return Ok(NextHop::Mx(domain).to_string());
    }
    let next_hop: NextHop = text.parse().map_err(|error| format!("--destination {text:?}: {error}"))?;
    Ok(next_hop.to_string())
}

/// Entries that are counted before it is asked whether they are to go.
const COUNTED: usize = 1000;
