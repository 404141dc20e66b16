//! Included lists: rows of partners, up to a million of them, one of which can come or go by itself.

use std::collections::HashMap;
use std::sync::Arc;

use sealpost_types::{Level, UnixMillis};

use super::insert_partner;
use super::names::Names;
use super::row::RowReader;
use crate::asked::Asked;
use crate::document::{IncludeEntry, PATTERN_ENTRIES, PolicyError, PolicyErrors, Problem, Standing, Text};
use crate::exchange::{CsvErrors, read_rows};
use crate::layer::{Called, Entry, Extra, Layer};
use crate::pattern::Pattern;
use crate::policy::{Main, Policy};
use crate::setting::Settings;
use crate::table::{MAX_ENTRIES, Table, Text as Kept};
use crate::trace::Place;

/// Reads the lists that a document includes.
pub trait Include {
    /// The text of a list; `file` is what the document calls it.
    ///
    /// # Errors
    /// [`IncludeError`]: it cannot be read.
    fn read(&self, file: &str) -> Result<Arc<str>, IncludeError>;
}

/// Why an included list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct IncludeError {
    /// What the reader says.
    pub message: String,
}

/// A list that a document includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncludedList {
    /// What the document calls it.
    pub(crate) file: Arc<str>,
    /// What its rows say where they do not say it themselves.
    pub(super) receive: Asked,
    pub(super) deliver: Asked,
    pub(super) testing: bool,
    pub(super) until: Option<UnixMillis>,
}

/// Reads nothing.
pub(super) struct Nothing;

/// What is gathered from rows.
pub(super) struct Rows<'p> {
    policy: &'p Policy,
    settings: Settings,
    layer: Layer,
    errors: Vec<PolicyError>,
}

impl Include for Nothing {
    fn read(&self, _: &str) -> Result<Arc<str>, IncludeError> {
        Err(IncludeError::new("this program reads no included lists".to_owned()))
    }
}

impl IncludeError {
    /// An error in these words.
    #[must_use]
    pub fn new(message: String) -> Self {
        Self { message }
    }
}

impl IncludedList {
    pub(super) fn new(entry: IncludeEntry, text: &mut Text<'_>) -> Self {
        let IncludeEntry { file, hops, standing: Standing { testing, until }, .. } = entry;
        if [&hops.receive, &hops.deliver].into_iter().any(|hop| hop.is_conditional()) {
            text.problem(file.offset, Problem::IncludeCondition);
        }
        Self { file: file.value, receive: hops.receive.asked, deliver: hops.deliver.asked, testing, until }
    }
}

impl Policy {
    /// Reads the lists that the document includes into this policy.
    pub(super) fn include(
        &mut self,
        includes: Vec<IncludeEntry>,
        include: &dyn Include,
        names: &Names,
        text: &mut Text<'_>,
    ) -> Vec<PolicyError> {
        let mut lists: Vec<IncludedList> = Vec::with_capacity(includes.len());
        let mut texts = Vec::with_capacity(includes.len());
        let mut first_lines: HashMap<Arc<str>, u32> = HashMap::new();
        for entry in includes {
            let (offset, file) = (entry.file.offset, Arc::clone(&entry.file.value));
            if let Some(first_line) = first_lines.get(&file) {
                text.problem(offset, Problem::IncludedTwice { file: file.to_string(), first_line: *first_line });
                continue;
            }
            first_lines.insert(Arc::clone(&file), entry.line);
            let read = include.read(&file).map_err(|error| Problem::Include { file: file.to_string(), cause: error.message });
            let Some(rows) = text.noted(offset, read) else { continue };
            lists.push(IncludedList::new(entry, text));
            texts.push(rows);
        }
        let names_in_all: usize = texts.iter().map(|text| memchr::memchr_iter(b'\n', text.as_bytes()).count()).sum();
        self.lists = Arc::new(lists);
        let mut rows = Rows::new(self, Layer { table: Table::with_capacity(names_in_all), ..Layer::default() });
        for (number, text) in (1..).zip(&texts) {
            rows.read(number, text, 0, names);
        }
        let (layer, errors) = rows.finish();
        self.included = layer;
        errors
    }

