//! `sealpost-probe cert`: certificates of files and of servers, and what follows from them.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use sealpost_probe::certificates::{Found, is_file};

use crate::network::{Network, Opened, runtime};

#[derive(Debug, Args)]
pub(crate) struct Cert {
    /// A mail server (port 25 by default), or a PEM or DER file; -: standard input.
    #[arg(value_name = "HOST[:PORT]|FILE|-")]
    source: String,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    implicit: bool,
    /// The certificates in PEM.
    #[arg(long, conflicts_with_all = ["json", "tlsa"])]
    pem: bool,
    /// The TLSA records to publish for them, as lines of a zone.
    #[arg(long, conflicts_with = "json")]
    tlsa: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn cert(options: &Cert) -> Result<ExitCode, String> {
    let found = if is_file(&options.source) {
        Found::in_file(&options.source)
    } else {
        let Opened { reach, anchors, .. } = options.network.open(None)?;
        runtime()?.block_on(Found::at_server(&reach, &anchors, &options.source, options.implicit))
    };
    let found = match found {
        Ok(found) => found,
        Err(nothing) => {
            eprintln!("sealpost-probe: {}", nothing.reason);
            return Ok(ExitCode::from(if nothing.is_inconclusive { 2 } else { 1 }));
        }
    };
    let shown = match (options.pem, options.tlsa, options.json) {
        (true, ..) => found.to_pem(),
        (_, true, _) => found.to_zone(),
        (.., true) => format!("{}\n", found.to_json()),
        _ => found.to_text(),
    };
    // A reader that has seen enough and closed the pipe is no failure.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Ok(ExitCode::SUCCESS)
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe cert mx.bank.example
  sealpost-probe cert mx.bank.example --tlsa
  sealpost-probe cert mx.bank.example:465 --pem > chain.pem
  sealpost-probe cert ./fullchain.pem --json

A server's certificates are shown even if nobody would trust them; the check tells what is wrong.
Exit code 0: shown. 1: not to be had. 2: not now (time-out, 421, other 4xx, DNS). 64: usage.";
