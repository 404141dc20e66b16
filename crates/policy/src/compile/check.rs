//! Keys whose meaning hangs on a level that stands elsewhere.

use std::borrow::Cow;

use sealpost_types::Level;

use crate::document::{HopEntries, Problem, Text, has_meaning};
use crate::layer::{Hops, Side};
use crate::pattern::Pattern;
use crate::policy::Main;
use crate::setting::Setting;
use crate::table;

/// A key that stands without a level beside it.
pub(super) struct Unchecked {
    hosted: bool,
    /// Its entry, and the first pattern of that; none for defaults.
    entry: Option<(Pattern, u32)>,
    side: Side,
    key: &'static str,
    offset: usize,
}

impl Unchecked {
    pub(super) fn all(hops: &HopEntries, hosted: bool, entry: Option<(Pattern, u32)>) -> impl Iterator<Item = Self> {
        let of = move |side, key, offset| Self { hosted, entry: entry.clone(), side, key, offset };
        hops.unchecked.iter().map(move |(side, key, offset)| of(*side, key, *offset))
    }
}

impl Main {
    /// Notes a key that has no meaning at the level that its entry inherits.
    pub(super) fn check_meaning(&self, unchecked: &Unchecked, text: &mut Text<'_>) {
        let (level, otherwise) = self.level_below(unchecked);
        if !has_meaning(unchecked.key, level, otherwise) {
            text.problem(unchecked.offset, Problem::KeyAtLevel { key: unchecked.key, level, inherited: true });
        }
    }

    /// The level that an entry, or a table of defaults, has from the sources that are less specific, with what `dane` falls
    /// back to there.
    fn level_below(&self, Unchecked { hosted, entry, side, .. }: &Unchecked) -> (Level, Option<Level>) {
        let (layer, defaults) = if *hosted { (&self.hosted, &self.hosted_defaults) } else { (&self.partners, &self.external_defaults) };
        let of = |setting: &Setting| Some((setting.asked.level?, setting.asked.otherwise));
        let of_hops = |hops: &Hops| of(self.setting(hops.of(*side))?);
        let mut level = None;
        let mut owner = None;
        if let Some((pattern, own)) = entry {
            owner = layer.entries.get(*own).and_then(|entry| entry.extra.as_ref()?.owner);
            // The text of a pattern is covered by the pattern itself, and by what covers all its names.
            let text = (*pattern != Pattern::All).then(|| pattern.to_string());
            table::walk([Some(&layer.table), None], text.as_deref(), true, |_, [indices, _]| {
                // Its equals join it; they do not fill it up.
                if !indices.iter().any(|listed| listed.entry == *own) {
                    level = indices.iter().filter_map(|listed| of(layer.said(listed.brief(), *side)?)).max();
                }
                level.is_none()
            });
        }
        // No way up is longer than there are owners, unless one stands above itself: that has its own message.
        for _ in 0..self.owners.len() {
            let Some(next) = owner.and_then(|number| self.owner(number)).filter(|_| level.is_none()) else { break };
            level = of_hops(&next.hops);
            owner = next.parent;
        }
        level.or_else(|| of_hops(&defaults.hops)).unwrap_or((Level::Opportunistic, None))
    }

    /// The line of the `[[domain]]` that makes all names of this pattern hosted ones.
    pub(super) fn hosting_line(&self, pattern: &Pattern) -> Option<u32> {
        let mut line = None;
        let text: Cow<'_, str> = match pattern {
            Pattern::Exact(name) => name.as_str().into(),
            other => other.to_string().into(),
        };
        if *pattern != Pattern::All {
            table::walk([Some(&self.hosted.table), None], Some(&text), true, |_, [entries, _]| {
                line = entries.first().and_then(|listed| self.hosted.entries.get(listed.entry)).map(|entry| entry.line);
                false
            });
        }
        line
    }
}
