//! The entries that ask for levels: owners, hosted domains, partners and included lists.

use std::sync::Arc;

use sealpost_types::{NextHop, UnixMillis};
use toml::de::DeTable;

use super::hop::HopEntries;
use super::place::Text;
use super::problem::{self, Problem};
use super::value::{Written, client, pattern, values};
use super::words;
use crate::layer::Side;
use crate::network::ClientPattern;
use crate::pattern::Pattern;

/// Whether an entry counts: `mode`, `until`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) testing: bool,
    pub(crate) until: Option<UnixMillis>,
}

/// One `[[owner]]`.
#[derive(Debug)]
pub(crate) struct OwnerEntry {
    pub(crate) line: u32,
    pub(crate) name: Written<Arc<str>>,
    pub(crate) parent: Option<Written<Arc<str>>>,
    pub(crate) hops: HopEntries,
    pub(crate) standing: Standing,
}

/// One `[[domain]]`.
#[derive(Debug)]
pub(crate) struct DomainEntry {
    pub(crate) line: u32,
    pub(crate) name: Written<Pattern>,
    pub(crate) owner: Option<Written<Arc<str>>>,
    pub(crate) route: Option<NextHop>,
    pub(crate) servers: Vec<ClientPattern>,
    pub(crate) hops: HopEntries,
    pub(crate) standing: Standing,
}

/// One `[[partner]]`.
#[derive(Debug)]
pub(crate) struct PartnerEntry {
    pub(crate) line: u32,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) domains: Vec<Written<Pattern>>,
    pub(crate) subdomains: bool,
    pub(crate) exclude: Vec<Pattern>,
    /// `for`: domain patterns, and `owner:NAME`.
    pub(crate) ends: Option<Vec<Written<End>>>,
    pub(crate) clients: Vec<ClientPattern>,
    pub(crate) hops: HopEntries,
    pub(crate) standing: Standing,
}

/// One of the other ends that a partner is for.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Name(Pattern),
    Owner(Arc<str>),
}

/// One `[[include]]`.
#[derive(Debug)]
pub(crate) struct IncludeEntry {
    pub(crate) line: u32,
    pub(crate) file: Written<Arc<str>>,
    pub(crate) hops: HopEntries,
    pub(crate) standing: Standing,
}

impl OwnerEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[owner]]", &["name", "parent", "receive", "submit", "deliver", "mode", "until", "reason"]);
        let hops = HopEntries::read(text, table, &[Side::Receive, Side::Submit, Side::Deliver]);
        let parent = text.name_at(table, "parent");
        let standing = text.standing(table, &hops);
        let name = text.required_name(offset, table, "[[owner]]")?;
        Some(Self { line: text.line(offset), name, parent, hops, standing })
    }
}

impl DomainEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[domain]]", DOMAIN_KEYS);
        let route = text.string_at(table, "route", "a next hop such as \"mail.example.org:25\"").and_then(|(offset, found)| {
            found.parse().map_err(|cause| text.problem(offset, Problem::Route { found: found.to_owned(), cause })).ok()
        });
        let owner = text.name_at(table, "owner");
        let servers = text.list_at(table, "servers", client).map(values).unwrap_or_default();
        let hops = HopEntries::read(text, table, &[Side::Receive, Side::Submit, Side::Deliver]);
        let standing = text.standing(table, &hops);
        if table.get("name").is_none() {
            text.problem(offset, Problem::MissingKey { key: "name", table: "[[domain]]" });
        }
        let (name_offset, found) = text.string_at(table, "name", "a domain such as \"example.org\"")?;
        let name = Written { offset: name_offset, value: text.noted(name_offset, pattern(found))? };
        if found.chars().all(|c| matches!(c, '*' | '?' | '.')) {
            text.problem(name_offset, Problem::EveryDomainHosted { found: found.to_owned() });
        }
        Some(Self { line: text.line(offset), name, owner, route, servers, hops, standing })
    }
}

impl PartnerEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[partner]]", PARTNER_KEYS);
        let name = text.name_at(table, "name").map(|written| written.value);
        let subdomains = text.boolean_at(table, "subdomains").unwrap_or(true);
        let exclude = text.list_at(table, "exclude", pattern).map(values).unwrap_or_default();
        let ends = text.list_at(table, "for", end);
        if let (Some(value), Some([])) = (table.get("for"), ends.as_deref()) {
            text.problem(value.span().start, Problem::Empty { key: "for", expected: "whom the partner is for, or leave it out" });
        }
        let clients = text.clients_at(table, "clients");
        let hops = HopEntries::read(text, table, &[Side::Receive, Side::Deliver]);
        let standing = text.standing(table, &hops);
        let Some(value) = table.get("domains") else {
            text.problem(offset, Problem::MissingKey { key: "domains", table: "[[partner]]" });
            return None;
        };
        let problems = text.problems();
        let domains = text.list_at(table, "domains", pattern)?;
        if domains.is_empty() && text.problems() == problems {
            text.problem(value.span().start, Problem::Empty { key: "domains", expected: "at least one domain, or * for all" });
        }
        Some(Self { line: text.line(offset), name, domains, subdomains, exclude, ends, clients, hops, standing })
    }
}

