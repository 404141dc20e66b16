//! TLSA records against a presented chain (DANE).

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use sealpost_types::{TlsaRecord, UnixMillis};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::anchor::{AnchorKey, TrustAnchors};
use crate::certificate::Certificate;
use crate::chain::Chain;
use crate::finding::{Finding, Place, Position};
use crate::path::{self, Purpose, ValidPath};

/// The record that a chain was found to be right by, and the certificate that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsaMatch {
    /// The record.
    pub record: TlsaRecord,
    /// The certificate; for a trust anchor that only stands in the record itself, the anchor.
    pub certificate: Place,
}

/// What TLSA records say of a chain.
pub(crate) enum Dane {
    /// The peer's own certificate is what a record says. Names and dates do not matter.
    EndEntity(TlsaMatch),
    /// It leads to a trust anchor that a record names, and all of it is in order but perhaps the names.
    TrustAnchor(TlsaMatch, ValidPath),
    /// Neither.
    No(Vec<Finding>),
}

/// Of these records, those that a certificate for SMTP can be held against; sorted, each once.
///
/// Unusable are: the usages 0 and 1 (PKIX-TA, PKIX-EE), and what is neither 2 nor 3; unknown selectors and matching types; digests of a
/// wrong length; whole certificates and keys that cannot be read. A host with secure records of which none is usable is to
/// be talked to over TLS, whatever its certificate.
///
/// # Wire
/// RFC 7672 sections 2.2 and 3.1.3, RFC 7671 section 4.
///
/// # Limits
/// [`TLSA_RECORDS`] of them.
///
/// # Example
/// ```
/// # use sealpost_cert::usable_tlsa;
/// # use sealpost_types::TlsaRecord;
/// let record = |usage, octets| TlsaRecord { usage, selector: 1, matching: 1, data: vec![7; octets] };
/// assert_eq!(usable_tlsa(&[record(3, 32), record(1, 32), record(3, 20)]), [record(3, 32)]);
/// ```
#[must_use]
pub fn usable_tlsa(records: &[TlsaRecord]) -> Vec<TlsaRecord> {
    let mut usable: Vec<_> = records.iter().filter(|record| is_usable(record)).cloned().collect();
    usable.sort();
    usable.dedup();
    usable.truncate(TLSA_RECORDS);
    usable
}

fn is_usable(record: &TlsaRecord) -> bool {
    let has_form = match (record.selector, record.matching) {
        (CERTIFICATE, FULL) => Certificate::parse(&record.data, Position::Anchor).is_ok(),
        (KEY, FULL) => matches!(SubjectPublicKeyInfo::from_der(&record.data), Ok(([], _))),
        (CERTIFICATE | KEY, SHA256) => record.data.len() == digest::SHA256_OUTPUT_LEN,
        (CERTIFICATE | KEY, SHA512) => record.data.len() == digest::SHA512_OUTPUT_LEN,
        _ => false,
    };
    matches!(record.usage, DANE_TA | DANE_EE) && has_form
}

/// Holds a chain against records: the leaf against those of usage 3, the rest against those of usage 2.
///
/// # Wire
/// RFC 7671 sections 5.1 and 5.2, RFC 7672 sections 3.1.1 and 3.1.2.
pub(crate) fn judge(records: &[TlsaRecord], chain: &Chain<'_>, now: UnixMillis, purpose: Purpose) -> Dane {
    let records = strongest(records);
    let Some(leaf) = &chain.leaf else { return Dane::No(Vec::new()) };
    if records.is_empty() {
        return Dane::No(vec![Finding::NoTlsa]);
    }
    if let Some(record) = records.iter().find(|record| record.usage == DANE_EE && is_of(record, leaf)) {
        return Dane::EndEntity(TlsaMatch { record: (*record).clone(), certificate: leaf.place() });
    }
    let named = anchors(&records, chain);
    if named.matches.is_empty() {
        let wanted = records.iter().map(|record| (*record).clone()).collect();
        return Dane::No(vec![Finding::TlsaMismatch { wanted, found: crate::pin::pin_of_key(leaf.spki()) }]);
    }
    match path::validate(&CertificateDer::from(leaf.der), chain, &named.anchors, now, purpose) {
        Ok(path) => {
            let at_end = |found: &&TlsaMatch| path.subjects.last() == Some(&found.certificate.subject);
            // A bare key has no subject of its own: then it is the only kind there is.
            let found = named.matches.iter().find(at_end).or_else(|| named.matches.first());
            found.cloned().map_or_else(|| Dane::No(Vec::new()), |found| Dane::TrustAnchor(found, path))
        }
        Err(error) => {
            let mut findings = Vec::new();
            crate::verify::refusal(&error, leaf, chain, &named.anchors, now, purpose, &mut findings);
            Dane::No(findings)
        }
    }
}

/// Of records that differ in the digest alone, those with the strongest; whole data always.
///
/// # Wire
/// RFC 7671 section 9 (digest agility).
fn strongest(records: &[TlsaRecord]) -> Vec<&TlsaRecord> {
    let is_outdone = |record: &TlsaRecord| {
        record.matching != FULL
            && records.iter().any(|other| {
                (other.usage, other.selector) == (record.usage, record.selector) && other.matching > record.matching && is_usable(other)
            })
    };
    records.iter().filter(|record| is_usable(record) && !is_outdone(record)).take(TLSA_RECORDS).collect()
}

/// The trust anchors that records name.
struct Named {
    anchors: TrustAnchors,
    matches: Vec<TlsaMatch>,
}

fn anchors(records: &[&TlsaRecord], chain: &Chain<'_>) -> Named {
    let mut certificates: Vec<&[u8]> = Vec::new();
    let mut keys = Vec::new();
    let mut matches = Vec::new();
    for record in records.iter().filter(|record| record.usage == DANE_TA) {
        let mut found = |certificate: Place| matches.push(TlsaMatch { record: (*record).clone(), certificate });
        for issuer in chain.issuers.iter().filter(|issuer| is_of(record, issuer)) {
            certificates.push(issuer.der);
            found(issuer.place());
        }
        // What stands in the record as a whole need not be sent along.
        match (record.selector, record.matching) {
            (CERTIFICATE, FULL) => {
                if let Ok(certificate) = Certificate::parse(&record.data, Position::Anchor) {
                    certificates.push(&record.data);
                    found(certificate.place());
                }
            }
            (KEY, FULL) => {
                for issued in chain.leaf.iter().chain(&chain.issuers) {
                    let subject = issued.issuer();
                    keys.push(AnchorKey { raw_subject: issued.x509.issuer().as_raw(), subject: subject.clone(), spki: &record.data });
                    found(Place { position: Position::Anchor, subject });
                }
            }
            _ => {}
        }
    }
    Named { anchors: TrustAnchors::from_parts(&certificates, &keys), matches }
}

/// Whether a record is about this certificate.
fn is_of(record: &TlsaRecord, certificate: &Certificate<'_>) -> bool {
    let data = if record.selector == KEY { certificate.spki() } else { certificate.der };
    let wanted = record.data.as_slice();
    match record.matching {
        FULL => wanted == data,
        SHA256 => wanted == digest::digest(&digest::SHA256, data).as_ref(),
        SHA512 => wanted == digest::digest(&digest::SHA512, data).as_ref(),
        _ => false,
    }
}

/// TLSA records of one name that are looked at.
pub const TLSA_RECORDS: usize = 32;

const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;
const CERTIFICATE: u8 = 0;
const KEY: u8 = 1;
const FULL: u8 = 0;
const SHA256: u8 = 1;
const SHA512: u8 = 2;
