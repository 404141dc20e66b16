//! Message rules and the named lists that they look into.

use std::sync::Arc;

use toml::de::DeTable;
use wildmatch::WildMatch;

use super::entry::Standing;
use super::hop::HopEntries;
use super::place::Text;
use super::problem::Problem;
use super::value::{Written, address, values};
use super::words;
use crate::facts::HeaderLevel;
use crate::header::FieldName;
use crate::pattern::AddressPattern;
use crate::rule::Direction;

/// One `[[list]]`.
#[derive(Debug)]
pub(crate) struct ListEntry {
    pub(crate) name: Written<Arc<str>>,
    pub(crate) line: u32,
    pub(crate) entries: Vec<AddressPattern>,
}

/// One `[[rule]]`.
#[derive(Debug)]
pub(crate) struct RuleEntry {
    pub(crate) name: Written<Arc<str>>,
    pub(crate) line: u32,
    pub(crate) direction: Option<Direction>,
    pub(crate) sender: Option<ListCondition>,
    pub(crate) recipient: Option<ListCondition>,
    pub(crate) header: Option<HeaderCondition>,
    pub(crate) level: Option<HeaderLevel>,
    pub(crate) stop: bool,
    pub(crate) standing: Standing,
}

/// `{ matches = "list" }` or `{ not_matches = "list" }`.
#[derive(Debug)]
pub(crate) struct ListCondition {
    pub(crate) list: Written<Arc<str>>,
    pub(crate) is_in: bool,
}

/// `{ name = "X", matches = "pattern" }`.
#[derive(Debug)]
pub(crate) struct HeaderCondition {
    pub(crate) name: Arc<str>,
    pub(crate) value: WildMatch,
}

impl ListEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[list]]", &["name", "entries"]);
        if table.get("entries").is_none() {
            text.problem(offset, Problem::MissingKey { key: "entries", table: "[[list]]" });
        }
        let entries = text.list_at(table, "entries", address).map(values).unwrap_or_default();
        let name = text.required_name(offset, table, "[[list]]")?;
        Some(Self { name, line: text.line(offset), entries })
    }
}

impl RuleEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>, header: &FieldName) -> Option<Self> {
        text.check_keys(table, "[[rule]]", &["name", "when", "then", "mode", "until", "reason"]);
        let standing = text.standing(table, &HopEntries::default());
        let when = text.table_at(table, "when", "a table { direction = \"outbound\" }").map(|(_, when)| when);
        let (mut direction, mut sender, mut recipient, mut condition) = (None, None, None, None);
        if let Some(when) = when {
            text.check_keys(when, "when", &["direction", "sender", "recipient", "header"]);
            direction = text.read_at(when, "direction", "\"inbound\" or \"outbound\"", |found| words::direction("direction", found));
            sender = text.list_condition(when, "sender");
            recipient = text.list_condition(when, "recipient");
            condition = text.header_condition(when, header);
        }
        let mut level = None;
        let mut stop = false;
        match text.table_at(table, "then", "a table { add_header = { X-TLSLevel = \"Require\" } }") {
            Some((then_offset, then)) => {
                text.check_keys(then, "then", &["add_header", "stop"]);
                level = text.added_header(then, header);
                stop = text.boolean_at(then, "stop").unwrap_or_default();
                if then.is_empty() {
                    text.problem(then_offset, Problem::Empty { key: "then", expected: "add_header, stop, or both" });
                }
            }
            None if table.get("then").is_none() => text.problem(offset, Problem::MissingKey { key: "then", table: "[[rule]]" }),
            None => {}
        }
        let name = text.required_name(offset, table, "[[rule]]")?;
        Some(Self { name, line: text.line(offset), direction, sender, recipient, header: condition, level, stop, standing })
    }
}

impl Text<'_> {
    fn list_condition(&mut self, when: &DeTable<'_>, key: &'static str) -> Option<ListCondition> {
        let (offset, table) = self.table_at(when, key, "a table { matches = \"name of a list\" }")?;
        self.check_keys(table, key, &["matches", "not_matches"]);
        let found = [("matches", true), ("not_matches", false)]
            .map(|(key, is_in)| self.name_at(table, key).map(|list| ListCondition { list, is_in }));
        match found {
            [Some(one), None] | [None, Some(one)] => Some(one),
            [None, None] if !table.contains_key("matches") && !table.contains_key("not_matches") => {
                self.problem(offset, Problem::Empty { key, expected: "{ matches = \"name of a list\" }" });
                None
            }
            [Some(_), Some(second)] => {
                self.problem(second.list.offset, Problem::BothMatches { key });
                None
            }
            [None, None] => None,
        }
    }

    fn header_condition(&mut self, when: &DeTable<'_>, taken_out: &FieldName) -> Option<HeaderCondition> {
        let (offset, table) = self.table_at(when, "header", "a table { name = \"Subject\", matches = \"*secret*\" }")?;
        self.check_keys(table, "header", &["name", "matches"]);
        for key in ["name", "matches"].into_iter().filter(|key| !table.contains_key(*key)) {
            self.problem(offset, Problem::MissingKey { key, table: "header" });
        }
        let (name_offset, name) = self.string_at(table, "name", "the name of a header field")?;
        let name = self.noted(name_offset, field_name(name))?;
        if name == *taken_out {
            self.problem(name_offset, Problem::HeaderTakenOut { header: name.as_str().to_owned() });
        }
        let (_, value) = self.string_at(table, "matches", "a pattern such as \"*secret*\"")?;
        Some(HeaderCondition { name: Arc::from(name.as_str()), value: WildMatch::new(&value.to_lowercase()) })
    }

    /// What the one field says that a rule may add.
    fn added_header(&mut self, then: &DeTable<'_>, header: &FieldName) -> Option<HeaderLevel> {
        let (offset, fields) = self.table_at(then, "add_header", "a table { X-TLSLevel = \"Require\" }")?;
        if fields.is_empty() {
            self.problem(offset, Problem::Empty { key: "add_header", expected: "{ X-TLSLevel = \"Require\" }" });
        }
        let mut level = None;
        for (key, value) in fields.iter() {
            if !key.get_ref().eq_ignore_ascii_case(header.as_str()) {
                let problem = Problem::AddedHeader { found: key.get_ref().to_string(), header: header.as_str().to_owned() };
                self.problem(key.span().start, problem);
                continue;
            }
            let Some((offset, found)) = self.string(value, "add_header", "\"Require\" or \"Try\"") else { continue };
            level = HeaderLevel::of_rule(found);
            if level.is_none() {
                let problem =
                    Problem::UnknownWord { key: key.get_ref().to_string(), found: found.to_owned(), allowed: &["Require", "Try"] };
                self.problem(offset, problem);
            }
        }
        level
    }
}

fn field_name(text: &str) -> Result<FieldName, Problem> {
    text.parse().map_err(|cause| Problem::HeaderName { found: text.to_owned(), cause })
}
