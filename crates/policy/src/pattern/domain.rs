//! Patterns over domain names.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{Domain, DomainError};

/// Which names an entry speaks of.
///
/// | written | means |
/// |---|---|
/// | `example.org` | that name only |
/// | `*.example.org` | every name below it, at any depth, not the name itself |
/// | `*` | every name, and address literals and `<>` too |
/// | anything else with `*` or `?` | `*` stands for any characters, dots too, or for none; `?` for one |
///
/// Names are compared as lower-case A-labels without a final dot, however they are written.
///
/// # Example
/// ```
/// # use sealpost_policy::Pattern;
/// # use sealpost_types::Domain;
/// let below: Pattern = "*.Bücher.example.".parse()?;
/// assert_eq!(below.to_string(), "*.xn--bcher-kva.example");
/// assert!(below.matches(&Domain::parse("a.b.bücher.example")?));
/// assert!(!below.matches(&Domain::parse("bücher.example")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// That name only.
    Exact(Domain),
    /// Every name below this one.
    Below(Domain),
    /// A wildcard pattern, in its compared form.
    Wild(Arc<str>),
    /// Everything.
    All,
}

/// A text that is no [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The name, or one label of it, is wrong.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// A label with a wildcard has a character that no A-label has: what it means could not be compared.
    #[error("the label {label:?} has a wildcard and {found:?}, which no domain has in the form that is compared")]
    WildLabel {
        /// The label.
        label: String,
        /// The character.
        found: char,
    },
}

impl Pattern {
    /// Whether it covers this name.
    #[must_use]
    pub fn matches(&self, name: &Domain) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(parent) => name.is_below(parent),
            Self::Wild(text) => wildmatch::WildMatch::new(text).matches(name.as_str()),
            Self::All => true,
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let has_wildcard = |text: &str| text.contains(['*', '?']);
        if !has_wildcard(text) {
            return Ok(Self::Exact(Domain::parse(text)?));
        }
        if text.bytes().all(|b| b == b'*') {
            return Ok(Self::All);
        }
        if let Some(parent) = text.strip_prefix("*.").filter(|parent| !has_wildcard(parent)) {
            return Ok(Self::Below(Domain::parse(parent)?));
        }
        let mut compared = String::with_capacity(text.len());
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.bytes().all(|b| b == b'*') {
            // Nothing is left below the root, as in `*.`; without the dot it would be everything.
            return Err(DomainError::EmptyLabel { domain: text.to_owned() }.into());
        }
        for (index, label) in name.split('.').enumerate() {
            if index > 0 {
                compared.push('.');
            }
            if label.is_empty() {
                return Err(DomainError::EmptyLabel { domain: text.to_owned() }.into());
            }
            if has_wildcard(label) {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '?');
                if let Some(found) = label.chars().find(|c| !allowed(*c)) {
                    return Err(PatternError::WildLabel { label: label.to_owned(), found });
                }
                compared.push_str(&label.to_ascii_lowercase());
            } else {
                compared.push_str(Domain::parse(label)?.as_str());
            }
        }
        Ok(Self::Wild(compared.into()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Wild(text) => f.write_str(text),
            Self::All => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in ["*", "**", "a.example.", "*.A.example", "*a.example.", "**.example", "?."] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "{text}");
        }
        for text in ["*.", "**.", "***."] {
            assert!(
                matches!(text.parse::<Pattern>(), Err(PatternError::Domain(DomainError::EmptyLabel { .. } | DomainError::Empty))),
                "{text}"
            );
        }
    }
}
