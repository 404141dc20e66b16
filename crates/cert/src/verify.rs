//! Verdicts: a presented chain against what was demanded of it.

use rustls_pki_types::CertificateDer;
use sealpost_types::{AnchorFiles, HostClause, HostDemand, Pin, ReferenceName, UnixMillis};
use webpki::EndEntityCert;

use crate::anchor::TrustAnchors;
use crate::certificate::Certificate;
use crate::chain::{CERTIFICATE_OCTETS, Chain};
use crate::finding::{Finding, Malformed, Place, Position};
use crate::key::PublicKey;
use crate::name::{MatchedName, PresentedName};
use crate::path::{self, Purpose, ValidPath, Validity, validity};
use crate::pin::{Fingerprint, pin_of_key};
use crate::tlsa::{self, Dane, TlsaMatch};

/// What was found out about a presented chain, and whether it is what was demanded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether every clause of the demand holds. A demand without clauses is satisfied by anything.
    pub satisfied: bool,
    /// Whether the chain ends in a trust anchor and all of it is in date and fit for its purpose, demanded or not.
    pub trusted: bool,
    /// Everything that is wrong, the most telling first; see [`most_telling`](Self::most_telling).
    pub findings: Vec<Finding>,
    /// The peer's own certificate, if it can be read.
    pub leaf: Option<LeafSummary>,
    /// The subjects of the validated path from the leaf to the anchor; empty where there is none.
    pub path: Vec<String>,
    /// Until when the path stays valid: the earliest end on it. What is kept or resumed must not outlive it.
    pub valid_until: Option<UnixMillis>,
    /// The demanded name that was found in the certificate; none where no names were demanded.
    pub matched_name: Option<MatchedName>,
    /// The TLSA record that the chain is right by; none where no records were demanded, or none is about it.
    pub matched_tlsa: Option<TlsaMatch>,
}

/// What is kept of the peer's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeafSummary {
    /// Its subject.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its subject alternative names; at most [`PRESENTED_NAMES`] of them.
    pub names: Vec<PresentedName>,
    /// The pin of its key.
    pub pin: Pin,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its first moment.
    pub not_before: UnixMillis,
    /// Its last second.
    pub not_after: UnixMillis,
}

impl Verdict {
    /// The one finding that explains most, for a line of a log or a reply; none where nothing is wrong.
    ///
    /// What breaks a demand comes before what does not. Then, in this order: nothing to judge (no certificate, an
    /// unreadable one), a distrusted key or a
    /// revoked certificate, self-signed, the leaf's dates, its names, the issuers' dates, signatures,
    /// unreadable issuers, limits, an unknown issuer, the purpose, the issuers' constraints, unknown extensions.
    #[must_use]
    pub fn most_telling(&self) -> Option<&Finding> {
        self.findings.first()
    }
}

/// Judges the chain that a server presented: DER certificates, the server's own first.
///
/// The whole check is made whatever is demanded, so that a session without authentication still learns what it would
/// have said: the path to a trust anchor with its signatures, dates, purposes and constraints, and, if names were
/// demanded, the names. These are independent, and everything that is wrong is found at once.
///
/// # Wire
/// RFC 5280 section 6 for the path; RFC 9525 for the names (see [`PresentedName::matches`]); RFC 7671 and RFC 7672 section 3 for TLSA
/// records: a certificate that one of usage 3 names needs neither a path nor a name nor to be in date, one that leads to a trust anchor of
/// usage 2 needs all of these.
///
/// # Limits
/// [`CHAIN_CERTIFICATES`](crate::CHAIN_CERTIFICATES), [`CERTIFICATE_OCTETS`] and
/// [`PATH_STEPS`](crate::PATH_STEPS). Certificates past the first are ignored, not an error, while a path is found
/// without them. Signature checks and path searches have budgets.
///
/// # Example
/// ```
/// # use sealpost_cert::{TrustAnchors, verify_server};
/// # use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};
/// let demand = HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain], TlsVersion::Tls1_2);
/// let verdict = verify_server(&[b"?"], &demand, &TrustAnchors::default(), UnixMillis(1_790_000_000_000));
/// assert!(!verdict.satisfied);
/// assert_eq!(verdict.findings[0].to_string(), "certificate cannot be read: its DER encoding is broken");
/// ```
#[must_use]
pub fn verify_server(chain: &[&[u8]], demand: &HostDemand, anchors: &TrustAnchors, now: UnixMillis) -> Verdict {
    verify(chain, demand, anchors, now, Purpose::Server)
}

