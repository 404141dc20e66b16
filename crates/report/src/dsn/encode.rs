//! Text into what a message may carry: lines of ASCII of limited length, and nothing that ends one early.

use std::fmt::Write as _;

/// Writes a field, folded. Line breaks and control characters in the value become spaces: no value can start a line
/// of its own. What is not of ASCII is shown as `?`.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    put(out, name, &to_ascii(value));
}

/// The same with UTF-8 as it is.
///
/// # Wire
/// RFC 6532 section 3.2, RFC 6533 section 4.
pub(super) fn global_field(out: &mut Vec<u8>, name: &str, value: &str) {
    put(out, name, &value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>());
}

fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut column = name.len() + 1;
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut first = true;
    for word in value.split_ascii_whitespace() {
        for piece in pieces(word) {
            if !first && column + 1 + piece.len() > LINE_COLUMNS {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            out.extend_from_slice(piece.as_bytes());
            column += 1 + piece.len();
            first = false;
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The text with control characters as spaces and what is beyond ASCII as `?`.
pub(super) fn to_ascii(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            ' '..='~' => c,
            c if c.is_ascii() => ' ',
            _ => '?',
        })
        .collect()
}

/// An address of its type, `rfc822; bob@bank.example`. For `utf-8` what is beyond printable ASCII is written as `\x{...}`, unless
/// UTF-8 may stand there as it is.
///
/// # Wire
/// RFC 3464 section 2.3.1, RFC 6533 section 3 (`utf-8-addr-xtext`, `utf-8-addr-unitext`).
pub(super) fn typed_address(kind: &str, address: &str, global: bool) -> String {
    if global || !kind.eq_ignore_ascii_case("utf-8") {
        return format!("{kind}; {address}");
    }
    let mut text = format!("{kind}; ");
    for c in address.chars() {
        if matches!(c, '!'..='~') && !matches!(c, '+' | '=' | '\\') {
            text.push(c);
        } else {
            let _ = write!(text, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    text
}

/// The text as it is, or as encoded words if it is not of ASCII.
///
/// # Wire
/// RFC 2047 section 4.2 ("Q"), with only what may stand in a phrase left as it is (section 5).
pub(super) fn encoded_words(text: &str) -> String {
    if text.chars().all(|c| matches!(c, ' '..='~')) {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let mut code = String::new();
        match c {
            ' ' => code.push('_'),
            c if c.is_ascii_alphanumeric() => code.push(c),
            c => {
                let mut buffer = [0; 4];
                for octet in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(code, "={octet:02X}");
                }
            }
        }
        if word.len() + code.len() > ENCODED_OCTETS {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&code);
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect::<Vec<_>>().join(" ")
}

/// A line of text as lines of a message: control characters become spaces, long lines are broken at spaces with the
/// indentation kept.
pub(super) fn wrap(line: &str) -> String {
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let indent: String = clean.chars().take_while(|c| *c == ' ').collect();
    let mut out = indent.clone();
    let mut column = indent.len();
    let mut first = true;
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        for piece in pieces(word) {
            let width = piece.chars().count();
            if !first && column + 1 + width > LINE_COLUMNS {
                out.push_str("\r\n");
                out.push_str(&indent);
                column = indent.len();
            } else if !first {
                out.push(' ');
                column += 1;
            }
            out.push_str(piece);
            column += width;
            first = false;
        }
    }
    if first { "\r\n".to_owned() } else { out + "\r\n" }
}

/// A word in pieces short enough for a line.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len().min(WORD_OCTETS);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, left) = rest.split_at(end);
        rest = left;
        Some(piece)
    })
}

/// Octets as quoted-printable; CRLF stays a line break, everything else that is not plain is encoded.
///
/// # Wire
/// RFC 2045 section 6.7.
pub(super) fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 4);
    let mut column = 0;
    let mut rest = octets;
    while let Some((&octet, after)) = rest.split_first() {
        if let Some(next) = rest.strip_prefix(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            rest = next;
            continue;
        }
        let at_line_end = after.is_empty() || after.starts_with(b"\r\n");
        // A space at the end of a line would be lost on the way.
        let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (matches!(octet, b' ' | b'\t') && !at_line_end);
        let width = if plain { 1 } else { 3 };
        if column + width > QUOTED_COLUMNS {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(octet);
        } else {
            out.push(b'=');
            out.extend([octet >> 4, octet & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
        }
        column += width;
        rest = after;
    }
    out
}

/// Whether it is lines of ASCII as they may stand in any message: no NUL, CR and LF only together, none too long.
pub(super) fn is_plain(octets: &[u8]) -> bool {
    octets.is_ascii() && is_lines(octets)
}

/// Whether it is lines as they may stand in a message that is sent with 8BITMIME.
pub(super) fn is_lines(octets: &[u8]) -> bool {
    let mut lines = octets.split(|octet| *octet == b'\n');
    // What stands behind the last LF has no line end, and needs none.
    let last = lines.next_back().unwrap_or_default();
    let is_text = |text: &[u8]| text.len() <= TEXT_OCTETS && text.iter().all(|octet| !matches!(octet, 0 | b'\r'));
    is_text(last) && lines.all(|line| line.strip_suffix(b"\r").is_some_and(is_text))
}

/// Columns of a line that people read, RFC 5322 section 2.1.1.
const LINE_COLUMNS: usize = 76;

/// Columns of a line of quoted-printable, the soft line break's `=` not counted.
const QUOTED_COLUMNS: usize = 75;

/// Octets of text in one encoded word, so that all of it stays within 75.
const ENCODED_OCTETS: usize = 60;

/// Octets of a word that is not broken.
const WORD_OCTETS: usize = 900;

/// Octets of a line without its CRLF, RFC 5322 section 2.1.1.
const TEXT_OCTETS: usize = 998;
