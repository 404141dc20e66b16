//! `sealpost run`: the relay, until it is told to stop.

use std::process::ExitCode;
use std::time::Duration;

use sealpost_relay::{Relay, read_config};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, in_words, runtime, with_identity};
use crate::{cli, logging};

pub(crate) fn run(options: &cli::Run) -> Result<ExitCode, Failure> {
    logging::start(options.log_format, &options.log)?;
    let config = with_identity(read_config(&options.config.config).map_err(in_words)?)?;
    runtime()?.block_on(async {
        let relay = Relay::assemble(config).map_err(in_words)?.start().await.map_err(in_words)?;
        stop_signal().await?;
        tracing::info!("stopping: what is under way may finish, what is not delivered stays queued");
        relay.shutdown(GRACE).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stop_signal() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut term, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// How long transactions and deliveries that are under way may take to finish.
const GRACE: Duration = Duration::from_secs(30);
