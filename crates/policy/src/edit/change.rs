//! What can be asked of a document.

use serde::{Deserialize, Serialize};

use super::Patch;
use crate::form::{DomainForm, Items, ListForm, OwnerForm, PartnerForm, RuleForm};

/// One change of a document.
///
/// Entries are addressed by their name; an entry without a name by its first pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Edit {
    /// A new `[[partner]]` behind the last.
    AddPartner { entry: PartnerForm },
    /// Many new `[[partner]]` behind the last, in this order: as one edit, so that a thousand cost what one does.
    AddPartners { entries: Vec<PartnerForm> },
    /// Other keys for a `[[partner]]`.
    SetPartner { at: String, patch: Patch },
    /// A `[[partner]]` goes, with the comment right above it.
    RemovePartner { at: String },
    /// Further patterns in the `domains` of a partner.
    AddDomains { partner: String, domains: Items },
    /// Fewer patterns in the `domains` of a partner.
    RemoveDomains { partner: String, domains: Items },
    /// A new `[[domain]]` behind the last.
    AddDomain { entry: DomainForm },
    /// Other keys for a `[[domain]]`.
    SetDomain { at: String, patch: Patch },
    /// A `[[domain]]` goes.
    RemoveDomain { at: String },
    /// A new `[[owner]]` behind the last.
    AddOwner { entry: OwnerForm },
    /// Other keys for an `[[owner]]`.
    SetOwner { at: String, patch: Patch },
    /// An `[[owner]]` goes.
    RemoveOwner { at: String },
    /// A new `[[list]]` behind the last.
    AddList { entry: ListForm },
    /// Other keys for a `[[list]]`.
    SetList { at: String, patch: Patch },
    /// A `[[list]]` goes.
    RemoveList { at: String },
    /// Further lines in a `[[list]]`.
    AddEntries { list: String, entries: Items },
    /// Fewer lines in a `[[list]]`.
    RemoveEntries { list: String, entries: Items },
    /// A new `[[rule]]`.
    AddRule { entry: RuleForm, to: RulePlace },
    /// Other keys for a `[[rule]]`.
    SetRule { at: String, patch: Patch },
    /// A `[[rule]]` takes another place in the order.
    MoveRule { at: String, to: RulePlace },
    /// A `[[rule]]` goes.
    RemoveRule { at: String },
    /// Other keys for `[defaults]` and the tables in it.
    SetDefaults { patch: Patch },
}

/// A place in the order of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RulePlace {
    /// Behind all others.
    Last,
    /// The position that the rule has afterwards, from 1.
    Position(usize),
    /// Right before the rule of this name.
    Before(String),
    /// Right behind the rule of this name.
    After(String),
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The line of the entry: where it stands now, or stood if it is gone.
    pub line: u32,
    /// Whether the text is another one now.
    pub changed: bool,
}
