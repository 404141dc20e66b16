//! What single entries do, hop by hop and field by field, and what the traces say of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sealpost_policy::{Axis, DeliverDecision, DeliverFacts, HostDecision, HostFacts, Policy, ReceiveFacts, RefusalReason, SourceKind};
use sealpost_types::{
    CipherSuite, Clause, Domain, Fate, ForwardPath, HostClause, HostDemand, Level, Mailbox, NameMatch, NameRule, NextHop, OnExpiry,
    ReferenceName, ReversePath, TlsFacts, TlsRequirement, TlsVersion,
};

fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn from(text: &str) -> ReversePath {
    Mailbox::parse(text).unwrap().into()
}

fn to(text: &str) -> ForwardPath {
    Mailbox::parse(text).unwrap().into()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn names(texts: &[&str]) -> Vec<ReferenceName> {
    let mut names: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
    names.sort();
    names
}

fn deliver(policy: &Policy, recipient: &str) -> DeliverDecision {
    policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to(recipient), true))
}

/// The reply to a session in clear, or with this TLS.
fn receive(policy: &Policy, sender: &str, recipient: Option<&str>, tls: Option<TlsVersion>) -> String {
    let sender = if sender.is_empty() { ReversePath::Null } else { from(sender) };
    let recipient = recipient.map(to);
    let tls = tls.map(|version| TlsFacts::new(version, CipherSuite(0x1301), None, false));
    let mut facts = ReceiveFacts::new(CLIENT, &sender).with_tls(tls.as_ref());
    if let Some(recipient) = &recipient {
        facts = facts.with_recipient(recipient);
    }
    policy.decide_receive(&facts).refusal().map_or_else(|| "accept".to_owned(), ToString::to_string)
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const HOUR: Duration = Duration::from_secs(3600);

// req: B1
#[test]
fn nothing_configured_is_opportunistic() {
    for policy in [Policy::builtin(), policy(""), policy("[defaults]\n[defaults.external]\n")] {
        let decision = deliver(&policy, "ann@example.org");
        assert_eq!(decision.level, Level::Opportunistic);
        assert_eq!(decision.demand.tls, TlsRequirement::Opportunistic);
        assert!(decision.demand.clauses.is_empty());
        assert_eq!(decision.fate, Fate::new(7 * 24 * HOUR, OnExpiry::Bounce));
        assert_eq!(receive(&policy, "ann@example.org", Some("bob@example.net"), None), "accept");
        assert_eq!(receive(&policy, "", Some("bob@example.net"), None), "accept");
    }
}

// req: A1 A5
#[test]
fn a_partner_entry_works_both_ways() {
    let policy =
        policy("[[domain]]\nname='acme.example'\n[[partner]]\nname='Bank'\ndomains='bank.example'\nreceive='require'\ndeliver='require'");
    // From it: keyed by the sender's domain, whoever the recipient is.
    for recipient in ["ann@acme.example", "cat@shop.example", "dan@bank.example"] {
        assert_eq!(
            receive(&policy, "bob@mail.bank.example", Some(recipient), None),
            "550 5.7.10 Mail from mail.bank.example is accepted over TLS only, use STARTTLS (partner \"Bank\")"
        );
        assert_eq!(receive(&policy, "bob@mail.bank.example", Some(recipient), Some(TlsVersion::Tls1_2)), "accept");
        assert_eq!(receive(&policy, "ann@acme.example", Some(recipient), None), "accept", "the recipient does not key the receive hop");
    }
    // To it: keyed by the recipient's domain, whoever the sender is.
    for sender in ["ann@acme.example", "bob@bank.example", "cat@shop.example"] {
        let facts = |recipient: &ForwardPath| policy.decide_deliver(&DeliverFacts::new(&from(sender), recipient, false)).demand.tls;
        assert_eq!(facts(&to("bob@bank.example")), TlsRequirement::Mandatory);
        assert_eq!(facts(&to("cat@shop.example")), TlsRequirement::Opportunistic);
    }
}

// req: B2 B3
#[test]
fn mirror_sends_on_as_it_came_in() {
    let policy = policy("[defaults.external]\ndeliver = 'mirror'");
    let recipient = to("ann@example.org");
    for (secure, expected) in [(false, TlsRequirement::Never), (true, TlsRequirement::Opportunistic)] {
        let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &recipient, secure));
        assert_eq!((decision.level, decision.demand.tls), (Level::Mirror, expected));
    }
}

