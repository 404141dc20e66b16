//! Mailboxes: local part, `@`, and a domain or an address literal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use smol_str::SmolStr;

use crate::words::{self, Classes};
use crate::{Domain, DomainError};

/// The part before the `@`, kept as it was written: case and quotes belong to the receiving site.
///
/// # Wire
/// RFC 5321 section 4.1.2 (`Local-part`), RFC 6531 section 3.3 for characters beyond ASCII.
///
/// # Limits
/// [`LOCAL_PART_OCTETS`], quotes included.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LocalPart(SmolStr);

/// An address in brackets instead of a domain.
///
/// # Wire
/// RFC 5321 section 4.1.3. General address literals (a tag other than `IPv6`) are refused: no tag was ever assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "an address, and nothing beside it")]
pub struct AddressLiteral(pub IpAddr);

/// What stands behind the `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5321 section 4.1.2 knows these two and no other")]
pub enum MailHost {
    /// A domain name.
    Domain(Domain),
    /// An IP address in brackets.
    Literal(AddressLiteral),
}

/// One mailbox, as in MAIL FROM or RCPT TO.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local_part: LocalPart,
    host: MailHost,
}

/// Why a text is not a [`Mailbox`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// There is no `@`.
    #[error("the address has no '@'")]
    NoAt,
    /// Nothing before the `@`.
    #[error("the local part is empty")]
    EmptyLocalPart,
    /// Longer than [`LOCAL_PART_OCTETS`].
    #[error("the local part has {found} octets, {limit} are allowed")]
    LocalPartTooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A character that must be quoted or must not occur at all.
    #[error("the local part has {found:?} at octet {offset}, which is not allowed there")]
    LocalPartCharacter {
        /// Where, in octets from the start of the local part.
        offset: usize,
        /// What stands there.
        found: char,
    },
    /// The quoted form does not end, or goes on behind its end.
    #[error("the quoted local part is not closed by the last '\"'")]
    Unclosed,
    /// The domain is wrong.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The brackets hold no IPv4 address and no `IPv6:` address.
    #[error("the address literal [{}] is neither an IPv4 address nor 'IPv6:' with one", found.escape_debug())]
    Literal {
        /// What stands in the brackets, the first 40 characters of it.
        found: String,
    },
}

impl LocalPart {
    /// The local part that `text` spells, dot-string or quoted string.
    ///
    /// # Errors
    /// [`MailboxError::EmptyLocalPart`], [`MailboxError::LocalPartTooLong`], [`MailboxError::LocalPartCharacter`]
    /// (also for a dot at either end or two in a row) and [`MailboxError::Unclosed`].
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.is_empty() {
            return Err(MailboxError::EmptyLocalPart);
        }
        if text.len() > LOCAL_PART_OCTETS {
            return Err(MailboxError::LocalPartTooLong { found: text.len(), limit: LOCAL_PART_OCTETS });
        }
        if !words::are_words(text.as_bytes(), &DOT_STRING) {
            check(text)?;
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// The text as written, quotes included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that is meant: without quotes and backslashes.
    #[must_use]
    pub fn unquoted(&self) -> std::borrow::Cow<'_, str> {
        let Some(inner) = self.as_str().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return self.as_str().into();
        };
        if !inner.contains('\\') {
            return inner.into();
        }
        let mut plain = String::with_capacity(inner.len());
        let mut escaped = false;
        for c in inner.chars() {
            if c == '\\' && !escaped {
                escaped = true;
            } else {
                plain.push(c);
                escaped = false;
            }
        }
        plain.into()
    }

    /// Whether it is written as a quoted string.
    #[must_use]
    pub fn is_quoted(&self) -> bool {
        self.0.starts_with('"')
    }
}

/// Looks at each character.
fn check(text: &str) -> Result<(), MailboxError> {
    if text.starts_with('"') { check_quoted(text) } else { check_dot_string(text) }
}

fn check_dot_string(text: &str) -> Result<(), MailboxError> {
    let mut after_dot = true;
    for (offset, found) in text.char_indices() {
        let dot = found == '.';
        if !(is_atext(found) || (dot && !after_dot)) {
            return Err(MailboxError::LocalPartCharacter { offset, found });
        }
        after_dot = dot;
    }
    if after_dot {
        return Err(MailboxError::LocalPartCharacter { offset: text.len().saturating_sub(1), found: '.' });
    }
    Ok(())
}

