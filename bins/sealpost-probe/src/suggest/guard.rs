//! Suggestions beside a policy that is there: none of them lowers what it asks.

use std::path::Path;

use sealpost_policy::{Axis, DeliverDecision, DeliverFacts, Note, Policy, SourceKind, Trace, covers};
use sealpost_relay::policy_file::compile_at;
use sealpost_transport::WallClock;
use sealpost_types::{Domain, Level, ReversePath, WithCauses};

use super::candidate::Candidate;
use super::document::Document;
use crate::levels::{policy_of, recipient_of};
use crate::test::InForce;

/// Takes back what the policy asks already, and what would lower something that it asks. What is left makes it stricter, and nothing else.
pub(super) fn lower_nothing(document: &mut Document, there: &InForce) -> Result<(), String> {
    document.taken.clone_from(&there.text);
    let candidates: Vec<Domain> = document.entries.iter().map(|candidate| candidate.domain.clone()).collect();
    for domain in &candidates {
        if let Some(why) = hands_off(&there.policy, domain)? {
            document.leave(domain.clone(), why);
        }
    }
    // Each has an entry of its own name, so that what holds for one does not hang on the others.
    let after = compiled(Some(there), &document.to_text())?;
    for candidate in document.entries.clone() {
        if let Some(why) = is_no_gain(&there.policy, &after, &candidate.domain)? {
            document.leave(candidate.domain, why);
        } else if let Some(why) = is_untried(&there.policy, &candidate)? {
            document.warn(&candidate.domain, why);
        }
    }
    Ok(())
}

/// The policy with the suggestions behind it, as somebody would append them; and they alone have to be one too.
pub(super) fn compiled(there: Option<&InForce>, text: &str) -> Result<Policy, String> {
    let alone = Policy::parse("the suggestions", text).map_err(|error| format!("the suggestions are no policy: {error}"))?;
    let Some(there) = there else { return Ok(alone) };
    let both = format!("{}\n{text}", there.text);
    compile_at(Path::new(&there.file), &both).map_err(|error| format!("with the suggestions: {}", WithCauses(&error)))
}

/// Why nothing is suggested for a domain, whatever it has.
fn hands_off(there: &Policy, domain: &Domain) -> Result<Option<String>, String> {
    if there.is_hosted(domain) {
        return Ok(Some("it is hosted here; its own entry says where its mail goes".to_owned()));
    }
    let (decision, trace) = decided(there, domain, true)?;
    if decision.level == Level::None {
        return Ok(Some(format!("{} says that TLS is not attempted", source(&trace))));
    }
    // Another entry would come before one that is for some mail only, and might ask less of that mail.
    let some_mail = trace.steps.iter().find(|step| {
        let is_conditional = matches!(
            step.note,
            Some(Note::OtherEnd | Note::OtherEndUnknown | Note::AtRecipient | Note::OtherMail | Note::Otherwise | Note::HeaderUnknown)
        );
        is_conditional && step.source.kind() != SourceKind::Rule
    });
    Ok(some_mail.map(|step| format!("{} is for some of its mail only; look yourself", step.source)))
}

/// Why a suggestion is none: what it leads to is no stricter than what is there.
fn is_no_gain(there: &Policy, after: &Policy, domain: &Domain) -> Result<Option<String>, String> {
    let mut gains = false;
    for received_secure in [true, false] {
        let (before, trace) = decided(there, domain, received_secure)?;
        let (after, shadow) = decided(after, domain, received_secure)?;
        let same_otherwise = before.fate == after.fate
            && before.client_identity == after.client_identity
            && before.clear_fallback == after.clear_fallback
            && (before.ignores_published || !after.ignores_published);
        if !covers(&after.demand, &before.demand) || !same_otherwise {
            return Ok(Some(format!("{} stays: {}", source(&trace), before.level)));
        }
        gains |= !covers(&before.demand, &after.demand) || (shadow.shadow.is_some() && before.shadow != after.shadow);
    }
    if gains {
        return Ok(None);
    }
    let (before, trace) = decided(there, domain, true)?;
    Ok(Some(format!("{} asks no less: {}", source(&trace), before.level)))
}

/// What is asked beside a suggestion, so that what was found does not say whether both hold together.
fn is_untried(there: &Policy, candidate: &Candidate) -> Result<Option<String>, String> {
    let alone = policy_of(candidate.standing.document().unwrap_or_default())?;
    let (alone, _) = decided(&alone, &candidate.domain, true)?;
    let (before, trace) = decided(there, &candidate.domain, true)?;
    let is_more = !covers(&alone.demand, &before.demand);
    Ok(is_more.then(|| format!("{} asks something else too ({}), and whether that holds was not tried", source(&trace), before.level)))
}

fn decided(policy: &Policy, domain: &Domain, received_secure: bool) -> Result<(DeliverDecision, Trace), String> {
    let to = recipient_of(Some(domain))?;
    Ok(policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, received_secure).at(WallClock::system().now())))
}

