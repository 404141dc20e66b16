//! The revocation lists of a relay: watched, because their authorities issue new ones every day.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sealpost_cert::{RevocationLists, TrustAnchors};
use sealpost_transport::WallClock;
use sealpost_types::{UnixMillis, WithCauses};
use tokio::sync::watch;

use crate::certificates::{LOOK_EVERY, Stamp, WARN_EVERY};
use crate::error::StartError;
use crate::places::explained;
use crate::trust::Trust;

/// A file of revocation lists, and who obeys them.
pub(crate) struct WatchedLists {
    path: PathBuf,
    servers: Arc<Trust>,
    clients: Arc<ArcSwap<TrustAnchors>>,
    /// Sees to it that nothing that was verified by other lists is used again.
    distrust: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: Option<Stamp>,
    moving: Option<Stamp>,
    warned: Option<UnixMillis>,
}

/// Reads the file, if there is one.
pub(crate) fn read(path: Option<&Path>) -> Result<RevocationLists, StartError> {
    let Some(path) = path else { return Ok(RevocationLists::default()) };
    let file = std::fs::read(path).map_err(|source| StartError::Unreadable {
        what: "[tls] revocation_lists",
        path: path.to_owned(),
        source: explained(source),
    })?;
    RevocationLists::from_file(&file).map_err(|source| StartError::RevocationLists { path: path.to_owned(), source })
}

impl WatchedLists {
    pub(crate) fn new(
        path: PathBuf,
        servers: Arc<Trust>,
        clients: Arc<ArcSwap<TrustAnchors>>,
        distrust: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let state = State { read: Stamp::of(&path), ..State::default() };
        Self { path, servers, clients, distrust: Box::new(distrust), state: Mutex::new(state) }
    }

    /// Reads the file again and obeys it; if it is wrong, that of before counts.
    pub(crate) fn reload(&self) {
        let stamp = Stamp::of(&self.path);
        let read = read(Some(&self.path));
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State { read: stamp, ..State::default() };
        }
        let file = self.path.display();
        match read {
            Ok(lists) => {
                self.servers.revoke(lists.clone());
                self.clients.store(Arc::new(TrustAnchors::clone(&self.clients.load()).with_revocation_lists(lists)));
                (self.distrust)();
                tracing::info!(%file, "the revocation lists are obeyed from now on");
            }
            Err(error) => tracing::error!(%file, "new revocation lists are refused, those of before count: {}", WithCauses(&error)),
        }
    }

    fn look(&self, now: UnixMillis) {
        let stamp = Stamp::of(&self.path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = state.moving.is_some() && state.moving == stamp;
        state.moving = stamp.filter(|_| stamp != state.read);
        if rests {
            drop(state);
            return self.reload();
        }
        if state.warned.is_none_or(|last| now.since(last) >= WARN_EVERY) {
            for (issuer, next) in self.clients.load().revocation_lists().outdated_at(now) {
                state.warned = Some(now);
                let days = now.since(next).as_secs() / 86_400;
                tracing::warn!(file = %self.path.display(), issuer, "a revocation list should have been replaced {days} days ago");
            }
        }
    }
}

/// Looks after the lists until it is told to stop.
pub(crate) async fn keep_watch(lists: Arc<WatchedLists>, clock: WallClock, mut stopped: watch::Receiver<bool>) {
    loop {
        let (lists, now) = (Arc::clone(&lists), clock.now());
        if tokio::task::spawn_blocking(move || lists.look(now)).await.is_err() {
            tracing::error!("the file of revocation lists could not be looked at");
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
