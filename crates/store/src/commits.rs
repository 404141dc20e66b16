//! How long commits took, and how much each wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The commits of a store since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Commits {
    /// Seconds from the begin of a transaction until it was durable.
    pub duration: Distribution,
    /// Jobs that one transaction wrote.
    pub jobs: Distribution,
}

/// How often a number was how large.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// Each bound, and how often the number was up to it and above the one before. The last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all.
    pub sum: f64,
}

impl Distribution {
    /// How many numbers there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// Counts for [`Commits`]. The writer's thread alone adds to it.
#[derive(Debug, Default)]
pub(crate) struct CommitCounts {
    /// In microseconds.
    duration: Buckets<{ MICROSECONDS.len() + 1 }>,
    jobs: Buckets<{ JOBS.len() + 1 }>,
}

#[derive(Debug)]
struct Buckets<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl CommitCounts {
    pub(crate) fn note(&self, duration: Duration, jobs: usize) {
        self.duration.note(&MICROSECONDS, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        self.jobs.note(&JOBS, jobs as u64);
    }

    pub(crate) fn snapshot(&self) -> Commits {
        Commits { duration: self.duration.snapshot(&MICROSECONDS, 1e6), jobs: self.jobs.snapshot(&JOBS, 1.0) }
    }
}

impl<const N: usize> Buckets<N> {
    fn note(&self, bounds: &[u64], number: u64) {
        let index = bounds.iter().position(|bound| number <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    /// `unit` is how many of the numbers make one.
    fn snapshot(&self, bounds: &[u64], unit: f64) -> Distribution {
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let buckets = bounds.zip(&self.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect();
        Distribution { buckets, sum: self.sum.load(Ordering::Relaxed) as f64 / unit }
    }
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// From a disk with a cache that survives a loss of power to one that is about to fail.
const MICROSECONDS: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// Up to [`BATCH_JOBS`](crate::BATCH_JOBS).
const JOBS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_is_in_one_bucket() {
        let counts = CommitCounts::default();
        counts.note(Duration::from_micros(100), 1);
        counts.note(Duration::from_micros(101), 3);
        counts.note(Duration::from_secs(7), 300);
        let Commits { duration, jobs } = counts.snapshot();
        let filled = |distribution: &Distribution| distribution.buckets.iter().copied().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!(filled(&duration), [(0.0001, 1), (0.00025, 1), (f64::INFINITY, 1)]);
        assert_eq!(filled(&jobs), [(1.0, 1), (4.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((duration.count(), jobs.count(), jobs.sum), (3, 3, 304.0));
        assert!((duration.sum - 7.000_201).abs() < 1e-9);
    }
}
