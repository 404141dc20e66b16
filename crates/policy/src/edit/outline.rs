//! Which lines of a document belong to which table.

use std::collections::HashMap;
use std::ops::Range;

use toml_edit::{Item, Table};

use super::place::{between, line_end, line_start};

/// The keys from the root to a table, each with its index in an array of tables (else 0).
pub(super) type TablePath = Vec<(String, usize)>;

/// The tables of a document that have a header of their own, in the order of the text.
#[derive(Debug)]
pub(super) struct Outline<'t> {
    text: &'t str,
    blocks: Vec<Block>,
    /// The place of each in `blocks`.
    places: HashMap<TablePath, usize>,
}

/// A header, what is written below it, and the comments that belong to both.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) path: TablePath,
    /// Where its own comment begins: the comment lines directly above the header.
    pub(super) lead: usize,
    header: usize,
    /// Where the line of its last value ends.
    pub(super) body_end: usize,
    /// The same, and the comment lines below that belong to nothing else.
    pub(super) end: usize,
}

impl<'t> Outline<'t> {
    pub(super) fn of(text: &'t str, root: &Table) -> Self {
        let mut outline = Self { text, blocks: Vec::new(), places: HashMap::new() };
        outline.walk(root, &mut Vec::new());
        outline.blocks.sort_by_key(|block| block.header);
        let mut before = last_value(root).map_or(0, |end| line_end(text, end));
        for block in &mut outline.blocks {
            block.lead = lead(text, before, block.header);
            before = block.body_end;
        }
        let leads: Vec<_> = outline.blocks.iter().skip(1).map(|block| block.lead).chain([text.len()]).collect();
        for (block, next) in outline.blocks.iter_mut().zip(leads) {
            block.end = trail(text, block.body_end, next);
        }
        outline.places = outline.blocks.iter().enumerate().map(|(place, block)| (block.path.clone(), place)).collect();
        outline
    }

    /// The blocks of the table at this path and of all below it.
    pub(super) fn within(&self, path: &[(String, usize)]) -> impl DoubleEndedIterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.path.starts_with(path))
    }

    /// The block with this very header.
    pub(super) fn block(&self, path: &[(String, usize)]) -> Option<&Block> {
        self.places.get(path).and_then(|place| self.blocks.get(*place))
    }

    /// The blocks below one key of the root.
    pub(super) fn of_key<'a>(&'a self, key: &'a str) -> impl DoubleEndedIterator<Item = &'a Block> {
        self.blocks.iter().filter(move |block| block.path.first().is_some_and(|(first, _)| first == key))
    }

    /// Where the first table begins, its comment included.
    pub(super) fn first(&self) -> Option<usize> {
        self.blocks.first().map(|block| block.lead)
    }

    /// The lines of the table at this path and of all below it, each piece with one of two blank lines that would meet.
    pub(super) fn removals(&self, path: &[(String, usize)]) -> Vec<Range<usize>> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for block in self.within(path) {
            match pieces.last_mut().filter(|piece| piece.end == block.lead) {
                Some(piece) => piece.end = block.end,
                None => pieces.push(block.lead..block.end),
            }
        }
        pieces.into_iter().map(|piece| self.with_blank(piece)).collect()
    }

    fn with_blank(&self, piece: Range<usize>) -> Range<usize> {
        let text = self.text;
        let above = between(text, 0..piece.start);
        let blank_above = above.is_empty() || above.ends_with("\n\n") || above.ends_with("\n\r\n");
        let below = between(text, piece.end..line_end(text, piece.end));
        if blank_above && !below.is_empty() && below.trim().is_empty() {
            return piece.start..piece.end + below.len();
        }
        if piece.end == text.len() && blank_above && !above.is_empty() {
            return line_start(text, piece.start.saturating_sub(1))..piece.end;
        }
        piece
    }

    fn walk(&mut self, table: &Table, path: &mut TablePath) {
        for (key, item) in table.iter() {
            match item {
                Item::Table(inner) => self.table(inner, key, 0, path),
                Item::ArrayOfTables(tables) => {
                    for (index, inner) in tables.iter().enumerate() {
                        self.table(inner, key, index, path);
                    }
                }
                _ => {}
            }
        }
    }

    fn table(&mut self, table: &Table, key: &str, index: usize, path: &mut TablePath) {
        path.push((key.to_owned(), index));
        if let Some(header) = table.span().filter(|_| !table.is_implicit() && !table.is_dotted()) {
            let last = last_value(table).unwrap_or(header.end);
            let body_end = line_end(self.text, last);
            self.blocks.push(Block { path: path.clone(), lead: 0, header: line_start(self.text, header.start), body_end, end: body_end });
        }
        self.walk(table, path);
        path.pop();
    }
}

/// Where the last value of a table ends, those with dotted keys included.
pub(super) fn last_value(table: &Table) -> Option<usize> {
    table.get_values().into_iter().filter_map(|(_, value)| value.span()).map(|span| span.end).max()
}

fn lead(text: &str, before: usize, header: usize) -> usize {
    let mut lead = header;
    while lead > before {
        let start = line_start(text, lead - 1);
        if start < before || !between(text, start..lead).trim_start().starts_with('#') {
            break;
        }
        lead = start;
    }
    lead
}

fn trail(text: &str, body_end: usize, next: usize) -> usize {
    let mut end = body_end;
    while end < next {
        let line = between(text, end..line_end(text, end));
        if !line.trim_start().starts_with('#') {
            break;
        }
        end += line.len();
    }
    end
}
