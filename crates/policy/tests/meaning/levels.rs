//! The levels that ask something of a certificate, the floors, and what becomes of failures.

use std::time::Duration;

use sealpost_policy::{CertificateLack, ClientCertificate, HostFacts, ReceiveFacts, RefusalReason, Sts, Tlsa};
use sealpost_types::{Clause, ClearFallback, HostClause, KexFloor, Level, NextHop, OnExpiry, OnFailure, Pin, TlsRequirement};

use crate::support::{ADDRESS, X25519, deliver, domain, from, policy, received, record, stranger, tls13, to};

fn entry(deliver: &str) -> String {
    format!("[[partner]]\nname='Bank'\ndomains='bank.example'\ndeliver={deliver}\n")
}

fn pin(octet: u8) -> Pin {
    Pin([octet; 32])
}

fn clauses(text: &str, tlsa: Tlsa<'_>) -> (TlsRequirement, Vec<HostClause>) {
    let policy = policy(text);
    let decision = deliver(&policy, "", "ann@bank.example");
    // A route: nothing that is published counts, so that this is what the level alone asks.
    let (next_hop, name) = (NextHop::Host { name: domain("mx.bank.example"), port: 25 }, domain("mx.bank.example"));
    let host = policy.decide_host(&decision, &HostFacts::new(&next_hop, Some(&name), true, ADDRESS).with_tlsa(tlsa).with_sts(Sts::Absent));
    (host.demand().tls, host.demand().clauses.clone())
}

fn identity() -> HostClause {
    HostClause::Identity(vec!["mx.bank.example".parse().unwrap()])
}

// req: B8 E6
#[test]
fn chain_verify_and_pinned_ask_for_tls_and_their_proof() {
    let pinned = entry(&format!("{{ level='pinned', pins=['{}', '{}'] }}", pin(2), pin(1)));
    for (text, proof) in [
        (entry("'chain'"), vec![HostClause::Chain]),
        (entry("'verify'"), vec![HostClause::Chain, identity()]),
        (pinned, vec![HostClause::Pinned(vec![pin(1), pin(2)])]),
        (entry("'require'"), vec![]),
    ] {
        for tlsa in [Tlsa::Absent, Tlsa::Unknown] {
            assert_eq!(clauses(&text, tlsa), (TlsRequirement::Mandatory, proof.clone()), "{text}");
        }
    }
}

#[test]
fn words_of_other_products_are_read_and_ours_are_written() {
    for (word, level) in [
        ("never", Level::None),
        ("may", Level::Opportunistic),
        ("try", Level::Opportunistic),
        ("encrypt", Level::Require),
        ("relaxed", Level::Require),
        ("trust", Level::Chain),
        ("strong", Level::Verify),
        ("secure", Level::Verify),
    ] {
        assert_eq!(deliver(&policy(&entry(&format!("'{word}'"))), "", "ann@bank.example").level, level, "{word}");
    }
    let pinned = policy(&entry(&format!("{{ level='fingerprint', pins='{}' }}", pin(1))));
    assert_eq!(deliver(&pinned, "", "ann@bank.example").level, Level::Pinned);
}

// req: E6
#[test]
fn dane_governs_where_there_are_secure_records_and_else_holds_where_there_are_none() {
    let records = vec![record()];
    let secure = Tlsa::Secure { usable: &records };
    let (must, may, none) = (TlsRequirement::Mandatory, TlsRequirement::Opportunistic, TlsRequirement::Never);
    let dane = || vec![HostClause::Dane { records: records.clone(), names: vec![] }];
    let nothing_matches = || vec![HostClause::Dane { records: vec![], names: vec![] }];
    for (text, with, absent, unusable, unknown) in [
        ("'dane'", (must, dane()), (may, vec![]), (must, vec![]), (must, nothing_matches())),
        ("{ level='dane', else='none' }", (must, dane()), (none, vec![]), (must, vec![]), (must, nothing_matches())),
        ("{ level='dane', else='require' }", (must, dane()), (must, vec![]), (must, vec![]), (must, nothing_matches())),
        (
            "{ level='dane', else='verify' }",
            (must, dane()),
            (must, vec![HostClause::Chain, identity()]),
            // Records that nothing can be held against prove nothing: what is written for their absence does.
            (must, vec![HostClause::Chain, identity()]),
            (must, nothing_matches()),
        ),
        ("'dane-only'", (must, dane()), (must, nothing_matches()), (must, nothing_matches()), (must, nothing_matches())),
    ] {
        let text = entry(text);
        assert_eq!(clauses(&text, secure), with, "{text} with records");
        assert_eq!(clauses(&text, Tlsa::Absent), absent, "{text} without");
        assert_eq!(clauses(&text, Tlsa::Secure { usable: &[] }), unusable, "{text} with unusable ones");
        assert_eq!(clauses(&text, Tlsa::Unknown), unknown, "{text} when nobody knows");
    }
}

