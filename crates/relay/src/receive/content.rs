//! What the relay learns of a message while its body streams through.

/// Watches the pieces of one body: counts Received fields, and notes octets beyond ASCII.
///
/// The pieces may be cut anywhere. Only the header section is looked at line by line; the rest is scanned for octets
/// beyond ASCII and not looked at again.
#[derive(Debug, Default)]
pub(crate) struct ContentWatch {
    received: usize,
    non_ascii: bool,
    header_done: bool,
    /// The start of the current header line, as far as the field's name can reach.
    line: Vec<u8>,
    line_length: usize,
}

impl ContentWatch {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.non_ascii = self.non_ascii || !piece.is_ascii();
        let mut rest = piece;
        while !self.header_done && !rest.is_empty() {
            let end = rest.iter().position(|&b| b == b'\n');
            let (part, next) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            let room = RECEIVED.len().saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            self.line_length += part.len();
            if end.is_some() {
                self.end_line();
            }
            rest = next;
        }
    }

    fn end_line(&mut self) {
        self.header_done = self.line_length <= 2;
        self.received += usize::from(self.line.eq_ignore_ascii_case(RECEIVED));
        self.line.clear();
        self.line_length = 0;
    }

    /// How often the message was relayed, by its Received fields (RFC 5321 section 6.3).
    pub(crate) fn received_fields(&self) -> usize {
        self.received
    }

    /// Whether any octet lies beyond ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        !self.non_ascii
    }
}

const RECEIVED: &[u8] = b"received:";

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Received: from a\r\n\tby b\r\nrEcEiVeD: from c\r\nX-Received: no\r\nSubject: x\r\n\r\nReceived: body\r\n";

    #[test]
    fn rfc5321_6_3_only_header_fields_count_however_the_body_is_cut() {
        for cut in 0..MESSAGE.len() {
            let mut watch = ContentWatch::default();
            watch.push(&MESSAGE[..cut]);
            watch.push(&MESSAGE[cut..]);
            assert_eq!((watch.received_fields(), watch.is_ascii()), (2, true), "cut at {cut}");
        }
    }

    #[test]
    fn octets_beyond_ascii_are_noted_anywhere() {
        let mut watch = ContentWatch::default();
        watch.push(b"Subject: x\r\n\r\nplain\r\n");
        assert!(watch.is_ascii());
        watch.push("ü\r\n".as_bytes());
        assert!(!watch.is_ascii());
    }
}
