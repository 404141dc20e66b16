//! What stands behind a key: patterns, names, dates, pins, durations.

use super::{check, check_partner, errors};

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
           write mx.example.org, *.example.org, an IP address, or cn:mx.example.org for a common name",
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
        "deliver = { level = 'require', ciphers = 'AES128SHA TLS_AES_128_GCM_SHA256', min_group = 'rsa' }",
        "policy.toml:3:43: ciphers: column 1: \"AES128SHA\" is no word of a cipher string; AES128-SHA is meant?\n\
         policy.toml:3:90: min_group is \"rsa\"; allowed: x25519, secp256r1, secp384r1, secp521r1, X25519MLKEM768, post-quantum",
    );
}

#[test]
fn cipher_strings_that_leave_nothing_say_why() {
    check_partner(
        "deliver = { level = 'require', ciphers = 'RSA+AESGCM' }",
        "policy.toml:3:32: ciphers: \"RSA+AESGCM\" leaves no cipher suite that can be used: static RSA has no forward secrecy: who gets the key \
         later reads what was recorded; rustls does not have it (AES256-GCM-SHA384, AES128-GCM-SHA256); ECDHE+AESGCM or ECDHE+CHACHA20 would \
         leave some",
    );
    check_partner(
        "deliver = { level = 'require', ciphers = ['ECDHE', 'DEFAULT'] }",
        "policy.toml:3:32: ciphers: column 7: DEFAULT has no meaning here; it is meant to be the first term, by itself",
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
        "deliver = { retry = '5m soon', on_expiry = 'keep' }",
        "policy.toml:3:25: retry is \"soon\", which is no length of time; write a whole number above 0 with its unit: \"30s\", \"90m\", \"36h\" or \"7d\"\n\
         policy.toml:3:44: on_expiry is \"keep\"; allowed: bounce, delete, hold",
    );
    check_partner("deliver = { retry = [] }", "policy.toml:3:21: retry is empty; write at least one wait such as \"5m\", or leave it out");
    check_partner(
        "receive = { retry = '5m' }",
        "policy.toml:3:13: retry has no meaning on the receive hop; allowed here: level, names, pins, min_version, min_group, ciphers, senders, recipients, else, refuse, exempt_clients",
    );
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
fn how_requiretls_is_taken() {
    check("[defaults]\nrequiretls = 'relaxed'", &["policy.toml:2:14: requiretls is \"relaxed\"; allowed: strict, verify, require"]);
    check(
        "[defaults]\nrequiretls = false",
        &["policy.toml:2:14: requiretls is true or false; write \"strict\", \"verify\" or \"require\""],
    );
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
