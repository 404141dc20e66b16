//! A certificate authority that lives as long as the program.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealpost_cert::{TrustAnchors, certificates_from_pem};
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity};

use crate::Outcome;

/// A certificate authority that lives as long as the program.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, that nobody trusts yet.
    ///
    /// # Errors
    /// Whatever keeps this host from making a key.
    pub fn new() -> Outcome<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Throw-away Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// What somebody needs to trust it.
    #[must_use]
    pub fn anchors(&self) -> Arc<TrustAnchors> {
        Arc::new(TrustAnchors::from_der([self.0.der()]))
    }

    /// A certificate for this name, with its key, both in PEM.
    ///
    /// # Errors
    /// A text that is no name.
    pub fn issue(&self, name: &str) -> Outcome<(String, String)> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }

    /// The same as the DER that a peer would see.
    ///
    /// # Errors
    /// A text that is no name.
    pub fn issue_der(&self, name: &str) -> Outcome<Vec<Vec<u8>>> {
        Ok(certificates_from_pem(self.issue(name)?.0.as_bytes())?)
    }

    /// TLS that trusts this authority, and shows a certificate of it for this name to whoever connects.
    ///
    /// # Errors
    /// A text that is no name.
    pub fn backend(&self, name: &str) -> Outcome<RustlsBackend> {
        let (certificate, key) = self.issue(name)?;
        let mut settings = RustlsSettings::new(self.anchors());
        let (certificate, key) = ((Path::new("certificate"), certificate.as_bytes()), (Path::new("key"), key.as_bytes()));
        settings.identities = vec![ServerIdentity::from_pem(certificate, key)?];
        Ok(RustlsBackend::new(settings)?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
