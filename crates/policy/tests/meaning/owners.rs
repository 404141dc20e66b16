//! Owners: what a domain does not say, its owner says, then the owner above.

use sealpost_policy::Axis;
use sealpost_types::{Level, TlsVersion};

use crate::support::{at, deliver, deliver_trace, in_clear, level, notes, policy, stranger};

const HOUSE: &str = r#"
[defaults.hosted]
deliver = "mirror"
receive = { level = "opportunistic", refuse = "4xx" }
[[owner]]
name = "admin"
deliver = { level = "verify", min_version = "1.3" }
submit = "require"
[[owner]]
name = "sub"
parent = "admin"
deliver = { level = "require", lifetime = "3d" }
receive = "require"
[[owner]]
name = "sub-sub"
parent = "sub"
[[owner]]
name = "silent"
[[domain]]
name = "own.example"
owner = "sub-sub"
deliver = "opportunistic"
[[domain]]
name = "deep.example"
owner = "sub-sub"
servers = "192.0.2.1"
[[domain]]
name = "top.example"
owner = "admin"
[[domain]]
name = "silent.example"
owner = "silent"
[[domain]]
name = "nobodys.example"
servers = "192.0.2.2"
"#;

// req: D5 B4
#[test]
fn the_nearest_wins_domain_then_sub_admin_then_admin_then_default() {
    let policy = policy(HOUSE);
    for (name, expected) in [
        ("own.example", Level::Opportunistic),
        ("deep.example", Level::Require),
        ("top.example", Level::Verify),
        ("silent.example", Level::Mirror),
        ("nobodys.example", Level::Mirror),
    ] {
        assert_eq!(level(&policy, "", &format!("ann@{name}")), expected, "{name}");
    }
}

// req: D5
#[test]
fn each_field_falls_through_to_owners_at_any_depth() {
    let policy = policy(HOUSE);
    let deep = deliver(&policy, "", "ann@deep.example");
    assert_eq!(deep.demand.min_version, TlsVersion::Tls1_3, "from two owners up");
    assert_eq!(deep.fate.lifetime.as_secs(), 3 * 24 * 3600, "from one owner up");
    let own = deliver(&policy, "", "ann@own.example");
    assert_eq!((own.level, own.demand.min_version), (Level::Opportunistic, TlsVersion::Tls1_3));
}

// req: D5
#[test]
fn thirty_owners_stand_above_one_another() {
    let mut text = "[[owner]]\nname = 'o0'\ndeliver = 'require'\n".to_owned();
    for n in 1..30 {
        text += &format!("[[owner]]\nname = 'o{n}'\nparent = 'o{}'\n", n - 1);
    }
    // An owner may stand behind those that name it, and before them.
    let policy = policy(&format!("[[domain]]\nname = 'acme.example'\nowner = 'o29'\n{text}"));
    assert_eq!(level(&policy, "", "ann@acme.example"), Level::Require);
}

// req: D5 D1
#[test]
fn owners_speak_of_the_receive_hop_too() {
    let policy = policy(HOUSE);
    assert!(in_clear(&policy, stranger(), "a@x.example", Some("ann@deep.example")).contains("(owner \"sub\")"));
    assert_eq!(in_clear(&policy, stranger(), "a@x.example", Some("ann@top.example")), "accept");
    // The default's way to refuse falls through to where nobody else says it.
    assert!(in_clear(&policy, stranger(), "a@x.example", Some("ann@deep.example")).starts_with("451 4.7.10 "));
}

// req: D5 B5
#[test]
fn owners_speak_of_what_the_domains_own_servers_hand_in() {
    let policy = policy(HOUSE);
    assert_eq!(
        in_clear(&policy, at("192.0.2.1"), "ann@deep.example", None),
        "530 5.7.0 Mail from deep.example is accepted over TLS only, use STARTTLS (owner \"admin\")"
    );
    assert_eq!(in_clear(&policy, at("192.0.2.2"), "ann@nobodys.example", None), "accept");
}

