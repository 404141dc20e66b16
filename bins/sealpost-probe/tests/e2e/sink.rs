//! `sealpost-probe sink`: it takes mail as it should, and does wrong what it is told, as often as it is told.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::authority::Authority;
use crate::equipment::{Raw, Sink, ends, probe, said};

fn send(sink: &Sink, options: &[&str]) -> std::process::Output {
    let (at, anchors) = (sink.at(), sink.anchors());
    let mut arguments = vec!["send", "--server", &at, "--anchors", &anchors, "--to", "bob@bank.example", "--from", "ann@acme.example"];
    arguments.extend_from_slice(options);
    probe(&arguments)
}

#[test]
fn a_message_is_kept_as_it_came_and_told() {
    let sink = Sink::start(&[]);
    ends(&send(&sink, &["--body", ".a dot\nand more"]), 0);
    let message = &sink.told("message", 1)[0];
    assert_eq!((&message["from"], &message["to"][0]), (&"ann@acme.example".into(), &"bob@bank.example".into()));
    assert_eq!((&message["tls"]["version"], &message["session"]), (&"TLSv1.3".into(), &1.into()));
    let kept = sink.kept();
    assert!(kept[0].ends_with("\r\n\r\n.a dot\r\nand more\r\n"), "{}", kept[0]);
    assert_eq!(message["octets"].as_u64(), Some(kept[0].len() as u64));
    assert_eq!(std::fs::read_to_string(message["file"].as_str().unwrap()).unwrap(), kept[0]);
}

#[test]
fn faults_strike_as_often_as_they_are_told() {
    let sink = Sink::start(&["--reply", "RCPT*2=450 4.2.0 greylisted", "--reply", "BODY*1=552 5.3.4 too much"]);
    for code in [2, 2, 1, 0, 0] {
        ends(&send(&sink, &[]), code);
    }
    assert_eq!((sink.told("message", 2).len(), sink.told("fault", 3).len(), sink.told("refused", 1).len()), (2, 3, 1));
}

/// A test that runs for hours must not run out of descriptors.
#[test]
fn a_handshake_that_stalls_ends_with_its_client() {
    let sink = Sink::start(&["--stall", "HANDSHAKE"]);
    let said = ends(&send(&sink, &["--timeout", "1s"]), 2);
    assert!(said.contains("at handshake: no answer within"), "{said}");
    assert_eq!(sink.told("closed", 1)[0]["reason"], "timed out");
}

/// Whoever believes the injected reply takes it for the answer to EHLO under TLS (CVE-2021-33515 and its kin). The session goes on, so
/// that a client which does not notice is found out by the message that it delivers.
#[test]
fn a_client_that_does_not_notice_an_injection_delivers() {
    let sink = Sink::start(&["--inject", "250 evil"]);
    let said = ends(&send(&sink, &[]), 1);
    assert!(said.contains("text in clear follows STARTTLS"), "{said}");
    assert!(sink.messages().is_empty());
    assert_eq!(sink.told("fault", 1)[0]["deed"], "inject");
}

#[test]
fn text_in_clear_behind_starttls_is_told_and_thrown_away() {
    let sink = Sink::start(&[]);
    let mut client = Raw::connect(sink.address);
    client.say("");
    client.say("EHLO a.example\r\n");
    assert!(client.say("STARTTLS\r\nMAIL FROM:<eve@e.example>\r\n").starts_with("220"));
    assert_eq!(sink.told("injected-by-client", 1)[0]["text"], "MAIL FROM:<eve@e.example>\r\n");
}

#[test]
fn wrong_replies_go_out_as_they_are_written() {
    let sink = Sink::start(&["--reply", "MAIL=\\xff\\x00what\\c", "--reply", "EHLO=250-localhost\\r\\n250-half\\c"]);
    let mut client = Raw::connect(sink.address);
    client.say("");
    assert_eq!(client.say("EHLO a.example\r\nNOOP\r\n"), "250-localhost\r\n250-half250 2.0.0 ok\r\n");
}

#[test]
fn extensions_can_be_left_out() {
    let sink = Sink::start(&["--without", "CHUNKING,PIPELINING"]);
    let mut client = Raw::connect(sink.address);
    client.say("");
    let offered = client.say("EHLO a.example\r\n");
    assert!(offered.contains("STARTTLS") && !offered.contains("CHUNKING") && !offered.contains("PIPELINING"), "{offered}");
    ends(&send(&sink, &[]), 0);
    let all = Raw::connect(Sink::start(&[]).address).say("EHLO a.example\r\n");
    assert!(all.starts_with("220"), "{all}");
}

