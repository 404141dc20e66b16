//! Certificates, verdicts, TLSA records, PEM files, cipher strings.

use std::sync::LazyLock;

use sealpost_cert::{
    CHAIN_CERTIFICATES, CertificateDetails, Finding, RevocationLists, TrustAnchors, certificates_from_pem, usable_tlsa, verify_client,
    verify_server,
};
use sealpost_cipher::{CipherChoice, CipherString};
use sealpost_types::{HostClause, HostDemand, Pin, TlsRequirement, TlsVersion, TlsaRecord, UnixMillis};

use crate::choice::{Choices, text};
use crate::lines::{check_error, check_shown};

/// A string means something or is refused with a reason; what it means is not more than what it names.
pub fn cipher_strings(input: &[u8]) {
    let text = text(input);
    match CipherString::parse(&text) {
        Ok(string) => {
            let mut numbers: Vec<_> = string.suites().iter().map(|suite| suite.number()).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "a suite twice");
            // Written suite by suite it is the same.
            if let (Some(_), None) = (string.suites().first(), string.security_level()) {
                let written = string.suites().iter().map(|suite| suite.openssl_name()).collect::<Vec<_>>().join(":");
                let again = CipherString::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
                assert_eq!(again.suites(), string.suites(), "{written}");
            }
        }
        Err(error) => check_error(&error),
    }
    match CipherChoice::parse(&text) {
        Ok(choice) => {
            let set = choice.set();
            for suite in choice.tls12().iter().chain(choice.tls13()) {
                assert!(set.contains(suite.number()), "{suite:?}");
                assert!(!choice.lacking().iter().any(|(lacking, _)| lacking.number() == suite.number()), "used and not used: {suite:?}");
            }
        }
        Err(error) => check_error(&error),
    }
}

/// A certificate is read or refused, and what is shown of it steers no terminal; nothing trusts it.
pub fn certificates(input: &[u8]) {
    match CertificateDetails::from_der(input) {
        Ok(details) => check_shown(&details.to_string()),
        Err(error) => check_error(&error),
    }
    let verdict = verify_server(&[input], &demand(vec![HostClause::Chain]), &TrustAnchors::default(), NOW);
    assert!(!verdict.satisfied && !verdict.trusted && !verdict.findings.is_empty());
    check_findings(&verdict.findings);
    let own = TrustAnchors::from_der([input]);
    let by_itself = verify_client(&[input], &demand(vec![HostClause::Chain]), &own, NOW);
    assert_eq!(by_itself, verify_client(&[input], &demand(vec![HostClause::Chain]), &own, NOW));
    check_findings(&by_itself.findings);
    check_lists(input);
}

/// A right chain of which octets were changed: a certificate that is another one is not the one that was signed.
pub fn verdicts(input: &[u8]) {
    let mut choices = Choices::new(input);
    let sound = &CHAINS[usize::from(choices.octet()) % CHAINS.len()];
    let mut chain = sound.chain.clone();
    while !choices.is_empty() {
        let presented = chain.len();
        let which = usize::from(choices.octet()) % (presented + 1);
        match chain.get_mut(which) {
            Some(certificate) => {
                let at = choices.number() % certificate.len().max(1);
                match choices.octet() % 4 {
                    0 => certificate.truncate(at),
                    1 => certificate.splice(at..at, choices.take(2).to_vec()).for_each(drop),
                    2 => drop(certificate.get_mut(at).map(|octet| *octet ^= choices.octet())),
                    _ => drop(certificate.get_mut(at).map(|octet| *octet = choices.octet())),
                }
            }
            None if presented <= CHAIN_CERTIFICATES + 2 => chain.push(choices.take(64).to_vec()),
            None => break,
        }
    }
    let presented: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let names = vec!["mx1.bank.example".parse().expect("a name")];
    let full = demand(vec![HostClause::Chain, HostClause::Identity(names)]);
    let verdict = verify_server(&presented, &full, &sound.anchors, NOW);
    check_findings(&verdict.findings);
    let is_changed = chain.first() != sound.chain.first();
    assert!(!(is_changed && verdict.satisfied), "a changed certificate is right");
    assert!(!(is_changed && verdict.trusted), "a changed certificate is trusted");
    assert!(is_changed || chain != sound.chain || verdict.satisfied, "the right chain is refused: {:?}", verdict.findings);
    // Whatever is right under more demands is right under fewer.
    let less = verify_server(&presented, &demand(vec![HostClause::Chain]), &sound.anchors, NOW);
    assert!(less.satisfied || !verdict.satisfied);
    let pinned = HostClause::Pinned(vec![Pin([7; 32])]);
    assert!(!verify_server(&presented, &demand(vec![pinned]), &sound.anchors, NOW).satisfied, "nobody has this key");
    let nothing = verify_server(&presented, &full, &TrustAnchors::default(), NOW);
    assert!(!nothing.satisfied && !nothing.trusted);
}

