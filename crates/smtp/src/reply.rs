//! Replies: a code, an enhanced status code and text, on one line or several.

mod plain;
mod reader;

use std::borrow::Cow;
use std::fmt;

use nom::character::complete::{char, digit1};
use nom::combinator::verify;
use nom::{IResult, Parser as _};
use sealpost_types::{EnhancedStatus, ReplyCode, Severity};

pub use self::reader::{ReplyError, ReplyReader};
use crate::limits::REPLY_LINE_OCTETS;
use crate::line::{is_printable, printable_octets};

/// One reply of a server.
///
/// # Wire
/// RFC 5321 section 4.2, RFC 2034 section 4 for the enhanced status code on each line.
///
/// # Limits
/// No line is longer than [`REPLY_LINE_OCTETS`] when encoded: longer text is wrapped when the value is made.
///
/// # Example
/// ```
/// # use sealpost_smtp::Reply;
/// let reply = Reply::fixed::<550, 7, 10>("TLS is required\nask your provider");
/// let mut wire = Vec::new();
/// reply.encode(&mut wire);
/// assert_eq!(wire, b"550-5.7.10 TLS is required\r\n550 5.7.10 ask your provider\r\n");
/// assert_eq!(Reply::parse(&wire)?, reply);
/// # Ok::<(), sealpost_smtp::ReplyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    code: ReplyCode,
    status: Option<EnhancedStatus>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply of its parts; a line feed in `text` begins the next line.
    ///
    /// What no reply may hold is replaced: control characters become `?`. A text that itself begins with an enhanced
    /// status code gives it to a reply that has none.
    #[must_use]
    pub fn new(code: ReplyCode, status: Option<EnhancedStatus>, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        let mut status = status;
        if status.is_none()
            && let Some((found, rest)) = split_status(&text)
        {
            status = Some(found);
            text = Cow::Owned(rest.to_owned());
        }
        if !fits(&text, status) {
            text = Cow::Owned(make_fit(&text, status));
        }
        Self { code, status, text }
    }

    /// A reply with code and status known when the program is built: `fixed::<550, 7, 10>` is `550 5.7.10`.
    ///
    /// A code that no reply may have does not compile; neither does one of class 3, which has no status.
    #[must_use]
    pub fn fixed<const CODE: u16, const SUBJECT: u16, const DETAIL: u16>(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReplyCode::constant::<CODE>(), Some(EnhancedStatus::beside::<CODE, SUBJECT, DETAIL>()), text)
    }

    /// A reply without a status, its code known when the program is built.
    #[must_use]
    pub fn plain<const CODE: u16>(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReplyCode::constant::<CODE>(), None, text)
    }

    /// The one reply that `wire` is, with its CRLF.
    ///
    /// # Errors
    /// [`ReplyError`], and [`ReplyError::Unfinished`] when the last line is missing or something follows it.
    pub fn parse(wire: &[u8]) -> Result<Self, ReplyError> {
        let (used, reply) = ReplyReader::new(&crate::Limits::default()).take(wire)?;
        reply.filter(|_| used == wire.len()).ok_or(ReplyError::Unfinished)
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced status code, if it has one.
    #[must_use]
    pub fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// What the first digit says.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it is 2yz: done.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.severity() == Severity::Success
    }

    /// Whether it is 4yz or 5yz.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.severity(), Severity::Transient | Severity::Permanent)
    }

    /// The text without code and status; lines are parted by line feeds.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines of the text; at least one.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(self.text());
        std::iter::from_fn(move || {
            let text = rest?;
            let line = first_line(text);
            rest = text.get(line.len().saturating_add(1)..);
            Some(line)
        })
    }

    /// Appends the octets that go over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.text.len().saturating_add("250 5.999.999 \r\n".len()));
        let from = out.len();
        push_number(out, self.code.value());
        let digits = out.len().saturating_sub(from);
        out.push(b'-');
        if let Some(status) = self.status {
            push_number(out, status.class().into());
            out.push(b'.');
            push_number(out, status.subject());
            out.push(b'.');
            push_number(out, status.detail());
        }
        let head = from..out.len();
        let mut lines = self.lines();
        let (mut start, mut line) = (from, lines.next().unwrap_or_default());
        loop {
            if self.status.is_some() && !line.is_empty() {
                out.push(b' ');
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
            let Some(next) = lines.next() else { break };
            line = next;
            start = out.len();
            out.extend_from_within(head.clone());
        }
        if let Some(part) = out.get_mut(start.saturating_add(digits)) {
            *part = b' ';
        }
    }

    /// A reply without a status, of text without control characters other than line feeds.
    pub(crate) fn of_fitting_text(code: ReplyCode, text: String) -> Self {
        if is_short(&text) { Self { code, status: None, text: Cow::Owned(text) } } else { Self::of_text(code, None, text) }
    }

    /// The reply of decoded text, from which code and status were taken.
    fn of_text(code: ReplyCode, status: Option<EnhancedStatus>, text: String) -> Self {
        let text = if fits(&text, status) { text } else { make_fit(&text, status) };
        Self { code, status, text: Cow::Owned(text) }
    }
}

