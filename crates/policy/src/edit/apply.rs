//! From an edit to the new text.

use std::collections::{HashMap, HashSet};

use toml_edit::{InlineTable, Item, Table, Value};

use super::entry::sealed::Listed;
use super::outline::{Outline, TablePath};
use super::place::{Cuts, between, line_start};
use super::table::{Body, Draft};
use super::value::{Written, key_text, render};
use super::{Edit, EditError, EntryForm, EntryKind, Patch, PolicyText, RulePlace, same_item};
use crate::form::{DomainForm, Items, ListForm, OwnerForm, PartnerForm, RuleForm};

/// Where the change is found afterwards.
pub(super) enum Place {
    /// The entry with this index.
    At(EntryKind, usize),
    /// A line of the text before.
    Was(u32),
    Defaults,
}

impl Place {
    pub(super) fn line(&self, after: &PolicyText) -> u32 {
        fn line<T: Listed>(text: &PolicyText, index: usize) -> u32 {
            T::entries(text).get(index).map_or(1, |entry| entry.line)
        }
        match *self {
            Self::At(EntryKind::Owner, index) => line::<OwnerForm>(after, index),
            Self::At(EntryKind::Domain, index) => line::<DomainForm>(after, index),
            Self::At(EntryKind::Partner, index) => line::<PartnerForm>(after, index),
            Self::At(EntryKind::List, index) => line::<ListForm>(after, index),
            Self::At(EntryKind::Rule, index) => line::<RuleForm>(after, index),
            Self::Was(line) => line,
            Self::Defaults => after.defaults_line(),
        }
    }
}

/// The text after an edit.
pub(super) fn applied(text: &PolicyText, edit: &Edit) -> Result<(String, Place), EditError> {
    let editor = Editor::of(text);
    match edit {
        Edit::AddPartner { entry } => editor.add(entry),
        Edit::AddPartners { entries } => editor.add_partners(entries),
        Edit::SetPartner { at, patch } => editor.set::<PartnerForm>(at, patch),
        Edit::RemovePartner { at } => editor.remove::<PartnerForm>(at),
        Edit::AddDomains { partner, domains } => editor.add_items::<PartnerForm>(partner, "domains", domains),
        Edit::RemoveDomains { partner, domains } => editor.remove_items::<PartnerForm>(partner, "domains", domains),
        Edit::AddDomain { entry } => editor.add(entry),
        Edit::SetDomain { at, patch } => editor.set::<DomainForm>(at, patch),
        Edit::RemoveDomain { at } => editor.remove::<DomainForm>(at),
        Edit::AddOwner { entry } => editor.add(entry),
        Edit::SetOwner { at, patch } => editor.set::<OwnerForm>(at, patch),
        Edit::RemoveOwner { at } => editor.remove::<OwnerForm>(at),
        Edit::AddList { entry } => editor.add(entry),
        Edit::SetList { at, patch } => editor.set::<ListForm>(at, patch),
        Edit::RemoveList { at } => editor.remove::<ListForm>(at),
        Edit::AddEntries { list, entries } => editor.add_items::<ListForm>(list, "entries", entries),
        Edit::RemoveEntries { list, entries } => editor.remove_items::<ListForm>(list, "entries", entries),
        Edit::AddRule { entry, to } => editor.add_rule(entry, to),
        Edit::SetRule { at, patch } => editor.set::<RuleForm>(at, patch),
        Edit::MoveRule { at, to } => editor.move_rule(at, to),
        Edit::RemoveRule { at } => editor.remove::<RuleForm>(at),
        Edit::SetDefaults { patch } => Ok((editor.set_defaults(patch), Place::Defaults)),
    }
}

/// Makes edits of one text.
pub(super) struct Editor<'t> {
    text: &'t PolicyText,
    outline: Outline<'t>,
    newline: &'static str,
}

type Edited = Result<(String, Place), EditError>;

