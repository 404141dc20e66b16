//! Entries by the names that they cover: a walk over a name's labels in hash tables.

mod set;
mod shard;
mod text;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use sealpost_types::Domain;
use wildmatch::WildMatch;

use crate::pattern::Pattern;

pub(crate) use set::NameSet;
pub(crate) use shard::{Listed, MAX_ENTRIES};
pub(crate) use text::Text;

use shard::{Depth, Shard, Slot, push_once};

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

/// Which pattern of a table matched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matched<'n> {
    /// The name itself.
    Exact(&'n str),
    /// All below this one.
    Below(&'n str),
    Wild(&'n Arc<str>),
    All,
}

/// The entries under one pattern in two tables.
pub(crate) type Found<'t> = [&'t [Listed]; 2];

/// What is not found by name.
#[derive(Clone, Debug, Default)]
struct Rest {
    wild: Vec<Wild>,
    all: Vec<Listed>,
}

/// A name that is about to be looked up. Several are prepared at once, so that what they read of memory is read side by side
/// and not one after the other.
#[derive(Clone, Copy, Default)]
struct Ahead<'n> {
    suffix: &'n str,
    hash: u64,
    /// In which of two tables it may stand.
    may_be: [bool; 2],
}

#[derive(Clone, Debug)]
struct Wild {
    text: Arc<str>,
    matcher: WildMatch,
    entries: Vec<Listed>,
}

impl Default for Table {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Table {
    /// An empty table with shards of a good size for so many names.
    pub(crate) fn with_capacity(names: usize) -> Self {
        let number = (names / SHARD_NAMES).next_power_of_two().min(MAX_SHARDS);
        let average = names / number;
        // Chance makes some fuller than others.
        let most = if number == 1 { average } else { average + average / 8 };
        let mut shards: Vec<_> = (0..number).map(|_| Shard::for_names(most)).collect();
        shards.iter_mut().for_each(|shard| shard.reserve(most));
        Self { shards: shards.into_iter().map(Arc::new).collect(), rest: Arc::default(), names: 0 }
    }

    /// Adds an entry under a pattern.
    pub(crate) fn insert(&mut self, pattern: &Pattern, entry: Listed) {
        match pattern {
            Pattern::Exact(name) => self.insert_name(name, Depth::Exact, entry),
            Pattern::Below(parent) => self.insert_name(parent, Depth::Below, entry),
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

    fn insert_name(&mut self, name: &Domain, depth: Depth, entry: Listed) {
        let hash = hash(name.as_str());
        if let Some(shard) = self.shard_mut(hash)
            && shard.insert(hash, name.as_str(), depth, entry, self::hash)
        {
            self.names += 1;
        }
    }

    /// Takes an entry away from under a pattern.
    pub(crate) fn remove(&mut self, pattern: &Pattern, entry: u32) {
        match pattern {
            Pattern::Exact(name) => self.remove_name(name, Depth::Exact, entry),
            Pattern::Below(parent) => self.remove_name(parent, Depth::Below, entry),
            Pattern::All => Arc::make_mut(&mut self.rest).all.retain(|other| other.entry != entry),
            Pattern::Wild(text) => {
                let rest = Arc::make_mut(&mut self.rest);
                let wilds = rest.wild.iter_mut().filter(|wild| wild.text == *text);
                wilds.for_each(|wild| wild.entries.retain(|other| other.entry != entry));
                rest.wild.retain(|wild| !wild.entries.is_empty());
            }
        }
    }

    fn remove_name(&mut self, name: &Domain, depth: Depth, entry: u32) {
        let hash = hash(name.as_str());
        if let Some(shard) = self.shard_mut(hash)
            && shard.remove(hash, name.as_str(), depth, entry, self::hash)
        {
            self.names -= 1;
        }
    }

    /// The entries under exactly this pattern.
    pub(crate) fn under(&self, pattern: &Pattern) -> &[Listed] {
        match pattern {
            Pattern::Exact(name) => self.under_name(name, Depth::Exact),
            Pattern::Below(parent) => self.under_name(parent, Depth::Below),
            Pattern::All => &self.rest.all,
            Pattern::Wild(text) => self.rest.wild.iter().find(|wild| wild.text == *text).map_or(&[], |wild| &wild.entries),
        }
    }

    fn under_name(&self, name: &Domain, depth: Depth) -> &[Listed] {
        self.slot(hash(name.as_str()), name.as_str()).map_or(&[], |(shard, slot)| shard.entries(slot, depth))
    }

    fn slot(&self, hash: u64, name: &str) -> Option<(&Shard, &Slot)> {
        let shard = self.shard(hash)?;
        Some((shard, shard.find(hash, name)?))
    }

    /// Whether a name with this hash may be there; it is no use to look for it otherwise.
    fn may_have(&self, hash: u64) -> bool {
        self.shard(hash).is_some_and(|shard| shard.may_have(hash))
    }

    /// Calls `visit` with each pattern and its entries.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Pattern, &[Listed])) {
        self.shards.iter().for_each(|shard| shard.each(&mut visit));
        self.rest.each(visit);
    }

    /// The same for the patterns whose entries the two tables do not share: of a table and its copy with one entry more, a few.
    pub(crate) fn each_beside(&self, other: &Self, mut visit: impl FnMut(&Pattern, &[Listed])) {
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
    pub(crate) fn family<'t>(&'t self, name: &'t Domain) -> impl Iterator<Item = (&'t str, &'t [Listed], &'t [Listed])> {
        let suffixes = (!self.is_empty()).then(|| name.suffixes()).into_iter().flatten();
        suffixes.filter_map(|suffix| {
            let (shard, slot) = self.slot(hash(suffix), suffix)?;
            Some((suffix, shard.entries(slot, Depth::Exact), shard.entries(slot, Depth::Below)))
        })
    }

    /// Whether nothing at all is found in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.names == 0 && self.rest.wild.is_empty() && self.rest.all.is_empty()
    }