// req: B4
#[test]
fn a_change_of_the_default_reaches_each_domain_without_its_own() {
    let entries = "[[domain]]\nname='a.example'\n[[domain]]\nname='b.example'\nreceive='opportunistic'\ndeliver='opportunistic'\n";
    for (word, code, level) in [("opportunistic", "accept", Level::Opportunistic), ("require", "550", Level::Require)] {
        let policy = policy(&format!("{entries}[defaults.hosted]\nreceive='{word}'\ndeliver='{word}'"));
        assert!(receive(&policy, "x@y.example", Some("ann@a.example"), None).starts_with(code));
        assert_eq!(receive(&policy, "x@y.example", Some("ann@b.example"), None), "accept");
        assert_eq!(deliver(&policy, "ann@a.example").level, level);
        assert_eq!(deliver(&policy, "ann@b.example").level, Level::Opportunistic);
    }
}

// req: B4 B9
#[test]
fn each_field_falls_through_by_itself() {
    let policy = policy(
        r#"
[defaults]
lifetime = "5d"
[defaults.external]
deliver = { level = "require", on_expiry = "delete" }
[[partner]]
domains = "*"
deliver = { min_version = "1.3" }
[[partner]]
domains = "*.example"
deliver = { level = "verify", names = "mx.hosting.example", match = "mx" }
[[partner]]
domains = "bank.example"
deliver = { lifetime = "36h" }
[[partner]]
domains = "shop.example"
deliver = { names = [], match = "domain", on_expiry = "bounce", min_version = "1.2" }
"#,
    );
    let verify = |matching, texts: &[&str]| vec![Clause::Chain, Clause::Identity(NameRule::new(matching, names(texts)))];
    let bank = deliver(&policy, "ann@bank.example");
    assert_eq!(bank.level, Level::Verify);
    assert_eq!(bank.demand.clauses, verify(NameMatch::Mx, &["mx.hosting.example"]));
    assert_eq!(bank.demand.min_version, TlsVersion::Tls1_3);
    assert_eq!(bank.fate, Fate::new(36 * HOUR, OnExpiry::Delete));
    let shop = deliver(&policy, "ann@shop.example");
    assert_eq!(shop.demand.clauses, verify(NameMatch::Domain, &[]), "an empty list takes the inherited names away");
    assert_eq!(shop.demand.min_version, TlsVersion::Tls1_2);
    assert_eq!(shop.fate, Fate::new(120 * HOUR, OnExpiry::Bounce));
    let other = deliver(&policy, "ann@example.org");
    assert_eq!((other.level, other.demand.min_version), (Level::Require, TlsVersion::Tls1_3));
    assert_eq!(other.fate, Fate::new(120 * HOUR, OnExpiry::Delete));
}

// req: B9
#[test]
fn the_fate_of_mail_is_written_with_the_hop() {
    let policy = policy(
        r#"
[defaults]
lifetime = "30s"
on_expiry = "delete"
[[domain]]
name = "acme.example"
deliver = { lifetime = "90m", on_expiry = "bounce" }
[[partner]]
domains = "one.example"
deliver = { lifetime = "2d", on_expiry = "delete" }
[[partner]]
domains = "one.example"
deliver = { lifetime = "1d", on_expiry = "bounce" }
[[partner]]
domains = "*.example"
deliver = { lifetime = "3d" }
"#,
    );
    let fate = |recipient| deliver(&policy, recipient).fate;
    assert_eq!(fate("ann@example.org"), Fate::new(Duration::from_secs(30), OnExpiry::Delete));
    // Equal patterns: the shorter time, the end that tells somebody.
    assert_eq!(fate("ann@one.example"), Fate::new(24 * HOUR, OnExpiry::Bounce));
    // What an entry says goes before what a default says through another of the same pattern.
    let silent = self::policy(
        "[defaults]\nlifetime='1h'\n[[partner]]\ndomains='a'\ndeliver={lifetime='3d', on_expiry='delete'}\n[[partner]]\ndomains='a'\ndeliver='none'",
    );
    assert_eq!(deliver(&silent, "ann@a").fate, Fate::new(72 * HOUR, OnExpiry::Delete));
    // A partner around a hosted domain joins it.
    assert_eq!(fate("ann@acme.example"), Fate::new(Duration::from_secs(5400), OnExpiry::Bounce));
    // Its entry goes before a default of the hosted ones.
    let around = self::policy(
        "[defaults]\nlifetime = '1h'\n[[domain]]\nname='a.example'\n[[partner]]\ndomains='*.example'\ndeliver={lifetime='3d'}",
    );
    assert_eq!(deliver(&around, "ann@a.example").fate.lifetime, 72 * HOUR);
}

