//! Words that a policy takes, for those that write one.

/// Our own word for a level, whichever product's word is given.
pub(super) fn level(word: &str) -> Option<&'static str> {
    LEVELS.iter().find(|(own, others)| *own == word || others.contains(&word)).map(|(own, _)| *own)
}

/// Each level, and what else is read as it.
const LEVELS: &[(&str, &[&str])] = &[
    ("none", &["never"]),
    ("mirror", &[]),
    ("opportunistic", &["may", "try"]),
    ("require", &["encrypt", "relaxed"]),
    ("chain", &["trust"]),
    ("verify", &["strong", "secure"]),
    ("dane", &[]),
    ("dane-only", &[]),
    ("pinned", &["fingerprint"]),
];

/// The levels of the deliver hop.
pub(super) const DELIVER_LEVELS: &[&str] =
    &["none", "mirror", "opportunistic", "require", "chain", "verify", "dane", "dane-only", "pinned"];

/// The levels of the receive hop.
pub(super) const RECEIVE_LEVELS: &[&str] = &["opportunistic", "require", "chain", "verify", "pinned"];
