//! The pages of a database that SQLite refuses, or may refuse: every row that can still be read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::types::Value;

use super::SalvagedRow;
use super::log::{Log, page_size};
use super::record::{values, varint};

/// Reads pages, the newest state of each.
pub(crate) struct Pages {
    file: File,
    log: Option<File>,
    /// Where pages stand in the log, the newest first.
    newer: Vec<HashMap<u32, u64>>,
    size: usize,
    count: u32,
}

impl Pages {
    /// The pages of the database at `path`, as its log changed them; `page` is their size if the database does not say.
    pub(crate) fn open(path: &Path, log_path: &Path, log: Option<&Log>, page: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; 100];
        let is_read = file.read_exact_at(&mut head, 0).is_ok();
        let said = u32::try_from(short(&head, 16)).unwrap_or_default();
        let said = if said == 1 { Some(65_536) } else { page_size(said) };
        let known = log.filter(|log| !log.valid.is_empty()).map(|log| log.page);
        let log_file = if log.is_some() { Some(File::open(log_path)?) } else { None };
        let newer: Vec<_> = log.map(|log| log.valid.clone()).into_iter().collect();
        let of_size = |size: usize| {
            let last = newer.iter().flat_map(HashMap::keys).max().copied().unwrap_or(0);
            let count = u32::try_from(length.div_ceil(size as u64)).unwrap_or(u32::MAX).max(last);
            Ok::<_, io::Error>(Self {
                file: file.try_clone()?,
                log: log_file.as_ref().map(File::try_clone).transpose()?,
                newer: newer.clone(),
                size,
                count,
            })
        };
        let sizes = known.into_iter().chain(said.filter(|_| is_read)).chain([page]);
        for size in sizes {
            let pages = of_size(size)?;
            if !pages.tables().is_empty() {
                return Ok(pages);
            }
        }
        of_size(page)
    }

    /// Puts what stands behind the broken place of the log over the rest.
    pub(crate) fn with_lost(mut self, log: &Log) -> Self {
        self.newer.insert(0, log.lost.clone());
        self
    }

    /// Hands out every row of every table that is still in use.
    pub(crate) fn rows<E>(&self, mut found: impl FnMut(SalvagedRow) -> Result<(), E>) -> Result<(), E> {
        let mut seen = HashSet::from([1]);
        for (table, root) in self.tables() {
            self.walk(root, Some(&table), &mut seen, &mut found)?;
        }
        // What no tree leads to any more, because a page above is broken.
        for number in 2..=self.count {
            if !seen.contains(&number) && self.is_in_use(number) {
                self.walk(number, None, &mut seen, &mut found)?;
            }
        }
        Ok(())
    }

    /// Hands out the rows on the pages of the log behind its broken place.
    pub(crate) fn lost_rows<E>(&self, log: &Log, mut found: impl FnMut(SalvagedRow) -> Result<(), E>) -> Result<(), E> {
        let mut numbers: Vec<_> = log.lost.keys().copied().filter(|number| *number != 1).collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(page) = self.page(number).filter(|page| page.first() == Some(&LEAF)) {
                self.leaf(&page, 0, None, &mut found)?;
            }
        }
        Ok(())
    }

    /// The tables by name with their root pages.
    fn tables(&self) -> Vec<(String, u32)> {
        let mut tables = Vec::new();
        let mut keep = |row: SalvagedRow| {
            if let [Value::Text(kind), Value::Text(name), _, Value::Integer(root), ..] = &row.values[..]
                && let (true, Ok(root)) = (kind == "table", u32::try_from(*root))
            {
                tables.push((name.clone(), root));
            }
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = self.walk(1, None, &mut HashSet::new(), &mut keep);
        tables
    }

    /// Goes through the tree below a page.
    fn walk<E>(
        &self,
        root: u32,
        table: Option<&str>,
        seen: &mut HashSet<u32>,
        found: &mut impl FnMut(SalvagedRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            if !seen.insert(number) {
                continue;
            }
            let Some(page) = self.page(number) else { continue };
            let start = if number == 1 { FILE_HEAD } else { 0 };
            match page.get(start) {
                Some(&INTERIOR) => {
                    open.extend(word(&page, start + 8));
                    let cells = cells(&page, start, 12);
                    open.extend(cells.filter_map(|cell| word(&page, cell)));
                }
                Some(&(INDEX_LEAF | INDEX_INTERIOR)) => {}
                // A leaf, or what may have been one.
                _ => self.leaf(&page, start, table, found)?,
            }
        }
        Ok(())
    }

    fn leaf<E>(
        &self,
        page: &[u8],
        start: usize,
        table: Option<&str>,
        found: &mut impl FnMut(SalvagedRow) -> Result<(), E>,
    ) -> Result<(), E> {
        for cell in cells(page, start, 8) {
            if let Some((rowid, values)) = page.get(cell..).and_then(|cell| self.cell(cell)) {
                found(SalvagedRow { table: table.map(str::to_owned), rowid, values, is_torn: false })?;
            }
        }
        Ok(())
    }

    /// The row in a cell of a leaf.
    fn cell(&self, cell: &[u8]) -> Option<(i64, Vec<Value>)> {
        let (length, rest) = varint(cell)?;
        let (rowid, rest) = varint(rest)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= RECORD_OCTETS)?;
        let most = self.size - 35;
        let local = if length <= most {
            length
        } else {
            let least = (self.size - 12) * 32 / 255 - 23;
            let some = least + (length - least) % (self.size - 4);
            if some <= most { some } else { least }
        };
        let mut record = rest.get(..local)?.to_vec();
        let mut next = word(rest, local);
        while record.len() < length {
            let page = self.page(next?)?;
            let piece = page.get(4..)?;
            record.extend(piece.iter().take(length - record.len()));
            next = word(&page, 0);
        }
        Some((rowid.cast_signed(), values(&record)?))
    }

    /// Whether the database says that the page belongs to a tree: also where it cannot say.
    fn is_in_use(&self, number: u32) -> bool {
        // A map of five octets a page stands before the pages that it is about.
        let entries = u32::try_from(self.size / 5).unwrap_or(u32::MAX);
        let map = (number - 2) / (entries + 1) * (entries + 1) + 2;
        if map == number {
            return false;
        }
        let place = usize::try_from(number - map - 1).ok().map(|entry| entry * 5);
        let kind = self.page(map).and_then(|page| place.and_then(|place| page.get(place).copied()));
        !matches!(kind, Some(MAP_FREE | MAP_OVERFLOW | MAP_OVERFLOW_NEXT))
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        let mut page = vec![0; self.size];
        let place = self.newer.iter().find_map(|places| places.get(&number));
        match (place, &self.log) {
            (Some(place), Some(log)) => log.read_exact_at(&mut page, *place).ok()?,
            _ => self.file.read_exact_at(&mut page, u64::from(number.checked_sub(1)?) * self.size as u64).ok()?,
        }
        Some(page)
    }
}

/// Where the cells of a page stand, by the list behind its head.
fn cells(page: &[u8], start: usize, head: usize) -> impl Iterator<Item = usize> {
    let count = short(page, start + 3).min(page.len() / 2);
    (0..count).map(move |index| short(page, start + head + 2 * index)).filter(move |cell| *cell > start)
}

/// A number of two octets; zero where there are none.
fn short(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |two| usize::from(u16::from_be_bytes(*two)))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes)
}

const LEAF: u8 = 13;
const INTERIOR: u8 = 5;
const INDEX_LEAF: u8 = 10;
const INDEX_INTERIOR: u8 = 2;

const MAP_FREE: u8 = 2;
const MAP_OVERFLOW: u8 = 3;
const MAP_OVERFLOW_NEXT: u8 = 4;

/// Octets of the file's head, which stands on the first page.
const FILE_HEAD: usize = 100;

/// Octets of a row at most: a length that is damaged must not take all memory.
const RECORD_OCTETS: usize = 256 << 20;
