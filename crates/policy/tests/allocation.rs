//! A decision without a trace allocates nothing but a join that is new; counted, not guessed.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod counting;

use std::net::{IpAddr, Ipv4Addr};

use sealpost_policy::{AddressSet, DeliverFacts, Policy, ReceiveFacts, TAG_DELIMITERS, faces};
use sealpost_types::{CipherSuite, ForwardPath, Level, Mailbox, ReversePath, TlsFacts, TlsVersion, UnixMillis};

/// What `call` gives, and how often this thread allocated meanwhile.
fn count<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = counting::allocations();
    let value = call();
    (value, counting::allocations() - before)
}

const DOCUMENT: &str = r#"
[defaults]
lifetime = "5d"
[defaults.external]
receive = "opportunistic"
deliver = { level = "mirror", min_version = "1.3" }
[[domain]]
name = "acme.example"
receive = { level = "require", min_version = "1.3" }
deliver = { level = "verify", match = "mx" }
[[partner]]
name = "Bank"
domains = "bank.example"
exclude = "lists.bank.example *.x.bank.example m*.bank.example"
receive = "require"
deliver = { level = "verify", names = "mx.hosting.example", on_expiry = "delete" }
[[partner]]
domains = "m?x*.example"
deliver = "require"
[[partner]]
domains = "twice.test"
deliver = { level = "verify", names = "a.test" }
[[partner]]
domains = "twice.test"
deliver = { level = "verify", names = "b.test" }
"#;

/// What a busy relay has: owners, servers, conditions, rules.
const BUSY: &str = r#"
[[owner]]
name = "group"
deliver = "require"
submit = "require"
[[owner]]
name = "acme"
parent = "group"
[[domain]]
name = "acme.example"
owner = "acme"
servers = ["192.0.2.0/28", "shared:198.51.100.0/24", "auth:acme-out"]
receive = { level = "require", senders = "*@bank.example, ceo@law.example", recipients = "payroll john.smith", else = "opportunistic" }
[[partner]]
name = "Bank"
domains = "bank.example"
for = ["owner:group", "zeta.example"]
clients = "203.0.113.0/24"
receive = "require"
deliver = { level = "chain", senders = "*@acme.example" }
until = 2026-12-31
[[partner]]
domains = "dane.example"
deliver = { level = "dane", else = "verify", names = "mx.dane.example" }
[[list]]
name = "tls"
entries = "clinic.example *.gov.example ceo@law.example"
[[rule]]
name = "Enforced"
when = { direction = "outbound", recipient = { matches = "tls" } }
then = { add_header = { X-TLSLevel = "Require" } }
[[rule]]
name = "Inbound"
when = { direction = "inbound", sender = { not_matches = "tls" }, recipient = { matches = "tls" } }
then = { stop = true }
"#;

fn from(text: &str) -> ReversePath {
    Mailbox::parse(text).expect("a mailbox").into()
}

fn to(text: &str) -> ForwardPath {
    Mailbox::parse(text).expect("a mailbox").into()
}

#[test]
fn deciding_allocates_nothing() {
    let policy = Policy::parse("policy.toml", DOCUMENT).expect("a policy");
    let sender = ReversePath::from(Mailbox::parse("ann@out.bank.example").expect("a mailbox"));
    for (recipient, level) in [
        ("a@example.org", Level::Mirror),
        ("a@bank.example", Level::Verify),
        ("a@very.deep.down.bank.example", Level::Verify),
        ("a@lists.bank.example", Level::Mirror),
        ("a@mix.example", Level::Require),
        ("a@acme.example", Level::Verify),
        ("a@[192.0.2.1]", Level::Mirror),
    ] {
        let recipient = to(recipient);
        let (decision, allocations) = count(|| policy.decide_deliver(&DeliverFacts::new(&sender, &recipient, true)));
        assert_eq!((decision.level, allocations), (level, 0), "{recipient}");
        let (copy, allocations) = count(|| decision.clone());
        assert_eq!((copy, allocations), (decision, 0));
    }
    let tls = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false);
    let recipient = to("a@acme.example");
    let at_mail = ReceiveFacts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), &sender).with_tls(Some(&tls));
    for facts in [at_mail, at_mail.with_recipient(&recipient)] {
        let (decision, allocations) = count(|| policy.decide_receive(&facts));
        assert!(decision.refusal().is_none());
        assert_eq!((decision.level, allocations), (Level::Require, 0), "{facts:?}");
    }
}

