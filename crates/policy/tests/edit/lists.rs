//! Items of lists, in whatever manner the list is written.

use sealpost_policy::EditError;

use crate::{COMMENTED, check, edit, read};

#[test]
fn setting_a_list_keeps_what_stays() {
    check(
        r#"{"kind": "set_domain", "at": "acme.example", "patch": {"servers": ["192.0.2.0/28", "2001:db8::/64"]}}"#,
        &["+  \"2001:db8::/64\",", "-  \"cert:out.acme.example\" # certificate"],
    );
    check(r#"{"kind": "set_domain", "at": "acme.example", "patch": {"servers": "192.0.2.0/28 cert:out.acme.example"}}"#, &[]);
    check(
        r#"{"kind": "set_partner", "at": "Bank", "patch": {"domains": ["bank.test", "bank.example"]}}"#,
        &["-domains = [ \"bank.example\", 'bank.test' ]   # both theirs", "+domains = [\"bank.test\", \"bank.example\"]   # both theirs"],
    );
}

#[test]
fn one_domain_more_or_less() {
    check(
        r#"{"kind": "add_domains", "partner": "Bank", "domains": "bank2.example"}"#,
        &[
            "-domains = [ \"bank.example\", 'bank.test' ]   # both theirs",
            "+domains = [ \"bank.example\", 'bank.test', \"bank2.example\" ]   # both theirs",
        ],
    );
    check(
        r#"{"kind": "remove_domains", "partner": "Bank", "domains": "BANK.example"}"#,
        &["-domains = [ \"bank.example\", 'bank.test' ]   # both theirs", "+domains = [ 'bank.test' ]   # both theirs"],
    );
    check(r#"{"kind": "add_domains", "partner": "law.example", "domains": "a.example b.example"}"#, &["+a.example", "+b.example"]);
    check(r#"{"kind": "remove_domains", "partner": "law.example", "domains": "*.law.test"}"#, &["-*.law.test"]);
    check(
        r#"{"kind": "add_domains", "partner": "Clinic", "domains": "bücher.example"}"#,
        &["-domains = \"clinic.example\"", "+domains = \"clinic.example bücher.example\""],
    );
    let error =
        read(COMMENTED).apply(&edit(r#"{"kind": "remove_domains", "partner": "Clinic", "domains": "clinic.example"}"#)).unwrap_err();
    assert_eq!(error.to_string(), "the entry at line 53 would have no domain left; remove the entry");
}

// req: C3
#[test]
fn one_line_of_a_list_more_or_less() {
    check(
        r#"{"kind": "add_entries", "list": "tls", "entries": "y.example"}"#,
        &["-    \"x.example\"", "+    \"x.example\",", "+    \"y.example\""],
    );
    check(r#"{"kind": "remove_entries", "list": "tls", "entries": "*.gov.example"}"#, &["-    \"*.gov.example\",  # b"]);
    check(
        r#"{"kind": "remove_entries", "list": "tls", "entries": "x.example, clinic.example"}"#,
        &["-    \"clinic.example\", # a", "-    \"x.example\""],
    );
    let error = read(COMMENTED).apply(&edit(r#"{"kind": "add_entries", "list": "tls", "entries": "X.example"}"#)).unwrap_err();
    assert_eq!(error, EditError::ItemExists { item: "X.example".to_owned(), line: 65 });
    let error = read(COMMENTED).apply(&edit(r#"{"kind": "remove_entries", "list": "tls", "entries": "z"}"#)).unwrap_err();
    assert_eq!(error, EditError::NoItem { item: "z".to_owned(), line: 65 });
}

/// How a list is written, and how it is after items are added and taken away.
#[test]
fn lists_in_any_manner() {
    let after = |written: &str, kind: &str, items: &str| {
        let mut text = read(&format!("[[list]]\nname = 'l'\nentries = {written} # c\n"));
        let json = serde_json::json!({"kind": kind, "list": "l", "entries": items});
        text.apply(&edit(&json.to_string())).unwrap_or_else(|error| panic!("{error}: {written}"));
        let rest = text.as_str().strip_prefix("[[list]]\nname = 'l'\nentries = ").expect("as before");
        rest.strip_suffix(" # c\n").expect("as before").to_owned()
    };
    for (written, expected) in [
        ("[]", r#"["x"]"#),
        ("[ ]", r#"["x"]"#),
        ("['a']", r#"['a', "x"]"#),
        ("['a',]", r#"['a', "x",]"#),
        ("''", "'x'"),
        ("'a b'", "'a b x'"),
        ("'a,b'", "'a,b, x'"),
        ("\"a\\u0062\"", r#"["ab", "x"]"#),
        ("\"\"\"\na\nb\"\"\"", "\"\"\"\na\nb\nx\"\"\""),
        ("\"\"\"\n  a,\n  b,\n\"\"\"", "\"\"\"\n  a,\n  b,\n  x,\n\"\"\""),
        ("'''\n'''", "'''\nx\n'''"),
        ("[\n]", "[\n    \"x\",\n]"),
        ("[ # c\n  'a', # d\n]", "[ # c\n  'a', # d\n  \"x\",\n]"),
        ("[\n  'a', 'b' # d\n]", "[\n  'a', 'b', # d\n  \"x\"\n]"),
        ("[\n  'a',\n  'b']", "[\n  'a',\n  'b',\n  \"x\"]"),
        ("['a',\n 'b' # d,\n , # e\n]", "['a',\n 'b' # d,\n , # e\n \"x\",\n]"),
    ] {
        assert_eq!(after(written, "add_entries", "x"), expected, "{written} and x");
    }
    for (written, expected) in [
        ("['x']", "[]"),
        ("['a', 'x']", "['a']"),
        ("['x', 'a']", "['a']"),
        ("['a', 'x', 'b',]", "['a', 'b',]"),
        ("['a x b', 'x']", "['a b']"),
        ("'x'", "''"),
        ("'x a'", "'a'"),
        ("'a, x, b'", "'a, b'"),
        ("'a,x'", "'a'"),
        ("\"a\\u0020x\"", r#"["a"]"#),
        ("'''\na\nx\nb\n'''", "'''\na\nb\n'''"),
        ("'''x\nb'''", "'''\nb'''"),
        ("'''a\nx'''", "'''a\n'''"),
        ("[\n 'a', # c\n 'x', # d\n 'b',\n]", "[\n 'a', # c\n 'b',\n]"),
        ("[\n 'a', 'x',\n 'b', # c\n]", "[\n 'a',\n 'b', # c\n]"),
        ("[\n 'x', 'b', # c\n]", "[\n 'b', # c\n]"),
        ("[\n 'a'\n , 'x'\n]", "[\n 'a'\n]"),
    ] {
        assert_eq!(after(written, "remove_entries", "x"), expected, "{written} without x");
    }
}
