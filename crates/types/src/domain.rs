//! Domain names as mail compares them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::words::{self, Classes};

/// A mail domain in the one form in which it is compared: lower-case A-labels, without a final dot.
///
/// Cloning is cheap: a text of up to 23 octets stands in the value, a longer one is shared.
///
/// # Wire
/// RFC 5321 section 4.1.2 (`Domain`), RFC 5890 (A-labels), UTS 46 for the mapping.
///
/// # Limits
/// [`DOMAIN_OCTETS`] for the whole name, [`LABEL_OCTETS`] for a label, both after the conversion to A-labels.
/// An underscore is accepted in a label, because names with one do carry mail.
///
/// # Example
/// ```
/// # use sealpost_types::Domain;
/// assert_eq!(Domain::parse("Example.ORG.")?.as_str(), "example.org");
/// assert_eq!(Domain::parse("bücher.example")?.as_str(), "xn--bcher-kva.example");
/// assert!(Domain::parse("exa mple.org").is_err());
/// # Ok::<(), sealpost_types::DomainError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(SmolStr);

/// Why a text is not a [`Domain`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// There is nothing, or only a dot.
    #[error("the domain is empty")]
    Empty,
    /// Longer than [`DOMAIN_OCTETS`].
    #[error("the domain has {found} octets, {limit} are allowed")]
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A label longer than [`LABEL_OCTETS`].
    #[error("the label {label:?} is longer than {limit} octets")]
    LabelTooLong {
        /// The label, as A-label.
        label: String,
        /// Octets allowed.
        limit: usize,
    },
    /// Two dots in a row, or a dot at the start.
    #[error("the domain {domain:?} has an empty label")]
    EmptyLabel {
        /// The domain as written.
        domain: String,
    },
    /// A label that starts or ends with a hyphen.
    #[error("the label {label:?} starts or ends with a hyphen")]
    Hyphen {
        /// The label.
        label: String,
    },
    /// A character that no domain may have.
    #[error("the domain has {found:?} at octet {offset}; letters, digits, '-', '_' and '.' are allowed")]
    Character {
        /// Where, in octets from the start.
        offset: usize,
        /// What stands there.
        found: char,
    },
    /// The name fails the mapping of UTS 46 (a forbidden code point, a broken A-label).
    #[error("the domain {domain:?} is not a valid internationalised name")]
    Idna {
        /// The domain as written.
        domain: String,
    },
}

impl Domain {
    /// The domain that `text` names, in any case, as U-labels or A-labels, with or without a final dot.
    ///
    /// # Errors
    /// One [`DomainError`] variant per kind of mistake; see there.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Some(domain) = Self::plain(name) { Ok(domain) } else { Self::mapped(name) }
    }

    /// The domain that a name in its canonical form is, if nothing of it needs a closer look.
    #[inline]
    pub(crate) fn plain(name: &str) -> Option<Self> {
        is_plain(name).then(|| Self(SmolStr::new(name)))
    }

    /// The domain of a name that has to be looked at more closely, and perhaps to be mapped.
    fn mapped(name: &str) -> Result<Self, DomainError> {
        if name.is_empty() {
            return Err(DomainError::Empty);
        }
        if is_canonical(name) {
            check_labels(name)?;
            return Ok(Self(SmolStr::new(name)));
        }
        // Only characters that UTS 46 might map or accept go there; ASCII junk gets an exact place instead.
        if let Some((offset, found)) = name.char_indices().find(|(_, c)| c.is_ascii() && !is_ascii_name(*c)) {
            return Err(DomainError::Character { offset, found });
        }
        let lower = if name.is_ascii() && !has_a_label(name) {
            name.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(name).map_err(|_| DomainError::Idna { domain: name.to_owned() })?
        };
        // The mapping may yield a final dot of its own (U+3002).
        let lower = lower.strip_suffix('.').unwrap_or(&lower);
        if let Some((offset, found)) = lower.char_indices().find(|(_, c)| !is_ascii_name(*c)) {
            return Err(DomainError::Character { offset, found });
        }
        check_labels(lower)?;
        Ok(Self(SmolStr::new(lower)))
    }

    /// The name as lower-case A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name and each of its parents, longest first: `a.b.c`, `b.c`, `c`.
    pub fn suffixes(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(self.as_str());
        std::iter::from_fn(move || {
            let current = rest?;
            let dot = current.bytes().position(|octet| octet == b'.');
            rest = dot.and_then(|dot| current.get(dot + 1..));
            Some(current)
        })
    }

    /// This name, or the parent of it that `text` spells; none if `text` is neither.
    #[must_use]
    pub fn ancestor(&self, text: &str) -> Option<Self> {
        if self.as_str() == text {
            return Some(self.clone());
        }
        let rest = self.0.strip_suffix(text).filter(|rest| rest.ends_with('.') && !text.is_empty())?;
        (rest.len() > 1).then(|| Self(SmolStr::new(text)))
    }

    /// Whether this name lies below `parent`, at any depth. A name does not lie below itself.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

fn is_ascii_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Whether a name is in its canonical form and has only labels of the usual kind: nearly every name that a relay sees.
///
/// Two hyphens in a row are left to the closer look: they may make an A-label.
fn is_plain(name: &str) -> bool {
    let short = name.len() <= LABEL_OCTETS || (name.len() <= DOMAIN_OCTETS && name.split('.').all(|label| label.len() <= LABEL_OCTETS));
    short && words::are_words(name.as_bytes(), &PLAIN)
}

