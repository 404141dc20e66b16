//! Documents that somebody damaged.

use proptest::prelude::*;
use sealpost_policy::Policy;

use super::check;

const WHOLE: &str = r#"
[defaults]
lifetime = "7d"
on_expiry = "bounce"
on_failure = "retry"
bounce_after = 4
header = "X-TLSLevel"
header_trust = ["192.0.2.0/28", "auth:app"]
tag_delimiters = "+-"
requiretls = "verify"
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