impl<'t> Editor<'t> {
    pub(super) fn of(text: &'t PolicyText) -> Self {
        let newline = if text.as_str().contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, outline: Outline::of(text.as_str(), text.document.as_table()), newline }
    }

    fn root(&self) -> &'t Table {
        self.text.document.as_table()
    }

    pub(super) fn draft(&self) -> Draft<'_> {
        Draft { text: self.text.as_str(), outline: &self.outline, newline: self.newline, cuts: Cuts::default() }
    }

    fn add<T: EntryForm>(&self, form: &T) -> Edited {
        let text = self.add_all(&[form]).map_err(|(_, error)| error)?;
        Ok((text, Place::At(T::KIND, T::entries(self.text).len())))
    }

    fn add_partners(&self, forms: &[PartnerForm]) -> Edited {
        if forms.is_empty() {
            return Err(EditError::NothingNamed);
        }
        let text = self.add_all(&forms.iter().collect::<Vec<_>>()).map_err(|(_, error)| error)?;
        Ok((text, Place::At(PartnerForm::KIND, self.text.partners().len())))
    }

    /// The text with new entries of a kind behind the last; an error says which of them it is about.
    pub(super) fn add_all<T: EntryForm>(&self, forms: &[&T]) -> Result<String, (usize, EditError)> {
        let (mut blocks, mut seen) = (String::new(), HashSet::new());
        let present: HashMap<_, _> = T::entries(self.text).iter().map(|entry| (entry.form.identity(), entry.line)).collect();
        for (index, form) in forms.iter().enumerate() {
            let identity = form.identity();
            if let Some(line) = present.get(&identity) {
                let (address, line) = (form.address().to_owned(), *line);
                return Err((index, EditError::Exists { kind: T::KIND, address, line }));
            }
            if !seen.insert(identity) {
                return Err((index, EditError::Twice { kind: T::KIND, address: form.address().to_owned() }));
            }
            if !blocks.is_empty() {
                blocks.push_str(self.newline);
            }
            blocks.push_str(&self.new_block(*form).map_err(|error| (index, error))?);
        }
        let at = self.outline.of_key(T::KIND.as_str()).map(|block| block.end).max().unwrap_or(self.text.as_str().len());
        Ok(self.with_block(at, &blocks))
    }

    fn set<T: EntryForm>(&self, address: &str, patch: &Patch) -> Edited {
        let (index, table, path) = self.entry::<T>(address)?;
        let mut draft = self.draft();
        self.merge(&mut draft, table, &path, patch);
        Ok((draft.finish(), Place::At(T::KIND, index)))
    }

    /// Changes the keys of an entry in a draft.
    pub(super) fn merge(&self, draft: &mut Draft<'_>, table: &Table, path: &TablePath, patch: &Patch) {
        let body = Body::of_block(draft, table, path);
        draft.merge(table, path, &body, patch);
    }

    fn remove<T: EntryForm>(&self, address: &str) -> Edited {
        let (index, _, path) = self.entry::<T>(address)?;
        let line = T::entries(self.text).get(index).map_or(1, |entry| entry.line);
        let mut cuts = Cuts::default();
        for piece in self.outline.removals(&path) {
            cuts.remove(piece);
        }
        Ok((cuts.apply(self.text.as_str()), Place::Was(line)))
    }

    fn add_items<T: EntryForm>(&self, address: &str, key: &str, items: &Items) -> Edited {
        self.change_items::<T>(address, key, items, |written, line| {
            let present = written.items();
            match items.iter().find(|item| present.iter().any(|other| same_item(other, item))) {
                Some(item) => Err(EditError::ItemExists { item: item.clone(), line }),
                None => Ok(written.with_items(items.as_slice())),
            }
        })
    }

    fn remove_items<T: EntryForm>(&self, address: &str, key: &str, items: &Items) -> Edited {
        self.change_items::<T>(address, key, items, |written, line| {
            let present = written.items();
            if let Some(item) = items.iter().find(|item| !present.iter().any(|other| same_item(other, item))) {
                return Err(EditError::NoItem { item: item.clone(), line });
            }
            let goes = |item: &str| items.iter().any(|other| same_item(other, item));
            if T::KIND == EntryKind::Partner && present.iter().all(|item| goes(item)) {
                return Err(EditError::LastDomain { line });
            }
            Ok(written.without_items(&goes))
        })
    }

    fn change_items<T: EntryForm>(
        &self,
        address: &str,
        key: &str,
        items: &Items,
        change: impl FnOnce(&Written<'_>, u32) -> Result<String, EditError>,
    ) -> Edited {
        if items.is_empty() {
            return Err(EditError::NothingNamed);
        }
        let (index, table, path) = self.entry::<T>(address)?;
        let line = T::entries(self.text).get(index).map_or(1, |entry| entry.line);
        let mut draft = self.draft();
        match table.get(key).and_then(Item::as_value).and_then(Value::span) {
            Some(span) => {
                let written = Written { raw: between(self.text.as_str(), span.clone()), newline: self.newline };
                let new = change(&written, line)?;
                draft.cuts.replace(span, new);
            }
            None => {
                let new = change(&Written { raw: "[]", newline: self.newline }, line)?;
                let body = Body::of_block(&draft, table, &path);
                draft.insert_line(&body, key, &new);
            }
        }
        Ok((draft.finish(), Place::At(T::KIND, index)))
    }

    fn add_rule(&self, form: &RuleForm, to: &RulePlace) -> Edited {
        if let Ok((_, entry)) = self.text.index::<RuleForm>(form.address()) {
            return Err(EditError::Exists { kind: EntryKind::Rule, address: form.address().to_owned(), line: entry.line });
        }
        let block = self.new_block(form)?;
        let position = self.position(to, None)?;
        Ok((self.with_block(self.rule_offset(position, None), &block), Place::At(EntryKind::Rule, position)))
    }

    fn move_rule(&self, address: &str, to: &RulePlace) -> Edited {
        let (from, _, path) = self.entry::<RuleForm>(address)?;
        let position = self.position(to, Some(from))?;
        let place = Place::At(EntryKind::Rule, position);
        if position == from {
            return Ok((self.text.as_str().to_owned(), place));
        }
        let mut block = String::new();
        let mut cuts = Cuts::default();
        for part in self.outline.within(&path) {
            if !block.is_empty() && !block.ends_with('\n') {
                block.push_str(self.newline);
            }
            block.push_str(between(self.text.as_str(), part.lead..part.end));
        }
        for piece in self.outline.removals(&path) {
            cuts.remove(piece);
        }
        let at = self.rule_offset(position, Some(from));
        cuts.insert(at, self.fitted(at, &block));
        Ok((cuts.apply(self.text.as_str()), place))
    }

    /// The index that a rule has afterwards; `from` is its index now.
    fn position(&self, to: &RulePlace, from: Option<usize>) -> Result<usize, EditError> {
        let last = self.text.rules.len() - usize::from(from.is_some());
        let beside = |name: &str| {
            let (index, _) = self.text.index::<RuleForm>(name)?;
            // Without the rule itself, those behind it move up.
            Ok(index - usize::from(from.is_some_and(|from| from < index)))
        };
        match to {
            RulePlace::Last => Ok(last),
            RulePlace::Position(position) => match position.checked_sub(1).filter(|index| *index <= last) {
                Some(index) => Ok(index),
                None => Err(EditError::Position { position: *position, last: last + 1 }),
            },
            RulePlace::Before(name) | RulePlace::After(name)
                if from.is_some() && from == self.text.index::<RuleForm>(name).ok().map(|(i, _)| i) =>
            {
                Ok(from.unwrap_or(last))
            }
            RulePlace::Before(name) => beside(name),
            RulePlace::After(name) => beside(name).map(|index| index + 1),
        }
    }

    /// Where in the text a rule goes that is to have this index.
    fn rule_offset(&self, position: usize, from: Option<usize>) -> usize {
        let others = (0..self.text.rules.len()).filter(|index| Some(*index) != from);
        let blocks = |index: usize| {
            self.outline.within(&[(EntryKind::Rule.as_str().to_owned(), index)]).map(|b| (b.lead, b.end)).collect::<Vec<_>>()
        };
        let others: Vec<_> = others.map(blocks).collect();
        match (others.get(position).and_then(|blocks| blocks.first()), others.last().and_then(|blocks| blocks.iter().map(|b| b.1).max())) {
            (Some((lead, _)), _) => *lead,
            (None, Some(end)) => end,
            (None, None) => self.text.as_str().len(),
        }
    }

    fn set_defaults(&self, patch: &Patch) -> String {
        let mut draft = self.draft();
        match self.root().get("defaults") {
            Some(Item::Value(value)) => draft.merge_value(value, "defaults", &super::PatchValue::Table(patch.clone())),
            Some(Item::Table(table)) => draft.merge_defaults(table, patch),
            _ => {
                let block = draft.defaults_block(patch);
                if !block.is_empty() {
                    let at = self.outline.first().unwrap_or(self.text.as_str().len());
                    return self.with_block(at, &block);
                }
            }
        }
        draft.finish()
    }

    pub(super) fn text(&self) -> &'t PolicyText {
        self.text
    }

    /// The table of the entry at a place, and its path.
    pub(super) fn entry_at<T: EntryForm>(&self, index: usize) -> Result<(usize, &'t Table, TablePath), EditError> {
        let tables = self.root().get(T::KIND.as_str()).and_then(Item::as_array_of_tables);
        match tables.and_then(|tables| tables.get(index)) {
            Some(table) => Ok((index, table, vec![(T::KIND.as_str().to_owned(), index)])),
            None => Err(EditError::Inline { kind: T::KIND, line: T::entries(self.text).get(index).map_or(1, |entry| entry.line) }),
        }
    }

    /// The table of an entry, and its path.
    pub(super) fn entry<T: EntryForm>(&self, address: &str) -> Result<(usize, &'t Table, TablePath), EditError> {
        self.entry_at::<T>(self.text.index::<T>(address)?.0)
    }

    /// The lines of a new entry.
    fn new_block<T: EntryForm>(&self, form: &T) -> Result<String, EditError> {
        if let Some(entry) =
            T::entries(self.text).first().filter(|_| !self.root().get(T::KIND.as_str()).is_some_and(Item::is_array_of_tables))
        {
            return Err(EditError::Inline { kind: T::KIND, line: entry.line });
        }
        let value = form.serialize(toml_edit::ser::ValueSerializer::new()).ok();
        let table = value.and_then(|value| value.as_inline_table().cloned()).unwrap_or_default();
        Ok(block_text(&format!("[[{}]]", T::KIND), &table, self.newline))
    }

    fn with_block(&self, at: usize, block: &str) -> String {
        let mut cuts = Cuts::default();
        cuts.insert(at, self.fitted(at, block));
        cuts.apply(self.text.as_str())
    }

    /// A block with the line breaks that part it from what stands before and behind.
    fn fitted(&self, at: usize, block: &str) -> String {
        let text = self.text.as_str();
        let (before, after) = (between(text, 0..at), between(text, at..text.len()));
        let mut fitted = String::new();
        if !before.is_empty() && !before.ends_with('\n') {
            fitted.push_str(self.newline);
        }
        if !before.trim_start_matches('\u{feff}').is_empty()
            && !between(before, line_start(before, before.len().saturating_sub(1))..before.len()).trim().is_empty()
        {
            fitted.push_str(self.newline);
        }
        fitted.push_str(block);
        if !fitted.ends_with('\n') {
            fitted.push_str(self.newline);
        }
        if !after.is_empty() && !after.lines().next().unwrap_or_default().trim().is_empty() {
            fitted.push_str(self.newline);
        }
        fitted
    }
}

/// A header and the keys below it, each on its line.
pub(super) fn block_text(header: &str, table: &InlineTable, newline: &str) -> String {
    let mut text = format!("{header}{newline}");
    for (key, value) in table.iter() {
        text.push_str(&format!("{} = {}{newline}", key_text(key), render(value, newline, "")));
    }
    text
}
