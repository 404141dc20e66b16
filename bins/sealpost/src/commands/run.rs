//! `sealpost run`: the relay, until it is told to stop.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use sealpost_admin::AdminServer;
use sealpost_relay::policy_file::ChangeOptions;
use sealpost_relay::{Relay, RelayControl, read_config};
use sealpost_types::WithCauses;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, in_words, runtime, with_identity};
use crate::{cli, logging};

pub(crate) fn run(options: &cli::Run) -> Result<ExitCode, Failure> {
    logging::start(options.log_format, &options.log)?;
    let config = with_identity(read_config(&options.config.config).map_err(in_words)?)?;
    runtime()?.block_on(async {
        // From here on a signal ends nothing by itself: what is opened below is closed in order.
        let (mut hangups, stopped) = (listen_for(SignalKind::hangup())?, stop_signal()?);
        let admin = config.admin.clone();
        let relay = Relay::assemble(config).map_err(in_words)?.start().await.map_err(in_words)?;
        let management = AdminServer::start(&admin, relay.control().clone()).await.map_err(in_words)?;
        tracing::info!("started");
        tokio::select! {
            () = stopped => {}
            never = reload(&mut hangups, relay.control()) => match never {},
        }
        tracing::info!("stopping: what is under way may finish, what is not delivered stays queued");
        management.shutdown().await;
        relay.shutdown(GRACE).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for the first SIGTERM or SIGINT after this call.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut term, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// SIGHUP: the policy and the certificates are read again. What was wrong with them stands in the log, and those of before stay.
async fn reload(hangups: &mut Signal, control: &RelayControl) -> Infallible {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        if let Err(error) = control.by("SIGHUP").reload(ChangeOptions::default()).await {
            tracing::error!("SIGHUP: the policy of before stays in force: {}", WithCauses(&error));
        }
        control.reload_certificates().await;
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

/// How long transactions and deliveries that are under way may take to finish.
const GRACE: Duration = Duration::from_secs(30);
