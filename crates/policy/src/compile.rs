//! From the document to the form in which names are looked up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Domain, Hop, Level, NextHop, OnExpiry, TlsVersion};

use crate::asked::{Asked, Setting};
use crate::demand::PlainDemands;
use crate::document::{Document, Hops, PartnerEntry, PolicyErrors, Problem, Text, Written};
use crate::document::{DomainEntry, has_meaning};
use crate::pattern::Pattern;
use crate::table::{MAX_ENTRIES, NameSet, Table};

/// Which TLS level holds for which mail: a policy document in the form in which it is asked.
///
/// It does not change; share it in an `Arc`, and put a new one in its place when the document changes. No decision
/// borrows from it.
///
/// # Limits
/// 2^31 - 1 entries of a kind; a decision costs a hash lookup a label of the name, and a comparison for each pattern
/// with wildcards elsewhere than in front.
///
/// # Example
/// ```
/// # use sealpost_policy::{DeliverFacts, Policy};
/// # use sealpost_types::{ForwardPath, Level, Mailbox, ReversePath};
/// let policy = Policy::parse("policy.toml", r#"
/// [[partner]]
/// name = "Bank"
/// domains = "bank.example"
/// deliver = "verify"
/// "#)?;
/// let to = ForwardPath::from(Mailbox::parse("ann@mail.bank.example")?);
/// let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
/// assert_eq!(decision.level, Level::Verify);
/// assert_eq!(trace.short(), "verify: partner \"Bank\" (policy.toml:2) raised tls to mandatory, asked for chain and name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Policy {
    pub(crate) file: Arc<str>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) plain: PlainDemands,
    pub(crate) base: Defaults,
    pub(crate) hosted_defaults: Defaults,
    pub(crate) external_defaults: Defaults,
    pub(crate) domains: Vec<Entry>,
    pub(crate) partners: Vec<Entry>,
    pub(crate) hosted: Table,
    pub(crate) external: Table,
    routes: Vec<NextHop>,
}

/// One `[[domain]]` or `[[partner]]`, small: what it says is shared.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) line: u32,
    receive: u32,
    deliver: u32,
    route: u32,
    pub(crate) label: Label,
    pub(crate) exclude: Option<Box<NameSet>>,
}

/// A table of defaults.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) line: u32,
    receive: u32,
    deliver: u32,
}

/// What an entry is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Written(Arc<str>),
    Pattern(Pattern),
}

/// The settings seen so far.
#[derive(Default)]
struct Settings {
    list: Vec<Setting>,
    places: HashMap<Asked, u32>,
}

