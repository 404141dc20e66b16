//! Policies of recipient domains are looked for anew before they end, whether mail asks for them or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::engine::{Components, Engine};

/// Looks for policies anew until the relay stops.
pub(crate) async fn keep_fresh<C: Components>(engine: Arc<Engine<C>>, mut stopped: watch::Receiver<bool>) {
    let Some(sts) = &engine.sts else { return };
    let look = async {
        loop {
            sleep(LOOK_EVERY).await;
            let refreshed = sts.refresh(&engine.resolver).await;
            if refreshed.fetched + refreshed.failed > 0 {
                tracing::info!(fetched = refreshed.fetched, failed = refreshed.failed, "MTA-STS policies were looked for anew");
            }
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = look => {}
    }
}

/// Policies live for days or weeks.
const LOOK_EVERY: Duration = Duration::from_secs(300);
