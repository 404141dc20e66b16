//! A second message hidden in the first: what one mail server takes for content, the next must not take for commands.

use std::collections::VecDeque;

use sealpost_smtp::{BodyFault, DataEncoder, DataScanner, ServerSession};
use sealpost_types::Ticks;

use crate::script::{Record, serve, server_config};

/// Ends of data that some server has taken for one, and what is wrong with each.
const FALSE_ENDS: &[(&[u8], BodyFault)] = &[
    (b"\n.\n", BodyFault::BareLineFeed { offset: 5 }),
    (b"\n.\r\n", BodyFault::BareLineFeed { offset: 5 }),
    (b"\r.\r\n", BodyFault::BareCarriageReturn { offset: 5 }),
    (b"\r.\r", BodyFault::BareCarriageReturn { offset: 5 }),
    (b"\r\n.\n", BodyFault::BareLineFeed { offset: 8 }),
    (b"\r\n.\r", BodyFault::BareCarriageReturn { offset: 8 }),
    (b"\r\n\0.\r\n", BodyFault::Nul { offset: 7 }),
    (b"\r\r\n.\r\n", BodyFault::BareCarriageReturn { offset: 5 }),
    (b"\n\r\n.\r\n", BodyFault::BareLineFeed { offset: 5 }),
];

const HIDDEN: &[u8] = b"MAIL FROM:<eve@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\nspam\r\n.\r\n";

/// The end of data as careless servers look for it: any line end, NULs dropped.
fn naive_end(data: &[u8]) -> Option<usize> {
    let mut kept = Vec::new();
    for (at, octet) in data.iter().enumerate() {
        match octet {
            0 => continue,
            b'\r' | b'\n' => {
                if kept.ends_with(b"\n.") {
                    return Some(at + 1);
                }
                if !(*octet == b'\n' && kept.ends_with(b"\n")) {
                    kept.push(b'\n');
                }
            }
            octet => kept.push(*octet),
        }
    }
    None
}

fn begin() -> ServerSession {
    let mut session = ServerSession::new(server_config(|_| {}), None, Ticks(0));
    let hello = b"HELO a\r\nMAIL FROM:<ann@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n";
    serve(&mut session, hello, Ticks(0), &mut VecDeque::new(), &mut Record::default());
    session
}

#[test]
fn rfc5321_4_1_1_4_only_crlf_dot_crlf_ends_the_data_and_nothing_is_smuggled() {
    for (end, fault) in FALSE_ENDS {
        let mut data = b"hello".to_vec();
        data.extend_from_slice(end);
        data.extend_from_slice(HIDDEN);
        // The negative control: a scanner that takes any of these for the end is fooled by this very input.
        let fooled = naive_end(&data).unwrap();
        let ends_truly = end.ends_with(b"\r\n.\r\n");
        assert!(fooled <= 5 + end.len(), "{}", end.escape_ascii());

        for cut in 0..=data.len() {
            let mut session = begin();
            let mut record = Record::default();
            for piece in [&data[..cut], &data[cut..], b"NOOP\r\n"] {
                serve(&mut session, piece, Ticks(0), &mut VecDeque::new(), &mut record);
            }
            let said = String::from_utf8(record.said).unwrap();
            let refusal = format!("554 5.6.0 message refused: {fault}\r\n");
            assert!(said.starts_with(&refusal) && said.ends_with("250 2.0.0 ok\r\n"), "cut at {cut}: {said}");
            assert_eq!(said.matches("554").count(), 1, "{said}");
            let delivered = record.events.iter().filter(|event| event.starts_with("end")).count();
            assert_eq!(delivered, usize::from(ends_truly), "nothing of the first one is delivered");
            // Where CRLF.CRLF does stand, what follows is a transaction of its own by everybody's reading.
            let hidden = record.events.iter().any(|event| event.contains("eve@a.example"));
            assert_eq!(hidden, ends_truly, "{:?}", record.events);
        }
    }
}

