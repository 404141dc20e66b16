//! What an import yields can be obeyed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sealpost_policy::{Column, CsvDefaults, DeliverFacts, Edit, Fingerprints, Policy, PolicyText, import_csv, import_postfix};
use sealpost_types::{ForwardPath, Mailbox, ReversePath};

/// The cells of every table row of the page.
fn rows() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy/import.md")).expect("the page");
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
    page.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

// req: E10
#[test]
fn what_an_import_yields_is_a_policy() {
    let mut imported = 0;
    for row in rows() {
        let cell = &row[0];
        let tables = [format!("{cell} encrypt"), format!("example.com {cell}"), format!("example.com encrypt {cell}")];
        let partners = tables.iter().flat_map(|table| import_postfix("tls_policy", table, Fingerprints::Sha256OfKeys).partners);
        let csv = Column::named(cell).map(|column| match column {
            Column::Domain => format!("domain\n{}\n", row[1]),
            // Such cells ask for the level that they belong to.
            Column::Match | Column::Names | Column::Anchors => format!("domain,deliver,{cell}\na.example,verify,{}\n", row[1]),
            Column::Pins => format!("domain,deliver,{cell}\na.example,pinned,{}\n", row[1]),
            Column::Deliver | Column::For => String::new(),
            _ => format!("domain,deliver,{cell}\na.example,require,{}\n", row[1]),
        });
        let rows = csv.into_iter().flat_map(|text| import_csv("partners.csv", &text, &CsvDefaults::default()).expect("rows"));
        for entry in partners.chain(rows) {
            let mut text = PolicyText::parse("policy.toml", "").expect("a document");
            text.apply(&Edit::AddPartner { entry: entry.form }).expect("an edit");
            let policy = Policy::parse("policy.toml", text.as_str());
            assert!(policy.is_ok(), "{row:?}: {}\n{text}", policy.map(|_| ()).unwrap_err());
            imported += 1;
        }
    }
    assert!(imported > 50, "{imported}");
}

/// Names of a wider entry stay its own: what is imported is not weaker than what Postfix would verify.
// req: E10
#[test]
fn names_do_not_fall_through() {
    let table = ".a.example secure match=nexthop:dot-nexthop:mx.other.test\nb.a.example secure\n";
    let mut text = PolicyText::parse("policy.toml", "").expect("a document");
    for entry in import_postfix("tls_policy", table, Fingerprints::Unknown).partners {
        text.apply(&Edit::AddPartner { entry: entry.form }).expect("an edit");
    }
    let names = |document: &str, name: &str| {
        let policy = Policy::parse("policy.toml", document).expect("a policy");
        let to = ForwardPath::from(Mailbox::parse(&format!("ann@{name}")).expect("a mailbox"));
        let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
        format!("{:?}", decision.demand.clauses).contains("mx.other.test")
    };
    assert!(names(text.as_str(), "c.a.example"));
    assert!(!names(text.as_str(), "b.a.example"));
    // The control: without the empty list that the import writes, they would.
    let open = text.as_str().replace("names = [], ", "");
    assert_ne!(open, text.as_str());
    assert!(names(&open, "b.a.example"));
}

/// What Postfix finds: the whole name, then each parent with a dot before it.
fn found<'t>(table: &BTreeMap<String, &'t str>, name: &str) -> Option<&'t str> {
    let parents = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
    std::iter::once(name).chain(parents).find_map(|key| table.get(key).copied())
}

proptest! {
    /// For every name, the level that Postfix finds in the table is the level that holds.
    // req: E10
    #[test]
    fn what_postfix_finds_holds(
        keys in prop::collection::btree_map("\\.?([ab]\\.){0,2}[ab]\\.example", prop::sample::select(LEVELS.to_vec()), 0..8),
        names in prop::collection::vec("([abc]\\.){0,3}[ab]\\.example", 1..8),
    ) {
        let lines: String = keys.iter().map(|(key, (postfix, _))| format!("{key} {postfix}\n")).collect();
        let table: BTreeMap<_, _> = keys.iter().map(|(key, (_, own))| (key.clone(), *own)).collect();
        let mut text = PolicyText::parse("policy.toml", "").expect("a document");
        for entry in import_postfix("tls_policy", &lines, Fingerprints::Unknown).partners {
            text.apply(&Edit::AddPartner { entry: entry.form }).expect("an edit");
        }
        let policy = Policy::parse("policy.toml", text.as_str()).expect("a policy");
        for name in names {
            let to = ForwardPath::from(Mailbox::parse(&format!("ann@{name}")).expect("a mailbox"));
            let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
            prop_assert_eq!(decision.level.as_str(), found(&table, &name).unwrap_or("opportunistic"), "{} in\n{}", name, lines);
        }
    }
}

/// Levels of Postfix and what they are here.
const LEVELS: [(&str, &str); 6] = [
    ("none", "none"),
    ("may", "opportunistic"),
    ("encrypt", "require"),
    ("secure", "verify"),
    ("verify match=hostname", "verify"),
    ("dane-only", "dane-only"),
];
