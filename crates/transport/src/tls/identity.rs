//! A certificate that this side shows, with its key: as a server, or as a client that is asked for one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sealpost_cert::{PemError, certificates_from_pem};
use sealpost_types::{Blame, Retry};

/// A certificate chain and the key of its first certificate; that they belong together has been checked.
///
/// The key never prints.
#[derive(Clone)]
pub struct ServerIdentity(pub(super) Arc<CertifiedKey>);

/// Why files are no [`ServerIdentity`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate file is no list of PEM certificates.
    #[error("{}: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        cause: PemError,
    },
    /// The key file holds no private key.
    #[error("{}: no private key found: no line reads -----BEGIN PRIVATE KEY-----", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key needs a passphrase.
    #[error("{}: the private key is encrypted; decrypt it with `openssl pkey -in FILE -out NEWFILE`", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is damaged, or of a kind that is not supported.
    #[error("{}: the private key is damaged or of an unsupported kind; RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519 work", path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key belongs to another certificate.
    #[error("the private key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The first certificate is damaged.
    #[error("{}: the first certificate is damaged", path.display())]
    DamagedCertificate {
        /// The file.
        path: PathBuf,
    },
}

impl ServerIdentity {
    /// Reads a chain (the server's own certificate first) and a key (PKCS #8, PKCS #1 or SEC 1), both in PEM.
    ///
    /// # Errors
    /// One [`IdentityError`] variant per kind of mistake; each names the file.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| std::fs::read(path).map_err(|source| IdentityError::Unreadable { path: path.to_owned(), source });
        Self::from_pem((certificate, &read(certificate)?), (key, &read(key)?))
    }

    /// The same from texts that are already in memory; the paths only name them in errors.
    ///
    /// # Errors
    /// As [`from_pem_files`](Self::from_pem_files), but for [`IdentityError::Unreadable`].
    pub fn from_pem(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, IdentityError> {
        let (certificate_path, certificate_text) = certificate;
        let (key_path, key_text) = key;
        let chain = certificates_from_pem(certificate_text)
            .map_err(|cause| IdentityError::Certificate { path: certificate_path.to_owned(), cause })?;
        let private = match PrivateKeyDer::from_pem_slice(key_text) {
            _ if is_encrypted(key_text) => return Err(IdentityError::EncryptedKey { path: key_path.to_owned() }),
            Ok(private) => private,
            Err(rustls::pki_types::pem::Error::NoItemsFound) => return Err(IdentityError::NoKey { path: key_path.to_owned() }),
            Err(_) => return Err(IdentityError::UnusableKey { path: key_path.to_owned() }),
        };
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        match CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()) {
            Ok(certified) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(IdentityError::Mismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() })
            }
            Err(rustls::Error::InvalidCertificate(_)) => Err(IdentityError::DamagedCertificate { path: certificate_path.to_owned() }),
            Err(_) => Err(IdentityError::UnusableKey { path: key_path.to_owned() }),
        }
    }

    /// The chain in DER, the server's own certificate first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.0.cert.iter().map(AsRef::as_ref)
    }
}

impl IdentityError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("certificates", &self.0.cert.len()).finish_non_exhaustive()
    }
}

/// Both forms of encryption: that of PKCS #8, and the older one of OpenSSL (RFC 1421 section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let has = |what: &[u8]| text.windows(what.len()).any(|part| part == what);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn pair() -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem(), key)
    }

    fn load(certificate: &str, key: &str) -> Result<ServerIdentity, IdentityError> {
        ServerIdentity::from_pem((Path::new("c.pem"), certificate.as_bytes()), (Path::new("k.pem"), key.as_bytes()))
    }

    #[test]
    fn each_mistake_is_named_with_its_file() {
        let (certificate, key) = pair();
        let key = key.serialize_pem();
        let (_, other) = pair();
        let pkcs8_encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let openssl_encrypted =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let broken_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let cut_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n";
        let broken_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(load(&certificate, &key).is_ok());
        assert!(matches!(load(&certificate, pkcs8_encrypted), Err(IdentityError::EncryptedKey { .. })));
        assert!(matches!(load(&certificate, openssl_encrypted), Err(IdentityError::EncryptedKey { .. })));
        assert!(matches!(load(&certificate, &certificate), Err(IdentityError::NoKey { .. })));
        assert!(matches!(load(&certificate, ""), Err(IdentityError::NoKey { .. })));
        assert!(matches!(load(&certificate, broken_key), Err(IdentityError::UnusableKey { .. })));
        assert!(matches!(load(&certificate, cut_key), Err(IdentityError::UnusableKey { .. })));
        assert!(matches!(load(&key, &key), Err(IdentityError::Certificate { .. })));
        assert!(matches!(load(broken_certificate, &key), Err(IdentityError::DamagedCertificate { .. })));
        let mismatch = load(&certificate, &other.serialize_pem()).unwrap_err();
        assert!(matches!(mismatch, IdentityError::Mismatch { .. }));
        assert_eq!(mismatch.to_string(), "the private key in k.pem does not belong to the first certificate in c.pem");
    }

    #[test]
    fn files_are_read_and_missing_ones_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let (certificate_path, key_path) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
        std::fs::write(&certificate_path, certificate).unwrap();
        let missing = ServerIdentity::from_pem_files(&certificate_path, &key_path).unwrap_err();
        assert!(matches!(&missing, IdentityError::Unreadable { path, .. } if *path == key_path));
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let identity = ServerIdentity::from_pem_files(&certificate_path, &key_path).unwrap();
        assert_eq!(identity.chain().count(), 1);
        assert!(!format!("{identity:?}").contains("key"), "{identity:?}");
    }
}
