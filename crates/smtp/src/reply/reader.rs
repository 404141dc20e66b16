//! From octets to replies.

use std::borrow::Cow;
use std::collections::VecDeque;

use sealpost_types::{Blame, EnhancedStatus, ReplyCode, Retry};

use super::{Reply, plain, split_status};
use crate::limits::Limits;
use crate::line::{LineCutter, LineError};

/// Cuts the peer's octets into reply lines and hands out each finished [`Reply`].
///
/// Push pieces of any size: how they are cut never changes which replies come out.
///
/// # Wire
/// RFC 5321 section 4.2.1: several lines, one code.
///
/// # Limits
/// [`Limits::reply_line`] octets a line, [`Limits::reply_lines`] lines a reply.
///
/// # Errors
/// [`ReplyError::LineTooLong`] past the limit, [`ReplyError::CodeChanged`] when a later line disagrees with the
/// first. The reader stays failed afterwards.
///
/// # Example
/// ```
/// # use sealpost_smtp::{Limits, ReplyReader};
/// let mut reader = ReplyReader::new(&Limits::default());
/// reader.push(b"250-mx.example\r\n250 S");
/// assert!(reader.next_reply()?.is_none());            // half a line is not a reply
/// reader.push(b"IZE 9000\r\n");
/// assert_eq!(reader.next_reply()?.map(|r| r.code().value()), Some(250));
/// # Ok::<(), sealpost_smtp::ReplyError>(())
/// ```
#[derive(Debug)]
pub struct ReplyReader {
    cutter: LineCutter,
    part: Part,
    line_limit: usize,
    lines_limit: usize,
    finished: VecDeque<Reply>,
    failed: Option<ReplyError>,
}

/// Why octets are no reply. Lines are counted from 1 within their reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line is too long.
    #[error("line {line} of the reply has more than {limit} octets")]
    LineTooLong {
        /// Which line.
        line: usize,
        /// Octets allowed, CRLF included.
        limit: usize,
    },
    /// A CR that no LF follows.
    #[error("line {line} of the reply has a bare CR at octet {offset}")]
    BareCarriageReturn {
        /// Which line.
        line: usize,
        /// Octets before it on that line.
        offset: usize,
    },
    /// An LF that follows no CR.
    #[error("line {line} of the reply has a bare LF at octet {offset}")]
    BareLineFeed {
        /// Which line.
        line: usize,
        /// Octets before it on that line.
        offset: usize,
    },
    /// A NUL.
    #[error("line {line} of the reply has a NUL at octet {offset}")]
    Nul {
        /// Which line.
        line: usize,
        /// Octets before it on that line.
        offset: usize,
    },
    /// No reply code, or neither a space nor a hyphen behind it.
    #[error("line {line} of the reply has no reply code: {found:?}")]
    NoCode {
        /// Which line.
        line: usize,
        /// How the line begins.
        found: String,
    },
    /// A line has another code than the first.
    #[error("line {line} of the reply has code {found} after {expected}")]
    CodeChanged {
        /// Which line.
        line: usize,
        /// The code of the first line.
        expected: ReplyCode,
        /// The code of this one.
        found: ReplyCode,
    },
    /// Too many lines.
    #[error("the reply has more than {limit} lines")]
    TooManyLines {
        /// Lines allowed.
        limit: usize,
    },
    /// [`Reply::parse`] was given less than one reply, or more.
    #[error("the text is not exactly one reply")]
    Unfinished,
}

impl ReplyError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unfinished => Blame::Caller,
            _ => Blame::Peer,
        }
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unfinished => Retry::Never,
            _ => Retry::OtherHost,
        }
    }
}

/// The lines of a reply that is not finished.
#[derive(Debug, Default)]
struct Part {
    code: Option<ReplyCode>,
    /// That of the first line: it is taken from the others too.
    status: Option<EnhancedStatus>,
    lines: usize,
    text: String,
}

