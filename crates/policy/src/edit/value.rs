//! Edits of one value, as it is written: its comments, spaces and quotes stay wherever they can.

use std::ops::Range;

use toml_edit::{Document, InlineTable, Item, Key, Value};

use super::patch::{Patch, PatchValue};
use super::place::{Cuts, between, indent, line_end, line_start};
use super::texts;
use crate::form::split;

/// A value that was written somewhere in a document.
pub(super) struct Written<'t> {
    pub(super) raw: &'t str,
    pub(super) newline: &'static str,
}

impl Written<'_> {
    /// What it is after a change of the key that it stands behind; none if nothing changes.
    pub(super) fn merged(&self, key: &str, patch: &PatchValue) -> Option<String> {
        let (_, document) = self.document()?;
        let value = document.get(PROBE)?.as_value()?;
        let new = match (value, patch) {
            (_, PatchValue::Remove) => return None,
            (Value::InlineTable(_), PatchValue::Table(patch)) => return self.merged_table(patch),
            (Value::String(level), PatchValue::Table(patch)) if HOP_KEYS.contains(&key) => match with_level(level.value(), patch) {
                patch if patch.iter().any(|(key, _)| key != "level") => patch.to_table().into(),
                patch => patch.iter().next().and_then(|(_, level)| level.to_value()).unwrap_or_else(|| InlineTable::new().into()),
            },
            (Value::String(_) | Value::Array(_), PatchValue::List(items)) => return self.relisted(items),
            (Value::String(_) | Value::Array(_), PatchValue::Text(text)) if LIST_KEYS.contains(&key) => {
                return self.relisted(&split(text).map(str::to_owned).collect::<Vec<_>>());
            }
            (_, patch) => patch.to_value()?,
        };
        (!same(value, &new)).then(|| render(&new, self.newline, indent(self.raw, 0)))
    }

    /// The items of a list, or of a text that is one.
    pub(super) fn items(&self) -> Vec<String> {
        let Some((_, document)) = self.document() else { return Vec::new() };
        match document.get(PROBE).and_then(Item::as_value) {
            Some(Value::String(text)) => split(text.value()).map(str::to_owned).collect(),
            Some(Value::Array(array)) => array.iter().filter_map(Value::as_str).flat_map(split).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The list with these items at its end.
    pub(super) fn with_items(&self, added: &[String]) -> String {
        if added.is_empty() {
            return self.raw.to_owned();
        }
        if let Some(text) = texts::with_items(self.raw, added, self.newline) {
            return text;
        }
        if self.raw.starts_with('[') {
            return self.with_elements(&added.iter().map(|item| Value::from(item.as_str()).to_string()).collect::<Vec<_>>());
        }
        self.fresh(self.items().iter().chain(added))
    }

    /// The list without these items.
    pub(super) fn without_items(&self, goes: &dyn Fn(&str) -> bool) -> String {
        if let Some(text) = texts::without_items(self.raw, goes) {
            return text;
        }
        if !self.raw.starts_with('[') {
            return self.fresh(self.items().iter().filter(|item| !goes(item)));
        }
        let Some((prefix, document)) = self.document() else { return self.raw.to_owned() };
        let mut cuts = Cuts::default();
        let mut gone = Vec::new();
        let mut elements = Vec::new();
        for value in document.get(PROBE).and_then(Item::as_array).into_iter().flatten() {
            let Some(span) = value.span().map(|span| span.start - prefix..span.end - prefix) else { continue };
            let (leaves, stays): (Vec<_>, Vec<_>) = value.as_str().into_iter().flat_map(split).partition(|item| goes(item));
            gone.push(!leaves.is_empty() && stays.is_empty());
            if !leaves.is_empty() && !stays.is_empty() {
                let element = Written { raw: between(self.raw, span.clone()), newline: self.newline };
                cuts.replace(span.clone(), texts::without_items(element.raw, goes).unwrap_or_else(|| element.fresh(stays)));
            }
            elements.push(span);
        }
        self.cut_elements(&elements, &gone, cuts)
    }

    /// The list with exactly these items in this order.
    pub(super) fn relisted(&self, items: &[String]) -> Option<String> {
        let before = self.items();
        if before == items {
            return None;
        }
        let added: Vec<_> = items.iter().filter(|item| !before.contains(item)).cloned().collect();
        let changed =
            Written { raw: &self.without_items(&|item| !items.iter().any(|kept| kept == item)), newline: self.newline }.with_items(&added);
        let kept = Written { raw: &changed, newline: self.newline }.items() == items;
        Some(if kept { changed } else { self.fresh(items) })
    }

    fn merged_table(&self, patch: &Patch) -> Option<String> {
        let mut raw = self.raw.to_owned();
        for (key, value) in patch.iter() {
            raw = Written { raw: &raw, newline: self.newline }.with_key(key, value);
        }
        (raw != self.raw).then_some(raw)
    }

    /// An inline table with one of its keys changed.
    fn with_key(&self, key: &str, patch: &PatchValue) -> String {
        let unchanged = || self.raw.to_owned();
        let Some((prefix, document)) = self.document() else { return unchanged() };
        let Some(table) = document.get(PROBE).and_then(Item::as_inline_table) else { return unchanged() };
        let mut elements = Vec::new();
        for (path, value) in table.get_values() {
            let (Some(start), Some(end)) = (path.last().and_then(|key| key.span()), value.span()) else { continue };
            // A dotted key begins before its last part, behind what separates it from the one before.
            let start = if path.len() > 1 { self.key_start(start.start - prefix) } else { start.start - prefix };
            elements.push((path.first().map_or("", |key| key.get()), path.len(), start..end.end - prefix, value));
        }
        let mine: Vec<_> = elements.iter().map(|(first, ..)| *first == key).collect();
        if !mine.contains(&true) {
            return match patch.to_value() {
                Some(value) => self.with_elements(&[format!("{} = {value}", key_text(key))]),
                None => unchanged(),
            };
        }
        let spans: Vec<_> = elements.iter().map(|(_, _, span, _)| span.clone()).collect();
        let value = elements.iter().find(|(first, depth, ..)| *first == key && *depth == 1).and_then(|(_, _, _, value)| value.span());
        match (patch, value) {
            (PatchValue::Remove, _) => self.cut_elements(&spans, &mine, Cuts::default()),
            (patch, Some(span)) => {
                let span = span.start - prefix..span.end - prefix;
                let inner = Written { raw: between(self.raw, span.clone()), newline: self.newline };
                let mut cuts = Cuts::default();
                if let Some(new) = inner.merged(key, patch) {
                    cuts.replace(span, new);
                }
                cuts.apply(self.raw)
            }
            // Dotted keys within an inline table: they are written anew as one.
            (patch, None) => {
                let old = table.get(key).map(|value| without_decor(value.clone()).to_string()).unwrap_or_default();
                let old = Written { raw: &old, newline: self.newline };
                let new = old.merged(key, patch).unwrap_or_else(|| old.raw.to_owned());
                let without = self.cut_elements(&spans, &mine, Cuts::default());
                Written { raw: &without, newline: self.newline }.with_elements(&[format!("{} = {new}", key_text(key))])
            }
        }
    }

    fn key_start(&self, leaf: usize) -> usize {
        let before = between(self.raw, 0..leaf);
        let separator = before.rfind(['{', ',', '\n']).map_or(0, |at| at + 1);
        separator + between(before, separator..leaf).len() - between(before, separator..leaf).trim_start().len()
    }

    /// What stands between brackets without some of its elements.
    fn cut_elements(&self, elements: &[Range<usize>], gone: &[bool], mut cuts: Cuts) -> String {
        let raw = self.raw;
        if gone.iter().all(|gone| *gone) && !raw.contains('\n') {
            return format!("{}{}", between(raw, 0..1), between(raw, raw.len() - 1..raw.len()));
        }
        let mut kept_on_line = false;
        for (index, (element, goes)) in elements.iter().zip(gone).enumerate() {
            let before = index.checked_sub(1).and_then(|index| elements.get(index));
            let after = elements.get(index + 1);
            let same_line = |from: usize, to: usize| !between(raw, from..to).contains('\n');
            let before = before.filter(|before| same_line(before.end, element.start));
            let after = after.filter(|after| same_line(element.end, after.start));
            kept_on_line &= before.is_some();
            let behind = self.behind_comma(element.end);
            let alone =
                before.is_none() && after.is_none() && !between(raw, 0..element.start).trim_end_matches([' ', '\t']).ends_with(['[', '{']);
            if *goes {
                let rest = between(raw, behind..line_end(raw, behind)).trim_start();
                if alone && (rest.is_empty() || rest.starts_with('#')) {
                    cuts.remove(line_start(raw, element.start)..line_end(raw, behind));
                } else if let Some(before) = before.filter(|_| kept_on_line) {
                    cuts.remove(before.end..element.end);
                } else if let Some(after) = after {
                    cuts.remove(element.start..after.start);
                } else {
                    cuts.remove(element.start..behind);
                }
            } else {
                kept_on_line = true;
            }
        }
        cuts.apply(raw)
    }

    /// Behind the comma that follows an element, if one does; else where the element ends.
    fn behind_comma(&self, end: usize) -> usize {
        let mut at = end;
        loop {
            let rest = between(self.raw, at..self.raw.len());
            let blank = rest.len() - rest.trim_start().len();
            let rest = rest.trim_start();
            match rest.chars().next() {
                Some(',') => return at + blank + 1,
                Some('#') => at = line_end(self.raw, at + blank),
                _ => return end,
            }
        }
    }

    /// What stands between brackets with further elements at its end.
    fn with_elements(&self, added: &[String]) -> String {
        let raw = self.raw;
        let mut cuts = Cuts::default();
        let last = self.last_element();
        let is_table = raw.starts_with('{');
        match last {
            None if raw.contains('\n') => {
                let indent = format!("{}    ", indent(raw, raw.len()));
                let lines: String = added.iter().map(|item| format!("{}{indent}{item},", self.newline)).collect();
                cuts.insert(1, lines);
            }
            None if is_table => return format!("{{ {} }}", added.join(", ")),
            None => return format!("[{}]", added.join(", ")),
            Some(last) => {
                let behind = self.behind_comma(last);
                let has_comma = behind != last;
                let line = line_end(raw, behind);
                let closes_here = line >= raw.len();
                if !raw.contains('\n') || closes_here && !between(raw, 0..line_start(raw, last)).contains('\n') {
                    cuts.insert(last, added.iter().map(|item| format!(", {item}")).collect::<String>());
                } else {
                    let indent = indent(raw, last);
                    if !has_comma {
                        cuts.insert(last, ",");
                    }
                    let at = if closes_here { behind } else { line };
                    let mut lines = String::new();
                    for (index, item) in added.iter().enumerate() {
                        let comma = if has_comma || index + 1 < added.len() { "," } else { "" };
                        let (before, after) = if closes_here { (self.newline, "") } else { ("", self.newline) };
                        lines.push_str(&format!("{before}{indent}{item}{comma}{after}"));
                    }
                    cuts.insert(at, lines);
                }
            }
        }
        cuts.apply(raw)
    }

    /// Where the last element ends.
    fn last_element(&self) -> Option<usize> {
        let (prefix, document) = self.document()?;
        let end = match document.get(PROBE)?.as_value()? {
            Value::Array(array) => array.iter().last()?.span()?.end,
            Value::InlineTable(table) => table.get_values().last()?.1.span()?.end,
            _ => return None,
        };
        end.checked_sub(prefix)
    }

    fn fresh<S: AsRef<str>>(&self, items: impl IntoIterator<Item = S>) -> String {
        let items: Vec<_> = items.into_iter().collect();
        render(&items.iter().map(|item| item.as_ref()).collect(), self.newline, indent(self.raw, 0))
    }

    /// It alone as a document, and how far its places lie behind those of the value.
    fn document(&self) -> Option<(usize, Document<String>)> {
        let text = format!("{PROBE} = {}", self.raw);
        Some((text.len() - self.raw.len(), Document::parse(text).ok()?))
    }
}

/// A value as it is written anew: a long list with one item a line.
pub(super) fn render(value: &Value, newline: &str, indent: &str) -> String {
    let line = without_decor(value.clone()).to_string();
    let Some(array) = value.as_array().filter(|_| line.len() > LINE_CHARACTERS) else { return line };
    let items: String = array.iter().map(|item| format!("{indent}    {},{newline}", without_decor(item.clone()))).collect();
    format!("[{newline}{items}{indent}]")
}

/// A key as it is written.
pub(super) fn key_text(key: &str) -> String {
    Key::new(key).display_repr().into_owned()
}

/// What a patch makes of a hop that is written as a level alone: the level stays, unless the patch speaks of it.
fn with_level(level: &str, patch: &Patch) -> Patch {
    let speaks = patch.iter().any(|(key, _)| key == "level");
    let kept = if speaks { Patch::new() } else { Patch::new().with("level", PatchValue::Text(level.to_owned())) };
    let news = patch.iter().filter(|(key, value)| *key == "level" || **value != PatchValue::Remove);
    news.fold(kept, |patch, (key, value)| patch.with(key, value.clone()))
}

fn without_decor(mut value: Value) -> Value {
    value.decor_mut().clear();
    value
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        _ => false,
    }
}

/// Keys that stand for a hop: a level, or a table.
const HOP_KEYS: &[&str] = &["receive", "submit", "deliver"];

/// The keys of a policy of which the value is a list. A single text with its items one after another means the same.
pub const LIST_KEYS: &[&str] = &[
    "anchors",
    "ciphers",
    "clients",
    "domains",
    "entries",
    "exclude",
    "exempt_clients",
    "for",
    "header_trust",
    "names",
    "pins",
    "recipients",
    "retry",
    "senders",
    "servers",
];

/// Longer values are written on several lines, where they can be.
const LINE_CHARACTERS: usize = 100;

const PROBE: &str = "x";
