//! What a client session says, section by section.

use std::time::Duration;

use sealpost_smtp::{ClientError, ClientEvent, ClientSession, ClientTimeouts, NotReady, Output, Stage, TransactionError};
use sealpost_types::{Blame, Retry, Ticks};

use crate::script::{Record, client, client_config, drain, tls_facts};

#[test]
fn rfc5321_d_1_one_command_after_the_other_without_pipelining() {
    client(
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        E: greeting
        S: 250 mx.example
        E: ready
        ! transaction ann@a.example bob@b.example,eve@b.example,cat@b.example body=.x\r\n\
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 ok
        C: RCPT TO:<bob@b.example>
        E: mail: 250 2.1.0 ok
        S: 250 2.1.5 ok
        C: RCPT TO:<eve@b.example>
        E: recipient 0: 250 2.1.5 ok
        S: 550-5.1.1 who
        S: 550 5.1.1 is she?
        C: RCPT TO:<cat@b.example>
        E: recipient 1: 550 5.1.1 who is she?
        S: 251 2.1.5 will forward
        C: DATA
        E: recipient 2: 251 2.1.5 will forward
        S: 354 go on
        E: send body data
        ! data
        C: ..x
        C: .
        S: 250 2.0.0 queued
        E: finished: 250 2.0.0 queued
        ! quit
        C: QUIT
        S: 221 2.0.0 bye
        E: close
        ",
    );
}

#[test]
fn rfc2920_3_1_commands_go_ahead_of_their_replies() {
    client(
        r"
        S: 220-mx.example ESMTP
        S: 220 hello
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 1000
        S: 250 8BITMIME
        E: ready [PIPELINING] [SIZE 1000] [8BITMIME]
        ! transaction <> bob@b.example,eve@b.example 8bit
        C: MAIL FROM:<> SIZE=4 BODY=8BITMIME
        C: RCPT TO:<bob@b.example>
        C: RCPT TO:<eve@b.example>
        C: DATA
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 450 4.2.0 later
        S: 354 go on
        E: mail: 250 2.1.0 ok
        E: recipient 0: 250 2.1.5 ok
        E: recipient 1: 450 4.2.0 later
        E: send body data
        ! data
        C: hi
        C: .
        S: 554 5.6.0 no
        E: finished: 554 5.6.0 no
        ! transaction <> bob@b.example
        C: RSET
        C: MAIL FROM:<> SIZE=4
        C: RCPT TO:<bob@b.example>
        C: DATA
        S: 250 2.0.0 ok
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 354 go on
        E: mail: 250 2.1.0 ok
        E: recipient 0: 250 2.1.5 ok
        E: send body data
        ! data
        C: hi
        C: .
        S: 250 2.0.0 queued
        E: finished: 250 2.0.0 queued
        ! transaction <> bob@b.example
        C: MAIL FROM:<> SIZE=4
        C: RCPT TO:<bob@b.example>
        C: DATA
        ",
    );
}

#[test]
fn rfc2920_3_1_354_with_no_recipient_is_ended_by_an_empty_body() {
    client(
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250 PIPELINING
        E: ready [PIPELINING]
        ! transaction ann@a.example bob@b.example,eve@b.example
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: RCPT TO:<eve@b.example>
        C: DATA
        S: 250 2.1.0 ok
        S: 550 5.1.1 no
        S: 450 4.2.1 later
        S: 354 go on
        C: .
        E: mail: 250 2.1.0 ok
        E: recipient 0: 550 5.1.1 no
        E: recipient 1: 450 4.2.1 later
        S: 250 2.0.0 an empty message for nobody
        E: finished: 450 4.2.1 later
        ! transaction ann@a.example bob@b.example
        C: RSET
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        S: 250 2.0.0 ok
        S: 550 5.7.1 not from you
        S: 503 5.5.1 MAIL first
        S: 503 5.5.1 MAIL first
        E: mail: 550 5.7.1 not from you
        E: finished: 550 5.7.1 not from you
        ! transaction ann@a.example bob@b.example
        C: RSET
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        S: 250 2.0.0 ok
        S: 450 4.7.1 not now
        S: 250 2.1.5 a server that does not care
        S: 354 go on
        C: .
        E: mail: 450 4.7.1 not now
        S: 554 5.5.1 no
        E: finished: 450 4.7.1 not now
        ",
    );
}

#[test]
fn rfc5321_3_3_data_refused_although_there_is_a_recipient() {
    client(
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250 PIPELINING
        E: ready [PIPELINING]
        ! transaction ann@a.example bob@b.example
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 451 4.3.0 not now
        E: mail: 250 2.1.0 ok
        E: recipient 0: 250 2.1.5 ok
        E: finished: 451 4.3.0 not now
        ",
    );
}

