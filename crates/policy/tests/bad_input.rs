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

/// The one problem of a partner with these further lines.
#[track_caller]
fn check_partner(lines: &str, expected: &str) {
    check(&format!("[[partner]]\ndomains = 'a.example'\n{lines}"), &expected.lines().collect::<Vec<_>>());
}

#[test]
fn levels_that_lack_what_they_are_held_against() {
    check_partner("deliver = 'pinned'", "policy.toml:3:11: the level \"pinned\" has no pins; write pins = [\"sha256//...\"] beside it");
    check_partner(
        "deliver = { level = 'dane', else = 'pinned' }",
        "policy.toml:3:13: the level \"pinned\" has no pins; write pins = [\"sha256//...\"] beside it",
    );
    check_partner(
        "receive = 'verify'",
        "policy.toml:3:11: the level \"verify\" has no names; write names = [\"out.example.org\"] beside it",
    );
    check_partner(
        "receive = { min_version = '1.3', level = 'verify' }",
        "policy.toml:3:34: the level \"verify\" has no names; write names = [\"out.example.org\"] beside it",
    );
    check("[[partner]]\ndomains = 'a'\ndeliver = 'verify'", &[]);
}

#[test]
fn lists_of_nothing_silence_no_entry() {
    for (key, value, remedy) in [
        ("senders", "''", "at least one address, or leave it out for all"),
        ("recipients", "[]", "at least one local part, or leave it out for all"),
    ] {
        let column = 14 + key.len() + 2;
        check_partner(
            &format!("deliver = {{  {key} = {value} }}"),
            &format!("policy.toml:3:{}: {key} is empty; write {remedy}", column + 1),
        );
    }
    check_partner(
        "deliver = { pins = ' , ', level = 'pinned' }",
        "policy.toml:3:20: pins is empty; write at least one sha256//... of a key, or leave it out",
    );
    check_partner(
        "deliver = { level = 'require', ciphers = [] }",
        "policy.toml:3:32: ciphers is empty; write at least one IANA name such as TLS_AES_256_GCM_SHA384",
    );
    check_partner("for = ''", "policy.toml:3:7: for is empty; write whom the partner is for, or leave it out");
    check("[[include]]\nfile = ''", &["policy.toml:2:8: file is empty; write a file such as \"partners.csv\""]);
}

#[test]
fn else_where_nothing_else_could_be_meant() {
    check_partner(
        "deliver = { level = 'require', else = 'mirror' }",
        "policy.toml:3:32: else stands alone; write it beside level = \"dane\", senders or recipients",
    );
    for (hop, level) in [("deliver", "pinned"), ("deliver", "dane"), ("receive", "verify"), ("receive", "pinned")] {
        check_partner(
            &format!("{hop} = {{ level = 'require', senders = 'x@y.example', else = '{level}' }}"),
            &format!(
                "policy.toml:3:64: else is \"{level}\", which needs keys of its own; write a level that needs no other keys, or an entry of its own"
            ),
        );
    }
    check_partner(
        "deliver = { level = 'dane', else = 'dane-only' }",
        "policy.toml:3:36: else is \"dane-only\"; allowed: none, mirror, opportunistic, require, chain, verify, pinned",
    );
    check_partner(
        "receive = { level = 'require', recipients = 'x', else = 'none' }",
        "policy.toml:3:57: the level \"none\" has no meaning on the receive hop; write one of \"opportunistic\", \"require\", \"chain\", \"verify\", \"pinned\"",
    );
}

