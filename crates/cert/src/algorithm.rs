//! Object identifiers, and the names by which OpenSSL prints them.

use std::fmt::Write as _;

/// The usual OpenSSL name of a signature algorithm, or its dotted object identifier.
pub(crate) fn signature_name(oid: &[u8]) -> String {
    named(SIGNATURES, oid)
}

/// The usual OpenSSL name of a public key algorithm, or its dotted object identifier.
pub(crate) fn key_name(oid: &[u8]) -> String {
    named(KEYS, oid)
}

/// The NIST or usual name of an elliptic curve and the bits of its keys.
pub(crate) fn curve(oid: &[u8]) -> Option<(&'static str, u32)> {
    CURVES.iter().find(|(arcs, ..)| same_oid(arcs, oid)).map(|&(_, name, bits)| (name, bits))
}

/// The name of an extended key usage as OpenSSL prints it, or its dotted object identifier.
pub(crate) fn purpose_name(oid: &[u8]) -> String {
    named(PURPOSES, oid)
}

/// Whether the content octets of an object identifier are these arcs.
pub(crate) fn same_oid(arcs: &[u64], oid: &[u8]) -> bool {
    let mut expected = Arcs(oid);
    let [first, second, rest @ ..] = arcs else { return false };
    let start = first.checked_mul(40).and_then(|start| start.checked_add(*second)).map(u128::from);
    if expected.next() != start.map(Some) {
        return false;
    }
    rest.iter().all(|arc| expected.next() == Some(Some(u128::from(*arc)))) && expected.next().is_none()
}

/// An object identifier in numbers: `1.2.840.113549.1.1.11`. An arc past 126 bits is
/// written `?`, the end of a very long identifier `...`.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut out = String::new();
    for (at, arc) in Arcs(oid).enumerate() {
        if at > 0 {
            out.push('.');
        }
        let _ = match arc {
            _ if at >= DOTTED_ARCS => {
                out.push_str("...");
                break;
            }
            None => write!(out, "?"),
            // The first octets carry two arcs; the first of them is 0, 1 or 2.
            Some(value) if at == 0 => {
                let first = (value / 40).min(2);
                write!(out, "{first}.{}", value - first * 40)
            }
            Some(value) => write!(out, "{value}"),
        };
    }
    out
}

/// Cuts content octets into arcs; `None` inside for one that does not fit.
struct Arcs<'a>(&'a [u8]);

impl Iterator for Arcs<'_> {
    type Item = Option<u128>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.0.iter().position(|octet| octet & 0x80 == 0).map_or(self.0.len(), |last| last + 1);
        let (arc, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        if arc.len() > ARC_OCTETS {
            return Some(None);
        }
        Some(Some(arc.iter().fold(0, |value, octet| value << 7 | u128::from(octet & 0x7f))))
    }
}

fn named(table: &[(&[u64], &str)], oid: &[u8]) -> String {
    table.iter().find(|(arcs, _)| same_oid(arcs, oid)).map_or_else(|| dotted(oid), |(_, name)| (*name).to_owned())
}

const DOTTED_ARCS: usize = 32;
/// 18 groups of 7 bits fit into 128.
const ARC_OCTETS: usize = 18;

const SIGNATURES: &[(&[u64], &str)] = &[
    (&[1, 2, 840, 113_549, 1, 1, 11], "sha256WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 12], "sha384WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 13], "sha512WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 14], "sha224WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 10], "rsassaPss"),
    (&[1, 2, 840, 113_549, 1, 1, 5], "sha1WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 4], "md5WithRSAEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 2], "md2WithRSAEncryption"),
    (&[1, 2, 840, 10_045, 4, 1], "ecdsa-with-SHA1"),
    (&[1, 2, 840, 10_045, 4, 3, 1], "ecdsa-with-SHA224"),
    (&[1, 2, 840, 10_045, 4, 3, 2], "ecdsa-with-SHA256"),
    (&[1, 2, 840, 10_045, 4, 3, 3], "ecdsa-with-SHA384"),
    (&[1, 2, 840, 10_045, 4, 3, 4], "ecdsa-with-SHA512"),
    (&[1, 3, 101, 112], "ED25519"),
    (&[1, 3, 101, 113], "ED448"),
    (&[1, 2, 840, 10_040, 4, 3], "dsaWithSHA1"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 2], "dsa_with_SHA256"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 17], "ML-DSA-44"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 18], "ML-DSA-65"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 19], "ML-DSA-87"),
];

