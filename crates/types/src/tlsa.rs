//! TLSA records.

use std::fmt;

/// One TLSA record, as it stands in DNS.
///
/// # Wire
/// RFC 6698 section 2.1; written as there in presentation form: `3 1 1 0a0b...`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "the four fields of RFC 6698")]
pub struct TlsaRecord {
    /// Certificate usage; 2 (DANE-TA) and 3 (DANE-EE) are usable for SMTP (RFC 7672 section 3.1).
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 the data itself, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// The certificate association data.
    pub data: Vec<u8>,
}

impl fmt::Display for TlsaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
