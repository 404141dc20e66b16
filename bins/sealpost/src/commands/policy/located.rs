//! Partners by name, wherever they stand: in the policy itself, or as rows of a list that it includes.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use sealpost_admin::{Kind, find_rows, rows_of_list};
use sealpost_policy::{Edit, PartnerForm};
use sealpost_relay::policy_file::{PolicyFileError, RowChange};
use serde_json::Value;

use super::super::{Failure, in_words};
use super::desk::Desk;
use super::{keys, shown};
use crate::cli;

/// Where a partner stands.
pub(super) enum Located {
    /// In an entry of the policy that edits find by this name.
    Entry,
    /// In rows of this list.
    Rows { list: String, rows: Vec<Value> },
}

impl Located {
    /// The entry with this name goes before rows; `list` asks for rows of that list alone.
    pub(super) fn find(desk: &Desk, name: &str, list: Option<&str>) -> Result<Self, Failure> {
        let missing = match (list, desk.text().find::<PartnerForm>(name)) {
            (None, Ok(_)) => return Ok(Self::Entry),
            (None, Err(error)) => error.to_string(),
            (Some(list), _) if !desk.text().includes().iter().any(|include| include.form.file == list) => {
                return Err(PolicyFileError::NoList { file: list.to_owned() }.to_string());
            }
            (Some(list), _) => format!("{list} has no row with the domain {name:?}, or that name"),
        };
        let mut rows = rows(desk, name)?;
        rows.retain(|row| list.is_none_or(|list| file(row) == list));
        let Some(first) = rows.first().map(|row| file(row).to_owned()) else { return Err(missing) };
        if rows.iter().any(|row| file(row) != first) {
            return Err(format!("{name:?} stands at {}; --list FILE says which is meant", places(&rows)));
        }
        Ok(Self::Rows { list: first, rows })
    }
}

/// `domains list`: what stands in lists may be very much, and is asked for.
pub(super) fn list(options: &cli::ListPartners) -> Result<ExitCode, Failure> {
    let (desk, json) = (Desk::open(&options.listing.config)?, options.listing.json);
    let Some(list) = options.rows.list.as_deref() else {
        shown::entries(Kind::Partner, &Kind::Partner.search(desk.text(), None, 0, usize::MAX), json);
        for include in desk.text().includes().iter().filter(|_| !json && std::io::stderr().is_terminal()) {
            eprintln!("and the rows of {0}: `sealpost domains list --list {0}`, or `search`", include.form.file);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let rows = rows_of_list(desk.file(), desk.text(), list).map_err(in_words)?;
    let rows = rows.ok_or_else(|| PolicyFileError::NoList { file: list.to_owned() }.to_string())?;
    shown::entries(Kind::Partner, &rows, json);
    Ok(ExitCode::SUCCESS)
}

/// `domains show`.
pub(super) fn show(options: &cli::ShowPartner) -> Result<ExitCode, Failure> {
    let (desk, name, json) = (Desk::open(&options.address.config)?, &options.address.name, options.address.json);
    // An entry is shown by any of its domains, too.
    if let (None, Ok(entry)) = (&options.rows.list, Kind::Partner.find(desk.text(), name)) {
        shown::entry(Kind::Partner, desk.file(), &entry, json);
        tell_of_rows(&desk, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Located::Rows { list, rows } = Located::find(&desk, name, options.rows.list.as_deref())? {
        let file = desk.beside(&list);
        rows.iter().for_each(|row| shown::entry(Kind::Partner, &file, row, json));
    }
    Ok(ExitCode::SUCCESS)
}

/// `domains set`.
pub(super) fn set(options: &cli::SetPartner) -> Result<ExitCode, Failure> {
    let cli::Set { config, name, settings, change } = &options.set;
    let desk = Desk::open(config)?;
    match Located::find(&desk, name, options.rows.list.as_deref())? {
        Located::Entry => {
            let code = desk.change(vec![Edit::SetPartner { at: name.clone(), patch: keys::patch(settings)? }], *change)?;
            tell_of_rows(&desk, name)?;
            Ok(code)
        }
        Located::Rows { list, .. } => desk.change_row(&list, RowChange::Set { at: name.clone(), cells: keys::cells(settings)? }, *change),
    }
}

/// `domains remove`.
pub(super) fn remove(options: &cli::RemovePartner) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let (items, list) = (&options.items, options.rows.list.as_deref());
    if let Some(partner) = &options.from {
        if list.is_some() {
            return Err("--from takes domains out of an entry, --list removes rows: give one of the two".to_owned());
        }
        let edit = Edit::RemoveDomains { partner: partner.clone(), domains: items.iter().collect() };
        return desk.change(vec![edit], options.change);
    }
    let mut edits = Vec::new();
    let mut of_lists = Vec::new();
    for at in items {
        match Located::find(&desk, at, list)? {
            Located::Entry => edits.push(Edit::RemovePartner { at: at.clone() }),
            Located::Rows { list, .. } => of_lists.push((list, at)),
        }
    }
    match (edits.is_empty(), of_lists.as_slice()) {
        (false, []) => {
            let code = desk.change(edits, options.change)?;
            items.iter().try_for_each(|at| tell_of_rows(&desk, at))?;
            Ok(code)
        }
        (true, [(list, at)]) => desk.change_row(list, RowChange::Remove((*at).clone()), options.change),
        _ => {
            let (list, at) = of_lists.first().map_or(("", ""), |(list, at)| (list, at));
            Err(format!("{at:?} is a row of {list}: rows are removed one domain or name at a time; nothing is changed"))
        }
    }
}

/// Rows of the same domain hold beside an entry, which somebody who names the entry may not know.
fn tell_of_rows(desk: &Desk, name: &str) -> Result<(), Failure> {
    let rows = rows(desk, name)?;
    if !rows.is_empty() {
        eprintln!("warning: {} has that domain or name as well; --list shows and changes it there", places(&rows));
    }
    Ok(())
}

fn rows(desk: &Desk, at: &str) -> Result<Vec<Value>, Failure> {
    find_rows(desk.file(), desk.text(), at).map_err(in_words)
}

fn file(row: &Value) -> &str {
    row.get("file").and_then(Value::as_str).unwrap_or_default()
}

/// `partners.csv:3, far.csv:7`.
fn places(rows: &[Value]) -> String {
    let place = |row: &Value| format!("{}:{}", file(row), row.get("line").unwrap_or(&Value::Null));
    rows.iter().take(PLACES).map(place).collect::<Vec<_>>().join(", ")
}

/// Places of which each is named.
const PLACES: usize = 5;
