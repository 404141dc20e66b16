//! What one policy has that another has not: entry by entry, not as a count.

mod rows;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::edit::PolicyText;
use crate::form::{DefaultsForm, Items, PartnerForm, RuleForm};
use crate::pattern::Pattern;
use crate::policy::Policy;

/// An entry as it is told from others: the table that it stands in, and its name or pattern there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntryId {
    /// `[defaults]` and the tables in it.
    Defaults,
    /// An `[[include]]`, by its file.
    Include(String),
    /// An `[[owner]]`, by its name.
    Owner(String),
    /// A `[[domain]]`, by its name.
    Domain(String),
    /// One of the `domains` of a `[[partner]]`.
    Partner(String),
    /// A row of an included list, by its domain pattern.
    Row {
        /// What the document calls the list.
        file: Arc<str>,
        /// The pattern.
        pattern: String,
    },
    /// A `[[list]]`, by its name.
    List(String),
    /// One of the `entries` of a `[[list]]`.
    Item {
        /// The list.
        list: Arc<str>,
        /// The entry.
        item: String,
    },
    /// A `[[rule]]`, by its name.
    Rule(String),
    /// The order in which the rules run.
    RuleOrder,
}

/// Entries: how many, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// How many.
    pub count: usize,
    /// Up to [`NAMED`] of them.
    pub first: Vec<EntryId>,
}

/// What became of the entries of a policy.
///
/// An entry is what enforces something: an owner, a hosted domain, each domain of a partner, each row of an included list, a rule, a
/// list, and each entry of a list that a rule looks into.
///
/// # Example
/// ```
/// # use sealpost_policy::{Differences, Policy, PolicyText};
/// let read = |text: &str| Ok::<_, Box<dyn std::error::Error>>((PolicyText::parse("p", text)?, Policy::parse("p", text)?));
/// let (before, after) = (read("[[partner]]\ndomains = 'a.example b.example'\n")?, read("[[partner]]\ndomains = 'a.example c.example'\n")?);
/// let found = Differences::between((&before.0, &before.1), (&after.0, &after.1));
/// assert_eq!((found.before, found.gone.count), (2, 1), "as many as before, and one is gone all the same");
/// assert_eq!(found.to_string(), "1 added: partner c.example; 1 removed: partner b.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// Entries that there were.
    pub before: usize,
    /// Those that came.
    pub added: Named,
    /// Those that went.
    pub removed: Named,
    /// Those of the removed ones that stand nowhere else: nobody enforces them any more.
    pub gone: Named,
    /// Those that say something else than before.
    pub changed: Named,
    /// Lists that are there still, and had entries before.
    pub emptied: Vec<EntryId>,
}

impl Differences {
    /// What became of the entries of `before`: a document and the policy that it compiles to, with its lists.
    #[must_use]
    pub fn between(before: (&PolicyText, &Policy), after: (&PolicyText, &Policy)) -> Self {
        let mut found = Self::default();
        let used = found.count_entries(before.0, before.1);
        found.documents(before.0, after, &used);
        rows::compare(before.1, after.1, &mut found);
        found
    }

    /// The same for two policies of one document, of which an included list has other rows; [`before`](Self::before) stays 0.
    #[must_use]
    pub fn of_rows(before: &Policy, after: &Policy) -> Self {
        let mut found = Self::default();
        rows::compare(before, after, &mut found);
        found
    }

    /// How many entries a document and its lists have.
    #[must_use]
    pub fn entries(text: &PolicyText, policy: &Policy) -> usize {
        let mut found = Self::default();
        found.count_entries(text, policy);
        found.before
    }

