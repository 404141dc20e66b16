//! Files that many bodies share: those that come in together are made durable by one sync.
//!
//! ```text
//! bodies/shared-0   |body|body|    |body|  ...   up to 16 MiB; a body begins at a multiple of 4 KiB
//! ```
//! A body is written into the first room that is large enough. Where it stands says its row, and nothing else does: which room is free
//! is found out from the rows when the queue is opened.

mod group;
mod segment;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::files::{Chore, Unclaimed, read_piece};
use group::Group;
use segment::{BLOCK, BLOCKS, Segment};

/// The shared files and who uses them.
///
/// Blocks may be overwritten only when no row names them (durably) *and* nobody can still read them through a handle.
#[derive(Debug)]
pub(crate) struct Shared {
    directory: PathBuf,
    keep: u64,
    state: Mutex<State>,
    group: Group,
    chores: Sender<Chore>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Known>,
    /// Where room is looked for first.
    current: Option<u64>,
    /// Its file, so that it stays open.
    open: Option<Arc<File>>,
    next: u64,
    /// Bodies that somebody can read, or is writing.
    parts: HashMap<Stand, Use>,
    /// Blocks that take space and hold no body.
    spare: u64,
    /// Files that are or will be made, and that no sync of the directory covers yet: it must be synced before a row may name one.
    unsynced: HashSet<u64>,
    /// Set when the store may hold rows that we do not know of: nothing is overwritten any more.
    frozen: bool,
}

#[derive(Debug)]
struct Known {
    segment: Segment,
    /// As long as somebody has it open.
    file: Weak<File>,
    /// Rows that named bodies in it may be lost: nothing in it is overwritten.
    is_kept: bool,
}

#[derive(Debug)]
struct Use {
    handles: usize,
    in_row: bool,
    blocks: u32,
}

/// Where a body begins in a shared file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stand {
    /// The number of the file.
    pub(crate) file: u64,
    /// Octets before it.
    pub(crate) at: u64,
}

/// Why a body is not where it was to stay.
#[derive(Debug)]
pub(crate) enum StoreError {
    Write(io::Error),
    /// Nobody knows what the disk holds now.
    Sync(io::Error),
}

/// A handle on one body: as long as it lives the body is not overwritten.
#[derive(Debug)]
pub(crate) struct Part {
    stand: Stand,
    shared: Arc<Shared>,
    file: OnceLock<Arc<File>>,
}

impl Shared {
    /// The files in `directory`, in which there are bodies of this many octets at these places; `unclaimed` says what becomes of all
    /// else in them. At most `keep` octets that hold no body are kept.
    pub(crate) fn open(
        directory: &Path,
        bodies: &[(Stand, u64)],
        keep: u64,
        unclaimed: Unclaimed,
        chores: Sender<Chore>,
    ) -> io::Result<Arc<Self>> {
        let mut state = State { next: bodies.iter().map(|(stand, _)| stand.file.saturating_add(1)).max().unwrap_or(0), ..State::default() };
        for found in std::fs::read_dir(directory)? {
            let found = found?;
            let name = found.file_name();
            let Some((number, mut is_kept)) = name.to_str().and_then(number_of) else { continue };
            state.next = state.next.max(number.saturating_add(1));
            let metadata = found.metadata()?;
            if unclaimed == Unclaimed::KeptAside && !is_kept {
                std::fs::rename(found.path(), directory.join(name_of(number, true)))?;
                is_kept = true;
            }
            let blocks = |octets: u64| u32::try_from(octets.div_ceil(BLOCK)).unwrap_or(BLOCKS);
            let segment = Segment::new(blocks(metadata.len()), blocks(metadata.blocks() * 512));
            state.files.insert(number, Known { segment, file: Weak::new(), is_kept });
        }
        for (stand, octets) in bodies {
            if let (Some(known), Some((first, blocks))) = (state.files.get_mut(&stand.file), stand.blocks(*octets)) {
                known.segment.claim(first, blocks);
            }
        }
        state.spare = state.files.values().map(|known| u64::from(known.segment.spare())).sum();
        let shared = Self { directory: directory.to_owned(), keep, state: Mutex::default(), group: Group::default(), chores };
        let empty: Vec<_> = state.files.iter().filter(|(_, known)| known.segment.is_empty()).map(|(number, _)| *number).collect();
        empty.into_iter().for_each(|number| shared.keep_or_let_go(&mut state, number));
        *shared.lock() = state;
        Ok(Arc::new(shared))
    }

