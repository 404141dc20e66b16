//! Edits of a policy document that leave everything else in it as it is: comments, blank lines, order, quotes.
//!
//! A [`PolicyText`] is a document as text with its entries as forms. An [`Edit`] changes one thing. Whether the result is a policy
//! that can be obeyed, `Policy::parse` says; here it must only be TOML of the right shape.

mod apply;
mod at_once;
mod change;
mod diff;
mod entry;
mod error;
mod outline;
mod patch;
mod place;
mod read;
mod table;
mod texts;
mod value;

use std::fmt;
use std::sync::Arc;

use toml_edit::Document;

use crate::form::{DefaultsForm, DomainForm, IncludeForm, ListForm, OwnerForm, PartnerForm, RuleForm};

pub use change::{Changed, Edit, RulePlace};
pub use diff::diff;
pub use entry::{Entry, EntryForm, EntryKind, same_item};
pub use error::{EditError, TextError, TextProblem};
pub use patch::{Patch, PatchValue};
pub use value::LIST_KEYS;

pub(crate) use place::LineStarts;

/// A policy document as text, with its entries.
///
/// # Errors
/// [`PolicyText::parse`] gives a [`TextError`] for what is no TOML, for unknown keys and for values of another type.
///
/// # Example
/// ```
/// # use sealpost_policy::{Edit, PolicyText};
/// let mut text = PolicyText::parse("policy.toml", "[[partner]]\ndomains = 'bank.example' # ours since 2019\ndeliver = 'require'\n")?;
/// let edit: Edit = serde_json::from_str(r#"{"kind": "add_domains", "partner": "bank.example", "domains": "bank.test"}"#)?;
/// text.apply(&edit)?;
/// assert_eq!(text.as_str(), "[[partner]]\ndomains = 'bank.example bank.test' # ours since 2019\ndeliver = 'require'\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyText {
    name: Arc<str>,
    document: Document<String>,
    defaults: DefaultsForm,
    includes: Vec<Entry<IncludeForm>>,
    owners: Vec<Entry<OwnerForm>>,
    domains: Vec<Entry<DomainForm>>,
    partners: Vec<Entry<PartnerForm>>,
    lists: Vec<Entry<ListForm>>,
    rules: Vec<Entry<RuleForm>>,
}

impl PolicyText {
    /// Reads a document; `name` is what errors call it.
    ///
    /// # Errors
    /// [`TextError`] with the place of the first thing that is no TOML or not of a policy's shape.
    pub fn parse(name: &str, text: &str) -> Result<Self, TextError> {
        read::read(name, text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.document.raw()
    }

    /// `[defaults]`.
    #[must_use]
    pub fn defaults(&self) -> &DefaultsForm {
        &self.defaults
    }

    /// The line of `[defaults]` or of the first table in it, from 1; 1 if there is none.
    #[must_use]
    pub fn defaults_line(&self) -> u32 {
        let key = self.document.as_table().key("defaults").and_then(toml_edit::Key::span);
        key.map_or(1, |span| LineStarts::of(self.as_str()).line(span.start))
    }

    /// Each `[[include]]`, in the order of the text.
    #[must_use]
    pub fn includes(&self) -> &[Entry<IncludeForm>] {
        &self.includes
    }

    /// Each `[[owner]]`, in the order of the text.
    #[must_use]
    pub fn owners(&self) -> &[Entry<OwnerForm>] {
        &self.owners
    }

    /// Each `[[domain]]`, in the order of the text.
    #[must_use]
    pub fn domains(&self) -> &[Entry<DomainForm>] {
        &self.domains
    }

    /// Each `[[partner]]`, in the order of the text.
    #[must_use]
    pub fn partners(&self) -> &[Entry<PartnerForm>] {
        &self.partners
    }

    /// Each `[[list]]`, in the order of the text.
    #[must_use]
    pub fn lists(&self) -> &[Entry<ListForm>] {
        &self.lists
    }

    /// Each `[[rule]]`, in the order of the text.
    #[must_use]
    pub fn rules(&self) -> &[Entry<RuleForm>] {
        &self.rules
    }

    /// The entry with this name; among those without a name, the one whose first pattern this is.
    ///
    /// # Errors
    /// [`EditError::NotFound`] or [`EditError::Several`], both with the lines that come near.
    ///
    /// # Example
    /// ```
    /// # use sealpost_policy::{PartnerForm, PolicyText};
    /// let text = PolicyText::parse("policy.toml", "[[partner]]\nname = 'Bank'\ndomains = 'bank.example'\n")?;
    /// assert_eq!(text.find::<PartnerForm>("Bank")?.line, 1);
    /// assert_eq!(text.find::<PartnerForm>("Shop").unwrap_err().to_string(), "there is no partner \"Shop\"");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find<T: EntryForm>(&self, address: &str) -> Result<&Entry<T>, EditError> {
        self.index::<T>(address).map(|(_, entry)| entry)
    }

    /// Makes a change. What it does not speak of stays as it is, octet for octet.
    ///
    /// # Errors
    /// [`EditError`]; the text is then as it was.
    pub fn apply(&mut self, edit: &Edit) -> Result<Changed, EditError> {
        let (text, place) = apply::applied(self, edit)?;
        let changed = text != self.as_str();
        let after = Self::parse(&self.name, &text)?;
        let line = place.line(&after);
        *self = after;
        Ok(Changed { line, changed })
    }

    /// Makes changes one after the other, all or none. Those of one kind that follow one another cost little more than one.
    ///
    /// # Errors
    /// The number of the edit that cannot be made, from 1, and why; the text is then as it was.
    pub fn apply_all(&mut self, edits: &[Edit]) -> Result<(), (usize, EditError)> {
        let (mut after, mut rest) = (None, edits);
        while !rest.is_empty() {
            let done = edits.len() - rest.len();
            let before = after.as_ref().unwrap_or(self);
            let (text, made) = at_once::applied_at_once(before, rest).map_err(|(index, error)| (done + index + 1, error))?;
            after = Some(Self::parse(&self.name, &text).map_err(|error| (done + made, error.into()))?);
            rest = rest.get(made.max(1)..).unwrap_or_default();
        }
        if let Some(after) = after {
            *self = after;
        }
        Ok(())
    }

    fn index<T: EntryForm>(&self, address: &str) -> Result<(usize, &Entry<T>), EditError> {
        let entries = T::entries(self);
        let found: Vec<_> = entries.iter().enumerate().filter(|(_, entry)| entry.form.answers_to(address)).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => {
                let near = entries.iter().filter(|other| other.form.patterns().iter().any(|pattern| same_item(pattern, address)));
                let near = near.map(|entry| entry.line).collect();
                Err(EditError::NotFound { kind: T::KIND, address: address.to_owned(), near })
            }
            several => {
                let lines = several.iter().map(|(_, entry)| entry.line).collect();
                Err(EditError::Several { kind: T::KIND, address: address.to_owned(), lines })
            }
        }
    }
}

impl fmt::Display for PolicyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
