//! `mode = "testing"`: what would be, while mail flows as it does.

use sealpost_policy::{DeliverFacts, ReceiveFacts, ReceiveVerdict, Sts, Tlsa};
use sealpost_types::{Level, TlsRequirement};

use crate::support::{deliver, deliver_trace, explained, from, host, in_clear, level, notes, policy, received, stranger, to};

const BANK: &str = "[[partner]]\nname='Bank'\ndomains='bank.example'\nreceive='require'\ndeliver='verify'\n";

// req: F2
#[test]
fn mail_flows_as_if_the_entry_were_not_there() {
    let around = "[defaults.external]\ndeliver='mirror'\n[[partner]]\ndomains='*.example'\ndeliver={ min_version='1.3' }\n";
    let without = policy(around);
    let with = policy(&format!("{BANK}mode='testing'\n{around}"));
    let (enforced, plain) = (deliver(&with, "", "a@bank.example"), deliver(&without, "", "a@bank.example"));
    assert_eq!((&enforced.demand, enforced.level, enforced.fate), (&plain.demand, plain.level, plain.fate));
    assert_eq!(in_clear(&with, stranger(), "a@bank.example", None), "accept");
}

// req: F2
#[test]
fn a_shadow_says_what_enforcement_would_have_asked() {
    let policy = policy(&format!("{BANK}mode='testing'"));
    let shadow = deliver(&policy, "", "a@bank.example").shadow.unwrap();
    assert_eq!((shadow.level, shadow.demand.tls), (Level::Verify, TlsRequirement::Mandatory));
    let enforcing = self::policy(BANK);
    assert_eq!(shadow.demand, deliver(&enforcing, "", "a@bank.example").demand);
    let sender = from("a@bank.example");
    let (decision, trace) = received(&policy, &ReceiveFacts::new(stranger().address, &sender));
    assert_eq!(decision.verdict, ReceiveVerdict::Accept);
    let refusal = decision.shadow.as_ref().and_then(|shadow| shadow.verdict.refusal()).unwrap();
    assert!(refusal.to_string().starts_with("530 5.7.0 "), "{refusal}");
    assert!(trace.to_string().ends_with("with what is in testing: require, TLS mandatory, TLSv1.2 or later"), "{trace}");
}

// req: F2
#[test]
fn there_is_no_shadow_where_nothing_would_change() {
    for text in [
        &format!("{BANK}mode='enforce'"),
        "[[partner]]\ndomains='bank.example'\ndeliver='opportunistic'\nmode='testing'",
        "[[partner]]\ndomains='bank.example'\ndeliver='require'\n[[partner]]\ndomains='*.example'\ndeliver='none'\nmode='testing'",
        "[[partner]]\ndomains='shop.example'\ndeliver='require'\nmode='testing'",
    ] {
        assert_eq!(deliver(&policy(text), "", "a@bank.example").shadow, None, "{text}");
    }
}

// req: F2
#[test]
fn each_kind_of_entry_can_be_in_testing() {
    for (text, recipient) in [
        ("[[partner]]\ndomains='y.example'\ndeliver='require'\nmode='testing'", "x@y.example"),
        ("[[domain]]\nname='acme.example'\ndeliver='require'\nmode='testing'", "x@acme.example"),
        ("[[owner]]\nname='o'\ndeliver='require'\nmode='testing'\n[[domain]]\nname='acme.example'\nowner='o'", "x@acme.example"),
        ("[[rule]]\nname='r'\nthen={ add_header={ X-TLSLevel='Require' } }\nmode='testing'", "x@y.example"),
    ] {
        let policy = policy(text);
        let decision = deliver(&policy, "", recipient);
        assert_eq!(decision.level, Level::Opportunistic, "{text}");
        assert_eq!(decision.shadow.as_ref().map(|shadow| shadow.level), Some(Level::Require), "{text}");
        assert_eq!(notes(&deliver_trace(&policy, "", recipient)).iter().map(|(_, code)| *code).collect::<Vec<_>>(), ["testing"], "{text}");
    }
}

