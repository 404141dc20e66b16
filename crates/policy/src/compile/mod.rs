//! From the document to the form in which names are looked up.

mod check;
mod included;
mod names;
mod row;

use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Level, OnExpiry, TlsVersion};

use self::check::Unchecked;
use self::names::Names;
use crate::asked::Asked;
use crate::demand::PlainDemands;
use crate::document::{
    Document, DomainEntry, HopEntries, HopEntry, OwnerEntry, PATTERN_ENTRIES, PartnerEntry, PolicyErrors, Problem, RuleEntry,
    ScopeDefaults, Standing, Text, Written,
};
use crate::layer::{Brief, Called, Entry, Extra, Hops, Layer};
use crate::network::{ClientIndex, ClientSet};
use crate::pattern::{AddressPattern, AddressSet, LocalPattern, Pattern, TAG_DELIMITERS};
use crate::policy::{Defaults, Main, NamedList, Owner, Policy};
use crate::rule::{HeaderMatch, ListMatch, Rule, When};
use crate::setting::{Conditions, Settings};
use crate::table::{Listed, MAX_ENTRIES, NameSet, Table, Text as Kept};

pub use included::{Include, IncludeError};

pub(crate) use included::IncludedList;

impl Policy {
    /// The policy that `text` describes; `name` is what its errors and traces call the document.
    ///
    /// # Errors
    /// Every problem that can be found, each with its place and what would be right. An `[[include]]` is one: see
    /// [`Self::parse_with`].
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyErrors> {
        Self::parse_with(name, text, &included::Nothing)
    }

    /// The same for a document that includes lists, which `include` reads.
    ///
    /// # Errors
    /// Every problem that can be found in the document and in the lists.
    pub fn parse_with(name: &str, text: &str, include: &dyn Include) -> Result<Self, PolicyErrors> {
        let mut text = Text::new(name, text);
        let mut document = Document::read(&mut text);
        let includes = std::mem::take(&mut document.includes);
        let mut compiler = Compiler::new(&document, &mut text);
        let main = compiler.main(document);
        let names = compiler.names;
        let mut policy =
            Self { plain: Arc::new(PlainDemands::new()), main: Arc::new(main), included: Layer::default(), lists: Arc::default() };
        let errors = policy.include(includes, include, &names, &mut text);
        PolicyErrors::all(text.into_errors(), errors).map_or(Ok(policy), Err)
    }

    /// The policy that another document describes whose included lists are unchanged: their rows are those of this policy, and
    /// none of them is read again.
    ///
    /// Nothing if something is wrong with the document, or if rows may mean something else beside it: another
    /// `[[include]]`, other owners, a hosted domain more that may be one of a row. [`Self::parse_with`] reads it then.
    #[must_use]
    pub fn with_document(&self, name: &str, text: &str) -> Option<Self> {
        let mut text = Text::new(name, text);
        let mut document = Document::read(&mut text);
        let includes = std::mem::take(&mut document.includes);
        let main = Compiler::new(&document, &mut text).main(document);
        let lists: Vec<_> = includes.into_iter().map(|entry| IncludedList::new(entry, &mut text)).collect();
        let fits = text.into_errors().is_none() && self.rows_fit(&lists, &main);
        fits.then(|| Self { main: Arc::new(main), ..self.clone() })
    }

    /// The policy with nothing configured: opportunistic on both hops (B1).
    #[must_use]
    pub fn builtin() -> Self {
        let mut text = Text::new("built-in", "");
        let main = Compiler::new(&Document::default(), &mut text).main(Document::default());
        Self { plain: Arc::new(PlainDemands::new()), main: Arc::new(main), included: Layer::default(), lists: Arc::default() }
    }
}

/// What is gathered on the way through a document.
struct Compiler<'c, 't> {
    text: &'c mut Text<'t>,
    settings: Settings,
    names: Names,
    unchecked: Vec<Unchecked>,
    delimiters: Arc<str>,
}

impl<'c, 't> Compiler<'c, 't> {
    fn new(document: &Document, text: &'c mut Text<'t>) -> Self {
        let names = Names::new(document, text);
        let delimiters = document.base.tag_delimiters.clone().unwrap_or_else(|| Arc::from(TAG_DELIMITERS));
        let mut settings = Settings::default();
        // In this order: see `BUILTIN` and `BUILTIN_FATE`.
        settings.place(builtin());
        settings.place(Asked { lifetime: Some(DEFAULT_LIFETIME), on_expiry: Some(OnExpiry::Bounce), ..builtin() });
        Self { text, settings, names, unchecked: Vec::new(), delimiters }
    }

