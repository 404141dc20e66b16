//! The names by which entries speak of one another: owners and lists.

use std::collections::HashMap;
use std::sync::Arc;

use crate::document::{Document, End, Problem, Text, Written};
use crate::layer::Ends;
use crate::policy::Owner;
use crate::table::NameSet;

/// Owners and lists by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    owners: HashMap<Arc<str>, u32>,
    lists: HashMap<Arc<str>, u32>,
}

impl Names {
    pub(super) fn new(document: &Document, text: &mut Text<'_>) -> Self {
        let owners = gather(document.owners.iter().map(|owner| (&owner.name, owner.line)), "[[owner]]", text);
        let lists = gather(document.lists.iter().map(|list| (&list.name, list.line)), "[[list]]", text);
        gather(document.rules.iter().map(|rule| (&rule.name, rule.line)), "[[rule]]", text);
        let names = Self { owners, lists };
        names.check_parents(document, text);
        names
    }

    /// Notes each owner that stands above itself.
    fn check_parents(&self, document: &Document, text: &mut Text<'_>) {
        let parents: Vec<Option<usize>> =
            (document.owners.iter()).map(|owner| usize::try_from(*self.owners.get(&owner.parent.as_ref()?.value)?).ok()).collect();
        for (number, owner) in document.owners.iter().enumerate() {
            let mut above = parents.get(number).copied().flatten();
            // No way up is longer than there are owners.
            for _ in 0..parents.len() {
                if above == Some(number) {
                    let offset = owner.parent.as_ref().map_or(owner.name.offset, |parent| parent.offset);
                    text.problem(offset, Problem::OwnerLoop { name: owner.name.value.to_string() });
                    break;
                }
                above = above.and_then(|above| parents.get(above).copied().flatten());
            }
        }
    }

    pub(super) fn owner(&self, name: &Written<Arc<str>>, text: &mut Text<'_>) -> Option<u32> {
        find(&self.owners, "owner", name, text)
    }

    pub(super) fn list(&self, name: &Written<Arc<str>>, text: &mut Text<'_>) -> Option<u32> {
        find(&self.lists, "list", name, text)
    }

    /// The names of owners that are compiled already.
    pub(super) fn of_owners(owners: &[Owner]) -> Self {
        let owners = (0..).zip(owners).map(|(number, owner)| (Arc::clone(&owner.name), number)).collect();
        Self { owners, lists: HashMap::new() }
    }

    fn owner_number(&self, name: &str) -> Result<u32, Problem> {
        self.owners.get(name).copied().ok_or_else(|| unknown(&self.owners, "owner", name))
    }

    /// `for`, with its owners found; what cannot be found is noted.
    pub(super) fn ends(&self, ends: Vec<Written<End>>, text: &mut Text<'_>) -> Ends {
        self.find_ends(ends).unwrap_or_else(|(offset, problem)| {
            text.problem(offset, problem);
            Ends { names: None, owners: Vec::new() }
        })
    }

    /// `for`, with its owners found; else the first that cannot be.
    pub(super) fn find_ends(&self, ends: Vec<Written<End>>) -> Result<Ends, (usize, Problem)> {
        let mut patterns = Vec::new();
        let mut owners = Vec::new();
        for Written { offset, value } in ends {
            match value {
                End::Name(pattern) => patterns.push(pattern),
                End::Owner(name) => owners.push(self.owner_number(&name).map_err(|problem| (offset, problem))?),
            }
        }
        Ok(Ends { names: NameSet::new(&patterns), owners })
    }
}

fn gather<'d>(
    named: impl Iterator<Item = (&'d Written<Arc<str>>, u32)>,
    kind: &'static str,
    text: &mut Text<'_>,
) -> HashMap<Arc<str>, u32> {
    let mut numbers = HashMap::new();
    let mut lines: HashMap<&str, u32> = HashMap::new();
    for (number, (name, line)) in (0..).zip(named) {
        if let Some(first_line) = lines.get(&*name.value) {
            text.problem(name.offset, Problem::NamedTwice { kind, name: name.value.to_string(), first_line: *first_line });
            continue;
        }
        lines.insert(&name.value, line);
        numbers.insert(Arc::clone(&name.value), number);
    }
    numbers
}

fn find(names: &HashMap<Arc<str>, u32>, kind: &'static str, name: &Written<Arc<str>>, text: &mut Text<'_>) -> Option<u32> {
    let number = names.get(&name.value).copied();
    if number.is_none() {
        text.problem(name.offset, unknown(names, kind, &name.value));
    }
    number
}

fn unknown(names: &HashMap<Arc<str>, u32>, kind: &'static str, name: &str) -> Problem {
    let mut known: Vec<String> = names.keys().map(ToString::to_string).collect();
    known.sort();
    Problem::UnknownName { kind, name: name.to_owned(), known }
}
