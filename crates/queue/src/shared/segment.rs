//! Which blocks of one shared file hold bodies.

/// The blocks of one file.
///
/// A body has blocks of its own, so that writing the next one touches no octet of it, not even on a disk that tears what it was writing
/// when the power went.
#[derive(Debug)]
pub(super) struct Segment {
    /// A bit for each block: set where a body stands.
    used: Vec<u64>,
    used_blocks: u32,
    /// Blocks that the file has.
    length: u32,
    /// About so many of the free ones take no space on the disk.
    punched: u32,
    /// No block below is free.
    first_free: u32,
}

impl Segment {
    /// A file of `length` blocks, of which `on_disk` take space.
    pub(super) fn new(length: u32, on_disk: u32) -> Self {
        let length = length.min(BLOCKS);
        let used = vec![0; WORDS];
        Self { used, used_blocks: 0, length, punched: length.saturating_sub(on_disk), first_free: 0 }
    }

    /// Finds room for a body of so many blocks, the first there is; where it begins. Blocks beyond the file's end must be made.
    pub(super) fn take(&mut self, blocks: u32) -> Option<u32> {
        while self.first_free < BLOCKS && self.is_used(self.first_free) {
            self.first_free += 1;
        }
        let (mut first, mut block, mut run) = (self.first_free, self.first_free, 0);
        while block < BLOCKS && run < blocks {
            if self.word(block) == u64::MAX {
                run = 0;
                block = (block / 64 + 1) * 64;
                first = block;
            } else if self.is_used(block) {
                run = 0;
                block += 1;
                first = block;
            } else {
                run += 1;
                block += 1;
            }
        }
        if run < blocks {
            return None;
        }
        self.set(first, blocks, true);
        self.punched = self.punched.saturating_sub(blocks);
        Some(first)
    }

    /// These blocks hold a body, from before.
    pub(super) fn claim(&mut self, first: u32, blocks: u32) {
        self.set(first, blocks, true);
        // They take space, so what takes none is among the others.
        self.punched = self.punched.min(self.length.saturating_sub(self.used_blocks));
    }

    /// These blocks are free. `is_punched`: they take no space any more.
    pub(super) fn give(&mut self, first: u32, blocks: u32, is_punched: bool) {
        self.set(first, blocks, false);
        self.first_free = self.first_free.min(first);
        if is_punched {
            self.punched += blocks;
        }
    }

    /// Takes all blocks that are free, so that their space can be given back; where they begin, and how many.
    pub(super) fn take_all(&mut self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for block in (self.first_free..self.length).filter(|block| !self.is_used(*block)) {
            match runs.last_mut() {
                Some((first, blocks)) if *first + *blocks == block => *blocks += 1,
                _ => runs.push((block, 1)),
            }
        }
        runs.iter().for_each(|(first, blocks)| self.set(*first, *blocks, true));
        self.punched = 0;
        runs
    }

    /// Makes the file as long as its block `last`, rounded up so that this is seldom needed; how long in blocks, if it was shorter.
    pub(super) fn grow(&mut self, end: u32) -> Option<u32> {
        if end <= self.length {
            return None;
        }
        self.length = end.next_multiple_of(GROWTH).min(BLOCKS);
        Some(self.length)
    }

    /// Free blocks that take space on the disk, about.
    pub(super) fn spare(&self) -> u32 {
        self.length.saturating_sub(self.used_blocks).saturating_sub(self.punched)
    }

    pub(super) fn free_blocks(&self) -> u32 {
        BLOCKS - self.used_blocks
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used_blocks == 0
    }

    fn set(&mut self, first: u32, blocks: u32, used: bool) {
        for block in first..first.saturating_add(blocks).min(BLOCKS) {
            if self.is_used(block) == used {
                continue;
            }
            let (word, bit) = place(block);
            if let Some(word) = self.used.get_mut(word) {
                *word ^= bit;
            }
            self.used_blocks = if used { self.used_blocks + 1 } else { self.used_blocks - 1 };
        }
    }

    fn is_used(&self, block: u32) -> bool {
        self.word(block) & place(block).1 != 0
    }

    fn word(&self, block: u32) -> u64 {
        self.used.get(place(block).0).copied().unwrap_or(u64::MAX)
    }
}

/// The word of a block, and its bit there.
fn place(block: u32) -> (usize, u64) {
    ((block / 64) as usize, 1 << (block % 64))
}

/// Octets a block: what a disk and a file system write as one.
pub(super) const BLOCK: u64 = 4096;

/// Blocks of a file at most: 16 MiB.
pub(super) const BLOCKS: u32 = 4096;

/// A file grows by so many blocks: 1 MiB.
const GROWTH: u32 = 256;

const WORDS: usize = (BLOCKS / 64) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_room_that_is_large_enough_is_taken() {
        let mut segment = Segment::new(0, 0);
        assert_eq!([segment.take(5), segment.take(100), segment.take(5)], [Some(0), Some(5), Some(105)]);
        assert_eq!((segment.grow(110), segment.grow(200)), (Some(256), None));
        segment.give(5, 100, false);
        assert_eq!([segment.take(101), segment.take(60), segment.take(41), segment.take(40)], [Some(110), Some(5), Some(211), Some(65)]);
        assert_eq!(segment.take(BLOCKS - 251), None);
        segment.give(0, 5, false);
        assert_eq!([segment.take(6), segment.take(5)], [Some(252), Some(0)]);
    }

    #[test]
    fn a_file_gets_full_and_empty_again() {
        let mut segment = Segment::new(0, 0);
        let all: Vec<_> = std::iter::from_fn(|| segment.take(64)).collect();
        assert_eq!((all.len(), segment.take(1), segment.free_blocks()), (64, None, 0));
        all.iter().for_each(|first| segment.give(*first, 64, false));
        assert!(segment.is_empty() && segment.take(BLOCKS) == Some(0));
    }

    #[test]
    fn all_that_is_free_can_be_taken() {
        let mut segment = Segment::new(300, 300);
        [(0, 10), (20, 5), (290, 5)].iter().for_each(|(first, blocks)| segment.claim(*first, *blocks));
        let runs = segment.take_all();
        assert_eq!((runs.as_slice(), segment.spare()), (&[(10, 10), (25, 265), (295, 5)][..], 0));
        runs.iter().for_each(|(first, blocks)| segment.give(*first, *blocks, true));
        assert_eq!((segment.spare(), segment.free_blocks()), (0, BLOCKS - 20));
        segment.give(0, 10, false);
        assert_eq!((segment.spare(), segment.take(20)), (10, Some(0)));
    }

    #[test]
    fn what_takes_no_space_is_counted() {
        let mut segment = Segment::new(1000, 600);
        assert_eq!(segment.spare(), 600);
        segment.claim(0, 100);
        assert_eq!(segment.spare(), 500);
        segment.give(0, 50, true);
        assert_eq!(segment.spare(), 500);
        segment.give(50, 50, false);
        assert_eq!(segment.spare(), 550);
        assert_eq!((segment.take(500), segment.spare()), (Some(0), 500), "what takes no space is thought to be taken first");
        // A row may say anything.
        segment.claim(BLOCKS - 1, u32::MAX);
        segment.claim(u32::MAX, 1);
        assert_eq!(segment.free_blocks(), BLOCKS - 501);
    }
}