    /// Whether the rows of this policy mean the same beside another document, and are allowed there.
    pub(super) fn rows_fit(&self, lists: &[IncludedList], main: &Main) -> bool {
        let owners = |main: &Main| main.owners.iter().map(|owner| Arc::clone(&owner.name)).collect::<Vec<_>>();
        let is_allowed = |entry: &Entry| match entry.label.as_str().parse::<Pattern>() {
            Ok(pattern) if !self.main.hosted.table.under(&pattern).is_empty() => true,
            Ok(pattern @ Pattern::Exact(_)) => self.included.table.under(&pattern).is_empty(),
            // It may cover the patterns of rows, which are not looked through here.
            _ => false,
        };
        *lists == **self.lists && owners(main) == owners(&self.main) && main.hosted.entries.iter().all(|(_, entry)| is_allowed(entry))
    }

    /// This policy with one row more in an included list: `file` is what the document calls the list, `line` where the row
    /// stands, `header` the list's header line if it has one.
    ///
    /// Costs some microseconds and kilobytes, however many rows there are.
    ///
    /// # Errors
    /// What is wrong with the row; [`Problem::Include`] for a list that the document does not include.
    pub fn with_row(&self, file: &str, line: u32, header: Option<&str>, row: &str) -> Result<Self, PolicyErrors> {
        let number = (1..).zip(self.lists.iter()).find(|(_, list)| *list.file == *file).map(|(number, _)| number);
        let Some(number) = number else {
            let problem = Problem::Include { file: file.to_owned(), cause: "the policy does not include it".to_owned() };
            return Err(PolicyErrors::one(Arc::from(file), line, problem));
        };
        let (text, lines_before) = match header {
            Some(header) => (format!("{}\n{row}\n", header.trim_end()), line.saturating_sub(2)),
            None => (format!("{row}\n"), line.saturating_sub(1)),
        };
        let mut rows = Rows::new(self, self.included.clone());
        rows.read(number, &text, lines_before, &Names::of_owners(&self.main.owners));
        let (included, errors) = rows.finish();
        PolicyErrors::all(None, errors).map_or_else(|| Ok(Self { included, ..self.clone() }), Err)
    }

    /// The places of the rows of exactly this pattern in included lists, in the order in which they came.
    #[must_use]
    pub fn rows_of(&self, pattern: &Pattern) -> Vec<Place> {
        let text = pattern.to_string();
        // `a.example` stands under what is below it too.
        let is_named = |entry: &Entry| self.included.brief(entry.brief).is_some_and(|brief| brief.called == Called::Named);
        let is_parents = |entry: &Entry| matches!(pattern, Pattern::Below(_)) && !is_named(entry) && entry.label.as_str() != text;
        let of_pattern = |entry: &&Entry| !is_parents(entry);
        let entries = self.included.table.under(pattern).iter().filter_map(|listed| self.included.entries.get(listed.entry));
        entries
            .filter(of_pattern)
            .map(|entry| Place { file: Arc::clone(self.file(self.included.file_of(entry))), line: entry.line })
            .collect()
    }

    /// This policy without the row of this pattern at this line of an included list; nothing if there is none.
    ///
    /// Costs some microseconds and kilobytes, however many rows there are.
    #[must_use]
    pub fn without_row(&self, file: &str, line: u32, pattern: &Pattern) -> Option<Self> {
        let is_it = |entry: &Entry| entry.line == line && **self.file(self.included.file_of(entry)) == *file;
        let mut under = self.included.table.under(pattern).iter().map(|listed| listed.entry);
        let number = under.find(|number| self.included.entries.get(*number).is_some_and(is_it))?;
        let mut included = self.included.clone();
        included.table.remove(pattern, number);
        if let Pattern::Exact(name) = pattern {
            included.table.remove(&Pattern::Below(name.clone()), number);
        }
        included.entries.remove(number);
        Some(Self { included, ..self.clone() })
    }
}

