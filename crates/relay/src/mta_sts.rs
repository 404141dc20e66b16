//! Policies of recipient domains are looked for anew before they end, whether mail asks for them or not; and those that a relay keeps which
//! does not run.

use std::sync::Arc;
use std::time::Duration;

use sealpost_discovery::{StsCache, StsCacheError, StsKept};
use sealpost_types::{Domain, UnixMillis};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::assemble::sts_cache_file;
use crate::config::Config;
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

/// The MTA-STS policies that a relay keeps in its file and that hold now, by domain: beside the relay or without one.
///
/// # Errors
/// [`StsCacheError`]: there is a file, and it cannot be read.
pub fn kept_sts_policies(config: &Config, now: UnixMillis) -> Result<Vec<StsKept>, StsCacheError> {
    let path = sts_cache_file(config);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut kept = StsCache::peek(&path)?;
    kept.retain(|kept| kept.kept.expires_at > now);
    Ok(kept)
}

/// Forgets a policy in the file of a relay that does not run, and returns what it was.
///
/// # Errors
/// [`StsCacheError`]: the file is a running relay's, or cannot be written.
pub async fn forget_kept_sts_policy(config: &Config, domain: &Domain, now: UnixMillis) -> Result<Option<StsKept>, StsCacheError> {
    let path = sts_cache_file(config);
    if !path.exists() {
        return Ok(None);
    }
    let cache = StsCache::open(&path, now)?;
    let forgotten = cache.forget(domain).await;
    cache.close().await?;
    Ok(forgotten?)
}

/// Policies live for days or weeks.
const LOOK_EVERY: Duration = Duration::from_secs(300);
