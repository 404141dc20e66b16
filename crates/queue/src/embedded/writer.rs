//! Receives a body: small ones into memory, large ones into a file.

use std::io;
use std::sync::Arc;

use sealpost_types::Octets;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::reserve::Reserve;
use crate::body::{BODY_PIECE, BodyWriter, Budget, Room};
use crate::files::{Files, Handle};
use crate::pool::Slot;
use crate::shared::StoreError;
use crate::{BodyWriteError, SpoolError};

/// Takes a body for an [`EmbeddedSpool`](crate::EmbeddedSpool).
#[derive(Debug)]
pub struct EmbeddedBodyWriter {
    files: Files,
    budget: Arc<Budget>,
    reserve: Reserve,
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
#[derive(Debug)]
struct FileBody {
    /// Octets of a piece: many where there is memory for it, for each piece goes to another thread and back.
    piece: usize,
    _room: Option<Room>,
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

/// Why a body did not get where it stays.
#[derive(Debug)]
pub(super) enum FinishError {
    Write(BodyWriteError),
    /// Nobody knows what the disk holds now.
    Sync(io::Error),
}

#[derive(Debug)]
pub(crate) enum Content {
    Memory(Vec<u8>),
    File(Handle),
}

impl EmbeddedBodyWriter {
    pub(super) fn new(files: Files, budget: Arc<Budget>, reserve: Reserve, inline: Octets, hint: Option<Octets>) -> Self {
        let inline = usize::try_from(inline.0).unwrap_or(usize::MAX);
        let hint = hint.map_or(0, |hint| hint.0);
        let buffer = Vec::with_capacity(usize::try_from(hint).unwrap_or(usize::MAX).min(inline));
        Self { files, budget, reserve, inline, hint, size: 0, check: crc32fast::Hasher::new(), buffer, file: None, failed: None }
    }

    /// Waits until the body is where it stays: up to `inline` octets are left for the database if they are in no file yet, and a file is
    /// synced.
    pub(super) async fn finish(self, inline: Octets) -> Result<Finished, FinishError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let check = self.check.finalize();
        let Some(mut file) = self.file else {
            return Ok(Finished { size: self.size, check, content: Content::Memory(self.buffer) });
        };
        let Self { files, size, buffer: rest, .. } = self;
        file.settle().await.map_err(BodyWriteError::from)?;
        let Some(slot) = file.slot.take() else {
            if size <= inline.0 {
                return Ok(Finished { size, check, content: Content::Memory(rest) });
            }
            // All of it is at hand: it is written beside others, and synced with them.
            let (done, stored) = oneshot::channel();
            spawn_blocking(move || files.store(rest, move |outcome| drop(done.send(outcome))));
            let stored = stored.await.map_err(|error| BodyWriteError::from(io::Error::other(error)))?;
            return Ok(Finished { size, check, content: Content::File(Handle::Shared(stored?)) });
        };
        let end = spawn_blocking(move || {
            let slot = files.write_own(Some(slot), &rest, file.written, 0).map_err(BodyWriteError::from)?;
            slot.sync().map_err(FinishError::Sync)?;
            Ok::<_, FinishError>(slot)
        });
        let slot = end.await.map_err(|error| BodyWriteError::from(io::Error::other(error)))??;
        Ok(Finished { size, check, content: Content::File(Handle::Own(slot)) })
    }

    async fn take(&mut self, mut piece: &[u8]) -> Result<(), BodyWriteError> {
        self.check.update(piece);
        self.size += piece.len() as u64;
        self.reserve.take(piece.len() as u64);
        if self.file.is_none() && self.buffer.len() + piece.len() <= self.inline {
            self.buffer.extend_from_slice(piece);
            return Ok(());
        }
        let file = self.file.get_or_insert_with(|| FileBody::new(&self.budget, self.hint));
        while !piece.is_empty() {
            // A full buffer goes only when more comes: what fits into one is written together with its sync.
            if self.buffer.len() >= file.piece {
                if self.reserve.is_reached() {
                    return Err(BodyWriteError::Full);
                }
                let spare = file.settle().await?;
                let full = std::mem::replace(&mut self.buffer, spare);
                file.start(&self.files, full, self.hint);
            }
            let left = self.hint.saturating_sub(file.written + self.buffer.len() as u64);
            let left = if left == 0 { file.piece } else { usize::try_from(left).unwrap_or(usize::MAX).max(piece.len()) };
            self.buffer.reserve_exact(left.min(file.piece - self.buffer.len()));
            let (now, later) = piece.split_at(piece.len().min(file.piece - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            piece = later;
        }
        Ok(())
    }
}

impl FileBody {
    fn new(budget: &Arc<Budget>, hint: u64) -> Self {
        // One that is announced as small needs no more than that, and a little for what is put before it.
        let announced = usize::try_from(hint).unwrap_or(usize::MAX).saturating_add(HINT_SLACK);
        let large = if hint == 0 { LARGE_PIECE } else { announced.clamp(BODY_PIECE, LARGE_PIECE) };
        let room = budget.take(2 * large);
        let piece = if room.is_some() { large } else { BODY_PIECE };
        Self { piece, _room: room, slot: None, written: 0, pending: None }
    }

    /// Waits for the piece that is being written; its buffer, empty.
    async fn settle(&mut self) -> io::Result<Vec<u8>> {
        let Some(pending) = &mut self.pending else { return Ok(Vec::new()) };
        let outcome = pending.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.pending = None;
        let (slot, mut buffer) = outcome?;
        self.slot = Some(slot);
        buffer.clear();
        Ok(buffer)
    }

    fn start(&mut self, files: &Files, full: Vec<u8>, hint: u64) {
        let (slot, files, offset) = (self.slot.take(), files.clone(), self.written);
        self.written += full.len() as u64;
        self.pending = Some(spawn_blocking(move || files.write_own(slot, &full, offset, hint).map(|slot| (slot, full))));
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

impl From<BodyWriteError> for FinishError {
    fn from(error: BodyWriteError) -> Self {
        Self::Write(error)
    }
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Write(error) => Self::Write(error.into()),
            StoreError::Sync(error) => Self::Sync(error),
        }
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

/// Octets that are handed to the file at a time if the memory for bodies has room.
const LARGE_PIECE: usize = 256 << 10;

/// Octets by which a body may be larger than it was announced without being written in pieces.
const HINT_SLACK: usize = 4 << 10;
