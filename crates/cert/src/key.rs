//! Public keys, by kind and size.

use std::fmt;

use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use crate::algorithm::{EC_KEY, RSA_KEY, curve, key_name, same_oid};
use crate::certificate::Certificate;

/// Kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PublicKey {
    /// The usual OpenSSL name of its algorithm, or a dotted object identifier.
    pub algorithm: String,
    /// Its size in bits, where that says something.
    pub bits: Option<u32>,
    /// The elliptic curve.
    pub curve: Option<String>,
}

impl PublicKey {
    pub(crate) fn of(certificate: &Certificate<'_>) -> Self {
        let key = &certificate.x509.tbs_certificate.subject_pki;
        let oid = key.algorithm.algorithm.as_bytes();
        let mut this = Self { algorithm: key_name(oid), bits: None, curve: None };
        if same_oid(RSA_KEY, oid) {
            this.bits = RSAPublicKey::from_der(&key.subject_public_key.data).ok().map(|(_, key)| bits(key.modulus));
        } else if same_oid(EC_KEY, oid) {
            let named = key.algorithm.parameters().and_then(|parameters| parameters.as_oid().ok());
            let known = named.as_ref().and_then(|oid| curve(oid.as_bytes()));
            this.bits = known.map(|(_, bits)| bits);
            this.curve = match (known, named) {
                (Some((name, _)), _) => Some(name.to_owned()),
                (None, named) => named.map(|oid| crate::algorithm::dotted(oid.as_bytes())),
            };
        }
        this
    }

    /// Whether signatures made with such a key are taken, in a path and in a handshake: RSA of 2048 to 8192 bits, ECDSA on
    /// P-256, P-384 and P-521, and Ed25519.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        match (self.algorithm.as_str(), self.bits, self.curve.as_deref()) {
            ("rsaEncryption", bits, _) => bits.is_some_and(|bits| (2048..=8192).contains(&bits)),
            ("id-ecPublicKey", _, curve) => matches!(curve, Some("P-256" | "P-384" | "P-521")),
            (algorithm, ..) => algorithm == "ED25519",
        }
    }
}

/// `rsaEncryption, 2048 bits` or `id-ecPublicKey, P-256, 256 bits`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.curve.iter().try_for_each(|curve| write!(f, ", {curve}"))?;
        self.bits.iter().try_for_each(|bits| write!(f, ", {bits} bits"))
    }
}

/// The bits of a big-endian number, leading zeros not counted.
fn bits(number: &[u8]) -> u32 {
    let significant = number.iter().skip_while(|octet| **octet == 0);
    let first = significant.clone().next().map_or(0, |octet| 8 - octet.leading_zeros());
    let rest = significant.count().saturating_sub(1);
    first.saturating_add(u32::try_from(rest).unwrap_or(u32::MAX).saturating_mul(8))
}
