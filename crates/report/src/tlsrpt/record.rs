//! What a domain publishes at `_smtp._tls`: where reports about it go.

use std::fmt::{self, Write as _};

use sealpost_types::{Domain, Mailbox};

/// Where a domain wants reports to go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsrptRecord {
    /// At least one, in the order of the record; at most [`RUA_COUNT`].
    pub addresses: Vec<ReportAddress>,
}

/// One place where reports go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportAddress {
    /// By mail.
    Mail(Mailbox),
    /// By POST to this address, `https://...`.
    Https(String),
}

/// Why a domain counts as one that wants no reports, although it publishes something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsrptRecordError {
    /// Several records; none of them counts then.
    #[error("{found} TXT records begin with v=TLSRPTv1; exactly one is meant")]
    Several {
        /// How many.
        found: usize,
    },
    /// Something that is no field.
    #[error("{field:?} is no field of a TLSRPT record; NAME=VALUE is meant")]
    Field {
        /// What stands there.
        field: String,
    },
    /// No address that can be used.
    #[error("the TLSRPT record names no address that can be used; rua=mailto:ADDRESS or rua=https://... is meant")]
    NoAddress,
}

impl TlsrptRecord {
    /// The name that a domain's record stands under: `_smtp._tls.DOMAIN`; nothing if that would be too long for a name.
    #[must_use]
    pub fn name(domain: &Domain) -> Option<Domain> {
        Domain::parse(&format!("_smtp._tls.{domain}")).ok()
    }

    /// What the TXT records of that name say, each with its strings joined; nothing where none of them is a TLSRPT record. Fields and
    /// schemes that are not known are passed over.
    ///
    /// # Wire
    /// RFC 8460 section 3.
    ///
    /// # Errors
    /// [`TlsrptRecordError`]: then the domain counts as one that wants no reports.
    pub fn of_texts<T: AsRef<[u8]>>(texts: &[T]) -> Result<Option<Self>, TlsrptRecordError> {
        let mut fields = texts.iter().filter_map(|text| fields_of(std::str::from_utf8(text.as_ref()).ok()?));
        let Some(first) = fields.next() else { return Ok(None) };
        let others = fields.count();
        if others > 0 {
            return Err(TlsrptRecordError::Several { found: others + 1 });
        }
        let mut addresses = Vec::new();
        for field in first.split(';').map(|field| field.trim_matches(BLANK)) {
            if field.is_empty() {
                continue;
            }
            let wrong = || TlsrptRecordError::Field { field: field.chars().take(SHOWN).collect() };
            let (name, value) = field.split_once('=').ok_or_else(wrong)?;
            if name == "rua" {
                addresses.extend(value.split(',').filter_map(|uri| ReportAddress::of_uri(uri.trim_matches(BLANK))));
            }
        }
        addresses.truncate(RUA_COUNT);
        if addresses.is_empty() { Err(TlsrptRecordError::NoAddress) } else { Ok(Some(Self { addresses })) }
    }
}

impl ReportAddress {
    /// The place that a URI means, if it is one of the two schemes and can be used.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        if scheme.eq_ignore_ascii_case("mailto") {
            // What a mail would say beside its recipient is not ours to say.
            let address = rest.split('?').next().unwrap_or_default();
            return Mailbox::parse(&percent_decoded(address)?).ok().map(Self::Mail);
        }
        let is_whole = uri.len() <= URI_OCTETS && rest.len() > "//".len() && rest.starts_with("//");
        let is_plain = uri.bytes().all(|octet| octet.is_ascii_graphic());
        (scheme.eq_ignore_ascii_case("https") && is_whole && is_plain).then(|| Self::Https(format!("https:{rest}")))
    }
}

/// As a URI.
impl fmt::Display for ReportAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(mailbox) => {
                f.write_str("mailto:")?;
                mailbox.to_string().bytes().try_for_each(|octet| match octet {
                    b'%' | b'?' | b',' | b';' | b'!' => write!(f, "%{octet:02X}"),
                    b'!'..=b'~' => f.write_char(char::from(octet)),
                    _ => write!(f, "%{octet:02X}"),
                })
            }
            Self::Https(url) => f.write_str(url),
        }
    }
}

/// What stands behind the version of a TLSRPT record; nothing for other records.
fn fields_of(text: &str) -> Option<&str> {
    text.strip_prefix("v=TLSRPTv1")?.trim_start_matches(BLANK).strip_prefix(';')
}

/// RFC 3986 section 2.1; nothing where an octet is not written as it must be, or no text comes of it.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        octets.push((digit()? << 4) | digit()?);
    }
    String::from_utf8(octets).ok()
}

/// Places that reports about one domain go to.
pub const RUA_COUNT: usize = 8;

/// What may stand around the delimiters.
const BLANK: [char; 2] = [' ', '\t'];

/// Characters of a wrong field that an error shows.
const SHOWN: usize = 60;

/// Octets of an address over HTTPS.
const URI_OCTETS: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(texts: &[&str]) -> String {
        match TlsrptRecord::of_texts(texts) {
            Ok(None) => "none".to_owned(),
            Ok(Some(record)) => record.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rfc8460_3_records_are_read() {
        for (texts, expected) in [
            (&["v=TLSRPTv1; rua=mailto:reports@example.com"][..], "mailto:reports@example.com"),
            (&["v=TLSRPTv1;rua=https://reporting.example.com/v1/tlsrpt"], "https://reporting.example.com/v1/tlsrpt"),
            (&["v=TLSRPTv1 ; rua=mailto:a@example.com , HTTPS://b.example/x;"], "mailto:a@example.com https://b.example/x"),
            (&["v=TLSRPTv1; x-new=1; rua=mailto:a%2Bb@example.com?subject=x"], "mailto:a+b@example.com"),
            (&["v=TLSRPTv1; rua=ftp://b.example/x,mailto:a@example.com"], "mailto:a@example.com"),
            (&["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com"], "mailto:a@example.com"),
            (
                &["v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"],
                "2 TXT records begin with v=TLSRPTv1; exactly one is meant",
            ),
            (&["v=spf1 -all", "v=TLSRPTv12; rua=mailto:a@example.com", "v=TLSRPTv1", "V=TLSRPTv1; rua=mailto:a@example.com"], "none"),
            (&[], "none"),
        ] {
            assert_eq!(read(texts), expected, "{texts:?}");
        }
        for (text, words) in [
            ("v=TLSRPTv1;", "names no address"),
            ("v=TLSRPTv1; rua=", "names no address"),
            ("v=TLSRPTv1; rua=mailto:%zz@example.com", "names no address"),
            ("v=TLSRPTv1; rua=http://b.example/x", "names no address"),
            ("v=TLSRPTv1; rua=https://", "names no address"),
            ("v=TLSRPTv1; rua mailto:a@example.com", "\"rua mailto:a@example.com\" is no field"),
        ] {
            assert!(read(&[text]).contains(words), "{text}: {}", read(&[text]));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_wild(text in "(v=TLSRPTv1; ?)?(rua=(mailto:|https://)?)?[ -~\u{e9}%,;=!]{0,80}") {
            if let Ok(Some(record)) = TlsrptRecord::of_texts(&[text]) {
                prop_assert!((1..=RUA_COUNT).contains(&record.addresses.len()));
                for address in record.addresses {
                    prop_assert_eq!(ReportAddress::of_uri(&address.to_string()), Some(address));
                }
            }
        }
    }
}
