//! Digests by which a certificate or a key is recognised.

use std::fmt;

use aws_lc_rs::digest;
use sealpost_types::Pin;

/// SHA-256 of a whole certificate, written as OpenSSL writes it: `AB:CD:...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a digest")]
pub struct Fingerprint(pub [u8; DIGEST_OCTETS]);

/// The pin of a DER `SubjectPublicKeyInfo`.
#[must_use]
pub fn pin_of_key(spki: &[u8]) -> Pin {
    Pin(sha256(spki))
}

impl Fingerprint {
    /// The fingerprint of a DER certificate.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn sha256(octets: &[u8]) -> [u8; DIGEST_OCTETS] {
    let mut out = [0; DIGEST_OCTETS];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, octets).as_ref()) {
        *to = *from;
    }
    out
}

/// Octets of a SHA-256 digest.
pub const DIGEST_OCTETS: usize = 32;
