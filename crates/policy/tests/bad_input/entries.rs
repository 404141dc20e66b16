//! Entries that do not go together: owners, hosted domains, rules, lists.

use super::{check, errors};

#[test]
fn nobody_hosts_every_domain() {
    for found in ["*", "**", "*.*", "?*", "*.?"] {
        check(
            &format!("[[domain]]\nname = '{found}'"),
            &[&format!(
                "policy.toml:2:8: the hosted domain \"{found}\" is every domain; \
                 a relay that hosts every domain relays for everybody; name the domains that are yours"
            )],
        );
    }
}

#[test]
fn a_domain_is_hosted_once_and_no_partner() {
    check(
        "[[domain]]\nname = 'a.example'\n\n[[domain]]\nname='A.example.'\n[[partner]]\ndomains='b.example, a.example'",
        &[
            "policy.toml:5:6: the domain \"a.example\" is hosted already, by line 1; keep one of the two entries",
            "policy.toml:7:21: the partner's domain \"a.example\" is hosted here, by line 1; \
             a partner is somebody else's domain: remove one of the two",
        ],
    );
    // Names below a hosted wildcard are hosted too, one by one or together.
    for domains in ["x.a.example", "*.a.example", "*.x.a.example"] {
        assert_eq!(errors(&format!("[[domain]]\nname = '*.a.example'\n[[partner]]\ndomains='{domains}'")).len(), 1, "{domains}");
    }
    // A wildcard of a partner's may lie around a hosted domain: both hold there.
    for domains in ["example", "*.example", "*", "*a*"] {
        check(&format!("[[domain]]\nname = 'a.example'\n[[partner]]\ndomains='{domains}'"), &[]);
    }
}

#[test]
fn owners_that_are_nowhere_twice_or_above_themselves() {
    let owner = "[[owner]]\nname = 'acme'\n";
    check(
        &format!("{owner}[[domain]]\nname = 'a.example'\nowner = 'acne'"),
        &["policy.toml:5:9: there is no owner \"acne\"; did you mean \"acme\"?"],
    );
    check(&format!("{owner}parent = 'Holding'"), &["policy.toml:3:10: there is no owner \"Holding\"; there is \"acme\""]);
    check(
        "[[domain]]\nname = 'a.example'\nowner = 'acme'",
        &["policy.toml:3:9: there is no owner \"acme\"; write [[owner]] name = \"acme\""],
    );
    check(
        &format!("{owner}[[partner]]\ndomains = 'a.example'\nfor = 'x.example owner:amce owner:'"),
        &[
            "policy.toml:5:18: there is no owner \"amce\"; did you mean \"acme\"?",
            "policy.toml:5:29: for is empty; write a name, or leave it out",
        ],
    );
    check(
        &format!("{owner}{owner}"),
        &["policy.toml:4:8: a second [[owner]] \"acme\"; the first stands in line 1; give one of the two another name"],
    );
    check(
        "[[owner]]\nname = 'a'\nparent = 'b'\n[[owner]]\nname = 'b'\nparent = 'c'\n[[owner]]\nname = 'c'\nparent = 'b'\n[[owner]]\nname = 'd'\nparent = 'd'",
        &[
            "policy.toml:6:10: the owner \"b\" stands above itself; leave out one \"parent\" of those that lead back to it",
            "policy.toml:9:10: the owner \"c\" stands above itself; leave out one \"parent\" of those that lead back to it",
            "policy.toml:12:10: the owner \"d\" stands above itself; leave out one \"parent\" of those that lead back to it",
        ],
    );
    check("[[owner]]\ndeliver = 'require'", &["policy.toml:1:1: [[owner]] has no name; add name = \"a name\""]);
}

/// Owners in a ring, and a key whose meaning hangs on the level that they do not say: looked for once around, not for ever.
#[test]
fn a_ring_of_owners_ends() {
    check(
        "[[owner]]\nname = 'a'\nparent = 'b'\n[[owner]]\nname = 'b'\nparent = 'a'\n[[domain]]\nname = 'a.example'\nowner = 'a'\ndeliver = { names = 'x.example' }",
        &[
            "policy.toml:3:10: the owner \"a\" stands above itself; leave out one \"parent\" of those that lead back to it",
            "policy.toml:6:10: the owner \"b\" stands above itself; leave out one \"parent\" of those that lead back to it",
            "policy.toml:10:13: names has no meaning at level \"opportunistic\", which holds here by another entry or a default; \
             leave it out, or write level = \"verify\" beside it",
        ],
    );
}

