//! Entries on a screen.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use sealpost_admin::{Entries, Kind};
use serde_json::Value;

use crate::commands::print;

/// A table of entries, or JSON.
pub(super) fn entries(kind: Kind, found: &Entries, json: bool) {
    let mut out = std::io::stdout().lock();
    if json {
        // A reader that has seen enough and closed the pipe is no failure.
        let _ = writeln!(out, "{}", Value::Array(found.entries.clone()));
        return;
    }
    let mut rows = vec![heads(kind).map(str::to_owned).to_vec()];
    rows.extend(found.entries.iter().enumerate().map(|(place, entry)| cells(kind, place, entry)));
    if kind == Kind::Rule {
        rows.push(SYSTEM_RULE.map(str::to_owned).to_vec());
    }
    if rows.len() > 1 {
        let _ = out.write_all(table(&rows).as_bytes());
    }
    let left = found.total.saturating_sub(found.entries.len());
    if left > 0 {
        let _ = writeln!(out, "{left} more; --limit {} shows them all", found.total);
    }
    if found.total == 0 && std::io::stderr().is_terminal() {
        eprintln!("there is none");
    }
}

/// All that one entry says: each key as `set` takes it, or JSON.
pub(super) fn entry(kind: Kind, file: &Path, entry: &Value, json: bool) {
    if json {
        say!("{entry}");
        return;
    }
    say!("{} in {}:{}", kind.as_str(), file.display(), entry.get("line").unwrap_or(&Value::Null));
    let mut rows = Vec::new();
    keys(String::new(), entry, &mut rows);
    rows.retain(|row| row.first().is_some_and(|key| key != "line" && key != "file"));
    let indented: String = table(&rows).lines().map(|line| format!("  {line}\n")).collect();
    print(&indented);
}

fn heads(kind: Kind) -> [&'static str; 5] {
    match kind {
        Kind::Partner => ["NAME", "DOMAINS", "RECEIVE", "DELIVER", "NOTES"],
        Kind::Domain => ["NAME", "OWNER", "RECEIVE", "DELIVER", "NOTES"],
        Kind::Owner => ["NAME", "PARENT", "RECEIVE", "DELIVER", "NOTES"],
        Kind::Rule => ["PLACE", "NAME", "WHEN", "THEN", "NOTES"],
        _ => ["NAME", "ENTRIES", "", "", ""],
    }
}

fn cells(kind: Kind, place: usize, entry: &Value) -> Vec<String> {
    let text = |key: &str| entry.get(key).map(word).unwrap_or_default();
    let [name, second] = match kind {
        Kind::Partner => [text("name"), some_of(entry.get("domains"))],
        Kind::Domain => [text("name"), text("owner")],
        Kind::Owner => [text("name"), text("parent")],
        Kind::Rule => {
            let part = |key: &str| {
                let mut rows = Vec::new();
                entry.get(key).into_iter().for_each(|value| keys(String::new(), value, &mut rows));
                rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join(", ")
            };
            return vec![(place + 1).to_string(), text("name"), part("when"), part("then"), notes(entry)];
        }
        _ => return vec![text("name"), some_of(entry.get("entries"))],
    };
    let name = if name.is_empty() { "-".to_owned() } else { name };
    vec![name, second, level(entry.get("receive")), level(entry.get("deliver")), notes(entry)]
}

/// A level, with a plus where more is said of the hop.
fn level(hop: Option<&Value>) -> String {
    match hop {
        None => "-".to_owned(),
        Some(Value::Object(table)) => {
            let level = table.get("level").map_or_else(|| "(inherited)".to_owned(), word);
            if table.len() > 1 { format!("{level} +") } else { level }
        }
        Some(level) => word(level),
    }
}

fn notes(entry: &Value) -> String {
    let note = |key: &str, before: &str| entry.get(key).map(|value| format!("{before}{}", word(value)));
    let all = [
        note("mode", ""),
        note("until", "until "),
        note("route", "via "),
        note("submit", "submit "),
        note("for", "for "),
        note("exclude", "not "),
        note("reason", ""),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The first items of a list, and how many more there are.
fn some_of(items: Option<&Value>) -> String {
    let items: Vec<_> = items.and_then(Value::as_array).into_iter().flatten().map(word).collect();
    let shown = items.get(..SHOWN).unwrap_or(&items).join(" ");
    if items.len() > SHOWN { format!("{shown} +{}", items.len() - SHOWN) } else { shown }
}

/// A value as it is written on the command line.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(" "),
        Value::Object(_) => level(Some(value)),
        other => other.to_string(),
    }
}

/// Every key with its value, tables taken apart.
fn keys(prefix: String, value: &Value, rows: &mut Vec<Vec<String>>) {
    let Value::Object(table) = value else { return rows.push(vec![prefix, word(value)]) };
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        keys(path, value, rows);
    }
}

/// Columns as wide as their widest cell; nothing behind the last.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The rule that comes with the product, below those of the operator (C6): it speaks where nothing else set a level.
const SYSTEM_RULE: [&str; 5] = ["last", "(system)", "direction outbound", "add_header.X-TLSLevel Try", "cannot be removed"];

/// Domains of an entry that a table names.
const SHOWN: usize = 3;
