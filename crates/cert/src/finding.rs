//! What a check of a chain found, as values, and in words that an administrator acts on.

use std::fmt;
use std::time::Duration;

use sealpost_types::{AnchorFiles, Pin, ReferenceName, TlsaRecord, UnixMillis};

use crate::date::{Span, Utc};
use crate::key::PublicKey;
use crate::name::PresentedName;

/// Something that is wrong with a certificate chain, or with it for this demand.
///
/// # Example
/// ```
/// # use sealpost_cert::{TrustAnchors, verify_server};
/// # use sealpost_types::{HostDemand, UnixMillis};
/// let verdict = verify_server(&[], &HostDemand::default(), &TrustAnchors::default(), UnixMillis(0));
/// assert_eq!(verdict.most_telling().map(ToString::to_string), Some("no certificate was presented".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The peer presented no certificate at all.
    NoCertificate,
    /// More certificates than are looked at, and no way to an anchor among those that were.
    TooManyCertificates {
        /// Certificates presented.
        found: usize,
        /// Certificates looked at.
        limit: usize,
    },
    /// A certificate of more octets than are looked at.
    TooLarge {
        /// Which one.
        certificate: Position,
        /// Its octets.
        octets: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// The octets are not a certificate.
    Unparsable {
        /// Which one.
        certificate: Position,
        /// What is wrong with them.
        problem: Malformed,
    },
    /// Issuer and subject of the server's own certificate are the same, and it is no trust anchor.
    SelfSigned {
        /// Its subject.
        subject: String,
    },
    /// A certificate is past its end.
    Expired {
        /// Which one.
        certificate: Place,
        /// Its last moment.
        not_after: UnixMillis,
        /// How long ago that was.
        by: Duration,
    },
    /// A certificate is not valid yet; often the clock of one side is wrong.
    NotYetValid {
        /// Which one.
        certificate: Place,
        /// Its first moment.
        not_before: UnixMillis,
        /// How far ahead that is.
        starts_in: Duration,
    },
    /// The end of a certificate's validity lies before its start.
    InvalidValidity {
        /// Which one.
        certificate: Place,
    },
    /// None of the demanded names is in the certificate.
    NameMismatch {
        /// The names of which one would have been enough.
        wanted: Vec<ReferenceName>,
        /// The subject alternative names; at most [`PRESENTED_NAMES`](crate::PRESENTED_NAMES) of them.
        presented: Vec<PresentedName>,
        /// How many more there are.
        left_out: usize,
        /// The common name, which counts only for a demand that names one.
        common_name: Option<String>,
    },
    /// The key of the presumed issuer did not make this signature.
    BadSignature {
        /// The certificate whose signature it is.
        certificate: Place,
        /// The presumed issuer.
        issuer: String,
    },
    /// The signature was made in a way that is not accepted (SHA-1, MD5) or not known.
    UnsupportedSignatureAlgorithm {
        /// The certificate whose signature it is.
        certificate: Place,
        /// The algorithm's usual name.
        algorithm: String,
    },
    /// The two places of a certificate that name its signature algorithm disagree.
    SignatureAlgorithmMismatch {
        /// Which one.
        certificate: Place,
    },
    /// The key of an issuer is too small, or of a kind that does not fit the signature.
    UnsupportedIssuerKey {
        /// The certificate that was signed with it.
        certificate: Place,
        /// The issuer.
        issuer: String,
        /// Kind and size of its key.
        key: String,
    },
    /// No certificate that was presented and no trust anchor issued this one. Often an intermediate is missing.
    UnknownIssuer {
        /// The last certificate of the chain.
        certificate: Place,
        /// Who issued it.
        issuer: String,
    },
    /// The chain ends in a root certificate that was sent along and is no trust anchor.
    UntrustedRoot {
        /// The root.
        certificate: Place,
    },
    /// A public key that must not be used any more, because its private key is known to the world.
    Distrusted {
        /// Which one.
        certificate: Place,
    },
    /// The certificate's purposes are named, and being a TLS server is not one of them.
    NotForServerAuth {
        /// Which one.
        certificate: Place,
        /// The purposes it names.
        purposes: Vec<String>,
    },
    /// The peer's own key is of a kind or size whose signatures are not taken.
    UnacceptedKey {
        /// The key.
        key: PublicKey,
    },
    /// Its issuer has taken a certificate back.
    Revoked {
        /// Which one.
        certificate: Place,
        /// Since when.
        since: UnixMillis,
    },
    /// The revocation list in the name of an issuer was not signed with its key, or its key may not sign lists.
    ForeignRevocationList {
        /// The issuer.
        issuer: String,
    },
    /// The certificate's purposes are named, and being a TLS client is not one of them.
    NotForClientAuth {
        /// Which one.
        certificate: Place,
        /// The purposes it names.
        purposes: Vec<String>,
    },
    /// A CA certificate is used as a server's or client's own.
    CaAsLeaf {
        /// Its subject.
        subject: String,
    },
    /// A certificate was issued by one that is no CA certificate.
    IssuerNotCa {
        /// The issuer.
        certificate: Place,
    },
    /// An issuer may issue for certain names only, and this is not one of them.
    NameConstraint {
        /// The first issuer with constraints.
        issuer: Option<Place>,
        /// Whether the constraint itself is malformed.
        malformed: bool,
    },
    /// An issuer may have fewer CAs below it than the chain shows.
    PathLengthConstraint {
        /// CA certificates in the chain.
        issuers: usize,
    },
    /// The chain has more steps than are followed.
    PathTooDeep {
        /// Steps that are followed.
        limit: usize,
    },
    /// The certificates can be combined in more ways than are tried.
    PathTooCostly,
    /// A certificate older than X.509 version 3.
    UnsupportedVersion {
        /// Which one.
        certificate: Place,
    },
    /// An extension that must be understood, and is not.
    UnsupportedCriticalExtension {
        /// Which one.
        certificate: Place,
        /// The extension's object identifier, where it is known.
        oid: Option<String>,
    },
    /// The path validation reports something that this version has no words for; the certificate is not accepted.
    UnsupportedFeature {
        /// Which one.
        certificate: Place,
    },
    /// The peer's key is none of those written down.
    PinMismatch {
        /// The keys that would do.
        wanted: Vec<Pin>,
        /// The key of the certificate.
        found: Pin,
    },
    /// The chain is not what any TLSA record says.
    TlsaMismatch {
        /// The records of which one would have been enough.
        wanted: Vec<TlsaRecord>,
        /// The key of the peer's own certificate.
        found: Pin,
    },
    /// TLSA records are demanded, and there are none that are secure and can be used.
    NoTlsa,
    /// The files of trust anchors that the demand names were not read.
    NoAnchors {
        /// The files.
        files: AnchorFiles,
    },
    /// The demand has a clause that this version cannot judge; it counts as not met.
    UnsupportedDemand,
}

