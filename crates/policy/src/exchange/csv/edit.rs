//! Edits of a file with one domain a line, a line at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Column;
use super::rows::cells;
use crate::edit::{EditError, same_item};

/// One change of a file with one domain a line, such as an `[[include]]` names: the caller reads the lines and writes what comes out.
///
/// A row that goes leaves a comment, so that the lines of all others keep their numbers; a row that comes is the last.
///
/// # Example
/// ```
/// # use sealpost_policy::RowEdit;
/// let mut edit = RowEdit::remove("b.example");
/// let mut after = String::new();
/// for line in "domain,deliver\na.example,require\nb.example,verify\n".split_inclusive('\n') {
///     edit.line(line, &mut after);
/// }
/// let edited = edit.finish(&mut after)?;
/// assert_eq!((edited.rows[0].line, edited.header.as_deref()), (3, Some("domain,deliver")));
/// assert_eq!(after, "domain,deliver\na.example,require\n#b.example,verify\n");
/// # Ok::<(), sealpost_policy::EditError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowEdit {
    change: Change,
    /// Lines of a row whose quotes are still open.
    open: String,
    /// How many lines there were.
    lines: u32,
    /// The column that holds the domain, from 0; none before the first row.
    column: Option<usize>,
    header: Option<String>,
    removed: Vec<EditedRow>,
    newline: &'static str,
    unfinished: bool,
}

/// A row that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(clippy::exhaustive_enums, reason = "a row is given as a whole or by its cells")]
pub enum NewRow {
    /// As it is to be written.
    Text(String),
    /// By the names of its columns; `domain` is one of them. Those of the file decide where each goes.
    Cells(BTreeMap<String, String>),
}

/// What an edit of rows came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowsEdited {
    /// The header line; none in a file with one domain a line.
    pub header: Option<String>,
    /// The rows that came or went, as they are or were written.
    pub rows: Vec<EditedRow>,
}

/// A row that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EditedRow {
    /// The line at which it begins, from 1.
    pub line: u32,
    /// Its domain pattern, as it is written.
    pub domain: String,
    /// How it is written, without the line break at its end.
    pub text: String,
}

#[derive(Clone, Debug)]
enum Change {
    Add(NewRow),
    Remove(String),
}

impl RowEdit {
    /// A row comes.
    ///
    /// # Errors
    /// [`EditError::Row`] for what is no single line, is a comment, or has nothing in it.
    pub fn add(row: &str) -> Result<Self, EditError> {
        Self::add_row(NewRow::Text(row.to_owned()))
    }

    /// A row comes, given as a whole or by its cells.
    ///
    /// # Errors
    /// [`EditError::Row`] as for [`add`](Self::add); [`EditError::NoColumn`] for what is no column at all.
    pub fn add_row(row: NewRow) -> Result<Self, EditError> {
        match &row {
            NewRow::Text(text) => check_row(text)?,
            NewRow::Cells(cells) => {
                if let Some(column) = cells.keys().find(|key| Column::named(key).is_none()) {
                    return Err(EditError::NoColumn { column: column.clone(), header: Column::ALL.map(Column::as_str).join(",") });
                }
            }
        }
        Ok(Self::new(Change::Add(row)))
    }

    /// Every row of a domain pattern goes.
    #[must_use]
    pub fn remove(domain: &str) -> Self {
        Self::new(Change::Remove(domain.to_owned()))
    }

    fn new(change: Change) -> Self {
        Self { change, open: String::new(), lines: 0, column: None, header: None, removed: Vec::new(), newline: "\n", unfinished: false }
    }