    /// Writes a body where there is room, and makes it durable together with what others write; then `done` hears of it. Blocks, for
    /// itself or for the others.
    pub(crate) fn store(self: &Arc<Self>, body: Vec<u8>, done: impl FnOnce(Result<Arc<Part>, StoreError>) + Send + 'static) {
        match self.write(&body) {
            Ok(part) => {
                drop(body);
                self.group.sync(self, part, Box::new(done));
            }
            Err(error) => done(Err(StoreError::Write(error))),
        }
    }

    /// A handle on a body of so many octets that a row names.
    pub(crate) fn open_part(self: &Arc<Self>, stand: Stand, octets: u64) -> Arc<Part> {
        let blocks = stand.blocks(octets).map_or(0, |(_, blocks)| blocks);
        let mut state = self.lock();
        state.parts.entry(stand).or_insert(Use { handles: 0, in_row: true, blocks }).handles += 1;
        Arc::new(Part { stand, shared: self.clone(), file: OnceLock::new() })
    }

    /// A row names the body, durably.
    pub(crate) fn keep(&self, stand: Stand) {
        if let Some(uses) = self.lock().parts.get_mut(&stand) {
            uses.in_row = true;
        }
    }

    /// No row names the body of so many octets any more, durably.
    pub(crate) fn release(&self, stand: Stand, octets: u64) {
        let mut state = self.lock();
        match state.parts.get_mut(&stand) {
            Some(uses) => uses.in_row = false,
            None => {
                if let Some((_, blocks)) = stand.blocks(octets) {
                    self.give(&mut state, stand, blocks);
                }
            }
        }
    }

    /// From now on nothing is overwritten, and no file stays open that nobody reads.
    pub(crate) fn freeze(&self) {
        let mut state = self.lock();
        (state.frozen, state.open) = (true, None);
    }

    /// Octets in a file, none if it is not there. Blocks.
    pub(crate) fn length(&self, number: u64) -> Option<u64> {
        let path = self.path(number, self.lock().files.get(&number)?.is_kept);
        std::fs::metadata(path).ok().map(|metadata| metadata.len())
    }

    /// Gives all space that holds no body back to the system, off the caller's path.
    pub(crate) fn give_back(&self) {
        let mut state = self.lock();
        if state.frozen {
            return;
        }
        let is_spare = |known: &Known| !known.is_kept && known.segment.spare() > 0;
        let numbers: Vec<_> = state.files.iter().filter(|(_, known)| is_spare(known)).map(|(number, _)| *number).collect();
        for number in numbers {
            if state.files.get(&number).is_some_and(|known| known.segment.is_empty()) {
                self.let_go(&mut state, number);
                continue;
            }
            for (first, blocks) in self.change(&mut state, number, Segment::take_all).unwrap_or_default() {
                let stand = Stand { file: number, at: u64::from(first) * BLOCK };
                let _ = self.chores.send(Chore::Punch(stand, blocks));
            }
        }
    }