/// Judges the chain that a client presented. As [`verify_server`], but for the purpose of a TLS client.
#[must_use]
pub fn verify_client(chain: &[&[u8]], demand: &HostDemand, anchors: &TrustAnchors, now: UnixMillis) -> Verdict {
    verify(chain, demand, anchors, now, Purpose::Client)
}

fn verify(presented: &[&[u8]], demand: &HostDemand, anchors: &TrustAnchors, now: UnixMillis, purpose: Purpose) -> Verdict {
    let mut findings = Vec::new();
    let leaf = read_leaf(presented, &mut findings);
    let names = match leaf.as_ref().map(Certificate::presented_names) {
        Some(Ok(names)) => names,
        Some(Err(problem)) => {
            findings.push(Finding::Unparsable { certificate: Position::Leaf, problem });
            Vec::new()
        }
        None => Vec::new(),
    };
    let summary = leaf.as_ref().map(|leaf| summarise(leaf, &names));
    let common_name = leaf.as_ref().and_then(Certificate::common_name);

    // The path validation looks at the keys of issuers only.
    let key = leaf.as_ref().map(PublicKey::of).filter(|key| !key.is_accepted());
    findings.extend(key.map(|key| Finding::UnacceptedKey { key }));

    let chain = Chain::new(leaf, presented);
    let ways: Vec<_> =
        wanted_anchors(demand).into_iter().map(|files| (files, way_up(&chain, files, anchors, now, purpose, &mut findings))).collect();
    let leads_to = |files: Option<&AnchorFiles>| ways.iter().any(|(to, path)| *to == files && path.is_some());

    let mut satisfied = true;
    let mut matched_name = None;
    let mut matched_tlsa = None;
    let mut dane_path = None;
    // What breaks the demand for DANE, of which the findings above know nothing.
    let mut broken = Vec::new();
    for clause in &demand.clauses {
        let holds = match clause {
            HostClause::Chain => leads_to(None),
            HostClause::ChainTo(files) => leads_to(Some(files)),
            HostClause::Identity(wanted) => {
                let found = find_name(&names, common_name.as_deref(), wanted);
                let holds = found.is_some();
                if !holds && summary.is_some() {
                    findings.push(mismatch(wanted, &names, common_name.clone()));
                }
                matched_name = matched_name.or(found);
                holds
            }
            HostClause::Pinned(pins) => match &summary {
                Some(leaf) if pins.contains(&leaf.pin) => true,
                Some(leaf) => {
                    findings.push(Finding::PinMismatch { wanted: pins.clone(), found: leaf.pin });
                    false
                }
                None => false,
            },
            HostClause::Dane { records, names: wanted } => match tlsa::judge(records, &chain, now, purpose) {
                Dane::EndEntity(found) => {
                    matched_tlsa = Some(found);
                    true
                }
                Dane::TrustAnchor(found, valid) => {
                    let name = find_name(&names, None, wanted);
                    let holds = name.is_some();
                    if holds {
                        (matched_tlsa, dane_path) = (Some(found), Some(valid));
                    } else {
                        broken.push(mismatch(wanted, &names, common_name.clone()));
                    }
                    matched_name = matched_name.or(name);
                    holds
                }
                Dane::No(reasons) => {
                    broken.extend(reasons);
                    false
                }
            },
            _ => {
                findings.push(Finding::UnsupportedDemand);
                false
            }
        };
        satisfied &= holds;
    }

    let chain_demanded = demand.clauses.iter().any(HostClause::is_chain) || demand.clauses.is_empty();
    let breaks_another = |finding: &Finding| matches!(finding, Finding::NameMismatch { .. } | Finding::PinMismatch { .. });
    findings.sort_by_key(|finding| (!chain_demanded && !breaks_another(finding), finding.rank()));
    broken.sort_by_key(Finding::rank);
    broken.extend(findings.into_iter().filter(|finding| !broken.contains(finding)).collect::<Vec<_>>());
    let trusted = ways.iter().all(|(_, path)| path.is_some());
    // Under DANE alone, its own path is the one that counts; for a key that a record names, no date does.
    let by_dane_alone = !demand.clauses.iter().any(HostClause::is_chain) && matched_tlsa.is_some();
    let valid_until = match (&dane_path, by_dane_alone) {
        (Some(path), true) => Some(path.not_after),
        (None, true) => Some(UnixMillis::MAX),
        (_, false) => ways.iter().filter_map(|(_, path)| path.as_ref()).map(|path| path.not_after).min(),
    };
    let path = ways.into_iter().find_map(|(_, path)| path).map(|path| path.subjects).unwrap_or_default();
    Verdict { satisfied, trusted, findings: broken, leaf: summary, path, valid_until, matched_name, matched_tlsa }
}