const KEYS: &[(&[u64], &str)] = &[
    (RSA_KEY, "rsaEncryption"),
    (&[1, 2, 840, 113_549, 1, 1, 10], "rsassaPss"),
    (EC_KEY, "id-ecPublicKey"),
    (&[1, 2, 840, 10_040, 4, 1], "dsaEncryption"),
    (&[1, 3, 101, 110], "X25519"),
    (&[1, 3, 101, 111], "X448"),
    (&[1, 3, 101, 112], "ED25519"),
    (&[1, 3, 101, 113], "ED448"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 17], "ML-DSA-44"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 18], "ML-DSA-65"),
    (&[2, 16, 840, 1, 101, 3, 4, 3, 19], "ML-DSA-87"),
];

const CURVES: &[(&[u64], &str, u32)] = &[
    (&[1, 2, 840, 10_045, 3, 1, 7], "P-256", 256),
    (&[1, 3, 132, 0, 34], "P-384", 384),
    (&[1, 3, 132, 0, 35], "P-521", 521),
    (&[1, 3, 132, 0, 33], "P-224", 224),
    (&[1, 2, 840, 10_045, 3, 1, 1], "P-192", 192),
    (&[1, 3, 132, 0, 10], "secp256k1", 256),
    (&[1, 3, 36, 3, 3, 2, 8, 1, 1, 7], "brainpoolP256r1", 256),
    (&[1, 3, 36, 3, 3, 2, 8, 1, 1, 11], "brainpoolP384r1", 384),
    (&[1, 3, 36, 3, 3, 2, 8, 1, 1, 13], "brainpoolP512r1", 512),
];

const PURPOSES: &[(&[u64], &str)] = &[
    (SERVER_AUTH, "TLS Web Server Authentication"),
    (CLIENT_AUTH, "TLS Web Client Authentication"),
    (&[1, 3, 6, 1, 5, 5, 7, 3, 3], "Code Signing"),
    (&[1, 3, 6, 1, 5, 5, 7, 3, 4], "E-mail Protection"),
    (&[1, 3, 6, 1, 5, 5, 7, 3, 8], "Time Stamping"),
    (&[1, 3, 6, 1, 5, 5, 7, 3, 9], "OCSP Signing"),
    (&[2, 5, 29, 37, 0], "Any Extended Key Usage"),
];

pub(crate) const RSA_KEY: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
pub(crate) const EC_KEY: &[u64] = &[1, 2, 840, 10_045, 2, 1];
pub(crate) const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_named_or_dotted() {
        assert_eq!(signature_name(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]), "sha256WithRSAEncryption");
        assert_eq!(signature_name(&[0x2b, 0x65, 0x70]), "ED25519");
        assert_eq!(signature_name(&[0x2a, 0x03, 0x04]), "1.2.3.4");
        assert_eq!(dotted(&[0x88, 0x37, 0x03]), "2.999.3");
        assert_eq!(dotted(&[]), "");
        assert_eq!(dotted(&[0x2b, 0x80]), "1.3.0");
        assert_eq!(dotted(&[&[0x2b], &[0xff; 30][..], &[1, 5]].concat()), "1.3.?.5");
    }

    #[test]
    fn a_prefix_is_not_the_identifier() {
        assert!(same_oid(&[1, 3, 101, 112], &[0x2b, 0x65, 0x70]));
        assert!(!same_oid(&[1, 3, 101], &[0x2b, 0x65, 0x70]));
        assert!(!same_oid(&[1, 3, 101, 112, 1], &[0x2b, 0x65, 0x70]));
    }
}
