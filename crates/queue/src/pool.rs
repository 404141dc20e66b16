//! Files for large bodies: made once, used again and again, so that no message pays for making or removing one.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::files::{Chore, Unclaimed, read_piece};

/// The files and who uses them.
///
/// A file may be overwritten only when no row names it (durably) *and* nobody can still read it through a handle.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: PathBuf,
    keep: u64,
    state: Mutex<State>,
    chores: Sender<Chore>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that anybody may overwrite, with their lengths.
    free: Vec<(u64, u64)>,
    free_octets: u64,
    used: HashMap<u64, Use>,
    next: u64,
    /// Files made since the directory was last synced: it must be synced before a row may name one of them.
    unsynced: HashSet<u64>,
    /// Set when the store may hold rows that we do not know of: nothing is overwritten any more.
    frozen: bool,
}

#[derive(Debug, Default)]
struct Use {
    handles: usize,
    in_row: bool,
    /// Octets of the file, once they are known: nobody who gives a file back waits for the disk to tell.
    length: Option<u64>,
}

/// A handle on one file: as long as it lives the file is not overwritten.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    pool: Arc<Pool>,
    file: OnceLock<Arc<File>>,
    /// Octets of the file, as far as it was written through this handle.
    length: AtomicU64,
}

impl Pool {
    /// The files in `directory`; those in `used` are named by rows, `unclaimed` says what becomes of the others. At most `keep`
    /// octets of files that can be overwritten are kept.
    pub(crate) fn open(
        directory: &Path,
        used: HashSet<u64>,
        keep: u64,
        unclaimed: Unclaimed,
        chores: Sender<Chore>,
    ) -> io::Result<Arc<Self>> {
        let mut state = State { next: used.iter().max().map_or(0, |last| last.saturating_add(1)), ..State::default() };
        let pool = Self { directory: directory.to_owned(), keep, state: Mutex::default(), chores };
        for found in std::fs::read_dir(directory)? {
            let found = found?;
            let name = found.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            state.next = state.next.max(number.saturating_add(1));
            if used.contains(&number) {
                continue;
            }
            if unclaimed == Unclaimed::KeptAside {
                std::fs::rename(found.path(), directory.join(format!("{number}.unclaimed")))?;
            } else {
                pool.keep_or_remove(&mut state, number, found.metadata()?.len());
            }
        }
        state.used = used.into_iter().map(|number| (number, Use { handles: 0, in_row: true, length: None })).collect();
        *pool.lock() = state;
        Ok(Arc::new(pool))
    }

    /// A file to write a body of about `hint` octets into. Blocks.
    pub(crate) fn take(self: &Arc<Self>, hint: u64) -> io::Result<Arc<Slot>> {
        let (number, recycled) = {
            let mut state = self.lock();
            let recycled = state.free.pop();
            if let Some((_, length)) = recycled {
                state.free_octets -= length;
            }
            let number = recycled.map_or(state.next, |(number, _)| number);
            state.next = state.next.max(number + 1);
            let length = recycled.map(|(_, length)| length);
            state.used.insert(number, Use { handles: 1, in_row: false, length });
            (number, length)
        };
        let slot = Slot { number, pool: self.clone(), file: OnceLock::new(), length: AtomicU64::new(recycled.unwrap_or(0)) };
        let path = self.path(number);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match recycled.map(|_| options.open(&path)) {
            Some(Ok(file)) => file,
            // New, or somebody removed it.
            None | Some(Err(_)) => {
                let file = options.create(true).truncate(false).open(&path)?;
                {
                    let mut state = self.lock();
                    state.unsynced.insert(number);
                    state.used.entry(number).or_default().length = None;
                }
                slot.length.store(preallocate(&file, hint)?, Ordering::Relaxed);
                file
            }
        };
        let _ = slot.file.set(Arc::new(file));
        Ok(Arc::new(slot))
    }

    /// A handle on a file of this length that a row names.
    pub(crate) fn open_slot(self: &Arc<Self>, number: u64, length: u64) -> Arc<Slot> {
        self.lock().used.entry(number).or_default().handles += 1;
        Arc::new(Slot { number, pool: self.clone(), file: OnceLock::new(), length: AtomicU64::new(length) })
    }

    /// A row names the file, durably.
    pub(crate) fn keep(&self, number: u64) {
        self.lock().used.entry(number).or_default().in_row = true;
    }

    /// No row names the file any more, durably.
    pub(crate) fn release(&self, number: u64) {
        let mut state = self.lock();
        if let Some(uses) = state.used.get_mut(&number) {
            uses.in_row = false;
        }
        self.recycle_if_unused(&mut state, number);
    }

    /// From now on nothing is overwritten.
    pub(crate) fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// Removes all files that hold no body, off the caller's path.
    pub(crate) fn give_back(&self) {
        let mut state = self.lock();
        if !state.frozen {
            state.free_octets = 0;
            for (number, _) in std::mem::take(&mut state.free) {
                self.remove(&mut state, number);
            }
        }
    }

