//! Bodies in files: what came in as one piece stands beside others in a shared file, what is longer has a file of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::thread::JoinHandle;

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use sealpost_types::Octets;

use crate::pool::{Pool, Slot};
use crate::shared::{self, Part, Shared, Stand, StoreError};

/// The files below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    own: Arc<Pool>,
    shared: Arc<Shared>,
    /// Whether they may be written. Who writes has it locked meanwhile.
    is_open: Arc<RwLock<bool>>,
    worker: Arc<Mutex<Option<Worker>>>,
}

/// The thread that does the chores.
#[derive(Debug)]
struct Worker {
    chores: Sender<Chore>,
    thread: JoinHandle<()>,
}

/// Where a body stands, as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The number of the file.
    pub(crate) file: u64,
    /// Octets before it in a shared file; none: the file is its own.
    pub(crate) at: Option<u64>,
    pub(crate) octets: u64,
}

/// A handle on a body: as long as it lives the body is not overwritten.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    Own(Arc<Slot>),
    Shared(Arc<Part>),
}

/// What becomes of files, or parts of them, that no row names when they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimed {
    /// They are overwritten.
    UsedAgain,
    /// They get names under which nobody overwrites them, for their rows may be lost.
    KeptAside,
}

/// What is done off everybody's path.
#[derive(Debug)]
pub(crate) enum Chore {
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    /// Gives the space of so many blocks of a shared file back.
    Punch(Stand, u32),
    /// There are no more.
    End,
}

impl Files {
    /// The files in `directory`, in which rows name these bodies. At most `keep` octets that hold no body are kept, to be used again.
    pub(crate) fn open(directory: &Path, bodies: &[Place], keep: Octets, unclaimed: Unclaimed) -> io::Result<Self> {
        if !directory.is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(directory)?;
            directory.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        }
        let (chores, waiting) = channel();
        let known = Arc::new(OnceLock::new());
        let theirs = known.clone();
        let thread = std::thread::Builder::new().name("queue-files".into()).spawn(move || work(&waiting, &theirs))?;
        let worker = Worker { chores: chores.clone(), thread };
        let keep = keep.0 / 2;
        let own = bodies.iter().filter(|place| place.at.is_none()).map(|place| place.file).collect();
        let own = Pool::open(directory, own, keep, unclaimed, chores.clone())?;
        let shared = bodies.iter().filter_map(|place| place.stand().map(|stand| (stand, place.octets))).collect::<Vec<_>>();
        let shared = Shared::open(directory, &shared, keep, unclaimed, chores)?;
        let _ = known.set(Arc::downgrade(&shared));
        // A process that died may have made files that no sync covers yet.
        File::open(directory)?.sync_all()?;
        Ok(Self { own, shared, is_open: Arc::new(RwLock::new(true)), worker: Arc::new(Mutex::new(Some(worker))) })
    }

    /// Waits for what is being written and cleared away, and touches no file any more: the next one to open the directory may use them all.
    /// Blocks.
    pub(crate) fn close(&self) {
        *self.is_open.write().unwrap_or_else(PoisonError::into_inner) = false;
        self.freeze();
        if let Some(Worker { chores, thread }) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = chores.send(Chore::End);
            if thread.join().is_err() {
                tracing::error!("the thread that clears body files away panicked");
            }
        }
    }

    /// Writes a piece of a body into a file of its own, which is taken if it has none yet: one for a body of about `hint` octets. Blocks.
    pub(crate) fn write_own(&self, slot: Option<Arc<Slot>>, piece: &[u8], offset: u64, hint: u64) -> io::Result<Arc<Slot>> {
        let _open = self.stay_open()?;
        let slot = slot.map_or_else(|| self.own.take(hint), Ok)?;
        slot.write(piece, offset).map(|()| slot)
    }

    /// As [`Shared::store`].
    pub(crate) fn store(&self, body: Vec<u8>, done: impl FnOnce(Result<Arc<Part>, StoreError>) + Send + 'static) {
        match self.stay_open() {
            Ok(_open) => self.shared.store(body, done),
            Err(error) => done(Err(StoreError::Write(error))),
        }
    }

    /// Keeps them from being closed, as long as the guard lives.
    fn stay_open(&self) -> io::Result<RwLockReadGuard<'_, bool>> {
        let is_open = self.is_open.read().unwrap_or_else(PoisonError::into_inner);
        if *is_open { Ok(is_open) } else { Err(io::Error::other("the queue is closed")) }
    }

    /// A handle on a body that a row names, in a file of this length.
    pub(crate) fn handle(&self, place: Place, length: u64) -> Handle {
        match place.stand() {
            Some(stand) => Handle::Shared(self.shared.open_part(stand, place.octets)),
            None => Handle::Own(self.own.open_slot(place.file, length)),
        }
    }

    /// A row names the body, durably.
    pub(crate) fn keep(&self, handle: &Handle) {
        match handle {
            Handle::Own(slot) => self.own.keep(slot.number()),
            Handle::Shared(part) => self.shared.keep(part.stand()),
        }
    }

    /// No row names the body any more, durably.
    pub(crate) fn release(&self, place: Place) {
        match place.stand() {
            Some(stand) => self.shared.release(stand, place.octets),
            None => self.own.release(place.file),
        }
    }

    /// From now on nothing is overwritten.
    pub(crate) fn freeze(&self) {
        self.own.freeze();
        self.shared.freeze();
    }

    /// Gives all space that holds no body back to the system, off the caller's path.
    pub(crate) fn give_back(&self) {
        self.own.give_back();
        self.shared.give_back();
    }

    /// Octets in the file, none if it is not there. Blocks.
    pub(crate) fn length(&self, place: Place) -> Option<u64> {
        if place.at.is_some() { self.shared.length(place.file) } else { self.own.length(place.file) }
    }
}

