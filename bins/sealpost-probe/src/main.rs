//! The test tool of Sealpost: what would the relay do with this host?
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod cert;
mod levels;
mod load;
mod network;
mod ping;
mod send;
mod shown;
mod sink;
mod suggest;
mod survey;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests the TLS of mail servers with the same code that the relay delivers with.
#[derive(Debug, Parser)]
#[command(name = "sealpost-probe", version, disable_help_subcommand = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// STARTTLS ping: does a session get as far as EHLO under TLS, and how fast?
    #[command(after_help = ping::EXAMPLES)]
    Ping(Box<ping::Ping>),
    /// Send one message, as the relay would, and say what became of it.
    #[command(after_help = send::EXAMPLES)]
    Send(Box<send::Send>),
    /// Say what mail to a domain would meet, host by host, and at which level it would go.
    #[command(after_help = test::EXAMPLES)]
    Test(Box<test::Test>),
    /// Say what mail to many domains would meet, with tables and a page of pictures.
    #[command(after_help = survey::EXAMPLES)]
    Survey(Box<survey::Survey>),
    /// Write the entries of a policy that would hold, from a survey or a relay's history.
    #[command(after_help = suggest::EXAMPLES)]
    Suggest(Box<suggest::Suggest>),
    /// Send many messages over many sessions, and say how long they took.
    #[command(after_help = load::EXAMPLES)]
    Load(Box<load::Load>),
    /// Show certificates of a server or a file, and the TLSA records to publish for them.
    #[command(after_help = cert::EXAMPLES)]
    Cert(Box<cert::Cert>),
    /// A receiving server for tests, with faults on demand.
    #[command(after_help = sink::EXAMPLES)]
    Sink(Box<sink::Sink>),
    #[command(after_help = MAN)]
    Man(sealpost_manual::Man),
    #[command(after_help = COMPLETIONS)]
    Completions(sealpost_manual::Completions),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match arguments.command {
        Command::Ping(options) => ping::ping(&options),
        Command::Send(options) => send::send(&options),
        Command::Test(options) => test::test(&options),
        Command::Survey(options) => survey::survey(&options),
        Command::Suggest(options) => suggest::suggest(&options),
        Command::Load(options) => load::load(&options),
        Command::Cert(options) => cert::cert(&options),
        Command::Sink(options) => sink::sink(&options),
        Command::Man(options) => Ok(written(options.write::<Arguments>())),
        Command::Completions(options) => Ok(written(options.print::<Arguments>())),
    };
    result.unwrap_or_else(|problem| {
        eprintln!("sealpost-probe: {problem}");
        ExitCode::from(USAGE)
    })
}

fn written(result: std::io::Result<()>) -> ExitCode {
    result.map_or_else(
        |error| {
            eprintln!("sealpost-probe: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

const MAN: &str = "\
Examples:
  sealpost-probe man /usr/local/share/man/man1

The pages are those of `--help`: one for each command, sealpost-probe-COMMAND.1 in section 1.";

const COMPLETIONS: &str = "\
Examples:
  sealpost-probe completions bash > /usr/share/bash-completion/completions/sealpost-probe
  sealpost-probe completions zsh > /usr/local/share/zsh/site-functions/_sealpost-probe
  sealpost-probe completions fish > ~/.config/fish/completions/sealpost-probe.fish";

/// The exit code for a command line that is not understood (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: [&str; 10] = [
        ping::EXAMPLES,
        test::EXAMPLES,
        survey::EXAMPLES,
        suggest::EXAMPLES,
        send::EXAMPLES,
        load::EXAMPLES,
        cert::EXAMPLES,
        sink::EXAMPLES,
        MAN,
        COMPLETIONS,
    ];

    #[test]
    fn every_example_is_understood() {
        let mut tried = 0;
        for line in EXAMPLES.into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("  sealpost-probe ")) {
            let ends = ["  ", "&&", "||", " < ", " > ", " >> "];
            let command = ends.into_iter().fold(line, |line, end| line.split(end).next().unwrap_or_default());
            let words = std::iter::once("sealpost-probe".to_owned()).chain(words(command));
            let parsed = Arguments::try_parse_from(words);
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
            tried += 1;
        }
        assert!(tried >= 2 * EXAMPLES.len(), "{tried}");
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
        for command in ["", "ping", "test", "survey", "suggest", "send", "load", "cert", "sink", "man", "completions"] {
            let words = ["sealpost-probe"].into_iter().chain(command.split_whitespace()).chain(["--help"]);
            let text = Arguments::try_parse_from(words).unwrap_err().to_string();
            assert!(text.lines().count() <= 40 && text.lines().all(|line| line.chars().count() <= 100), "{text}");
            assert!(command.is_empty() || text.contains("Examples:"), "{text}");
        }
    }
}
