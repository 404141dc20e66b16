//! Entries of a file are brought into a policy: what that comes to, as edits.

use std::collections::HashMap;

use sealpost_policy::{
    CsvDefaults, CsvErrors, DomainForm, Edit, Entry, EntryForm, Exported, ListForm, OwnerForm, PartnerForm, Patch, PolicyText, RuleForm,
    RulePlace, export_csv, export_domains_csv, export_lists_csv, import_csv, import_domains_csv, import_lists_csv,
};

use crate::commands::Failure;

/// A kind of entry that can be carried from one policy to another.
pub(in crate::commands::policy) trait Carried: EntryForm + Clone + PartialEq + 'static {
    /// One of the same name says something else from now on; its place and its comments stay.
    fn change(at: String, patch: Patch) -> Edit;

    fn addition(self) -> Edit;

    /// From a CSV; nothing where no columns hold what such an entry says.
    fn from_csv(name: &str, text: &str) -> Option<Result<Vec<Entry<Self>>, CsvErrors>>;

    fn to_csv(name: &str, entries: &[Entry<Self>]) -> Option<Exported>;
}

macro_rules! carried {
    ($($form:ident: $change:ident, $addition:expr, $from:expr, $to:expr;)*) => {$(
        impl Carried for $form {
            fn change(at: String, patch: Patch) -> Edit {
                Edit::$change { at, patch }
            }

            fn addition(self) -> Edit {
                $addition(self)
            }

            fn from_csv(name: &str, text: &str) -> Option<Result<Vec<Entry<Self>>, CsvErrors>> {
                $from(name, text)
            }

            fn to_csv(name: &str, entries: &[Entry<Self>]) -> Option<Exported> {
                $to(name, entries)
            }
        }
    )*};
}

carried! {
    PartnerForm: SetPartner, |entry| Edit::AddPartner { entry }, |name, text| Some(import_csv(name, text, &CsvDefaults::default())),
        |name, entries| Some(export_csv(name, entries));
    DomainForm: SetDomain, |entry| Edit::AddDomain { entry }, |name, text| Some(import_domains_csv(name, text)),
        |name, entries| Some(export_domains_csv(name, entries));
    ListForm: SetList, |entry| Edit::AddList { entry }, |name, text| Some(import_lists_csv(name, text)),
        |_, entries| Some(export_lists_csv(entries));
    OwnerForm: SetOwner, |entry| Edit::AddOwner { entry }, |_, _| None, |_, _| None;
    RuleForm: SetRule, |entry| Edit::AddRule { entry, to: RulePlace::Last }, |_, _| None, |_, _| None;
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
        let present: HashMap<&str, &Entry<T>> = T::entries(text).iter().map(|entry| (entry.form.address(), entry)).collect();
        let (mut new, mut replacing, mut same, mut differ) = (Vec::new(), Vec::new(), 0, Vec::new());
        for entry in found {
            let (line, form) = (entry.line, entry.form);
            match present.get(form.address()) {
                Some(there) if there.form == form => same += 1,
                Some(there) if replace => replacing.push(T::change(form.address().to_owned(), Patch::between(&there.form, &form))),
                Some(there) => {
                    let at = there.line;
                    differ.push(format!("line {line}: {:?} is there already and says something else, at line {at}", form.address()));
                }
                None => new.push(form.addition()),
            }
        }
        if !differ.is_empty() {
            let more = differ.len().saturating_sub(TOLD);
            differ.truncate(TOLD);
            differ.extend((more > 0).then(|| format!("and {more} more")));
            return Err(format!("nothing is imported; --replace takes what the file says\n{}", differ.join("\n")));
        }
        Ok(Self { new: new.len(), replaced: replacing.len(), same, edits: replacing.into_iter().chain(new).collect() })
    }
}

/// Entries that differ of which each is named.
const TOLD: usize = 10;
