//! Commands on the entries of the policy: domains, owners, lists, rules.

mod add;
mod desk;
mod exchange;
mod keys;
mod located;
mod ping;
mod place;
mod shown;
pub(super) mod waiting;

use std::process::ExitCode;

use sealpost_admin::{Kind, Query, search_partners};
use sealpost_policy::{DomainForm, Edit, Items, ListForm, OwnerForm, RuleForm, RulePlace};

use self::desk::Desk;
use super::{Failure, in_words};
use crate::cli::{self, Domains, Hosted, Lists, Owners, Rules};

pub(crate) fn domains(command: &Domains) -> Result<ExitCode, Failure> {
    match command {
        Domains::List(options) => located::list(options),
        Domains::Search(options) => search(Kind::Partner, options),
        Domains::Show(options) => located::show(options),
        Domains::Add(options) => add::partner(options),
        Domains::Set(options) => located::set(options),
        Domains::Remove(options) => located::remove(options),
        Domains::Test(options) => ping::test(Kind::Partner, options),
        Domains::Import(options) => exchange::import(options),
        Domains::Export(options) => exchange::export(options),
    }
}

pub(crate) fn hosted(command: &Hosted) -> Result<ExitCode, Failure> {
    match command {
        Hosted::List(options) => list(Kind::Domain, options),
        Hosted::Search(options) => search(Kind::Domain, options),
        Hosted::Show(options) => show(Kind::Domain, options),
        Hosted::Add(options) => add::entry(options, |entry: DomainForm| Edit::AddDomain { entry }),
        Hosted::Set(options) => set(options, |at, patch| Edit::SetDomain { at, patch }),
        Hosted::Remove(options) => remove(options, |at| Edit::RemoveDomain { at }),
        Hosted::Test(options) => ping::test(Kind::Domain, options),
        Hosted::Import(options) => exchange::import_entries::<DomainForm>(options),
        Hosted::Export(options) => exchange::export_entries::<DomainForm>(options),
    }
}

pub(crate) fn owners(command: &Owners) -> Result<ExitCode, Failure> {
    match command {
        Owners::List(options) => list(Kind::Owner, options),
        Owners::Search(options) => search(Kind::Owner, options),
        Owners::Show(options) => show(Kind::Owner, options),
        Owners::Add(options) => add::entry(options, |entry: OwnerForm| Edit::AddOwner { entry }),
        Owners::Set(options) => set(options, |at, patch| Edit::SetOwner { at, patch }),
        Owners::Remove(options) => remove(options, |at| Edit::RemoveOwner { at }),
        Owners::Import(options) => exchange::import_entries::<OwnerForm>(options),
        Owners::Export(options) => exchange::export_entries::<OwnerForm>(options),
    }
}

pub(crate) fn lists(command: &Lists) -> Result<ExitCode, Failure> {
    let entries = |options: &cli::ListEntries| (options.list.clone(), options.entries.iter().collect::<Items>());
    match command {
        Lists::List(options) => list(Kind::List, options),
        Lists::Search(options) => search(Kind::List, options),
        Lists::Show(options) => show(Kind::List, options),
        Lists::Add(options) => add::entry(options, |entry: ListForm| Edit::AddList { entry }),
        Lists::Set(options) => set(options, |at, patch| Edit::SetList { at, patch }),
        Lists::Remove(options) => remove(options, |at| Edit::RemoveList { at }),
        Lists::AddEntry(options) => {
            let (list, entries) = entries(options);
            Desk::open(&options.config)?.change(vec![Edit::AddEntries { list, entries }], options.change)
        }
        Lists::RemoveEntry(options) => {
            let (list, entries) = entries(options);
            Desk::open(&options.config)?.change(vec![Edit::RemoveEntries { list, entries }], options.change)
        }
        Lists::Import(options) => exchange::import_entries::<ListForm>(options),
        Lists::Export(options) => exchange::export_entries::<ListForm>(options),
    }
}

pub(crate) fn rules(command: &Rules) -> Result<ExitCode, Failure> {
    match command {
        Rules::List(options) => list(Kind::Rule, options),
        Rules::Search(options) => search(Kind::Rule, options),
        Rules::Show(options) => show(Kind::Rule, options),
        Rules::Add(options) => add::entry(options, |entry: RuleForm| Edit::AddRule { entry, to: RulePlace::Last }),
        Rules::Set(options) => set(options, |at, patch| Edit::SetRule { at, patch }),
        Rules::Move(options) => {
            let desk = Desk::open(&options.config)?;
            let to = place::of(desk.text(), &options.name, &options.place)?;
            desk.change(vec![Edit::MoveRule { at: options.name.clone(), to }], options.change)
        }
        Rules::Remove(options) => remove(options, |at| Edit::RemoveRule { at }),
        Rules::Import(options) => exchange::import_entries::<RuleForm>(options),
        Rules::Export(options) => exchange::export_entries::<RuleForm>(options),
    }
}

fn list(kind: Kind, options: &cli::Listing) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    shown::entries(kind, &kind.search(desk.text(), None, 0, usize::MAX), options.json);
    Ok(ExitCode::SUCCESS)
}

/// Like `grep`, it fails if nothing is found. The rows of included lists are partners, and found as well.
fn search(kind: Kind, options: &cli::Search) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let query = Query::new(&options.text);
    let found = match kind {
        Kind::Partner => search_partners(desk.file(), desk.text(), Some(&query), 0, options.limit).map_err(in_words)?,
        _ => kind.search(desk.text(), Some(&query), 0, options.limit),
    };
    shown::entries(kind, &found, options.json);
    Ok(if found.total > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(kind: Kind, options: &cli::Address) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let entry = kind.find(desk.text(), &options.name).map_err(|error| error.to_string())?;
    shown::entry(kind, desk.file(), &entry, options.json);
    Ok(ExitCode::SUCCESS)
}

fn set(options: &cli::Set, edit: impl FnOnce(String, sealpost_policy::Patch) -> Edit) -> Result<ExitCode, Failure> {
    let patch = keys::patch(&options.settings)?;
    Desk::open(&options.config)?.change(vec![edit(options.name.clone(), patch)], options.change)
}

fn remove(options: &cli::Remove, edit: impl Fn(String) -> Edit) -> Result<ExitCode, Failure> {
    Desk::open(&options.config)?.change(options.names.iter().cloned().map(edit).collect(), options.change)
}