    /// Whether no entry differs. Comments and layout still may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.added, &self.removed, &self.changed].iter().all(|named| named.count == 0)
    }

    /// Counts what there was, and tells which lists rules look into.
    fn count_entries<'t>(&mut self, text: &'t PolicyText, policy: &Policy) -> HashSet<&'t str> {
        let used: HashSet<&str> = text.rules().iter().flat_map(|rule| lists_of(&rule.form)).collect();
        let items = text.lists().iter().filter(|list| used.contains(list.form.name.as_str())).map(|list| list.form.entries.iter().count());
        let domains = text.partners().iter().map(|partner| partner.form.domains.iter().count());
        self.before = text.owners().len() + text.domains().len() + text.rules().len() + text.lists().len();
        self.before += items.sum::<usize>() + domains.sum::<usize>() + policy.included.entries.iter().count();
        used
    }

    fn documents(&mut self, before: &PolicyText, (text, after): (&PolicyText, &Policy), used: &HashSet<&str>) {
        if settings_of(before.defaults()) != settings_of(text.defaults()) {
            self.changed.note(EntryId::Defaults);
        }
        let (old, new) = (before.includes().iter().map(|entry| &entry.form), text.includes().iter().map(|entry| &entry.form));
        self.kind(old, new, |form| (form.file.clone(), form), |file| (EntryId::Include(file.clone()), false));
        let (old, new) = (before.owners().iter().map(|entry| &entry.form), text.owners().iter().map(|entry| &entry.form));
        self.kind(old, new, |form| (form.name.clone(), form), |name| (EntryId::Owner(name.clone()), true));
        let (old, new) = (before.domains().iter().map(|entry| &entry.form), text.domains().iter().map(|entry| &entry.form));
        self.kind(old, new, |form| (normal(&form.name), form), |name| (EntryId::Domain(name.clone()), true));
        let (old, new) = (words_of(before), words_of(text));
        let is_gone = |pattern: &String| !pattern.parse().is_ok_and(|pattern: Pattern| after.has_partner(&pattern));
        self.kind(domains_of(before, &old), domains_of(text, &new), |pair| pair, |name| (EntryId::Partner(name.clone()), is_gone(name)));
        let rules = |text: &PolicyText| text.rules().iter().map(|entry| entry.form.name.clone()).collect::<Vec<_>>();
        let (old, new) = (before.rules().iter().map(|entry| &entry.form), text.rules().iter().map(|entry| &entry.form));
        self.kind(old, new, |form| (form.name.clone(), form), |name| (EntryId::Rule(name.clone()), true));
        if is_reordered(&rules(before), &rules(text)) {
            self.changed.note(EntryId::RuleOrder);
        }
        let (old, new) = (before.lists().iter().map(|entry| &entry.form.name), text.lists().iter().map(|entry| &entry.form.name));
        self.kind(old, new, |name| (name.clone(), ()), |name| (EntryId::List(name.clone()), true));
        let (old, new) = (items_of(before), items_of(text));
        let is_used = |list: &str| used.contains(list);
        self.kind(
            old.into_iter(),
            new.into_iter(),
            |item| (item, ()),
            |(list, item)| (EntryId::Item { list: Arc::clone(list), item: item.clone() }, is_used(list)),
        );
        for list in before.lists().iter().filter(|list| !list.form.entries.is_empty()) {
            if text.lists().iter().any(|other| other.form.name == list.form.name && other.form.entries.is_empty()) {
                self.emptied.push(EntryId::List(list.form.name.clone()));
            }
        }
    }

    /// Entries of one kind: `split` gives what one is told by and what it says, `id` its name and whether nobody enforces it once
    /// it is removed. Where several are told by the same, the first is held against the first.
    fn kind<E, K: Hash + Eq + Clone, V: PartialEq>(
        &mut self,
        before: impl Iterator<Item = E>,
        after: impl Iterator<Item = E>,
        split: impl Fn(E) -> (K, V),
        id: impl Fn(&K) -> (EntryId, bool),
    ) {
        let mut there: HashMap<K, Vec<V>> = HashMap::new();
        let mut order = Vec::new();
        for (key, value) in after.map(&split) {
            order.push(key.clone());
            there.entry(key).or_default().push(value);
        }
        // The first of each is taken out first.
        there.values_mut().for_each(|values| values.reverse());
        for (key, value) in before.map(&split) {
            match there.get_mut(&key).and_then(Vec::pop) {
                Some(now) if now == value => {}
                Some(_) => self.changed.note(id(&key).0),
                None => {
                    let (name, is_gone) = id(&key);
                    self.remove(name, is_gone);
                }
            }
        }
        for key in order {
            if there.get_mut(&key).and_then(Vec::pop).is_some() {
                self.added.note(id(&key).0);
            }
        }
    }

    fn remove(&mut self, name: EntryId, is_gone: bool) {
        if is_gone {
            self.gone.note(name.clone());
        }
        self.removed.note(name);
    }
}