/// What a hosted domain is (its owner, its route, its servers) is no demand: only what it asks is in testing.
// req: F2
#[test]
fn a_hosted_domain_in_testing_stays_hosted() {
    let policy = policy(
        "[[owner]]\nname='o'\ndeliver='verify'\n[[domain]]\nname='acme.example'\nowner='o'\nroute='mail.acme.example'\nservers='192.0.2.1'\n\
         deliver='none'\nsubmit='require'\nmode='testing'",
    );
    let name = crate::support::domain("acme.example");
    assert!(policy.is_hosted(&name) && policy.route(&name).is_some());
    assert_eq!(level(&policy, "", "x@acme.example"), Level::Verify, "its owner speaks, for it says nothing itself");
    assert_eq!(in_clear(&policy, crate::support::at("192.0.2.1"), "x@acme.example", None), "accept");
    let sender = from("x@acme.example");
    assert!(policy.may_relay(&ReceiveFacts::new("192.0.2.1".parse().unwrap(), &sender)));
}

// req: F2
#[test]
fn a_testing_entry_switches_off_no_other_source() {
    // Of the same pattern, of a less specific one, and a rule behind it.
    let policy = policy(
        "[[partner]]\nname='T'\ndomains='bank.example'\ndeliver='none'\nmode='testing'\n[[partner]]\ndomains='bank.example'\ndeliver='require'\n\
         [[partner]]\nname='U'\ndomains='shop.example'\ndeliver='none'\nmode='testing'\n[[partner]]\ndomains='*.example'\ndeliver='verify'\n\
         [[rule]]\nname='stop'\nthen={ stop=true, add_header={ X-TLSLevel='Try' } }\nmode='testing'\n\
         [[rule]]\nname='all'\nthen={ add_header={ X-TLSLevel='Require' } }",
    );
    assert_eq!(level(&policy, "", "x@bank.example"), Level::Require);
    assert_eq!(level(&policy, "", "x@shop.example"), Level::Verify);
    assert_eq!(level(&policy, "", "x@y.test"), Level::Require);
}

// req: F2
#[test]
fn a_testing_entry_with_else_and_for_is_no_source_either() {
    let policy = policy(
        "[[partner]]\ndomains='bank.example'\nfor='acme.example'\nreceive={ level='require', recipients='ceo', else='chain' }\ndeliver='require'\nmode='testing'",
    );
    assert_eq!(in_clear(&policy, stranger(), "x@bank.example", Some("ceo@acme.example")), "accept");
    assert_eq!(in_clear(&policy, stranger(), "x@bank.example", Some("ann@acme.example")), "accept");
    assert_eq!(level(&policy, "", "x@bank.example"), Level::Opportunistic);
    let shadow = |sender: &str| {
        let recipient = to("x@bank.example");
        explained(&policy, &DeliverFacts::new(&from(sender), &recipient, true)).0.shadow.is_some()
    };
    assert!(shadow("ann@acme.example") && !shadow("ann@zeta.example"));
}

// req: F2
#[test]
fn each_host_is_judged_against_both() {
    let policy = policy(&format!("{BANK}mode='testing'"));
    let decision = deliver(&policy, "", "a@bank.example");
    let enforced = host(&policy, &decision, "mx.bank.example", Tlsa::Absent, Sts::Absent);
    assert_eq!(enforced.demand().tls, TlsRequirement::Opportunistic);
    let name = crate::support::domain("mx.bank.example");
    let next_hop = sealpost_types::NextHop::Mx(crate::support::domain("bank.example"));
    let facts = sealpost_policy::HostFacts::new(&next_hop, Some(&name), false, crate::support::ADDRESS).with_tlsa(Tlsa::Absent);
    let shadow = policy.decide_host_shadow(&decision, &facts).unwrap();
    assert_eq!(shadow.demand().tls, TlsRequirement::Mandatory);
    assert_eq!(shadow.demand().clauses.len(), 2);
    let plain = self::policy(BANK);
    assert_eq!(plain.decide_host_shadow(&deliver(&plain, "", "a@bank.example"), &facts), None);
}
