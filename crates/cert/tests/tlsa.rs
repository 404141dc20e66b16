//! TLSA records against chains made with OpenSSL (RFC 6698, RFC 7671, RFC 7672).

mod fixtures;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use fixtures::{NOW, anchors, chain, der};
use sealpost_cert::{Finding, TrustAnchors, Verdict, usable_tlsa, verify_server};
use sealpost_types::{HostClause, HostDemand, ReferenceName, TlsRequirement, TlsVersion, TlsaRecord, UnixMillis};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The record of these numbers about this certificate.
fn record(usage: u8, selector: u8, matching: u8, certificate: &str) -> TlsaRecord {
    let der = der(certificate);
    let data = if selector == 1 { X509Certificate::from_der(&der).unwrap().1.tbs_certificate.subject_pki.raw.to_vec() } else { der };
    let data = match matching {
        1 => digest(&SHA256, &data).as_ref().to_vec(),
        2 => digest(&SHA512, &data).as_ref().to_vec(),
        _ => data,
    };
    TlsaRecord { usage, selector, matching, data }
}

/// A record that is about no certificate here.
fn other(usage: u8, matching: u8) -> TlsaRecord {
    TlsaRecord { usage, selector: 1, matching, data: vec![0xee; if matching == 2 { 64 } else { 32 }] }
}

fn judge_at(presented: &[&str], records: &[TlsaRecord], names: &[&str], now: UnixMillis) -> Verdict {
    let names: Vec<ReferenceName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let clause = HostClause::Dane { records: usable_tlsa(records), names };
    let demand = HostDemand::new(TlsRequirement::Mandatory, vec![clause], TlsVersion::Tls1_2);
    let chain = chain(presented);
    verify_server(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>(), &demand, &TrustAnchors::default(), now)
}

fn judge(presented: &[&str], records: &[TlsaRecord], names: &[&str]) -> Verdict {
    judge_at(presented, records, names, NOW)
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(Finding::code).collect()
}

const MX1: &str = "mx1.bank.example";

// req: E1
#[test]
fn rfc7671_5_1_usage_3_names_the_servers_own_certificate_and_waives_names_dates_and_issuers() {
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            for (presented, named) in [
                (&["ec256", "intermediate"][..], "ec256"),
                (&["ec256"], "ec256"),
                (&["self-signed"], "self-signed"),
                (&["expired"], "expired"),
            ] {
                let wanted = record(3, selector, matching, named);
                let verdict = judge(presented, std::slice::from_ref(&wanted), &["elsewhere.example"]);
                assert!(verdict.satisfied, "3 {selector} {matching} {presented:?}: {:?}", codes(&verdict));
                assert_eq!(verdict.matched_tlsa.unwrap().record, wanted);
                assert_eq!(verdict.valid_until, Some(UnixMillis::MAX));
                // the whole check is made all the same, and says what another level would have meant
                assert!(!verdict.trusted && !verdict.findings.is_empty());
            }
            let verdict = judge(&["rsa2048"], &[record(3, selector, matching, "ec256")], &[MX1]);
            assert!(!verdict.satisfied, "3 {selector} {matching}");
            assert_eq!(verdict.most_telling().unwrap().code(), "tlsa-mismatch");
            // a record of usage 3 is about the server's own certificate, not about those behind it
            assert!(!judge(&["ec256", "intermediate"], &[record(3, selector, matching, "intermediate")], &[MX1]).satisfied);
        }
    }
}

