//! Lists as rows: the name of the list, and one of its entries.

use std::collections::HashMap;

use super::export::write;
use super::rows::read_table;
use super::{Column, CsvErrors};
use crate::edit::Entry;
use crate::exchange::Exported;
use crate::form::{Items, ListForm};

/// Reads lists from a CSV with the header line `list,entry`. A row with an empty entry makes an empty list.
///
/// # Errors
/// [`CsvErrors`] with the place of each mistake; then nothing is imported.
///
/// # Example
/// ```
/// # use sealpost_policy::{export_lists_csv, import_lists_csv};
/// let rows = "list,entry\ntls,bank.example\ntls,*.gov.example\nnobody,\n";
/// let lists = import_lists_csv("lists.csv", rows)?;
/// assert_eq!((lists.len(), lists[0].form.entries.as_slice()), (2, &["bank.example".to_owned(), "*.gov.example".to_owned()][..]));
/// assert_eq!(export_lists_csv(&lists).text, rows);
/// # Ok::<(), sealpost_policy::CsvErrors>(())
/// ```
pub fn import_lists_csv(name: &str, text: &str) -> Result<Vec<Entry<ListForm>>, CsvErrors> {
    let mut lists: Vec<Entry<ListForm>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    read_table(name, text, &Column::LISTS, |row| {
        let Some(list) = row.cell(Column::List) else {
            return Err(row.error(Column::List, super::CsvProblem::NoList));
        };
        let place = *places.entry(list.to_owned()).or_insert_with(|| {
            lists.push(Entry { line: row.line, form: ListForm { name: list.to_owned(), entries: Items::default() } });
            lists.len() - 1
        });
        if let (Some(list), Some(entry)) = (lists.get_mut(place), row.cell(Column::Entry)) {
            list.form.entries.push(entry);
        }
        Ok(())
    })?;
    Ok(lists)
}

/// Writes lists as a CSV: a row for each entry, and one for a list that has none.
#[must_use]
pub fn export_lists_csv<'a>(lists: impl IntoIterator<Item = &'a Entry<ListForm>>) -> Exported {
    let mut rows = Vec::new();
    for entry in lists {
        let row = |item: Option<&String>| vec![Some(entry.form.name.clone()), item.cloned()];
        match entry.form.entries.is_empty() {
            true => rows.push(row(None)),
            false => rows.extend(entry.form.entries.iter().map(|item| row(Some(item)))),
        }
    }
    Exported { text: write(&Column::LISTS, &rows), warnings: Vec::new(), refused: Vec::new() }
}