impl IncludeEntry {
    pub(super) fn read(text: &mut Text<'_>, offset: usize, table: &DeTable<'_>) -> Option<Self> {
        text.check_keys(table, "[[include]]", &["file", "receive", "deliver", "mode", "until", "reason"]);
        let hops = HopEntries::read(text, table, &[Side::Receive, Side::Deliver]);
        let standing = text.standing(table, &hops);
        if table.get("file").is_none() {
            text.problem(offset, Problem::MissingKey { key: "file", table: "[[include]]" });
        }
        let (file_offset, file) = text.string_at(table, "file", "a file such as \"partners.csv\"")?;
        if file.is_empty() {
            text.problem(file_offset, Problem::Empty { key: "file", expected: "a file such as \"partners.csv\"" });
            return None;
        }
        Some(Self { line: text.line(offset), file: Written { offset: file_offset, value: Arc::from(file) }, hops, standing })
    }
}

impl Text<'_> {
    /// A name for people: of an owner, a partner, a list or a rule.
    pub(super) fn name_at(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<Written<Arc<str>>> {
        let (offset, name) = self.string_at(table, key, "a text")?;
        let value = self.noted(offset, name_of(key, name))?;
        Some(Written { offset, value })
    }

    pub(super) fn required_name(&mut self, offset: usize, table: &DeTable<'_>, kind: &'static str) -> Option<Written<Arc<str>>> {
        if table.get("name").is_none() {
            self.problem(offset, Problem::MissingKey { key: "name", table: kind });
        }
        self.name_at(table, "name")
    }

    /// Clients that are known by themselves, whatever sender they name.
    pub(super) fn clients_at(&mut self, table: &DeTable<'_>, key: &'static str) -> Vec<ClientPattern> {
        self.list_at(table, key, |found| match client(found)? {
            ClientPattern::Shared(_) => Err(Problem::SharedClient { found: found.to_owned(), key }),
            client => Ok(client),
        })
        .map(values)
        .unwrap_or_default()
    }

    /// In defaults nothing published is ignored: one line would do it for everybody, without end.
    pub(super) fn no_ignoring(&mut self, hops: &HopEntries) {
        if let Some(offset) = hops.ignores_published {
            self.problem(offset, Problem::IgnoresForAll);
        }
    }

    pub(super) fn standing(&mut self, table: &DeTable<'_>, hops: &HopEntries) -> Standing {
        let testing = self.read_at(table, "mode", "\"enforce\" or \"testing\"", |found| words::mode("mode", found)).unwrap_or_default();
        let reason = self.string_at(table, "reason", "a text");
        let until = self.date_at(table, "until");
        if let Some(offset) = hops.ignores_published {
            let missing = [("reason", reason.is_some_and(|(_, text)| !text.trim().is_empty())), ("until", table.get("until").is_some())];
            for (key, _) in missing.into_iter().filter(|(_, there)| !there) {
                self.problem(offset, Problem::IgnoresWithout { key });
            }
        }
        Standing { testing, until }
    }
}

/// A name that people read in replies and traces: one line, not too long.
pub(crate) fn name_of(key: &'static str, name: &str) -> Result<Arc<str>, Problem> {
    let characters = name.chars().count();
    if name.trim().is_empty() {
        return Err(Problem::Empty { key, expected: "a name, or leave it out" });
    }
    if characters > problem::NAME_CHARACTERS || name.chars().any(char::is_control) {
        return Err(Problem::Name { characters });
    }
    Ok(Arc::from(name))
}

pub(crate) fn end(text: &str) -> Result<End, Problem> {
    match text.strip_prefix("owner:") {
        Some(owner) => name_of("for", owner).map(End::Owner),
        None => pattern(text).map(End::Name),
    }
}

const DOMAIN_KEYS: &[&str] = &["name", "owner", "route", "servers", "receive", "submit", "deliver", "mode", "until", "reason"];

const PARTNER_KEYS: &[&str] =
    &["name", "domains", "subdomains", "exclude", "for", "clients", "receive", "deliver", "mode", "until", "reason"];
