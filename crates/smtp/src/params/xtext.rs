//! xtext: any text in printable ASCII without `+` and `=`.

/// The text that `value` means, or nothing if it is no xtext or no UTF-8.
///
/// RFC 3461 section 4: `+` and two hexadecimal digits are an octet.
pub(crate) fn decode(value: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => hex_octet(rest.next()?, rest.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => octet,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok()
}

/// Writes `text` as xtext.
pub(crate) fn encode(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'+' | b'=' => push_hex(&mut value, octet),
            b'!'..=b'~' => value.push(char::from(octet)),
            _ => push_hex(&mut value, octet),
        }
    }
    value
}

/// The address that a `utf-8` value means: RFC 6533 section 3, `\x{...}` and characters as they are; `+` and two
/// digits too, because some clients encode as for `rfc822`.
pub(crate) fn decode_utf8(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let (digits, behind) = rest.strip_prefix("\\x{")?.split_once('}')?;
                let hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
                text.push(char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| hex)?)?);
                rest = behind;
                continue;
            }
            '+' => {
                let end = rest.find(|c: char| c != '+' && !c.is_ascii_hexdigit()).unwrap_or(rest.len());
                // A character beyond ASCII is several octets: take the run of them together.
                let (run, behind) = rest.split_at_checked(run_of_hex(rest.get(..end)?))?;
                if run.is_empty() {
                    return None;
                }
                text.push_str(&decode(run)?);
                rest = behind;
                continue;
            }
            '=' | ' ' => return None,
            c if c.is_control() => return None,
            c => text.push(c),
        }
        rest = rest.get(c.len_utf8()..)?;
    }
    Some(text)
}

/// Writes an address for a `utf-8` value in ASCII alone, so that it needs no SMTPUTF8 on the way.
pub(crate) fn encode_utf8(address: &str) -> String {
    let mut value = String::with_capacity(address.len());
    for c in address.chars() {
        match c {
            '+' | '=' | '\\' => push_braced(&mut value, c),
            '!'..='~' => value.push(c),
            _ => push_braced(&mut value, c),
        }
    }
    value
}

/// How many octets of `+HH+HH...` a text begins with.
fn run_of_hex(text: &str) -> usize {
    let coded = |group: &&[u8]| matches!(group, [b'+', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    text.as_bytes().chunks(3).take_while(coded).count().saturating_mul(3)
}

fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |octet| char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn push_hex(value: &mut String, octet: u8) {
    value.push_str(&format!("+{octet:02X}"));
}

fn push_braced(value: &mut String, c: char) {
    value.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3461_4_known_answers() {
        for (text, value) in [("a+b=c d", "a+2Bb+3Dc+20d"), ("QQ314159", "QQ314159"), ("ü", "+C3+BC"), ("", "")] {
            assert_eq!(encode(text), value);
            assert_eq!(decode(value).as_deref(), Some(text));
        }
        for wrong in ["+", "+2", "+2G", "a=b", "a b", "ü", "+FF", "a\r"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rfc6533_3_known_answers() {
        for (text, value) in [("jörg@x", "j\\x{F6}rg@x"), ("a+b\\=", "a\\x{2B}b\\x{5C}\\x{3D}"), ("☃", "\\x{2603}")] {
            assert_eq!(encode_utf8(text), value);
            assert_eq!(decode_utf8(value).as_deref(), Some(text));
        }
        assert_eq!(decode_utf8("jörg@x").as_deref(), Some("jörg@x"));
        assert_eq!(decode_utf8("j+C3+B6rg+40x").as_deref(), Some("jörg@x"));
        assert_eq!(decode_utf8("a+2Bab").as_deref(), Some("a+ab"));
        for wrong in ["\\", "\\x{}", "\\x{D800}", "\\x{1234567}", "\\x{+1}", "\\x41", "+", "+C3", "a=b"] {
            assert_eq!(decode_utf8(wrong), None, "{wrong:?}");
        }
    }
}
