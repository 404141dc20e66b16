//! Decisions with equal keys are told in the same words.
#![allow(missing_docs, reason = "tests")]

use std::collections::{HashMap, HashSet};

use sealpost_policy::{ClientFacts, DeliverFacts, Policy, ReceiveFacts, Trace, TraceKey};
use sealpost_types::{CipherSuite, Domain, ForwardPath, KexGroup, Mailbox, ReversePath, TlsFacts, TlsVersion, UnixMillis};

const POLICY: &str = r#"
[defaults]
lifetime = "3d"
[defaults.external]
deliver = "opportunistic"
[[owner]]
name = "acme"
deliver = "require"
[[domain]]
name = "acme.example"
owner = "acme"
receive = { level = "require", senders = "*@bank.example, ceo@law.example", recipients = "payroll" }
[[partner]]
name = "Bank"
domains = "bank.example, savings.example"
exclude = "lists.bank.example"
receive = "require"
deliver = { level = "verify", senders = "ann@shop.example", else = "require" }
[[partner]]
domains = "*.example"
deliver = { level = "require", min_version = "1.3", recipients = "ceo" }
[[partner]]
domains = "old.example"
deliver = "chain"
until = "2026-01-01"
[[partner]]
domains = "new.example"
deliver = "verify"
mode = "testing"
[[list]]
name = "secret"
entries = "vault.example"
[[rule]]
name = "Enforced"
when = { direction = "outbound", recipient = { matches = "secret" } }
then = { add_header = { X-TLSLevel = "Require" } }
"#;

const NAMES: [&str; 8] =
    ["acme.example", "bank.example", "eu.bank.example", "lists.bank.example", "old.example", "new.example", "vault.example", "far.test"];

fn mailbox(local: &str, domain: &str) -> Mailbox {
    Mailbox::parse(&format!("{local}@{domain}")).unwrap()
}

/// The mail that is decided of: from everybody to everybody, over TLS and in clear, and notifications.
fn for_each(mut each: impl FnMut(&ReversePath, &ForwardPath, bool, UnixMillis)) {
    let senders = NAMES.iter().flat_map(|name| ["ann", "ceo"].map(|local| ReversePath::Mailbox(mailbox(local, name))));
    let senders: Vec<_> = senders.chain([ReversePath::Null, ReversePath::Mailbox(mailbox("ann", "shop.example"))]).collect();
    for name in NAMES {
        for local in ["payroll", "ceo", "bob"] {
            let to = ForwardPath::Mailbox(mailbox(local, name));
            for from in &senders {
                for (is_secure, now) in [(true, 0), (false, 0), (true, 1_900_000_000_000)] {
                    each(from, &to, is_secure, UnixMillis(now));
                }
            }
        }
    }
}

/// What a history shows of a trace: the level, the short form, and who decided.
type Words = (String, String, Vec<String>);

fn words(trace: &Trace) -> Words {
    let deciding = trace.steps.iter().filter(|step| !step.decided.is_empty()).map(|step| step.source.to_string());
    (trace.level.to_string(), trace.short(), deciding.collect())
}

#[test]
fn equal_keys_are_equal_words() {
    let policy = Policy::parse("policy.toml", POLICY).unwrap();
    let tls = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), Some(KexGroup(0x11ec)), false);
    let mut known: HashMap<TraceKey, Words> = HashMap::new();
    let mut all = HashSet::new();
    let mut count = 0;
    let mut note = |key: TraceKey, trace: &Trace| {
        let words = words(trace);
        count += 1;
        all.insert(words.clone());
        assert_eq!(known.entry(key).or_insert_with(|| words.clone()), &words, "{}", trace.question);
    };
    for_each(|from, to, is_secure, now| {
        let facts = DeliverFacts::new(from, to, is_secure).at(now);
        note(policy.deliver_key(&facts), &policy.explain_deliver(&facts).1);
        let client = ClientFacts::new([192, 0, 2, 1].into());
        let facts = ReceiveFacts::new([192, 0, 2, 1].into(), from)
            .with_client(client)
            .with_tls(is_secure.then_some(&tls))
            .with_recipient(to)
            .at(now);
        note(policy.receive_key(&facts), &policy.explain_receive(&facts).1);
    });
    assert!(all.len() > 10 && known.len() < count / 2, "{} words, {} keys, {count} decisions", all.len(), known.len());
}

/// The negative control: by the domains alone, the same words would be told of what is decided otherwise.
#[test]
fn domains_alone_do_not_tell_decisions_apart() {
    let policy = Policy::parse("policy.toml", POLICY).unwrap();
    let mut known: HashMap<(Option<Domain>, Option<Domain>), Words> = HashMap::new();
    let mut differing = 0;
    for_each(|from, to, is_secure, now| {
        let words = words(&policy.explain_deliver(&DeliverFacts::new(from, to, is_secure).at(now)).1);
        let by_domain = (from.domain().cloned(), to.domain().cloned());
        differing += usize::from(*known.entry(by_domain).or_insert_with(|| words.clone()) != words);
    });
    assert!(differing > 0);
}
