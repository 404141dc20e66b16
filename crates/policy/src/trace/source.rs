//! Who says something: an entry, a table of defaults, or nobody.

use std::fmt;
use std::sync::Arc;

use crate::layer::{Called, Layer};
use crate::policy::{Policy, layer_of};
use crate::scope::Origin;
use crate::table::{Listed, Matched};

/// One source of demands, and where it is written.
///
/// Written `partner "Bank" (policy.toml:31)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kind: SourceKind,
    /// The name of an entry, or its first pattern.
    label: Option<Arc<str>>,
    place: Option<Place>,
}

/// Which kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceKind {
    /// What holds when nothing is written.
    Builtin,
    /// `[defaults]`.
    Defaults,
    /// `[defaults.hosted]`.
    DefaultsHosted,
    /// `[defaults.external]`.
    DefaultsExternal,
    /// `[[domain]]`.
    Domain,
    /// `[[partner]]`, or a row of an included list.
    Partner,
    /// `[[owner]]`.
    Owner,
    /// `[[rule]]`.
    Rule,
    /// `[[list]]`, which asks for nothing itself.
    List,
    /// The X-TLSLevel field of a client in `header_trust`.
    Header,
    /// REQUIRETLS at MAIL (RFC 8689).
    RequireTls,
    /// `TLS-Required: No` in the header (RFC 8689).
    TlsRequiredField,
    /// The rule that comes with the product: opportunistic for all outbound mail (C6).
    SystemRule,
}

/// A line of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The name of the document.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl Source {
    pub(crate) fn of(policy: &Policy, origin: Origin) -> Self {
        let main = &policy.main;
        let layer = layer_of(policy, origin.kind, origin.included);
        let entry = layer.and_then(|layer| layer.entries.get(origin.entry));
        let named = |name: &Arc<str>, line| (line, Some(Arc::clone(name)));
        let (line, label) = match origin.kind {
            SourceKind::Defaults => (main.base.line, None),
            SourceKind::DefaultsHosted => (main.hosted_defaults.line, None),
            SourceKind::DefaultsExternal => (main.external_defaults.line, None),
            SourceKind::Owner => main.owner(origin.entry).map_or((0, None), |owner| named(&owner.name, owner.line)),
            SourceKind::List => main.named_list(origin.entry).map_or((0, None), |list| named(&list.name, list.line)),
            SourceKind::Rule => main.rule(origin.entry).map_or((0, None), |rule| named(&rule.name, rule.line)),
            _ => entry.map_or((0, None), |entry| (entry.line, Some(Arc::from(entry.label.as_str())))),
        };
        let file = layer.zip(entry).map_or(0, |(layer, entry)| layer.file_of(entry));
        Self { kind: origin.kind, label, place: place(policy, file, line) }
    }

    /// An entry that a table lists, without a look at the entry itself where it is called by the pattern that matched.
    pub(crate) fn listed(policy: &Policy, layer: &Layer, origin: Origin, listed: Listed, matched: Option<Matched<'_>>) -> Self {
        let Some(brief) = layer.brief(listed.brief()) else { return Self::of(policy, origin) };
        let label = match (brief.called, matched) {
            (Called::Domain, Some(Matched::Exact(name) | Matched::Below(name))) => Arc::from(name),
            (Called::Below, Some(Matched::Below(name))) => Arc::from(format!("*.{name}")),
            _ => return Self::of(policy, origin),
        };
        Self { kind: origin.kind, label: Some(label), place: place(policy, brief.file, listed.line) }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The name of the entry, or its first pattern if it has none; nothing for defaults.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.label.as_deref().map(str::to_owned)
    }

    /// Where it is written.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The source without its place, for readers to whom the file means nothing.
    pub(crate) fn in_words(&self) -> impl fmt::Display {
        struct Words<'a>(&'a Source);
        impl fmt::Display for Words<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.kind.as_str())?;
                self.0.label.as_ref().map_or(Ok(()), |label| write!(f, " \"{label}\""))
            }
        }
        Words(self)
    }
}

/// Line 0 stands for what is written nowhere.
fn place(policy: &Policy, file: u32, line: u32) -> Option<Place> {
    (line > 0).then(|| Place { file: Arc::clone(policy.file(file)), line })
}

impl SourceKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "built-in default",
            Self::Defaults => "[defaults]",
            Self::DefaultsHosted => "[defaults.hosted]",
            Self::DefaultsExternal => "[defaults.external]",
            Self::Domain => "domain",
            Self::Partner => "partner",
            Self::Owner => "owner",
            Self::Rule => "rule",
            Self::List => "list",
            Self::Header => "X-TLSLevel field",
            Self::RequireTls => "REQUIRETLS",
            Self::TlsRequiredField => "TLS-Required field",
            Self::SystemRule => "system rule",
        }
    }

    /// Whether the sender of the mail says it, by RFC 8689.
    pub(crate) fn is_of_sender(self) -> bool {
        matches!(self, Self::RequireTls | Self::TlsRequiredField)
    }

    /// Whether it is an entry for the domain itself, not a default or what an owner inherits.
    #[must_use]
    pub fn is_entry(self) -> bool {
        matches!(self, Self::Domain | Self::Partner)
    }

    /// Whether it speaks for the recipient's side of the receive hop.
    pub(crate) fn is_of_hosted(self) -> bool {
        matches!(self, Self::Domain | Self::DefaultsHosted | Self::Owner)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_words().fmt(f)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

/// `policy.toml:31`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
