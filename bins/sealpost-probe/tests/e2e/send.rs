//! `sealpost-probe send`: one message through the client that the relay delivers with.

use std::process::Output;

use crate::equipment::{Sink, closed, ends, object, probe};

fn send(sink: &Sink, options: &[&str]) -> Output {
    let (host, anchors) = (format!("localhost:{}", sink.address.port()), sink.anchors());
    let mut arguments = vec!["send", "--server", &host, "--anchors", &anchors, "--from", "ann@acme.example"];
    if !options.contains(&"--to") {
        arguments.extend_from_slice(&["--to", "bob@bank.example"]);
    }
    arguments.extend_from_slice(options);
    probe(&arguments)
}

#[test]
fn the_dialogue_is_shown() {
    let sink = Sink::start(&[]);
    let said = ends(&send(&sink, &["--level", "verify", "--show"]), 0);
    for part in [
        "<- 220 localhost ESMTP",
        "-> EHLO ",
        "-> STARTTLS",
        "== TLSv1.3 ",
        "-> MAIL FROM:<ann@acme.example>",
        "-> RCPT TO:<bob@bank.example>",
        "octets of content)",
        "bob@bank.example delivered: 250 2.0.0",
        "-> QUIT",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn levels_hold() {
    for (kind, level, code, part) in [
        ("expired", "require", 0, "delivered"),
        ("expired", "verify", 1, "expired 3 days ago"),
        ("wrong-name", "chain", 0, "delivered"),
        ("wrong-name", "verify", 1, "wrong-name.invalid"),
        ("good", "verify", 0, "delivered"),
        ("good", "dane-only", 2, "nothing proves here what the DNS says"),
    ] {
        let sink = Sink::start(&["--kind", kind]);
        let said = ends(&send(&sink, &["--level", level]), code);
        assert!(said.contains(part), "{kind} {level}: {said}");
        if code == 0 {
            sink.told("message", 1);
        }
        assert_eq!(sink.messages().len(), usize::from(code == 0), "{kind} {level}");
    }
    let plain = Sink::start(&["--no-starttls"]);
    ends(&send(&plain, &["--level", "require"]), 1);
    assert!(plain.messages().is_empty());
    ends(&send(&plain, &["--level", "opportunistic"]), 0);
    ends(&send(&Sink::start(&[]), &["--level", "none"]), 0);
    assert!(plain.told("message", 1)[0]["tls"].is_null());
}

#[test]
fn refusals_and_delays_are_told_for_each_recipient() {
    let sink = Sink::start(&["--reply", "RCPT*1=550 5.1.1 nobody"]);
    let output = send(&sink, &["--to", "eve@bank.example", "--to", "bob@bank.example", "--json"]);
    ends(&output, 1);
    let answer = object(&output);
    assert_eq!((&answer["result"], &answer["recipients"][0]["delivered"]), (&"fails".into(), &false.into()));
    assert_eq!(answer["recipients"][0]["reply"], "550 5.1.1 nobody");
    assert_eq!(answer["recipients"][1]["delivered"], true);
    assert_eq!((&answer["tls"]["version"], &answer["certificate"]["trusted"]), (&"TLSv1.3".into(), &true.into()));
    let later = Sink::start(&["--reply", "MAIL=451 4.3.0 later"]);
    assert!(ends(&send(&later, &[]), 2).contains("not now: 451 4.3.0 later"));
    ends(&probe(&["send", "--to", "bob@bank.example", "--server", &closed().to_string()]), 1);
}

/// What Python's `email` makes of it.
mod with_python {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    const READ: &str = r#"
import sys, email, email.policy, json
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = [[part.get_content_type(), part.get_filename(), part.get_content() if part.get_content_maintype() == "text" else part.get_content().hex()]
         for part in message.walk() if not part.is_multipart()]
print(json.dumps({"subject": message["subject"], "to": message["to"], "level": message["x-tlslevel"], "parts": parts,
                  "defects": [str(defect) for part in message.walk() for defect in part.defects]}))
"#;

    #[test]
    #[ignore = "needs Python"]
    fn a_message_with_attachments_is_read_as_it_was_meant() {
        let sink = Sink::start(&[]);
        let file = sink.folder.path().join("a \u{fc}.pdf");
        std::fs::write(&file, [0_u8, 1, 254, 255].repeat(50)).unwrap();
        let subject = "Gr\u{fc}\u{df}e aus M\u{fc}nchen, und zwar so viele, dass ein Wort allein sie nicht fasst";
        let file = file.display().to_string();
        let options = [
            "--subject",
            subject,
            "--header",
            "X-TLSLevel: Require",
            "--body",
            "Sch\u{f6}n.\n.\nEnde",
            "--attach",
            &file,
            "--attach",
            &file,
        ];
        ends(&send(&sink, &options), 0);
        sink.told("message", 1);
        let mut python = Command::new("python3").args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        python.stdin.take().unwrap().write_all(sink.kept()[0].as_bytes()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!((&read["subject"], &read["level"], &read["to"]), (&subject.into(), &"Require".into(), &"bob@bank.example".into()));
        assert_eq!(read["parts"][0], serde_json::json!(["text/plain", null, "Sch\u{f6}n.\r\n.\r\nEnde\r\n"]));
        let attached = serde_json::json!(["application/pdf", "a \u{fc}.pdf", "0001feff".repeat(50)]);
        assert_eq!((&read["parts"][1], &read["parts"][2], &read["defects"]), (&attached, &attached, &serde_json::json!([])));
    }
}

#[test]
fn a_whole_message_is_sent_as_it_is() {
    let sink = Sink::start(&[]);
    let file = sink.folder.path().join("mail.eml");
    std::fs::write(&file, "From: a\nSubject: as it is\n\n..\nend\n").unwrap();
    ends(&send(&sink, &["--data", &file.display().to_string(), "--requiretls"]), 0);
    sink.told("message", 1);
    assert_eq!(sink.kept(), ["From: a\r\nSubject: as it is\r\n\r\n..\r\nend\r\n"]);
}

/// Some servers offer nothing but LOGIN.
#[test]
fn a_login_is_made_as_the_server_offers_it() {
    for (offered, lines) in [("LOGIN", 3), ("LOGIN PLAIN", 1)] {
        let sink = Sink::start(&[
            "--user",
            "ann:open sesame",
            "--reply",
            &format!("EHLO=250-localhost\\r\\n250-STARTTLS\\r\\n250 AUTH {offered}"),
        ]);
        let password = sink.folder.path().join("password");
        std::fs::write(&password, "open sesame").unwrap();
        let said = ends(&send(&sink, &["--user", "ann", "--password-file", &password.display().to_string(), "--show"]), 0);
        assert_eq!(said.matches("-> (hidden)").count(), lines, "{offered}: {said}");
        assert_eq!(sink.told("message", 1)[0]["login"], "ann", "{offered}");
    }
    // what it cannot do is said
    let sink = Sink::start(&["--user", "ann:x", "--reply", "EHLO=250-localhost\\r\\n250-STARTTLS\\r\\n250 AUTH CRAM-MD5"]);
    let password = sink.folder.path().join("password");
    std::fs::write(&password, "x").unwrap();
    let said = ends(&send(&sink, &["--user", "ann", "--password-file", &password.display().to_string()]), 1);
    assert!(
        said.contains("no such login, or not under TLS; it offers CRAM-MD5, and PLAIN and LOGIN are known") && sink.messages().is_empty(),
        "{said}"
    );
}

#[test]
fn requiretls_is_not_sent_to_a_server_without_it() {
    let sink = Sink::start(&["--without", "REQUIRETLS"]);
    let said = ends(&send(&sink, &["--requiretls"]), 1);
    assert!(said.contains("the server lacks REQUIRETLS"), "{said}");
    assert!(sink.messages().is_empty());
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["--to", "bob"][..],
        &["--to", "bob@b.example", "--from", "x y"],
        &["--to", "bob@b.example", "--to", "eve@e.example"],
        &["--to", "bob@b.example", "--level", "pinned"],
        &["--to", "bob@b.example", "--user", "ann"],
        &["--to", "bob@b.example", "--attach", "/nowhere"],
        &["--to", "bob@b.example", "--header", "nothing"],
        &[],
    ] {
        ends(&probe(&[&["send"], arguments].concat()), 64);
    }
}
