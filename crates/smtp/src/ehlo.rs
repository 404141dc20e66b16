//! EHLO: what a server can do beyond RFC 5321.

use std::fmt::{self, Write as _};

use sealpost_types::{Domain, Octets, ReplyCode};

use crate::auth::AuthMechanism;
use crate::line::TextLine;
use crate::reply::{Reply, first_line};

/// One line of the reply to EHLO.
///
/// # Wire
/// RFC 5321 section 4.1.1.1 (`ehlo-line`); the registry "SMTP Service Extensions".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// Commands may be sent without waiting for replies, RFC 2920.
    Pipelining,
    /// MAIL takes `SIZE=`; the most that is accepted, if the server says so, RFC 1870.
    Size(Option<Octets>),
    /// Bodies may hold octets beyond ASCII, RFC 6152.
    EightBitMime,
    /// Addresses and header fields may hold UTF-8, RFC 6531.
    SmtpUtf8,
    /// The session can go over to TLS, RFC 3207.
    StartTls,
    /// Content may come in chunks, RFC 3030.
    Chunking,
    /// Bodies may be binary, RFC 3030.
    BinaryMime,
    /// Notifications can be asked for, RFC 3461.
    Dsn,
    /// Replies carry enhanced status codes, RFC 2034.
    EnhancedStatusCodes,
    /// TLS can be demanded for every further hop, RFC 8689.
    RequireTls,
    /// Clients can prove who they are, RFC 4954.
    Auth(Vec<AuthMechanism>),
    /// There is a HELP command.
    Help,
    /// An extension that this crate does not know.
    Other(UnknownExtension),
}

/// A line of the reply to EHLO that is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownExtension(Box<str>);

/// What a server offers.
///
/// # Example
/// ```
/// # use sealpost_smtp::{Extensions, Reply};
/// let reply = Reply::parse(b"250-mx.example at your service\r\n250-SIZE 9000\r\n250-X-Fast\r\n250 pipelining\r\n")?;
/// let extensions = Extensions::from_reply(&reply);
/// assert!(extensions.pipelining() && !extensions.starttls());
/// assert_eq!(extensions.size_limit().map(|octets| octets.0), Some(9000));
/// # Ok::<(), sealpost_smtp::ReplyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<Extension>);

/// Which extensions a server session offers. SIZE and ENHANCEDSTATUSCODES it always offers.
///
/// Offer one only when everything behind the session honours it: what is not offered is refused when a client uses
/// it all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// STARTTLS, for as long as the session is in clear. Default no.
    pub starttls: bool,
    /// PIPELINING. Default yes.
    pub pipelining: bool,
    /// 8BITMIME. Default yes.
    pub eight_bit_mime: bool,
    /// CHUNKING. Default yes.
    pub chunking: bool,
    /// SMTPUTF8. Default no: it needs a next hop that takes it.
    pub smtputf8: bool,
    /// DSN. Default no: it needs somebody who writes notifications.
    pub dsn: bool,
    /// REQUIRETLS, under TLS. Default no: it needs a delivery that honours it.
    pub require_tls: bool,
    /// AUTH with these mechanisms, under TLS; PLAIN and LOGIN work. Default none.
    pub auth: Vec<AuthMechanism>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            starttls: false,
            pipelining: true,
            eight_bit_mime: true,
            chunking: true,
            smtputf8: false,
            dsn: false,
            require_tls: false,
            auth: Vec::new(),
        }
    }
}

impl Offer {
    /// The extensions to list, in clear or under TLS.
    #[must_use]
    pub fn extensions(&self, under_tls: bool, limit: Octets) -> Extensions {
        let lines = [
            self.pipelining.then_some(Extension::Pipelining),
            Some(Extension::Size(Some(limit))),
            self.eight_bit_mime.then_some(Extension::EightBitMime),
            self.smtputf8.then_some(Extension::SmtpUtf8),
            (self.starttls && !under_tls).then_some(Extension::StartTls),
            self.chunking.then_some(Extension::Chunking),
            self.dsn.then_some(Extension::Dsn),
            Some(Extension::EnhancedStatusCodes),
            (self.require_tls && under_tls).then_some(Extension::RequireTls),
            (!self.auth.is_empty() && under_tls).then(|| Extension::Auth(self.auth.clone())),
        ];
        let mut extensions = Vec::with_capacity(lines.len());
        extensions.extend(lines.into_iter().flatten());
        Extensions(extensions)
    }
}

