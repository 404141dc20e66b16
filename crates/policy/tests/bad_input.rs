//! Each kind of mistake in a document, with its exact place and words; and documents that are no documents.

use proptest::prelude::*;
use sealpost_policy::{Policy, Problem};

/// Every line of the errors of a document.
fn errors(text: &str) -> Vec<String> {
    match Policy::parse("policy.toml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(errors(text), expected, "{text}");
}

#[test]
fn no_toml() {
    check("[defaults\nlifetime = '7d'", &["policy.toml:1:10: not TOML: unclosed table, expected `]`; the file is TOML: https://toml.io"]);
    check("[[partner]]\ndomains='a'\ndomains='b'", &["policy.toml:3:1: not TOML: duplicate key; the file is TOML: https://toml.io"]);
}

#[test]
fn a_broken_line_hides_nothing_on_other_lines_and_repeats_nothing() {
    check(
        "[[partner]]\ndomains = a.example\nrecieve = 'require'\ndeliver = 'requier'\n",
        &[
            "policy.toml:2:11: not TOML: string values must be quoted, expected literal string; the file is TOML: https://toml.io",
            "policy.toml:3:1: unknown key \"recieve\" in [[partner]]; did you mean \"receive\"? \
             Allowed: name, domains, subdomains, exclude, for, clients, receive, deliver, mode, until, reason",
            "policy.toml:4:11: deliver is \"requier\"; did you mean \"require\"? Allowed: none, mirror, opportunistic, require, chain, verify, dane, dane-only, pinned",
        ],
    );
}

#[test]
fn unknown_keys_in_each_table() {
    check(
        "[[patner]]",
        &[
            "policy.toml:1:3: unknown key \"patner\" in the document; did you mean \"partner\"? Allowed: defaults, owner, domain, partner, list, rule, include",
        ],
    );
    check(
        "[defaults]\nlifetme = '7d'",
        &[
            "policy.toml:2:1: unknown key \"lifetme\" in [defaults]; did you mean \"lifetime\"? Allowed: lifetime, on_expiry, on_failure, bounce_after, header, header_trust, tag_delimiters, hosted, external",
        ],
    );
    check(
        "[defaults.hosted]\nsubmitt = 'require'",
        &["policy.toml:2:1: unknown key \"submitt\" in [defaults.hosted]; did you mean \"submit\"? Allowed: receive, submit, deliver"],
    );
    check(
        "[defaults.external]\ndelivery = 'require'",
        &["policy.toml:2:1: unknown key \"delivery\" in [defaults.external]; did you mean \"deliver\"? Allowed: receive, deliver"],
    );
    check(
        "[[domain]]\nname = 'a.example'\nownr = 'acme'",
        &[
            "policy.toml:3:1: unknown key \"ownr\" in [[domain]]; did you mean \"owner\"? Allowed: name, owner, route, servers, receive, submit, deliver, mode, until, reason",
        ],
    );
    check(
        "[[partner]]\ndomains = 'a.example'\nservers = '192.0.2.1'",
        &["policy.toml:3:1: unknown key \"servers\" in [[partner]]; \
           allowed: name, domains, subdomains, exclude, for, clients, receive, deliver, mode, until, reason"],
    );
    check(
        "[[partner]]\ndomains = 'a.example'\ndeliver = { level = 'require', colour = 1 }",
        &[
            "policy.toml:3:32: unknown key \"colour\" in deliver; allowed: level, names, match, pins, else, min_version, min_group, ciphers, senders, recipients, lifetime, on_expiry, on_failure, bounce_after, clear_fallback, dane_satisfies, ignore_published",
        ],
    );
    check(
        "[[partner]]\ndomains = 'a.example'\n[partner.receive]\nlevel = 'require'\nmin_versoin = '1.3'",
        &[
            "policy.toml:5:1: unknown key \"min_versoin\" in receive; did you mean \"min_version\"? Allowed: level, names, pins, min_version, min_group, ciphers, senders, recipients, else, refuse, exempt_clients",
        ],
    );
}

#[test]
fn wrong_types() {
    check(
        "partner = [3]\ndomain = 3\ndefaults = 4",
        &[
            "policy.toml:1:12: partner is a number; write an array of tables: [[partner]]",
            "policy.toml:2:10: domain is a number; write an array of tables: [[domain]]",
            "policy.toml:3:12: defaults is a number; write a table [defaults]",
        ],
    );
    check(
        "[defaults]\nlifetime = 7\non_expiry = true\nhosted = 'require'\nexternal = []",
        &[
            "policy.toml:2:12: lifetime is a number; write a text such as \"7d\"",
            "policy.toml:3:13: on_expiry is true or false; write \"bounce\" or \"delete\"",
            "policy.toml:4:10: hosted is a text; write a table [defaults.hosted]",
            "policy.toml:5:12: external is a list; write a table [defaults.external]",
        ],
    );
    check(
        "[[partner]]\nname = 1\ndomains = ['a', 3]\nsubdomains = 'yes'\nexclude = 1979-05-27\nreceive = true\n\
         deliver = { level = 1, names = 2, match = 3, min_version = 1.3, lifetime = 4, on_expiry = 5 }",
        &[
            "policy.toml:2:8: name is a number; write a text",
            "policy.toml:3:17: domains is a number; write a text, or a list of texts",
            "policy.toml:4:14: subdomains is a text; write true or false",
            "policy.toml:5:11: exclude is a date; write a text, or a list of texts",
            "policy.toml:6:11: receive is true or false; write a level such as \"require\", or a table { level = \"require\" }",
            "policy.toml:7:21: level is a number; write a level such as \"require\"",
            "policy.toml:7:32: names is a number; write a text, or a list of texts",
            "policy.toml:7:43: match is a number; write \"domain\" or \"mx\"",
            "policy.toml:7:60: min_version is a number with a point; write \"1.2\" or \"1.3\"",
            "policy.toml:7:76: lifetime is a number; write a text such as \"7d\"",
            "policy.toml:7:91: on_expiry is a number; write \"bounce\" or \"delete\"",
        ],
    );
    check(
        "[[domain]]\nname = ['a']\nroute = {}",
        &[
            "policy.toml:2:8: name is a list; write a domain such as \"example.org\"",
            "policy.toml:3:9: route is a table; write a next hop such as \"mail.example.org:25\"",
        ],
    );
}

#[test]
fn missing_and_empty() {
    check("\n[[domain]]\nroute = 'a'", &["policy.toml:2:1: [[domain]] has no name; add name = \"example.org\""]);
    check("[[partner]]\nname = 'x'", &["policy.toml:1:1: [[partner]] has no domains; add domains = [\"example.org\"]"]);
    for domains in ["[]", "''", "' , '", "['', ' ']"] {
        check(
            &format!("[[partner]]\ndomains = {domains}"),
            &["policy.toml:2:11: domains is empty; write at least one domain, or * for all"],
        );
    }
    check("[[partner]]\nname = ' '\ndomains = 'a'", &["policy.toml:2:8: name is empty; write a name, or leave it out"]);
    check(
        "[[domain]]\nname = ''",
        &["policy.toml:2:8: \"\" is no domain pattern: the domain is empty; write example.org, *.example.org or *"],
    );
}

#[test]
fn unknown_words() {
    check("[defaults]\non_expiry = 'burn'", &["policy.toml:2:13: on_expiry is \"burn\"; allowed: bounce, delete"]);
    check(
        "[[partner]]\ndomains = 'a'\nreceive = 'Require'\ndeliver = { level = 'verify', match = 'mxs', min_version = '1.1' }",
        &[
            "policy.toml:3:11: receive is \"Require\"; did you mean \"require\"? Allowed: opportunistic, require, chain, verify, pinned",
            "policy.toml:4:39: match is \"mxs\"; did you mean \"mx\"? Allowed: domain, mx",
            "policy.toml:4:60: min_version is \"1.1\"; did you mean \"1.2\"? Allowed: 1.2, 1.3",
        ],
    );
}

#[test]
fn levels_without_a_meaning_on_the_hop() {
    for (word, level) in [("none", "none"), ("never", "none"), ("mirror", "mirror")] {
        check(
            &format!("[defaults.external]\nreceive = '{word}'"),
            &[&format!(
                "policy.toml:2:11: the level \"{level}\" has no meaning on the receive hop; write one of \"opportunistic\", \"require\", \"chain\", \"verify\", \"pinned\""
            )],
        );
    }
}

#[test]
fn keys_without_a_meaning() {
    for key in ["match", "lifetime", "on_expiry", "dane_satisfies"] {
        check(
            &format!("[[domain]]\nname = 'a'\nreceive = {{ {key} = 'x' }}"),
            &[&format!(
                "policy.toml:3:13: {key} has no meaning on the receive hop; allowed here: level, names, pins, min_version, min_group, ciphers, senders, recipients, else, refuse, exempt_clients"
            )],
        );
    }
    for level in ["none", "mirror", "opportunistic", "require"] {
        for (key, value) in [("names", "mx.example"), ("match", "mx")] {
            check(
                &format!("[[domain]]\nname = 'a'\ndeliver = {{ {key} = '{value}', level = '{level}' }}"),
                &[&format!(
                    "policy.toml:3:13: {key} has no meaning at level \"{level}\"; leave it out, or write level = \"verify\" beside it"
                )],
            );
        }
    }
    check(
        "[[domain]]\nname = 'a'\ndeliver = { level = 'none', min_version = '1.3' }",
        &["policy.toml:3:29: min_version has no meaning at level \"none\"; leave it out, or write a level that uses TLS"],
    );
}

#[test]
fn keys_without_a_meaning_at_the_level_that_is_inherited() {
    let partner = "[[partner]]\ndomains = 'a.example'\ndeliver = { names = 'mx.example' }\n";
    check(
        partner,
        &["policy.toml:3:13: names has no meaning at level \"opportunistic\", which holds here by another entry or a default; \
           leave it out, or write level = \"verify\" beside it"],
    );
    check(&format!("{partner}[defaults.external]\ndeliver = 'verify'"), &[]);
    check(&format!("{partner}[[partner]]\ndomains = 'example'\ndeliver = 'verify'"), &[]);
    check(&format!("{partner}[[partner]]\ndomains = '*'\ndeliver = 'verify'"), &[]);
    check(&format!("{partner}[[partner]]\ndomains = 'a*e'\ndeliver = 'verify'"), &[]);
    assert_eq!(errors(&format!("{partner}[[partner]]\ndomains = 'b.example'\ndeliver = 'verify'")).len(), 1);
    assert_eq!(errors(&format!("{partner}[defaults.hosted]\ndeliver = 'verify'")).len(), 1);
    check(
        "[defaults.hosted]\ndeliver = { match = 'mx' }\n[defaults.external]\ndeliver = { level = 'none' }\n\
         [[partner]]\ndomains = '*.b'\ndeliver.min_version = '1.3'",
        &[
            "policy.toml:2:13: match has no meaning at level \"opportunistic\", which holds here by another entry or a default; \
             leave it out, or write level = \"verify\" beside it",
            "policy.toml:7:9: min_version has no meaning at level \"none\", which holds here by another entry or a default; \
             leave it out, or write a level that uses TLS",
        ],
    );
}

#[test]
fn durations() {
    for found in ["7", "d", "", "0d", "7w", "-1d", "+1d", "1.5h", "7 d", "1h30m", "99999999999999999999s", "213503982334602d"] {
        check(
            &format!("[defaults]\nlifetime = '{found}'"),
            &[&format!(
                "policy.toml:2:12: lifetime is {found:?}, which is no length of time; \
                 write a whole number above 0 with its unit: \"30s\", \"90m\", \"36h\" or \"7d\""
            )],
        );
    }
}

#[test]
fn patterns_are_found_wherever_they_stand() {
    // Columns count characters: the e with an accent is two octets.
    check(
        "[[partner]]\ndomains = \"é.example x@y\"",
        &["policy.toml:2:22: \"x@y\" is no domain pattern: the domain has '@' at octet 1; letters, digits, '-', '_' and '.' are allowed; \
           write example.org, *.example.org or *"],
    );
    check(
        "[[partner]]\ndomains = \"\"\"\na.example,\n  b..example ü*.example,\n\"\"\"\nexclude = ['-a', 'x', '*.']",
        &[
            "policy.toml:4:3: \"b..example\" is no domain pattern: the domain \"b..example\" has an empty label; \
             write example.org, *.example.org or *",
            "policy.toml:4:14: \"ü*.example\" is no domain pattern: the label \"ü*\" has a wildcard and 'ü', \
             which no domain has in the form that is compared; write example.org, *.example.org or *",
            "policy.toml:6:13: \"-a\" is no domain pattern: the label \"-a\" starts or ends with a hyphen; \
             write example.org, *.example.org or *",
            "policy.toml:6:24: \"*.\" is no domain pattern: the domain is empty; write example.org, *.example.org or *",
        ],
    );
    check(
        "[[partner]]\ndomains = '[192.0.2.1]'",
        &["policy.toml:2:12: \"[192.0.2.1]\" is no domain pattern: the domain has '[' at octet 0; \
           letters, digits, '-', '_' and '.' are allowed; write example.org, *.example.org or *"],
    );
}

#[test]
fn certificate_names_and_routes() {
    check(
        "[[partner]]\ndomains = 'a'\ndeliver = { level = 'verify', names = ['mx.a', 'm*.a'] }",
        &[
            "policy.toml:3:49: \"m*.a\" is no certificate name: the domain has '*' at octet 1; letters, digits, '-', '_' and '.' are allowed; \
           write mx.example.org, *.example.org or an IP address",
        ],
    );
    check(
        "[[domain]]\nname = 'a'\nroute = 'a:b'",
        &["policy.toml:3:9: the route \"a:b\" is no next hop: the port \"b\" is no number from 1 to 65535; \
           write host.example:25, 192.0.2.1:25, [2001:db8::1]:25 or mx:example.org"],
    );
}

#[test]
fn names_of_partners_are_fit_for_replies() {
    for (name, characters) in [("a\\r\\nb".to_owned(), 4), ("x".repeat(101), 101), ("a\\u001bb".to_owned(), 3)] {
        check(
            &format!("[[partner]]\nname = \"{name}\"\ndomains = 'a'"),
            &[&format!(
                "policy.toml:2:8: the name has control characters, or too many characters ({characters}); \
                 write up to 100 characters, without line breaks and other control characters"
            )],
        );
    }
    check(&format!("[[partner]]\nname = \"{}\"\ndomains = 'a'", "ü".repeat(100)), &[]);
}

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
fn the_problem_is_typed() {
    let errors = Policy::parse("x", "[[partner]]\ndomains = 'a'\nrecieve = 1").expect_err("a typo");
    let error = errors.iter().next().expect("one");
    assert_eq!((&*error.file, error.line, error.column), ("x", 3, 1));
    assert!(
        matches!(&error.problem, Problem::UnknownKey { key, table: "[[partner]]", allowed } if key == "recieve" && allowed.contains(&"receive"))
    );
}

/// 2,000 mistakes on one line, each in its own column: counted in one pass.
#[test]
fn many_mistakes_on_one_line() {
    let domains = vec!["'b..ü'"; 2000].join(",");
    let found = errors(&format!("[[partner]]\ndomains = [{domains}]"));
    assert_eq!(found.len(), 2000);
    assert!(found[0].starts_with("policy.toml:2:13: "), "{}", found[0]);
    assert!(found[1999].starts_with("policy.toml:2:14006: "), "{}", found[1999]);
}

const WHOLE: &str = r#"
[defaults]
lifetime = "7d"
on_expiry = "bounce"
[defaults.external]
receive = "opportunistic"
deliver = { level = "mirror", min_version = "1.3" }
[defaults.hosted]
receive = { level = "require", min_version = "1.2" }
deliver = "opportunistic"
[[domain]]
name = "acmé.example"
route = "mail.acme.example:25"
receive = "require"
deliver = { level = "verify", match = "mx", names = "a.example,b.example 192.0.2.1" }
[[partner]]
name = "Bank"
domains = ["bank.example", "*.b?nk.example"]
subdomains = false
exclude = """lists.bank.example
 *.x"""
receive = "require"
deliver = { level = "verify", lifetime = "36h", on_expiry = "delete" }
"#;

#[test]
fn the_whole_document_is_read() {
    check(WHOLE, &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut, doubled, swapped and overwritten pieces of a document: errors, never a panic, and every place lies in the text.
    #[test]
    fn mutated_documents_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4, prop::sample::select(vec![
            "\"", "'", "[", "]", "[[", "{", "}", "=", "\n", "*", ".", "ü", "\u{feff}", "\\", "\"\"\"", "#", "1", "true", ",", "\0", "none", "[[domain]]",
        ])), 1..8)
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (from, to, kind, piece) in edits {
            if text.is_empty() {
                break;
            }
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 40));
            match kind {
                0 => drop(text.drain(from..to)),
                1 => { let copy: Vec<char> = text[from..to].to_vec(); text.splice(to..to, copy); }
                2 => drop(text.splice(from..from, piece.chars())),
                _ => text.swap(from, to),
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(errors) = Policy::parse("policy.toml", &text) {
            prop_assert!(errors.iter().count() > 0);
            for error in &errors {
                let line = text.split('\n').nth(error.line as usize - 1);
                prop_assert!(line.is_some_and(|line| (error.column as usize) <= line.chars().count() + 1), "{error}\n{text}");
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }

    /// The same for characters that are no document at all.
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        let _ = Policy::parse("policy.toml", &text);
    }
}
