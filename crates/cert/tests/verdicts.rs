//! Verdicts on chains made with OpenSSL: which are right, and what is said of those that are not.

mod fixtures;

use fixtures::{NOW, anchors, chain, chain_only, require, verify};
use sealpost_cert::{Finding, Position, PresentedName, TrustAnchors, Verdict, verify_client, verify_server};
use sealpost_types::{AnchorFiles, HostClause, HostDemand, Pin, TlsRequirement, TlsVersion, UnixMillis};

fn server(names: &[&str], demand: &HostDemand, anchors: &TrustAnchors) -> Verdict {
    server_at(names, demand, anchors, NOW)
}

fn server_at(names: &[&str], demand: &HostDemand, anchors: &TrustAnchors, now: UnixMillis) -> Verdict {
    let chain = chain(names);
    verify_server(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>(), demand, anchors, now)
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(Finding::code).collect()
}

fn texts(verdict: &Verdict) -> Vec<String> {
    verdict.findings.iter().map(ToString::to_string).collect()
}

// req: B8
#[test]
fn right_chains_are_verified() {
    let mx1 = "mx1.bank.example";
    for (presented, name, anchor, path) in [
        (&["rsa2048"][..], mx1, "root", 2),
        (&["rsa2048"], "mail.bank.example", "root", 2),
        (&["rsa3072"], mx1, "root", 2),
        (&["ec256", "intermediate"], mx1, "root", 3),
        (&["ec256", "intermediate", "root"], mx1, "root", 3),
        (&["ec256", "root", "intermediate"], mx1, "root", 3),
        (&["ec256", "intermediate"], mx1, "intermediate", 2),
        (&["ec384"], mx1, "root-ec", 2),
        (&["ed25519", "intermediate"], mx1, "root", 3),
        (&["by-ed25519"], mx1, "root-ed", 2),
        (&["pss"], mx1, "root", 2),
        (&["by-version1"], mx1, "version1-root", 2),
        (&["empty-subject", "intermediate"], mx1, "root", 3),
        (&["long-san", "intermediate"], "mx149.many.example", "root", 3),
        (&["idn", "intermediate"], "bücher.example", "root", 3),
        (&["idn", "intermediate"], "mx.bücher.example", "root", 3),
        (&["wildcard", "intermediate"], "mx7.hosting.example", "root", 3),
        (&["wildcard", "intermediate"], "*.hosting.example", "root", 3),
        (&["ip-san", "intermediate"], "192.0.2.25", "root", 3),
        (&["ip-san", "intermediate"], "2001:db8::25", "root", 3),
    ] {
        let verdict = server(presented, &verify(&[name]), &anchors(&[anchor]));
        assert!(verdict.satisfied && verdict.trusted, "{presented:?} {name}: {:?}", texts(&verdict));
        assert_eq!(verdict.findings, [], "{presented:?}");
        assert_eq!(verdict.path.len(), path, "{presented:?}");
        assert_eq!(verdict.matched_name.unwrap().reference, name.parse().unwrap(), "{presented:?}");
    }
}

#[test]
fn the_verdict_tells_the_path_and_the_leaf() {
    let verdict = server(&["ec256", "intermediate"], &verify(&["other.example", "*.bank.example"]), &anchors(&["root-ec", "root"]));
    let issuer = "C=DE, O=Test Trust, CN=Test Intermediate";
    assert_eq!(verdict.path, ["CN=mx1.bank.example", issuer, "C=DE, O=Test Trust, CN=Test Root"]);
    let details = sealpost_cert::CertificateDetails::from_der(&fixtures::der("ec256")).unwrap();
    let leaf = verdict.leaf.unwrap();
    assert_eq!((leaf.subject.as_str(), leaf.issuer.as_str()), ("CN=mx1.bank.example", issuer));
    assert_eq!((leaf.pin, leaf.fingerprint), (details.pin(), details.fingerprint()));
    assert_eq!(leaf.names, details.alternative_names());
    assert_eq!((leaf.not_before, leaf.not_after), (details.not_before(), details.not_after()));
    assert_eq!(verdict.valid_until, Some(details.not_after()));
    let matched = verdict.matched_name.unwrap();
    assert_eq!(matched.reference, "*.bank.example".parse().unwrap());
    assert_eq!(matched.presented, PresentedName::Dns("mx1.bank.example".to_owned()));
}

