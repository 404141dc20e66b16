//! Salvaged rows go into the tables of a fresh database.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{ErrorCode, Transaction, params_from_iter};

use super::{Salvage, SalvagedRow};

/// The tables of a fresh database, as far as rows came for them.
///
/// As a [`Salvage`] it takes each row of a table that is there, and leaves those out whose table is not known.
#[derive(Debug, Default)]
pub struct SalvagedTables {
    columns: HashMap<String, Vec<Column>>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// Whether it is another name of the row id.
    is_rowid: bool,
}

impl SalvagedTables {
    /// Puts a row into `table`, its values in the order of the columns; false if the table does not take it, because there is such a
    /// row already or a value is of another type than its column takes. Columns for which there is no value are null.
    ///
    /// # Errors
    /// What else SQLite says.
    pub fn insert(&mut self, tx: &Transaction<'_>, table: &str, rowid: i64, values: &[Value]) -> rusqlite::Result<bool> {
        if !self.columns.contains_key(table) {
            self.columns.insert(table.to_owned(), columns(tx, table)?);
        }
        if self.columns.get(table).is_none_or(Vec::is_empty) {
            return Ok(false);
        }
        let known = self.columns.get(table).into_iter().flatten().zip(values);
        let names: Vec<_> = known.clone().map(|(column, _)| column.name.as_str()).collect();
        let places: Vec<_> = (1..=names.len()).map(|place| format!("?{place}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
        let values = known.map(|(column, value)| if column.is_rowid { Value::Integer(rowid) } else { value.clone() });
        match tx.prepare_cached(&sql)?.execute(params_from_iter(values)) {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Salvage for SalvagedTables {
    fn keep(&mut self, tx: &Transaction<'_>, row: SalvagedRow) -> rusqlite::Result<()> {
        let Some(table) = row.table else { return Ok(()) };
        self.insert(tx, &table, row.rowid, &row.values).map(drop)
    }

    fn finish(&mut self, _: &Transaction<'_>) -> rusqlite::Result<()> {
        Ok(())
    }
}

fn columns(tx: &Transaction<'_>, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut select = tx.prepare("SELECT name, pk = 1 AND type = 'INTEGER' FROM pragma_table_info(?1) ORDER BY cid")?;
    select.query_map([table], |row| Ok(Column { name: row.get(0)?, is_rowid: row.get(1)? }))?.collect()
}
