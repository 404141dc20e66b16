//! The rows of included lists: there may be a million, so that they are gone through, and only those that are asked for are kept.

use std::path::{Path, PathBuf};

use sealpost_policy::{Column, CsvErrors, Entry, IncludeForm, PolicyText, Row, read_rows, same_item};
use serde_json::{Value, json};

use super::{Entries, Kind, Query};

/// Why an included list cannot be searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It cannot be read.
    #[error("cannot read the included list {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Wrong(#[from] CsvErrors),
}

/// Partners that were found, those of the policy first, then the rows of the lists that it includes. `file` is the policy's. Blocks.
///
/// # Errors
/// [`ListError`]: an included list cannot be read, or is wrong.
pub fn search_partners(file: &Path, text: &PolicyText, query: Option<&Query>, offset: usize, limit: usize) -> Result<Entries, ListError> {
    let mut found = Kind::Partner.search(text, query, offset, limit);
    for include in text.includes() {
        each_row(file, include, |row| {
            let (domain, name) = (row.domain(), row.cell(Column::Name));
            let below = row.cell(Column::Subdomains) != Some("false");
            let is_found =
                |query: &Query| name.is_some_and(|name| query.is_in(name)) || query.is_in(domain) || query.is_covered(domain, below);
            if query.is_none_or(is_found) {
                found.total += 1;
                if found.total > offset && found.entries.len() < limit {
                    found.entries.push(value(&include.form, row));
                }
            }
        })?;
    }
    Ok(found)
}

/// The rows that this names: those of exactly this domain pattern, and those of this name. Blocks.
///
/// # Errors
/// As for [`search_partners`].
pub fn find_rows(file: &Path, text: &PolicyText, at: &str) -> Result<Vec<Value>, ListError> {
    let mut found = Vec::new();
    for include in text.includes() {
        each_row(file, include, |row| {
            if same_item(row.domain(), at) || row.cell(Column::Name) == Some(at) {
                found.push(value(&include.form, row));
            }
        })?;
    }
    Ok(found)
}

/// All rows of one list; nothing if the policy does not include it. Blocks.
///
/// # Errors
/// As for [`search_partners`].
pub fn rows_of_list(file: &Path, text: &PolicyText, list: &str) -> Result<Option<Entries>, ListError> {
    let Some(include) = text.includes().iter().find(|include| include.form.file == list) else { return Ok(None) };
    let mut entries = Vec::new();
    each_row(file, include, |row| entries.push(value(&include.form, row)))?;
    Ok(Some(Entries { total: entries.len(), entries }))
}

fn each_row(file: &Path, include: &Entry<IncludeForm>, mut visit: impl FnMut(&Row<'_, '_>)) -> Result<(), ListError> {
    let path = file.parent().unwrap_or_else(|| Path::new(".")).join(&include.form.file);
    let list = std::fs::read_to_string(&path).map_err(|source| ListError::Unreadable { path, source })?;
    read_rows(&include.form.file, &list, |row| {
        visit(row);
        Ok(())
    })?;
    Ok(())
}

/// A row as an entry. What it leaves open, its list says.
fn value(include: &IncludeForm, row: &Row<'_, '_>) -> Value {
    let hops = [("receive", &include.receive), ("deliver", &include.deliver)];
    let inherited = hops.into_iter().filter_map(|(key, hop)| Some((key.to_owned(), serde_json::to_value(hop.as_ref()?).ok()?)));
    let mut entry: serde_json::Map<_, Value> = inherited.collect();
    let cells = Column::PARTNERS.into_iter().filter(|column| *column != Column::Domain);
    entry.extend(cells.filter_map(|column| Some((column.as_str().to_owned(), row.cell(column)?.into()))));
    entry.insert("domains".to_owned(), json!([row.domain()]));
    entry.insert("file".to_owned(), include.file.as_str().into());
    entry.insert("line".to_owned(), row.line.into());
    Value::Object(entry)
}
