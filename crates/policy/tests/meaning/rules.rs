//! Message rules and the X-TLSLevel field of a trusted client.

use sealpost_policy::{Axis, DeliverFacts, HeaderBlock, HeaderLevel, Policy, SourceKind};
use sealpost_types::{Level, ReversePath, TlsRequirement};

use crate::support::{at, deliver, deliver_trace, explained, from, level, notes, policy, to};

const LISTS: &str = r#"
[[list]]
name = "tls"
entries = """
clinic.example
*.gov.example, ceo@law.example
"""
[[list]]
name = "vip"
entries = ["boss@acme.example"]
"#;

fn rule(name: &str, when: &str, then: &str) -> String {
    format!("[[rule]]\nname = '{name}'\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
}

fn set(level: &str) -> String {
    format!("add_header = {{ X-TLSLevel = '{level}' }}")
}

fn rules(rules: &[String]) -> Policy {
    policy(&format!("[[domain]]\nname = 'acme.example'\n{}{LISTS}", rules.concat()))
}

// req: C1
#[test]
fn the_first_level_holds_and_moving_a_rule_changes_it() {
    let require = rule("Require", "recipient = { matches = 'tls' }", &set("Require"));
    let ease = rule("Try", "direction = 'outbound'", &set("Try"));
    let order = |texts: &[String]| level(&rules(texts), "ann@acme.example", "dr@clinic.example");
    assert_eq!(order(&[require.clone(), ease.clone()]), Level::Require);
    assert_eq!(order(&[ease.clone(), require.clone()]), Level::Opportunistic, "moved below a rule that sets a level");
    let trace = deliver_trace(&rules(&[ease, require]), "ann@acme.example", "dr@clinic.example");
    assert_eq!(notes(&trace), [("Require".to_owned(), "later-rule")]);
}

// req: C1
#[test]
fn a_final_action_ends_the_rules() {
    let stop = rule("Stop", "sender = { matches = 'vip' }", "stop = true");
    let require = rule("Require", "", &set("Require"));
    let policy = rules(&[stop.clone(), require.clone()]);
    assert_eq!(level(&policy, "boss@acme.example", "x@y.example"), Level::Opportunistic);
    assert_eq!(level(&policy, "ann@acme.example", "x@y.example"), Level::Require);
    assert_eq!(level(&rules(&[require, stop]), "boss@acme.example", "x@y.example"), Level::Require, "moved down it ends nothing");
    let goes_on = rule("Goes on", "sender = { matches = 'vip' }", "stop = false");
    assert_eq!(level(&rules(&[goes_on, rule("Require", "", &set("Require"))]), "boss@acme.example", "x@y.example"), Level::Require);
}

// req: C2
#[test]
fn rules_know_the_direction() {
    let policy = rules(&[rule("Out", "direction = 'outbound'", &set("Require"))]);
    assert_eq!(level(&policy, "ann@acme.example", "x@y.example"), Level::Require);
    assert_eq!(level(&policy, "x@y.example", "ann@acme.example"), Level::Opportunistic);
    assert_eq!(level(&policy, "x@y.example", "x@z.example"), Level::Require, "outbound is what goes to no hosted domain");
    let policy = rules(&[rule("In", "direction = 'inbound'", &set("Require"))]);
    assert_eq!(level(&policy, "x@y.example", "ann@acme.example"), Level::Require);
    assert_eq!(level(&policy, "ann@acme.example", "x@y.example"), Level::Opportunistic);
}

// req: C2 C3
#[test]
fn senders_and_recipients_match_a_list_or_do_not() {
    for (when, in_list, outside) in [("recipient = { matches = 'tls' }", true, false), ("recipient = { not_matches = 'tls' }", false, true)]
    {
        let policy = rules(&[rule("R", when, &set("Require"))]);
        for recipient in ["dr@clinic.example", "x@a.b.gov.example", "ceo@law.example", "CEO+x@law.example"] {
            assert_eq!(level(&policy, "", recipient) == Level::Require, in_list, "{when}: {recipient}");
        }
        for recipient in ["dr@a.clinic.example", "x@gov.example", "bob@law.example", "x@y.example"] {
            assert_eq!(level(&policy, "", recipient) == Level::Require, outside, "{when}: {recipient}");
        }
    }
    for (when, in_list, outside) in [("sender = { matches = 'vip' }", true, false), ("sender = { not_matches = 'vip' }", false, true)] {
        let policy = rules(&[rule("R", when, &set("Require"))]);
        for sender in ["boss@acme.example", "Boss@ACME.example", "prvs=1234abcdef=boss@acme.example"] {
            assert_eq!(level(&policy, sender, "x@y.example") == Level::Require, in_list, "{when}: {sender}");
        }
        for sender in ["ann@acme.example", ""] {
            assert_eq!(level(&policy, sender, "x@y.example") == Level::Require, outside, "{when}: <{sender}>");
        }
    }
}

/// Anybody can wrap an address of any domain. What stands in it makes mail stricter, and never less so.
// req: C2
#[test]
fn an_address_in_a_wrapper_of_another_domain_lowers_nothing() {
    for (condition, then, listed_itself) in [
        ("matches", set("Require"), Level::Require),
        ("not_matches", set("Require"), Level::Opportunistic),
        ("matches", set("Try"), Level::Opportunistic),
        ("matches", "stop = true".to_owned(), Level::Opportunistic),
        ("not_matches", "stop = true".to_owned(), Level::Require),
    ] {
        let behind = (then != set("Require")).then(|| rule("Behind", "", &set("Require")));
        let ruled = |who: &str| {
            let asked = rule("R", &format!("{who} = {{ {condition} = '{}' }}", if who == "sender" { "vip" } else { "tls" }), &then);
            rules(&[Some(asked), behind.clone()].into_iter().flatten().collect::<Vec<_>>())
        };
        let (by_sender, by_recipient) = (ruled("sender"), ruled("recipient"));
        assert_eq!(level(&by_recipient, "", "dr@clinic.example"), listed_itself, "{condition} {then}");
        assert_eq!(level(&by_sender, "boss@acme.example", "x@y.example"), listed_itself, "{condition} {then}");
        assert_eq!(level(&by_recipient, "", "SRS0=hh=tt=clinic.example=dr@y.example"), Level::Require, "{condition} {then}");
        assert_eq!(level(&by_sender, "SRS0=hh=tt=acme.example=boss@y.example", "x@y.example"), Level::Require, "{condition} {then}");
    }
}

// req: C2
#[test]
fn all_conditions_of_a_rule_must_hold() {
    let when = "direction = 'outbound', sender = { matches = 'vip' }, recipient = { matches = 'tls' }, header = { name = 'Subject', matches = '*' }";
    let policy = rules(&[rule("All", when, &set("Require"))]);
    let header = HeaderBlock::parse(b"Subject: hello\r\n\r\n");
    let ask = |sender: &str, recipient: &str, header: Option<&HeaderBlock>| {
        explained(&policy, &DeliverFacts::new(&from(sender), &to(recipient), true).with_header(header)).0.level
    };
    assert_eq!(ask("boss@acme.example", "dr@clinic.example", Some(&header)), Level::Require);
    assert_eq!(ask("ann@acme.example", "dr@clinic.example", Some(&header)), Level::Opportunistic);
    assert_eq!(ask("boss@acme.example", "x@y.example", Some(&header)), Level::Opportunistic);
    assert_eq!(ask("boss@acme.example", "dr@clinic.example", Some(&HeaderBlock::parse(b"To: x\r\n\r\n"))), Level::Opportunistic);
    assert_eq!(ask("boss@acme.example", "dr@clinic.example", None), Level::Opportunistic, "without the header no such rule holds");
}

/// Where the other conditions do not hold, or the header section is known, nothing hangs on it.
// req: C2
#[test]
fn a_decision_hangs_on_a_header_that_is_not_known() {
    let header = HeaderBlock::parse(b"Subject: hello\r\n\r\n");
    let subject = "header = { name = 'Subject', matches = 'x' }";
    for (when, hangs, every) in [
        (format!("sender = {{ matches = 'vip' }}, {subject}"), [true, false, false], false),
        (format!("direction = 'outbound', {subject}"), [true, true, false], false),
        (format!("direction = 'inbound', {subject}"), [false; 3], false),
        (subject.to_owned(), [true, true, false], true),
        ("sender = { matches = 'vip' }".to_owned(), [false; 3], false),
    ] {
        let policy = rules(&[rule("R", &when, &set("Require"))]);
        let hangs_of = |sender: &str, header| {
            let (sender, recipient) = (from(sender), to("x@y.example"));
            policy.hangs_on_header(&DeliverFacts::new(&sender, &recipient, true).with_header(header))
        };
        let all = [hangs_of("boss@acme.example", None), hangs_of("ann@acme.example", None), hangs_of("boss@acme.example", Some(&header))];
        assert_eq!((all, policy.reads_every_header()), (hangs, every), "{when}");
    }
}

// req: C2
#[test]
fn a_header_condition_matches_any_field_of_the_name_in_any_case() {
    let policy = rules(&[rule("Secret", "header = { name = 'Subject', matches = '*[secret]*' }", &set("Require"))]);
    assert!(policy.reads_header() && !rules(&[]).reads_header());
    for (message, expected) in [
        (&b"Subject: a [secret] thing\r\n\r\n"[..], true),
        (b"SUBJECT: [SECRET]\r\n\r\n", true),
        (b"Subject: none\r\nsubject: [Secret]\r\n\r\n", true),
        (b"Subject: one\r\n [secret]\r\n\r\n", true),
        (b"Subject: secret\r\n\r\n", false),
        (b"X: [secret]\r\n\r\nSubject: [secret]\r\n", false),
    ] {
        let (recipient, header) = (to("x@y.example"), HeaderBlock::parse(message));
        let (decision, _) = explained(&policy, &DeliverFacts::new(&from(""), &recipient, true).with_header(Some(&header)));
        assert_eq!(decision.level == Level::Require, expected, "{}", String::from_utf8_lossy(message));
    }
}

// req: C4
#[test]
fn require_raises_and_try_lowers_nothing() {
    for (own, with_require, with_try) in [
        ("none", Level::Require, Level::None),
        ("mirror", Level::Require, Level::Opportunistic),
        ("opportunistic", Level::Require, Level::Opportunistic),
        ("require", Level::Require, Level::Require),
        ("verify", Level::Verify, Level::Verify),
    ] {
        let entry = format!("[[partner]]\ndomains='y.example'\ndeliver='{own}'\n");
        for (word, expected) in [("Require", with_require), ("Try", with_try)] {
            let policy = policy(&format!("{entry}{}", rule("R", "", &set(word))));
            assert_eq!(level(&policy, "", "x@y.example"), expected, "{own} and {word}");
            // The field of a trusted client does the same.
            let field = self::policy(&entry);
            let recipient = to("x@y.example");
            let facts = DeliverFacts::new(&ReversePath::Null, &recipient, true).with_header_level(HeaderLevel::of_rule(word));
            assert_eq!(explained(&field, &facts).0.level, expected, "{own} and a field {word}");
        }
    }
}

// req: C4
#[test]
fn try_raises_mirror_and_an_inherited_none() {
    let recipient = to("x@y.example");
    let ask = |text: &str| {
        let policy = policy(text);
        let facts = DeliverFacts::new(&ReversePath::Null, &recipient, false).with_header_level(Some(HeaderLevel::Try));
        explained(&policy, &facts)
    };
    let tls = |text: &str| ask(text).0.demand.tls;
    assert_eq!(tls("[[partner]]\ndomains='y.example'\ndeliver='mirror'"), TlsRequirement::Opportunistic);
    assert_eq!(tls("[defaults.external]\ndeliver='none'"), TlsRequirement::Opportunistic);
    assert_eq!(tls("[[partner]]\ndomains='*'\ndeliver='none'"), TlsRequirement::Never, "that is an entry");
    let (_, trace) = ask("[[partner]]\ndomains='y.example'\ndeliver='none'");
    assert_eq!(notes(&trace), [(String::new(), "written-none")], "{trace}");
    // Inherited by one of two that want no TLS: that one is raised, and the stricter of both holds.
    let around =
        policy("[defaults.hosted]\ndeliver='none'\n[[domain]]\nname='y.example'\n[[partner]]\ndomains='*.example'\ndeliver='none'");
    let facts = DeliverFacts::new(&ReversePath::Null, &recipient, true).with_header_level(Some(HeaderLevel::Try));
    assert_eq!(explained(&around, &facts).0.demand.tls, TlsRequirement::Opportunistic);
}

// req: C5
#[test]
fn a_clients_field_means_require_unless_it_says_try() {
    for (value, expected) in [
        ("Require", HeaderLevel::Require),
        (" require ", HeaderLevel::Require),
        ("TRY", HeaderLevel::Try),
        ("none", HeaderLevel::Require),
        ("", HeaderLevel::Require),
    ] {
        assert_eq!(HeaderLevel::of_client(value), expected, "{value:?}");
    }
}

// req: C5
#[test]
fn a_clients_field_counts_only_if_the_client_is_trusted() {
    let nobody = policy("");
    assert!(!nobody.trusts_header_of(&at("192.0.2.1")), "by default nobody is");
    let policy = policy("[defaults]\nheader='X-Level'\nheader_trust=['192.0.2.0/28', 'auth:app']");
    assert!(policy.trusts_header_of(&at("192.0.2.1")) && !policy.trusts_header_of(&at("192.0.2.16")));
    let mut client = at("203.0.113.1");
    client.login = Some("app");
    assert!(policy.trusts_header_of(&client));
    assert_eq!((nobody.header_name().as_str(), policy.header_name().as_str()), ("X-TLSLevel", "X-Level"));
}

// req: C4 C5
#[test]
fn rules_and_the_field_are_two_sources_that_join() {
    let ease = policy(&rule("Try", "", &set("Try")));
    let recipient = to("x@y.example");
    let with = |policy: &Policy, header| {
        explained(policy, &DeliverFacts::new(&ReversePath::Null, &recipient, true).with_header_level(header)).0.level
    };
    assert_eq!(with(&ease, Some(HeaderLevel::Require)), Level::Require);
    let require = policy(&rule("Require", "", &set("Require")));
    assert_eq!(with(&require, Some(HeaderLevel::Try)), Level::Require);
    assert_eq!(with(&require, None), Level::Require);
}

// req: C6
#[test]
fn the_system_rule_speaks_where_nobody_else_does() {
    let trace = deliver_trace(&policy(""), "", "x@y.example");
    let deciding = trace.steps.iter().find(|step| step.decided.contains(Axis::Tls)).unwrap();
    assert_eq!(deciding.source.kind(), SourceKind::SystemRule, "{trace}");
    let above = rules(&[rule("R", "direction = 'outbound'", &set("Require"))]);
    assert_eq!(level(&above, "", "x@y.example"), Level::Require, "an operator's rule stands above it");
    let trace = deliver_trace(&policy("[defaults.external]\ndeliver='mirror'"), "", "x@y.example");
    assert_eq!(trace.level, Level::Mirror, "so does a default");
}

// req: C4
#[test]
fn the_field_of_a_rule_has_the_name_that_is_set() {
    let policy = policy("[[rule]]\nname='R'\nthen={ add_header={ x-LEVEL='require' } }\n[defaults]\nheader='X-Level'");
    assert_eq!(level(&policy, "", "x@y.example"), Level::Require);
}

// req: D4
#[test]
fn rules_are_asked_for_each_recipient() {
    let policy = rules(&[rule("R", "recipient = { matches = 'tls' }", &set("Require"))]);
    assert!(deliver(&policy, "ann@acme.example", "dr@clinic.example").demand.is_mandatory());
    assert!(!deliver(&policy, "ann@acme.example", "x@y.example").demand.is_mandatory());
}

/// What an entry writes of published facts, a rule leaves as it is.
// req: C4
#[test]
fn a_rule_says_nothing_of_what_is_published() {
    let entry = "[[partner]]\ndomains='y.example'\nreason='broken records'\nuntil=9999-12-31\ndeliver={ ignore_published=true }\n";
    assert!(deliver(&policy(entry), "", "x@y.example").ignores_published);
    for word in ["Try", "Require"] {
        let policy = policy(&format!("{entry}{}", rule("R", "", &set(word))));
        assert!(deliver(&policy, "", "x@y.example").ignores_published, "{word}");
    }
}

// req: F1
#[test]
fn a_rule_is_named_in_the_trace() {
    let trace = deliver_trace(&rules(&[rule("R", "", &set("Require"))]), "", "x@y.example");
    assert_eq!(trace.short(), "require: rule \"R\" (policy.toml:3) raised tls to mandatory");
}
