//! Path building and validation by webpki, and its errors in our words.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sealpost_types::UnixMillis;
use webpki::{ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, Error, KeyUsage};

use crate::anchor::{Anchor, TrustAnchors};
use crate::certificate::Certificate;
use crate::chain::{Chain, PATH_STEPS, Walk};
use crate::finding::{Finding, Malformed, Position};
use crate::revocation;

/// What the peer of a connection must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Server,
    Client,
}

/// A path that was found valid.
pub(crate) struct ValidPath {
    /// The subjects from the leaf to the anchor.
    pub(crate) subjects: Vec<String>,
    /// The earliest end of validity on it, the anchor's included.
    pub(crate) not_after: UnixMillis,
}

/// Builds and validates a path from the leaf to an anchor. This alone decides whether a chain is trusted.
///
/// The anchor has to be in date too, which webpki leaves to its caller.
pub(crate) fn validate(
    leaf: &CertificateDer<'_>,
    chain: &Chain<'_>,
    anchors: &TrustAnchors,
    now: UnixMillis,
    purpose: Purpose,
) -> Result<ValidPath, Error> {
    let end_entity = EndEntityCert::try_from(leaf)?;
    let usage = match purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    let time = unix_time(now);
    let lists = anchors.revocation_lists().lists();
    let check = |path: &webpki::VerifiedPath<'_>| check_anchor(anchors, &lists, path.anchor(), now);
    let path = end_entity.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors.trusted(),
        &chain.intermediates,
        time,
        usage,
        revocation::options(&lists),
        Some(&check),
    )?;
    let mut subjects = Vec::new();
    let mut not_after = UnixMillis(i64::MAX);
    let issuers = path.intermediate_certificates().filter_map(|step| chain.issuers.iter().find(|issuer| issuer.der == step.der().as_ref()));
    for certificate in chain.leaf.iter().chain(issuers) {
        subjects.push(certificate.subject());
        not_after = not_after.min(certificate.not_after());
    }
    if let Some(anchor) = anchors.find(path.anchor()) {
        subjects.push(anchor.subject.clone());
        not_after = not_after.min(anchor.not_after);
    }
    Ok(ValidPath { subjects, not_after })
}

