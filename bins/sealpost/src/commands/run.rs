//! `sealpost run`: the relay, until it is told to stop.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use sealpost_relay::{Relay, read_config};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, in_words, runtime, with_identity};
use crate::{cli, logging};

pub(crate) fn run(options: &cli::Run) -> Result<ExitCode, Failure> {
    logging::start(options.log_format, &options.log)?;
    let config = with_identity(read_config(&options.config.config).map_err(in_words)?)?;
    runtime()?.block_on(async {
        let mut hangups = listen_for(SignalKind::hangup())?;
        let relay = Relay::assemble(config).map_err(in_words)?.start().await.map_err(in_words)?;
        tokio::select! {
            stopped = stop_signal() => stopped?,
            never = ignore(&mut hangups) => match never {},
        }
        tracing::info!("stopping: what is under way may finish, what is not delivered stays queued");
        relay.shutdown(GRACE).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stop_signal() -> Result<(), Failure> {
    let (mut term, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// SIGHUP means "read your files again" to other servers, and would end this one without grace.
async fn ignore(hangups: &mut Signal) -> Infallible {
    loop {
        match hangups.recv().await {
            Some(()) => tracing::warn!("SIGHUP is ignored: changed files are read at a restart"),
            None => std::future::pending().await,
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

/// How long transactions and deliveries that are under way may take to finish.
const GRACE: Duration = Duration::from_secs(30);
