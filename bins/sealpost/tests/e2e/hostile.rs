//! Input that no honest client sends: each gets the right reply or is closed, and nothing is smuggled.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

/// A relay before the most careless server there is: what a relay lets through, this one falls for.
fn relay_and_careless_sink(more: &str) -> (Relay, Sink, House) {
    let sink = Sink::start(Behaviour { careless: true, ..Behaviour::new(StartTls::Absent) });
    let house = House::to(&sink).also(more);
    (house.start(), sink, house)
}

fn greeted(relay: &Relay) -> Client {
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client
}

/// The relay works for others, and nothing but their mail arrived at the sink.
fn nothing_smuggled(relay: &Relay, sink: &Sink) {
    let before = sink.message_count();
    let mut client = greeted(relay);
    assert_eq!(client.send("honest@a.example", &["b@b.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
    sink.wait_for(before + 1, LIMIT);
    let froms: Vec<_> = sink.messages().into_iter().map(|message| message.from).collect();
    assert!(froms.iter().all(|from| from == "honest@a.example"), "{froms:?}");
}

/// After something refused: in step (one reply to one NOOP), or closed.
fn in_step_or_closed(client: &mut Client) {
    match client.command("NOOP") {
        Ok(reply) => {
            assert_eq!(reply.code, 250, "out of step: {}", reply.text);
            client.wire.set_patience(Duration::from_millis(300)).unwrap();
            let more = client.wire.fill();
            assert!(
                matches!(&more, Err(error) if is_timeout(error)),
                "more than one reply: {more:?} {:?}",
                String::from_utf8_lossy(client.wire.pending())
            );
        }
        Err(error) => assert!(!is_timeout(&error), "neither a reply nor an end: {error}"),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

const INNER: &str = "MAIL FROM:<smuggled@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nsmuggled\r\n.\r\n";

/// Each body with something in it that only a careless server takes for an end of line or of data.
fn hostile_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> =
        ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\n\0.\r\n", "\r\n.\0\r\n", "\r\r\n.\r\r\n"]
            .iter()
            .map(|end| format!("Subject: x\r\n\r\nhi{end}{INNER}").into_bytes())
            .collect();
    bodies.extend([
        b"Subject: x\r\n\r\nbare\nLF\r\n".to_vec(),
        b"Subject: x\r\n\r\nbare\rCR\r\n".to_vec(),
        b"Subject: x\r\n\r\nNUL\0\r\n".to_vec(),
    ]);
    bodies
}

#[test]
fn hostile_bodies_in_data_are_refused() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    for body in hostile_bodies() {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let mut client = greeted(&relay);
        client.envelope("outer@a.example", &["b@b.example"]).unwrap();
        // The real end: whatever the relay took for one before would leave replies over.
        let content = body.strip_suffix(b"\r\n.\r\n").unwrap_or(&body);
        client.wire.send(content).unwrap();
        client.wire.send(b"\r\n.\r\n").unwrap();
        match client.reply() {
            Ok(reply) => assert!((500..600).contains(&reply.code), "{shown:?} got {}", reply.text),
            Err(error) => assert!(!is_timeout(&error), "{shown:?}: {error}"),
        }
        in_step_or_closed(&mut client);
    }
    nothing_smuggled(&relay, &sink);
}

#[test]
fn hostile_bodies_in_bdat_are_refused() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    for body in hostile_bodies() {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let mut client = greeted(&relay);
        client.expect("MAIL FROM:<outer@a.example>", 250).unwrap();
        client.expect("RCPT TO:<b@b.example>", 250).unwrap();
        client.wire.send(format!("BDAT {} LAST\r\n", body.len()).as_bytes()).unwrap();
        client.wire.send(&body).unwrap();
        match client.reply() {
            Ok(reply) => assert!((500..600).contains(&reply.code), "{shown:?} got {}", reply.text),
            Err(error) => assert!(!is_timeout(&error), "{shown:?}: {error}"),
        }
        in_step_or_closed(&mut client);
    }
    nothing_smuggled(&relay, &sink);
}

/// In BDAT a line with a single dot is content, and goes on as content: stuffed, so that nobody takes it for the end.
#[test]
fn a_dot_line_in_bdat_stays_content() {
    let sink = Sink::start(Behaviour { chunking: false, ..Behaviour::new(StartTls::Absent) });
    let house = House::to(&sink);
    let relay = house.start();
    let mut client = greeted(&relay);
    client.expect("MAIL FROM:<honest@a.example>", 250).unwrap();
    client.expect("RCPT TO:<b@b.example>", 250).unwrap();
    let body = format!("Subject: x\r\n\r\nhi\r\n.\r\n{INNER}");
    client.wire.send(format!("BDAT {} LAST\r\n{body}", body.len()).as_bytes()).unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    let messages = sink.wait_for(1, LIMIT);
    assert!(String::from_utf8_lossy(&messages[0].content).ends_with(&body));
    nothing_smuggled(&relay, &sink);
}

/// The negative control of the tests above: sent to the sink without a relay, these bodies do smuggle.
#[test]
fn the_careless_sink_falls_for_what_the_relay_refuses() {
    let sink = Sink::start(Behaviour { careless: true, ..Behaviour::new(StartTls::Absent) });
    for (at, end) in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n"].iter().enumerate() {
        let mut client = Client::connect(sink.address).unwrap();
        client.expect("EHLO client.example", 250).unwrap();
        client.envelope("outer@a.example", &["b@b.example"]).unwrap();
        client.wire.send(format!("Subject: x\r\n\r\nhi{end}{INNER}").as_bytes()).unwrap();
        sink.wait_for(2 * (at + 1), LIMIT);
    }
    assert_eq!(sink.messages().iter().filter(|message| message.from == "smuggled@a.example").count(), 4);
}

/// Only CRLF ends a command.
#[test]
fn bare_line_ends_in_commands_end_nothing() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    for line in [
        "NOOP\nMAIL FROM:<smuggled@a.example>\r\n",
        "NOOP\rMAIL FROM:<smuggled@a.example>\r\n",
        "NOOP\0\r\n",
        "MAIL FROM:<a@a.example>\n\r\n",
    ] {
        let mut client = greeted(&relay);
        client.wire.send(line.as_bytes()).unwrap();
        match client.reply() {
            Ok(reply) => assert!(reply.code >= 500 || reply.code == 421, "{line:?} got {}", reply.text),
            Err(error) => assert!(!is_timeout(&error), "{line:?}: {error}"),
        }
        in_step_or_closed(&mut client);
    }
    nothing_smuggled(&relay, &sink);
}

