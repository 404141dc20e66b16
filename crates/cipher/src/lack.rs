//! Why a suite cannot be used.

use std::fmt;

use crate::suite::{Authentication, Encryption as Enc, KeyExchange as Kx, Mac, Suite};

/// Why a suite that a setting names is not used. rustls has none of them, for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lack {
    /// It does not encrypt.
    NoEncryption,
    /// Nobody shows who they are.
    Anonymous,
    /// It needs a secret that both sides have.
    SharedSecret,
    /// It needs a certificate with a DSA key.
    Dsa,
    /// Its cipher is broken.
    BrokenCipher,
    /// Its secret is encrypted with the server's RSA key.
    StaticRsa,
    /// Its Diffie-Hellman group is over a finite field.
    FiniteField,
    /// Its cipher runs in CBC mode.
    Cbc,
    /// Its cipher is not there.
    OtherCipher,
}

impl Lack {
    /// Why this suite cannot be used; none if it can.
    #[must_use]
    pub fn of(suite: &Suite) -> Option<Self> {
        if suite.number().name().is_some() {
            return None;
        }
        Some(match (suite.auth, suite.kx, suite.enc) {
            (_, _, Enc::Null) => Self::NoEncryption,
            (Authentication::Null, ..) => Self::Anonymous,
            (_, Kx::Psk | Kx::RsaPsk | Kx::DhePsk | Kx::EcdhePsk | Kx::Srp, _) => Self::SharedSecret,
            (Authentication::Dss, ..) => Self::Dsa,
            (_, _, Enc::Rc4 | Enc::TripleDes | Enc::Idea | Enc::Seed) => Self::BrokenCipher,
            (_, Kx::Rsa, _) => Self::StaticRsa,
            (_, Kx::Dhe, _) => Self::FiniteField,
            _ if suite.mac != Mac::Aead => Self::Cbc,
            _ => Self::OtherCipher,
        })
    }

    /// A stable word for it, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoEncryption => "no-encryption",
            Self::Anonymous => "anonymous",
            Self::SharedSecret => "shared-secret",
            Self::Dsa => "dsa",
            Self::BrokenCipher => "broken-cipher",
            Self::StaticRsa => "static-rsa",
            Self::FiniteField => "finite-field",
            Self::Cbc => "cbc",
            Self::OtherCipher => "other-cipher",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEncryption => "nothing is encrypted",
            Self::Anonymous => "nobody shows a certificate, so anybody can be in the middle",
            Self::SharedSecret => "both sides need a secret beforehand (PSK, SRP)",
            Self::Dsa => "certificates with DSA keys are not issued any more",
            Self::BrokenCipher => "RC4 is broken; the blocks of 3DES and IDEA are too short, and SEED is not kept up",
            Self::StaticRsa => "static RSA has no forward secrecy: who gets the key later reads what was recorded; rustls does not have it",
            Self::FiniteField => "DHE groups are chosen by the server and cannot be checked; rustls has elliptic curves only",
            Self::Cbc => "CBC leaks through its padding (Lucky Thirteen); rustls has authenticated encryption only",
            Self::OtherCipher => "rustls does not have the ciphers CCM, CAMELLIA and ARIA",
        })
    }
}
