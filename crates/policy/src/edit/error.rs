//! What can go wrong with an edit.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{Blame, Retry};

use super::EntryKind;

/// A text that is no policy document, or not of its shape.
///
/// `Display` gives `policy.toml:12:8: what is wrong`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
#[non_exhaustive]
pub struct TextError {
    /// The name of the text.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub problem: TextProblem,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextProblem {
    /// It is no TOML.
    #[error("not TOML: {message}; the file is TOML: https://toml.io")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that is not known, or a value of another type.
    #[error("not as a policy is written: {message}")]
    Shape {
        /// What was found and what would be right.
        message: String,
    },
    /// A table that is not known.
    #[error("unknown key {key:?} in the document; allowed: include, defaults, owner, domain, partner, list, rule")]
    UnknownTable {
        /// Its name.
        key: String,
    },
    /// Something else than tables under the name of a kind of entry.
    #[error("{kind} is no array of tables; write [[{kind}]]")]
    NoTables {
        /// The kind.
        kind: &'static str,
    },
}

/// An edit that was not made. The text is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// No entry has this name, and none without a name begins with this pattern.
    #[error("there is no {kind} {address:?}{}", Near(.near))]
    NotFound {
        /// What was looked for.
        kind: EntryKind,
        /// How it was named.
        address: String,
        /// The lines of entries that name it among other patterns.
        near: Vec<u32>,
    },
    /// Several entries have this name.
    #[error("{kind} {address:?} stands at {}; give them names of their own", Lines(.lines))]
    Several {
        /// What was looked for.
        kind: EntryKind,
        /// How it was named.
        address: String,
        /// Where each of them is.
        lines: Vec<u32>,
    },
    /// There is such an entry already.
    #[error("{kind} {address:?} is there already, at line {line}; change that one, or give this one another name")]
    Exists {
        /// What was to be added.
        kind: EntryKind,
        /// Its name.
        address: String,
        /// Where the other is.
        line: u32,
    },
    /// Two of the entries to be added are addressed by the same.
    #[error("{kind} {address:?} is given twice; keep one of the two, or give them names of their own")]
    Twice {
        /// What was to be added.
        kind: EntryKind,
        /// Its name.
        address: String,
    },
    /// The entry lists this already.
    #[error("{item:?} is listed already by the entry at line {line}")]
    ItemExists {
        /// What was to be added.
        item: String,
        /// Where the entry is.
        line: u32,
    },
    /// The entry does not list this.
    #[error("{item:?} is not listed by the entry at line {line}")]
    NoItem {
        /// What was to be removed.
        item: String,
        /// Where the entry is.
        line: u32,
    },
    /// The entry would have no domain left.
    #[error("the entry at line {line} would have no domain left; remove the entry")]
    LastDomain {
        /// Where the entry is.
        line: u32,
    },
    /// A list of nothing was given.
    #[error("nothing is named that could be added or removed")]
    NothingNamed,
    /// A position that no rule can have.
    #[error("no rule can have position {position}; positions go from 1 to {last}")]
    Position {
        /// What was asked.
        position: usize,
        /// The last possible one.
        last: usize,
    },
    /// The entry is an item of a list in brackets, which is not edited.
    #[error("the {kind} at line {line} is written inside a list; write it as a table: [[{kind}]]")]
    Inline {
        /// What it is.
        kind: EntryKind,
        /// Where it is.
        line: u32,
    },
    /// What would come out is no policy document.
    #[error("with this change the text would not be one to read: {0}")]
    Text(#[from] TextError),
    /// A row that is none, for a file with one domain a line.
    #[error("the row {found:?} is not one line with a domain pattern first")]
    Row {
        /// What was found.
        found: String,
    },
    /// A cell for which there is no column.
    #[error("there is no column {column:?}; the columns are {header}")]
    NoColumn {
        /// What was named.
        column: String,
        /// The columns that there are.
        header: String,
    },
    /// Another domain for a row.
    #[error("the domain of a row does not change; remove the row, and add one for the other domain")]
    RowDomain,
    /// No row has this domain or name.
    #[error("no row has the domain {domain:?}, or that name")]
    NoRow {
        /// What was looked for.
        domain: String,
    },
}

impl TextError {
    /// Whoever wrote the text.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Never, until the text is changed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl EditError {
    /// Whoever asked for the edit.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Never, until the edit or the text is another.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

struct Lines<'a>(&'a [u32]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "line " } else { "lines " })?;
        for (index, line) in self.0.iter().enumerate() {
            let between = if index == 0 {
                ""
            } else if index + 1 == self.0.len() {
                " and "
            } else {
                ", "
            };
            write!(f, "{between}{line}")?;
        }
        Ok(())
    }
}

struct Near<'a>(&'a [u32]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "; it is named with others at {}", Lines(self.0))
    }
}
