//! Space on the disk that accepting mail leaves alone.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealpost_types::Octets;

/// Knows, as of a moment ago, whether less is free than is kept in reserve.
#[derive(Debug)]
pub(super) struct Reserve {
    directory: PathBuf,
    limit: u64,
    seen: Mutex<Option<(Instant, bool)>>,
}

impl Reserve {
    pub(super) fn new(directory: PathBuf, limit: Octets) -> Self {
        Self { directory, limit: limit.0, seen: Mutex::new(None) }
    }

    pub(super) fn is_reached(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((at, reached)) if at.elapsed() < LOOK_AGAIN => reached,
            _ => {
                let reached = self.look();
                *seen = Some((Instant::now(), reached));
                reached
            }
        }
    }

    /// If the system does not say, accepting goes on: a disk that is full will say so itself.
    fn look(&self) -> bool {
        rustix::fs::statvfs(&self.directory).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < self.limit)
    }
}

/// How old the knowledge may be.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