/// Where in a chain a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Position {
    /// The peer's own certificate.
    Leaf,
    /// The certificate at this place behind it, as presented; 1 is the first.
    Issuer(usize),
    /// A trust anchor.
    Anchor,
}

/// A certificate in a chain: where it stands, and its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Place {
    /// Where it stands.
    pub position: Position,
    /// Its subject, cut where it is very long.
    pub subject: String,
}

/// What is wrong with octets that should be a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// The DER encoding.
    Der,
    /// A date.
    Time,
    /// Octets are left over behind it.
    TrailingData,
    /// An extension.
    Extension,
    /// The serial number.
    Serial,
    /// A DNS name in it.
    DnsName,
}

impl Finding {
    /// Every word that [`code`](Self::code) gives.
    pub const CODES: [&'static str; 35] = [
        "no-certificate",
        "too-many-certificates",
        "too-large",
        "unparsable",
        "self-signed",
        "expired",
        "not-yet-valid",
        "invalid-validity",
        "name-mismatch",
        "bad-signature",
        "unsupported-signature-algorithm",
        "signature-algorithm-mismatch",
        "unsupported-issuer-key",
        "unknown-issuer",
        "untrusted-root",
        "distrusted",
        "unaccepted-key",
        "revoked",
        "foreign-revocation-list",
        "not-for-server-auth",
        "not-for-client-auth",
        "ca-as-leaf",
        "issuer-not-ca",
        "name-constraint",
        "path-length-constraint",
        "path-too-deep",
        "path-too-costly",
        "unsupported-version",
        "unsupported-critical-extension",
        "unsupported-feature",
        "pin-mismatch",
        "tlsa-mismatch",
        "no-tlsa",
        "no-anchors",
        "unsupported-demand",
    ];

