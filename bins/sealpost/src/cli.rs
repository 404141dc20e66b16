//! The command line: every command with its options.

mod change;
mod examples;
mod history;
mod policy;
mod queue;
mod sts;
mod tlsrpt;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use change::{ChangeArguments, Reload};
pub(crate) use history::{ExportFormat, History, HistoryCommand, HistoryExport, Wanted};
pub(crate) use policy::{
    Add, AddPartner, Address, Domains, EntryFormat, Export, ExportEntries, Format, Hosted, Import, ImportEntries, ListEntries,
    ListPartners, Listing, Lists, Owners, Remove, RemovePartner, RulePlace, Rules, Search, Set, SetPartner, ShowPartner, Test,
};

pub(crate) use sts::{Sts, StsDrop, StsList, StsMode, StsShow};
pub(crate) use tlsrpt::{Tlsrpt, TlsrptList, TlsrptPreview, TlsrptShow};

pub(crate) use queue::{Matching, Queue, QueueChange, QueueDelete, QueueList, QueueShow, QueueStats, Selected, State};

/// A mail relay that enforces TLS on both hops, and says why.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, disable_help_subcommand = true, arg_required_else_help = true, after_help = START_HERE)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the relay until SIGTERM or SIGINT.
    #[command(after_help = RUN)]
    Run(Run),
    /// Read configuration, policy and certificate, and say what is wrong with them.
    #[command(after_help = CHECK)]
    Check(Config),
    /// Have the running relay read its policy again.
    #[command(after_help = change::RELOAD)]
    Reload(Reload),
    /// External domains for which TLS is enforced: the `[[partner]]` entries of the policy.
    #[command(subcommand, after_help = examples::DOMAINS)]
    Domains(Domains),
    /// Domains whose own servers are customers of this relay: the `[[domain]]` entries.
    #[command(subcommand, after_help = examples::HOSTED)]
    Hosted(Hosted),
    /// Whoever hosted domains belong to: the `[[owner]]` entries.
    #[command(subcommand, after_help = examples::OWNERS)]
    Owners(Owners),
    /// Named lists of domains and addresses: the `[[list]]` entries.
    #[command(subcommand, after_help = examples::LISTS)]
    Lists(Lists),
    /// Message rules, in their order: the `[[rule]]` entries.
    #[command(subcommand, after_help = examples::RULES)]
    Rules(Rules),
    /// Move one message through a throw-away relay on loopback, and tell its story.
    #[command(after_help = QUICKSTART)]
    Quickstart(Quickstart),
    /// Say which level holds for a mail on both hops, and why. Nothing is sent.
    #[command(after_help = EXPLAIN)]
    Explain(Explain),
    /// Show what became of each message.
    #[command(after_help = history::HISTORY, args_conflicts_with_subcommands = true)]
    History(Box<History>),
    /// Mail that waits: look at it, try it again, hold it, delete it.
    #[command(subcommand, after_help = queue::QUEUE)]
    Queue(Queue),
    /// Try a policy before it is in force.
    #[command(subcommand, after_help = POLICY)]
    Policy(Policy),
    /// Show the certificates of files and of mail servers.
    #[command(subcommand, after_help = CERT)]
    Cert(Cert),
    /// Show which cipher suites a setting leaves, and why the others cannot be used.
    #[command(after_help = CIPHERS)]
    Ciphers(Ciphers),
    /// The MTA-STS policies of recipient domains (RFC 8461) that are kept.
    #[command(subcommand, after_help = sts::STS)]
    Sts(Sts),
    /// Reports about TLS (RFC 8460): those of others, and this relay's own.
    #[command(subcommand, after_help = tlsrpt::TLSRPT)]
    Tlsrpt(Tlsrpt),
    /// Make lines for the file of who may log in.
    #[command(subcommand, after_help = USERS)]
    Users(Users),
    #[command(after_help = MAN)]
    Man(sealpost_manual::Man),
    #[command(after_help = COMPLETIONS)]
    Completions(sealpost_manual::Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Settings.
    #[arg(long, value_name = "FILE", default_value = "/etc/sealpost/sealpost.toml", env = "SEALPOST_CONFIG", hide_env_values = true)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Log on stderr, as text or json.
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true, default_value_t = LogFormat::Text, env = "SEALPOST_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: LogFormat,
    /// What is logged.
    #[arg(long, value_name = "FILTER", default_value = crate::logging::DEFAULT_FILTER, env = "SEALPOST_LOG", hide_env_values = true)]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Leave the relay and the receiving server running until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The sender; '<>' for a notification of failure.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: String,
    /// The recipient.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: String,
    /// The address of the client that hands it over.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) client: IpAddr,
    /// The client hands it over without TLS.
    #[arg(long, conflicts_with = "tls")]
    pub(crate) clear: bool,
    /// The client hands it over under TLS (the default).
    #[arg(long)]
    pub(crate) tls: bool,
    /// The client has logged in under this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) login: Option<String>,
    /// The client has shown a trusted certificate with this name.
    #[arg(long, value_name = "HOST")]
    pub(crate) certificate: Option<String>,
    /// The client has shown the certificates in this PEM file, its own first.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "clear"])]
    pub(crate) chain: Option<PathBuf>,
    /// A field of the message, such as 'X-TLSLevel: Require'; may be repeated.
    #[arg(long, value_name = "FIELD")]
    pub(crate) header: Vec<String>,
    /// The client says REQUIRETLS with MAIL (RFC 8689).
    #[arg(long, conflicts_with = "clear")]
    pub(crate) requiretls: bool,
    /// As if it were this time or day, not now.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Also look up hosts and TLSA records, and say what is asked of each host.
    #[arg(long)]
    pub(crate) dns: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Say what would have become of recent mail, and of what waits, under another policy.
    #[command(after_help = POLICY_REPLAY)]
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The policy to try.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Not before: a span such as 30m, 36h or 7d, or a time.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) since: String,
    /// One JSON object a line for each change.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Show every detail of the certificates in a file, or of those that a mail server shows.
    #[command(after_help = CERT_SHOW)]
    Show(CertShow),
}

