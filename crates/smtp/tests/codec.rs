//! Commands and extensions as octets and as values: known answers, their inverse, and mistakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sealpost_smtp::{
    AuthMechanism, Command, CommandError, Extension, Extensions, HelloName, MailCommand, Missing, Offer, Parameter, RcptCommand, Reply,
    Secret, TextLine, Transaction, Verb, missing_for,
};
use sealpost_types::{
    BodyKind, EnvelopeId, ForwardPath, LocalPart, MailHost, Mailbox, Notify, Octets, OriginalRecipient, Recipient, ReplyCode, Ret,
    ReversePath,
};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn mail(text: &str, change: impl FnOnce(&mut MailCommand)) -> Command {
    let mut mail = MailCommand::new(if text.is_empty() { ReversePath::Null } else { mailbox(text).into() });
    change(&mut mail);
    Command::Mail(mail)
}

fn rcpt(text: &str, change: impl FnOnce(&mut RcptCommand)) -> Command {
    let mut rcpt = RcptCommand::new(mailbox(text).into());
    change(&mut rcpt);
    Command::Rcpt(rcpt)
}

fn line(text: &str) -> TextLine {
    TextLine::new(text).unwrap()
}

fn encoded(command: &Command) -> String {
    let mut wire = Vec::new();
    command.encode(&mut wire);
    String::from_utf8(wire).unwrap()
}

/// Decode, compare, encode, decode; then the same with other cases and spaces.
fn both_ways(cases: Vec<(Command, &str)>) {
    for (command, text) in cases {
        assert_eq!(Command::parse(text.as_bytes()).as_ref(), Ok(&command), "{text}");
        assert_eq!(encoded(&command), format!("{text}\r\n"));
        let (verb, rest) = text.split_at(4);
        let other = format!("{}{rest} \t", verb.to_ascii_lowercase());
        assert_eq!(Command::parse(other.as_bytes()).as_ref(), Ok(&command), "{other}");
    }
}

#[test]
fn rfc5321_4_1_1_known_answers() {
    both_ways(vec![
        (Command::Helo(HelloName::new("a.example").unwrap()), "HELO a.example"),
        (Command::Ehlo(HelloName::new("[IPv6:::1]").unwrap()), "EHLO [IPv6:::1]"),
        (mail("", |_| {}), "MAIL FROM:<>"),
        (mail("\"a b\"@c.example", |_| {}), "MAIL FROM:<\"a b\"@c.example>"),
        (rcpt("a@[192.0.2.1]", |_| {}), "RCPT TO:<a@[192.0.2.1]>"),
        (Command::Rcpt(RcptCommand::new(ForwardPath::Postmaster)), "RCPT TO:<Postmaster>"),
        (Command::Data, "DATA"),
        (Command::Rset, "RSET"),
        (Command::Noop, "NOOP"),
        (Command::Quit, "QUIT"),
        (Command::Vrfy(line("John Smith")), "VRFY John Smith"),
        (Command::Expn(line("list")), "EXPN list"),
        (Command::Help(None), "HELP"),
        (Command::Help(Some(line("MAIL"))), "HELP MAIL"),
    ]);
}

#[test]
fn rfc3207_rfc3030_rfc4954_known_answers() {
    let auth = |mechanism, initial: Option<&str>| Command::Auth { mechanism, initial: initial.map(Secret::new) };
    both_ways(vec![
        (Command::StartTls, "STARTTLS"),
        (Command::Bdat { size: Octets(0), last: true }, "BDAT 0 LAST"),
        (Command::Bdat { size: Octets(u64::MAX), last: false }, "BDAT 18446744073709551615"),
        (auth(AuthMechanism::Plain, None), "AUTH PLAIN"),
        (auth(AuthMechanism::Plain, Some("\0tim\0tanstaaf")), "AUTH PLAIN AHRpbQB0YW5zdGFhZg=="),
        (auth(AuthMechanism::Plain, Some("")), "AUTH PLAIN ="),
        (auth(AuthMechanism::parse("SCRAM-SHA-256").unwrap(), None), "AUTH SCRAM-SHA-256"),
    ]);
}

