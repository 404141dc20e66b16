//! Many address patterns, found by hash.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use sealpost_types::Domain;
use wildmatch::WildMatch;

use super::address::{AddressPattern, Kind};
use super::domain::Pattern;
use super::face::Face;
use super::local::{Local, stems};

/// A list of [`AddressPattern`]s, compiled so that a look-up is a walk over the domain's labels in hash tables.
///
/// Of several patterns that cover an address the most specific is found: by the domain first (exact, the longest suffix,
/// other wildcards, `*`), then by the local part (the whole, the longest before a tag, wildcards, `*`), then the one written
/// first; `*` alone comes last.
///
/// # Limits
/// Any number of patterns. Those with wildcards inside a domain, or inside the local parts of one domain, are tried one by
/// one. A look-up allocates nothing.
///
/// # Example
/// ```
/// # use sealpost_policy::{AddressPattern, AddressSet, TAG_DELIMITERS, faces};
/// # use sealpost_types::{Mailbox, ReversePath};
/// let patterns = ["clinic.example", "*.gov.example", "ceo@law.example"].map(str::parse::<AddressPattern>);
/// let set = AddressSet::new(patterns.into_iter().collect::<Result<Vec<_>, _>>()?, TAG_DELIMITERS);
/// let sender = ReversePath::from(Mailbox::parse("prvs=0123abcdef=CEO+board@law.example")?);
/// let found = faces(&sender).find_map(|face| set.matches(&face));
/// assert_eq!(found.map(ToString::to_string).as_deref(), Some("ceo@law.example"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AddressSet {
    patterns: Vec<AddressPattern>,
    delimiters: Box<str>,
    exact: HashMap<Domain, Locals>,
    below: HashMap<Domain, Locals>,
    wild: Vec<(WildMatch, Locals)>,
    /// At every domain, and at address literals.
    everywhere: Locals,
    all: Option<usize>,
    null: Option<usize>,
}

/// The patterns over local parts at one domain pattern, each by its place in the list.
#[derive(Clone, Debug, Default)]
struct Locals {
    exact: HashMap<Arc<str>, usize>,
    wild: Vec<(WildMatch, usize)>,
    any: Option<usize>,
}

/// How specific a pattern over local parts is, and its place: the least is the one that is looked for.
type Rank = (LocalRank, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LocalRank {
    Exact(Reverse<usize>),
    Wild,
    Any,
}

impl AddressSet {
    /// The set of these patterns, in written order; each of `delimiters` parts a tag from a local part.
    pub fn new(patterns: impl IntoIterator<Item = AddressPattern>, delimiters: &str) -> Self {
        let mut set = Self { patterns: patterns.into_iter().collect(), delimiters: delimiters.into(), ..Self::default() };
        let mut wild_places: HashMap<Arc<str>, usize> = HashMap::new();
        for (place, pattern) in set.patterns.iter().enumerate() {
            let Some((local, domain)) = pattern.parts() else {
                let slot = if pattern.0 == Kind::Null { &mut set.null } else { &mut set.all };
                slot.get_or_insert(place);
                continue;
            };
            let locals = match domain {
                Pattern::Exact(name) => set.exact.entry(name.clone()).or_default(),
                Pattern::Below(parent) => set.below.entry(parent.clone()).or_default(),
                Pattern::All => &mut set.everywhere,
                Pattern::Wild(text) => {
                    let next = set.wild.len();
                    let at = *wild_places.entry(Arc::clone(text)).or_insert(next);
                    if at == next {
                        set.wild.push((WildMatch::new(text), Locals::default()));
                    }
                    match set.wild.get_mut(at) {
                        Some((_, locals)) => locals,
                        None => continue,
                    }
                }
            };
            locals.insert(local, place);
        }
        set
    }

    /// The most specific pattern that covers this face.
    #[must_use]
    pub fn matches(&self, face: &Face<'_>) -> Option<&AddressPattern> {
        let place = match face.parts() {
            None => self.null,
            Some((local, domain)) => {
                { domain.and_then(|domain| self.at(domain, local)).or_else(|| self.everywhere.find(local, &self.delimiters)) }
                    .map(|(_, place)| place)
            }
        };
        self.patterns.get(place.or(self.all)?)
    }

    /// Whether there is no pattern in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    fn at(&self, domain: &Domain, local: &str) -> Option<Rank> {
        let find = |locals: &Locals| locals.find(local, &self.delimiters);
        let below = || domain.suffixes().skip(1).find_map(|parent| self.below.get(parent).and_then(find));
        let wild = || self.wild.iter().filter(|(wild, _)| wild.matches(domain.as_str())).filter_map(|(_, locals)| find(locals)).min();
        self.exact.get(domain).and_then(find).or_else(below).or_else(wild)
    }
}

impl Locals {
    fn insert(&mut self, local: &Local, place: usize) {
        match local {
            Local::Exact(text) => drop(self.exact.entry(Arc::clone(text)).or_insert(place)),
            Local::Wild(text) => self.wild.push((WildMatch::new(text), place)),
            Local::Any => drop(self.any.get_or_insert(place)),
        }
    }

    fn find(&self, local: &str, delimiters: &str) -> Option<Rank> {
        let exact = stems(local, delimiters).find_map(|stem| Some((LocalRank::Exact(Reverse(stem.len())), *self.exact.get(stem)?)));
        let wild = || {
            let covers = |wild: &WildMatch| stems(local, delimiters).any(|stem| wild.matches(stem));
            self.wild.iter().find(|(wild, _)| covers(wild)).map(|(_, place)| (LocalRank::Wild, *place))
        };
        exact.or_else(wild).or_else(|| self.any.map(|place| (LocalRank::Any, place)))
    }
}

/// What parts a tag from a local part where nothing else is set.
pub const TAG_DELIMITERS: &str = "+";