#[test]
fn entries_with_equal_patterns_join() {
    let policy = policy(
        "[[partner]]\nname='A'\ndomains='x.example, gov.example'\ndeliver={ level='verify', names='a.example' }\n\
         [[partner]]\nname='B'\ndomains='gov.example'\ndeliver={ level='verify', names='b.example', match='mx' }\n\
         [[partner]]\nname='C'\ndomains='gov.example'\ndeliver={ level='none' }\n\
         [[partner]]\nname='D'\ndomains='gov.example'\ndeliver={ min_version='1.3' }",
    );
    let decision = deliver(&policy, "ann@tax.gov.example");
    assert_eq!(decision.level, Level::Verify);
    assert_eq!(decision.demand.min_version, TlsVersion::Tls1_3);
    assert_eq!(
        decision.demand.clauses,
        [
            Clause::Chain,
            Clause::Identity(NameRule::new(NameMatch::Domain, names(&["a.example"]))),
            Clause::Identity(NameRule::new(NameMatch::Mx, names(&["b.example"]))),
        ]
    );
    assert_eq!(deliver(&policy, "ann@x.example").demand.clauses.len(), 2);
}

/// Equal patterns on two ranks: each entry above is filled up from each below.
#[test]
fn entries_with_equal_patterns_are_filled_up_one_by_one() {
    let policy = policy(
        "[[partner]]\ndomains='tax.example'\ndeliver={ lifetime='1d' }\n\
         [[partner]]\ndomains='tax.example'\ndeliver={ lifetime='2d', names='own.example' }\n\
         [[partner]]\ndomains='example'\ndeliver={ level='require', min_version='1.3' }\n\
         [[partner]]\ndomains='example'\ndeliver={ level='verify', names='a.example' }",
    );
    let decision = deliver(&policy, "ann@tax.example");
    assert_eq!((decision.demand.min_version, decision.fate.lifetime), (TlsVersion::Tls1_3, 24 * HOUR));
    let identity = |name| Clause::Identity(NameRule::new(NameMatch::Domain, names(&[name])));
    assert_eq!(decision.demand.clauses, [Clause::Chain, identity("a.example"), identity("own.example")]);
}

#[test]
fn excluded_names_fall_through() {
    let policy = policy(
        "[defaults.external]\ndeliver='mirror'\n\
         [[partner]]\ndomains='bank.example'\nexclude='lists.bank.example, *.test.bank.example, m*l.bank.example'\ndeliver='verify'\n\
         [[partner]]\ndomains='example'\nexclude='mail.bank.example'\ndeliver='require'",
    );
    let level = |name: &str| deliver(&policy, &format!("ann@{name}")).level;
    assert_eq!(level("bank.example"), Level::Verify);
    assert_eq!(level("a.lists.bank.example"), Level::Verify, "that name only");
    assert_eq!(level("LISTS.bank.example"), Level::Require, "the next entry is asked");
    assert_eq!(level("a.b.test.bank.example"), Level::Require);
    assert_eq!(level("test.bank.example"), Level::Verify);
    assert_eq!(level("mail.bank.example"), Level::Mirror, "and then the defaults");
    let without = self::policy("[[partner]]\ndomains='*'\nexclude='*'\ndeliver='require'");
    assert_eq!(deliver(&without, "ann@[192.0.2.1]").level, Level::Opportunistic);
}

#[test]
fn lists_take_any_mix_of_separators() {
    for list in [
        "'a.example b.example c.example'",
        "'a.example,b.example, c.example,'",
        "\"\"\"\na.example\n\tb.example ,\r\nc.example\n\"\"\"",
        "[' a.example', 'b.example,c.example']",
    ] {
        let policy = policy(&format!("[[partner]]\ndomains = {list}\ndeliver = 'require'"));
        for name in ["a.example", "x.b.example", "c.example"] {
            assert_eq!(deliver(&policy, &format!("ann@{name}")).level, Level::Require, "{list}: {name}");
        }
        assert_eq!(deliver(&policy, "ann@example").level, Level::Opportunistic);
    }
}