#[derive(Debug, Args)]
pub(crate) struct CertShow {
    /// A PEM or DER file, or else a mail server, port 25 unless another is given.
    #[arg(value_name = "FILE|HOST[:PORT]")]
    pub(crate) source: String,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    pub(crate) implicit: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ciphers {
    /// Cipher string, IANA names, or profile modern, compatible or fips.
    #[arg(default_value = "compatible", allow_hyphen_values = true)]
    pub(crate) string: String,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Read a password from standard input, and print its line for the `[auth] users` file.
    #[command(after_help = USERS_HASH)]
    Hash(UsersHash),
}

#[derive(Debug, Args)]
pub(crate) struct UsersHash {
    /// Who logs in with it; without a name, the hash alone is printed.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

const START_HERE: &str = "\
Start here:
  sealpost quickstart          see it work, without any configuration
  sealpost check               is my configuration in order?
  sealpost COMMAND --help      options and examples of a command";

const RUN: &str = "\
Examples:
  sealpost run
  sealpost run --config relay.toml --log debug
  sealpost run --log info,sealpost_transport=debug --log-format json

SIGTERM and SIGINT stop it in order. SIGHUP has the policy read again, as `sealpost reload` does,
and the certificates, which are read by themselves too when they change; the rest at a restart.
Exit code 0: stopped in order. 1: could not start, stderr says why.";

const CHECK: &str = "\
Examples:
  sealpost check
  sealpost check --config relay.toml && systemctl restart sealpost

Exit code 0: in order. 1: not so, stderr says what and where.";

const QUICKSTART: &str = "\
Examples:
  sealpost quickstart
  sealpost quickstart --keep      then send mail through it yourself

Needs no configuration, no rights and no network. Nothing of it stays.";

const EXPLAIN: &str = "\
Examples:
  sealpost explain --from ann@acme.example --to bob@bank.example
  sealpost explain --from ann@acme.example --to bob@bank.example --clear
  sealpost explain --from '<>' --to bob@bank.example --client 192.0.2.1 --json";

const POLICY_REPLAY: &str = "\
Examples:
  sealpost policy replay --policy new.toml
  sealpost policy replay --policy new.toml --since 36h
  sealpost policy replay --policy new.toml --since 2026-11-22T04:00:00Z --json

Reads the history and the queue, beside a running relay too, and changes nothing. Asks no host.
Exit code 0: nothing would differ. 1: something would. 2: nothing is sure to, and not all could
be told; or it could not be tried, stderr says why.";

const CERT_SHOW: &str = "\
Examples:
  sealpost cert show /etc/sealpost/mail.pem
  sealpost cert show mx.bank.example
  sealpost cert show 192.0.2.1:465 --json
  sealpost cert show ./mx.bank.example      a file of that name

A server's certificates are shown even if nobody would trust them; the check tells what is wrong.";

const CIPHERS: &str = "\
Examples:
  sealpost ciphers 'TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL'
  sealpost ciphers modern
  sealpost ciphers 'ECDHE+AESGCM:!TLS_AES_128_GCM_SHA256' --json

What `ciphers` may be in sealpost.toml and in the policy. A string is for TLS 1.2; suites of
TLS 1.3 are named by their IANA names, and all of them are there unless some are named.
Exit code 0: some are left. 1: none, or it is no cipher setting; stderr says why.";

const USERS_HASH: &str = "\
Examples:
  sealpost users hash --name ann@shop.example
  sealpost users hash --name ann@shop.example < password.txt >> /etc/sealpost/users

One line is read; on a terminal it is asked for and not shown.
The relay reads a changed file at the next login.";

const POLICY: &str = "\
Examples:
  sealpost policy replay --policy new.toml";

const CERT: &str = "\
Examples:
  sealpost cert show fullchain.pem
  sealpost cert show mx.bank.example";

const USERS: &str = "\
Examples:
  sealpost users hash --name ann@shop.example >> /etc/sealpost/users";

const MAN: &str = "\
Examples:
  sealpost man /usr/local/share/man/man1

The pages are those of `--help`: one for each command, sealpost-COMMAND.1 in section 1.";

const COMPLETIONS: &str = "\
Examples:
  sealpost completions bash > /usr/share/bash-completion/completions/sealpost
  sealpost completions zsh > /usr/local/share/zsh/site-functions/_sealpost
  sealpost completions fish > ~/.config/fish/completions/sealpost.fish";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Each command with the words that call it, the program itself first.
    fn commands() -> Vec<(Vec<String>, String)> {
        fn collect(command: &clap::Command, path: &[String], found: &mut Vec<(Vec<String>, String)>) {
            let path = [path, &[command.get_name().to_owned()]].concat();
            found.push((path.clone(), command.get_after_help().map(ToString::to_string).unwrap_or_default()));
            command.get_subcommands().for_each(|below| collect(below, &path, found));
        }
        let mut found = Vec::new();
        collect(&Arguments::command(), &[], &mut found);
        found
    }

