//! From octets in a text to lines and columns.

use std::collections::HashSet;
use std::sync::Arc;

use super::problem::{PolicyError, PolicyErrors, Problem};

/// One text with its name, where its lines begin, and what was found wrong with it.
pub(crate) struct Text<'t> {
    pub(crate) file: Arc<str>,
    pub(crate) text: &'t str,
    line_starts: Vec<usize>,
    problems: Vec<(usize, Problem)>,
    /// How many of them, the first ones, say that the text is no TOML.
    syntax: usize,
}

impl<'t> Text<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(offset, _)| offset + 1);
        Self { file: Arc::from(file), text, line_starts: std::iter::once(0).chain(starts).collect(), problems: Vec::new(), syntax: 0 }
    }

    /// The line of an octet, from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        as_u32(self.line_starts.partition_point(|start| *start <= offset))
    }

    pub(crate) fn problem(&mut self, offset: usize, problem: Problem) {
        self.problems.push((offset, problem));
    }

    /// How many problems there are so far.
    pub(crate) fn problems(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn syntax_problem(&mut self, offset: usize, message: &str) {
        self.problems.push((offset, Problem::Syntax { message: message.replace('\n', " ") }));
        self.syntax = self.problems.len();
    }

    /// Drops what may only follow from a broken line: a second message would mislead.
    fn drop_consequences(&mut self) {
        let syntax = self.problems.iter().take(self.syntax);
        let broken: HashSet<u32> = syntax.map(|(offset, _)| self.line(*offset)).collect();
        if broken.is_empty() {
            return;
        }
        let rest = self.problems.split_off(self.syntax);
        let stands = |(offset, problem): &(usize, Problem)| !problem.may_follow() && !broken.contains(&self.line(*offset));
        let standing: Vec<_> = rest.into_iter().filter(stands).collect();
        self.problems.extend(standing);
    }

    /// Every problem with its place, in the order of the text; nothing if there is none.
    pub(crate) fn into_errors(mut self) -> Option<PolicyErrors> {
        self.drop_consequences();
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|(offset, _)| *offset);
        let mut errors = Vec::with_capacity(problems.len());
        // Columns are counted on from the problem before, so that many on one long line cost one pass.
        let (mut line, mut counted, mut column) = (0, 0, 1);
        for (offset, problem) in problems {
            let here = self.line_starts.partition_point(|start| *start <= offset);
            if here != line {
                line = here;
                counted = here.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
                column = 1;
            }
            column += self.text.get(counted..offset).map_or(0, |between| between.chars().count());
            counted = offset;
            errors.push(PolicyError { file: Arc::clone(&self.file), line: as_u32(line), column: as_u32(column), problem });
        }
        PolicyErrors::new(errors)
    }
}

fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