#[test]
fn rfc3030_2_one_flight_where_chunking_and_pipelining_are_offered() {
    client(
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250 CHUNKING
        E: ready [PIPELINING] [CHUNKING]
        ! transaction ann@a.example bob@b.example inline body=.\r\n\
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 3 LAST
        E: send body bdat 3
        ! bdat
        C: .
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 250 2.0.0 queued
        E: mail: 250 2.1.0 ok
        E: recipient 0: 250 2.1.5 ok
        E: finished: 250 2.0.0 queued
        ! transaction ann@a.example bob@b.example inline
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 4 LAST
        E: send body bdat 4
        ! bdat
        C: hi
        S: 250 2.1.0 ok
        S: 550 5.1.1 no
        S: 503 5.5.1 no recipients
        E: mail: 250 2.1.0 ok
        E: recipient 0: 550 5.1.1 no
        E: finished: 550 5.1.1 no
        ! transaction ann@a.example bob@b.example inline
        C: RSET
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 4 LAST
        E: send body bdat 4
        ! bdat
        C: hi
        S: 250 2.0.0 ok
        S: 550 5.7.1 no
        S: 503 5.5.1 no sender
        S: 503 5.5.1 no sender
        E: mail: 550 5.7.1 no
        E: finished: 550 5.7.1 no
        ! transaction ann@a.example bob@b.example
        C: RSET
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        S: 250 2.0.0 ok
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        C: BDAT 4 LAST
        E: mail: 250 2.1.0 ok
        E: recipient 0: 250 2.1.5 ok
        E: send body bdat 4
        ! bdat
        C: hi
        S: 250 2.0.0 queued
        E: finished: 250 2.0.0 queued
        ! transaction ann@a.example bob@b.example
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        S: 250 2.1.0 ok
        S: 550 5.1.1 no
        E: mail: 250 2.1.0 ok
        E: recipient 0: 550 5.1.1 no
        E: finished: 550 5.1.1 no
        ",
    );
}

#[test]
fn rfc5321_3_2_helo_where_ehlo_is_refused() {
    client(
        r"
        S: 220 mx.example
        C: EHLO a.example
        E: greeting
        S: 502 5.5.1 what?
        C: HELO a.example
        S: 250-mx.example
        S: 250 PIPELINING
        E: ready
        ! cannot ann@a.example bob@b.example smtputf8: the server lacks SMTPUTF8
        ! cannot ann@a.example bob@b.example requiretls: the server lacks REQUIRETLS
        ! cannot j\xc3\xb6rg@a.example bob@b.example: the server lacks SMTPUTF8
        ! transaction ann@a.example bob@b.example 8bit dsn
        C: MAIL FROM:<ann@a.example>
        "
        .replace("j\\xc3\\xb6rg", "jörg")
        .as_str(),
    );
}

#[test]
fn rfc5321_3_1_a_server_that_will_not_is_left() {
    client(
        r"
        S: 554 5.3.2 no service
        C: QUIT
        E: refused at the greeting: 554 5.3.2 no service
        S: 221 2.0.0 bye
        E: close
        ",
    );
    client(
        r"
        S: 220 mx.example
        C: EHLO a.example
        E: greeting
        S: 502 5.5.1 what?
        C: HELO a.example
        S: 550 5.7.1 no
        C: QUIT
        E: refused at EHLO: 550 5.7.1 no
        S: 221 2.0.0 bye
        E: close
        ",
    );
    client(
        r"
        S: 220 mx.example
        C: EHLO a.example
        E: greeting
        S: 450 4.3.2 later
        C: QUIT
        E: refused at EHLO: 450 4.3.2 later
        ",
    );
}

#[test]
fn rfc3461_4_rfc8689_3_parameters_where_they_are_offered() {
    client(
        r"
        S: 220 mx.example
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250-DSN
        S: 250-SMTPUTF8
        S: 250-X-Fast 1
        S: 250 REQUIRETLS
        E: ready [DSN] [SMTPUTF8] [X-Fast 1] [REQUIRETLS]
        ! transaction ann@a.example bob@b.example dsn smtputf8 requiretls
        C: MAIL FROM:<ann@a.example> SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+20b
        S: 250 2.1.0 ok
        C: RCPT TO:<bob@b.example> NOTIFY=NEVER
        E: mail: 250 2.1.0 ok
        ",
    );
}

