//! What a finding is called in the reports that mail systems send each other.

use sealpost_types::TlsFailureType;

use crate::Finding;

impl Finding {
    /// The type under which it is reported; [`code`](Self::code) is the reason code that goes with it.
    ///
    /// # Wire
    /// RFC 8460 section 4.3: of "certificate-not-trusted" more is said by the reason code.
    #[must_use]
    pub fn failure_type(&self) -> TlsFailureType {
        match self {
            Self::NameMismatch { .. } => TlsFailureType::CertificateHostMismatch,
            Self::Expired { .. } => TlsFailureType::CertificateExpired,
            Self::TlsaMismatch { .. } => TlsFailureType::TlsaInvalid,
            Self::NoTlsa => TlsFailureType::DaneRequired,
            Self::NoCertificate
            | Self::TooManyCertificates { .. }
            | Self::TooLarge { .. }
            | Self::Unparsable { .. }
            | Self::SelfSigned { .. }
            | Self::NotYetValid { .. }
            | Self::InvalidValidity { .. }
            | Self::BadSignature { .. }
            | Self::UnsupportedSignatureAlgorithm { .. }
            | Self::SignatureAlgorithmMismatch { .. }
            | Self::UnsupportedIssuerKey { .. }
            | Self::UnknownIssuer { .. }
            | Self::UntrustedRoot { .. }
            | Self::Distrusted { .. }
            | Self::NotForServerAuth { .. }
            | Self::UnacceptedKey { .. }
            | Self::Revoked { .. }
            | Self::ForeignRevocationList { .. }
            | Self::NotForClientAuth { .. }
            | Self::CaAsLeaf { .. }
            | Self::IssuerNotCa { .. }
            | Self::NameConstraint { .. }
            | Self::PathLengthConstraint { .. }
            | Self::PathTooDeep { .. }
            | Self::PathTooCostly
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedCriticalExtension { .. }
            | Self::UnsupportedFeature { .. } => TlsFailureType::CertificateNotTrusted,
            Self::PinMismatch { .. } | Self::NoAnchors { .. } | Self::UnsupportedDemand => TlsFailureType::ValidationFailure,
        }
    }
}
