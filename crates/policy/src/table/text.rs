//! Short texts, kept in place.

use std::fmt;

/// A text that lies where it is kept if it is short, as names nearly always are: reading it costs no further access to memory.
#[derive(Clone)]
pub(crate) struct Text(Kept);

#[derive(Clone)]
enum Kept {
    Here { octets: [u8; HERE], len: u8 },
    Elsewhere(Box<str>),
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let mut octets = [0; HERE];
        match (octets.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(here), Ok(len)) => {
                here.copy_from_slice(text.as_bytes());
                Self(Kept::Here { octets, len })
            }
            _ => Self(Kept::Elsewhere(text.into())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            // It was copied from a text, so that it is one.
            Kept::Here { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Kept::Elsewhere(text) => text,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Here { octets, len } => octets.get(..usize::from(*len)).unwrap_or_default(),
            Kept::Elsewhere(text) => text.as_bytes(),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Octets of a text that is kept in place.
const HERE: usize = 38;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_what_it_was() {
        for len in [0, 1, HERE - 2, HERE - 1, HERE, HERE + 1, 255, 256, 300] {
            for text in ["x".repeat(len), "ü".repeat(len / 2)] {
                let kept = Text::new(&text);
                assert_eq!((kept.as_str(), kept.as_bytes(), format!("{kept:?}")), (&*text, text.as_bytes(), format!("{text:?}")));
                assert_eq!(matches!(kept.0, Kept::Here { .. }), text.len() <= HERE);
            }
        }
        assert_eq!(size_of::<Text>(), 40);
    }
}
