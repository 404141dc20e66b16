//! The words of decisions, each made once: most mail is decided like some before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_policy::{DeliverFacts, Policy, ReceiveFacts, TraceKey};
use sealpost_report::Decided;

use crate::account;

/// Keeps the words of decisions of the policy that was asked last.
#[derive(Debug, Default)]
pub(crate) struct DecidedWords(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    policy: Option<Arc<Policy>>,
    words: HashMap<TraceKey, Arc<Decided>>,
}

impl DecidedWords {
    /// The words of what this policy decides of a delivery.
    pub(crate) fn of_delivery(&self, policy: &Arc<Policy>, facts: &DeliverFacts<'_>) -> Arc<Decided> {
        self.of(policy, policy.deliver_key(facts), || account::decided(&policy.explain_deliver(facts).1))
    }

    /// The words of what this policy decides of a session.
    pub(crate) fn of_reception(&self, policy: &Arc<Policy>, facts: &ReceiveFacts<'_>) -> Arc<Decided> {
        self.of(policy, policy.receive_key(facts), || account::decided(&policy.explain_receive(facts).1))
    }

    fn of(&self, policy: &Arc<Policy>, key: TraceKey, make: impl FnOnce() -> Decided) -> Arc<Decided> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The policy is held: what tells its decisions apart may mean others in the next one.
        if !kept.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, policy)) {
            *kept = Kept { policy: Some(Arc::clone(policy)), words: HashMap::new() };
        }
        if let Some(words) = kept.words.get(&key) {
            return Arc::clone(words);
        }
        if kept.words.len() >= KEPT {
            kept.words.clear();
        }
        let words = Arc::new(make());
        kept.words.insert(key, Arc::clone(&words));
        words
    }
}

/// Decisions whose words are kept: those in use come back at once.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use sealpost_types::{ForwardPath, Mailbox, ReversePath, UnixMillis};

    use super::*;

    /// Words are made once for decisions that are told apart by nothing, and never outlive their policy.
    #[test]
    fn words_are_of_one_policy_and_made_once() {
        let policy = |level: &str| {
            let text = format!("[[partner]]\nname = 'Bank'\ndomains = 'bank.example'\ndeliver = '{level}'\n");
            Arc::new(Policy::parse("p", &text).unwrap())
        };
        let to = |text: &str| ForwardPath::Mailbox(Mailbox::parse(text).unwrap());
        let (bob, eve, other) = (to("bob@bank.example"), to("eve@bank.example"), to("bob@shop.example"));
        fn facts(to: &ForwardPath) -> DeliverFacts<'_> {
            static NOBODY: ReversePath = ReversePath::Null;
            DeliverFacts::new(&NOBODY, to, true).at(UnixMillis(0))
        }
        let (words, strict, stricter) = (DecidedWords::default(), policy("require"), policy("verify"));
        let first = words.of_delivery(&strict, &facts(&bob));
        assert!(Arc::ptr_eq(&first, &words.of_delivery(&strict, &facts(&eve))), "decided alike");
        assert_ne!(first, words.of_delivery(&strict, &facts(&other)));
        assert_eq!(words.of_delivery(&stricter, &facts(&bob)).level, "verify");
        assert_eq!(first.trace, words.of_delivery(&strict, &facts(&bob)).trace);
    }
}