/// The negative control of the names: without the clause the same chain passes.
// req: B8
#[test]
fn a_wrong_name_fails_because_of_the_name_clause() {
    let (presented, root) = (["wildcard", "intermediate"], anchors(&["root"]));
    let verdict = server(&presented, &verify(&["mx1.bank.example"]), &root);
    assert!(!verdict.satisfied);
    assert!(verdict.trusted);
    assert_eq!(texts(&verdict), ["no certificate for mx1.bank.example; it names *.hosting.example"]);
    assert!(server(&presented, &chain_only(), &root).satisfied);
    assert!(server(&presented, &verify(&["mx1.hosting.example"]), &root).satisfied);
}

/// The negative control of the chain: the right name alone is not enough.
// req: B8
#[test]
fn the_right_name_fails_because_of_the_chain_clause() {
    let names_only = HostClause::Identity(vec!["mx1.bank.example".parse().unwrap()]);
    let names_only = HostDemand::new(TlsRequirement::Mandatory, vec![names_only], TlsVersion::Tls1_2);
    assert!(server(&["self-signed"], &names_only, &anchors(&["root"])).satisfied);
    assert!(!server(&["self-signed"], &verify(&["mx1.bank.example"]), &anchors(&["root"])).satisfied);
    assert!(!server(&["ec256", "intermediate"], &verify(&["mx1.bank.example"]), &TrustAnchors::default()).satisfied);
}

/// A pin needs no chain and no name; another key is refused whatever its chain.
// req: E6
#[test]
fn a_pin_names_the_key_and_nothing_else() {
    let pinned = |pins: Vec<Pin>| HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Pinned(pins)], TlsVersion::Tls1_2);
    let root = anchors(&["root"]);
    let own = server(&["self-signed"], &require(), &root).leaf.unwrap().pin;
    let other = server(&["ec256", "intermediate"], &require(), &root).leaf.unwrap().pin;
    assert_ne!(own, other);
    assert!(server(&["self-signed"], &pinned(vec![other, own]), &root).satisfied);
    let verdict = server(&["ec256", "intermediate"], &pinned(vec![own]), &root);
    assert!(!verdict.satisfied && verdict.trusted);
    assert_eq!(texts(&verdict), [format!("the certificate's key is {other}, and {own} is asked for")]);
    assert_eq!(verdict.findings[0].code(), "pin-mismatch");
    assert!(!server(&["ec256", "intermediate"], &pinned(vec![]), &root).satisfied, "an empty list matches nothing");
    assert!(!verify_server(&[], &pinned(vec![own]), &root, NOW).satisfied);
}

/// Levels without authentication take any certificate, and say all the same what is wrong with it.
#[test]
fn an_unauthenticated_demand_is_satisfied_and_the_findings_are_recorded() {
    for demand in [HostDemand::default(), require()] {
        let verdict = server(&["self-signed"], &demand, &anchors(&["root"]));
        assert!(verdict.satisfied && !verdict.trusted);
        assert_eq!(texts(&verdict), ["self-signed certificate: issuer and subject are CN=mx1.bank.example"]);
        let none = verify_server(&[], &demand, &anchors(&["root"]), NOW);
        assert!(none.satisfied);
        assert_eq!(none.findings, [Finding::NoCertificate]);
    }
}

