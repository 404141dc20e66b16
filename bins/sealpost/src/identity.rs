//! Certificates that the relay makes itself: the one of its first start, and the throw-away ones of the quickstart.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sealpost_relay::config::Identity;

/// A certificate authority that lives as long as the process.
#[derive(Debug)]
pub(crate) struct ThrowAwayAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl ThrowAwayAuthority {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Sealpost throw-away authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for `name` and writes it and its key into `folder`.
    pub(crate) fn issue(&self, name: &str, folder: &Path) -> Result<Identity, String> {
        let in_words = |error: rcgen::Error| format!("cannot make a certificate for {name}: {error}");
        let key = KeyPair::generate().map_err(in_words)?;
        let certificate = parameters(name).map_err(in_words)?.signed_by(&key, &self.issuer).map_err(in_words)?;
        write_identity(folder, name, &certificate.pem(), &key.serialize_pem())
    }
}

/// The certificate that a relay without one uses: made at its first start, kept in `folder`, signed by itself.
pub(crate) fn own_or_new(folder: &Path, hostname: &str) -> Result<Identity, String> {
    let identity = Identity::new(folder.join(format!("{hostname}.pem")), folder.join(format!("{hostname}.key.pem")));
    if identity.certificate.exists() && identity.private_key.exists() {
        return Ok(identity);
    }
    let in_words = |error: rcgen::Error| format!("cannot make a certificate for {hostname}: {error}");
    let key = KeyPair::generate().map_err(in_words)?;
    let certificate = parameters(hostname).map_err(in_words)?.self_signed(&key).map_err(in_words)?;
    write_identity(folder, hostname, &certificate.pem(), &key.serialize_pem())
}

fn parameters(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = std::time::SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + LIFETIME).into();
    Ok(params)
}

fn write_identity(folder: &Path, name: &str, certificate: &str, key: &str) -> Result<Identity, String> {
    let identity = Identity::new(folder.join(format!("{name}.pem")), folder.join(format!("{name}.key.pem")));
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    // The key first: a certificate is only found together with its key.
    for (path, text, mode) in [(&identity.private_key, key, 0o600), (&identity.certificate, certificate, 0o644)] {
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(identity)
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// How long a certificate of our own lasts. Nobody verifies it against an authority, so its end only needs to be far.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
