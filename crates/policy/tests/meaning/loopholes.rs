//! Ways around a policy that were found once, each closed.

use sealpost_policy::{DeliverFacts, HeaderBlock, Include, IncludeError, Policy};
use sealpost_types::{Level, ReversePath};

use crate::support::{at, from, in_clear, policy, to};

fn wrong(text: &str) -> String {
    Policy::parse("policy.toml", text).map_or_else(|errors| errors.to_string(), |_| String::new())
}

/// An entry that is not for this mail exempted its clients from what a less specific one asks.
#[test]
fn an_exemption_is_for_the_mail_of_its_entry() {
    let policy = policy(
        "[defaults.external]\nreceive = 'require'\n[[partner]]\ndomains = 'bank.example'\n\
         receive = { level = 'require', senders = 'ceo@bank.example', exempt_clients = '192.0.2.1' }",
    );
    assert_eq!(in_clear(&policy, at("192.0.2.1"), "ceo@bank.example", None), "accept");
    for (client, sender) in [("192.0.2.1", "ann@bank.example"), ("192.0.2.2", "ceo@bank.example"), ("192.0.2.2", "ann@bank.example")] {
        assert!(in_clear(&policy, at(client), sender, None).starts_with("530 "), "{client} {sender}");
    }
}

/// A hosted domain in testing, with servers, took their clients out of the defaults that hold without it.
// req: F2
#[test]
fn servers_of_a_domain_in_testing_switch_nothing_off() {
    let external = "[defaults.external]\nreceive = 'require'\n";
    let pilot = |mode: &str| {
        format!("{external}[[domain]]\nname = 'pilot.example'\nservers = '198.51.100.0/24'\nsubmit = 'opportunistic'\nmode = '{mode}'\n")
    };
    let reply = |text: &str| in_clear(&policy(text), at("198.51.100.7"), "x@other.example", None);
    assert!(reply(external).starts_with("530 "));
    assert!(reply(&pilot("testing")).starts_with("530 "), "as without it");
    assert_eq!(reply(&pilot("enforce")), "accept", "and this is what the domain asks once it counts");
}

/// A stranger that wrote a hosted sender was asked less than one that wrote its own.
#[test]
fn a_forged_hosted_sender_is_a_strangers() {
    let policy = policy("[defaults.external]\nreceive = 'require'\n[[domain]]\nname = 'acme.example'\nservers = '192.0.2.1'");
    for sender in ["x@acme.example", "x@other.example"] {
        assert!(in_clear(&policy, at("203.0.113.1"), sender, None).starts_with("530 "), "{sender}");
    }
    assert_eq!(in_clear(&policy, at("192.0.2.1"), "x@acme.example", None), "accept", "its own server is asked by submit");
}

/// One line in the defaults switched DANE and MTA-STS off for everybody, without end.
#[test]
fn defaults_ignore_nothing_that_is_published() {
    for table in ["[defaults.external]", "[defaults.hosted]"] {
        let errors = wrong(&format!("{table}\ndeliver = {{ level = 'opportunistic', ignore_published = true }}"));
        assert!(errors.starts_with("policy.toml:2:38: ignore_published in [defaults] holds for everybody and has no end; "), "{errors}");
    }
}

/// A recipient in a wrapper escaped the entry for it.
// req: D3
#[test]
fn wrapped_recipients_are_unwrapped() {
    let policy = policy("[[domain]]\nname = 'acme.example'\nreceive = { level = 'require', recipients = 'payroll' }");
    for recipient in ["payroll@acme.example", "prvs=0123abcdef=payroll@acme.example", "PAYROLL+x@acme.example"] {
        assert!(in_clear(&policy, at("203.0.113.1"), "x@other.example", Some(recipient)).starts_with("550 "), "{recipient}");
    }
    assert_eq!(in_clear(&policy, at("203.0.113.1"), "x@other.example", Some("info@acme.example")), "accept");
}

