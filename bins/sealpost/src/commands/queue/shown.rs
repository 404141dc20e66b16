//! The queue in words.

use std::fmt::Write as _;
use std::time::Duration;

use sealpost_admin::{QueueEntry, QueueOutlook, QueueRecipient, QueueVerb, Queued};
use sealpost_report::{Clock, Event, Lang, TextStyle};
use sealpost_types::UnixMillis;

/// What texts are written for.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) now: UnixMillis,
}

/// An entry: a line of its own, one for each recipient, and why they wait.
pub(super) fn entry_text(entry: &QueueEntry, style: Style) -> String {
    let from = match entry.sender.as_deref() {
        None => "sender unknown".to_owned(),
        Some(address) => format!("from <{address}>"),
    };
    let age = entry.received.map_or_else(|| "age unknown".to_owned(), |at| format!("{} old", rough(style.now.since(UnixMillis(at)))));
    let size = size(entry.octets);
    let mut text = format!("{}  {}  {age}, {size}, {from}\n", entry.id, standing(entry, style));
    if entry.message != entry.id {
        let _ = writeln!(text, "    of the message {}", entry.message);
    }
    for recipient in &entry.recipients {
        let _ = writeln!(text, "    to <{}> by {}{}", recipient.address, entry.destination, tries(recipient, entry));
        let reason = recipient.reason.as_deref().filter(|reason| Some(*reason) != entry.reason.as_deref());
        if let Some(reason) = reason {
            let _ = writeln!(text, "        {}", one_line(reason));
        }
    }
    if let Some(reason) = &entry.reason {
        let _ = writeln!(text, "    {}", one_line(reason));
    }
    text
}

fn standing(entry: &QueueEntry, style: Style) -> String {
    let state = entry.state.as_str();
    match entry.due {
        _ if entry.under_way => format!("{state}, being tried"),
        Some(due) if due <= style.now.0 => format!("{state}, due"),
        Some(due) => format!("{state}, due in {}", rough(UnixMillis(due).since(style.now))),
        None => state.to_owned(),
    }
}

fn tries(recipient: &QueueRecipient, entry: &QueueEntry) -> String {
    let held = if recipient.held && entry.state.as_str() != "held" { ", held" } else { "" };
    match recipient.attempts {
        0 => held.to_owned(),
        1 => format!(", tried once{held}"),
        many => format!(", tried {many} times{held}"),
    }
}

/// What the policy asks now, as `explain` prints it.
pub(super) fn outlook_text(outlook: &[QueueOutlook]) -> String {
    let mut text = String::new();
    for one in outlook {
        let _ = write!(text, "\n{}\n  -> next hop {}\n", one.text.trim_end(), one.next_hop);
        if let Some(held) = &one.held {
            let _ = writeln!(text, "  -> {held}");
        }
    }
    text
}

/// What the history tells of a message.
pub(super) fn events_text(events: &[Event]) -> String {
    let style = TextStyle::new(Lang::En, Clock::Local);
    events.iter().fold(String::new(), |text, event| text + "\n" + event.to_text(style).trim_end() + "\n")
}

/// The queue in numbers.
pub(super) fn stats_text(queued: &Queued, now: UnixMillis) -> String {
    let mut text = String::new();
    let numbers =
        [("fresh", queued.fresh), ("deferred", queued.deferred), ("  due", queued.due), ("held", queued.held), ("damaged", queued.damaged)];
    for (word, number) in numbers {
        let _ = writeln!(text, "{word:<10}{number:>10}");
    }
    let _ = writeln!(text, "{:<10}{:>10}", "size", size(queued.octets));
    if let Some(oldest) = queued.oldest {
        let _ = writeln!(text, "{:<10}{:>10}", "oldest", rough(now.since(UnixMillis(oldest))));
    }
    text
}

/// How the next page is had.
pub(super) fn page_hint(next: &str) -> String {
    format!("there may be more: --after {next} shows the next page")
}

pub(super) fn verb_word(verb: QueueVerb) -> &'static str {
    match verb {
        QueueVerb::Retry => "tried again",
        QueueVerb::Hold => "held",
        QueueVerb::Release => "let go",
        _ => "deleted",
    }
}

pub(super) fn entries_word(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

pub(super) fn entries_are(number: u64) -> String {
    if number == 1 { "1 entry is".to_owned() } else { format!("{number} entries are") }
}

/// A reply of several lines takes no more than one here.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A span in its largest unit: it is read at a glance, not computed with.
fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, letter) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds >= 2 * unit {
            return format!("{}{letter}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

fn size(octets: u64) -> String {
    match octets {
        0..10_240 => format!("{octets} B"),
        10_240..10_485_760 => format!("{} KiB", octets >> 10),
        _ => format!("{} MiB", octets >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_rough() {
        let spans = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(spans, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
        assert_eq!([10_239, 10_240, 20 << 20].map(size), ["10239 B", "10 KiB", "20 MiB"]);
    }
}
