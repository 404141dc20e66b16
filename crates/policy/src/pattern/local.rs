//! Local parts as patterns compare them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use sealpost_types::LocalPart;
use wildmatch::WildMatch;

use super::address::AddressPatternError;

/// The local parts that a pattern covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Local {
    /// That one, in its compared form, and with tags behind it.
    Exact(Arc<str>),
    /// A wildcard pattern, in its compared form.
    Wild(Arc<str>),
    /// Every local part.
    Any,
}

impl Local {
    /// What `text` means as a pattern. In quotes `*` and `?` are themselves.
    pub(super) fn parse(text: &str) -> Result<Self, AddressPatternError> {
        let written = LocalPart::parse(text)?;
        let meant = compared(written.unquoted());
        if written.is_quoted() || !meant.contains(['*', '?']) {
            // What is compared can be longer than what was written; it must stay writable.
            LocalPart::parse(&Shown(&meant).to_string())?;
            return Ok(Self::Exact(meant.into()));
        }
        if meant.bytes().all(|b| b == b'*') {
            return Ok(Self::Any);
        }
        LocalPart::parse(&meant)?;
        Ok(Self::Wild(meant.into()))
    }

    /// Whether it covers this local part, given in its compared form.
    pub(super) fn covers(&self, local: &str, delimiters: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => stems(local, delimiters).any(|stem| *stem == **exact),
            Self::Wild(text) => {
                let wild = WildMatch::new(text);
                stems(local, delimiters).any(|stem| wild.matches(stem))
            }
        }
    }
}

/// The form in which the text of a local part is compared: case folded, and composed (NFC).
///
/// Decomposed first, as section 3.13 of the Unicode Standard asks (D145): the fold of a composed character may differ.
pub(super) fn compared(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text };
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(&text);
    let folded = CaseMapper::new().fold_string(&decomposed);
    ComposingNormalizerBorrowed::new_nfc().normalize(&folded).into_owned().into()
}

/// The local part, and what stands before each delimiter of a tag, longest first.
pub(super) fn stems<'t>(local: &'t str, delimiters: &'t str) -> impl Iterator<Item = &'t str> {
    let cuts = local.char_indices().rev().filter(move |(at, c)| *at > 0 && delimiters.contains(*c));
    std::iter::once(local).chain(cuts.filter_map(move |(at, _)| local.get(..at)))
}

/// Writes the text of a local part so that it reads as the same text, in quotes where it needs them.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = !self.0.starts_with('"') && !self.0.contains(['*', '?']);
        if is_plain && LocalPart::parse(self.0).is_ok() {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => Shown(text).fmt(f),
            Self::Wild(text) => f.write_str(text),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character is equal to its own upper and lower case, and what is compared is compared as itself.
    #[test]
    fn case_is_folded_for_every_character() {
        let form = |text: &str| compared(text.to_owned().into()).into_owned();
        for c in ('\0'..=char::MAX).filter(|c| c.is_lowercase() || c.is_uppercase() || *c == '\u{345}') {
            let same = form(&c.to_string());
            assert_eq!(form(&same), same, "{c:?}");
            // Unicode folds the two Turkish letters in Turkish alone: the dotless small one is not the small i, though its
            // capital letter is the capital I.
            if c != 'ı' {
                assert_eq!(form(&c.to_uppercase().to_string()), same, "{c:?}");
            }
            assert_eq!(form(&c.to_lowercase().to_string()), same, "{c:?}");
        }
        assert_ne!(form("ı"), form("i"));
    }

    #[test]
    fn stems_end_before_each_delimiter() {
        let found = |local, delimiters| stems(local, delimiters).collect::<Vec<_>>();
        assert_eq!(found("a+b-c+d", "+-"), ["a+b-c+d", "a+b-c", "a+b", "a"]);
        assert_eq!(found("+a", "+"), ["+a"]);
        assert_eq!(found("a+", "+"), ["a+", "a"]);
        assert_eq!(found("a+b", ""), ["a+b"]);
        assert_eq!(found("", "+"), [""]);
    }
}
