//! A few names that an entry takes out of what it covers, or is for.

use std::collections::HashSet;

use sealpost_types::Domain;
use wildmatch::WildMatch;

use crate::pattern::Pattern;

/// The names that some patterns cover.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct NameSet {
    exact: HashSet<Domain>,
    below: HashSet<Domain>,
    wild: Vec<WildMatch>,
    all: bool,
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
