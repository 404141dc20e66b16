//! Entries of a file are brought into a policy: what that comes to, as edits.

use std::collections::HashMap;

use sealpost_policy::{DomainForm, Edit, Entry, ListForm, OwnerForm, PartnerForm, PolicyText, RuleForm, RulePlace};

use crate::commands::Failure;

/// A kind of entry that can be carried from one policy to another.
pub(in crate::commands::policy) trait Carried: Clone + PartialEq + 'static {
    fn all(text: &PolicyText) -> &[Entry<Self>];

    /// The name under which edits find it.
    fn address(&self) -> &str;

    fn removal(at: String) -> Edit;

    /// `place`: where one of the same name stood, from 1.
    fn addition(self, place: Option<usize>) -> Edit;

    /// Those that replace one of the same name, and those that are new.
    fn edits(replacing: Vec<(usize, Self)>, new: Vec<Self>) -> Vec<Edit> {
        let replacing =
            replacing.into_iter().flat_map(|(place, entry)| [Self::removal(entry.address().to_owned()), entry.addition(Some(place))]);
        let edits: Vec<Edit> = replacing.collect();
        edits.into_iter().chain(new.into_iter().map(|entry| entry.addition(None))).collect()
    }
}

impl Carried for PartnerForm {
    fn all(text: &PolicyText) -> &[Entry<Self>] {
        text.partners()
    }

    fn address(&self) -> &str {
        self.name.as_deref().or_else(|| self.domains.as_slice().first().map(String::as_str)).unwrap_or_default()
    }

    fn removal(at: String) -> Edit {
        Edit::RemovePartner { at }
    }

    fn addition(self, _: Option<usize>) -> Edit {
        Edit::AddPartner { entry: self }
    }

    /// Their order says nothing, so that all are added at once: there may be very many.
    fn edits(replacing: Vec<(usize, Self)>, new: Vec<Self>) -> Vec<Edit> {
        let mut edits: Vec<Edit> = replacing.iter().map(|(_, entry)| Self::removal(entry.address().to_owned())).collect();
        let entries: Vec<Self> = replacing.into_iter().map(|(_, entry)| entry).chain(new).collect();
        if !entries.is_empty() {
            edits.push(Edit::AddPartners { entries });
        }
        edits
    }
}

/// Kinds that are found by the key `name`.
macro_rules! carried {
    ($($form:ident: $all:ident, $removal:ident, |$entry:ident, $place:ident| $addition:expr;)*) => {$(
        impl Carried for $form {
            fn all(text: &PolicyText) -> &[Entry<Self>] {
                text.$all()
            }

            fn address(&self) -> &str {
                &self.name
            }

            fn removal(at: String) -> Edit {
                Edit::$removal { at }
            }

            fn addition(self, $place: Option<usize>) -> Edit {
                let $entry = self;
                $addition
            }
        }
    )*};
}

carried! {
    DomainForm: domains, RemoveDomain, |entry, _place| Edit::AddDomain { entry };
    OwnerForm: owners, RemoveOwner, |entry, _place| Edit::AddOwner { entry };
    ListForm: lists, RemoveList, |entry, _place| Edit::AddList { entry };
    RuleForm: rules, RemoveRule, |entry, place| Edit::AddRule { entry, to: place.map_or(RulePlace::Last, RulePlace::Position) };
}

/// What an import comes to.
pub(super) struct Merge {
    pub(super) new: usize,
    pub(super) replaced: usize,
    pub(super) same: usize,
    pub(super) edits: Vec<Edit>,
}

impl Merge {
    /// Entries that are there and say the same are passed over; those that say something else are a mistake, or replaced.
    pub(super) fn of<T: Carried>(text: &PolicyText, found: Vec<Entry<T>>, replace: bool) -> Result<Self, Failure> {
        let present = T::all(text).iter().enumerate();
        let present: HashMap<&str, (usize, &Entry<T>)> = present.map(|(index, entry)| (entry.form.address(), (index + 1, entry))).collect();
        let (mut new, mut replacing, mut same, mut differ) = (Vec::new(), Vec::new(), 0, Vec::new());
        for entry in found {
            let (line, form) = (entry.line, entry.form);
            match present.get(form.address()) {
                Some((_, there)) if there.form == form => same += 1,
                Some((place, _)) if replace => replacing.push((*place, form)),
                Some((_, there)) => {
                    let at = there.line;
                    differ.push(format!("line {line}: {:?} is there already and says something else, at line {at}", form.address()));
                }
                None => new.push(form),
            }
        }
        if !differ.is_empty() {
            let more = differ.len().saturating_sub(TOLD);
            differ.truncate(TOLD);
            differ.extend((more > 0).then(|| format!("and {more} more")));
            return Err(format!("nothing is imported; --replace takes what the file says\n{}", differ.join("\n")));
        }
        Ok(Self { new: new.len(), replaced: replacing.len(), same, edits: T::edits(replacing, new) })
    }
}

/// Entries that differ of which each is named.
const TOLD: usize = 10;
