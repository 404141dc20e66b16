//! Counts tasks, so that a stop can wait for them, or tell them to break off.

use tokio::sync::watch;

/// How many tasks run, and whether they are to break off what they wait for.
#[derive(Debug)]
pub(crate) struct Tasks {
    count: watch::Sender<usize>,
    break_off: watch::Sender<bool>,
}

/// Counts as one task for as long as it lives.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<usize>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { count: watch::Sender::new(0), break_off: watch::Sender::new(false) }
    }

    /// One more, until the answer is dropped.
    pub(crate) fn start(&self) -> Running {
        self.count.send_modify(|count| *count += 1);
        Running(self.count.clone())
    }

    /// Waits until none runs.
    pub(crate) async fn all_done(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Tells all of them to break off.
    pub(crate) fn break_off(&self) {
        self.break_off.send_replace(true);
    }

    /// Waits until they are to break off: for a task, beside what it waits for.
    pub(crate) async fn told_to_break_off(&self) {
        let _ = self.break_off.subscribe().wait_for(|told| *told).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