#[test]
fn rfc1870_rfc6152_rfc6531_rfc8689_rfc3461_parameters_known_answers() {
    let original = |kind: &str, address: &str| OriginalRecipient::new(kind, address).ok();
    both_ways(vec![
        (mail("a@b.example", |m| m.size = Some(Octets(500_000))), "MAIL FROM:<a@b.example> SIZE=500000"),
        (mail("a@b.example", |m| m.body = BodyKind::EightBitMime), "MAIL FROM:<a@b.example> BODY=8BITMIME"),
        (mail("a@b.example", |m| m.body = BodyKind::BinaryMime), "MAIL FROM:<a@b.example> BODY=BINARYMIME"),
        (mail("jörg@b.example", |m| m.smtputf8 = true), "MAIL FROM:<jörg@b.example> SMTPUTF8"),
        (mail("a@b.example", |m| m.require_tls = true), "MAIL FROM:<a@b.example> REQUIRETLS"),
        (
            mail("a@b.example", |m| {
                m.ret = Some(Ret::Headers);
                m.envelope_id = EnvelopeId::new("QQ+314=159 x").ok();
            }),
            "MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B314+3D159+20x",
        ),
        (mail("a@b.example", |m| m.auth = Some(ReversePath::Null)), "MAIL FROM:<a@b.example> AUTH=<>"),
        (mail("a@b.example", |m| m.auth = Some(mailbox("e+mc2@b.example").into())), "MAIL FROM:<a@b.example> AUTH=e+2Bmc2@b.example"),
        (rcpt("a@b.example", |r| r.notify = Some(Notify::Never)), "RCPT TO:<a@b.example> NOTIFY=NEVER"),
        (
            rcpt("a@b.example", |r| {
                r.notify = Some(Notify::On { success: true, failure: false, delay: true });
                r.original = original("rfc822", "Bob@b.example");
            }),
            "RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@b.example",
        ),
        (rcpt("a@b.example", |r| r.original = original("utf-8", "jörg+x@b")), "RCPT TO:<a@b.example> ORCPT=utf-8;j\\x{F6}rg\\x{2B}x@b"),
    ]);
    // Read and not written again: the default, and a mailbox that is none.
    assert_eq!(Command::parse(b"MAIL FROM:<a@b.example> BODY=7bit"), Ok(mail("a@b.example", |_| {})));
    assert_eq!(Command::parse(b"MAIL FROM:<a@b.example> AUTH=hugo"), Ok(mail("a@b.example", |m| m.auth = Some(ReversePath::Null))));
}

