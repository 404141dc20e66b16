//! The presented chain: what of it is looked at, and where it leads when dates and purposes are left aside.
//!
//! Nothing here accepts a certificate. It finds out more about a chain that the path validation has refused.

use rustls_pki_types::{AlgorithmIdentifier, CertificateDer};
use webpki::ALL_VERIFICATION_ALGS;

use crate::algorithm::signature_name;
use crate::anchor::{Anchor, TrustAnchors};
use crate::certificate::Certificate;
use crate::finding::{Finding, Position};
use crate::key::PublicKey;

/// The certificates of a chain that are looked at.
pub(crate) struct Chain<'a> {
    /// The leaf, if it can be read.
    pub(crate) leaf: Option<Certificate<'a>>,
    /// The others that can be read and are looked at.
    pub(crate) issuers: Vec<Certificate<'a>>,
    /// The DER of all issuers that are looked at, readable or not.
    pub(crate) intermediates: Vec<CertificateDer<'a>>,
    /// What is wrong with the form of the issuers, and what was left out; told when no path is found.
    pub(crate) remarks: Vec<Finding>,
}

/// Where the chain leads.
pub(crate) struct Walk<'c, 'a> {
    /// The certificates from the leaf up.
    pub(crate) steps: Vec<&'c Certificate<'a>>,
    /// The anchor it ends in.
    pub(crate) anchor: Option<&'c Anchor>,
    /// Why it ends elsewhere.
    pub(crate) end: Option<Finding>,
}

impl<'a> Chain<'a> {
    /// The leaf's own problems are the caller's to find; `leaf` is `None` when it cannot be read.
    pub(crate) fn new(leaf: Option<Certificate<'a>>, presented: &[&'a [u8]]) -> Self {
        let mut chain = Self { leaf, issuers: Vec::new(), intermediates: Vec::new(), remarks: Vec::new() };
        let mut left_out = presented.len() > CHAIN_CERTIFICATES;
        for (index, &der) in presented.iter().enumerate().take(CHAIN_CERTIFICATES).skip(1) {
            let position = Position::Issuer(index);
            if der.len() > CERTIFICATE_OCTETS {
                chain.remarks.push(Finding::TooLarge { certificate: position, octets: der.len(), limit: CERTIFICATE_OCTETS });
                continue;
            }
            if chain.intermediates.iter().any(|other| other.as_ref() == der) {
                continue;
            }
            match Certificate::parse(der, position) {
                Ok(certificate) => {
                    let namesakes =
                        chain.issuers.iter().filter(|other| other.x509.subject().as_raw() == certificate.x509.subject().as_raw());
                    if namesakes.count() >= SAME_SUBJECT {
                        left_out = true;
                        continue;
                    }
                    chain.issuers.push(certificate);
                    chain.intermediates.push(CertificateDer::from(der));
                }
                Err(problem) => chain.remarks.push(Finding::Unparsable { certificate: position, problem }),
            }
        }
        if left_out {
            chain.remarks.push(Finding::TooManyCertificates { found: presented.len(), limit: chain.issuers.len() + 1 });
        }
        chain
    }

    /// Follows signatures from the leaf to an anchor, whatever dates, purposes and constraints say.
    ///
    /// Of several ways that fail, the one that leads farthest is told.
    pub(crate) fn walk<'c>(&'c self, leaf: &'c Certificate<'a>, anchors: &'c TrustAnchors) -> Walk<'c, 'a> {
        let mut search = Search { chain: self, anchors, budget: SIGNATURE_CHECKS, best: None };
        let mut steps = vec![leaf];
        match search.from(&mut steps) {
            Some(anchor) => Walk { steps, anchor: Some(anchor), end: None },
            None => search.best.unwrap_or(Walk { steps, anchor: None, end: None }),
        }
    }
}

struct Search<'c, 'a> {
    chain: &'c Chain<'a>,
    anchors: &'c TrustAnchors,
    /// Signature checks that are left.
    budget: usize,
    best: Option<Walk<'c, 'a>>,
}

/// What a check of one signature with one key says.
enum Signature {
    Good,
    Bad,
    UnsupportedAlgorithm,
    UnsupportedKey,
    /// The budget is used up.
    NotChecked,
}