    /// Octets in the file, none if it is not there. Blocks.
    pub(crate) fn length(&self, number: u64) -> Option<u64> {
        std::fs::metadata(self.path(number)).ok().map(|metadata| metadata.len())
    }

    /// Makes durable that the file is there.
    fn sync_directory(&self, number: u64) -> io::Result<()> {
        let unsynced = {
            let state = self.lock();
            if !state.unsynced.contains(&number) {
                return Ok(());
            }
            state.unsynced.clone()
        };
        File::open(&self.directory)?.sync_all()?;
        self.lock().unsynced.retain(|number| !unsynced.contains(number));
        Ok(())
    }

    fn recycle_if_unused(&self, state: &mut State, number: u64) {
        if state.frozen || state.used.get(&number).is_none_or(|uses| uses.in_row || uses.handles > 0) {
            return;
        }
        match state.used.remove(&number).and_then(|uses| uses.length) {
            Some(length) => self.keep_or_remove(state, number, length),
            None => self.remove(state, number),
        }
    }

    fn keep_or_remove(&self, state: &mut State, number: u64, length: u64) {
        if state.free.len() < FREE_FILES && state.free_octets + length <= self.keep {
            state.free_octets += length;
            state.free.push((number, length));
        } else {
            self.remove(state, number);
        }
    }

    fn remove(&self, state: &mut State, number: u64) {
        state.unsynced.remove(&number);
        let _ = self.chores.send(Chore::Remove(self.path(number)));
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(number.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Writes. Blocks.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.write_all_at(bytes, offset)?;
        self.length.fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::Relaxed);
        Ok(())
    }

    /// Makes durable what was written. Blocks.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = self.file()?;
        file.sync_data()?;
        self.pool.sync_directory(self.number)?;
        // What was written to a file that somebody removed is lost.
        if file.metadata()?.nlink() > 0 { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed the file")) }
    }

    /// Reads up to `want` octets at `offset` into `buffer`; empty at the end of the file.
    pub(crate) async fn read(self: &Arc<Self>, buffer: Vec<u8>, offset: u64, want: usize) -> io::Result<Vec<u8>> {
        let slot = self.clone();
        read_piece(self.file.get(), move || slot.file().cloned(), buffer, offset, want).await
    }

    fn file(&self) -> io::Result<&Arc<File>> {
        match self.file.get() {
            Some(file) => Ok(file),
            None => {
                let file = Arc::new(File::open(self.pool.path(self.number))?);
                Ok(self.file.get_or_init(|| file))
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if let Some(uses) = state.used.get_mut(&self.number) {
            uses.handles -= 1;
            uses.length = uses.length.max(Some(self.length.load(Ordering::Relaxed)));
        }
        self.pool.recycle_if_unused(&mut state, self.number);
    }
}

/// Gives a new file its length, so that writing does not change it; the length. Some file systems cannot; then it grows.
fn preallocate(file: &File, hint: u64) -> io::Result<u64> {
    let length = hint.clamp(PREALLOCATED, PREALLOCATED_LIMIT).next_multiple_of(PREALLOCATED);
    let found = file.metadata()?.len();
    if found >= length {
        return Ok(found);
    }
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(length),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(found),
        Err(errno) => Err(errno.into()),
    }
}

/// Free files at most; further ones are removed.
const FREE_FILES: usize = 1024;

/// A new file gets a multiple of this many octets ...
const PREALLOCATED: u64 = 128 << 10;

/// ... and at most this many before anything was received: a client may announce what it likes.
const PREALLOCATED_LIMIT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever gives a file back may be an async task: the disk is not asked, so it may even be gone.
    #[test]
    fn a_file_is_given_back_without_asking_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (chores, _doing) = std::sync::mpsc::channel();
        let pool = Pool::open(directory.path(), HashSet::from([5]), 1 << 30, Unclaimed::UsedAgain, chores).unwrap();
        let free = |pool: &Pool| {
            let state = pool.lock();
            (state.free.clone(), state.free_octets)
        };
        let slot = pool.take(0).unwrap();
        slot.write(&[1; 300_000], 0).unwrap();
        let number = slot.number();
        pool.keep(number);
        std::fs::remove_file(pool.path(number)).unwrap();
        drop(slot);
        assert_eq!(free(&pool), (vec![], 0), "a row names it");
        pool.release(number);
        assert_eq!(free(&pool), (vec![(number, 300_000)], 300_000));
        // The next one makes it anew.
        let slot = pool.take(0).unwrap();
        assert_eq!((slot.number(), free(&pool)), (number, (vec![], 0)));
        drop(slot);
        assert_eq!(free(&pool), (vec![(number, PREALLOCATED)], PREALLOCATED));
        // One that a row named from before, through a handle that only reads.
        drop(pool.open_slot(5, 7_000));
        pool.release(5);
        assert_eq!(free(&pool).0, [(number, PREALLOCATED), (5, 7_000)]);
    }
}
