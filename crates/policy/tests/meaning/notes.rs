//! Why a source did not speak when it nearly did.

use sealpost_policy::{DeliverFacts, HeaderLevel, Note};

use crate::support::{deliver_trace, explained, from, notes, policy, to};

#[track_caller]
fn check(text: &str, sender: &str, recipient: &str, expected: &[(&str, &str)]) {
    let trace = deliver_trace(&policy(text), sender, recipient);
    let expected: Vec<_> = expected.iter().map(|(name, code)| ((*name).to_owned(), *code)).collect();
    assert_eq!(notes(&trace), expected, "{trace}");
    // What does not speak decides and raises nothing, and the block of text says why it did not.
    for step in trace.steps.iter().filter(|step| {
        step.note.is_some_and(|note| {
            matches!(note, Note::WrongDepth | Note::Excluded | Note::OtherEnd | Note::OtherMail | Note::Testing | Note::LaterRule)
        })
    }) {
        assert!(step.decided.is_empty() && step.raised.is_empty(), "{trace}");
        assert!(trace.to_string().contains(&step.note.unwrap().to_string()), "{trace}");
    }
}

// req: F1
#[test]
fn another_depth() {
    check(
        "[[partner]]\nname='P'\ndomains='bank.example'\nsubdomains=false\ndeliver='require'",
        "",
        "a@mx.bank.example",
        &[("P", "wrong-depth")],
    );
    check("[[partner]]\nname='P'\ndomains='*.bank.example'\ndeliver='require'", "", "a@bank.example", &[("P", "wrong-depth")]);
    check("[[domain]]\nname='bank.example'\ndeliver='require'", "", "a@mx.bank.example", &[("bank.example", "wrong-depth")]);
    check("[[partner]]\nname='P'\ndomains='bank.example'\ndeliver='require'", "", "a@mx.bank.example", &[]);
    check("[[partner]]\nname='P'\ndomains='bank.example'\nsubdomains=false\nreceive='require'", "", "a@mx.bank.example", &[]);
}

// req: F1
#[test]
fn excluded_names_other_ends_and_other_mail() {
    check(
        "[[partner]]\nname='P'\ndomains='bank.example'\nexclude='lists.bank.example'\ndeliver='require'",
        "",
        "a@lists.bank.example",
        &[("P", "excluded")],
    );
    let partner = "[[domain]]\nname='acme.example'\n[[partner]]\nname='P'\ndomains='bank.example'\nfor='acme.example'\ndeliver='require'";
    check(partner, "x@y.example", "a@bank.example", &[("P", "other-end")]);
    check(partner, "x@acme.example", "a@bank.example", &[]);
    check(partner, "", "a@bank.example", &[("P", "other-end-unknown")]);
    check(
        "[[partner]]\nname='P'\ndomains='bank.example'\ndeliver={ level='require', senders='x@y.example' }",
        "z@y.example",
        "a@bank.example",
        &[("P", "other-mail")],
    );
    check(
        "[[partner]]\nname='P'\ndomains='bank.example'\ndeliver={ level='require', senders='x@y.example', else='mirror' }",
        "z@y.example",
        "a@bank.example",
        &[("P", "otherwise")],
    );
}

// req: F1
#[test]
fn rules_that_do_not_speak() {
    let rules = "[[rule]]\nname='in'\nwhen={ direction='inbound' }\nthen={ add_header={ X-TLSLevel='Require' } }\n\
                 [[rule]]\nname='other'\nwhen={ sender={ matches='none' } }\nthen={ stop=true }\n[[list]]\nname='none'\nentries=''\n[[rule]]\nname='first'\nthen={ add_header={ X-TLSLevel='Try' } }\n[[rule]]\nname='second'\nthen={ add_header={ X-TLSLevel='Require' } }";
    check(rules, "", "a@bank.example", &[("in", "other-direction"), ("other", "other-mail"), ("second", "later-rule")]);
}

// req: F1
#[test]
fn testing_and_expired_entries() {
    check("[[partner]]\nname='P'\ndomains='bank.example'\ndeliver='require'\nmode='testing'", "", "a@bank.example", &[("P", "testing")]);
    check("[[partner]]\nname='P'\ndomains='bank.example'\ndeliver='require'\nuntil=2026-01-01", "", "a@bank.example", &[("P", "expired")]);
}

// req: F1
#[test]
fn every_note_is_one_line_with_a_stable_word() {
    let policy = policy(
        "[[partner]]\nname='P'\ndomains='bank.example'\ndeliver='none'\n[[partner]]\nname='Q'\ndomains='*.bank.example'\nsubdomains=false\ndeliver='require'",
    );
    let recipient = to("a@bank.example");
    let (_, trace) = explained(&policy, &DeliverFacts::new(&from(""), &recipient, true).with_header_level(Some(HeaderLevel::Try)));
    assert_eq!(
        trace.to_string(),
        "deliver from <> to <a@bank.example>, received over TLS: none\n  \
         asked in all: TLS never; tried for 7d, then a bounce\n  \
         partner \"P\" (policy.toml:1), recipient matches bank.example: asks none -> set tls to never\n  \
         partner \"Q\" (policy.toml:5), recipient matches *.bank.example: would ask require -> does not cover this name: it stands at another depth\n  \
         system rule, recipient: asks opportunistic, min_version \"1.2\", lifetime \"7d\", on_expiry \"bounce\" -> set min_version to 1.2, set lifetime to 7d, set on_expiry to bounce\n  \
         X-TLSLevel field: would ask opportunistic -> raises no \"none\" that is written for this domain"
    );
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["sources"][1]["note"], "wrong-depth");
}

// req: F1
#[test]
fn a_source_is_called_the_same_at_the_same_place_however_it_matched() {
    let partners = ["domains='a.example'", "domains='*.b.example'", "domains='c.example d.example'", "name='N'\ndomains='e.example'"];
    let more = ["domains='f*.test'", "domains='g.example'\nsubdomains=false"];
    let all = partners.iter().chain(&more).map(|keys| format!("[[partner]]\n{keys}\ndeliver='require'\n"));
    let policy = policy(&all.collect::<String>());
    for (recipient, called) in [
        ("x@a.example", "partner \"a.example\" (policy.toml:1)"),
        ("x@very.deep.a.example", "partner \"a.example\" (policy.toml:1)"),
        ("x@m.b.example", "partner \"*.b.example\" (policy.toml:4)"),
        ("x@b.example", "partner \"*.b.example\" (policy.toml:4)"),
        ("x@c.example", "partner \"c.example\" (policy.toml:7)"),
        ("x@m.d.example", "partner \"c.example\" (policy.toml:7)"),
        ("x@e.example", "partner \"N\" (policy.toml:10)"),
        ("x@m.e.example", "partner \"N\" (policy.toml:10)"),
        ("x@fox.test", "partner \"f*.test\" (policy.toml:14)"),
        ("x@m.g.example", "partner \"g.example\" (policy.toml:17)"),
    ] {
        let trace = deliver_trace(&policy, "ann@acme.example", recipient);
        assert_eq!(trace.steps[0].source.to_string(), called, "{recipient}");
    }
}
