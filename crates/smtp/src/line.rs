//! Cutting a stream of octets into lines, and text that fits on one.

use std::fmt;

use memchr::{memchr, memchr3};
use smol_str::{SmolStr, ToSmolStr as _};

/// One line of text: not empty, no control characters, no white space at either end.
///
/// # Errors
/// There is no error to look at: [`TextLine::new`] gives nothing for a text that is none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TextLine(SmolStr);

impl TextLine {
    /// The line that `text` is, or nothing if it is empty, holds a control character or starts or ends in a space.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (is_plain(text.as_bytes()) || fits(text)).then(|| Self(SmolStr::new(text)))
    }

    /// The name of a host: its own grammar leaves nothing to check.
    pub(crate) fn of_host(host: &(impl HostName + ?Sized)) -> Self {
        Self(host.to_smolstr())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TextLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TextLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn fits(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

/// Whether a text has nothing but the graphic characters of ASCII and spaces between them: no closer look is needed.
fn is_plain(text: &[u8]) -> bool {
    let ends = text.first().is_some_and(u8::is_ascii_graphic) && text.last().is_some_and(u8::is_ascii_graphic);
    ends && is_printable(text)
}

/// Whether all octets are graphic characters of ASCII or spaces.
pub(crate) fn is_printable(text: &[u8]) -> bool {
    printable_octets(text) == text.len()
}

/// How many octets of the beginning are graphic characters of ASCII or spaces. Looks at eight at a time.
pub(crate) fn printable_octets(text: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (chunks, rest) = text.as_chunks::<8>();
    let mut octets = 0_usize;
    for chunk in chunks {
        let chunk = u64::from_le_bytes(*chunk);
        // Below a space the subtraction borrows, DEL overflows into the top bit, beyond ASCII it is set. What is carried over to
        // the next octet comes from one that is marked itself, so that the first mark is right.
        let marks = (chunk.wrapping_sub(EACH * 0x20) | chunk.wrapping_add(EACH) | chunk) & (EACH * 0x80);
        if marks != 0 {
            return octets.saturating_add(usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0));
        }
        octets = octets.saturating_add(8);
    }
    octets.saturating_add(rest.iter().position(|octet| !matches!(octet, b' '..=b'~')).unwrap_or(rest.len()))
}

/// Names whose grammar is narrower than that of a line.
pub(crate) trait HostName: fmt::Display {}

impl HostName for sealpost_types::Domain {}
impl HostName for sealpost_types::AddressLiteral {}

/// Why the octets up to a CRLF are no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// Longer than `limit`, CRLF included.
    TooLong { limit: usize },
    /// A CR without LF at `offset`.
    BareCarriageReturn { offset: usize },
    /// An LF without CR at `offset`.
    BareLineFeed { offset: usize },
    /// A NUL at `offset`.
    Nul { offset: usize },
}

/// Cuts octets into lines; only CRLF ends one, and after whatever garbage the next line is found behind the next CRLF.
///
/// Keeps what it has of an unfinished line, never more than `limit` octets; of one that is too long, [`START_OCTETS`].
#[derive(Debug)]
pub(crate) struct LineCutter {
    limit: usize,
    part: Vec<u8>,
    state: Part,
}

/// What is known of the line that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `part` holds all of it.
    Kept,
    /// `part` holds the line that was handed out last.
    HandedOut,
    /// It is too long and is being skipped, `part` holds its start; whether its last octet was a CR, and how many octets it has so far.
    Skipped { cr: bool, octets: u64 },
}

/// What a step of cutting gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut<'a> {
    /// Octets of the input that are used up.
    pub(crate) used: usize,
    /// Octets so far of a line that is too long and has not ended; 0 if there is none.
    pub(crate) skipped: u64,
    /// How the line begins, also if it is none: of one that is too long [`START_OCTETS`], of another all of it.
    pub(crate) start: &'a [u8],
    /// A line without its CRLF, once there is one.
    pub(crate) line: Option<Result<&'a [u8], LineError>>,
}

