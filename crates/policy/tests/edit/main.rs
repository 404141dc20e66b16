//! Edits of a policy document: what is asked changes, and not one other octet.

mod any;
mod entries;
mod lists;

use sealpost_policy::{Edit, HopForm, PolicyText, diff};

/// A document with comments wherever TOML takes one.
const COMMENTED: &str = r#"# The policy of Acme.
# Written by hand.

[defaults] # for all
lifetime = "7d" # a week
# nothing else yet

# How we treat strangers
[defaults.external]
receive = "opportunistic" # RFC 3207
deliver = "opportunistic"

### Owners

# The company
[[owner]] # one
name = "acme" # lower case
deliver = "require"

### Hosted

# Their mail server
[[domain]]
name = "acme.example" # ours
owner = "acme"
servers = [ # who may send
  "192.0.2.0/28", # office
  # the cloud
  "cert:out.acme.example" # certificate
] # end
receive = { level = "require", senders = "*@bank.example, ceo@law.example" } # D1

### Partners

# The bank, see ticket 12
# (call Ann)
[[partner]]
name = "Bank"   # a name
domains = [ "bank.example", 'bank.test' ]   # both theirs
exclude = "lists.bank.example"
deliver = { level = "verify", names = ["mx.bank.example"], lifetime = "3d" } # strong

[[partner]] # no name
domains = """
law.example
*.law.test
"""
deliver.level = "require" # dotted
deliver.min_version = "1.3"
# receive = "require"

# The clinic
[[partner]]
name = "Clinic"
domains = "clinic.example"
# below: its hops
[partner.receive] # sub-table
level = "require"
[partner.deliver]
level = "verify"
match = "mx" # learnt

### Lists

[[list]]
name = "tls"
entries = [
    "clinic.example", # a
    "*.gov.example",  # b
    "x.example"
]

### Rules, in order

# first
[[rule]]
name = "one"
when = { direction = "outbound", recipient = { matches = "tls" } }
then = { add_header = { X-TLSLevel = "Require" } }

# second
[[rule]]
name = "two"

# third
[[rule]]
name = "three"
# the end
"#;

