//! The policy document: TOML in, entries or every problem out.

mod entry;
mod hop;
mod place;
mod problem;
mod rule;
mod value;
pub(crate) mod words;

use std::sync::Arc;

use toml::de::DeTable;

use crate::asked::Asked;
use crate::header::FieldName;
use crate::layer::Side;
use crate::network::ClientPattern;
use crate::require_tls::RequireTls;

pub use problem::{PolicyError, PolicyErrors, Problem};

pub(crate) use problem::PATTERN_ENTRIES;

pub(crate) use entry::{DomainEntry, End, IncludeEntry, OwnerEntry, PartnerEntry, Standing, end as read_end, name_of};
pub(crate) use hop::{HopEntries, HopEntry, has_meaning};
pub(crate) use place::Text;
pub(crate) use rule::{ListCondition, ListEntry, RuleEntry};
pub(crate) use value::{Written, as_set, items_of, pattern, pin, reference_name};

/// A document as it was written, before anything is looked up in it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) base: Base,
    pub(crate) hosted: ScopeDefaults,
    pub(crate) external: ScopeDefaults,
    pub(crate) owners: Vec<OwnerEntry>,
    pub(crate) domains: Vec<DomainEntry>,
    pub(crate) partners: Vec<PartnerEntry>,
    pub(crate) lists: Vec<ListEntry>,
    pub(crate) rules: Vec<RuleEntry>,
    pub(crate) includes: Vec<IncludeEntry>,
}

/// `[defaults]` itself.
#[derive(Debug, Default)]
pub(crate) struct Base {
    pub(crate) line: u32,
    pub(crate) fate: Asked,
    pub(crate) header: Option<FieldName>,
    pub(crate) header_trust: Vec<ClientPattern>,
    pub(crate) tag_delimiters: Option<Arc<str>>,
    pub(crate) require_tls: Option<RequireTls>,
}

/// `[defaults.hosted]` or `[defaults.external]`.
#[derive(Debug, Default)]
pub(crate) struct ScopeDefaults {
    pub(crate) line: u32,
    pub(crate) hops: HopEntries,
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
        text.check_keys(root, problem::ROOT, ROOT_KEYS);
        if let Some((offset, defaults)) = text.table_at(root, "defaults", "a table [defaults]") {
            document.read_defaults(text, offset, defaults);
        }
        for (offset, table) in text.tables_at(root, "owner", "an array of tables: [[owner]]") {
            document.owners.extend(OwnerEntry::read(text, offset, table));
        }
        for (offset, table) in text.tables_at(root, "domain", "an array of tables: [[domain]]") {
            document.domains.extend(DomainEntry::read(text, offset, table));
        }
        for (offset, table) in text.tables_at(root, "partner", "an array of tables: [[partner]]") {
            document.partners.extend(PartnerEntry::read(text, offset, table));
        }
        for (offset, table) in text.tables_at(root, "list", "an array of tables: [[list]]") {
            document.lists.extend(ListEntry::read(text, offset, table));
        }
        // The name of the header field stands in [defaults], wherever that is written.
        let header = document.base.header.clone().unwrap_or_default();
        for (offset, table) in text.tables_at(root, "rule", "an array of tables: [[rule]]") {
            document.rules.extend(RuleEntry::read(text, offset, table, &header));
        }
        for (offset, table) in text.tables_at(root, "include", "an array of tables: [[include]]") {
            document.includes.extend(IncludeEntry::read(text, offset, table));
        }
        document
    }

    fn read_defaults(&mut self, text: &mut Text<'_>, offset: usize, defaults: &DeTable<'_>) {
        text.check_keys(defaults, "[defaults]", DEFAULTS_KEYS);
        let mut fate = Asked::default();
        text.fate(defaults, &mut fate);
        let header = text.string_at(defaults, "header", "the name of a header field such as \"X-TLSLevel\"").and_then(|(offset, found)| {
            let name = found.parse::<FieldName>().map_err(|cause| Problem::HeaderName { found: found.to_owned(), cause });
            let name = name.and_then(|name| match RESERVED_FIELDS.iter().any(|reserved| name.as_str().eq_ignore_ascii_case(reserved)) {
                true => Err(Problem::ReservedHeader { found: found.to_owned() }),
                false => Ok(name),
            });
            text.noted(offset, name)
        });
        let trust = text.clients_at(defaults, "header_trust");
        let delimiters = text.string_at(defaults, "tag_delimiters", "the characters that part a tag from a local part, such as \"+\"");
        let delimiters = delimiters.and_then(|(offset, found)| {
            if found.chars().all(|c| c.is_ascii_punctuation() && !matches!(c, '@' | '"' | '*' | '?' | '.')) {
                return Some(Arc::from(found));
            }
            text.problem(offset, Problem::Delimiters { found: found.to_owned() });
            None
        });
        let expected = "\"strict\", \"verify\" or \"require\"";
        let require_tls = text.read_at(defaults, "requiretls", expected, |found| words::require_tls("requiretls", found));
        self.base = Base { line: text.line(offset), fate, header, header_trust: trust, tag_delimiters: delimiters, require_tls };
        if let Some((offset, hosted)) = text.table_at(defaults, "hosted", "a table [defaults.hosted]") {
            text.check_keys(hosted, "[defaults.hosted]", &["receive", "submit", "deliver"]);
            let hops = HopEntries::read(text, hosted, &[Side::Receive, Side::Submit, Side::Deliver]);
            text.no_ignoring(&hops);
            self.hosted = ScopeDefaults { line: text.line(offset), hops };
        }
        if let Some((offset, external)) = text.table_at(defaults, "external", "a table [defaults.external]") {
            text.check_keys(external, "[defaults.external]", &["receive", "deliver"]);
            let hops = HopEntries::read(text, external, &[Side::Receive, Side::Deliver]);
            text.no_ignoring(&hops);
            self.external = ScopeDefaults { line: text.line(offset), hops };
        }
    }
}

/// Fields that mail cannot do without, or that tell a loop.
const RESERVED_FIELDS: &[&str] = &["received", "from", "date", "return-path", "message-id"];

const ROOT_KEYS: &[&str] = &["defaults", "owner", "domain", "partner", "list", "rule", "include"];

const DEFAULTS_KEYS: &[&str] = &[
    "lifetime",
    "retry",
    "on_expiry",
    "on_failure",
    "bounce_after",
    "header",
    "header_trust",
    "tag_delimiters",
    "requiretls",
    "hosted",
    "external",
];