#[test]
fn rfc3207_4_starttls_and_a_second_ehlo() {
    client(
        r"
        S: 220 mx.example
        C: EHLO a.example
        E: greeting
        S: 250-mx.example
        S: 250 STARTTLS
        E: ready [STARTTLS]
        ! starttls
        C: STARTTLS
        S: 454 4.7.0 not now
        E: refused at STARTTLS: 454 4.7.0 not now
        ! starttls
        C: STARTTLS
        S: 220 2.0.0 go
        E: tls
        ! handshake
        C: EHLO a.example
        S: 250-mx.example
        S: 250 PIPELINING
        E: ready [PIPELINING]
        ! reset
        C: RSET
        S: 250 2.0.0 ok
        E: reset
        ",
    );
}

fn ready(extensions: &str) -> ClientSession {
    let mut session = ClientSession::new(client_config(), None, Ticks(0));
    session.receive(b"220 mx.example\r\n", Ticks(0));
    session.receive(format!("250-mx.example\r\n{extensions}").as_bytes(), Ticks(0));
    drain(&mut session, &mut Record::default());
    assert!(session.is_ready());
    session
}

fn failure(session: &mut ClientSession) -> ClientError {
    let mut failure = None;
    while let Some(output) = session.poll() {
        match output {
            Output::Event(ClientEvent::Failed(error)) => failure = Some(error),
            Output::Close => return failure.unwrap(),
            _ => {}
        }
    }
    panic!("not closed");
}

#[test]
fn rfc3207_4_what_follows_the_220_in_clear_is_never_input() {
    let tail = b"250 PIPELINING\r\n";
    // In the same piece, even if it is half a line; or in a later one, before the handshake is done.
    for pieces in [&[&b"220 go\r\n250 PIPELINING\r\n"[..]][..], &[b"220 go\r\n2"], &[b"220 go\r\n", tail]] {
        let mut session = ready("250 STARTTLS\r\n");
        session.start_tls(Ticks(0)).unwrap();
        for piece in pieces {
            session.receive(piece, Ticks(0));
        }
        let error = failure(&mut session);
        assert_eq!(error, ClientError::BytesBehindStartTls);
        assert_eq!((error.blame(), error.retry()), (Blame::Peer, Retry::OtherHost));
        session.tls_ready(tls_facts(), Ticks(0));
        assert!(session.is_closed());
    }
    // The negative control: the same octets behind the handshake are input.
    let mut session = ready("250 STARTTLS\r\n");
    session.start_tls(Ticks(0)).unwrap();
    session.receive(b"220 go\r\n", Ticks(0));
    drain(&mut session, &mut Record::default());
    session.tls_ready(tls_facts(), Ticks(0));
    session.receive(tail, Ticks(0));
    assert!(session.is_ready());
}

#[test]
fn rfc5321_3_8_421_at_any_time_is_the_server_closing() {
    let closing = b"421 4.3.2 going down\r\n";
    let mut session = ready("250 PIPELINING\r\n");
    session.receive(closing, Ticks(0));
    assert!(matches!(failure(&mut session), ClientError::Closing { stage: Stage::Idle, .. }));
    let mut session = ClientSession::new(client_config(), None, Ticks(0));
    session.receive(closing, Ticks(0));
    assert!(matches!(failure(&mut session), ClientError::Closing { stage: Stage::Greeting, .. }));
}

#[test]
fn rfc5321_4_2_replies_that_answer_nothing_are_errors() {
    let mut session = ready("250 PIPELINING\r\n");
    session.receive(b"250 2.0.0 by the way\r\n", Ticks(0));
    let error = failure(&mut session);
    assert_eq!(error.to_string(), "unexpected reply to no command: 250 2.0.0 by the way");
    assert_eq!(error.blame(), Blame::Peer);
    for wrong in ["220-a\r\n221 b\r\n", "220 a\nb\r\n", "hello\r\n", "354 go on\r\n"] {
        let mut session = ClientSession::new(client_config(), None, Ticks(0));
        session.receive(wrong.as_bytes(), Ticks(0));
        assert_eq!(failure(&mut session).blame(), Blame::Peer, "{wrong}");
    }
}

#[test]
fn a_reply_before_the_body_is_written_ends_the_session() {
    let transaction = || {
        let path = sealpost_types::Mailbox::parse("b@b.example").unwrap();
        let recipients = vec![sealpost_types::Recipient::new(path.into())];
        sealpost_smtp::Transaction::new(sealpost_types::ReversePath::Null, recipients, sealpost_types::Octets(4))
    };
    let mut session = ready("250 PIPELINING\r\n");
    session.transaction(transaction(), Ticks(0)).unwrap();
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 too large\r\n", Ticks(0));
    let mut record = Record::default();
    drain(&mut session, &mut record);
    assert_eq!(record.events.last().map(String::as_str), Some("close"));
    assert!(record.events.contains(&"finished: 552 5.3.4 too large".to_owned()));
    let mut session = ready("250 PIPELINING\r\n");
    session.transaction(transaction(), Ticks(0)).unwrap();
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 what, already?\r\n", Ticks(0));
    assert!(matches!(failure(&mut session), ClientError::UnexpectedReply { stage: Stage::Body, .. }));
}

