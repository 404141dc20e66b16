//! A line on a terminal that tells how far long work is.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tells of work on stderr, if that is a terminal, from when it has taken a while until this is dropped.
pub(super) struct Progress {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
}

struct Shared {
    what: String,
    total: u64,
    done: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Progress {
    /// `total` is how much there is to do, or 0 where that is not known.
    pub(super) fn begin(what: String, total: u64) -> Self {
        let shared = Arc::new(Shared { what, total, done: AtomicU64::new(0), ended: Mutex::new(false), end: Condvar::new() });
        let painter = std::io::stderr().is_terminal().then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.paint())
        });
        Self { shared, painter }
    }

    pub(super) fn at(&self, done: u64) {
        self.shared.done.store(done, Ordering::Relaxed);
    }
}

impl Shared {
    fn paint(&self) {
        let (begin, mut shown) = (Instant::now(), false);
        loop {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let (ended, _) = self.end.wait_timeout_while(ended, TICK, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
            let mut stderr = std::io::stderr().lock();
            if *ended {
                if shown {
                    let _ = write!(stderr, "\r\x1b[K");
                }
                return;
            }
            shown = true;
            let line = line(&self.what, self.done.load(Ordering::Relaxed), self.total, begin.elapsed());
            let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.end.notify_one();
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

/// `partners.csv is read: 412000 of 1000000 lines, 41 %, 206000 a second, 3 s left`; where nobody knows how much there is to do, how
/// long it takes already.
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if total == 0 || done == 0 || seconds == 0.0 {
        return format!("{what} ... {} s", elapsed.as_secs());
    }
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let (done_so_far, left) = (done as f64, total.saturating_sub(done) as f64);
    let rate = done_so_far / seconds;
    format!("{what}: {done} of {total} lines, {} %, {rate:.0} a second, {:.0} s left", done.min(total) * 100 / total, (left / rate).ceil())
}

/// Between two pictures, and before the first: work that is over by then is not told of.
const TICK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_remaining_are_told() {
        let told = |done, total, seconds| line("p.csv is read", done, total, Duration::from_secs(seconds));
        assert_eq!(told(400_000, 1_000_000, 2), "p.csv is read: 400000 of 1000000 lines, 40 %, 200000 a second, 3 s left");
        assert_eq!(told(7, 7, 1), "p.csv is read: 7 of 7 lines, 100 %, 7 a second, 0 s left");
        assert_eq!(told(0, 7, 1), "p.csv is read ... 1 s");
        assert_eq!(told(0, 0, 61), "p.csv is read ... 61 s");
    }
}