impl Place {
    /// The octets that its file has at least.
    pub(crate) fn end(self) -> u64 {
        self.at.unwrap_or(0).saturating_add(self.octets)
    }

    /// The name of its file.
    pub(crate) fn name(self) -> String {
        if self.at.is_some() { shared::name(self.file) } else { self.file.to_string() }
    }

    fn stand(self) -> Option<Stand> {
        self.at.map(|at| Stand { file: self.file, at })
    }
}

impl Handle {
    /// The number of the file, and the octets before the body in a shared one.
    pub(crate) fn place(&self) -> (u64, Option<u64>) {
        match self {
            Self::Own(slot) => (slot.number(), None),
            Self::Shared(part) => (part.stand().file, Some(part.stand().at)),
        }
    }

    /// Reads up to `want` octets at `offset` of the body into `buffer`; empty at the end of the file.
    pub(crate) async fn read(&self, buffer: Vec<u8>, offset: u64, want: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Own(slot) => slot.read(buffer, offset, want).await,
            Self::Shared(part) => part.read(buffer, offset, want).await,
        }
    }
}

/// Reads up to `want` octets at `offset` into `buffer`; empty at the end of the file. What lies in the page cache is read at once;
/// only if the disk is needed, another thread waits for it.
pub(crate) async fn read_piece(
    opened: Option<&Arc<File>>,
    open: impl FnOnce() -> io::Result<Arc<File>> + Send + 'static,
    mut buffer: Vec<u8>,
    offset: u64,
    want: usize,
) -> io::Result<Vec<u8>> {
    buffer.resize(want, 0);
    if let Some(file) = opened {
        match preadv2(&**file, &mut [io::IoSliceMut::new(&mut buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer);
            }
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let read = move || {
        let read = open()?.read_at(&mut buffer, offset)?;
        buffer.truncate(read);
        Ok(buffer)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Does what is to be done, until the files are closed.
fn work(chores: &Receiver<Chore>, shared: &OnceLock<Weak<Shared>>) {
    for chore in chores {
        let outcome = match &chore {
            Chore::End => return,
            Chore::Remove(path) => std::fs::remove_file(path),
            Chore::Rename(path, to) => std::fs::rename(path, to),
            Chore::Punch(stand, blocks) => {
                if let Some(shared) = shared.get().and_then(Weak::upgrade) {
                    shared.punch(*stand, *blocks);
                }
                Ok(())
            }
        };
        if let (Err(error), Chore::Remove(path) | Chore::Rename(path, _)) = (outcome, chore) {
            tracing::warn!(path = %path.display(), %error, "cannot let go of a body file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_to_be_cleared_away_is_gone_when_they_are_closed() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(directory.path(), &[], Octets(0), Unclaimed::UsedAgain).unwrap();
        let slots: Vec<_> = (0..300).map(|_| files.write_own(None, b"a body", 0, 0).unwrap()).collect();
        let last = files.write_own(None, b"a body", 0, 0).unwrap();
        drop(slots);
        files.close();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        // From here on the files are another one's.
        assert!(files.write_own(None, b"a body", 0, 0).is_err() && files.write_own(Some(last.clone()), b"a body", 0, 0).is_err());
        drop((last, files));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
