//! What recipient domains publish, and what is reported: to them, to senders, and to the history.

use std::sync::LazyLock;

use sealpost_discovery::{DnssecAnchors, MX_HOSTS_TRIED, MxSet, STS_MAX_AGE, StsRecord, parse_sts_policy};
use sealpost_report::tlsrpt::{DkimSigner, RUA_COUNT, ReportAddress, TlsrptRecord, pack, read_report, unpack};
use sealpost_report::{Action, Clock, Dsn, DsnRecipient, Event, Lang, Returned, TextStyle};
use sealpost_types::{Domain, EnhancedStatus, ForwardPath, Mailbox, Recipient, UnixMillis};

use crate::choice::{Choices, pieces, text};
use crate::lines::{check_error, check_message, check_shown};

/// TXT records: an id of 1 to 32 letters and digits, or none, whatever stands beside.
pub fn sts_record(input: &[u8]) {
    let mut records = pieces(input);
    match StsRecord::read(&records) {
        Ok(Some(record)) => {
            assert!((1..=32).contains(&record.id.len()) && record.id.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{:?}", record.id);
            records.push(b"v=spf1 -all".to_vec());
            assert_eq!(StsRecord::read(&records), Ok(Some(record)), "a record of something else counts");
        }
        Ok(None) => {}
        Err(error) => check_error(&error),
    }
    records.reverse();
    drop(StsRecord::read(&records));
}

/// A policy: what it says is in bounds, and written plainly it says the same.
pub fn sts_policy(input: &[u8]) {
    match parse_sts_policy(input) {
        Ok(policy) => {
            assert!(policy.max_age <= STS_MAX_AGE);
            let mx: String = policy.mx.iter().map(|pattern| format!("mx: {pattern}\r\n")).collect();
            let written = format!("version: STSv1\r\nmode: {}\r\n{mx}max_age: {}\r\n", policy.mode, policy.max_age.as_secs());
            assert_eq!(parse_sts_policy(written.as_bytes()), Ok(policy), "{written}");
        }
        Err(error) => check_error(&error),
    }
    if let Err(error) = DnssecAnchors::parse(&text(input)) {
        check_error(&error);
    }
}

/// MX records: hosts in order, each once, none that is no host.
pub fn mx_records(input: &[u8]) {
    let domain = Domain::parse("bank.example").expect("a domain");
    let records = pieces(input).into_iter().map(|piece| match piece.split_first() {
        Some((preference, name)) => (u16::from(*preference), text(name).into_owned()),
        None => (0, String::new()),
    });
    match MxSet::from_records(&domain, records) {
        Ok(set) => {
            assert!(!set.hosts.is_empty() && set.hosts.is_sorted_by_key(|host| host.preference));
            let order = set.in_order(input.len() as u64);
            assert!(order.len() <= MX_HOSTS_TRIED && order.is_sorted_by_key(|host| host.preference));
            let mut names: Vec<_> = set.hosts.iter().map(|host| host.name.clone()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), set.hosts.len(), "a host twice");
            if let Ok(without) = set.clone().without_loops(&names) {
                panic!("it delivers to itself: {without:?}");
            }
        }
        Err(error) => check_error(&error),
    }
}

/// TXT records: some addresses, each of which says itself as a URI that means the same.
pub fn tlsrpt_record(input: &[u8]) {
    match TlsrptRecord::of_texts(&pieces(input)) {
        Ok(Some(record)) => {
            assert!((1..=RUA_COUNT).contains(&record.addresses.len()));
            for address in record.addresses {
                let uri = address.to_string();
                assert!(uri.bytes().all(|octet| octet.is_ascii_graphic()), "{uri:?}");
                assert_eq!(ReportAddress::of_uri(&uri), Some(address), "{uri}");
            }
        }
        Ok(None) => {}
        Err(error) => check_error(&error),
    }
}

/// A report in whatever it is wrapped: what is read is written and read as the same, and shown without harm.
pub fn tlsrpt_report(input: &[u8]) {
    match read_report(input) {
        Ok(report) => {
            let written = report.to_json();
            assert_eq!(read_report(&written).as_ref(), Ok(&report));
            assert_eq!(read_report(&pack(&written)).as_ref(), Ok(&report));
            check_shown(&report.to_text());
        }
        Err(error) => check_error(&error),
    }
    if let Ok(unpacked) = unpack(input, UNPACKED) {
        assert!(unpacked.len() <= UNPACKED, "{}", unpacked.len());
    }
}