impl ReplyReader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            cutter: LineCutter::new(limits.reply_line),
            part: Part::default(),
            line_limit: limits.reply_line,
            lines_limit: limits.reply_lines,
            finished: VecDeque::new(),
            failed: None,
        }
    }

    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Ok((used, reply)) = self.take(rest) {
            if let Some(reply) = reply {
                self.finished.push_back(reply);
            }
            rest = rest.get(used..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }
    }

    /// The next finished reply, or nothing until more octets come.
    ///
    /// # Errors
    /// [`ReplyError`], behind the replies that came before it; the same one from then on.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        match (self.finished.pop_front(), &self.failed) {
            (None, Some(error)) => Err(error.clone()),
            (reply, _) => Ok(reply),
        }
    }

    /// Whether no octet is held that has not been handed out as a reply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.is_between_replies()
    }

    /// Whether the next octet begins a reply.
    pub(crate) fn is_between_replies(&self) -> bool {
        self.part.lines == 0 && self.cutter.is_empty()
    }

    /// Goes through `input` up to the end of the first reply: how many octets that took, and the reply.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.is_between_replies()
            && let Some((used, reply)) = plain::reply(input, self.line_limit, self.lines_limit)
        {
            self.cutter.release();
            return Ok((used, Some(reply)));
        }
        self.take_lines(input)
    }

    fn take_lines(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut used = 0_usize;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let cut = self.cutter.cut(rest);
            used = used.saturating_add(cut.used);
            // A line that is too long is an error before it ends: it may never end.
            let line = match cut.line {
                Some(line) => line,
                None if cut.skipped > 0 => Err(LineError::TooLong { limit: self.line_limit }),
                None => break,
            };
            match self.part.add(line, self.lines_limit) {
                Ok(None) => {}
                Ok(Some(reply)) => {
                    self.cutter.release();
                    return Ok((used, Some(reply)));
                }
                Err(error) => {
                    self.part = Part::default();
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok((used, None))
    }
}

impl Part {
    fn add(&mut self, line: Result<&[u8], LineError>, limit: usize) -> Result<Option<Reply>, ReplyError> {
        self.lines = self.lines.saturating_add(1);
        let number = self.lines;
        let line = line.map_err(|error| error_on_line(error, number))?;
        if number > limit {
            return Err(ReplyError::TooManyLines { limit });
        }
        let (code, last, text) = split(line).ok_or_else(|| ReplyError::NoCode { line: number, found: start_of(line) })?;
        let text = std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
        let found = split_status(&text);
        match self.code {
            Some(expected) if expected != code => return Err(ReplyError::CodeChanged { line: number, expected, found: code }),
            Some(_) => self.text.push('\n'),
            None => {
                self.code = Some(code);
                self.status = found.map(|(status, _)| status);
            }
        }
        let text = match found {
            Some((status, rest)) if self.status == Some(status) => rest,
            _ => &text,
        };
        self.text.push_str(text);
        Ok(last.then(|| {
            let Self { status, text, .. } = std::mem::take(self);
            Reply::of_text(code, status, text)
        }))
    }
}

/// Code, whether it is the last line, and text of one line.
fn split(line: &[u8]) -> Option<(ReplyCode, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    let code = plain::code(*digits)?;
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn start_of(line: &[u8]) -> String {
    let start = line.get(..SHOWN_OCTETS).unwrap_or(line);
    String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn error_on_line(error: LineError, line: usize) -> ReplyError {
    match error {
        LineError::TooLong { limit } => ReplyError::LineTooLong { line, limit },
        LineError::BareCarriageReturn { offset } => ReplyError::BareCarriageReturn { line, offset },
        LineError::BareLineFeed { offset } => ReplyError::BareLineFeed { line, offset },
        LineError::Nul { offset } => ReplyError::Nul { line, offset },
    }
}

/// Octets of a line that an error shows.
const SHOWN_OCTETS: usize = 60;

/// What a reader of these limits that has seen nothing makes of `input`.
#[cfg(test)]
pub(super) fn line_by_line(input: &[u8], reply_line: usize, reply_lines: usize) -> Result<Option<(usize, Reply)>, ReplyError> {
    let limits = Limits { reply_line, reply_lines, ..Limits::default() };
    let (used, reply) = ReplyReader::new(&limits).take_lines(input)?;
    Ok(reply.map(|reply| (used, reply)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = (Vec<Reply>, Option<ReplyError>);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
        let limits = Limits { reply_line: 40, reply_lines: 3, ..Limits::default() };
        let mut reader = ReplyReader::new(&limits);
        let mut replies = Vec::new();
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.next_reply() {
                    Ok(Some(reply)) => replies.push(reply),
                    Ok(None) => break,
                    Err(error) => return (replies, Some(error)),
                }
            }
        }
        (replies, None)
    }

    /// It may never end, and a server must not keep a client busy with it.
    #[test]
    fn rfc5321_4_5_3_1_5_a_line_too_long_is_an_error_before_it_ends() {
        let endless = [b'x'; 64];
        assert_eq!(read([&b"220 "[..], &endless]), (Vec::new(), Some(ReplyError::LineTooLong { line: 1, limit: 40 })));
    }

    #[test]
    fn rfc5321_4_2_1_replies_come_out_the_same_at_every_split_point() {
        for input in [
            &b"220 hello\r\n250-a\r\n250-b\r\n250 c\r\n354\r\n550-5.1.1 x\r\n550 5.1.1\r\n"[..],
            b"250 a\r\n250-b\r\n251 c\r\n",
            b"250 a\r\n250 b\rc\r\n",
            b"250 a\r\n250-b\nc\r\n",
            b"250 ok\r\n25\r\n",
            b"250-a\r\n250-a\r\n250-a\r\n250 a\r\n",
            b"250 0123456789012345678901234567890123456789\r\n250 x\r\n",
        ] {
            let whole = read([input]);
            for at in 0..=input.len() {
                assert_eq!(read([&input[..at], &input[at..]]), whole, "split at {at}");
            }
            assert_eq!(read(input.chunks(1)), whole);
        }
    }

    #[test]
    fn rfc5321_4_2_1_mistakes_are_named() {
        let error = |input: &[u8]| read([input]).1.unwrap();
        let code = |value| ReplyCode::new(value).unwrap();
        assert_eq!(error(b"250-a\r\n251 b\r\n"), ReplyError::CodeChanged { line: 2, expected: code(250), found: code(251) });
        assert_eq!(error(b"250-a\r\n250-b\r\n250-c\r\n250-d\r\n"), ReplyError::TooManyLines { limit: 3 });
        assert_eq!(error(format!("{}\r\n", "2".repeat(50)).as_bytes()).to_string(), "line 1 of the reply has more than 40 octets");
        assert_eq!(error(b"250 a\nb\r\n"), ReplyError::BareLineFeed { line: 1, offset: 5 });
        assert_eq!(error(b"250 a\rb\r\n"), ReplyError::BareCarriageReturn { line: 1, offset: 5 });
        assert_eq!(error(b"250 \0\r\n"), ReplyError::Nul { line: 1, offset: 4 });
        for wrong in ["hello", "25", "2500 x", "250_x", "150 x", "600 x", "+50 x", ""] {
            assert!(matches!(error(format!("{wrong}\r\n").as_bytes()), ReplyError::NoCode { line: 1, .. }), "{wrong:?}");
        }
    }

    #[test]
    fn a_failed_reader_stays_failed() {
        let mut reader = ReplyReader::new(&Limits::default());
        reader.push(b"220 a\r\nrubbish\r\n220 b\r\n");
        assert_eq!(reader.next_reply().unwrap().unwrap().text(), "a");
        let error = reader.next_reply().unwrap_err();
        reader.push(b"220 c\r\n");
        assert_eq!(reader.next_reply(), Err(error.clone()));
        assert_eq!((error.blame(), error.retry()), (Blame::Peer, Retry::OtherHost));
    }
}