impl Extension {
    /// The extension that a line of the reply to EHLO names, or nothing if the line is empty.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        // Nothing is to be trimmed between graphic characters of ASCII.
        let tight = line.as_bytes().first().is_some_and(u8::is_ascii_graphic) && line.as_bytes().last().is_some_and(u8::is_ascii_graphic);
        let line = if tight { line } else { line.trim() };
        // Most lines are a keyword and nothing else.
        let known = Self::plain(line).or_else(|| {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.trim_start();
            if keyword.eq_ignore_ascii_case("SIZE") {
                size(rest).map(Self::Size)
            } else if keyword.eq_ignore_ascii_case("AUTH") {
                Some(Self::Auth(rest.split(' ').filter_map(AuthMechanism::parse).collect()))
            } else {
                Self::plain(keyword)
            }
        });
        known.or_else(|| TextLine::new(line).map(|line| Self::Other(UnknownExtension(line.as_str().into()))))
    }

    /// The extension that is this keyword, in any case, and nothing else.
    fn plain(keyword: &str) -> Option<Self> {
        let keyword = keyword.as_bytes();
        let is = |name: &[u8]| keyword.eq_ignore_ascii_case(name);
        match keyword {
            [b'P' | b'p', ..] => is(b"PIPELINING").then_some(Self::Pipelining),
            [b'8', ..] => is(b"8BITMIME").then_some(Self::EightBitMime),
            [b'S' | b's', b'M' | b'm', ..] => is(b"SMTPUTF8").then_some(Self::SmtpUtf8),
            [b'S' | b's', b'T' | b't', ..] => is(b"STARTTLS").then_some(Self::StartTls),
            [b'C' | b'c', ..] => is(b"CHUNKING").then_some(Self::Chunking),
            [b'B' | b'b', ..] => is(b"BINARYMIME").then_some(Self::BinaryMime),
            [b'D' | b'd', ..] => is(b"DSN").then_some(Self::Dsn),
            [b'E' | b'e', ..] => is(b"ENHANCEDSTATUSCODES").then_some(Self::EnhancedStatusCodes),
            [b'R' | b'r', ..] => is(b"REQUIRETLS").then_some(Self::RequireTls),
            [b'H' | b'h', ..] => is(b"HELP").then_some(Self::Help),
            _ => None,
        }
    }

    fn write(&self, to: &mut impl fmt::Write) -> fmt::Result {
        to.write_str(self.keyword())?;
        match self {
            Self::Size(Some(limit)) => write!(to, " {limit}"),
            Self::Auth(mechanisms) => mechanisms.iter().try_for_each(|mechanism| write!(to, " {mechanism}")),
            _ => Ok(()),
        }
    }

    /// What the line begins with; of one that is not known, all of it.
    fn keyword(&self) -> &str {
        match self {
            Self::Pipelining => "PIPELINING",
            Self::Size(_) => "SIZE",
            Self::EightBitMime => "8BITMIME",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::StartTls => "STARTTLS",
            Self::Chunking => "CHUNKING",
            Self::BinaryMime => "BINARYMIME",
            Self::Dsn => "DSN",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::RequireTls => "REQUIRETLS",
            Self::Auth(_) => "AUTH",
            Self::Help => "HELP",
            Self::Other(line) => line.as_str(),
        }
    }
}

/// What stands behind the first line feed.
fn behind_line(text: &str) -> Option<&str> {
    text.get(first_line(text).len().saturating_add(1)..)
}

/// What stands behind SIZE: nothing, or a number.
fn size(text: &str) -> Option<Option<Octets>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(|limit| Some(Octets(limit)))
}

