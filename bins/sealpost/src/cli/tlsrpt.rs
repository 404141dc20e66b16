//! `sealpost tlsrpt`: reports about TLS, of others and of this relay.

use clap::{Args, Subcommand};

use super::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Tlsrpt {
    /// Show a report that somebody sent: JSON, gzip, or the whole mail with it attached.
    #[command(after_help = TLSRPT_SHOW)]
    Show(TlsrptShow),
    /// Show what this relay would report of a day: so far, while the day lasts.
    #[command(after_help = TLSRPT_PREVIEW)]
    Preview(TlsrptPreview),
    /// Show this relay's own reports of the last days: those that wait, went, or were dropped.
    #[command(after_help = TLSRPT_LIST)]
    List(TlsrptList),
}

#[derive(Debug, Args)]
pub(crate) struct TlsrptShow {
    /// The file; - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: String,
    /// One JSON object, as RFC 8460 has it, instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TlsrptPreview {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Only what this domain would be told.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// A day in UTC that is not reported yet, such as 2026-11-26; today without it.
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,
    /// One JSON object a line, as RFC 8460 has it, instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TlsrptList {
    #[command(flatten)]
    pub(crate) config: Config,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const TLSRPT: &str = "\
Examples:
  sealpost tlsrpt show report.json.gz
  sealpost tlsrpt preview --domain bank.example
  sealpost tlsrpt list --config relay.toml

The table [tlsrpt] of sealpost.toml has this relay report to others.";

pub(super) const TLSRPT_SHOW: &str = "\
Examples:
  sealpost tlsrpt show google.com!bank.example!1795564800!1795651199.json.gz
  sealpost tlsrpt show report.eml
  sealpost tlsrpt show - < report.eml
  sealpost tlsrpt show report.json.gz --json

Exit code 0: shown. 1: it is no report; stderr says what was found, where, and what is meant.";

pub(super) const TLSRPT_PREVIEW: &str = "\
Examples:
  sealpost tlsrpt preview
  sealpost tlsrpt preview --domain bank.example
  sealpost tlsrpt preview --day 2026-11-26 --json

Reads the counters beside a running relay, which writes them every ten seconds. Only domains that
ask for reports are counted. What was reported is counted no more.";

const TLSRPT_LIST: &str = "\
Examples:
  sealpost tlsrpt list
  sealpost tlsrpt list --json";
