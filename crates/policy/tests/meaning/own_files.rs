//! Trust anchors and client certificates of an entry's own, and common names.

use sealpost_policy::{ClientCertificate, DeliverDecision, DeliverFacts, ReceiveFacts, Sts, Tlsa};
use sealpost_types::{AnchorFiles, ClientIdentity, Domain, HostClause, ReferenceName, TlsRequirement};

use crate::support::*;

fn anchors(names: &[&str]) -> AnchorFiles {
    AnchorFiles::new(names.iter().map(|name| (*name).to_owned()).collect())
}

fn partner(domains: &str, deliver: &str) -> String {
    format!("[[partner]]\ndomains='{domains}'\ndeliver={{ {deliver} }}\n")
}

fn chains(decision: &DeliverDecision, text: &str, sts: Sts) -> Vec<HostClause> {
    let host = host(&policy(text), decision, "mx.bank.example", Tlsa::Absent, sts);
    host.demand().clauses.iter().filter(|clause| clause.is_chain()).cloned().collect()
}

// req: E6
#[test]
fn anchors_take_the_place_of_the_usual_ones_and_of_several_sources_all_count() {
    let own = |names: &[&str]| HostClause::ChainTo(anchors(names));
    for (text, expected) in [
        (partner("bank.example", "level='verify', anchors='a.pem'"), vec![own(&["a.pem"])]),
        (partner("bank.example", "level='chain', anchors=['b.pem', 'a.pem', 'b.pem']"), vec![own(&["a.pem", "b.pem"])]),
        (partner("bank.example", "level='chain', anchors='a.pem, b.pem'"), vec![own(&["a.pem", "b.pem"])]),
        (partner("bank.example", "level='verify', anchors='system a.pem'"), vec![own(&["a.pem", "system"])]),
        (partner("bank.example", "level='dane', else='verify', anchors='a.pem'"), vec![own(&["a.pem"])]),
        (partner("bank.example", "level='verify'"), vec![HostClause::Chain]),
        (partner("bank.example", "level='verify', anchors='system'"), vec![HostClause::Chain]),
        // the less specific entry has anchors, and the more specific one takes them back
        (partner("*", "level='verify', anchors='a.pem'") + &partner("bank.example", "anchors='system'"), vec![HostClause::Chain]),
        (partner("*", "level='verify', anchors='a.pem'") + &partner("bank.example", "names='x.example'"), vec![own(&["a.pem"])]),
        // equals join: each has to hold
        (
            partner("bank.example", "level='verify', anchors='a.pem'") + &partner("bank.example", "level='verify'"),
            vec![HostClause::Chain, own(&["a.pem"])],
        ),
    ] {
        let decision = deliver(&policy(&text), "", "ann@bank.example");
        assert_eq!(chains(&decision, &text, Sts::Absent), expected, "{text}");
    }
}

/// RFC 8461 section 4.2 and RFC 8689 section 4.2.1 leave it to the sender whom it trusts: where an entry says so, it is that, and where none
/// does the usual anchors.
// req: E2 E4 E6
#[test]
fn what_a_domain_publishes_and_requiretls_are_held_against_the_anchors_of_the_entry() {
    let enforced = Sts::Enforce { host_matches: true };
    for (deliver_text, expected) in
        [("level='verify', anchors='a.pem'", HostClause::ChainTo(anchors(&["a.pem"]))), ("level='require'", HostClause::Chain)]
    {
        let (text, expected) = (partner("bank.example", deliver_text), [expected]);
        let policy = policy(&text);
        let decision = deliver(&policy, "", "ann@bank.example");
        assert_eq!(chains(&decision, &text, enforced), expected, "{text}");
        let (sender, recipient) = (from(""), to("ann@bank.example"));
        let facts = DeliverFacts::new(&sender, &recipient, true).with_sender_choice(true, false);
        assert_eq!(chains(&explained(&policy, &facts).0, &text, enforced), expected, "REQUIRETLS, {text}");
    }
}

