//! The content of a message: written in pieces, kept in memory while small, read in pieces.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealpost_types::Octets;

use crate::files::Handle;
use crate::{BodyReadError, BodyWriteError, QueueId};

/// Takes a body piece by piece. Memory stays bounded, whatever the size; the disk is not waited for on the caller's thread.
pub trait BodyWriter: Send {
    /// Takes the next piece.
    ///
    /// # Errors
    /// [`BodyWriteError`]; the writer stays failed then.
    fn write(&mut self, piece: &[u8]) -> impl Future<Output = Result<(), BodyWriteError>> + Send;

    /// Octets taken so far.
    fn size(&self) -> Octets;
}

/// The content of a queued message. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Body {
    size: u64,
    check: u32,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Memory(Arc<Kept>),
    Row(Arc<dyn Rows>, QueueId),
    File(Handle),
}

/// Reads a [`Body`] from its beginning.
#[derive(Debug)]
pub struct BodyReader {
    body: Body,
    offset: u64,
    check: crc32fast::Hasher,
    buffer: Vec<u8>,
}

/// Bytes in memory, counted.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    room: Option<Room>,
}

/// Where bodies in rows are read back from.
pub(crate) trait Rows: Send + Sync {
    fn fetch(self: Arc<Self>, id: QueueId) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, BodyReadError>> + Send>>;
}

impl Body {
    /// Octets of the whole.
    #[must_use]
    pub fn size(&self) -> Octets {
        Octets(self.size)
    }

    /// The whole, if it is in memory.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Memory(kept) => Some(&kept.bytes),
            Place::Row(..) | Place::File(_) => None,
        }
    }

    /// A reader at its beginning.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader { body: self.clone(), offset: 0, check: crc32fast::Hasher::new(), buffer: Vec::new() }
    }

    /// The whole in memory, wherever it was: for bodies known to be small.
    ///
    /// # Errors
    /// [`BodyReadError`]: it is damaged or cannot be read.
    pub async fn to_vec(&self) -> Result<Vec<u8>, BodyReadError> {
        let mut reader = self.reader();
        let mut all = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        while let Some(piece) = reader.next_piece().await? {
            all.extend_from_slice(piece);
        }
        Ok(all)
    }

    pub(crate) fn in_memory(kept: Arc<Kept>, check: u32) -> Self {
        Self { size: kept.bytes.len() as u64, check, place: Place::Memory(kept) }
    }

    pub(crate) fn in_row(rows: Arc<dyn Rows>, id: QueueId, size: u64, check: u32) -> Self {
        Self { size, check, place: Place::Row(rows, id) }
    }

    pub(crate) fn in_file(handle: Handle, size: u64, check: u32) -> Self {
        Self { size, check, place: Place::File(handle) }
    }
}

impl BodyReader {
    /// The next piece, none at the end. The last piece comes only if the whole is what was stored: whoever has it all
    /// has it right, and whoever sends it on must not say that it is complete before.
    ///
    /// # Errors
    /// [`BodyReadError::Damaged`]: it is not what was stored; set the entry aside. [`BodyReadError::Io`]: the system
    /// refused to read it.
    pub async fn next_piece(&mut self) -> Result<Option<&[u8]>, BodyReadError> {
        let left = self.body.size - self.offset;
        if left == 0 {
            return Ok(None);
        }
        match &self.body.place {
            Place::Memory(kept) => {
                self.offset = self.body.size;
                return Ok(Some(&kept.bytes));
            }
            Place::Row(rows, id) => {
                self.buffer = rows.clone().fetch(*id).await?;
                if self.buffer.len() as u64 != self.body.size {
                    return Err(damaged(format_args!("{} octets are there, {} were stored", self.buffer.len(), self.body.size)));
                }
            }
            Place::File(handle) => {
                let want = usize::try_from(left).unwrap_or(usize::MAX).min(BODY_PIECE);
                let buffer = std::mem::take(&mut self.buffer);
                self.buffer = handle.read(buffer, self.offset, want).await?;
                if self.buffer.is_empty() {
                    return Err(damaged(format_args!("its file ends at octet {}, {} were stored", self.offset, self.body.size)));
                }
            }
        }
        self.check.update(&self.buffer);
        self.offset += self.buffer.len() as u64;
        if self.offset == self.body.size && self.check.clone().finalize() != self.body.check {
            self.offset -= self.buffer.len() as u64;
            return Err(damaged(format_args!("its checksum differs")));
        }
        Ok(Some(&self.buffer))
    }
}

fn damaged(reason: std::fmt::Arguments<'_>) -> BodyReadError {
    BodyReadError::Damaged { reason: reason.to_string().into() }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("Memory"),
            Self::Row(_, id) => f.debug_tuple("Row").field(id).finish(),
            Self::File(handle) => f.debug_tuple("File").field(&handle.place()).finish(),
        }
    }
}

impl Kept {
    /// These bytes, counted by `room` if there is a budget.
    pub(crate) fn new(bytes: Vec<u8>, room: Option<Room>) -> Arc<Self> {
        Arc::new(Self { bytes, room })
    }

    /// Whether it may stay in memory as long as a lease does.
    pub(crate) fn is_counted(&self) -> bool {
        self.room.is_some()
    }
}

/// How much memory bodies may take.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// A part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    octets: usize,
}

impl Budget {
    pub(crate) fn new(limit: Octets) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(usize::try_from(limit.0).unwrap_or(usize::MAX)) })
    }

    /// Room for this many octets, if it is left.
    pub(crate) fn take(self: &Arc<Self>, octets: usize) -> Option<Room> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets));
        taken.ok().map(|_| Room { budget: self.clone(), octets })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.octets, Ordering::Relaxed);
    }
}

/// Octets of a body that are in memory at a time while it is written to, or read from, a file.
pub const BODY_PIECE: usize = 64 << 10;
