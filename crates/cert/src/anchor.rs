//! Trust anchors: the certificates in which a chain may end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use sealpost_types::{AnchorFiles, UnixMillis};

use crate::certificate::Certificate;
use crate::finding::{Malformed, Position};
use crate::pem::{PemError, certificates_from_pem};
use crate::revocation::RevocationLists;

/// The certificates in which a chain may end. Cloning is cheap: the content is shared.
///
/// A certificate that is no use as an anchor is left out and listed under [`problems`](Self::problems): one broken
/// certificate in a system's bundle must not stop all mail.
///
/// # Example
/// ```
/// # use sealpost_cert::{Malformed, TrustAnchors};
/// let anchors = TrustAnchors::from_der([b"not a certificate"]);
/// assert!(anchors.is_empty());
/// assert_eq!(anchors.problems()[0].problem, Malformed::Der);
/// ```
#[derive(Clone, Default)]
pub struct TrustAnchors {
    loaded: Arc<Loaded>,
    revoked: RevocationLists,
    private: Arc<BTreeMap<AnchorFiles, Arc<Loaded>>>,
}

/// A certificate that cannot be a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {number} cannot be a trust anchor: {problem}")]
#[non_exhaustive]
pub struct AnchorProblem {
    /// Which one, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub problem: Malformed,
}

/// What is remembered of an anchor beside what the path validation needs.
pub(crate) struct Anchor {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) subject: String,
    /// The DER of its subject, as it stands as issuer in certificates.
    pub(crate) raw_subject: Vec<u8>,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    /// Whether its key may sign revocation lists.
    pub(crate) signs_lists: bool,
}

/// A key without a certificate, trusted to issue in this name.
pub(crate) struct AnchorKey<'a> {
    /// The DER of the name.
    pub(crate) raw_subject: &'a [u8],
    pub(crate) subject: String,
    /// The DER of its `SubjectPublicKeyInfo`.
    pub(crate) spki: &'a [u8],
}

#[derive(Default)]
struct Loaded {
    /// The same length and order as `anchors`.
    trusted: Vec<TrustAnchor<'static>>,
    anchors: Vec<Anchor>,
    problems: Vec<AnchorProblem>,
}

impl TrustAnchors {
    /// The anchors that these DER certificates make.
    pub fn from_der<I>(certificates: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut loaded = Loaded::default();
        for (index, certificate) in certificates.into_iter().enumerate() {
            match anchor(certificate.as_ref()) {
                Ok((trusted, anchor)) => {
                    loaded.trusted.push(trusted);
                    loaded.anchors.push(anchor);
                }
                Err(problem) => loaded.problems.push(AnchorProblem { number: index + 1, problem }),
            }
        }
        Self::of(Arc::new(loaded))
    }

    /// The anchors that these certificates and keys make; what cannot be read is left out.
    pub(crate) fn from_parts(certificates: &[&[u8]], keys: &[AnchorKey<'_>]) -> Self {
        let mut loaded = Loaded::default();
        let certificates = certificates.iter().filter_map(|certificate| anchor(certificate).ok());
        for (trusted, anchor) in certificates.chain(keys.iter().filter_map(anchor_of_key)) {
            loaded.trusted.push(trusted);
            loaded.anchors.push(anchor);
        }
        Self::of(Arc::new(loaded))
    }

    fn of(loaded: Arc<Loaded>) -> Self {
        Self { loaded, revoked: RevocationLists::default(), private: Arc::default() }
    }

    /// The anchors in a PEM file or bundle.
    ///
    /// # Errors
    /// A [`PemError`] where the file is not PEM, or has no certificate in it.
    pub fn from_pem(file: &[u8]) -> Result<Self, PemError> {
        certificates_from_pem(file).map(Self::from_der)
    }

    /// The same anchors, and what their lists and those of the authorities below them have taken back.
    #[must_use]
    pub fn with_revocation_lists(mut self, lists: RevocationLists) -> Self {
        self.revoked = lists;
        self
    }

    /// The same, and beside them the anchors of files that a demand may name instead
    /// ([`HostClause::ChainTo`](sealpost_types::HostClause::ChainTo)). They take the place of those of before.
    #[must_use]
    pub fn with_private(mut self, private: impl IntoIterator<Item = (AnchorFiles, Self)>) -> Self {
        self.private = Arc::new(private.into_iter().map(|(files, anchors)| (files, anchors.loaded)).collect());
        self
    }

    /// The anchors of these files, with the same revocation lists; nothing if they were not read.
    #[must_use]
    pub fn private(&self, files: &AnchorFiles) -> Option<Self> {
        let loaded = self.private.get(files)?;
        Some(Self { revoked: self.revoked.clone(), ..Self::of(Arc::clone(loaded)) })
    }

    /// These and those: a chain may end in any of them.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = Self::from_der(self.iter().chain(other.iter()).map(|anchor| &anchor.der));
        Self { revoked: self.revoked.clone(), private: Arc::clone(&self.private), ..both }
    }

