//! What an operator sees of the queue.

use std::path::PathBuf;
use std::sync::Arc;

use sealpost_types::{Destination, Octets, UnixMillis};

use crate::{Entry, QueueId};

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum State {
    /// Accepted; the first attempt is under way.
    Fresh,
    /// Waits until it is due.
    Deferred,
    /// Is not tried before somebody lets it go.
    Held,
    /// Its row or its body is not what was stored. It is kept, never tried, and counted.
    Damaged,
}

/// The queue in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries in [`State::Fresh`].
    pub fresh: u64,
    /// Entries in [`State::Deferred`], those being tried included.
    pub deferred: u64,
    /// Entries in [`State::Held`].
    pub held: u64,
    /// Entries in [`State::Damaged`].
    pub damaged: u64,
    /// Entries that somebody holds a lease of.
    pub leased: u64,
    /// Octets of the bodies of fresh, deferred and held entries; a body that several entries share counts for each.
    pub size: Octets,
    /// When the oldest entry came in.
    pub oldest: Option<UnixMillis>,
}

/// What lies under a queue, and how it serves.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Disk {
    /// Where the queue is.
    pub directory: PathBuf,
    /// Free space that accepting leaves alone.
    pub reserve: Octets,
    /// How long the commits of its database took.
    pub commits: sealpost_store::Commits,
}

/// Which entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only those that stand so.
    pub state: Option<State>,
    /// Only those that go there.
    pub destination: Option<Destination>,
    /// Only those of this message.
    pub message: Option<QueueId>,
    /// Only those from there: an address as it is stored, or empty for notifications.
    pub sender: Option<String>,
    /// Only those with these words in the reason, in whatever case of ASCII.
    pub reason: Option<String>,
    /// Only those that came in before.
    pub before: Option<UnixMillis>,
    /// Only those behind this one: the last of the page before.
    pub after: Option<QueueId>,
}

/// One entry as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its id.
    pub id: QueueId,
    /// Where it stands.
    pub state: State,
    /// Whether somebody holds a lease of it.
    pub leased: bool,
    /// Where it goes.
    pub destination: Destination,
    /// When it is due; none for those that are not deferred.
    pub due: Option<UnixMillis>,
    /// Why it waits, or how it is damaged.
    pub reason: Option<String>,
    /// The entry; none if it cannot be read.
    pub entry: Option<Arc<Entry>>,
}

/// Which deferred entries to try at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// All.
    All,
    /// Those that go to one of these.
    Destinations(Vec<Destination>),
    /// This entry, or all entries of this message.
    Id(QueueId),
}

/// What somebody does to an entry that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is due now: for those in [`State::Deferred`].
    Retry {
        /// The time.
        now: UnixMillis,
    },
    /// It is tried no more: for those in [`State::Deferred`].
    Hold {
        /// Recorded with it, as with [`Settlement::outbox`](crate::Settlement::outbox).
        outbox: Vec<Vec<u8>>,
    },
    /// It is tried again, at once: for those in [`State::Held`], and for recipients of others that wait to be let go.
    Release {
        /// The time.
        now: UnixMillis,
        /// Recorded with it.
        outbox: Vec<Vec<u8>>,
    },
    /// It is removed: for those that are not in [`State::Fresh`].
    Delete {
        /// Recorded with it, as with [`Settlement::outbox`](crate::Settlement::outbox).
        outbox: Vec<Vec<u8>>,
    },
}

/// What came of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// It is so now.
    Done,
    /// Nothing was to be done: the entry does not stand so.
    Unfit,
    /// Somebody holds a lease of it: it was left alone.
    Leased,
    /// There is none.
    Missing,
}

/// Whether the queue takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Good,
    /// It does not, until there is space on the disk.
    Full,
    /// It does not, until the process starts anew: a write failed.
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
    /// It was closed.
    Closed,
}

/// A row that a settlement recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxRow {
    /// Its place in the order of recording.
    pub place: u64,
    /// What was recorded.
    pub row: Vec<u8>,
}

impl Change {
    /// What is recorded with it.
    pub(crate) fn outbox(&self) -> &[Vec<u8>] {
        match self {
            Self::Retry { .. } => &[],
            Self::Hold { outbox } | Self::Release { outbox, .. } | Self::Delete { outbox } => outbox,
        }
    }
}

impl Filter {
    /// Every entry.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only entries that stand so.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Only entries that go there.
    #[must_use]
    pub fn destination(mut self, destination: Destination) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Only entries of this message.
    #[must_use]
    pub fn message(mut self, message: QueueId) -> Self {
        self.message = Some(message);
        self
    }

    /// Only entries from this address; the empty text for notifications.
    #[must_use]
    pub fn sender(mut self, sender: impl Into<String>) -> Self {
        self.sender = Some(sender.into());
        self
    }

    /// Only entries with these words in the reason.
    #[must_use]
    pub fn reason(mut self, words: impl Into<String>) -> Self {
        self.reason = Some(words.into());
        self
    }

    /// Only entries that came in before.
    #[must_use]
    pub fn before(mut self, at: UnixMillis) -> Self {
        self.before = Some(at);
        self
    }

    /// Only entries behind this one.
    #[must_use]
    pub fn after(mut self, id: QueueId) -> Self {
        self.after = Some(id);
        self
    }
}
