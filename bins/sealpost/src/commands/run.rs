//! `sealpost run`: the relay, until it is told to stop.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use sealpost_admin::{AdminServer, MetricsServer};
use sealpost_relay::policy_file::{ChangeOptions, PolicyFileError};
use sealpost_relay::{ConfigFile, Relay, RelayControl, ReloadError};
use sealpost_types::WithCauses;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, in_words, runtime, with_identity};
use crate::{cli, logging};

pub(crate) fn run(options: &cli::Run) -> Result<ExitCode, Failure> {
    logging::start(options.log_format, &options.log)?;
    let (file, config) = ConfigFile::open(&options.config.config).map_err(in_words)?;
    let config = with_identity(config)?;
    runtime()?.block_on(async {
        // From here on a signal ends nothing by itself: what is opened below is closed in order.
        let (mut hangups, stopped) = (listen_for(SignalKind::hangup())?, stop_signal()?);
        let (admin, metrics) = (config.admin.clone(), config.metrics.clone());
        let ready = Relay::assemble(config).map_err(in_words)?.config_file(file).ready().await.map_err(in_words)?;
        // Commands reach it before the first client does.
        let management = AdminServer::start(&admin, ready.control().clone()).await.map_err(in_words)?;
        let metrics = MetricsServer::start(&metrics, ready.control().clone()).await.map_err(in_words)?;
        catch_up(ready.control()).await;
        let relay = ready.begin().map_err(in_words)?;
        tracing::info!("started");
        tokio::select! {
            () = stopped => {}
            never = reload(&mut hangups, relay.control()) => match never {},
        }
        tracing::info!("stopping: what is under way may finish, what is not delivered stays queued");
        management.shutdown().await;
        relay.shutdown(GRACE).await;
        // It says until the end that the relay is stopping.
        if let Some(metrics) = metrics {
            metrics.shutdown().await;
        }
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

/// What a command wrote into the policy after it was read and before somebody answered the command.
async fn catch_up(control: &RelayControl) {
    let (mut look, mut take) = (ChangeOptions::default(), ChangeOptions::default());
    (look.dry_run, look.force, take.force) = (true, true, true);
    let obeyed = match control.reload(look).await {
        Ok(change) if change.changed => control.by("a command during the start").reload(take).await.map(|_| ()),
        looked => looked.map(|_| ()),
    };
    match obeyed {
        Ok(()) | Err(PolicyFileError::NoFile) => {}
        Err(error) => tracing::error!("the policy was changed during the start, and is not obeyed: {}", WithCauses(&error)),
    }
}

/// SIGHUP: everything is read again. What was wrong with it stands in the log, and that of before stays.
async fn reload(hangups: &mut Signal, control: &RelayControl) -> Infallible {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        match control.by("SIGHUP").reload_all(ChangeOptions::default()).await {
            Ok(_) => {}
            Err(ReloadError::Policy(error)) => {
                tracing::error!("SIGHUP: the policy of before stays in force: {}", WithCauses(&error));
            }
            Err(error) => tracing::error!("SIGHUP: settings and policy of before stay in force: {}", WithCauses(&error)),
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

/// How long transactions and deliveries that are under way may take to finish.
const GRACE: Duration = Duration::from_secs(30);