/// Whether an anchor is in date and may sign the lists in its name, as webpki would say it of another certificate.
fn check_anchor(
    anchors: &TrustAnchors,
    lists: &[&CertRevocationList<'_>],
    trusted: &TrustAnchor<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    let Some(anchor) = anchors.find(trusted) else { return Ok(()) };
    if revocation::is_foreign(lists, anchor) {
        return Err(Error::IssuerNotCrlSigner);
    }
    match anchor.validity_at(now) {
        Validity::InDate => Ok(()),
        Validity::NotYet => Err(Error::CertNotValidYet { time: unix_time(now), not_before: unix_time(anchor.not_before) }),
        Validity::Past => Err(Error::CertExpired { time: unix_time(now), not_after: unix_time(anchor.not_after) }),
    }
}

/// A refusal of the path validation as a finding. The place is exact where the walk knows it.
pub(crate) fn explain(error: &Error, leaf: &Certificate<'_>, walk: &Walk<'_, '_>, now: UnixMillis) -> Finding {
    let place = leaf.place();
    match error {
        Error::CaUsedAsEndEntity => Finding::CaAsLeaf { subject: leaf.subject() },
        Error::IssuerNotCrlSigner | Error::InvalidCrlSignatureForPublicKey => Finding::ForeignRevocationList { issuer: leaf.issuer() },
        Error::CertRevoked => Finding::Revoked { certificate: place, since: now },
        Error::CertDistrusted => Finding::Distrusted { certificate: place },
        Error::CertExpired { not_after, .. } => {
            let not_after = millis(*not_after);
            let mut steps = walk.steps.iter();
            let place = steps.find(|step| step.not_after() == not_after).map_or(place, |step| step.place());
            Finding::Expired { certificate: place, not_after, by: now.since(not_after) }
        }
        Error::CertNotValidYet { not_before, .. } => {
            let not_before = millis(*not_before);
            let mut steps = walk.steps.iter();
            let place = steps.find(|step| step.not_before() == not_before).map_or(place, |step| step.place());
            Finding::NotYetValid { certificate: place, not_before, starts_in: not_before.since(now) }
        }
        Error::InvalidCertValidity => Finding::InvalidValidity { certificate: place },
        Error::EndEntityUsedAsCa => {
            let issuer = walk.steps.iter().skip(1).find(|step| !step.is_ca().unwrap_or(false));
            Finding::IssuerNotCa { certificate: issuer.map_or(place, |issuer| issuer.place()) }
        }
        Error::RequiredEkuNotFoundContext(context) => {
            let purposes = Vec::new();
            if context.required == KeyUsage::client_auth() {
                Finding::NotForClientAuth { certificate: place, purposes }
            } else {
                Finding::NotForServerAuth { certificate: place, purposes }
            }
        }
        Error::NameConstraintViolation => Finding::NameConstraint { issuer: constrained(walk), malformed: false },
        Error::MalformedNameConstraint | Error::InvalidNetworkMaskConstraint => {
            Finding::NameConstraint { issuer: constrained(walk), malformed: true }
        }
        Error::PathLenConstraintViolated => Finding::PathLengthConstraint { issuers: walk.steps.len().saturating_sub(1) },
        Error::MaximumPathDepthExceeded => Finding::PathTooDeep { limit: PATH_STEPS },
        Error::MaximumSignatureChecksExceeded | Error::MaximumPathBuildCallsExceeded | Error::MaximumNameConstraintComparisonsExceeded => {
            Finding::PathTooCostly
        }
        Error::InvalidSignatureForPublicKey => Finding::BadSignature { certificate: place, issuer: leaf.issuer() },
        Error::UnsupportedSignatureAlgorithmContext(_) => Finding::UnsupportedSignatureAlgorithm {
            certificate: place,
            algorithm: crate::algorithm::signature_name(leaf.x509.signature_algorithm.algorithm.as_bytes()),
        },
        Error::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            Finding::UnsupportedIssuerKey { certificate: place, issuer: leaf.issuer(), key: key_of(&context.public_key_algorithm_id) }
        }
        Error::SignatureAlgorithmMismatch => Finding::SignatureAlgorithmMismatch { certificate: place },
        Error::UnknownIssuer => Finding::UnknownIssuer { certificate: place, issuer: leaf.issuer() },
        Error::UnsupportedCertVersion => Finding::UnsupportedVersion { certificate: place },
        Error::UnsupportedCriticalExtension => Finding::UnsupportedCriticalExtension { certificate: place, oid: leaf.unknown_critical() },
        other => match malformed(other) {
            Some(problem) => Finding::Unparsable { certificate: Position::Leaf, problem },
            None => Finding::UnsupportedFeature { certificate: place },
        },
    }
}

/// What an error says about the form of a certificate, if it is about that.
pub(crate) fn malformed(error: &Error) -> Option<Malformed> {
    match error {
        Error::BadDer => Some(Malformed::Der),
        Error::BadDerTime => Some(Malformed::Time),
        Error::TrailingData(_) => Some(Malformed::TrailingData),
        Error::MalformedExtensions | Error::ExtensionValueInvalid | Error::EmptyEkuExtension => Some(Malformed::Extension),
        Error::InvalidSerialNumber => Some(Malformed::Serial),
        Error::MalformedDnsIdentifier => Some(Malformed::DnsName),
        _ => None,
    }
}

/// Whether a moment lies within a validity; the last second belongs to it.
pub(crate) enum Validity {
    InDate,
    NotYet,
    Past,
}

pub(crate) fn validity(not_before: UnixMillis, not_after: UnixMillis, now: UnixMillis) -> Validity {
    if now < not_before {
        Validity::NotYet
    } else if now.0 >= not_after.0.saturating_add(1000) {
        Validity::Past
    } else {
        Validity::InDate
    }
}