/// Records of any content: only one that is about the certificate lets it pass.
pub fn tlsa(input: &[u8]) {
    let mut choices = Choices::new(input);
    let sound = &CHAINS[0];
    let presented: Vec<&[u8]> = sound.chain.iter().map(Vec::as_slice).collect();
    let mut records = Vec::new();
    while !choices.is_empty() && records.len() < 40 {
        let (usage, selector, matching) = (choices.octet(), choices.octet(), choices.octet());
        let length = usize::from(choices.octet());
        records.push(TlsaRecord { usage, selector, matching, data: choices.take(length).to_vec() });
    }
    let usable = usable_tlsa(&records);
    assert!(usable.iter().all(|record| records.contains(record) && matches!(record.usage, 2 | 3)));
    assert_eq!(usable_tlsa(&usable), usable);
    let clause = |records: Vec<TlsaRecord>| HostClause::Dane { records, names: vec!["mx1.bank.example".parse().expect("a name")] };
    let verdict = verify_server(&presented, &demand(vec![clause(records.clone())]), &TrustAnchors::default(), NOW);
    check_findings(&verdict.findings);
    assert_eq!(verdict.satisfied, verdict.matched_tlsa.is_some());
    assert!(!(records.is_empty() && verdict.satisfied));
    // The order of the records says nothing, and a right one beside them lets it pass.
    records.reverse();
    let reversed = verify_server(&presented, &demand(vec![clause(records.clone())]), &TrustAnchors::default(), NOW);
    assert_eq!(reversed.satisfied, verdict.satisfied);
    records.truncate(10);
    records.push(TlsaRecord { usage: 3, selector: 0, matching: 0, data: sound.chain[0].clone() });
    assert!(verify_server(&presented, &demand(vec![clause(records)]), &TrustAnchors::default(), NOW).satisfied);
}

/// Files of certificates and of revocation lists.
pub fn pem(input: &[u8]) {
    match certificates_from_pem(input) {
        Ok(all) => assert!(all.iter().map(Vec::len).sum::<usize>() <= input.len()),
        Err(error) => check_error(&error),
    }
    match TrustAnchors::from_pem(input) {
        Ok(anchors) => anchors.problems().iter().for_each(check_error),
        Err(error) => check_error(&error),
    }
    check_lists(input);
}

fn check_lists(input: &[u8]) {
    match RevocationLists::from_file(input) {
        Ok(lists) => lists.outdated_at(NOW).for_each(|(issuer, _)| check_shown(issuer)),
        Err(error) => check_error(&error),
    }
}

fn check_findings(findings: &[Finding]) {
    for finding in findings {
        check_error(finding);
        assert!(!finding.code().is_empty());
    }
}

fn demand(clauses: Vec<HostClause>) -> HostDemand {
    HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2)
}

/// A chain that is right, and the anchor that it ends in.
struct Sound {
    chain: Vec<Vec<u8>>,
    anchors: TrustAnchors,
}

macro_rules! fixture {
    ($name:literal) => {
        certificates_from_pem(include_bytes!(concat!("../../../crates/cert/tests/fixtures/", $name, ".pem"))).expect("a fixture").remove(0)
    };
}

static CHAINS: LazyLock<[Sound; 3]> = LazyLock::new(|| {
    let anchors = |der: Vec<u8>| TrustAnchors::from_der([der]);
    [
        Sound { chain: vec![fixture!("ec256"), fixture!("intermediate")], anchors: anchors(fixture!("root")) },
        Sound { chain: vec![fixture!("rsa2048")], anchors: anchors(fixture!("root")) },
        Sound { chain: vec![fixture!("ed25519"), fixture!("intermediate")], anchors: anchors(fixture!("root")) },
    ]
});

/// Within the validity of the fixtures.
const NOW: UnixMillis = UnixMillis(1_781_481_600_000);
