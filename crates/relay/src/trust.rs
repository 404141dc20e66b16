//! Whom the relay trusts as a client, and what it shows to servers: by its own file, by its policy, and by revocation lists.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_cert::{RevocationLists, TrustAnchors};
use sealpost_transport::{AnchorSwitch, ClientIdentitySwitch, WallClock};
use sealpost_types::UnixMillis;
use tokio::sync::watch;

use crate::certificates::{Held, LOOK_EVERY};
use crate::policy_file::NamedFiles;

/// Whom the relay trusts as a client, and what it shows: put together anew, and given to the TLS backend, whenever a part changes.
pub(crate) struct Trust {
    anchors: AnchorSwitch,
    identities: ClientIdentitySwitch,
    warn_before: Duration,
    state: Mutex<State>,
}

struct State {
    /// The anchors where nothing is named, with what is revoked.
    usual: TrustAnchors,
    /// The certificate that is shown where nothing is named.
    shown: Option<Held>,
    named: NamedFiles,
    /// What the backend was given.
    given: Arc<TrustAnchors>,
}

impl Trust {
    pub(crate) fn new(
        (usual, shown): (TrustAnchors, Option<Held>),
        named: NamedFiles,
        (anchors, identities): (AnchorSwitch, ClientIdentitySwitch),
        warn_before: Duration,
    ) -> Self {
        let state = State { given: Arc::default(), usual, shown, named };
        let trust = Self { anchors, identities, warn_before, state: Mutex::new(state) };
        trust.give(&mut trust.state());
        trust
    }

    /// All anchors, those of the policy's files beside the usual ones.
    pub(crate) fn anchors(&self) -> Arc<TrustAnchors> {
        Arc::clone(&self.state().given)
    }

    /// Obeys what a policy names from the next handshake on; whether that is something else than before.
    pub(crate) fn obey(&self, named: NamedFiles) -> bool {
        let mut state = self.state();
        if state.named.is_as(&named) {
            return false;
        }
        state.named = named;
        self.give(&mut state);
        true
    }

    /// Obeys these revocation lists.
    pub(crate) fn revoke(&self, lists: RevocationLists) {
        let mut state = self.state();
        state.usual = state.usual.clone().with_revocation_lists(lists);
        self.give(&mut state);
    }

    /// Looks whether files have changed, and obeys those that have; whether any has.
    pub(crate) fn look(&self, now: UnixMillis) -> bool {
        let mut state = self.state();
        let usual = state.shown.as_mut().is_some_and(|shown| shown.look(now, self.warn_before));
        let changed = state.named.look(now, self.warn_before) || usual;
        if changed {
            self.give(&mut state);
        }
        changed
    }

    /// The files of the certificates that are shown to servers, and when what is shown of each ends.
    pub(crate) fn ends(&self) -> Vec<(PathBuf, UnixMillis)> {
        let state = self.state();
        let mut ends: Vec<_> = state.shown.iter().map(Held::end).chain(state.named.ends()).collect();
        ends.sort();
        // One file may be named in several places, and is one series.
        ends.dedup_by(|one, other| one.0 == other.0);
        ends
    }

    fn give(&self, state: &mut State) {
        state.given = Arc::new(state.named.beside(&state.usual));
        self.anchors.set(Arc::clone(&state.given));
        self.identities.set(state.named.identities(state.shown.as_ref().map(|held| held.identity.clone())));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after the files until it is told to stop; `renew` lets go of connections that others were verified for.
pub(crate) async fn keep_watch(trust: Arc<Trust>, renew: impl Fn() + Send, clock: WallClock, mut stopped: watch::Receiver<bool>) {
    loop {
        let (trust, now) = (Arc::clone(&trust), clock.now());
        match tokio::task::spawn_blocking(move || trust.look(now)).await {
            Ok(true) => renew(),
            Ok(false) => {}
            Err(_) => tracing::error!("the files that the policy names could not be looked at"),
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("anchors", &self.anchors()).finish_non_exhaustive()
    }
}
