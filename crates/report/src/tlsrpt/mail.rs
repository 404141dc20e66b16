//! A report as a mail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_types::{Domain, Mailbox, UnixMillis};

use super::report::{DateRange, TlsReport};
use crate::dsn::encode::field;
use crate::time::rfc5322;

/// A report as a mail, before it is signed.
///
/// # Wire
/// RFC 8460 sections 5.1 and 5.3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportMail {
    /// Who sends it; the domain is the one that signs.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Mailbox,
    /// Whom it is about.
    pub domain: Domain,
    /// The relay that counted.
    pub submitter: Domain,
    /// When it is written.
    pub at: UnixMillis,
}

impl ReportMail {
    /// A mail of its parts.
    #[must_use]
    pub fn new(from: Mailbox, to: Mailbox, domain: Domain, submitter: Domain, at: UnixMillis) -> Self {
        Self { from, to, domain, submitter, at }
    }

    /// The mail, with `packed`, the report as gzip, attached.
    #[must_use]
    pub fn to_bytes(&self, report: &TlsReport, packed: &[u8]) -> Vec<u8> {
        let Self { from, to, domain, submitter, at } = self;
        let id = &report.report_id;
        let boundary = format!("=_{}", plain(id));
        let mut out = Vec::with_capacity(packed.len() * 4 / 3 + 2048);
        field(&mut out, "Date", &rfc5322(*at));
        field(&mut out, "From", &format!("<{from}>"));
        field(&mut out, "To", &format!("<{to}>"));
        field(&mut out, "Subject", &format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>"));
        field(&mut out, "Message-ID", &format!("<{}.{}@{submitter}>", plain(id), at.0.max(0)));
        field(&mut out, "TLS-Report-Domain", domain.as_str());
        field(&mut out, "TLS-Report-Submitter", submitter.as_str());
        // RFC 8689 section 3: the report must arrive even if TLS is what is wrong.
        field(&mut out, "TLS-Required", "No");
        field(&mut out, "Auto-Submitted", "auto-generated");
        field(&mut out, "MIME-Version", "1.0");
        field(&mut out, "Content-Type", &format!("multipart/report; report-type=\"tlsrpt\"; boundary=\"{boundary}\""));
        out.extend_from_slice(format!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n").as_bytes());
        for line in [
            format!("This is an aggregate TLS report from {submitter}"),
            format!("about mail to {domain} on {}.", crate::tlsrpt::Day::of(report.date_range.start_datetime)),
            "The attached file says what came of TLS, as RFC 8460 has it.".to_owned(),
        ] {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        field(&mut out, "Content-Type", "application/tlsrpt+gzip");
        field(&mut out, "Content-Transfer-Encoding", "base64");
        field(&mut out, "Content-Disposition", &format!("attachment; filename=\"{}\"", self.file_name(report.date_range)));
        out.extend_from_slice(b"\r\n");
        for line in STANDARD.encode(packed).as_bytes().chunks(BASE64_COLUMNS) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    /// `sender!domain!begin!end.json.gz`.
    ///
    /// # Wire
    /// RFC 8460 section 5.1.
    #[must_use]
    pub fn file_name(&self, range: DateRange) -> String {
        let sender = self.from.domain().unwrap_or(&self.submitter);
        let seconds = |at: UnixMillis| at.0.div_euclid(1000);
        format!("{sender}!{}!{}!{}.json.gz", self.domain, seconds(range.start_datetime), seconds(range.end_datetime))
    }
}

/// An id as far as it fits into a boundary and a message id.
fn plain(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(60).collect()
}

/// RFC 2045 section 6.8.
const BASE64_COLUMNS: usize = 76;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlsrpt::{Day, pack, read_report};

    // req: E3
    #[test]
    fn rfc8460_5_3_a_report_as_a_mail() {
        let day: Day = "2026-11-26".parse().unwrap();
        let report =
            TlsReport::new("Relay", "mailto:a@relay.example", "2026-11-26.ab12@relay.example", (day.start(), day.last_second()), vec![]);
        let parse = |text: &str| Mailbox::parse(text).unwrap();
        let domain = |text: &str| Domain::parse(text).unwrap();
        let to = parse("reports@bank.example");
        let mail = ReportMail::new(
            parse("tls@relay.example"),
            to,
            domain("bank.example"),
            domain("mx.relay.example"),
            UnixMillis(1_795_700_000_000),
        );
        let text = String::from_utf8(mail.to_bytes(&report, &pack(&report.to_json()))).unwrap();
        for line in [
            "From: <tls@relay.example>",
            "To: <reports@bank.example>",
            "TLS-Report-Domain: bank.example",
            "TLS-Report-Submitter: mx.relay.example",
            "TLS-Required: No",
            "Content-Type: application/tlsrpt+gzip",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "no {line:?} in\n{text}");
        }
        let unfolded = text.replace("\r\n ", " ");
        assert!(
            unfolded.contains(
                "Subject: Report Domain: bank.example Submitter: mx.relay.example Report-ID: <2026-11-26.ab12@relay.example>\r\n"
            )
        );
        assert!(unfolded.contains("Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary="));
        assert!(unfolded.contains("filename=\"relay.example!bank.example!1795651200!1795737599.json.gz\""), "{unfolded}");
        assert_eq!(read_report(text.as_bytes()).unwrap(), report);
    }
}