impl LineCutter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, part: Vec::new(), state: Part::Kept }
    }

    /// The next line of what was kept and `input`.
    pub(crate) fn cut<'a>(&'a mut self, input: &'a [u8]) -> Cut<'a> {
        if self.state == Part::HandedOut {
            self.part.clear();
            self.state = Part::Kept;
        }
        if self.state == Part::Kept
            && self.part.is_empty()
            && let Some(line) = whole_line(input, self.limit)
        {
            return Cut { used: line.len().saturating_add(2), skipped: 0, start: line, line: Some(Ok(line)) };
        }
        let skipping = match self.state {
            Part::Skipped { cr, .. } => Some(cr),
            _ => None,
        };
        let last_cr = skipping.unwrap_or_else(|| self.part.last() == Some(&b'\r'));
        match end_of_line(input, last_cr) {
            None => {
                self.keep(input);
                Cut { used: input.len(), skipped: self.skipped(), start: &[], line: None }
            }
            Some(end) if skipping.is_some() || self.part.len().saturating_add(end) > self.limit => {
                self.keep_start(input);
                self.state = Part::HandedOut;
                Cut { used: end, skipped: 0, start: &self.part, line: Some(Err(LineError::TooLong { limit: self.limit })) }
            }
            Some(end) => {
                let (line, _) = input.split_at_checked(end).unwrap_or((input, &[]));
                let line = if self.part.is_empty() {
                    line
                } else {
                    self.part.extend_from_slice(line);
                    self.state = Part::HandedOut;
                    &self.part
                };
                let line = line.strip_suffix(b"\r\n").unwrap_or(line);
                Cut { used: end, skipped: 0, start: line, line: Some(check(line)) }
            }
        }
    }

    fn skipped(&self) -> u64 {
        match self.state {
            Part::Skipped { octets, .. } => octets,
            Part::Kept | Part::HandedOut => 0,
        }
    }

    /// Whether nothing of an unfinished line is held.
    pub(crate) fn is_empty(&self) -> bool {
        match self.state {
            Part::Kept => self.part.is_empty(),
            Part::HandedOut => true,
            Part::Skipped { .. } => false,
        }
    }

    /// Gives back the memory of an empty buffer.
    pub(crate) fn release(&mut self) {
        if self.state == Part::HandedOut || self.part.is_empty() {
            self.part = Vec::new();
            if self.state == Part::HandedOut {
                self.state = Part::Kept;
            }
        }
    }

    fn keep(&mut self, input: &[u8]) {
        let Some(last) = input.last() else { return };
        let before = self.skipped();
        let octets = if before > 0 { input.len() } else { self.part.len().saturating_add(input.len()) };
        // One octet less than the limit: the LF that would end it has to fit too.
        if before > 0 || octets >= self.limit {
            let octets = before.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
            self.keep_start(input);
            self.state = Part::Skipped { cr: *last == b'\r', octets };
        } else {
            self.part.extend_from_slice(input);
        }
    }

    /// Keeps nothing of a line but its start.
    fn keep_start(&mut self, input: &[u8]) {
        let missing = START_OCTETS.saturating_sub(self.part.len());
        self.part.extend_from_slice(input.get(..missing).unwrap_or(input));
        self.part.truncate(START_OCTETS);
        self.part.shrink_to_fit();
    }
}

/// The line that `input` begins with, if nothing has to be said of it: the first octet that no line may hold is the CR of its CRLF.
fn whole_line(input: &[u8], limit: usize) -> Option<&[u8]> {
    let end = memchr3(b'\r', b'\n', 0, input)?;
    let (line, rest) = input.split_at_checked(end)?;
    (rest.starts_with(b"\r\n") && end.saturating_add(2) <= limit).then_some(line)
}

/// Where the first CRLF ends, if `input` follows a CR or not.
fn end_of_line(input: &[u8], mut last_cr: bool) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = input.get(from..)?;
        let at = memchr(b'\n', rest)?;
        let cr = match at.checked_sub(1) {
            Some(before) => rest.get(before) == Some(&b'\r'),
            None => last_cr,
        };
        from = from.saturating_add(at).saturating_add(1);
        if cr {
            return Some(from);
        }
        last_cr = false;
    }
}

