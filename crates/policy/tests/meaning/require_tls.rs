//! What a sender says of TLS by RFC 8689: REQUIRETLS at MAIL, and `TLS-Required: No` in the header.

use sealpost_policy::{Axis, Barred, DeliverDecision, DeliverFacts, HostDecision, HostFacts, Policy, RequireTls, SourceKind, Sts, Tlsa};
use sealpost_types::{HostClause, Level, NextHop, TlsRequirement};

use crate::support::{ADDRESS, domain, explained, from, host, policy, record, to};

const ENFORCE: Sts = Sts::Enforce { host_matches: true };
const ANN: &str = "ann@shop.example";

/// The decision on mail for the bank with REQUIRETLS, or with `TLS-Required: No`, or with both.
fn deliver(policy: &Policy, sender: &str, require_tls: bool, tls_optional: bool) -> DeliverDecision {
    let (sender, recipient) = (from(sender), to("bob@bank.example"));
    explained(policy, &DeliverFacts::new(&sender, &recipient, true).with_sender_choice(require_tls, tls_optional)).0
}

fn required(policy: &Policy) -> DeliverDecision {
    deliver(policy, ANN, true, false)
}

/// A host that a route names, or DNS with DNSSEC.
fn known(policy: &Policy, decision: &DeliverDecision, tlsa: Tlsa<'_>) -> HostDecision {
    let (next_hop, name) = (NextHop::Mx(domain("bank.example")), domain("mx.hosting.example"));
    policy.decide_host(decision, &HostFacts::new(&next_hop, Some(&name), true, ADDRESS).with_tlsa(tlsa))
}

fn verified() -> Vec<HostClause> {
    vec![HostClause::Chain, HostClause::Identity(vec!["mx.hosting.example".parse().unwrap()])]
}

// req: E4
#[test]
fn rfc8689_4_2_1_a_host_is_known_for_sure_and_verified() {
    let policy = policy("");
    let decision = required(&policy);
    assert_eq!((decision.level, decision.require_tls), (Level::Verify, Some(RequireTls::Strict)));
    assert_eq!(decision.demand.tls, TlsRequirement::Mandatory);
    for tlsa in [Tlsa::Unknown, Tlsa::Absent, Tlsa::Secure { usable: &[] }] {
        let asked = known(&policy, &decision, tlsa);
        assert_eq!((asked.barred, asked.demand().tls), (None, TlsRequirement::Mandatory));
        assert_eq!(asked.demand().clauses, verified());
    }
    // MTA-STS is as good as DNSSEC, and nothing else is.
    let by_sts = host(&policy, &decision, "mx.hosting.example", Tlsa::Absent, ENFORCE);
    assert_eq!((by_sts.barred, by_sts.demand().clauses.as_slice(), &by_sts.insecure_name), (None, verified().as_slice(), &None));
    for sts in [Sts::Absent, Sts::Testing] {
        let unknown = host(&policy, &decision, "mx.hosting.example", Tlsa::Absent, sts);
        assert_eq!(unknown.barred, Some(Barred::NotKnownForSure), "{sts:?}");
    }
    let not_named = host(&policy, &decision, "mx.hosting.example", Tlsa::Absent, Sts::Enforce { host_matches: false });
    assert_eq!(not_named.barred, Some(Barred::NotInStsPolicy));
    // A route that is an address has no name but that.
    let route: NextHop = "192.0.2.25:25".parse().unwrap();
    let by_address = policy.decide_host(&decision, &HostFacts::new(&route, None, true, ADDRESS));
    assert!(by_address.demand().clauses.contains(&HostClause::Identity(vec!["192.0.2.25".parse().unwrap()])));
    // The negative control: without it nothing of this is asked.
    let plain = known(&policy, &deliver(&policy, ANN, false, false), Tlsa::Absent);
    assert_eq!((plain.demand().tls, plain.demand().clauses.len(), plain.barred), (TlsRequirement::Opportunistic, 0, None));
}

// req: E4
#[test]
fn rfc8689_4_2_1_dane_stands_for_chain_and_name() {
    let (policy, records) = (policy(""), [record()]);
    let asked = known(&policy, &required(&policy), Tlsa::Secure { usable: &records });
    assert!(matches!(asked.demand().clauses.as_slice(), [HostClause::Dane { .. }]), "{asked:?}");
}

