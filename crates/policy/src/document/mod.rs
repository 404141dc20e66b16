//! The policy document: TOML in, entries or every problem out.

mod place;
mod problem;
mod value;

use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Hop, NextHop, OnExpiry};
use toml::de::{DeTable, DeValue};

use crate::asked::Asked;
use crate::pattern::Pattern;

pub use problem::{PolicyError, PolicyErrors, Problem};

pub(crate) use place::Text;
pub(crate) use value::{Written, has_meaning};

/// A document as it was written, before anything is looked up in it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) base: Base,
    pub(crate) hosted: ScopeDefaults,
    pub(crate) external: ScopeDefaults,
    pub(crate) domains: Vec<DomainEntry>,
    pub(crate) partners: Vec<PartnerEntry>,
}

/// `[defaults]` itself.
#[derive(Debug, Default)]
pub(crate) struct Base {
    pub(crate) line: u32,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) on_expiry: Option<OnExpiry>,
}

/// `[defaults.hosted]` or `[defaults.external]`.
#[derive(Debug, Default)]
pub(crate) struct ScopeDefaults {
    pub(crate) line: u32,
    pub(crate) hops: Hops,
}

/// What one entry says of both hops.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    pub(crate) receive: Asked,
    pub(crate) deliver: Asked,
    /// Where `names`, `match` or `min_version` stands without a level beside it: to be checked against the level that holds.
    pub(crate) unchecked: Vec<(Hop, &'static str, usize)>,
}

/// One `[[domain]]`.
#[derive(Debug)]
pub(crate) struct DomainEntry {
    pub(crate) line: u32,
    pub(crate) name: Written<Pattern>,
    pub(crate) route: Option<NextHop>,
    pub(crate) hops: Hops,
}

/// One `[[partner]]`.
#[derive(Debug)]
pub(crate) struct PartnerEntry {
    pub(crate) line: u32,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) domains: Vec<Written<Pattern>>,
    pub(crate) subdomains: bool,
    pub(crate) exclude: Vec<Pattern>,
    pub(crate) hops: Hops,
}

impl Document {
    /// Reads as much as can be read; what is wrong is noted in `text`.
    pub(crate) fn read(text: &mut Text<'_>) -> Self {
        let (root, syntax) = DeTable::parse_recoverable(text.text);
        for error in &syntax {
            let offset = error.span().map_or(text.text.len(), |span| span.start);
            text.syntax_problem(offset, error.message());
        }
        Self::read_root(text, root.get_ref())
    }

    fn read_root(text: &mut Text<'_>, root: &DeTable<'_>) -> Self {
        let mut document = Self::default();
        text.check_keys(root, problem::ROOT, &["defaults", "domain", "partner"]);
        if let Some((offset, defaults)) = text.table_at(root, "defaults", "a table [defaults]") {
            text.check_keys(defaults, "[defaults]", &["lifetime", "on_expiry", "hosted", "external"]);
            document.base =
                Base { line: text.line(offset), lifetime: text.duration_at(defaults, "lifetime"), on_expiry: text.on_expiry_at(defaults) };
            if let Some((offset, hosted)) = text.table_at(defaults, "hosted", "a table [defaults.hosted]") {
                text.check_keys(hosted, "[defaults.hosted]", &["receive", "deliver"]);
                document.hosted = ScopeDefaults { line: text.line(offset), hops: Hops::read(text, hosted) };
            }
            if let Some((offset, external)) = text.table_at(defaults, "external", "a table [defaults.external]") {
                text.check_keys(external, "[defaults.external]", &["receive", "deliver"]);
                document.external = ScopeDefaults { line: text.line(offset), hops: Hops::read(text, external) };
            }
        }
        for (offset, table) in text.tables_at(root, "domain", "an array of tables: [[domain]]") {
            document.domains.extend(DomainEntry::read(text, offset, table));
        }
        for (offset, table) in text.tables_at(root, "partner", "an array of tables: [[partner]]") {
            document.partners.extend(PartnerEntry::read(text, offset, table));
        }
        document
    }
}

impl DomainEntry {
    fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[domain]]", &["name", "route", "receive", "deliver"]);
        let route = text.string_at(table, "route", "a next hop such as \"mail.example.org:25\"").and_then(|(offset, found)| {
            found.parse().map_err(|cause| text.problem(offset, Problem::Route { found: found.to_owned(), cause })).ok()
        });
        let hops = Hops::read(text, table);
        if table.get("name").is_none() {
            text.problem(offset, Problem::MissingKey { key: "name", table: "[[domain]]" });
        }
        let (name_offset, found) = text.string_at(table, "name", "a domain such as \"example.org\"")?;
        let pattern = match found.parse::<Pattern>() {
            Ok(pattern) => pattern,
            Err(cause) => {
                text.problem(name_offset, Problem::Pattern { found: found.to_owned(), cause });
                return None;
            }
        };
        if found.chars().all(|c| matches!(c, '*' | '?' | '.')) {
            text.problem(name_offset, Problem::EveryDomainHosted { found: found.to_owned() });
        }
        Some(Self { line: text.line(offset), name: Written { offset: name_offset, value: pattern }, route, hops })
    }
}

impl PartnerEntry {
    fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[partner]]", &["name", "domains", "subdomains", "exclude", "receive", "deliver"]);
        let name = text.string_at(table, "name", "a text").and_then(|(offset, name)| {
            let characters = name.chars().count();
            if name.trim().is_empty() {
                text.problem(offset, Problem::Empty { key: "name", expected: "a name, or leave it out" });
                return None;
            }
            if characters > problem::PARTNER_NAME_CHARACTERS || name.chars().any(char::is_control) {
                text.problem(offset, Problem::PartnerName { characters });
                return None;
            }
            Some(Arc::from(name))
        });
        let subdomains = table.get("subdomains").is_none_or(|value| match value.get_ref() {
            DeValue::Boolean(yes) => *yes,
            _ => {
                text.wrong_type(value, "subdomains", "true or false");
                true
            }
        });
        let exclude = text.patterns_at(table, "exclude").unwrap_or_default().into_iter().map(|written| written.value).collect();
        let hops = Hops::read(text, table);
        let Some(value) = table.get("domains") else {
            text.problem(offset, Problem::MissingKey { key: "domains", table: "[[partner]]" });
            return None;
        };
        let problems = text.problems();
        let domains = text.patterns_at(table, "domains")?;
        if domains.is_empty() && text.problems() == problems {
            text.problem(value.span().start, Problem::Empty { key: "domains", expected: "at least one domain, or * for all" });
        }
        Some(Self { line: text.line(offset), name, domains, subdomains, exclude, hops })
    }
}

impl Hops {
    fn read(text: &mut Text<'_>, table: &DeTable<'_>) -> Self {
        let mut hops = Self::default();
        if let Some(value) = table.get("receive") {
            hops.receive = text.asked(value, Hop::Receive, &mut hops.unchecked);
        }
        if let Some(value) = table.get("deliver") {
            hops.deliver = text.asked(value, Hop::Deliver, &mut hops.unchecked);
        }
        hops
    }
}
