//! Certificates, made once for a run.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sealpost_cert::{CertificateDetails, TrustAnchors};
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity};
use sealpost_types::Pin;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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
    backend_and_pin(kind, name).0
}

/// The same, with the pin of its key.
pub(crate) fn backend_and_pin(kind: Kind, name: &str) -> (RustlsBackend, Pin) {
    let mut settings = RustlsSettings::new(anchors());
    let identity = identity(kind, name);
    let pin = CertificateDetails::from_der(identity.chain().next().unwrap()).unwrap().pin();
    settings.identities = vec![identity];
    (RustlsBackend::new(settings).unwrap(), pin)
}

/// A server that knows no key exchange of after the quantum computer, with a right certificate for this name.
pub(crate) fn classical(name: &str) -> TlsAcceptor {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let (chain, key) = chain_and_key(Kind::Right, name);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// A client that shows such a certificate for this name when it is asked.
pub(crate) fn showing(kind: Kind, name: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.der().clone()).unwrap();
    let (chain, key) = chain_and_key(kind, name);
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    TlsConnector::from(Arc::new(builder.with_client_auth_cert(chain, key).unwrap()))
}

/// TLS that shows nothing, and trusts the authority of this run.
pub(crate) fn trusting() -> RustlsBackend {
    RustlsBackend::new(RustlsSettings::new(anchors())).unwrap()
}

/// The authority of this run.
pub(crate) fn anchors() -> Arc<TrustAnchors> {
    Arc::new(TrustAnchors::from_der([AUTHORITY.der()]))
}

fn identity(kind: Kind, name: &str) -> ServerIdentity {
    let (certificate, key) = pem(kind, name);
    ServerIdentity::from_pem((Path::new("cert.pem"), certificate.as_bytes()), (Path::new("key.pem"), key.as_bytes())).unwrap()
}

fn chain_and_key(kind: Kind, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let (certificate, key) = pem(kind, name);
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

/// A certificate and its key.
fn pem(kind: Kind, name: &str) -> (String, String) {
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
    (certificate.unwrap().pem(), key.serialize_pem())
}

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Test Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
});

const DAY: Duration = Duration::from_secs(86_400);