    /// What has been taken back.
    #[must_use]
    pub fn revocation_lists(&self) -> &RevocationLists {
        &self.revoked
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loaded.anchors.len()
    }

    /// Whether there are none, so that no chain can be trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loaded.anchors.is_empty()
    }

    /// The certificates that were left out, in order.
    #[must_use]
    pub fn problems(&self) -> &[AnchorProblem] {
        &self.loaded.problems
    }

    pub(crate) fn trusted(&self) -> &[TrustAnchor<'static>] {
        &self.loaded.trusted
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.loaded.anchors.iter()
    }

    /// What is remembered of an anchor that the path validation arrived at.
    pub(crate) fn find(&self, trusted: &TrustAnchor<'_>) -> Option<&Anchor> {
        let same = |other: &TrustAnchor<'_>| {
            other.subject == trusted.subject
                && other.subject_public_key_info == trusted.subject_public_key_info
                && other.name_constraints == trusted.name_constraints
        };
        self.loaded
            .trusted
            .iter()
            .zip(&self.loaded.anchors)
            .filter(|(other, _)| same(other))
            .map(|(_, anchor)| anchor)
            .max_by_key(|a| a.not_after)
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustAnchors({})", self.len())
    }
}

fn anchor(octets: &[u8]) -> Result<(TrustAnchor<'static>, Anchor), Malformed> {
    let der = CertificateDer::from(octets.to_vec());
    let certificate = Certificate::parse(octets, Position::Anchor)?;
    let trusted =
        webpki::anchor_from_trusted_cert(&der).map_err(|error| crate::path::malformed(&error).unwrap_or(Malformed::Der))?.to_owned();
    let anchor = Anchor {
        subject: certificate.subject(),
        raw_subject: certificate.x509.subject().as_raw().to_vec(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        signs_lists: certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.crl_sign())),
        der,
    };
    Ok((trusted, anchor))
}

/// A key is always in date.
fn anchor_of_key(key: &AnchorKey<'_>) -> Option<(TrustAnchor<'static>, Anchor)> {
    let trusted = TrustAnchor {
        subject: content(key.raw_subject)?.to_vec().into(),
        subject_public_key_info: content(key.spki)?.to_vec().into(),
        name_constraints: None,
    };
    let anchor = Anchor {
        der: CertificateDer::from(Vec::new()),
        subject: key.subject.clone(),
        raw_subject: key.raw_subject.to_vec(),
        not_before: UnixMillis(i64::MIN),
        not_after: UnixMillis::MAX,
        signs_lists: false,
    };
    Some((trusted, anchor))
}

/// What stands in a DER SEQUENCE, without its tag and length.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (length, rest) = der.strip_prefix(&[SEQUENCE])?.split_first()?;
    match length.checked_sub(0x80) {
        None => Some(rest),
        Some(octets) => rest.get(usize::from(octets)..),
    }
}

const SEQUENCE: u8 = 0x30;
