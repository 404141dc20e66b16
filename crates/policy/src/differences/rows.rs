//! The rows of included lists. What two policies share of them is not looked at, so that one row among a million costs little.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Differences, EntryId};
use crate::layer::{Called, Entry, Layer, Side};
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::table::Listed;

pub(super) fn compare(before: &Policy, after: &Policy, found: &mut Differences) {
    let (old, new) = (Rows::of(before), Rows::of(after));
    let mut same = Same { old: &before.included, new: &after.included, settings: HashMap::new() };
    let mut thinned: Vec<Arc<str>> = Vec::new();
    old.each_beside(&new, |file, pattern, rows| {
        let now = new.under(file, pattern);
        for (index, row) in rows.iter().enumerate() {
            let id = || EntryId::Row { file: Arc::clone(file), pattern: pattern.to_string() };
            match now.get(index) {
                Some(other) if same.says(row, other) => {}
                Some(_) => found.changed.note(id()),
                None => {
                    if !thinned.contains(file) {
                        thinned.push(Arc::clone(file));
                    }
                    found.remove(id(), !after.has_partner(pattern));
                }
            }
        }
    });
    new.each_beside(&old, |file, pattern, rows| {
        for _ in old.under(file, pattern).len()..rows.len() {
            found.added.note(EntryId::Row { file: Arc::clone(file), pattern: pattern.to_string() });
        }
    });
    // Where no row went, none of the lists is empty that was not.
    thinned.retain(|file| after.lists.iter().any(|list| list.file == *file) && !new.has_any(file));
    found.emptied.extend(thinned.iter().map(|file| EntryId::Include(file.to_string())));
}

/// The rows of a policy.
struct Rows<'p>(&'p Policy);

impl<'p> Rows<'p> {
    fn of(policy: &'p Policy) -> Self {
        Self(policy)
    }

    /// The rows of each file and pattern that are not the very ones of the other policy.
    fn each_beside(&self, other: &Self, mut visit: impl FnMut(&Arc<str>, &Pattern, &[&Entry])) {
        let layer = &self.0.included;
        layer.table.each_beside(&other.0.included.table, |pattern, listed| {
            // What covers a name and all below it stands under both.
            let above = above(layer, pattern);
            let rows = listed.iter().filter(|listed| !above.contains(listed)).filter_map(|listed| layer.entries.get(listed.entry));
            let mut of_file: Vec<(u32, Vec<&Entry>)> = Vec::new();
            for row in rows {
                match of_file.iter_mut().find(|(file, _)| *file == layer.file_of(row)) {
                    Some((_, rows)) => rows.push(row),
                    None => of_file.push((layer.file_of(row), vec![row])),
                }
            }
            of_file.iter().for_each(|(file, rows)| visit(self.0.file(*file), pattern, rows));
        });
    }

    /// The rows of a file under a pattern.
    fn under(&self, file: &str, pattern: &Pattern) -> Vec<&'p Entry> {
        let layer = &self.0.included;
        let above = above(layer, pattern);
        let listed = layer.table.under(pattern).iter().filter(|listed| !above.contains(listed));
        listed.filter_map(|listed| layer.entries.get(listed.entry)).filter(|row| **self.0.file(layer.file_of(row)) == *file).collect()
    }

    /// Whether a list has rows at all.
    fn has_any(&self, file: &str) -> bool {
        let layer = &self.0.included;
        let number = (1..).zip(self.0.lists.iter()).find(|(_, list)| *list.file == *file).map(|(number, _)| number);
        number.is_some_and(|number: u32| layer.entries.iter().any(|(_, row)| layer.file_of(row) == number))
    }
}

/// What covers the name of `*.name` itself.
fn above<'p>(layer: &'p Layer, pattern: &Pattern) -> &'p [Listed] {
    match pattern {
        Pattern::Below(name) => layer.table.under(&Pattern::Exact(name.clone())),
        _ => &[],
    }
}

/// Compares what rows say; a million rows share a few settings.
struct Same<'p> {
    old: &'p Layer,
    new: &'p Layer,
    settings: HashMap<(u32, u32), bool>,
}

impl Same<'_> {
    fn says(&mut self, old: &Entry, new: &Entry) -> bool {
        let (Some(before), Some(after)) = (self.old.brief(old.brief), self.new.brief(new.brief)) else { return false };
        let is_named = |called| called == Called::Named;
        old.label == new.label
            && is_named(before.called) == is_named(after.called)
            && old.extra == new.extra
            && [Side::Receive, Side::Deliver].into_iter().all(|side| {
                let numbers = (before.hops.of(side), after.hops.of(side));
                let (before, after) = (self.old.setting(numbers.0), self.new.setting(numbers.1));
                let is_same = || before.map(|setting| &setting.asked) == after.map(|setting| &setting.asked);
                *self.settings.entry(numbers).or_insert_with(is_same)
            })
    }
}
