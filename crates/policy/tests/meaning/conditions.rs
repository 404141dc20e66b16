//! For which mail an entry speaks: `senders`, `recipients`, `else`, `for`, `exempt_clients`, and how it refuses.

use sealpost_policy::{DeliverFacts, ReceiveFacts};
use sealpost_types::{ForwardPath, Level, TlsRequirement, TlsVersion};

use crate::support::{at, deliver, deliver_trace, explained, from, in_clear, level, notes, over, policy, received, stranger, tls13, to};

const ACME: &str = r#"
[[domain]]
name = "acme.example"
receive = { level = "require", senders = """
  *@bank.example, ceo@law.example
  *@*.gov.example""", recipients = "payroll john.smith" }
deliver = { level = "require", senders = "*@bank.example ceo@law.example", recipients = "*" }
"#;

// req: D1 D3 D4
#[test]
fn tls_is_required_for_these_senders_and_recipients_and_for_no_other_mail() {
    let policy = policy(ACME);
    let reply = |sender: &str, recipient: &str| in_clear(&policy, stranger(), sender, Some(recipient));
    for sender in ["bob@bank.example", "CEO@law.example", "tax@a.gov.example", "ceo+x@law.example"] {
        for recipient in ["payroll@acme.example", "John.Smith@acme.example", "john.smith+tag@acme.example"] {
            assert!(reply(sender, recipient).starts_with("550 5.7.10 Mail to acme.example"), "{sender} {recipient}");
        }
        assert_eq!(reply(sender, "ann@acme.example"), "accept", "the recipient is not listed");
    }
    for sender in ["ann@law.example", "bob@a.bank.example", "bob@gov.example", ""] {
        assert_eq!(reply(sender, "payroll@acme.example"), "accept", "<{sender}> is not listed");
    }
}

// req: D4
#[test]
fn two_recipients_of_one_message_may_differ() {
    let policy = policy(ACME);
    assert_eq!(in_clear(&policy, stranger(), "bob@bank.example", None), "accept", "at MAIL nobody is named yet");
    assert!(in_clear(&policy, stranger(), "bob@bank.example", Some("payroll@acme.example")).starts_with("550 5.7.10 "));
    assert_eq!(in_clear(&policy, stranger(), "bob@bank.example", Some("ann@acme.example")), "accept");
    // The same on the way out.
    let out = self::policy("[[partner]]\ndomains='bank.example'\ndeliver={ level='require', recipients='ceo' }");
    assert_eq!(deliver(&out, "ann@acme.example", "ceo@bank.example").demand.tls, TlsRequirement::Mandatory);
    assert_eq!(deliver(&out, "ann@acme.example", "bob@bank.example").demand.tls, TlsRequirement::Opportunistic);
}

// req: D2
#[test]
fn delivery_is_enforced_for_specific_senders() {
    let policy = policy(ACME);
    assert_eq!(level(&policy, "bob@bank.example", "ann@acme.example"), Level::Require);
    assert_eq!(level(&policy, "bob@shop.example", "ann@acme.example"), Level::Opportunistic);
}

// req: D1 D2
#[test]
fn both_lists_must_match_and_an_omitted_one_is_all() {
    for (lists, both, sender_only, recipient_only, neither) in [
        ("", true, true, true, true),
        (", senders='a@x.example'", true, true, false, false),
        (", recipients='r'", true, false, true, false),
        (", senders='a@x.example', recipients='r'", true, false, false, false),
        (", senders='*', recipients='*'", true, true, true, true),
    ] {
        let policy =
            policy(&format!("[[domain]]\nname='acme.example'\nreceive={{ level='require'{lists} }}\ndeliver={{ level='require'{lists} }}"));
        for (sender, recipient, expected) in [
            ("a@x.example", "r@acme.example", both),
            ("a@x.example", "s@acme.example", sender_only),
            ("b@x.example", "r@acme.example", recipient_only),
            ("", "s@acme.example", neither),
        ] {
            assert_eq!(level(&policy, sender, recipient) == Level::Require, expected, "deliver{lists}: <{sender}> {recipient}");
            assert_eq!(
                in_clear(&policy, stranger(), sender, Some(recipient)) != "accept",
                expected,
                "receive{lists}: <{sender}> {recipient}"
            );
        }
    }
}