#[test]
fn rfc5321_4_1_1_mistakes_are_named() {
    let error = |text: &str| Command::parse(text.as_bytes()).unwrap_err();
    for (text, verb) in [("EHLO", Verb::Ehlo), ("MAIL", Verb::Mail), ("RCPT ", Verb::Rcpt), ("BDAT", Verb::Bdat), ("AUTH", Verb::Auth)] {
        assert_eq!(error(text), CommandError::ArgumentMissing { verb });
    }
    for (text, verb) in [("DATA x", Verb::Data), ("QUIT x", Verb::Quit), ("RSET x", Verb::Rset), ("STARTTLS x", Verb::StartTls)] {
        assert_eq!(error(text), CommandError::ArgumentUnexpected { verb });
    }
    for text in ["BDAT x", "BDAT -1", "BDAT 1 LAS", "BDAT 1LAST", "BDAT 1 LAST x", "BDAT 18446744073709551616", "BDAT 1 2"] {
        assert_eq!(error(text), CommandError::Argument { verb: Verb::Bdat }, "{text}");
    }
    for text in ["MAIL FROM", "MAIL TO:<a@b.example>", "MAIL FROM:a@b.example", "MAIL FROM:<a@b.example", "MAIL FROM:<a@b.example>x"] {
        assert_eq!(error(text), CommandError::ReversePathSyntax, "{text}");
    }
    for text in ["RCPT TO", "RCPT FROM:<a@b.example>", "RCPT TO:<>", "RCPT TO:a@b.example"] {
        assert_eq!(error(text), CommandError::ForwardPathSyntax, "{text}");
    }
    let parameters = [
        ("SIZE=x", Parameter::Size),
        ("SIZE", Parameter::Size),
        ("SIZE=18446744073709551616", Parameter::Size),
        ("SIZE=000000000000000000001", Parameter::Size),
        ("BODY=9BIT", Parameter::Body),
        ("SMTPUTF8=1", Parameter::SmtpUtf8),
        ("REQUIRETLS=yes", Parameter::RequireTls),
        ("RET=SOME", Parameter::Ret),
        ("ENVID=a+", Parameter::EnvelopeId),
        ("ENVID=+0D+0A", Parameter::EnvelopeId),
        ("AUTH=+2", Parameter::Auth),
    ];
    for (text, parameter) in parameters {
        assert_eq!(error(&format!("MAIL FROM:<> {text}")), CommandError::ParameterValue { parameter }, "{text}");
    }
    let parameters = [
        ("NOTIFY=", None),
        ("NOTIFY=NEVER,SUCCESS", Some(Parameter::Notify)),
        ("NOTIFY=SUCCESS,", Some(Parameter::Notify)),
        ("ORCPT=a@b", Some(Parameter::OriginalRecipient)),
        ("ORCPT=rfc822;", Some(Parameter::OriginalRecipient)),
        ("ORCPT=rfc822;+00", Some(Parameter::OriginalRecipient)),
        ("ORCPT=utf-8;\\x{A}", Some(Parameter::OriginalRecipient)),
    ];
    for (text, parameter) in parameters {
        let expected = parameter.map_or(CommandError::ParameterSyntax, |parameter| CommandError::ParameterValue { parameter });
        assert_eq!(error(&format!("RCPT TO:<a@b.example> {text}")), expected, "{text}");
    }
    assert_eq!(error("MAIL FROM:<> RET=FULL ret=HDRS"), CommandError::DuplicateParameter { parameter: Parameter::Ret });
    assert_eq!(error("MAIL FROM:<> NOTIFY=NEVER"), CommandError::UnknownParameter { keyword: "NOTIFY".to_owned() });
    assert_eq!(error("MAIL FROM:<> =1"), CommandError::ParameterSyntax);
    assert_eq!(error("NOOP \0"), CommandError::Nul { offset: 5 });
    assert_eq!(error("NOOP \r\nQUIT"), CommandError::BareCarriageReturn { offset: 5 });
}

#[test]
fn hello_names_may_be_odd_and_say_when_they_are_hosts() {
    let name = |text| HelloName::new(text).unwrap();
    assert!(matches!(name("Mail.Example").as_host(), Some(MailHost::Domain(domain)) if domain.as_str() == "mail.example"));
    assert!(matches!(name("[192.0.2.1]").as_host(), Some(MailHost::Literal(_))));
    assert_eq!(name("My PC").as_host(), None);
    assert_eq!(HelloName::new(&"x".repeat(256)), None);
    assert_eq!(HelloName::new("a\nb"), None);
}

#[test]
fn rfc5321_4_1_1_1_extensions_known_answers() {
    for (text, extension) in [
        ("PIPELINING", Extension::Pipelining),
        ("SIZE", Extension::Size(None)),
        ("SIZE 0", Extension::Size(Some(Octets(0)))),
        ("SIZE 1000", Extension::Size(Some(Octets(1000)))),
        ("8BITMIME", Extension::EightBitMime),
        ("SMTPUTF8", Extension::SmtpUtf8),
        ("STARTTLS", Extension::StartTls),
        ("CHUNKING", Extension::Chunking),
        ("BINARYMIME", Extension::BinaryMime),
        ("DSN", Extension::Dsn),
        ("ENHANCEDSTATUSCODES", Extension::EnhancedStatusCodes),
        ("REQUIRETLS", Extension::RequireTls),
        ("AUTH PLAIN X-Y", Extension::Auth(vec![AuthMechanism::Plain, AuthMechanism::parse("X-Y").unwrap()])),
        ("HELP", Extension::Help),
    ] {
        assert_eq!(Extension::parse(text), Some(extension.clone()), "{text}");
        assert_eq!(
            Extension::parse(&format!(" {} ", text.to_ascii_lowercase())).map(|e| e.to_string().to_ascii_uppercase()).as_deref(),
            Some(text)
        );
        assert_eq!(extension.to_string(), text);
    }
    for other in ["SIZE x", "SIZE -1", "AUTH=LOGIN", "XCLIENT NAME ADDR"] {
        assert!(matches!(Extension::parse(other), Some(Extension::Other(line)) if line.as_str() == other), "{other}");
    }
    assert_eq!(Extension::parse("  "), None);
    let none = Extensions::from_reply(&Reply::plain::<250>("PIPELINING"));
    assert!(none.is_empty(), "the first line is the server's name");
}

