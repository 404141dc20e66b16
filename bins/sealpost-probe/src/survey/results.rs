//! The file that results are kept in as they come, so that a survey that was broken off can go on.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::row::Row;

/// A results file that is written to. No other survey writes to it meanwhile.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
    path: PathBuf,
}

impl Results {
    /// A new file. One that is there already is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let opened = OpenOptions::new().append(true).create_new(true).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("--output: {} is there already; --resume goes on with it", path.display()),
            _ => format!("--output: cannot write {}: {error}", path.display()),
        })?;
        Self { file, path: path.to_owned() }.locked()
    }

    /// The file of a survey that was broken off, and what is in it; a new one, if it had not begun. A last line that was not written to
    /// its end is taken out.
    pub(crate) fn resume(path: &Path) -> Result<(Self, Vec<Row>), String> {
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = opened.map_err(|error| format!("--output: cannot open {}: {error}", path.display()))?;
        let mut results = Self { file, path: path.to_owned() }.locked()?;
        let rows = results.mend().map_err(|error| format!("--output: cannot read {}: {error}", path.display()))??;
        Ok((results, rows))
    }

    /// Keeps one result: a whole line in one write, so that an end at any moment leaves whole lines.
    pub(crate) fn add(&mut self, line: &str) -> Result<(), String> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| format!("--output: cannot write {}: {error}", self.path.display()))
    }

    /// Sees to it that the results outlive the machine.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.file.sync_all().map_err(|error| format!("--output: cannot write {}: {error}", self.path.display()))
    }

    fn locked(self) -> Result<Self, String> {
        match self.file.try_lock() {
            Ok(()) => Ok(self),
            Err(TryLockError::WouldBlock) => Err(format!("--output: another survey is writing {}", self.path.display())),
            // A file system without locks is no reason not to write.
            Err(TryLockError::Error(_)) => Ok(self),
        }
    }

    fn mend(&mut self) -> io::Result<Result<Vec<Row>, String>> {
        let mut octets = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut octets)?;
        let whole = octets.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let (lines, torn) = octets.split_at(whole);
        if !torn.is_empty() {
            // Its line end may be all that is missing.
            if Row::parse(torn).is_ok() {
                self.file.write_all(b"\n")?;
            } else {
                self.file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            }
        }
        let rest = if Row::parse(torn).is_ok() { torn } else { &[] };
        Ok(rows_of(&self.path.display().to_string(), &[lines, rest].concat()))
    }
}

/// The results in these lines, of each domain the last one.
pub(crate) fn rows_of(name: &str, octets: &[u8]) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (number, line) in octets.split(|octet| *octet == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = Row::parse(line).map_err(|error| format!("{name}:{}: no result of `survey` or `test --json`: {error}", number + 1))?;
        match places.get(&row.domain).and_then(|place: &usize| rows.get_mut(*place)) {
            Some(before) => *before = row,
            None => {
                places.insert(row.domain.clone(), rows.len());
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(domain: &str, result: &str) -> String {
        format!(r#"{{"domain":"{domain}","result":"{result}"}}"#)
    }

    #[test]
    fn a_torn_last_line_is_taken_out_and_one_without_its_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let whole = format!("{}\n{}\n", line("a.example", "passes"), line("b.example", "fails"));
        for (torn, kept) in [("", 2), (r#"{"domain":"c.exam"#, 2), (&line("c.example", "passes"), 3)] {
            std::fs::write(&path, format!("{whole}{torn}")).unwrap();
            let (mut results, rows) = Results::resume(&path).unwrap();
            assert_eq!(rows.len(), kept, "{torn}");
            results.add(&line("d.example", "passes")).unwrap();
            drop(results);
            let text = std::fs::read(&path).unwrap();
            assert_eq!(rows_of("out", &text).unwrap().len(), kept + 1, "{torn}: {}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn of_each_domain_the_last_result_counts_and_a_line_that_is_none_is_named() {
        let text = [line("a.example", "could not be tested"), line("b.example", "fails"), line("a.example", "passes")].join("\n");
        let rows = rows_of("out", text.as_bytes()).unwrap();
        assert_eq!((rows.len(), rows[0].result.as_str()), (2, "passes"));
        let error = rows_of("out", format!("{text}\nnonsense\n{}", line("c.example", "fails")).as_bytes()).unwrap_err();
        assert!(error.starts_with("out:4: "), "{error}");
    }

    #[test]
    fn two_surveys_do_not_write_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let first = Results::create(&path).unwrap();
        assert!(Results::create(&path).unwrap_err().contains("--resume"));
        assert!(Results::resume(&path).unwrap_err().contains("another survey"));
        drop(first);
        Results::resume(&path).unwrap();
    }
}