/// Whose anchors the demand asks for, those of no file in particular first; these where it asks for none.
fn wanted_anchors(demand: &HostDemand) -> Vec<Option<&AnchorFiles>> {
    let mut wanted: Vec<_> = demand
        .clauses
        .iter()
        .filter_map(|clause| match clause {
            HostClause::Chain => Some(None),
            HostClause::ChainTo(files) => Some(Some(files)),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        wanted.push(None);
    }
    wanted
}

/// The path to an anchor of these files, or of those that are trusted where none are named; what stands in its way is noted.
fn way_up(
    chain: &Chain<'_>,
    files: Option<&AnchorFiles>,
    anchors: &TrustAnchors,
    now: UnixMillis,
    purpose: Purpose,
    findings: &mut Vec<Finding>,
) -> Option<ValidPath> {
    let leaf = chain.leaf.as_ref()?;
    let private = files.map(|files| anchors.private(files));
    let anchors = match &private {
        None => anchors,
        Some(Some(private)) => private,
        Some(None) => {
            findings.push(Finding::NoAnchors { files: files.cloned().unwrap_or_default() });
            return None;
        }
    };
    match path::validate(&CertificateDer::from(leaf.der), chain, anchors, now, purpose) {
        Ok(valid) => Some(valid).filter(|_| PublicKey::of(leaf).is_accepted()),
        Err(error) => {
            let known = findings.len();
            refusal(&error, leaf, chain, anchors, now, purpose, findings);
            let mut new = findings.split_off(known);
            new.retain(|finding| !findings.contains(finding));
            findings.append(&mut new);
            None
        }
    }
}

fn read_leaf<'a>(presented: &[&'a [u8]], findings: &mut Vec<Finding>) -> Option<Certificate<'a>> {
    let Some(&der) = presented.first() else {
        findings.push(Finding::NoCertificate);
        return None;
    };
    if der.len() > CERTIFICATE_OCTETS {
        findings.push(Finding::TooLarge { certificate: Position::Leaf, octets: der.len(), limit: CERTIFICATE_OCTETS });
        return None;
    }
    Certificate::parse(der, Position::Leaf)
        .map_err(|problem| findings.push(Finding::Unparsable { certificate: Position::Leaf, problem }))
        .ok()
}

fn summarise(leaf: &Certificate<'_>, names: &[PresentedName]) -> LeafSummary {
    LeafSummary {
        subject: leaf.subject(),
        issuer: leaf.issuer(),
        names: first_of(names),
        pin: pin_of_key(leaf.spki()),
        fingerprint: Fingerprint::of_certificate(leaf.der),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
    }
}

/// The first wanted name that is there. The common name is a name only to whoever asks for one.
fn find_name(presented: &[PresentedName], common_name: Option<&str>, wanted: &[ReferenceName]) -> Option<MatchedName> {
    let common_name = common_name.map(|name| PresentedName::CommonName(name.to_owned()));
    wanted.iter().find_map(|reference| {
        let found = presented.iter().chain(&common_name).find(|name| name.matches(reference))?;
        Some(MatchedName { reference: reference.clone(), presented: found.clone() })
    })
}

fn mismatch(wanted: &[ReferenceName], presented: &[PresentedName], common_name: Option<String>) -> Finding {
    Finding::NameMismatch {
        wanted: wanted.to_vec(),
        presented: first_of(presented),
        left_out: presented.len().saturating_sub(PRESENTED_NAMES),
        common_name,
    }
}

fn first_of(names: &[PresentedName]) -> Vec<PresentedName> {
    names.iter().take(PRESENTED_NAMES).cloned().collect()
}

