//! MTA-STS in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use sealpost_types::StsMode;

use super::{StsKept, StsTrouble};

/// The policies that are kept, and what came of looking for them, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StsNumbers {
    /// Policies by their mode, of every mode.
    pub policies: [(StsMode, u64); 3],
    /// Those of them that could not be renewed when that was last tried.
    pub failing: u64,
    /// Octets of memory that they take, about.
    pub octets: u64,
    /// Looks for a policy by what came of them: `fetched`, and each of [`StsTrouble::CODES`].
    pub fetches: Vec<(&'static str, u64)>,
}

/// What came of looking for policies.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    fetched: AtomicU64,
    troubles: [AtomicU64; StsTrouble::CODES.len()],
}

impl Fetches {
    pub(super) fn count(&self, trouble: Option<&StsTrouble>) {
        let counter = match trouble {
            None => Some(&self.fetched),
            Some(trouble) => {
                StsTrouble::CODES.iter().zip(&self.troubles).find(|(code, _)| **code == trouble.code()).map(|(_, counter)| counter)
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        let all = std::iter::once((FETCHED, &self.fetched)).chain(StsTrouble::CODES.into_iter().zip(&self.troubles));
        all.map(|(word, counter)| (word, counter.load(Ordering::Relaxed))).collect()
    }
}

impl StsNumbers {
    pub(super) fn of(kept: &[StsKept], octets: usize, fetches: &Fetches) -> Self {
        let number = |is: &dyn Fn(&StsKept) -> bool| kept.iter().filter(|kept| is(kept)).count() as u64;
        let modes = [StsMode::Enforce, StsMode::Testing, StsMode::None];
        Self {
            policies: modes.map(|mode| (mode, number(&|kept| kept.kept.policy.mode == mode))),
            failing: number(&|kept| kept.failure.is_some()),
            octets: octets as u64,
            fetches: fetches.list(),
        }
    }
}

/// The word for what came to something.
const FETCHED: &str = "fetched";