#[test]
fn rfc1870_4_a_limit_of_zero_is_none() {
    let limit = |text| Extensions::from_reply(&Reply::plain::<250>(format!("mx\n{text}"))).size_limit();
    assert_eq!(limit("SIZE 0"), None);
    assert_eq!(limit("SIZE"), None);
    assert_eq!(limit("SIZE 9"), Some(Octets(9)));
}

#[test]
fn an_offer_lists_what_may_be_used_now() {
    let mut offer = Offer::default();
    (offer.starttls, offer.require_tls, offer.auth) = (true, true, vec![AuthMechanism::Plain]);
    let clear = offer.extensions(false, Octets(9));
    let tls = offer.extensions(true, Octets(9));
    assert!(clear.starttls() && !clear.require_tls() && clear.auth().is_empty());
    assert!(!tls.starttls() && tls.require_tls() && tls.auth() == [AuthMechanism::Plain]);
    let reply = tls.to_reply(&"mx.example");
    assert_eq!(Extensions::from_reply(&reply), tls);
}

#[test]
fn what_a_message_needs_and_a_server_lacks() {
    let message = |change: fn(&mut Transaction)| {
        let mut message = Transaction::new(ReversePath::Null, vec![Recipient::new(mailbox("b@b.example").into())], Octets(10));
        change(&mut message);
        missing_for(&message, &Extensions::from_reply(&Reply::plain::<250>("mx\nSIZE 9")))
    };
    assert_eq!(message(|m| m.body_length = Octets(9)), []);
    assert_eq!(message(|_| {}), [Missing::Size { limit: Octets(9) }]);
    let small =
        |change: fn(&mut Transaction)| message(change).into_iter().filter(|m| !matches!(m, Missing::Size { .. })).collect::<Vec<_>>();
    assert_eq!(small(|m| m.body = BodyKind::EightBitMime), [Missing::EightBitMime]);
    assert_eq!(small(|m| m.body = BodyKind::BinaryMime), [Missing::BinaryMime]);
    assert_eq!(small(|m| m.smtputf8 = true), [Missing::SmtpUtf8]);
    assert_eq!(small(|m| m.reverse_path = mailbox("ü@a.example").into()), [Missing::SmtpUtf8]);
    assert_eq!(small(|m| m.require_tls = true), [Missing::RequireTls]);
    assert_eq!(small(|m| m.ret = Some(Ret::Full)), [Missing::Dsn]);
    let forbids: Vec<bool> = [
        Missing::EightBitMime,
        Missing::BinaryMime,
        Missing::SmtpUtf8,
        Missing::RequireTls,
        Missing::Dsn,
        Missing::Size { limit: Octets(9) },
    ]
    .map(Missing::forbids_sending)
    .to_vec();
    assert_eq!(forbids, [false, true, true, true, false, false]);
}

fn any_mailbox() -> impl Strategy<Value = Mailbox> {
    let local = prop_oneof!["[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,10}(\\.[a-z]{1,5})?", "\"([a-z @<>,.;:]|\\\\[\"\\\\]){0,10}\""];
    let host = prop_oneof!["[a-z0-9]{1,10}(\\.[a-z]{2,5}){0,2}", "\\[192\\.0\\.2\\.[1-9]\\]"];
    (local, host).prop_map(|(local, host)| Mailbox::parse(&format!("{local}@{host}")).expect("a mailbox by its grammar"))
}

