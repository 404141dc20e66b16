//! Space on the disk that accepting mail leaves alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use sealpost_types::Octets;

/// Knows whether less is free than is kept in reserve: from a look a moment ago, and from what was taken since. A thread of its own
/// looks: the disk may be slow to answer, and whoever asks must not wait.
#[derive(Clone, Debug)]
pub(super) struct Reserve {
    space: Arc<Space>,
    /// Asks for a look; the thread ends with the last one.
    ask: Sender<()>,
}

#[derive(Debug)]
struct Space {
    limit: u64,
    /// Octets that were free when somebody looked last.
    free: AtomicU64,
    /// Octets that were taken since.
    taken: AtomicU64,
    /// Whether the next look was asked for.
    is_asked: AtomicBool,
}

impl Reserve {
    /// Looks at once and then again and again; `give_back` is called when less is free. Blocks.
    pub(super) fn watch(directory: PathBuf, limit: Octets, give_back: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let look = move || {
            let free = rustix::fs::statvfs(&directory).ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize));
            if free.is_some_and(|free| free < limit.0) {
                give_back();
            }
            free
        };
        Self::watch_by(look, limit, LOOK_AGAIN)
    }

    pub(super) fn is_reached(&self) -> bool {
        self.space.left() < self.space.limit
    }

    /// So many octets are about to be written.
    pub(super) fn take(&self, octets: u64) {
        let space = &self.space;
        let taken = space.taken.fetch_add(octets, Ordering::Relaxed).saturating_add(octets);
        // What came may have gone already: a look tells before it is taken for full.
        let is_much = taken > space.free.load(Ordering::Relaxed).saturating_sub(space.limit) / 2;
        if is_much && !space.is_asked.swap(true, Ordering::Relaxed) {
            let _ = self.ask.send(());
        }
    }

    fn watch_by(look: impl Fn() -> Option<u64> + Send + 'static, limit: Octets, pause: Duration) -> std::io::Result<Self> {
        let space = Space { limit: limit.0, free: AtomicU64::new(u64::MAX), taken: AtomicU64::new(0), is_asked: AtomicBool::new(false) };
        space.look(&look);
        let space = Arc::new(space);
        let (ask, asked) = channel();
        let seen = space.clone();
        std::thread::Builder::new().name("queue-space".into()).spawn(move || {
            while asked.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
                seen.look(&look);
            }
        })?;
        Ok(Self { space, ask })
    }
}

impl Space {
    fn left(&self) -> u64 {
        self.free.load(Ordering::Relaxed).saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    fn look(&self, look: impl Fn() -> Option<u64>) {
        self.is_asked.store(false, Ordering::Relaxed);
        let taken = self.taken.load(Ordering::Relaxed);
        // If the system does not say, accepting goes on: a disk that is full will say so itself.
        self.free.store(look().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.taken.fetch_sub(taken, Ordering::Relaxed);
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
        let look = move || if first.swap(false, Ordering::Relaxed) { Some(10) } else { answers.lock().unwrap().recv().ok() };
        let reserve = Reserve::watch_by(look, Octets(5), Duration::ZERO).unwrap();
        // The disk does not answer: what was seen last holds.
        assert!(!reserve.is_reached());
        answer.send(4).unwrap();
        let begin = Instant::now();
        while !reserve.is_reached() {
            assert!(begin.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        answer.send(5).unwrap();
        while reserve.is_reached() {
            assert!(begin.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        // The thread ends with it.
        drop(reserve);
        while answer.send(5).is_ok() {}
    }

    /// Much can be written between two looks.
    #[test]
    fn what_was_taken_since_the_last_look_counts() {
        let free = Arc::new(AtomicU64::new(100));
        let theirs = free.clone();
        let reserve = Reserve::watch_by(move || Some(theirs.load(Ordering::SeqCst)), Octets(50), Duration::from_secs(1000)).unwrap();
        reserve.take(25);
        assert!(!reserve.is_reached());
        // Nobody looked, nor will for long.
        free.store(40, Ordering::SeqCst);
        reserve.take(26);
        assert!(reserve.is_reached());
        let begin = Instant::now();
        let wait = |reached: bool| {
            while reserve.is_reached() != reached {
                assert!(begin.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
        };
        // It was asked for a look: what came has gone again.
        free.store(1000, Ordering::SeqCst);
        reserve.take(1000);
        wait(false);
        free.store(40, Ordering::SeqCst);
        reserve.take(1000);
        wait(true);
    }
}
