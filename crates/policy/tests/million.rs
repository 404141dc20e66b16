//! A million partners in an included list: what they take, what is found in them, and what one more or less costs.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod counting;

use std::fmt::Write as _;
use std::sync::Arc;

use sealpost_policy::{DeliverFacts, Include, IncludeError, Pattern, Policy};
use sealpost_types::{ForwardPath, Level, Mailbox, ReversePath};

struct List(Arc<str>);

impl Include for List {
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError> {
        if file == "partners.csv" { Ok(Arc::clone(&self.0)) } else { Err(IncludeError::new("there is no such file".to_owned())) }
    }
}

const DOCUMENT: &str =
    "[[include]]\nfile = 'partners.csv'\nreceive = 'require'\n[[partner]]\nname = 'Own'\ndomains = 'p7.example'\ndeliver = 'none'\n";

/// A build without optimisation makes do with fewer.
const ENTRIES: u32 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

/// Exact names and `*.` mixed; every tenth has another level.
fn list() -> Arc<str> {
    let mut text = String::from("domain,deliver\n");
    for number in 0..ENTRIES {
        let wild = if number % 3 == 0 { "*." } else { "" };
        let level = if number % 10 == 0 { "verify" } else { "require" };
        let _ = writeln!(text, "{wild}p{number}.example,{level}");
    }
    text.into()
}

fn level(policy: &Policy, domain: &str) -> (Level, String) {
    let to = ForwardPath::from(Mailbox::parse(&format!("ann@{domain}")).unwrap());
    let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
    (decision.level, trace.short())
}

/// One test, so that nobody else allocates meanwhile.
// req: A1 B10
#[test]
fn a_million_entries() {
    let list = List(list());
    let before = counting::in_use();
    let policy = Policy::parse_with("policy.toml", DOCUMENT, &list).unwrap();
    let each = (counting::in_use() - before) / usize::try_from(ENTRIES).unwrap();
    assert!(each < 250, "{each} octets an entry");

    assert_eq!(level(&policy, "p1.example").1, "require: partner \"p1.example\" (partners.csv:3) raised tls to mandatory");
    assert_eq!(level(&policy, "x.p1.example").0, Level::Require, "and all below it");
    assert_eq!(level(&policy, "p3.example").0, Level::Opportunistic, "the row says below only");
    assert_eq!(level(&policy, "a.b.p3.example").0, Level::Require);
    assert_eq!(level(&policy, "p199980.example").0, Level::Opportunistic);
    assert_eq!(level(&policy, "x.p199980.example").0, Level::Verify);
    assert_eq!(level(&policy, "p7.example").0, Level::Require, "an entry of the document and a row of one pattern join");
    assert_eq!(level(&policy, "q.example").0, Level::Opportunistic);

    counting::take_peak();
    let base = counting::in_use();
    let more = policy.with_row("partners.csv", ENTRIES + 2, Some("domain,deliver"), "new.example,verify").unwrap();
    let cost = counting::take_peak() - base;
    assert!(cost < 10 << 20, "{cost} octets for one entry more");
    let place = format!("partner \"new.example\" (partners.csv:{})", ENTRIES + 2);
    assert_eq!(level(&more, "new.example").1, format!("verify: {place} raised tls to mandatory, asked for chain and name"));
    assert_eq!(level(&policy, "new.example").0, Level::Opportunistic, "the policy before is as it was");

    let pattern: Pattern = "p1.example".parse().unwrap();
    let less = more.without_row("partners.csv", 3, &pattern).unwrap();
    assert!(counting::take_peak() - base < 10 << 20);
    for name in ["p1.example", "x.p1.example"] {
        assert_eq!(level(&less, name).0, Level::Opportunistic);
        assert_eq!(level(&more, name).0, Level::Require);
    }
    assert_eq!(less.entries(), policy.entries());
    assert!(less.without_row("partners.csv", 3, &pattern).is_none());
    assert!(policy.with_row("other.csv", 2, None, "a.example").unwrap_err().to_string().contains("does not include it"));
    let wrong = policy.with_row("partners.csv", 9, Some("domain,deliver"), "a.example,requier").unwrap_err().to_string();
    assert_eq!(wrong.split(';').next(), Some("partners.csv:9:11: deliver is \"requier\""));
}