fn any_mail() -> impl Strategy<Value = Command> {
    let paths = (option::of(any_mailbox()), option::of(option::of(any_mailbox())));
    let flags = (any::<bool>(), any::<bool>(), option::of(any::<bool>()), 0..3_u8);
    (paths, flags, option::of(any::<u64>()), option::of("[ -~]{1,30}")).prop_map(|((from, auth), (utf8, tls, full, body), size, id)| {
        let path = |mailbox: Option<Mailbox>| mailbox.map_or(ReversePath::Null, Into::into);
        let mut mail = MailCommand::new(path(from));
        mail.auth = auth.map(path);
        mail.smtputf8 = utf8;
        mail.require_tls = tls;
        mail.ret = full.map(|full| if full { Ret::Full } else { Ret::Headers });
        mail.body = [BodyKind::SevenBit, BodyKind::EightBitMime, BodyKind::BinaryMime][usize::from(body)];
        mail.size = size.map(Octets);
        mail.envelope_id = id.map(|id| EnvelopeId::new(&id).unwrap());
        Command::Mail(mail)
    })
}

fn any_rcpt() -> impl Strategy<Value = Command> {
    let on = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(success, failure, delay)| match (success, failure, delay) {
        (false, false, false) => Notify::Never,
        _ => Notify::On { success, failure, delay },
    });
    let original = ("rfc822|utf-8|X-y", "[ -~äß☃+=\\\\]{1,20}").prop_map(|(kind, text)| OriginalRecipient::new(&kind, &text).unwrap());
    (option::of(any_mailbox()), option::of(on), option::of(original)).prop_map(|(to, notify, original)| {
        let mut rcpt = RcptCommand::new(to.map_or(ForwardPath::Postmaster, Into::into));
        rcpt.notify = notify;
        rcpt.original = original;
        Command::Rcpt(rcpt)
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    let text = "[!-~ü]([ -~ü]{0,20}[!-~])?".prop_map(|text| TextLine::new(&text).unwrap());
    let name = "[!-~ü]([ -~ü]{0,20}[!-~])?".prop_map(|text| HelloName::new(&text).unwrap());
    let mechanism = prop_oneof![Just(AuthMechanism::Plain), Just(AuthMechanism::Login), Just(AuthMechanism::parse("X-Y").unwrap())];
    prop_oneof![
        any_mail(),
        any_rcpt(),
        name.prop_map(Command::Ehlo),
        text.clone().prop_map(Command::Vrfy),
        option::of(text).prop_map(Command::Help),
        (any::<u64>(), any::<bool>()).prop_map(|(size, last)| Command::Bdat { size: Octets(size), last }),
        (mechanism, option::of(vec(any::<u8>(), 0..40)))
            .prop_map(|(mechanism, initial)| Command::Auth { mechanism, initial: initial.map(Secret::new) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn commands_survive_the_wire(command in any_command()) {
        let wire = encoded(&command);
        prop_assert_eq!(Command::parse(wire.strip_suffix("\r\n").unwrap().as_bytes()), Ok(command));
    }

    #[test]
    fn replies_survive_the_wire(code in 200..600_u16, status in option::of((0..1000_u16, 0..1000_u16)), text in "([ -~ü\t\r\0]{0,700}\n?){0,3}") {
        let status = status.and_then(|(subject, detail)| sealpost_types::EnhancedStatus::new(5, subject, detail));
        let reply = Reply::new(ReplyCode::new(code).unwrap(), status, text);
        let mut wire = Vec::new();
        reply.encode(&mut wire);
        prop_assert!(wire.split_inclusive(|octet| *octet == b'\n').all(|line| line.len() <= 512 && line.ends_with(b"\r\n")));
        prop_assert_eq!(Reply::parse(&wire), Ok(reply));
    }

    #[test]
    fn local_parts_of_any_kind_are_quoted_right(text in "[ -~]{0,30}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let local = LocalPart::parse(&quoted).unwrap();
        let command = Command::Rcpt(RcptCommand::new(Mailbox::new(local, mailbox("x@b.example").host().clone()).into()));
        let wire = encoded(&command);
        prop_assert_eq!(Command::parse(wire.trim_end().as_bytes()), Ok(command));
    }
}
