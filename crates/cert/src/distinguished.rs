//! Distinguished names and other text of a certificate, made safe to print.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::algorithm::{dotted, same_oid};

/// `C=DE, O="Example, Inc.", CN=mx.example`, in the order of the certificate and with OpenSSL's short names.
pub(crate) fn text(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for rdn in name.iter_rdn() {
        for (at, attribute) in rdn.iter().enumerate() {
            let separator = if out.is_empty() {
                ""
            } else if at == 0 {
                ", "
            } else {
                " + "
            };
            out.push_str(separator);
            let oid = attribute.attr_type().as_bytes();
            match SHORT_NAMES.iter().find(|(known, _)| same_oid(known, oid)) {
                Some((_, short)) => out.push_str(short),
                None => out.push_str(&dotted(oid)),
            }
            out.push('=');
            quote(&value(attribute), &mut out);
        }
    }
    out
}

/// A distinguished name for findings and summaries: as [`text`], cut at [`SUBJECT_CHARS`].
pub(crate) fn short_text(name: &X509Name<'_>) -> String {
    let full = text(name);
    match full.char_indices().nth(SUBJECT_CHARS) {
        Some((cut, _)) => full.get(..cut).map(|start| format!("{start}...")).unwrap_or_default(),
        None if full.is_empty() => "(empty name)".to_owned(),
        None => full,
    }
}

/// The value of the most specific attribute of this kind, which is the last.
pub(crate) fn last(name: &X509Name<'_>, kind: &[u64]) -> Option<String> {
    all(name, kind).pop()
}

/// The values of all attributes of this kind.
pub(crate) fn all(name: &X509Name<'_>, kind: &[u64]) -> Vec<String> {
    name.iter_attributes().filter(|attribute| same_oid(kind, attribute.attr_type().as_bytes())).map(|a| printable(&value(a))).collect()
}

/// `text` with everything escaped that could end a line, move a cursor or turn the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn quote(value: &str, out: &mut String) {
    let special = |c| matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
    let quoted = value.contains(special) || value.starts_with([' ', '#']) || value.ends_with(' ');
    if !quoted {
        out.push_str(&printable(value));
        return;
    }
    out.push('"');
    for c in printable(value).chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    let octets = attribute.as_slice();
    match attribute.attr_value().tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            String::from_utf8_lossy(octets).into_owned()
        }
        // In practice Latin 1, whatever T.61 says.
        Tag::T61String => octets.iter().copied().map(char::from).collect(),
        Tag::BmpString => {
            let units = octets.chunks(2).map(|pair| pair.iter().fold(0, |unit, &octet| unit << 8 | u16::from(octet)));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Tag::UniversalString => {
            let scalars = octets.chunks(4).map(|four| four.iter().fold(0, |scalar, &octet| scalar << 8 | u32::from(octet)));
            scalars.map(|scalar| char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => octets.iter().fold("#".to_owned(), |mut hex, octet| {
            let _ = write!(hex, "{octet:02x}");
            hex
        }),
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}')
}

/// Characters of a distinguished name in a finding; the rest is cut off.
pub(crate) const SUBJECT_CHARS: usize = 256;

pub(crate) const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
pub(crate) const COUNTRY: &[u64] = &[2, 5, 4, 6];
pub(crate) const LOCALITY: &[u64] = &[2, 5, 4, 7];
pub(crate) const STATE: &[u64] = &[2, 5, 4, 8];
pub(crate) const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
pub(crate) const UNIT: &[u64] = &[2, 5, 4, 11];

const SHORT_NAMES: &[(&[u64], &str)] = &[
    (COMMON_NAME, "CN"),
    (COUNTRY, "C"),
    (LOCALITY, "L"),
    (STATE, "ST"),
    (ORGANIZATION, "O"),
    (UNIT, "OU"),
    (&[2, 5, 4, 4], "SN"),
    (&[2, 5, 4, 5], "serialNumber"),
    (&[2, 5, 4, 9], "street"),
    (&[2, 5, 4, 12], "title"),
    (&[2, 5, 4, 15], "businessCategory"),
    (&[2, 5, 4, 17], "postalCode"),
    (&[2, 5, 4, 42], "GN"),
    (&[2, 5, 4, 46], "dnQualifier"),
    (&[2, 5, 4, 97], "organizationIdentifier"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 1], "UID"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 25], "DC"),
    (&[1, 2, 840, 113_549, 1, 9, 1], "emailAddress"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 1], "jurisdictionL"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 2], "jurisdictionST"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3], "jurisdictionC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_a_line_or_move_a_cursor() {
        assert_eq!(printable("a\r\nb\u{1b}[2J\u{202e}\0c"), "a\\u{d}\\u{a}b\\u{1b}[2J\\u{202e}\\u{0}c");
        let mut out = String::new();
        quote("Example, \"Inc.\"", &mut out);
        assert_eq!(out, "\"Example, \\\"Inc.\\\"\"");
    }
}
