//! `sealpost sts`: the MTA-STS policies that are kept.

use clap::{Args, Subcommand, ValueEnum};

use super::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Sts {
    /// List the policies that are kept, by domain.
    #[command(after_help = STS_LIST)]
    List(StsList),
    /// Show all that is kept of one domain's policy.
    #[command(after_help = STS_SHOW)]
    Show(StsShow),
    /// Forget one domain's policy: the next mail looks for it anew.
    #[command(after_help = STS_DROP)]
    Drop(StsDrop),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StsMode {
    Enforce,
    Testing,
    None,
}

#[derive(Debug, Args)]
pub(crate) struct StsList {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Only those of this mode: enforce, testing or none.
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(crate) mode: Option<StsMode>,
    /// At most so many, up to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Only behind this domain: the page after it.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) after: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StsShow {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The recipient domain.
    pub(crate) domain: String,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StsDrop {
    #[command(flatten)]
    pub(crate) show: StsShow,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

pub(super) const STS: &str = "\
Examples:
  sealpost sts list --mode enforce
  sealpost sts show bank.example
  sealpost sts drop bank.example

The running relay is asked; where none runs, the policies in its data_dir are read and dropped
themselves. `sealpost explain --dns` looks up what a domain publishes now.
Exit code 0: done. 1: not so, or no policy of that domain is kept; stderr says why.";

pub(super) const STS_LIST: &str = "\
Examples:
  sealpost sts list
  sealpost sts list --mode testing --json
  sealpost sts list --limit 20 --after bank.example";

pub(super) const STS_DROP: &str = "\
Examples:
  sealpost sts drop bank.example
  sealpost sts drop bank.example --yes

Until the policy is fetched again, mail goes as if the domain published none. One of mode enforce
is dropped after a question on a terminal, and elsewhere not without --yes.";

const STS_SHOW: &str = "\
Examples:
  sealpost sts show bank.example
  sealpost sts show bank.example --json";
