//! From content to the wire.

use sealpost_types::Octets;

use super::DOT_LINE;

/// How the body of a transaction has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "SMTP has these two ways and no other")]
pub enum BodyTransfer {
    /// Through a [`DataEncoder`], whose end has to be written too.
    Data,
    /// As it is, exactly this many octets.
    Bdat(Octets),
}

/// Puts the dots in: writes content of any size as DATA wants it, into the caller's buffer, with one copy.
///
/// It does not look for bare CR and LF: content has to have passed a [`crate::BodyCheck`] or a
/// [`crate::DataScanner`], as everything that a server session accepts has.
///
/// # Wire
/// RFC 5321 section 4.5.2.
///
/// # Example
/// ```
/// # use sealpost_smtp::DataEncoder;
/// let (mut encoder, mut wire) = (DataEncoder::new(), Vec::new());
/// encoder.encode(b"one\r\n.two", &mut wire);
/// encoder.finish(&mut wire);
/// assert_eq!(wire, b"one\r\n..two\r\n.\r\n");
/// ```
#[derive(Clone, Debug)]
pub struct DataEncoder {
    after: After,
}

/// What the content so far ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// A CRLF, or there is none yet.
    LineEnd,
    /// A CR.
    Cr,
    /// Anything else.
    Other,
}

impl Default for DataEncoder {
    fn default() -> Self {
        Self { after: After::LineEnd }
    }
}

impl DataEncoder {
    /// An encoder that stands before the first octet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `content` to `out`, a dot put before each dot that begins a line.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        if content.is_empty() {
            return;
        }
        out.reserve(content.len().saturating_add(SPARE_OCTETS));
        let mut rest = content;
        if self.after == After::LineEnd && content.starts_with(b".") {
            out.push(b'.');
        } else if self.after == After::Cr && content.starts_with(b"\n.") {
            out.extend_from_slice(b"\n.");
            rest = content.get(1..).unwrap_or_default();
        }
        while let Some((line, next)) = DOT_LINE.find(rest).and_then(|at| rest.split_at_checked(at.saturating_add(2))) {
            out.extend_from_slice(line);
            out.push(b'.');
            rest = next;
        }
        out.extend_from_slice(rest);
        self.after = match content {
            [.., b'\r', b'\n'] => After::LineEnd,
            [b'\n'] if self.after == After::Cr => After::LineEnd,
            [.., b'\r'] => After::Cr,
            _ => After::Other,
        };
    }

    /// Appends the end of the data, and the CRLF before it if the content lacks it.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.after {
            After::LineEnd => {}
            After::Cr => out.push(b'\n'),
            After::Other => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// Room kept for dots and the end, so that most pieces need one allocation.
const SPARE_OCTETS: usize = 64;
