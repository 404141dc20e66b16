//! Limits, time and TLS of a server session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{
    Aborted, Answer, AnswerError, COMMAND_LINE_OCTETS, Limits, MESSAGE_OCTETS_AT_LEAST, Output, RECIPIENTS_AT_LEAST, REPLY_LINE_OCTETS,
    ServerConfig, ServerEvent, ServerSession, SessionRefusals, TEXT_LINE_OCTETS,
};
use sealpost_types::{Octets, Ticks};

use crate::script::{Record, reply, serve, server, server_config, tls_facts};

fn session(change: impl FnOnce(&mut ServerConfig)) -> ServerSession {
    ServerSession::new(server_config(change), None, Ticks(0))
}

fn feed(session: &mut ServerSession, input: &[u8]) -> Record {
    let mut record = Record::default();
    serve(session, input, Ticks(0), &mut VecDeque::new(), &mut record);
    record
}

fn said(session: &mut ServerSession, input: &[u8]) -> String {
    String::from_utf8(feed(session, input).said).unwrap()
}

/// The last lines, without their ends.
fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    lines[lines.len() - count..].to_vec()
}

#[test]
fn rfc5321_4_5_3_1_4_a_line_of_100_kb_is_500_and_the_next_one_is_found() {
    let mut session = session(|_| {});
    let mut input = vec![b'A'; 100_000];
    input.extend_from_slice(b"\r\nNOOP\r\n");
    for piece in input.chunks(1000) {
        feed(&mut session, piece);
    }
    let mut session = ServerSession::new(server_config(|_| {}), None, Ticks(0));
    let text = said(&mut session, &input);
    assert_eq!(last_lines(&text, 2), ["500 5.5.2 the line has more than 2048 octets", "250 2.0.0 ok"]);
}

#[test]
fn rfc5321_4_5_3_1_4_a_line_of_512_octets_is_always_taken() {
    let mut session = session(|_| {});
    let line = format!("NOOP {}\r\n", "x".repeat(COMMAND_LINE_OCTETS - 7));
    assert_eq!(last_lines(&said(&mut session, line.as_bytes()), 1), ["250 2.0.0 ok"]);
}

