//! Facts about one TLS connection.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A protocol version that Sealpost speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246, the least that is spoken (A6).
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "1.2"))]
    Tls1_2,
    /// RFC 8446.
    #[cfg_attr(feature = "serde", serde(rename = "1.3"))]
    Tls1_3,
}

/// A cipher suite by its number in the IANA registry "TLS Cipher Suites".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "a registry number")]
pub struct CipherSuite(pub u16);

/// A key exchange group by its number in the IANA registry "TLS Supported Groups".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "a registry number")]
pub struct KexGroup(pub u16);

/// The least that a key exchange must be, by what it takes to break it.
///
/// Written as the weakest group that has it: `x25519`, `secp384r1`, `secp521r1`, or `post-quantum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum KexFloor {
    /// Anything, a resumed session without a key exchange of its own too.
    #[default]
    Any,
    /// 128 bits against a classical computer: secp256r1, x25519.
    Bits128,
    /// 192 bits: secp384r1.
    Bits192,
    /// 256 bits: secp521r1.
    Bits256,
    /// A hybrid or pure ML-KEM group (F7).
    PostQuantum,
}

/// A word that names no [`KexFloor`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown key exchange group {found:?}; one of x25519, secp256r1, secp384r1, secp521r1, X25519MLKEM768, post-quantum is meant")]
#[non_exhaustive]
pub struct UnknownKexFloor {
    /// The word.
    pub found: String,
}

/// A word that names no cipher suite that Sealpost can negotiate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown cipher suite {found:?}; an IANA name such as TLS_AES_256_GCM_SHA384 is meant")]
#[non_exhaustive]
pub struct UnknownCipherSuite {
    /// The word.
    pub found: String,
}

/// A set of cipher suites, sorted. The join of two demands is their intersection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "Vec<CipherSuite>", into = "Vec<CipherSuite>"))]
pub struct CipherSet(Arc<[CipherSuite]>);

/// What was negotiated on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TlsFacts {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// The key exchange group; none where a TLS 1.2 session was resumed without a key exchange.
    pub group: Option<KexGroup>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl TlsVersion {
    /// `TLSv1.2` or `TLSv1.3`, as OpenSSL and Postfix write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls1_2 => "TLSv1.2",
            Self::Tls1_3 => "TLSv1.3",
        }
    }
}

impl CipherSuite {
    /// The IANA name, for the suites that Sealpost can negotiate.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        named(SUITES, self.0)
    }
}

impl FromStr for CipherSuite {
    type Err = UnknownCipherSuite;

    /// The suite of this IANA name.
    fn from_str(text: &str) -> Result<Self, UnknownCipherSuite> {
        let found = SUITES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(number, _)| Self(*number)).ok_or_else(|| UnknownCipherSuite { found: text.to_owned() })
    }
}

impl From<Vec<CipherSuite>> for CipherSet {
    fn from(suites: Vec<CipherSuite>) -> Self {
        Self::new(suites)
    }
}

impl From<CipherSet> for Vec<CipherSuite> {
    fn from(set: CipherSet) -> Self {
        set.as_slice().to_vec()
    }
}

impl CipherSet {
    /// The set of these suites.
    #[must_use]
    pub fn new(mut suites: Vec<CipherSuite>) -> Self {
        suites.sort();
        suites.dedup();
        Self(suites.into())
    }

    /// Its suites, by number.
    #[must_use]
    pub fn as_slice(&self) -> &[CipherSuite] {
        &self.0
    }

    /// Whether the suite is in it.
    #[must_use]
    pub fn contains(&self, suite: CipherSuite) -> bool {
        self.0.binary_search(&suite).is_ok()
    }

    /// Whether every suite of it is in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|suite| other.contains(*suite))
    }

    /// The suites that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|suite| other.contains(*suite)).collect())
    }
}

impl fmt::Display for CipherSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, suite) in self.0.iter().enumerate() {
            write!(f, "{}{suite}", if index > 0 { ":" } else { "" })?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl KexFloor {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Bits128 => "x25519",
            Self::Bits192 => "secp384r1",
            Self::Bits256 => "secp521r1",
            Self::PostQuantum => "post-quantum",
        }
    }
}

impl fmt::Display for KexFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a group's IANA name in any case, `post-quantum` or `any`.
impl FromStr for KexFloor {
    type Err = UnknownKexFloor;

    fn from_str(text: &str) -> Result<Self, UnknownKexFloor> {
        if matches!(text, "post-quantum" | "pq") {
            return Ok(Self::PostQuantum);
        }
        if text == Self::Any.as_str() {
            return Ok(Self::Any);
        }
        let group = GROUPS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(number, _)| KexGroup(*number));
        group.map(KexGroup::strength).ok_or_else(|| UnknownKexFloor { found: text.to_owned() })
    }
}

impl KexGroup {
    /// The groups that have a [`name`](Self::name).
    pub fn named() -> impl Iterator<Item = Self> {
        GROUPS.iter().map(|(number, _)| Self(*number))
    }

    /// The IANA name, for the groups that Sealpost can negotiate.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        named(GROUPS, self.0)
    }

    /// What it takes to break it.
    #[must_use]
    pub fn strength(self) -> KexFloor {
        match self.0 {
            0x0017 | 0x001d => KexFloor::Bits128,
            0x0018 => KexFloor::Bits192,
            0x0019 => KexFloor::Bits256,
            _ if self.is_post_quantum() => KexFloor::PostQuantum,
            _ => KexFloor::Any,
        }
    }

    /// Whether recorded traffic stays secret from a quantum computer: the group has an ML-KEM part.
    #[must_use]
    pub fn is_post_quantum(self) -> bool {
        matches!(self.0, 0x0200..=0x0202 | 0x11eb..=0x11ed)
    }
}

impl TlsFacts {
    /// The facts of their parts.
    #[must_use]
    pub fn new(version: TlsVersion, suite: CipherSuite, group: Option<KexGroup>, resumed: bool) -> Self {
        Self { version, suite, group, resumed }
    }
}

fn named(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

fn number_or_name(f: &mut fmt::Formatter<'_>, name: Option<&str>, number: u16) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None => write!(f, "0x{number:04x}"),
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        number_or_name(f, self.name(), self.0)
    }
}

impl fmt::Debug for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KexGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        number_or_name(f, self.name(), self.0)
    }
}

impl fmt::Debug for KexGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const SUITES: &[(u16, &str)] = &[
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

const GROUPS: &[(u16, &str)] = &[
    (0x0017, "secp256r1"),
    (0x0018, "secp384r1"),
    (0x0019, "secp521r1"),
    (0x001d, "x25519"),
    (0x0200, "MLKEM512"),
    (0x0201, "MLKEM768"),
    (0x0202, "MLKEM1024"),
    (0x11eb, "SecP256r1MLKEM768"),
    (0x11ec, "X25519MLKEM768"),
    (0x11ed, "SecP384r1MLKEM1024"),
];