#[test]
fn smuggling_is_refused() {
    let sink = Sink::start(&[]);
    let mut client = Raw::connect(sink.address);
    client.say("");
    for line in ["EHLO a.example\r\n", "MAIL FROM:<a@a.example>\r\n", "RCPT TO:<b@b.example>\r\n", "DATA\r\n"] {
        client.say(line);
    }
    assert!(client.say("one\n.\nMAIL FROM:<x@x.example>\r\n.\r\n").starts_with("554"));
    assert!(sink.messages().is_empty());
}

#[test]
fn a_slow_reader_and_a_late_answer_take_their_time() {
    let sink = Sink::start(&["--read-rate", "2000", "--delay", "MAIL=1s"]);
    let start = Instant::now();
    ends(&send(&sink, &["--body", &"x".repeat(900).repeat(2)]), 0);
    assert!(start.elapsed() > Duration::from_millis(1800), "{:?}", start.elapsed());
}

#[test]
fn it_ends_after_its_messages_its_time_or_a_signal() {
    let mut sink = Sink::start(&["--count", "1"]);
    ends(&send(&sink, &[]), 0);
    assert_eq!(sink.ends(), Some(0));
    assert_eq!(sink.told("sum", 1)[0]["messages"], 1);
    // Its client hears that the last message was taken, though it takes its time, and that there is no room for one more.
    let mut sink = Sink::start(&["--count", "1"]);
    let mut client = Raw::connect(sink.address);
    client.say("");
    for line in ["EHLO a.example\r\n", "MAIL FROM:<a@a.example>\r\n", "RCPT TO:<b@b.example>\r\n", "DATA\r\n"] {
        client.say(line);
    }
    assert!(client.say("Subject: one\r\n\r\n.\r\n").starts_with("250"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(client.say("MAIL FROM:<a@a.example>\r\n").starts_with("421"));
    assert_eq!((sink.ends(), &sink.told("sum", 1)[0]["messages"]), (Some(0), &1.into()));
    assert_eq!(Sink::start(&["--for", "1s"]).ends(), Some(0));
    let mut sink = Sink::start(&[]);
    assert!(Command::new("kill").arg(sink.pid().to_string()).status().unwrap().success());
    assert_eq!(sink.ends(), Some(0));
    assert_eq!(sink.told("sum", 1)[0]["messages"], 0);
}

#[test]
fn users_are_let_in_with_their_password_only() {
    let sink = Sink::start(&["--user", "ann:open sesame"]);
    let password = sink.folder.path().join("password");
    for (text, code) in [("open sesame", 0), ("wrong", 1)] {
        std::fs::write(&password, text).unwrap();
        let said = ends(&send(&sink, &["--user", "ann", "--password-file", &password.display().to_string(), "--show"]), code);
        assert!(said.contains("-> (hidden)") && !said.contains("AUTH PLAIN A"), "{said}");
    }
    assert_eq!(sink.told("message", 1)[0]["login"], "ann");
    // the negative control: without a user nothing is hidden, and nobody is let in
    assert!(!said(&send(&sink, &["--show"])).contains("hidden"));
    assert!(sink.told("message", 2)[1]["login"].is_null());
}

#[test]
fn tls_can_have_a_floor_and_certificates_can_be_asked_for() {
    let sink = Sink::start(&["--min-version", "1.3", "--ask-certificate"]);
    ends(&send(&sink, &[]), 0);
    let tls = &sink.told("tls", 1)[0];
    assert!(tls["client_certificate"].is_null() && tls["tls"]["version"] == "TLSv1.3", "{tls}");
    let identity = Authority::new().issue(&["out.acme.example"]);
    let (certificate, key) = identity.write(sink.folder.path());
    ends(&send(&sink, &["--certificate", &certificate.display().to_string(), "--key", &key.display().to_string()]), 0);
    let shown = sink.told("tls", 2)[1]["client_certificate"].to_string();
    assert!(shown.contains("CN=out.acme.example"), "{shown}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["--reply", "MAIL"][..],
        &["--reply", "NOWHERE=451 x"],
        &["--stall", "MAIL*x"],
        &["--kind", "odd"],
        &["--certificate", "/c.pem"],
        &["--min-version", "1.1"],
        &["--read-rate", "0"],
        &["--listen", "here"],
        &["--user", "ann"],
    ] {
        ends(&probe(&[&["sink", "--listen", "127.0.0.1:0", "--for", "1s"], arguments].concat()), 64);
    }
}
