//! `sealpost history` and `sealpost history export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sealpost_report::{EventKind, EventResult, Lang};

use super::Config;

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(subcommand)]
    pub(crate) command: Option<HistoryCommand>,
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Only mail from or to this domain.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Only this message; shown with everything that is known.
    #[arg(long, value_name = "QUEUE-ID")]
    pub(crate) id: Option<String>,
    /// Not before: a span such as 30m, 36h or 7d, a time, or a day.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At most this many entries, the newest ones; 10 with --follow.
    #[arg(long, value_name = "COUNT", default_value_t = 100, hide_default_value = true)]
    pub(crate) limit: usize,
    /// Only those before this one: the place that the page before ended with.
    #[arg(long, value_name = "PLACE", conflicts_with = "follow")]
    pub(crate) before: Option<String>,
    /// Go on, and show what happens as it happens.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Everything that is known of each entry: certificate, demand, reply.
    #[arg(long, short)]
    pub(crate) long: bool,
    /// The language of titles and sentences, en or de.
    #[arg(long, default_value_t = Lang::En)]
    pub(crate) lang: Lang,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What both commands are asked for.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only mail from this address; '<>' for notifications.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// Before: as --since.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only these kinds, such as check-tls,bounced.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub(crate) event: Vec<EventKind>,
    /// Only success, transient or permanent.
    #[arg(long, value_name = "RESULT")]
    pub(crate) result: Option<EventResult>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Write what is known of a domain's mail to a file, for an auditor.
    #[command(after_help = EXPORT)]
    Export(HistoryExport),
}

#[derive(Debug, Args)]
pub(crate) struct HistoryExport {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Mail from or to this domain.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// Not before: a span such as 90d, a time, or a day.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// csv or json.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, default_value_t = ExportFormat::Csv)]
    pub(crate) format: ExportFormat,
    /// Into this file; default: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Csv,
    Json,
}

pub(super) const HISTORY: &str = "\
Examples:
  sealpost history --domain bank.example --since 36h
  sealpost history --event check-tls --follow
  sealpost history --id 1M80YCQS80000
  sealpost history --since 2026-11-22 --limit 1000 --json

The queue id stands in the relay's answer to the client and in the log.
Kinds: received refused attempt deferred check-tls bounced deleted-by-tls-policy delivered
expired held released removed policy-changed";

pub(super) const EXPORT: &str = "\
Examples:
  sealpost history export --domain bank.example --since 90d --output bank.csv
  sealpost history export --domain bank.example --since 2026-10-01 --until 2026-11-01 --format json
  sealpost history export --domain bank.example --since 7d --event delivered

Oldest first, each entry with the proof of its connection: TLS, certificate, demand.
In CSV a text that a spreadsheet would take for a formula begins with an apostrophe.";
