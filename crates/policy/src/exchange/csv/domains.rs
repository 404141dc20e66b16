//! Hosted domains as rows.

use super::export::{deliver_cells, items, level_alone, write};
use super::import::{deliver, level, word};
use super::rows::read_table;
use super::{Column, CsvErrors, CsvProblem, Row};
use crate::edit::Entry;
use crate::exchange::loss::Notes;
use crate::exchange::words::RECEIVE_LEVELS;
use crate::exchange::{Exported, Loss};
use crate::form::{DomainForm, HopForm, Items};
use crate::pattern::Pattern;

/// Reads hosted domains from a CSV with a header line ([`Column::DOMAINS`]), or from a list with one domain a line.
///
/// # Errors
/// [`CsvErrors`] with the place of each mistake; then nothing is imported.
///
/// # Example
/// ```
/// # use sealpost_policy::{export_domains_csv, import_domains_csv};
/// let rows = "domain,owner,route,deliver\nacme.example,acme,mail.acme.example:25,verify\n";
/// let domains = import_domains_csv("domains.csv", rows)?;
/// assert_eq!(domains[0].form.owner.as_deref(), Some("acme"));
/// assert_eq!(export_domains_csv("policy.toml", &domains).text, rows);
/// # Ok::<(), sealpost_policy::CsvErrors>(())
/// ```
pub fn import_domains_csv(name: &str, text: &str) -> Result<Vec<Entry<DomainForm>>, CsvErrors> {
    let mut domains = Vec::new();
    read_table(name, text, &Column::DOMAINS, |row| {
        domains.push(Entry { line: row.line, form: domain(row)? });
        Ok(())
    })?;
    Ok(domains)
}

/// Writes hosted domains as a CSV with a header line; `name` is what warnings call the text they come from.
///
/// Columns that no row needs are left out. An entry that says more than the columns can hold is refused.
#[must_use]
pub fn export_domains_csv<'a>(name: &str, domains: impl IntoIterator<Item = &'a Entry<DomainForm>>) -> Exported {
    let mut notes = Notes::new(name);
    let mut rows = Vec::new();
    for entry in domains {
        match row(&entry.form) {
            Ok(row) => rows.push(row),
            Err(key) => notes.refuse((entry.line, None), &entry.form.name, Loss::NoColumn { key }),
        }
    }
    Exported { text: write(&Column::DOMAINS, &rows), warnings: notes.warnings, refused: notes.refused }
}

fn domain(row: &Row<'_, '_>) -> Result<DomainForm, super::CsvError> {
    if let Err(cause) = row.domain().parse::<Pattern>() {
        return Err(row.error(Column::Domain, CsvProblem::Pattern { found: row.domain().to_owned(), cause }));
    }
    let text = |column| row.cell(column).map(str::to_owned);
    let hop = |column| level(row, column, RECEIVE_LEVELS).map(|level| level.map(HopForm::Level));
    Ok(DomainForm {
        name: row.domain().to_owned(),
        owner: text(Column::Owner),
        route: text(Column::Route),
        servers: row.cell(Column::Servers).map(Items::from),
        receive: hop(Column::Receive)?,
        submit: hop(Column::Submit)?,
        deliver: deliver(row, None)?,
        mode: word(row, Column::Mode, &["enforce", "testing"])?,
        until: text(Column::Until),
        reason: text(Column::Reason),
    })
}

/// The cells in the order of the columns; or the key that no column can hold.
fn row(form: &DomainForm) -> Result<Vec<Option<String>>, &'static str> {
    let mut row = vec![
        Some(form.name.clone()),
        form.owner.clone(),
        form.route.clone(),
        items(form.servers.as_ref(), "servers = []")?,
        level_alone(form.receive.as_ref(), "receive with options")?,
        level_alone(form.submit.as_ref(), "submit with options")?,
    ];
    row.extend(deliver_cells(form.deliver.as_ref())?);
    row.extend([form.mode.clone(), form.until.clone(), form.reason.clone()]);
    Ok(row)
}
