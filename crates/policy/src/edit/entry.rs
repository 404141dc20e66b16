//! The entries of a document, and how they are addressed.

use std::fmt;

use serde::Serialize;

use super::PolicyText;
use crate::form::{DomainForm, ListForm, OwnerForm, PartnerForm, RuleForm};
use crate::pattern::Pattern;

/// An entry and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry<T> {
    /// The line of its header, from 1.
    pub line: u32,
    /// What it says.
    #[serde(flatten)]
    pub form: T,
}

/// The kinds of entries that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// `[[owner]]`
    Owner,
    /// `[[domain]]`
    Domain,
    /// `[[partner]]`
    Partner,
    /// `[[list]]`
    List,
    /// `[[rule]]`
    Rule,
}

/// A form that an entry of the document has.
pub trait EntryForm: sealed::Listed {}

impl EntryKind {
    /// The key of the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Domain => "domain",
            Self::Partner => "partner",
            Self::List => "list",
            Self::Rule => "rule",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether two patterns or addresses mean the same, however they are written.
///
/// # Example
/// ```
/// use sealpost_policy::same_item;
/// assert!(same_item("Bank.example", "bank.example.") && same_item("bücher.example", "xn--bcher-kva.example"));
/// assert!(!same_item("bank.example", "*.bank.example"));
/// ```
#[must_use]
pub fn same_item(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    // Only these have a second way to be written.
    let plain = |text: &str| text.is_ascii() && !text.ends_with(['.', '*']);
    !(plain(a) && plain(b)) && matches!((a.parse::<Pattern>(), b.parse::<Pattern>()), (Ok(a), Ok(b)) if a == b)
}

fn as_pattern(text: &str) -> String {
    text.parse::<Pattern>().map_or_else(|_| text.to_owned(), |pattern| pattern.to_string())
}

pub(super) mod sealed {
    use super::{Entry, EntryKind, PolicyText};

    /// What the forms have in common.
    #[allow(unnameable_types, reason = "so that no other crate can add a form")]
    pub trait Listed: Sized + serde::Serialize + serde::de::DeserializeOwned {
        /// The kind of entry.
        const KIND: EntryKind;

        /// All of them in a document.
        fn entries(text: &PolicyText) -> &[Entry<Self>];

        /// What it is addressed by.
        fn address(&self) -> &str;

        /// Whether it is meant by this.
        fn answers_to(&self, address: &str) -> bool {
            self.address() == address
        }

        /// The same for all ways to write what it is addressed by.
        fn identity(&self) -> String {
            self.address().to_owned()
        }

        /// The patterns that it names.
        fn patterns(&self) -> &[String] {
            &[]
        }
    }
}

impl EntryForm for OwnerForm {}
impl EntryForm for DomainForm {}
impl EntryForm for PartnerForm {}
impl EntryForm for ListForm {}
impl EntryForm for RuleForm {}

impl sealed::Listed for OwnerForm {
    const KIND: EntryKind = EntryKind::Owner;

    fn entries(text: &PolicyText) -> &[Entry<Self>] {
        &text.owners
    }

    fn address(&self) -> &str {
        &self.name
    }
}

impl sealed::Listed for DomainForm {
    const KIND: EntryKind = EntryKind::Domain;

    fn entries(text: &PolicyText) -> &[Entry<Self>] {
        &text.domains
    }

    fn address(&self) -> &str {
        &self.name
    }

    fn answers_to(&self, address: &str) -> bool {
        same_item(&self.name, address)
    }

    fn identity(&self) -> String {
        as_pattern(&self.name)
    }
}

impl sealed::Listed for PartnerForm {
    const KIND: EntryKind = EntryKind::Partner;

    fn entries(text: &PolicyText) -> &[Entry<Self>] {
        &text.partners
    }

    fn address(&self) -> &str {
        self.name.as_deref().or_else(|| self.patterns().first().map(String::as_str)).unwrap_or_default()
    }

    fn answers_to(&self, address: &str) -> bool {
        match &self.name {
            Some(name) => name == address,
            None => same_item(self.address(), address),
        }
    }

    /// Without a name it is addressed by a pattern, however that is written.
    fn identity(&self) -> String {
        self.name.clone().unwrap_or_else(|| as_pattern(self.address()))
    }

    fn patterns(&self) -> &[String] {
        self.domains.as_slice()
    }
}

impl sealed::Listed for ListForm {
    const KIND: EntryKind = EntryKind::List;

    fn entries(text: &PolicyText) -> &[Entry<Self>] {
        &text.lists
    }

    fn address(&self) -> &str {
        &self.name
    }
}

impl sealed::Listed for RuleForm {
    const KIND: EntryKind = EntryKind::Rule;

    fn entries(text: &PolicyText) -> &[Entry<Self>] {
        &text.rules
    }

    fn address(&self) -> &str {
        &self.name
    }
}
