//! What can be wrong with a policy document.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{Blame, DomainError, Hop, Level, NextHopError, Retry};

use crate::pattern::PatternError;

/// Everything that is wrong with one document, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(Vec<PolicyError>);

/// One thing that is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// The name of the document.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong. `Display` says what was found, [`Problem::remedy`] what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It is no TOML.
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that nothing reads.
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it stands in.
        table: &'static str,
        /// The keys that may stand there.
        allowed: &'static [&'static str],
    },
    /// A value of another type.
    WrongType {
        /// The key.
        key: String,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A key that must be there is not.
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table that lacks it.
        table: &'static str,
    },
    /// A list, or a text, of nothing.
    Empty {
        /// The key.
        key: &'static str,
        /// What must stand there.
        expected: &'static str,
    },
    /// A word that is none of those that may stand there.
    UnknownWord {
        /// The key.
        key: String,
        /// The word.
        found: String,
        /// The words that may stand there.
        allowed: &'static [&'static str],
    },
    /// A level without a meaning on this hop.
    LevelOnHop {
        /// The level.
        level: Level,
        /// The hop.
        hop: Hop,
    },
    /// A key without a meaning on this hop.
    KeyOnHop {
        /// The key.
        key: String,
        /// The hop.
        hop: Hop,
        /// The keys that have one.
        allowed: &'static [&'static str],
    },
    /// A key without a meaning at the level that holds there.
    KeyAtLevel {
        /// The key.
        key: &'static str,
        /// The level.
        level: Level,
        /// Whether the level stands in another entry or in a default.
        inherited: bool,
    },
    /// No length of time.
    Duration {
        /// The key.
        key: &'static str,
        /// What was found.
        found: String,
    },
    /// No pattern.
    Pattern {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: PatternError,
    },
    /// No name that a certificate can have.
    CertificateName {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: DomainError,
    },
    /// No next hop.
    Route {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: NextHopError,
    },
    /// The name of a partner with a control character, or too long.
    PartnerName {
        /// Its length in characters.
        characters: usize,
    },
    /// A hosted domain that is every domain.
    EveryDomainHosted {
        /// The pattern.
        found: String,
    },
    /// Two `[[domain]]` with one name.
    HostedTwice {
        /// The name.
        name: String,
        /// Where it stands first.
        first_line: u32,
    },
    /// A hosted domain that is a partner as well.
    HostedAndPartner {
        /// The name.
        name: String,
        /// Where the `[[domain]]` stands.
        domain_line: u32,
    },
    /// More entries than can be counted.
    TooManyEntries,
}

impl PolicyErrors {
    pub(crate) fn new(errors: Vec<PolicyError>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// Each of them, in the order of the lines.
    pub fn iter(&self) -> std::slice::Iter<'_, PolicyError> {
        self.0.iter()
    }

    /// Whoever wrote the document.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Never, until the document is changed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl<'a> IntoIterator for &'a PolicyErrors {
    type Item = &'a PolicyError;
    type IntoIter = std::slice::Iter<'a, PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Problem {
    /// What would be right, in words.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Syntax { .. } => "the file is TOML: https://toml.io".to_owned(),
            Self::UnknownKey { key, allowed, .. } => suggest(key, allowed),
            Self::UnknownWord { found, allowed, .. } => suggest(found, allowed),
            Self::WrongType { expected, .. } | Self::Empty { expected, .. } => format!("write {expected}"),
            Self::MissingKey { key, table } => match (*key, *table) {
                ("name", _) => "add name = \"example.org\"".to_owned(),
                (key, _) => format!("add {key} = [\"example.org\"]"),
            },
            Self::LevelOnHop { level: Level::Verify, hop: Hop::Receive } => {
                "client certificates are not asked for yet; write \"require\" or \"opportunistic\"".to_owned()
            }
            Self::LevelOnHop { hop, .. } => format!("write one of {}", Words(levels_of(*hop))),
            Self::KeyOnHop { allowed, .. } => format!("allowed here: {}", allowed.join(", ")),
            Self::KeyAtLevel { key: "min_version", .. } => "leave it out, or write a level that uses TLS".to_owned(),
            Self::KeyAtLevel { .. } => "leave it out, or write level = \"verify\" beside it".to_owned(),
            Self::Duration { .. } => "write a whole number above 0 with its unit: \"30s\", \"90m\", \"36h\" or \"7d\"".to_owned(),
            Self::Pattern { .. } => "write example.org, *.example.org or *".to_owned(),
            Self::CertificateName { .. } => "write mx.example.org, *.example.org or an IP address".to_owned(),
            Self::Route { .. } => "write host.example:25, 192.0.2.1:25, [2001:db8::1]:25 or mx:example.org".to_owned(),
            Self::PartnerName { .. } => {
                format!("write up to {PARTNER_NAME_CHARACTERS} characters, without line breaks and other control characters")
            }
            Self::EveryDomainHosted { .. } => {
                "a relay that hosts every domain relays for everybody; name the domains that are yours".to_owned()
            }
            Self::HostedTwice { .. } => "keep one of the two entries".to_owned(),
            Self::HostedAndPartner { .. } => "a partner is somebody else's domain: remove one of the two".to_owned(),
            Self::TooManyEntries => "keep fewer than 2147483648 entries".to_owned(),
        }
    }
}