#[test]
fn rules_and_their_lists() {
    let list = "[[list]]\nname = 'vip'\nentries = 'a.example'\n";
    let rule = |when: &str, then: &str| errors(&format!("{list}[[rule]]\nname = 'r'\nwhen = {{ {when} }}\nthen = {{ {then} }}"));
    let stop = "stop = true";
    for (when, expected) in [
        ("direction = 'out'", "policy.toml:6:22: direction is \"out\"; allowed: inbound, outbound"),
        ("sender = 'vip'", "policy.toml:6:19: sender is a text; write a table { matches = \"name of a list\" }"),
        ("sender = { matches = 'vp' }", "policy.toml:6:31: there is no list \"vp\"; did you mean \"vip\"?"),
        ("sender = {}", "policy.toml:6:19: sender is empty; write { matches = \"name of a list\" }"),
        (
            "recipient = { matches = 'vip', not_matches = 'vip' }",
            "policy.toml:6:55: recipient has both matches and not_matches; write two rules",
        ),
        (
            "recipient = { match = 'vip', matches = 'vip' }",
            "policy.toml:6:24: unknown key \"match\" in recipient; did you mean \"matches\"? Allowed: matches, not_matches",
        ),
        (
            "header = { name = 'X Y', matches = '*' }",
            "policy.toml:6:28: \"X Y\" is no name of a header field: the field name has ' ' at octet 1; printable ASCII without ':' is allowed; write a name such as X-TLSLevel",
        ),
        ("header = { matches = '*' }", "policy.toml:6:19: header has no name; add name = \"Subject\""),
        ("header = { name = 'Subject' }", "policy.toml:6:19: header has no matches; add matches = \"*a word*\""),
        ("from = 'x'", "policy.toml:6:10: unknown key \"from\" in when; allowed: direction, sender, recipient, header"),
    ] {
        assert_eq!(rule(when, stop), [expected], "{when}");
    }
    for (then, expected) in [
        ("", "policy.toml:7:8: then is empty; write add_header, stop, or both"),
        ("add_header = {}", "policy.toml:7:23: add_header is empty; write { X-TLSLevel = \"Require\" }"),
        ("add_header = { X-TLSLevel = 'None' }", "policy.toml:7:38: X-TLSLevel is \"None\"; allowed: Require, Try"),
        (
            "add_header = { X-TLSLevel = 'Requir' }",
            "policy.toml:7:38: X-TLSLevel is \"Requir\"; did you mean \"Require\"? Allowed: Require, Try",
        ),
        (
            "add_header = { X-Other = 'x' }",
            "policy.toml:7:25: the header field \"X-Other\" cannot be added; a rule may add X-TLSLevel, and nothing else",
        ),
        ("stop = 'yes'", "policy.toml:7:17: stop is a text; write true or false"),
        ("reject = true", "policy.toml:7:10: unknown key \"reject\" in then; allowed: add_header, stop"),
    ] {
        assert_eq!(rule("", then), [expected], "{then}");
    }
    check("[[rule]]\nname = 'r'", &["policy.toml:1:1: [[rule]] has no then; add then = { add_header = { X-TLSLevel = \"Require\" } }"]);
    check("[[rule]]\nthen = { stop = true }", &["policy.toml:1:1: [[rule]] has no name; add name = \"a name\""]);
    check("[[list]]\nname = 'x'", &["policy.toml:1:1: [[list]] has no entries; add entries = [\"example.org\"]"]);
    check(
        &format!("{list}{list}"),
        &["policy.toml:5:8: a second [[list]] \"vip\"; the first stands in line 1; give one of the two another name"],
    );
    check("[[rule]]\nname = 'r'\nthen = { stop = true }\nmode = 'on'", &["policy.toml:4:8: mode is \"on\"; allowed: enforce, testing"]);
    check(
        &format!("[defaults]\nheader = 'X:'\n{list}"),
        &[
            "policy.toml:2:10: \"X:\" is no name of a header field: the field name has ':' at octet 1; printable ASCII without ':' is allowed; write a name such as X-TLSLevel",
        ],
    );
}

/// A parser of included lists is not needed for the mistakes of the table that includes them.
#[test]
fn included_lists() {
    check("[[include]]\nmode = 'testing'", &["policy.toml:1:1: [[include]] has no file; add file = \"partners.csv\""]);
    check(
        "[[include]]\nfile = 'p.csv'",
        &[
            "policy.toml:2:8: the included file \"p.csv\" cannot be read: this program reads no included lists; name a file that can be read",
        ],
    );
    check("[[include]]\nfile = 1", &["policy.toml:2:8: file is a number; write a file such as \"partners.csv\""]);
}