#[test]
fn clients_pins_suites_and_groups() {
    let remedy = "write 192.0.2.0/28, 192.0.2.1, shared:192.0.2.0/24, cert:out.example.org or auth:LOGIN";
    check(
        "[[domain]]\nname = 'a.example'\nservers = ['mail.a.example', '192.0.2.1/24', 'cert:a..b', 'auth:', 'shared:x']",
        &[
            &format!("policy.toml:3:13: \"mail.a.example\" names no client: \"mail.a.example\" is no address and no network; {remedy}"),
            &format!(
                "policy.toml:3:31: \"192.0.2.1/24\" names no client: 192.0.2.1/24 has bits behind its prefix; the network is 192.0.2.0/24; {remedy}"
            ),
            &format!(
                "policy.toml:3:47: \"cert:a..b\" names no client: \"a..b\" is not a certificate name: the domain \"a..b\" has an empty label; {remedy}"
            ),
            &format!("policy.toml:3:60: \"auth:\" names no client: no login stands behind \"auth:\"; {remedy}"),
            &format!("policy.toml:3:69: \"shared:x\" names no client: \"x\" is no address and no network; {remedy}"),
        ],
    );
    for (text, line, column, key) in [
        ("[[partner]]\ndomains = 'a'\nclients = 'shared:192.0.2.0/24'", 3, 12, "clients"),
        ("[defaults]\nheader_trust = 'shared:192.0.2.0/24'", 2, 17, "header_trust"),
    ] {
        check(
            text,
            &[&format!(
                "policy.toml:{line}:{column}: \"shared:192.0.2.0/24\" counts only together with a sender's domain, and {key} goes by the client alone; \
                 write the network without \"shared:\" if all of it is theirs, or a cert: or an auth:"
            )],
        );
    }
    check_partner(
        "receive = { level = 'require', exempt_clients = '192.0.2.1 auth:x shared:192.0.2.0/24' }",
        "policy.toml:3:60: \"auth:x\" is no network, and only networks are exempt; write a network such as 192.0.2.0/28: what else a client shows, it can leave out\n\
         policy.toml:3:67: \"shared:192.0.2.0/24\" is no network, and only networks are exempt; write a network such as 192.0.2.0/28: what else a client shows, it can leave out",
    );
    let found = errors("[[partner]]\ndomains = 'a'\ndeliver = { level = 'pinned', pins = 'sha1//x' }");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("policy.toml:3:39: \"sha1//x\" is no pin: ")
            && found[0].ends_with("; write sha256// and the base64 of the SHA-256 of the key, as `sealpost cert show` prints it"),
        "{found:?}"
    );
    check_partner(
        "deliver = { level = 'require', ciphers = 'AES128-SHA TLS_AES_128_GCM_SHA256', min_group = 'rsa' }",
        "policy.toml:3:43: \"AES128-SHA\" is no cipher suite that can be used here; write IANA names such as TLS_AES_256_GCM_SHA384\n\
         policy.toml:3:91: min_group is \"rsa\"; allowed: x25519, secp256r1, secp384r1, secp521r1, X25519MLKEM768, post-quantum",
    );
}

#[test]
fn dates_counts_and_delimiters() {
    for (value, found) in [("'soon'", "soon"), ("07:32:00", "07:32:00"), ("'31.12.2026'", "31.12.2026"), ("''", "")] {
        check_partner(
            &format!("until = {value}"),
            &format!("policy.toml:3:9: {found:?} is no date; write a day such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z"),
        );
    }
    check_partner("until = 2026", "policy.toml:3:9: until is a number; write a date such as 2026-12-31");
    for value in ["0", "-1", "99999999999"] {
        check_partner(
            &format!("deliver = {{ on_failure = 'bounce', bounce_after = {value} }}"),
            &format!("policy.toml:3:51: bounce_after is {value}; write a whole number from 1"),
        );
    }
    check_partner(
        "deliver = { bounce_after = '3', on_failure = 'burn', clear_fallback = 'now', dane_satisfies = 1, ignore_published = 'x' }",
        "policy.toml:3:28: bounce_after is a text; write a whole number from 1\n\
         policy.toml:3:46: on_failure is \"burn\"; allowed: retry, bounce\n\
         policy.toml:3:71: clear_fallback is \"now\"; allowed: second-attempt, immediate, never\n\
         policy.toml:3:78: dane_satisfies has no meaning at level \"opportunistic\", which holds here by another entry or a default; leave it out, or write level = \"verify\" beside it\n\
         policy.toml:3:95: dane_satisfies is a number; write true or false\n\
         policy.toml:3:117: ignore_published is a text; write true or false",
    );
    check(
        "[defaults]\ntag_delimiters = '+@'",
        &["policy.toml:2:18: tag_delimiters is \"+@\"; write ASCII punctuation such as \"+\" or \"+-\", and none of @ \" * ? ."],
    );
    check_partner("mode = 'test'", "policy.toml:3:8: mode is \"test\"; did you mean \"testing\"? Allowed: enforce, testing");
    check_partner("receive = { refuse = '450' }", "policy.toml:3:22: refuse is \"450\"; did you mean \"4xx\"? Allowed: 5xx, 4xx");
}

#[test]
fn keys_without_a_meaning_at_their_level() {
    for (key, value, level, remedy) in [
        (
            "pins",
            "'sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='",
            "require",
            "leave it out, or write level = \"pinned\" beside it",
        ),
        ("clear_fallback", "'never'", "require", "leave it out: nothing goes in clear at this level"),
        ("dane_satisfies", "true", "require", "leave it out, or write level = \"verify\" beside it"),
        ("min_group", "'x25519'", "none", "leave it out, or write a level that uses TLS"),
        ("ciphers", "'TLS_AES_128_GCM_SHA256'", "none", "leave it out, or write a level that uses TLS"),
    ] {
        check_partner(
            &format!("deliver = {{ {key} = {value}, level = '{level}' }}"),
            &format!("policy.toml:3:13: {key} has no meaning at level \"{level}\"; {remedy}"),
        );
    }
}