#[test]
fn dane_satisfies_a_verify_only_where_it_is_written() {
    let records = vec![record()];
    let text = entry("{ level='verify', dane_satisfies=true }");
    assert_eq!(
        clauses(&text, Tlsa::Secure { usable: &records }),
        (TlsRequirement::Mandatory, vec![HostClause::Dane { records: records.clone(), names: vec![] }])
    );
    for tlsa in [Tlsa::Absent, Tlsa::Secure { usable: &[] }] {
        assert_eq!(clauses(&text, tlsa), (TlsRequirement::Mandatory, vec![HostClause::Chain, identity()]), "{tlsa:?}");
    }
    // Another source's verify stays a verify.
    let both = format!("{text}{}", entry("'verify'"));
    assert_eq!(clauses(&both, Tlsa::Secure { usable: &records }).1.len(), 3);
}

// req: F1
#[test]
fn the_trace_says_that_an_else_of_dane_raised_tls() {
    let policy = policy(&entry("{ level='dane', else='require' }"));
    let trace = crate::support::deliver_trace(&policy, "", "ann@bank.example");
    assert_eq!(trace.short(), "dane: partner \"Bank\" (policy.toml:1) raised tls to mandatory, asked for DANE where it is there");
}

// req: F1
#[test]
fn the_trace_names_who_lets_mail_fall_back_and_who_ignores_what_is_published() {
    let text = format!("[defaults.external]\ndeliver={{ clear_fallback='never' }}\n{}", entry("{ ignore_published=true }"));
    let trace = crate::support::deliver_trace(&policy(&format!("{text}reason='r'\nuntil=2026-12-31")), "", "ann@bank.example");
    assert_eq!(
        trace.short(),
        "opportunistic: partner \"Bank\" (policy.toml:3) left out what the domain publishes; \
         [defaults.external] (policy.toml:1) set clear_fallback to never"
    );
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["sources"][0]["decided"], serde_json::json!(["ignore_published"]));
}