/// The extension of the first line, if it is written as nearly every server does, and the octets of that line with its line feed.
///
/// [`Extension::parse`] reads it the same, but has to find the end of the line first.
#[inline]
fn usual_line(text: &[u8]) -> Option<(Extension, usize)> {
    let alone = |keyword: &[u8], extension| {
        let is_line = text.starts_with(keyword) && matches!(text.get(keyword.len()), None | Some(b'\n'));
        is_line.then(|| (extension, keyword.len().saturating_add(1)))
    };
    match text {
        [b'P', ..] => alone(b"PIPELINING", Extension::Pipelining),
        [b'8', ..] => alone(b"8BITMIME", Extension::EightBitMime),
        [b'S', b'T', ..] => alone(b"STARTTLS", Extension::StartTls),
        [b'S', b'M', ..] => alone(b"SMTPUTF8", Extension::SmtpUtf8),
        [b'C', ..] => alone(b"CHUNKING", Extension::Chunking),
        [b'D', ..] => alone(b"DSN", Extension::Dsn),
        [b'E', ..] => alone(b"ENHANCEDSTATUSCODES", Extension::EnhancedStatusCodes),
        [b'R', ..] => alone(b"REQUIRETLS", Extension::RequireTls),
        [b'S', b'I', b'Z', b'E', b' ', behind @ ..] => {
            let (mut limit, mut digits) = (0_u64, 0_usize);
            for octet in behind.iter().take_while(|octet| **octet != b'\n') {
                let digit = octet.is_ascii_digit().then(|| u64::from(octet.wrapping_sub(b'0')))?;
                limit = limit.checked_mul(10)?.checked_add(digit)?;
                digits = digits.saturating_add(1);
            }
            (digits > 0).then(|| (Extension::Size(Some(Octets(limit))), digits.saturating_add("SIZE \n".len())))
        }
        _ => None,
    }
}

