//! Certificate revocation lists: what issuers have taken back.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use sealpost_types::UnixMillis;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::extensions::X509Extension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::algorithm::same_oid;
use crate::anchor::Anchor;
use crate::certificate::Certificate;
use crate::finding::Finding;
use crate::pem::{PemError, blocks};

/// Revocation lists. Cloning is cheap: the content is shared.
///
/// A certificate whose issuer has no list here is not revoked. A list that is past its next update still revokes what stands in it;
/// [`outdated_at`](Self::outdated_at) says that it should be fetched anew.
///
/// # Wire
/// RFC 5280 section 5: complete lists (no delta, no indirect ones). Of several of one issuer the latest counts.
///
/// # Example
/// ```
/// # use sealpost_cert::{RevocationListError, RevocationLists};
/// assert_eq!(RevocationLists::from_der([b"not a list"]).unwrap_err(), RevocationListError::Malformed { number: 1 });
/// ```
#[derive(Clone, Default)]
pub struct RevocationLists(Arc<[Loaded]>);

struct Loaded {
    list: CertRevocationList<'static>,
    issuer: String,
    this_update: UnixMillis,
    next_update: Option<UnixMillis>,
}

/// Why a file has no revocation lists that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationListError {
    /// There is none in it.
    #[error("no revocation list found: no line reads -----BEGIN X509 CRL-----, and it is not DER")]
    NoList,
    /// A block of PEM is broken.
    #[error("line {line}: the block of PEM begun here is broken")]
    Pem {
        /// The line of `BEGIN`.
        line: usize,
    },
    /// A list cannot be read, or is of a kind that is not supported: version 1, a delta, an indirect one, or without a
    /// number.
    #[error("revocation list {number} cannot be read; a complete list of version 2 is meant, without entries for other issuers")]
    Malformed {
        /// Which one, counted from 1.
        number: usize,
    },
}

impl RevocationLists {
    /// These lists.
    ///
    /// # Errors
    /// [`RevocationListError::Malformed`] for the first that cannot be used.
    pub fn from_der<I>(lists: I) -> Result<Self, RevocationListError>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let loaded = lists
            .into_iter()
            .enumerate()
            .map(|(at, der)| load(der.as_ref()).ok_or_else(|| RevocationListError::Malformed { number: at.saturating_add(1) }));
        let mut loaded = loaded.collect::<Result<Vec<_>, _>>()?;
        // The path validation takes the first that is for a certificate.
        loaded.sort_by_key(|list| Reverse(list.this_update));
        Ok(Self(loaded.into()))
    }

    /// The lists of a file: PEM, or one in DER.
    ///
    /// # Errors
    /// [`RevocationListError`].
    pub fn from_file(file: &[u8]) -> Result<Self, RevocationListError> {
        if file.first() == Some(&SEQUENCE) {
            return Self::from_der([file]);
        }
        let lists = blocks(file, &[LABEL]).map_err(|error| RevocationListError::Pem {
            line: match error {
                PemError::NoEnd { line } | PemError::Length { line } | PemError::Character { line, .. } => line,
                PemError::Nested { begun, .. } | PemError::OtherEnd { begun, .. } => begun,
                PemError::NoCertificate { .. } => 1,
            },
        })?;
        if lists.is_empty() { Err(RevocationListError::NoList) } else { Self::from_der(lists) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuers of lists that should have been replaced by now, each with the time of its next update.
    pub fn outdated_at(&self, now: UnixMillis) -> impl Iterator<Item = (&str, UnixMillis)> {
        self.0.iter().filter_map(move |list| list.next_update.filter(|next| *next < now).map(|next| (list.issuer.as_str(), next)))
    }

    pub(crate) fn lists(&self) -> Vec<&CertRevocationList<'static>> {
        self.0.iter().map(|loaded| &loaded.list).collect()
    }

    /// That a certificate stands in the list of its issuer.
    pub(crate) fn finding(&self, certificate: &Certificate<'_>) -> Option<Finding> {
        let issuer = certificate.x509.issuer().as_raw();
        let is_by_issuer = |loaded: &&Loaded| is_name(issuer, loaded.list.issuer());
        let entry =
            self.0.iter().filter(is_by_issuer).find_map(|loaded| loaded.list.find_serial(certificate.x509.raw_serial()).ok().flatten())?;
        let since = i64::try_from(entry.revocation_date.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
        Some(Finding::Revoked { certificate: certificate.place(), since: UnixMillis(since) })
    }
}

/// Whether one of these lists is in the name of an anchor that may not sign any; the path validation looks at other issuers only.
pub(crate) fn is_foreign(lists: &[&CertRevocationList<'_>], anchor: &Anchor) -> bool {
    !anchor.signs_lists && lists.iter().any(|list| is_name(&anchor.raw_subject, list.issuer()))
}

/// Whether a name in DER has this content: the path validation leaves tag and length away.
fn is_name(der: &[u8], content: &[u8]) -> bool {
    !content.is_empty() && der.ends_with(content) && der.len() <= content.len().saturating_add(LONGEST_HEAD)
}

/// How the path validation looks into these lists: for all certificates, and none stands in the way of one without a list.
pub(crate) fn options<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    Some(builder.with_depth(RevocationCheckDepth::Chain).with_status_policy(UnknownStatusPolicy::Allow).build())
}

fn load(der: &[u8]) -> Option<Loaded> {
    let list = BorrowedCertRevocationList::from_der(der).ok()?.to_owned().ok()?;
    let (_, parsed) = CertificateRevocationList::from_der(der).ok()?;
    // RFC 5280 section 5.2.3: it must be there, or an older list could stand in for a newer one unnoticed.
    let is_number = |extension: &X509Extension<'_>| same_oid(CRL_NUMBER, extension.oid.as_bytes()) && !extension.critical;
    parsed.extensions().iter().find(|extension| is_number(extension))?;
    let at = |time: ASN1Time| UnixMillis(time.timestamp().saturating_mul(1000));
    let (this_update, next_update) = (at(parsed.last_update()), parsed.next_update().map(at));
    Some(Loaded { list: list.into(), issuer: crate::distinguished::short_text(parsed.issuer()), this_update, next_update })
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationLists({})", self.len())
    }
}

/// Octets of tag and length at most.
const LONGEST_HEAD: usize = 5;

const CRL_NUMBER: &[u64] = &[2, 5, 29, 20];

const LABEL: &[u8] = b"X509 CRL";

/// The first octet of DER, which no PEM has.
const SEQUENCE: u8 = 0x30;
