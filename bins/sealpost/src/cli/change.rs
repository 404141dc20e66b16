//! Commands that change the policy in force, and what they have in common.

use clap::Args;

use super::Config;

#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

/// How careful a change is.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ChangeArguments {
    /// Show the difference, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also if over 5 % of the entries, or a whole list, would go.
    #[arg(long)]
    pub(crate) force: bool,
    /// Let go mail deferred for TLS, where the policy asks for less now.
    #[arg(long)]
    pub(crate) apply_to_queue: bool,
}

pub(super) const RELOAD: &str = "\
Examples:
  sealpost reload --dry-run
  sealpost reload
  sealpost reload --apply-to-queue      a weaker policy holds for mail that waits for TLS as well

No session is dropped. A policy that is wrong is refused, and the one before stays in force.
Exit code 0: read, and in force. 1: not so, or a certificate is refused; stderr says why.";
