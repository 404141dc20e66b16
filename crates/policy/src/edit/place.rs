//! Lines of a text, and cuts into it.

use std::ops::Range;

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(crate) fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line of an octet, from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// The line of an octet and its column in characters, both from 1.
    pub(crate) fn place(&self, text: &str, offset: usize) -> (u32, u32) {
        let before = text.get(line_start(text, offset)..offset).unwrap_or_default();
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        (self.line(offset), u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX))
    }
}

/// Where the line of an octet begins.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

/// Where the line of an octet ends, its line break included.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    text.get(offset..).and_then(|after| after.find('\n')).map_or(text.len(), |at| offset + at + 1)
}

/// What stands between two octets; nothing if they lie outside.
pub(super) fn between(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// The spaces at the beginning of a line.
pub(super) fn indent(text: &str, offset: usize) -> &str {
    let line = between(text, line_start(text, offset)..line_end(text, offset));
    between(line, 0..line.len() - line.trim_start_matches([' ', '\t']).len())
}

/// A text of which pieces are replaced; everything else stays as it is.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<(Range<usize>, String)>);

impl Cuts {
    pub(super) fn replace(&mut self, range: Range<usize>, with: impl Into<String>) {
        self.0.push((range, with.into()));
    }

    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.replace(range, "");
    }

    pub(super) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    /// The text with all of them made. Those at one place come in the order in which they were noted; one that begins inside
    /// of another is dropped: what it would change is gone.
    pub(super) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut result = String::with_capacity(text.len());
        let mut copied = 0;
        for (range, with) in self.0 {
            if range.start < copied {
                continue;
            }
            result.push_str(between(text, copied..range.start));
            result.push_str(&with);
            copied = range.end;
        }
        result.push_str(between(text, copied..text.len()));
        result
    }
}
