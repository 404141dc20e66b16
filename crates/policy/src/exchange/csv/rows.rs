//! The rows of a CSV, one after the other, without a copy.

use std::borrow::Cow;
use std::sync::Arc;

use super::{CSV_ERRORS, Column, CsvError, CsvErrors, CsvProblem};

/// One row. It borrows from the text and from the reader, which uses its memory again for the next.
#[derive(Debug)]
pub struct Row<'r, 't> {
    /// The line that it begins at, from 1.
    pub line: u32,
    file: &'r Arc<str>,
    text: &'t str,
    start: usize,
    columns: &'r [Option<usize>; COLUMNS],
    cells: &'r [Cell<'t>],
}

/// A cell and where it begins, its quotes included.
#[derive(Debug)]
struct Cell<'t> {
    offset: usize,
    value: Cow<'t, str>,
}

/// Reads rows and gives each to a function, without an allocation a row (a quoted cell with quotes in it apart).
///
/// # Errors
/// [`CsvErrors`] with what is wrong with the text and what the function found wrong; all rows are read in any case.
///
/// # Example
/// ```
/// # use sealpost_policy::{Column, read_rows};
/// let mut found = Vec::new();
/// read_rows("partners.csv", "domain,deliver\na.example,require\n\n# later\nb.example\n", |row| {
///     found.push((row.line, row.domain().to_owned(), row.cell(Column::Deliver).map(str::to_owned)));
///     Ok(())
/// })?;
/// assert_eq!(found[0], (2, "a.example".to_owned(), Some("require".to_owned())));
/// assert_eq!(found[1], (5, "b.example".to_owned(), None));
/// # Ok::<(), sealpost_policy::CsvErrors>(())
/// ```
pub fn read_rows<'t>(name: &str, text: &'t str, each: impl FnMut(&Row<'_, 't>) -> Result<(), CsvError>) -> Result<(), CsvErrors> {
    read_table(name, text, &Column::PARTNERS, each)
}

/// The same for rows with these columns, of which the first must be there.
pub(super) fn read_table<'t>(
    name: &str,
    text: &'t str,
    known: &'static [Column],
    mut each: impl FnMut(&Row<'_, 't>) -> Result<(), CsvError>,
) -> Result<(), CsvErrors> {
    let file: Arc<str> = Arc::from(name);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, at: 0, line: 1, cells: Vec::new() };
    let mut errors = CsvErrors { errors: Vec::new(), more: 0 };
    let mut columns = None;
    while let Some(line) = reader.next_line() {
        let start = reader.at;
        let (result, cells) = reader.read_row(line);
        let columns: &[Option<usize>; COLUMNS] = match &columns {
            Some(columns) => columns,
            None => {
                let row = Row { line, file: &file, text, start, columns: &LIST, cells };
                let header = row.header(known);
                let has_header = !matches!(header, Ok(None));
                let read = header.map_err(|error| errors.note(error)).ok().flatten();
                if has_header {
                    if read.is_none() {
                        // Without its columns no row means anything.
                        return Err(errors);
                    }
                    columns = read;
                    continue;
                }
                columns.insert(LIST)
            }
        };
        let row = Row { line, file: &file, text, start, columns, cells };
        let result = match result {
            Ok(()) => row.check(known).and_then(|()| each(&row)),
            Err((offset, problem)) => Err(row.error_at(offset, problem)),
        };
        if let Err(error) = result {
            errors.note(error);
        }
    }
    if errors.errors.is_empty() { Ok(()) } else { Err(errors) }
}

impl CsvErrors {
    fn note(&mut self, error: CsvError) {
        if self.errors.len() < CSV_ERRORS { self.errors.push(error) } else { self.more += 1 }
    }
}

impl Row<'_, '_> {
    /// The domain pattern, as it is written.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.cell(Column::Domain).unwrap_or_default()
    }

    /// What stands in a column; nothing if the file has no such column or the cell is empty.
    #[must_use]
    pub fn cell(&self, column: Column) -> Option<&str> {
        self.written(column).map(|cell| &*cell.value).filter(|value| !value.is_empty())
    }

    /// An error at a cell of this row.
    #[must_use]
    pub fn error(&self, column: Column, problem: CsvProblem) -> CsvError {
        self.error_at(self.written(column).map_or(self.start, |cell| cell.offset), problem)
    }

    /// The line and the column, both from 1, at which a cell of this row begins; the row itself if it has no such cell.
    pub(crate) fn place(&self, column: Column) -> (u32, u32) {
        self.place_of(self.written(column).map_or(self.start, |cell| cell.offset))
    }

    fn written(&self, column: Column) -> Option<&Cell<'_>> {
        self.cells.get((*self.columns.get(index(column))?)?)
    }

    fn error_at(&self, offset: usize, problem: CsvProblem) -> CsvError {
        let (line, column) = self.place_of(offset);
        CsvError { file: Arc::clone(self.file), line, column, problem }
    }

    fn place_of(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let breaks = self.text.get(self.start..offset).unwrap_or_default().matches('\n').count();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (self.line.saturating_add(as_u32(breaks)), as_u32(column))
    }

    /// The columns, if this is a header line; nothing if it is a domain.
    fn header(&self, known: &'static [Column]) -> Result<Option<[Option<usize>; COLUMNS]>, CsvError> {
        let named = |cell: &Cell<'_>| known.iter().copied().find(|column| column.is_named(&cell.value));
        let names: Vec<_> = self.cells.iter().map(|cell| (cell, named(cell))).collect();
        if !names.iter().any(|(_, column)| *column == known.first().copied()) {
            let of_domains = known.first() == Some(&Column::Domain);
            return match self.cells {
                [_] if of_domains => Ok(None),
                _ if of_domains => Err(self.error_at(self.start, CsvProblem::NoHeader)),
                _ => Err(self.error_at(self.start, CsvProblem::NoColumns { columns: known })),
            };
        }
        let mut columns = [None; COLUMNS];
        for (at, (cell, column)) in names.into_iter().enumerate() {
            let Some(column) = column else {
                return Err(
                    self.error_at(cell.offset, CsvProblem::UnknownColumn { found: cell.value.clone().into_owned(), allowed: known })
                );
            };
            if let Some(place) = columns.get_mut(index(column))
                && place.replace(at).is_some()
            {
                return Err(self.error_at(cell.offset, CsvProblem::ColumnTwice { column }));
            }
        }
        Ok(Some(columns))
    }

    fn check(&self, known: &[Column]) -> Result<(), CsvError> {
        let columns = self.columns.iter().flatten().count();
        // A line may end in commas: what stands behind them is nothing.
        if let Some(cell) = self.cells.iter().skip(columns).find(|cell| !cell.value.is_empty()) {
            return Err(self.error_at(cell.offset, CsvProblem::Cells { found: self.cells.len(), columns }));
        }
        match known.first() {
            Some(Column::Domain) if self.cell(Column::Domain).is_none() => Err(self.error(Column::Domain, CsvProblem::NoDomain)),
            _ => Ok(()),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    cells: Vec<Cell<'t>>,
}

type Read<'r, 't> = (Result<(), (usize, CsvProblem)>, &'r [Cell<'t>]);