    fn shard(&self, hash: u64) -> Option<&Shard> {
        self.shards.get(self.shard_index(hash)).map(|shard| &**shard)
    }

    fn shard_mut(&mut self, hash: u64) -> Option<&mut Shard> {
        let index = self.shard_index(hash);
        self.shards.get_mut(index).map(Arc::make_mut)
    }

    /// The high bits choose the shard; inside a shard others count.
    fn shard_index(&self, hash: u64) -> usize {
        usize::try_from(hash >> SHARD_BITS_FROM).unwrap_or_default() & self.shards.len().wrapping_sub(1)
    }
}

/// Calls `visit` with the entries of each pattern that covers the name in either table, most specific first, until it says
/// `false`. Tells whether it came by entries that would cover the name at another depth.
///
/// A name that is none (an address literal, `<>`) is covered by `*` alone; `with_all` tells whether `*` counts.
pub(crate) fn walk<'t>(
    tables: [Option<&'t Table>; 2],
    name: Option<&'t str>,
    with_all: bool,
    mut visit: impl FnMut(Matched<'t>, Found<'t>) -> bool,
) -> bool {
    let tables = tables.map(|table| table.filter(|table| !table.is_empty()));
    if tables.iter().all(Option::is_none) {
        return false;
    }
    let (mut go_on, mut missed) = (true, false);
    if let Some(name) = name {
        let mut rest = Some(name);
        let mut depth = Depth::Exact;
        while rest.is_some() && go_on {
            let mut ahead = [Ahead::default(); LABELS_AHEAD];
            for place in &mut ahead {
                let Some(suffix) = rest else { break };
                let hash = hash(suffix);
                *place = Ahead { suffix, hash, may_be: tables.map(|table| table.is_some_and(|table| table.may_have(hash))) };
                rest = memchr::memchr(b'.', suffix.as_bytes()).and_then(|dot| suffix.get(dot + 1..));
            }
            for Ahead { suffix, hash, may_be } in &ahead {
                let mut found: Found<'t> = [&[], &[]];
                for ((table, may_be), found) in tables.iter().zip(may_be).zip(&mut found) {
                    if let Some((shard, slot)) = table.filter(|_| *may_be).and_then(|table| table.slot(*hash, suffix)) {
                        *found = shard.entries(slot, depth);
                        missed |= shard.has_others(slot, depth);
                    }
                }
                let matched = if depth == Depth::Exact { Matched::Exact(suffix) } else { Matched::Below(suffix) };
                depth = Depth::Below;
                if !is_nothing(&found) && !visit(matched, found) {
                    go_on = false;
                    break;
                }
            }
        }
        let wilds = tables.map(|table| table.map_or(&[][..], |table| &table.rest.wild));
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
    let found = tables.map(|table| table.map_or(&[][..], |table| &table.rest.all));
    if go_on && with_all && !is_nothing(&found) {
        visit(Matched::All, found);
    }
    missed
}

fn is_nothing(found: &Found<'_>) -> bool {
    found.iter().all(|entries| entries.is_empty())
}

/// One hash for all tables, so that a walk over two of them takes it once. Its seed is fixed: the names in a table are the
/// operator's, and those that are looked up change nothing.
fn hash(name: &str) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

impl Rest {
    fn each(&self, mut visit: impl FnMut(&Pattern, &[Listed])) {
        self.wild.iter().for_each(|wild| visit(&Pattern::Wild(Arc::clone(&wild.text)), &wild.entries));
        if !self.all.is_empty() {
            visit(&Pattern::All, &self.all);
        }
    }
}

impl Matched<'_> {
    /// The pattern; `name` is what was looked up.
    pub(crate) fn pattern(self, name: Option<&Domain>) -> Option<Pattern> {
        Some(match self {
            Self::Exact(text) => Pattern::Exact(name?.ancestor(text)?),
            Self::Below(text) => Pattern::Below(name?.ancestor(text)?),
            Self::Wild(text) => Pattern::Wild(Arc::clone(text)),
            Self::All => Pattern::All,
        })
    }
}

/// Names in a shard: few enough to be copied in some microseconds.
const SHARD_NAMES: usize = 256;
const MAX_SHARDS: usize = 1 << (u64::BITS - SHARD_BITS_FROM);

/// Labels of a name that are looked up side by side: most names have fewer.
const LABELS_AHEAD: usize = 6;

/// Bits of a hash from here on choose the shard.
const SHARD_BITS_FROM: u32 = 50;
