//! Texts that are words with one separator between each: what nearly every local part and every domain is.
//!
//! What passes here needs no closer look. What does not may still be right, and is looked at character by character.

/// What each octet is in a text of words: one of the classes below.
pub(crate) type Classes = [u8; 256];

/// The table in which the octets of `words` and `separators` are what they are called, and all others are none of it.
pub(crate) const fn classes(words: &[u8], separators: &[u8]) -> Classes {
    let mut table = [OTHER; 256];
    fill(&mut table, words, WORD);
    fill(&mut table, separators, SEPARATOR);
    table
}

#[allow(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while the program is built, never at run time")]
const fn fill(table: &mut Classes, octets: &[u8], class: u8) {
    let mut at = 0;
    while at < octets.len() {
        table[octets[at] as usize] = class;
        at += 1;
    }
}

/// Whether `octets` are words with exactly one separator between each, and none at either end.
pub(crate) fn are_words(octets: &[u8], classes: &Classes) -> bool {
    // Without a branch for an octet, so that several are looked at side by side.
    let (mut wrong, mut before) = (0, SEPARATOR);
    for octet in octets {
        let class = classes.get(usize::from(*octet)).copied().unwrap_or(OTHER);
        wrong |= class & (before | OTHER);
        before = class;
    }
    wrong == 0 && before == WORD
}

/// How many octets of the beginning are such words, up to the first that is neither word nor separator.
///
/// Nothing if there is no word, or if separators stand together or at either end.
pub(crate) fn length_of_words(octets: &[u8], classes: &Classes) -> Option<usize> {
    let mut in_word = false;
    for (at, octet) in octets.iter().enumerate() {
        match classes.get(usize::from(*octet)).copied() {
            Some(WORD) => in_word = true,
            Some(SEPARATOR) if in_word => in_word = false,
            Some(OTHER) if in_word => return Some(at),
            _ => return None,
        }
    }
    in_word.then_some(octets.len())
}

/// Part of a word.
const WORD: u8 = 0;

/// What may stand between two words. A bit of its own, as the next.
const SEPARATOR: u8 = 1;

/// Anything else.
const OTHER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_stand_alone_and_between_words() {
        const CLASSES: Classes = classes(b"ab", b".-");
        for right in ["a", "ab", "a.b", "a-b.a", "aa.bb-ab"] {
            assert!(are_words(right.as_bytes(), &CLASSES), "{right}");
        }
        for wrong in ["", ".", "a.", ".a", "a..b", "a.-b", "-", "ac", "a b", "ä", "a\0"] {
            assert!(!are_words(wrong.as_bytes(), &CLASSES), "{wrong}");
        }
        for (text, length) in [("a@b", Some(1)), ("a.b@@", Some(3)), ("a.@", None), ("@", None), ("", None), ("ab", Some(2))] {
            assert_eq!(length_of_words(text.as_bytes(), &CLASSES), length, "{text}");
        }
    }
}