fn check(line: &[u8]) -> Result<&[u8], LineError> {
    let Some(offset) = memchr3(b'\r', b'\n', 0, line) else { return Ok(line) };
    Err(match line.get(offset) {
        Some(b'\r') => LineError::BareCarriageReturn { offset },
        Some(b'\n') => LineError::BareLineFeed { offset },
        _ => LineError::Nul { offset },
    })
}

/// Octets that are kept of a line that is too long: a verb of four letters, and what ends it.
const START_OCTETS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut cutter = LineCutter::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let Cut { used, line, .. } = cutter.cut(rest);
                found.extend(line.map(|line| line.map(<[u8]>::to_vec)));
                assert!(used > 0);
                rest = &rest[used..];
            }
            assert!(cutter.part.len() <= limit);
        }
        found
    }

    #[test]
    fn rfc5321_2_3_8_only_crlf_ends_a_line() {
        let input = b"one\r\ntwo\nx\r\nthree\rx\r\n\r\nfo\0ur\r\nfive\r\r\nsix\r\n";
        let whole = lines(64, &[input]);
        assert_eq!(
            whole,
            [
                Ok(b"one".to_vec()),
                Err(LineError::BareLineFeed { offset: 3 }),
                Err(LineError::BareCarriageReturn { offset: 5 }),
                Ok(Vec::new()),
                Err(LineError::Nul { offset: 2 }),
                Err(LineError::BareCarriageReturn { offset: 4 }),
                Ok(b"six".to_vec()),
            ]
        );
        for at in 0..=input.len() {
            assert_eq!(lines(64, &[&input[..at], &input[at..]]), whole, "split at {at}");
        }
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(lines(64, &octets), whole);
    }

    #[test]
    fn rfc5321_4_5_3_1_4_a_line_too_long_is_skipped_and_the_next_one_found() {
        let mut input = vec![b'a'; 100];
        input.extend_from_slice(b"\n\r x\r\nnext\r\n12345678\r\n123456789\r\nend\r\n");
        let whole = lines(10, &[&input]);
        let long = Err(LineError::TooLong { limit: 10 });
        assert_eq!(whole, [long.clone(), Ok(b"next".to_vec()), Ok(b"12345678".to_vec()), long, Ok(b"end".to_vec())]);
        for at in 0..=input.len() {
            assert_eq!(lines(10, &[&input[..at], &input[at..]]), whole, "split at {at}");
        }
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(lines(10, &octets), whole);
    }

    #[test]
    fn text_lines_hold_no_controls() {
        assert_eq!(TextLine::new("a b").map(|t| t.to_string()).as_deref(), Some("a b"));
        for wrong in ["", " a", "a ", "a\r\nb", "a\0b", "a\u{85}b"] {
            assert_eq!(TextLine::new(wrong), None, "{wrong:?}");
        }
    }

    /// What `is_plain` waves through has to be what the closer look lets pass; and all of ASCII needs no closer look.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let pieces: Vec<char> = (0..=127_u8).map(char::from).chain(['ü', '\u{85}', '\u{3000}']).collect();
        for first in &pieces {
            for second in &pieces {
                for text in [format!("{first}{second}"), format!("a{first}{second}b"), format!("{first}")] {
                    assert_eq!(is_plain(text.as_bytes()), text.is_ascii() && fits(&text), "{text:?}");
                }
            }
        }
        assert!(!is_plain(b"") && !fits(""));
    }

    #[test]
    fn printable_is_printable_wherever_it_stands() {
        assert!(is_printable(b""));
        for octet in 0..=u8::MAX {
            for length in 1..20 {
                for place in 0..length {
                    for filling in [b' ', b'~', 0x20 | b'a'] {
                        let mut text = vec![filling; length];
                        text[place] = octet;
                        let expected = if (0x20..0x7f).contains(&octet) { length } else { place };
                        assert_eq!(printable_octets(&text), expected, "{octet:#x} at {place} of {length}");
                        text.push(octet.wrapping_add(1));
                        text.insert(place, octet);
                        assert_eq!(is_printable(&text), text.iter().all(|octet| (0x20..0x7f).contains(octet)), "{text:?}");
                    }
                }
            }
        }
    }
}
