//! Who says something: an entry, a table of defaults, or nobody.

use std::fmt;
use std::sync::Arc;

use crate::compile::{Label, Policy, entry_at};
use crate::scope::Origin;

/// One source of demands, and where it is written.
///
/// Written `partner "Bank" (policy.toml:31)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kind: SourceKind,
    label: Option<Label>,
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
    /// `[[partner]]`.
    Partner,
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
        let entry = match origin.kind {
            SourceKind::Domain => entry_at(&policy.domains, origin.entry),
            SourceKind::Partner => entry_at(&policy.partners, origin.entry),
            _ => None,
        };
        let line = match origin.kind {
            SourceKind::Defaults => policy.base.line,
            SourceKind::DefaultsHosted => policy.hosted_defaults.line,
            SourceKind::DefaultsExternal => policy.external_defaults.line,
            _ => entry.map_or(0, |entry| entry.line),
        };
        let place = (line > 0).then(|| Place { file: Arc::clone(&policy.file), line });
        Self { kind: origin.kind, label: entry.map(|entry| entry.label.clone()), place }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The name of the entry, or its first pattern if it has none; nothing for defaults.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.label.as_ref().map(ToString::to_string)
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
        }
    }

    /// Whether it is an entry, not a default.
    #[must_use]
    pub fn is_entry(self) -> bool {
        matches!(self, Self::Domain | Self::Partner)
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