impl Anchor {
    pub(crate) fn validity_at(&self, now: UnixMillis) -> Validity {
        validity(self.not_before, self.not_after, now)
    }
}

fn constrained(walk: &Walk<'_, '_>) -> Option<crate::finding::Place> {
    walk.steps.iter().skip(1).find(|step| step.has_name_constraints()).map(|step| step.place())
}

/// The name of a key's algorithm from the content of its `AlgorithmIdentifier`.
fn key_of(identifier: &[u8]) -> String {
    let content = identifier.strip_prefix(&[6]).and_then(<[u8]>::split_first);
    let oid = content.and_then(|(length, rest)| rest.get(..usize::from(*length)));
    crate::algorithm::key_name(oid.unwrap_or_default())
}

fn unix_time(time: UnixMillis) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(time.0).unwrap_or(0)))
}

fn millis(time: UnixTime) -> UnixMillis {
    UnixMillis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &[u8] = include_bytes!("../tests/fixtures/ec256.der");

    /// Every refusal has words of its own; the ones that a fixture can cause are tested with it too.
    #[test]
    fn refusals_are_told_one_by_one() {
        let leaf = Certificate::parse(LEAF, Position::Leaf).unwrap();
        let walk = Walk { steps: vec![&leaf], anchor: None, end: None };
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000));
        let wrong_purpose = |required| Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext { required, present: vec![] });
        for (error, code) in [
            (Error::CaUsedAsEndEntity, "ca-as-leaf"),
            (Error::CertDistrusted, "distrusted"),
            (Error::CertExpired { time, not_after: time }, "expired"),
            (Error::CertNotValidYet { time, not_before: time }, "not-yet-valid"),
            (Error::InvalidCertValidity, "invalid-validity"),
            (Error::EndEntityUsedAsCa, "issuer-not-ca"),
            (wrong_purpose(KeyUsage::server_auth()), "not-for-server-auth"),
            (wrong_purpose(KeyUsage::client_auth()), "not-for-client-auth"),
            (Error::NameConstraintViolation, "name-constraint"),
            (Error::MalformedNameConstraint, "name-constraint"),
            (Error::InvalidNetworkMaskConstraint, "name-constraint"),
            (Error::PathLenConstraintViolated, "path-length-constraint"),
            (Error::MaximumPathDepthExceeded, "path-too-deep"),
            (Error::MaximumSignatureChecksExceeded, "path-too-costly"),
            (Error::MaximumPathBuildCallsExceeded, "path-too-costly"),
            (Error::MaximumNameConstraintComparisonsExceeded, "path-too-costly"),
            (Error::InvalidSignatureForPublicKey, "bad-signature"),
            (Error::SignatureAlgorithmMismatch, "signature-algorithm-mismatch"),
            (Error::UnknownIssuer, "unknown-issuer"),
            (Error::UnsupportedCertVersion, "unsupported-version"),
            (Error::UnsupportedCriticalExtension, "unsupported-critical-extension"),
            (Error::BadDer, "unparsable"),
            (Error::BadDerTime, "unparsable"),
            (Error::MalformedExtensions, "unparsable"),
            (Error::ExtensionValueInvalid, "unparsable"),
            (Error::EmptyEkuExtension, "unparsable"),
            (Error::InvalidSerialNumber, "unparsable"),
            (Error::MalformedDnsIdentifier, "unparsable"),
            (Error::CertRevoked, "revoked"),
            (Error::IssuerNotCrlSigner, "foreign-revocation-list"),
            (Error::InvalidCrlSignatureForPublicKey, "foreign-revocation-list"),
            (Error::UnknownRevocationStatus, "unsupported-feature"),
        ] {
            let finding = explain(&error, &leaf, &walk, UnixMillis(2_000_000_000));
            assert_eq!(finding.code(), code, "{error:?}");
            assert!(finding.to_string().len() > 20, "{finding}");
        }
    }
}
