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
            Ok(row) => rows.extend(entry.form.domains.iter().map(|domain| (domain, row.clone()))),
            Err(key) => {
                let found = entry.form.name.as_deref().or_else(|| entry.form.domains.iter().next().map(String::as_str));
                notes.refuse((entry.line, None), found.unwrap_or_default(), Loss::NoColumn { key });
            }
        }
    }
    let used: Vec<_> = Column::ALL
        .iter()
        .skip(1)
        .enumerate()
        .filter(|(at, _)| rows.iter().any(|(_, row)| row.get(*at).is_some_and(Option::is_some)))
        .collect();
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    // Writing to memory fails for rows of different lengths only, and these have one.
    let header = std::iter::once(Column::Domain.as_str()).chain(used.iter().map(|(_, column)| column.as_str()));
    let mut written = writer.write_record(header).is_ok();
    for (domain, row) in &rows {
        let cells = used.iter().map(|(at, _)| row.get(*at).and_then(Option::as_deref).unwrap_or_default());
        written &= writer.write_record(std::iter::once(domain.as_str()).chain(cells)).is_ok();
    }
    debug_assert!(written, "rows of one length");
    let text = writer.into_inner().ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_default();
    Exported { text, warnings: notes.warnings, refused: notes.refused }
}

/// The cells behind the domain, in the order of the columns; or the key that no column can hold.
fn row(form: &PartnerForm) -> Result<Vec<Option<String>>, &'static str> {
    let deliver = form.deliver.as_ref().map(HopForm::to_table).unwrap_or_default();
    let receive = form.receive.as_ref().map(HopForm::to_table).unwrap_or_default();
    if let Some(key) = beyond(&deliver)
        .or_else(|| (receive != HopTable { level: receive.level.clone(), ..HopTable::default() }).then_some("receive with options"))
    {
        return Err(key);
    }
    if form.clients.is_some() {
        return Err("clients");
    }
    // An empty cell says nothing, an empty list says that there are none.
    let empty = |items: &Option<Items>| items.as_ref().is_some_and(Items::is_empty);
    for (items, key) in [(&form.r#for, "for = []"), (&deliver.names, "names = []"), (&deliver.pins, "pins = []")] {
        if empty(items) {
            return Err(key);
        }
    }
    let list = |items: &Option<Items>| items.as_ref().filter(|items| !items.is_empty()).map(|items| items.as_slice().join(" "));
    Ok(vec![
        form.name.clone(),
        form.subdomains.map(|yes| yes.to_string()),
        list(&form.exclude),
        list(&form.r#for),
        receive.level,
        deliver.level,
        deliver.matching,
        list(&deliver.names),
        list(&deliver.pins),
        deliver.min_version,
        deliver.min_group,
        deliver.lifetime,
        deliver.on_expiry,
        deliver.on_failure,
        form.mode.clone(),
        form.until.clone(),
        form.reason.clone(),
    ])
}

/// A key of the deliver hop that has no column.
fn beyond(deliver: &HopTable) -> Option<&'static str> {
    [
        (deliver.otherwise.is_some(), "else"),
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
