//! Entries by the names that they cover: a walk over a name's labels in one hash table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealpost_types::Domain;
use wildmatch::WildMatch;

use crate::pattern::Pattern;

/// Entries of one kind, found by name, most specific first.
///
/// # Limits
/// 2^31 - 1 entries. An exact or `*.` pattern costs one slot of a hash table; other wildcards are tried one by one.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: HashMap<Domain, Slot>,
    wild: Vec<Wild>,
    wild_places: HashMap<Arc<str>, usize>,
    all: List,
    /// Lists of more than one entry.
    shared: Vec<Vec<u32>>,
}

/// The names that an entry takes out of what it covers.
#[derive(Debug, Default)]
pub(crate) struct NameSet {
    exact: HashSet<Domain>,
    below: HashSet<Domain>,
    wild: Vec<WildMatch>,
    all: bool,
}

/// Which pattern of a table matched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matched<'t> {
    Exact(&'t Domain),
    Below(&'t Domain),
    Wild(&'t Arc<str>),
    All,
}

#[derive(Debug, Default)]
struct Slot {
    exact: List,
    below: List,
}

#[derive(Debug)]
struct Wild {
    text: Arc<str>,
    matcher: WildMatch,
    list: List,
}

/// No entry, one, or the place of several in `Table::shared`.
#[derive(Clone, Copy, Debug)]
struct List(u32);

impl Default for List {
    fn default() -> Self {
        Self(EMPTY)
    }
}

impl Table {
    /// Adds an entry under a pattern.
    pub(crate) fn insert(&mut self, pattern: &Pattern, entry: u32) {
        let list = match pattern {
            Pattern::Exact(name) => &mut self.names.entry(name.clone()).or_default().exact,
            Pattern::Below(parent) => &mut self.names.entry(parent.clone()).or_default().below,
            Pattern::All => &mut self.all,
            Pattern::Wild(text) => {
                let place = *self.wild_places.entry(Arc::clone(text)).or_insert_with(|| {
                    self.wild.push(Wild { text: Arc::clone(text), matcher: WildMatch::new(text), list: List::default() });
                    self.wild.len() - 1
                });
                let Some(wild) = self.wild.get_mut(place) else { return };
                &mut wild.list
            }
        };
        push(list, &mut self.shared, entry);
    }

    /// The first entry under exactly this pattern.
    pub(crate) fn first(&self, pattern: &Pattern) -> Option<u32> {
        let list = match pattern {
            Pattern::Exact(name) => &self.names.get(name)?.exact,
            Pattern::Below(parent) => &self.names.get(parent)?.below,
            Pattern::All => &self.all,
            Pattern::Wild(text) => &self.wild.get(*self.wild_places.get(text)?)?.list,
        };
        self.entries(list).first().copied()
    }

    /// Calls `visit` with the entries of each pattern that covers the name, most specific first, until it says `false`.
    ///
    /// A name that is none (an address literal, `<>`) is covered by `*` alone; `with_all` tells whether `*` counts.
    pub(crate) fn walk<'t>(&'t self, name: Option<&str>, with_all: bool, mut visit: impl FnMut(Matched<'t>, &'t [u32]) -> bool) {
        let mut go_on = true;
        if let Some(name) = name {
            let mut suffix = Some(name);
            let mut whole = true;
            while let (Some(current), true) = (suffix, go_on) {
                if let Some((key, slot)) = self.names.get_key_value(current) {
                    let (matched, list) = if whole { (Matched::Exact(key), &slot.exact) } else { (Matched::Below(key), &slot.below) };
                    let entries = self.entries(list);
                    go_on = entries.is_empty() || visit(matched, entries);
                }
                whole = false;
                suffix = current.split_once('.').map(|(_, parent)| parent);
            }
            for wild in &self.wild {
                if go_on && wild.matcher.matches(name) {
                    go_on = visit(Matched::Wild(&wild.text), self.entries(&wild.list));
                }
            }
        }
        let entries = self.entries(&self.all);
        if go_on && with_all && !entries.is_empty() {
            visit(Matched::All, entries);
        }
    }

    fn entries<'t>(&'t self, list: &'t List) -> &'t [u32] {
        if list.0 == EMPTY {
            &[]
        } else if list.0 & SHARED == 0 {
            std::slice::from_ref(&list.0)
        } else {
            usize::try_from(list.0 & !SHARED).ok().and_then(|place| self.shared.get(place)).map_or(&[], Vec::as_slice)
        }
    }
}

fn push(list: &mut List, shared: &mut Vec<Vec<u32>>, entry: u32) {
    if list.0 == EMPTY {
        list.0 = entry;
    } else if list.0 & SHARED == 0 {
        // The same pattern twice in one entry is one pattern.
        if list.0 != entry {
            let place = u32::try_from(shared.len()).unwrap_or(MAX_ENTRIES);
            shared.push(vec![list.0, entry]);
            list.0 = SHARED | place;
        }
    } else {
        let entries = usize::try_from(list.0 & !SHARED).ok().and_then(|place| shared.get_mut(place));
        if let Some(entries) = entries.filter(|entries| entries.last() != Some(&entry)) {
            entries.push(entry);
        }
    }
}

impl NameSet {
    /// The set of these patterns, or nothing for none.
    pub(crate) fn new(patterns: &[Pattern]) -> Option<Box<Self>> {
        if patterns.is_empty() {
            return None;
        }
        let mut set = Self::default();
        for pattern in patterns {
            match pattern {
                Pattern::Exact(name) => drop(set.exact.insert(name.clone())),
                Pattern::Below(parent) => drop(set.below.insert(parent.clone())),
                Pattern::Wild(text) => set.wild.push(WildMatch::new(text)),
                Pattern::All => set.all = true,
            }
        }
        Some(Box::new(set))
    }

    /// Whether the name is in it. A name that is none is in it by `*` alone.
    pub(crate) fn contains(&self, name: Option<&Domain>) -> bool {
        self.all
            || name.is_some_and(|name| {
                self.exact.contains(name)
                    || name.suffixes().skip(1).any(|parent| self.below.contains(parent))
                    || self.wild.iter().any(|wild| wild.matches(name.as_str()))
            })
    }
}

impl Matched<'_> {
    pub(crate) fn pattern(self) -> Pattern {
        match self {
            Self::Exact(name) => Pattern::Exact(name.clone()),
            Self::Below(parent) => Pattern::Below(parent.clone()),
            Self::Wild(text) => Pattern::Wild(Arc::clone(text)),
            Self::All => Pattern::All,
        }
    }
}

/// The most entries of one table: the highest bit marks shared lists.
pub(crate) const MAX_ENTRIES: u32 = SHARED - 1;

const SHARED: u32 = 1 << 31;
const EMPTY: u32 = u32::MAX;