// req: D1 D2
#[test]
fn mail_that_does_not_match_takes_else_or_falls_through() {
    let text = |otherwise: &str| {
        policy(&format!(
            "[defaults.hosted]\ndeliver='verify'\nreceive='require'\n[[domain]]\nname='acme.example'\n\
             deliver={{ level='mirror', senders='a@x.example'{otherwise} }}\nreceive={{ level='require', min_version='1.3', senders='a@x.example'{otherwise} }}"
        ))
    };
    let (falls, takes) = (text(""), text(", else='opportunistic'"));
    assert_eq!(level(&falls, "a@x.example", "r@acme.example"), Level::Mirror);
    assert_eq!(level(&falls, "b@x.example", "r@acme.example"), Level::Verify);
    assert_eq!(level(&takes, "b@x.example", "r@acme.example"), Level::Opportunistic);
    assert!(in_clear(&falls, stranger(), "b@x.example", Some("r@acme.example")).contains("([defaults.hosted])"));
    assert_eq!(in_clear(&takes, stranger(), "b@x.example", Some("r@acme.example")), "accept");
    let old = sealpost_types::TlsFacts::new(TlsVersion::Tls1_2, sealpost_types::CipherSuite(0xc02f), None, false);
    assert!(over(&takes, stranger(), Some(&old), "a@x.example", Some("r@acme.example")).starts_with("550 5.7.0 "));
    assert_eq!(over(&takes, stranger(), Some(&old), "b@x.example", Some("r@acme.example")), "accept", "the floor is for listed mail");
    assert_eq!(notes(&deliver_trace(&takes, "b@x.example", "r@acme.example")), [("acme.example".to_owned(), "otherwise")]);
    assert_eq!(notes(&deliver_trace(&falls, "b@x.example", "r@acme.example")), [("acme.example".to_owned(), "other-mail")]);
}

/// BATV and SRS are no way around enforcement.
// req: A5 D1 D2
#[test]
fn wrapped_senders_match_by_their_inner_address_too() {
    let policy = policy(
        "[[partner]]\nname='Bank'\ndomains='bank.example'\nreceive='require'\n\
         [[domain]]\nname='acme.example'\nreceive={ level='require', senders='ceo@law.example' }\ndeliver={ level='require', senders='ceo@law.example' }",
    );
    let batv = |address: &str| format!("prvs=1234abcdef={address}");
    let srs = |local: &str, domain: &str| format!("SRS0=hash=tt={domain}={local}@forwarder.example");
    for sender in ["bob@bank.example", &batv("bob@bank.example"), &srs("bob", "bank.example"), &srs("bob", "mail.BANK.example")] {
        assert!(in_clear(&policy, stranger(), sender, None).contains("(partner \"Bank\")"), "{sender}");
    }
    for sender in ["ceo@law.example", &batv("ceo@law.example"), &srs("ceo", "law.example"), &srs("ceo+x", "law.example")] {
        assert!(in_clear(&policy, stranger(), sender, Some("ann@acme.example")).contains("(domain \"acme.example\")"), "{sender}");
        assert_eq!(level(&policy, sender, "ann@acme.example"), Level::Require, "{sender}");
    }
    // The negative control: the wrapper's own domain is nobody's.
    assert_eq!(in_clear(&policy, stranger(), "bob@forwarder.example", Some("ann@acme.example")), "accept");
}

const FOR: &str = r#"
[[owner]]
name = "group"
[[owner]]
name = "acme"
parent = "group"
[[domain]]
name = "acme.example"
owner = "acme"
[[domain]]
name = "zeta.example"
[[partner]]
name = "Bank"
domains = "bank.example"
for = FOR
receive = "require"
deliver = "require"
"#;

// req: B10
#[test]
fn a_partner_may_be_for_some_hosted_domains_only() {
    for (ends, acme, zeta) in [
        ("'acme.example'", true, false),
        ("['owner:acme']", true, false),
        ("'owner:group'", true, false),
        ("'owner:acme, zeta.example'", true, true),
        ("'*.example'", true, true),
        ("'*'", true, true),
        ("'other.example'", false, false),
    ] {
        let policy = policy(&FOR.replace("FOR", ends));
        for (name, expected) in [("acme.example", acme), ("zeta.example", zeta)] {
            let at_rcpt = in_clear(&policy, stranger(), "bob@bank.example", Some(&format!("ann@{name}")));
            assert_eq!(at_rcpt.starts_with("550 5.7.10 "), expected, "mail from it, for = {ends}, {name}");
            assert_eq!(
                level(&policy, &format!("ann@{name}"), "bob@bank.example") == Level::Require,
                expected,
                "mail to it, {ends}, {name}"
            );
        }
    }
}

// req: B10
#[test]
fn a_wrapped_sender_is_still_one_that_a_partner_is_for() {
    let policy = policy(&FOR.replace("FOR", "'owner:acme'"));
    for sender in ["prvs=1234abcdef=ann@acme.example", "SRS0=hash=tt=acme.example=Ann@forwarder.example"] {
        assert_eq!(level(&policy, sender, "bob@bank.example"), Level::Require, "{sender}");
    }
    assert_eq!(level(&policy, "ann@forwarder.example", "bob@bank.example"), Level::Opportunistic);
}

/// A bounce has no sender that `for` could name: the entry counts where it is the stricter.
// req: B10
#[test]
fn a_bounce_to_a_partner_takes_the_stricter_of_with_and_without() {
    let with = |level: &str, default: &str| {
        let text = FOR.replace("FOR", "'owner:acme'").replace("deliver = \"require\"", &format!("deliver = \"{level}\""));
        let policy = policy(&format!("{text}[defaults.external]\ndeliver='{default}'"));
        let trace = deliver_trace(&policy, "", "bob@bank.example");
        assert!(notes(&trace).contains(&("Bank".to_owned(), "other-end-unknown")), "{trace}");
        trace.level
    };
    assert_eq!(with("require", "opportunistic"), Level::Require);
    assert_eq!(with("none", "require"), Level::Require);
    assert_eq!(with("verify", "require"), Level::Verify);
}

