//! From partners to rows.

use super::Column;
use crate::edit::Entry;
use crate::exchange::loss::Notes;
use crate::exchange::{Exported, Loss};
use crate::form::{HopForm, HopTable, Items, PartnerForm};

/// Writes partners as a CSV with a header line, one row a domain pattern; `name` is what warnings call the text they come from.
///
/// Columns that no row needs are left out. An entry that says more than the columns can hold is refused.
///
/// # Example
/// ```
/// # use sealpost_policy::{PolicyText, export_csv};
/// let text = PolicyText::parse("policy.toml", "[[partner]]\ndomains = 'a.example b.example'\ndeliver = 'require'\n")?;
/// assert_eq!(export_csv("policy.toml", text.partners()).text, "domain,deliver\na.example,require\nb.example,require\n");
/// # Ok::<(), sealpost_policy::TextError>(())
/// ```
#[must_use]
pub fn export_csv<'a>(name: &str, partners: impl IntoIterator<Item = &'a Entry<PartnerForm>>) -> Exported {
    let mut notes = Notes::new(name);
    let mut rows = Vec::new();
    for entry in partners {
        match row(&entry.form) {
            Ok(row) => rows.extend(entry.form.domains.iter().map(|domain| {
                let mut row = row.clone();
                row.splice(..1, [Some(domain.clone())]);
                row
            })),
            Err(key) => {
                let found = entry.form.name.as_deref().or_else(|| entry.form.domains.iter().next().map(String::as_str));
                notes.refuse((entry.line, None), found.unwrap_or_default(), Loss::NoColumn { key });
            }
        }
    }
    Exported { text: write(&Column::PARTNERS, &rows), warnings: notes.warnings, refused: notes.refused }
}

/// The rows below a header line; columns that no row needs are left out, but for the first.
pub(super) fn write(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    let is_used = |at: usize| at == 0 || rows.iter().any(|row| row.get(at).is_some_and(Option::is_some));
    let used: Vec<_> = columns.iter().enumerate().filter(|(at, _)| is_used(*at)).collect();
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    // Writing to memory fails for rows of different lengths only, and these have one.
    let mut written = writer.write_record(used.iter().map(|(_, column)| column.as_str())).is_ok();
    for row in rows {
        let cells = used.iter().map(|(at, _)| row.get(*at).and_then(Option::as_deref).unwrap_or_default());
        written &= writer.write_record(cells).is_ok();
    }
    debug_assert!(written, "rows of one length");
    writer.into_inner().ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_default()
}

/// The cells in the order of the columns, the domain left empty; or the key that no column can hold.
fn row(form: &PartnerForm) -> Result<Vec<Option<String>>, &'static str> {
    if form.clients.is_some() {
        return Err("clients");
    }
    let mut row = vec![
        None,
        form.name.clone(),
        form.subdomains.map(|yes| yes.to_string()),
        items(form.exclude.as_ref().filter(|items| !items.is_empty()), "exclude = []")?,
        items(form.r#for.as_ref(), "for = []")?,
        level_alone(form.receive.as_ref(), "receive with options")?,
    ];
    row.extend(deliver_cells(form.deliver.as_ref())?);
    row.extend([form.mode.clone(), form.until.clone(), form.reason.clone()]);
    Ok(row)
}

/// A list as a cell: an empty cell says nothing, an empty list says that there are none.
pub(super) fn items(items: Option<&Items>, empty: &'static str) -> Result<Option<String>, &'static str> {
    match items {
        Some(items) if items.is_empty() => Err(empty),
        items => Ok(items.map(|items| items.as_slice().join(" "))),
    }
}

/// A hop of which a level is all that there is a column for.
pub(super) fn level_alone(hop: Option<&HopForm>, beyond: &'static str) -> Result<Option<String>, &'static str> {
    let table = hop.map(HopForm::to_table).unwrap_or_default();
    let alone = table == HopTable { level: table.level.clone(), ..HopTable::default() };
    if alone { Ok(table.level) } else { Err(beyond) }
}

/// The columns of the deliver hop, the level first.
pub(super) fn deliver_cells(hop: Option<&HopForm>) -> Result<[Option<String>; 10], &'static str> {
    let deliver = hop.map(HopForm::to_table).unwrap_or_default();
    if let Some(key) = beyond(&deliver) {
        return Err(key);
    }
    Ok([
        deliver.level,
        deliver.matching,
        items(deliver.names.as_ref(), "names = []")?,
        items(deliver.pins.as_ref(), "pins = []")?,
        items(deliver.anchors.as_ref(), "anchors = []")?,
        deliver.min_version,
        deliver.min_group,
        deliver.lifetime,
        deliver.on_expiry,
        deliver.on_failure,
    ])
}

/// A key of the deliver hop that has no column.
fn beyond(deliver: &HopTable) -> Option<&'static str> {
    [
        (deliver.otherwise.is_some(), "else"),
        (deliver.client_certificate.is_some(), "client_certificate"),
        (deliver.client_key.is_some(), "client_key"),
        (deliver.ciphers.is_some(), "ciphers"),
        (deliver.senders.is_some(), "senders"),
        (deliver.recipients.is_some(), "recipients"),
        (deliver.refuse.is_some(), "refuse"),
        (deliver.exempt_clients.is_some(), "exempt_clients"),
        (deliver.retry.is_some(), "retry"),
        (deliver.bounce_after.is_some(), "bounce_after"),
        (deliver.ignore_published.is_some(), "ignore_published"),
        (deliver.dane_satisfies.is_some(), "dane_satisfies"),
        (deliver.clear_fallback.is_some(), "clear_fallback"),
    ]
    .into_iter()
    .find_map(|(is_there, key)| is_there.then_some(key))
}
