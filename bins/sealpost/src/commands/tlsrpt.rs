//! `sealpost tlsrpt`: reports of others are read, and this relay's own are looked at.

use std::io::Read as _;
use std::process::ExitCode;

use sealpost_relay::{book_path, read_config};
use sealpost_report::Clock;
use sealpost_report::tlsrpt::{BookReader, Counted, Day, REPORT_OCTETS, Sending, SendingState, Sessions, TlsReport, read_report};
use sealpost_types::Domain;

use super::{Failure, in_words, now, print};
use crate::cli::{self, Tlsrpt};

pub(crate) fn tlsrpt(command: &Tlsrpt) -> Result<ExitCode, Failure> {
    match command {
        Tlsrpt::Show(options) => show(options),
        Tlsrpt::Preview(options) => preview(options),
        Tlsrpt::List(options) => list(options),
    }
}

fn show(options: &cli::TlsrptShow) -> Result<ExitCode, Failure> {
    let name = if options.file == STANDARD_INPUT { "standard input" } else { &options.file };
    let report = read_report(&read(&options.file, name)?).map_err(|error| format!("{name}: {}", in_words(error)))?;
    let text = if options.json { json(&report) } else { report.to_text() };
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn preview(options: &cli::TlsrptPreview) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let day = match &options.day {
        Some(text) => text.parse::<Day>().map_err(|_| format!("--day {text:?} is no day; one such as 2026-11-26 is meant"))?,
        None => Day::of(now()),
    };
    let wanted = options.domain.as_deref().map(Domain::parse).transpose().map_err(|error| format!("--domain: {error}"))?;
    let counted = open(&config)?.day(day).map_err(in_words)?;
    let found: Vec<_> = counted.into_iter().filter(|one| wanted.as_ref().is_none_or(|wanted| *wanted == one.domain)).collect();
    if found.is_empty() && !options.json {
        let whom = wanted.map_or_else(|| "anybody".to_owned(), |domain| domain.to_string());
        print(&format!("nothing to report to {whom} of {day}\n"));
    }
    let of_host = || format!("postmaster@{}", config.hostname);
    let (organization, contact) = config
        .tls_reports
        .as_ref()
        .map_or_else(|| (config.hostname.to_string(), of_host()), |reports| (reports.organization.clone(), reports.contact.clone()));
    let (domains, mut all) = (found.len(), Sessions::default());
    for (number, Counted { domain, policies, .. }) in found.into_iter().enumerate() {
        for policy in &policies {
            all.successful = all.successful.saturating_add(policy.summary.total_successful_session_count);
            all.failed = all.failed.saturating_add(policy.summary.total_failure_session_count);
        }
        let report = TlsReport::new(&organization, &contact, "not sent yet", (day.start(), day.last_second()), policies);
        let between = if number > 0 { "\n" } else { "" };
        let text = if options.json { json(&report) } else { format!("{between}To             {domain}\n{}", report.to_text()) };
        print(&text);
    }
    if domains > 1 && !options.json {
        print(&format!("\nIn all         {domains} reports, {}\n", of_sessions(all)));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(options: &cli::TlsrptList) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let sendings = open(&config)?.sendings().map_err(in_words)?;
    if sendings.is_empty() && !options.json {
        print("no reports are on their way, and none went in the last days\n");
    }
    for sending in &sendings {
        print(&if options.json { as_json(sending) } else { in_words_of(sending) });
    }
    if !sendings.is_empty() && !options.json {
        print(&totals(&sendings));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words_of(sending: &Sending) -> String {
    let Sending { day, domain, address, state, attempts, .. } = sending;
    let due = match state.as_str() {
        "waiting" => format!(", next try {} UTC", Clock::Utc.short(sending.due)),
        _ => String::new(),
    };
    let tries = if *attempts == 1 { "1 try".to_owned() } else { format!("{attempts} tries") };
    let told = sending.sessions.map(|sessions| format!("; {}", of_sessions(sessions))).unwrap_or_default();
    format!("{day}  {:<8} {domain} -> {address} ({tries}{due}{told})\n", state.as_str())
}

/// How many stand how, and how many sessions they tell of: a report that goes to several places tells of its own once.
fn totals(sendings: &[Sending]) -> String {
    let mut all = Sessions::default();
    let mut reports: Vec<_> = sendings.iter().map(|sending| (&sending.report_id, sending.sessions)).collect();
    reports.sort_by_key(|(id, _)| *id);
    reports.dedup_by_key(|(id, _)| *id);
    for (_, sessions) in reports {
        let Sessions { successful, failed, .. } = sessions.unwrap_or_default();
        (all.successful, all.failed) = (all.successful.saturating_add(successful), all.failed.saturating_add(failed));
    }
    let of = |state| sendings.iter().filter(|sending| sending.state == state).count();
    let (waiting, sent, dropped) = (of(SendingState::Waiting), of(SendingState::Sent), of(SendingState::Dropped));
    format!("{waiting} waiting, {sent} sent, {dropped} dropped; they tell of {}\n", of_sessions(all))
}

fn of_sessions(Sessions { successful, failed, .. }: Sessions) -> String {
    format!("sessions: {successful} with TLS as asked, {failed} failed")
}

fn as_json(sending: &Sending) -> String {
    let value = serde_json::json!({
        "day": sending.day.to_string(),
        "domain": sending.domain.as_str(),
        "report_id": sending.report_id,
        "to": sending.address.to_string(),
        "state": sending.state.as_str(),
        "attempts": sending.attempts,
        "successful_sessions": sending.sessions.map(|sessions| sessions.successful),
        "failed_sessions": sending.sessions.map(|sessions| sessions.failed),
        "due": Clock::Utc.iso(sending.due),
        "until": Clock::Utc.iso(sending.until),
    });
    format!("{value}\n")
}

/// The counters of a relay.
fn open(config: &sealpost_relay::config::Config) -> Result<BookReader, Failure> {
    let path = book_path(config);
    if !path.exists() {
        return Err(format!("there are no counters at {}: a relay with [tlsrpt] enabled = true makes them when it starts", path.display()));
    }
    BookReader::open(&path).map_err(in_words)
}

/// The file, or standard input, up to a little more than a report may have.
fn read(file: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let most = u64::try_from(REPORT_OCTETS).unwrap_or(u64::MAX).saturating_add(1);
    let read = if file == STANDARD_INPUT {
        std::io::stdin().lock().take(most).read_to_end(&mut octets)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut octets))
    };
    read.map_err(|error| format!("cannot read {name}: {error}"))?;
    Ok(octets)
}

fn json(report: &TlsReport) -> String {
    String::from_utf8_lossy(&report.to_json()).into_owned() + "\n"
}

const STANDARD_INPUT: &str = "-";