#[test]
fn senders_and_recipients_without_a_domain() {
    let policy = policy(
        "[[partner]]\ndomains='*'\nreceive='require'\ndeliver='require'\n[defaults.hosted]\nreceive='require'\ndeliver='mirror'\n[[domain]]\nname='acme.example'\nreceive='opportunistic'",
    );
    assert!(receive(&policy, "", None, None).starts_with("530 5.7.0 This mail is accepted"));
    assert!(receive(&policy, "ann@[192.0.2.1]", None, None).starts_with("530 "));
    assert_eq!(receive(&policy, "ann@acme.example", None, None), "accept", "`*` does not cover a hosted sender");
    assert_eq!(deliver(&policy, "ann@[192.0.2.1]").level, Level::Require);
    let postmaster = ForwardPath::Postmaster;
    let hosted = from("ann@acme.example");
    let at_rcpt = ReceiveFacts::new(CLIENT, &hosted).with_recipient(&postmaster);
    assert_eq!(policy.decide_receive(&at_rcpt).refusal().map(|refusal| refusal.code.value()), Some(550));
    let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &postmaster, true));
    assert_eq!(decision.level, Level::Mirror, "{trace}");
    assert!(trace.steps.iter().all(|step| step.source.kind() != SourceKind::Partner), "{trace}");
}

// req: A5
#[test]
fn refusals_name_what_is_missing_and_who_asks() {
    let policy = policy(
        "[[partner]]\nname='Bänk \"1\"'\ndomains='bank.example'\nreceive={ level='require', min_version='1.3' }\n\
         [[domain]]\nname='acme.example'\nreceive='require'",
    );
    assert_eq!(
        receive(&policy, "a@bank.example", None, None),
        "530 5.7.0 Mail from bank.example is accepted over TLS only, use STARTTLS (partner \"B?nk \"1\"\")"
    );
    assert_eq!(
        receive(&policy, "a@bank.example", Some("b@acme.example"), Some(TlsVersion::Tls1_2)),
        "550 5.7.0 Mail from bank.example is accepted over TLSv1.3 or later only, this session has TLSv1.2 (partner \"B?nk \"1\"\")"
    );
    assert_eq!(receive(&policy, "a@bank.example", Some("b@acme.example"), Some(TlsVersion::Tls1_3)), "accept");
    assert_eq!(
        receive(&policy, "a@shop.example", Some("b@acme.example"), None),
        "550 5.7.10 Mail to acme.example is accepted over TLS only, use STARTTLS (domain \"acme.example\")"
    );
    let sender = from("a@bank.example");
    let decision = policy.decide_receive(&ReceiveFacts::new(CLIENT, &sender));
    let refusal = decision.refusal().unwrap();
    assert_eq!(refusal.reason, RefusalReason::NoTls);
    assert_eq!(refusal.asked_by.to_string(), "partner \"Bänk \"1\"\" (policy.toml:1)");
    // The longest names that there are still fit one line.
    let long = [&*"a".repeat(63), &*"b".repeat(63), &*"c".repeat(63), &*"d".repeat(61)].join(".");
    let policy = self::policy(&format!("[[partner]]\nname='{}'\ndomains='*'\nreceive='require'", "n".repeat(100)));
    let reply = receive(&policy, &format!("a@{long}"), None, None);
    assert!(reply.len() <= 510 && reply.ends_with("\")"), "{reply}");
}

// req: A5
#[test]
fn two_recipients_of_one_message_may_differ() {
    let policy = policy("[[domain]]\nname='strict.example'\nreceive='require'\n[[domain]]\nname='lax.example'");
    assert_eq!(receive(&policy, "a@shop.example", None, None), "accept");
    assert!(receive(&policy, "a@shop.example", Some("b@strict.example"), None).starts_with("550 5.7.10"));
    assert_eq!(receive(&policy, "a@shop.example", Some("b@lax.example"), None), "accept");
}

