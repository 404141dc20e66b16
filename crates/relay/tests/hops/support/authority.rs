//! Certificates, made once for a run.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealpost_cert::TrustAnchors;
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity};

/// What is right or wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Right,
    SelfSigned,
    Expired,
    WrongName,
}

/// TLS that shows such a certificate for this name, and trusts the authority of this run.
pub(crate) fn backend(kind: Kind, name: &str) -> RustlsBackend {
    let mut settings = RustlsSettings::new(anchors());
    settings.identity = Some(identity(kind, name));
    RustlsBackend::new(settings).unwrap()
}

/// TLS that shows nothing, and trusts the authority of this run.
pub(crate) fn trusting() -> RustlsBackend {
    RustlsBackend::new(RustlsSettings::new(anchors())).unwrap()
}

fn anchors() -> Arc<TrustAnchors> {
    Arc::new(TrustAnchors::from_der([AUTHORITY.der()]))
}

fn identity(kind: Kind, name: &str) -> ServerIdentity {
    let name = if kind == Kind::WrongName { "mx.forger.example" } else { name };
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if kind == Kind::Expired {
        let now = SystemTime::now();
        params.not_before = (now - 20 * DAY).into();
        params.not_after = (now - 10 * DAY).into();
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match kind {
        Kind::SelfSigned => params.self_signed(&key),
        _ => params.signed_by(&key, &*AUTHORITY),
    };
    let pem = certificate.unwrap().pem();
    ServerIdentity::from_pem((Path::new("cert.pem"), pem.as_bytes()), (Path::new("key.pem"), key.serialize_pem().as_bytes())).unwrap()
}

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Test Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
});

const DAY: Duration = Duration::from_secs(86_400);
