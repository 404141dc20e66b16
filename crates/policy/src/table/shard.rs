//! A share of the names of a table: a hash table with open addressing, made for names that lie in no cache.

use sealpost_types::Domain;

use super::text::Text;
use crate::pattern::Pattern;

/// An entry, as it stands under a pattern, with what nearly every decision needs of it: the entry itself, which lies elsewhere
/// in memory, is looked at for the few that have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entry: u32,
    /// Where it is written.
    pub(crate) line: u32,
    /// The number of its `Brief`, and a bit for whether it has more.
    brief: u32,
}

/// A share of the names.
///
/// A look-up reads one cell, rarely two, and then the slot of the name: two accesses to memory that is in no cache. For a name
/// that is not there it is the cell alone, and the cells of all shards are small enough to stay in a cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    /// Where the slots are, at the place that the hash says or the next free one behind it: a power of two of them.
    cells: Vec<Cell>,
    slots: Vec<Slot>,
    /// Lists of more than one entry.
    shared: Vec<Vec<Listed>>,
}

/// The number of a slot in as many low bits as there are places for cells, and bits of its hash above them; or [`FREE`], which
/// would be a slot more than there may be.
type Cell = u32;

/// A name with its entries: one line of a processor's cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    name: Text,
    exact: List,
    below: List,
}

/// No entry, one, or the place of several in `Shard::shared`.
#[derive(Clone, Copy, Debug)]
struct List(Listed);

/// Which of the two lists of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Of the name itself.
    Exact,
    /// Of what lies below it.
    Below,
}

impl Listed {
    /// The entry with its line and the number of its `Brief`; `is_plain` tells whether that is all it has.
    pub(crate) fn new(entry: u32, line: u32, brief: u32, is_plain: bool) -> Self {
        Self { entry, line, brief: if is_plain { brief } else { brief | MORE } }
    }

    /// The number of its `Brief`.
    pub(crate) fn brief(self) -> u32 {
        self.brief & !MORE
    }

    /// Whether it has nothing beside its `Brief`.
    pub(crate) fn is_plain(self) -> bool {
        self.brief & MORE == 0
    }
}

impl Shard {
    /// A shard in which so many names find room. The slots are made when the first comes, so that the cells of shards that are
    /// made one after the other lie side by side.
    pub(super) fn for_names(names: usize) -> Self {
        let cells = if names == 0 { 0 } else { (names + names / 2).next_power_of_two() };
        Self { cells: vec![FREE; cells], ..Self::default() }
    }

    /// Room for the slots of so many names.
    pub(super) fn reserve(&mut self, names: usize) {
        self.slots.reserve_exact(names);
    }

    /// The slot of a name.
    pub(super) fn find(&self, hash: u64, name: &str) -> Option<&Slot> {
        self.slots.get(self.place(hash, name)?)
    }