// req: B8
#[test]
fn each_defect_is_named() {
    let (day, intermediate) = (86_400_000, "issuer certificate 1 (C=DE, O=Test Trust, CN=Test Intermediate)");
    for (presented, anchor, now, expected) in [
        (&["expired", "intermediate"][..], "root", NOW, vec!["certificate expired 3 days ago (on 2026-06-12T00:00:00Z)".to_owned()]),
        (
            &["rsa2048"],
            "root",
            UnixMillis(NOW.0 - 200 * day),
            vec![
                "certificate is not valid until 2026-01-01T00:00:00Z, in 35 days; is a clock wrong?".to_owned(),
                "trust anchor (C=DE, O=Test Trust, CN=Test Root) is not valid until 2026-01-01T00:00:00Z, in 35 days; is a clock wrong?".to_owned(),
            ],
        ),
        (
            &["ec256", "old-intermediate"],
            "root",
            NOW,
            vec![format!("{intermediate} expired 14 days ago (on 2026-06-01T00:00:00Z)")],
        ),
        (&["self-signed"], "root", NOW, vec!["self-signed certificate: issuer and subject are CN=mx1.bank.example".to_owned()]),
        (
            &["self-signed-ca"],
            "root",
            NOW,
            vec![
                "self-signed certificate: issuer and subject are CN=mx1.bank.example".to_owned(),
                "a CA certificate (CA:TRUE) cannot be the peer's own: CN=mx1.bank.example".to_owned(),
            ],
        ),
        (
            &["ec256"],
            "root",
            NOW,
            vec!["certificate is issued by C=DE, O=Test Trust, CN=Test Intermediate, which is no trust anchor and was not sent along (is an intermediate missing?)".to_owned()],
        ),
        (
            &["ec256", "intermediate"],
            "root-ec",
            NOW,
            vec![format!("{intermediate} is issued by C=DE, O=Test Trust, CN=Test Root, which is no trust anchor and was not sent along (is an intermediate missing?)")],
        ),
        (
            &["ec256", "intermediate", "root"],
            "root-ec",
            NOW,
            vec!["the chain ends in issuer certificate 2 (C=DE, O=Test Trust, CN=Test Root), which is self-signed and no trust anchor".to_owned()],
        ),
        (
            &["rsa2048"],
            "other-root",
            NOW,
            vec!["certificate is not signed with the key of C=DE, O=Test Trust, CN=Test Root, which it names as its issuer".to_owned()],
        ),
        (&["sha1"], "root", NOW, vec!["certificate is signed with sha1WithRSAEncryption, which is not accepted".to_owned()]),
        (
            &["by-small"],
            "small-root",
            NOW,
            vec!["certificate is signed by CN=Small Root with a key that is not accepted: rsaEncryption, 1024 bits".to_owned()],
        ),
        (
            &["outside", "constrained"],
            "root",
            NOW,
            vec!["the name constraints of issuer certificate 1 (CN=Constrained CA) do not permit the names of the certificate".to_owned()],
        ),
        (
            &["by-leaf", "ec256", "intermediate"],
            "root",
            NOW,
            vec!["issuer certificate 1 (CN=mx1.bank.example) has issued a certificate, but is no CA certificate (CA:TRUE)".to_owned()],
        ),
        (
            &["version1", "intermediate"],
            "root",
            NOW,
            vec![
                "no certificate for mx1.bank.example; it names nobody: it has no subject alternative names, \
                 and the common name mx1.bank.example does not count"
                    .to_owned(),
                "certificate is not an X.509 version 3 certificate".to_owned(),
            ],
        ),
        (
            &["critical", "intermediate"],
            "root",
            NOW,
            vec!["certificate has a critical extension that is not supported: 1.2.3.4".to_owned()],
        ),
    ] {
        let verdict = server_at(presented, &verify(&["mx1.bank.example"]), &anchors(&[anchor]), now);
        assert!(!verdict.satisfied && !verdict.trusted && verdict.path.is_empty(), "{presented:?}");
        assert_eq!(texts(&verdict), expected, "{presented:?}");
    }
}

/// Defects do not hide one another: webpki stops at the first, this does not.
// req: B8
#[test]
fn several_defects_are_all_found() {
    let demand = verify(&["mx.other.example"]);
    let all = server(&["expired"], &demand, &anchors(&["root"]));
    assert_eq!(codes(&all), ["expired", "name-mismatch", "unknown-issuer"]);
    let known = server(&["expired", "intermediate"], &demand, &anchors(&["root"]));
    assert_eq!(codes(&known), ["expired", "name-mismatch"]);
    let client = server(&["client-only", "old-intermediate"], &demand, &anchors(&["other-root"]));
    assert_eq!(codes(&client), ["name-mismatch", "expired", "bad-signature", "not-for-server-auth"]);
    let self_signed = server(&["self-signed"], &demand, &anchors(&["root"]));
    assert_eq!(codes(&self_signed), ["self-signed", "name-mismatch"]);
    assert!(matches!(self_signed.most_telling(), Some(Finding::SelfSigned { .. })));
}

#[test]
fn what_breaks_the_demand_is_told_first() {
    let names_only = HostClause::Identity(vec!["mx.other.example".parse().unwrap()]);
    let names_only = HostDemand::new(TlsRequirement::Mandatory, vec![names_only], TlsVersion::Tls1_2);
    let verdict = server(&["self-signed"], &names_only, &anchors(&["root"]));
    assert_eq!(codes(&verdict), ["name-mismatch", "self-signed"]);
}

#[test]
fn the_common_name_does_not_count() {
    let verdict = server(&["no-san", "intermediate"], &verify(&["mx1.bank.example"]), &anchors(&["root"]));
    assert!(!verdict.satisfied);
    let text = "no certificate for mx1.bank.example; it names nobody: it has no subject alternative names, \
                and the common name mx1.bank.example does not count";
    assert_eq!(texts(&verdict), [text]);
}

