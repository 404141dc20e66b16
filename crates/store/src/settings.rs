//! What of a store can be set.

use sealpost_types::Octets;

/// What of a store can be set. The defaults are those of the queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Octets a page: a power of two from 512 to 65,536. Counts when the database is made, not later. Small ones let the removal
    /// of a row write little. Default 4 KiB.
    pub page: Octets,
    /// Memory for pages of the writer; a reader has a quarter. Default 4 MiB.
    pub cache: Octets,
    /// The write-ahead log is copied into the database when it has this size. Default 16 MiB.
    pub checkpoint: Octets,
    /// The write-ahead log is cut to this size when it grew beyond. Default 64 MiB.
    pub log_limit: Octets,
    /// Threads, and connections, that read. Default 2.
    pub readers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { page: Octets(4 << 10), cache: Octets(4 << 20), checkpoint: Octets(16 << 20), log_limit: Octets(64 << 20), readers: 2 }
    }
}
