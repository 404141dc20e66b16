//! Chains that were made to do harm: work stays bounded, nothing panics, and nothing is trusted by mistake.

mod fixtures;

use fixtures::{NOW, anchors, chain_only, der, require, verify};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use sealpost_cert::{
    CHAIN_CERTIFICATES, CertificateDetails, Finding, Malformed, PATH_STEPS, Position, TrustAnchors, Verdict, certificates_from_pem,
    verify_client, verify_server,
};
use sealpost_types::UnixMillis;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca_params(name: &str, constraint: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(constraint);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn root(name: &str) -> Ca {
    Ca::self_signed(ca_params(name, BasicConstraints::Unconstrained), KeyPair::generate().unwrap()).unwrap()
}

fn below(issuer: &Issuer<'_, KeyPair>, name: &str) -> Ca {
    Ca::signed_by(ca_params(name, BasicConstraints::Unconstrained), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf_params() -> CertificateParams {
    CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap()
}

fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn judge(chain: &[Vec<u8>], anchor: &Ca) -> Verdict {
    let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
    verify_server(&chain, &verify(&["mx.example.org"]), &TrustAnchors::from_der([anchor.der()]), NOW)
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(Finding::code).collect()
}

#[test]
fn a_path_has_a_greatest_length() {
    let anchor = root("root");
    for (steps, expected) in [(PATH_STEPS, vec![]), (PATH_STEPS + 1, vec!["path-too-deep"])] {
        let mut issuers = vec![below(&anchor, "ca 1")];
        for step in 1..steps {
            issuers.push(below(&issuers[step - 1], &format!("ca {}", step + 1)));
        }
        let mut chain = vec![signed(&leaf_params(), issuers.last().unwrap())];
        chain.extend(issuers.iter().rev().map(|ca| ca.der().to_vec()));
        let verdict = judge(&chain, &anchor);
        assert_eq!(codes(&verdict), expected, "{steps}: {:?}", verdict.findings);
    }
}

/// Certificates that all issued one another open factorially many paths: only a few of one subject are looked at.
#[test]
fn a_tangle_of_certificates_is_not_unravelled() {
    let tangle: Vec<Ca> = (0..CHAIN_CERTIFICATES * 4).map(|_| root("tangle")).collect();
    let mut chain = vec![signed(&leaf_params(), &tangle[0])];
    for (subject, issuer) in tangle.iter().zip(tangle.iter().cycle().skip(1)) {
        let params = ca_params("tangle", BasicConstraints::Unconstrained);
        chain.push(params.signed_by(subject.key(), issuer).unwrap().der().to_vec());
    }
    let verdict = judge(&chain, &root("elsewhere"));
    assert!(!verdict.trusted);
    let found = verdict.findings.iter().find_map(|finding| match finding {
        Finding::TooManyCertificates { found, limit } => Some((*found, *limit)),
        _ => None,
    });
    assert_eq!(found, Some((chain.len(), 4)), "{:?}", verdict.findings);
}

#[test]
fn certificates_behind_the_first_are_no_harm() {
    let anchor = root("root");
    let ca = below(&anchor, "ca");
    let mut chain = vec![signed(&leaf_params(), &ca), ca.der().to_vec()];
    chain.extend((0..500).map(|_| b"junk".to_vec()));
    assert!(judge(&chain, &anchor).satisfied);
    chain.swap(1, 400);
    let verdict = judge(&chain, &anchor);
    assert_eq!(codes(&verdict)[..2], ["unparsable", "unparsable"]);
    assert!(verdict.findings.iter().any(|finding| matches!(finding, Finding::TooManyCertificates { found: 502, .. })));
}

#[test]
fn a_very_large_certificate_is_not_read() {
    let anchor = root("root");
    let large = |names: usize| {
        let names = (0..names).map(|n| format!("mx{n}.example.org")).chain(["mx.example.org".to_owned()]);
        signed(&CertificateParams::new(names.collect::<Vec<_>>()).unwrap(), &anchor)
    };
    assert!(judge(&[large(2000)], &anchor).satisfied);
    let verdict = judge(&[large(5000)], &anchor);
    assert_eq!(codes(&verdict), ["too-large"]);
    assert!(verdict.leaf.is_none());
    let ca = below(&anchor, "ca");
    let verdict = judge(&[signed(&leaf_params(), &ca), large(5000)], &anchor);
    assert_eq!(codes(&verdict), ["too-large", "unknown-issuer"]);
}

#[test]
fn a_circle_of_issuers_ends() {
    let (a, b) = (root("a"), root("b"));
    let cross = |subject: &Ca, name: &str, issuer: &Ca| {
        ca_params(name, BasicConstraints::Unconstrained).signed_by(subject.key(), issuer).unwrap().der().to_vec()
    };
    let chain = [signed(&leaf_params(), &a), cross(&a, "a", &b), cross(&b, "b", &a)];
    assert_eq!(codes(&judge(&chain, &root("c"))), ["unknown-issuer"]);
    assert!(judge(&chain, &b).trusted);
}

#[test]
fn an_issuer_may_limit_the_issuers_below_it() {
    let anchor = root("root");
    let ca = Ca::signed_by(ca_params("ca 1", BasicConstraints::Constrained(0)), KeyPair::generate().unwrap(), &anchor).unwrap();
    let sub = below(&ca, "ca 2");
    let chain = [signed(&leaf_params(), &sub), sub.der().to_vec(), ca.der().to_vec()];
    assert_eq!(judge(&chain, &anchor).findings, [Finding::PathLengthConstraint { issuers: 2 }]);
    assert!(judge(&[signed(&leaf_params(), &ca), ca.der().to_vec()], &anchor).trusted);
}

#[test]
fn an_extension_that_stands_twice_carries_no_name() {
    let anchor = root("root");
    let mut params = leaf_params();
    let name = b"mx.example.net";
    let content = [&[0x30, 16, 0x82, 14], &name[..]].concat();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
    let verdict = judge(&[signed(&params, &anchor)], &anchor);
    assert!(!verdict.satisfied && !verdict.trusted);
    let twice = Finding::Unparsable { certificate: Position::Leaf, problem: Malformed::Extension };
    assert!(verdict.findings.contains(&twice), "{:?}", verdict.findings);
    assert!(verdict.findings.iter().any(|finding| matches!(finding, Finding::NameMismatch { .. })));
    assert!(verdict.matched_name.is_none());
}

#[test]
fn purposes_that_are_none_are_not_the_right_ones() {
    let anchor = root("root");
    let mut params = leaf_params();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]));
    let verdict = judge(&[signed(&params, &anchor)], &anchor);
    assert!(!verdict.trusted);
    assert_eq!(codes(&verdict), ["unparsable", "not-for-server-auth"]);
    assert_eq!(verdict.findings[1].to_string(), "certificate is not for TLS servers, only for nothing");
}

