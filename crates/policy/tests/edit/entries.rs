//! Whole entries: they come, change, move and go.

use sealpost_policy::{DomainForm, Edit, HopForm, Items, ListForm, OwnerForm, PartnerForm, RuleForm, RulePlace};

use crate::{COMMENTED, check, edit, read};

// req: A1
#[test]
fn adding_an_entry() {
    check(
        r#"{"kind": "add_partner", "entry": {"name": "Shop", "domains": "shop.example, shop.test", "deliver": {"level": "verify", "match": "mx"}}}"#,
        &[
            "+[[partner]]",
            "+name = \"Shop\"",
            "+domains = [\"shop.example\", \"shop.test\"]",
            "+deliver = { level = \"verify\", match = \"mx\" }",
            "+",
        ],
    );
    check(
        r#"{"kind": "add_owner", "entry": {"name": "sub", "parent": "acme"}}"#,
        &["+[[owner]]", "+name = \"sub\"", "+parent = \"acme\"", "+"],
    );
    check(r#"{"kind": "add_domain", "entry": {"name": "b.example"}}"#, &["+[[domain]]", "+name = \"b.example\"", "+"]);
    check(r#"{"kind": "add_list", "entry": {"name": "l"}}"#, &["+[[list]]", "+name = \"l\"", "+entries = []", "+"]);
    check(
        r#"{"kind": "add_rule", "entry": {"name": "four", "then": {"add_header": {"X-TLSLevel": "Try"}, "stop": true}}, "to": "last"}"#,
        &["+", "+[[rule]]", "+name = \"four\"", "+then = { add_header = { X-TLSLevel = \"Try\" }, stop = true }"],
    );
    check(r#"{"kind": "add_rule", "entry": {"name": "zero"}, "to": {"position": 1}}"#, &["+[[rule]]", "+name = \"zero\"", "+"]);
}

#[test]
fn adding_the_first_of_a_kind() {
    let added = |text: &str| {
        let mut text = read(text);
        text.apply(&edit(r#"{"kind": "add_partner", "entry": {"domains": "a.example"}}"#)).expect("an edit");
        text.to_string()
    };
    assert_eq!(added(""), "[[partner]]\ndomains = [\"a.example\"]\n");
    assert_eq!(added("# mine"), "# mine\n\n[[partner]]\ndomains = [\"a.example\"]\n");
    assert_eq!(added("[defaults]\nretry = '1m'\n"), "[defaults]\nretry = '1m'\n\n[[partner]]\ndomains = [\"a.example\"]\n");
    // A sub-table that stands apart from its entry stays with it.
    let apart = "[[partner]]\ndomains = 'b'\n\n[[list]]\nname = 'x'\n\n[partner.deliver]\nlevel = 'require'\n";
    assert_eq!(added(apart), format!("{apart}\n[[partner]]\ndomains = [\"a.example\"]\n"));
    assert_eq!(read(&added(apart)).partners()[0].form.deliver.as_ref().and_then(HopForm::level), Some("require"));
}

// req: A4
#[test]
fn removing_an_entry_takes_its_own_comment_along() {
    check(
        r#"{"kind": "remove_partner", "at": "Bank"}"#,
        &[
            "-# The bank, see ticket 12",
            "-# (call Ann)",
            "-[[partner]]",
            "-name = \"Bank\"   # a name",
            "-domains = [ \"bank.example\", 'bank.test' ]   # both theirs",
            "-exclude = \"lists.bank.example\"",
            "-deliver = { level = \"verify\", names = [\"mx.bank.example\"], lifetime = \"3d\" } # strong",
            "-",
        ],
    );
    check(
        r#"{"kind": "remove_partner", "at": "LAW.example."}"#,
        &[
            "-[[partner]] # no name",
            "-domains = \"\"\"",
            "-law.example",
            "-*.law.test",
            "-\"\"\"",
            "-deliver.level = \"require\" # dotted",
            "-deliver.min_version = \"1.3\"",
            "-# receive = \"require\"",
            "-",
        ],
    );
    check(
        r#"{"kind": "remove_partner", "at": "Clinic"}"#,
        &[
            "-# The clinic",
            "-[[partner]]",
            "-name = \"Clinic\"",
            "-domains = \"clinic.example\"",
            "-# below: its hops",
            "-[partner.receive] # sub-table",
            "-level = \"require\"",
            "-[partner.deliver]",
            "-level = \"verify\"",
            "-match = \"mx\" # learnt",
            "-",
        ],
    );
    check(r#"{"kind": "remove_rule", "at": "three"}"#, &["-", "-# third", "-[[rule]]", "-name = \"three\"", "-# the end"]);
    check(
        r#"{"kind": "remove_owner", "at": "acme"}"#,
        &["-# The company", "-[[owner]] # one", "-name = \"acme\" # lower case", "-deliver = \"require\"", "-"],
    );
}

#[test]
fn a_line_of_a_text_is_no_comment() {
    let mut text = read("[[list]]\nname = 'x'\nentries = '''a\n# b'''\n[[list]]\nname = 'y'\n");
    text.apply(&edit(r#"{"kind": "remove_list", "at": "y"}"#)).expect("an edit");
    assert_eq!(text.as_str(), "[[list]]\nname = 'x'\nentries = '''a\n# b'''\n");
}

// req: A3
#[test]
fn setting_keys_of_an_entry() {
    check(
        r#"{"kind": "set_partner", "at": "Bank", "patch": {"name": "The Bank", "exclude": null, "mode": "testing"}}"#,
        &["-name = \"Bank\"   # a name", "+name = \"The Bank\"   # a name", "-exclude = \"lists.bank.example\"", "+mode = \"testing\""],
    );
    check(
        r#"{"kind": "set_partner", "at": "Bank", "patch": {"deliver": {"names": null, "lifetime": "9d", "match": "mx"}}}"#,
        &[
            "-deliver = { level = \"verify\", names = [\"mx.bank.example\"], lifetime = \"3d\" } # strong",
            "+deliver = { level = \"verify\", lifetime = \"9d\", match = \"mx\" } # strong",
        ],
    );
    check(
        r#"{"kind": "set_partner", "at": "Bank", "patch": {"deliver": "require"}}"#,
        &[
            "-deliver = { level = \"verify\", names = [\"mx.bank.example\"], lifetime = \"3d\" } # strong",
            "+deliver = \"require\" # strong",
        ],
    );
    // Keys of a table for a hop that is a level alone: the level stays.
    check(
        r#"{"kind": "set_owner", "at": "acme", "patch": {"deliver": {"min_version": "1.3"}}}"#,
        &["-deliver = \"require\"", "+deliver = { level = \"require\", min_version = \"1.3\" }"],
    );
    check(
        r#"{"kind": "set_owner", "at": "acme", "patch": {"deliver": {"level": "verify", "names": null}}}"#,
        &["-deliver = \"require\"", "+deliver = \"verify\""],
    );
    check(r#"{"kind": "set_owner", "at": "acme", "patch": {"deliver": {"names": null}, "receive": {"refuse": null}}}"#, &[]);
    check(
        r#"{"kind": "set_partner", "at": "law.example", "patch": {"deliver": {"min_version": null, "lifetime": "1d"}}}"#,
        &["-deliver.min_version = \"1.3\"", "+deliver.lifetime = \"1d\""],
    );
    check(
        r#"{"kind": "set_partner", "at": "law.example", "patch": {"deliver": "verify"}}"#,
        &["-deliver.level = \"require\" # dotted", "-deliver.min_version = \"1.3\"", "+deliver = \"verify\""],
    );
    check(
        r#"{"kind": "set_partner", "at": "Clinic", "patch": {"deliver": {"match": "domain", "names": "a b"}, "receive": null}}"#,
        &[
            "-# below: its hops",
            "-[partner.receive] # sub-table",
            "-level = \"require\"",
            "-match = \"mx\" # learnt",
            "+match = \"domain\" # learnt",
            "+names = \"a b\"",
        ],
    );
    check(
        r#"{"kind": "set_rule", "at": "one", "patch": {"when": {"recipient": {"matches": "other"}}, "then": {"stop": true}}}"#,
        &[
            "-when = { direction = \"outbound\", recipient = { matches = \"tls\" } }",
            "-then = { add_header = { X-TLSLevel = \"Require\" } }",
            "+when = { direction = \"outbound\", recipient = { matches = \"other\" } }",
            "+then = { add_header = { X-TLSLevel = \"Require\" }, stop = true }",
        ],
    );
    check(r#"{"kind": "set_rule", "at": "one", "patch": {}}"#, &[]);
    check(r#"{"kind": "set_partner", "at": "Bank", "patch": {"name": "Bank", "until": null}}"#, &[]);
}

#[test]
fn inline_tables_in_any_manner() {
    let after = |written: &str, json: &str| {
        let mut text = read(&format!("[[owner]]\nname = 'o'\ndeliver = {written} # c\n"));
        text.apply(&edit(&format!(r#"{{"kind": "set_owner", "at": "o", "patch": {{"deliver": {json}}}}}"#))).expect("an edit");
        let rest = text.as_str().strip_prefix("[[owner]]\nname = 'o'\ndeliver = ").expect("as before").to_owned();
        rest.strip_suffix(" # c\n").expect("as before").to_owned()
    };
    for (written, json, expected) in [
        ("{}", r#"{"level": "require"}"#, r#"{ level = "require" }"#),
        ("{level='require'}", r#"{"level": null}"#, "{}"),
        ("{level='require'}", r#"{"lifetime": "1d"}"#, r#"{level='require', lifetime = "1d"}"#),
        ("{ level = 'require', names = ['a'] }", r#"{"names": ["a", "b"]}"#, r#"{ level = 'require', names = ['a', "b"] }"#),
        ("{\n  level = 'require', # c\n  names = 'a', # d\n}", r#"{"level": null}"#, "{\n  names = 'a', # d\n}"),
        ("{\n  level = 'require', # c\n}", r#"{"names": "a"}"#, "{\n  level = 'require', # c\n  names = \"a\",\n}"),
        ("{ \"level\" = 'require' }", r#"{"level": "verify"}"#, r#"{ "level" = "verify" }"#),
    ] {
        assert_eq!(after(written, json), expected, "{written} and {json}");
    }
}

// req: B4
#[test]
fn setting_defaults() {
    check(
        r#"{"kind": "set_defaults", "patch": {"lifetime": "5d", "on_expiry": "delete", "external": {"deliver": "require"}}}"#,
        &[
            "-lifetime = \"7d\" # a week",
            "+lifetime = \"5d\" # a week",
            "+on_expiry = \"delete\"",
            "-deliver = \"opportunistic\"",
            "+deliver = \"require\"",
        ],
    );
    check(r#"{"kind": "set_defaults", "patch": {"hosted": {"submit": "require"}}}"#, &["+[defaults.hosted]", "+submit = \"require\""]);
    let after = |text: &str, json: &str| {
        let mut text = read(text);
        text.apply(&edit(&format!(r#"{{"kind": "set_defaults", "patch": {json}}}"#))).expect("an edit");
        text.to_string()
    };
    let both = r#"{"lifetime": "1d", "external": {"deliver": "require"}}"#;
    assert_eq!(
        after("# mine\n\n[[owner]]\nname = 'a'\n", both),
        "# mine\n\n[defaults]\nlifetime = \"1d\"\n[defaults.external]\ndeliver = \"require\"\n\n[[owner]]\nname = 'a'\n"
    );
    assert_eq!(
        after("[defaults.external]\nreceive = 'require'\n", both),
        "[defaults]\nlifetime = \"1d\"\n[defaults.external]\nreceive = 'require'\ndeliver = \"require\"\n"
    );
    assert_eq!(after("defaults.lifetime = '2d'\n", both), "defaults.lifetime = \"1d\"\ndefaults.external = { deliver = \"require\" }\n");
    assert_eq!(after("defaults = { lifetime = '2d' }\n", both), "defaults = { lifetime = \"1d\", external = { deliver = \"require\" } }\n");
    assert_eq!(after("", r#"{"lifetime": null}"#), "");
}

// req: C1
#[test]
fn moving_a_rule() {
    let one = ["# first", "[[rule]]", "name = \"one\"", "when = { direction = \"outbound\", recipient = { matches = \"tls\" } }"];
    let order = |json: &str| {
        let mut text = read(COMMENTED);
        let line = text.apply(&edit(json)).expect("an edit").line;
        let names: Vec<_> = text.rules().iter().map(|rule| rule.form.name.clone()).collect();
        let mut lines: Vec<_> = text.as_str().lines().filter(|line| !line.is_empty()).collect();
        assert!(lines.windows(one.len()).any(|lines| lines == one), "{text}");
        let mut before: Vec<_> = COMMENTED.lines().filter(|line| !line.is_empty()).collect();
        lines.sort_unstable();
        before.sort_unstable();
        assert_eq!(lines, before, "no line is lost or new");
        assert!(!text.as_str().contains("\n\n\n"), "{text}");
        let moved = text.rules().iter().position(|rule| rule.line == line).expect("a rule at that line");
        format!("{} @{moved}", names.join(" "))
    };
    assert_eq!(order(r#"{"kind": "move_rule", "at": "one", "to": "last"}"#), "two three one @2");
    assert_eq!(order(r#"{"kind": "move_rule", "at": "three", "to": {"position": 1}}"#), "three one two @0");
    assert_eq!(order(r#"{"kind": "move_rule", "at": "three", "to": {"before": "two"}}"#), "one three two @1");
    assert_eq!(order(r#"{"kind": "move_rule", "at": "one", "to": {"after": "two"}}"#), "two one three @1");
    assert_eq!(order(r#"{"kind": "move_rule", "at": "one", "to": {"before": "two"}}"#), "one two three @0");
    assert_eq!(order(r#"{"kind": "move_rule", "at": "two", "to": {"after": "two"}}"#), "one two three @1");
    let error = read(COMMENTED).apply(&edit(r#"{"kind": "move_rule", "at": "two", "to": {"position": 4}}"#)).unwrap_err();
    assert_eq!(error.to_string(), "no rule can have position 4; positions go from 1 to 3");
    check(
        r#"{"kind": "move_rule", "at": "three", "to": {"before": "two"}}"#,
        &["-# second", "-[[rule]]", "-name = \"two\"", "-", "+", "+# second", "+[[rule]]", "+name = \"two\""],
    );
}

#[test]
fn forms_of_every_kind_can_be_built_outside() {
    let mut domain = DomainForm::default();
    domain.name = "acme.example".to_owned();
    let mut owner = OwnerForm::default();
    owner.name = "acme".to_owned();
    let mut list = ListForm::default();
    (list.name, list.entries) = ("l".to_owned(), Items::from("a b"));
    let mut rule = RuleForm::default();
    rule.name = "r".to_owned();
    let mut text = read("");
    for edit in [
        Edit::AddOwner { entry: owner.clone() },
        Edit::AddDomain { entry: domain.clone() },
        Edit::AddList { entry: list.clone() },
        Edit::AddRule { entry: rule.clone(), to: RulePlace::Last },
    ] {
        text.apply(&edit).expect("an edit");
    }
    assert_eq!(
        text.as_str(),
        "[[owner]]\nname = \"acme\"\n\n[[domain]]\nname = \"acme.example\"\n\n[[list]]\nname = \"l\"\nentries = [\"a\", \"b\"]\n\n[[rule]]\nname = \"r\"\n"
    );
    assert_eq!((&text.owners()[0].form, &text.domains()[0].form), (&owner, &domain));
    assert_eq!((&text.lists()[0].form, &text.rules()[0].form), (&list, &rule));
}

/// Many at once come out as one after the other would, all or none.
// req: E10
#[test]
fn many_partners_are_added_at_once() {
    let form = |name: Option<&str>, domain: &str| {
        let mut form = PartnerForm::new(Items::from(domain));
        (form.name, form.deliver) = (name.map(str::to_owned), Some(HopForm::from("require")));
        form
    };
    let entries = vec![form(Some("One"), "one.example"), form(None, "two.example"), form(None, "*.three.example")];
    let (mut at_once, mut one_by_one) = (read(COMMENTED), read(COMMENTED));
    at_once.apply(&Edit::AddPartners { entries: entries.clone() }).unwrap();
    for entry in entries.clone() {
        one_by_one.apply(&Edit::AddPartner { entry }).unwrap();
    }
    assert_eq!(at_once.as_str(), one_by_one.as_str());
    let before = at_once.clone();
    for (entries, words) in [
        (vec![form(None, "b\u{fc}cher.example"), form(None, "xn--bcher-kva.example")], "given twice"),
        (vec![form(Some("Two"), "b.example"), form(Some("Two"), "c.example")], "\"Two\" is given twice"),
        (vec![form(None, "new.example"), form(None, "two.example")], "is there already"),
        (vec![], "nothing is named"),
    ] {
        let error = at_once.apply(&Edit::AddPartners { entries }).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(at_once.as_str(), before.as_str());
    }
}