fn check_quoted(text: &str) -> Result<(), MailboxError> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((offset, found)) = characters.next() {
        match found {
            '"' => return if characters.peek().is_none() { Ok(()) } else { Err(MailboxError::Unclosed) },
            '\\' => match characters.next() {
                Some((_, ' '..='~')) => {}
                Some((offset, found)) => return Err(MailboxError::LocalPartCharacter { offset, found }),
                None => return Err(MailboxError::Unclosed),
            },
            c if c.is_control() => return Err(MailboxError::LocalPartCharacter { offset, found }),
            _ => {}
        }
    }
    Err(MailboxError::Unclosed)
}

/// `atext` of RFC 5322 section 3.2.3, widened by RFC 6531 to everything beyond ASCII that is no control character.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || is_special_atext(c) || (!c.is_ascii() && !c.is_control())
}

fn is_special_atext(c: char) -> bool {
    matches!(c, '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}' | '~')
}

impl AddressLiteral {
    /// The literal that `text` spells, with its brackets.
    ///
    /// # Errors
    /// [`MailboxError::Literal`] for anything but `[1.2.3.4]` and `[IPv6:...]`.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        let wrong = || MailboxError::Literal { found: text.trim_matches(['[', ']']).chars().take(SHOWN_CHARACTERS).collect() };
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(wrong)?;
        let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
        let address = if tagged {
            inner.get(5..).and_then(|a| a.parse::<Ipv6Addr>().ok()).map(IpAddr::V6)
        } else {
            inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        };
        address.map(Self).ok_or_else(wrong)
    }
}

impl Mailbox {
    /// A mailbox of its two parts.
    #[must_use]
    pub fn new(local_part: LocalPart, host: MailHost) -> Self {
        Self { local_part, host }
    }

    /// The mailbox that `text` spells, without angle brackets.
    ///
    /// # Errors
    /// One [`MailboxError`] variant per kind of mistake; see there.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if let Some(mailbox) = Self::plain(text) {
            return Ok(mailbox);
        }
        Self::parse_parts(text)
    }

    /// A dot-string and a domain in its usual form, which is nearly every mailbox there is: found in one pass.
    #[inline]
    fn plain(text: &str) -> Option<Self> {
        // No '@' is part of either, so that there is only one.
        let length = words::length_of_words(text.as_bytes(), &DOT_STRING).filter(|length| *length <= LOCAL_PART_OCTETS)?;
        let (local_part, host) = text.split_at_checked(length)?;
        let domain = Domain::plain(host.strip_prefix('@')?)?;
        Some(Self { local_part: LocalPart(SmolStr::new(local_part)), host: MailHost::Domain(domain) })
    }

    fn parse_parts(text: &str) -> Result<Self, MailboxError> {
        // A quoted local part may hold an '@', a domain and a literal never do: the last one parts them.
        let (local, host) = text.rsplit_once('@').ok_or(MailboxError::NoAt)?;
        let local_part = LocalPart::parse(local)?;
        let host =
            if host.starts_with('[') { MailHost::Literal(AddressLiteral::parse(host)?) } else { MailHost::Domain(Domain::parse(host)?) };
        Ok(Self { local_part, host })
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// The part behind the `@`.
    #[must_use]
    pub fn host(&self) -> &MailHost {
        &self.host
    }

    /// The domain, unless an address literal stands in its place.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match &self.host {
            MailHost::Domain(domain) => Some(domain),
            MailHost::Literal(_) => None,
        }
    }

    /// Whether it can be sent without SMTPUTF8 (RFC 6531): the domain always can, the local part must be ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local_part.0.is_ascii()
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for AddressLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "[{address}]"),
            IpAddr::V6(address) => write!(f, "[IPv6:{address}]"),
        }
    }
}

