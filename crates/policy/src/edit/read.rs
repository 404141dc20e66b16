//! From a text to its entries.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml_edit::{Document, Item, Table, Value};

use super::place::LineStarts;
use super::{Entry, PolicyText, TextError, TextProblem};
use crate::form::DefaultsForm;

pub(super) fn read(name: &str, text: &str) -> Result<PolicyText, TextError> {
    let name: Arc<str> = Arc::from(name);
    let lines = LineStarts::of(text);
    let fail = |offset: usize, problem| {
        let (line, column) = lines.place(text, offset);
        TextError { file: Arc::clone(&name), line, column, problem }
    };
    let document = Document::parse(text.to_owned()).map_err(|error| {
        let message = error.message().replace('\n', " ");
        fail(error.span().map_or(text.len(), |span| span.start), TextProblem::Syntax { message })
    })?;
    let shape = |offset: usize, error: toml_edit::de::Error| {
        let message = error.message().replace('\n', " ");
        fail(error.span().map_or(offset, |span| span.start), TextProblem::Shape { message })
    };
    let root = document.as_table();
    if let Some((key, _)) = root.iter().find(|(key, _)| !ROOT_KEYS.contains(key)) {
        let offset = root.key(key).and_then(toml_edit::Key::span).map_or(0, |span| span.start);
        return Err(fail(offset, TextProblem::UnknownTable { key: key.to_owned() }));
    }
    let defaults = match root.get("defaults") {
        Some(item) => DefaultsForm::deserialize(as_value(item).into_deserializer())
            .map_err(|error| shape(item.span().map_or(0, |span| span.start), error))?,
        None => DefaultsForm::default(),
    };
    let reader = Reader { root, lines: &lines, fail: &fail, shape: &shape };
    Ok(PolicyText {
        includes: reader.entries("include")?,
        owners: reader.entries("owner")?,
        domains: reader.entries("domain")?,
        partners: reader.entries("partner")?,
        lists: reader.entries("list")?,
        rules: reader.entries("rule")?,
        defaults,
        name,
        document,
    })
}

/// Reads the entries of a document.
struct Reader<'a> {
    root: &'a Table,
    lines: &'a LineStarts,
    fail: &'a dyn Fn(usize, TextProblem) -> TextError,
    shape: &'a dyn Fn(usize, toml_edit::de::Error) -> TextError,
}

impl Reader<'_> {
    fn entries<T: serde::de::DeserializeOwned>(&self, kind: &'static str) -> Result<Vec<Entry<T>>, TextError> {
        let start = |span: Option<std::ops::Range<usize>>| span.map_or(0, |span| span.start);
        let entry = |offset: usize, value: Value| {
            let form = T::deserialize(value.into_deserializer()).map_err(|error| (self.shape)(offset, error))?;
            Ok(Entry { line: self.lines.line(offset), form })
        };
        match self.root.get(kind) {
            None => Ok(Vec::new()),
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter().map(|table| entry(start(table.span()), Value::InlineTable(table.clone().into_inline_table()))).collect()
            }
            Some(Item::Value(Value::Array(array))) => array.iter().map(|value| entry(start(value.span()), value.clone())).collect(),
            Some(other) => Err((self.fail)(start(other.span()), TextProblem::NoTables { kind })),
        }
    }
}

fn as_value(item: &Item) -> Value {
    item.clone().into_value().unwrap_or_else(|_| Value::InlineTable(toml_edit::InlineTable::new()))
}

const ROOT_KEYS: &[&str] = &["include", "defaults", "owner", "domain", "partner", "list", "rule"];
