//! What a client and a server say to each other, line by line and in sessions.

use std::sync::Arc;

use sealpost_smtp::{
    Answer, AuthMechanism, BodyCheck, BodyFault, BodyTransfer, ClientConfig, ClientEvent, ClientSession, Command, DataEncoder, DataScanner,
    Extension, Extensions, HelloName, Limits, Output, REPLY_LINE_OCTETS, Reply, ReplyReader, ServerConfig, ServerEvent, ServerSession,
    Transaction,
};
use sealpost_types::{CipherSuite, Domain, Mailbox, Octets, Recipient, ReversePath, Ticks, TlsFacts, TlsVersion};

/// A line to a command, to a line, to a command.
pub fn commands(input: &[u8]) {
    let Ok(command) = Command::parse(input) else { return };
    let mut wire = Vec::new();
    command.encode(&mut wire);
    let line = wire.strip_suffix(b"\r\n").expect("a CRLF at its end");
    assert!(!line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "more than a line: {line:?}");
    assert_eq!(Command::parse(line), Ok(command), "{:?}", String::from_utf8_lossy(line));
}

/// Octets to replies, in one piece and in many, and back.
pub fn replies(input: &[u8]) {
    let Some((cut, octets)) = input.split_first() else { return };
    let limits = Limits::default();
    let (mut whole, mut cuts) = (ReplyReader::new(&limits), ReplyReader::new(&limits));
    whole.push(octets);
    octets.chunks(usize::from(*cut).max(1)).for_each(|piece| cuts.push(piece));
    loop {
        let reply = whole.next_reply();
        assert_eq!(reply, cuts.next_reply());
        let Ok(Some(reply)) = reply else { break };
        let mut wire = Vec::new();
        reply.encode(&mut wire);
        check_reply_lines(&wire);
        assert_eq!(Reply::parse(&wire), Ok(reply));
    }
}

/// A reply to EHLO to extensions and back.
pub fn ehlo(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for line in text.split('\n') {
        if let Some(extension) = Extension::parse(line) {
            assert_eq!(Extension::parse(&extension.to_string()), Some(extension));
        }
    }
    let extensions = Extensions::from_reply(&Reply::plain::<250>(format!("mx.example\n{text}")));
    let reply = extensions.to_reply(&"mx.example");
    assert_eq!(Extensions::from_reply(&reply), extensions);
}

/// Octets of DATA against a plain model, in one piece and in many; content to the wire and back.
pub fn data_scanner(input: &[u8]) {
    let Some((cut, wire)) = input.split_first() else { return };
    let (content, fault, end) = scan(&[wire]);
    let pieces: Vec<&[u8]> = wire.chunks(usize::from(*cut).max(1)).collect();
    let (content_of_pieces, fault_of_pieces, end_of_pieces) = scan(&pieces);
    assert_eq!((fault, end), (fault_of_pieces, end_of_pieces));
    assert_eq!((fault, end), (model_fault(&wire[..end.unwrap_or(wire.len())]), model_end(wire)));
    if fault.is_none() {
        assert_eq!(content, content_of_pieces);
        if let Some(end) = end {
            assert_eq!(content, model_content(&wire[..end]));
        }
    }

    let mut check = BodyCheck::new();
    wire.chunks(usize::from(*cut).max(1)).for_each(|piece| check.check(piece));
    let (mut encoder, mut stuffed) = (DataEncoder::new(), Vec::new());
    wire.chunks(usize::from(*cut).max(1)).for_each(|piece| encoder.encode(piece, &mut stuffed));
    encoder.finish(&mut stuffed);
    if check.finish().is_none() {
        let ended = wire.is_empty() || wire.ends_with(b"\r\n");
        let expected = [wire, if ended { b"" } else { b"\r\n" }].concat();
        assert_eq!(scan(&[&stuffed]), (expected, None, Some(stuffed.len())));
    }
}