    /// A stable word for the kind of finding, for logs, metrics and programs: `expired`, `name-mismatch`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::TooManyCertificates { .. } => "too-many-certificates",
            Self::TooLarge { .. } => "too-large",
            Self::Unparsable { .. } => "unparsable",
            Self::SelfSigned { .. } => "self-signed",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::InvalidValidity { .. } => "invalid-validity",
            Self::NameMismatch { .. } => "name-mismatch",
            Self::BadSignature { .. } => "bad-signature",
            Self::UnsupportedSignatureAlgorithm { .. } => "unsupported-signature-algorithm",
            Self::SignatureAlgorithmMismatch { .. } => "signature-algorithm-mismatch",
            Self::UnsupportedIssuerKey { .. } => "unsupported-issuer-key",
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::UntrustedRoot { .. } => "untrusted-root",
            Self::Distrusted { .. } => "distrusted",
            Self::UnacceptedKey { .. } => "unaccepted-key",
            Self::Revoked { .. } => "revoked",
            Self::ForeignRevocationList { .. } => "foreign-revocation-list",
            Self::NotForServerAuth { .. } => "not-for-server-auth",
            Self::NotForClientAuth { .. } => "not-for-client-auth",
            Self::CaAsLeaf { .. } => "ca-as-leaf",
            Self::IssuerNotCa { .. } => "issuer-not-ca",
            Self::NameConstraint { .. } => "name-constraint",
            Self::PathLengthConstraint { .. } => "path-length-constraint",
            Self::PathTooDeep { .. } => "path-too-deep",
            Self::PathTooCostly => "path-too-costly",
            Self::UnsupportedVersion { .. } => "unsupported-version",
            Self::UnsupportedCriticalExtension { .. } => "unsupported-critical-extension",
            Self::UnsupportedFeature { .. } => "unsupported-feature",
            Self::PinMismatch { .. } => "pin-mismatch",
            Self::TlsaMismatch { .. } => "tlsa-mismatch",
            Self::NoTlsa => "no-tlsa",
            Self::NoAnchors { .. } => "no-anchors",
            Self::UnsupportedDemand => "unsupported-demand",
        }
    }

    /// How telling the finding is: a lower number explains more of what else is found.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::NoCertificate => 0,
            Self::UnsupportedDemand | Self::NoTlsa | Self::NoAnchors { .. } => 1,
            Self::TooLarge { certificate: Position::Leaf, .. } | Self::Unparsable { certificate: Position::Leaf, .. } => 2,
            Self::Distrusted { .. } | Self::Revoked { .. } => 3,
            Self::SelfSigned { .. } => 4,
            Self::Expired { certificate, .. } | Self::NotYetValid { certificate, .. } if certificate.position == Position::Leaf => 5,
            Self::NameMismatch { .. } | Self::PinMismatch { .. } | Self::TlsaMismatch { .. } => 6,
            Self::Expired { .. } | Self::NotYetValid { .. } | Self::InvalidValidity { .. } => 7,
            Self::BadSignature { .. }
            | Self::UnsupportedSignatureAlgorithm { .. }
            | Self::SignatureAlgorithmMismatch { .. }
            | Self::UnsupportedIssuerKey { .. }
            | Self::UnacceptedKey { .. }
            | Self::ForeignRevocationList { .. } => 8,
            Self::TooLarge { .. } | Self::Unparsable { .. } | Self::UnsupportedVersion { .. } => 9,
            Self::PathTooDeep { .. } | Self::PathTooCostly | Self::TooManyCertificates { .. } => 10,
            Self::UnknownIssuer { .. } | Self::UntrustedRoot { .. } => 11,
            Self::NotForServerAuth { .. } | Self::NotForClientAuth { .. } | Self::CaAsLeaf { .. } => 12,
            Self::IssuerNotCa { .. } | Self::NameConstraint { .. } | Self::PathLengthConstraint { .. } => 13,
            Self::UnsupportedCriticalExtension { .. } | Self::UnsupportedFeature { .. } => 14,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no certificate was presented"),
            Self::TooManyCertificates { found, limit } => {
                write!(f, "{found} certificates were presented, of which only {limit} were looked at, and they lead to no trust anchor")
            }
            Self::TooLarge { certificate, octets, limit } => write!(f, "{certificate} has {octets} octets, {limit} are allowed"),
            Self::Unparsable { certificate, problem } => write!(f, "{certificate} cannot be read: {problem}"),
            Self::SelfSigned { subject } => write!(f, "self-signed certificate: issuer and subject are {subject}"),
            Self::Expired { certificate, not_after, by } => {
                write!(f, "{certificate} expired {} ago (on {})", Span(*by), Utc(*not_after))
            }
            Self::NotYetValid { certificate, not_before, starts_in } => {
                write!(f, "{certificate} is not valid until {}, in {}; is a clock wrong?", Utc(*not_before), Span(*starts_in))
            }
            Self::InvalidValidity { certificate } => write!(f, "{certificate} ends before it starts to be valid"),
            Self::NameMismatch { wanted, presented, left_out, common_name } => {
                let by_common_name = wanted.iter().any(|name| matches!(name, ReferenceName::CommonName(_)));
                f.write_str("no certificate for ")?;
                if wanted.is_empty() {
                    f.write_str("this host, for which no name is acceptable")?;
                } else {
                    list(f, wanted.iter().map(ToString::to_string), 0, " or ")?;
                }
                f.write_str("; it names ")?;
                match (presented.is_empty(), common_name) {
                    (false, _) => list(f, presented.iter().map(PresentedName::bare), *left_out, ", "),
                    (true, None) => f.write_str("nobody"),
                    (true, Some(_)) if by_common_name => f.write_str("nobody: it has no subject alternative names"),
                    (true, Some(name)) => {
                        write!(f, "nobody: it has no subject alternative names, and the common name {name} does not count")
                    }
                }?;
                match common_name {
                    Some(name) if by_common_name => write!(f, "; its common name is {name}"),
                    None if by_common_name => f.write_str("; it has no common name"),
                    _ => Ok(()),
                }
            }
            Self::BadSignature { certificate, issuer } => {
                write!(f, "{certificate} is not signed with the key of {issuer}, which it names as its issuer")
            }
            Self::UnsupportedSignatureAlgorithm { certificate, algorithm } => {
                write!(f, "{certificate} is signed with {algorithm}, which is not accepted")
            }
            Self::SignatureAlgorithmMismatch { certificate } => write!(f, "{certificate} names two different signature algorithms"),
            Self::UnsupportedIssuerKey { certificate, issuer, key } => {
                write!(f, "{certificate} is signed by {issuer} with a key that is not accepted: {key}")
            }
            Self::UnknownIssuer { certificate, issuer } => {
                write!(
                    f,
                    "{certificate} is issued by {issuer}, which is no trust anchor and was not sent along (is an intermediate missing?)"
                )
            }
            Self::UntrustedRoot { certificate } => write!(f, "the chain ends in {certificate}, which is self-signed and no trust anchor"),
            Self::Distrusted { certificate } => write!(f, "{certificate} has a public key whose private key is no secret"),
            Self::UnacceptedKey { key } => {
                write!(f, "the key of the certificate is too weak, or of a kind that is not accepted: {key} ({ACCEPTED_KEYS} are)")
            }
            Self::Revoked { certificate, since } => write!(f, "{certificate} was revoked by its issuer on {}", Utc(*since)),
            Self::ForeignRevocationList { issuer } => {
                write!(f, "the revocation list in the name of {issuer} is not signed by it, or its certificate is not for signing lists")
            }
            Self::NotForServerAuth { certificate, purposes } => {
                write!(f, "{certificate} is not for TLS servers, only for ")?;
                list(f, purposes.iter().cloned(), 0, ", ")
            }
            Self::NotForClientAuth { certificate, purposes } => {
                write!(f, "{certificate} is not for TLS clients, only for ")?;
                list(f, purposes.iter().cloned(), 0, ", ")
            }
            Self::CaAsLeaf { subject } => write!(f, "a CA certificate (CA:TRUE) cannot be the peer's own: {subject}"),
            Self::IssuerNotCa { certificate } => write!(f, "{certificate} has issued a certificate, but is no CA certificate (CA:TRUE)"),
            Self::NameConstraint { issuer, malformed } => {
                match issuer {
                    Some(issuer) => write!(f, "the name constraints of {issuer} ")?,
                    None => f.write_str("the name constraints of the trust anchor ")?,
                }
                f.write_str(if *malformed { "cannot be read" } else { "do not permit the names of the certificate" })
            }
            Self::PathLengthConstraint { issuers } => {
                write!(f, "an issuer permits fewer CAs below itself than the chain has ({issuers} CA certificates)")
            }
            Self::PathTooDeep { limit } => write!(f, "the chain has more than {limit} intermediate certificates"),
            Self::PathTooCostly => f.write_str("the presented certificates can be combined in more ways than are tried"),
            Self::UnsupportedVersion { certificate } => write!(f, "{certificate} is not an X.509 version 3 certificate"),
            Self::UnsupportedCriticalExtension { certificate, oid } => {
                write!(f, "{certificate} has a critical extension that is not supported")?;
                oid.iter().try_for_each(|oid| write!(f, ": {oid}"))
            }
            Self::UnsupportedFeature { certificate } => write!(f, "{certificate} uses something that is not supported"),
            Self::PinMismatch { wanted, found } => {
                write!(f, "the certificate's key is {found}, and ")?;
                match wanted.len() {
                    0 => f.write_str("no key is acceptable"),
                    _ => {
                        list(f, wanted.iter().map(ToString::to_string), 0, " or ")?;
                        f.write_str(" is asked for")
                    }
                }
            }
            Self::TlsaMismatch { wanted, found } => {
                write!(f, "the certificate's key is {found}, and no certificate of the chain is what the TLSA records say: ")?;
                list(f, wanted.iter().map(short_tlsa), 0, " or ")
            }
            Self::NoTlsa => f.write_str("secure TLSA records are asked for, and there are none that can be used"),
            Self::NoAnchors { files } => {
                write!(f, "a chain to a trust anchor of {files} is asked for, and the policy in force names no such anchors")
            }
            Self::UnsupportedDemand => f.write_str("the policy demands something that certificates are not checked for"),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("certificate"),
            Self::Issuer(number) => write!(f, "issuer certificate {number}"),
            Self::Anchor => f.write_str("trust anchor"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Leaf => self.position.fmt(f),
            _ => write!(f, "{} ({})", self.position, self.subject),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der => "its DER encoding is broken",
            Self::Time => "a date in it is broken",
            Self::TrailingData => "octets are left over behind it",
            Self::Extension => "an extension is broken or stands there twice",
            Self::Serial => "its serial number is broken",
            Self::DnsName => "a DNS name in it is broken",
        })
    }
}