// req: E6
#[test]
fn a_client_may_be_asked_for_a_certificate() {
    let policy = policy(&format!(
        "[[partner]]\nname='Chain'\ndomains='chain.example'\nreceive='chain'\n\
         [[partner]]\nname='Name'\ndomains='name.example'\nreceive={{ level='verify', names='out.name.example *.cdn.example' }}\n\
         [[partner]]\nname='Pin'\ndomains='pin.example'\nreceive={{ level='pinned', pins='{}' }}\n\
         [[domain]]\nname='acme.example'\nreceive='chain'",
        pin(1)
    ));
    let certificate = |is_trusted, name: &str, octet| ClientCertificate::new(is_trusted, vec![domain(name)], Some(pin(octet)));
    let reply = |shown: Option<&ClientCertificate>, sender: &str, recipient: Option<&str>| {
        let (tls, sender, recipient) = (tls13(X25519), from(sender), recipient.map(to));
        let mut client = stranger();
        client.certificate = shown;
        let mut facts = ReceiveFacts::new(client.address, &sender).with_client(client).with_tls(Some(&tls));
        if let Some(recipient) = &recipient {
            facts = facts.with_recipient(recipient);
        }
        received(&policy, &facts).0.refusal().map(|refusal| (refusal.reason.clone(), refusal.to_string()))
    };
    let reason = |shown: Option<&ClientCertificate>, sender: &str| reply(shown, sender, None).map(|(reason, _)| reason);
    let lack = |lack| Some(RefusalReason::Certificate(lack));
    let good = certificate(true, "out.name.example", 1);
    for sender in ["a@chain.example", "a@name.example", "a@pin.example"] {
        assert_eq!(reason(None, sender), Some(RefusalReason::NoCertificate), "{sender}");
        assert_eq!(reason(Some(&good), sender), None, "{sender}");
    }
    assert_eq!(reason(Some(&certificate(false, "out.name.example", 1)), "a@chain.example"), lack(CertificateLack::Chain));
    assert_eq!(reason(Some(&certificate(false, "out.name.example", 1)), "a@name.example"), lack(CertificateLack::Chain));
    assert_eq!(reason(Some(&certificate(true, "x.name.example", 1)), "a@name.example"), lack(CertificateLack::Name));
    assert_eq!(reason(Some(&certificate(true, "a.b.cdn.example", 1)), "a@name.example"), None);
    assert_eq!(reason(Some(&certificate(true, "out.name.example", 2)), "a@pin.example"), lack(CertificateLack::Pin));
    assert_eq!(reason(Some(&certificate(false, "x.example", 1)), "a@pin.example"), None, "a pin asks for no chain");
    // The refusal names those who ask something of the certificate, not the first that asks for TLS.
    let partner = self::policy(
        "[[partner]]\nname='Bank'\ndomains='bank.example'\nreceive='require'\n[[domain]]\nname='acme.example'\nreceive='chain'",
    );
    let (tls, sender, recipient) = (tls13(X25519), from("a@bank.example"), to("b@acme.example"));
    let facts = ReceiveFacts::new(stranger().address, &sender).with_tls(Some(&tls)).with_recipient(&recipient);
    assert_eq!(
        received(&partner, &facts).0.refusal().unwrap().to_string(),
        "550 5.7.0 Mail to acme.example is accepted with a client certificate only (domain \"acme.example\")"
    );
    let (_, text) = reply(None, "a@chain.example", Some("b@acme.example")).unwrap();
    assert!(text.ends_with("(partner \"Chain\" and domain \"acme.example\")"), "{text}");
}

