//! Receives a body: small ones into memory, large ones into a file.

use std::io;
use std::sync::Arc;

use sealpost_types::Octets;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::body::{BODY_PIECE, BodyWriter};
use crate::pool::{Pool, Slot};
use crate::{BodyWriteError, SpoolError};

/// Takes a body for an [`EmbeddedSpool`](crate::EmbeddedSpool).
#[derive(Debug)]
pub struct EmbeddedBodyWriter {
    pool: Arc<Pool>,
    /// Octets up to which it stays in memory.
    inline: usize,
    hint: u64,
    size: u64,
    check: crc32fast::Hasher,
    buffer: Vec<u8>,
    file: Option<FileBody>,
    failed: Option<BodyWriteError>,
}

/// The part that is in a file. One piece is being written while the next one fills.
#[derive(Debug, Default)]
struct FileBody {
    slot: Option<Arc<Slot>>,
    /// Octets handed to the file.
    written: u64,
    pending: Option<JoinHandle<Written>>,
}

/// The file, and the buffer to be filled again.
type Written = io::Result<(Arc<Slot>, Vec<u8>)>;

/// A body that is complete and, if it is in a file, durable.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) size: u64,
    pub(crate) check: u32,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Memory(Vec<u8>),
    File(Arc<Slot>),
}

impl EmbeddedBodyWriter {
    pub(super) fn new(pool: Arc<Pool>, inline: Octets, hint: Option<Octets>) -> Self {
        let inline = usize::try_from(inline.0).unwrap_or(usize::MAX);
        let hint = hint.map_or(0, |hint| hint.0);
        let buffer = Vec::with_capacity(usize::try_from(hint).unwrap_or(usize::MAX).min(inline));
        Self { pool, inline, hint, size: 0, check: crc32fast::Hasher::new(), buffer, file: None, failed: None }
    }

    /// Waits until the body is where it stays; a file is synced.
    pub(super) async fn finish(mut self) -> Result<Finished, BodyWriteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let check = self.check.finalize();
        let Some(mut file) = self.file else {
            return Ok(Finished { size: self.size, check, content: Content::Memory(self.buffer) });
        };
        file.settle().await?;
        let (slot, pool, rest, written, hint) = (file.slot.take(), self.pool, std::mem::take(&mut self.buffer), file.written, self.size);
        let end = spawn_blocking(move || {
            let slot = slot.map_or_else(|| pool.take(hint), Ok)?;
            slot.write(&rest, written)?;
            slot.sync()?;
            Ok::<_, io::Error>(slot)
        });
        let slot = end.await.map_err(io::Error::other)??;
        Ok(Finished { size: self.size, check, content: Content::File(slot) })
    }

    async fn take(&mut self, mut piece: &[u8]) -> Result<(), BodyWriteError> {
        self.check.update(piece);
        self.size += piece.len() as u64;
        if self.file.is_none() {
            if self.buffer.len() + piece.len() <= self.inline {
                self.buffer.extend_from_slice(piece);
                return Ok(());
            }
            self.buffer.reserve_exact(BODY_PIECE.saturating_sub(self.buffer.len()));
        }
        let file = self.file.get_or_insert_default();
        while !piece.is_empty() {
            // A full buffer goes only when more comes: what fits into one is written together with its sync.
            if self.buffer.len() >= BODY_PIECE {
                let spare = file.settle().await?;
                let full = std::mem::replace(&mut self.buffer, spare);
                file.start(&self.pool, full, self.hint);
            }
            let (now, later) = piece.split_at(piece.len().min(BODY_PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            piece = later;
        }
        Ok(())
    }
}

impl FileBody {
    /// Waits for the piece that is being written; its buffer, empty.
    async fn settle(&mut self) -> io::Result<Vec<u8>> {
        let Some(pending) = &mut self.pending else { return Ok(Vec::with_capacity(BODY_PIECE)) };
        let outcome = pending.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.pending = None;
        let (slot, mut buffer) = outcome?;
        self.slot = Some(slot);
        buffer.clear();
        Ok(buffer)
    }

    fn start(&mut self, pool: &Arc<Pool>, full: Vec<u8>, hint: u64) {
        let (slot, pool, offset) = (self.slot.take(), pool.clone(), self.written);
        self.written += full.len() as u64;
        self.pending = Some(spawn_blocking(move || {
            let slot = slot.map_or_else(|| pool.take(hint), Ok)?;
            slot.write(&full, offset)?;
            Ok((slot, full))
        }));
    }
}

impl BodyWriter for EmbeddedBodyWriter {
    async fn write(&mut self, piece: &[u8]) -> Result<(), BodyWriteError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.take(piece).await;
        self.failed = outcome.as_ref().err().cloned();
        outcome
    }

    fn size(&self) -> Octets {
        Octets(self.size)
    }
}

impl Finished {
    /// A body that is in memory already.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, check: crc32fast::hash(&bytes), content: Content::Memory(bytes) }
    }
}

impl From<BodyWriteError> for SpoolError {
    fn from(error: BodyWriteError) -> Self {
        match error {
            BodyWriteError::Full => Self::Full,
            BodyWriteError::Io { reason } => Self::Store { reason },
        }
    }
}