/// A record, cut where it holds a whole certificate or key.
fn short_tlsa(record: &TlsaRecord) -> String {
    let mut text = record.to_string();
    if text.len() > TLSA_SHOWN {
        text.truncate(TLSA_SHOWN);
        text.push_str("...");
    }
    text
}

/// Writes the first [`LISTED`] of `items`, and how many more there are.
fn list(f: &mut fmt::Formatter<'_>, items: impl ExactSizeIterator<Item = String>, left_out: usize, between: &str) -> fmt::Result {
    if items.len() == 0 {
        return f.write_str("nothing");
    }
    let rest = items.len().saturating_sub(LISTED).saturating_add(left_out);
    for (at, item) in items.take(LISTED).enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { between })?;
    }
    if rest > 0 {
        write!(f, " and {rest} more")?;
    }
    Ok(())
}

/// What [`PublicKey::is_accepted`] says in words.
const ACCEPTED_KEYS: &str = "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519";

/// Names or purposes that a finding's text lists.
const LISTED: usize = 5;

/// Octets of a TLSA record's text that a finding shows: a SHA-256 digest is whole.
const TLSA_SHOWN: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    /// A word that is missing there is missing in the metrics of the relay.
    #[test]
    fn every_code_is_listed() {
        let source = include_str!("finding.rs");
        let arms = source.split("pub fn code").nth(1).and_then(|rest| rest.split("fn rank").next()).unwrap();
        let given: Vec<_> = arms.lines().filter_map(|line| line.split("=> \"").nth(1)?.strip_suffix("\",")).collect();
        assert_eq!(given, Finding::CODES);
    }
}
