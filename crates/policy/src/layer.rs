//! Entries of one origin: those of the document itself, or those of its included lists.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{NextHop, UnixMillis};

use crate::pattern::Pattern;
use crate::setting::Setting;
use crate::table::{NameSet, Table};

/// A hop as a document knows it: what a domain's own servers hand in is one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Receive,
    Submit,
    Deliver,
}

/// One entry, small: what it says is shared, and what few entries have lies elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) label: Label,
    pub(crate) line: u32,
    /// Which file, by its place in `Policy`'s list.
    pub(crate) file: u32,
    pub(crate) hops: Hops,
    pub(crate) extra: Option<Arc<Extra>>,
}

/// What an entry says of each hop: numbers of settings of its layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hops {
    pub(crate) receive: u32,
    pub(crate) submit: u32,
    pub(crate) deliver: u32,
}

/// What few entries have.
#[derive(Debug, Default)]
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
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) names: Option<NameSet>,
    /// Numbers of owners.
    pub(crate) owners: Vec<u32>,
}

/// What an entry is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Written(Arc<str>),
    Pattern(Pattern),
}

/// Entries of one kind that stand in texts of one origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) settings: Arc<Vec<Arc<Setting>>>,
    pub(crate) entries: Entries,
    pub(crate) table: Table,
}

/// A list whose parts are shared until they are changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    chunks: Vec<Arc<Vec<Option<Entry>>>>,
    len: u32,
}

impl Entries {
    /// How many places there are, removed entries counted.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Entry> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)?.as_ref()
    }

    /// Adds an entry; its number is the length before.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Arc::new(Vec::new()));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            Arc::make_mut(chunk).push(Some(entry));
            self.len += 1;
        }
    }

    /// Leaves the place of an entry empty.
    pub(crate) fn remove(&mut self, index: u32) {
        let Ok(index) = usize::try_from(index) else { return };
        if let Some(chunk) = self.chunks.get_mut(index / CHUNK)
            && let Some(place) = Arc::make_mut(chunk).get_mut(index % CHUNK)
        {
            *place = None;
        }
    }

    /// Those that are there, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let places = self.chunks.iter().flat_map(|chunk| chunk.iter());
        places.zip(0..).filter_map(|(entry, index)| Some((index, entry.as_ref()?)))
    }
}

impl Layer {
    pub(crate) fn setting(&self, number: u32) -> Option<&Setting> {
        usize::try_from(number).ok().and_then(|number| self.settings.get(number)).map(|setting| &**setting)
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

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(name) => f.write_str(name),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// Entries in a part of the list.
const CHUNK: usize = 512;