impl UnknownExtension {
    /// The line as the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Extensions {
    /// What a reply to EHLO lists: each line behind the first.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        let mut extensions = Vec::with_capacity(reply.text().len() / TYPICAL_LINE_OCTETS);
        let mut rest = behind_line(reply.text());
        while let Some(text) = rest {
            if let Some((extension, octets)) = usual_line(text.as_bytes()) {
                extensions.push(extension);
                rest = text.get(octets..);
            } else {
                extensions.extend(Extension::parse(first_line(text)));
                rest = behind_line(text);
            }
        }
        Self(extensions)
    }

    /// The reply to EHLO that lists them.
    #[must_use]
    pub fn to_reply(&self, hostname: &impl fmt::Display) -> Reply {
        let mut text = String::with_capacity(TYPICAL_REPLY_OCTETS);
        // Writing into a String cannot fail.
        let _ = write!(text, "{hostname}");
        self.write(&mut text);
        Reply::plain::<250>(text)
    }

    /// The same of a server whose name needs no check.
    pub(crate) fn to_reply_of(&self, hostname: &Domain) -> Reply {
        let mut text = String::with_capacity(TYPICAL_REPLY_OCTETS);
        text.push_str(hostname.as_str());
        self.write(&mut text);
        Reply::of_fitting_text(ReplyCode::constant::<250>(), text)
    }

    /// Appends a line for each.
    fn write(&self, text: &mut String) {
        for extension in &self.0 {
            text.push('\n');
            let _ = extension.write(text);
        }
    }

    /// Each of them, in the order of the server.
    pub fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }

    /// Whether there is none: a server of RFC 821.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// PIPELINING.
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.0.contains(&Extension::Pipelining)
    }

    /// SIZE, with a limit or without.
    #[must_use]
    pub fn size(&self) -> bool {
        self.0.iter().any(|extension| matches!(extension, Extension::Size(_)))
    }

    /// The greatest message that the server says it takes. It may say 0 for "any", which is no limit.
    #[must_use]
    pub fn size_limit(&self) -> Option<Octets> {
        self.0
            .iter()
            .find_map(|extension| match extension {
                Extension::Size(limit) => *limit,
                _ => None,
            })
            .filter(|limit| limit.0 > 0)
    }

    /// 8BITMIME.
    #[must_use]
    pub fn eight_bit_mime(&self) -> bool {
        self.0.contains(&Extension::EightBitMime)
    }

    /// SMTPUTF8.
    #[must_use]
    pub fn smtputf8(&self) -> bool {
        self.0.contains(&Extension::SmtpUtf8)
    }

    /// STARTTLS.
    #[must_use]
    pub fn starttls(&self) -> bool {
        self.0.contains(&Extension::StartTls)
    }

    /// CHUNKING.
    #[must_use]
    pub fn chunking(&self) -> bool {
        self.0.contains(&Extension::Chunking)
    }

    /// BINARYMIME.
    #[must_use]
    pub fn binary_mime(&self) -> bool {
        self.0.contains(&Extension::BinaryMime)
    }

    /// DSN.
    #[must_use]
    pub fn dsn(&self) -> bool {
        self.0.contains(&Extension::Dsn)
    }

    /// ENHANCEDSTATUSCODES.
    #[must_use]
    pub fn enhanced_status_codes(&self) -> bool {
        self.0.contains(&Extension::EnhancedStatusCodes)
    }

    /// REQUIRETLS.
    #[must_use]
    pub fn require_tls(&self) -> bool {
        self.0.contains(&Extension::RequireTls)
    }

    /// The mechanisms of AUTH.
    #[must_use]
    pub fn auth(&self) -> &[AuthMechanism] {
        self.0
            .iter()
            .find_map(|extension| match extension {
                Extension::Auth(mechanisms) => Some(mechanisms.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }
}

impl FromIterator<Extension> for Extensions {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        Self(extensions.into_iter().collect())
    }
}

/// The line as it goes over the wire, without code and CRLF.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// Octets of a line in the reply to EHLO, or less.
const TYPICAL_LINE_OCTETS: usize = 10;

/// Octets of text in the reply to EHLO of a server that offers what most do.
const TYPICAL_REPLY_OCTETS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case_and_written_in_capitals() {
        use Extension as E;
        let plain = [E::Pipelining, E::EightBitMime, E::SmtpUtf8, E::StartTls, E::Chunking, E::BinaryMime, E::Dsn];
        let further = [E::EnhancedStatusCodes, E::RequireTls, E::Help, E::Size(None), E::Auth(Vec::new())];
        for extension in plain.into_iter().chain(further) {
            let line = extension.to_string();
            for spelled in [line.clone(), line.to_lowercase(), format!(" {line} ")] {
                assert_eq!(Extension::parse(&spelled).as_ref(), Some(&extension), "{spelled:?}");
            }
            for other in [format!("{line}X"), format!("x{line}"), line.replace(['S', 'T', 'P'], "-")] {
                assert!(matches!(Extension::parse(&other), Some(E::Other(_))) || other == line, "{other:?}");
            }
        }
        assert_eq!(Extension::parse("chunking with words"), Some(E::Chunking));
        assert_eq!(Extension::parse("help\u{a0}"), Some(E::Help));
    }

    #[test]
    fn usual_lines_are_read_as_all_others_are() {
        let lines = [
            "PIPELINING",
            "8BITMIME",
            "STARTTLS",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "REQUIRETLS",
            "SIZE 0",
            "SIZE 52428800",
            "SIZE 18446744073709551615",
        ];
        for line in lines {
            for behind in ["", "\n", "\n\n", "\nDSN", "\n5"] {
                let text = format!("{line}{behind}");
                let octets = line.len() + 1;
                assert_eq!(usual_line(text.as_bytes()), Extension::parse(line).map(|extension| (extension, octets)), "{text:?}");
            }
            for other in ["", " ", "X", "9", "\t", "\r", "\u{a0}"] {
                for text in [format!("{line}{other}\nDSN"), format!("{other}{line}\nDSN"), line.replacen(['E', 'I', 'D', '0'], other, 1)] {
                    let first = text.split('\n').next().unwrap();
                    let parsed = Extension::parse(first).map(|extension| (extension, first.len() + 1));
                    assert!(usual_line(text.as_bytes()).is_none_or(|usual| Some(usual) == parsed), "{text:?}");
                }
            }
        }
        for text in ["", "\n", "SIZE", "SIZE ", "SIZE  5", "SIZE 18446744073709551616", "SIZE +5", "SIZE 5 ", "dsn", "AUTH PLAIN", "HELP"] {
            assert_eq!(usual_line(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn each_line_of_a_reply_is_read_whatever_stands_beside_it() {
        let pieces = ["DSN", "SIZE 5", "SIZE x", "", "chunking", "AUTH PLAIN", "X-Fast", "ü"];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let reply = Reply::plain::<250>(format!("mx.example\n{first}\n{second}\n{third}"));
                    let expected: Vec<Extension> = [first, second, third].into_iter().filter_map(Extension::parse).collect();
                    assert_eq!(Extensions::from_reply(&reply).0, expected, "{reply:?}");
                }
            }
        }
    }
}
