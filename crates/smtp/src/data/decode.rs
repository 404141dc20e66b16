//! From the wire to content.

use std::ops::Range;

use super::DOT_LINE;

/// Why a message is refused whatever it says: octets that another mail server may read as the end of a line.
///
/// # Wire
/// RFC 5321 section 2.3.8 (CR and LF only as CRLF) and 4.5.2; RFC 5321 section 4.1.1.4 (only CRLF.CRLF ends the data).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BodyFault {
    /// A CR that no LF follows.
    #[error("bare CR at octet {offset}")]
    BareCarriageReturn {
        /// Octets before it, dots and CRLFs as sent.
        offset: u64,
    },
    /// An LF that follows no CR.
    #[error("bare LF at octet {offset}")]
    BareLineFeed {
        /// Octets before it, dots and CRLFs as sent.
        offset: u64,
    },
    /// A NUL.
    #[error("NUL at octet {offset}")]
    Nul {
        /// Octets before it, dots and CRLFs as sent.
        offset: u64,
    },
}

/// Takes the dots out of DATA and finds its end, in place: what it gives are ranges of the input.
///
/// Pieces may be of any size: how they are cut never changes the content or the end.
///
/// # Wire
/// RFC 5321 section 4.5.2. Only CRLF.CRLF ends the data; a bare CR, a bare LF or a NUL is a [`BodyFault`], and from
/// there on no content is given, but the end is still found.
///
/// # Limits
/// Keeps a few octets of state, never content.
///
/// # Example
/// ```
/// # use sealpost_smtp::DataScanner;
/// let wire = b"one\r\n..two\r\n.\r\nQUIT\r\n";
/// let (mut scanner, mut content, mut at) = (DataScanner::new(), Vec::new(), 0);
/// loop {
///     let scan = scanner.scan(&wire[at..]);
///     content.extend_from_slice(&wire[at..][scan.content.clone()]);
///     at += scan.used;
///     if scan.ended { break }
/// }
/// assert_eq!(content, b"one\r\n.two\r\n");
/// assert_eq!(&wire[at..], b"QUIT\r\n");
/// assert_eq!(scanner.fault(), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct DataScanner {
    place: Place,
    check: BodyCheck,
}

/// What one step of [`DataScanner::scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// Content: this range of the input.
    pub content: Range<usize>,
    /// Octets of the input that are done with. The rest has to be given again.
    pub used: usize,
    /// Whether the data has ended.
    pub ended: bool,
}

/// Where in a line the next octet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Behind a CRLF, or at the very start.
    #[default]
    LineStart,
    /// Behind a dot that began a line: it is no content.
    Dot,
    /// Behind that dot and a CR.
    DotCr,
    /// Behind a CR that is content.
    Cr,
    /// Anywhere else.
    Middle,
}

impl DataScanner {
    /// A scanner that stands behind the reply 354.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes through `input` up to the next octet that is no content, or to its end.
    ///
    /// Once it has ended, everything that follows is left alone.
    pub fn scan(&mut self, input: &[u8]) -> Scan {
        let mut at = 0_usize;
        // What stands at the edge decides what the first octets are.
        while let Some(octet) = input.get(at).copied() {
            match (self.place, octet) {
                (Place::LineStart, b'.') => self.place = Place::Dot,
                (Place::Dot, b'\r') => self.place = Place::DotCr,
                (Place::DotCr, b'\n') => {
                    self.check.skip(1);
                    self.place = Place::LineStart;
                    let used = at.saturating_add(1);
                    return Scan { content: used..used, used, ended: true };
                }
                (Place::DotCr, _) => {
                    self.check.bare_cr_before();
                    self.place = Place::Middle;
                    continue;
                }
                (Place::LineStart | Place::Dot, _) => {
                    self.place = Place::Middle;
                    break;
                }
                (Place::Cr | Place::Middle, _) => break,
            }
            self.check.skip(1);
            at = at.saturating_add(1);
        }
        let rest = input.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Scan { content: at..at, used: at, ended: false };
        }
        let length = self.content_of(rest);
        let content = rest.get(..length).unwrap_or(rest);
        self.check.check(content);
        self.place = match content {
            [.., b'\r', b'\n'] => Place::LineStart,
            [b'\n'] if self.place == Place::Cr => Place::LineStart,
            [.., b'\r'] => Place::Cr,
            _ => Place::Middle,
        };
        let end = at.saturating_add(length);
        let content = if self.fault().is_some() { end..end } else { at..end };
        Scan { content, used: end, ended: false }
    }

    /// What is wrong with the data so far: the first such place.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        self.check.fault()
    }

    /// How many octets of `rest` stand before the next dot at the start of a line.
    fn content_of(&self, rest: &[u8]) -> usize {
        if self.place == Place::Cr && rest.starts_with(b"\n.") {
            return 1;
        }
        DOT_LINE.find(rest).map_or(rest.len(), |found| found.saturating_add(2))
    }
}

