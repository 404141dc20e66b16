//! Known answers, hostile input, and what may be told to whom.

use sealpost_types::{ForwardPath, MailHost, OriginalRecipient};

use super::encode::is_plain;
use super::*;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn recipient(text: &str) -> DsnRecipient {
    let path = ForwardPath::Mailbox(mailbox(text));
    DsnRecipient::new(Recipient::new(path), Action::Failed, EnhancedStatus::new(5, 7, 10).unwrap(), "the server offers no STARTTLS")
}

fn dsn() -> Dsn {
    let relay = Domain::parse("relay.example").unwrap();
    Dsn::new(relay, "01JD8X", mailbox("alice@acme.example"), UnixMillis(1_763_784_727_123))
}

fn full() -> Dsn {
    let mut dsn = dsn();
    dsn.own_id = Some("01JZZZ".into());
    dsn.arrival = Some(UnixMillis(1_763_180_000_000));
    dsn.received_from = Some("client.acme.example ([192.0.2.7])".into());
    dsn.envelope_id = Some(EnvelopeId::new("QQ314159").unwrap());
    let mut bob = recipient("bob@bank.example");
    bob.recipient.original = Some(OriginalRecipient::new("rfc822", "Bob@bank.example").unwrap());
    bob.remote = Some("mx.bank.example".into());
    bob.reply = Some("454 4.7.0 TLS not available\n454 4.7.0 come back later".into());
    bob.level = Some("require".into());
    bob.source = Some("policy.toml:12".into());
    bob.last_attempt = Some(UnixMillis(1_763_784_720_000));
    dsn.recipients = vec![bob, recipient("carol@bank.example")];
    dsn.returned = Returned::Headers(b"From: <alice@acme.example>\r\nSubject: hello\r\n\r\nsecret body\r\n".to_vec());
    dsn
}

fn text(dsn: &Dsn) -> String {
    let bytes = dsn.to_bytes();
    assert!(bytes.is_ascii());
    assert!(is_plain(&bytes), "CRLF only, short lines, no NUL");
    String::from_utf8(bytes).unwrap()
}

// req: B9
#[test]
fn rfc3464_a_known_answer() {
    let expected = "\
Date: Sat, 22 Nov 2025 04:12:07 +0000
From: Mail Delivery System <MAILER-DAEMON@relay.example>
To: <alice@acme.example>
Subject: Your message could not be delivered
Message-ID: <01JZZZ.1763784727123.failed@relay.example>
MIME-Version: 1.0
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status;
 boundary=\"=_01JD8X\"

--=_01JD8X
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

This is the mail system of relay.example.
Your message was received at 2025-11-15T04:13:20.000Z as 01JD8X.

Your message could not be delivered to the addresses below. It will not be
tried again.

<bob@bank.example>
    Reason: the server offers no STARTTLS
    TLS was demanded at the level \"require\" by policy.toml:12.
    mx.bank.example replied: 454 4.7.0 TLS not available
    454 4.7.0 come back later

<carol@bank.example>
    Reason: the server offers no STARTTLS

The header of your message follows.

--=_01JD8X
Content-Type: message/delivery-status
Content-Transfer-Encoding: 7bit

Reporting-MTA: dns; relay.example
Received-From-MTA: dns; client.acme.example ([192.0.2.7])
Original-Envelope-Id: QQ314159
Arrival-Date: Sat, 15 Nov 2025 04:13:20 +0000

Original-Recipient: rfc822; Bob@bank.example
Final-Recipient: rfc822; bob@bank.example
Action: failed
Status: 5.7.10
Remote-MTA: dns; mx.bank.example
Diagnostic-Code: smtp; 454 4.7.0 TLS not available 454 4.7.0 come back later
Last-Attempt-Date: Sat, 22 Nov 2025 04:12:00 +0000
Final-Log-ID: 01JD8X

Final-Recipient: rfc822; carol@bank.example
Action: failed
Status: 5.7.10
Diagnostic-Code: x-sealpost; the server offers no STARTTLS
Final-Log-ID: 01JD8X

--=_01JD8X
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 7bit

From: <alice@acme.example>
Subject: hello

--=_01JD8X--
";
    assert_eq!(text(&full()).replace("\r\n", "\n"), expected);
}

