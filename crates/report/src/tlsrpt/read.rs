//! Reports of others: JSON, gzip, or a whole mail with one attached.

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _};

use super::gzip::{GzipError, unpack};
use super::report::TlsReport;
use crate::render::Visible;

/// Why something is no report that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportReadError {
    /// There is nothing.
    #[error("it is empty; a report is meant: JSON, gzip, or a mail with one attached")]
    Empty,
    /// It is larger than a report is.
    #[error("it has more than {limit} octets, which no report needs")]
    TooLarge {
        /// What is taken.
        limit: usize,
    },
    /// It begins as gzip does, and cannot be unpacked.
    #[error(transparent)]
    Gzip(#[from] GzipError),
    /// The JSON is not that of a report.
    #[error("{}: line {line}, column {column}: {}", Visible(place(path)), Visible(problem))]
    Json {
        /// Where in the report: `policies[0].summary`.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What was found, and what is meant.
        problem: String,
    },
    /// It is neither JSON nor gzip nor a mail.
    #[error("it begins with {found:?}, and is neither JSON nor gzip nor a mail")]
    Unknown {
        /// Its beginning.
        found: String,
    },
    /// A mail without a report.
    #[error("the mail has no report attached; application/tlsrpt+gzip or application/tlsrpt+json is meant, and it has {}", found.join(", ").escape_debug())]
    NoReport {
        /// What its parts are.
        found: Vec<String>,
    },
}

/// The report that these octets are, packed or not, or that the mail has attached which they are.
///
/// # Limits
/// [`REPORT_OCTETS`], packed and unpacked.
///
/// # Errors
/// [`ReportReadError`] says what was found, where, and what is meant.
pub fn read_report(octets: &[u8]) -> Result<TlsReport, ReportReadError> {
    if octets.len() > REPORT_OCTETS {
        return Err(ReportReadError::TooLarge { limit: REPORT_OCTETS });
    }
    match octets.trim_ascii_start() {
        [] => Err(ReportReadError::Empty),
        [b'{' | b'[', ..] => of_json(octets),
        [0x1f, 0x8b, ..] => of_json(&unpack(octets, REPORT_OCTETS)?),
        _ => of_mail(octets),
    }
}

fn of_json(octets: &[u8]) -> Result<TlsReport, ReportReadError> {
    let mut json = serde_json::Deserializer::from_slice(octets);
    let wrong = |path: String, error: &serde_json::Error| {
        // The place is told apart from the problem.
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or_default().to_owned();
        ReportReadError::Json { path, line: error.line(), column: error.column(), problem }
    };
    let report = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| wrong(String::new(), &error))?;
    Ok(report)
}

fn of_mail(octets: &[u8]) -> Result<TlsReport, ReportReadError> {
    let message = begins_with_a_field(octets).then(|| MessageParser::default().parse(octets)).flatten();
    let Some(message) = message.filter(|message| !message.headers().is_empty()) else {
        return Err(ReportReadError::Unknown { found: beginning(octets) });
    };
    let Some(part) = attached(&message) else {
        return Err(ReportReadError::NoReport { found: message.parts.iter().map(kind).take(PARTS_SHOWN).collect() });
    };
    match part.contents() {
        packed @ [0x1f, 0x8b, ..] => of_json(&unpack(packed, REPORT_OCTETS)?),
        plain => of_json(plain),
    }
}

/// Whether these are the octets of a mail: a field such as `Received: ...` comes first (RFC 5322 section 2.2), or the line of a mailbox.
fn begins_with_a_field(octets: &[u8]) -> bool {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    line.starts_with(b"From ") || (name.len() < line.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
}

/// The part that is a report: by its type, else by the end of its name.
fn attached<'m>(message: &'m Message<'_>) -> Option<&'m MessagePart<'m>> {
    let named = |part: &&MessagePart<'_>| {
        let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
        [".json.gz", ".json"].iter().any(|end| name.ends_with(end))
    };
    let by_type = message.parts.iter().find(|part| kind(part).starts_with("application/tlsrpt+"));
    by_type.or_else(|| message.parts.iter().find(named))
}

fn kind(part: &MessagePart<'_>) -> String {
    let kind = part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("?")));
    kind.unwrap_or_else(|| "text/plain".to_owned()).to_ascii_lowercase()
}

/// Where in a report, for people.
fn place(path: &str) -> &str {
    if matches!(path, "" | "." | "?") { "the report" } else { path }
}

fn beginning(octets: &[u8]) -> String {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line.get(..SHOWN).unwrap_or(line)).trim_end().to_owned()
}