/// What an operator grades down is still TLS, and is a word of the policy.
// req: E4
#[test]
fn it_may_be_graded_down() {
    for (word, level, grade, clauses) in [
        ("strict", Level::Verify, RequireTls::Strict, verified()),
        ("verify", Level::Verify, RequireTls::Verify, verified()),
        ("require", Level::Require, RequireTls::Require, Vec::new()),
    ] {
        let policy = policy(&format!("[defaults]\nrequiretls = '{word}'\n"));
        let decision = required(&policy);
        assert_eq!((decision.level, decision.require_tls), (level, Some(grade)));
        assert_eq!(known(&policy, &decision, Tlsa::Absent).demand().clauses, clauses);
        let unknown = host(&policy, &decision, "mx.hosting.example", Tlsa::Absent, Sts::Absent);
        assert_eq!(unknown.demand().tls, TlsRequirement::Mandatory, "{word}");
        assert_eq!(unknown.barred.is_some(), word == "strict", "{word}");
        // The proof tells that the name came from plain DNS.
        assert_eq!(unknown.insecure_name.is_some(), word == "verify", "{word}");
    }
}

/// RFC 8689 section 5: a notification is not lost because nobody on its way knows REQUIRETLS. It does travel over TLS.
// req: E4
#[test]
fn rfc8689_5_a_notification_is_asked_for_less() {
    let policy = policy("");
    let decision = deliver(&policy, "", true, false);
    assert_eq!((decision.require_tls, decision.demand.tls), (Some(RequireTls::Require), TlsRequirement::Mandatory));
    assert_eq!(host(&policy, &decision, "mx.hosting.example", Tlsa::Absent, Sts::Absent).barred, None);
}

/// It raises whatever is written, and adds to what an entry asks.
// req: E4
#[test]
fn it_joins_what_the_policy_asks() {
    for level in ["none", "mirror", "opportunistic", "require"] {
        let policy = policy(&format!("[[partner]]\ndomains = 'bank.example'\ndeliver = '{level}'\n"));
        assert_eq!(known(&policy, &required(&policy), Tlsa::Absent).demand().clauses, verified(), "{level}");
    }
    let policy = policy("[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'require', min_version = '1.3' }\n");
    assert_eq!(known(&policy, &required(&policy), Tlsa::Absent).demand().min_version, sealpost_types::TlsVersion::Tls1_3);
}

// req: E4 F1
#[test]
fn the_trace_names_it() {
    let (policy, sender, recipient) = (policy(""), from(ANN), to("bob@bank.example"));
    let facts = DeliverFacts::new(&sender, &recipient, true);
    let (_, trace) = explained(&policy, &facts.with_sender_choice(true, true));
    assert_eq!(trace.short(), "verify: REQUIRETLS raised tls to mandatory, asked for chain and name");
    let kinds = |kind| trace.steps.iter().filter(|step| step.source.kind() == kind).count();
    assert_eq!((kinds(SourceKind::RequireTls), kinds(SourceKind::TlsRequiredField)), (1, 0), "{trace}");
    let (_, trace) = explained(&policy, &facts.with_sender_choice(false, true));
    let field = trace.steps.iter().find(|step| step.source.kind() == SourceKind::TlsRequiredField).unwrap();
    assert!(field.decided.contains(Axis::IgnorePublished), "{trace}");
    assert_eq!(trace.short(), "opportunistic: TLS-Required field left out what the domain publishes");
}

/// RFC 8689 section 4.2.2: `TLS-Required: No` sets aside what the recipient's domain publishes, and nothing that is written here.
// req: E4
#[test]
fn rfc8689_4_2_2_tls_required_no_is_about_what_is_published() {
    let records = [record()];
    for (tlsa, sts) in [(Tlsa::Secure { usable: &records[..] }, Sts::Absent), (Tlsa::Absent, ENFORCE)] {
        let policy = policy("");
        let ask = |require, optional| host(&policy, &deliver(&policy, ANN, require, optional), "mx.hosting.example", tlsa, sts);
        assert_eq!(ask(false, true).demand().tls, TlsRequirement::Opportunistic);
        assert!(ask(false, true).demand().clauses.is_empty());
        // The negative controls: without it, and with REQUIRETLS, which makes it void (section 4.1).
        assert_eq!(ask(false, false).demand().tls, TlsRequirement::Mandatory);
        assert_eq!(ask(true, true), ask(true, false));
        assert_eq!(ask(true, true).demand().tls, TlsRequirement::Mandatory);
    }
    let unnamed = Sts::Enforce { host_matches: false };
    let policy_of_none = policy("");
    assert_eq!(
        host(&policy_of_none, &deliver(&policy_of_none, ANN, false, true), "mx.hosting.example", Tlsa::Absent, unnamed).barred,
        None
    );
    let written = policy("[[partner]]\ndomains = 'bank.example'\ndeliver = 'verify'\n");
    let decision = deliver(&written, ANN, false, true);
    assert_eq!((decision.level, decision.demand.tls), (Level::Verify, TlsRequirement::Mandatory));
}