/// Padding pushed a field out of what rules look at. A rule that requires TLS holds for what it cannot see; no other does.
// req: C2
#[test]
fn padding_hides_no_field_from_a_rule_that_requires_tls() {
    let rule = |level: &str| {
        policy(&format!(
            "[defaults.external]\ndeliver = 'none'\n[[rule]]\nname = 'r'\nwhen = {{ header = {{ name = 'Subject', matches = '*secret*' }} }}\n\
             then = {{ add_header = {{ X-TLSLevel = '{level}' }} }}"
        ))
    };
    let padded = format!("X-Padding: {}\r\nSubject: a secret\r\n\r\n", "x".repeat(70_000));
    let level = |policy: &Policy, message: &str| {
        let header = HeaderBlock::parse(message.as_bytes());
        let (sender, recipient) = (from("a@a.example"), to("b@b.example"));
        policy.decide_deliver(&DeliverFacts::new(&sender, &recipient, true).with_header(Some(&header))).level
    };
    let require = rule("Require");
    assert_eq!(level(&require, "Subject: a secret\r\n\r\n"), Level::Require);
    assert_eq!(level(&require, "Subject: x\r\n\r\n"), Level::None);
    assert_eq!(level(&require, &padded), Level::Require);
    assert_eq!(level(&rule("Try"), &padded), Level::None);
}

/// The field is taken out of every message, so a rule that looked for it never held.
// req: C5
#[test]
fn no_rule_looks_for_the_field_that_is_taken_out() {
    let rule = "[[rule]]\nname = 'r'\nwhen = { header = { name = 'x-tlslevel', matches = '*' } }\nthen = { stop = true }";
    assert_eq!(
        wrong(rule),
        "policy.toml:3:28: x-tlslevel is taken out of every message, so no rule finds it; \
         name the clients that may set it in [defaults] header_trust; it needs no rule"
    );
    assert_eq!(wrong(&format!("[defaults]\nheader = 'X-Other'\n{rule}")), "");
}

struct List(&'static str);

impl Include for List {
    fn read(&self, _: &str) -> Result<std::sync::Arc<str>, IncludeError> {
        Ok(self.0.into())
    }
}

/// A row cannot name what `verify` and `pinned` are held against on the receive hop, so it let nobody in.
// req: B10
#[test]
fn a_row_asks_for_nothing_that_nobody_can_have() {
    for level in ["domain,receive\na.example,verify\n", "domain,receive\na.example,pinned\n"] {
        let errors = Policy::parse_with("policy.toml", "[[include]]\nfile = 'p.csv'", &List(level)).unwrap_err().to_string();
        assert!(errors.starts_with("p.csv:2:11: the level "), "{errors}");
    }
}

/// Thousands of entries of one pattern made each decision cost seconds.
#[test]
fn one_pattern_stands_in_a_few_entries_only() {
    let entries = |count: usize| "[[partner]]\ndomains = 'a.example'\ndeliver = 'require'\n".repeat(count);
    assert_eq!(wrong(&entries(16)), "");
    assert_eq!(wrong(&entries(17)), "policy.toml:50:12: a.example stands in more than 16 entries; keep at most 16 entries of one pattern");
}

/// Clients are compared as IPv4 where they are IPv4; a network written the other way never matched.
// req: B5
#[test]
fn mapped_networks_are_ipv4_networks() {
    let policy = policy("[[domain]]\nname = 'acme.example'\nservers = '::ffff:192.0.2.0/120'\nsubmit = 'require'");
    assert!(in_clear(&policy, at("192.0.2.7"), "x@acme.example", None).starts_with("530 "));
    assert_eq!(in_clear(&policy, at("192.0.3.7"), "x@acme.example", None), "accept");
    let null = ReversePath::Null;
    assert!(policy.may_relay(&sealpost_policy::ReceiveFacts::new("192.0.2.7".parse().unwrap(), &null)));
}
