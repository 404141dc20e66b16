//! Policies of others: partners from a Postfix table or a CSV, and to them.
//!
//! Nothing comes in weaker than it was without a [`Warning`], and what cannot be as strict as it was is refused: an entry that is
//! not there is seen, one that means less is not.

mod csv;
mod loss;
mod postfix;
mod words;

use crate::edit::Entry;
use crate::form::PartnerForm;

pub use self::csv::{
    CSV_ERRORS, Column, CsvDefaults, CsvError, CsvErrors, CsvProblem, EditedRow, NewRow, Row, RowEdit, RowsEdited, export_csv,
    export_domains_csv, export_lists_csv, import_csv, import_csv_with, import_domains_csv, import_lists_csv, read_rows,
};
pub use loss::{Consequence, Loss, Warning};
pub use postfix::{Fingerprints, export_postfix, export_postfix_policy, import_postfix};

/// What an import found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The entries, each with its line in the text that was read.
    pub partners: Vec<Entry<PartnerForm>>,
    /// What is not quite as it was.
    pub warnings: Vec<Warning>,
    /// What was not taken. Other entries and the defaults hold for its mail, which may be weaker.
    pub refused: Vec<Warning>,
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The text.
    pub text: String,
    /// What is not quite as it was.
    pub warnings: Vec<Warning>,
    /// What was not written, because it would not be as strict there.
    pub refused: Vec<Warning>,
}
