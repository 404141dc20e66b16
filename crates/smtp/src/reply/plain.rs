//! Replies as nearly every server sends them: whole, of ASCII, with the same code and status on each line.
//!
//! Octets that are otherwise are not wrong for that: [`super::reader`] reads them line by line, and says what is wrong with them if
//! something is. What is read here is read the same there.

use std::borrow::Cow;

use sealpost_types::{EnhancedStatus, ReplyCode};

use super::{Reply, is_short};
use crate::line::printable_octets;

/// The reply that `input` begins with and how many octets it takes, if a short look is enough for it.
pub(super) fn reply(input: &[u8], line_limit: usize, lines_limit: usize) -> Option<(usize, Reply)> {
    let (digits, _) = input.split_first_chunk::<3>()?;
    let code = code(*digits)?;
    let (mut rest, mut lines, mut text) = (input, 0_usize, Vec::new());
    let mut status = None;
    loop {
        let (line, behind) = rest.split_at_checked(printable_octets(rest))?;
        let [a, b, c, part @ (b' ' | b'-'), words @ ..] = line else { return None };
        if [*a, *b, *c] != *digits || lines >= lines_limit || line.len().saturating_add(2) > line_limit {
            return None;
        }
        rest = behind.strip_prefix(b"\r\n")?;
        let (found, words) = split_status(words)?;
        let is_last = *part == b' ';
        if lines == 0 {
            status = found;
            text = Vec::with_capacity(words.len().saturating_add(if is_last { 0 } else { rest.len().min(RESERVED_OCTETS) }));
        } else {
            if status != found {
                return None;
            }
            text.push(b'\n');
        }
        text.extend_from_slice(words);
        lines = lines.saturating_add(1);
        if is_last {
            let used = input.len().saturating_sub(rest.len());
            // All of it at once is checked several octets at a time; it cannot fail.
            let text = String::from_utf8(text).ok().filter(|text| is_short(text))?;
            return Some((used, Reply { code, status, text: Cow::Owned(text) }));
        }
    }
}

/// The code of three digits.
pub(super) fn code(digits: [u8; 3]) -> Option<ReplyCode> {
    let [hundreds, tens, ones] = digits.map(|octet| u16::from(octet.wrapping_sub(b'0')));
    if hundreds > 9 || tens > 9 || ones > 9 { None } else { ReplyCode::new(hundreds * 100 + tens * 10 + ones) }
}

/// The status that a line begins with, if it has one of three digits, and the words behind it; nothing if it might have another.
fn split_status(line: &[u8]) -> Option<(Option<EnhancedStatus>, &[u8])> {
    match line {
        [class @ (b'2' | b'4' | b'5'), b'.', subject @ b'0'..=b'9', b'.', detail @ b'0'..=b'9', b' ', words @ ..] => {
            let digit = |octet: u8| octet.wrapping_sub(b'0');
            let status = EnhancedStatus::new(digit(*class), digit(*subject).into(), digit(*detail).into())?;
            Some((Some(status), words))
        }
        [b'2' | b'4' | b'5', b'.', ..] => None,
        _ => Some((None, line)),
    }
}

/// Octets that the first of several lines takes memory for, for those that have come with it.
const RESERVED_OCTETS: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::reader::line_by_line;
    use super::*;

    /// Whatever is read here has to be what is read line by line: of pieces that matter, in every order.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let pieces = [
            "250 ", "250-", "251-", "550 ", "354 ", "250\r\n", "199 ", "2.1.0 ", "2.1.0", "5.1.10 ", "4.0.0 ", "2.01.0 ", "SIZE 9", "ü",
            "\u{85}", "\t", "\r\n", "\n", "\r", " ",
        ];
        let (line, lines) = (24, 3);
        let mut read = 0;
        for start in ["250-", "250 2.1.0 ", "550-5.7.1 a\r\n550-", "250-a\r\n250-b\r\n"] {
            for number in 0..pieces.len().pow(4) {
                let piece = |place: u32| pieces[number / pieces.len().pow(place) % pieces.len()];
                let wire = [start, piece(0), piece(1), piece(2), piece(3), "\r\n"].concat();
                if let Some(found) = reply(wire.as_bytes(), line, lines) {
                    read += 1;
                    assert_eq!(line_by_line(wire.as_bytes(), line, lines), Ok(Some(found)), "{wire:?}");
                }
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn what_nearly_every_server_says_needs_no_closer_look() {
        for wire in [
            "220 mx.example ESMTP\r\n",
            "250 2.1.0 ok\r\n",
            "250-mx.example\r\n250-SIZE 1\r\n250 DSN\r\n",
            "550-5.7.1 a\r\n550 5.7.1 b\r\n",
        ] {
            assert!(reply(wire.as_bytes(), 512, 9).is_some_and(|(used, _)| used == wire.len()), "{wire}");
        }
        for text in ["a".repeat(600), "a".repeat(494), "a".repeat(495)] {
            let (used, found) = (text.len() + 6, line_by_line(format!("250 {text}\r\n").as_bytes(), 2048, 9));
            let short = reply(format!("250 {text}\r\n").as_bytes(), 2048, 9);
            assert!(short.is_none() || found == Ok(short.clone()), "{used}");
        }
    }
}