impl Named {
    fn note(&mut self, name: EntryId) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name);
        }
    }
}

impl Policy {
    /// Whether some partner stands under exactly this pattern, in the document or in a list.
    fn has_partner(&self, pattern: &Pattern) -> bool {
        [&self.main.partners, &self.included].iter().any(|layer| !layer.table.under(pattern).is_empty())
    }
}

/// Defaults that set nothing are as good as none.
fn settings_of(defaults: &DefaultsForm) -> Option<&DefaultsForm> {
    Some(defaults).filter(|defaults| **defaults != DefaultsForm::default())
}

/// What each partner says, its domains left out.
fn words_of(text: &PolicyText) -> Vec<PartnerForm> {
    text.partners().iter().map(|entry| PartnerForm { domains: Items::default(), ..entry.form.clone() }).collect()
}

/// Each domain of each partner, with what is said of it.
fn domains_of<'t>(text: &'t PolicyText, words: &'t [PartnerForm]) -> impl Iterator<Item = (String, &'t PartnerForm)> {
    text.partners().iter().zip(words).flat_map(|(entry, words)| entry.form.domains.iter().map(move |domain| (normal(domain), words)))
}

fn items_of(text: &PolicyText) -> Vec<(Arc<str>, String)> {
    let of_list = |list: &crate::edit::Entry<crate::form::ListForm>| {
        let name: Arc<str> = Arc::from(list.form.name.as_str());
        list.form.entries.iter().map(move |item| (Arc::clone(&name), normal(item))).collect::<Vec<_>>()
    };
    text.lists().iter().flat_map(of_list).collect()
}

fn lists_of(rule: &RuleForm) -> impl Iterator<Item = &str> {
    let conditions = rule.when.iter().flat_map(|when| [&when.sender, &when.recipient]).flatten();
    conditions.flat_map(|condition| [&condition.matches, &condition.not_matches]).flatten().map(String::as_str)
}

/// A pattern in the one way to write it; what is none as it is, but for its case.
fn normal(text: &str) -> String {
    text.parse::<Pattern>().map_or_else(|_| text.to_lowercase(), |pattern| pattern.to_string())
}

/// Whether those that are in both stand in another order.
fn is_reordered(before: &[String], after: &[String]) -> bool {
    let (old, new): (HashSet<_>, HashSet<_>) = (before.iter().collect(), after.iter().collect());
    !before.iter().filter(|name| new.contains(name)).eq(after.iter().filter(|name| old.contains(name)))
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("defaults"),
            Self::Include(file) => write!(f, "include {file:?}"),
            Self::Owner(name) => write!(f, "owner {name:?}"),
            Self::Domain(name) => write!(f, "domain {name}"),
            Self::Partner(pattern) => write!(f, "partner {pattern}"),
            Self::Row { file, pattern } => write!(f, "{pattern} in {file}"),
            Self::List(name) => write!(f, "list {name:?}"),
            Self::Item { list, item } => write!(f, "{item} in list {list:?}"),
            Self::Rule(name) => write!(f, "rule {name:?}"),
            Self::RuleOrder => f.write_str("the order of the rules"),
        }
    }
}

/// `partner a.example, partner b.example and 3 more`.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.first.iter().enumerate() {
            write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
        }
        match self.count.saturating_sub(self.first.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// `2 added: ...; 1 removed: ...; 1 changed: ...`.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no entry differs");
        }
        let parts = [(&self.added, "added"), (&self.removed, "removed"), (&self.changed, "changed")];
        let mut between = "";
        for (named, word) in parts.into_iter().filter(|(named, _)| named.count > 0) {
            write!(f, "{between}{} {word}: {named}", named.count)?;
            between = "; ";
        }
        Ok(())
    }
}

/// Entries of which each is named: more are counted.
pub const NAMED: usize = 10;
