//! The book tells of every series, and of none that does not exist.

use std::fmt::Write as _;
use std::path::PathBuf;

use sealpost_cert::Finding;
use sealpost_relay::{SERIES, tls_reasons};

const HEAD: &str = "| name | type | labels | what it means |\n|---|---|---|---|\n";

/// The rows of the table as they should be.
fn rows() -> String {
    let mut rows = String::new();
    for series in SERIES {
        let labels: Vec<_> = series.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(rows, "| `{}` | {} | {} | {} |", series.name, series.kind.as_str(), labels.join(", "), series.help).unwrap();
    }
    rows
}

/// The text before the table, its rows, and the text behind it.
fn parts(book: &str) -> Option<[&str; 3]> {
    let (before, rest) = book.split_once(HEAD)?;
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    let (rows, after) = if rest.starts_with('\n') { ("", rest) } else { rest.split_at(end) };
    Some([before, rows, after])
}

// req: E9
#[test]
fn the_book_has_every_series_and_no_other() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let book = std::fs::read_to_string(&path).unwrap();
    let [before, found, after] = parts(&book).unwrap();
    if std::env::var_os("UPDATE_METRICS").is_some() {
        return std::fs::write(&path, format!("{before}{HEAD}{}{after}", rows())).unwrap();
    }
    assert_eq!(found, rows(), "UPDATE_METRICS=1 writes the table anew");
    let told = after.lines().find(|line| line.starts_with("| `reason` of outcomes and hosts |")).unwrap();
    for word in tls_reasons().filter(|word| !Finding::CODES.contains(word)) {
        assert!(told.contains(&format!("`{word}`")), "the book does not tell of {word}");
    }
    // The alerts name no series that does not exist.
    let mut rest = after;
    while let Some(at) = rest.find("sealpost_") {
        let name = rest[at..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        assert!(SERIES.iter().any(|series| series.name == name), "{name}");
        rest = &rest[at + name.len()..];
    }
}

/// The control: a row that is missing, changed or too many is found.
#[test]
fn a_wrong_book_is_found() {
    let book = format!("before\n{HEAD}{}\nafter", rows());
    let found = |book: &str| parts(book).unwrap()[1] == rows();
    assert!(found(&book));
    assert!(!found(&book.replacen("| `sealpost_ready` |", "| `sealpost_raedy` |", 1)));
    assert!(!found(&book.replacen("| counter |", "| gauge |", 1)));
    assert!(!found(&book.replacen("\n\nafter", "\n| `sealpost_more` | gauge | | more |\n\nafter", 1)));
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for (index, series) in SERIES.iter().enumerate() {
        let (name, kind) = (series.name, series.kind.as_str());
        assert!(name.starts_with("sealpost_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert_eq!(name.ends_with("_info"), kind == "info", "{name}");
        assert!(series.help.ends_with('.') && !series.help.contains('|'), "{name}");
        assert!(!SERIES[..index].iter().any(|other| other.name == name), "{name} twice");
        // What comes from outside is without end: it is no label.
        assert!(!["domain", "address", "host", "sender", "recipient", "client", "destination"].iter().any(|no| series.labels.contains(no)));
    }
}
