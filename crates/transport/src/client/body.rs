//! Where the body of a message comes from.

use std::future::Future;
use std::io;

/// The content of one message, read piece by piece.
///
/// # Limits
/// Pieces of some 64 KiB fill whole TLS records. A piece is kept until the next is asked for, and no more.
pub trait BodySource: Send {
    /// Octets of the whole content. BDAT announces it, so it must be exact.
    fn length(&self) -> u64;

    /// The next piece; an empty one at the end.
    ///
    /// # Errors
    /// What the storage says; the transaction is then broken off, and nothing is delivered.
    fn next_piece(&mut self) -> impl Future<Output = io::Result<&[u8]>> + Send;
}

/// A body that lies in memory.
#[derive(Clone, Debug)]
pub struct MemoryBody<'a> {
    octets: &'a [u8],
    done: bool,
}

impl<'a> MemoryBody<'a> {
    /// The body of these octets.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets, done: false }
    }
}

impl BodySource for MemoryBody<'_> {
    fn length(&self) -> u64 {
        u64::try_from(self.octets.len()).unwrap_or(u64::MAX)
    }

    async fn next_piece(&mut self) -> io::Result<&[u8]> {
        if std::mem::replace(&mut self.done, true) { Ok(&[]) } else { Ok(self.octets) }
    }
}
