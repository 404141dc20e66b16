//! Entries of one origin: those of the document itself, or those of its included lists.

use std::sync::Arc;

use sealpost_types::{Domain, NextHop, UnixMillis};

use crate::setting::Setting;
use crate::table::{Listed, NameSet, Table, Text};

/// A hop as a document knows it: what a domain's own servers hand in is one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Receive,
    Submit,
    Deliver,
}

/// One entry, small: what it says is shared, and what few entries have lies elsewhere.
///
/// A decision seldom looks at it, for tables list what is needed of it beside its number. It is one line of a processor's cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    /// Its name, or its first pattern if it has none.
    pub(crate) label: Text,
    pub(crate) line: u32,
    /// The number of its `Brief`.
    pub(crate) brief: u32,
    pub(crate) extra: Option<Arc<Extra>>,
}

/// What many entries have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Brief {
    pub(crate) hops: Hops,
    /// Which file, by its place in `Policy`'s list.
    pub(crate) file: u32,
    pub(crate) called: Called,
}

/// What an entry is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Called {
    /// By its own name.
    Named,
    /// By the first of its patterns.
    First,
    /// By its only pattern, a domain, below which it may hold too.
    Domain,
    /// By its only pattern, `*.` and a domain.
    Below,
}

/// What an entry says of each hop: numbers of settings of its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hops {
    pub(crate) receive: u32,
    pub(crate) submit: u32,
    pub(crate) deliver: u32,
}

/// What few entries have.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Extra {
    pub(crate) exclude: Option<NameSet>,
    /// `for`.
    pub(crate) ends: Option<Ends>,
    /// The number of its owner.
    pub(crate) owner: Option<u32>,
    pub(crate) route: Option<NextHop>,
    /// `mode = "testing"`.
    pub(crate) testing: bool,
    pub(crate) until: Option<UnixMillis>,
}

/// The mail's other ends that an entry is for.
#[derive(Debug, PartialEq)]
pub(crate) struct Ends {
    pub(crate) names: Option<NameSet>,
    /// Numbers of owners.
    pub(crate) owners: Vec<u32>,
}

/// Entries of one kind that stand in texts of one origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) settings: Arc<Vec<Arc<Setting>>>,
    /// What entries have in common, each once: a million entries share a few.
    pub(crate) briefs: Arc<Vec<Brief>>,
    pub(crate) entries: Entries,
    pub(crate) table: Table,
}

/// A list whose parts are shared until it is changed. All parts but the last are full.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    full: Vec<Arc<[Option<Entry>]>>,
    last: Vec<Option<Entry>>,
    len: u32,
}

impl Entries {
    /// How many places there are, removed entries counted.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Entry> {
        let index = usize::try_from(index).ok()?;
        let chunk = self.full.get(index / CHUNK).map_or(&*self.last, |chunk| chunk);
        // What lies behind the last part has no place in it either.
        if index / CHUNK > self.full.len() { None } else { chunk.get(index % CHUNK)?.as_ref() }
    }

    /// Adds an entry; its number is the length before.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.last.push(Some(entry));
        self.len += 1;
        if self.last.len() == CHUNK {
            self.full.push(std::mem::take(&mut self.last).into());
        }
    }

    /// Leaves the place of an entry empty.
    pub(crate) fn remove(&mut self, index: u32) {
        let Ok(index) = usize::try_from(index) else { return };
        let is_last = index / CHUNK == self.full.len();
        let place = match self.full.get_mut(index / CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).get_mut(index % CHUNK),
            None if is_last => self.last.get_mut(index % CHUNK),
            None => None,
        };
        if let Some(place) = place {
            *place = None;
        }
    }

    /// Those that are there, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let places = self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.last);
        places.zip(0..).filter_map(|(entry, index)| Some((index, entry.as_ref()?)))
    }
}

impl Layer {
    pub(crate) fn setting(&self, number: u32) -> Option<&Setting> {
        usize::try_from(number).ok().and_then(|number| self.settings.get(number)).map(|setting| &**setting)
    }

    /// The `Brief` of this number.
    pub(crate) fn brief(&self, number: u32) -> Option<&Brief> {
        self.briefs.get(usize::try_from(number).ok()?)
    }

    /// What entries with the `Brief` of this number say of a hop.
    pub(crate) fn said(&self, brief: u32, side: Side) -> Option<&Setting> {
        self.setting(self.brief(brief)?.hops.of(side))
    }

    /// The file that an entry stands in, by its place in `Policy`'s list.
    pub(crate) fn file_of(&self, entry: &Entry) -> u32 {
        self.brief(entry.brief).map_or(0, |brief| brief.file)
    }

    /// The entry as tables list it.
    pub(crate) fn listed(&self, number: u32) -> Option<Listed> {
        self.entries.get(number).map(|entry| entry.listed(number))
    }
}

impl Entry {
    /// How tables list it; `number` is its own.
    pub(crate) fn listed(&self, number: u32) -> Listed {
        Listed::new(number, self.line, self.brief, self.extra.is_none())
    }
}

impl Ends {
    /// Whether the name is one of those that are written as patterns. A name that is none is one by `*` alone.
    pub(crate) fn covers(&self, name: Option<&Domain>) -> bool {
        self.names.as_ref().is_some_and(|names| names.contains(name))
    }
}

impl Hops {
    pub(crate) fn of(&self, side: Side) -> u32 {
        match side {
            Side::Receive => self.receive,
            Side::Submit => self.submit,
            Side::Deliver => self.deliver,
        }
    }
}

impl Side {
    /// The key that stands for it in the file.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Submit => "submit",
            Self::Deliver => "deliver",
        }
    }
}

/// Entries in a part of the list.
const CHUNK: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Option<Entry>>(), align_of::<Entry>()), (64, 64));
    }
}
