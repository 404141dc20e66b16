//! From rows to partners.

use super::{Column, CsvError, CsvErrors, CsvProblem, Row, read_rows};
use crate::document::words::ON_EXPIRY;
use crate::edit::Entry;
use crate::exchange::words::{self, DELIVER_LEVELS, RECEIVE_LEVELS};
use crate::form::{HopForm, HopTable, Items, PartnerForm};
use crate::pattern::Pattern;

/// What rows say that do not say it themselves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CsvDefaults {
    /// For rows with an empty cell, or a file without a column, `receive`.
    pub receive: Option<HopForm>,
    /// For what a row leaves empty of the deliver hop. A row with a level of its own keeps the options given here.
    pub deliver: Option<HopForm>,
}

/// Reads partners from a CSV with a header line, or from a list with one domain a line.
///
/// Rows that follow one another, have one name and differ in nothing but the domain become one entry with several domains.
///
/// # Errors
/// [`CsvErrors`] with the place of each mistake; then nothing is imported.
///
/// # Example
/// ```
/// # use sealpost_policy::{CsvDefaults, import_csv};
/// let partners = import_csv("partners.csv", "domain,deliver,names\nbank.example,verify,mx1.bank.example mx2.bank.example\n", &CsvDefaults::default())?;
/// assert_eq!(partners[0].line, 2);
/// assert_eq!(partners[0].form.deliver.as_ref().and_then(|hop| hop.level()), Some("verify"));
/// # Ok::<(), sealpost_policy::CsvErrors>(())
/// ```
pub fn import_csv(name: &str, text: &str, defaults: &CsvDefaults) -> Result<Vec<Entry<PartnerForm>>, CsvErrors> {
    import_csv_with(name, text, defaults, |_| ())
}

/// The same, and tells the line of each row that is read: of very many rows, how far it is.
///
/// # Errors
/// As for [`import_csv`].
pub fn import_csv_with(
    name: &str,
    text: &str,
    defaults: &CsvDefaults,
    mut at: impl FnMut(u32),
) -> Result<Vec<Entry<PartnerForm>>, CsvErrors> {
    let mut partners: Vec<Entry<PartnerForm>> = Vec::new();
    read_rows(name, text, |row| {
        at(row.line);
        let form = partner(row, defaults)?;
        match partners.last_mut().filter(|last| is_continued(&last.form, &form)) {
            Some(last) => form.domains.iter().for_each(|domain| last.form.domains.push(domain)),
            None => partners.push(Entry { line: row.line, form }),
        }
        Ok(())
    })?;
    Ok(partners)
}

fn is_continued(last: &PartnerForm, next: &PartnerForm) -> bool {
    last.name.is_some() && last == &PartnerForm { domains: last.domains.clone(), ..next.clone() }
}

fn partner(row: &Row<'_, '_>, defaults: &CsvDefaults) -> Result<PartnerForm, CsvError> {
    if let Err(cause) = row.domain().parse::<Pattern>() {
        return Err(row.error(Column::Domain, CsvProblem::Pattern { found: row.domain().to_owned(), cause }));
    }
    let text = |column| row.cell(column).map(str::to_owned);
    let items = |column| row.cell(column).map(Items::from);
    let deliver = deliver(row, defaults.deliver.as_ref())?;
    let mut form = PartnerForm::new(Items::from(row.domain()));
    form.name = text(Column::Name);
    form.subdomains = word(row, Column::Subdomains, &["true", "false"])?.map(|word| word == "true");
    form.exclude = items(Column::Exclude);
    form.r#for = items(Column::For);
    form.receive = level(row, Column::Receive, RECEIVE_LEVELS)?.map(HopForm::Level).or_else(|| defaults.receive.clone());
    form.deliver = deliver;
    form.mode = word(row, Column::Mode, &["enforce", "testing"])?;
    form.until = text(Column::Until);
    form.reason = text(Column::Reason);
    Ok(form)
}

/// What a row says of the deliver hop, and `base` where it says nothing.
pub(super) fn deliver(row: &Row<'_, '_>, base: Option<&HopForm>) -> Result<Option<HopForm>, CsvError> {
    let text = |column| row.cell(column).map(str::to_owned);
    let items = |column| row.cell(column).map(Items::from);
    let base = base.map(HopForm::to_table).unwrap_or_default();
    let deliver = HopTable {
        level: level(row, Column::Deliver, DELIVER_LEVELS)?.or(base.level),
        matching: word(row, Column::Match, &["domain", "mx"])?.or(base.matching),
        names: items(Column::Names).or(base.names),
        pins: items(Column::Pins).or(base.pins),
        anchors: items(Column::Anchors).or(base.anchors),
        min_version: word(row, Column::MinVersion, &["1.2", "1.3"])?.or(base.min_version),
        min_group: text(Column::MinGroup).or(base.min_group),
        lifetime: text(Column::Lifetime).or(base.lifetime),
        on_expiry: word(row, Column::OnExpiry, ON_EXPIRY)?.or(base.on_expiry),
        on_failure: word(row, Column::OnFailure, &["retry", "bounce"])?.or(base.on_failure),
        ..base
    };
    Ok((deliver != HopTable::default()).then(|| deliver.into()))
}

pub(super) fn level(row: &Row<'_, '_>, column: Column, allowed: &'static [&'static str]) -> Result<Option<String>, CsvError> {
    match row.cell(column) {
        Some(found) if !words::level(found).is_some_and(|level| allowed.contains(&level)) => {
            Err(row.error(column, CsvProblem::Word { column, found: found.to_owned(), allowed }))
        }
        found => Ok(found.map(str::to_owned)),
    }
}

pub(super) fn word(row: &Row<'_, '_>, column: Column, allowed: &'static [&'static str]) -> Result<Option<String>, CsvError> {
    match row.cell(column) {
        Some(found) if !allowed.contains(&found) => Err(row.error(column, CsvProblem::Word { column, found: found.to_owned(), allowed })),
        found => Ok(found.map(str::to_owned)),
    }
}
