//! Edits of a file with one domain a line, a line at a time.

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
/// edit.finish(&mut after)?;
/// assert_eq!(after, "domain,deliver\na.example,require\n#b.example,verify\n");
/// # Ok::<(), sealpost_policy::EditError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowEdit {
    change: Change,
    /// Lines of a row whose quotes are still open.
    open: String,
    /// The column that holds the domain, from 0; none before the first row.
    column: Option<usize>,
    removed: usize,
    newline: &'static str,
    unfinished: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Add(String),
    Remove(String),
}

impl RowEdit {
    /// A row comes.
    ///
    /// # Errors
    /// [`EditError::Row`] for what is no single line, is a comment, or has nothing in it.
    pub fn add(row: &str) -> Result<Self, EditError> {
        let bad = row.contains(['\n', '\r']) || row.trim().is_empty() || row.starts_with('#') || cells(row).is_none();
        if bad { Err(EditError::Row { found: row.to_owned() }) } else { Ok(Self::new(Change::Add(row.to_owned()))) }
    }

    /// Every row of a domain pattern goes.
    #[must_use]
    pub fn remove(domain: &str) -> Self {
        Self::new(Change::Remove(domain.to_owned()))
    }

    fn new(change: Change) -> Self {
        Self { change, open: String::new(), column: None, removed: 0, newline: "\n", unfinished: false }
    }

    /// Takes the next line with its line break, and appends what is to be written so far.
    pub fn line(&mut self, line: &str, out: &mut String) {
        self.newline = if line.ends_with("\r\n") { "\r\n" } else { self.newline };
        self.unfinished = !line.ends_with('\n');
        let Change::Remove(domain) = &self.change else {
            out.push_str(line);
            return;
        };
        if self.open.is_empty() && (line.starts_with('#') || line.trim_ascii().is_empty()) {
            out.push_str(line);
            return;
        }
        self.open.push_str(line);
        let text = self.open.strip_prefix('\u{feff}').filter(|_| self.column.is_none()).unwrap_or(&self.open);
        let Some(cells) = cells(text) else {
            // Within quotes that are still open the row goes on; without end it is none.
            if self.open.len() > ROW_OCTETS {
                out.push_str(&std::mem::take(&mut self.open));
            }
            return;
        };
        // The first row may be a header, which is no domain.
        let header = cells.iter().position(|cell| Column::named(cell) == Some(Column::Domain)).filter(|_| self.column.is_none());
        let column = *self.column.get_or_insert_with(|| header.unwrap_or(0));
        let goes = header.is_none() && cells.get(column).is_some_and(|cell| same_item(cell, domain));
        drop(cells);
        let row = std::mem::take(&mut self.open);
        self.write(&row, goes, out);
    }

    fn write(&mut self, row: &str, goes: bool, out: &mut String) {
        if !goes {
            out.push_str(row);
            return;
        }
        self.removed += 1;
        for line in row.split_inclusive('\n') {
            out.push('#');
            out.push_str(line);
        }
    }

    /// Appends what stands behind the last line.
    ///
    /// # Errors
    /// [`EditError::NoRow`] when no row had the domain that was to go.
    pub fn finish(self, out: &mut String) -> Result<(), EditError> {
        match self.change {
            Change::Add(row) => {
                if self.unfinished {
                    out.push_str(self.newline);
                }
                out.push_str(&row);
                out.push_str(self.newline);
                Ok(())
            }
            Change::Remove(domain) => {
                out.push_str(&self.open);
                if self.removed == 0 { Err(EditError::NoRow { domain }) } else { Ok(()) }
            }
        }
    }
}

/// Octets that quotes may stay open for: longer ones were never closed.
const ROW_OCTETS: usize = 64 * 1024;
