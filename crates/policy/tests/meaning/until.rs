//! `until`: an entry past its date counts as absent, unless its absence would be weaker.

use sealpost_policy::{DeliverFacts, Policy, ReceiveFacts};
use sealpost_types::{Level, TlsVersion, UnixMillis};

use crate::support::{explained, from, noon, notes, policy, received, stranger, to};

fn level_at(policy: &Policy, recipient: &str, now: UnixMillis) -> Level {
    let recipient = to(recipient);
    explained(policy, &DeliverFacts::new(&from(""), &recipient, true).at(now)).0.level
}

// req: D2
#[test]
fn an_entry_holds_to_the_end_of_its_day() {
    let text = |until: &str| {
        policy(&format!("[defaults.external]\ndeliver='require'\n[[partner]]\ndomains='y.example'\ndeliver='none'\nuntil={until}"))
    };
    for until in ["2026-06-30", "'2026-06-30'", "2026-06-30T23:59:59Z", "2026-07-01T01:59:59+02:00"] {
        let policy = text(until);
        assert_eq!(level_at(&policy, "x@y.example", noon(6, 30)), Level::None, "{until}");
        assert_eq!(level_at(&policy, "x@y.example", UnixMillis(noon(6, 30).0 + 12 * 3_600_000 - 1001)), Level::None, "{until}");
        assert_eq!(level_at(&policy, "x@y.example", noon(7, 1)), Level::Require, "{until}");
    }
    assert_eq!(level_at(&text("9999-12-31"), "x@y.example", noon(7, 1)), Level::None, "for ever");
}

#[test]
fn an_expired_entry_that_weakens_is_gone_and_one_that_strengthens_stays() {
    let before = |own: &str, default: &str| {
        let policy = policy(&format!(
            "[defaults.external]\ndeliver={default}\n[[partner]]\nname='P'\ndomains='y.example'\ndeliver={own}\nuntil=2026-01-01"
        ));
        let recipient = to("x@y.example");
        let (decision, trace) = explained(&policy, &DeliverFacts::new(&from(""), &recipient, true).at(noon(2, 1)));
        assert_eq!(notes(&trace), [("P".to_owned(), "expired")]);
        (decision.level, decision.demand.min_version)
    };
    assert_eq!(before("'none'", "'require'"), (Level::Require, TlsVersion::Tls1_2));
    assert_eq!(before("'require'", "'mirror'"), (Level::Require, TlsVersion::Tls1_2));
    assert_eq!(before("{ level='mirror', min_version='1.3' }", "'require'"), (Level::Require, TlsVersion::Tls1_3));
    assert_eq!(
        before("{ level='require', min_version='1.2' }", "{ level='mirror', min_version='1.3' }"),
        (Level::Require, TlsVersion::Tls1_3)
    );
}

#[test]
fn without_a_time_every_date_is_past() {
    let policy = policy("[defaults.external]\ndeliver='require'\n[[partner]]\ndomains='y.example'\ndeliver='none'\nuntil=2999-01-01");
    let recipient = to("x@y.example");
    assert_eq!(explained(&policy, &DeliverFacts::new(&from(""), &recipient, true)).0.level, Level::Require);
}

#[test]
fn an_expired_entry_of_an_equal_pattern_weakens_nothing() {
    let policy = policy(
        "[defaults.external]\ndeliver='verify'\n[[partner]]\ndomains='y.example'\ndeliver='none'\nuntil=2026-01-01\n[[partner]]\ndomains='y.example'\ndeliver='require'",
    );
    assert_eq!(level_at(&policy, "x@y.example", noon(2, 1)), Level::Require, "the other one speaks, as it would alone");
}

#[test]
fn an_expired_ignore_is_over() {
    let policy = policy("[[partner]]\ndomains='y.example'\nreason='r'\ndeliver={ ignore_published=true }\nuntil=2026-01-31");
    let recipient = to("x@y.example");
    let ignores = |now| explained(&policy, &DeliverFacts::new(&from(""), &recipient, true).at(now)).0.ignores_published;
    assert!(ignores(noon(1, 31)) && !ignores(noon(2, 1)));
}

// req: C1
#[test]
fn an_expired_rule_adds_and_stops_nothing() {
    let rules = |first: &str| {
        policy(&format!(
            "[[rule]]\nname='old'\nthen={first}\nuntil=2026-01-01\n[[rule]]\nname='new'\nthen={{ add_header={{ X-TLSLevel='Require' }} }}"
        ))
    };
    for first in ["{ add_header={ X-TLSLevel='Try' } }", "{ stop=true }", "{ stop=true, add_header={ X-TLSLevel='Try' } }"] {
        assert_eq!(level_at(&rules(first), "x@y.example", noon(2, 1)), Level::Require, "{first}");
        assert_eq!(level_at(&rules(first), "x@y.example", UnixMillis(0)), Level::Opportunistic, "{first}");
    }
    let strict = policy("[[rule]]\nname='old'\nthen={ add_header={ X-TLSLevel='Require' } }\nuntil=2026-01-01");
    assert_eq!(level_at(&strict, "x@y.example", noon(2, 1)), Level::Require, "its absence would be weaker");
}

// req: D5
#[test]
fn owners_have_dates_too() {
    let policy = policy(
        "[defaults.hosted]\ndeliver='require'\nreceive='require'\n[[owner]]\nname='o'\ndeliver='none'\nreceive='opportunistic'\nuntil=2026-01-31\n[[domain]]\nname='acme.example'\nowner='o'",
    );
    assert_eq!(level_at(&policy, "x@acme.example", noon(1, 31)), Level::None);
    assert_eq!(level_at(&policy, "x@acme.example", noon(2, 1)), Level::Require);
    let (sender, recipient) = (from("a@b.example"), to("x@acme.example"));
    let refused =
        |now| received(&policy, &ReceiveFacts::new(stranger().address, &sender).with_recipient(&recipient).at(now)).0.refusal().is_some();
    assert!(!refused(noon(1, 31)) && refused(noon(2, 1)));
}

/// Past its date, a domain still kept away the other domain of the same server: what that one asks was lost.
#[test]
fn the_servers_of_an_expired_domain_displace_no_other_domain() {
    let policy = policy(
        "[[domain]]\nname='acme.example'\nservers='192.0.2.1'\nsubmit='require'\n[[domain]]\nname='*.acme.example'\nservers='192.0.2.0/24'\nuntil=2026-06-30",
    );
    let sender = from("ann@a.acme.example");
    let level = |now| received(&policy, &ReceiveFacts::new("192.0.2.1".parse().unwrap(), &sender).at(now)).0.level;
    assert_eq!(level(noon(6, 15)), Level::Opportunistic, "the sender's own domain alone");
    assert_eq!(level(noon(7, 1)), Level::Require, "that one may not count");
}
