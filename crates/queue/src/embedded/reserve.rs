//! Space on the disk that accepting mail leaves alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use sealpost_types::Octets;

/// Knows, as of a moment ago, whether less is free than is kept in reserve. A thread of its own looks: the disk may be slow
/// to answer, and whoever asks must not wait.
#[derive(Debug)]
pub(super) struct Reserve {
    is_reached: Arc<AtomicBool>,
    /// The thread ends with it.
    _end: Sender<()>,
}

impl Reserve {
    /// Looks at once and then again and again. Blocks.
    pub(super) fn watch(directory: PathBuf, limit: Octets) -> std::io::Result<Self> {
        // If the system does not say, accepting goes on: a disk that is full will say so itself.
        let look = move || rustix::fs::statvfs(&directory).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < limit.0);
        Self::watch_by(look, LOOK_AGAIN)
    }

    pub(super) fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    fn watch_by(look: impl Fn() -> bool + Send + 'static, pause: Duration) -> std::io::Result<Self> {
        let is_reached = Arc::new(AtomicBool::new(look()));
        let (end, ended) = channel();
        let seen = is_reached.clone();
        std::thread::Builder::new().name("queue-space".into()).spawn(move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                seen.store(look(), Ordering::Relaxed);
            }
        })?;
        Ok(Self { is_reached, _end: end })
    }
}

/// How old the knowledge may be.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn whoever_asks_does_not_wait_for_the_disk() {
        let (answer, answers) = sync_channel(0);
        let answers = Mutex::new(answers);
        let first = AtomicBool::new(true);
        let look = move || !first.swap(false, Ordering::Relaxed) && answers.lock().unwrap().recv().unwrap_or(false);
        let reserve = Reserve::watch_by(look, Duration::ZERO).unwrap();
        // The disk does not answer: what was seen last holds.
        assert!(!reserve.is_reached());
        answer.send(true).unwrap();
        let begin = Instant::now();
        while !reserve.is_reached() {
            assert!(begin.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        answer.send(false).unwrap();
        while reserve.is_reached() {
            assert!(begin.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        // The thread ends with it.
        drop(reserve);
        while answer.send(false).is_ok() {}
    }
}
