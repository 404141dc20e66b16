//! Randomness for jitter and load sharing; nothing secret rests on it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A number that nobody can foresee well enough to synchronise on.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The jitter that a retry schedule takes.
pub(crate) fn jitter() -> u16 {
    let [low, high, ..] = number().to_le_bytes();
    u16::from_le_bytes([low, high])
}
