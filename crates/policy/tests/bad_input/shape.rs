//! What is no policy at all: no TOML, unknown keys and words, wrong types.

use sealpost_policy::{Policy, Problem};

use super::{check, errors};

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
            "policy.toml:2:1: unknown key \"lifetme\" in [defaults]; did you mean \"lifetime\"? Allowed: lifetime, retry, on_expiry, on_failure, bounce_after, header, header_trust, tag_delimiters, requiretls, hosted, external",
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
            "policy.toml:3:32: unknown key \"colour\" in deliver; allowed: level, names, match, pins, anchors, client_certificate, client_key, else, min_version, min_group, ciphers, senders, recipients, lifetime, retry, on_expiry, on_failure, bounce_after, clear_fallback, dane_satisfies, ignore_published",
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
            "policy.toml:3:13: on_expiry is true or false; write \"bounce\", \"delete\" or \"hold\"",
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
            "policy.toml:7:91: on_expiry is a number; write \"bounce\", \"delete\" or \"hold\"",
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
    check("[defaults]\non_expiry = 'burn'", &["policy.toml:2:13: on_expiry is \"burn\"; allowed: bounce, delete, hold"]);
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