#[test]
fn commands_of_100_kb_are_refused() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    let long = "x".repeat(100_000);
    for line in [format!("NOOP {long}"), format!("MAIL FROM:<{long}@a.example>"), long.clone(), format!("EHLO {long}")] {
        let mut client = greeted(&relay);
        // It may be cut off while it is still sending.
        let sent = client.wire.send(format!("{line}\r\n").as_bytes());
        match client.reply() {
            Ok(reply) => assert!(reply.code >= 500 || reply.code == 421, "{}", reply.text),
            Err(error) => assert!(!is_timeout(&error), "{error}"),
        }
        if sent.is_ok() {
            in_step_or_closed(&mut client);
        }
    }
    nothing_smuggled(&relay, &sink);
}

/// A command without an end takes no memory.
#[test]
fn a_command_without_end_takes_no_memory() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    let before = relay.memory("VmRSS");
    let mut client = greeted(&relay);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..50 {
        if client.wire.send(&piece).is_err() {
            break;
        }
    }
    let growth = relay.memory("VmHWM").saturating_sub(before);
    assert!(growth < 16 << 10, "grew by {growth} KiB");
    nothing_smuggled(&relay, &sink);
}

/// Commands without end and without a message: cut off, and no memory taken for a client that reads none of the replies.
#[test]
fn endless_commands_are_cut_off() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    let before = relay.memory("VmRSS");
    let mut client = greeted(&relay);
    let piece = b"HELP\r\n".repeat(20_000);
    for _ in 0..400 {
        if client.wire.send(&piece).is_err() {
            break;
        }
    }
    let growth = relay.memory("VmHWM").saturating_sub(before);
    assert!(growth < 16 << 10, "grew by {growth} KiB");
    while client.wire.fill().is_ok_and(|length| length > 0) {}
    let replies = String::from_utf8_lossy(client.wire.pending()).into_owned();
    assert!(replies.lines().count() < 1000 && replies.lines().last().is_none_or(|last| last.starts_with("421 ")), "{replies}");
    nothing_smuggled(&relay, &sink);
}

/// Whoever starts TLS and then says nothing is closed.
#[test]
fn a_handshake_that_never_comes_is_closed() {
    let (relay, _sink, _house) = relay_and_careless_sink("[limits]\nidle = \"2s\"\n");
    let mut client = greeted(&relay);
    client.expect("STARTTLS", 220).unwrap();
    let start = Instant::now();
    let end = client.wire.fill();
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| !is_timeout(&error)), "still open");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

// req: E5
#[test]
fn ten_thousand_recipients_are_bounded() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    let mut client = greeted(&relay);
    client.expect("MAIL FROM:<honest@a.example>", 250).unwrap();
    let (mut taken, mut refused, mut closed) = (0, 0, false);
    for number in 0..10_000 {
        match client.command(&format!("RCPT TO:<b{number}@b.example>")) {
            Ok(reply) if reply.code == 250 => {
                assert_eq!(refused, 0, "taken again after a refusal");
                taken += 1;
            }
            Ok(reply) => {
                assert!([452, 421, 552, 550].contains(&reply.code), "{}", reply.text);
                refused += 1;
            }
            Err(error) => {
                assert!(!is_timeout(&error), "{error}");
                closed = true;
                break;
            }
        }
    }
    assert!((100..=1000).contains(&taken), "{taken} recipients were taken");
    assert!(closed || refused == 10_000 - taken);
    if !closed {
        client.expect("DATA", 354).unwrap();
        client.wire.send(b"Subject: many\r\n\r\nx\r\n.\r\n").unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        let end = Instant::now() + LIMIT;
        let recipients = || sink.messages().iter().map(|message| message.to.len()).sum::<usize>();
        while recipients() < taken {
            assert!(Instant::now() < end, "{} of {taken} recipients were served", recipients());
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(recipients(), taken);
    }
    nothing_smuggled(&relay, &sink);
}