// req: F7 A6
#[test]
fn floors_reach_the_wire_and_join_to_the_higher() {
    let text = format!(
        "{}{}",
        entry("{ level='require', min_group='secp384r1', ciphers='TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384' }"),
        entry("{ level='require', min_group='post-quantum', ciphers='TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256' }")
    );
    let demand = deliver(&policy(&text), "", "ann@bank.example").demand;
    assert_eq!(demand.min_group, KexFloor::PostQuantum);
    assert_eq!(demand.ciphers.as_ref().map(ToString::to_string).as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    let policy = policy(&text);
    let decision = deliver(&policy, "", "ann@bank.example");
    let host = crate::support::host(&policy, &decision, "mx.bank.example", Tlsa::Absent, Sts::Absent);
    assert_eq!((host.demand().min_group, &host.demand().ciphers), (KexFloor::PostQuantum, &demand.ciphers));
}

// req: A6
#[test]
fn cipher_suites_are_written_as_openssl_strings_names_or_profiles() {
    let suites = |written: &str| {
        let demand = deliver(&policy(&entry(&format!("{{ level='require', ciphers={written} }}"))), "", "ann@bank.example").demand;
        demand.ciphers.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let all_of_tls13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    for (written, expected) in [
        ("'ECDHE-RSA-AES256-GCM-SHA384'", format!("{all_of_tls13}:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")),
        ("'TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL:!AES128:!aRSA'", format!("{all_of_tls13}:TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")),
        ("['HIGH', '!aRSA', '!AES256:!CHACHA20']", format!("{all_of_tls13}:TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")),
        ("'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned()),
        ("'fips:!aECDSA:!AES128:!TLS_AES_128_GCM_SHA256'", "TLS_AES_256_GCM_SHA384:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned()),
    ] {
        assert_eq!(suites(written), expected, "{written}");
    }
}

// req: F5
#[test]
fn a_failure_that_is_certain_to_last_may_bounce_at_once() {
    let fate = |text: &str| deliver(&policy(text), "", "ann@bank.example").fate.on_failure;
    assert_eq!(fate(""), OnFailure::Retry);
    assert_eq!(fate(&entry("{ on_failure='bounce' }")), OnFailure::Bounce { after: 3 });
    assert_eq!(fate(&entry("{ on_failure='bounce', bounce_after=1 }")), OnFailure::Bounce { after: 1 });
    assert_eq!(
        fate(&format!("[defaults]\non_failure='bounce'\nbounce_after=5\n{}", entry("{ bounce_after=2 }"))),
        OnFailure::Bounce { after: 2 }
    );
    assert_eq!(fate(&format!("[defaults]\non_failure='bounce'\n{}", entry("{ on_failure='retry' }"))), OnFailure::Retry);
    let both = format!("{}{}", entry("{ on_failure='retry' }"), entry("{ on_failure='bounce', bounce_after=4 }"));
    assert_eq!(fate(&both), OnFailure::Bounce { after: 4 }, "a bounce tells somebody, and sooner");
}

#[test]
fn how_often_it_is_tried_and_that_it_is_kept_are_of_the_fate() {
    let fate = |text: &str| deliver(&policy(text), "", "ann@bank.example").fate;
    let waits = |text: &str| fate(text).retry.map(|retry| retry.waits().iter().map(Duration::as_secs).collect::<Vec<_>>());
    assert_eq!(waits(""), None, "the queue's own");
    assert_eq!(waits(&entry("{ retry='5m, 1h' }")), Some(vec![300, 3600]));
    assert_eq!(waits(&format!("[defaults]\nretry=['30s']\n{}", entry("'require'"))), Some(vec![30]));
    assert_eq!(waits(&format!("[defaults]\nretry='30s'\n{}", entry("{ retry='2h' }"))), Some(vec![7200]), "an entry goes before a default");
    let both = [entry("{ retry='5m 2h' }"), entry("{ retry='5m 1h 9h' }")];
    assert_eq!(waits(&both.concat()), Some(vec![300, 3600, 32400]), "the one that tries sooner");
    assert_eq!(waits(&format!("{}{}", both[1], both[0])), Some(vec![300, 3600, 32400]));

    let end = |ends: &[&str]| fate(&ends.iter().map(|end| entry(&format!("{{ on_expiry='{end}' }}"))).collect::<String>()).on_expiry;
    assert_eq!(end(&["hold"]), OnExpiry::Hold);
    assert_eq!((end(&["hold", "delete"]), end(&["delete", "hold"])), (OnExpiry::Hold, OnExpiry::Hold), "what loses nothing");
    assert_eq!((end(&["hold", "bounce"]), end(&["bounce", "hold"])), (OnExpiry::Bounce, OnExpiry::Bounce), "what tells the sender");
}

#[test]
fn when_mail_may_fall_back_to_clear_is_a_setting_and_the_later_chance_holds() {
    let fallback = |text: &str| deliver(&policy(text), "", "ann@bank.example").clear_fallback;
    assert_eq!(fallback(""), ClearFallback::SecondAttempt);
    assert_eq!(fallback(&entry("{ clear_fallback='immediate' }")), ClearFallback::Immediate);
    assert_eq!(
        fallback(&format!("{}{}", entry("{ clear_fallback='immediate' }"), entry("{ clear_fallback='never' }"))),
        ClearFallback::Never
    );
    let inherited = format!("[defaults.external]\ndeliver={{ clear_fallback='never' }}\n{}", entry("'mirror'"));
    assert_eq!(fallback(&inherited), ClearFallback::Never);
}

#[test]
fn pins_and_names_fall_through_by_themselves() {
    let text = format!(
        "[[partner]]\ndomains='*.example'\ndeliver={{ level='pinned', pins='{}' }}\n{}",
        pin(1),
        entry(&format!("{{ pins='{}' }}", pin(2)))
    );
    assert_eq!(deliver(&policy(&text), "", "ann@bank.example").demand.clauses, [Clause::Pinned(vec![pin(2)])]);
    assert_eq!(deliver(&policy(&text), "", "ann@shop.example").demand.clauses, [Clause::Pinned(vec![pin(1)])]);
}

/// Labels are looked up several at a time: those of the next lot are found too.
#[test]
fn a_name_of_many_labels_is_covered_by_each_of_its_parents() {
    let labels: Vec<_> = (0..20).map(|number| format!("l{number}")).collect();
    let recipient = format!("x@{}", labels.join("."));
    for depth in 0..labels.len() {
        let parent = labels[depth..].join(".");
        let policy =
            policy(&format!("[[partner]]\ndomains='{parent}'\ndeliver='require'\n[[partner]]\ndomains='q.{parent}'\ndeliver='none'"));
        assert_eq!(deliver(&policy, "ann@acme.example", &recipient).level, Level::Require, "{parent}");
    }
}
