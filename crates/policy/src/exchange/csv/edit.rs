//! Edits of a file with one domain a line, a line at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Column;
use super::rows::cells;
use crate::edit::{EditError, same_item};

/// One change of a file with one domain a line, such as an `[[include]]` names: the caller reads the lines and writes what comes out.
///
/// A row that goes leaves a comment, and one that changes stays where it is, so that the lines of all others keep their numbers; a row
/// that comes is the last.
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
    /// The columns of the header line.
    columns: Vec<String>,
    touched: Vec<EditedRow>,
    /// What is wrong with the first row that cannot be changed.
    wrong: Option<EditError>,
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
    /// The rows that came, went or changed, as they are written now, or were before they went.
    pub rows: Vec<EditedRow>,
}

/// A row that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EditedRow {
    /// The line at which it begins, from 1.
    pub line: u32,
    /// Its domain pattern, as it is written.
    pub domain: String,
    /// How it is written, without the line break at its end.
    pub text: String,
    /// How it was written before it changed.
    pub was: Option<String>,
}

#[derive(Clone, Debug)]
enum Change {
    Add(NewRow),
    Remove(String),
    Set { at: String, cells: BTreeMap<String, String> },
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
            NewRow::Cells(cells) => check_columns(cells)?,
        }
        Ok(Self::new(Change::Add(row)))
    }

    /// Every row of a domain pattern goes, and every row of this name.
    #[must_use]
    pub fn remove(at: &str) -> Self {
        Self::new(Change::Remove(at.to_owned()))
    }

    /// The rows of a domain pattern, and those of this name, get these cells; an empty one says what the list says. All else in them
    /// stays, and so does their place.
    ///
    /// # Errors
    /// [`EditError::NoColumn`] for what is no column at all; [`EditError::RowDomain`] for another domain;
    /// [`EditError::NothingNamed`] without a cell.
    pub fn set(at: &str, cells: BTreeMap<String, String>) -> Result<Self, EditError> {
        check_columns(&cells)?;
        if cells.is_empty() {
            return Err(EditError::NothingNamed);
        }
        if cells.keys().any(|key| Column::named(key) == Some(Column::Domain)) {
            return Err(EditError::RowDomain);
        }
        let cells = cells.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        Ok(Self::new(Change::Set { at: at.to_owned(), cells }))
    }

    fn new(change: Change) -> Self {
        Self {
            change,
            open: String::new(),
            lines: 0,
            column: None,
            header: None,
            columns: Vec::new(),
            touched: Vec::new(),
            wrong: None,
            newline: "\n",
            unfinished: false,
        }
    }

    /// Takes the next line with its line break, and appends what is to be written so far.
    pub fn line(&mut self, line: &str, out: &mut String) {
        self.newline = if line.ends_with("\r\n") { "\r\n" } else { self.newline };
        self.unfinished = !line.ends_with('\n');
        self.lines = self.lines.saturating_add(1);
        // Where a row comes, nothing but the header is looked at.
        let is_known = matches!(self.change, Change::Add(_)) && self.column.is_some();
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
        if header.is_some() {
            self.columns = cells.iter().map(|cell| cell.to_ascii_lowercase()).collect();
            self.header = Some(row.trim_ascii_end().to_owned());
        }
        let domain = cells.get(column).filter(|_| header.is_none() && self.means(&cells, column));
        let domain = domain.map(|cell| cell.clone().into_owned());
        let cells: Vec<String> = match &domain {
            Some(_) => cells.into_iter().map(Cow::into_owned).collect(),
            None => Vec::new(),
        };
        let row = std::mem::take(&mut self.open);
        match domain {
            None => out.push_str(&row),
            Some(domain) => self.touch(&row, domain, cells, out),
        }
    }

    /// Whether a row is one of those that are to change.
    fn means(&self, cells: &[Cow<'_, str>], column: usize) -> bool {
        let (Change::Remove(at) | Change::Set { at, .. }) = &self.change else { return false };
        let name = self.columns.iter().position(|column| column == Column::Name.as_str()).and_then(|name| cells.get(name));
        cells.get(column).is_some_and(|cell| same_item(cell, at)) || name.is_some_and(|name| name == at)
    }

    /// Writes a row that changes, or goes.
    fn touch(&mut self, row: &str, domain: String, cells: Vec<String>, out: &mut String) {
        let line = self.lines.saturating_sub(breaks(row.trim_end_matches(['\r', '\n'])));
        let text = row.trim_end_matches(['\r', '\n']).to_owned();
        let Change::Set { cells: given, .. } = &self.change else {
            for line in row.split_inclusive('\n') {
                out.push('#');
                out.push_str(line);
            }
            return self.touched.push(EditedRow { line, domain, text, was: None });
        };
        match changed(&text, cells, given, &self.columns) {
            Ok(new) => {
                out.push_str(&new);
                out.push_str(row.get(text.len()..).unwrap_or_default());
                self.touched.push(EditedRow { line, domain, text: new, was: Some(text) });
            }
            Err(error) => {
                out.push_str(row);
                self.wrong.get_or_insert(error);
                self.touched.push(EditedRow { line, domain, text, was: None });
            }
        }
    }

    /// Appends what stands behind the last line, and tells which rows came, went or changed.
    ///
    /// # Errors
    /// [`EditError::NoRow`] when no row had the domain, or the name, that was to go or to change; [`EditError::NoColumn`] when a cell was given whose column
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
                vec![EditedRow { line: self.lines.saturating_add(1), domain, text, was: None }]
            }
            Change::Remove(domain) | Change::Set { at: domain, .. } if self.touched.is_empty() => return Err(EditError::NoRow { domain }),
            Change::Remove(_) | Change::Set { .. } => match self.wrong {
                Some(error) => return Err(error),
                None => self.touched,
            },
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

