//! What was on the disk when the power went: made from the record of all that a process did to its files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What the process did, in its order.
#[derive(Debug)]
pub(crate) enum Step {
    Made { file: u64, path: PathBuf },
    Directory { path: PathBuf },
    Written { file: u64, offset: usize, bytes: Vec<u8> },
    Truncated { file: u64, length: usize },
    Renamed { old: PathBuf, new: PathBuf },
    Removed { path: PathBuf },
    SyncBegun { file: u64, number: u64, path: PathBuf },
    SyncEnded { number: u64 },
    Said { text: String },
}

/// Reads what `record.c` wrote; the last record may be cut off.
pub(crate) fn read(record: &Path) -> Vec<Step> {
    let bytes = std::fs::read(record).unwrap();
    let mut rest = &bytes[..];
    let mut steps = Vec::new();
    while rest.len() >= HEAD {
        let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
        let (kind, file, offset, length) = (rest[0], number(1), number(9), number(17) as usize);
        if rest.len() < HEAD + length {
            break;
        }
        let data = &rest[HEAD..HEAD + length];
        let path = || PathBuf::from(std::str::from_utf8(data).unwrap());
        steps.push(match kind {
            b'C' => Step::Made { file, path: path() },
            b'D' => Step::Directory { path: path() },
            b'W' => Step::Written { file, offset: offset as usize, bytes: data.to_vec() },
            b'T' => Step::Truncated { file, length: offset as usize },
            b'R' => {
                let (old, new) = std::str::from_utf8(data).unwrap().split_once('\0').unwrap();
                Step::Renamed { old: old.into(), new: new.into() }
            }
            b'U' => Step::Removed { path: path() },
            b'B' => Step::SyncBegun { file, number: offset, path: path() },
            b'E' => Step::SyncEnded { number: offset },
            b'S' => Step::Said { text: std::str::from_utf8(data).unwrap().to_owned() },
            kind => panic!("a record of kind {kind}"),
        });
        rest = &rest[HEAD + length..];
    }
    steps
}

/// A disk with what is on it for good, and what it was given since.
#[derive(Default)]
pub(crate) struct Disk {
    durable: HashMap<u64, Vec<u8>>,
    given: HashMap<u64, Vec<Change>>,
    names: BTreeMap<PathBuf, Named>,
    renamed: Vec<NameChange>,
    syncs: HashMap<u64, Sync>,
    time: u64,
}

#[derive(Clone)]
struct Change {
    time: u64,
    what: What,
}

#[derive(Clone)]
enum What {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Directory,
    File(u64),
}

#[derive(Clone)]
struct NameChange {
    time: u64,
    what: NameWhat,
}

#[derive(Clone)]
enum NameWhat {
    Add(PathBuf, Named),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

struct Sync {
    file: u64,
    path: PathBuf,
    begun: u64,
}

/// What became of that which was not yet synced.
pub(crate) enum Unsynced {
    /// All of it is gone.
    Dropped,
    /// Any part of it got there, sector by sector, and the changes of names up to some of them; `seed` says which.
    Torn { seed: u64 },
}

impl Disk {
    pub(crate) fn step(&mut self, step: &Step) {
        self.time += 1;
        let time = self.time;
        let mut name = |what| self.renamed.push(NameChange { time, what });
        match step {
            Step::Made { file, path } => {
                self.durable.remove(file);
                self.given.remove(file);
                name(NameWhat::Add(path.clone(), Named::File(*file)));
            }
            Step::Directory { path } => name(NameWhat::Add(path.clone(), Named::Directory)),
            Step::Renamed { old, new } => name(NameWhat::Rename(old.clone(), new.clone())),
            Step::Removed { path } => name(NameWhat::Remove(path.clone())),
            Step::Written { file, offset, bytes } => {
                let what = What::Write { offset: *offset, bytes: bytes.clone() };
                self.given.entry(*file).or_default().push(Change { time, what });
            }
            Step::Truncated { file, length } => {
                self.given.entry(*file).or_default().push(Change { time, what: What::Truncate { length: *length } });
            }
            Step::SyncBegun { file, number, path } => {
                self.syncs.insert(*number, Sync { file: *file, path: path.clone(), begun: time });
            }
            Step::SyncEnded { number } => {
                let sync = self.syncs.remove(number).unwrap();
                let given = self.given.entry(sync.file).or_default();
                let content = self.durable.entry(sync.file).or_default();
                given.extract_if(.., |change| change.time < sync.begun).for_each(|change| change.what.apply(content));
                let is_synced = |change: &mut NameChange| change.time < sync.begun && change.what.is_in(&sync.path);
                let names: Vec<_> = self.renamed.extract_if(.., is_synced).collect();
                names.iter().for_each(|change| change.what.apply(&mut self.names));
            }
            Step::Said { .. } => {}
        }
    }

    /// Lays out, below `to`, what was below `from` after the power went.
    pub(crate) fn lay_out(&self, from: &Path, to: &Path, unsynced: &Unsynced) {
        let mut names = self.names.clone();
        let mut random = match unsynced {
            Unsynced::Dropped => None,
            Unsynced::Torn { seed } => Some(Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)),
        };
        if let Some(random) = &mut random {
            let kept = random.below(self.renamed.len() + 1);
            self.renamed[..kept].iter().for_each(|change| change.what.apply(&mut names));
        }
        for (path, named) in &names {
            let Ok(relative) = path.strip_prefix(from) else { continue };
            let place = to.join(relative);
            match named {
                Named::Directory => std::fs::create_dir_all(place).unwrap(),
                Named::File(file) => {
                    let mut content = self.durable.get(file).cloned().unwrap_or_default();
                    if let Some(random) = &mut random {
                        self.given.get(file).into_iter().flatten().for_each(|change| change.what.apply_torn(&mut content, random));
                    }
                    // A file in a directory that is not there is not there either.
                    if place.parent().is_some_and(Path::is_dir) {
                        std::fs::write(place, content).unwrap();
                    }
                }
            }
        }
    }
}

impl What {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }

    fn apply_torn(&self, content: &mut Vec<u8>, random: &mut Random) {
        match self {
            Self::Write { offset, bytes } => {
                let mut at = *offset;
                let end = offset + bytes.len();
                while at < end {
                    let next = (at + SECTOR - at % SECTOR).min(end);
                    if random.below(2) == 0 {
                        let what = Self::Write { offset: at, bytes: bytes[at - offset..next - offset].to_vec() };
                        what.apply(content);
                    }
                    at = next;
                }
            }
            Self::Truncate { .. } => {
                if random.below(2) == 0 {
                    self.apply(content);
                }
            }
        }
    }
}

impl NameWhat {
    fn is_in(&self, directory: &Path) -> bool {
        let (Self::Add(path, _) | Self::Rename(_, path) | Self::Remove(path)) = self;
        path.parent() == Some(directory)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Named>) {
        match self {
            Self::Add(path, named) => drop(names.insert(path.clone(), *named)),
            Self::Rename(old, new) => {
                if let Some(named) = names.remove(old) {
                    names.insert(new.clone(), named);
                }
            }
            Self::Remove(path) => drop(names.remove(path)),
        }
    }
}

/// The same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % limit
    }
}

const HEAD: usize = 25;

/// What a disk writes in one piece.
const SECTOR: usize = 512;