#[test]
fn one_thing_at_a_time() {
    let mut session = ClientSession::new(client_config(), None, Ticks(0));
    let empty = sealpost_smtp::Transaction::new(sealpost_types::ReversePath::Null, Vec::new(), sealpost_types::Octets(0));
    assert_eq!(session.start_tls(Ticks(0)), Err(NotReady));
    assert_eq!(session.reset(Ticks(0)), Err(NotReady));
    assert_eq!(session.transaction(empty.clone(), Ticks(0)), Err(TransactionError::NotReady));
    session.quit(Ticks(0));
    assert!(session.is_closed());
    assert_eq!(ready("250 PIPELINING\r\n").transaction(empty, Ticks(0)), Err(TransactionError::NoRecipients));
}

#[test]
fn rfc5321_4_5_3_2_a_server_that_takes_too_long_is_given_up() {
    let mut session = ClientSession::new(client_config(), None, Ticks(0));
    let due = Ticks(0).after(ClientTimeouts::GREETING_TIMEOUT);
    assert_eq!(session.poll(), Some(Output::WaitUntil(due)));
    // Half a reply is none.
    session.receive(b"220-", Ticks(5));
    session.handle_timeout(Ticks(due.0 - 1));
    assert_eq!(session.poll(), None);
    session.handle_timeout(due);
    let error = failure(&mut session);
    assert_eq!((error.blame(), error.retry()), (Blame::Network, Retry::OtherHost));
    assert_eq!(error, ClientError::TimedOut { stage: Stage::Greeting });

    let mut session = ready("250 PIPELINING\r\n");
    session.handle_timeout(Ticks(u64::MAX));
    assert!(session.is_ready(), "an idle session is its owner's to end");
    let path = sealpost_types::Mailbox::parse("b@b.example").unwrap();
    let message = sealpost_smtp::Transaction::new(
        sealpost_types::ReversePath::Null,
        vec![sealpost_types::Recipient::new(path.into())],
        sealpost_types::Octets(4),
    );
    session.transaction(message, Ticks(0)).unwrap();
    let mut waits = Vec::new();
    let mut wait = |session: &mut ClientSession| {
        while let Some(output) = session.poll() {
            if let Output::WaitUntil(due) = output {
                waits.push(due.since(Ticks(0)));
            }
        }
    };
    wait(&mut session);
    let at = |seconds| Ticks(0).after(Duration::from_secs(seconds));
    session.receive(b"250 ok\r\n", at(1));
    wait(&mut session);
    session.receive(b"250 ok\r\n", at(2));
    wait(&mut session);
    session.receive(b"354 go\r\n", at(3));
    wait(&mut session);
    session.body_progress(at(4));
    wait(&mut session);
    session.body_sent(at(5));
    wait(&mut session);
    assert_eq!(waits.iter().map(Duration::as_secs).collect::<Vec<_>>(), [300, 301, 122, 183, 184, 605]);
}

#[test]
fn rfc2920_3_1_a_thousand_recipients_do_not_go_out_at_once() {
    let mut session = ready("250 PIPELINING\r\n");
    let recipients = (0..1000).map(|n| sealpost_types::Mailbox::parse(&format!("u{n}@b.example")).unwrap());
    let recipients = recipients.map(|mailbox| sealpost_types::Recipient::new(mailbox.into())).collect();
    let message = sealpost_smtp::Transaction::new(sealpost_types::ReversePath::Null, recipients, sealpost_types::Octets(4));
    session.transaction(message, Ticks(0)).unwrap();
    let mut record = Record::default();
    drain(&mut session, &mut record);
    let (mut commands, mut replies, mut turns) = (0, 0, 0);
    while !record.events.iter().any(|event| event == "send body data") {
        let said = String::from_utf8(std::mem::take(&mut record.said)).unwrap();
        commands += said.matches("\r\n").count();
        assert!(commands - replies <= 100);
        turns += 1;
        while replies < commands {
            replies += 1;
            let reply = if replies == 1002 { "354 go\r\n" } else { "250 2.1.5 ok\r\n" };
            session.receive(reply.as_bytes(), Ticks(0));
        }
        drain(&mut session, &mut record);
    }
    assert_eq!(commands, 1002);
    assert!(turns < 30, "{turns}");
}