#[test]
fn addresses_in_lists() {
    check(
        "[[domain]]\nname = 'a.example'\nreceive = { level = 'require', senders = 'ann@b..example <x@y>', recipients = '<> \"x' }",
        &[
            "policy.toml:3:43: \"ann@b..example\" is no address pattern: the domain \"b..example\" has an empty label; \
             write john@example.org, *@example.org, example.org, *.example.org, <> or *",
            "policy.toml:3:58: \"<x@y>\" is no address pattern: angle brackets are part of no pattern but <>; write it without them",
            "policy.toml:3:80: \"<>\" is no address pattern: no recipient is <>; leave it out",
            "policy.toml:3:83: \"\\\"x\" is no address pattern: the quoted local part is not closed by the last '\"'; \
             close the quotes before the @; a quote or a backslash inside has a backslash before it",
        ],
    );
}

#[test]
fn what_is_ignored_is_ignored_for_a_reason_and_not_for_ever() {
    check_partner(
        "deliver = { ignore_published = true }\nreason = ' '",
        "policy.toml:3:13: ignore_published without reason; write reason = \"why\": whoever finds this later will want to know\n\
         policy.toml:3:13: ignore_published without until; write until = 2026-12-31: what a domain publishes should not be ignored for ever",
    );
    check("[[partner]]\ndomains = 'a'\nreason = 'r'\nuntil = 2026-12-31\ndeliver = { ignore_published = true }", &[]);
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
on_failure = "retry"
bounce_after = 4
header = "X-TLSLevel"
header_trust = ["192.0.2.0/28", "auth:app"]
tag_delimiters = "+-"
[defaults.external]
receive = "opportunistic"
deliver = { level = "mirror", min_version = "1.3", min_group = "x25519", clear_fallback = "never" }
[defaults.hosted]
receive = { level = "require", min_version = "1.2", refuse = "4xx" }
submit = { level = "require", exempt_clients = "192.0.2.1" }
deliver = "opportunistic"
[[owner]]
name = "group"
deliver = "require"
[[owner]]
name = "acme"
parent = "group"
receive = "require"
submit = "require"
mode = "testing"
until = 2026-12-31
reason = "introduction"
[[domain]]
name = "acmé.example"
owner = "acme"
route = "mail.acme.example:25"
servers = ["192.0.2.0/28", "shared:198.51.100.0/24", "cert:out.acme.example", "auth:acme-out"]
receive = { level = "require", senders = "*@bank.example, ceo@law.example", recipients = "payroll john.smith", else = "opportunistic" }
submit = { level = "pinned", pins = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }
deliver = { level = "verify", match = "mx", names = "a.example,b.example 192.0.2.1", dane_satisfies = true }
[[partner]]
name = "Bank"
domains = ["bank.example", "*.b?nk.example"]
subdomains = false
exclude = """lists.bank.example
 *.x"""
for = ["acme.example", "owner:group"]
clients = "203.0.113.0/24 cert:*.bank.example"
receive = { level = "verify", names = "out.bank.example", ciphers = "TLS_AES_256_GCM_SHA384" }
deliver = { level = "dane", else = "verify", lifetime = "36h", on_expiry = "delete", on_failure = "bounce", bounce_after = 2, ignore_published = true }
until = 2026-12-31T18:00:00Z
reason = "their records are wrong"
mode = "enforce"
[[partner]]
domains = "pq.example"
deliver = { level = "dane-only", min_group = "post-quantum", senders = "<> *", recipients = "*" }
receive = "chain"
[[list]]
name = "vip"
entries = """boss@acme.example
*.gov.example"""
[[rule]]
name = "Secret"
when = { direction = "outbound", sender = { matches = "vip" }, recipient = { not_matches = "vip" }, header = { name = "Subject", matches = "*[secret]*" } }
then = { add_header = { X-TLSLevel = "Require" }, stop = true }
mode = "testing"
until = "2026-12-31"
reason = "trial"
"#;

#[test]
fn the_whole_document_is_read() {
    check(WHOLE, &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut, doubled, swapped and overwritten pieces of a document: errors, never a panic, and every place lies in the text.
    #[test]
    fn mutated_documents_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4, prop::sample::select(vec![
            "\"", "'", "[", "]", "[[", "{", "}", "=", "\n", "*", ".", "ü", "\u{feff}", "\\", "\"\"\"", "#", "1", "true", ",", "\0", "none", "[[domain]]", "[[owner]]", "owner:", "*@", "<>", "shared:", "-", "2026-13-01", "else = 'dane',", "pins = '',",
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
