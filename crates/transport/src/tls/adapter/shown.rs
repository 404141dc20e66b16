//! The certificates that this side shows as a client.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use sealpost_types::ClientIdentity;

use super::sessions::SessionStore;
use crate::tls::ServerIdentity;

/// The certificates that this side may show to servers that ask for one.
#[derive(Clone, Debug, Default)]
pub struct ClientIdentities {
    usual: Option<ServerIdentity>,
    by_name: HashMap<ClientIdentity, ServerIdentity>,
}

/// Exchanges the certificates that a [`RustlsBackend`](super::RustlsBackend) shows as a client, while it connects.
#[derive(Clone, Debug)]
pub struct ClientIdentitySwitch {
    pub(super) identities: Arc<RwLock<ClientIdentities>>,
    pub(super) sessions: Arc<SessionStore>,
}

/// Shows one certificate to whoever asks for one that its key can sign for, and notes that it did.
pub(super) struct Shown {
    certified: Arc<CertifiedKey>,
    /// Whether a server of these connections has been shown it: a resumed session rests on that handshake.
    before: AtomicBool,
}

tokio::task_local! {
    /// Whether the handshake under way showed a certificate.
    static SHOWN: Cell<bool>;
}

impl ClientIdentities {
    /// `usual` where nothing is said, and those that somebody names.
    #[must_use]
    pub fn new(usual: Option<ServerIdentity>, by_name: impl IntoIterator<Item = (ClientIdentity, ServerIdentity)>) -> Self {
        Self { usual, by_name: by_name.into_iter().collect() }
    }

    fn find(&self, identity: &ClientIdentity) -> Option<&ServerIdentity> {
        match identity {
            ClientIdentity::Usual => self.usual.as_ref(),
            ClientIdentity::Withheld => None,
            named => self.by_name.get(named),
        }
    }
}

impl ClientIdentitySwitch {
    /// Shows these from the next handshake on, and forgets every ticket. One that is named and not among them is not shown.
    pub fn set(&self, identities: ClientIdentities) {
        *self.identities.write().unwrap_or_else(PoisonError::into_inner) = identities;
        self.sessions.clear();
    }

    pub(super) fn shown(&self, identity: &ClientIdentity) -> Option<Arc<Shown>> {
        let identities = self.identities.read().unwrap_or_else(PoisonError::into_inner);
        let ServerIdentity(certified) = identities.find(identity)?;
        Some(Arc::new(Shown { certified: Arc::clone(certified), before: AtomicBool::new(false) }))
    }
}

impl Shown {
    /// What comes of a handshake, and whether it showed a certificate.
    pub(super) async fn watch<T>(handshake: impl Future<Output = T>) -> (T, bool) {
        SHOWN.scope(Cell::new(false), async { (handshake.await, SHOWN.with(Cell::get)) }).await
    }

    /// Whether the server has been shown it: now, or in the handshake that a resumed session goes back to.
    pub(super) fn was_shown(&self, now: bool, resumed: bool) -> bool {
        if now {
            self.before.store(true, Ordering::Relaxed);
        }
        now || (resumed && self.before.load(Ordering::Relaxed))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified.key.choose_scheme(schemes)?;
        // Outside of `watch` nobody asks.
        let _ = SHOWN.try_with(|shown| shown.set(true));
        Some(Arc::clone(&self.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}