/// Lower-case ASCII without A-labels needs no mapping at all.
fn is_canonical(name: &str) -> bool {
    name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) && !has_a_label(name)
}

fn has_a_label(name: &str) -> bool {
    name.split('.').any(|label| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")))
}

fn check_labels(name: &str) -> Result<(), DomainError> {
    if name.is_empty() {
        return Err(DomainError::Empty);
    }
    if name.len() > DOMAIN_OCTETS {
        return Err(DomainError::TooLong { found: name.len(), limit: DOMAIN_OCTETS });
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(DomainError::EmptyLabel { domain: name.to_owned() });
        }
        if label.len() > LABEL_OCTETS {
            return Err(DomainError::LabelTooLong { label: label.to_owned(), limit: LABEL_OCTETS });
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DomainError::Hyphen { label: label.to_owned() });
        }
    }
    Ok(())
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

/// Sound because equality, order and hash of a `Domain` are those of its text.
impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Domain {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Domain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Words, and what may part them: a hyphen within a label, a dot behind it.
static PLAIN: Classes = words::classes(b"abcdefghijklmnopqrstuvwxyz0123456789_", b"-.");

/// Octets in a whole name. Limit of RFC 1035 section 2.3.4 in its text form; RFC 5321 section 4.5.3.1.2 allows 255.
pub const DOMAIN_OCTETS: usize = 253;

/// Octets in a label, RFC 1035 section 2.3.4.
pub const LABEL_OCTETS: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_one_form() {
        for (written, canonical) in [
            ("example.org", "example.org"),
            ("EXAMPLE.Org.", "example.org"),
            ("Bücher.Example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("a。b", "a.b"),
            ("localhost", "localhost"),
            ("_dmarc.example", "_dmarc.example"),
        ] {
            assert_eq!(Domain::parse(written).map(|d| d.to_string()), Ok(canonical.to_owned()), "{written}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Domain::parse(""), Err(DomainError::Empty));
        assert_eq!(Domain::parse("."), Err(DomainError::Empty));
        assert!(matches!(Domain::parse("a..b"), Err(DomainError::EmptyLabel { .. })));
        assert!(matches!(Domain::parse(".a"), Err(DomainError::EmptyLabel { .. })));
        assert!(matches!(Domain::parse("A..b"), Err(DomainError::EmptyLabel { .. })));
        assert!(matches!(Domain::parse("-a.b"), Err(DomainError::Hyphen { .. })));
        assert_eq!(Domain::parse("a\r\nb"), Err(DomainError::Character { offset: 1, found: '\r' }));
        assert!(matches!(Domain::parse("xn--a.example"), Err(DomainError::Idna { .. })));
        assert!(matches!(Domain::parse(&"a".repeat(64)), Err(DomainError::LabelTooLong { .. })));
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        assert_eq!(Domain::parse(&long), Err(DomainError::TooLong { found: 254, limit: 253 }));
    }

    /// What `is_plain` waves through has to be what the closer look would have made of it, octet for octet.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let mut plain = 0;
        let names = every_text(&["a", "x", "n", "7", "-", "_", ".", "A", " ", "ü"], 5);
        let label = |octets| "a".repeat(octets);
        let long = [label(63), label(64), [label(63), label(64)].join("."), [label(63), label(63), label(63), label(61)].join(".")];
        let longer = [label(63), label(63), label(63), label(62)].join(".");
        for name in names.into_iter().chain(long).chain([longer, "xn--a".to_owned(), "a.xn--bcher-kva".to_owned()]) {
            let closer = Domain::mapped(&name);
            if is_plain(&name) {
                plain += 1;
                assert_eq!(closer.map(|d| d.to_string()), Ok(name));
            } else if closer.is_ok_and(|domain| domain.as_str() == name) {
                assert!(name.contains("--") || name.contains("xn"), "{name:?} goes the long way for nothing");
            }
        }
        assert!(plain > 1000, "{plain}");
    }

    /// Every text of up to `most` of these pieces.
    fn every_text(pieces: &[&str], most: usize) -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut from = 0;
        for _ in 0..most {
            let until = texts.len();
            for at in from..until {
                texts.extend(pieces.iter().map(|piece| format!("{}{piece}", texts[at])).collect::<Vec<_>>());
            }
            from = until;
        }
        texts
    }

    #[test]
    fn below_is_not_the_name_itself() {
        let parent = Domain::parse("example.org").unwrap();
        assert!(Domain::parse("a.example.org").unwrap().is_below(&parent));
        assert!(Domain::parse("a.b.example.org").unwrap().is_below(&parent));
        assert!(!parent.is_below(&parent));
        assert!(!Domain::parse("badexample.org").unwrap().is_below(&parent));
    }

    #[test]
    fn ancestors_are_the_name_and_its_parents() {
        let domain = Domain::parse("a.bc.d").unwrap();
        for text in ["a.bc.d", "bc.d", "d"] {
            assert_eq!(domain.ancestor(text), Some(Domain::parse(text).unwrap()));
        }
        for text in ["", ".", "c.d", ".d", "a", "a.bc", "x.a.bc.d", "D"] {
            assert_eq!(domain.ancestor(text), None, "{text:?}");
        }
    }

    #[test]
    fn suffixes_go_from_long_to_short() {
        let domain = Domain::parse("a.b.c").unwrap();
        assert_eq!(domain.suffixes().collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
    }
}