    /// Gives the space of blocks that hold no body back to the system. Blocks.
    pub(crate) fn punch(&self, stand: Stand, blocks: u32) {
        let punched = self.file(stand.file, false).and_then(|file| {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            Ok(fallocate(&*file, flags, stand.at, u64::from(blocks) * BLOCK)?)
        });
        if let Err(error) = &punched
            && error.raw_os_error() != Some(Errno::OPNOTSUPP.raw_os_error())
        {
            tracing::warn!(file = stand.file, %error, "the space of a body cannot be given back");
        }
        let mut state = self.lock();
        self.change(&mut state, stand.file, |segment| segment.give(stand.first(), blocks, punched.is_ok()));
        // Others may have been given meanwhile.
        if state.files.get(&stand.file).is_some_and(|known| known.segment.is_empty()) {
            self.keep_or_let_go(&mut state, stand.file);
        }
    }

    fn write(self: &Arc<Self>, body: &[u8]) -> io::Result<Arc<Part>> {
        let (part, grown) = self.take(body.len() as u64)?;
        // From here on dropping the part gives the room back.
        let file = part.file(true)?;
        if let Some(blocks) = grown {
            // Some file systems cannot; then the file grows as it is written.
            match fallocate(&**file, FallocateFlags::empty(), 0, u64::from(blocks) * BLOCK) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        file.write_all_at(body, part.stand.at)?;
        Ok(part)
    }

    /// Room for a body, and how many blocks its file is to have if it has fewer.
    fn take(self: &Arc<Self>, octets: u64) -> io::Result<(Arc<Part>, Option<u32>)> {
        let blocks = u32::try_from(octets.div_ceil(BLOCK)).ok().filter(|blocks| *blocks <= BLOCKS);
        let blocks = blocks.ok_or(io::ErrorKind::FileTooLarge)?;
        let mut state = self.lock();
        let current = state.current;
        let (number, first) = match current.and_then(|number| self.take_in(&mut state, number, blocks)) {
            Some(taken) => taken,
            None => {
                let is_roomy = |known: &Known| !known.is_kept && known.segment.free_blocks() >= BLOCKS / ROOMY;
                let others = state.files.iter().filter(|(number, known)| Some(**number) != current && is_roomy(known));
                let roomiest = others.max_by_key(|(_, known)| known.segment.free_blocks()).map(|(number, _)| *number);
                match roomiest.and_then(|number| self.take_in(&mut state, number, blocks)) {
                    Some(taken) => taken,
                    None => {
                        let number = state.next;
                        state.next += 1;
                        state.unsynced.insert(number);
                        state.files.insert(number, Known { segment: Segment::new(0, 0), file: Weak::new(), is_kept: false });
                        self.take_in(&mut state, number, blocks).ok_or(io::ErrorKind::FileTooLarge)?
                    }
                }
            }
        };
        let stand = Stand { file: number, at: u64::from(first) * BLOCK };
        let grown = self.change(&mut state, number, |segment| segment.grow(first + blocks)).flatten();
        state.parts.insert(stand, Use { handles: 1, in_row: false, blocks });
        if current != Some(number) {
            (state.current, state.open) = (Some(number), None);
        }
        drop(state);
        Ok((Arc::new(Part { stand, shared: self.clone(), file: OnceLock::new() }), grown))
    }

    fn take_in(&self, state: &mut State, number: u64, blocks: u32) -> Option<(u64, u32)> {
        self.change(state, number, |segment| segment.take(blocks)).flatten().map(|first| (number, first))
    }

    /// Nobody can read these blocks any more, and no row names them.
    fn give(&self, state: &mut State, stand: Stand, blocks: u32) {
        let Some(known) = state.files.get(&stand.file).filter(|_| !state.frozen) else { return };
        let is_too_much = !known.is_kept && (state.spare + u64::from(blocks)) * BLOCK > self.keep;
        let is_last = BLOCKS - known.segment.free_blocks() <= blocks;
        if is_too_much && !is_last {
            // They stay taken until their space is given back.
            let _ = self.chores.send(Chore::Punch(stand, blocks));
            return;
        }
        self.change(state, stand.file, |segment| segment.give(stand.first(), blocks, false));
        if state.files.get(&stand.file).is_some_and(|known| known.segment.is_empty()) {
            self.keep_or_let_go(state, stand.file);
        }
    }

    /// What becomes of a file without a body.
    fn keep_or_let_go(&self, state: &mut State, number: u64) {
        if state.files.get(&number).is_some_and(|known| known.is_kept || state.spare * BLOCK > self.keep) {
            self.let_go(state, number);
        }
    }

    fn let_go(&self, state: &mut State, number: u64) {
        let Some(known) = state.files.remove(&number) else { return };
        state.spare -= u64::from(known.segment.spare());
        if state.current == Some(number) {
            (state.current, state.open) = (None, None);
        }
        state.unsynced.remove(&number);
        let path = self.path(number, known.is_kept);
        let aside = || self.directory.join(name(number) + ".unclaimed");
        let _ = self.chores.send(if known.is_kept { Chore::Rename(path, aside()) } else { Chore::Remove(path) });
    }

    /// Changes what is known of a file, and of all spare blocks with it.
    fn change<T>(&self, state: &mut State, number: u64, change: impl FnOnce(&mut Segment) -> T) -> Option<T> {
        let segment = &mut state.files.get_mut(&number)?.segment;
        let before = segment.spare();
        let changed = change(segment);
        state.spare = (state.spare + u64::from(segment.spare())).saturating_sub(u64::from(before));
        Some(changed)
    }

    /// The file, opened; `is_made`: it is made if it is not there.
    fn file(&self, number: u64, is_made: bool) -> io::Result<Arc<File>> {
        let is_kept = {
            let state = self.lock();
            let known = state.files.get(&number).ok_or(io::ErrorKind::NotFound)?;
            if let Some(file) = known.file.upgrade() {
                return Ok(file);
            }
            known.is_kept
        };
        let path = self.path(number, is_kept);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.open(&path) {
            Err(error) if is_made && error.kind() == io::ErrorKind::NotFound => {
                // Before it is there: whoever finds it there must know.
                self.lock().unsynced.insert(number);
                options.create(true).truncate(false).open(&path)?
            }
            opened => opened?,
        };
        let mut state = self.lock();
        let known = state.files.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
        // Another one may have been faster.
        let file = known.file.upgrade().unwrap_or_else(|| Arc::new(file));
        known.file = Arc::downgrade(&file);
        if state.current == Some(number) {
            state.open = Some(file.clone());
        }
        Ok(file)
    }

    /// Makes durable what was written to a file. Blocks.
    fn sync(&self, number: u64, file: &Arc<File>) -> io::Result<()> {
        file.sync_data()?;
        if self.lock().unsynced.contains(&number) {
            File::open(&self.directory)?.sync_all()?;
            // No other one, for it may not be there yet.
            self.lock().unsynced.remove(&number);
        }
        // What was written to a file that somebody removed is lost.
        if file.metadata()?.nlink() > 0 { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed the file")) }
    }

    fn path(&self, number: u64, is_kept: bool) -> PathBuf {
        self.directory.join(name_of(number, is_kept))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    pub(crate) fn stand(&self) -> Stand {
        self.stand
    }

    /// Reads up to `want` octets of the file, `offset` octets behind the begin of the body; empty at the end of the file.
    pub(crate) async fn read(self: &Arc<Self>, buffer: Vec<u8>, offset: u64, want: usize) -> io::Result<Vec<u8>> {
        let part = self.clone();
        let open = move || part.file(false).cloned();
        read_piece(self.file.get(), open, buffer, self.stand.at.saturating_add(offset), want).await
    }

    fn file(&self, is_made: bool) -> io::Result<&Arc<File>> {
        match self.file.get() {
            Some(file) => Ok(file),
            None => {
                let file = self.shared.file(self.stand.file, is_made)?;
                Ok(self.file.get_or_init(|| file))
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let Some(uses) = state.parts.get_mut(&self.stand) else { return };
        uses.handles = uses.handles.saturating_sub(1);
        if uses.handles == 0
            && let Some(uses) = state.parts.remove(&self.stand)
            && !uses.in_row
        {
            self.shared.give(&mut state, self.stand, uses.blocks);
        }
    }
}

impl Stand {
    fn first(self) -> u32 {
        u32::try_from(self.at / BLOCK).unwrap_or(BLOCKS)
    }

    /// The blocks of a body of so many octets: the first, and how many; none if it cannot stand in a shared file.
    fn blocks(self, octets: u64) -> Option<(u32, u32)> {
        let blocks = u32::try_from(octets.div_ceil(BLOCK)).ok()?;
        let first = Some(self.first()).filter(|first| self.at.is_multiple_of(BLOCK) && first.saturating_add(blocks) <= BLOCKS)?;
        Some((first, blocks))
    }
}

/// The name of a file, unless it was [`KEPT`].
pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn name_of(number: u64, is_kept: bool) -> String {
    name(number) + if is_kept { KEPT } else { "" }
}

/// The number of a file, and whether nothing in it may be overwritten.
fn number_of(name: &str) -> Option<(u64, bool)> {
    let number = name.strip_prefix(PREFIX)?;
    let (number, is_kept) = number.strip_suffix(KEPT).map_or((number, false), |number| (number, true));
    Some((number.parse().ok()?, is_kept))
}

const PREFIX: &str = "shared-";

/// At the end of a file's name: rows of it may be lost.
const KEPT: &str = ".kept";

/// One part in so many of a file must be free before it is gone back to.
const ROOMY: u32 = 4;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn open(directory: &Path, bodies: &[(Stand, u64)], keep: u64, unclaimed: Unclaimed) -> (Arc<Shared>, Receiver<Chore>) {
        let (chores, doing) = channel();
        (Shared::open(directory, bodies, keep, unclaimed, chores).unwrap(), doing)
    }

    fn store(shared: &Arc<Shared>, body: &[u8]) -> Arc<Part> {
        let (done, stored) = channel();
        shared.store(body.to_vec(), move |outcome| done.send(outcome).unwrap());
        stored.recv().unwrap().unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn stand(file: u64, at: u64) -> Stand {
        Stand { file, at }
    }

    #[test]
    fn room_is_used_again_when_neither_a_row_nor_a_handle_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let (shared, _doing) = open(directory.path(), &[], 1 << 30, Unclaimed::UsedAgain);
        let [first, second] = [store(&shared, &[1; 20_000]), store(&shared, &[2; 20_000])];
        assert_eq!([first.stand(), second.stand()], [stand(0, 0), stand(0, 20_480)]);
        shared.keep(first.stand());
        shared.keep(second.stand());
        drop(second);
        shared.release(first.stand(), 20_000);
        assert_eq!(store(&shared, &[3; 20_000]).stand(), stand(0, 40_960), "it can still be read");
        drop(first);
        assert_eq!(store(&shared, &[4; 20_001]).stand(), stand(0, 0));
        // What a row alone names.
        shared.release(stand(0, 20_480), 20_000);
        assert_eq!(store(&shared, &[5; 40_960]).stand(), stand(0, 0));
        // One that a row names goes on standing there in the next process.
        let (shared, _doing) = open(directory.path(), &[(stand(0, 4096), 20_000)], 1 << 30, Unclaimed::UsedAgain);
        let [small, large] = [store(&shared, &[7; 4096]), store(&shared, &[8; 4097])];
        assert_eq!([small.stand(), large.stand()], [stand(0, 0), stand(0, 4096 + 20_480)]);
        shared.freeze();
        drop(small);
        assert_eq!(store(&shared, &[9; 10]).stand(), stand(0, 4096 + 20_480 + 8192), "nothing is overwritten any more");
    }

    #[test]
    fn space_beyond_what_is_kept_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let (shared, doing) = open(directory.path(), &[], 2 << 20, Unclaimed::UsedAgain);
        let mut parts: Vec<_> = (0..200).map(|_| store(&shared, &[1; 100_000])).collect();
        parts.iter().for_each(|part| shared.keep(part.stand()));
        assert_eq!(names(directory.path()), ["shared-0", "shared-1"]);
        let on_disk =
            || -> u64 { names(directory.path()).iter().map(|name| directory.path().join(name).metadata().unwrap().blocks() * 512).sum() };
        let before = on_disk();
        let last = parts.pop().unwrap();
        let stands: Vec<_> = parts.drain(..).map(|part| part.stand()).collect();
        let mut punched = 0;
        for stand in stands {
            shared.release(stand, 100_000);
            for chore in doing.try_iter() {
                match chore {
                    Chore::Punch(stand, blocks) => {
                        shared.punch(stand, blocks);
                        punched += 1;
                    }
                    Chore::Remove(path) => std::fs::remove_file(path).unwrap(),
                    Chore::Rename(..) | Chore::End => panic!("{chore:?}"),
                }
            }
        }
        assert!(punched > 100, "{punched}");
        assert_eq!(names(directory.path()), ["shared-1"], "one without a body is removed");
        assert!(before >= 20 << 20 && on_disk() <= 3 << 20, "{before}, {}", on_disk());
        let mut read = vec![0; 100_000];
        last.file(false).unwrap().read_exact_at(&mut read, last.stand().at).unwrap();
        assert!(read == [1; 100_000], "those that are left are whole");
        // What was given back is used again.
        let again: Vec<_> = (0..100).map(|_| store(&shared, &[2; 100_000])).collect();
        assert_eq!(names(directory.path()), ["shared-1"]);
        drop(again);
    }

    #[test]
    fn where_rows_may_be_lost_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (shared, _doing) = open(directory.path(), &[], 1 << 30, Unclaimed::UsedAgain);
        let parts = [store(&shared, &[1; 20_000]), store(&shared, &[2; 20_000])];
        drop((shared, parts));
        let known = [(stand(0, 20_480), 20_000)];
        for unclaimed in [Unclaimed::KeptAside, Unclaimed::UsedAgain] {
            let (shared, _doing) = open(directory.path(), &known, 0, unclaimed);
            let part = store(&shared, &[3; 20_000]);
            assert_eq!(part.stand().file, 1);
            assert_eq!(names(directory.path()), ["shared-0.kept", "shared-1"]);
            let part = shared.open_part(known[0].0, 20_000);
            let mut read = vec![0; 20_000];
            part.file(false).unwrap().read_exact_at(&mut read, 20_480).unwrap();
            assert!(read == [2; 20_000]);
            std::fs::remove_file(directory.path().join("shared-1")).unwrap();
        }
        // When no row names a body in it, it is nobody's.
        let (shared, doing) = open(directory.path(), &known, 0, Unclaimed::UsedAgain);
        shared.release(known[0].0, 20_000);
        let aside = directory.path().join("shared-0.unclaimed");
        assert!(matches!(doing.try_recv(), Ok(Chore::Rename(_, to)) if to == aside));
        let (_, doing) = open(directory.path(), &[], 0, Unclaimed::UsedAgain);
        assert!(matches!(doing.try_recv(), Ok(Chore::Rename(_, to)) if to == aside));
    }

    #[test]
    fn what_a_damaged_row_says_of_its_place_harms_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let wild = [(stand(0, 7), 10), (stand(0, 4096), 1 << 40), (stand(0, u64::MAX - 1), 5), (stand(9, 0), 5), (stand(0, 8192), 0)];
        std::fs::write(directory.path().join("shared-0"), [1; 8192]).unwrap();
        let (shared, _doing) = open(directory.path(), &wild, 1 << 30, Unclaimed::UsedAgain);
        for (stand, octets) in wild {
            drop(shared.open_part(stand, octets));
            shared.release(stand, octets);
        }
        assert_eq!(store(&shared, &[2; 10]).stand(), stand(0, 0));
    }
}