#[test]
fn routes_and_hosted_domains() {
    let policy = policy(
        "[[domain]]\nname='acme.example'\nroute='mail.acme.example:2525'\n[[domain]]\nname='*.acme.example'\nroute='[2001:db8::1]'\n\
         [[domain]]\nname='x.acme.example'\nreceive='require'\n[[partner]]\ndomains='bank.example'",
    );
    let route = |name| policy.route(&domain(name)).map(ToString::to_string);
    assert_eq!(route("acme.example").as_deref(), Some("mail.acme.example:2525"));
    assert_eq!(route("y.acme.example").as_deref(), Some("[2001:db8::1]:25"));
    assert_eq!(route("x.acme.example").as_deref(), Some("[2001:db8::1]:25"), "a field that falls through");
    assert_eq!(route("bank.example"), None);
    for (name, hosted) in
        [("acme.example", true), ("a.b.acme.example", true), ("x.acme.example", true), ("bank.example", false), ("example", false)]
    {
        assert_eq!(policy.is_hosted(&domain(name)), hosted, "{name}");
    }
}

fn host(policy: &Policy, recipient: &str, next_hop: &NextHop, name: Option<&str>, secure: bool) -> HostDecision {
    let name = name.map(domain);
    let facts = HostFacts::new(next_hop, name.as_ref(), secure, ADDRESS);
    policy.decide_host(&deliver(policy, recipient), &facts)
}

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25)), 25);

fn verified(texts: &[&str]) -> HostDemand {
    HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain, HostClause::Identity(names(texts))], TlsVersion::Tls1_2)
}

// req: B8
#[test]
fn right_names_of_a_host() {
    let policy = policy(
        "[[partner]]\ndomains='strict.example'\ndeliver='verify'\n\
         [[partner]]\ndomains='mx.example'\ndeliver={ level='verify', match='mx', names='*.cdn.example' }",
    );
    let by_mx = |text: &str| NextHop::Mx(domain(text));
    let strict = |name, secure| host(&policy, "a@strict.example", &by_mx("strict.example"), name, secure);
    assert_eq!(strict(Some("mx1.provider.example"), false).demand(), &verified(&["strict.example", "*.strict.example"]));
    assert_eq!(strict(Some("mx1.provider.example"), false).insecure_name, None);
    assert_eq!(
        strict(Some("mx1.provider.example"), true).demand(),
        &verified(&["strict.example", "*.strict.example", "mx1.provider.example"])
    );
    assert_eq!(strict(Some("mx1.provider.example"), true).wire_key.server_name, Some(domain("mx1.provider.example")));

    let loose = |name, secure| host(&policy, "a@mx.example", &by_mx("mx.example"), Some(name), secure);
    let with_mx = |name| verified(&["mx.example", "*.mx.example", "*.cdn.example", name]);
    assert_eq!(loose("mx1.provider.example", false).demand(), &with_mx("mx1.provider.example"));
    assert_eq!(loose("mx1.provider.example", false).insecure_name, Some(domain("mx1.provider.example")), "the proof must say so");
    assert_eq!(loose("mx1.provider.example", true).insecure_name, None);
    for covered in ["a.mx.example", "mx.example", "b.cdn.example"] {
        assert_eq!(loose(covered, false).insecure_name, None, "{covered} is a right name anyhow");
    }

    // The host of a route is known, and nothing else is; its next hop is no domain.
    let route = NextHop::Host { name: domain("mail.acme.example"), port: 25 };
    assert_eq!(host(&policy, "a@strict.example", &route, Some("mail.acme.example"), true).demand(), &verified(&["mail.acme.example"]));
    let address = NextHop::Address { address: ADDRESS.ip(), port: 25 };
    let by_address = host(&policy, "a@strict.example", &address, None, true);
    assert_eq!(by_address.demand(), &verified(&["192.0.2.25"]));
    assert_eq!(by_address.wire_key.server_name, None);
    // Nothing known is nothing that matches.
    assert_eq!(host(&policy, "a@strict.example", &address, None, false).demand(), &verified(&[]));
}

#[test]
fn clear_connections_have_one_key_whatever_they_were_asked_with() {
    let policy =
        policy("[[partner]]\ndomains='a.example'\ndeliver='none'\n[defaults.external]\ndeliver={ level='mirror', min_version='1.3' }");
    let next_hop = NextHop::Mx(domain("x.example"));
    let recipient = to("ann@b.example");
    let clear = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &recipient, false));
    let name = domain("mx.x.example");
    let mirrored = policy.decide_host(&clear, &HostFacts::new(&next_hop, Some(&name), false, ADDRESS));
    assert_eq!(mirrored.wire_key, host(&policy, "ann@a.example", &next_hop, None, true).wire_key);
    assert_eq!(mirrored.demand().tls, TlsRequirement::Never);
}

