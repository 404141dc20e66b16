//! Revocation lists: what they take back, and what does not follow from them.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use sealpost_cert::{RevocationListError, RevocationLists, TrustAnchors, Verdict, verify_client, verify_server};
use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};

/// 2026-06-15.
const NOW: UnixMillis = UnixMillis(1_781_481_600_000);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(parameters(name, true), KeyPair::generate().unwrap()).unwrap())
    }

    /// One below this one.
    fn below(&self, name: &str, serial: u64) -> Self {
        let mut params = parameters(name, true);
        params.serial_number = Some(SerialNumber::from(serial));
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    fn leaf(&self, serial: u64) -> Vec<u8> {
        let mut params = parameters("mx.bank.example", false);
        params.serial_number = Some(SerialNumber::from(serial));
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().to_vec()
    }

    /// A list of these serial numbers, PEM.
    fn list(&self, revoked: &[u64]) -> String {
        self.list_of_may(2, revoked)
    }

    /// One of this day of May.
    fn list_of_may(&self, day: u8, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 5, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, day),
            next_update: date_time_ymd(2026, 6, 2),
            crl_number: SerialNumber::from(u64::from(day)),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

fn parameters(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(if is_ca { vec![] } else { vec![name.to_owned()] }).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    params
}

fn judge(chain: &[&[u8]], root: &Authority, lists: &str) -> Verdict {
    let lists = RevocationLists::from_file(lists.as_bytes()).unwrap();
    let anchors = TrustAnchors::from_der([root.0.der()]).with_revocation_lists(lists);
    let demand = HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain], TlsVersion::Tls1_2);
    let verdict = verify_server(chain, &demand, &anchors, NOW);
    assert_eq!(verify_client(chain, &demand, &anchors, NOW).satisfied, verdict.satisfied);
    verdict
}

// req: A10
#[test]
fn a_certificate_in_the_list_of_its_issuer_is_not_trusted() {
    let root = Authority::new("Root");
    let (good, bad) = (root.leaf(1), root.leaf(2));
    let list = root.list(&[2]);
    assert!(judge(&[&good], &root, &list).satisfied);
    let verdict = judge(&[&bad], &root, &list);
    assert!(!verdict.satisfied && !verdict.trusted);
    let finding = verdict.most_telling().unwrap();
    assert_eq!(
        (finding.code(), finding.to_string().as_str()),
        ("revoked", "certificate was revoked by its issuer on 2026-05-01T00:00:00Z")
    );
    // The negative control: without the list, and with one of somebody else, it is trusted.
    assert!(judge(&[&bad], &root, &root.list(&[3])).satisfied);
    assert!(judge(&[&bad], &root, &Authority::new("Other").list(&[2])).satisfied);
}

/// A file to which each new list is added: the first one in it counted, whatever the later ones took back.
#[test]
fn of_several_lists_of_an_issuer_the_latest_counts() {
    let root = Authority::new("Root");
    let bad = root.leaf(2);
    let (older, newer) = (root.list_of_may(2, &[3]), root.list_of_may(20, &[2, 3]));
    for lists in [older.clone() + &newer, newer + &older] {
        let verdict = judge(&[&bad], &root, &lists);
        assert_eq!(verdict.most_telling().map(|finding| finding.code()), Some("revoked"), "{verdict:?}");
    }
    assert!(judge(&[&bad], &root, &older).satisfied, "the control");
}

#[test]
fn an_authority_between_is_revoked_by_the_one_above() {
    let root = Authority::new("Root");
    let between = root.below("Between", 5);
    let leaf = between.leaf(1);
    let chain = [leaf.as_slice(), between.0.der()];
    assert!(judge(&chain, &root, &root.list(&[1])).satisfied, "the leaf's number, in the list of another issuer");
    let verdict = judge(&chain, &root, &root.list(&[5]));
    assert!(!verdict.satisfied);
    assert!(verdict.most_telling().unwrap().to_string().starts_with("issuer certificate 1 (CN=Between) was revoked"), "{verdict:?}");
    let both = root.list(&[]) + &between.list(&[1]);
    assert_eq!(judge(&chain, &root, &both).most_telling().unwrap().code(), "revoked");
}

/// A list in the name of an issuer that somebody else signed takes nothing back, and lets nothing through either.
#[test]
fn a_list_that_somebody_else_signed_is_told() {
    let (root, impostor) = (Authority::new("Root"), Authority::new("Root"));
    let verdict = judge(&[&root.leaf(1)], &root, &impostor.list(&[]));
    assert!(!verdict.satisfied && verdict.findings.iter().any(|finding| finding.code() == "foreign-revocation-list"), "{verdict:?}");
}

#[test]
fn files_are_read_or_refused_with_a_reason() {
    let root = Authority::new("Root");
    let list = root.list(&[1]);
    let read = |text: &str| RevocationLists::from_file(text.as_bytes());
    assert_eq!(read(&(list.clone() + "\ntext\n" + &list)).unwrap().len(), 2);
    let outdated: Vec<_> = read(&list).unwrap().outdated_at(NOW).map(|(issuer, next)| (issuer.to_owned(), next)).collect();
    assert_eq!(outdated, [("CN=Root".to_owned(), UnixMillis(1_780_358_400_000))]);
    assert_eq!(read(&list).unwrap().outdated_at(UnixMillis(0)).count(), 0);
    assert_eq!(read("").unwrap_err(), RevocationListError::NoList);
    assert_eq!(read(&root.0.pem()).unwrap_err(), RevocationListError::NoList);
    assert_eq!(read("\n-----BEGIN X509 CRL-----\nAAAA\n").unwrap_err(), RevocationListError::Pem { line: 2 });
    let broken = list.clone() + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    assert_eq!(read(&broken).unwrap_err(), RevocationListError::Malformed { number: 2 });
    assert!(RevocationLists::from_file(b"0\x82").is_err());
}
