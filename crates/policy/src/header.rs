//! The header section of a message, as far as a decision may look at it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The fields of a message's header section, unfolded, in the order in which they stand.
///
/// Read as the most lenient reader would, so that no field hides from a rule: a line ends with CRLF or LF; white space, and
/// a fold, may stand before the colon; a line that is no field is skipped and ends nothing. Only an empty line ends the
/// section. Octets that are no UTF-8 are replaced.
///
/// # Limits
/// Only the first [`HEADER_OCTETS`] of the message are looked at; a field that is cut there counts with what there is of it.
///
/// # Example
/// ```
/// # use sealpost_policy::HeaderBlock;
/// let header = HeaderBlock::parse(b"x-tlslevel: Require\r\nSubject : two\r\n lines\r\n\r\nX-TLSLevel: body\r\n");
/// assert_eq!(header.values("X-TLSLevel").collect::<Vec<_>>(), ["Require"]);
/// assert_eq!(header.values("subject").collect::<Vec<_>>(), ["two lines"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    fields: Vec<(Box<str>, Box<str>)>,
    /// Whether all of the section was seen.
    is_whole: bool,
}

/// The name of a header field, as it was written; names are equal whatever their case.
///
/// # Wire
/// RFC 5322 section 3.6.8: printable ASCII without the colon.
///
/// # Limits
/// [`FIELD_NAME_OCTETS`].
#[derive(Clone, Debug)]
pub struct FieldName(Arc<str>);

/// A text that is no [`FieldName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldNameError {
    /// There is nothing.
    #[error("the field name is empty")]
    Empty,
    /// Longer than [`FIELD_NAME_OCTETS`].
    #[error("the field name has {found} octets, {limit} are allowed")]
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A character that no field name has.
    #[error("the field name has {found:?} at octet {offset}; printable ASCII without ':' is allowed")]
    Character {
        /// Where, in octets from the start.
        offset: usize,
        /// What stands there.
        found: char,
    },
}

impl HeaderBlock {
    /// The header section of a message that starts with these octets.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        let head = message.get(..HEADER_OCTETS).unwrap_or(message);
        let mut fields = Vec::new();
        let mut field: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        let mut is_whole = message.len() < HEADER_OCTETS;
        for line in head.split_inclusive(|&b| b == b'\n') {
            let text = without_end(line);
            if text.is_empty() && text.len() < line.len() {
                is_whole = true;
                break;
            }
            if text.starts_with(b" ") || text.starts_with(b"\t") {
                field.to_mut().extend_from_slice(text);
            } else {
                fields.extend(split(&field));
                field = Cow::Borrowed(text);
            }
        }
        fields.extend(split(&field));
        Self { fields, is_whole }
    }

    /// Whether all of the section was seen: it ended, or the message did, within [`HEADER_OCTETS`].
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The value of each field of this name, in any case, in the order in which they stand.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Whether there is a single TLS-Required field, and it says `No` (RFC 8689 section 3).
    #[must_use]
    pub fn says_tls_is_optional(&self) -> bool {
        let mut values = self.values("TLS-Required");
        values.next().is_some_and(|value| value.eq_ignore_ascii_case("no")) && values.next().is_none()
    }

    /// Each field: its name as written, and its value without the white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The name and the value of an unfolded field, if it is one.
fn split(field: &[u8]) -> Option<(Box<str>, Box<str>)> {
    let colon = field.iter().position(|&b| b == b':')?;
    let (name, value) = field.split_at_checked(colon)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches(BLANK);
    FieldName::check(name).ok()?;
    let value = String::from_utf8_lossy(value.get(1..)?);
    Some((name.into(), value.trim_matches(BLANK).into()))
}

impl FieldName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), FieldNameError> {
        if text.is_empty() {
            return Err(FieldNameError::Empty);
        }
        if let Some((offset, found)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic() || *c == ':') {
            return Err(FieldNameError::Character { offset, found });
        }
        Ok(())
    }
}

impl FromStr for FieldName {
    type Err = FieldNameError;

