//! From octets in a text to lines and columns.

use super::problem::{PolicyError, Problem};
use std::sync::Arc;

/// One text with its name, where its lines begin, and what was found wrong with it.
pub(crate) struct Text<'t> {
    pub(crate) file: Arc<str>,
    pub(crate) text: &'t str,
    line_starts: Vec<usize>,
    pub(crate) errors: Vec<PolicyError>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(offset, _)| offset + 1);
        Self { file: Arc::from(file), text, line_starts: std::iter::once(0).chain(starts).collect(), errors: Vec::new() }
    }

    /// The line of an octet, from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.line_starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// The column of an octet in characters, from 1.
    fn column(&self, offset: usize) -> u32 {
        let before = self.line_starts.partition_point(|start| *start <= offset);
        let start = before.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let characters = self.text.get(start..offset).map_or(0, |line| line.chars().count());
        u32::try_from(characters + 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn problem(&mut self, offset: usize, problem: Problem) {
        let error = PolicyError { file: Arc::clone(&self.file), line: self.line(offset), column: self.column(offset), problem };
        self.errors.push(error);
    }
}
