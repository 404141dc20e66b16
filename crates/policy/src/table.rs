//! Entries by the names that they cover: a walk over a name's labels in hash tables.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use sealpost_types::Domain;
use wildmatch::WildMatch;

use crate::pattern::Pattern;

/// Entries of one kind, found by name, most specific first.
///
/// The names are spread over shards, each shared until it is changed: a table with one entry more shares all but one shard
/// with the table before, so that a change of one among a million costs little time and memory.
///
/// # Limits
/// 2^31 - 1 entries. An exact or `*.` pattern costs one slot of a hash table; other wildcards are tried one by one.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    shards: Vec<Arc<Shard>>,
    rest: Arc<Rest>,
    /// How many names there are.
    names: usize,
}

/// The names that an entry takes out of what it covers.
#[derive(Debug, Default, PartialEq)]
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

/// The entries under one pattern in two tables.
pub(crate) type Found<'t> = [&'t [u32]; 2];

/// A share of the names.
#[derive(Clone, Debug, Default)]
struct Shard {
    names: HashTable<Slot>,
    /// Lists of more than one entry.
    shared: Vec<Vec<u32>>,
}

#[derive(Clone, Debug)]
struct Slot {
    name: Domain,
    exact: List,
    below: List,
}

/// What is not found by name.
#[derive(Clone, Debug, Default)]
struct Rest {
    wild: Vec<Wild>,
    all: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Wild {
    text: Arc<str>,
    matcher: WildMatch,
    entries: Vec<u32>,
}

/// No entry, one, or the place of several in `Shard::shared`.
#[derive(Clone, Copy, Debug)]
struct List(u32);

impl Default for Table {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Default for List {
    fn default() -> Self {
        Self(EMPTY)
    }
}

impl Table {
    /// An empty table with shards of a good size for so many names.
    pub(crate) fn with_capacity(names: usize) -> Self {
        let shards = (names / SHARD_NAMES).next_power_of_two().min(MAX_SHARDS);
        Self { shards: vec![Arc::default(); shards], rest: Arc::default(), names: 0 }
    }

    /// Adds an entry under a pattern.
    pub(crate) fn insert(&mut self, pattern: &Pattern, entry: u32) {
        match pattern {
            Pattern::Exact(name) => self.insert_name(name, entry, |slot| &mut slot.exact),
            Pattern::Below(parent) => self.insert_name(parent, entry, |slot| &mut slot.below),
            Pattern::All => push_once(&mut Arc::make_mut(&mut self.rest).all, entry),
            Pattern::Wild(text) => {
                let rest = Arc::make_mut(&mut self.rest);
                match rest.wild.iter_mut().find(|wild| wild.text == *text) {
                    Some(wild) => push_once(&mut wild.entries, entry),
                    None => rest.wild.push(Wild { text: Arc::clone(text), matcher: WildMatch::new(text), entries: vec![entry] }),
                }
            }
        }
    }

    fn insert_name(&mut self, name: &Domain, entry: u32, list: impl Fn(&mut Slot) -> &mut List) {
        let hash = hash(name.as_str());
        let index = self.shard_index(hash);
        let Some(shard) = self.shards.get_mut(index).map(Arc::make_mut) else { return };
        let rehash = |slot: &Slot| self::hash(slot.name.as_str());
        let mut is_new = false;
        let new = || {
            is_new = true;
            Slot { name: name.clone(), exact: List::default(), below: List::default() }
        };
        let mut slot = shard.names.entry(hash, |slot| slot.name == *name, rehash).or_insert_with(new);
        push(list(slot.get_mut()), &mut shard.shared, entry);
        self.names += usize::from(is_new);
    }

    /// Takes an entry away from under a pattern.
    pub(crate) fn remove(&mut self, pattern: &Pattern, entry: u32) {
        match pattern {
            Pattern::Exact(name) => self.remove_name(name, entry, |slot| &mut slot.exact),
            Pattern::Below(parent) => self.remove_name(parent, entry, |slot| &mut slot.below),
            Pattern::All => Arc::make_mut(&mut self.rest).all.retain(|other| *other != entry),
            Pattern::Wild(text) => {
                let rest = Arc::make_mut(&mut self.rest);
                rest.wild.iter_mut().filter(|wild| wild.text == *text).for_each(|wild| wild.entries.retain(|other| *other != entry));
                rest.wild.retain(|wild| !wild.entries.is_empty());
            }
        }
    }

