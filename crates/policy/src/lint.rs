//! What a policy says that its author probably does not mean: legal, and worth a second look.

mod entries;
mod rules;

use std::fmt;

use sealpost_types::UnixMillis;

use crate::policy::Policy;
use crate::trace::{Place, Source};

/// One thing worth a second look, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lint {
    /// Whose words they are.
    pub source: Source,
    /// What is odd about them.
    pub oddity: Oddity,
}

/// What is odd about a part of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// The same pattern stands in another entry of the kind: both hold.
    Duplicate {
        /// The pattern.
        pattern: String,
        /// The other entry.
        other: Place,
        /// Whether both say the same.
        same: bool,
    },
    /// A less specific entry says the same already.
    Shadowed {
        /// The pattern.
        pattern: String,
        /// The less specific entry.
        by: Place,
    },
    /// Two entries that hold together ask for what cannot be had together.
    Contradiction {
        /// For which names.
        pattern: String,
        /// The other entry.
        other: Place,
        /// What they ask.
        what: Conflict,
    },
    /// It can never speak.
    Unreachable {
        /// Why.
        because: Unreachable,
    },
    /// It is past its `until`, and counts only where its absence would be weaker.
    Expired {
        /// When it ended.
        until: UnixMillis,
    },
    /// Nothing refers to it.
    Unused,
    /// A list with nothing in it, into which a rule looks.
    Empty,
    /// A floor where TLS is opportunistic: a host below it gets the mail in clear.
    ClearBelowFloor {
        /// The key of the floor.
        key: &'static str,
    },
    /// A floor where clients may come in clear: one below it is turned away, and comes back without TLS.
    ClearPassesFloor {
        /// The hop, as the file has it.
        hop: &'static str,
        /// The key of the floor.
        key: &'static str,
    },
}

/// What two entries ask that cannot be had together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conflict {
    /// One has TLS never attempted, the other will have nothing without it: the other holds.
    NeverAndMandatory,
    /// They have no cipher suite in common: nothing is delivered.
    NoCipherLeft,
}

/// Why a part of a policy can never speak.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// It excludes its own pattern.
    ExcludesItself {
        /// The pattern.
        pattern: String,
    },
    /// A rule before it stops all mail.
    Stopped {
        /// The rule.
        by: Place,
    },
    /// A rule before it has set the level of all mail.
    LevelSet {
        /// The rule.
        by: Place,
    },
}

impl Policy {
    /// What is worth a second look at this time, in the order of the document; at most [`LINTS`].
    #[must_use]
    pub fn lint(&self, now: UnixMillis) -> Vec<Lint> {
        let mut found = Vec::new();
        entries::look(self, now, &mut found);
        rules::look(self, now, &mut found);
        let line = |lint: &Lint| lint.source.place().map(|place| (place.file.clone(), place.line));
        found.sort_by_cached_key(|lint| line(lint).map(|(file, line)| (*file != *self.main.file, file, line)));
        found.truncate(LINTS);
        found
    }
}

impl Oddity {
    /// A stable word for programs: `duplicate`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "duplicate",
            Self::Shadowed { .. } => "shadowed",
            Self::Contradiction { .. } => "contradiction",
            Self::Unreachable { .. } => "unreachable",
            Self::Expired { .. } => "expired",
            Self::Unused => "unused",
            Self::Empty => "empty",
            Self::ClearBelowFloor { .. } => "clear-below-floor",
            Self::ClearPassesFloor { .. } => "clear-passes-floor",
        }
    }
}

/// `policy.toml:12: partner "Bank": what is odd`.
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.source.place() {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.source.in_words(), self.oddity)
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { pattern, other, same: true } => write!(f, "{pattern} stands at {other} too, and says the same there"),
            Self::Duplicate { pattern, other, same: false } => write!(f, "{pattern} stands at {other} too; the stricter of both holds"),
            Self::Shadowed { pattern, by } => write!(f, "{pattern} says nothing that {by} does not say for it already"),
            Self::Contradiction { pattern, other, what: Conflict::NeverAndMandatory } => {
                write!(
                    f,
                    "for {pattern} it and {other} contradict each other: one will have no TLS, the other nothing without; the other holds"
                )
            }
            Self::Contradiction { pattern, other, what: Conflict::NoCipherLeft } => {
                write!(f, "for {pattern} it and {other} have no cipher suite in common: nothing can be delivered")
            }
            Self::Unreachable { because: Unreachable::ExcludesItself { pattern } } => {
                write!(f, "never speaks for {pattern}: it excludes it")
            }
            Self::Unreachable { because: Unreachable::Stopped { by } } => write!(f, "is never looked at: the rule at {by} stops all mail"),
            Self::Unreachable { because: Unreachable::LevelSet { by } } => {
                write!(f, "never sets a level: the rule at {by} has set that of all mail")
            }
            Self::Expired { until } => write!(f, "ended on {}; it counts only where its absence would be weaker", Day(*until)),
            Self::Unused => f.write_str("nothing refers to it"),
            Self::Empty => f.write_str("has no entries, so what looks into it finds nobody"),
            Self::ClearBelowFloor { key } => {
                write!(
                    f,
                    "{key} beside opportunistic TLS: a host below it gets the mail in clear; write require, or clear_fallback = \"never\""
                )
            }
            Self::ClearPassesFloor { hop, key } => {
                write!(f, "{key} beside opportunistic TLS on {hop}: a client below it is refused, one in clear is not; write require")
            }
        }
    }
}

/// A day in UTC.
pub(crate) struct Day(pub(crate) UnixMillis);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(moment) => write!(f, "{}", moment.to_zoned(jiff::tz::TimeZone::UTC).date()),
            Err(_) => f.write_str("no day"),
        }
    }
}

/// What [`Policy::lint`] finds at the most: nobody reads more.
pub const LINTS: usize = 1000;