impl Problem {
    /// Whether a line that is no TOML may be the whole cause: a header or a key that was not seen.
    pub(crate) fn may_follow(&self) -> bool {
        matches!(self, Self::MissingKey { .. } | Self::UnknownKey { table: ROOT, .. } | Self::KeyAtLevel { inherited: true, .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } => write!(f, "not TOML: {message}"),
            Self::UnknownKey { key, table, .. } => write!(f, "unknown key {key:?} in {table}"),
            Self::WrongType { key, found, .. } => write!(f, "{key} is {found}"),
            Self::MissingKey { key, table } => write!(f, "{table} has no {key}"),
            Self::Empty { key, .. } => write!(f, "{key} is empty"),
            Self::UnknownWord { key, found, .. } => write!(f, "{key} is {found:?}"),
            Self::LevelOnHop { level, hop } => write!(f, "the level \"{level}\" has no meaning on the {hop} hop"),
            Self::KeyOnHop { key, hop, .. } => write!(f, "{key} has no meaning on the {hop} hop"),
            Self::KeyAtLevel { key, level, inherited: false } => write!(f, "{key} has no meaning at level \"{level}\""),
            Self::KeyAtLevel { key, level, inherited: true } => {
                write!(f, "{key} has no meaning at level \"{level}\", which holds here by another entry or a default")
            }
            Self::Duration { key, found } => write!(f, "{key} is {found:?}, which is no length of time"),
            Self::Pattern { found, cause } => write!(f, "{found:?} is no domain pattern: {cause}"),
            Self::CertificateName { found, cause } => write!(f, "{found:?} is no certificate name: {cause}"),
            Self::Route { found, cause } => write!(f, "the route {found:?} is no next hop: {cause}"),
            Self::PartnerName { characters } => {
                write!(f, "the partner's name has control characters, or too many characters ({characters})")
            }
            Self::EveryDomainHosted { found } => write!(f, "the hosted domain {found:?} is every domain"),
            Self::HostedTwice { name, first_line } => write!(f, "the domain {name:?} is hosted already, by line {first_line}"),
            Self::HostedAndPartner { name, domain_line } => {
                write!(f, "the partner's domain {name:?} is hosted here, by line {domain_line}")
            }
            Self::TooManyEntries => f.write_str("too many entries"),
        }
    }
}

/// `policy.toml:12:8: what was found; what would be right`.
impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; {}", self.file, self.line, self.column, self.problem, self.problem.remedy())
    }
}

/// One line each.
impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}
impl std::error::Error for PolicyErrors {}

/// The levels with a meaning on a hop.
pub(crate) fn levels_of(hop: Hop) -> &'static [&'static str] {
    match hop {
        Hop::Receive => &["opportunistic", "require"],
        Hop::Deliver => &["none", "mirror", "opportunistic", "require", "verify"],
    }
}

struct Words(&'static [&'static str]);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            write!(f, "{}\"{word}\"", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn suggest(found: &str, allowed: &'static [&'static str]) -> String {
    let near = allowed.iter().map(|word| (distance(&found.to_lowercase(), word), word)).min();
    match near {
        // A third of the word may be wrong; beyond that a suggestion is a guess.
        Some((steps, word)) if steps <= 1 + word.len() / 3 => format!("did you mean \"{word}\"? Allowed: {}", allowed.join(", ")),
        _ => format!("allowed: {}", allowed.join(", ")),
    }
}

/// How many letters must be changed, added, taken away or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let first: Vec<usize> = (0..=b.len()).collect();
    let (mut before, mut above) = (first.clone(), first);
    let mut previous = None;
    // Words of the file are short; a very long one is no near miss of any.
    for (row, letter) in a.chars().take(WORD_CHARACTERS).enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        for (column, other) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut steps = (at(&above, column) + usize::from(letter != *other)).min(at(&above, column + 1) + 1).min(left + 1);
            let swapped = column > 0 && previous == Some(*other) && b.get(column - 1) == Some(&letter);
            if swapped {
                steps = steps.min(at(&before, column - 1) + 1);
            }
            current.push(steps);
            left = steps;
        }
        before = std::mem::replace(&mut above, current);
        previous = Some(letter);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

/// Characters in the name of a partner: it is quoted in SMTP replies, whose lines are short.
pub(crate) const PARTNER_NAME_CHARACTERS: usize = 100;

/// What an error calls the top of the document.
pub(crate) const ROOT: &str = "the document";

const WORD_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested() {
        assert_eq!(distance("recieve", "receive"), 1);
        assert_eq!(distance("delivr", "deliver"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert!(suggest("recieve", &["deliver", "receive"]).starts_with("did you mean \"receive\"?"));
        assert!(suggest("REQUIRE", &["require"]).starts_with("did you mean"));
        assert_eq!(suggest("colour", &["deliver", "receive"]), "allowed: deliver, receive");
    }
}
