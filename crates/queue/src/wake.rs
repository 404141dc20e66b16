//! Tells whoever waits for work that there may be some.

use tokio::sync::watch;

/// Ends its wait when an entry may have become due, or due earlier.
#[derive(Clone, Debug)]
pub struct Wake(watch::Receiver<()>);

impl Wake {
    /// Waits until something changed since the last call, or since the [`Wake`] was made. Changes in between count once.
    /// Never ends again once the queue is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The other end of all [`Wake`]s.
#[derive(Debug)]
pub(crate) struct Waker(watch::Sender<()>);

impl Default for Waker {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Waker {
    pub(crate) fn wake(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn listen(&self) -> Wake {
        Wake(self.0.subscribe())
    }
}
