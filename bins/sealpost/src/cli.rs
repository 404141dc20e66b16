//! The command line: every command with its options.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A mail relay that enforces TLS on both hops, and says why.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the relay until SIGTERM or SIGINT.
    Run(Run),
    /// Read configuration, policy and certificate, and say what is wrong with them.
    Check(Config),
    /// Move one message through a throw-away relay on loopback, and tell its story.
    Quickstart(Quickstart),
    /// Say which level holds for a mail on both hops, and why.
    Explain(Explain),
    /// What became of each message.
    History(History),
    /// Certificates.
    #[command(subcommand)]
    Cert(Cert),
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The relay's own file.
    #[arg(long, value_name = "FILE", default_value = "/etc/sealpost/sealpost.toml", env = "SEALPOST_CONFIG")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) config: Config,
    /// How the log is written to stderr.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "SEALPOST_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// What is logged: a level, or filters such as `info,sealpost_transport=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "SEALPOST_LOG")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Leave the relay and the receiving server running until SIGTERM or SIGINT.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The sender; `<>` for a notification.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: String,
    /// The recipient.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: String,
    /// The client's address on the receive hop.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) client: IpAddr,
    /// The mail comes in in clear.
    #[arg(long, conflicts_with = "tls")]
    pub(crate) clear: bool,
    /// The mail comes in over TLS (the default).
    #[arg(long)]
    pub(crate) tls: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Only mail from or to this domain.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Only this message.
    #[arg(long, value_name = "QUEUE-ID")]
    pub(crate) id: Option<String>,
    /// Only the last `30m`, `36h`, `7d`, or since a time such as `2026-11-22T04:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At most this many entries, the newest ones.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// The language of titles and sentences.
    #[arg(long, value_enum, default_value_t = Language::En)]
    pub(crate) lang: Language,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// English.
    En,
    /// German.
    De,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Every detail of a certificate in a PEM or DER file, or of the one that a mail server shows.
    Show(CertShow),
}

#[derive(Debug, Args)]
pub(crate) struct CertShow {
    /// A file, or a mail server's name or address with an optional port (25).
    #[arg(value_name = "FILE|HOST[:PORT]")]
    pub(crate) source: String,
    /// The connection starts with a handshake, without STARTTLS (the default on port 465).
    #[arg(long)]
    pub(crate) implicit: bool,
    /// One JSON object for each certificate.
    #[arg(long)]
    pub(crate) json: bool,
}
