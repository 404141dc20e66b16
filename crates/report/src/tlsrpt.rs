//! Reports about TLS that mail systems send each other (RFC 8460): what is counted, written, signed and read.
//!
//! ```text
//! Observation ─ Tally (in memory) ─ Book (a database) ─ TlsReport ─ pack ─┬─ HTTPS: the caller's part
//!                                                                         └─ ReportMail ─ DkimSigner ─ mail
//! a file, a mail, a gzip ── read_report ── TlsReport ── TlsReport::to_text
//! ```

mod book;
mod dkim;
mod gzip;
mod mail;
mod read;
mod record;
mod report;
mod tally;
mod text;

pub use book::{Book, BookError, BookReader, Counted, FAILURES_COUNTED, POLICIES_COUNTED, Sending, SendingState, Sessions};
pub use dkim::{DkimKeyError, DkimSigner};
pub use gzip::{GzipError, pack, unpack};
pub use mail::ReportMail;
pub use read::{REPORT_OCTETS, ReportReadError, read_report};
pub use record::{RUA_COUNT, ReportAddress, TlsrptRecord, TlsrptRecordError};
pub use report::{DateRange, FailureDetails, PolicyReport, PolicyType, ReportedPolicy, ResultType, Summary, TlsReport};
pub use tally::{Day, Failure, Observation, TALLY_ROWS, Tally};