/// A client that says anything, in any pieces, to a server whose owner answers anything.
pub fn server_session(input: &[u8]) {
    let Some(([settings, cut, seed], octets)) = input.split_first_chunk() else { return };
    let bit = |n: u8| settings & (1 << n) != 0;
    let mut config = ServerConfig::new(Domain::parse("mx.example").expect("a domain"));
    config.offer.starttls = bit(0);
    config.offer.chunking = bit(1);
    config.offer.smtputf8 = bit(2);
    config.offer.dsn = bit(3);
    config.offer.require_tls = bit(4);
    config.offer.auth = if bit(5) { vec![AuthMechanism::Plain, AuthMechanism::Login] } else { Vec::new() };
    config.require_tls_before_mail = bit(6);
    config.limits.message = Octets(200);
    config.limits.recipients = 3;
    let mut session = ServerSession::new(Arc::new(config), bit(7).then(facts), Ticks(0));
    let (mut said, mut chance, mut open) = (0, *seed, false);
    for (number, piece) in octets.chunks(usize::from(*cut).max(1)).enumerate() {
        let now = Ticks(u64::try_from(number).expect("few pieces") * 1_000_000);
        session.handle_timeout(now);
        let mut rest = piece;
        loop {
            let used = session.receive(rest, now);
            assert!(used <= rest.len());
            let mut hand_over = false;
            while let Some(output) = session.poll() {
                match output {
                    Output::Send(reply) => {
                        said += reply.len();
                        check_reply_lines(reply);
                    }
                    Output::StartTls => hand_over = true,
                    Output::WaitUntil(_) => {}
                    Output::Close => return,
                    Output::Event(event) => {
                        chance = chance.wrapping_mul(5).wrapping_add(3);
                        let awaits = match event {
                            ServerEvent::Body(range) => {
                                assert!(open && !range.is_empty() && range.end <= used);
                                if chance % 16 == 0 {
                                    session.answer(Answer::Refuse(Reply::fixed::<452, 3, 1>("full")), now).expect("a body can be refused");
                                    open = false;
                                }
                                false
                            }
                            ServerEvent::BodyStart => {
                                open = true;
                                true
                            }
                            ServerEvent::BodyEnd { size } => {
                                assert!(open && size.0 <= 200);
                                true
                            }
                            ServerEvent::Mail(_) | ServerEvent::Rcpt(_) | ServerEvent::Auth(_) => true,
                            ServerEvent::Aborted(_) => {
                                open = false;
                                false
                            }
                            _ => false,
                        };
                        assert!(!awaits || session.is_waiting());
                        if awaits {
                            let no = chance % 8 == 0;
                            let answer = if no { Answer::Refuse(Reply::fixed::<550, 7, 1>("no")) } else { Answer::Accept };
                            session.answer(answer, now).expect("this event awaits an answer");
                        }
                    }
                }
            }
            assert!(!session.is_waiting());
            if hand_over {
                session.tls_ready(facts(), now);
            }
            rest = &rest[used..];
            if rest.is_empty() {
                break;
            }
            assert!(used > 0, "no progress with {rest:?}");
        }
    }
    // A reply for each line at most, none longer than a line may be, and nothing kept beyond a line.
    assert!(said <= REPLY_LINE_OCTETS * (octets.iter().filter(|octet| **octet == b'\n').count() + 3), "{said}");
    assert!(format!("{session:?}").len() < 20_000);
}