// req: E1
#[test]
fn rfc7672_3_1_2_usage_2_names_an_anchor_that_is_sent_along_and_wants_names_and_dates() {
    for selector in [0, 1] {
        for matching in [1, 2] {
            for (presented, anchor) in [
                (&["ec256", "intermediate"][..], "intermediate"),
                (&["ec256", "intermediate", "root"], "root"),
                (&["ec256", "root", "intermediate"], "root"),
                (&["rsa2048", "root"], "root"),
            ] {
                let verdict = judge(presented, &[record(2, selector, matching, anchor)], &["other.example", MX1]);
                assert!(verdict.satisfied, "2 {selector} {matching} {presented:?}: {:?}", codes(&verdict));
                assert!(verdict.path.is_empty() && !verdict.trusted, "the anchors of this relay are others");
                assert_eq!(verdict.matched_name.unwrap().reference, MX1.parse().unwrap());
                assert!(verdict.valid_until.is_some_and(|end| end < UnixMillis::MAX));
            }
            // a digest tells nothing of a certificate that is not there
            let verdict = judge(&["ec256", "intermediate"], &[record(2, selector, matching, "root")], &[MX1]);
            assert_eq!((verdict.satisfied, verdict.most_telling().unwrap().code()), (false, "tlsa-mismatch"));
        }
    }
    let by_root = |presented: &[&str], names: &[&str]| judge(presented, &[record(2, 0, 1, "root")], names);
    let wrong_name = by_root(&["rsa2048", "root"], &["mx.other.example"]);
    assert_eq!((wrong_name.satisfied, wrong_name.most_telling().unwrap().code()), (false, "name-mismatch"));
    let no_names = by_root(&["rsa2048", "root"], &[]);
    assert_eq!((no_names.satisfied, no_names.most_telling().unwrap().code()), (false, "name-mismatch"));
    let expired = by_root(&["expired", "intermediate", "root"], &[MX1]);
    assert_eq!((expired.satisfied, expired.most_telling().unwrap().code()), (false, "expired"), "{:?}", codes(&expired));
    // its dates end when those of the chain do
    let root = &[record(2, 0, 1, "root")];
    assert!(!judge_at(&["rsa2048", "root"], root, &[MX1], UnixMillis(4_200_000_000_000)).satisfied);
}

#[test]
fn rfc7671_5_2_an_anchor_that_stands_in_the_record_need_not_be_sent_along() {
    for (selector, presented, anchor) in [
        (0, &["ec256", "intermediate"][..], "root"),
        (1, &["ec256", "intermediate"], "root"),
        (0, &["ec256"], "intermediate"),
        (1, &["ec256"], "intermediate"),
        (1, &["rsa2048"], "root"),
    ] {
        let records = [record(2, selector, 0, anchor)];
        let verdict = judge(presented, &records, &[MX1]);
        assert!(verdict.satisfied, "2 {selector} 0 {presented:?}: {:?}", codes(&verdict));
        assert!(!judge(presented, &records, &["mx.other.example"]).satisfied, "the name counts");
        assert!(!judge(presented, &[record(2, selector, 0, "other-root")], &[MX1]).satisfied, "the control: another anchor");
        assert!(!judge(&["self-signed"], &records, &[MX1]).satisfied);
    }
    // Without the certificate between, the way is broken.
    assert!(!judge(&["ec256"], &[record(2, 0, 0, "root")], &[MX1]).satisfied);
}

/// RFC 7671 section 8: records of the next certificate stand beside those of this one.
#[test]
fn rfc7671_8_one_record_of_several_is_enough() {
    let next = other(3, 1);
    let records = [next.clone(), record(3, 1, 1, "rsa2048")];
    assert!(judge(&["rsa2048"], &records, &[]).satisfied);
    assert!(!judge(&["ec256"], &records, &[]).satisfied);
    // the two sorts beside each other
    let both = [next, record(2, 0, 1, "root")];
    assert!(judge(&["rsa2048", "root"], &both, &[MX1]).satisfied);
    assert!(!judge(&["rsa2048", "root"], &both, &["other.example"]).satisfied);
    assert!(judge(&["rsa2048", "root"], &[record(3, 1, 1, "rsa2048"), record(2, 0, 1, "root")], &["other.example"]).satisfied);
}