impl fmt::Display for MailHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(literal) => literal.fmt(f),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.local_part.as_str())?;
        f.write_str("@")?;
        self.host.fmt(f)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl FromStr for Mailbox {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// `Dot-string` of RFC 5321 section 4.1.2.
static DOT_STRING: Classes = words::classes(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~", b".");

/// Octets in a local part, RFC 5321 section 4.5.3.1.1.
pub const LOCAL_PART_OCTETS: usize = 64;

/// Characters of an address literal that an error shows.
const SHOWN_CHARACTERS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5321_4_1_2_mailboxes_keep_their_spelling() {
        for text in [
            "John.Smith@example.org",
            "\"john smith\"@example.org",
            "\"a@b\"@example.org",
            "\"a\\\"b\"@example.org",
            "user+tag@example.org",
            "jörg@example.org",
            "u@[192.0.2.1]",
            "u@[IPv6:2001:db8::1]",
        ] {
            assert_eq!(Mailbox::parse(text).map(|m| m.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Mailbox::parse("nobody"), Err(MailboxError::NoAt));
        assert_eq!(Mailbox::parse("@example.org"), Err(MailboxError::EmptyLocalPart));
        for (text, offset, found) in
            [(".a@x", 0, '.'), ("a.@x", 1, '.'), ("a..b@x", 2, '.'), ("a b@x", 1, ' '), ("a\0@x", 1, '\0'), ("a@b@x", 1, '@')]
        {
            assert_eq!(Mailbox::parse(text), Err(MailboxError::LocalPartCharacter { offset, found }), "{text:?}");
        }
        assert_eq!(Mailbox::parse("\"a@x"), Err(MailboxError::Unclosed));
        assert_eq!(Mailbox::parse("\"a\"b@x"), Err(MailboxError::Unclosed));
        assert!(matches!(Mailbox::parse("\"a\r\n\"@x"), Err(MailboxError::LocalPartCharacter { found: '\r', .. })));
        assert!(matches!(Mailbox::parse("a@[1.2.3]"), Err(MailboxError::Literal { .. })));
        assert!(matches!(Mailbox::parse("a@[x:1.2.3.4]"), Err(MailboxError::Literal { .. })));
        // A server repeats it to whoever sent it.
        let endless = Mailbox::parse(&format!("a@[{}]", "\u{1d}".repeat(400))).unwrap_err();
        assert_eq!(endless, MailboxError::Literal { found: "\u{1d}".repeat(40) });
        assert!(endless.to_string().len() < 400, "{endless}");
        let long = format!("{}@x", "a".repeat(65));
        assert_eq!(Mailbox::parse(&long), Err(MailboxError::LocalPartTooLong { found: 65, limit: 64 }));
    }

    /// For ASCII the table and the closer look have to agree on every text; beyond it the table says nothing.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let pieces: Vec<char> = (0..=127_u8).map(char::from).chain(['ü', '\u{85}']).collect();
        let mut texts = vec![String::new()];
        for first in &pieces {
            texts.push(first.to_string());
            for second in &pieces {
                texts.push(format!("{first}{second}"));
                texts.push(format!("a{first}{second}z"));
                texts.push(format!("a{first}.{second}"));
            }
        }
        let mut plain = 0;
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let words = words::are_words(text.as_bytes(), &DOT_STRING);
            plain += u32::from(words);
            assert_eq!(words, text.is_ascii() && check_dot_string(text).is_ok(), "{text:?}");
            assert_eq!(LocalPart::parse(text).map(|part| part.to_string()), check(text).map(|()| text.clone()));
        }
        assert!(plain > 10_000, "{plain}");
    }

    #[test]
    fn whole_mailboxes_are_what_their_parts_are() {
        let pieces = ["a", "@", ".", "-", "\"", "ü", "A", " ", "["];
        let mut plain = 0;
        for number in 0..9_usize.pow(6) {
            let text: String = (0..6).map(|place| pieces[number / 9_usize.pow(place) % 9]).collect();
            if let Some(mailbox) = Mailbox::plain(&text) {
                plain += 1;
                assert_eq!(Mailbox::parse_parts(&text), Ok(mailbox), "{text:?}");
            }
        }
        assert!(plain > 100, "{plain}");
        for octets in [64, 65] {
            let text = format!("{}@x", "a".repeat(octets));
            assert_eq!(Mailbox::plain(&text).is_some(), octets <= LOCAL_PART_OCTETS);
        }
    }

    #[test]
    fn unquoted_is_what_is_meant() {
        let meant = |text| LocalPart::parse(text).unwrap().unquoted().into_owned();
        assert_eq!(meant("\"john.smith\""), "john.smith");
        assert_eq!(meant("\"a\\\"\\\\b\""), "a\"\\b");
        assert_eq!(meant("plain"), "plain");
    }
}
