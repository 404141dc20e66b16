//! Keys and levels that are known, and mean nothing where they stand.

use super::{check, check_partner, errors};

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
        ("anchors", "'a.pem'", "require", "leave it out, or write level = \"verify\" beside it"),
        ("client_certificate", "'c.pem'", "none", "leave it out, or write a level that uses TLS"),
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
fn files_of_an_entrys_own() {
    for (deliver, expected) in [
        ("level = 'verify', anchors = []", "41: anchors is empty; write at least one file of certificates, or leave it out"),
        ("level = 'verify', anchors = 1", "41: anchors is a number; write a text, or a list of texts"),
        ("client_certificate = ''", "34: client_certificate is empty; write a file such as \"client.pem\", or \"none\""),
        ("client_key = 'k.pem'", "13: client_key without a client_certificate; write client_certificate = \"client.pem\" beside it"),
        (
            "client_certificate = 'none', client_key = 'k.pem'",
            "42: client_key without a client_certificate; write client_certificate = \"client.pem\" beside it",
        ),
    ] {
        check_partner(&format!("deliver = {{ {deliver} }}"), &format!("policy.toml:3:{expected}"));
    }
    check_partner(
        "receive = { level = 'require', anchors = 'a.pem' }",
        "policy.toml:3:32: anchors has no meaning on the receive hop; allowed here: level, names, pins, min_version, min_group, ciphers, \
         senders, recipients, else, refuse, exempt_clients",
    );
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
        "policy.toml:3:32: ciphers is empty; write a cipher string such as ECDHE+AESGCM, or names such as TLS_AES_256_GCM_SHA384",
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
fn what_is_ignored_is_ignored_for_a_reason_and_not_for_ever() {
    check_partner(
        "deliver = { ignore_published = true }\nreason = ' '",
        "policy.toml:3:13: ignore_published without reason; write reason = \"why\": whoever finds this later will want to know\n\
         policy.toml:3:13: ignore_published without until; write until = 2026-12-31: what a domain publishes should not be ignored for ever",
    );
    check("[[partner]]\ndomains = 'a'\nreason = 'r'\nuntil = 2026-12-31\ndeliver = { ignore_published = true }", &[]);
}
