//! The write-ahead log as it lies there, before SQLite looks at it: where its valid part ends, and what of this log lies behind.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Octets a page.
    pub(super) page: usize,
    /// Where the pages of the last valid commit stand in the file.
    pub(super) valid: HashMap<u32, u64>,
    /// Frames that belong to this log and stand behind one that is broken.
    pub(crate) behind: usize,
    /// Whether they are all of one transaction, the last, as after a loss of power: nobody may have been told of it. An earlier one was
    /// synced before the next began.
    pub(crate) is_torn: bool,
    /// Whether anything of this log stands behind its last valid commit, broken or not.
    pub(crate) has_rest: bool,
    /// Behind the last valid commit, the newest state of each page up to the last commit that is sound in itself. Empty if there is no such commit: then
    /// nothing says that more was broken off than a transaction under way.
    pub(super) lost: HashMap<u32, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

/// Reads the log at `path`; nothing if there is none, or nothing in it.
pub(crate) fn inspect(path: &Path, page: usize) -> io::Result<Option<Log>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut head = [0; HEAD];
    if !fill(&mut file, &mut head)? {
        return Ok(None);
    }
    let sum = Sum::default().over(head.get(..24).unwrap_or_default(), is_big(&head));
    let is_sound = sum == Sum(word(&head, 24), word(&head, 28)) && matches!(word(&head, 0), MAGIC | MAGIC_BIG);
    let mut scan = Scan {
        log: Log { page: if is_sound { page_size(word(&head, 8)).unwrap_or(page) } else { page }, is_torn: true, ..Log::default() },
        big: is_sound && is_big(&head),
        salt: is_sound.then(|| (word(&head, 16), word(&head, 20))),
        chain: is_sound.then_some(sum),
        stored: sum,
        pending: HashMap::new(),
        is_over: false,
    };
    let mut frame = vec![0; FRAME + scan.log.page];
    let mut offset = HEAD as u64;
    while fill(&mut file, &mut frame)? {
        scan.frame(&frame, offset);
        offset += frame.len() as u64;
    }
    scan.log.has_rest = scan.log.behind > 0 || !scan.pending.is_empty();
    Ok(Some(scan.log))
}

/// Goes over the frames.
struct Scan {
    log: Log,
    big: bool,
    /// The mark of this log; unknown if its head is broken, then that of the first frame.
    salt: Option<(u32, u32)>,
    /// The sum over all before, as long as nothing is broken.
    chain: Option<Sum>,
    /// What the frame before says of itself.
    stored: Sum,
    /// Sound frames of a transaction whose commit was not seen yet.
    pending: HashMap<u32, u64>,
    /// Whether a commit was seen behind what is broken.
    is_over: bool,
}

impl Scan {
    fn frame(&mut self, frame: &[u8], offset: u64) {
        let number = word(frame, 0);
        let is_commit = word(frame, 4) != 0;
        let salt = *self.salt.get_or_insert_with(|| (word(frame, 8), word(frame, 12)));
        let found = Sum(word(frame, 16), word(frame, 20));
        let (beginning, page) = (frame.get(..8).unwrap_or_default(), frame.get(FRAME..).unwrap_or_default());
        let sum_from = |from: Sum| from.over(beginning, self.big).over(page, self.big);
        let place = offset + FRAME as u64;
        if let Some(chain) = self.chain {
            let sum = sum_from(chain);
            if sum == found && salt == (word(frame, 8), word(frame, 12)) && number != 0 {
                (self.chain, self.stored) = (Some(sum), found);
                self.pending.insert(number, place);
                if is_commit {
                    self.log.valid.extend(self.pending.drain());
                }
                return;
            }
            self.chain = None;
        }
        // An earlier log that stood in the same file has another mark; one that lost a bit is still known.
        if is_like(salt, (word(frame, 8), word(frame, 12))) {
            self.log.behind += 1;
            self.log.is_torn &= !self.is_over;
            if sum_from(self.stored) == found && number != 0 {
                self.pending.insert(number, place);
                // Of a frame that is broken itself, half of the head may be of an earlier log.
                self.is_over |= is_commit;
                if is_commit {
                    self.log.lost.extend(self.pending.drain());
                }
            }
        }
        self.stored = found;
    }
}

impl Sum {
    const fn default() -> Self {
        Self(0, 0)
    }

    fn over(self, bytes: &[u8], big: bool) -> Self {
        let read = |four: &[u8]| {
            let four = four.try_into().unwrap_or_default();
            if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let mut sum = self;
        for eight in bytes.chunks_exact(8) {
            let (first, second) = eight.split_at(4);
            sum.0 = sum.0.wrapping_add(read(first)).wrapping_add(sum.1);
            sum.1 = sum.1.wrapping_add(read(second)).wrapping_add(sum.0);
        }
        sum
    }
}

/// Whether all is equal but a few bits in one octet.
fn is_like(mark: (u32, u32), found: (u32, u32)) -> bool {
    let differ = |one: u32, other: u32| one.to_be_bytes().iter().zip(other.to_be_bytes()).filter(|(one, other)| **one != *other).count();
    // The first half counts up from log to log, the second is random.
    match (differ(mark.0, found.0), differ(mark.1, found.1)) {
        (0, second) => second <= 1,
        (first, second) => first == 1 && second == 0,
    }
}

/// Fills the buffer; false at the end of the file.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_big(head: &[u8]) -> bool {
    word(head, 0) & 1 == 1
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// A page size as SQLite allows it.
pub(super) fn page_size(octets: u32) -> Option<usize> {
    usize::try_from(octets).ok().filter(|octets| octets.is_power_of_two() && (512..=65_536).contains(octets))
}

const HEAD: usize = 32;
const FRAME: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;