/// Who decided.
fn source(trace: &Trace) -> String {
    let decided = trace.steps.iter().find(|step| step.decided.contains(Axis::Tls)).or_else(|| trace.steps.first());
    decided.map_or_else(|| "what is there".to_owned(), |step| step.source.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Standing;

    fn suggested(there: &str, candidates: &[(&str, Standing)]) -> (String, Policy) {
        let policy = Policy::parse("policy.toml", there).unwrap();
        let there = InForce { policy, file: "policy.toml".to_owned(), text: there.to_owned(), running: false };
        let mut document = Document::new("found.jsonl", candidates.len(), false);
        for (domain, standing) in candidates {
            let domain = Domain::parse(domain).unwrap();
            document.add(Candidate { domain, standing: *standing, warnings: Vec::new() });
        }
        lower_nothing(&mut document, &there).unwrap();
        let text = document.to_text();
        let after = compiled(Some(&there), &text).unwrap();
        (text, after)
    }

    fn level(policy: &Policy, domain: &str) -> Level {
        decided(policy, &Domain::parse(domain).unwrap(), true).unwrap().0.level
    }

    const BANK: &str = "[[partner]]\nname = 'Bank'\ndomains = 'bank.example'\ndeliver = 'verify'\n";

    #[test]
    fn what_is_stricter_stays_and_what_is_weaker_is_raised() {
        let there = format!("{BANK}[[partner]]\nname = 'Shops'\ndomains = '*.shop.example'\ndeliver = 'require'\n");
        let found = [("bank.example", Standing::Require), ("a.shop.example", Standing::Chain), ("new.example", Standing::VerifyMx)];
        let (text, after) = suggested(&there, &found);
        assert!(text.contains("bank.example: partner \"Bank\" (policy.toml:1) asks no less: verify"), "{text}");
        assert_eq!(level(&after, "bank.example"), Level::Verify, "{text}");
        assert_eq!((level(&after, "a.shop.example"), level(&after, "new.example")), (Level::Chain, Level::Verify), "{text}");
        assert_eq!(level(&after, "b.shop.example"), Level::Require, "nobody tested it");
    }

    /// An entry of a name comes before one with a wildcard: without the guard it would lower what that asks.
    #[test]
    fn a_wildcard_that_asks_more_is_not_undercut() {
        let there = "[[partner]]\nname = 'All'\ndomains = '*.gov.example'\ndeliver = { level = 'verify', match = 'mx' }\n";
        let (text, after) = suggested(there, &[("tax.gov.example", Standing::Require)]);
        assert!(text.contains("As it is for 1") && !text.contains("[[partner]]"), "{text}");
        assert_eq!(level(&after, "tax.gov.example"), Level::Verify);
        // the negative control: the same suggestion, appended without the guard
        let unguarded = format!("{there}[[partner]]\ndomains = 'tax.gov.example'\nsubdomains = false\ndeliver = 'require'\n");
        assert_eq!(level(&Policy::parse("policy.toml", &unguarded).unwrap(), "tax.gov.example"), Level::Require);
    }

    #[test]
    fn entries_for_some_mail_hosted_domains_and_none_are_left_alone() {
        for (there, domain, why) in [
            (
                "[[partner]]\ndomains = 'a.example'\nfor = ['acme.example']\ndeliver = 'verify'\n[[domain]]\nname = 'acme.example'\n",
                "a.example",
                "some of its mail",
            ),
            (
                "[[partner]]\ndomains = '*.example'\ndeliver = { level = 'verify', senders = '*@acme.test' }\n",
                "a.example",
                "some of its mail",
            ),
            ("[[domain]]\nname = 'a.example'\nroute = 'mx.a.example:25'\n", "a.example", "hosted here"),
            ("[[partner]]\ndomains = 'a.example'\ndeliver = 'none'\n", "a.example", "not attempted"),
        ] {
            let (text, _) = suggested(there, &[(domain, Standing::Require)]);
            assert!(text.contains(why) && !text.contains("[[partner]]"), "{there}: {text}");
        }
    }

    /// Each holds by itself, perhaps, and nobody has seen both.
    #[test]
    fn what_is_asked_beside_a_suggestion_is_warned_of() {
        for (there, untried) in [
            ("deliver = 'dane-only'", true),
            ("deliver = { level = 'require', min_version = '1.3' }", true),
            ("deliver = 'require'", false),
            ("deliver = 'opportunistic'", false),
        ] {
            let there = format!("[[partner]]\nname = 'Bank'\ndomains = 'bank.example'\n{there}\n");
            let (text, after) = suggested(&there, &[("bank.example", Standing::Verify)]);
            assert!(covers_level(&after, "bank.example"), "{there}: {text}");
            assert_eq!(
                text.contains("#   bank.example (verify): partner \"Bank\" (policy.toml:1) asks something else too"),
                untried,
                "{text}"
            );
        }
    }

    /// Whether `verify` is asked at least.
    fn covers_level(policy: &Policy, domain: &str) -> bool {
        let domain = Domain::parse(domain).unwrap();
        let verify = policy_of("'verify'").unwrap();
        covers(&decided(policy, &domain, true).unwrap().0.demand, &decided(&verify, &domain, true).unwrap().0.demand)
    }

    #[test]
    fn how_mail_ends_stays_as_it_is() {
        let there = "[[partner]]\ndomains = '*.example'\ndeliver = { level = 'require', on_expiry = 'delete' }\n";
        let (text, after) = suggested(there, &[("a.example", Standing::Verify)]);
        assert_eq!(level(&after, "a.example"), Level::Verify, "{text}");
        let fate = |policy: &Policy| decided(policy, &Domain::parse("a.example").unwrap(), true).unwrap().0.fate;
        assert_eq!(fate(&after), fate(&Policy::parse("policy.toml", there).unwrap()));
    }
}