impl<'t> Reader<'t> {
    /// Goes to the next line that is a row, and gives its number.
    fn next_line(&mut self) -> Option<u32> {
        loop {
            let rest = self.text.get(self.at..)?;
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
            let line = rest.get(..end)?;
            if !line.starts_with('#') && !line.trim_ascii().is_empty() {
                return Some(self.line);
            }
            self.at += end;
            self.line = self.line.saturating_add(1);
        }
    }

    /// Reads the row that begins here, over several lines if quotes go on there.
    fn read_row(&mut self, first: u32) -> Read<'_, 't> {
        self.cells.clear();
        self.line = first.saturating_add(1);
        let result = loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let offset = self.at + rest.len() - rest.trim_start_matches([' ', '\t']).len();
            let cell = self.text.get(offset..).unwrap_or_default();
            let (value, end) = if cell.starts_with('"') {
                match self.quoted(offset) {
                    Ok(quoted) => quoted,
                    Err(wrong) => break Err(wrong),
                }
            } else {
                let end = memchr::memchr2(b',', b'\n', cell.as_bytes()).unwrap_or(cell.len());
                (Cow::Borrowed(cell.get(..end).unwrap_or_default().trim_ascii()), offset + end)
            };
            self.cells.push(Cell { offset, value });
            self.at = end + 1;
            if self.text.as_bytes().get(end) != Some(&b',') {
                break Ok(());
            }
        };
        if result.is_err() {
            self.skip_line();
        }
        (result, &self.cells)
    }

    /// A cell that begins with quotes: what is in it, and where the comma or line break behind it is.
    fn quoted(&mut self, offset: usize) -> Result<(Cow<'t, str>, usize), (usize, CsvProblem)> {
        let start = offset + 1;
        let mut from = start;
        let mut doubled = false;
        let close = loop {
            let rest = self.text.get(from..).unwrap_or_default().as_bytes();
            let Some(at) = memchr::memchr(b'"', rest).map(|at| from + at) else {
                return Err((offset, CsvProblem::Quotes));
            };
            if self.text.as_bytes().get(at + 1) != Some(&b'"') {
                break at;
            }
            doubled = true;
            from = at + 2;
        };
        let value = self.text.get(start..close).unwrap_or_default();
        self.line = self.line.saturating_add(as_u32(memchr::memchr_iter(b'\n', value.as_bytes()).count()));
        let behind = self.text.get(close + 1..).unwrap_or_default();
        let end = memchr::memchr2(b',', b'\n', behind.as_bytes()).unwrap_or(behind.len());
        if !behind.get(..end).unwrap_or_default().trim_ascii().is_empty() {
            self.at = close + 1;
            return Err((close + 1, CsvProblem::BehindQuotes));
        }
        let value = value.trim_ascii();
        Ok((if doubled { Cow::Owned(value.replace("\"\"", "\"")) } else { Cow::Borrowed(value) }, close + 1 + end))
    }

    fn skip_line(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
    }
}

/// The cells of one row; nothing if its quotes go on behind the end of the text.
pub(super) fn cells(row: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut reader = Reader { text: row, at: 0, line: 1, cells: Vec::new() };
    let is_open = matches!(reader.read_row(1).0, Err((_, CsvProblem::Quotes)));
    (!is_open).then(|| reader.cells.into_iter().map(|cell| cell.value).collect())
}

/// Its place among all columns.
fn index(column: Column) -> usize {
    let (partners, others) =
        (&Column::PARTNERS, [Column::Owner, Column::Route, Column::Servers, Column::Submit, Column::List, Column::Entry]);
    partners.iter().chain(&others).position(|other| *other == column).unwrap_or(COLUMNS)
}

fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The columns of a file without a header line: the domain alone.
const LIST: [Option<usize>; COLUMNS] = {
    let mut columns = [None; COLUMNS];
    let [domain, ..] = &mut columns;
    *domain = Some(0);
    columns
};

const COLUMNS: usize = Column::COUNT;