/// The text before the first line feed. Lines are short, and nearly all of them printable.
pub(crate) fn first_line(text: &str) -> &str {
    let printable = printable_octets(text.as_bytes());
    let rest = text.as_bytes().get(printable..).unwrap_or_default();
    let line = match rest {
        [] | [b'\n', ..] => text.get(..printable),
        _ => memchr::memchr(b'\n', rest).and_then(|end| text.get(..printable.saturating_add(end))),
    };
    line.unwrap_or(text)
}

/// Appends a number below 1,000.
fn push_number(out: &mut Vec<u8>, number: u16) {
    let digit = |number: u16| b"0123456789".get(usize::from(number % 10)).copied().unwrap_or(b'0');
    if number >= 100 {
        out.push(digit(number / 100));
    }
    if number >= 10 {
        out.push(digit(number / 10));
    }
    out.push(digit(number));
}

/// On one line, for people.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        self.lines().filter(|line| !line.is_empty()).try_for_each(|line| write!(f, " {line}"))
    }
}

/// The enhanced status code that a line begins with, and what follows it.
fn split_status(line: &str) -> Option<(EnhancedStatus, &str)> {
    // Nearly every line without one is known by its first two octets.
    let [b'2' | b'4' | b'5', b'.', ..] = line.as_bytes() else { return None };
    let done: IResult<&[u8], _> = (number, char('.'), number, char('.'), number).parse(line.as_bytes());
    let (rest, (class, _, subject, _, detail)) = done.ok()?;
    let status = EnhancedStatus::new(u8::try_from(class).ok()?, subject, detail)?;
    let rest = line.get(line.len().checked_sub(rest.len())?..)?;
    match rest.as_bytes().first() {
        None | Some(b'\n') => Some((status, rest)),
        Some(b' ') => Some((status, rest.strip_prefix(' ').unwrap_or(rest))),
        Some(_) => None,
    }
}

/// A number of at most three digits without leading zeros: what is printed again as it stood.
fn number(input: &[u8]) -> IResult<&[u8], u16> {
    let plain = |digits: &[u8]| digits.len() <= 3 && (digits.len() == 1 || !digits.starts_with(b"0"));
    let value = |digits: &[u8]| digits.iter().fold(0_u16, |value, digit| value * 10 + u16::from(digit.saturating_sub(b'0')));
    verify(digit1, plain).map(value).parse(input)
}

/// Octets of text that a line holds beside code, status and CRLF.
fn room(status: Option<EnhancedStatus>) -> usize {
    let status = status.map_or(0, |s| s.to_string().len().saturating_add(1));
    REPLY_LINE_OCTETS.saturating_sub("250-\r\n".len()).saturating_sub(status)
}

fn fits(text: &str, status: Option<EnhancedStatus>) -> bool {
    (is_short(text) || text.split('\n').all(|line| line.len() <= room(status))) && !has_controls(text)
}

/// Whether a text has control characters that are no line feeds.
fn has_controls(text: &str) -> bool {
    let printable = text.as_bytes().split(|octet| *octet == b'\n').all(is_printable);
    !printable && text.chars().any(|c| c.is_control() && c != '\n')
}