    fn from_str(text: &str) -> Result<Self, FieldNameError> {
        Self::check(text)?;
        if text.len() > FIELD_NAME_OCTETS {
            return Err(FieldNameError::TooLong { found: text.len(), limit: FIELD_NAME_OCTETS });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for FieldName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for FieldName {}

/// `X-TLSLevel`, by which a client asks for a level.
impl Default for FieldName {
    fn default() -> Self {
        Self("X-TLSLevel".into())
    }
}

/// White space of a header, and what a stray line end leaves.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Octets of a message in which its header section is looked for.
pub const HEADER_OCTETS: usize = 64 * 1024;

/// Octets in a field name that is set: so that it fits a line with its colon, RFC 5322 section 2.1.1.
pub const FIELD_NAME_OCTETS: usize = 76;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(message: &[u8]) -> Vec<(String, String)> {
        HeaderBlock::parse(message).fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn fields_are_found_however_they_are_written() {
        for (message, expected) in [
            ("Subject: a\r\n\r\nX: body\r\n", vec![("Subject", "a")]),
            ("a: 1\r\nA: 2\r\n", vec![("a", "1"), ("A", "2")]),
            ("a: 1\nb: 2\n\nc: 3\n", vec![("a", "1"), ("b", "2")]),
            ("a:one\r\n two\r\n\tthree\r\n\r\n", vec![("a", "one two\tthree")]),
            ("a \t: 1\r\n\r\n", vec![("a", "1")]),
            ("a\r\n : 1\r\n\r\n", vec![("a", "1")]),
            ("a:\r\n\r\n", vec![("a", "")]),
            ("a:\r\n 1\r\n\r\n", vec![("a", "1")]),
            ("a: b: c\r\n\r\n", vec![("a", "b: c")]),
            ("a: 1", vec![("a", "1")]),
            // no header section, and lines that are no field: nothing of them, and the next field is found
            ("Hello Bob,\r\nsee you\r\n\r\na: 1\r\n", vec![]),
            ("Hello Bob: hi\r\na: 1\r\n\r\n", vec![("a", "1")]),
            ("a: 1\r\nnothing\r\nb: 2\r\n\r\n", vec![("a", "1"), ("b", "2")]),
            (": 1\r\nb: 2\r\n\r\n", vec![("b", "2")]),
            ("ä: 1\r\nb: ä\r\n\r\n", vec![("b", "ä")]),
            // a fold that folds nothing
            (" a: 1\r\nb: 2\r\n\r\n", vec![("b", "2")]),
            ("a: 1\r\n \r\nb: 2\r\n\r\nc: 3\r\n", vec![("a", "1"), ("b", "2")]),
            ("\r\na: 1\r\n", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(fields(message.as_bytes()), expected, "{message:?}");
        }
        assert_eq!(fields(b"a: \xff\r\n\r\n"), [("a".to_owned(), "\u{fffd}".to_owned())]);
    }

    #[test]
    fn names_are_equal_in_any_case_and_the_first_stands_first() {
        let header = HeaderBlock::parse(b"X-tlslevel: Require\r\nTo: b\r\nX-TLSLEVEL: Try\r\n\r\n");
        assert_eq!(header.values("x-TLSLevel").collect::<Vec<_>>(), ["Require", "Try"]);
        assert_eq!(header.values("X-TLS").next(), None);
    }

    #[test]
    fn a_header_section_without_end_is_looked_at_in_part() {
        let mut message = b"first: 1\r\nlong: ".to_vec();
        message.resize(HEADER_OCTETS, b'x');
        message.extend_from_slice(b"yyy\r\nlast: 1\r\n\r\n");
        let header = HeaderBlock::parse(&message);
        assert_eq!(header.values("first").next(), Some("1"));
        assert_eq!(header.values("last").next(), None);
        assert_eq!(header.values("long").map(str::len).collect::<Vec<_>>(), [HEADER_OCTETS - "first: 1\r\nlong: ".len()]);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!("X-Level".parse::<FieldName>().map(|name| name.to_string()), Ok("X-Level".to_owned()));
        assert_eq!("x-tlslevel".parse(), Ok(FieldName::default()));
        assert_eq!("".parse::<FieldName>(), Err(FieldNameError::Empty));
        assert_eq!("X Level".parse::<FieldName>(), Err(FieldNameError::Character { offset: 1, found: ' ' }));
        assert_eq!("X:".parse::<FieldName>(), Err(FieldNameError::Character { offset: 1, found: ':' }));
        assert_eq!("ä".parse::<FieldName>(), Err(FieldNameError::Character { offset: 0, found: 'ä' }));
        assert_eq!("a".repeat(77).parse::<FieldName>(), Err(FieldNameError::TooLong { found: 77, limit: 76 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

        /// No octets make it panic, and what it finds is a field: written anew, it is found again.
        #[test]
        fn no_octets_are_fatal(octets in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"ab: \t\r\n"[..])], 0..200)) {
            let header = HeaderBlock::parse(&octets);
            let mut written = String::new();
            for (name, value) in header.fields() {
                prop_assert!(name.parse::<FieldName>().is_ok() || name.len() > FIELD_NAME_OCTETS);
                prop_assert!(!value.contains('\n') && value.trim_matches(BLANK) == value);
                written.push_str(&format!("{name}: {value}\r\n"));
            }
            prop_assert_eq!(HeaderBlock::parse(format!("{written}\r\nX: body\r\n").as_bytes()), header);
        }
    }
}
