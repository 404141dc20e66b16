//! What a client's certificate proves.

use sealpost_cert::{CertificateDetails, PresentedName, TrustAnchors, Verdict, verify_client};
use sealpost_policy::ClientCertificate;
use sealpost_types::{Domain, HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};

/// A certificate that a client showed.
pub(crate) struct Shown {
    /// What it proves.
    pub(crate) certificate: ClientCertificate,
    /// What was found of it.
    pub(crate) verdict: Verdict,
}

/// What a chain of certificates in DER, the client's own first, proves to a listener with `client_certificates`; nothing where none was
/// shown. What proves nothing says why.
#[must_use]
pub fn client_certificate(chain: &[Vec<u8>], anchors: &TrustAnchors, now: UnixMillis) -> Option<ClientCertificate> {
    shown(chain, anchors, now).map(|shown| shown.certificate)
}

/// The same, with what was found of it.
///
/// Its names count if it leads to a trust anchor, is in date, and is meant for clients; its key counts without that. What
/// cannot be verified is no error. A wildcard names no host, so it proves none.
pub(crate) fn shown(chain: &[Vec<u8>], anchors: &TrustAnchors, now: UnixMillis) -> Option<Shown> {
    let own = chain.first()?;
    let presented: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let demand = HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain], TlsVersion::default());
    let verdict = verify_client(&presented, &demand, anchors, now);
    let pin = verdict.leaf.as_ref().map(|leaf| leaf.pin);
    let subject = verdict.leaf.as_ref().map(|leaf| leaf.subject.as_str());
    if !verdict.satisfied {
        let finding = verdict.most_telling().map(ToString::to_string);
        tracing::debug!(subject, finding, "the client's certificate proves no name");
        let certificate = ClientCertificate::new(false, Vec::new(), pin).with_problem(finding.map(Into::into));
        return Some(Shown { certificate, verdict });
    }
    let details = CertificateDetails::from_der(own).ok();
    let name = |presented: &PresentedName| match presented {
        PresentedName::Dns(name) => Domain::parse(name).ok(),
        _ => None,
    };
    let names: Vec<_> = details.iter().flat_map(|details| details.alternative_names()).filter_map(name).collect();
    tracing::debug!(subject, ?names, "the client's certificate is verified");
    let common_name = details.as_ref().and_then(|details| Domain::parse(details.common_name()?).ok());
    Some(Shown { certificate: ClientCertificate::new(true, names, pin).with_common_name(common_name), verdict })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType, date_time_ymd};

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn anchors(&self) -> TrustAnchors {
            TrustAnchors::from_der([self.0.der()])
        }

        fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
            let mut params = CertificateParams::new(vec!["Out.acme.example".to_owned(), "acme.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(2025, 1, 1);
            params.not_after = date_time_ymd(2030, 1, 1);
            change(&mut params);
            params.signed_by(&KeyPair::generate().unwrap(), &*self.0).unwrap().der().to_vec()
        }
    }

    fn names(chain: &[Vec<u8>], anchors: &TrustAnchors) -> Vec<String> {
        // 2026
        let shown = shown(chain, anchors, UnixMillis(1_790_000_000_000));
        shown.iter().flat_map(|shown| &shown.certificate.names).map(ToString::to_string).collect()
    }

    #[test]
    fn a_verified_certificate_proves_its_names_and_no_other_proves_any() {
        let (authority, other) = (Authority::new(), Authority::new());
        let anchors = authority.anchors();
        let right = authority.issue(|_| {});
        assert_eq!(names(std::slice::from_ref(&right), &anchors), ["out.acme.example", "acme.example"]);
        assert!(names(std::slice::from_ref(&right), &other.anchors()).is_empty());
        assert!(names(std::slice::from_ref(&right), &TrustAnchors::default()).is_empty());
        assert!(names(&[other.issue(|_| {}), right.clone()], &anchors).is_empty(), "the first is the client's own");
        assert!(names(&[authority.issue(|params| params.not_after = date_time_ymd(2026, 1, 1))], &anchors).is_empty());
        assert!(names(&[authority.issue(|params| params.not_before = date_time_ymd(2029, 1, 1))], &anchors).is_empty());
        for (purpose, proves) in [(ExtendedKeyUsagePurpose::ServerAuth, false), (ExtendedKeyUsagePurpose::ClientAuth, true)] {
            assert_eq!(!names(&[authority.issue(|params| params.extended_key_usages = vec![purpose])], &anchors).is_empty(), proves);
        }
        let strange = shown(&[other.issue(|_| {})], &anchors, UnixMillis(1_790_000_000_000)).unwrap().certificate;
        assert!(!strange.is_trusted && strange.pin.is_some(), "its key may still be one that is written down");
        for chain in [vec![], vec![b"no certificate".to_vec()], vec![vec![]]] {
            assert!(names(&chain, &anchors).is_empty());
        }
    }

    #[test]
    fn only_host_names_are_names() {
        let authority = Authority::new();
        let mixed = authority.issue(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("*.acme.example".try_into().unwrap()),
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::Rfc822Name("ann@acme.example".try_into().unwrap()),
                SanType::DnsName("out.acme.example".try_into().unwrap()),
            ];
        });
        assert_eq!(names(&[mixed], &authority.anchors()), ["out.acme.example"]);
    }
}
