//! What is wrong with a cipher setting.

use std::borrow::Cow;
use std::fmt;

use sealpost_types::{Blame, Retry};

use crate::lack::Lack;
use crate::suite::Suite;

/// Why a text is no cipher setting, or none that leaves anything. Columns are counted in characters, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherError {
    /// The text is too long.
    TooLong {
        /// Its octets.
        octets: usize,
        /// How many are read.
        limit: usize,
    },
    /// A character that stands in no cipher string.
    Character {
        /// The character.
        found: char,
        /// Its column.
        column: usize,
    },
    /// A term in which a word is missing: `ECDHE+`, `!`.
    NoWord {
        /// The term.
        term: String,
        /// Its column.
        column: usize,
    },
    /// A word that names no suites.
    UnknownWord {
        /// The term that it stands in.
        term: String,
        /// The word.
        word: String,
        /// The term's column.
        column: usize,
        /// A word that is written much like it.
        close: Option<&'static str>,
    },
    /// A term with `@` that is neither `@STRENGTH` nor `@SECLEVEL=n`.
    UnknownCommand {
        /// The term.
        term: String,
        /// Its column.
        column: usize,
    },
    /// `DEFAULT` or a profile behind another term, or as a part of one.
    MisplacedBase {
        /// The word.
        word: &'static str,
        /// The term's column.
        column: usize,
    },
    /// A suite that is none of TLS 1.3, where only these have a meaning.
    NotTls13 {
        /// What stands there.
        found: String,
        /// Its place in the list, from 1.
        number: usize,
    },
    /// Nothing that it names can be used.
    NothingUsable {
        /// The setting.
        text: String,
        /// What it names, and why that cannot be used.
        lacking: Vec<(&'static Suite, Lack)>,
    },
}

impl CipherError {
    /// The column of what is wrong, where it is one place of the text.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Character { column, .. }
            | Self::NoWord { column, .. }
            | Self::UnknownWord { column, .. }
            | Self::UnknownCommand { column, .. }
            | Self::MisplacedBase { column, .. } => Some(*column),
            Self::TooLong { .. } | Self::NotTls13 { .. } | Self::NothingUsable { .. } => None,
        }
    }

    /// What would be right.
    #[must_use]
    pub fn remedy(&self) -> Cow<'static, str> {
        match self {
            Self::TooLong { limit, .. } => format!("at most {limit} octets are read").into(),
            Self::Character { .. } => "a colon is meant between terms".into(),
            Self::NoWord { .. } => "a word such as AESGCM is meant behind the sign".into(),
            Self::UnknownWord { close: Some(close), .. } => format!("{close} is meant?").into(),
            Self::UnknownWord { .. } => "a word such as ECDHE or AESGCM, or the name of a suite is meant".into(),
            Self::UnknownCommand { .. } => "@STRENGTH, or @SECLEVEL=0 to @SECLEVEL=5 is meant".into(),
            Self::MisplacedBase { .. } => "it is meant to be the first term, by itself".into(),
            Self::NotTls13 { .. } => format!("{} are there", TLS13_NAMES.join(", ")).into(),
            Self::NothingUsable { .. } => "ECDHE+AESGCM or ECDHE+CHACHA20 would leave some".into(),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl fmt::Display for CipherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = self.column() {
            write!(f, "column {column}: ")?;
        }
        match self {
            Self::TooLong { octets, .. } => write!(f, "the cipher string has {octets} octets"),
            Self::Character { found, .. } => write!(f, "{found:?} stands in no cipher string"),
            Self::NoWord { term, .. } => write!(f, "{term:?} lacks a word"),
            Self::UnknownWord { term, word, .. } if term == word => write!(f, "{word:?} is no word of a cipher string"),
            Self::UnknownWord { term, word, .. } => write!(f, "{word:?} in {term:?} is no word of a cipher string"),
            Self::UnknownCommand { term, .. } => write!(f, "{term:?} is no command"),
            Self::MisplacedBase { word, .. } => write!(f, "{word} has no meaning here"),
            Self::NotTls13 { found, number } => write!(f, "item {number}: {found:?} is no suite of TLS 1.3"),
            Self::NothingUsable { text, lacking } => {
                write!(f, "{text:?} leaves no cipher suite that can be used: ")?;
                explain(lacking, f)
            }
        }
    }
}

/// The reasons why these suites cannot be used, each with some of them.
fn explain(lacking: &[(&'static Suite, Lack)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if lacking.is_empty() {
        return f.write_str("it names none");
    }
    let mut reasons: Vec<Lack> = lacking.iter().map(|(_, why)| *why).collect();
    reasons.sort();
    reasons.dedup();
    for (at, reason) in reasons.into_iter().enumerate() {
        let names: Vec<_> = lacking.iter().filter(|(_, why)| *why == reason).map(|(suite, _)| suite.openssl_name()).collect();
        let more = names.len().saturating_sub(NAMED);
        let shown = names.get(..NAMED).unwrap_or(&names).join(", ");
        write!(f, "{}{reason} ({shown}", if at == 0 { "" } else { "; " })?;
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        f.write_str(")")?;
    }
    Ok(())
}

impl std::error::Error for CipherError {}

/// How many suites an explanation names for each reason.
const NAMED: usize = 3;

const TLS13_NAMES: &[&str] = &["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];