/// Whether a text fits on one line beside the longest status: the common case needs no formatting.
fn is_short(text: &str) -> bool {
    text.len() <= REPLY_LINE_OCTETS.saturating_sub("250-5.999.999 \r\n".len())
}

fn make_fit(text: &str, status: Option<EnhancedStatus>) -> String {
    let room = room(status);
    let mut fitting = String::with_capacity(text.len());
    let mut used = 0_usize;
    for c in text.chars() {
        if c == '\n' {
            used = 0;
        } else {
            if used.saturating_add(c.len_utf8()) > room {
                fitting.push('\n');
                used = 0;
            }
            used = used.saturating_add(c.len_utf8());
        }
        fitting.push(if c.is_control() && c != '\n' { '?' } else { c });
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc5321_4_2_1_known_answers() {
        for (reply, text) in [
            (Reply::plain::<220>("mx.example ESMTP"), "220 mx.example ESMTP\r\n"),
            (Reply::fixed::<250, 1, 0>("ok"), "250 2.1.0 ok\r\n"),
            (Reply::plain::<250>("mx.example\nPIPELINING\nSIZE 9"), "250-mx.example\r\n250-PIPELINING\r\n250 SIZE 9\r\n"),
            (Reply::fixed::<554, 6, 0>("a\n\nb"), "554-5.6.0 a\r\n554-5.6.0\r\n554 5.6.0 b\r\n"),
            (Reply::plain::<354>(""), "354 \r\n"),
            (Reply::fixed::<250, 0, 0>(""), "250 2.0.0\r\n"),
        ] {
            assert_eq!(wire(&reply), text);
            assert_eq!(Reply::parse(text.as_bytes()), Ok(reply), "{text:?}");
        }
    }

    #[test]
    fn rfc2034_4_status_codes_are_found_in_text() {
        let status = EnhancedStatus::new(5, 7, 1);
        let code = ReplyCode::new(550).unwrap();
        assert_eq!(Reply::new(code, None, "5.7.1 no"), Reply::new(code, status, "no"));
        // Only where it stands on the first line; leading zeros and other words are text.
        assert_eq!(Reply::parse(b"550-no\r\n550 5.7.1 x\r\n").unwrap().status(), None);
        assert_eq!(Reply::parse(b"550 5.07.1 x\r\n").unwrap().text(), "5.07.1 x");
        assert_eq!(Reply::parse(b"550 5.7.1x\r\n").unwrap().text(), "5.7.1x");
        // Servers that send it once only.
        let once = Reply::parse(b"550-5.7.1 a\r\n550 b\r\n").unwrap();
        assert_eq!((once.status(), once.text()), (status, "a\nb"));
        // A class that disagrees with the code is what the peer said all the same.
        assert_eq!(Reply::parse(b"550 4.7.1 x\r\n").unwrap().status(), EnhancedStatus::new(4, 7, 1));
    }

    /// It was taken for one reply when what follows it was none.
    #[test]
    fn one_reply_is_all_there_is() {
        for wire in ["", "250 a", "250-a\r\n", "250 a\r\n250 b\r\n", "250 a\r\n2", "250 a\r\nrubbish\r\n"] {
            assert_eq!(Reply::parse(wire.as_bytes()), Err(ReplyError::Unfinished), "{wire:?}");
        }
    }

    #[test]
    fn lines_are_parted_by_line_feeds() {
        for text in ["", "a", "a\nb", "\n", "a\n", "\na", "a\n\nü"] {
            let reply = Reply::plain::<250>(text);
            assert_eq!(reply.lines().collect::<Vec<_>>(), text.split('\n').collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn rfc5321_4_5_3_1_5_long_text_is_wrapped_and_controls_replaced() {
        let long = "ü".repeat(600);
        let reply = Reply::fixed::<550, 7, 10>(long.clone());
        let text = wire(&reply);
        assert!(text.split_inclusive("\r\n").all(|line| line.len() <= REPLY_LINE_OCTETS), "{text}");
        assert_eq!(reply.text().replace('\n', ""), long);
        assert_eq!(Reply::parse(text.as_bytes()), Ok(reply));
        assert_eq!(wire(&Reply::plain::<250>("a\r\nQUIT\0")), "250-a?\r\n250 QUIT?\r\n");
    }
}
