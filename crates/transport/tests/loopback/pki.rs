//! Certificates made for one test run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealpost_cert::TrustAnchors;
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity};

/// A certificate authority.
pub(crate) struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// What kind of certificate a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Right,
    WrongName,
    Expired,
    SelfSigned,
}

/// The name that the right certificate has.
pub(crate) const NAME: &str = "mx.receiver.example";

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn anchors(&self) -> Arc<TrustAnchors> {
        Arc::new(TrustAnchors::from_der([self.ca.der()]))
    }

    pub(crate) fn identity(&self, kind: Kind) -> ServerIdentity {
        let name = if kind == Kind::WrongName { "other.example" } else { NAME };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if kind == Kind::Expired {
            let now = std::time::SystemTime::now();
            params.not_before = (now - Duration::from_secs(20 * 86_400)).into();
            params.not_after = (now - Duration::from_secs(10 * 86_400)).into();
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match kind {
            Kind::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.ca).unwrap(),
        };
        let pem = certificate.pem();
        ServerIdentity::from_pem((Path::new("cert.pem"), pem.as_bytes()), (Path::new("key.pem"), key.serialize_pem().as_bytes())).unwrap()
    }

    /// A backend that accepts with such a certificate.
    pub(crate) fn server(&self, kind: Kind) -> Arc<RustlsBackend> {
        let mut settings = RustlsSettings::new(Arc::new(TrustAnchors::default()));
        settings.identities = vec![self.identity(kind)];
        Arc::new(RustlsBackend::new(settings).unwrap())
    }

    /// A backend that connects and trusts this authority.
    pub(crate) fn client(&self) -> Arc<RustlsBackend> {
        Arc::new(RustlsBackend::new(RustlsSettings::new(self.anchors())).unwrap())
    }
}