    /// Whether a name with this hash may be there: its first cell is not free.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let mask = self.cells.len().wrapping_sub(1);
        self.cells.get(start(hash) & mask).is_some_and(|cell| *cell != FREE)
    }

    /// Calls `visit` with each pattern and its entries.
    pub(super) fn each(&self, visit: &mut impl FnMut(&Pattern, &[Listed])) {
        for slot in &self.slots {
            let Ok(name) = Domain::parse(slot.name.as_str()) else { continue };
            for (pattern, depth) in [(Pattern::Exact(name.clone()), Depth::Exact), (Pattern::Below(name), Depth::Below)] {
                let entries = self.entries(slot, depth);
                if !entries.is_empty() {
                    visit(&pattern, entries);
                }
            }
        }
    }

    /// The entries of a slot.
    pub(super) fn entries<'t>(&'t self, slot: &'t Slot, depth: Depth) -> &'t [Listed] {
        let list = slot.list(depth);
        match list.shared() {
            Some(place) => self.shared.get(place).map_or(&[], Vec::as_slice),
            None if list.is_empty() => &[],
            None => std::slice::from_ref(&list.0),
        }
    }

    /// Whether a slot has entries at the other depth that it does not have at this one.
    pub(super) fn has_others(&self, slot: &Slot, depth: Depth) -> bool {
        let others = self.entries(slot, if depth == Depth::Exact { Depth::Below } else { Depth::Exact });
        others.iter().any(|other| !self.entries(slot, depth).contains(other))
    }

    /// Adds an entry under a name; tells whether the name is new. `hash_of` gives the hash of any name.
    pub(super) fn insert(&mut self, hash: u64, name: &str, depth: Depth, entry: Listed, hash_of: impl Fn(&str) -> u64) -> bool {
        let found = self.place(hash, name);
        let place = found.unwrap_or(self.slots.len());
        if found.is_none() {
            self.slots.push(Slot { name: Text::new(name), exact: List::EMPTY, below: List::EMPTY });
            if self.slots.len() + self.slots.len() / 3 < self.cells.len() {
                self.enter(hash, place);
            } else {
                self.cells = vec![FREE; (self.slots.len() * 2).next_power_of_two().max(4)];
                self.enter_all(hash_of);
            }
        }
        if let Some(slot) = self.slots.get_mut(place) {
            push(slot.list_mut(depth), &mut self.shared, entry);
        }
        found.is_none()
    }

    /// Takes an entry away from under a name; tells whether the name is gone with it.
    pub(super) fn remove(&mut self, hash: u64, name: &str, depth: Depth, entry: u32, hash_of: impl Fn(&str) -> u64) -> bool {
        let Some(place) = self.place(hash, name) else { return false };
        let Some(slot) = self.slots.get_mut(place) else { return false };
        take(slot.list_mut(depth), &mut self.shared, entry);
        let is_gone = slot.exact.is_empty() && slot.below.is_empty();
        if is_gone {
            // A shard is small: entering all anew is simpler than closing the gap.
            self.slots.swap_remove(place);
            self.cells.fill(FREE);
            self.enter_all(hash_of);
        }
        is_gone
    }

    /// The number of the slot of a name.
    fn place(&self, hash: u64, name: &str) -> Option<usize> {
        let mask = self.cells.len().checked_sub(1)?;
        let number_bits = Cell::try_from(mask).ok()?;
        let tag = tag(hash);
        let mut at = start(hash) & mask;
        loop {
            let cell = *self.cells.get(at)?;
            if cell == FREE {
                return None;
            }
            if (cell ^ tag) & !number_bits == 0 {
                let place = usize::try_from(cell & number_bits).ok()?;
                if self.slots.get(place)?.name.as_bytes() == name.as_bytes() {
                    return Some(place);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn enter_all(&mut self, hash_of: impl Fn(&str) -> u64) {
        for place in 0..self.slots.len() {
            if let Some(hash) = self.slots.get(place).map(|slot| hash_of(slot.name.as_str())) {
                self.enter(hash, place);
            }
        }
    }

    /// Writes the number of a slot into a free cell: there is one.
    fn enter(&mut self, hash: u64, place: usize) {
        let mask = self.cells.len().wrapping_sub(1);
        let (Ok(number_bits), Ok(number)) = (Cell::try_from(mask), Cell::try_from(place)) else { return };
        let mut at = start(hash) & mask;
        while let Some(cell) = self.cells.get_mut(at) {
            if *cell == FREE {
                *cell = (tag(hash) & !number_bits) | number;
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

impl Slot {
    fn list(&self, depth: Depth) -> &List {
        match depth {
            Depth::Exact => &self.exact,
            Depth::Below => &self.below,
        }
    }

    fn list_mut(&mut self, depth: Depth) -> &mut List {
        match depth {
            Depth::Exact => &mut self.exact,
            Depth::Below => &mut self.below,
        }
    }
}

impl List {
    const EMPTY: Self = Self(Listed { entry: u32::MAX, line: 0, brief: 0 });

    fn is_empty(self) -> bool {
        self.0.entry == Self::EMPTY.0.entry
    }

    fn shared(self) -> Option<usize> {
        usize::try_from(self.0.entry & !SHARED).ok().filter(|_| !self.is_empty() && self.0.entry & SHARED != 0)
    }
}

fn push(list: &mut List, shared: &mut Vec<Vec<Listed>>, entry: Listed) {
    if list.is_empty() {
        list.0 = entry;
    } else if let Some(place) = list.shared() {
        shared.get_mut(place).into_iter().for_each(|entries| push_once(entries, entry));
    } else if list.0.entry != entry.entry {
        // The same pattern twice in one entry is one pattern.
        let place = u32::try_from(shared.len()).unwrap_or(MAX_ENTRIES);
        shared.push(vec![list.0, entry]);
        list.0.entry = SHARED | place;
    }
}

pub(super) fn push_once(entries: &mut Vec<Listed>, entry: Listed) {
    if entries.last().is_none_or(|last| last.entry != entry.entry) {
        entries.push(entry);
    }
}

fn take(list: &mut List, shared: &mut [Vec<Listed>], entry: u32) {
    if let Some(entries) = list.shared().and_then(|place| shared.get_mut(place)) {
        entries.retain(|other| other.entry != entry);
        if entries.is_empty() {
            *list = List::EMPTY;
        }
    } else if list.0.entry == entry {
        *list = List::EMPTY;
    }
}

/// Where the search for a cell begins: the low bits.
fn start(hash: u64) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}

/// What a cell keeps of a hash: bits that choose neither the shard nor, in a shard of common size, where the search begins.
fn tag(hash: u64) -> Cell {
    Cell::try_from((hash >> TAG_BITS_FROM) & u64::from(u32::MAX)).unwrap_or_default()
}

/// The most entries of one table: the highest bit marks shared lists.
pub(crate) const MAX_ENTRIES: u32 = SHARED - 1;

const SHARED: u32 = 1 << 31;
const MORE: u32 = 1 << 31;
const FREE: Cell = Cell::MAX;
/// Below the bits that choose the shard.
const TAG_BITS_FROM: u32 = super::SHARD_BITS_FROM - 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(entry: u32) -> Listed {
        Listed::new(entry, 1, entry % 7, true)
    }

    fn numbers(shard: &Shard, hash: u64, name: &str, depth: Depth) -> Vec<u32> {
        shard.find(hash, name).map_or(&[][..], |slot| shard.entries(slot, depth)).iter().map(|listed| listed.entry).collect()
    }

    /// Names are found whatever their hashes: all the same, the same where a search begins, or all different.
    #[test]
    fn names_come_and_go_whatever_their_hashes() {
        let hashes: [fn(u64) -> u64; 4] = [|_| 7, |n| (n << 40) | 3, |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15), |_| u64::MAX];
        for hash in hashes {
            let of = |name: &str| hash(name[1..].parse().unwrap());
            for names in [0, 1, 40, 300] {
                let mut shard = Shard::for_names(names);
                for number in 0..200_u32 {
                    let name = format!("n{number}");
                    assert!(shard.insert(hash(number.into()), &name, Depth::Exact, plain(number), of));
                    assert!(!shard.insert(hash(number.into()), &name, Depth::Below, plain(number + 1000), of));
                    assert!(!shard.insert(hash(number.into()), &name, Depth::Below, plain(number + 2000), of));
                }
                for number in (0..200).step_by(2) {
                    let name = format!("n{number}");
                    assert!(!shard.remove(hash(number.into()), &name, Depth::Exact, number, of));
                    assert!(!shard.remove(hash(number.into()), &name, Depth::Below, number + 1000, of));
                    assert_eq!(numbers(&shard, hash(number.into()), &name, Depth::Below), [number + 2000]);
                    assert!(shard.remove(hash(number.into()), &name, Depth::Below, number + 2000, of));
                    assert!(!shard.remove(hash(number.into()), &name, Depth::Below, number + 2000, of));
                }
                for number in 0..200 {
                    let name = format!("n{number}");
                    let expected = if number % 2 == 0 { vec![] } else { vec![number] };
                    assert_eq!(numbers(&shard, hash(number.into()), &name, Depth::Exact), expected);
                }
                assert_eq!(shard.slots.len(), 100);
                assert!(shard.find(hash(1), "n3").is_none() || hash(1) == hash(3));
                assert!(shard.find(hash(500), "n500").is_none());
            }
        }
    }

    #[test]
    fn a_slot_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
    }

    #[test]
    fn what_is_listed_tells_whether_there_is_more() {
        for plain in [true, false] {
            let listed = Listed::new(3, 4, 5, plain);
            assert_eq!((listed.entry, listed.line, listed.brief(), listed.is_plain()), (3, 4, 5, plain));
        }
    }
}
