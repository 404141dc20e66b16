//! What is legal and odd, each with its line.

use sealpost_policy::Policy;
use sealpost_types::UnixMillis;

/// 2026-11-26.
const NOW: UnixMillis = UnixMillis(1_795_651_200_000);

fn lints(text: &str) -> Vec<String> {
    let policy = Policy::parse("policy.toml", text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    policy.lint(NOW).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(lints(text), expected, "{text}");
}

#[test]
fn a_policy_without_oddities_has_none() {
    check("", &[]);
    check(
        "[defaults.external]\ndeliver = 'opportunistic'\n[[owner]]\nname = 'a'\n[[domain]]\nname = 'a.example'\nowner = 'a'\ndeliver = 'require'\n\
         [[partner]]\ndomains = 'b.example'\nexclude = 'lists.b.example'\ndeliver = 'verify'\n[[partner]]\ndomains = 'x.b.example'\ndeliver = 'require'\n\
         [[list]]\nname = 'l'\nentries = 'c.example'\n[[rule]]\nname = 'r'\nwhen = { recipient = { matches = 'l' } }\n\
         then = { add_header = { X-TLSLevel = 'Require' } }\n[[rule]]\nname = 'last'\nthen = { add_header = { X-TLSLevel = 'Try' } }",
        &[],
    );
}

#[test]
fn duplicate_entries() {
    check(
        "[[partner]]\ndomains = 'a.example'\ndeliver = 'require'\n[[partner]]\nname = 'Again'\ndomains = 'b.example a.example'\ndeliver = 'verify'\n\
         [[partner]]\ndomains = 'a.example'\ndeliver = 'verify'",
        &[
            "policy.toml:4: partner \"Again\": a.example stands at policy.toml:1 too; the stricter of both holds",
            "policy.toml:8: partner \"a.example\": a.example stands at policy.toml:4 too, and says the same there",
        ],
    );
}

#[test]
fn shadowed_entries() {
    check(
        "[[partner]]\ndomains = 'bank.example'\ndeliver = 'verify'\n[[partner]]\ndomains = 'mail.bank.example'\ndeliver = 'verify'\n\
         [[partner]]\ndomains = 'www.bank.example'\ndeliver = { level = 'verify', names = 'x.example' }",
        &["policy.toml:4: partner \"mail.bank.example\": mail.bank.example says nothing that policy.toml:1 does not say for it already"],
    );
    // What stands between makes it mean something.
    check(
        "[[partner]]\ndomains = 'example'\ndeliver = 'verify'\n[[partner]]\ndomains = '*.bank.example'\ndeliver = 'none'\n\
         [[partner]]\ndomains = 'mail.bank.example'\ndeliver = 'verify'",
        &[],
    );
}

#[test]
fn contradictory_entries() {
    check(
        "[[partner]]\ndomains = 'a.example'\ndeliver = 'none'\n[[partner]]\ndomains = 'a.example'\ndeliver = 'require'\n\
         [[domain]]\nname = 'h.test'\ndeliver = 'none'\n[[partner]]\nname = 'Around'\ndomains = '*.test'\ndeliver = 'verify'\n\
         [[partner]]\ndomains = 'c.example'\ndeliver = { level = 'require', ciphers = 'TLS_AES_128_GCM_SHA256' }\n\
         [[partner]]\ndomains = 'c.example'\ndeliver = { level = 'require', ciphers = 'TLS_AES_256_GCM_SHA384' }",
        &[
            "policy.toml:4: partner \"a.example\": for a.example it and policy.toml:1 contradict each other: one will have no TLS, \
             the other nothing without; the other holds",
            "policy.toml:7: domain \"h.test\": for h.test it and policy.toml:10 contradict each other: one will have no TLS, \
             the other nothing without; the other holds",
            "policy.toml:17: partner \"c.example\": for c.example it and policy.toml:14 have no cipher suite in common: nothing can be delivered",
        ],
    );
}

#[test]
fn unreachable_entries() {
    check(
        "[[partner]]\ndomains = 'a.example b.example'\nexclude = 'b.example'\ndeliver = 'require'",
        &["policy.toml:1: partner \"a.example\": never speaks for b.example: it excludes it"],
    );
    check(
        "[[rule]]\nname = 'all'\nthen = { add_header = { X-TLSLevel = 'Require' } }\n[[rule]]\nname = 'late'\n\
         when = { direction = 'outbound' }\nthen = { add_header = { X-TLSLevel = 'Try' } }\n[[rule]]\nname = 'stop'\nthen = { stop = true }\n\
         [[rule]]\nname = 'never'\nthen = { stop = true }",
        &[
            "policy.toml:4: rule \"late\": never sets a level: the rule at policy.toml:1 has set that of all mail",
            "policy.toml:11: rule \"never\": is never looked at: the rule at policy.toml:8 stops all mail",
        ],
    );
}

#[test]
fn expired_and_unused() {
    check(
        "[[owner]]\nname = 'nobody'\nuntil = 2026-11-25\n[[partner]]\ndomains = 'a.example'\ndeliver = 'none'\nuntil = 2026-11-25\nreason = 'x'\n\
         [[partner]]\ndomains = 'b.example'\ndeliver = 'none'\nuntil = 2026-11-26\n[[list]]\nname = 'l'\nentries = 'a.example'",
        &[
            "policy.toml:1: owner \"nobody\": nothing refers to it",
            "policy.toml:1: owner \"nobody\": ended on 2026-11-25; it counts only where its absence would be weaker",
            "policy.toml:4: partner \"a.example\": ended on 2026-11-25; it counts only where its absence would be weaker",
            "policy.toml:13: list \"l\": nothing refers to it",
        ],
    );
}

/// A client below the floor is refused with TLS, and comes back in clear.
#[test]
fn floors_that_drive_clients_into_clear() {
    check(
        "[defaults.hosted]\nreceive = { level = 'opportunistic', min_version = '1.3' }\nsubmit = { level = 'require', min_version = '1.3' }\n\
         [[owner]]\nname = 'acme'\nsubmit = { level = 'opportunistic', ciphers = 'TLS_AES_128_GCM_SHA256' }\n\
         [[domain]]\nname = 'a.example'\nowner = 'acme'\nreceive = { level = 'require', min_version = '1.3' }\n\
         [[partner]]\ndomains = 'b.example'\nreceive = { level = 'opportunistic', min_group = 'post-quantum' }\n\
         [[partner]]\ndomains = 'c.example'\nreceive = 'opportunistic'",
        &[
            "policy.toml:1: [defaults.hosted]: min_version beside opportunistic TLS on receive: a client below it is refused, one in \
             clear is not; write require",
            "policy.toml:4: owner \"acme\": ciphers beside opportunistic TLS on submit: a client below it is refused, one in clear is \
             not; write require",
            "policy.toml:11: partner \"b.example\": min_group beside opportunistic TLS on receive: a client below it is refused, one in \
             clear is not; write require",
        ],
    );
}

#[test]
fn floors_that_cost_mail_its_protection() {
    check(
        "[defaults.external]\ndeliver = { level = 'mirror', min_version = '1.3' }\n[[partner]]\ndomains = 'a.example'\n\
         deliver = { level = 'opportunistic', min_group = 'post-quantum', clear_fallback = 'never' }\n\
         [[partner]]\ndomains = 'b.example'\ndeliver = { level = 'opportunistic', min_group = 'post-quantum' }",
        &[
            "policy.toml:1: [defaults.external]: min_version beside opportunistic TLS: a host below it gets the mail in clear; \
             write require, or clear_fallback = \"never\"",
            "policy.toml:6: partner \"b.example\": min_group beside opportunistic TLS: a host below it gets the mail in clear; \
             write require, or clear_fallback = \"never\"",
        ],
    );
}
