//! Many edits at once: a thousand of a kind read the text once, not a thousand times.

use std::collections::{HashMap, HashSet};

use super::apply::{Editor, applied};
use super::entry::sealed::Listed;
use super::table::Draft;
use super::{Edit, EditError, EntryForm, EntryKind, Patch, PolicyText, RulePlace};
use crate::form::{DomainForm, ListForm, OwnerForm, PartnerForm, RuleForm};

/// The text after as many of these edits as can be made in one go, and how many that are. What comes of them is what came of one
/// after the other.
pub(super) fn applied_at_once(text: &PolicyText, edits: &[Edit]) -> Result<(String, usize), (usize, EditError)> {
    let Some(first) = edits.first() else { return Ok((text.as_str().to_owned(), 0)) };
    match first {
        Edit::AddPartner { .. } => add::<PartnerForm>(text, edits, |edit| match edit {
            Edit::AddPartner { entry } => Some(entry),
            _ => None,
        }),
        Edit::AddDomain { .. } => add::<DomainForm>(text, edits, |edit| match edit {
            Edit::AddDomain { entry } => Some(entry),
            _ => None,
        }),
        Edit::AddOwner { .. } => add::<OwnerForm>(text, edits, |edit| match edit {
            Edit::AddOwner { entry } => Some(entry),
            _ => None,
        }),
        Edit::AddList { .. } => add::<ListForm>(text, edits, |edit| match edit {
            Edit::AddList { entry } => Some(entry),
            _ => None,
        }),
        Edit::AddRule { to: RulePlace::Last, .. } => add::<RuleForm>(text, edits, |edit| match edit {
            Edit::AddRule { entry, to: RulePlace::Last } => Some(entry),
            _ => None,
        }),
        edit if patched(edit).is_some() => set(text, edits),
        edit => applied(text, edit).map(|(text, _)| (text, 1)).map_err(|error| (0, error)),
    }
}

fn add<T: EntryForm>(text: &PolicyText, edits: &[Edit], form: impl Fn(&Edit) -> Option<&T>) -> Result<(String, usize), (usize, EditError)> {
    let forms: Vec<&T> = edits.iter().map_while(form).collect();
    Editor::of(text).add_all(&forms).map(|text| (text, forms.len()))
}

/// Changes of different entries, up to the first that another one may hang on.
fn set(text: &PolicyText, edits: &[Edit]) -> Result<(String, usize), (usize, EditError)> {
    let editor = Editor::of(text);
    let mut draft = editor.draft();
    let (mut touched, mut made, mut names) = (HashSet::new(), 0, Names::default());
    for (kind, at, patch) in edits.iter().map_while(patched) {
        let entry = match kind {
            EntryKind::Owner => change::<OwnerForm>(&editor, &mut draft, &mut names, (at, patch), &touched),
            EntryKind::Domain => change::<DomainForm>(&editor, &mut draft, &mut names, (at, patch), &touched),
            EntryKind::Partner => change::<PartnerForm>(&editor, &mut draft, &mut names, (at, patch), &touched),
            EntryKind::List => change::<ListForm>(&editor, &mut draft, &mut names, (at, patch), &touched),
            EntryKind::Rule => change::<RuleForm>(&editor, &mut draft, &mut names, (at, patch), &touched),
        };
        match entry.map_err(|error| (made, error))? {
            Some(entry) => touched.insert(entry),
            None => break,
        };
        made += 1;
        // Others may be meant by another name now.
        if patch.iter().any(|(key, _)| ADDRESS.contains(&key)) {
            break;
        }
    }
    Ok((draft.finish(), made))
}

type Touched = (EntryKind, usize);

/// Changes an entry, and says which; nothing if it is changed already.
fn change<T: EntryForm + Listed>(
    editor: &Editor<'_>,
    draft: &mut Draft<'_>,
    names: &mut Names,
    (at, patch): (&str, &Patch),
    touched: &HashSet<Touched>,
) -> Result<Option<Touched>, EditError> {
    let (index, table, path) = match names.only::<T>(editor.text(), at) {
        Some(index) => editor.entry_at::<T>(index)?,
        None => editor.entry::<T>(at)?,
    };
    let entry = (T::KIND, index);
    if touched.contains(&entry) {
        return Ok(None);
    }
    editor.merge(draft, table, &path, patch);
    Ok(Some(entry))
}

/// Entries by what they are addressed by: of a thousand edits each would go through all entries.
#[derive(Default)]
struct Names(HashMap<EntryKind, HashMap<String, Vec<usize>>>);

impl Names {
    /// The place of the only entry that is meant.
    fn only<T: EntryForm>(&mut self, text: &PolicyText, at: &str) -> Option<usize> {
        let names = self.0.entry(T::KIND).or_insert_with(|| {
            let mut names: HashMap<String, Vec<usize>> = HashMap::new();
            for (index, entry) in T::entries(text).iter().enumerate() {
                names.entry(entry.form.identity()).or_default().push(index);
            }
            names
        });
        names.get(at).filter(|places| places.len() == 1).and_then(|places| places.first().copied())
    }
}

fn patched(edit: &Edit) -> Option<(EntryKind, &str, &Patch)> {
    match edit {
        Edit::SetOwner { at, patch } => Some((EntryKind::Owner, at, patch)),
        Edit::SetDomain { at, patch } => Some((EntryKind::Domain, at, patch)),
        Edit::SetPartner { at, patch } => Some((EntryKind::Partner, at, patch)),
        Edit::SetList { at, patch } => Some((EntryKind::List, at, patch)),
        Edit::SetRule { at, patch } => Some((EntryKind::Rule, at, patch)),
        _ => None,
    }
}

/// The keys that entries are addressed by.
const ADDRESS: [&str; 2] = ["name", "domains"];