#[test]
fn rfc5321_4_5_3_1_7_the_defaults_are_what_every_server_must_take() {
    let limits = Limits::default();
    assert!(limits.recipients >= RECIPIENTS_AT_LEAST);
    assert!(limits.message.0 >= u64::try_from(MESSAGE_OCTETS_AT_LEAST).unwrap());
    assert!(limits.command_line >= COMMAND_LINE_OCTETS && limits.reply_line >= REPLY_LINE_OCTETS);
    // A line of content longer than senders may send is taken all the same.
    let mut session = session(|_| {});
    feed(&mut session, b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    let text = said(&mut session, format!("{}\r\n.\r\n", "x".repeat(2 * TEXT_LINE_OCTETS)).as_bytes());
    assert_eq!(text, "250 2.0.0 message accepted\r\n");
}

#[test]
fn rfc5321_4_5_3_1_10_recipients_beyond_the_limit_are_452() {
    let mut session = session(|_| {});
    let mut input = b"EHLO a.example\r\nMAIL FROM:<>\r\n".to_vec();
    (0..10_000).for_each(|n| input.extend_from_slice(format!("RCPT TO:<u{n}@b.example>\r\n").as_bytes()));
    input.extend_from_slice(b"DATA\r\nx\r\n.\r\n");
    let mut record = Record::default();
    for piece in input.chunks(16 * 1024) {
        serve(&mut session, piece, Ticks(0), &mut VecDeque::new(), &mut record);
    }
    let text = String::from_utf8(record.said).unwrap();
    assert_eq!(text.matches("250 2.1.5 recipient ok\r\n").count(), 1000);
    assert_eq!(text.matches("452 4.5.3 too many recipients, 1000 are allowed\r\n").count(), 9000);
    assert!(text.ends_with("354 end with CRLF.CRLF\r\n250 2.0.0 message accepted\r\n"));
}

#[test]
fn rfc5321_4_2_3_too_many_errors_end_the_session_with_421() {
    let mut session = session(|config| config.limits.errors = 3);
    let record = feed(&mut session, b"X\r\nDATA\r\nY\r\nNOOP\r\n");
    let text = String::from_utf8(record.said).unwrap();
    assert_eq!(last_lines(&text, 2), ["500 5.5.2 unknown command \"Y\"", "421 4.7.0 too many errors"]);
    assert_eq!(record.events, ["close"]);
    assert_eq!(session.receive(b"NOOP\r\n", Ticks(0)), 0);
}

#[test]
fn chunks_that_are_refused_count_as_errors_too() {
    let mut session = session(|config| config.limits.errors = 2);
    let text = said(&mut session, b"BDAT 1 LAST\r\nxBDAT 1\r\nxNOOP\r\n");
    assert_eq!(
        last_lines(&text, 3),
        ["502 5.5.1 BDAT is not available"; 2].iter().copied().chain(["421 4.7.0 too many errors"]).collect::<Vec<_>>()
    );
}

#[test]
fn commands_that_move_no_message_are_limited_and_a_message_counts_anew() {
    let mut session = session(|config| config.limits.idle_commands = 4);
    let message = b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n.\r\n";
    let text = said(&mut session, message);
    assert_eq!(last_lines(&text, 1), ["250 2.0.0 message accepted"]);
    let text = said(&mut session, b"NOOP\r\nRSET\r\nVRFY x\r\nHELP\r\n");
    assert_eq!(last_lines(&text, 1), ["214 2.0.0 see RFC 5321"]);
    let record = feed(&mut session, b"MAIL FROM:<>\r\n");
    assert_eq!(record.said, b"421 4.7.0 too many commands without a message\r\n");
    assert_eq!(record.events, ["close"]);
}

/// Both were answered without end: the one was refused before it was counted, the other was taken for a piece of a message.
#[test]
fn messages_too_large_and_empty_chunks_count_as_commands_that_move_no_message() {
    for (start, command, usual) in [
        ("EHLO a\r\nNOOP\r\n", "MAIL FROM:<> SIZE=99999999999\r\n", "552 5.3.4 message too large, 67108864 octets are allowed"),
        ("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n", "BDAT 0\r\n", "250 2.0.0 0 octets received"),
    ] {
        let mut session = session(|config| config.limits.idle_commands = 4);
        feed(&mut session, start.as_bytes());
        let text = said(&mut session, command.repeat(2).as_bytes());
        assert_eq!(last_lines(&text, 2), [usual; 2]);
        let record = feed(&mut session, command.as_bytes());
        assert_eq!(record.said, b"421 4.7.0 too many commands without a message\r\n", "{command}");
        assert_eq!(record.events.last().map(String::as_str), Some("close"), "{command}");
    }
    // The one that ends a message is none of them: two are allowed here, and EHLO and MAIL are two.
    let mut session = session(|config| config.limits.idle_commands = 2);
    let message = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nBDAT 3\r\nx\r\nBDAT 0 LAST\r\nNOOP\r\n";
    assert_eq!(last_lines(&said(&mut session, message), 2), ["250 2.0.0 message accepted", "250 2.0.0 ok"]);
}

/// Guessing addresses ends after a hundred; a list with dead addresses goes on, as each message counts anew.
#[test]
fn refused_recipients_are_limited_and_a_message_counts_anew() {
    let mut session = session(|config| config.limits.refused = 3);
    let no = || Answer::Refuse(reply("550 5.1.1 no"));
    let mut record = Record::default();
    let list = b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n.\r\n";
    for _ in 0..3 {
        let mut answers = VecDeque::from([Answer::Accept, no(), no()]);
        serve(&mut session, list, Ticks(0), &mut answers, &mut record);
    }
    assert!(String::from_utf8(std::mem::take(&mut record).said).unwrap().ends_with("250 2.0.0 message accepted\r\n"));
    let mut answers = VecDeque::from([Answer::Accept, no(), no(), no()]);
    serve(&mut session, list, Ticks(0), &mut answers, &mut record);
    let text = String::from_utf8(record.said).unwrap();
    assert_eq!(last_lines(&text, 2), ["550 5.1.1 no", "421 4.7.0 too many senders and recipients refused"]);
    assert_eq!(record.events.last().map(String::as_str), Some("close"));
}

#[test]
fn replies_wait_for_the_rest_of_the_batch_but_not_without_bound() {
    let mut session = session(|config| config.limits.idle_commands = u32::MAX);
    while session.poll().is_some() {}
    let input = b"NOOP\r\n".repeat(100_000);
    let (mut used, mut replies, mut writes) = (0, 0, 0);
    while used < input.len() {
        used += session.receive(&input[used..], Ticks(0));
        while let Some(output) = session.poll() {
            if let Output::Send(octets) = output {
                assert!(octets.len() < 3 * 1024, "{}", octets.len());
                replies += octets.len() / b"250 2.0.0 ok\r\n".len();
                writes += 1;
            }
        }
    }
    assert_eq!(replies, 100_000);
    assert!(writes < 1000, "{writes}");
}

#[test]
fn rfc3207_4_2_what_was_said_before_tls_is_forgotten() {
    let config = server_config(|config| config.offer.starttls = true);
    server(
        Arc::clone(&config),
        false,
        r"
        S: 220 mx.example ESMTP
        C: STARTTLS now
        S: 501 5.5.4 STARTTLS takes no argument
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-STARTTLS
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        C: STARTTLS
        S: 220 2.0.0 ready for TLS
        E: aborted StartTls
        E: tls
        ",
    );
    let mut session = ServerSession::new(config, None, Ticks(0));
    session.tls_ready(tls_facts(), Ticks(0));
    assert_eq!(session.tls(), None, "nobody asked for a handshake");
    let record = feed(&mut session, b"EHLO a.example\r\nMAIL FROM:<>\r\nSTARTTLS\r\n");
    assert_eq!(record.events.last().unwrap(), "tls");
    session.tls_ready(tls_facts(), Ticks(0));
    assert_eq!(session.tls(), Some(&tls_facts()));
    let text = said(&mut session, b"MAIL FROM:<>\r\nSTARTTLS\r\nEHLO a.example\r\n");
    assert!(text.starts_with("503 5.5.1 say EHLO first\r\n503 5.5.1 TLS is in use already\r\n250-mx.example\r\n"), "{text}");
    assert!(!text.contains("STARTTLS"), "{text}");
}

#[test]
fn rfc3207_4_what_follows_starttls_in_clear_is_never_input() {
    let config = server_config(|config| config.offer.starttls = true);
    // In the same piece: the client is told.
    let mut session = ServerSession::new(Arc::clone(&config), None, Ticks(0));
    let record = feed(&mut session, b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<eve@a.example>\r\n");
    assert!(record.said.ends_with(b"554 5.5.1 nothing may follow STARTTLS before the handshake\r\n"));
    assert_eq!(record.events, ["hello a extended", "close"]);
    // In a later one: it was told to begin the handshake already.
    let mut session = ServerSession::new(config, None, Ticks(0));
    feed(&mut session, b"EHLO a\r\nSTARTTLS\r\n");
    let record = feed(&mut session, b"MAIL FROM:<eve@a.example>\r\n");
    assert_eq!((record.said.as_slice(), record.events), (&b""[..], vec!["close".to_owned()]));
    session.tls_ready(tls_facts(), Ticks(0));
    assert!(session.is_closed());
}

// req: B5
#[test]
fn rfc3207_4_530_to_everything_but_small_talk_where_tls_is_required() {
    let config = server_config(|config| {
        config.offer.starttls = true;
        config.require_tls_before_mail = true;
    });
    let mut session = ServerSession::new(Arc::clone(&config), None, Ticks(0));
    let refused = "530 5.7.0 must issue a STARTTLS command first";
    for command in
        ["MAIL FROM:<>", "MAIL FROM:<> REQUIRETLS", "RCPT TO:<x>", "DATA", "VRFY x", "EXPN x", "AUTH PLAIN", "BDAT 2 LAST\r\n\r\n"]
    {
        let mut session = ServerSession::new(Arc::clone(&config), None, Ticks(0));
        let text = said(&mut session, format!("HELO a\r\n{}\r\n", command.trim_end()).as_bytes());
        let text = if command.starts_with("BDAT") { text + &said(&mut session, b"xy") } else { text };
        assert_eq!(last_lines(&text, 1), [refused], "{command}");
    }
    for command in ["NOOP", "EHLO a", "HELO a", "RSET", "HELP", "STARTTLS", "QUIT"] {
        let mut session = ServerSession::new(Arc::clone(&config), None, Ticks(0));
        let text = said(&mut session, format!("{command}\r\n").as_bytes());
        assert!(last_lines(&text, 1)[0].starts_with('2'), "{command}: {text}");
    }
    assert_eq!(last_lines(&said(&mut session, b"XYZZY\r\n"), 1), ["500 5.5.2 unknown command \"XYZZY\""]);
    // How many octets stand behind this one is not known.
    let record = feed(&mut session, b"BDAT six\r\nNOOP\r\n");
    assert_eq!(String::from_utf8(record.said).unwrap(), format!("{refused}\r\n"));
    assert_eq!(record.events, ["close"]);
    // The negative control: under TLS, or without the setting, the same commands are taken.
    let mut session = ServerSession::new(config, Some(tls_facts()), Ticks(0));
    assert_eq!(last_lines(&said(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\n"), 1), ["250 2.1.0 sender ok"]);
    let mut session = ServerSession::new(server_config(|_| {}), None, Ticks(0));
    assert_eq!(last_lines(&said(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\n"), 1), ["250 2.1.0 sender ok"]);
}

#[test]
fn rfc8689_3_requiretls_is_offered_under_tls_only() {
    let config = server_config(|config| config.offer.require_tls = true);
    let mut clear = ServerSession::new(Arc::clone(&config), None, Ticks(0));
    let text = said(&mut clear, b"EHLO a\r\nMAIL FROM:<> REQUIRETLS\r\n");
    assert!(!text.contains("250 REQUIRETLS") && text.ends_with("555 5.5.4 parameter REQUIRETLS is not known here\r\n"), "{text}");
    let mut tls = ServerSession::new(config, Some(tls_facts()), Ticks(0));
    assert!(said(&mut tls, b"EHLO a\r\nMAIL FROM:<> REQUIRETLS\r\n").ends_with("250 REQUIRETLS\r\n250 2.1.0 sender ok\r\n"));
}

#[test]
fn a_body_that_grows_beyond_the_limit_is_passed_over_and_552() {
    let mut session = session(|config| config.limits.message.0 = 10);
    feed(&mut session, b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    let record = feed(&mut session, b"1234\r\n");
    assert_eq!(record.events, ["body 1234\\r\\n"]);
    let record = feed(&mut session, b"5678\r\n");
    assert_eq!(record.events, ["aborted TooLarge"]);
    let record = feed(&mut session, b"MAIL FROM:<>\r\n.\r\nNOOP\r\n");
    assert_eq!(record.said, b"552 5.3.4 message too large, 10 octets are allowed\r\n250 2.0.0 ok\r\n");
    assert_eq!(record.events, Vec::<String>::new());
}

#[test]
fn a_body_that_the_owner_refuses_half_way_is_passed_over_in_step() {
    for (start, end) in [("DATA\r\n", ".\r\nNOOP\r\n"), ("BDAT 12\r\n", "BDAT 0 LAST\r\nNOOP\r\n"), ("BDAT 12 LAST\r\n", "NOOP\r\n")] {
        let mut session = session(|_| {});
        feed(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n");
        feed(&mut session, start.as_bytes());
        assert_eq!(session.receive(b"1234\r\n", Ticks(0)), 6);
        assert_eq!(session.poll(), Some(Output::Event(ServerEvent::Body(0..6))));
        session.answer(Answer::Refuse(reply("452 4.3.1 disk full")), Ticks(0)).unwrap();
        let record = feed(&mut session, format!("QUIT\r\n{end}").as_bytes());
        let text = String::from_utf8(record.said).unwrap();
        assert!(text.starts_with("452 4.3.1 disk full\r\n"), "{start:?}: {text}");
        assert!(text.ends_with("250 2.0.0 ok\r\n"), "{start:?}: {text}");
        assert_eq!(record.events, Vec::<String>::new());
    }
}

// Found by the fuzz target server_steps: between two chunks nobody awaited it.
#[test]
fn a_body_can_be_refused_between_two_chunks() {
    for (next, said) in [
        ("BDAT 2\r\nxyNOOP\r\n", "452 4.3.1 disk full\r\n250 2.0.0 ok\r\n"),
        ("BDAT 0 LAST\r\nNOOP\r\n", "452 4.3.1 disk full\r\n250 2.0.0 ok\r\n"),
        ("RSET\r\nNOOP\r\n", "250 2.0.0 ok\r\n250 2.0.0 ok\r\n"),
    ] {
        let mut session = session(|_| {});
        feed(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nBDAT 6\r\n1234\r\n");
        session.answer(Answer::Refuse(reply("452 4.3.1 disk full")), Ticks(0)).unwrap();
        let record = feed(&mut session, next.as_bytes());
        assert_eq!(String::from_utf8(record.said).unwrap(), said);
        assert_eq!(record.events, Vec::<String>::new(), "nothing of it counts");
    }
}

// Found by the fuzz target server_steps: the 421 was said, and the session went on behind it.
#[test]
fn rfc5321_3_8_a_body_that_is_refused_half_way_with_421_ends_the_session() {
    for (start, end) in [("DATA\r\n", ".\r\n"), ("BDAT 6 LAST\r\n", ""), ("BDAT 6\r\n", "")] {
        let mut session = session(|_| {});
        feed(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n");
        feed(&mut session, start.as_bytes());
        session.receive(b"1234\r\n", Ticks(0));
        assert_eq!(session.poll(), Some(Output::Event(ServerEvent::Body(0..6))));
        session.answer(Answer::Refuse(reply("421 4.3.2 going down")), Ticks(0)).unwrap();
        let record = feed(&mut session, format!("{end}NOOP\r\n").as_bytes());
        assert_eq!(record.said, b"421 4.3.2 going down\r\n", "{start}");
        assert!(session.is_closed(), "{start}");
    }
}

#[test]
fn the_last_piece_of_a_chunk_can_still_be_refused() {
    for start in ["BDAT 6\r\n", "BDAT 6 LAST\r\n"] {
        let mut session = session(|_| {});
        feed(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n");
        feed(&mut session, start.as_bytes());
        session.receive(b"1234\r\n", Ticks(0));
        assert_eq!(session.poll(), Some(Output::Event(ServerEvent::Body(0..6))));
        session.answer(Answer::Refuse(reply("452 4.3.1 disk full")), Ticks(0)).unwrap();
        assert_eq!(session.poll(), Some(Output::Send(b"452 4.3.1 disk full\r\n")), "{start}");
    }
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut session = session(|_| {});
    let refusal = Answer::Refuse(reply("550 5.1.1 no"));
    assert_eq!(session.answer(Answer::Accept, Ticks(0)), Err(AnswerError::NotAwaited));
    assert_eq!(session.answer(refusal.clone(), Ticks(0)), Err(AnswerError::NotAwaited));
    session.receive(b"HELO a\r\n", Ticks(0));
    while session.poll().is_some() {}
    session.receive(b"MAIL FROM:<>\r\n", Ticks(0));
    assert!(session.is_waiting());
    assert_eq!(session.receive(b"QUIT\r\n", Ticks(0)), 0, "nothing is taken while an answer is awaited");
    let wrong = [Answer::Refuse(reply("250 2.0.0 ok")), Answer::Queued { reply: reply("550 5.0.0 no") }];
    for answer in wrong {
        assert!(matches!(session.answer(answer, Ticks(0)), Err(AnswerError::Severity { .. })));
    }
    assert_eq!(session.answer(Answer::Queued { reply: reply("250 2.0.0 ok") }, Ticks(0)), Err(AnswerError::NotAwaited));
    assert!(session.is_waiting());
    session.answer(refusal, Ticks(0)).unwrap();
    assert!(!session.is_waiting());
}

#[test]
fn rfc5321_4_5_3_2_7_a_client_that_takes_too_long_gets_421() {
    let minutes = |n: u64| Ticks(0).after(Duration::from_secs(60 * n));
    let mut session = session(|_| {});
    assert!(matches!(session.poll(), Some(Output::Send(_))));
    assert_eq!(session.poll(), Some(Output::WaitUntil(minutes(5))));
    assert_eq!(session.poll(), None);
    // One octet a second is no command.
    session.receive(b"N", minutes(1));
    session.receive(b"O", minutes(4));
    session.handle_timeout(minutes(4));
    assert_eq!(session.poll(), None, "nothing new to wait for");
    session.handle_timeout(minutes(5));
    assert_eq!(session.poll(), Some(Output::Send(b"421 4.4.2 mx.example timed out waiting for you\r\n")));
    assert_eq!(session.poll(), Some(Output::Close));
    assert_eq!(session.poll(), None);
}

#[test]
fn time_counts_for_blocks_messages_and_sessions_and_not_while_an_answer_is_awaited() {
    let minutes = |n: u64| Ticks(0).after(Duration::from_secs(60 * n));
    let mut session = session(|_| {});
    let mut record = Record::default();
    let mut answers = VecDeque::new();
    serve(&mut session, b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n", minutes(0), &mut answers, &mut record);
    for minute in 0..60 {
        session.handle_timeout(minutes(minute));
        serve(&mut session, b"x", minutes(minute), &mut answers, &mut record);
    }
    assert!(!session.is_closed());
    session.handle_timeout(minutes(60));
    assert!(session.is_closed(), "content may trickle for an hour and no longer");
    assert_eq!(session.poll(), Some(Output::Event(ServerEvent::Aborted(Aborted::TimedOut))));

    let mut session = ServerSession::new(server_config(|_| {}), None, Ticks(0));
    serve(&mut session, b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n", minutes(0), &mut answers, &mut record);
    session.receive(b".\r\n", minutes(1));
    session.handle_timeout(minutes(1000));
    assert!(session.is_waiting(), "the owner takes its time");
    while session.poll().is_some() {}
    session.answer(Answer::Accept, minutes(100)).unwrap();
    session.handle_timeout(minutes(104));
    assert!(!session.is_closed());
    session.handle_timeout(minutes(360));
    assert!(session.is_closed());
}

#[test]
fn a_session_that_is_refused_says_so_instead_of_greeting() {
    let mut session = session(|_| {});
    session.refuse_session(reply("421 4.7.0 too many connections"));
    assert_eq!(session.poll(), Some(Output::Send(b"421 4.7.0 too many connections\r\n")));
    assert_eq!(session.poll(), Some(Output::Close));
}

#[test]
fn a_session_that_is_refused_gives_the_answer_that_is_awaited_first() {
    let mut session = session(|_| {});
    feed(&mut session, b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    session.receive(b"x\r\n.\r\n", Ticks(0));
    session.poll();
    session.receive(b".\r\n", Ticks(0));
    assert_eq!(session.poll(), Some(Output::Event(ServerEvent::BodyEnd { size: Octets(3) })));
    session.refuse_session(reply("421 4.3.2 shutting down"));
    assert_eq!(session.poll(), None, "whether the message is ours has to be said before");
    session.answer(Answer::Accept, Ticks(0)).unwrap();
    assert_eq!(session.poll(), Some(Output::Send(b"250 2.0.0 message accepted\r\n421 4.3.2 shutting down\r\n")));
    assert_eq!(session.poll(), Some(Output::Close));
}

/// A line of a hundred kilobytes is an error that the session outlives; one that never ends is not waited for.
#[test]
fn rfc5321_4_5_3_1_4_a_line_without_end_ends_the_session() {
    let mut session = session(|_| {});
    while session.poll().is_some() {}
    let piece = [b'x'; 64 << 10];
    let mut taken = 0;
    while !session.is_closed() && taken < 4 << 20 {
        taken += session.receive(&piece, Ticks(0));
        let mut said = Vec::new();
        while let Some(output) = session.poll() {
            if let Output::Send(octets) = output {
                said.extend_from_slice(octets);
            }
        }
        assert!(said.is_empty() || said.starts_with(b"421 4.7.0 "), "{}", said.escape_ascii());
    }
    assert!(session.is_closed() && taken <= 2 << 20, "{taken}");
}

#[test]
fn what_is_refused_without_asking_is_counted_by_kind() {
    let refusals = |change: fn(&mut ServerConfig), input: &str| {
        let mut session = session(change);
        feed(&mut session, input.replace('\n', "\r\n").as_bytes());
        *session.refusals()
    };
    let counted = |change: fn(&mut SessionRefusals)| {
        let mut refusals = SessionRefusals::default();
        change(&mut refusals);
        refusals
    };
    let in_order = "EHLO a.example\nMAIL FROM:<a@a.example>\nRCPT TO:<b@b.example>\nDATA\nx\n.\n";
    assert_eq!(refusals(|_| {}, in_order), SessionRefusals::default());
    assert_eq!(refusals(|config| config.require_tls_before_mail = true, "EHLO a.example\nMAIL FROM:<>\n"), counted(|r| r.tls_first = 1));
    assert_eq!(refusals(|_| {}, "FROB\nRCPT TO:<b@b.example>\n"), counted(|r| r.commands = 2));
    let small: fn(&mut ServerConfig) = |config| config.limits.message = Octets(10);
    assert_eq!(refusals(small, "EHLO a.example\nMAIL FROM:<> SIZE=11\n"), counted(|r| r.too_large = 1));
    assert_eq!(refusals(small, &in_order.replace("\nx\n", "\n0123456789\n")), counted(|r| r.too_large = 1));
    assert_eq!(refusals(|_| {}, &in_order.replace("\nx\n", "\nx\0y\n")), counted(|r| r.content = 1));
    let few: fn(&mut ServerConfig) = |config| config.limits.errors = 2;
    assert_eq!(refusals(few, "FROB\nFROB\n"), counted(|r| (r.commands, r.floods) = (2, 1)));
}
