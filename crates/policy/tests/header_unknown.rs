//! Rules on the header section, where it is not among the facts.

use sealpost_policy::{DeliverFacts, HeaderBlock, Note, Policy};
use sealpost_types::{Level, Mailbox, ReversePath};

const RULE: &str = "
[[rule]]
name = \"Secret\"
when = { direction = \"outbound\", header = { name = \"X-Secret\", matches = \"yes\" } }
then = { add_header = { X-TLSLevel = \"Require\" } }
[[domain]]
name = \"acme.example\"
";

/// An unknown header is told apart from one that says otherwise, and from mail that the rule is not for.
// req: C2 F1
#[test]
fn a_rule_that_hangs_on_an_unknown_header_says_so() {
    let policy = Policy::parse("policy.toml", RULE).unwrap();
    let headers = [b"X-Secret: yes\r\n\r\n".as_slice(), b"X-Secret: no\r\n\r\n"].map(HeaderBlock::parse);
    let asked = |to: &str, header: Option<&HeaderBlock>| {
        let to = Mailbox::parse(to).unwrap().into();
        let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true).with_header(header));
        let step = trace.steps.iter().find(|step| step.source.name().as_deref() == Some("Secret")).unwrap();
        (decision.level, step.note)
    };
    let bank = "bob@bank.example";
    assert_eq!(asked(bank, None), (Level::Opportunistic, Some(Note::HeaderUnknown)));
    assert_eq!(asked(bank, Some(&headers[0])), (Level::Require, None));
    assert_eq!(asked(bank, Some(&headers[1])), (Level::Opportunistic, Some(Note::OtherMail)));
    assert_eq!(asked("ann@acme.example", None), (Level::Opportunistic, Some(Note::OtherDirection)), "inbound mail is not what it is for");
}
