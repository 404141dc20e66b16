//! The words of a cipher string, and which suites each means.

use crate::suite::{Authentication as Au, Encryption as Enc, Grade, KeyExchange as Kx, Mac, Since, Suite};
use crate::table::{SUITES, TLS13};

/// What one word of a term asks of a suite.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// A property.
    Alias(fn(&Suite) -> bool),
    /// A grade, or FIPS. Two different ones together name nothing: OpenSSL keeps them in one place.
    Strength(Strength),
    /// One suite for TLS 1.2 and below, by OpenSSL's name.
    Suite(&'static Suite),
    /// The same by its name in the IANA registry.
    RegistryName(&'static Suite),
    /// One suite of TLS 1.3, of which the aliases do not speak.
    Tls13(&'static Suite),
    /// A word of which no suite is left.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    High,
    Medium,
    Fips,
}

impl Word {
    pub(crate) fn find(text: &str) -> Option<Self> {
        let alias = ALIASES.iter().find(|(word, _)| *word == text).map(|(_, means)| Self::Alias(*means));
        let strength = || match text {
            "HIGH" => Some(Self::Strength(Strength::High)),
            "MEDIUM" => Some(Self::Strength(Strength::Medium)),
            "FIPS" => Some(Self::Strength(Strength::Fips)),
            _ => None,
        };
        let nothing = || GONE.contains(&text).then_some(Self::Nothing);
        alias.or_else(strength).or_else(|| suite(text)).or_else(nothing)
    }

    /// The word that is written as `text` but for the case of its letters, or with one letter more, less or exchanged.
    pub(crate) fn close_to(text: &str) -> Option<&'static str> {
        let words = || ALIASES.iter().map(|(word, _)| *word).chain(["HIGH", "MEDIUM", "FIPS", "DEFAULT"]);
        let suites = || SUITES.iter().chain(TLS13).flat_map(|suite| [suite.openssl_name(), suite.iana_name()]);
        let exact = words().chain(suites()).find(|word| word.eq_ignore_ascii_case(text));
        exact.or_else(|| words().chain(suites()).find(|word| is_one_off(word.as_bytes(), text.as_bytes())))
    }
}

impl Strength {
    pub(crate) fn has(self, suite: &Suite) -> bool {
        match self {
            Self::High => suite.grade() == Grade::High,
            Self::Medium => suite.grade() == Grade::Medium,
            Self::Fips => suite.is_fips(),
        }
    }
}

fn suite(text: &str) -> Option<Word> {
    let name = RENAMED.iter().find(|(old, _)| *old == text).map_or(text, |(_, new)| *new);
    let by_openssl = || SUITES.iter().find(|suite| suite.openssl_name() == name).map(Word::Suite);
    let by_iana = |suites: &'static [Suite]| suites.iter().find(|suite| suite.iana_name() == name);
    by_openssl().or_else(|| by_iana(SUITES).map(Word::RegistryName)).or_else(|| by_iana(TLS13).map(Word::Tls13))
}

/// Whether one letter has to be put in, taken out or exchanged.
fn is_one_off(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (a.get(same..).unwrap_or_default(), b.get(same..).unwrap_or_default());
    let (shorter_a, shorter_b) = (a.get(1..), b.get(1..));
    shorter_a.is_some() && shorter_a == shorter_b || shorter_a == Some(b) || shorter_b == Some(a)
}

fn is_aes_gcm(suite: &Suite) -> bool {
    matches!(suite.enc, Enc::Aes128Gcm | Enc::Aes256Gcm)
}

fn is_aes_ccm8(suite: &Suite) -> bool {
    matches!(suite.enc, Enc::Aes128Ccm8 | Enc::Aes256Ccm8)
}

fn is_aes_ccm(suite: &Suite) -> bool {
    matches!(suite.enc, Enc::Aes128Ccm | Enc::Aes256Ccm) || is_aes_ccm8(suite)
}

pub(crate) fn is_aes(suite: &Suite) -> bool {
    matches!(suite.enc, Enc::Aes128 | Enc::Aes256) || is_aes_gcm(suite) || is_aes_ccm(suite)
}

fn is_cbc(suite: &Suite) -> bool {
    !matches!(suite.enc, Enc::Null | Enc::Rc4) && suite.mac != Mac::Aead
}

fn is_psk(suite: &Suite) -> bool {
    matches!(suite.kx, Kx::Psk | Kx::RsaPsk | Kx::DhePsk | Kx::EcdhePsk)
}

type Alias = (&'static str, fn(&Suite) -> bool);

#[rustfmt::skip]
const ALIASES: &[Alias] = &[
    ("ALL", |s| s.enc != Enc::Null),
    ("COMPLEMENTOFALL", |s| s.enc == Enc::Null),
    ("COMPLEMENTOFDEFAULT", Suite::is_not_default),
    // Key exchange.
    ("kRSA", |s| s.kx == Kx::Rsa),
    ("kDHE", |s| s.kx == Kx::Dhe),
    ("kEDH", |s| s.kx == Kx::Dhe),
    ("DH", |s| s.kx == Kx::Dhe),
    ("kECDHE", |s| s.kx == Kx::Ecdhe),
    ("kEECDH", |s| s.kx == Kx::Ecdhe),
    ("ECDH", |s| s.kx == Kx::Ecdhe),
    ("kPSK", |s| s.kx == Kx::Psk),
    ("kRSAPSK", |s| s.kx == Kx::RsaPsk),
    ("kDHEPSK", |s| s.kx == Kx::DhePsk),
    ("kECDHEPSK", |s| s.kx == Kx::EcdhePsk),
    ("kSRP", |s| s.kx == Kx::Srp),
    // Authentication.
    ("aRSA", |s| s.auth == Au::Rsa),
    ("aDSS", |s| s.auth == Au::Dss),
    ("DSS", |s| s.auth == Au::Dss),
    ("aNULL", |s| s.auth == Au::Null),
    ("aECDSA", |s| s.auth == Au::Ecdsa),
    ("ECDSA", |s| s.auth == Au::Ecdsa),
    ("aPSK", |s| s.auth == Au::Psk),
    ("aSRP", |s| s.auth == Au::Srp),
    // Both.
    ("DHE", |s| s.kx == Kx::Dhe && s.auth != Au::Null),
    ("EDH", |s| s.kx == Kx::Dhe && s.auth != Au::Null),
    ("ECDHE", |s| s.kx == Kx::Ecdhe && s.auth != Au::Null),
    ("EECDH", |s| s.kx == Kx::Ecdhe && s.auth != Au::Null),
    ("RSA", |s| s.kx == Kx::Rsa && s.auth == Au::Rsa),
    ("ADH", |s| s.kx == Kx::Dhe && s.auth == Au::Null),
    ("AECDH", |s| s.kx == Kx::Ecdhe && s.auth == Au::Null),
    ("PSK", is_psk),
    ("SRP", |s| s.kx == Kx::Srp),
    // Encryption.
    ("eNULL", |s| s.enc == Enc::Null),
    ("NULL", |s| s.enc == Enc::Null),
    ("3DES", |s| s.enc == Enc::TripleDes),
    ("RC4", |s| s.enc == Enc::Rc4),
    ("IDEA", |s| s.enc == Enc::Idea),
    ("SEED", |s| s.enc == Enc::Seed),
    ("AES", is_aes),
    ("AES128", |s| is_aes(s) && s.bits() == 128),
    ("AES256", |s| is_aes(s) && s.bits() == 256),
    ("AESGCM", is_aes_gcm),
    ("AESCCM", is_aes_ccm),
    ("AESCCM8", is_aes_ccm8),
    ("CAMELLIA", |s| matches!(s.enc, Enc::Camellia128 | Enc::Camellia256)),
    ("CAMELLIA128", |s| s.enc == Enc::Camellia128),
    ("CAMELLIA256", |s| s.enc == Enc::Camellia256),
    ("ARIA", |s| matches!(s.enc, Enc::Aria128Gcm | Enc::Aria256Gcm)),
    ("ARIAGCM", |s| matches!(s.enc, Enc::Aria128Gcm | Enc::Aria256Gcm)),
    ("ARIA128", |s| s.enc == Enc::Aria128Gcm),
    ("ARIA256", |s| s.enc == Enc::Aria256Gcm),
    ("CHACHA20", |s| s.enc == Enc::ChaCha20),
    ("CBC", is_cbc),
    // What protects against change.
    ("MD5", |s| s.mac == Mac::Md5),
    ("SHA1", |s| s.mac == Mac::Sha1),
    ("SHA", |s| s.mac == Mac::Sha1),
    ("SHA256", |s| s.mac == Mac::Sha256),
    ("SHA384", |s| s.mac == Mac::Sha384),
    // The version that a suite came with.
    ("SSLv3", |s| s.since == Since::Ssl3),
    ("TLSv1", |s| s.since == Since::Tls1_0),
    ("TLSv1.0", |s| s.since == Since::Tls1_0),
    ("TLSv1.2", |s| s.since == Since::Tls1_2),
];

/// Words of older versions, or of what needs a module of its own. They stand in strings that people have used for years.
#[rustfmt::skip]
const GONE: &[&str] = &[
    "LOW", "EXP", "EXPORT", "EXPORT40", "EXPORT56", "DES", "RC2", "SSLv2", "FZA", "kFZA", "aFZA", "eFZA", "KRB5", "kKRB5", "aKRB5",
    "kDH", "kDHr", "kDHd", "aDH", "kECDH", "kECDHr", "kECDHe", "aECDH",
    "GOST", "kGOST", "kGOST18", "aGOST", "aGOST01", "aGOST12", "GOST94", "GOST89MAC", "GOST12", "GOST2012",
];

/// Older names of suites.
const RENAMED: &[(&str, &str)] = &[("EDH-RSA-DES-CBC3-SHA", "DHE-RSA-DES-CBC3-SHA"), ("EDH-DSS-DES-CBC3-SHA", "DHE-DSS-DES-CBC3-SHA")];