#[test]
fn a_long_list_of_names_is_cut_in_words_and_counted() {
    let verdict = server(&["long-san", "intermediate"], &verify(&["mx1.bank.example", "192.0.2.1"]), &anchors(&["root"]));
    let Some(Finding::NameMismatch { presented, left_out, .. }) = verdict.most_telling() else { panic!("{verdict:?}") };
    assert_eq!((presented.len(), *left_out), (sealpost_cert::PRESENTED_NAMES, 50));
    let text = "no certificate for mx1.bank.example or 192.0.2.1; it names mx0.many.example, mx1.many.example, \
                mx2.many.example, mx3.many.example, mx4.many.example and 145 more";
    assert_eq!(texts(&verdict), [text]);
}

/// The last second of a validity belongs to it (RFC 5280 section 4.1.2.5).
#[test]
fn the_ends_of_a_validity_belong_to_it() {
    let at = |millis| server_at(&["expired", "intermediate"], &chain_only(), &anchors(&["root"]), UnixMillis(millis)).trusted;
    let (start, end) = (1_767_225_600_000, 1_781_222_400_000);
    assert_eq!([at(start - 1), at(start), at(end), at(end + 999), at(end + 1000)], [false, true, true, true, false]);
}

#[test]
fn an_anchor_out_of_date_is_no_anchor() {
    let verdict = server(&["ec256"], &chain_only(), &anchors(&["old-intermediate"]));
    assert!(!verdict.satisfied);
    assert_eq!(texts(&verdict), ["trust anchor (C=DE, O=Test Trust, CN=Test Intermediate) expired 14 days ago (on 2026-06-01T00:00:00Z)"]);
    assert!(server(&["ec256"], &chain_only(), &anchors(&["old-intermediate", "intermediate"])).satisfied);
    let at = |millis| server_at(&["ec256"], &chain_only(), &anchors(&["old-intermediate"]), UnixMillis(millis)).trusted;
    let end = 1_780_272_000_000;
    assert_eq!([at(end), at(end + 999), at(end + 1000)], [true, true, false]);
}

#[test]
fn a_path_is_valid_until_its_first_certificate_ends() {
    let before = UnixMillis(NOW.0 - 30 * 86_400_000);
    for (presented, anchor, end) in [
        (&["expired", "intermediate"][..], "root", 1_781_222_400_000),
        (&["ec256", "old-intermediate"], "root", 1_780_272_000_000),
        (&["ec256"], "old-intermediate", 1_780_272_000_000),
    ] {
        let verdict = server_at(presented, &chain_only(), &anchors(&[anchor]), before);
        assert_eq!(verdict.valid_until, Some(UnixMillis(end)), "{presented:?}");
    }
}

/// Whoever gives his own certificate the name of a trusted root has a self-signed certificate, not a bad signature.
#[test]
fn a_namesake_of_an_anchor_is_self_signed() {
    let verdict = server(&["other-root"], &chain_only(), &anchors(&["root"]));
    assert_eq!(codes(&verdict), ["self-signed", "ca-as-leaf"]);
}

#[test]
fn an_empty_list_of_names_is_never_met() {
    let verdict = server(&["rsa2048"], &verify(&[]), &anchors(&["root"]));
    assert!(!verdict.satisfied);
    assert_eq!(
        texts(&verdict),
        ["no certificate for this host, for which no name is acceptable; it names mx1.bank.example, mail.bank.example"]
    );
}

// req: B8
#[test]
fn a_client_needs_the_purpose_of_a_client() {
    let root = anchors(&["root"]);
    let names = ["client-only", "intermediate"];
    let presented = chain(&names);
    let presented: Vec<_> = presented.iter().map(Vec::as_slice).collect();
    let demand = verify(&["client.bank.example"]);
    let verdict = verify_client(&presented, &demand, &root, NOW);
    assert!(verdict.satisfied, "{:?}", texts(&verdict));
    let verdict = server(&names, &demand, &root);
    assert!(!verdict.satisfied);
    assert_eq!(texts(&verdict), ["certificate is not for TLS servers, only for TLS Web Client Authentication"]);

    let both = chain(&["rsa2048"]);
    assert!(verify_client(&[&both[0]], &chain_only(), &root, NOW).satisfied);
    assert!(!verify_client(&[], &chain_only(), &root, NOW).satisfied);
}

#[test]
fn findings_name_the_certificate_that_they_are_about() {
    let verdict = server(&["ec256", "root-ec", "old-intermediate"], &chain_only(), &anchors(&["root"]));
    let [Finding::Expired { certificate, not_after, by }] = verdict.findings.as_slice() else { panic!("{verdict:?}") };
    assert_eq!(certificate.position, Position::Issuer(2));
    assert_eq!((not_after.0, by.as_secs()), (1_780_272_000_000, 14 * 86_400));
}

