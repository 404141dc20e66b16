//! Answers that are kept as long as they allow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::question::Answer;

/// Answers by question, each until its end: [`ANSWERS_KEPT`] of up to [`ANSWER_OCTETS`], which is 256 MiB at the very most.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<(Name, RecordType), Answer>>);

impl Cache {
    pub(super) fn find(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Answer> {
        self.answers().get(&(name.clone(), kind)).filter(|answer| now < answer.expires).cloned()
    }

    /// Keeps an answer, unless it is so large that it is better asked for again.
    pub(super) fn keep(&self, name: Name, kind: RecordType, answer: Answer, now: Instant) {
        if answer.expires <= now || octets(&answer) > ANSWER_OCTETS {
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

/// Memory that the records of an answer take, about.
fn octets(answer: &Answer) -> usize {
    let beside = |data: &RData| match data {
        RData::A(_) | RData::AAAA(_) => 0,
        RData::MX(mx) => mx.exchange.len(),
        RData::TXT(txt) => txt.txt_data.iter().map(|string| STRING_OCTETS + string.len()).sum::<usize>(),
        RData::TLSA(tlsa) => tlsa.cert_data.len(),
        // No other kind is asked for.
        _ => ANSWER_OCTETS,
    };
    answer.records.iter().map(|data| size_of::<RData>() + beside(data)).sum()
}

/// Answers that are kept.
const ANSWERS_KEPT: usize = 16_384;

/// Memory that the records of one may take, about: enough for dozens of hosts, of addresses, of digests or of texts.
const ANSWER_OCTETS: usize = 16 << 10;

/// What a string of a TXT record takes beside its octets, about.
const STRING_OCTETS: usize = 40;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use hickory_resolver::proto::rr::rdata::{MX, TLSA, TXT};

    use super::*;

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

    /// 64 KiB of strings of one octet take more than a megabyte, and a wildcard has them under as many names as somebody likes.
    #[test]
    fn an_answer_is_kept_unless_it_is_far_larger_than_an_honest_one() {
        let (cache, now) = (Cache::default(), Instant::now());
        let name = Name::from_ascii("bank-example.mail.protection.provider.example.").unwrap();
        let addresses = |number: usize| vec![RData::A(Ipv4Addr::LOCALHOST.into()); number];
        let hosts = |number: usize| vec![RData::MX(MX::new(10, name.clone())); number];
        let texts = |number: usize| vec![RData::TXT(TXT::new(vec!["x".repeat(255), "x".repeat(145)])); number];
        let certificates = |number: usize| vec![RData::TLSA(TLSA::new(3_u8.into(), 0_u8.into(), 0_u8.into(), vec![0; 2000])); number];
        for (records, is_kept) in [
            (addresses(40), true),
            (hosts(40), true),
            (texts(15), true),
            (certificates(4), true),
            (addresses(4000), false),
            (hosts(2000), false),
            (texts(150), false),
            (certificates(30), false),
            (vec![RData::TXT(TXT::new(vec!["x".into(); 32_000]))], false),
        ] {
            let (kind, number) = (records[0].record_type(), records.len());
            cache.clear();
            cache.keep(name.clone(), kind, Answer { records, ..Answer::nothing(name.clone(), now + Duration::from_secs(1)) }, now);
            assert_eq!(cache.find(&name, kind, now).map(|answer| answer.records.len()), is_kept.then_some(number), "{number} {kind}");
        }
    }
}
