//! `sealpost ciphers`: what is left of a cipher setting, and why the rest is not.

use std::process::ExitCode;

use sealpost_cipher::{CipherChoice, Lack, Suite};

use super::Failure;
use crate::cli;

pub(crate) fn ciphers(options: &cli::Ciphers) -> Result<ExitCode, Failure> {
    let choice = CipherChoice::parse(&options.string).map_err(|error| format!("{error}; {}", error.remedy()))?;
    if options.json {
        say!("{}", to_json(&options.string, &choice));
        return Ok(ExitCode::SUCCESS);
    }
    let unspoken = if choice.speaks_of_tls13() { "" } else { ", of which the string does not speak" };
    print_suites(&format!("TLS 1.3{unspoken}"), choice.tls13());
    print_suites("TLS 1.2", choice.tls12());
    if !choice.lacking().is_empty() {
        say!("Not used");
        for (reason, names) in by_reason(choice.lacking()) {
            say!("  {reason}:");
            in_lines(&names).iter().for_each(|line| say!("    {line}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Suites that cannot be used, in the order of their reasons.
pub(super) fn by_reason(lacking: &[(&'static Suite, Lack)]) -> Vec<(Lack, Vec<&'static str>)> {
    let mut reasons: Vec<_> = lacking.iter().map(|(_, why)| *why).collect();
    reasons.sort();
    reasons.dedup();
    let names = |reason| lacking.iter().filter(|(_, why)| *why == reason).map(|(suite, _)| suite.openssl_name()).collect();
    reasons.into_iter().map(|reason| (reason, names(reason))).collect()
}

fn print_suites(version: &str, suites: &[&Suite]) {
    say!("{version}");
    for suite in suites {
        let other = Some(suite.openssl_name()).filter(|name| *name != suite.iana_name()).unwrap_or_default();
        say!("{}", format!("  {:<46} {other}", suite.iana_name()).trim_end());
    }
    if suites.is_empty() {
        say!("  none");
    }
}

/// Names one after another, in lines of a terminal.
fn in_lines(names: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        match lines.last_mut().filter(|line| line.len() + name.len() < WIDTH) {
            Some(line) => {
                line.push(' ');
                line.push_str(name);
            }
            None => lines.push((*name).to_owned()),
        }
    }
    lines
}

fn to_json(string: &str, choice: &CipherChoice) -> serde_json::Value {
    let names =
        |suite: &Suite| serde_json::json!({ "iana": suite.iana_name(), "openssl": suite.openssl_name(), "number": suite.number().0 });
    let all = |suites: &[&Suite]| suites.iter().map(|suite| names(suite)).collect::<Vec<_>>();
    let lacking = choice.lacking().iter().map(|(suite, why)| {
        let mut value = names(suite);
        if let Some(object) = value.as_object_mut() {
            object.insert("reason".to_owned(), why.code().into());
            object.insert("why".to_owned(), why.to_string().into());
        }
        value
    });
    serde_json::json!({
        "string": string,
        "tls13": all(choice.tls13()),
        "tls12": all(choice.tls12()),
        "not_used": lacking.collect::<Vec<_>>(),
    })
}

/// Columns for names, beside their indentation.
const WIDTH: usize = 96;