#[test]
fn rfc7671_9_of_two_digests_the_stronger_counts() {
    let right = |matching| record(3, 1, matching, "rsa2048");
    for (records, satisfied) in [
        (vec![right(1), right(2)], true),
        (vec![other(3, 1), right(2)], true),
        // the stronger is wrong, and the weaker is not asked
        (vec![right(1), other(3, 2)], false),
        // whole data is no digest, and another selector another matter
        (vec![right(0), other(3, 2)], true),
        (vec![record(3, 0, 1, "rsa2048"), other(3, 2)], true),
        // one that cannot be used outdoes nothing
        (vec![right(1), TlsaRecord { usage: 3, selector: 1, matching: 2, data: vec![1; 63] }], true),
    ] {
        assert_eq!(judge(&["rsa2048"], &records, &[]).satisfied, satisfied, "{records:?}");
    }
}

#[test]
fn rfc7672_3_1_3_what_cannot_be_used_is_left_out() {
    let bad = |usage, selector, matching, octets| TlsaRecord { usage, selector, matching, data: vec![5; octets] };
    for record in [
        record(0, 0, 1, "root"),
        record(1, 1, 1, "rsa2048"),
        bad(4, 1, 1, 32),
        bad(255, 1, 1, 32),
        bad(3, 2, 1, 32),
        bad(3, 255, 1, 32),
        bad(3, 1, 3, 32),
        bad(3, 1, 255, 32),
        bad(3, 1, 1, 31),
        bad(3, 1, 1, 33),
        bad(3, 1, 1, 0),
        bad(3, 1, 2, 32),
        bad(3, 0, 0, 40),
        bad(2, 1, 0, 40),
        bad(2, 0, 0, 0),
    ] {
        assert_eq!(usable_tlsa(std::slice::from_ref(&record)), [], "{record}");
    }
    let several = [record(3, 1, 1, "rsa2048"), record(2, 0, 0, "root"), record(3, 1, 1, "rsa2048")];
    assert_eq!(usable_tlsa(&several), [several[1].clone(), several[0].clone()], "sorted, each once");
}

#[test]
fn no_record_matches_nothing_and_more_than_the_limit_costs_nothing() {
    let verdict = judge(&["rsa2048"], &[], &[MX1]);
    assert_eq!((verdict.satisfied, verdict.most_telling().unwrap().code()), (false, "no-tlsa"));
    let many: Vec<_> = (0..2000_u16)
        .map(|number| TlsaRecord { usage: 3, selector: 1, matching: 1, data: [number.to_be_bytes().as_slice(), &[1; 30]].concat() })
        .collect();
    assert_eq!(usable_tlsa(&many).len(), sealpost_cert::TLSA_RECORDS);
    let verdict = judge(&["rsa2048"], &many, &[MX1]);
    let text = verdict.most_telling().unwrap().to_string();
    assert!(text.contains("and 27 more") && text.contains("3 1 1 0000"), "{text}");
}

#[test]
fn a_chain_that_cannot_be_read_is_no_match() {
    let clause = HostClause::Dane { records: vec![record(3, 1, 1, "rsa2048")], names: vec![] };
    let demand = HostDemand::new(TlsRequirement::Mandatory, vec![clause], TlsVersion::Tls1_2);
    for (presented, code) in [(&[][..], "no-certificate"), (&[&b"?"[..]], "unparsable")] {
        let verdict = verify_server(presented, &demand, &TrustAnchors::default(), NOW);
        assert_eq!((verdict.satisfied, verdict.most_telling().unwrap().code()), (false, code));
    }
}

/// Beside another clause both have to hold, and the dates of the other count.
#[test]
fn dane_waives_nothing_of_other_clauses() {
    let dane = |named| HostClause::Dane { records: vec![record(3, 1, 1, named)], names: vec![] };
    for (presented, named, satisfied) in [("rsa2048", "rsa2048", true), ("rsa2048", "ec256", false), ("expired", "expired", false)] {
        let clauses = vec![HostClause::Chain, dane(named)];
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
        let chain = chain(&[presented, "intermediate"]);
        let verdict = verify_server(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>(), &demand, &anchors(&["root"]), NOW);
        assert_eq!(verdict.satisfied, satisfied, "{presented} {named}: {:?}", codes(&verdict));
        assert!(verdict.valid_until.is_none_or(|end| end < UnixMillis::MAX));
    }
}