/// Finds out everything that stands between this chain and a valid path. The refusal itself is among it.
pub(crate) fn refusal(
    error: &webpki::Error,
    leaf: &Certificate<'_>,
    chain: &Chain<'_>,
    anchors: &TrustAnchors,
    now: UnixMillis,
    purpose: Purpose,
    findings: &mut Vec<Finding>,
) {
    let mut walk = chain.walk(leaf, anchors);
    for step in &walk.steps {
        findings.extend(outdated(step.place(), step.not_before(), step.not_after(), now));
        findings.extend(unfit(step, purpose));
        if step.position != Position::Leaf && !step.is_ca().unwrap_or(true) {
            findings.push(Finding::IssuerNotCa { certificate: step.place() });
        }
        findings.extend(anchors.revocation_lists().finding(step));
        if let Err(error) = EndEntityCert::try_from(&CertificateDer::from(step.der)) {
            findings.push(unreadable(&error, step));
        }
    }
    if let Some(anchor) = walk.anchor {
        let place = Place { position: Position::Anchor, subject: anchor.subject.clone() };
        findings.extend(outdated(place, anchor.not_before, anchor.not_after, now));
    } else {
        findings.extend(chain.remarks.iter().cloned());
    }
    findings.extend(walk.end.take());
    let told = findings.iter().any(|finding| tells(finding, error));
    if !told {
        findings.push(path::explain(error, leaf, &walk, now));
    }
}

/// Whether a finding says already, with its place, what the path validation's error says.
fn tells(finding: &Finding, error: &webpki::Error) -> bool {
    use webpki::Error;
    match error {
        // The last resort of the path validation: whatever else keeps the chain from an anchor is the reason.
        Error::UnknownIssuer => !matches!(finding, Finding::NameMismatch { .. }),
        Error::CertRevoked => matches!(finding, Finding::Revoked { .. }),
        Error::CertExpired { .. } => matches!(finding, Finding::Expired { .. }),
        Error::CertNotValidYet { .. } => matches!(finding, Finding::NotYetValid { .. }),
        Error::InvalidCertValidity => matches!(finding, Finding::InvalidValidity { .. }),
        Error::RequiredEkuNotFoundContext(_) => matches!(finding, Finding::NotForServerAuth { .. } | Finding::NotForClientAuth { .. }),
        Error::EndEntityUsedAsCa => matches!(finding, Finding::IssuerNotCa { .. }),
        Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => matches!(
            finding,
            Finding::BadSignature { .. } | Finding::UnsupportedSignatureAlgorithm { .. } | Finding::UnsupportedIssuerKey { .. }
        ),
        Error::SignatureAlgorithmMismatch => matches!(finding, Finding::SignatureAlgorithmMismatch { .. }),
        Error::UnsupportedCertVersion => matches!(finding, Finding::UnsupportedVersion { .. }),
        Error::UnsupportedCriticalExtension => matches!(finding, Finding::UnsupportedCriticalExtension { .. }),
        Error::MaximumPathDepthExceeded => matches!(finding, Finding::PathTooDeep { .. }),
        other => path::malformed(other).is_some() && matches!(finding, Finding::Unparsable { .. }),
    }
}

fn outdated(certificate: Place, not_before: UnixMillis, not_after: UnixMillis, now: UnixMillis) -> Option<Finding> {
    if not_before > not_after {
        return Some(Finding::InvalidValidity { certificate });
    }
    match validity(not_before, not_after, now) {
        Validity::InDate => None,
        Validity::NotYet => Some(Finding::NotYetValid { certificate, not_before, starts_in: not_before.since(now) }),
        Validity::Past => Some(Finding::Expired { certificate, not_after, by: now.since(not_after) }),
    }
}

fn unfit(step: &Certificate<'_>, purpose: Purpose) -> Option<Finding> {
    let purposes = step.purposes().ok().flatten()?;
    let certificate = step.place();
    match purpose {
        Purpose::Server if !purposes.server_auth => Some(Finding::NotForServerAuth { certificate, purposes: purposes.names }),
        Purpose::Client if !purposes.client_auth => Some(Finding::NotForClientAuth { certificate, purposes: purposes.names }),
        _ => None,
    }
}

/// Why the path validation does not read a certificate that can be read otherwise.
fn unreadable(error: &webpki::Error, step: &Certificate<'_>) -> Finding {
    use webpki::Error;
    let certificate = step.place();
    match error {
        Error::UnsupportedCertVersion => Finding::UnsupportedVersion { certificate },
        Error::SignatureAlgorithmMismatch => Finding::SignatureAlgorithmMismatch { certificate },
        Error::UnsupportedCriticalExtension => Finding::UnsupportedCriticalExtension { certificate, oid: step.unknown_critical() },
        other => Finding::Unparsable { certificate: step.position, problem: path::malformed(other).unwrap_or(Malformed::Der) },
    }
}

/// Presented names that a summary or a finding carries.
pub const PRESENTED_NAMES: usize = 100;