    fn remove_name(&mut self, name: &Domain, entry: u32, list: impl Fn(&mut Slot) -> &mut List) {
        let hash = hash(name.as_str());
        let index = self.shard_index(hash);
        let Some(shard) = self.shards.get_mut(index).map(Arc::make_mut) else { return };
        let Ok(mut slot) = shard.names.find_entry(hash, |slot| slot.name == *name) else { return };
        take(list(slot.get_mut()), &mut shard.shared, entry);
        if slot.get().exact.0 == EMPTY && slot.get().below.0 == EMPTY {
            slot.remove();
            self.names -= 1;
        }
    }

    /// The entries under exactly this pattern.
    pub(crate) fn under(&self, pattern: &Pattern) -> &[u32] {
        match pattern {
            Pattern::Exact(name) => self.slot(name.as_str(), hash(name.as_str())).map_or(&[], |(shard, slot)| shard.entries(&slot.exact)),
            Pattern::Below(parent) => {
                self.slot(parent.as_str(), hash(parent.as_str())).map_or(&[], |(shard, slot)| shard.entries(&slot.below))
            }
            Pattern::All => &self.rest.all,
            Pattern::Wild(text) => self.rest.wild.iter().find(|wild| wild.text == *text).map_or(&[], |wild| &wild.entries),
        }
    }

