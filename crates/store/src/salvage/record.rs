//! Rows as SQLite stores them: the record format. What is damaged yields nothing, never a panic.

use rusqlite::types::Value;

/// A number of one to nine octets, and the octets behind it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for place in 0..8 {
        let octet = *bytes.get(place)?;
        number = number << 7 | u64::from(octet & 0x7f);
        if octet < 0x80 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    Some((number << 8 | u64::from(*bytes.get(8)?), bytes.get(9..)?))
}

/// The values of a record.
pub(super) fn values(record: &[u8]) -> Option<Vec<Value>> {
    let (length, _) = varint(record)?;
    let length = usize::try_from(length).ok()?;
    let (_, mut kinds) = varint(record.get(..length)?)?;
    let mut content = record.get(length..)?;
    let mut values = Vec::new();
    while !kinds.is_empty() {
        let (kind, rest) = varint(kinds)?;
        kinds = rest;
        let octets = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let (bytes, rest) = content.split_at_checked(octets)?;
        content = rest;
        values.push(match kind {
            0 => Value::Null,
            1..=6 => Value::Integer(integer(bytes)),
            7 => Value::Real(f64::from_bits(integer(bytes).cast_unsigned())),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
        });
    }
    content.is_empty().then_some(values)
}

/// Two's complement, the highest octet first.
fn integer(bytes: &[u8]) -> i64 {
    let sign = bytes.first().map_or(0, |first| if *first < 0x80 { 0 } else { -1 });
    bytes.iter().fold(sign, |number, octet| number << 8 | i64::from(*octet))
}
