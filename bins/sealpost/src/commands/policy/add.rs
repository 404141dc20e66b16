//! Entries are added.

use std::process::ExitCode;

use sealpost_policy::{Edit, NewRow, PartnerForm, Patch, PatchValue};
use sealpost_relay::policy_file::RowChange;
use serde::de::DeserializeOwned;

use super::super::Failure;
use super::desk::Desk;
use super::{keys, ping};
use crate::cli;

/// A partner: pinged first, so that nobody enforces what cannot be had (A7).
pub(super) fn partner(options: &cli::AddPartner) -> Result<ExitCode, Failure> {
    let (settings, domains): (Vec<_>, Vec<_>) = options.items.iter().cloned().partition(|item| item.contains('='));
    if domains.is_empty() {
        return Err("no domain is named; DOMAIN is meant beside KEY=VALUE".to_owned());
    }
    if let Some(list) = &options.list {
        return row(options, list, &domains, &settings);
    }
    let edit = match &options.to {
        Some(_) if !settings.is_empty() => return Err("--to adds domains; `sealpost domains set` changes settings".to_owned()),
        Some(partner) => Edit::AddDomains { partner: partner.clone(), domains: domains.iter().collect() },
        None => {
            let mut patch = keys::patch(&settings)?.with("domains", PatchValue::List(domains.clone()));
            if let Some(name) = &options.name {
                patch = patch.with("name", PatchValue::Text(name.clone()));
            }
            let says = |patch: &Patch, key: &str| patch.iter().any(|(given, _)| given == key);
            if !says(&patch, "receive") && !says(&patch, "deliver") {
                let require = || PatchValue::Text("require".to_owned());
                patch = patch.with("receive", require()).with("deliver", require());
            }
            Edit::AddPartner { entry: form::<PartnerForm>(&patch)? }
        }
    };
    let desk = Desk::open(&options.config)?;
    let draft = ping::Draft::with(&desk, &edit)?;
    pinged(&desk, &draft, &domains, options, || desk.change(vec![edit], options.change))
}

/// A row of an included list: what is wrong with it is told before anybody is pinged.
fn row(options: &cli::AddPartner, list: &str, domains: &[String], settings: &[String]) -> Result<ExitCode, Failure> {
    let [domain] = domains else { return Err("--list adds one domain at a time".to_owned()) };
    let given = [("domain", Some(domain)), ("name", options.name.as_ref())];
    let given = given.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let row = NewRow::Cells(keys::cells(&settings.iter().cloned().chain(given).collect::<Vec<_>>())?);
    let desk = Desk::open(&options.config)?;
    desk.try_row(list, RowChange::Add(row.clone()), options.change)?;
    let draft = ping::Draft::with_row(&desk, list, &row)?;
    pinged(&desk, &draft, domains, options, || desk.change_row(list, RowChange::Add(row), options.change))
}

/// Pings the domains, adds them if that went well or does not matter, and has what waits for those that are in order tried.
fn pinged(
    desk: &Desk,
    draft: &ping::Draft,
    domains: &[String],
    options: &cli::AddPartner,
    add: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let pings = ping::before(desk, draft, domains)?;
    let code = pings.code();
    if code != 0 && !options.even_if_unreachable {
        let why = if code == 1 { "a ping failed" } else { "not every domain could be tested now" };
        eprintln!("sealpost: nothing is changed: {why}; --even-if-unreachable adds it all the same");
        return Ok(ExitCode::from(code));
    }
    if code != 0 {
        eprintln!("warning: mail for what failed above waits until its TLS can be had");
    }
    let added = add()?;
    if !options.change.dry_run {
        pings.wake(desk)?;
    }
    Ok(added)
}

/// An entry of another kind.
pub(super) fn entry<T: DeserializeOwned>(options: &cli::Add, edit: impl FnOnce(T) -> Edit) -> Result<ExitCode, Failure> {
    let patch = keys::patch(&options.settings)?.with("name", PatchValue::Text(options.name.clone()));
    let edit = edit(form(&patch)?);
    Desk::open(&options.config)?.change(vec![edit], options.change)
}

/// The entry that has these settings and no others.
fn form<T: DeserializeOwned>(patch: &Patch) -> Result<T, Failure> {
    serde_json::to_value(patch).and_then(serde_json::from_value).map_err(|error| format!("the settings are none of such an entry: {error}"))
}