/// A client that sends a byte now and then is not idle, and is closed all the same: a command has a time of its own.
#[test]
fn a_slow_client_is_closed() {
    let (relay, sink, _house) = relay_and_careless_sink("[limits]\nidle = \"2s\"\nsession = \"6s\"\n");
    let mut client = greeted(&relay);
    client.wire.set_patience(Duration::from_millis(50)).unwrap();
    let start = Instant::now();
    let mut bytes = b"NOOP ".iter().copied().chain(std::iter::repeat(b'x'));
    let closed = loop {
        if start.elapsed() > LIMIT {
            break false;
        }
        let byte = bytes.next().unwrap_or(b'x');
        if client.wire.send(&[byte]).is_err()
            || matches!(client.wire.fill(), Ok(0))
            || matches!(client.wire.fill(), Err(error) if !is_timeout(&error))
        {
            break true;
        }
        thread::sleep(Duration::from_secs(1));
    };
    assert!(closed, "still open after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(12), "closed late: {:?}", start.elapsed());
    nothing_smuggled(&relay, &sink);
}

/// The negative control: with longer time-outs the same client is served.
#[test]
fn a_slow_client_is_served_where_time_allows() {
    let (relay, _sink, _house) = relay_and_careless_sink("[limits]\nidle = \"1m\"\nsession = \"5m\"\n");
    let mut client = greeted(&relay);
    for byte in b"NOOP\r\n" {
        client.wire.send(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(900));
    }
    assert_eq!(client.reply().unwrap().code, 250);
}

/// An idle client is told so.
#[test]
fn an_idle_client_is_closed_with_421() {
    let (relay, _sink, _house) = relay_and_careless_sink("[limits]\nidle = \"1s\"\n");
    let mut client = greeted(&relay);
    let start = Instant::now();
    assert_eq!(client.reply().unwrap().code, 421);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(matches!(client.wire.fill(), Ok(0) | Err(_)));
}

/// What came in clear behind STARTTLS must not be taken for something that came over TLS.
#[test]
fn plaintext_behind_starttls_is_not_obeyed() {
    let (relay, sink, house) = relay_and_careless_sink("");
    for behind in [INNER, "NOOP\r\n", "x"] {
        let mut client = greeted(&relay);
        client.wire.send(format!("STARTTLS\r\n{behind}").as_bytes()).unwrap();
        match client.reply() {
            // Where it goes on with the handshake, no reply to the plaintext may come out of the tunnel.
            Ok(reply) if reply.code == 220 => {
                if client.wire.connect_tls(house.authority.client(), "relay.test").is_ok() {
                    in_step_or_closed(&mut client);
                }
            }
            Ok(reply) => assert!(reply.code >= 421, "{}", reply.text),
            Err(error) => assert!(!is_timeout(&error), "{error}"),
        }
    }
    nothing_smuggled(&relay, &sink);
}

/// The negative control: STARTTLS with nothing behind it works in the same house.
#[test]
fn starttls_alone_is_obeyed() {
    let (relay, sink, house) = relay_and_careless_sink("");
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("a@a.example", &["b@b.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
    sink.wait_for(1, LIMIT);
}

/// Garbage instead of a handshake ends the session, and nothing else.
#[test]
fn garbage_instead_of_a_handshake() {
    let (relay, sink, _house) = relay_and_careless_sink("");
    let mut client = greeted(&relay);
    client.expect("STARTTLS", 220).unwrap();
    client.wire.send(&[0x16, 0x03, 0x01, 0xff, 0xff].repeat(1000)).unwrap();
    loop {
        match client.wire.fill() {
            Ok(0) => break,
            Ok(_) => client.wire.forget_pending(),
            Err(error) => {
                assert!(!is_timeout(&error), "{error}");
                break;
            }
        }
    }
    nothing_smuggled(&relay, &sink);
}

/// Who may not relay, may not relay.
#[test]
fn a_stranger_may_not_relay() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.write();
    let text = house.config_text().replace("trusted_networks = [\"127.0.0.0/8\"]", "trusted_networks = [\"192.0.2.0/24\"]");
    std::fs::write(house.config(), text).unwrap();
    let relay = house.start_again();
    let mut client = greeted(&relay);
    client.expect("MAIL FROM:<a@a.example>", 250).unwrap();
    let reply = client.command("RCPT TO:<b@b.example>").unwrap();
    assert!((550..560).contains(&reply.code), "{}", reply.text);
    assert_eq!(sink.session_count(), 0);
}
