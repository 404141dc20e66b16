//! Single values of the document, each checked for its type and read by its words.

use sealpost_types::{Pin, ReferenceName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::Text;
use super::problem::Problem;
use crate::network::ClientPattern;
use crate::pattern::{AddressPattern, LocalPattern, Pattern};

/// A value with the place where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Written<T> {
    pub(crate) offset: usize,
    pub(crate) value: T,
}

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

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

    pub(super) fn string<'v>(&mut self, value: &'v Value<'_>, key: &str, expected: &'static str) -> Option<(usize, &'v str)> {
        if let Some(text) = value.get_ref().as_str() {
            return Some((value.span().start, text));
        }
        self.wrong_type(value, key, expected);
        None
    }

    /// A text, read by `read`; what that refuses is noted.
    pub(crate) fn read_at<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let (offset, found) = self.string_at(table, key, expected)?;
        self.noted(offset, read(found))
    }

    /// What was read; a problem is noted.
    pub(crate) fn noted<T>(&mut self, offset: usize, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.problem(offset, problem)).ok()
    }

    pub(crate) fn boolean_at(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        if let DeValue::Boolean(yes) = value.get_ref() {
            return Some(*yes);
        }
        self.wrong_type(value, key, "true or false");
        None
    }

    /// A whole number from 1.
    pub(crate) fn count_at(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<u32> {
        let value = table.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, key, "a whole number from 1");
            return None;
        };
        let count = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|count| *count > 0);
        if count.is_none() {
            self.problem(value.span().start, Problem::Count { key, found: number.as_str().to_owned() });
        }
        count
    }

    /// A date, as TOML writes it or as a text.
    pub(crate) fn date_at(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<sealpost_types::UnixMillis> {
        let value = table.get(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(date) => date.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.wrong_type(value, key, "a date such as 2026-12-31");
                return None;
            }
        };
        self.noted(value.span().start, super::words::until(&text))
    }

    /// The items of a list, or of a text in which spaces, commas and line ends separate them in any mix.
    pub(crate) fn items<'v>(&mut self, value: &'v Value<'_>, key: &str) -> Option<Vec<Written<&'v str>>> {
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
        for item in items_of(text) {
            let found = searched.and_then(|from| source.get(from..)?.find(item).map(|at| from + at));
            searched = found.map(|at| at + item.len());
            items.push(Written { offset: span.start + found.unwrap_or(0), value: item });
        }
    }

    /// Each item of a list, read by `read`; what that refuses is noted and left out.
    pub(crate) fn list_at<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<Written<T>>> {
        let items = self.items(table.get(key)?, key)?;
        let mut read_items = Vec::with_capacity(items.len());
        for Written { offset, value } in items {
            read_items.extend(self.noted(offset, read(value)).map(|value| Written { offset, value }));
        }
        Some(read_items)
    }

    /// The same for a list that would silence its entry, or let nobody through, if nothing stood in it.
    pub(super) fn filled_list<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let problems = self.problems();
        let list = self.list_at(table, key, read)?;
        if list.is_empty() && self.problems() == problems {
            let offset = table.get(key).map_or(0, |value| value.span().start);
            self.problem(offset, Problem::Empty { key, expected });
        }
        Some(values(list))
    }
}

/// The items of a text in which spaces, commas and line ends separate them in any mix (D3).
pub(crate) fn items_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|item| !item.is_empty())
}

pub(crate) fn values<T>(written: Vec<Written<T>>) -> Vec<T> {
    written.into_iter().map(|written| written.value).collect()
}

pub(crate) fn pattern(text: &str) -> Result<Pattern, Problem> {
    text.parse().map_err(|cause| Problem::Pattern { found: text.to_owned(), cause })
}

pub(crate) fn address(text: &str) -> Result<AddressPattern, Problem> {
    text.parse().map_err(|cause| Problem::Address { found: text.to_owned(), cause })
}

pub(crate) fn local(text: &str) -> Result<LocalPattern, Problem> {
    text.parse().map_err(|cause| Problem::Address { found: text.to_owned(), cause })
}

pub(crate) fn client(text: &str) -> Result<ClientPattern, Problem> {
    text.parse().map_err(|cause| Problem::Client { found: text.to_owned(), cause })
}

pub(crate) fn pin(text: &str) -> Result<Pin, Problem> {
    text.parse().map_err(|cause| Problem::Pin { found: text.to_owned(), cause })
}

pub(crate) fn reference_name(text: &str) -> Result<ReferenceName, Problem> {
    text.parse::<ReferenceName>().map_err(|error| Problem::CertificateName { found: error.found, cause: error.cause })
}

/// Sorted, each once.
pub(crate) fn as_set<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values.dedup();
    values
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
