//! What can be wrong with a policy document.

use std::fmt;
use std::sync::Arc;

use sealpost_cipher::CipherError;
use sealpost_types::{Blame, DomainError, Level, NextHopError, PinError, Retry};

use crate::exchange::CsvProblem;
use crate::header::FieldNameError;
use crate::layer::Side;
use crate::network::ClientPatternError;
use crate::pattern::{AddressPatternError, PatternError};

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
        /// The hop: `receive`, `submit` or `deliver`.
        hop: &'static str,
    },
    /// A key without a meaning on this hop.
    KeyOnHop {
        /// The key.
        key: String,
        /// The hop: `receive`, `submit` or `deliver`.
        hop: &'static str,
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
    /// No pattern over addresses.
    Address {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: AddressPatternError,
    },
    /// No network, certificate name or login.
    Client {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: ClientPatternError,
    },
    /// A client that is exempt by something else than its network.
    ExemptClient {
        /// What was found.
        found: String,
    },
    /// A shared network where no sender's domain stands beside it.
    SharedClient {
        /// What was found.
        found: String,
        /// The key.
        key: &'static str,
    },
    /// No pin of a key.
    Pin {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: PinError,
    },
    /// No cipher setting, or none that leaves a suite.
    Ciphers {
        /// What is wrong with it.
        cause: CipherError,
    },
    /// No date.
    Date {
        /// What was found.
        found: String,
    },
    /// No number from 1.
    Count {
        /// The key.
        key: &'static str,
        /// What was found.
        found: String,
    },
    /// No name of a header field.
    HeaderName {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: FieldNameError,
    },
    /// A header field that must not be taken out of mail.
    ReservedHeader {
        /// What was found.
        found: String,
    },
    /// A field that no rule may add.
    AddedHeader {
        /// What was found.
        found: String,
        /// The field that a rule may add.
        header: String,
    },
    /// Characters that cannot part a tag from a local part.
    Delimiters {
        /// What was found.
        found: String,
    },
    /// A level that lacks what it is held against.
    NeedsBeside {
        /// The level.
        level: Level,
        /// The key that must stand beside it.
        key: &'static str,
    },
    /// `client_key` without a `client_certificate` that it could belong to.
    KeyWithoutCertificate,
    /// `else` where nothing else could be meant.
    ElseAlone,
    /// `else` with a level that brings keys of its own.
    ElseLevel {
        /// The level.
        found: String,
    },
    /// `ignore_published` without saying why, or until when.
    IgnoresWithout {
        /// The key that is missing.
        key: &'static str,
    },
    /// `ignore_published` in a table of defaults.
    IgnoresForAll,
    /// More entries of one pattern than can all be joined.
    PatternTooOften {
        /// The pattern.
        pattern: String,
    },
    /// A condition on the field that is taken out of every message.
    HeaderTakenOut {
        /// The field.
        header: String,
    },
    /// `matches` and `not_matches` in one condition.
    BothMatches {
        /// The condition.
        key: &'static str,
    },
    /// A name that no owner or list has.
    UnknownName {
        /// What is named: `owner` or `list`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Two owners, lists or rules of one name.
    NamedTwice {
        /// `[[owner]]`, `[[list]]` or `[[rule]]`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where it stands first.
        first_line: u32,
    },
    /// An owner that stands above itself.
    OwnerLoop {
        /// The owner.
        name: String,
    },
    /// An included list that cannot be had.
    Include {
        /// The file.
        file: String,
        /// What the reader says.
        cause: String,
    },
    /// Conditions where a list is included: its rows have none.
    IncludeCondition,
    /// An included list that is no CSV, or a row of it that is none.
    Csv(CsvProblem),
    /// One list included twice.
    IncludedTwice {
        /// The file.
        file: String,
        /// Where it stands first.
        first_line: u32,
    },
    /// The name of an entry with a control character, or too long.
    Name {
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

    /// One error, at the start of a line.
    pub(crate) fn one(file: Arc<str>, line: u32, problem: Problem) -> Self {
        Self(vec![PolicyError { file, line, column: 1, problem }])
    }

    /// Those of the document, then those of its lists; nothing if there is none.
    pub(crate) fn all(own: Option<Self>, of_lists: Vec<PolicyError>) -> Option<Self> {
        let mut errors = own.map(|errors| errors.0).unwrap_or_default();
        errors.extend(of_lists);
        Self::new(errors)
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
                ("name", "[[domain]]") => "add name = \"example.org\"".to_owned(),
                ("name", "header") => "add name = \"Subject\"".to_owned(),
                ("name", _) => "add name = \"a name\"".to_owned(),
                ("file", _) => "add file = \"partners.csv\"".to_owned(),
                ("matches", _) => "add matches = \"*a word*\"".to_owned(),
                ("then", _) => "add then = { add_header = { X-TLSLevel = \"Require\" } }".to_owned(),
                (key, _) => format!("add {key} = [\"example.org\"]"),
            },
            Self::LevelOnHop { hop, .. } => {
                format!("write one of {}", Words(levels_of(if *hop == "deliver" { Side::Deliver } else { Side::Receive })))
            }
            Self::KeyOnHop { allowed, .. } => format!("allowed here: {}", allowed.join(", ")),
            Self::KeyAtLevel { key: "min_version" | "min_group" | "ciphers" | "client_certificate", .. } => {
                "leave it out, or write a level that uses TLS".to_owned()
            }
            Self::KeyAtLevel { key: "pins", .. } => "leave it out, or write level = \"pinned\" beside it".to_owned(),
            Self::KeyAtLevel { key: "clear_fallback", .. } => "leave it out: nothing goes in clear at this level".to_owned(),
            Self::KeyAtLevel { .. } => "leave it out, or write level = \"verify\" beside it".to_owned(),
            Self::Duration { .. } => "write a whole number above 0 with its unit: \"30s\", \"90m\", \"36h\" or \"7d\"".to_owned(),
            Self::Pattern { .. } => "write example.org, *.example.org or *".to_owned(),
            Self::CertificateName { .. } => {
                "write mx.example.org, *.example.org, an IP address, or cn:mx.example.org for a common name".to_owned()
            }
            Self::Route { .. } => "write host.example:25, 192.0.2.1:25, [2001:db8::1]:25 or mx:example.org".to_owned(),
            Self::Address { cause, .. } => cause.remedy().to_owned(),
            Self::Client { .. } => "write 192.0.2.0/28, 192.0.2.1, shared:192.0.2.0/24, cert:out.example.org or auth:LOGIN".to_owned(),
            Self::ExemptClient { .. } => "write a network such as 192.0.2.0/28: what else a client shows, it can leave out".to_owned(),
            Self::SharedClient { .. } => "write the network without \"shared:\" if all of it is theirs, or a cert: or an auth:".to_owned(),
            Self::Pin { .. } => "write sha256// and the base64 of the SHA-256 of the key, as `sealpost cert show` prints it".to_owned(),
            Self::Ciphers { cause } => cause.remedy().into_owned(),
            Self::Date { .. } => "write a day such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z".to_owned(),
            Self::Count { .. } => "write a whole number from 1".to_owned(),
            Self::ReservedHeader { .. } => "write a name that nothing else uses, such as X-TLSLevel".to_owned(),
            Self::HeaderName { .. } => "write a name such as X-TLSLevel".to_owned(),
            Self::AddedHeader { header, .. } => format!("a rule may add {header}, and nothing else"),
            Self::Delimiters { .. } => "write ASCII punctuation such as \"+\" or \"+-\", and none of @ \" * ? .".to_owned(),
            Self::NeedsBeside { key: "pins", .. } => "write pins = [\"sha256//...\"] beside it".to_owned(),
            Self::NeedsBeside { key, .. } => format!("write {key} = [\"out.example.org\"] beside it"),
            Self::KeyWithoutCertificate => "write client_certificate = \"client.pem\" beside it".to_owned(),
            Self::ElseAlone => "write it beside level = \"dane\", senders or recipients".to_owned(),
            Self::ElseLevel { .. } => "write a level that needs no other keys, or an entry of its own".to_owned(),
            Self::IgnoresWithout { key } => match *key {
                "until" => "write until = 2026-12-31: what a domain publishes should not be ignored for ever".to_owned(),
                _ => "write reason = \"why\": whoever finds this later will want to know".to_owned(),
            },
            Self::IgnoresForAll => "write it in the entry of the domain that needs it, with reason and until".to_owned(),
            Self::PatternTooOften { .. } => format!("keep at most {PATTERN_ENTRIES} entries of one pattern"),
            Self::HeaderTakenOut { .. } => "name the clients that may set it in [defaults] header_trust; it needs no rule".to_owned(),
            Self::BothMatches { .. } => "write two rules".to_owned(),
            Self::UnknownName { kind, name, known } => match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None if known.is_empty() => format!("write [[{kind}]] name = {name:?}"),
                None => format!("there is {}", listed(known)),
            },
            Self::NamedTwice { .. } => "give one of the two another name".to_owned(),
            Self::OwnerLoop { .. } => "leave out one \"parent\" of those that lead back to it".to_owned(),
            Self::Include { .. } => "name a file that can be read".to_owned(),
            Self::IncludeCondition => "leave out senders, recipients and exempt_clients, or write a [[partner]]".to_owned(),
            Self::Csv(_) => "docs/policy/import.md has every column".to_owned(),
            Self::IncludedTwice { .. } => "keep one of the two".to_owned(),
            Self::Name { .. } => {
                format!("write up to {NAME_CHARACTERS} characters, without line breaks and other control characters")
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
            Self::Address { found, cause } => write!(f, "{found:?} is no address pattern: {cause}"),
            Self::Client { found, cause } => write!(f, "{found:?} names no client: {cause}"),
            Self::ExemptClient { found } => write!(f, "{found:?} is no network, and only networks are exempt"),
            Self::SharedClient { found, key } => {
                write!(f, "{found:?} counts only together with a sender's domain, and {key} goes by the client alone")
            }
            Self::Pin { found, cause } => write!(f, "{found:?} is no pin: {cause}"),
            Self::Ciphers { cause } => write!(f, "ciphers: {cause}"),
            Self::Date { found } => write!(f, "{found:?} is no date"),
            Self::Count { key, found } => write!(f, "{key} is {found}"),
            Self::HeaderName { found, cause } => write!(f, "{found:?} is no name of a header field: {cause}"),
            Self::ReservedHeader { found } => write!(f, "the header field {found:?} must not be taken out of mail"),
            Self::AddedHeader { found, .. } => write!(f, "the header field {found:?} cannot be added"),
            Self::Delimiters { found } => write!(f, "tag_delimiters is {found:?}"),
            Self::NeedsBeside { level, key } => write!(f, "the level \"{level}\" has no {key}"),
            Self::KeyWithoutCertificate => f.write_str("client_key without a client_certificate"),
            Self::ElseAlone => f.write_str("else stands alone"),
            Self::ElseLevel { found } => write!(f, "else is {found:?}, which needs keys of its own"),
            Self::IgnoresWithout { key } => write!(f, "ignore_published without {key}"),
            Self::IgnoresForAll => f.write_str("ignore_published in [defaults] holds for everybody and has no end"),
            Self::PatternTooOften { pattern } => write!(f, "{pattern} stands in more than {PATTERN_ENTRIES} entries"),
            Self::HeaderTakenOut { header } => write!(f, "{header} is taken out of every message, so no rule finds it"),
            Self::BothMatches { key } => write!(f, "{key} has both matches and not_matches"),
            Self::UnknownName { kind, name, .. } => write!(f, "there is no {kind} {name:?}"),
            Self::NamedTwice { kind, name, first_line } => write!(f, "a second {kind} {name:?}; the first stands in line {first_line}"),
            Self::OwnerLoop { name } => write!(f, "the owner {name:?} stands above itself"),
            Self::Include { file, cause } => write!(f, "the included file {file:?} cannot be read: {cause}"),
            Self::IncludeCondition => f.write_str("conditions beside an included list"),
            Self::Csv(problem) => problem.fmt(f),
            Self::IncludedTwice { file, first_line } => write!(f, "{file:?} is included already, by line {first_line}"),
            Self::Name { characters } => {
                write!(f, "the name has control characters, or too many characters ({characters})")
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

/// The levels with a meaning on a side.
pub(crate) fn levels_of(side: Side) -> &'static [&'static str] {
    match side {
        Side::Receive | Side::Submit => &["opportunistic", "require", "chain", "verify", "pinned"],
        Side::Deliver => &["none", "mirror", "opportunistic", "require", "chain", "verify", "dane", "dane-only", "pinned"],
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
    match nearest(found, allowed.iter().copied()) {
        Some(word) => format!("did you mean \"{word}\"? Allowed: {}", allowed.join(", ")),
        None => format!("allowed: {}", allowed.join(", ")),
    }
}

/// The word that was probably meant.
fn nearest<'w>(found: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = words.map(|word| (distance(&found.to_lowercase(), &word.to_lowercase()), word)).min();
    // A third of the word may be wrong; beyond that a suggestion is a guess.
    near.filter(|(steps, word)| *steps <= 1 + word.len() / 3).map(|(_, word)| word)
}

/// The first few names, quoted.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    let more = names.len().saturating_sub(LISTED);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
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

/// Characters in the name of an entry: it is quoted in SMTP replies, whose lines are short.
pub(crate) const NAME_CHARACTERS: usize = 100;

/// Entries of one pattern: each of them is joined with each above and below it.
pub(crate) const PATTERN_ENTRIES: usize = 16;

/// Names that an error lists.
const LISTED: usize = 5;

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
