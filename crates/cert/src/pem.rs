//! PEM files: the text form in which certificates are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a file is not a list of PEM certificates. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// There is not one certificate in it.
    #[error("no certificate found: no line reads -----BEGIN CERTIFICATE-----{}", if *.der { " (this looks like DER; convert it to PEM)" } else { "" })]
    NoCertificate {
        /// Whether the octets look like a DER certificate instead.
        der: bool,
    },
    /// A block is begun and not ended.
    #[error("line {line}: the certificate begun here has no -----END CERTIFICATE----- line")]
    NoEnd {
        /// The line of `BEGIN`.
        line: usize,
    },
    /// A block starts inside another one.
    #[error("line {line}: a new block starts inside the certificate begun at line {begun}")]
    Nested {
        /// The line of the second `BEGIN`.
        line: usize,
        /// The line of the first.
        begun: usize,
    },
    /// The `END` line belongs to something else.
    #[error("line {line}: the certificate begun at line {begun} ends with the END line of something else")]
    OtherEnd {
        /// The line of `END`.
        line: usize,
        /// The line of `BEGIN`.
        begun: usize,
    },
    /// A character that base64 does not have.
    #[error("line {line}, column {column}: {found:?} is not base64")]
    Character {
        /// The line.
        line: usize,
        /// The column, in octets from 1.
        column: usize,
        /// What stands there.
        found: char,
    },
    /// Every character is right, but octets are missing or left over.
    #[error("line {line}: the base64 text of the certificate begun here is cut short or wrongly padded")]
    Length {
        /// The line of `BEGIN`.
        line: usize,
    },
}

/// The DER certificates of a PEM file, in order.
///
/// Text between the blocks and blocks of other kinds (private keys) are passed over.
///
/// # Wire
/// RFC 7468 sections 2 and 5; `X509 CERTIFICATE` is read as `CERTIFICATE`.
///
/// # Errors
/// A [`PemError`] with the line of the problem. A file without any certificate is one.
///
/// # Example
/// ```
/// # use sealpost_cert::{PemError, certificates_from_pem};
/// let file = b"-----BEGIN CERTIFICATE-----\nMIIB\n?\n-----END CERTIFICATE-----\n";
/// assert_eq!(certificates_from_pem(file), Err(PemError::Character { line: 3, column: 1, found: '?' }));
/// ```
pub fn certificates_from_pem(file: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    let certificates = blocks(file, &LABELS)?;
    if certificates.is_empty() {
        return Err(PemError::NoCertificate { der: file.starts_with(&[0x30, 0x82]) });
    }
    Ok(certificates)
}

/// The content of all blocks with one of these labels.
pub(crate) fn blocks(file: &[u8], labels: &[&[u8]]) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found = Vec::new();
    let mut block: Option<Block> = None;
    for (index, octets) in file.split(|&octet| octet == b'\n').enumerate() {
        let line = index + 1;
        let text = octets.trim_ascii();
        if let Some(label) = label(text, BEGIN) {
            if let Some(open) = block.as_ref().filter(|open| open.wanted) {
                return Err(PemError::Nested { line, begun: open.line });
            }
            block = Some(Block { line, wanted: labels.contains(&label), label: label.to_vec(), text: Vec::new() });
        } else if let Some(label) = label(text, END) {
            let Some(done) = block.take().filter(|open| open.wanted) else { continue };
            if done.label != label {
                return Err(PemError::OtherEnd { line, begun: done.line });
            }
            found.push(STANDARD.decode(&done.text).map_err(|_| PemError::Length { line: done.line })?);
        } else if let Some(open) = block.as_mut().filter(|open| open.wanted) {
            let is_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=' | b' ' | b'\t' | b'\r');
            if let Some(at) = octets.iter().position(|octet| !is_base64(octet)) {
                let found = octets.get(at..).map(String::from_utf8_lossy).and_then(|rest| rest.chars().next());
                return Err(PemError::Character { line, column: at + 1, found: found.unwrap_or(char::REPLACEMENT_CHARACTER) });
            }
            open.text.extend(text.iter().filter(|octet| !octet.is_ascii_whitespace()));
        }
    }
    if let Some(open) = block.filter(|open| open.wanted) {
        return Err(PemError::NoEnd { line: open.line });
    }
    Ok(found)
}

/// A block whose `END` is still to come.
struct Block {
    line: usize,
    wanted: bool,
    label: Vec<u8>,
    text: Vec<u8>,
}

fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const LABELS: [&[u8]; 2] = [b"CERTIFICATE", b"X509 CERTIFICATE"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_found_among_other_things() {
        let file = b"Bag Attributes\r\n-----BEGIN PRIVATE KEY-----\r\nMIIx?\r\n-----END PRIVATE KEY-----\r\n\
            subject=CN = x\r\n-----BEGIN CERTIFICATE-----\r\nAQID\r\nBA==\r\n-----END CERTIFICATE-----\r\n\
            # two\n-----BEGIN X509 CERTIFICATE-----\n BQY= \n-----END X509 CERTIFICATE-----";
        assert_eq!(certificates_from_pem(file), Ok(vec![vec![1, 2, 3, 4], vec![5, 6]]));
    }

    #[test]
    fn the_line_of_a_problem_is_named() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let end = "-----END CERTIFICATE-----\n";
        for (file, error) in [
            (String::new(), PemError::NoCertificate { der: false }),
            ("0\u{2}".to_owned(), PemError::NoCertificate { der: false }),
            (format!("\n{begin}AQID\n"), PemError::NoEnd { line: 2 }),
            (format!("{begin}AQID\n{begin}"), PemError::Nested { line: 3, begun: 1 }),
            (format!("{begin}AQID\n-----END PRIVATE KEY-----\n"), PemError::OtherEnd { line: 3, begun: 1 }),
            (format!("{begin}AQID\nAQ\u{e4}D\n{end}"), PemError::Character { line: 3, column: 3, found: '\u{e4}' }),
            (format!("{begin}AQI\n{end}"), PemError::Length { line: 1 }),
            (format!("{begin}A=ID\n{end}"), PemError::Length { line: 1 }),
        ] {
            assert_eq!(certificates_from_pem(file.as_bytes()), Err(error), "{file:?}");
        }
        assert_eq!(certificates_from_pem(&[0x30, 0x82, 1, 2]), Err(PemError::NoCertificate { der: true }));
    }
}