    fn main(&mut self, document: Document) -> Main {
        let nothing = self.settings.place(Asked::default());
        let base = self.settings.place(document.base.fate);
        let base = Defaults { line: document.base.line, hops: Hops { receive: nothing, submit: nothing, deliver: base } };
        let hosted_defaults = self.defaults(document.hosted, true);
        let external_defaults = self.defaults(document.external, false);
        let owners = document.owners.into_iter().map(|owner| self.owner(owner)).collect();
        let mut main = Main {
            file: Arc::clone(&self.text.file),
            settings: Arc::default(),
            base,
            hosted_defaults,
            external_defaults,
            owners,
            hosted: Layer::default(),
            partners: Layer { table: Table::with_capacity(document.partners.len()), ..Layer::default() },
            servers: ClientIndex::default(),
            clients: ClientIndex::default(),
            rules: Vec::new(),
            named_lists: Vec::new(),
            header: document.base.header.unwrap_or_default(),
            header_trust: ClientSet::new(document.base.header_trust),
            require_tls: document.base.require_tls.unwrap_or_default(),
        };
        for entry in document.domains {
            self.domain(entry, &mut main);
        }
        for entry in document.partners {
            self.partner(entry, &mut main);
        }
        let mut lists = Vec::with_capacity(document.lists.len());
        for list in document.lists {
            main.named_lists.push(NamedList { name: list.name.value, line: list.line, is_used: false, is_empty: list.entries.is_empty() });
            lists.push(Arc::new(AddressSet::new(list.entries, &self.delimiters)));
        }
        main.rules = document.rules.into_iter().map(|rule| self.rule(rule, &lists, &mut main.named_lists)).collect();
        main.settings = Arc::new(std::mem::take(&mut self.settings.list));
        let briefs = Arc::new(std::mem::take(&mut self.settings.briefs));
        for layer in [&mut main.hosted, &mut main.partners] {
            (layer.settings, layer.briefs) = (Arc::clone(&main.settings), Arc::clone(&briefs));
        }
        for unchecked in std::mem::take(&mut self.unchecked) {
            main.check_meaning(&unchecked, self.text);
        }
        main
    }

    fn defaults(&mut self, written: ScopeDefaults, hosted: bool) -> Defaults {
        let line = written.line;
        self.unchecked.extend(Unchecked::all(&written.hops, hosted, None));
        Defaults { line, hops: self.hops(written.hops) }
    }

    fn owner(&mut self, entry: OwnerEntry) -> Owner {
        let parent = entry.parent.and_then(|parent| self.names.owner(&parent, self.text));
        let Standing { testing, until } = entry.standing;
        Owner { name: entry.name.value, line: entry.line, hops: self.hops(entry.hops), parent, testing, until }
    }

    fn domain(&mut self, entry: DomainEntry, main: &mut Main) {
        let Written { offset, value: pattern } = entry.name;
        if let Some(first) = main.hosted.table.under(&pattern).first().and_then(|listed| main.hosted.entries.get(listed.entry)) {
            let first_line = first.line;
            self.text.problem(offset, Problem::HostedTwice { name: pattern.to_string(), first_line });
            return;
        }
        let index = main.hosted.entries.len();
        if index >= MAX_ENTRIES {
            return self.text.problem(offset, Problem::TooManyEntries);
        }
        self.unchecked.extend(Unchecked::all(&entry.hops, true, Some((pattern.clone(), index))));
        entry.servers.iter().for_each(|server| main.servers.insert(server, index));
        let owner = entry.owner.and_then(|owner| self.names.owner(&owner, self.text));
        let Standing { testing, until } = entry.standing;
        let extra = Extra { owner, route: entry.route, testing, until, ..Extra::default() };
        let hops = self.hops(entry.hops);
        let (label, called) = label(None, &pattern, true);
        let brief = self.settings.place_brief(Brief { hops, file: 0, called });
        let entry = Entry { label, line: entry.line, brief, extra: Some(Arc::new(extra)) };
        main.hosted.table.insert(&pattern, entry.listed(index));
        main.hosted.entries.push(entry);
    }

