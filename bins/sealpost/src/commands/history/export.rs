//! `sealpost history export`: what an auditor is given.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use sealpost_admin::{HistoryEntry, HistoryQuery};
use sealpost_report::Clock;
use serde_json::Value;

use super::source::Source;
use super::{PAGE, at, wanted};
use crate::cli::{self, ExportFormat};
use crate::commands::{Failure, now};

/// Writes all entries of a domain and a period, the oldest first. Where some cannot be read it fails, behind the others.
pub(super) fn export(options: &cli::HistoryExport) -> Result<ExitCode, Failure> {
    let Some(mut source) = Source::open(&options.config)? else { return Ok(ExitCode::FAILURE) };
    let mut query = HistoryQuery::default();
    wanted(&mut query, &options.wanted);
    query.domain = Some(options.domain.clone());
    query.since = Some(at(&options.since)?);
    // What comes in meanwhile is not waited for.
    query.until = Some(query.until.as_deref().map_or_else(|| Ok(Clock::Utc.iso(now())), at)?);
    (query.limit, query.oldest_first) = (Some(PAGE), true);

    let target = options.output.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    let failed = |error: std::io::Error| format!("cannot write {target}: {error}");
    let out: Box<dyn Write> = match &options.output {
        Some(path) => Box::new(File::create(path).map_err(failed)?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut sheet = Sheet { format: options.format, out: BufWriter::new(out), count: 0 };
    sheet.begin(&query).map_err(failed)?;
    let mut is_whole = true;
    loop {
        let page = source.page(&query)?;
        is_whole &= page.unreadable.is_empty();
        page.entries.iter().try_for_each(|entry| sheet.add(entry)).map_err(failed)?;
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    sheet.end().map_err(failed)?;
    if options.output.is_some() {
        eprintln!("{target}: {} entries", sheet.count);
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Sheet<W: Write> {
    format: ExportFormat,
    out: W,
    count: usize,
}

impl<W: Write> Sheet<W> {
    fn begin(&mut self, query: &HistoryQuery) -> std::io::Result<()> {
        match self.format {
            ExportFormat::Csv => self.record(COLUMNS.map(|(name, _)| name.to_owned())),
            ExportFormat::Json => {
                let text = |text: &Option<String>| Value::from(text.clone());
                write!(
                    self.out,
                    "{{\"domain\":{},\"since\":{},\"until\":{},\"event\":{},\"result\":{},\"sender\":{},\"entries\":[",
                    text(&query.domain),
                    text(&query.since),
                    text(&query.until),
                    text(&query.event),
                    text(&query.result),
                    text(&query.sender)
                )
            }
        }
    }

    fn add(&mut self, entry: &HistoryEntry) -> std::io::Result<()> {
        self.count += 1;
        match self.format {
            ExportFormat::Csv => {
                let entry: Value = serde_json::from_str(entry.entry.get())?;
                self.record(COLUMNS.map(|(name, pointer)| cell(entry.pointer(pointer), if name == PATH { " < " } else { "; " })))
            }
            ExportFormat::Json => write!(self.out, "{}\n{}", if self.count > 1 { "," } else { "" }, entry.entry.get()),
        }
    }

    fn end(&mut self) -> std::io::Result<()> {
        if self.format == ExportFormat::Json {
            writeln!(self.out, "\n]}}")?;
        }
        self.out.flush()
    }

    /// RFC 4180.
    fn record<const N: usize>(&mut self, cells: [String; N]) -> std::io::Result<()> {
        let quoted =
            cells.map(|cell| if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell });
        write!(self.out, "{}\r\n", quoted.join(","))
    }
}

/// A value as text. One that a spreadsheet would take for a formula gets an apostrophe in front: much of it comes from outside.
fn cell(value: Option<&Value>, between: &str) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| part.as_str().unwrap_or_default()).collect::<Vec<_>>().join(between),
        Some(other) => return other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// The column whose parts lead from one to the next.
const PATH: &str = "validation_path";

/// The columns, and where in an entry they stand: all that `--format json` has. New ones come behind the others.
const COLUMNS: [(&str, &str); 58] = [
    ("time", "/at"),
    ("event", "/kind"),
    ("title", "/title"),
    ("hop", "/hop"),
    ("result", "/result"),
    ("queue_id", "/queue_id"),
    ("sender", "/sender"),
    ("recipient", "/recipient"),
    ("host", "/host"),
    ("address", "/address"),
    ("attempts", "/attempts"),
    ("reason", "/reason"),
    ("reply", "/reply"),
    ("level", "/level"),
    ("demanded_by", "/source"),
    ("trace", "/trace"),
    ("tls_version", "/proof/tls/version"),
    ("cipher_suite", "/proof/tls/cipher"),
    ("key_exchange", "/proof/tls/group"),
    ("post_quantum", "/proof/tls/post_quantum"),
    ("resumed", "/proof/tls/resumed"),
    ("certificate_subject", "/proof/subject"),
    ("spki_pin", "/proof/spki_pin"),
    ("validation_path", "/proof/validation_path"),
    ("demand", "/proof/demand"),
    ("demand_met", "/proof/satisfied"),
    ("no_tls", "/proof/no_tls"),
    ("findings", "/proof/findings"),
    ("size", "/size"),
    ("next_attempt", "/next_attempt"),
    ("login", "/proof/login"),
    ("client_names", "/proof/client_names"),
    ("certificate_names", "/proof/names"),
    ("certificate_shown", "/proof/shown"),
    ("sender_domain", "/sender_domain"),
    ("recipient_domain", "/recipient_domain"),
    ("received_over_tls", "/received_secure"),
    ("level_header", "/level_header"),
    ("next_hop", "/next_hop"),
    ("changed_by", "/by"),
    ("changed_file", "/file"),
    ("trust_anchors", "/proof/anchors"),
    ("small_hello", "/proof/small_hello"),
    ("host_known_for_sure", "/proof/host_secure"),
    ("insecure_name", "/proof/insecure_name"),
    ("requiretls", "/proof/require_tls"),
    ("tlsa_base", "/proof/dane/base"),
    ("tlsa_records", "/proof/dane/records"),
    ("tlsa_usable", "/proof/dane/usable"),
    ("tlsa_matched", "/proof/dane/matched"),
    ("sts_mode", "/proof/sts/mode"),
    ("sts_policy", "/proof/sts/id"),
    ("sts_lack", "/proof/sts/lack"),
    ("sts_trouble", "/proof/sts/trouble"),
    ("testing_level", "/shadow/level"),
    ("testing_outcome", "/shadow/outcome"),
    ("testing_reason", "/shadow/reason"),
    ("more_like_it", "/more"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sealpost_report::JSON_FIELDS;

    use super::*;

    /// What requirement F6 names, and all else that an entry has: an auditor gets the same in either form.
    // req: F6
    #[test]
    fn both_forms_have_the_same_fields() {
        let columns: BTreeSet<_> = COLUMNS.iter().map(|(_, pointer)| *pointer).collect();
        assert_eq!(columns, JSON_FIELDS.into_iter().collect());
        assert_eq!(columns.len(), COLUMNS.len(), "none stands twice");
        for named in
            ["tls/version", "tls/cipher", "tls/group", "tls/post_quantum", "subject", "spki_pin", "validation_path", "demand", "satisfied"]
        {
            assert!(columns.contains(format!("/proof/{named}").as_str()), "{named}");
        }
    }

    #[test]
    fn a_cell_is_no_formula_and_stays_in_its_place() {
        let of_text = |text: &str| cell(Some(&text.into()), "; ");
        assert_eq!(of_text("=1+2"), "'=1+2");
        assert_eq!(of_text("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(of_text("mx.example"), "mx.example");
        assert_eq!(cell(Some(&true.into()), "; "), "true");
        assert_eq!(cell(Some(&serde_json::json!(["CN=a", "CN=b"])), " < "), "CN=a < CN=b");
        let mut sheet = Sheet { format: ExportFormat::Csv, out: Vec::new(), count: 0 };
        sheet.record(["a,b".into(), "say \"x\"".into(), "1\r\n2".into(), "plain".into()]).unwrap();
        assert_eq!(String::from_utf8(sheet.out).unwrap(), "\"a,b\",\"say \"\"x\"\"\",\"1\r\n2\",plain\r\n");
    }
}
