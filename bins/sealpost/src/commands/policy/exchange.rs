//! Entries from files of others, and into them (E10).

mod merge;
mod progress;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use sealpost_policy::{
    CsvDefaults, Entry, Exported, Fingerprints, HopForm, PartnerForm, PolicyText, Warning, export_csv, export_postfix_policy,
    import_csv_with, import_postfix,
};

use self::merge::{Carried, Merge};
use self::progress::Progress;
use super::super::{Failure, in_words};
use super::desk::Desk;
use crate::cli::{self, EntryFormat, Format};

pub(super) fn import(options: &cli::Import) -> Result<ExitCode, Failure> {
    if options.format != Format::Csv && (options.receive.is_some() || options.deliver.is_some()) {
        return Err("--receive and --deliver are for rows of a CSV".to_owned());
    }
    let found = read(options)?;
    merge(&options.config, found, options.replace, options.change)
}

/// The entries of this kind of another policy.
pub(super) fn import_entries<T: Carried>(options: &cli::ImportEntries) -> Result<ExitCode, Failure> {
    let (name, text) = (options.file.display().to_string(), text(&options.file)?);
    let found = match options.format {
        EntryFormat::Toml => T::entries(&PolicyText::parse(&name, &text).map_err(in_words)?).to_vec(),
        EntryFormat::Csv => T::from_csv(&name, &text).ok_or(NO_COLUMNS)?.map_err(in_words)?,
    };
    merge(&options.config, found, options.replace, options.change)
}

fn merge<T: Carried>(config: &cli::Config, found: Vec<Entry<T>>, replace: bool, change: cli::ChangeArguments) -> Result<ExitCode, Failure> {
    let desk = Desk::open(config)?;
    let Merge { new, replaced, same, edits } = Merge::of(desk.text(), found, replace)?;
    eprintln!("sealpost: {new} new, {replaced} replaced, {same} that are there already");
    if edits.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let telling = Progress::begin(format!("{} entries are checked and written", new + replaced), 0);
    desk.change_quietly(edits, change, telling)
}

/// The entries of the file. What is not quite as it was there stands on stderr.
fn read(options: &cli::Import) -> Result<Vec<Entry<PartnerForm>>, Failure> {
    let name = options.file.display().to_string();
    let text = text(&options.file)?;
    Ok(match options.format {
        Format::Csv => {
            let hop = |level: &Option<String>| level.as_deref().map(HopForm::from);
            let mut defaults = CsvDefaults::default();
            (defaults.receive, defaults.deliver) = (hop(&options.receive), hop(&options.deliver));
            let lines = u64::try_from(text.lines().count()).unwrap_or_default();
            let telling = Progress::begin(format!("{name} is read"), lines);
            import_csv_with(&name, &text, &defaults, |line| telling.at(line.into())).map_err(in_words)?
        }
        Format::Toml => PolicyText::parse(&name, &text).map_err(in_words)?.partners().to_vec(),
        Format::Postfix => {
            let fingerprints = if options.sha256_of_keys { Fingerprints::Sha256OfKeys } else { Fingerprints::Unknown };
            let imported = import_postfix(&name, &text, fingerprints);
            tell("warning", &imported.warnings);
            tell("refused", &imported.refused);
            if !imported.refused.is_empty() && !options.partly {
                let count = imported.refused.len();
                return Err(format!("nothing is imported: {count} cannot be taken; --partly imports the others"));
            }
            imported.partners
        }
    })
}

fn text(file: &Path) -> Result<String, Failure> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read standard input: {error}"))?;
    Ok(text)
}

pub(super) fn export(options: &cli::Export) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let (name, text) = (desk.file().display().to_string(), desk.text());
    let (written, code) = match options.format {
        Format::Toml => (text.to_string(), ExitCode::SUCCESS),
        Format::Csv => {
            for include in text.includes() {
                eprintln!("refused: {name}:{}: not written: the included list {:?} is a CSV of its own", include.line, include.form.file);
            }
            told(export_csv(&name, text.partners()))
        }
        Format::Postfix => told(export_postfix_policy(&name, text)),
    };
    // A reader that has seen enough and closed the pipe is no failure.
    let _ = std::io::stdout().lock().write_all(written.as_bytes());
    Ok(code)
}

/// The entries of this kind as a policy of their own, or as a CSV; `import` takes both.
pub(super) fn export_entries<T: Carried>(options: &cli::ExportEntries) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&options.config)?;
    let entries = T::entries(desk.text());
    let (written, code) = match options.format {
        EntryFormat::Toml => {
            let mut alone = PolicyText::parse("the export", "").map_err(in_words)?;
            let additions: Vec<_> = entries.iter().map(|entry| entry.form.clone().addition()).collect();
            alone.apply_all(&additions).map_err(|(_, error)| in_words(error))?;
            (alone.to_string(), ExitCode::SUCCESS)
        }
        EntryFormat::Csv => told(T::to_csv(&desk.file().display().to_string(), entries).ok_or(NO_COLUMNS)?),
    };
    let _ = std::io::stdout().lock().write_all(written.as_bytes());
    Ok(code)
}

fn told(exported: Exported) -> (String, ExitCode) {
    tell("warning", &exported.warnings);
    tell("refused", &exported.refused);
    (exported.text, if exported.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(what: &str, warnings: &[Warning]) {
    warnings.iter().for_each(|warning| eprintln!("{what}: {warning}"));
}

/// Owners have hops with options, and rules have conditions and actions.
const NO_COLUMNS: &str = "owners and rules are no rows: what they say stands in tables within tables; --format toml is meant";
