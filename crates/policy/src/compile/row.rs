//! One row of an included list.

use std::sync::Arc;

use sealpost_types::AnchorFiles;

use super::included::{IncludedList, ReadRow, check_companions, check_receive};
use super::label;
use super::names::Names;
use crate::asked::Asked;
use crate::document::words;
use crate::document::{End, Problem, Written, as_set, items_of, name_of, pattern, pin, read_end, reference_name};
use crate::exchange::{Column, Row};
use crate::layer::{Brief, Extra, Hops, Side};
use crate::setting::Settings;
use crate::table::NameSet;

/// Reads rows one after the other: what a row says besides its domain and its name is often what the row before said.
pub(super) struct RowReader<'l> {
    /// The number of the list.
    file: u32,
    list: &'l IncludedList,
    names: &'l Names,
    cells: [Option<Box<str>>; SHARED.len()],
    said: Option<Said>,
}

/// What a row says besides its domain and its name.
#[derive(Clone)]
struct Said {
    subdomains: bool,
    hops: Hops,
    extra: Option<Arc<Extra>>,
}

type Wrong = (Column, Problem);

impl<'l> RowReader<'l> {
    pub(super) fn new(file: u32, list: &'l IncludedList, names: &'l Names) -> Self {
        Self { file, list, names, cells: [const { None }; SHARED.len()], said: None }
    }

    pub(super) fn read(&mut self, row: &Row<'_, '_>, settings: &mut Settings) -> Result<ReadRow, Wrong> {
        let pattern = pattern(row.domain()).map_err(|problem| (Column::Domain, problem))?;
        let name = row.cell(Column::Name).map(|name| name_of("name", name)).transpose();
        let name = name.map_err(|problem| (Column::Name, problem))?;
        let (label, called) = label(name.as_deref(), &pattern, true);
        let is_as_before = SHARED.iter().zip(&self.cells).all(|(column, before)| row.cell(*column) == before.as_deref());
        let said = match self.said.take().filter(|_| is_as_before) {
            Some(said) => said,
            None => self.said(row, settings)?,
        };
        if !is_as_before {
            self.cells = SHARED.map(|column| row.cell(column).map(Box::from));
        }
        self.said = Some(said.clone());
        let Said { subdomains, hops, extra } = said;
        let brief = settings.place_brief(Brief { hops, file: self.file, called });
        Ok(ReadRow { pattern, subdomains, label, brief, extra })
    }

    fn said(&self, row: &Row<'_, '_>, settings: &mut Settings) -> Result<Said, Wrong> {
        let subdomains = match row.cell(Column::Subdomains) {
            None | Some("true") => true,
            Some("false") => false,
            Some(found) => {
                let key = Column::Subdomains.as_str().to_owned();
                return Err((Column::Subdomains, Problem::UnknownWord { key, found: found.to_owned(), allowed: &["true", "false"] }));
            }
        };
        let mut receive = self.list.receive.clone();
        if let Some(level) = word(row, Column::Receive, |text| words::level("receive", text, Side::Receive))? {
            check_receive(Some(level)).map_err(|problem| (Column::Receive, problem))?;
            receive.level = Some(level);
        }
        let deliver = self.deliver(row)?;
        let submit = settings.place(Asked::default());
        let hops = Hops { receive: settings.place(receive), submit, deliver: settings.place(deliver) };
        Ok(Said { subdomains, hops, extra: self.extra(row)? })
    }

    fn deliver(&self, row: &Row<'_, '_>) -> Result<Asked, Wrong> {
        let base = self.list.deliver.clone();
        let asked = Asked {
            level: word(row, Column::Deliver, |text| words::level("deliver", text, Side::Deliver))?.or(base.level),
            names: list(row, Column::Names, reference_name)?.map(as_set).or(base.names),
            matching: word(row, Column::Match, |text| words::matching("match", text))?.or(base.matching),
            pins: list(row, Column::Pins, pin)?.map(as_set).or(base.pins),
            anchors: list(row, Column::Anchors, |file| Ok(file.to_owned()))?.map(AnchorFiles::new).or(base.anchors),
            min_version: word(row, Column::MinVersion, |text| words::min_version("min_version", text))?.or(base.min_version),
            min_group: word(row, Column::MinGroup, |text| words::min_group("min_group", text))?.or(base.min_group),
            lifetime: word(row, Column::Lifetime, |text| words::span("lifetime", text))?.or(base.lifetime),
            on_expiry: word(row, Column::OnExpiry, |text| words::on_expiry("on_expiry", text))?.or(base.on_expiry),
            on_failure: word(row, Column::OnFailure, |text| words::on_failure("on_failure", text))?.or(base.on_failure),
            ..base
        };
        check_companions(&asked).map_err(|problem| (Column::Deliver, problem))?;
        Ok(asked)
    }

    fn extra(&self, row: &Row<'_, '_>) -> Result<Option<Arc<Extra>>, Wrong> {
        let exclude = NameSet::new(&list(row, Column::Exclude, pattern)?.unwrap_or_default());
        let ends = match list(row, Column::For, read_end)? {
            Some(ends) => Some(self.ends(ends)?),
            None => None,
        };
        let testing = word(row, Column::Mode, |text| words::mode("mode", text))?.unwrap_or(self.list.testing);
        let until = word(row, Column::Until, words::until)?.or(self.list.until);
        let plain = exclude.is_none() && ends.is_none() && !testing && until.is_none();
        Ok((!plain).then(|| Arc::new(Extra { exclude, ends, testing, until, ..Extra::default() })))
    }

    fn ends(&self, ends: Vec<End>) -> Result<crate::layer::Ends, Wrong> {
        let written = ends.into_iter().map(|value| Written { offset: 0, value }).collect();
        self.names.find_ends(written).map_err(|(_, problem)| (Column::For, problem))
    }
}

fn word<T>(row: &Row<'_, '_>, column: Column, read: impl Fn(&str) -> Result<T, Problem>) -> Result<Option<T>, Wrong> {
    row.cell(column).map(|text| read(text).map_err(|problem| (column, problem))).transpose()
}

fn list<T>(row: &Row<'_, '_>, column: Column, read: impl Fn(&str) -> Result<T, Problem>) -> Result<Option<Vec<T>>, Wrong> {
    let Some(text) = row.cell(column) else { return Ok(None) };
    items_of(text).map(read).collect::<Result<_, _>>().map(Some).map_err(|problem| (column, problem))
}

/// The columns that make rows alike.
const SHARED: [Column; 17] = [
    Column::Subdomains,
    Column::Exclude,
    Column::For,
    Column::Receive,
    Column::Deliver,
    Column::Match,
    Column::Names,
    Column::Pins,
    Column::Anchors,
    Column::MinVersion,
    Column::MinGroup,
    Column::Lifetime,
    Column::OnExpiry,
    Column::OnFailure,
    Column::Mode,
    Column::Until,
    Column::Reason,
];
