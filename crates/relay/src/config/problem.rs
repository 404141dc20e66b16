//! Where a configuration is wrong, and what would be right.

use std::fmt;
use std::ops::Range;

use sealpost_types::{Blame, Retry};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was found, and what would be right.
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ConfigError {
    /// At least one problem, in the order of the file.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// The caller's fault: whoever wrote the file.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Caller
    }

    /// Not before somebody changes the file.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// One problem a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Collects the problems of one file.
pub(crate) struct Problems<'a> {
    name: &'a str,
    text: &'a str,
    found: Vec<(usize, ConfigProblem)>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, found: Vec::new() }
    }

    /// Notes a problem at a place of the text.
    pub(crate) fn add(&mut self, span: Range<usize>, message: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.found.push((span.start, ConfigProblem { file: self.name.to_owned(), line, column, message }));
    }

    /// The value of `result`, or nothing and a problem.
    pub(super) fn check<T, E: fmt::Display>(&mut self, span: Range<usize>, result: Result<T, E>, right: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(span, if right.is_empty() { error.to_string() } else { format!("{error}; {right}") });
                None
            }
        }
    }

    /// All problems in the order of the file, if there are any.
    pub(crate) fn into_error(mut self) -> Option<ConfigError> {
        self.found.sort_by_key(|(offset, _)| *offset);
        let problems: Vec<_> = self.found.into_iter().map(|(_, problem)| problem).collect();
        (!problems.is_empty()).then_some(ConfigError { problems })
    }
}
