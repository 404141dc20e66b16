//! Why a TLS session did not come about, in the words that mail systems report to each other.

use std::fmt;

/// Why a TLS session did not come about, as reports say it.
///
/// # Wire
/// RFC 8460 section 4.3, the IANA registry "STARTTLS Validation Result Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "the types of RFC 8460; whoever maps to them must know all")]
pub enum TlsFailureType {
    /// The host does not offer STARTTLS, or refuses it.
    StartTlsNotSupported,
    /// The certificate has none of the right names.
    CertificateHostMismatch,
    /// A certificate is past its end.
    CertificateExpired,
    /// The chain leads to no trust anchor, or may not be used.
    CertificateNotTrusted,
    /// Anything else that kept TLS from coming about.
    ValidationFailure,
    /// No TLSA record is right, or none can be used.
    TlsaInvalid,
    /// An answer of the DNS fails DNSSEC validation, or could not be had.
    DnssecInvalid,
    /// The sender insists on DANE, and there are no secure TLSA records.
    DaneRequired,
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError,
    /// The MTA-STS policy cannot be read.
    StsPolicyInvalid,
    /// The certificate of the MTA-STS policy's host is not right.
    StsWebpkiInvalid,
}

impl TlsFailureType {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::StartTlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// The word in a report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartTlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }

    /// The type that this word of a report means, if it is one of RFC 8460.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

impl fmt::Display for TlsFailureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_means_one_type() {
        for one in TlsFailureType::ALL {
            assert_eq!(TlsFailureType::of_word(one.as_str()), Some(one));
        }
        assert_eq!(TlsFailureType::of_word("STARTTLS-not-supported"), None);
    }
}
