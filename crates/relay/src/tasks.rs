//! Counts tasks, so that a stop can wait for them.

use tokio::sync::watch;

/// How many tasks run.
#[derive(Debug)]
pub(crate) struct Tasks(watch::Sender<usize>);

/// Counts as one task for as long as it lives.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<usize>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One more, until the answer is dropped.
    pub(crate) fn start(&self) -> Running {
        self.0.send_modify(|count| *count += 1);
        Running(self.0.clone())
    }

    /// Waits until none runs.
    pub(crate) async fn all_done(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
