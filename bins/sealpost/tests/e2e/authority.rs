//! Certificates made for one test: an authority, and what it signs or does not sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate chain with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("Test Authority")
    }

    /// One of another name: its certificates do not look as if another one had signed them wrongly.
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names (host names or addresses), in date.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(params(names))
    }

    /// The same, with a key of RSA.
    pub(crate) fn issue_rsa(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        Identity { certificate: params(names).signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The same, but out of date since 2021.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// The same, but for this long from now.
    pub(crate) fn issue_lasting(&self, names: &[&str], span: std::time::Duration) -> Identity {
        let mut params = params(names);
        let now = std::time::SystemTime::now();
        params.not_before = (now - std::time::Duration::from_secs(3600)).into();
        params.not_after = (now + span).into();
        self.sign(params)
    }

    /// The same, but for TLS servers alone, or for clients alone.
    pub(crate) fn issue_for(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = params(names);
        params.extended_key_usages = vec![purpose];
        self.sign(params)
    }

    /// A list that takes these certificates back, PEM.
    pub(crate) fn revoke(&self, identities: &[&Identity]) -> String {
        let revoked = identities.iter().map(|identity| {
            let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            let details = sealpost_cert::CertificateDetails::from_der(&der).unwrap();
            let octets = details.serial_number().split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect::<Vec<_>>();
            RevokedCertParams {
                serial_number: SerialNumber::from(octets),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 2),
            next_update: date_time_ymd(2026, 1, 9),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// The same, but with the name as common name alone, as certificates had it long ago.
    pub(crate) fn issue_without_names(&self, common_name: &str) -> Identity {
        let mut params = params(&[common_name]);
        params.subject_alt_names.clear();
        self.sign(params)
    }

    /// What a server needs to show `own` and to turn away clients without a certificate of this authority.
    pub(crate) fn server_demanding(&self, own: &Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), Arc::clone(&provider)).build().unwrap();
        let (chain, key) = own.parts();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// What a client needs to verify what this authority signed.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.verifying().with_no_client_auth())
    }

    /// The same for a client that shows this certificate when it is asked.
    pub(crate) fn client_showing(&self, identity: &Identity) -> Arc<ClientConfig> {
        let (chain, key) = identity.parts();
        Arc::new(self.verifying().with_client_auth_cert(chain, key).unwrap())
    }

    fn verifying(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let roots = self.roots();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(roots)
    }
}

impl Identity {
    /// A certificate that nobody signed but its own key.
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params(names).self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// What a server needs to show this certificate.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.parts();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// Its own certificate.
    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// Writes `cert.pem` and `key.pem`.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.distinguished_name.push(DnType::StateOrProvinceName, "Bavaria");
    params.distinguished_name.push(DnType::LocalityName, "Munich");
    params
}