    /// The commands of examples, without what the shell does with them.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let lines = help.lines().filter(|line| line.starts_with("  sealpost "));
        let ends = ["  ", "&&", " < ", " > ", " >> "];
        let command =
            |line: &str| ends.into_iter().fold(line.trim().to_owned(), |line, end| line.split(end).next().unwrap_or_default().to_owned());
        lines.map(|line| words(&command(line))).filter(|words| words[1] != "COMMAND").collect()
    }

    #[test]
    fn every_command_has_an_example_of_its_own_and_each_is_understood() {
        for (path, help) in commands() {
            let examples = examples(&help);
            assert!(examples.iter().any(|words| words.starts_with(&path)), "{path:?}: {help}");
            for words in examples {
                let parsed = Arguments::try_parse_from(&words);
                assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
            }
        }
    }

    /// The words of a command as a shell takes it apart, as far as the examples need it.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for character in command.trim().chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
        words
    }

    /// 40 lines of 100 columns: what is longer is not read at night.
    #[test]
    fn the_help_of_a_command_is_one_screen() {
        let all = commands();
        assert!(all.len() > 50, "{}", all.len());
        for (path, _) in all {
            let text = Arguments::try_parse_from(path.iter().map(String::as_str).chain(["--help"])).unwrap_err().to_string();
            assert!(text.lines().count() <= 40 && text.lines().all(|line| line.chars().count() <= 100), "{text}");
            assert!(path.len() == 1 || text.contains("Examples:"), "{text}");
        }
    }
}
