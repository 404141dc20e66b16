//! Changes of the keys of a table.

use toml_edit::{Item, Table, Value};

use super::apply::block_text;
use super::outline::{Outline, last_value};
use super::patch::{Patch, PatchValue};
use super::place::{Cuts, between, indent, line_end, line_start};
use super::value::{Written, key_text, render};

/// A text with the changes that are to be made in it.
pub(super) struct Draft<'t> {
    pub(super) text: &'t str,
    pub(super) outline: &'t Outline<'t>,
    pub(super) newline: &'static str,
    pub(super) cuts: Cuts,
}

type Path = [(String, usize)];

/// Where new keys of a table are written.
pub(super) struct Body {
    /// The offset of the line that they go before.
    at: usize,
    /// What stands before each: the indent, and the first parts of dotted keys.
    prefix: String,
}

impl Body {
    /// Of a table with a header.
    pub(super) fn of_block(draft: &Draft<'_>, table: &Table, path: &Path) -> Self {
        let at = draft.outline.block(path).map_or(draft.text.len(), |block| block.body_end);
        let first = table.get_values().first().and_then(|(keys, _)| keys.first()?.span());
        Self { at, prefix: first.map_or("", |key| indent(draft.text, key.start)).to_owned() }
    }

    /// Of a table that dotted keys make.
    fn of_dotted(draft: &Draft<'_>, table: &Table, outer: &str, key: &str) -> Self {
        let at = last_value(table).map_or(draft.text.len(), |end| line_end(draft.text, end));
        Self { at, prefix: format!("{outer}{}.", key_text(key)) }
    }
}

impl Draft<'_> {
    pub(super) fn finish(self) -> String {
        self.cuts.apply(self.text)
    }

    /// Changes the keys of a table.
    pub(super) fn merge(&mut self, table: &Table, path: &Path, body: &Body, patch: &Patch) {
        for (key, new) in patch.iter() {
            let inner: Vec<_> = path.iter().cloned().chain([(key.to_owned(), 0)]).collect();
            match (table.get(key), new) {
                (Some(Item::Value(_)), PatchValue::Remove) => self.remove_values(table, key),
                (Some(Item::Value(value)), new) => self.merge_value(value, key, new),
                (Some(Item::Table(sub)), PatchValue::Table(patch)) if sub.is_dotted() => {
                    let body = Body::of_dotted(self, sub, &body.prefix, key);
                    self.merge(sub, &inner, &body, patch);
                }
                (Some(Item::Table(sub)), PatchValue::Table(patch)) if !sub.is_implicit() => {
                    let body = Body::of_block(self, sub, &inner);
                    self.merge(sub, &inner, &body, patch);
                }
                (Some(_), new) => {
                    self.remove_values(table, key);
                    for piece in self.outline.removals(&inner) {
                        self.cuts.remove(piece);
                    }
                    self.insert_key(body, key, new);
                }
                (None, new) => self.insert_key(body, key, new),
            }
        }
    }

    /// Changes `[defaults]`, whose inner tables get headers of their own.
    pub(super) fn merge_defaults(&mut self, table: &Table, patch: &Patch) {
        let path = [("defaults".to_owned(), 0)];
        if table.is_dotted() {
            let body = Body::of_dotted(self, table, "", "defaults");
            return self.merge(table, &path, &body, patch);
        }
        let is_new_table = |key: &str, value: &PatchValue| matches!(value, PatchValue::Table(_)) && !table.contains_key(key);
        let part = |wanted: bool| {
            let chosen = patch.iter().filter(|(key, value)| is_new_table(key, value) == wanted);
            chosen.fold(Patch::new(), |patch, (key, value)| patch.with(key, value.clone()))
        };
        let (keys, tables) = (part(false), part(true));
        if table.is_implicit() {
            // Only tables within it have headers: its own goes before them, and holds the keys.
            let inner = |wanted: bool| {
                let chosen = keys.iter().filter(|(key, _)| table.contains_key(key) == wanted);
                chosen.fold(Patch::new(), |patch, (key, value)| patch.with(key, value.clone()))
            };
            let first = self.outline.within(&path).map(|block| block.lead).min().unwrap_or(self.text.len());
            let new = inner(false).to_table();
            if !new.is_empty() {
                self.cuts.insert(first, block_text("[defaults]", &new, self.newline));
            }
            self.merge(table, &path, &Body { at: first, prefix: String::new() }, &inner(true));
        } else {
            let body = Body::of_block(self, table, &path);
            self.merge(table, &path, &body, &keys);
        }
        let end = self.outline.within(&path).map(|block| block.end).max().unwrap_or(self.text.len());
        let blocks = self.table_blocks(&tables);
        self.insert_at_line(end, blocks);
    }

    /// `[defaults]` with all that a patch sets in it.
    pub(super) fn defaults_block(&self, patch: &Patch) -> String {
        let keys = patch.iter().filter(|(_, value)| !matches!(value, PatchValue::Table(_)));
        let keys = keys.fold(Patch::new(), |patch, (key, value)| patch.with(key, value.clone())).to_table();
        let own = if keys.is_empty() { String::new() } else { block_text("[defaults]", &keys, self.newline) };
        own + &self.table_blocks(patch)
    }

    fn table_blocks(&self, patch: &Patch) -> String {
        let tables = patch.iter().filter_map(|(key, value)| match value {
            PatchValue::Table(inner) => Some((key, inner.to_table())).filter(|(_, table)| !table.is_empty()),
            _ => None,
        });
        tables.map(|(key, table)| block_text(&format!("[defaults.{}]", key_text(key)), &table, self.newline)).collect()
    }

    pub(super) fn merge_value(&mut self, value: &Value, key: &str, patch: &PatchValue) {
        let Some(span) = value.span() else { return };
        let written = Written { raw: between(self.text, span.clone()), newline: self.newline };
        if let Some(new) = written.merged(key, patch) {
            self.cuts.replace(span, new);
        }
    }

    /// A line for a key whose value is written out already.
    pub(super) fn insert_line(&mut self, body: &Body, key: &str, value: &str) {
        let line = format!("{}{} = {value}{}", body.prefix, key_text(key), self.newline);
        self.insert_at_line(body.at, line);
    }

    fn insert_key(&mut self, body: &Body, key: &str, patch: &PatchValue) {
        if let Some(value) = patch.to_value() {
            let indent = indent(&body.prefix, 0).to_owned();
            self.insert_line(body, key, &render(&value, self.newline, &indent));
        }
    }

    fn insert_at_line(&mut self, at: usize, mut lines: String) {
        if lines.is_empty() {
            return;
        }
        if !between(self.text, 0..at).is_empty() && !between(self.text, 0..at).ends_with('\n') {
            // The last line of the text has no end: it gets one, and the new last line has none.
            lines = format!("{}{}", self.newline, lines.trim_end());
        }
        self.cuts.insert(at, lines);
    }

    /// Takes away each line of a key, dotted or not.
    fn remove_values(&mut self, table: &Table, key: &str) {
        for (keys, value) in table.get_values() {
            if keys.first().is_some_and(|first| first.get() == key)
                && let (Some(leaf), Some(span)) = (keys.last().and_then(|leaf| leaf.span()), value.span())
            {
                self.cuts.remove(line_start(self.text, leaf.start)..line_end(self.text, span.end));
            }
        }
    }
}
