use proptest::prelude::*;
use sealpost_policy::HeaderBlock;

use super::*;

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    stored: Vec<u8>,
    level: Option<String>,
    received: usize,
    tls_is_optional: bool,
    ascii: bool,
}

fn filter(pieces: &[&[u8]]) -> Outcome {
    let mut filter = HeaderFilter::new(FieldName::default());
    let mut stored = Vec::new();
    for piece in pieces {
        for part in filter.push(piece) {
            stored.extend_from_slice(part);
        }
        assert!(filter.held.len() <= HEAD_OCTETS && filter.kept.len() <= HEAD_OCTETS + piece.len());
    }
    stored.extend_from_slice(filter.finish());
    assert_eq!(filter.finish(), b"");
    Outcome {
        stored,
        level: filter.first_level(),
        received: filter.received_fields(),
        tls_is_optional: filter.says_tls_is_optional(),
        ascii: filter.is_ascii(),
    }
}

/// The same of a whole message, with no regard to memory: cut into lines, the lines into fields.
fn naive(message: &[u8]) -> Outcome {
    let lines: Vec<&[u8]> = message.split_inclusive(|&b| b == b'\n').collect();
    let end = lines.iter().position(|line| matches!(*line, b"\r\n" | b"\n")).unwrap_or(lines.len());
    let (header, body) = lines.split_at(end);
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for (at, line) in header.iter().enumerate() {
        match fields.last_mut() {
            Some(field) if at > 0 && (line.starts_with(b" ") || line.starts_with(b"\t")) => field.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    let has_name = |field: &[u8], name: &str| {
        let Some(colon) = field.iter().position(|&b| b == b':') else { return false };
        field[..colon].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    };
    let level = fields.iter().find(|field| has_name(field, "X-TLSLevel")).map(|field| {
        let value: Vec<u8> = field.iter().copied().skip_while(|&b| b != b':').skip(1).filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        String::from_utf8_lossy(&value).trim_matches([' ', '\t']).to_owned()
    });
    let received = fields.iter().filter(|field| has_name(field, "received")).count();
    let required: Vec<Vec<u8>> = fields.iter().filter(|field| has_name(field, "tls-required")).cloned().collect();
    let value = |field: &[u8]| -> Vec<u8> {
        field.iter().copied().skip_while(|&b| b != b':').skip(1).filter(|b| !matches!(b, b'\r' | b'\n')).collect()
    };
    let tls_is_optional = required.len() == 1 && value(&required[0]).trim_ascii().eq_ignore_ascii_case(b"no");
    fields.retain(|field| !has_name(field, "x-tlslevel"));
    let stored = [fields.concat(), body.concat()].concat();
    Outcome { ascii: stored.is_ascii(), stored, level, received, tls_is_optional }
}

fn at_every_cut(message: &[u8]) -> Outcome {
    let whole = filter(&[message]);
    for cut in 0..=message.len() {
        assert_eq!(filter(&[&message[..cut], &message[cut..]]), whole, "cut at {cut} of {:?}", String::from_utf8_lossy(message));
    }
    let single: Vec<&[u8]> = message.chunks(1).collect();
    assert_eq!(filter(&single), whole, "octet by octet");
    whole
}

/// RFC 8689 section 3: one field, one word, however it is folded; it stays in the message.
// req: E4
#[test]
fn rfc8689_3_tls_required_is_a_single_no() {
    for (message, is_optional) in [
        ("TLS-Required: No\r\n\r\n", true),
        ("To: b\r\ntls-required:no\r\nFrom: a\r\n\r\n", true),
        ("TLS-Required:\r\n No\r\n\r\n", true),
        ("X-TLSLevel: Try\r\nTLS-Required: NO \r\n\r\n", true),
        ("TLS-Required: Yes\r\n\r\n", false),
        ("TLS-Required: No way\r\n\r\n", false),
        ("TLS-Required: No\r\n way\r\n\r\n", false),
        ("TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false),
        ("TLS-Required: No\r\nTo: b\r\nTLS-Required: Yes\r\n\r\n", false),
        ("TLS-Required:\r\n\r\n", false),
        ("X-TLS-Required: No\r\n\r\n", false),
        ("TLS-Required-Not: No\r\n\r\n", false),
        ("To: b\r\n\r\nTLS-Required: No\r\n", false),
        ("", false),
    ] {
        let outcome = at_every_cut(message.as_bytes());
        assert_eq!(outcome, naive(message.as_bytes()), "{message:?}");
        assert_eq!(outcome.tls_is_optional, is_optional, "{message:?}");
        assert_eq!(
            outcome.stored.windows(8).any(|part| part.eq_ignore_ascii_case(b"required")),
            message.to_ascii_lowercase().contains("required")
        );
    }
    let long = format!("TLS-Required: No{}x\r\n\r\n", " ".repeat(200));
    assert!(!at_every_cut(long.as_bytes()).tls_is_optional);
}

// req: C5
#[test]
fn the_field_is_taken_out_however_it_is_written() {
    for (message, stored, level) in [
        ("To: b\r\nX-TLSLevel: Try\r\nFrom: a\r\n\r\nx\r\n", "To: b\r\nFrom: a\r\n\r\nx\r\n", Some("Try")),
        ("x-tlslevel: Try\r\n\r\nx\r\n", "\r\nx\r\n", Some("Try")),
        ("X-TLSLEVEL:Require\r\nTo: b\r\n\r\n", "To: b\r\n\r\n", Some("Require")),
        ("To: b\r\nX-TlsLevel: one\r\nx-tlslevel: two\r\n\r\n", "To: b\r\n\r\n", Some("one")),
        ("X-TLSLevel:\r\n  Try\r\n\tnow \r\nTo: b\r\n\r\n", "To: b\r\n\r\n", Some("Try\tnow")),
        ("X-TLSLevel \t : Try\r\nTo: b\r\n\r\n", "To: b\r\n\r\n", Some("Try")),
        ("X-TLSLevel\r\n : Try\r\nTo: b\r\n\r\n", "To: b\r\n\r\n", Some("Try")),
        ("X-TLSLevel:\r\nTo: b\r\n\r\n", "To: b\r\n\r\n", Some("")),
        ("X-TLSLevel: Try\r\n \r\n more\r\n\r\nx", "\r\nx", Some("Try  more")),
        // only ends of a line: what a careless client sends by BDAT is refused elsewhere
        ("To: b\nX-TLSLevel: Try\n\nX-TLSLevel: b\n", "To: b\n\nX-TLSLevel: b\n", Some("Try")),
        // other fields
        ("X-TLSLevels: a\r\nX-TLS: b\r\nTo: X-TLSLevel: c\r\n\r\n", "X-TLSLevels: a\r\nX-TLS: b\r\nTo: X-TLSLevel: c\r\n\r\n", None),
        ("To: b\r\n X-TLSLevel: Try\r\n\r\n", "To: b\r\n X-TLSLevel: Try\r\n\r\n", None),
        ("X-TLSLevel is a field\r\n\r\n", "X-TLSLevel is a field\r\n\r\n", None),
        ("X-TLSLevel\r\nTo: b\r\n\r\n", "X-TLSLevel\r\nTo: b\r\n\r\n", None),
        ("X-TLSLevel\r\n\r\n", "X-TLSLevel\r\n\r\n", None),
        // the body, and a message without one of the two
        ("\r\nX-TLSLevel: Try\r\n", "\r\nX-TLSLevel: Try\r\n", None),
        ("To: b\r\n\r\nX-TLSLevel: Try\r\n", "To: b\r\n\r\nX-TLSLevel: Try\r\n", None),
        ("X-TLSLevel: Try", "", Some("Try")),
        ("X-TLSLevel: Try\r\n", "", Some("Try")),
        ("X-TLSLevel", "X-TLSLevel", None),
        ("X-TLSLevel  \r\n", "X-TLSLevel  \r\n", None),
        ("X-TLSLevel  \r\n ", "X-TLSLevel  \r\n ", None),
        ("", "", None),
        // no header section, and lines that are no field: they end nothing
        ("Hello Bob,\r\nsee you\r\n\r\nX-TLSLevel: Try\r\n", "Hello Bob,\r\nsee you\r\n\r\nX-TLSLevel: Try\r\n", None),
        ("To: b\r\nhello\r\nX-TLSLevel: Try\r\n\r\n", "To: b\r\nhello\r\n\r\n", Some("Try")),
        // a fold that folds nothing
        (" X-TLSLevel: Try\r\nX-TLSLevel: two\r\n\r\n", " X-TLSLevel: Try\r\n\r\n", Some("two")),
        // a CR that ends no line
        ("\rX-TLSLevel: Try\r\nX-TLSLevel\r: two\r\n\r\n", "\rX-TLSLevel: Try\r\n\r\n", Some("two")),
    ] {
        let found = at_every_cut(message.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found.stored), stored, "{message:?}");
        assert_eq!(found.level.as_deref(), level, "{message:?}");
        assert_eq!(found, naive(message.as_bytes()), "{message:?}");
    }
}

#[test]
fn rfc5321_6_3_only_header_fields_count_however_the_body_is_cut() {
    let message =
        b"Received: from a\r\n\tby b\r\nrEcEiVeD: from c\r\nX-Received: no\r\nReceived : d\r\nSubject: x\r\n\r\nReceived: body\r\n";
    let found = at_every_cut(message);
    assert_eq!((found.received, found.ascii), (3, true));
    assert_eq!(found.stored, message);
}

#[test]
fn octets_beyond_ascii_are_noted_anywhere_but_in_what_is_taken_out() {
    for (message, ascii) in [
        ("Subject: x\r\n\r\nplain\r\n", true),
        ("Subject: x\r\n\r\nü\r\n", false),
        ("Subject: ü\r\n\r\nx\r\n", false),
        ("X-TLSLevel: ü\r\n\r\nx\r\n", true),
        ("X-TLSLevel: x\r\n\r\nü\r\n", false),
    ] {
        assert_eq!(at_every_cut(message.as_bytes()).ascii, ascii, "{message:?}");
    }
}

/// What is handed on is the caller's own buffer, but for what stands around a field that is taken out.
#[test]
fn nothing_is_copied_where_nothing_is_taken_out() {
    let mut filter = HeaderFilter::new(FieldName::default());
    for piece in [&b"Subject: x\r\nX-Other: y\r\n"[..], b"To: z\r\n\r\nX-TLSLevel: body\r\n", b"more of it\r\n"] {
        let [kept, rest] = filter.push(piece);
        assert!(kept.is_empty() && rest.as_ptr_range() == piece.as_ptr_range(), "{piece:?}");
    }
    let mut filter = HeaderFilter::new(FieldName::default());
    let [kept, rest] = filter.push(b"Subject: x\r\nX-TLSLevel: y\r\nTo: z\r\n");
    assert_eq!((kept, rest), (&b"Subject: x\r\n"[..], &b"To: z\r\n"[..]));
}

#[test]
fn long_lines_take_no_memory() {
    let long = vec![b'x'; 100 * 1024];
    let blank = vec![b' '; 100 * 1024];
    let field = |name: &str, value: &[u8]| [name.as_bytes(), value, b"\r\n"].concat();
    for (message, stored, level) in [
        (field("Subject: ", &long), field("Subject: ", &long), None),
        (field("X-TLSLevel: ", &long), Vec::new(), Some("x".repeat(VALUE_OCTETS))),
        (field("X-TLSLevel: ", &[&blank[..], b"Try"].concat()), Vec::new(), Some("Try".to_owned())),
        (field("X-TLSLevel: ", "ä".repeat(1000).as_bytes()), Vec::new(), Some("ä".repeat(VALUE_OCTETS / 2))),
        (field("X-TLSLevel:", &[b"a", "ä".repeat(1000).as_bytes()].concat()), Vec::new(), Some(format!("a{}", "ä".repeat(127)))),
        (field("X-TLSLevel:", &[0xff; 1000]), Vec::new(), Some("\u{fffd}".repeat(85))),
        // more white space than anybody waits for: taken for the field, and its value means nothing
        (field("X-TLSLevel", &[&blank[..], b": Try"].concat()), Vec::new(), Some(": Try".to_owned())),
        (field("X-TLSLevel", &[&blank[..1000], b"Try"].concat()), field("X-TLSLevel", &[&blank[..1000], b"Try"].concat()), None),
        // a header section that never ends
        (b"A: b\r\n".repeat(20_000), b"A: b\r\n".repeat(20_000), None),
        (b"X-TLSLevel: c\r\n".repeat(20_000), Vec::new(), Some("c".to_owned())),
    ] {
        for size in [1, 7, 4096, message.len()] {
            let found = filter(&message.chunks(size).collect::<Vec<_>>());
            assert_eq!(found.stored.len(), stored.len(), "pieces of {size}");
            assert!(found.stored == stored);
            assert_eq!(found.level, level, "pieces of {size}");
        }
    }
}

/// Lines that look like the field, nearly like it, or like anything.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = "[xX]-[tT][lL][sS][lL]evel[ \t]{0,2}:? ?[a-c]{0,3}|Received ?: [a-c]{0,2}|[tT]LS-[rR]equired ?: ?[NnOo]{0,3}|[ \t][a-c:]{0,4}|[XR:a-c -]{0,5}|X-TLSLeve|";
    let end = prop_oneof![8 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b""[..]), 1 => Just(&b"\r"[..])];
    (text, end).prop_map(|(text, end)| [text.as_bytes(), end].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_in_any_pieces_is_filtered_as_a_whole(
        lines in prop::collection::vec(line(), 0..12), size in 1_usize..40, octets in prop::collection::vec(any::<u8>(), 0..8)
    ) {
        let message = [lines.concat(), octets].concat();
        let found = filter(&message.chunks(size).collect::<Vec<_>>());
        let expected = naive(&message);
        prop_assert_eq!(&found, &expected, "{:?}", String::from_utf8_lossy(&message));
        // And the header of what is stored is read as one without the field.
        prop_assert!(HeaderBlock::parse(&found.stored).values("X-TLSLevel").next().is_none());
        let value = HeaderBlock::parse(&message).values("X-TLSLevel").next().map(|value| value.replace('\r', ""));
        prop_assert_eq!(found.level.is_some(), value.is_some());
        // Two octets that a carriage return kept apart may be one character without it.
        if let (Some(level), Some(value)) = (&found.level, value.filter(|value| !value.contains('\u{fffd}'))) {
            prop_assert_eq!(level.trim(), value.trim());
        }
    }

    #[test]
    fn any_octets_in_any_pieces_are_filtered_as_a_whole(message in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..40) {
        prop_assert_eq!(filter(&message.chunks(size).collect::<Vec<_>>()).stored, naive(&message).stored);
    }
}
