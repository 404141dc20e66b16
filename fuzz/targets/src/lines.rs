//! What holds for every text that leaves the programs.

/// Octets of a line in a message, without its end (RFC 5322 section 2.1.1).
const LINE_OCTETS: usize = 998;

/// A message: lines that end in CRLF and nothing else, none too long, no NUL.
pub(crate) fn check_message(message: &[u8]) {
    assert!(message.ends_with(b"\r\n"), "the last line has no end");
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("CRLF ends a line");
        assert!(text.len() <= LINE_OCTETS, "a line of {} octets", text.len());
        assert!(!text.iter().any(|octet| matches!(octet, b'\r' | 0)), "{:?}", String::from_utf8_lossy(text));
    }
}

/// A text for people: nothing in it steers a terminal; line ends and tabs are part of a text.
pub(crate) fn check_shown(text: &str) {
    let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(bad, None, "{text:?}");
}

/// An error: it says something, in one line that does not steer a terminal.
pub(crate) fn check_error(error: &impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty());
    check_shown(&text);
}