#[test]
fn rfc3030_2_the_same_octets_in_a_chunk_are_refused_too() {
    for (end, _) in FALSE_ENDS {
        let mut session = begin();
        serve(&mut session, b".\r\nEHLO a\r\n", Ticks(0), &mut VecDeque::new(), &mut Record::default());
        let mut input = b"MAIL FROM:<ann@a.example>\r\nRCPT TO:<bob@b.example>\r\n".to_vec();
        let body = [b"hello", *end, HIDDEN].concat();
        input.extend_from_slice(format!("BDAT {} LAST\r\n", body.len()).as_bytes());
        input.extend_from_slice(&body);
        input.extend_from_slice(b"NOOP\r\n");
        let mut record = Record::default();
        serve(&mut session, &input, Ticks(0), &mut VecDeque::new(), &mut record);
        let said = String::from_utf8(record.said).unwrap();
        assert!(said.contains("554 5.6.0 message refused: ") && said.ends_with("250 2.0.0 ok\r\n"), "{said}");
        assert!(!record.events.iter().any(|event| event.contains("eve@a.example") || event.starts_with("end")), "{:?}", record.events);
    }
}

/// The octets of the chunk were carried out as commands: a line that could not be read was not seen to begin one.
#[test]
fn rfc3030_2_what_follows_a_chunk_line_that_cannot_be_read_is_not_obeyed() {
    let faults = [&b"\0"[..], b" 60 LAST\0", b" 60 LAST\r", b"\t60\rLAST", b" 60 LAST\n", &[b' '; 100]];
    // The last two are the control: behind the same line without that verb the next one is found, and carried out.
    for (verb, closes) in [("BDAT", true), ("bdat", true), ("NOOP", false), ("BDATA", false)] {
        for (fault, tls_first) in faults.iter().flat_map(|fault| [(*fault, false), (*fault, true)]) {
            let input = [&b"HELO a\r\n"[..], verb.as_bytes(), fault, b"\r\nMAIL FROM:<eve@a.example>\r\n"].concat();
            let expected: &[&str] = match (closes, tls_first) {
                (true, false) => &["500"],
                (true, true) => &["530"],
                (false, false) => &["500", "250"],
                (false, true) => &["500", "530"],
            };
            for length in 1..=input.len() {
                let config = server_config(|config| {
                    config.limits.command_line = 64;
                    config.require_tls_before_mail = tls_first;
                });
                let mut session = ServerSession::new(config, None, Ticks(0));
                let mut record = Record::default();
                for piece in input.chunks(length) {
                    if !session.is_closed() {
                        serve(&mut session, piece, Ticks(0), &mut VecDeque::new(), &mut record);
                    }
                }
                let said = String::from_utf8(record.said).unwrap();
                let codes: Vec<&str> = said.lines().skip(2).map(|line| &line[..3]).collect();
                assert_eq!(codes, expected, "{} in pieces of {length}", input.escape_ascii());
                assert_eq!(session.is_closed(), closes, "{} in pieces of {length}", input.escape_ascii());
                let obeyed = record.events.iter().any(|event| event.contains("eve@a.example"));
                assert_eq!(obeyed, !closes && !tls_first, "{:?}", record.events);
            }
        }
    }
}

/// What a scanner makes of pieces: content, fault, and where the end was.
fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<BodyFault>, Option<usize>) {
    let (mut scanner, mut content, mut total) = (DataScanner::new(), Vec::new(), 0);
    for piece in pieces {
        let mut at = 0;
        while at < piece.len() {
            let scan = scanner.scan(&piece[at..]);
            assert!(scan.used > 0 && scan.content.end <= scan.used);
            content.extend_from_slice(&piece[at..][scan.content.clone()]);
            at += scan.used;
            if scan.ended {
                return (content, scanner.fault(), Some(total + at));
            }
        }
        total += piece.len();
    }
    (content, scanner.fault(), None)
}

