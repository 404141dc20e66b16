//! Failures on demand, for tests that must see one.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a test may make a store do.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "faults"), allow(unreachable_pub, reason = "public with the feature"))]
pub struct Faults {
    fail_commit: AtomicBool,
    answer_early: AtomicBool,
    disk_full: AtomicBool,
}

#[cfg(feature = "faults")]
impl Faults {
    /// The next commit fails as if the disk had not taken it.
    pub fn danger_fail_next_commit(&self) {
        self.fail_commit.store(true, Ordering::SeqCst);
    }

    /// As long as this is so, what is to be written finds the disk full.
    pub fn danger_fill_disk(&self, full: bool) {
        self.disk_full.store(full, Ordering::SeqCst);
    }

    /// From now on answers are given before the commit: what a store without durability would do.
    pub fn danger_answer_before_commit(&self) {
        self.answer_early.store(true, Ordering::SeqCst);
    }
}

impl Faults {
    pub(crate) fn takes_commit_failure(&self) -> bool {
        self.fail_commit.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }

    pub(crate) fn answers_early(&self) -> bool {
        self.answer_early.load(Ordering::Relaxed)
    }
}
