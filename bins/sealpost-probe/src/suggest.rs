//! `sealpost-probe suggest`: the entries of a policy that would hold.

mod candidate;
mod document;
mod guard;
mod history;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sealpost_relay::config::Config;
use sealpost_relay::read_config;
use sealpost_types::WithCauses;

use self::candidate::Candidate;
use self::document::Document;
use crate::network::runtime;
use crate::shown::line;
use crate::test::{InForce, of_relay};

#[derive(Debug, Args)]
pub(crate) struct Suggest {
    /// Results of `survey` (-o, --json); without them, what the relay of --config delivered.
    #[arg(value_name = "FILE|-", required_unless_present = "config")]
    results: Option<String>,
    /// The relay's sealpost.toml: its history and its policy.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy that is there: what it asks is never lowered.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How far back the history is read.
    #[arg(long, value_name = "SPAN", default_value = "30d", conflicts_with = "results")]
    since: String,
    /// Count only what every host of a domain has, not what one of them has.
    #[arg(long, requires = "results")]
    all_hosts: bool,
    /// Entries in testing: nothing is stopped, and the history says what would be.
    #[arg(long)]
    testing: bool,
}

pub(crate) fn suggest(options: &Suggest) -> Result<ExitCode, String> {
    let config = match &options.config {
        Some(path) => Some(read_config(path).map_err(|error| WithCauses(&error).to_string())?),
        None => None,
    };
    let there = there(options, config.as_ref())?;
    let (source, candidates) = match (&options.results, &config) {
        (Some(results), _) => (results.clone(), of_results(results, options.all_hosts)?),
        (None, Some(config)) => (format!("the history of {}", config.hostname), history::candidates(config, &options.since)?),
        (None, None) => return Err("results of `survey`, or --config is meant".to_owned()),
    };
    let domains = candidates.len();
    let mut document = Document::new(&source, domains, options.testing);
    for candidate in candidates {
        document.add(candidate);
    }
    if let Some(there) = &there {
        guard::lower_nothing(&mut document, there)?;
    }
    let text = document.to_text();
    // What is printed is what was tried.
    guard::compiled(there.as_ref(), &text)?;
    line!("{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The policy that must not be weakened.
fn there(options: &Suggest, config: Option<&Config>) -> Result<Option<InForce>, String> {
    match (&options.policy, config) {
        (Some(path), _) => InForce::in_file(path).map(Some),
        (None, Some(config)) => runtime()?.block_on(of_relay(config, false)).map(Some),
        (None, None) => Ok(None),
    }
}

fn of_results(source: &str, all_hosts: bool) -> Result<Vec<Candidate>, String> {
    let mut octets = Vec::new();
    let read = if source == "-" { std::io::stdin().read_to_end(&mut octets).map(|_| octets) } else { std::fs::read(source) };
    let octets = read.map_err(|error| format!("cannot read {source}: {error}"))?;
    crate::survey::rows_of(source, &octets)?.iter().map(|row| Candidate::of_row(row, all_hosts)).collect()
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe suggest found.jsonl > suggested.toml
  sealpost-probe suggest found.jsonl --policy policy.toml >> policy.toml
  sealpost-probe suggest --config /etc/sealpost/sealpost.toml --since 14d --testing

Each domain gets the strictest level that holds for it today; what is weak, or ends soon, is told in
comments, the weakest first. Nothing that --policy or --config asks is lowered, and no file changes.

Exit code 0: printed. 64: usage, or what was given cannot be read.";