// req: E6
#[test]
fn a_client_certificate_is_part_of_the_wire_key_and_of_nothing_in_clear() {
    let of = |certificate: &str, key| ClientIdentity::of_files(certificate, key);
    for (text, expected) in [
        (partner("bank.example", "level='require', client_certificate='c.pem'"), of("c.pem", None)),
        (partner("bank.example", "level='require', client_certificate='c.pem', client_key='k.pem'"), of("c.pem", Some("k.pem"))),
        (partner("bank.example", "level='opportunistic', client_certificate='none'"), ClientIdentity::Withheld),
        (partner("bank.example", "level='require'"), ClientIdentity::Usual),
        // the pair is one word: a key never comes to another certificate
        (
            partner("*", "client_certificate='w.pem', client_key='k.pem'") + &partner("bank.example", "client_certificate='c.pem'"),
            of("c.pem", None),
        ),
    ] {
        let policy = policy(&text);
        let decision = deliver(&policy, "", "ann@bank.example");
        assert_eq!(decision.client_identity, expected, "{text}");
        assert_eq!(host(&policy, &decision, "mx.bank.example", Tlsa::Absent, Sts::Absent).wire_key.identity, expected, "{text}");
    }
    let text = partner("*", "client_certificate='w.pem'") + &partner("bank.example", "level='none'");
    let policy = policy(&text);
    let decision = deliver(&policy, "", "ann@bank.example");
    let host = host(&policy, &decision, "mx.bank.example", Tlsa::Absent, Sts::Absent);
    assert_eq!((host.demand().tls, host.wire_key.identity), (TlsRequirement::Never, ClientIdentity::Usual));
}

#[test]
fn the_files_that_a_policy_names_are_told_with_their_places() {
    let text = partner("a.example", "level='verify', anchors='a.pem', client_certificate='c.pem'")
        + &partner("b.example", "level='verify', anchors='a.pem', client_certificate='none'")
        + &partner("c.example", "level='verify', anchors='system c.pem'");
    let policy = policy(&text);
    let told: Vec<_> = policy.anchor_files().into_iter().map(|(files, place)| format!("{files} {place}")).collect();
    assert_eq!(told, ["a.pem policy.toml:1", "c.pem or system policy.toml:7"]);
    let told: Vec<_> = policy.client_identities().into_iter().map(|(identity, place)| (identity, place.to_string())).collect();
    assert_eq!(told, [(ClientIdentity::of_files("c.pem", None), "policy.toml:1".to_owned())]);
}

/// A name of a certificate's subject counts where somebody writes it, on both hops.
// req: B8
#[test]
fn a_common_name_is_a_name_that_somebody_wrote() {
    let text = partner("bank.example", "level='verify', names='cn:old.bank.example'");
    let decision = deliver(&policy(&text), "", "ann@bank.example");
    let host = host(&policy(&text), &decision, "mx.bank.example", Tlsa::Absent, Sts::Absent);
    let HostClause::Identity(names) = &host.demand().clauses[1] else { panic!("{host:?}") };
    assert!(names.contains(&ReferenceName::CommonName(domain("old.bank.example"))), "{names:?}");

    let text = "[[partner]]\ndomains='bank.example'\nreceive={ level='verify', names='cn:out.bank.example' }\n";
    let policy = policy(text);
    let name = || Some(Domain::parse("out.bank.example").unwrap());
    for (certificate, accepted) in [
        (ClientCertificate::new(true, vec![], None).with_common_name(name()), true),
        (ClientCertificate::new(true, vec![domain("out.bank.example")], None), false),
        (ClientCertificate::new(true, vec![], None), false),
        (ClientCertificate::new(false, vec![], None).with_common_name(name()), false),
    ] {
        let (tls, sender) = (tls13(X25519), from("ann@bank.example"));
        let mut client = stranger();
        client.certificate = Some(&certificate);
        let facts = ReceiveFacts::new(client.address, &sender).with_client(client).with_tls(Some(&tls));
        assert_eq!(received(&policy, &facts).0.refusal().is_none(), accepted, "{certificate:?}");
    }
}