fn files(name: &str) -> AnchorFiles {
    AnchorFiles::new(vec![name.to_owned()])
}

fn chain_to(names: &[&str]) -> HostDemand {
    let clauses = names.iter().map(|name| HostClause::ChainTo(files(name))).collect();
    HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2)
}

/// Anchors of a demand's own take the place of those of the system, and nobody else is trusted because of them.
// req: E6
#[test]
fn a_demand_with_anchors_of_its_own_trusts_these_and_no_others() {
    let system = anchors(&["root-ec"]);
    let all = system.clone().with_private([(files("bank.pem"), anchors(&["root"])), (files("ed.pem"), anchors(&["root-ed"]))]);
    let holds = |presented: &[&str], demand: &HostDemand| server(presented, demand, &all).satisfied;
    // the presented chain, whether it leads to an anchor of the system, of bank.pem, of both
    for (presented, by_system, by_bank) in [(&["rsa2048"][..], false, true), (&["ec384"], true, false)] {
        assert_eq!(holds(presented, &chain_only()), by_system, "{presented:?}");
        assert_eq!(holds(presented, &chain_to(&["bank.pem"])), by_bank, "{presented:?}");
        assert!(!holds(presented, &chain_to(&["bank.pem", "ed.pem"])), "of two demands each has to hold");
        let both =
            HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain, HostClause::ChainTo(files("bank.pem"))], TlsVersion::Tls1_2);
        assert!(!holds(presented, &both));
    }
    let wrong = server(&["ec384"], &chain_to(&["bank.pem"]), &all);
    assert!(!wrong.trusted && wrong.path.is_empty(), "what the system trusts is no proof here");
    let unread = server(&["rsa2048"], &chain_to(&["gone.pem"]), &all);
    assert!(!unread.satisfied);
    assert_eq!(
        unread.most_telling().unwrap().to_string(),
        "a chain to a trust anchor of gone.pem is asked for, and the policy in force names no such anchors"
    );
    // Both together, where somebody wants that.
    let joined = system.clone().with_private([(files("both.pem"), system.and(&anchors(&["root"])))]);
    for presented in [&["rsa2048"][..], &["ec384"]] {
        assert!(server(presented, &chain_to(&["both.pem"]), &joined).satisfied);
    }
}

/// RFC 9525 section 2: a common name is no name of a server, unless somebody asks for it in so many words.
// req: B8
#[test]
fn a_common_name_counts_only_where_it_is_asked_for() {
    let judge = |presented: &[&str], wanted: &[&str]| server(presented, &verify(wanted), &anchors(&["root"]));
    let name = "mx1.bank.example";
    let by_name = judge(&["no-san", "intermediate"], &[name]);
    assert!(!by_name.satisfied && by_name.matched_name.is_none());
    let asked = judge(&["no-san", "intermediate"], &["cn:mx1.bank.example"]);
    assert!(asked.satisfied, "{:?}", texts(&asked));
    assert_eq!(asked.matched_name.unwrap().presented.to_string(), "CN:mx1.bank.example");
    let other = judge(&["no-san", "intermediate"], &["cn:other.example"]);
    assert!(!other.satisfied);
    assert_eq!(
        other.most_telling().unwrap().to_string(),
        "no certificate for cn:other.example; it names nobody: it has no subject alternative names; its common name is mx1.bank.example"
    );
    // An alternative name is no common name.
    assert!(!judge(&["wildcard", "intermediate"], &["cn:mx7.hosting.example"]).satisfied);
}

/// SHA-1 and weak keys are findings at every level, and decide where a chain is asked for.
// req: F6
#[test]
fn sha1_and_weak_keys_are_found_whatever_is_demanded() {
    for (presented, anchor, code) in [
        (&["sha1"][..], "root", "unsupported-signature-algorithm"),
        (&["by-small"], "small-root", "unsupported-issuer-key"),
        (&["expired", "intermediate"], "root", "expired"),
    ] {
        let relaxed = server(presented, &require(), &anchors(&[anchor]));
        assert!(relaxed.satisfied && !relaxed.trusted, "{presented:?}");
        assert!(codes(&relaxed).contains(&code), "{presented:?}: {:?}", codes(&relaxed));
        assert!(!server(presented, &chain_only(), &anchors(&[anchor])).satisfied, "{presented:?}");
    }
}