/// A server that says anything, in any pieces, to a client that wants to send mail.
pub fn client_session(input: &[u8]) {
    let Some(([settings, cut], octets)) = input.split_first_chunk() else { return };
    let bit = |n: u8| settings & (1 << n) != 0;
    let config = Arc::new(ClientConfig::new(HelloName::new("a.example").expect("a name")));
    let mut session = ClientSession::new(config, bit(7).then(facts), Ticks(0));
    let mut transactions = 0;
    for (number, piece) in octets.chunks(usize::from(*cut).max(1)).enumerate() {
        let now = Ticks(u64::try_from(number).expect("few pieces") * 1_000_000);
        session.handle_timeout(now);
        let used = session.receive(piece, now);
        assert!(used == piece.len() || session.is_closed());
        let mut failed = false;
        while let Some(output) = session.poll() {
            match output {
                Output::Send(commands) => check_commands(commands),
                Output::StartTls => session.tls_ready(facts(), now),
                Output::WaitUntil(_) => {}
                Output::Close => {
                    assert_eq!(session.receive(b"250 ok\r\n", now), 0);
                    assert_eq!(session.poll(), None);
                    return;
                }
                Output::Event(event) => {
                    assert!(!failed, "nothing happens after a failure: {event:?}");
                    match event {
                        // The server said more than it may right behind this reply: a failure comes next.
                        ClientEvent::Ready { .. } | ClientEvent::Finished(_) if !session.is_ready() => {}
                        ClientEvent::Ready { extensions, .. } if bit(0) && extensions.starttls() && session.tls().is_none() => {
                            session.start_tls(now).expect("it is ready");
                        }
                        ClientEvent::Ready { .. } | ClientEvent::Finished(_) => {
                            transactions += 1;
                            if transactions < 5 {
                                let message = transaction(bit(1), bit(2));
                                session.transaction(message, now).expect("it is ready, and nothing is missing");
                            } else {
                                session.quit(now);
                            }
                        }
                        ClientEvent::SendBody(transfer) => {
                            assert!(matches!(transfer, BodyTransfer::Data | BodyTransfer::Bdat(Octets(4))));
                            if bit(3) {
                                session.body_sent(now);
                            }
                        }
                        ClientEvent::Failed(_) => failed = true,
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(format!("{session:?}").len() < 60_000);
}

fn transaction(inline: bool, two: bool) -> Transaction {
    let recipient = |text| Recipient::new(Mailbox::parse(text).expect("a mailbox").into());
    let mut recipients = vec![recipient("bob@b.example")];
    recipients.extend(two.then(|| recipient("eve@b.example")));
    let mut transaction = Transaction::new(ReversePath::Null, recipients, Octets(4));
    transaction.inline_body = inline;
    transaction
}

pub(crate) fn facts() -> TlsFacts {
    TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false)
}

/// Whole lines of replies, none too long, none with a control character.
pub(crate) fn check_reply_lines(wire: &[u8]) {
    assert!(wire.ends_with(b"\r\n"));
    for line in wire.split_inclusive(|octet| *octet == b'\n') {
        assert!(line.len() <= REPLY_LINE_OCTETS, "{} octets", line.len());
        let text = line.strip_suffix(b"\r\n").expect("CRLF and nothing else ends a line");
        assert!(!text.iter().any(u8::is_ascii_control), "{text:?}");
        assert!(text.len() >= 4 && text[..3].iter().all(u8::is_ascii_digit) || text.len() == 3, "{text:?}");
    }
}

/// Whole lines of commands, or the empty body that ends a DATA nobody wanted.
fn check_commands(wire: &[u8]) {
    assert!(wire.ends_with(b"\r\n"));
    for line in wire.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("CRLF and nothing else ends a line");
        assert!(text == b"." || Command::parse(text).is_ok(), "{text:?}");
    }
}

type Scanned = (Vec<u8>, Option<BodyFault>, Option<usize>);

fn scan(pieces: &[&[u8]]) -> Scanned {
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

/// Where CRLF.CRLF ends, the CRLF before the first octet included.
fn model_end(wire: &[u8]) -> Option<usize> {
    if wire.starts_with(b".\r\n") {
        return Some(3);
    }
    wire.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5)
}

/// The first octet that may not be there, as far as that is certain.
fn model_fault(wire: &[u8]) -> Option<BodyFault> {
    for (at, octet) in wire.iter().enumerate() {
        let offset = u64::try_from(at).expect("it fits");
        let before = at.checked_sub(1).map(|before| wire[before]);
        match (octet, wire.get(at + 1)) {
            (b'\r', Some(next)) if *next != b'\n' => return Some(BodyFault::BareCarriageReturn { offset }),
            (b'\n', _) if before != Some(b'\r') => return Some(BodyFault::BareLineFeed { offset }),
            (0, _) => return Some(BodyFault::Nul { offset }),
            _ => {}
        }
    }
    None
}

/// Lines without their first dot, up to the line that is nothing but a dot.
fn model_content(wire: &[u8]) -> Vec<u8> {
    let text = wire.strip_suffix(b".\r\n").expect("the end");
    let mut content = Vec::new();
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    content
}
