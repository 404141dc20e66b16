//! Replies: a code, an enhanced status code and text, on one line or several.

mod reader;

use std::borrow::Cow;
use std::fmt;

use sealpost_types::{EnhancedStatus, ReplyCode, Severity};

pub use self::reader::{ReplyError, ReplyReader};
use crate::limits::REPLY_LINE_OCTETS;

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
        let mut reader = ReplyReader::new(&crate::Limits::default());
        reader.push(wire);
        let reply = reader.next_reply()?.ok_or(ReplyError::Unfinished)?;
        if reader.is_empty() { Ok(reply) } else { Err(ReplyError::Unfinished) }
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
        self.text.split('\n')
    }

    /// Appends the octets that go over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let mut lines = self.lines().peekable();
        while let Some(line) = lines.next() {
            let part = if lines.peek().is_some() { '-' } else { ' ' };
            // Writing into a Vec cannot fail.
            let _ = match self.status {
                Some(status) if line.is_empty() => write!(out, "{}{part}{status}\r\n", self.code),
                Some(status) => write!(out, "{}{part}{status} {line}\r\n", self.code),
                None => write!(out, "{}{part}{line}\r\n", self.code),
            };
        }
    }

    /// The reply of decoded lines, the status taken from the first one.
    fn from_lines(code: ReplyCode, lines: &str) -> Self {
        let status = split_status(lines).map(|(status, _)| status);
        let Some(status) = status else { return Self::new(code, None, lines.to_owned()) };
        let mut text = String::with_capacity(lines.len());
        for (number, line) in lines.split('\n').enumerate() {
            if number > 0 {
                text.push('\n');
            }
            match split_status(line) {
                Some((found, rest)) if found == status => text.push_str(rest),
                _ => text.push_str(line),
            }
        }
        Self::new(code, Some(status), text)
    }
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
    let end = line.find([' ', '\n']).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end)?;
    let mut parts = word.split('.').map(number);
    let status = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(class)), Some(Some(subject)), Some(Some(detail)), None) => {
            EnhancedStatus::new(u8::try_from(class).ok()?, subject, detail)?
        }
        _ => return None,
    };
    Some((status, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// A number of at most three digits without leading zeros: what is printed again as it stood.
fn number(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 3 && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

/// Octets of text that a line holds beside code, status and CRLF.
fn room(status: Option<EnhancedStatus>) -> usize {
    let status = status.map_or(0, |s| s.to_string().len().saturating_add(1));
    REPLY_LINE_OCTETS.saturating_sub("250-\r\n".len()).saturating_sub(status)
}

fn fits(text: &str, status: Option<EnhancedStatus>) -> bool {
    // Room for the longest status, so that the common case needs no formatting.
    let short = text.len() <= REPLY_LINE_OCTETS.saturating_sub("250-5.999.999 \r\n".len());
    (short || text.split('\n').all(|line| line.len() <= room(status))) && !text.chars().any(|c| c.is_control() && c != '\n')
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