impl<'p> Rows<'p> {
    fn new(policy: &'p Policy, layer: Layer) -> Self {
        Self { policy, settings: Settings::of(&layer.settings, &layer.briefs), layer, errors: Vec::new() }
    }

    /// Reads the rows of one list; `lines_before` are lines of it that are not in `text`.
    fn read(&mut self, number: u32, text: &str, lines_before: u32, names: &Names) {
        let policy = self.policy;
        let Some(list) = number.checked_sub(1).and_then(|at| policy.lists.get(usize::try_from(at).ok()?)) else { return };
        let mut reader = RowReader::new(number, list, names);
        let mut errors = Vec::new();
        let read = read_rows(&list.file, text, |row| {
            let entry = match reader.read(row, &mut self.settings) {
                Ok(read) => {
                    let line = row.line.saturating_add(lines_before);
                    let ReadRow { pattern, subdomains, label, brief, extra } = read;
                    self.add(pattern, subdomains, Entry { label, line, brief, extra })
                }
                Err((column, problem)) => Err((column, problem)),
            };
            if let Err((column, problem)) = entry {
                let (line, column) = row.place(column);
                errors.push(PolicyError { file: Arc::clone(&list.file), line: line.saturating_add(lines_before), column, problem });
            }
            Ok(())
        });
        if let Err(CsvErrors { errors: of_text, .. }) = read {
            let of = |error: crate::exchange::CsvError| {
                let line = error.line.saturating_add(lines_before);
                PolicyError { file: error.file, line, column: error.column, problem: Problem::Csv(error.problem) }
            };
            errors.extend(of_text.into_iter().map(of));
        }
        errors.sort_by_key(|error| (error.line, error.column));
        errors.truncate(LIST_ERRORS);
        self.errors.extend(errors);
    }

    fn add(&mut self, pattern: Pattern, subdomains: bool, entry: Entry) -> Result<(), (crate::exchange::Column, Problem)> {
        if let Some(domain_line) = self.policy.main.hosting_line(&pattern) {
            return Err((crate::exchange::Column::Domain, Problem::HostedAndPartner { name: pattern.to_string(), domain_line }));
        }
        let index = self.layer.entries.len();
        if index >= MAX_ENTRIES {
            return Err((crate::exchange::Column::Domain, Problem::TooManyEntries));
        }
        insert_partner(&mut self.layer.table, &pattern, subdomains, entry.listed(index));
        if self.layer.table.under(&pattern).len() > PATTERN_ENTRIES {
            return Err((crate::exchange::Column::Domain, Problem::PatternTooOften { pattern: pattern.to_string() }));
        }
        self.layer.entries.push(entry);
        Ok(())
    }

    fn finish(self) -> (Layer, Vec<PolicyError>) {
        let (settings, briefs) = (Arc::new(self.settings.list), Arc::new(self.settings.briefs));
        (Layer { settings, briefs, ..self.layer }, self.errors)
    }
}

/// What a row comes to.
pub(super) struct ReadRow {
    pub(super) pattern: Pattern,
    pub(super) subdomains: bool,
    pub(super) label: Kept,
    pub(super) brief: u32,
    pub(super) extra: Option<Arc<Extra>>,
}

/// Whether `pinned` and the like have what they need.
pub(super) fn check_companions(asked: &Asked) -> Result<(), Problem> {
    match asked.level {
        Some(Level::Pinned) if asked.pins.as_ref().is_none_or(Vec::is_empty) => {
            Err(Problem::NeedsBeside { level: Level::Pinned, key: "pins" })
        }
        _ => Ok(()),
    }
}

/// A row has no names and pins for the receive hop: a level that needs them would let nobody in.
pub(super) fn check_receive(level: Option<Level>) -> Result<(), Problem> {
    match level {
        Some(Level::Pinned) => Err(Problem::NeedsBeside { level: Level::Pinned, key: "pins" }),
        Some(Level::Verify) => Err(Problem::NeedsBeside { level: Level::Verify, key: "names" }),
        _ => Ok(()),
    }
}

/// Errors of one list that are told: one of the wrong kind is wrong in each line.
const LIST_ERRORS: usize = 100;
