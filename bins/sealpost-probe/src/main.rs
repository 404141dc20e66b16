//! The test tool of Sealpost: what would the relay do with this host?
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

mod ping;

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
    /// STARTTLS ping: does a session get as far as EHLO under TLS?
    #[command(after_help = PING)]
    Ping(ping::Ping),
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
    };
    result.unwrap_or_else(|problem| {
        eprintln!("sealpost-probe: {problem}");
        ExitCode::from(USAGE)
    })
}

const PING: &str = "\
Examples:
  sealpost-probe ping mx.bank.example
  sealpost-probe ping 192.0.2.1:465 --timeout 5s --json

Exit code 0: it does. 1: it does not. 2: nobody knows (time-out, 421, DNS). 64: usage.";

/// The exit code for a command line that is not understood (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;
