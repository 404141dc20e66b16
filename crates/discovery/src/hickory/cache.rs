//! Answers that are kept as long as they allow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::question::Answer;

/// Answers by question, each until its end.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<(Name, RecordType), Answer>>);

impl Cache {
    pub(super) fn find(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Answer> {
        self.answers().get(&(name.clone(), kind)).filter(|answer| now < answer.expires).cloned()
    }

    pub(super) fn keep(&self, name: Name, kind: RecordType, answer: Answer, now: Instant) {
        if answer.expires <= now {
            return;
        }
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_KEPT {
            answers.retain(|_, kept| now < kept.expires);
            // Nothing has ended: rather ask again than grow, or look for the oldest at each answer.
            if answers.len() >= ANSWERS_KEPT {
                answers.clear();
            }
        }
        answers.insert((name, kind), answer);
    }

    pub(super) fn clear(&self) {
        self.answers().clear();
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<(Name, RecordType), Answer>> {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers that are kept.
const ANSWERS_KEPT: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_ends_and_the_number_of_them_is_bounded() {
        let (cache, now) = (Cache::default(), Instant::now());
        let name = |number: usize| Name::from_ascii(format!("n{number}.example.")).unwrap();
        let answer = Answer::nothing(name(0), now + Duration::from_secs(1));
        for number in 0..ANSWERS_KEPT {
            cache.keep(name(number), RecordType::A, answer.clone(), now);
        }
        let capital = Name::from_ascii("N7.EXAMPLE.").unwrap();
        assert!(cache.find(&capital, RecordType::A, now).is_some() && cache.find(&capital, RecordType::MX, now).is_none());
        assert!(cache.find(&name(7), RecordType::A, now + Duration::from_secs(1)).is_none());
        cache.keep(name(ANSWERS_KEPT), RecordType::A, answer, now);
        assert!(cache.answers().len() <= ANSWERS_KEPT);
        assert!(cache.find(&name(ANSWERS_KEPT), RecordType::A, now).is_some());
    }
}