/// A domain below a hosted wildcard is of its owner, unless it names one itself.
// req: D5
#[test]
fn the_most_specific_entry_with_an_owner_names_it() {
    let policy = policy(
        "[[owner]]\nname='a'\ndeliver='require'\n[[owner]]\nname='b'\ndeliver='verify'\n\
         [[domain]]\nname='*.example'\nowner='a'\n[[domain]]\nname='own.example'\nowner='b'\n[[domain]]\nname='plain.example'",
    );
    assert_eq!(level(&policy, "", "ann@own.example"), Level::Verify);
    assert_eq!(level(&policy, "", "ann@plain.example"), Level::Require);
    // The next entry goes before the owner of the one before it.
    let policy = self::policy(
        "[[owner]]\nname='b'\ndeliver='verify'\n[[domain]]\nname='*.example'\ndeliver='mirror'\n[[domain]]\nname='own.example'\nowner='b'",
    );
    assert_eq!(level(&policy, "", "ann@own.example"), Level::Mirror);
}

// req: D5 D1
#[test]
fn an_owner_may_speak_for_some_senders_and_recipients_only() {
    let policy = policy(
        "[[owner]]\nname='acme'\nreceive={ level='require', senders='*@bank.example' }\n\
         deliver={ level='require', recipients='payroll', else='mirror' }\n\
         [[domain]]\nname='acme.example'\nowner='acme'",
    );
    assert!(in_clear(&policy, stranger(), "bob@bank.example", Some("ann@acme.example")).starts_with("550 5.7.10 "));
    assert_eq!(in_clear(&policy, stranger(), "bob@shop.example", Some("ann@acme.example")), "accept");
    assert_eq!(level(&policy, "", "payroll@acme.example"), Level::Require);
    assert_eq!(level(&policy, "", "ann@acme.example"), Level::Mirror);
}

// req: D5 D1
#[test]
fn defaults_may_speak_for_some_senders_and_recipients_only() {
    let policy = policy(
        "[defaults.external]\nreceive={ level='require', senders='*@*.bank.example' }\ndeliver={ level='require', senders='ceo@acme.example' }",
    );
    assert!(in_clear(&policy, stranger(), "bob@a.bank.example", None).starts_with("530 "));
    assert_eq!(in_clear(&policy, stranger(), "bob@shop.example", None), "accept");
    assert_eq!(level(&policy, "ceo@acme.example", "x@y.example"), Level::Require);
    assert_eq!(level(&policy, "ann@acme.example", "x@y.example"), Level::Opportunistic);
}

// req: D5 F1
#[test]
fn an_owner_is_named_in_the_trace_with_its_line() {
    let trace = deliver_trace(&policy(HOUSE), "", "ann@deep.example");
    let deciding = trace.steps.iter().find(|step| step.decided.contains(Axis::Tls)).unwrap();
    assert_eq!(deciding.source.to_string(), "owner \"sub\" (policy.toml:9)");
    assert!(trace.short().contains("owner \"admin\" (policy.toml:5) raised min_version to 1.3"), "{}", trace.short());
    assert!(notes(&trace).is_empty(), "{trace}");
}

/// An owner's entry counts as inherited: it does not speak for the domain itself.
// req: C4 D5
#[test]
fn try_raises_a_none_of_an_owner() {
    let rule = "[[rule]]\nname='Try'\nthen={ add_header = { X-TLSLevel = 'Try' } }\n";
    let text =
        |owner: &str, own: &str| policy(&format!("{rule}[[owner]]\nname='o'\n{owner}\n[[domain]]\nname='acme.example'\nowner='o'\n{own}"));
    assert_eq!(level(&text("deliver='none'", ""), "", "ann@acme.example"), Level::Opportunistic);
    assert_eq!(level(&text("", "deliver='none'"), "", "ann@acme.example"), Level::None);
}
