//! `sealpost cert show`: every detail of a certificate, from a file or from a server.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sealpost_probe::certificates::{Found, is_file};
use sealpost_relay::Reach;
use sealpost_transport::system_anchors;
use sealpost_types::{Domain, UnixMillis};

use super::{Failure, in_words, print, runtime};
use crate::cli;

pub(crate) fn show(options: &cli::CertShow) -> Result<ExitCode, Failure> {
    let found = if is_file(&options.source) {
        Found::in_file(&options.source)
    } else {
        // Without anchors every certificate is found untrusted, which is true and no reason not to show it.
        let anchors = Arc::new(system_anchors().anchors);
        runtime()?.block_on(async {
            let reach = Reach::new(own_name()?, Arc::clone(&anchors), PATIENCE).map_err(in_words)?;
            Ok::<_, Failure>(Found::at_server(&reach, &anchors, &options.source, options.implicit).await)
        })?
    };
    let found = found.map_err(|nothing| nothing.reason)?;
    let shown = if options.json { format!("{}\n", found.to_json()) } else { found.to_text() };
    print(&shown);
    Ok(ExitCode::SUCCESS)
}

/// The name of this machine, for EHLO.
fn own_name() -> Result<Domain, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Domain::parse(name.trim()).or_else(|_| Domain::parse("localhost")).map_err(in_words)
}

/// A date for people, in UTC.
pub(super) fn date(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How long a server may take in all.
const PATIENCE: Duration = Duration::from_secs(20);