/// A row with some of its cells replaced.
fn changed(row: &str, mut cells: Vec<String>, given: &BTreeMap<String, String>, columns: &[String]) -> Result<String, EditError> {
    for (key, value) in given {
        let place = columns.iter().position(|column| column == key).ok_or_else(|| {
            let header = if columns.is_empty() { Column::Domain.as_str().to_owned() } else { columns.join(",") };
            EditError::NoColumn { column: key.clone(), header }
        })?;
        if cells.len() <= place {
            cells.resize(place + 1, String::new());
        }
        if let Some(cell) = cells.get_mut(place) {
            cell.clone_from(value);
        }
    }
    let text = cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    // All others keep the lines at which traces and the history name them.
    if breaks(&text) != breaks(row) || given.values().any(|value| value.contains(['\n', '\r'])) {
        return Err(EditError::Row { found: text });
    }
    Ok(text)
}

fn breaks(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

fn check_columns(cells: &BTreeMap<String, String>) -> Result<(), EditError> {
    match cells.keys().find(|key| Column::named(key).is_none()) {
        Some(column) => Err(EditError::NoColumn { column: column.clone(), header: Column::PARTNERS.map(Column::as_str).join(",") }),
        None => Ok(()),
    }
}

/// A cell as it is written.
fn quoted(cell: &str) -> Cow<'_, str> {
    let is_plain = !cell.contains(['"', ',', '#', '\n', '\r']) && cell.trim_ascii() == cell;
    if is_plain { Cow::Borrowed(cell) } else { Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))) }
}

fn check_row(row: &str) -> Result<(), EditError> {
    let bad = row.contains(['\n', '\r']) || row.trim().is_empty() || row.starts_with('#') || cells(row).is_none();
    if bad { Err(EditError::Row { found: row.to_owned() }) } else { Ok(()) }
}

/// Octets that quotes may stay open for: longer ones were never closed.
const ROW_OCTETS: usize = 64 * 1024;
