//! Bodies in files: what came in as one piece stands beside others in a shared file, what is longer has a file of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock, Weak};

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use sealpost_types::Octets;

use crate::pool::{Pool, Slot};
use crate::shared::{self, Part, Shared, Stand, StoreError};

/// The files below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    own: Arc<Pool>,
    shared: Arc<Shared>,
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
        std::thread::Builder::new().name("queue-files".into()).spawn(move || work(&waiting, &theirs))?;
        let keep = keep.0 / 2;
        let own = bodies.iter().filter(|place| place.at.is_none()).map(|place| place.file).collect();
        let own = Pool::open(directory, own, keep, unclaimed, chores.clone())?;
        let shared = bodies.iter().filter_map(|place| place.stand().map(|stand| (stand, place.octets))).collect::<Vec<_>>();
        let shared = Shared::open(directory, &shared, keep, unclaimed, chores)?;
        let _ = known.set(Arc::downgrade(&shared));
        // A process that died may have made files that no sync covers yet.
        File::open(directory)?.sync_all()?;
        Ok(Self { own, shared })
    }

    /// A file to write a body of about `hint` octets into. Blocks.
    pub(crate) fn take_own(&self, hint: u64) -> io::Result<Arc<Slot>> {
        self.own.take(hint)
    }

    /// As [`Shared::store`].
    pub(crate) fn store(&self, body: Vec<u8>, done: impl FnOnce(Result<Arc<Part>, StoreError>) + Send + 'static) {
        self.shared.store(body, done);
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