/// Keys and messages: whatever the message, the signature is one field, and what "relaxed" makes equal is signed alike.
pub fn dkim(input: &[u8]) {
    if let Err(error) = DkimSigner::from_pem(input, domain(), domain()) {
        check_error(&error);
    }
    let Some(signed) = SIGNER.signed(input, UnixMillis(1_790_000_000_000)) else { return };
    assert!(signed.ends_with(input));
    let field = &signed[..signed.len() - input.len()];
    assert!(field.starts_with(b"DKIM-Signature: v=1; "));
    check_message(field);
    let folded = field.split_inclusive(|octet| *octet == b'\n').skip(1).all(|line| line.starts_with(b" "));
    assert!(folded, "more than one field: {}", String::from_utf8_lossy(field));
    // Empty lines at its end, and spaces at the end of a line, are nothing.
    if input.ends_with(b"\r\n") && input.windows(4).any(|window| window == b"\r\n\r\n") {
        let longer = [input, b"\r\n \t\r\n\r\n"].concat();
        assert_eq!(SIGNER.signed(&longer, UnixMillis(1_790_000_000_000)).map(|all| all[..field.len()].to_vec()), Some(field.to_vec()));
    }
}

/// A notification about any mail, with any reply and reason in it, is a message of plain lines.
pub fn notification(input: &[u8]) {
    let mut choices = Choices::new(input);
    let bits = choices.octet();
    let bit = |n: u8| bits & (1 << n) != 0;
    let length = usize::from(choices.octet());
    let said = text(choices.take(length)).into_owned();
    let original = said.split_once('|').and_then(|(kind, rest)| sealpost_types::OriginalRecipient::new(kind, rest).ok());
    let mailbox = Mailbox::parse(if bit(0) { "bob@bank.example" } else { "b\u{f6}b@bank.example" }).expect("a mailbox");
    let mut recipient = Recipient::new(ForwardPath::Mailbox(mailbox));
    recipient.original = original;
    let action = [Action::Relayed, Action::Delayed, Action::Failed][usize::from(bits) % 3];
    let status = EnhancedStatus::new(5, 7, 10).expect("a status");
    let mut about = DsnRecipient::new(recipient, action, status, said.clone());
    about.remote = bit(1).then(|| said.clone());
    about.reply = Some(said.clone());
    about.source = bit(2).then(|| said.clone());
    let sender = Mailbox::parse(if bit(3) { "ann@acme.example" } else { "\u{e4}nn@acme.example" }).expect("a mailbox");
    let mut dsn = Dsn::new(domain(), "01JD8X", sender, UnixMillis(1_790_000_000_000));
    dsn.recipients.push(about);
    dsn.received_from = Some(said);
    dsn.eight_bit = bit(4);
    dsn.lang = if bit(5) { Lang::De } else { Lang::En };
    let mail = choices.rest().to_vec();
    dsn.returned = if bit(6) { Returned::Whole(mail) } else { Returned::Headers(mail) };
    let message = dsn.to_bytes();
    check_message(&message);
    assert!(dsn.eight_bit || !bit(3) || message.is_ascii(), "octets beyond ASCII to whom they say nothing");
}

/// A row of the history: it comes back as it is, and what is shown of it is harmless.
pub fn history_row(input: &[u8]) {
    for row in [input.to_vec(), [b"\x01", input].concat()] {
        let event = match Event::from_bytes(&row) {
            Ok(event) => event,
            Err(error) => {
                check_error(&error);
                continue;
            }
        };
        assert_eq!(Event::from_bytes(&event.to_bytes()).as_ref(), Ok(&event));
        for lang in [Lang::En, Lang::De] {
            let mut style = TextStyle::new(lang, Clock::Utc);
            style.trace = true;
            check_shown(&event.to_text(style));
            check_shown(&event.to_lines(style));
        }
        let json = event.to_json();
        assert!(!json.contains(|c: char| c.is_ascii_control()), "{json}");
    }
}

fn domain() -> Domain {
    Domain::parse("relay.example").expect("a domain")
}

/// With a key that is made anew for each process: Ed25519 says the same of the same octets.
static SIGNER: LazyLock<DkimSigner> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    DkimSigner::from_pem(key.serialize_pem().as_bytes(), domain(), domain()).expect("a signer")
});

/// Octets that a report may unpack to here.
const UNPACKED: usize = 1 << 20;