impl Policy {
    /// The policy that `text` describes; `name` is what its errors and traces call the document.
    ///
    /// # Errors
    /// Every problem that can be found, each with its place and what would be right.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyErrors> {
        let mut text = Text::new(name, text);
        let document = Document::read(&mut text);
        let policy = Self::compile(document, &mut text);
        text.into_errors().map_or(Ok(policy), Err)
    }

    /// The policy with nothing configured: opportunistic on both hops (B1).
    #[must_use]
    pub fn builtin() -> Self {
        Self::compile(Document::default(), &mut Text::new("built-in", ""))
    }

    fn compile(document: Document, text: &mut Text<'_>) -> Self {
        let mut settings = Settings::default();
        let builtin = Asked {
            level: Some(Level::Opportunistic),
            min_version: Some(TlsVersion::Tls1_2),
            lifetime: Some(DEFAULT_LIFETIME),
            on_expiry: Some(OnExpiry::Bounce),
            ..Asked::default()
        };
        settings.place(builtin);
        let base = Asked { lifetime: document.base.lifetime, on_expiry: document.base.on_expiry, ..Asked::default() };
        let nothing = settings.place(Asked::default());
        let base = Defaults { line: document.base.line, receive: nothing, deliver: settings.place(base) };
        let mut unchecked = Vec::new();
        let mut defaults = |written: crate::document::ScopeDefaults, hosted: bool| {
            unchecked.extend(written.hops.unchecked.iter().map(|(hop, key, offset)| Unchecked {
                hosted,
                entry: None,
                hop: *hop,
                key,
                offset: *offset,
            }));
            let [receive, deliver] = settings.place_both(written.hops);
            Defaults { line: written.line, receive, deliver }
        };
        let hosted_defaults = defaults(document.hosted, true);
        let external_defaults = defaults(document.external, false);
        let mut policy = Self {
            file: Arc::clone(&text.file),
            settings: Vec::new(),
            plain: PlainDemands::new(),
            base,
            hosted_defaults,
            external_defaults,
            domains: Vec::with_capacity(document.domains.len()),
            partners: Vec::with_capacity(document.partners.len()),
            hosted: Table::default(),
            external: Table::default(),
            routes: Vec::new(),
        };
        for entry in document.domains {
            policy.add_domain(entry, &mut settings, &mut unchecked, text);
        }
        for entry in document.partners {
            policy.add_partner(entry, &mut settings, &mut unchecked, text);
        }
        policy.settings = settings.list;
        for unchecked in unchecked {
            policy.check_meaning(&unchecked, text);
        }
        policy
    }

    fn add_domain(&mut self, entry: DomainEntry, settings: &mut Settings, unchecked: &mut Vec<Unchecked>, text: &mut Text<'_>) {
        let Written { offset, value: pattern } = entry.name;
        if let Some(first) = self.hosted.first(&pattern).and_then(|index| entry_at(&self.domains, index)) {
            let first_line = first.line;
            text.problem(offset, Problem::HostedTwice { name: pattern.to_string(), first_line });
            return;
        }
        let Some(index) = next_index(&self.domains) else { return text.problem(offset, Problem::TooManyEntries) };
        unchecked.extend(Unchecked::all(&entry.hops, true, &pattern, index));
        let route = entry.route.map_or(NO_ROUTE, |route| {
            self.routes.push(route);
            u32::try_from(self.routes.len() - 1).unwrap_or(NO_ROUTE)
        });
        let [receive, deliver] = settings.place_both(entry.hops);
        self.hosted.insert(&pattern, index);
        self.domains.push(Entry { line: entry.line, receive, deliver, route, label: Label::Pattern(pattern), exclude: None });
    }

    fn add_partner(&mut self, entry: PartnerEntry, settings: &mut Settings, unchecked: &mut Vec<Unchecked>, text: &mut Text<'_>) {
        let Some(Written { offset, value: first }) = entry.domains.first() else { return };
        let Some(index) = next_index(&self.partners) else { return text.problem(*offset, Problem::TooManyEntries) };
        unchecked.extend(Unchecked::all(&entry.hops, false, first, index));
        let label = entry.name.map_or_else(|| Label::Pattern(first.clone()), Label::Written);
        for Written { offset, value: pattern } in &entry.domains {
            if let Some(domain_line) = self.hosting_line(pattern) {
                text.problem(*offset, Problem::HostedAndPartner { name: pattern.to_string(), domain_line });
            }
            self.external.insert(pattern, index);
            if let (Pattern::Exact(name), true) = (pattern, entry.subdomains) {
                self.external.insert(&Pattern::Below(name.clone()), index);
            }
        }
        let exclude = NameSet::new(&entry.exclude);
        let [receive, deliver] = settings.place_both(entry.hops);
        self.partners.push(Entry { line: entry.line, receive, deliver, route: NO_ROUTE, label, exclude });
    }

    /// Whether mail for this domain is for a customer of this relay.
    #[must_use]
    pub fn is_hosted(&self, domain: &Domain) -> bool {
        let mut found = false;
        self.hosted.walk(Some(domain.as_str()), true, |_, _| {
            found = true;
            false
        });
        found
    }

    /// Where mail for a hosted domain goes, if its most specific entry with a `route` says so.
    #[must_use]
    pub fn route(&self, domain: &Domain) -> Option<&NextHop> {
        let mut route = None;
        self.hosted.walk(Some(domain.as_str()), true, |_, entries| {
            let routes = entries.iter().filter_map(|index| entry_at(&self.domains, *index));
            route = routes.filter_map(|entry| self.routes.get(usize::try_from(entry.route).ok()?)).next();
            route.is_none()
        });
        route
    }

    /// The line of the `[[domain]]` that makes all names of this pattern hosted ones.
    fn hosting_line(&self, pattern: &Pattern) -> Option<u32> {
        let mut line = None;
        if *pattern != Pattern::All {
            self.hosted.walk(Some(&pattern.to_string()), true, |_, entries| {
                line = entries.first().and_then(|index| entry_at(&self.domains, *index)).map(|entry| entry.line);
                false
            });
        }
        line
    }

    pub(crate) fn setting(&self, index: u32) -> Option<&Setting> {
        usize::try_from(index).ok().and_then(|index| self.settings.get(index))
    }

    /// Notes a key that has no meaning at the level that its entry inherits.
    fn check_meaning(&self, unchecked: &Unchecked, text: &mut Text<'_>) {
        let level = self.level_below(unchecked);
        if !has_meaning(unchecked.key, level) {
            text.problem(unchecked.offset, Problem::KeyAtLevel { key: unchecked.key, level, inherited: true });
        }
    }

    /// The level that an entry, or a table of defaults, has from the sources that are less specific.
    fn level_below(&self, Unchecked { hosted, entry, hop, .. }: &Unchecked) -> Level {
        let (table, entries, defaults) = if *hosted {
            (&self.hosted, &self.domains, &self.hosted_defaults)
        } else {
            (&self.external, &self.partners, &self.external_defaults)
        };
        let of = |setting: u32| self.setting(setting).and_then(|setting| setting.asked.level);
        let mut level = None;
        if let Some((pattern, own)) = entry {
            // The text of a pattern is covered by the pattern itself, and by what covers all its names.
            let text = (*pattern != Pattern::All).then(|| pattern.to_string());
            table.walk(text.as_deref(), true, |_, indices| {
                // Its equals join it; they do not fill it up. Indices ascend, as entries are added.
                if indices.binary_search(own).is_err() {
                    let said = indices.iter().filter_map(|index| entry_at(entries, *index)).filter_map(|entry| of(entry.hop(*hop)));
                    level = said.max();
                }
                level.is_none()
            });
        }
        level.or_else(|| of(defaults.hop(*hop))).unwrap_or(Level::Opportunistic)
    }
}