fn read(text: &str) -> PolicyText {
    PolicyText::parse("policy.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn edit(json: &str) -> Edit {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// The lines that an edit takes away and adds.
fn changes(text: &str, json: &str) -> String {
    let mut after = read(text);
    let edit = edit(json);
    let changed = after.apply(&edit).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(changed.changed, text != after.as_str());
    let diff = diff("policy.toml", text, after.as_str());
    let lines: Vec<_> = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-'])).collect();
    lines.join("\n")
}

#[track_caller]
fn check(json: &str, expected: &[&str]) {
    assert_eq!(changes(COMMENTED, json), expected.join("\n"), "{json}");
    // The same with the other line ends, and without the last one.
    let other = COMMENTED.replace('\n', "\r\n");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut crlf = read(&other);
    crlf.apply(&edit(json)).expect("an edit");
    assert_eq!(crlf.as_str().replace("\r\n", "").find('\n'), None, "a bare line feed after {json}");
    let mut lf = read(COMMENTED);
    lf.apply(&edit(json)).expect("an edit");
    assert_eq!(lines(crlf.as_str()), lines(lf.as_str()), "{json}");
    let mut endless = read(COMMENTED.trim_end());
    endless.apply(&edit(json)).expect("an edit");
    assert_eq!(endless.as_str().trim_end(), lf.as_str().trim_end(), "{json}");
}

#[test]
fn reading_and_writing_changes_nothing() {
    for text in [COMMENTED, "", "\n\n", "# only a comment", "\u{feff}[[partner]]\r\ndomains='a'\r\n"] {
        assert_eq!(read(text).to_string(), text);
    }
}

#[test]
fn entries_have_lines() {
    let text = read(COMMENTED);
    assert_eq!(text.defaults().lifetime.as_deref(), Some("7d"));
    assert_eq!(text.owners().iter().map(|entry| entry.line).collect::<Vec<_>>(), [16]);
    assert_eq!(text.domains().iter().map(|entry| entry.line).collect::<Vec<_>>(), [23]);
    assert_eq!(text.partners().iter().map(|entry| entry.line).collect::<Vec<_>>(), [37, 43, 53]);
    assert_eq!(text.lists().iter().map(|entry| entry.line).collect::<Vec<_>>(), [65]);
    assert_eq!(text.rules().iter().map(|entry| entry.line).collect::<Vec<_>>(), [76, 82, 86]);
    assert_eq!(text.partners()[1].form.domains.as_slice(), ["law.example", "*.law.test"]);
    assert_eq!(text.partners()[2].form.deliver.as_ref().and_then(HopForm::level), Some("verify"));
    assert_eq!(serde_json::to_string(&text.owners()[0]).unwrap(), r#"{"line":16,"name":"acme","deliver":"require"}"#);
}

#[test]
fn an_entry_is_found_or_it_is_said_where_to_look() {
    let mut text = read(
        "[[partner]]\nname = 'A'\ndomains = 'x.example y.example'\n[[partner]]\nname = 'A'\ndomains = 'z'\n[[partner]]\ndomains = 'u v'\n",
    );
    let mut fails = |json: &str| text.apply(&edit(json)).unwrap_err().to_string();
    assert_eq!(fails(r#"{"kind": "remove_partner", "at": "A"}"#), "partner \"A\" stands at lines 1 and 4; give them names of their own");
    assert_eq!(fails(r#"{"kind": "remove_partner", "at": "B"}"#), "there is no partner \"B\"");
    // Neither a second pattern nor the pattern of an entry with a name removes the entry.
    assert_eq!(
        fails(r#"{"kind": "remove_partner", "at": "y.example"}"#),
        "there is no partner \"y.example\"; it is named with others at line 1"
    );
    assert_eq!(fails(r#"{"kind": "remove_partner", "at": "v"}"#), "there is no partner \"v\"; it is named with others at line 7");
    assert_eq!(
        fails(r#"{"kind": "add_partner", "entry": {"domains": "U."}}"#),
        "partner \"U.\" is there already, at line 7; change that one, or give this one another name"
    );
    assert_eq!(fails(r#"{"kind": "add_domains", "partner": "u", "domains": " "}"#), "nothing is named that could be added or removed");
}

#[test]
fn a_bad_result_leaves_the_text_alone() {
    let mut text = read(COMMENTED);
    let error = text.apply(&edit(r#"{"kind": "set_partner", "at": "Bank", "patch": {"colour": "red"}}"#)).unwrap_err();
    assert!(error.to_string().starts_with("with this change the text would not be one to read: policy.toml:42:1: "), "{error}");
    assert!(error.to_string().contains("unknown field `colour`, expected one of `name`"), "{error}");
    let error = text.apply(&edit(r#"{"kind": "set_partner", "at": "Bank", "patch": {"subdomains": "yes"}}"#)).unwrap_err();
    assert!(error.to_string().contains("expected a boolean"), "{error}");
    let error = text.apply(&edit(r#"{"kind": "set_partner", "at": "Bank", "patch": {"domains": null}}"#)).unwrap_err();
    assert!(error.to_string().contains("missing field `domains`"), "{error}");
    assert_eq!(text.as_str(), COMMENTED);
}

#[test]
fn entries_in_brackets_are_read_and_not_edited() {
    let mut text = read("owner = [ { name = 'a' },\n { name = 'b' } ]\n");
    assert_eq!(text.owners().iter().map(|owner| owner.line).collect::<Vec<_>>(), [1, 2]);
    for json in [r#"{"kind": "remove_owner", "at": "b"}"#, r#"{"kind": "set_owner", "at": "b", "patch": {"parent": "a"}}"#] {
        let error = text.apply(&edit(json)).unwrap_err();
        assert_eq!(error.to_string(), "the owner at line 2 is written inside a list; write it as a table: [[owner]]");
    }
    assert!(text.apply(&edit(r#"{"kind": "add_owner", "entry": {"name": "c"}}"#)).is_err());
}

#[test]
fn a_date_is_a_text_or_a_date() {
    let mut text = read("[[owner]]\nname = 'a'\nuntil = 2030-01-31 # c\n[[owner]]\nname = 'b'\nuntil = '2030-01-31'\n");
    let until: Vec<_> = text.owners().iter().map(|owner| owner.form.until.as_deref()).collect();
    assert_eq!(until, [Some("2030-01-31"); 2]);
    text.apply(&edit(r#"{"kind": "set_owner", "at": "a", "patch": {"until": "2031-01-31"}}"#)).expect("an edit");
    assert!(text.as_str().contains("until = \"2031-01-31\" # c\n"), "{text}");
    assert!(
        PolicyText::parse("policy.toml", "[[owner]]\nname = 'a'\nuntil = 3\n")
            .unwrap_err()
            .to_string()
            .ends_with("expected a date such as 2026-12-31")
    );
}

#[test]
fn errors_of_a_text_have_their_place() {
    let fails = |text: &str| PolicyText::parse("policy.toml", text).unwrap_err().to_string();
    assert_eq!(
        fails("[[partner]]\nname = 'ä' x\n"),
        "policy.toml:2:12: not TOML: unexpected key or value, expected newline, `#`; the file is TOML: https://toml.io"
    );
    assert_eq!(
        fails("\n[[patner]]\n"),
        "policy.toml:2:3: unknown key \"patner\" in the document; allowed: include, defaults, owner, domain, partner, list, rule"
    );
    assert_eq!(fails("partner = 3"), "policy.toml:1:11: partner is no array of tables; write [[partner]]");
    assert!(
        fails("[[partner]]\ndomains = 'a'\nsubdomains = 3")
            .starts_with("policy.toml:3:14: not as a policy is written: invalid type: integer")
    );
    assert!(
        fails("[[owner]]\nname = 'x'\ndeliver = { levle = 'x' }")
            .starts_with("policy.toml:3:13: not as a policy is written: unknown field `levle`, expected one of `level`")
    );
    assert!(fails("[[owner]]\n").starts_with("policy.toml:1:1: not as a policy is written: missing field `name`"));
    assert!(fails("[defaults]\nlifetmie = '7d'").starts_with("policy.toml:2:1: "));
}

#[test]
fn an_edit_with_a_key_that_nothing_reads_is_refused() {
    for json in [
        r#"{"kind": "remove_partner", "at": "Bank", "force": true}"#,
        r#"{"kind": "drop_partner", "at": "Bank"}"#,
        r#"{"kind": "add_partner", "entry": {"domains": "a", "colour": 1}}"#,
        r#"{"kind": "add_partner", "entry": {"domains": "a", "deliver": {"colour": 1}}}"#,
        r#"{"kind": "set_partner", "at": "Bank", "patch": {"deliver": [1]}}"#,
    ] {
        assert!(serde_json::from_str::<Edit>(json).is_err(), "{json}");
    }
}

#[test]
fn edits_and_forms_are_written_as_they_are_read() {
    for json in [
        r#"{"kind":"add_partner","entry":{"domains":["a.example"],"for":["owner:x"],"deliver":{"level":"verify","match":"mx"}}}"#,
        r#"{"kind":"set_defaults","patch":{"lifetime":null,"bounce_after":3,"hosted":{"submit":"require"}}}"#,
        r#"{"kind":"move_rule","at":"x","to":{"before":"y"}}"#,
        r#"{"kind":"add_rule","entry":{"name":"x","when":{"header":{"name":"X","matches":"a*"}}},"to":"last"}"#,
    ] {
        assert_eq!(serde_json::to_string(&edit(json)).unwrap(), json);
    }
}