impl<'c, 'a> Search<'c, 'a> {
    /// On success `steps` holds the way to the anchor; otherwise it is as before, and `best` says how far it went.
    fn from(&mut self, steps: &mut Vec<&'c Certificate<'a>>) -> Option<&'c Anchor> {
        let chain = self.chain;
        let head: &'c Certificate<'a> = steps.last()?;
        let raw_issuer = head.x509.issuer().as_raw();
        let mut end = None;
        for anchor in self.anchors.iter().filter(|anchor| anchor.raw_subject == raw_issuer) {
            let Ok(issuer) = Certificate::parse(&anchor.der, Position::Anchor) else { continue };
            match self.check(head, &issuer) {
                Signature::Good => return Some(anchor),
                other => end = end.or_else(|| finding(head, &issuer, &other)),
            }
        }
        if head.is_self_issued() && matches!(self.check(head, head), Signature::Good) {
            // It leads nowhere but to itself.
            end = None;
        }
        for issuer in chain.issuers.iter().filter(|issuer| issuer.x509.subject().as_raw() == raw_issuer) {
            if steps.iter().any(|step| step.spki() == issuer.spki() && step.x509.subject().as_raw() == raw_issuer) {
                continue;
            }
            if steps.len() > PATH_STEPS {
                end = end.or(Some(Finding::PathTooDeep { limit: PATH_STEPS }));
                break;
            }
            match self.check(head, issuer) {
                Signature::Good => {
                    steps.push(issuer);
                    if let Some(anchor) = self.from(steps) {
                        return Some(anchor);
                    }
                    steps.pop();
                    end = None;
                }
                other => end = end.or_else(|| finding(head, issuer, &other)),
            }
        }
        if self.best.as_ref().is_none_or(|best| best.steps.len() < steps.len()) {
            let end = end.unwrap_or_else(|| match head.position {
                Position::Leaf if head.is_self_issued() => Finding::SelfSigned { subject: head.subject() },
                _ if head.is_self_issued() => Finding::UntrustedRoot { certificate: head.place() },
                _ => Finding::UnknownIssuer { certificate: head.place(), issuer: head.issuer() },
            });
            self.best = Some(Walk { steps: steps.clone(), anchor: None, end: Some(end) });
        }
        None
    }

    fn check(&mut self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Signature {
        let Some(left) = self.budget.checked_sub(1) else { return Signature::NotChecked };
        self.budget = left;
        check(certificate, issuer)
    }
}

fn check(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Signature {
    let oid = certificate.x509.signature_algorithm.algorithm.as_bytes();
    let mut algorithms = ALL_VERIFICATION_ALGS.iter().filter(|algorithm| is_of(&algorithm.signature_alg_id(), oid)).peekable();
    if algorithms.peek().is_none() {
        return Signature::UnsupportedAlgorithm;
    }
    let key = &issuer.x509.tbs_certificate.subject_pki;
    let mut fitting = algorithms.filter(|algorithm| is_of(&algorithm.public_key_alg_id(), key.algorithm.algorithm.as_bytes())).peekable();
    if fitting.peek().is_none() || !PublicKey::of(issuer).is_accepted() {
        return Signature::UnsupportedKey;
    }
    let message = certificate.x509.tbs_certificate.as_ref();
    let signature = certificate.x509.signature_value.data.as_ref();
    let mut verified = fitting.map(|algorithm| algorithm.verify_signature(&key.subject_public_key.data, message, signature));
    if verified.any(|result| result.is_ok()) { Signature::Good } else { Signature::Bad }
}

/// Whether this algorithm identifier starts with this object identifier, whatever its parameters.
fn is_of(algorithm: &AlgorithmIdentifier, oid: &[u8]) -> bool {
    // An object identifier of less than 128 octets: tag 6, one octet of length, content.
    let content = algorithm.as_ref().strip_prefix(&[6]).and_then(<[u8]>::split_first);
    content.is_some_and(|(length, content)| usize::from(*length) == oid.len() && content.starts_with(oid))
}

fn finding(certificate: &Certificate<'_>, issuer: &Certificate<'_>, signature: &Signature) -> Option<Finding> {
    let place = certificate.place();
    match signature {
        Signature::Good | Signature::NotChecked => None,
        Signature::Bad => Some(Finding::BadSignature { certificate: place, issuer: issuer.subject() }),
        Signature::UnsupportedAlgorithm => Some(Finding::UnsupportedSignatureAlgorithm {
            certificate: place,
            algorithm: signature_name(certificate.x509.signature_algorithm.algorithm.as_bytes()),
        }),
        Signature::UnsupportedKey => {
            let key = PublicKey::of(issuer).to_string();
            Some(Finding::UnsupportedIssuerKey { certificate: place, issuer: issuer.subject(), key })
        }
    }
}

/// Certificates of a chain that are looked at, the leaf among them. OpenSSL and Postfix follow 100 and 9.
pub const CHAIN_CERTIFICATES: usize = 16;

/// Octets of a certificate that is looked at; the path validation reads no larger ones either.
pub const CERTIFICATE_OCTETS: usize = 65_536;

/// Intermediate certificates on one path.
pub const PATH_STEPS: usize = 6;

/// Certificates of a chain with one subject that are looked at.
///
/// A certificate names one issuer, so this bounds the ways up from each: at most 3^6 paths, however they are signed.
const SAME_SUBJECT: usize = 3;

/// Signatures that are checked to explain a refusal.
const SIGNATURE_CHECKS: usize = 32;