impl Entry {
    pub(crate) fn hop(&self, hop: Hop) -> u32 {
        match hop {
            Hop::Receive => self.receive,
            Hop::Deliver => self.deliver,
        }
    }
}

impl Defaults {
    pub(crate) fn hop(&self, hop: Hop) -> u32 {
        match hop {
            Hop::Receive => self.receive,
            Hop::Deliver => self.deliver,
        }
    }
}

/// A key that stands without a level beside it.
struct Unchecked {
    hosted: bool,
    /// Its entry, and the first pattern of that; none for defaults.
    entry: Option<(Pattern, u32)>,
    hop: Hop,
    key: &'static str,
    offset: usize,
}

impl Unchecked {
    fn all(hops: &Hops, hosted: bool, pattern: &Pattern, index: u32) -> impl Iterator<Item = Self> {
        let of = move |hop: Hop, key, offset| Self { hosted, entry: Some((pattern.clone(), index)), hop, key, offset };
        hops.unchecked.iter().map(move |(hop, key, offset)| of(*hop, key, *offset))
    }
}

impl Settings {
    fn place(&mut self, asked: Asked) -> u32 {
        if let Some(place) = self.places.get(&asked) {
            return *place;
        }
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.places.insert(asked.clone(), place);
        self.list.push(Setting::new(asked));
        place
    }

    fn place_both(&mut self, hops: Hops) -> [u32; 2] {
        [self.place(hops.receive), self.place(hops.deliver)]
    }
}

pub(crate) fn entry_at(entries: &[Entry], index: u32) -> Option<&Entry> {
    usize::try_from(index).ok().and_then(|index| entries.get(index))
}

fn next_index(entries: &[Entry]) -> Option<u32> {
    u32::try_from(entries.len()).ok().filter(|index| *index < MAX_ENTRIES)
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(name) => f.write_str(name),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// Its size only: a policy may have a million entries.
impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("file", &self.file)
            .field("domains", &self.domains.len())
            .field("partners", &self.partners.len())
            .finish_non_exhaustive()
    }
}

/// Where `Settings` keeps what holds when nothing is written.
pub(crate) const BUILTIN: u32 = 0;

const NO_ROUTE: u32 = u32::MAX;

/// How long mail is tried when nothing is written (A8).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
