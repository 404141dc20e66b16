//! Addresses, names, patterns, and the small words of settings.

use sealpost_cipher::parse_tls13;
use sealpost_policy::{AddressPattern, AddressSet, ClientPattern, Face, FieldName, Pattern};
use sealpost_queue::QueueId;
use sealpost_report::parse_moment;
use sealpost_report::tlsrpt::Day;
use sealpost_smtp::{Command, HelloName};
use sealpost_transport::HttpsUrl;
use sealpost_types::{
    AddressLiteral, CipherSuite, DOMAIN_OCTETS, Domain, EnvelopeId, KexFloor, Level, LocalPart, Mailbox, MxPattern, NextHop,
    OriginalRecipient, Pin, ReferenceName, UnixMillis, parse_span,
};

use crate::choice::text;
use crate::lines::check_error;

/// What is read says itself as a text that reads as the same.
fn comes_back<T: std::str::FromStr + PartialEq + std::fmt::Debug + std::fmt::Display>(text: &str)
where
    T::Err: std::fmt::Display,
{
    match text.parse::<T>() {
        Ok(value) => match value.to_string().parse::<T>() {
            Ok(again) => assert_eq!(again, value, "{text:?}"),
            Err(error) => panic!("{text:?} reads as {value:?}, which says itself as {value}, which does not read: {error}"),
        },
        Err(error) => check_error(&error),
    }
}

/// Domains, mailboxes, literals, references and next hops.
pub fn addresses(input: &[u8]) {
    let text = text(input);
    let text = &*text;
    match Domain::parse(text) {
        Ok(domain) => {
            let name = domain.as_str();
            assert!(name.len() <= DOMAIN_OCTETS && name.is_ascii() && !name.ends_with('.'), "{name:?}");
            assert_eq!(name, name.to_ascii_lowercase());
            assert!(domain.suffixes().all(|suffix| domain.ancestor(suffix).is_some()));
        }
        Err(error) => check_error(&error),
    }
    comes_back::<Domain>(text);
    comes_back::<Mailbox>(text);
    comes_back::<MxPattern>(text);
    comes_back::<ReferenceName>(text);
    comes_back::<NextHop>(text);
    comes_back::<HttpsUrl>(text);
    if let Ok(local) = LocalPart::parse(text) {
        assert_eq!(LocalPart::parse(local.as_str()), Ok(local.clone()));
        assert!(local.is_quoted() || local.unquoted() == local.as_str());
    }
    if let Ok(literal) = AddressLiteral::parse(text) {
        assert_eq!(AddressLiteral::parse(&literal.to_string()), Ok(literal));
    }
    if let Ok(mailbox) = Mailbox::parse(text) {
        let path = format!("RCPT TO:<{mailbox}>");
        assert!(Command::parse(path.as_bytes()).is_ok(), "{path}");
        assert!(!path.contains(['\r', '\n', '\0']), "{path:?}");
    }
    if let Some(name) = HelloName::new(text) {
        assert!(Command::parse(format!("EHLO {name}").as_bytes()).is_ok(), "{name}");
    }
}

/// Patterns say what they are, and a set of them finds what one of them matches.
pub fn patterns(input: &[u8]) {
    let text = text(input);
    let (mut patterns, mut mailboxes, mut domains) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.split('\n').take(32) {
        patterns.extend(line.parse::<AddressPattern>().ok());
        mailboxes.extend(Mailbox::parse(line).ok());
        domains.extend(line.parse::<Pattern>().ok());
        match line.parse::<Pattern>() {
            Ok(pattern) => assert_eq!(pattern.to_string().parse::<Pattern>().map(|again| again.to_string()), Ok(pattern.to_string())),
            Err(error) => check_error(&error),
        }
        match line.parse::<AddressPattern>() {
            Ok(pattern) => {
                let again = pattern.to_string().parse::<AddressPattern>().map(|again| again.to_string());
                assert_eq!(again, Ok(pattern.to_string()), "{line:?}");
            }
            Err(error) => check_error(&error),
        }
        match line.parse::<ClientPattern>() {
            Ok(pattern) => assert_eq!(pattern.to_string().parse::<ClientPattern>().map(|again| again.to_string()), Ok(pattern.to_string())),
            Err(error) => check_error(&error),
        }
    }
    let set = AddressSet::new(patterns.iter().cloned(), "+");
    for mailbox in &mailboxes {
        let face = Face::of(mailbox);
        let found = patterns.iter().any(|pattern| pattern.matches(&face, "+"));
        assert_eq!(set.matches(&face).is_some(), found, "{mailbox} in {patterns:?}");
        for pattern in &domains {
            // A pattern that covers a name covers it however it is written.
            if let Some(domain) = mailbox.domain() {
                let upper = Domain::parse(&domain.as_str().to_ascii_uppercase()).expect("the same name");
                assert_eq!(pattern.matches(domain), pattern.matches(&upper));
            }
        }
    }
}

/// Spans, moments, levels, pins, suites, ids: nothing is read as two things.
pub fn words(input: &[u8]) {
    let text = text(input);
    let text = &*text;
    if let Err(error) = parse_span(text) {
        check_error(&error);
    }
    let now = UnixMillis(1_790_000_000_000);
    if let Err(error) = parse_moment(text, now) {
        check_error(&error);
    }
    comes_back::<Level>(text);
    comes_back::<KexFloor>(text);
    comes_back::<Pin>(text);
    comes_back::<QueueId>(text);
    if let Ok(day) = text.parse::<Day>() {
        assert_eq!(day.to_string().parse::<Day>().ok(), Some(day));
        assert!(day.start() <= day.last_second() && Day::of(day.start()) == day && Day::of(day.last_second()) == day);
    }
    if let Ok(suite) = text.parse::<CipherSuite>() {
        assert_eq!(suite.to_string().parse(), Ok(suite));
    }
    if let Err(error) = parse_tls13(text) {
        check_error(&error);
    }
    if let Ok(name) = text.parse::<FieldName>() {
        assert!(name.as_str().bytes().all(|octet| octet.is_ascii_graphic() && octet != b':'));
    }
}

/// ENVID and ORCPT: what a client writes in xtext is what is kept, and goes out as it came in.
pub fn xtext(input: &[u8]) {
    for before in ["MAIL FROM:<> ENVID=", "RCPT TO:<a@b.example> ORCPT=rfc822;", "RCPT TO:<a@b.example> ORCPT=utf-8;", "MAIL FROM:<> AUTH="]
    {
        let line = [before.as_bytes(), input].concat();
        let Ok(command) = Command::parse(&line) else { continue };
        let mut wire = Vec::new();
        command.encode(&mut wire);
        let again = wire.strip_suffix(b"\r\n").expect("a CRLF at its end");
        assert!(!again.iter().any(u8::is_ascii_control), "{again:?}");
        assert_eq!(Command::parse(again), Ok(command), "{:?}", String::from_utf8_lossy(again));
    }
    let text = text(input);
    if let Ok(id) = EnvelopeId::new(&text) {
        assert_eq!(id.as_str(), text);
    }
    if let Some((kind, address)) = text.split_once(';')
        && let Ok(original) = OriginalRecipient::new(kind, address)
    {
        assert_eq!((original.address_type(), original.address()), (kind, address));
    }
}