    /// Calls `visit` with the entries of each pattern.
    pub(crate) fn each(&self, mut visit: impl FnMut(Matched<'_>, &[u32])) {
        self.shards.iter().for_each(|shard| shard.each(&mut visit));
        self.rest.each(visit);
    }

    /// The same for the patterns whose entries the two tables do not share: of a table and its copy with one entry more, a few.
    pub(crate) fn each_beside(&self, other: &Self, mut visit: impl FnMut(Matched<'_>, &[u32])) {
        let is_shared = |index: usize, shard: &Arc<Shard>| {
            self.shards.len() == other.shards.len() && other.shards.get(index).is_some_and(|other| Arc::ptr_eq(shard, other))
        };
        let shards = self.shards.iter().enumerate().filter(|(index, shard)| !is_shared(*index, shard));
        shards.for_each(|(_, shard)| shard.each(&mut visit));
        if !Arc::ptr_eq(&self.rest, &other.rest) {
            self.rest.each(visit);
        }
    }

    /// The name and each of its parents, as far as they stand in the table, with the entries under the name itself and those
    /// under what lies below it.
    pub(crate) fn family(&self, name: &Domain) -> impl Iterator<Item = (&Domain, &[u32], &[u32])> {
        let suffixes = (!self.is_empty()).then(|| name.suffixes()).into_iter().flatten();
        suffixes.filter_map(|suffix| {
            let (shard, slot) = self.slot(suffix, hash(suffix))?;
            Some((&slot.name, shard.entries(&slot.exact), shard.entries(&slot.below)))
        })
    }

    /// Whether nothing at all is found in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.names == 0 && self.rest.wild.is_empty() && self.rest.all.is_empty()
    }

    fn slot(&self, name: &str, hash: u64) -> Option<(&Shard, &Slot)> {
        let shard = self.shards.get(self.shard_index(hash))?;
        Some((shard, shard.names.find(hash, |slot| slot.name.as_str() == name)?))
    }

    /// The high bits choose the shard; the shard's own table uses others.
    fn shard_index(&self, hash: u64) -> usize {
        usize::try_from(hash >> 40).unwrap_or_default() & self.shards.len().wrapping_sub(1)
    }
}

/// Calls `visit` with the entries of each pattern that covers the name in either table, most specific first, until it says
/// `false`.
///
/// A name that is none (an address literal, `<>`) is covered by `*` alone; `with_all` tells whether `*` counts.
pub(crate) fn walk<'t>(
    tables: [Option<&'t Table>; 2],
    name: Option<&str>,
    with_all: bool,
    mut visit: impl FnMut(Matched<'t>, Found<'t>) -> bool,
) {
    let [first, second] = tables.map(|table| table.filter(|table| !table.is_empty()));
    if first.is_none() && second.is_none() {
        return;
    }
    let mut go_on = true;
    if let Some(name) = name {
        let mut suffix = Some(name);
        let mut whole = true;
        while let (Some(current), true) = (suffix, go_on) {
            let hash = hash(current);
            let slots = [first, second].map(|table| table.and_then(|table| table.slot(current, hash)));
            let list = |slot: &'t Slot| if whole { &slot.exact } else { &slot.below };
            let found = slots.map(|slot| slot.map_or(&[][..], |(shard, slot)| shard.entries(list(slot))));
            if let Some((_, slot)) = slots.into_iter().flatten().next().filter(|_| !is_nothing(&found)) {
                go_on = visit(if whole { Matched::Exact(&slot.name) } else { Matched::Below(&slot.name) }, found);
            }
            whole = false;
            suffix = memchr::memchr(b'.', current.as_bytes()).and_then(|dot| current.get(dot + 1..));
        }
        let wilds = [first, second].map(|table| table.map_or(&[][..], |table| &table.rest.wild));
        let [own, other] = wilds;
        for wild in own.iter().filter(|wild| wild.matcher.matches(name)) {
            let equal = other.iter().find(|equal| equal.text == wild.text).map_or(&[][..], |equal| &equal.entries);
            go_on = go_on && visit(Matched::Wild(&wild.text), [&wild.entries, equal]);
        }
        let is_new = |wild: &&Wild| !own.iter().any(|equal| equal.text == wild.text);
        for wild in other.iter().filter(|wild| wild.matcher.matches(name)).filter(is_new) {
            go_on = go_on && visit(Matched::Wild(&wild.text), [&[], &wild.entries]);
        }
    }
    let found = [first, second].map(|table| table.map_or(&[][..], |table| &table.rest.all));
    if go_on && with_all && !is_nothing(&found) {
        visit(Matched::All, found);
    }
}

fn is_nothing(found: &Found<'_>) -> bool {
    found.iter().all(|entries| entries.is_empty())
}

impl Rest {
    fn each(&self, mut visit: impl FnMut(Matched<'_>, &[u32])) {
        self.wild.iter().for_each(|wild| visit(Matched::Wild(&wild.text), &wild.entries));
        if !self.all.is_empty() {
            visit(Matched::All, &self.all);
        }
    }
}

impl Shard {
    fn each(&self, visit: &mut impl FnMut(Matched<'_>, &[u32])) {
        for slot in self.names.iter() {
            for (matched, list) in [(Matched::Exact(&slot.name), &slot.exact), (Matched::Below(&slot.name), &slot.below)] {
                let entries = self.entries(list);
                if !entries.is_empty() {
                    visit(matched, entries);
                }
            }
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
    } else if let Some(entries) = usize::try_from(list.0 & !SHARED).ok().and_then(|place| shared.get_mut(place)) {
        push_once(entries, entry);
    }
}

fn push_once(entries: &mut Vec<u32>, entry: u32) {
    if entries.last() != Some(&entry) {
        entries.push(entry);
    }
}

fn take(list: &mut List, shared: &mut [Vec<u32>], entry: u32) {
    if list.0 == entry {
        list.0 = EMPTY;
    } else if list.0 != EMPTY
        && list.0 & SHARED != 0
        && let Some(entries) = usize::try_from(list.0 & !SHARED).ok().and_then(|place| shared.get_mut(place))
    {
        entries.retain(|other| *other != entry);
        if entries.is_empty() {
            list.0 = EMPTY;
        }
    }
}

/// One hash for all tables, so that a walk over two of them takes it once. Its seed is fixed: the names in a table are the
/// operator's, and those that are looked up change nothing.
fn hash(name: &str) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

impl NameSet {
    /// The set of these patterns, or nothing for none.
    pub(crate) fn new(patterns: &[Pattern]) -> Option<Self> {
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
        Some(set)
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

/// Names in a shard: few enough to be copied in some microseconds.
const SHARD_NAMES: usize = 256;
const MAX_SHARDS: usize = 1 << 14;
