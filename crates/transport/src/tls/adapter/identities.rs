//! The certificates of a server, chosen by the name that a client asks for, exchangeable while connections are accepted.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm};
use sealpost_cert::{CertificateDetails, PresentedName};

use crate::tls::ServerIdentity;

/// Exchanges the certificates of a [`RustlsBackend`](super::RustlsBackend) while it serves.
#[derive(Clone, Debug, Default)]
pub struct IdentitySwitch(pub(super) Arc<IdentitySlot>);

/// What is shown at the moment.
#[derive(Debug, Default)]
pub(super) struct IdentitySlot(RwLock<Arc<Identities>>);

/// Certificates by the names in them.
#[derive(Debug, Default)]
struct Identities {
    all: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<usize>>,
    /// By what stands behind `*.`: a wildcard is one label.
    by_parent: HashMap<String, Vec<usize>>,
}

impl IdentitySwitch {
    /// Shows these certificates from the next handshake on.
    ///
    /// A client gets the first one for the name that it asks for with a key that it can verify; a name that stands in a certificate comes before
    /// a wildcard. Who asks for no name, or for none of these, gets the first of all with such a key.
    pub fn set(&self, identities: &[ServerIdentity]) {
        *self.0.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Identities::new(identities));
    }
}

impl IdentitySlot {
    pub(super) fn is_empty(&self) -> bool {
        self.current().all.is_empty()
    }

    fn current(&self) -> Arc<Identities> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Identities {
    fn new(identities: &[ServerIdentity]) -> Self {
        let mut found = Self { all: identities.iter().map(|identity| Arc::clone(&identity.0)).collect(), ..Self::default() };
        for (place, identity) in identities.iter().enumerate() {
            let details = identity.chain().next().and_then(|der| CertificateDetails::from_der(der).ok());
            for name in details.iter().flat_map(CertificateDetails::alternative_names) {
                let PresentedName::Dns(name) = name else { continue };
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => found.by_parent.entry(parent.to_owned()).or_default().push(place),
                    None => found.by_name.entry(name).or_default().push(place),
                }
            }
        }
        found
    }

    fn choose(&self, name: Option<&str>, is_usable: impl Fn(&CertifiedKey) -> bool) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let exact = self.by_name.get(&name);
        let wildcard = || name.split_once('.').and_then(|(_, parent)| self.by_parent.get(parent));
        let places = exact.or_else(wildcard);
        let named = || places.into_iter().flatten().filter_map(|place| self.all.get(*place));
        let usable = named().find(|key| is_usable(key)).or_else(|| self.all.iter().filter(|_| places.is_none()).find(|key| is_usable(key)));
        // Where no key will do, the handshake says so.
        usable.or_else(|| named().next()).or_else(|| self.all.first())
    }
}

impl ResolvesServerCert for IdentitySlot {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identities = self.current();
        let chosen = identities.choose(hello.server_name(), |key| can_verify(&hello, key))?;
        Some(Arc::clone(chosen))
    }
}

/// Whether the client knows the signatures of this key, and offers a suite for it: in TLS 1.2 the suite names the kind of key.
fn can_verify(hello: &ClientHello<'_>, key: &CertifiedKey) -> bool {
    let ecdsa = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let is_rsa = key.key.algorithm() == SignatureAlgorithm::RSA;
    let fits = |suite: &CipherSuite| is_tls13(*suite) || ecdsa.contains(suite) != is_rsa;
    key.key.choose_scheme(hello.signature_schemes()).is_some() && hello.cipher_suites().iter().any(fits)
}

fn is_tls13(suite: CipherSuite) -> bool {
    u16::from(suite) >> 8 == 0x13
}
