//! A cipher string cut into terms.

use crate::choice::PROFILES;
use crate::error::CipherError;
use crate::suite::Suite;
use crate::word::{Strength, Word};

/// What a term does with the suites that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing before it: they are added at the end.
    Add,
    /// `+`: those that are there move to the end.
    MoveToEnd,
    /// `-`: they are taken away, and may come back.
    Remove,
    /// `!`: they are taken away for good.
    Kill,
}

#[derive(Debug)]
pub(crate) enum Term {
    /// `kRSA+FIPS`: an action, and words that must all fit.
    Suites(Action, Vec<Word>),
    /// `@STRENGTH`: what is there is sorted by the bits of its keys.
    SortByStrength,
    /// `@SECLEVEL=n`.
    SecurityLevel(u8),
}

/// Cuts a string into its terms.
pub(crate) fn terms(text: &str) -> Result<Vec<Term>, CipherError> {
    let mut terms = Vec::new();
    let mut rest = Rest { text, at: 0 };
    while let Some(found) = rest.peek() {
        if is_separator(found) {
            rest.skip(found);
            continue;
        }
        let start = rest.at;
        match rest.base() {
            Some((word, _)) if !terms.is_empty() => return Err(CipherError::MisplacedBase { word, column: column(text, start) }),
            Some((_, string)) => terms.extend(self::terms(string)?),
            None => terms.push(rest.term(start)?),
        }
    }
    Ok(terms)
}

/// Whether a suite answers to all words of a term.
pub(crate) fn fits(words: &[Word], suite: &Suite) -> bool {
    let mut strength: Option<Strength> = None;
    words.iter().all(|word| match word {
        Word::Alias(means) => means(suite),
        Word::Suite(named) | Word::RegistryName(named) => *named == suite,
        Word::Tls13(_) | Word::Nothing => false,
        Word::Strength(found) => *strength.get_or_insert(*found) == *found && found.has(suite),
    })
}

struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn skip(&mut self, found: char) {
        self.at = self.at.saturating_add(found.len_utf8());
    }

    fn word(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    /// A term that stands for a string of its own.
    fn base(&mut self) -> Option<(&'static str, &'static str)> {
        let mut ahead = Self { ..*self };
        let word = ahead.word();
        let found = PROFILES.iter().chain([&DEFAULT]).find(|(name, _)| *name == word).copied()?;
        self.at = ahead.at;
        Some(found)
    }

    fn term(&mut self, start: usize) -> Result<Term, CipherError> {
        let action = match self.peek() {
            Some('!') => Some(Action::Kill),
            Some('-') => Some(Action::Remove),
            Some('+') => Some(Action::MoveToEnd),
            Some('@') => {
                self.skip('@');
                return self.command(start);
            }
            _ => None,
        };
        if action.is_some() {
            self.at = self.at.saturating_add(1);
        }
        let mut words = Vec::new();
        loop {
            let word = self.word();
            if word.is_empty() {
                return Err(self.no_word(start));
            }
            if let Some((word, _)) = PROFILES.iter().chain([&DEFAULT]).find(|(name, _)| *name == word) {
                return Err(CipherError::MisplacedBase { word, column: column(self.text, start) });
            }
            let found = Word::find(word).ok_or_else(|| CipherError::UnknownWord {
                term: self.whole(start).to_owned(),
                word: word.to_owned(),
                column: column(self.text, start),
                close: Word::close_to(word),
            })?;
            words.push(found);
            if self.peek() != Some('+') {
                return Ok(Term::Suites(action.unwrap_or(Action::Add), words));
            }
            self.skip('+');
        }
    }

    fn command(&mut self, start: usize) -> Result<Term, CipherError> {
        let word = self.word();
        let level = word.strip_prefix("SECLEVEL=").and_then(|digits| digits.parse().ok()).filter(|level| *level <= HIGHEST_LEVEL);
        match (word, level) {
            ("STRENGTH", _) => Ok(Term::SortByStrength),
            (_, Some(level)) => Ok(Term::SecurityLevel(level)),
            _ => Err(CipherError::UnknownCommand { term: self.whole(start).to_owned(), column: column(self.text, start) }),
        }
    }

    /// Where a word should be, there is none: a character that stands in no string, or nothing.
    fn no_word(&self, start: usize) -> CipherError {
        match self.peek().filter(|found| !is_separator(*found) && !"+!@".contains(*found)) {
            Some(found) => CipherError::Character { found, column: column(self.text, self.at) },
            None => CipherError::NoWord { term: self.whole(start).to_owned(), column: column(self.text, start) },
        }
    }

    /// The term from `start` up to the next separator.
    fn whole(&self, start: usize) -> &'a str {
        let rest = self.text.get(start..).unwrap_or_default();
        rest.split(is_separator).next().unwrap_or_default()
    }
}

/// The column of an octet, from 1.
fn column(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().chars().count().saturating_add(1)
}

pub(crate) fn is_separator(c: char) -> bool {
    matches!(c, ':' | ',' | ';') || c.is_ascii_whitespace()
}

/// IANA's names have underscores, OpenSSL's have dashes.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '=' | '_')
}

/// What OpenSSL starts with where nothing is written.
const DEFAULT: (&str, &str) = ("DEFAULT", "ALL:!COMPLEMENTOFDEFAULT:!eNULL");

const HIGHEST_LEVEL: u8 = 5;