// req: D1
#[test]
fn exempt_clients_are_the_one_exception_on_the_receive_hop() {
    let policy = policy(
        "[[domain]]\nname='acme.example'\nreceive={ level='require', exempt_clients='192.0.2.0/24, 2001:db8::1' }\n\
         submit={ level='require', exempt_clients='198.51.100.1' }\nservers='198.51.100.0/24'\n\
         [[partner]]\nname='Bank'\ndomains='bank.example'\nreceive='require'",
    );
    let reply = |address: &str, sender: &str| in_clear(&policy, at(address), sender, Some("ann@acme.example"));
    for address in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"] {
        assert_eq!(reply(address, "a@x.example"), "accept", "{address}");
        assert!(reply(address, "bob@bank.example").contains("(partner \"Bank\")"), "the exception is that entry's alone");
    }
    assert!(reply("203.0.113.1", "a@x.example").starts_with("550 "));
    assert_eq!(in_clear(&policy, at("198.51.100.1"), "ann@acme.example", None), "accept");
    assert!(in_clear(&policy, at("198.51.100.2"), "ann@acme.example", None).starts_with("530 "));
    let (sender, recipient) = (from("a@x.example"), to("ann@acme.example"));
    let (_, trace) = received(&policy, &ReceiveFacts::new("192.0.2.7".parse().unwrap(), &sender).with_recipient(&recipient));
    assert_eq!(notes(&trace), [("acme.example".to_owned(), "exempt-client")]);
}

// req: D4
#[test]
fn refuse_4xx_softens_an_introduction() {
    let policy = policy(
        "[[partner]]\nname='Bank'\ndomains='bank.example'\nreceive={ level='require', refuse='4xx', min_group='x25519' }\n\
         [[domain]]\nname='acme.example'\nreceive='require'\n[[domain]]\nname='lax.example'",
    );
    assert!(in_clear(&policy, stranger(), "bob@bank.example", None).starts_with("451 4.7.0 "));
    assert!(in_clear(&policy, stranger(), "bob@bank.example", Some("ann@lax.example")).starts_with("451 4.7.10 "));
    assert!(in_clear(&policy, stranger(), "bob@bank.example", Some("ann@acme.example")).starts_with("550 5.7.10 "), "the harder of both");
    let rsa = sealpost_types::TlsFacts::new(TlsVersion::Tls1_2, sealpost_types::CipherSuite(0x009c), None, false);
    assert!(over(&policy, stranger(), Some(&rsa), "bob@bank.example", None).starts_with("451 4.7.0 "), "for a floor too");
}

// req: A6 F7
#[test]
fn floors_on_the_receive_hop_name_what_is_missing() {
    let policy = policy(
        "[[partner]]\nname='Pq'\ndomains='pq.example'\nreceive={ level='opportunistic', min_group='post-quantum' }\n\
         [[partner]]\nname='Suite'\ndomains='suite.example'\nreceive={ ciphers='TLS_AES_256_GCM_SHA384' }\n\
         [[domain]]\nname='acme.example'\nreceive={ ciphers='TLS_CHACHA20_POLY1305_SHA256' }",
    );
    let good = tls13(crate::support::X25519MLKEM768);
    let classic = tls13(crate::support::X25519);
    assert_eq!(over(&policy, stranger(), Some(&good), "a@pq.example", None), "accept");
    assert_eq!(in_clear(&policy, stranger(), "a@pq.example", None), "accept", "a floor is no demand for TLS");
    assert_eq!(
        over(&policy, stranger(), Some(&classic), "a@pq.example", None),
        "550 5.7.0 Mail from pq.example: a key exchange of post-quantum or stronger is asked for, this session has x25519 (partner \"Pq\")"
    );
    assert_eq!(
        over(&policy, stranger(), Some(&good), "a@suite.example", None),
        "550 5.7.0 Mail from suite.example: one of the cipher suites TLS_AES_256_GCM_SHA384 is asked for, \
         this session has TLS_AES_128_GCM_SHA256 (partner \"Suite\")"
    );
    assert_eq!(
        over(&policy, stranger(), Some(&good), "a@suite.example", Some("ann@acme.example")),
        "550 5.7.0 Mail from suite.example: no cipher suite is allowed by all who name some \
         (partner \"Suite\" and domain \"acme.example\")",
        "an intersection that leaves nothing names both sources"
    );
}

#[test]
fn a_recipient_without_a_domain_is_in_no_list() {
    let policy =
        policy("[defaults.hosted]\ndeliver={ level='require', recipients='postmaster' }\nreceive={ level='require', recipients='*' }");
    let postmaster = ForwardPath::Postmaster;
    let (decision, _) = explained(&policy, &DeliverFacts::new(&from(""), &postmaster, true));
    assert_eq!(decision.level, Level::Opportunistic);
}