/// Looks for octets that no content may have, over pieces of any size.
///
/// # Example
/// ```
/// # use sealpost_smtp::{BodyCheck, BodyFault};
/// let mut check = BodyCheck::new();
/// check.check(b"one\r");
/// check.check(b"\ntwo\n");
/// assert_eq!(check.finish(), Some(BodyFault::BareLineFeed { offset: 8 }));
/// ```
#[derive(Clone, Debug, Default)]
pub struct BodyCheck {
    offset: u64,
    after_cr: bool,
    fault: Option<BodyFault>,
}

impl BodyCheck {
    /// A check that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next piece of content.
    pub fn check(&mut self, piece: &[u8]) {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return };
        let edge = self.after_cr != (*first == b'\n');
        if self.fault.is_none() && (edge || is_suspect(piece)) {
            self.fault = self.first_fault(piece);
        }
        self.after_cr = *last == b'\r';
        self.skip_octets(piece.len());
    }

    /// Passes over octets that are no content.
    fn skip(&mut self, octets: usize) {
        self.skip_octets(octets);
        self.after_cr = false;
    }

    fn skip_octets(&mut self, octets: usize) {
        self.offset = self.offset.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
    }

    /// The octet before this place is a CR, and it is bare.
    fn bare_cr_before(&mut self) {
        let offset = self.offset.saturating_sub(1);
        self.fault.get_or_insert(BodyFault::BareCarriageReturn { offset });
    }

    /// What is wrong with the content, which is at its end: a CR there is bare.
    #[must_use]
    pub fn finish(mut self) -> Option<BodyFault> {
        if self.after_cr {
            self.bare_cr_before();
        }
        self.fault
    }

    /// What is wrong with the content so far: the first such place.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault
    }

    fn first_fault(&self, piece: &[u8]) -> Option<BodyFault> {
        let mut after_cr = self.after_cr;
        for (octet, offset) in piece.iter().zip(self.offset..) {
            match octet {
                b'\n' if !after_cr => return Some(BodyFault::BareLineFeed { offset }),
                b'\n' => {}
                _ if after_cr => return Some(BodyFault::BareCarriageReturn { offset: offset.saturating_sub(1) }),
                0 => return Some(BodyFault::Nul { offset }),
                _ => {}
            }
            after_cr = *octet == b'\r';
        }
        None
    }
}

/// Whether a piece holds a NUL, or a CR and an LF that are not neighbours; its two ends are the caller's to judge.
///
/// One pass without branches, so that it runs at the width of the machine's vectors.
fn is_suspect(piece: &[u8]) -> bool {
    let next = piece.get(1..).unwrap_or_default();
    let mut bad = piece.last() == Some(&0);
    for (here, next) in piece.chunks(BLOCK_OCTETS).zip(next.chunks(BLOCK_OCTETS)) {
        // A NUL is known by the least octet: that takes fewer instructions than comparing each.
        let (mut alone, mut least) = (0_u8, u8::MAX);
        for (here, next) in here.iter().zip(next) {
            alone |= u8::from((*here == b'\r') != (*next == b'\n'));
            least = least.min(*here);
        }
        bad |= alone != 0 || least == 0;
    }
    bad
}

/// Octets that [`is_suspect`] folds into one flag.
const BLOCK_OCTETS: usize = 1024;