#[test]
fn a_validity_turned_round_is_said_to_be_so() {
    let anchor = root("root");
    let mut params = leaf_params();
    (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2020, 1, 1));
    let verdict = judge(&[signed(&params, &anchor)], &anchor);
    assert_eq!(codes(&verdict), ["invalid-validity"]);
}

#[test]
fn text_in_a_certificate_cannot_forge_lines() {
    let anchor = root("root");
    let mut params = leaf_params();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String("x\r\n250 \u{1b}[31mfine\u{202e}".to_owned()));
    params.distinguished_name.push(DnType::OrganizationName, "long".repeat(500));
    let certificate = signed(&params, &anchor);
    let verdict = judge(std::slice::from_ref(&certificate), &root("elsewhere"));
    let details = CertificateDetails::from_der(&certificate).unwrap();
    let texts = verdict.findings.iter().map(ToString::to_string).chain([verdict.leaf.unwrap().subject, details.subject().to_owned()]);
    for text in texts {
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
    assert_eq!(details.common_name(), Some("x\\u{d}\\u{a}250 \\u{1b}[31mfine\\u{202e}"));
    assert!(details.subject().len() > 2000);
}

/// Every certificate that a mutation starts from: all kinds of keys, names and extensions.
const SEEDS: [&str; 8] = ["rsa2048", "ec256", "ed25519", "long-san", "ip-san", "pss", "constrained", "client-only"];

fn seed() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(SEEDS.as_slice()).prop_map(der)
}

/// Up to eight octets changed, put in or taken out.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8);
    (seed(), edits).prop_map(|(mut octets, edits)| {
        for (at, octet, kind) in edits {
            let at = at.index(octets.len());
            match kind {
                0 => octets.insert(at, octet),
                1 if octets.len() > 1 => drop(octets.remove(at)),
                2 => octets.truncate(at + 1),
                _ => octets[at] = octet,
            }
        }
        octets
    })
}

/// Everything that reads certificates, and the text of all that comes out.
fn read_in_every_way(leaf: &[u8], issuer: &[u8], now: UnixMillis) -> String {
    let anchors = TrustAnchors::from_der([der("root"), issuer.to_vec()]);
    let demand = verify(&["mx1.bank.example", "*.bank.example", "192.0.2.25"]);
    let server = verify_server(&[leaf, issuer], &demand, &anchors, now);
    let client = verify_client(&[leaf, issuer, leaf], &require(), &anchors, now);
    assert!(server.satisfied || server.most_telling().is_some(), "what does not do says why: {server:?}");
    let findings = server.findings.iter().chain(&client.findings).map(ToString::to_string).collect::<String>();
    let details = CertificateDetails::from_der(leaf).map_or_else(|error| error.to_string(), |details| details.to_string());
    format!("{findings}{details}{:?}", anchors.problems())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_panic(leaf in prop::collection::vec(any::<u8>(), 0..512), issuer in prop::collection::vec(any::<u8>(), 0..64), now in any::<i64>()) {
        read_in_every_way(&leaf, &issuer, UnixMillis(now));
        let _ = certificates_from_pem(&leaf);
    }

    #[test]
    fn no_mutated_certificate_panics(leaf in mutated(), issuer in mutated(), now in any::<i64>()) {
        read_in_every_way(&leaf, &issuer, UnixMillis(now));
        read_in_every_way(&leaf, &der("intermediate"), NOW);
    }

    /// A signature covers every octet, or the octet is one that the reader checks.
    #[test]
    fn no_mutated_certificate_is_trusted(leaf in mutated()) {
        prop_assume!(SEEDS.iter().all(|name| der(name) != leaf));
        let intermediate = der("intermediate");
        let verdict = verify_server(&[&leaf, &intermediate], &chain_only(), &anchors(&["root"]), NOW);
        prop_assert!(!verdict.trusted && !verdict.satisfied);
        prop_assert!(!verdict.findings.is_empty());
    }

    #[test]
    fn no_text_panics_the_pem_reader(text in "(-----(BEGIN|END) (X509 )?CERTIFICATE-----|[A-Za-z0-9+/=]{0,9}|\\PC{0,5}|\r?\n){0,20}") {
        let _ = certificates_from_pem(text.as_bytes());
    }
}
