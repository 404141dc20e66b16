//! A document changes and its included lists do not: their rows are kept.

use std::sync::Arc;

use sealpost_policy::{DeliverFacts, Include, IncludeError, Policy};
use sealpost_types::{ForwardPath, Mailbox, ReversePath};

struct List;

impl Include for List {
    fn read(&self, _: &str) -> Result<Arc<str>, IncludeError> {
        Ok(Arc::from("domain,deliver,for\nbank.example,verify,\n*.gov.example,,owner:acme\n"))
    }
}

const DOCUMENT: &str = "\
[[owner]]
name = \"acme\"
[[domain]]
name = \"acme.example\"
owner = \"acme\"
[[include]]
file = \"many.csv\"
deliver = \"require\"
";

fn compiled(text: &str) -> Policy {
    Policy::parse_with("policy.toml", text, &List).unwrap()
}

fn why(policy: &Policy, to: &str) -> String {
    let from = ReversePath::from(Mailbox::parse("a@acme.example").unwrap());
    let to = ForwardPath::from(Mailbox::parse(to).unwrap());
    policy.explain_deliver(&DeliverFacts::new(&from, &to, false)).1.short().to_string()
}

/// What is kept decides as what is read again.
// req: A1 B10
#[test]
fn rows_are_kept_beside_another_document() {
    let before = compiled(DOCUMENT).with_row("many.csv", 4, Some("domain,deliver,for"), "new.example,verify,").unwrap();
    for text in [
        DOCUMENT.to_owned(),
        format!("{DOCUMENT}[[partner]]\ndomains = \"bank.example gov.example\"\nreceive = \"require\"\ndeliver = \"require\"\n"),
        format!("[defaults.external]\ndeliver = \"none\"\n{DOCUMENT}"),
        DOCUMENT.replace("name = \"acme\"\n", "name = \"acme\"\ndeliver = \"require\"\n"),
        format!("{DOCUMENT}[[domain]]\nname = \"mail.bank.example\"\n"),
        DOCUMENT.replace("[[domain]]\nname = \"acme.example\"\nowner = \"acme\"\n", ""),
    ] {
        let kept = before.with_document("policy.toml", &text).unwrap_or_else(|| panic!("{text}"));
        let again = compiled(&text);
        for to in ["x@bank.example", "x@mail.bank.example", "x@tax.gov.example", "x@acme.example", "x@other.example"] {
            assert_eq!(why(&kept, to), why(&again, to), "{to} under {text}");
        }
        assert!(why(&kept, "x@new.example").contains("(many.csv:4)"));
        assert_eq!(kept.entries(), again.entries() + 1);
    }
}

/// Where a row may mean something else, or may not stand, nothing is kept.
// req: A1 B10
#[test]
fn rows_are_read_again_where_they_may_mean_something_else() {
    let before = compiled(DOCUMENT);
    for text in [
        DOCUMENT.replace("deliver = \"require\"", "deliver = \"verify\""),
        DOCUMENT.replace("many.csv", "other.csv"),
        format!("{DOCUMENT}[[include]]\nfile = \"other.csv\"\n"),
        format!("{DOCUMENT}[[include]]\nfile = \"many.csv\"\ndeliver = \"require\"\n"),
        DOCUMENT.replace("\"acme\"", "\"apex\""),
        format!("[[owner]]\nname = \"first\"\n{DOCUMENT}"),
        format!("{DOCUMENT}[[domain]]\nname = \"bank.example\"\n"),
        format!("{DOCUMENT}[[domain]]\nname = \"*.gov.example\"\n"),
        format!("{DOCUMENT}[[domain]]\nname = \"*.tax.gov.example\"\n"),
        DOCUMENT.replace("deliver", "delivr"),
        "[[".to_owned(),
    ] {
        assert!(before.with_document("policy.toml", &text).is_none(), "{text}");
    }
    assert!(before.with_document("policy.toml", DOCUMENT).is_some());
}
