//! What is kept of very many judgements: counts, and one example of each kind of change.

use std::collections::BTreeMap;

use super::Judged;
use super::change::{Case, Would};

/// Counts judgements, and groups the changes among them.
///
/// # Limits
/// [`GROUPS`] groups; changes of further ones are counted, and not grouped.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    cases: BTreeMap<Case, Count>,
    groups: BTreeMap<Group, Counted>,
    ungrouped: u64,
}

/// How many of a kind were judged, and how many would have come out otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// All.
    pub judged: u64,
    /// Those that would have been different, or of which that cannot be told.
    pub changed: BTreeMap<Would, u64>,
}

/// What changes have in common that are told in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Group {
    /// The case.
    pub case: Case,
    /// The domain; empty where there is none.
    pub domain: String,
    /// What would have happened.
    pub would: Would,
    /// Why, in words.
    pub why: String,
    /// Who says so, and where; empty where no source does.
    pub source: String,
}

/// How many changes are in a group, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// The queue id of the first that has one.
    pub example: Option<String>,
}

impl Tally {
    /// Counts a judgement about the message of this queue id.
    pub fn add(&mut self, judged: &Judged, queue_id: Option<&str>) {
        let count = self.cases.entry(judged.case).or_default();
        count.judged += 1;
        let Some(change) = &judged.change else { return };
        *count.changed.entry(change.would).or_default() += 1;
        let group = Group {
            case: judged.case,
            domain: judged.domain.as_ref().map(ToString::to_string).unwrap_or_default(),
            would: change.would,
            why: change.why.to_string(),
            source: change.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&group) {
            self.ungrouped += 1;
            return;
        }
        let counted = self.groups.entry(group).or_insert(Counted { count: 0, example: None });
        counted.count += 1;
        if counted.example.is_none() {
            counted.example = queue_id.map(str::to_owned);
        }
    }

    /// How many of this case were judged, and what would have become of them.
    #[must_use]
    pub fn count(&self, case: Case) -> Count {
        self.cases.get(&case).cloned().unwrap_or_default()
    }

    /// The groups of changes, the largest first within each case.
    #[must_use]
    pub fn groups(&self) -> Vec<(&Group, &Counted)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(group, counted)| (group.case, std::cmp::Reverse(counted.count)));
        groups
    }

    /// Changes that are in no group, because there were too many groups.
    #[must_use]
    pub fn ungrouped(&self) -> u64 {
        self.ungrouped
    }

    /// Whether anything would certainly have come out otherwise.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.cases.values().any(|count| count.changed.keys().any(|would| *would != Would::Untold))
    }

    /// Whether there is anything of which that cannot be told.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        self.cases.values().any(|count| count.changed.contains_key(&Would::Untold))
    }
}

/// Groups of changes that a [`Tally`] keeps.
pub const GROUPS: usize = 10_000;
