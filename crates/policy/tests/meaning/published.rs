//! What a recipient's domain publishes of its hosts: TLSA records and MTA-STS.

use sealpost_policy::{Barred, HostFacts, Sts, Tlsa};
use sealpost_types::{HostClause, NextHop, TlsRequirement};

use crate::support::{ADDRESS, deliver, domain, host, policy, record};

const ENFORCE: Sts = Sts::Enforce { host_matches: true };

fn ask(text: &str, tlsa: Tlsa<'_>, sts: Sts) -> sealpost_policy::HostDecision {
    let policy = policy(text);
    let decision = deliver(&policy, "", "ann@bank.example");
    host(&policy, &decision, "mx.hosting.example", tlsa, sts)
}

fn entry(deliver: &str) -> String {
    format!("[[partner]]\ndomains='bank.example'\ndeliver={deliver}\n")
}

/// Chain, and the host's own name.
fn by_sts() -> Vec<HostClause> {
    vec![HostClause::Chain, HostClause::Identity(vec!["mx.hosting.example".parse().unwrap()])]
}

#[test]
fn a_host_with_secure_records_is_under_dane_and_not_under_mta_sts() {
    let records = [record()];
    for sts in [Sts::Absent, Sts::Testing, ENFORCE, Sts::Enforce { host_matches: false }] {
        let decision = ask("", Tlsa::Secure { usable: &records }, sts);
        assert_eq!(decision.demand().tls, TlsRequirement::Mandatory, "{sts:?}");
        assert_eq!(decision.demand().clauses, [HostClause::Dane { records: records.to_vec(), names: vec![] }], "{sts:?}");
        assert_eq!(decision.barred, None, "{sts:?}");
    }
}

#[test]
fn secure_records_of_which_none_is_usable_make_tls_mandatory_and_unauthenticated() {
    let decision = ask("", Tlsa::Secure { usable: &[] }, ENFORCE);
    assert_eq!((decision.demand().tls, decision.demand().clauses.len()), (TlsRequirement::Mandatory, 0));
}

#[test]
fn an_mta_sts_policy_asks_for_chain_and_the_hosts_name() {
    for tlsa in [Tlsa::Absent, Tlsa::Unknown] {
        let decision = ask("", tlsa, ENFORCE);
        assert_eq!((decision.demand().tls, &decision.demand().clauses), (TlsRequirement::Mandatory, &by_sts()));
        for sts in [Sts::Absent, Sts::Testing] {
            assert_eq!(ask("", tlsa, sts).demand().tls, TlsRequirement::Opportunistic, "{sts:?}");
        }
    }
    assert_eq!(ask("", Tlsa::Absent, Sts::Enforce { host_matches: false }).barred, Some(Barred::NotInStsPolicy));
}

#[test]
fn what_is_published_joins_what_is_written() {
    let records = [record()];
    let verified = ask(&entry("'verify'"), Tlsa::Secure { usable: &records }, Sts::Absent);
    assert_eq!(verified.demand().clauses.len(), 3, "a written verify is not satisfied by DANE");
    assert_eq!(ask(&entry("'verify'"), Tlsa::Secure { usable: &[] }, Sts::Absent).demand().clauses.len(), 2);
    assert_eq!(ask(&entry("'mirror'"), Tlsa::Absent, ENFORCE).demand().tls, TlsRequirement::Mandatory);
    assert_eq!(ask("[defaults.external]\ndeliver='none'", Tlsa::Absent, ENFORCE).demand().tls, TlsRequirement::Mandatory, "inherited");
}

#[test]
fn it_is_off_where_none_is_written_or_it_is_ignored_on_purpose() {
    let records = [record()];
    let ignore = "{ LEVEL ignore_published = true }";
    for (deliver, tls) in [
        ("'none'".to_owned(), TlsRequirement::Never),
        (ignore.replace("LEVEL", ""), TlsRequirement::Opportunistic),
        (ignore.replace("LEVEL", "level = 'require',"), TlsRequirement::Mandatory),
        (ignore.replace("LEVEL", "level = 'verify',"), TlsRequirement::Mandatory),
    ] {
        let text = format!("{}reason='their records are wrong'\nuntil=9999-12-31", entry(&deliver));
        let without = ask(&text, Tlsa::Absent, Sts::Absent);
        assert_eq!(without.demand().tls, tls);
        for (tlsa, sts) in [
            (Tlsa::Secure { usable: &records }, Sts::Absent),
            (Tlsa::Absent, ENFORCE),
            (Tlsa::Absent, Sts::Enforce { host_matches: false }),
        ] {
            assert_eq!(ask(&text, tlsa, sts), without, "{deliver} {tlsa:?} {sts:?}");
        }
    }
}

/// The negative control of the one before: one of two entries that says nothing of it is enough for it to count.
#[test]
fn two_must_agree_to_ignore_it() {
    let text = format!("{}reason='r'\nuntil=9999-12-31\n{}", entry("{ ignore_published = true }"), entry("'opportunistic'"));
    assert_eq!(ask(&text, Tlsa::Absent, ENFORCE).demand().tls, TlsRequirement::Mandatory);
}

#[test]
fn a_route_is_under_nothing_that_is_published() {
    let policy = policy("");
    let decision = deliver(&policy, "", "ann@bank.example");
    let (route, name, records) = (NextHop::Host { name: domain("mx.hosting.example"), port: 25 }, domain("mx.hosting.example"), [record()]);
    let facts = HostFacts::new(&route, Some(&name), true, ADDRESS).with_sts(ENFORCE).with_tlsa(Tlsa::Secure { usable: &records });
    assert_eq!(policy.decide_host(&decision, &facts).demand().tls, TlsRequirement::Opportunistic);
}

#[test]
fn each_host_is_judged_by_itself() {
    let policy = policy("");
    let decision = deliver(&policy, "", "ann@bank.example");
    let records = [record()];
    let first = host(&policy, &decision, "mx1.bank.example", Tlsa::Secure { usable: &records }, Sts::Absent);
    let second = host(&policy, &decision, "mx2.bank.example", Tlsa::Absent, Sts::Absent);
    assert!(first.demand().is_mandatory() && !second.demand().is_mandatory());
    assert_ne!(first.wire_key, second.wire_key);
}