#[test]
fn rfc5321_4_5_2_dots_come_out_the_same_at_every_split_point() {
    for (wire, content) in [
        (&b".\r\n"[..], &b""[..]),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..\r\n.\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"\r\n\r\n..\r\n\r\n.\r\n", b"\r\n\r\n.\r\n\r\n"),
        (b"a\r\n..\r\n...\r\n\r\n..\r\n.\r\n", b"a\r\n.\r\n..\r\n\r\n.\r\n"),
    ] {
        let mut input = wire.to_vec();
        input.extend_from_slice(b"QUIT\r\n");
        let expected = (content.to_vec(), None, Some(wire.len()));
        for at in 0..=input.len() {
            assert_eq!(scan([&input[..at], &input[at..]]), expected, "{} at {at}", wire.escape_ascii());
        }
        assert_eq!(scan(input.chunks(1)), expected);
        assert_eq!(scan([&input[..]]), expected);
    }
}

#[test]
fn rfc5321_4_5_2_dots_go_in_the_same_at_every_split_point() {
    for (content, wire) in [
        (&b""[..], &b".\r\n"[..]),
        (b".", b"..\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
        (b"\r\n.\r\n.\r\n", b"\r\n..\r\n..\r\n.\r\n"),
    ] {
        for at in 0..=content.len() {
            let (mut encoder, mut out) = (DataEncoder::new(), Vec::new());
            encoder.encode(&content[..at], &mut out);
            encoder.encode(&content[at..], &mut out);
            encoder.finish(&mut out);
            assert_eq!(out, wire, "{} at {at}", content.escape_ascii());
        }
        let (mut encoder, mut out) = (DataEncoder::new(), Vec::new());
        content.chunks(1).for_each(|octet| encoder.encode(octet, &mut out));
        encoder.finish(&mut out);
        assert_eq!(out, wire);
    }
}

#[test]
fn faults_are_found_at_their_octet_wherever_the_cut_is() {
    let long = [&[b'x'; 3000][..], b"\r\n", &[b'y'; 1021], b"\r\n"].concat();
    for (tail, fault) in [
        (&b"a\nb\r\n.\r\n"[..], BodyFault::BareLineFeed { offset: 4026 + 1 }),
        (b"\r\r\n.\r\n", BodyFault::BareCarriageReturn { offset: 4026 + 1 }),
        (b"\0\r\n.\r\n", BodyFault::Nul { offset: 4026 + 1 - 1 }),
        (b".\r\r\n.\r\n", BodyFault::BareCarriageReturn { offset: 4026 + 2 - 1 }),
    ] {
        let wire = [&long[..], tail].concat();
        let found = scan([&wire[..]]);
        assert_eq!(found.2, Some(wire.len()), "{}", tail.escape_ascii());
        let offset = |fault: &BodyFault| match fault {
            BodyFault::BareCarriageReturn { offset } | BodyFault::BareLineFeed { offset } | BodyFault::Nul { offset } => *offset,
            other => panic!("{other}"),
        };
        let at = usize::try_from(offset(&found.1.unwrap())).unwrap();
        assert_eq!(std::mem::discriminant(&found.1.unwrap()), std::mem::discriminant(&fault));
        assert!(b"\r\n\0".contains(&wire[at]), "octet {at} of {}", tail.escape_ascii());
        for cut in 4020..=wire.len() {
            assert_eq!((scan([&wire[..cut], &wire[cut..]]).1, found.2), (found.1, found.2), "cut at {cut}");
        }
    }
}

#[test]
fn long_content_is_read_as_it_is_octet_by_octet() {
    let ends = FALSE_ENDS.iter().map(|(end, _)| *end);
    for odd in ends.chain([&b"\r\n.\r\n"[..], b"\r\n.b", b"\r\n..b\r\n", b"\r\n\r\n", b"\0", b"\r", b"\n"]) {
        // Content is looked through in blocks of a kilobyte: what is odd stands in one, and before, over and behind its edge.
        for before in (500..520).chain(1010..1030) {
            let wire = [&vec![b'a'; before], odd, &[b'a'; 700], b"\r\n.\r\n"].concat();
            let (content, fault, end) = scan([&wire[..]]);
            let (expected, expected_fault, expected_end) = scan(wire.chunks(1));
            assert_eq!((fault, end), (expected_fault, expected_end), "{} behind {before}", odd.escape_ascii());
            assert!(fault.is_some() || content == expected, "{} behind {before}", odd.escape_ascii());
        }
    }
}