/// Octets of a report, packed and unpacked. A day of ten thousand kinds of failures has some 3 MiB.
pub const REPORT_OCTETS: usize = 16 << 20;

/// Octets of what is no report that an error shows.
const SHOWN: usize = 40;

/// Parts of a mail that an error names.
const PARTS_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::tlsrpt::pack;

    const REPORT: &str = r#"{"organization-name":"Google Inc.","date-range":{"start-datetime":"2026-11-25T00:00:00Z",
        "end-datetime":"2026-11-25T23:59:59Z"},"contact-info":"smtp-tls-reporting@google.com","report-id":"2026-11-25T00:00:00Z_bank.example",
        "policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce"],"policy-domain":"bank.example",
        "mx-host":["mx.bank.example"]},"summary":{"total-successful-session-count":3,"total-failure-session-count":0}}]}"#;

    fn mail(kind: &str, name: &str, content: &[u8]) -> Vec<u8> {
        format!(
            "From: <a@google.com>\r\nSubject: Report Domain: bank.example\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=tlsrpt; boundary=xx\r\n\r\n--xx\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
             --xx\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n{}\r\n--xx--\r\n",
            STANDARD.encode(content)
        )
        .into_bytes()
    }

    // req: E3
    #[test]
    fn a_report_is_read_in_whatever_it_is_wrapped() {
        let expected = read_report(REPORT.as_bytes()).unwrap();
        assert_eq!(expected.policies[0].summary.total_successful_session_count, 3);
        let packed = pack(REPORT.as_bytes());
        for octets in [
            packed.clone(),
            mail("application/tlsrpt+gzip", "x", &packed),
            mail("application/tlsrpt+json", "x", REPORT.as_bytes()),
            mail("application/octet-stream", "google.com!bank.example!1!2!001.JSON.gz", &packed),
            [b"Received: x\n".as_slice(), &mail("application/gzip", "a.json.gz", &packed)].concat(),
        ] {
            assert_eq!(read_report(&octets).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_report_is_told_with_its_place() {
        let told = |octets: &[u8]| read_report(octets).unwrap_err().to_string();
        let changed = |from: &str, to: &str| {
            assert!(REPORT.contains(from));
            told(REPORT.replacen(from, to, 1).as_bytes())
        };
        for (text, words) in [
            (told(b"  \n"), "it is empty"),
            (told(b"{"), "the report: line 1, column 1: EOF while parsing"),
            (told(b"[]"), "the report: line 1, column 2: invalid length"),
            (told(b"{}"), "missing field `date-range`"),
            (changed("\"policies\"", "\"policy\""), "missing field `policies`"),
            (changed("count\":3", "count\":\"many\""), "policies[0].summary.total-successful-session-count: line 4, column"),
            (changed("2026-11-25T00:00:00Z\",", "today\","), "date-range.start-datetime: line 1"),
            (changed("2026-11-25T00:00:00Z\",", "today\","), "\"today\" is no time; one such as"),
            (told(&[REPORT.as_bytes(), b"{}"].concat()), "trailing characters"),
            (told(&pack(b"x")[..8]), "cannot be unpacked"),
            // A key may hold what a terminal would obey: JSON lets DEL stand as it is.
            (told(b"{\"x\x7fy\":{\"a:\"1\""), "x\\u{7f}y: line 1, column"),
            (told(b"hello"), "it begins with \"hello\", and is neither"),
            (told(&mail("image/png", "x.png", b"x")), "and it has multipart/report, text/plain, image/png"),
            (told(&pack(&vec![b' '; REPORT_OCTETS + 1])), "unpacks to more than 16777216 octets"),
            (told(&vec![b'{'; REPORT_OCTETS + 1]), "more than 16777216 octets"),
        ] {
            assert!(text.contains(words), "no {words:?} in {text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0..900_usize, wrapped in 0..4) {
            let mut text = match wrapped {
                0 => octets.clone(),
                1 => REPORT.as_bytes().to_vec(),
                2 => pack(REPORT.as_bytes()),
                _ => mail("application/tlsrpt+gzip", "x", &pack(REPORT.as_bytes())),
            };
            let at = at.min(text.len());
            let end = (at + octets.len() / 4).min(text.len());
            text.splice(at..end, octets.iter().copied().take(4));
            if let Ok(report) = read_report(&text) {
                // What was read is what is written.
                prop_assert_eq!(read_report(&report.to_json()).unwrap(), report.clone());
                prop_assert!(!report.to_text().is_empty());
            }
        }
    }
}