    /// Takes the next line with its line break, and appends what is to be written so far.
    pub fn line(&mut self, line: &str, out: &mut String) {
        self.newline = if line.ends_with("\r\n") { "\r\n" } else { self.newline };
        self.unfinished = !line.ends_with('\n');
        self.lines = self.lines.saturating_add(1);
        let domain = match &self.change {
            Change::Remove(domain) => Some(domain),
            Change::Add(_) => None,
        };
        // Where a row comes, nothing but the header is looked at.
        let is_known = domain.is_none() && self.column.is_some();
        let text = if self.lines == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if is_known || self.open.is_empty() && (text.starts_with('#') || text.trim_ascii().is_empty()) {
            out.push_str(line);
            return;
        }
        self.open.push_str(line);
        let row = self.open.strip_prefix('\u{feff}').filter(|_| self.column.is_none()).unwrap_or(&self.open);
        let Some(cells) = cells(row) else {
            // Within quotes that are still open the row goes on; without end it is none.
            if self.open.len() > ROW_OCTETS {
                out.push_str(&std::mem::take(&mut self.open));
            }
            return;
        };
        // The first row may be a header, which is no domain.
        let header = cells.iter().position(|cell| Column::named(cell) == Some(Column::Domain)).filter(|_| self.column.is_none());
        let column = *self.column.get_or_insert_with(|| header.unwrap_or(0));
        let goes = cells.get(column).filter(|cell| header.is_none() && domain.is_some_and(|domain| same_item(cell, domain)));
        let goes = goes.map(|cell| cell.clone().into_owned());
        if header.is_some() {
            self.header = Some(row.trim_ascii_end().to_owned());
        }
        drop(cells);
        let row = std::mem::take(&mut self.open);
        self.write(&row, goes, out);
    }

    fn write(&mut self, row: &str, goes: Option<String>, out: &mut String) {
        let Some(domain) = goes else {
            out.push_str(row);
            return;
        };
        let mut lines = 0_u32;
        for line in row.split_inclusive('\n') {
            lines = lines.saturating_add(1);
            out.push('#');
            out.push_str(line);
        }
        let line = self.lines.saturating_sub(lines.saturating_sub(1));
        self.removed.push(EditedRow { line, domain, text: row.trim_end_matches(['\r', '\n']).to_owned() });
    }

    /// Appends what stands behind the last line, and tells which rows came or went.
    ///
    /// # Errors
    /// [`EditError::NoRow`] when no row had the domain that was to go; [`EditError::NoColumn`] when a cell was given whose column
    /// the file does not have.
    pub fn finish(self, out: &mut String) -> Result<RowsEdited, EditError> {
        out.push_str(&self.open);
        let rows = match self.change {
            Change::Add(row) => {
                let text = match row {
                    NewRow::Text(text) => text,
                    NewRow::Cells(given) => written(given, self.header.as_deref())?,
                };
                let cells = cells(&text).unwrap_or_default();
                // Where no row stands before it, it would be read as the header.
                if self.column.is_none() && cells.iter().any(|cell| Column::named(cell) == Some(Column::Domain)) {
                    drop(cells);
                    return Err(EditError::Row { found: text });
                }
                let domain = cells.get(self.column.unwrap_or(0)).map(|cell| cell.clone().into_owned()).unwrap_or_default();
                drop(cells);
                if self.unfinished {
                    out.push_str(self.newline);
                }
                out.push_str(&text);
                out.push_str(self.newline);
                vec![EditedRow { line: self.lines.saturating_add(1), domain, text }]
            }
            Change::Remove(domain) if self.removed.is_empty() => return Err(EditError::NoRow { domain }),
            Change::Remove(_) => self.removed,
        };
        Ok(RowsEdited { header: self.header, rows })
    }
}

/// A row of these cells under this header.
fn written(given: BTreeMap<String, String>, header: Option<&str>) -> Result<String, EditError> {
    let header = header.unwrap_or(Column::Domain.as_str());
    let mut given: BTreeMap<_, _> = given.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
    let columns = cells(header).unwrap_or_default();
    let row: Vec<_> = columns.iter().map(|column| given.remove(&column.to_ascii_lowercase()).unwrap_or_default()).collect();
    if let Some((column, _)) = given.into_iter().next() {
        return Err(EditError::NoColumn { column, header: header.to_owned() });
    }
    let text = row.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    check_row(&text).map(|()| text)
}

/// A cell as it is written.
fn quoted(cell: &str) -> Cow<'_, str> {
    let is_plain = !cell.contains(['"', ',', '#']) && cell.trim_ascii() == cell;
    if is_plain { Cow::Borrowed(cell) } else { Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))) }
}

fn check_row(row: &str) -> Result<(), EditError> {
    let bad = row.contains(['\n', '\r']) || row.trim().is_empty() || row.starts_with('#') || cells(row).is_none();
    if bad { Err(EditError::Row { found: row.to_owned() }) } else { Ok(()) }
}

/// Octets that quotes may stay open for: longer ones were never closed.
const ROW_OCTETS: usize = 64 * 1024;