/// Two partners whose mail goes to one host of a provider.
const SHARED: &str = r#"
[[partner]]
domains = "require.example"
deliver = "require"
[[partner]]
domains = "require-too.example"
deliver = { level = "require", lifetime = "1h" }
[[partner]]
domains = "floor.example"
deliver = { level = "require", min_version = "1.3" }
[[partner]]
domains = "verify.example"
deliver = { level = "verify", match = "mx" }
[[partner]]
domains = "names.example"
deliver = { level = "verify", match = "mx", names = "provider.example" }
[[partner]]
domains = "may.example"
deliver = "opportunistic"
[[partner]]
domains = "clear.example"
deliver = "none"
"#;

// req: B8
#[test]
fn partners_that_share_a_host_share_a_connection_exactly_if_their_demands_are_equal() {
    let policy = policy(SHARED);
    let decided = |name: &str| {
        let next_hop = NextHop::Mx(domain(name));
        host(&policy, &format!("ann@{name}"), &next_hop, Some("mx1.provider.example"), false)
    };
    let partners = ["require.example", "floor.example", "verify.example", "names.example", "may.example", "clear.example"];
    let keys: std::collections::HashSet<_> = partners.map(|name| decided(name).wire_key).into_iter().collect();
    assert_eq!(keys.len(), partners.len(), "no two of them share a connection");
    assert_eq!(decided("require.example").wire_key, decided("require-too.example").wire_key, "a fate is nothing of the wire");
    assert_ne!(deliver(&policy, "a@require.example"), deliver(&policy, "a@require-too.example"), "and still their mail travels apart");
    // Negative control: keyed by the host alone, every one of them would travel over whichever connection is there.
    let hosts: std::collections::HashSet<_> = partners.map(|name| decided(name).wire_key.address).into_iter().collect();
    assert_eq!(hosts.len(), 1);
    // The same demand of two domains is verified against two names: never one connection.
    let one = NextHop::Mx(domain("verify.example"));
    let other = NextHop::Mx(domain("a.verify.example"));
    assert_eq!(deliver(&policy, "a@verify.example"), deliver(&policy, "a@a.verify.example"));
    assert_ne!(
        host(&policy, "a@verify.example", &one, Some("mx1.provider.example"), false).wire_key,
        host(&policy, "a@verify.example", &other, Some("mx1.provider.example"), false).wire_key
    );
}

const EXPLAINED: &str = r#"[defaults]
lifetime = "5d"
[defaults.external]
deliver = "mirror"
[[partner]]
name = "Bank"
domains = "bank.example"
receive = { level = "require", min_version = "1.3" }
deliver = { level = "verify", names = "mx.hosting.example" }
[[partner]]
domains = "*.example"
deliver = { level = "require", on_expiry = "delete" }
[[domain]]
name = "acme.example"
receive = "require"
"#;

// req: F1
#[test]
fn a_trace_names_every_source_and_what_came_of_it() {
    let policy = policy(EXPLAINED);
    let (sender, recipient) = (from("ann@acme.example"), to("bob@mail.bank.example"));
    let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&sender, &recipient, true));
    assert_eq!(decision.level, Level::Verify);
    assert_eq!(
        trace.to_string(),
        "deliver from <ann@acme.example> to <bob@mail.bank.example>, received over TLS: verify\n  \
         asked in all: TLS mandatory, TLSv1.2 or later, a chain to a trust anchor, a name of the domain or mx.hosting.example; \
         tried for 5d, then deletion\n  \
         partner \"Bank\" (policy.toml:5), recipient matches *.bank.example: asks verify, names mx.hosting.example \
         -> set tls to mandatory, asked for chain and name\n  \
         partner \"*.example\" (policy.toml:10), recipient matches *.example: asks require, on_expiry \"delete\" -> set on_expiry to delete\n  \
         [defaults.external] (policy.toml:3), recipient: asks mirror -> no effect\n  \
         [defaults] (policy.toml:1), recipient: asks lifetime \"5d\" -> set lifetime to 5d\n  \
         system rule, recipient: asks opportunistic, min_version \"1.2\", lifetime \"7d\", on_expiry \"bounce\" -> set min_version to 1.2"
    );
    assert_eq!(
        trace.short(),
        "verify: partner \"Bank\" (policy.toml:5) set tls to mandatory, asked for chain and name; \
         partner \"*.example\" (policy.toml:10) set on_expiry to delete; [defaults] (policy.toml:1) set lifetime to 5d"
    );
    // Bank's verify is stricter than the next source's require by what it asks of the certificate.
    assert_eq!(trace.steps[0].raised.iter().collect::<Vec<_>>(), [Axis::Certificate]);
    assert!(trace.steps[1].raised.is_empty() && trace.steps[2].decided.is_empty());
}

