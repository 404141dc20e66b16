//! Demands are a lattice, and no source lowers what another asks.

use proptest::prelude::*;
use sealpost_policy::{DeliverFacts, Policy, ReceiveFacts, covers, join};
use sealpost_types::{
    CipherSet, CipherSuite, Clause, Demand, ForwardPath, KexFloor, Mailbox, NameMatch, NameRule, Pin, ReversePath, TlsRequirement,
    TlsVersion,
};

fn demand() -> impl Strategy<Value = Demand> {
    let tls = prop::sample::select(vec![TlsRequirement::Never, TlsRequirement::Opportunistic, TlsRequirement::Mandatory]);
    let rule = (
        prop::sample::select(vec![NameMatch::Domain, NameMatch::Mx]),
        prop::collection::vec(prop::sample::select(vec!["a", "b", "*.c"]), 0..3),
    )
        .prop_map(|(matching, names)| NameRule::new(matching, names.into_iter().map(|name| name.parse().unwrap()).collect()));
    let pins = prop::collection::btree_set(0_u8..3, 0..3)
        .prop_map(|octets| Clause::Pinned(octets.into_iter().map(|octet| Pin([octet; 32])).collect()));
    let plain = prop_oneof![Just(Clause::Chain), rule.prop_map(Clause::Identity), pins, Just(Clause::Dane)];
    let otherwise = prop::collection::btree_set(plain.clone(), 0..3).prop_map(|clauses| Clause::DaneElse(clauses.into_iter().collect()));
    let clause = prop_oneof![4 => plain, 1 => otherwise];
    let floor = prop::sample::select(vec![TlsVersion::Tls1_2, TlsVersion::Tls1_3]);
    let groups = vec![KexFloor::Any, KexFloor::Bits128, KexFloor::Bits192, KexFloor::Bits256, KexFloor::PostQuantum];
    let suites = prop::collection::vec(prop::sample::select(vec![0x1301, 0x1302, 0x1303, 0xc02f]).prop_map(CipherSuite), 0..4)
        .prop_map(CipherSet::new);
    (tls, prop::collection::vec(clause, 0..4), floor, prop::sample::select(groups), prop::option::of(suites))
        .prop_map(|(tls, clauses, floor, group, suites)| Demand::new(tls, clauses, floor).with_floors(group, suites))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_join_is_commutative_associative_and_idempotent(a in demand(), b in demand(), c in demand()) {
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a.clone());
        let nothing = Demand::new(TlsRequirement::Never, vec![], TlsVersion::Tls1_2);
        prop_assert_eq!(join(&a, &nothing), a);
    }

    #[test]
    fn the_join_is_the_least_that_covers_both(a in demand(), b in demand(), c in demand()) {
        let both = join(&a, &b);
        prop_assert!(covers(&both, &a) && covers(&both, &b));
        if covers(&c, &a) && covers(&c, &b) {
            prop_assert!(covers(&c, &both));
        }
        // One order and one join: whoever covers is the join.
        prop_assert_eq!(covers(&a, &b), both == a);
    }

    #[test]
    fn the_join_is_monotone(a in demand(), b in demand(), c in demand()) {
        let more = join(&a, &b);
        prop_assert!(covers(&join(&more, &c), &join(&a, &c)));
    }

    /// Of sources that join, one more never lowers what the others ask; explaining a decision does not change it.
    #[test]
    fn a_joining_source_never_lowers(before in prop::collection::vec(joining(), 0..4), after in joining(), secure: bool) {
        let with = [before.clone(), vec![after]].concat();
        let (less, more) = (deliver(&before, secure), deliver(&with, secure));
        prop_assert!(covers(&more, &less), "{:?} then {:?}", less, more);
        let mut turned = with.clone();
        turned.reverse();
        prop_assert_eq!(&deliver(&turned, secure), &more, "the order of entries decides nothing");
        // Entries with equal patterns join for an external name too; the first of them stands in for the defaults.
        if !before.is_empty() {
            let (less, more) = (deliver_to("bob@bank.example", &before, secure), deliver_to("bob@bank.example", &with, secure));
            prop_assert!(covers(&more, &less), "{:?} then {:?}", less, more);
            prop_assert_eq!(deliver_to("bob@bank.example", &turned, secure), more);
        }
        let (less, more) = (receive(&before), receive(&with));
        prop_assert!(covers(&more, &less), "{:?} then {:?}", less, more);
    }
}

/// Where an entry is written that joins others for mail from and to `ann@acme.example`, and what it writes.
fn joining() -> impl Strategy<Value = String> {
    let hop = prop_oneof![
        prop::sample::select(vec!["none", "mirror", "opportunistic", "require", "verify"]).prop_map(|level| format!("'{level}'")),
        (prop::sample::select(vec!["mirror", "opportunistic", "require", "verify"]), prop::sample::select(vec!["1.2", "1.3"]))
            .prop_map(|(level, floor)| format!("{{ level = '{level}', min_version = '{floor}' }}")),
        prop::sample::select(vec![
            "{ min_version = '1.3' }",
            "{ lifetime = '1d' }",
            "{ on_expiry = 'delete', min_version = '1.2' }",
            "{ on_expiry = 'hold', retry = '5m 1h' }",
            "{ retry = '5m 30m' }"
        ])
        .prop_map(str::to_owned),
        prop::sample::select(vec!["x", "y", "x y"])
            .prop_map(|names| format!("{{ level = 'verify', names = '{names}', min_version = '1.2' }}")),
    ];
    let receive = prop::sample::select(vec!["'opportunistic'", "'require'", "{ level = 'require', min_version = '1.3' }"]);
    (hop, receive).prop_map(|(deliver, receive)| format!("[[partner]]\ndomains = '*.example'\nreceive = {receive}\ndeliver = {deliver}\n"))
}

fn policy(entries: &[String]) -> Policy {
    // The hosted domain asks for something of its own; the partners have equal patterns and lie around it.
    let less_specific =
        "[defaults.external]\ndeliver = 'require'\n[[partner]]\ndomains = '*'\ndeliver = { level = 'verify', names = 'z' }\n";
    let text = format!("[[domain]]\nname = 'acme.example'\ndeliver = 'mirror'\n{less_specific}{}", entries.concat());
    Policy::parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn deliver(entries: &[String], secure: bool) -> Demand {
    deliver_to("ann@acme.example", entries, secure)
}

fn deliver_to(recipient: &str, entries: &[String], secure: bool) -> Demand {
    let policy = policy(entries);
    let to = ForwardPath::from(Mailbox::parse(recipient).unwrap());
    let facts = DeliverFacts::new(&ReversePath::Null, &to, secure);
    let (explained, trace) = policy.explain_deliver(&facts);
    assert_eq!(policy.decide_deliver(&facts), explained);
    assert_eq!(trace.demand, explained.demand);
    Demand::clone(&explained.demand)
}

fn receive(entries: &[String]) -> Demand {
    let policy = policy(entries);
    let from = ReversePath::from(Mailbox::parse("bob@bank.example").unwrap());
    let to = ForwardPath::from(Mailbox::parse("ann@acme.example").unwrap());
    let at_mail = ReceiveFacts::new("192.0.2.1".parse().unwrap(), &from);
    let at_rcpt = at_mail.with_recipient(&to);
    let decision = policy.decide_receive(&at_rcpt);
    assert_eq!(policy.explain_receive(&at_rcpt).0, decision);
    assert!(covers(&decision.demand, &policy.decide_receive(&at_mail).demand), "a recipient lowers nothing");
    Demand::clone(&decision.demand)
}