    fn partner(&mut self, entry: PartnerEntry, main: &mut Main) {
        let Some(Written { offset, value: first }) = entry.domains.first() else { return };
        let index = main.partners.entries.len();
        if index >= MAX_ENTRIES {
            return self.text.problem(*offset, Problem::TooManyEntries);
        }
        self.unchecked.extend(Unchecked::all(&entry.hops, false, Some((first.clone(), index))));
        let (label, called) = label(entry.name.as_deref(), first, entry.domains.len() == 1);
        let hops = self.hops(entry.hops);
        let brief = self.settings.place_brief(Brief { hops, file: 0, called });
        let Standing { testing, until } = entry.standing;
        let is_plain = entry.exclude.is_empty() && entry.ends.is_none() && !testing && until.is_none();
        for Written { offset, value: pattern } in &entry.domains {
            if let Some(domain_line) = main.hosting_line(pattern) {
                self.text.problem(*offset, Problem::HostedAndPartner { name: pattern.to_string(), domain_line });
            }
            insert_partner(&mut main.partners.table, pattern, entry.subdomains, Listed::new(index, entry.line, brief, is_plain));
            if main.partners.table.under(pattern).len() > PATTERN_ENTRIES {
                self.text.problem(*offset, Problem::PatternTooOften { pattern: pattern.to_string() });
            }
        }
        entry.clients.iter().for_each(|client| main.clients.insert(client, index));
        let ends = entry.ends.map(|ends| self.names.ends(ends, self.text));
        let exclude = NameSet::new(&entry.exclude);
        let extra = (!is_plain).then(|| Arc::new(Extra { exclude, ends, testing, until, ..Extra::default() }));
        main.partners.entries.push(Entry { label, line: entry.line, brief, extra });
    }

    fn rule(&mut self, entry: RuleEntry, lists: &[Arc<AddressSet>], named: &mut [NamedList]) -> Rule {
        let mut list = |condition: Option<crate::document::ListCondition>| {
            let condition = condition?;
            let number = usize::try_from(self.names.list(&condition.list, self.text)?).ok()?;
            let list = lists.get(number)?;
            named.get_mut(number)?.is_used = true;
            Some(ListMatch { list: Arc::clone(list), is_in: condition.is_in })
        };
        let (sender, recipient) = (list(entry.sender), list(entry.recipient));
        let header = entry.header.map(|header| HeaderMatch { name: header.name, value: header.value });
        let when = When { direction: entry.direction, sender, recipient, header };
        let Standing { testing, until } = entry.standing;
        Rule { name: entry.name.value, line: entry.line, when, level: entry.level, stop: entry.stop, testing, until }
    }

    fn hops(&mut self, hops: HopEntries) -> Hops {
        Hops { receive: self.hop(hops.receive), submit: self.hop(hops.submit), deliver: self.hop(hops.deliver) }
    }

    fn hop(&mut self, hop: HopEntry) -> u32 {
        if !hop.is_conditional() {
            return self.settings.place(hop.asked);
        }
        let otherwise = hop.otherwise.map(|level| self.settings.place(Asked { level: Some(level), ..Asked::default() }));
        let recipients = |patterns: Vec<LocalPattern>| patterns.iter().map(|pattern| pattern.at(&Pattern::All)).collect();
        let set = |patterns: Vec<AddressPattern>| AddressSet::new(patterns, &self.delimiters);
        let conditions = Conditions {
            senders: hop.senders.map(set),
            recipients: hop.recipients.map(recipients).map(set),
            exempt: ClientSet::new(hop.exempt),
            otherwise,
        };
        self.settings.place_conditional(hop.asked, conditions)
    }
}

/// Adds a partner under a pattern, and under all that lies below a name where that is meant too.
fn insert_partner(table: &mut Table, pattern: &Pattern, subdomains: bool, entry: Listed) {
    table.insert(pattern, entry);
    if let (Pattern::Exact(name), true) = (pattern, subdomains) {
        table.insert(&Pattern::Below(name.clone()), entry);
    }
}

/// What an entry is called: without a name by its first pattern, which may be its only one.
fn label(name: Option<&str>, first: &Pattern, is_only: bool) -> (Kept, Called) {
    let called = match first {
        _ if name.is_some() => Called::Named,
        Pattern::Exact(_) if is_only => Called::Domain,
        Pattern::Below(_) if is_only => Called::Below,
        _ => Called::First,
    };
    let label = match (name, first) {
        (Some(name), _) => Kept::new(name),
        (None, Pattern::Exact(domain)) => Kept::new(domain.as_str()),
        (None, pattern) => Kept::new(&pattern.to_string()),
    };
    (label, called)
}

/// What holds when nothing is written.
fn builtin() -> Asked {
    Asked { level: Some(Level::Opportunistic), min_version: Some(TlsVersion::Tls1_2), ..Asked::default() }
}

/// How long mail is tried when nothing is written (A8).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