// req: B5 C1 D1 D5
#[test]
fn owners_servers_conditions_and_rules_allocate_nothing() {
    let policy = Policy::parse("policy.toml", BUSY).unwrap_or_else(|errors| panic!("{errors}"));
    for (sender, recipient, level) in [
        ("ann@shop.test", "a@acme.example", Level::Require),
        ("ann@acme.example", "a@bank.example", Level::Chain),
        ("ann@shop.test", "a@bank.example", Level::Opportunistic),
        ("ann@acme.example", "a@dane.example", Level::Dane),
        ("ann@acme.example", "dr@clinic.example", Level::Require),
        ("ann@acme.example", "x@y.test", Level::Opportunistic),
    ] {
        let (sender, recipient) = (from(sender), to(recipient));
        let facts = DeliverFacts::new(&sender, &recipient, true).at(UnixMillis(0));
        let (decision, allocations) = count(|| policy.decide_deliver(&facts));
        assert_eq!((decision.level, allocations), (level, 0), "{sender} to {recipient}");
    }
    let tls = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false);
    for (client, sender, recipient, level) in [
        ("192.0.2.1", "ann@acme.example", "a@shop.test", Level::Require),
        ("192.0.2.1", "ann@other.test", "a@shop.test", Level::Require),
        ("198.51.100.1", "ann@acme.example", "a@shop.test", Level::Require),
        ("198.51.100.1", "ann@other.test", "a@shop.test", Level::Opportunistic),
        ("203.0.113.9", "bob@bank.example", "payroll@acme.example", Level::Require),
        ("203.0.113.9", "ceo@law.example", "ann@acme.example", Level::Opportunistic),
        ("203.0.113.9", "ceo@law.example", "john.smith@acme.example", Level::Require),
    ] {
        let (sender, recipient) = (from(sender), to(recipient));
        let at_mail = ReceiveFacts::new(client.parse().expect("an address"), &sender).with_tls(Some(&tls)).at(UnixMillis(0));
        let facts = at_mail.with_recipient(&recipient);
        let (decision, allocations) = count(|| policy.decide_receive(&facts));
        assert_eq!((decision.level, allocations), (level, 0), "{client} {sender} to {recipient}");
    }
    // The negative controls: an entry past its date may or may not speak, and a wrapped sender is unwrapped.
    let (sender, recipient) = (from("ann@acme.example"), to("a@bank.example"));
    let (_, expired) = count(|| policy.decide_deliver(&DeliverFacts::new(&sender, &recipient, true)));
    let wrapped = from("SRS0=h=t=acme.example=ann@forwarder.test");
    let (_, unwrapping) = count(|| policy.decide_deliver(&DeliverFacts::new(&wrapped, &recipient, true).at(UnixMillis(0))));
    assert!(expired > 0 && unwrapping > 0);
}

/// A set of address patterns finds what covers an ordinary sender, and that nothing does, without allocating.
#[test]
fn a_set_of_addresses_allocates_nothing() {
    let patterns = ["*", "ann@bank.example", "ann*@bank.example", "*@*.example", "bob@m*.example", "zoe@*"];
    let set = AddressSet::new(patterns.map(|text| text.parse().expect("a pattern")), TAG_DELIMITERS);
    for (sender, expected) in [
        ("ann@bank.example", "ann@bank.example"),
        ("\"ann\"@bank.example", "ann@bank.example"),
        ("anna@bank.example", "ann*@bank.example"),
        ("bob@mix.example", "*@*.example"),
        ("zoe@[192.0.2.1]", "zoe@*"),
        ("ann+news@bank.example", "ann@bank.example"),
        ("bob@very.deep.down.test", "*"),
    ] {
        let sender = ReversePath::from(Mailbox::parse(sender).expect("a mailbox"));
        let (found, allocations) = count(|| faces(&sender).find_map(|face| set.matches(&face)));
        assert_eq!(allocations, 0, "{sender}");
        assert_eq!(found.map(ToString::to_string).as_deref(), Some(expected), "{sender}");
    }
    // The negative control: what is folded is written anew.
    let upper = ReversePath::from(Mailbox::parse("Ann@bank.example").expect("a mailbox"));
    let (_, allocations) = count(|| faces(&upper).find_map(|face| set.matches(&face)));
    assert!(allocations > 0);
}

/// The count does see allocations: a trace makes some, and so does a join of two sources that ask different things.
#[test]
fn the_counter_counts() {
    let policy = Policy::parse("policy.toml", DOCUMENT).expect("a policy");
    let recipient = to("a@bank.example");
    let facts = DeliverFacts::new(&ReversePath::Null, &recipient, true);
    let (_, with_trace) = count(|| policy.explain_deliver(&facts));
    assert!(with_trace > 0);
    let recipient = to("a@twice.test");
    let (decision, for_join) = count(|| policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &recipient, true)));
    assert_eq!(decision.demand.clauses.len(), 3);
    assert!(for_join > 0);
}
