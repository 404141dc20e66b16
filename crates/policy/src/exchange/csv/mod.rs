//! Partners, hosted domains and lists as CSV: one domain pattern or one entry of a list a row, a header line that names the columns.
//!
//! Of partners and hosted domains, a file without a header line is a list with one domain a line. Empty lines, and lines that begin with `#`, are skipped.

mod domains;
mod edit;
mod export;
mod import;
mod lists;
mod rows;

use std::fmt;
use std::sync::Arc;

use sealpost_types::{Blame, Retry};

use crate::pattern::PatternError;

pub use domains::{export_domains_csv, import_domains_csv};
pub use edit::{EditedRow, NewRow, RowEdit, RowsEdited};
pub use export::export_csv;
pub use import::{CsvDefaults, import_csv, import_csv_with};
pub use lists::{export_lists_csv, import_lists_csv};
pub use rows::{Row, read_rows};

/// A column, as its header names it. All but the first of a table may be left out, and so may each cell of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the key of the document with the same name, described in docs/policy/import.md")]
pub enum Column {
    Domain,
    Name,
    Subdomains,
    Exclude,
    For,
    Receive,
    Deliver,
    Match,
    Names,
    Pins,
    Anchors,
    MinVersion,
    MinGroup,
    Lifetime,
    OnExpiry,
    OnFailure,
    Mode,
    Until,
    Reason,
    Owner,
    Route,
    Servers,
    Submit,
    List,
    Entry,
}

/// Everything that is wrong with one CSV, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsvErrors {
    /// The first of them in the order of the rows, up to [`CSV_ERRORS`].
    pub errors: Vec<CsvError>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that is wrong, and where.
///
/// `Display` gives `partners.csv:12:8: what was found; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
#[non_exhaustive]
pub struct CsvError {
    /// The name of the text.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub problem: CsvProblem,
}

/// What is wrong with a cell, a row or the header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvProblem {
    /// A header that is none of the columns.
    #[error("unknown column {found:?}; one of {}", Names(allowed))]
    UnknownColumn {
        /// What was found.
        found: String,
        /// The columns that there may be.
        allowed: &'static [Column],
    },
    /// A column that is there already.
    #[error("the column {column} is there twice; remove one of the two")]
    ColumnTwice {
        /// Which.
        column: Column,
    },
    /// Several columns, and no header line that names them.
    #[error("there is no column domain; write a header line such as domain,receive,deliver, or one domain a line and nothing else")]
    NoHeader,
    /// No header line, where a row says nothing without one.
    #[error("the first line names no columns; write a header line of {}", Names(columns))]
    NoColumns {
        /// The columns that there are.
        columns: &'static [Column],
    },
    /// More cells than the header has columns.
    #[error("the row has {found} cells, the header {columns}; put a cell with a comma in quotes")]
    Cells {
        /// Those of the row.
        found: usize,
        /// Those of the header.
        columns: usize,
    },
    /// A quoted cell without an end.
    #[error("the quotes that begin here have no end; a quote within a cell is written twice")]
    Quotes,
    /// Text behind the quotes of a cell.
    #[error("there is text behind the closing quotes; put the whole cell in quotes, and write quotes within it twice")]
    BehindQuotes,
    /// A row without a domain.
    #[error("the row has no domain; write one, or # in front of the row")]
    NoDomain,
    /// A row without the name of its list.
    #[error("the row names no list; write its name, or # in front of the row")]
    NoList,
    /// No domain pattern.
    #[error("{found:?} is no domain pattern: {cause}; write example.org, *.example.org or *")]
    Pattern {
        /// What was found.
        found: String,
        /// What is wrong with it.
        cause: PatternError,
    },
    /// A word that is none of those that may stand there.
    #[error("{column} is {found:?}; write {}", .allowed.join(", "))]
    Word {
        /// Where it stands.
        column: Column,
        /// What was found.
        found: String,
        /// What may stand there.
        allowed: &'static [&'static str],
    },
}

impl Column {
    /// Those of partners, in the order in which they are written.
    pub const PARTNERS: [Self; 19] = [
        Self::Domain,
        Self::Name,
        Self::Subdomains,
        Self::Exclude,
        Self::For,
        Self::Receive,
        Self::Deliver,
        Self::Match,
        Self::Names,
        Self::Pins,
        Self::Anchors,
        Self::MinVersion,
        Self::MinGroup,
        Self::Lifetime,
        Self::OnExpiry,
        Self::OnFailure,
        Self::Mode,
        Self::Until,
        Self::Reason,
    ];

    /// Those of hosted domains.
    pub const DOMAINS: [Self; 19] = [
        Self::Domain,
        Self::Owner,
        Self::Route,
        Self::Servers,
        Self::Receive,
        Self::Submit,
        Self::Deliver,
        Self::Match,
        Self::Names,
        Self::Pins,
        Self::Anchors,
        Self::MinVersion,
        Self::MinGroup,
        Self::Lifetime,
        Self::OnExpiry,
        Self::OnFailure,
        Self::Mode,
        Self::Until,
        Self::Reason,
    ];

    /// Those of lists.
    pub const LISTS: [Self; 2] = [Self::List, Self::Entry];

    /// How many there are in all.
    const COUNT: usize = 25;

    /// Its header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Name => "name",
            Self::Subdomains => "subdomains",
            Self::Exclude => "exclude",
            Self::For => "for",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Match => "match",
            Self::Names => "names",
            Self::Pins => "pins",
            Self::Anchors => "anchors",
            Self::MinVersion => "min_version",
            Self::MinGroup => "min_group",
            Self::Lifetime => "lifetime",
            Self::OnExpiry => "on_expiry",
            Self::OnFailure => "on_failure",
            Self::Mode => "mode",
            Self::Until => "until",
            Self::Reason => "reason",
            Self::Owner => "owner",
            Self::Route => "route",
            Self::Servers => "servers",
            Self::Submit => "submit",
            Self::List => "list",
            Self::Entry => "entry",
        }
    }

    /// The column of partners with this header, in whatever case it is written.
    #[must_use]
    pub fn named(header: &str) -> Option<Self> {
        Self::PARTNERS.into_iter().find(|column| column.is_named(header))
    }

    fn is_named(self, header: &str) -> bool {
        self.as_str().eq_ignore_ascii_case(header)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl CsvErrors {
    /// Whoever wrote the file.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Never, until the file is changed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// One line each, and how many more there are.
impl fmt::Display for CsvErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for CsvErrors {}

struct Names<'a>(&'a [Column]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, column) in self.0.iter().enumerate() {
            write!(f, "{}{column}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Errors of one file that are kept; the rest is counted. A file of the wrong kind is wrong in each line.
pub const CSV_ERRORS: usize = 100;
