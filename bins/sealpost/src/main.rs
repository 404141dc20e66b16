//! Sealpost, the mail relay that enforces TLS on both hops: flags and wiring.
#![allow(clippy::print_stderr, reason = "a command line talks to people")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod cli;
mod commands;
mod confine;
mod identity;
mod logging;
mod notify;
mod process;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = process::keep_memory_private() {
        eprintln!("sealpost: core dumps cannot be switched off: {error}");
    }
    match commands::execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sealpost: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exit code for a command line that is not understood (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;
