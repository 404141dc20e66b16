//! `sealpost run`: the relay, until it is told to stop.

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sealpost_admin::{AdminServer, MetricsServer};
use sealpost_relay::policy_file::{ChangeOptions, PolicyFileError};
use sealpost_relay::{ConfigFile, Prepared, RelayControl, ReloadError, StartError};
use sealpost_transport::RustlsBackend;
use sealpost_types::WithCauses;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, in_words, runtime, with_identity};
use crate::confine::confine_relay;
use crate::notify::Manager;
use crate::{cli, logging};

pub(crate) fn run(options: &cli::Run) -> Result<ExitCode, Failure> {
    // The one thread that nothing confines: it reads nothing, and has ended when somebody may connect.
    let randomness = thread::Builder::new().name("randomness".to_owned()).spawn(RustlsBackend::gather_randomness);
    let mut log = logging::start(options.log_format, &options.log)?;
    let (file, config) = ConfigFile::open(&options.config.config).map_err(in_words)?;
    let config = with_identity(config)?;
    raise_open_files();
    let manager = Manager::of_the_environment();
    let (admin, metrics, landlock) = (config.admin.clone(), config.metrics.clone(), config.process.landlock);
    make_folder(&config.data_dir)?;
    let prepared = Prepared::read(config).map_err(in_words)?;
    // Before there are other threads: each takes its restrictions from the one that starts it.
    confine_relay(landlock, &prepared.places(&options.config.config))?;
    log.begin()?;
    runtime()?.block_on(async {
        // From here on a signal ends nothing by itself: what is opened below is closed in order.
        let (mut hangups, stopped) = (listen_for(SignalKind::hangup())?, stop_signal()?);
        let builder = prepared.assemble().map_err(in_words)?;
        let _ = randomness.map(JoinHandle::join);
        let ready = builder.config_file(file).ready().await.map_err(in_words)?;
        // Commands reach it before the first client does.
        let management = AdminServer::start(&admin, ready.control().clone()).await.map_err(in_words)?;
        let metrics = MetricsServer::start(&metrics, ready.control().clone()).await.map_err(in_words)?;
        catch_up(ready.control()).await;
        let relay = ready.begin().map_err(in_words)?;
        tracing::info!("started");
        manager.ready();
        tokio::select! {
            () = stopped => {}
            never = reload(&mut hangups, relay.control(), &manager) => match never {},
            never = manager.keep_alive() => match never {},
        }
        manager.stopping();
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

/// Nothing that is not there can be allowed.
fn make_folder(data_dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(data_dir).map_err(|source| in_words(StartError::DataDir { path: data_dir.to_owned(), source }))
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
async fn reload(hangups: &mut Signal, control: &RelayControl, manager: &Manager) -> Infallible {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        manager.reloading();
        match control.by("SIGHUP").reload_all(ChangeOptions::default()).await {
            Ok(_) => {}
            Err(ReloadError::Policy(error)) => {
                tracing::error!("SIGHUP: the policy of before stays in force: {}", WithCauses(&error));
            }
            Err(error) => tracing::error!("SIGHUP: settings and policy of before stay in force: {}", WithCauses(&error)),
        }
        manager.ready();
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

/// As many open files as the system lets this process have: the usual 1024 are too few for all connections of the settings.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of open files stays at {}", limit.current.unwrap_or_default());
    }
}

/// How long transactions and deliveries that are under way may take to finish.
const GRACE: Duration = Duration::from_secs(30);
