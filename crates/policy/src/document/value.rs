//! Single values of the document, each checked for its type, its words and its meaning.

use std::time::Duration;

use sealpost_types::{Hop, Level, NameMatch, OnExpiry, ReferenceName, TlsVersion, parse_span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::Text;
use super::problem::{Problem, levels_of};
use crate::asked::Asked;
use crate::pattern::Pattern;

/// A value with the place where it is written.
#[derive(Debug)]
pub(crate) struct Written<T> {
    pub(crate) offset: usize,
    pub(crate) value: T,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Text<'_> {
    pub(crate) fn check_keys(&mut self, table: &DeTable<'_>, name: &'static str, allowed: &'static [&'static str]) {
        for key in table.keys().filter(|key| !allowed.contains(&&**key.get_ref())) {
            let problem = Problem::UnknownKey { key: key.get_ref().to_string(), table: name, allowed };
            self.problem(key.span().start, problem);
        }
    }

    pub(crate) fn wrong_type(&mut self, value: &Value<'_>, key: &str, expected: &'static str) {
        let problem = Problem::WrongType { key: key.to_owned(), expected, found: type_words(value.get_ref()) };
        self.problem(value.span().start, problem);
    }

    pub(crate) fn table_at<'v, 'i>(
        &mut self,
        table: &'v DeTable<'i>,
        key: &str,
        expected: &'static str,
    ) -> Option<(usize, &'v DeTable<'i>)> {
        let value = table.get(key)?;
        if let Some(inner) = value.get_ref().as_table() {
            return Some((value.span().start, inner));
        }
        self.wrong_type(value, key, expected);
        None
    }

    pub(crate) fn tables_at<'v, 'i>(&mut self, table: &'v DeTable<'i>, key: &str, expected: &'static str) -> Vec<(usize, &'v DeTable<'i>)> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, key, expected);
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(inner) => tables.push((item.span().start, inner)),
                None => self.wrong_type(item, key, expected),
            }
        }
        tables
    }

    pub(crate) fn string_at<'v>(&mut self, table: &'v DeTable<'_>, key: &str, expected: &'static str) -> Option<(usize, &'v str)> {
        let value = table.get(key)?;
        self.string(value, key, expected)
    }

    fn string<'v>(&mut self, value: &'v Value<'_>, key: &str, expected: &'static str) -> Option<(usize, &'v str)> {
        if let Some(text) = value.get_ref().as_str() {
            return Some((value.span().start, text));
        }
        self.wrong_type(value, key, expected);
        None
    }

    /// One of the words of `allowed`; `read` finds its meaning.
    fn word<T>(
        &mut self,
        value: &Value<'_>,
        key: &str,
        allowed: &'static [&'static str],
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (offset, found) = self.string(value, key, expected)?;
        let meaning = read(found);
        if meaning.is_none() {
            self.problem(offset, Problem::UnknownWord { key: key.to_owned(), found: found.to_owned(), allowed });
        }
        meaning
    }

    pub(crate) fn duration_at(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<Duration> {
        let (offset, found) = self.string_at(table, key, "a text such as \"7d\"")?;
        let duration = parse_span(found).ok().filter(|span| !span.is_zero());
        if duration.is_none() {
            self.problem(offset, Problem::Duration { key, found: found.to_owned() });
        }
        duration
    }

    pub(crate) fn on_expiry_at(&mut self, table: &DeTable<'_>) -> Option<OnExpiry> {
        let value = table.get("on_expiry")?;
        self.word(value, "on_expiry", &["bounce", "delete"], "\"bounce\" or \"delete\"", |word| match word {
            "bounce" => Some(OnExpiry::Bounce),
            "delete" => Some(OnExpiry::Delete),
            _ => None,
        })
    }

    /// The items of a list, or of a text in which spaces, commas and line ends separate them in any mix.
    fn items<'v>(&mut self, value: &'v Value<'_>, key: &str) -> Option<Vec<Written<&'v str>>> {
        const EXPECTED: &str = "a text, or a list of texts";
        let mut items = Vec::new();
        match value.get_ref() {
            DeValue::String(text) => self.cut(value, text, &mut items),
            DeValue::Array(array) => {
                for item in array.iter() {
                    match item.get_ref() {
                        DeValue::String(text) => self.cut(item, text, &mut items),
                        _ => self.wrong_type(item, key, EXPECTED),
                    }
                }
            }
            _ => {
                self.wrong_type(value, key, EXPECTED);
                return None;
            }
        }
        Some(items)
    }

    fn cut<'v>(&self, value: &Value<'_>, text: &'v str, items: &mut Vec<Written<&'v str>>) {
        let span = value.span();
        let source = self.text.get(span.clone()).unwrap_or_default();
        // An item stands in the source as it is, unless it is written with escapes; from there on the value's place must do.
        let mut searched = Some(0);
        for item in text.split(|c: char| c.is_whitespace() || c == ',').filter(|item| !item.is_empty()) {
            let found = searched.and_then(|from| source.get(from..)?.find(item).map(|at| from + at));
            searched = found.map(|at| at + item.len());
            items.push(Written { offset: span.start + found.unwrap_or(0), value: item });
        }
    }

    pub(crate) fn patterns_at(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<Written<Pattern>>> {
        let items = self.items(table.get(key)?, key)?;
        let mut patterns = Vec::with_capacity(items.len());
        for Written { offset, value } in items {
            match value.parse() {
                Ok(pattern) => patterns.push(Written { offset, value: pattern }),
                Err(cause) => self.problem(offset, Problem::Pattern { found: value.to_owned(), cause }),
            }
        }
        Some(patterns)
    }

    fn names(&mut self, value: &Value<'_>) -> Option<Vec<ReferenceName>> {
        let mut names: Vec<ReferenceName> = Vec::new();
        for Written { offset, value } in self.items(value, "names")? {
            match value.parse::<ReferenceName>() {
                Ok(name) => names.push(name),
                Err(error) => self.problem(offset, Problem::CertificateName { found: error.found, cause: error.cause }),
            }
        }
        names.sort();
        names.dedup();
        Some(names)
    }

    fn level(&mut self, value: &Value<'_>, key: &str, hop: Hop) -> Option<Level> {
        let expected = match hop {
            Hop::Receive => "a level such as \"require\", or a table { level = \"require\" }",
            Hop::Deliver => "a level such as \"require\", or a table { level = \"verify\", names = [\"mx.example.org\"] }",
        };
        let level: Level = self.word(value, key, levels_of(hop), expected, |word| word.parse().ok())?;
        if !levels_of(hop).contains(&level.as_str()) {
            self.problem(value.span().start, Problem::LevelOnHop { level, hop });
            return None;
        }
        Some(level)
    }

    /// What stands behind `receive` or `deliver`. Keys whose meaning hangs on an inherited level are noted in `unchecked`.
    pub(crate) fn asked(&mut self, value: &Value<'_>, hop: Hop, unchecked: &mut Vec<(Hop, &'static str, usize)>) -> Asked {
        let hop_key = match hop {
            Hop::Receive => "receive",
            Hop::Deliver => "deliver",
        };
        let Some(table) = value.get_ref().as_table() else {
            return Asked { level: self.level(value, hop_key, hop), ..Asked::default() };
        };
        self.check_hop_keys(table, hop);
        let mut asked = Asked {
            level: table.get("level").and_then(|value| self.level(value, "level", hop)),
            min_version: table.get("min_version").and_then(|value| {
                self.word(value, "min_version", &["1.2", "1.3"], "\"1.2\" or \"1.3\"", |word| match word {
                    "1.2" => Some(TlsVersion::Tls1_2),
                    "1.3" => Some(TlsVersion::Tls1_3),
                    _ => None,
                })
            }),
            ..Asked::default()
        };
        if hop == Hop::Deliver {
            asked.names = table.get("names").and_then(|value| self.names(value));
            asked.matching = table.get("match").and_then(|value| {
                self.word(value, "match", &["domain", "mx"], "\"domain\" or \"mx\"", |word| match word {
                    "domain" => Some(NameMatch::Domain),
                    "mx" => Some(NameMatch::Mx),
                    _ => None,
                })
            });
            asked.lifetime = self.duration_at(table, "lifetime");
            asked.on_expiry = self.on_expiry_at(table);
        }
        for key in ["names", "match", "min_version"] {
            let Some((written, _)) = table.get_key_value(key) else { continue };
            let offset = written.span().start;
            match asked.level {
                Some(level) if !has_meaning(key, level) => self.problem(offset, Problem::KeyAtLevel { key, level, inherited: false }),
                // A level that could not be read has its own message.
                None if table.get("level").is_none() && (hop == Hop::Deliver || key == "min_version") => unchecked.push((hop, key, offset)),
                _ => {}
            }
        }
        asked
    }

    fn check_hop_keys(&mut self, table: &DeTable<'_>, hop: Hop) {
        let allowed = match hop {
            Hop::Receive => RECEIVE_KEYS,
            Hop::Deliver => DELIVER_KEYS,
        };
        for key in table.keys().filter(|key| !allowed.contains(&&**key.get_ref())) {
            let name = key.get_ref().to_string();
            let problem = if DELIVER_KEYS.contains(&name.as_str()) {
                Problem::KeyOnHop { key: name, hop, allowed }
            } else {
                let table = match hop {
                    Hop::Receive => "receive",
                    Hop::Deliver => "deliver",
                };
                Problem::UnknownKey { key: name, table, allowed }
            };
            self.problem(key.span().start, problem);
        }
    }
}

/// Whether a key means anything beside this level.
pub(crate) fn has_meaning(key: &str, level: Level) -> bool {
    match key {
        "min_version" => level != Level::None,
        _ => level == Level::Verify,
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

const RECEIVE_KEYS: &[&str] = &["level", "min_version"];
const DELIVER_KEYS: &[&str] = &["level", "names", "match", "min_version", "lifetime", "on_expiry"];
