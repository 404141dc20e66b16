//! Commands about mail that waits.

use clap::{Args, Subcommand, ValueEnum};

use super::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// List what waits, oldest first.
    #[command(after_help = QUEUE_LIST)]
    List(QueueList),
    /// Show all of one message: who waits for what, what the policy asks now, and each attempt.
    #[command(after_help = QUEUE_SHOW)]
    Show(QueueShow),
    /// Try mail at once that waits for its time.
    #[command(after_help = QUEUE_RETRY)]
    Retry(QueueChange),
    /// Keep mail back until it is let go.
    #[command(after_help = QUEUE_HOLD)]
    Hold(QueueChange),
    /// Let mail go that is held, and try it at once.
    #[command(after_help = QUEUE_RELEASE)]
    Release(QueueChange),
    /// Remove mail from the queue. Nobody is notified; the history keeps a note.
    #[command(after_help = QUEUE_DELETE)]
    Delete(QueueDelete),
    /// Say how much waits.
    #[command(after_help = QUEUE_STATS)]
    Stats(QueueStats),
}

/// Which mail: by what it is.
#[derive(Debug, Args)]
pub(crate) struct Matching {
    /// That goes there: a domain, or a route such as mail.acme.example:25.
    #[arg(long, value_name = "HOP")]
    pub(crate) destination: Option<String>,
    /// From this address; '<>' for notifications.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// With these words in the reason that it waits for.
    #[arg(long, value_name = "WORDS")]
    pub(crate) reason: Option<String>,
    /// That came in longer ago than this: 30m, 36h, 7d, or before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) older: Option<String>,
    /// That stands so: fresh, deferred, held or damaged.
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(crate) state: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Fresh,
    Deferred,
    Held,
    Damaged,
}

#[derive(Debug, Args)]
pub(crate) struct QueueList {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) matching: Matching,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only behind this one: the page after it.
    #[arg(long, value_name = "QUEUE-ID")]
    pub(crate) after: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QueueShow {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The message, or one entry of it.
    #[arg(value_name = "QUEUE-ID")]
    pub(crate) id: String,
    /// One JSON object a line for each entry.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which mail a change is for.
#[derive(Debug, Args)]
pub(crate) struct Selected {
    /// These messages, or entries of them.
    #[arg(value_name = "QUEUE-ID")]
    pub(crate) ids: Vec<String>,
    /// All that waits.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) matching: Matching,
}

#[derive(Debug, Args)]
pub(crate) struct QueueChange {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QueueDelete {
    #[command(flatten)]
    pub(crate) change: QueueChange,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QueueStats {
    #[command(flatten)]
    pub(crate) config: Config,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const QUEUE: &str = "\
Examples:
  sealpost queue list --destination bank.example
  sealpost queue show 1M80YCQS80000
  sealpost queue retry --all
  sealpost queue hold --sender ann@shop.example
  sealpost queue delete --older 6d --reason 'does not offer STARTTLS'

The running relay is asked; where none runs, the queue in its data_dir is read and changed itself.
Each entry counts: a message as far as one destination is concerned.
Exit code 0: done. 1: not so, or there is no such mail; stderr says why.";

pub(super) const QUEUE_LIST: &str = "\
Examples:
  sealpost queue list
  sealpost queue list --state held --json
  sealpost queue list --sender '<>' --older 2d
  sealpost queue list --limit 20 --after 1M80YCQS80000";

pub(super) const QUEUE_RETRY: &str = "\
Examples:
  sealpost queue retry --all
  sealpost queue retry 1M80YCQS80000
  sealpost queue retry --destination bank.example

What is held is not tried: `sealpost queue release` lets it go.";

pub(super) const QUEUE_DELETE: &str = "\
Examples:
  sealpost queue delete 1M80YCQS80000
  sealpost queue delete --destination typo.example --yes

It asks on a terminal; elsewhere nothing is deleted without --yes.";

const QUEUE_SHOW: &str = "\
Examples:
  sealpost queue show 1M80YCQS80000
  sealpost queue show 1M80YCQS80000 --json";

const QUEUE_HOLD: &str = "\
Examples:
  sealpost queue hold --sender ann@shop.example
  sealpost queue hold --destination bank.example --older 1h";

const QUEUE_RELEASE: &str = "\
Examples:
  sealpost queue release 1M80YCQS80000
  sealpost queue release --destination bank.example";

const QUEUE_STATS: &str = "\
Examples:
  sealpost queue stats
  sealpost queue stats --json";
