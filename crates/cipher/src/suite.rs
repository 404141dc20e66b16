//! What a suite is made of.

use sealpost_types::CipherSuite;

/// A cipher suite with all that a cipher string can ask of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    number: CipherSuite,
    openssl: &'static str,
    iana: &'static str,
    pub(crate) since: Since,
    pub(crate) kx: KeyExchange,
    pub(crate) auth: Authentication,
    pub(crate) enc: Encryption,
    pub(crate) mac: Mac,
}

/// The first version of the protocol that has a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "no version before the latest gets new suites")]
pub enum Since {
    /// SSL 3.
    Ssl3,
    /// TLS 1.0.
    Tls1_0,
    /// TLS 1.2.
    Tls1_2,
    /// TLS 1.3.
    Tls1_3,
}

/// How two sides come to a common secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyExchange {
    /// Not a matter of the suite (TLS 1.3).
    Any,
    /// Encrypted with the server's RSA key.
    Rsa,
    /// Diffie-Hellman over a finite field, a fresh key for each session.
    Dhe,
    /// Diffie-Hellman over an elliptic curve, a fresh key for each session.
    Ecdhe,
    /// A secret that both have.
    Psk,
    /// The same, and RSA.
    RsaPsk,
    /// The same, and Diffie-Hellman.
    DhePsk,
    /// The same, and Diffie-Hellman over an elliptic curve.
    EcdhePsk,
    /// A password (RFC 5054).
    Srp,
}

/// How a server shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Not a matter of the suite (TLS 1.3).
    Any,
    /// Not at all.
    Null,
    /// A certificate with an RSA key.
    Rsa,
    /// A certificate with a DSA key.
    Dss,
    /// A certificate with an ECDSA key.
    Ecdsa,
    /// A secret that both have.
    Psk,
    /// A password (RFC 5054).
    Srp,
}

/// What the data is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "their names say it")]
pub enum Encryption {
    Null,
    Rc4,
    TripleDes,
    Idea,
    Seed,
    Aes128,
    Aes256,
    Aes128Gcm,
    Aes256Gcm,
    Aes128Ccm,
    Aes256Ccm,
    Aes128Ccm8,
    Aes256Ccm8,
    Camellia128,
    Camellia256,
    Aria128Gcm,
    Aria256Gcm,
    ChaCha20,
}

/// What protects the data against change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "their names say it")]
pub enum Mac {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    /// The encryption itself.
    Aead,
}

/// How OpenSSL grades a suite. There is none of grade LOW any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    None,
    Medium,
    High,
}

#[allow(clippy::too_many_arguments, reason = "a row of the table")]
pub(crate) const fn suite(
    number: u16,
    openssl: &'static str,
    iana: &'static str,
    since: Since,
    kx: KeyExchange,
    auth: Authentication,
    enc: Encryption,
    mac: Mac,
) -> Suite {
    Suite { number: CipherSuite(number), openssl, iana, since, kx, auth, enc, mac }
}

impl Suite {
    /// Its number in the IANA registry.
    #[must_use]
    pub fn number(&self) -> CipherSuite {
        self.number
    }

    /// What OpenSSL calls it.
    #[must_use]
    pub fn openssl_name(&self) -> &'static str {
        self.openssl
    }

    /// What the IANA registry calls it.
    #[must_use]
    pub fn iana_name(&self) -> &'static str {
        self.iana
    }

    /// The first version that has it.
    #[must_use]
    pub fn since(&self) -> Since {
        self.since
    }

    /// How it comes to a common secret.
    #[must_use]
    pub fn key_exchange(&self) -> KeyExchange {
        self.kx
    }

    /// How the server shows who it is.
    #[must_use]
    pub fn authentication(&self) -> Authentication {
        self.auth
    }

    /// What encrypts.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        self.enc
    }

    /// What protects against change.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Bits of the encryption's key, by what it takes to find it.
    #[must_use]
    pub fn bits(&self) -> u16 {
        use Encryption as E;
        match self.enc {
            E::Null => 0,
            E::TripleDes => 112,
            E::Rc4 | E::Idea | E::Seed | E::Aes128 | E::Aes128Gcm | E::Aes128Ccm | E::Aes128Ccm8 | E::Camellia128 | E::Aria128Gcm => 128,
            E::Aes256 | E::Aes256Gcm | E::Aes256Ccm | E::Aes256Ccm8 | E::Camellia256 | E::Aria256Gcm | E::ChaCha20 => 256,
        }
    }

    /// Whether OpenSSL lets it through at a security level: `@SECLEVEL=n`.
    #[must_use]
    pub fn is_allowed_at(&self, level: u8) -> bool {
        let least = match level {
            0 => return true,
            1 => 80,
            2 => 112,
            3 => 128,
            4 => 192,
            _ => 256,
        };
        use KeyExchange as Kx;
        let has_forward_secrecy = matches!(self.kx, Kx::Any | Kx::Dhe | Kx::Ecdhe | Kx::DhePsk | Kx::EcdhePsk);
        self.bits() >= least
            && self.auth != Authentication::Null
            && self.mac != Mac::Md5
            && (level < 4 || self.mac != Mac::Sha1)
            && (level < 2 || self.enc != Encryption::Rc4)
            && (level < 3 || has_forward_secrecy)
    }

    pub(crate) fn grade(&self) -> Grade {
        match self.enc {
            Encryption::Null => Grade::None,
            Encryption::Rc4 | Encryption::TripleDes | Encryption::Idea | Encryption::Seed => Grade::Medium,
            _ => Grade::High,
        }
    }

    /// Whether OpenSSL's word `FIPS` means it: AES but for CCM, and 3DES.
    pub(crate) fn is_fips(&self) -> bool {
        use Encryption as E;
        let approved = matches!(self.enc, E::TripleDes | E::Aes128 | E::Aes256 | E::Aes128Gcm | E::Aes256Gcm);
        approved && self.kx != KeyExchange::Srp
    }

    /// Whether OpenSSL leaves it out of `DEFAULT`.
    pub(crate) fn is_not_default(&self) -> bool {
        use Encryption as E;
        let rare = matches!(
            self.enc,
            E::Aes128Ccm | E::Aes256Ccm | E::Aes128Ccm8 | E::Aes256Ccm8 | E::Camellia128 | E::Camellia256 | E::Aria128Gcm | E::Aria256Gcm
        );
        let unsigned = self.enc != E::Null && matches!(self.auth, Authentication::Null | Authentication::Dss);
        rare || unsigned || self.grade() == Grade::Medium
    }
}