// req: F1
#[test]
fn a_trace_of_the_receive_hop_says_which_side_asked() {
    let policy = policy(EXPLAINED);
    let (sender, recipient) = (from("bob@bank.example"), to("ann@acme.example"));
    let facts = TlsFacts::new(TlsVersion::Tls1_2, CipherSuite(0xc02f), None, false);
    let (decision, trace) = policy.explain_receive(&ReceiveFacts::new(CLIENT, &sender).with_tls(Some(&facts)).with_recipient(&recipient));
    assert_eq!(
        trace.to_string(),
        "receive from <bob@bank.example> to <ann@acme.example>, client 192.0.2.7 over TLSv1.2: require\n  \
         asked in all: TLS mandatory, TLSv1.3 or later\n  \
         partner \"Bank\" (policy.toml:5), sender matches bank.example: asks require, min_version \"1.3\" \
         -> raised tls to mandatory, raised min_version to 1.3\n  \
         partner \"*.example\" (policy.toml:10), sender matches *.example: asks nothing -> no effect\n  \
         built-in default, sender: asks opportunistic, min_version \"1.2\" -> no effect\n  \
         domain \"acme.example\" (policy.toml:13), recipient matches acme.example: asks require -> no effect\n  \
         built-in default, recipient: asks opportunistic, min_version \"1.2\" -> no effect"
    );
    assert_eq!(trace.short(), "require: partner \"Bank\" (policy.toml:5) raised tls to mandatory, raised min_version to 1.3");
    assert!(decision.refusal().is_some());
    // The recipient's domain asks what the sender's partner had asked already.
    let raised: Vec<_> = trace.steps.iter().filter(|step| !step.raised.is_empty()).map(|step| step.source.to_string()).collect();
    assert_eq!(raised, ["partner \"Bank\" (policy.toml:5)"]);
    let sender = from("cat@shop.test");
    let (_, trace) = policy.explain_receive(&ReceiveFacts::new(CLIENT, &sender));
    assert_eq!(trace.short(), "opportunistic: built-in default");
}

// req: F1
#[test]
fn a_trace_is_serialised() {
    let policy = policy(EXPLAINED);
    let (sender, recipient) = (ReversePath::Null, to("bob@bank.example"));
    let (_, trace) = policy.explain_deliver(&DeliverFacts::new(&sender, &recipient, false));
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(
        json["question"],
        serde_json::json!({ "hop": "deliver", "client": null, "certificate": null, "from": "", "to": "bob@bank.example", "tls": null,
            "secure": false })
    );
    assert_eq!(json["level"], "verify");
    assert_eq!(
        json["demand"],
        serde_json::json!({ "tls": "mandatory", "min_version": "1.2", "min_group": "any", "ciphers": null, "clauses": [
            { "kind": "chain" },
            { "kind": "identity", "match": "domain", "names": ["mx.hosting.example"] },
        ] })
    );
    assert_eq!((json["lifetime"].as_str(), json["on_expiry"].as_str()), (Some("5d"), Some("delete")));
    assert_eq!(
        json["sources"][0],
        serde_json::json!({
            "source": { "kind": "partner", "name": "Bank", "file": "policy.toml", "line": 5 },
            "party": "recipient", "pattern": "bank.example",
            "asked": { "level": "verify", "names": ["mx.hosting.example"] },
            "note": null, "raised": ["certificate"], "decided": ["tls", "certificate"],
        })
    );
    assert_eq!(json["sources"].as_array().map(Vec::len), Some(5));
}

#[test]
fn decisions_and_policies_move_into_tasks() {
    fn moves<T: Send + Sync + Clone + 'static>(_: &T) {}
    let policy = std::sync::Arc::new(policy(SHARED));
    moves(&policy);
    moves(&deliver(&policy, "a@verify.example"));
    let sender = from("a@b.example");
    moves(&policy.decide_receive(&ReceiveFacts::new(CLIENT, &sender)));
}
