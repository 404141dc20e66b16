//! Which domains want reports, remembered for a while.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sealpost_types::{Domain, UnixMillis};

/// Which domains want reports. Most do not, and nothing is counted for those.
#[derive(Debug, Default)]
pub(crate) struct Interest(RwLock<HashMap<Domain, Known>>);

/// What is known of a domain, and until when that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    wish: Wish,
    until: UnixMillis,
}

/// Whether a domain wants reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Wants,
    WantsNone,
    /// It could not be found out just now.
    Unknown,
}

impl Interest {
    /// Whether it is known that a domain wants none.
    pub(crate) fn is_none(&self, domain: &Domain, now: UnixMillis) -> bool {
        self.recall(domain, now) == Some(Wish::WantsNone)
    }

    /// What was found out a while ago; nothing if it has to be asked for.
    pub(crate) fn recall(&self, domain: &Domain, now: UnixMillis) -> Option<Wish> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(domain).filter(|known| known.until > now).map(|known| known.wish)
    }

    pub(crate) fn note(&self, domain: &Domain, wish: Wish, now: UnixMillis) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DOMAINS && !known.contains_key(domain) {
            known.retain(|_, known| known.until > now);
            if known.len() >= DOMAINS {
                known.clear();
            }
        }
        let lasts = if wish == Wish::Unknown { UNKNOWN_LASTS } else { LASTS };
        known.insert(domain.clone(), Known { wish, until: now.after(lasts) });
    }
}

/// How long an answer counts.
const LASTS: Duration = Duration::from_secs(3600);

/// After which time it is asked for again where there was no answer.
const UNKNOWN_LASTS: Duration = Duration::from_secs(300);

/// Domains that are remembered.
const DOMAINS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_counts_for_a_while() {
        let (interest, bank) = (Interest::default(), Domain::parse("bank.example").unwrap());
        let later = |span: Duration| UnixMillis(0).after(span);
        assert_eq!(interest.recall(&bank, UnixMillis(0)), None);
        interest.note(&bank, Wish::WantsNone, UnixMillis(0));
        assert!(interest.is_none(&bank, later(LASTS - Duration::from_secs(1))) && !interest.is_none(&bank, later(LASTS)));
        interest.note(&bank, Wish::Unknown, UnixMillis(0));
        assert_eq!(interest.recall(&bank, UnixMillis(1)), Some(Wish::Unknown));
        assert_eq!(interest.recall(&bank, later(UNKNOWN_LASTS)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let interest = Interest::default();
        for number in 0..=DOMAINS {
            interest.note(&Domain::parse(&format!("d{number}.example")).unwrap(), Wish::Wants, UnixMillis(0));
        }
        assert!(interest.0.read().unwrap().len() <= DOMAINS);
    }
}