#[test]
fn rfc3464_2_3_9_a_delay_says_until_when_and_never_gives_back_the_body() {
    let mut dsn = dsn();
    let mut bob = recipient("bob@bank.example");
    bob.action = Action::Delayed;
    bob.tried_until = Some(UnixMillis(1_764_389_527_123));
    dsn.recipients.push(bob);
    dsn.returned = Returned::Whole(b"Subject: hello\r\n\r\nsecret body\r\n".to_vec());
    let text = text(&dsn);
    assert!(text.contains("\r\nAction: delayed\r\n"), "{text}");
    assert!(text.contains("\r\nWill-Retry-Until: Sat, 29 Nov 2025 04:12:07 +0000\r\n"), "{text}");
    assert!(text.contains("    It is tried until 2025-11-29T04:12:07.123Z.\r\n"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

/// What expired says until when it was tried; the field for programs is for what is still tried.
// req: E5
#[test]
fn rfc3464_2_3_9_what_expired_has_failed() {
    let mut dsn = full();
    dsn.recipients[0].tried_until = Some(UnixMillis(1_763_784_720_000));
    let text = text(&dsn);
    assert!(text.contains("\r\nAction: failed\r\n") && !text.contains("Will-Retry-Until"), "{text}");
    assert!(text.contains("    It was tried until 2025-11-22T04:12:00.000Z, when its time was over.\r\n"), "{text}");
}

/// Who hears of what follows from the worst that happened; each recipient has its own.
// req: E5
#[test]
fn rfc3461_5_2_2_relayed_and_others_in_one_notification() {
    let mut dsn = full();
    let mut relayed = recipient("dora@old.example");
    (relayed.action, relayed.status) = (Action::Relayed, EnhancedStatus::new(2, 0, 0).unwrap());
    dsn.returned = Returned::Whole(b"Subject: hello\r\n\r\nthe body\r\n".to_vec());
    dsn.recipients.push(relayed.clone());
    let mixed = text(&dsn);
    assert!(mixed.contains("Subject: Your message could not be delivered\r\n") && mixed.contains("the body"), "{mixed}");
    assert!(mixed.contains("Final-Recipient: rfc822; dora@old.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n"), "{mixed}");
    dsn.recipients = vec![relayed];
    let alone = text(&dsn);
    assert!(alone.contains("Subject: Your message was relayed\r\n"), "{alone}");
    assert!(!alone.contains("the body") && !alone.contains("could not"), "{alone}");
}

#[test]
fn a_whole_message_is_given_back_as_far_as_it_may_be() {
    let mut dsn = full();
    let mail = b"Subject: hello\r\n\r\nthe body\r\n".to_vec();
    dsn.returned = Returned::Whole(mail.clone());
    assert!(
        text(&dsn)
            .contains("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: hello\r\n\r\nthe body\r\n\r\n--")
    );

    let long = [&mail[..], &b"x\r\n".repeat(RETURNED_OCTETS / 3)].concat();
    let eight_bit = "Subject: hello\r\n\r\nder K\u{f6}rper\r\n".as_bytes().to_vec();
    let bare = b"Subject: hello\r\n\r\nsmuggled\n.\nbody\r\n".to_vec();
    for mail in [long, eight_bit, bare] {
        dsn.returned = Returned::Whole(mail);
        let text = text(&dsn);
        assert!(text.contains("text/rfc822-headers") && text.contains("\r\nSubject: hello\r\n\r\n--"), "only the header");
        assert!(text.contains("The header of your message follows."));
    }
}

/// RFC 3461 section 6.2: who asks for all of it gets it, also beyond ASCII; the message says so in its own header.
// req: E5
#[test]
fn rfc6152_3_a_mail_beyond_ascii_is_given_back_where_8bitmime_may_be_asked_for() {
    let mut dsn = full();
    dsn.eight_bit = true;
    dsn.returned = Returned::Whole("Subject: hello\r\n\r\nder K\u{f6}rper\r\n".as_bytes().to_vec());
    let eight = String::from_utf8(dsn.to_bytes()).unwrap();
    assert!(eight.split("\r\n\r\n").next().unwrap().ends_with("\r\nContent-Transfer-Encoding: 8bit"), "{eight}");
    assert!(eight.contains("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: hello\r\n\r\nder K\u{f6}rper"));
    // Nothing else in it needs more than ASCII.
    dsn.returned = Returned::Whole(b"Subject: hello\r\n\r\nbody\r\n".to_vec());
    assert!(!text(&dsn).contains("8bit"));
    // A header beyond ASCII inside is not for a sender that may not read it.
    dsn.returned = Returned::Whole("Subject: Gr\u{fc}\u{df}e\r\n\r\nsecret\r\n".as_bytes().to_vec());
    let text = text(&dsn);
    assert!(text.contains("message/global-headers") && !text.contains("secret"), "{text}");
}

/// RFC 6522 section 4 and RFC 6533 section 5: both types may be encoded.
#[test]
fn a_header_beyond_ascii_is_encoded() {
    let mut dsn = full();
    dsn.returned = Returned::Headers("Subject: Gr\u{fc}\u{df}e = 1 \r\nX: y\r\n\r\nbody".as_bytes().to_vec());
    let utf8 = text(&dsn);
    assert!(
        utf8.contains(
            "message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: Gr=C3=BC=C3=9Fe =3D 1=20\r\nX: y\r\n"
        ),
        "{utf8}"
    );
    // What is no UTF-8 is no header of RFC 6532.
    dsn.returned = Returned::Headers(b"Subject: Gr\xfc\xdfe\r\n\r\n".to_vec());
    let latin = text(&dsn);
    assert!(latin.contains("text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: Gr=FC=DFe\r\n"), "{latin}");
}

#[test]
fn a_huge_header_is_cut_at_a_line() {
    let mut dsn = full();
    dsn.returned = Returned::Headers(b"X-Pad: 0123456789\r\n".repeat(10_000));
    let text = text(&dsn);
    assert!(text.len() < RETURNED_HEADER_OCTETS + 4096);
    assert!(text.contains("X-Pad: 0123456789\r\n\r\n--=_01JD8X--\r\n"));
}

/// Whatever others wrote, it can neither end a line, nor a part, nor a header.
#[test]
fn nothing_can_be_injected() {
    let evil = "x\r\nBcc: victim@example.org\r\n\r\n--=_01JD8X\r\nContent-Type: text/html\r\n\r\n<b>\u{0}\u{7f}";
    let mut dsn = full();
    let bob = &mut dsn.recipients[0];
    bob.reason = evil.into();
    bob.reply = Some(evil.into());
    bob.remote = Some(evil.into());
    bob.level = Some(evil.into());
    bob.source = Some(evil.into());
    dsn.received_from = Some(evil.into());
    dsn.own_id = Some(evil.into());
    dsn.queue_id = evil.into();
    dsn.returned = Returned::Headers(format!("Subject: a\r\n--=_xBccvictim\r\n--=_xBcc\r\n--{}\r\n", "=_01JD8X").into_bytes());
    let text = text(&dsn);
    let boundary = text.split_once("boundary=\"").unwrap().1.split_once('"').unwrap().0;
    let marks = text.lines().filter(|line| line.starts_with(&format!("--{boundary}"))).count();
    assert_eq!(marks, 4, "three parts and the end: {text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("Bcc:")).count(), 0, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("Content-Type: ")).count(), 4, "{text}");
}

#[test]
fn a_boundary_that_the_mail_knows_is_not_used() {
    let mut dsn = full();
    dsn.returned = Returned::Headers(b"Subject: a\r\n--=_01JD8X--\r\n--=_01JD8X_1\r\n".to_vec());
    assert!(text(&dsn).contains("boundary=\"=_01JD8X_2\""));
}

#[test]
fn long_words_and_replies_stay_within_a_line() {
    let mut dsn = full();
    dsn.recipients[0].reply = Some(format!("550 {} {}", "x".repeat(5000), "word ".repeat(1000)));
    dsn.recipients[0].reason = "\u{e4}".repeat(3000);
    text(&dsn); // checks the length of every line
}

/// RFC 6533 section 3: to a sender with an address of ASCII, others are written in ASCII.
// req: E5
#[test]
fn rfc6533_3_addresses_beyond_ascii() {
    let mut dsn = full();
    dsn.recipients = vec![recipient("b\u{f6}b+x@bank.example")];
    dsn.recipients[0].recipient.original = Some(OriginalRecipient::new("utf-8", "\u{2603}@bank.example").unwrap());
    let text = text(&dsn);
    assert!(text.contains("\r\nContent-Type: message/delivery-status\r\n"), "{text}");
    assert!(text.contains("\r\nOriginal-Recipient: utf-8; \\x{2603}@bank.example\r\n"), "{text}");
    assert!(text.contains("\r\nFinal-Recipient: utf-8; b\\x{F6}b\\x{2B}x@bank.example\r\n"), "{text}");
}

/// RFC 6533 section 4 and 5: a sender with an address beyond ASCII reads UTF-8.
// req: E5
#[test]
fn rfc6533_4_a_sender_beyond_ascii_gets_the_global_forms() {
    let mut dsn = full();
    dsn.to = mailbox("j\u{f6}rg@acme.example");
    dsn.recipients = vec![recipient("b\u{f6}b+x@bank.example")];
    dsn.recipients[0].reply = Some("550 5.1.1 <b\u{f6}b+x@bank.example> is nobody".into());
    dsn.returned = Returned::Headers("Subject: Gr\u{fc}\u{df}e\r\n\r\nsecret".as_bytes().to_vec());
    let text = String::from_utf8(dsn.to_bytes()).unwrap();
    for part in [
        "\r\nTo: <j\u{f6}rg@acme.example>\r\n",
        "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--=",
        "\r\nContent-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
        "\r\nFinal-Recipient: utf-8; b\u{f6}b+x@bank.example\r\n",
        "\r\nDiagnostic-Code: smtp; 550 5.1.1 <b\u{f6}b+x@bank.example> is nobody\r\n",
        "\r\nContent-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: Gr\u{fc}\u{df}e\r\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    dsn.returned = Returned::Whole("Subject: Gr\u{fc}\u{df}e\r\n\r\nbody\r\n".as_bytes().to_vec());
    let text = String::from_utf8(dsn.to_bytes()).unwrap();
    assert!(
        text.contains("\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nbody")
    );
}

#[test]
fn german_reads_as_german() {
    let mut dsn = full();
    dsn.lang = Lang::De;
    let text = text(&dsn);
    assert!(text.contains("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{text}");
    assert!(text.contains("Dies ist das Mailsystem von relay.example."), "{text}");
    assert!(text.contains("TLS wurde in der Stufe"), "{text}");
}

#[test]
fn postmaster_and_literals_have_an_address_too() {
    let mut dsn = full();
    let status = EnhancedStatus::new(4, 4, 7).unwrap();
    let literal = Mailbox::new(
        sealpost_types::LocalPart::parse("root").unwrap(),
        MailHost::Literal(sealpost_types::AddressLiteral([192, 0, 2, 1].into())),
    );
    dsn.recipients = vec![
        DsnRecipient::new(Recipient::new(ForwardPath::Postmaster), Action::Failed, status, "r"),
        DsnRecipient::new(Recipient::new(ForwardPath::Mailbox(literal)), Action::Failed, status, "r"),
    ];
    let text = text(&dsn);
    assert!(text.contains("Final-Recipient: rfc822; Postmaster\r\n"));
    assert!(text.contains("Final-Recipient: rfc822; root@[192.0.2.1]\r\n"));
}

/// RFC 5321 section 4.5.5, RFC 3461 section 4.1.
// req: E5
#[test]
fn never_a_notification_about_a_notification() {
    let alice = ReversePath::Mailbox(mailbox("alice@acme.example"));
    let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
    for (sender, asked, failed, delayed, relayed) in [
        (&ReversePath::Null, None, false, false, false),
        (&ReversePath::Null, on(true, true, true), false, false, false),
        (&alice, None, true, true, false),
        (&alice, Some(Notify::Never), false, false, false),
        (&alice, on(false, true, false), true, false, false),
        (&alice, on(true, false, true), false, true, true),
        (&alice, on(true, false, false), false, false, true),
    ] {
        assert_eq!(may_notify(sender, asked, Action::Failed), failed, "{sender:?} {asked:?}");
        assert_eq!(may_notify(sender, asked, Action::Delayed), delayed, "{sender:?} {asked:?}");
        assert_eq!(may_notify(sender, asked, Action::Relayed), relayed, "{sender:?} {asked:?}");
    }
}
