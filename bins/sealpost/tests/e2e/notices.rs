//! Notifications, as parsers and servers of others understand them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use sealpost_report::{Action, Dsn, DsnRecipient, Returned};
use sealpost_types::{Domain, EnhancedStatus, EnvelopeId, Mailbox, OriginalRecipient, Recipient, UnixMillis};
use serde_json::Value;

use crate::client::Client;
use crate::content::message;
use crate::peers::Peer;
use crate::relay::{House, finish};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "teller@bank.example";

/// A message as Python's `email` package reads it.
struct Parsed(Value);

impl Parsed {
    fn of(message: &[u8]) -> Self {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(file.path(), message).unwrap();
        let output = finish(Command::new("python3").args(["-c", PARSER]).arg(file.path()), LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let parsed = Self(serde_json::from_slice(&output.stdout).unwrap());
        assert_eq!(parsed.0["defects"], Value::Array(Vec::new()), "{}", parsed.0);
        assert_eq!((parsed.text("/type"), parsed.text("/report")), ("multipart/report", "delivery-status"));
        parsed
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {:#}", self.0))
    }

    fn types(&self) -> Vec<&str> {
        self.0["types"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect()
    }

    /// The fields of a block of the part for programs: the message's is the first.
    fn has(&self, block: usize, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            assert_eq!(self.text(&format!("/blocks/{block}/{name}")), *value, "{name} of block {block}");
        }
    }

    fn lacks(&self, block: usize, name: &str) {
        assert!(self.0["blocks"][block].get(name).is_none(), "{name} in {:#}", self.0);
    }
}

fn about(to: &str, action: Action, status: (u8, u16, u16), reason: &str) -> DsnRecipient {
    let recipient = Recipient::new(Mailbox::parse(to).unwrap().into());
    DsnRecipient::new(recipient, action, EnhancedStatus::new(status.0, status.1, status.2).unwrap(), reason)
}

fn notification(to: &str, recipients: Vec<DsnRecipient>) -> Dsn {
    let relay = Domain::parse("relay.example").unwrap();
    let mut dsn = Dsn::new(relay, "01JD8X", Mailbox::parse(to).unwrap(), UnixMillis(1_763_784_727_123));
    dsn.arrival = Some(UnixMillis(1_763_180_000_000));
    dsn.received_from = Some("client.sender.example ([192.0.2.7])".into());
    dsn.envelope_id = Some(EnvelopeId::new("QQ 314+159").unwrap());
    dsn.recipients = recipients;
    dsn.returned = Returned::Whole(b"From: alice@sender.example\r\nSubject: hello\r\n\r\nthe body\r\n".to_vec());
    dsn
}

/// RFC 8689: a host that does not announce REQUIRETLS gets no mail that asks for it, unless the operator settles for less.
// req: E4
#[test]
fn requiretls_comes_back_or_is_graded_down() {
    for (policy, delivered) in [("", false), ("[defaults]\nrequiretls = \"verify\"\n", true)] {
        let house = House::new();
        let secure = || Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
        let (bank, sender) = (secure(), secure());
        let house = house.route("bank.example", bank.address).route("sender.example", sender.address).policy(policy);
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        client.expect(&format!("MAIL FROM:<{FROM}> REQUIRETLS RET=FULL"), 250).unwrap();
        client.expect(&format!("RCPT TO:<{TO}>"), 250).unwrap();
        client.expect("DATA", 354).unwrap();
        client.wire.send(&crate::client::stuffed(message("required").as_bytes())).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        if delivered {
            assert!(bank.wait_for(1, LIMIT)[0].tls.is_some());
            let history = house.wait_for_history(&["graded-down", TO], LIMIT);
            assert!(!history.contains("bounced"), "{history}");
            assert!(house.says(&["history", "--long"], 0).contains("REQUIRETLS was asked for, and graded down"));
        } else {
            let told = sender.wait_for(1, LIMIT).remove(0);
            let text = String::from_utf8(told.content).unwrap();
            assert!(told.tls.is_some() && text.contains("Status: 5.7.30"), "{text}");
            assert!(text.contains("Subject: required") && text.contains("text/rfc822-headers"), "{text}");
            assert_eq!(bank.message_count(), 0);
        }
    }
}

mod with_python {
    use super::*;

    /// RFC 3464, RFC 6522: the kinds of notifications, in one and each alone.
    // req: E5
    #[test]
    #[ignore = "needs Python"]
    fn each_kind_is_understood() {
        let mut failed = about("teller@bank.example", Action::Failed, (5, 1, 1), "mx.bank.example said: 550 5.1.1 nobody");
        failed.recipient.original = Some(OriginalRecipient::new("rfc822", "Teller+x@Bank.example").unwrap());
        failed.remote = Some("mx.bank.example".into());
        failed.reply = Some(
            "550-5.1.1 nobody of that name, and a long line of words that tells it at length, so that it is folded\n550 5.1.1 x".into(),
        );
        failed.last_attempt = Some(UnixMillis(1_763_784_720_000));
        let mut expired = about("cat@bank.example", Action::Failed, (5, 7, 10), "mx.bank.example: STARTTLS is not offered");
        (expired.level, expired.source) = (Some("verify".into()), Some("policy.toml:12".into()));
        expired.tried_until = Some(UnixMillis(1_763_784_720_000));
        let mut delayed = about("dan@slow.example", Action::Delayed, (4, 4, 1), "mx.slow.example: no answer");
        delayed.tried_until = Some(UnixMillis(1_764_389_527_123));
        let relayed = about("eve@old.example", Action::Relayed, (2, 0, 0), "mx.old.example took it");

        let all = Parsed::of(&notification(FROM, vec![failed, expired, delayed.clone(), relayed.clone()]).to_bytes());
        assert_eq!(all.types(), ["text/plain", "message/delivery-status", "message/rfc822"]);
        assert_eq!(all.text("/to"), "<alice@sender.example>");
        assert_eq!(all.text("/subject"), "Your message could not be delivered");
        assert_eq!(all.0["blocks"].as_array().unwrap().len(), 5);
        all.has(0, &[("reporting-mta", "dns; relay.example"), ("original-envelope-id", "QQ 314+159")]);
        all.has(
            0,
            &[("received-from-mta", "dns; client.sender.example ([192.0.2.7])"), ("arrival-date", "Sat, 15 Nov 2025 04:13:20 +0000")],
        );
        all.has(1, &[("original-recipient", "rfc822; Teller+x@Bank.example"), ("final-recipient", "rfc822; teller@bank.example")]);
        all.has(1, &[("action", "failed"), ("status", "5.1.1"), ("remote-mta", "dns; mx.bank.example")]);
        all.has(1, &[("last-attempt-date", "Sat, 22 Nov 2025 04:12:00 +0000"), ("final-log-id", "01JD8X")]);
        let code =
            "smtp; 550-5.1.1 nobody of that name, and a long line of words that tells it at length, so that it is folded 550 5.1.1 x";
        all.has(1, &[("diagnostic-code", code)]);
        all.has(
            2,
            &[("action", "failed"), ("status", "5.7.10"), ("diagnostic-code", "x-sealpost; mx.bank.example: STARTTLS is not offered")],
        );
        all.lacks(2, "will-retry-until");
        all.has(3, &[("action", "delayed"), ("status", "4.4.1"), ("will-retry-until", "Sat, 29 Nov 2025 04:12:07 +0000")]);
        all.has(4, &[("action", "relayed"), ("status", "2.0.0"), ("final-recipient", "rfc822; eve@old.example")]);
        assert!(all.text("/people").contains("TLS was demanded at the level \"verify\" by policy.toml:12."), "{}", all.text("/people"));
        assert!(all.text("/last").contains("the body"));

        for (one, subject) in [(delayed, "Your message is delayed"), (relayed, "Your message was relayed")] {
            let alone = Parsed::of(&notification(FROM, vec![one]).to_bytes());
            assert_eq!(alone.text("/subject"), subject);
            assert_eq!(alone.types()[2], "text/rfc822-headers");
            assert!(alone.text("/last").contains("Subject: hello") && !alone.text("/last").contains("the body"));
        }
    }

    /// RFC 6533: for a sender of ASCII everything is ASCII; for another one it is UTF-8.
    // req: E5
    #[test]
    #[ignore = "needs Python"]
    fn addresses_beyond_ascii_are_understood() {
        let recipients = vec![about("b\u{f6}b@bank.example", Action::Failed, (5, 1, 1), "b\u{f6}b is nobody")];
        let mut dsn = notification(FROM, recipients);
        dsn.returned = Returned::Headers("Subject: Gr\u{fc}\u{df}e\r\n\r\nthe body".as_bytes().to_vec());
        let ascii = Parsed::of(&dsn.to_bytes());
        assert_eq!(ascii.types(), ["text/plain", "message/delivery-status", "message/global-headers"]);
        ascii.has(1, &[("final-recipient", "utf-8; b\\x{F6}b@bank.example")]);
        assert!(ascii.text("/people").contains("<b\u{f6}b@bank.example>"));
        assert_eq!(ascii.text("/last").trim(), "Subject: Gr\u{fc}\u{df}e");

        dsn.to = Mailbox::parse("j\u{fc}rgen@sender.example").unwrap();
        let global = Parsed::of(&dsn.to_bytes());
        assert_eq!(global.types(), ["text/plain", "message/global-delivery-status", "message/global-headers"]);
        assert_eq!(global.text("/to"), "<j\u{fc}rgen@sender.example>");
        global.has(1, &[("final-recipient", "utf-8; b\u{f6}b@bank.example"), ("diagnostic-code", "x-sealpost; b\u{f6}b is nobody")]);
        assert_eq!(global.text("/last").trim(), "Subject: Gr\u{fc}\u{df}e");
    }

    /// The negative control: what is broken is noticed.
    #[test]
    #[ignore = "needs Python"]
    #[should_panic(expected = "Defect")]
    fn a_broken_notification_is_noticed() {
        let whole = notification(FROM, vec![about(TO, Action::Failed, (5, 1, 1), "nobody")]).to_bytes();
        Parsed::of(&whole[..whole.len() - 40]);
    }

    /// smtplib asks, the bank refuses, and what comes back answers what was asked.
    // req: E5
    #[test]
    #[ignore = "needs Python"]
    fn what_smtplib_asks_is_answered() {
        let refusing = Behaviour { refuse: Some(("RCPT", "550 5.1.1 Nobody of that name")), ..Behaviour::new(StartTls::Absent) };
        let (bank, sender) = (Sink::start(refusing), Sink::start(Behaviour::new(StartTls::Absent)));
        let house = House::new().route("bank.example", bank.address).route("sender.example", sender.address);
        let relay = house.start();
        let file = house.file("message");
        fs::write(&file, message("asked")).unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", SENDER, &relay.address.port().to_string(), &house.file("ca.pem").display().to_string()]).arg(&file);
        let output = finish(python.args([FROM, TO]), LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let returned = sender.wait_for(1, LIMIT).remove(0);
        assert_eq!((returned.from.as_str(), returned.to.as_slice()), ("", [FROM.to_owned()].as_slice()));
        let parsed = Parsed::of(&returned.content);
        parsed.has(0, &[("reporting-mta", "dns; relay.test"), ("original-envelope-id", "QQ+314")]);
        parsed.has(0, &[("received-from-mta", "dns; client.example ([127.0.0.1])")]);
        parsed.has(1, &[("original-recipient", "rfc822; Teller@Bank.example"), ("final-recipient", "rfc822; teller@bank.example")]);
        parsed.has(1, &[("action", "failed"), ("status", "5.1.1"), ("diagnostic-code", "smtp; 550 5.1.1 Nobody of that name")]);
        assert_eq!(parsed.0["blocks"].as_array().unwrap().len(), 2, "NOTIFY=NEVER is not told of");
        assert_eq!(parsed.types(), ["text/plain", "message/delivery-status", "text/rfc822-headers"], "RET=HDRS");
    }
}

mod with_postfix {
    use super::*;

    /// Postfix offers DSN: it is given what was asked, and it is Postfix that reports the delivery.
    // req: E5
    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_reports_what_the_relay_hands_on() {
        let house = House::new();
        let peer = Peer::postfix(&house.authority.issue(&["mx.bank.example"]));
        let house = house.route("*", peer.address);
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        let hello = client.expect("EHLO client.example", 250).unwrap();
        assert!(hello.text.contains("DSN"), "{}", hello.text);
        client.expect(&format!("MAIL FROM:<{FROM}> RET=HDRS ENVID=QQ+2B314"), 250).unwrap();
        client.expect(&format!("RCPT TO:<{TO}> NOTIFY=SUCCESS ORCPT=rfc822;Teller@Bank.example"), 250).unwrap();
        client.expect("DATA", 354).unwrap();
        client.wire.send(&crate::client::stuffed(message("asked").as_bytes())).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        // Its mailbox is everybody's: the message, and what Postfix tells its sender.
        let mails: Vec<_> = peer.wait_for_mail(2, LIMIT).iter().map(|mail| String::from_utf8_lossy(mail).into_owned()).collect();
        let report = mails.iter().find(|mail| mail.contains("report-type=delivery-status")).unwrap();
        for words in [
            "Action: delivered",
            "Original-Envelope-Id: QQ+314",
            "Original-Recipient: rfc822;Teller@Bank.example",
            "Final-Recipient: rfc822; teller@bank.example",
        ] {
            assert!(report.contains(words), "no {words:?} in {report}");
        }
        assert!(!report.contains("relay.test took it"), "the relay said nothing by itself");
    }
}

/// Sends FILE with all parameters of DSN that there are, to one who is told of failure and one who is not.
const SENDER: &str = r"
import smtplib, ssl, sys
port, ca, file, sender, to = sys.argv[1:]
with smtplib.SMTP('localhost', int(port), local_hostname='client.example') as s:
    s.starttls(context=ssl.create_default_context(cafile=ca))
    s.ehlo()
    assert s.has_extn('dsn')
    def ask(reply):
        assert reply[0] == 250, reply
    ask(s.mail(sender, ['RET=HDRS', 'ENVID=QQ+2B314']))
    ask(s.rcpt(to, ['NOTIFY=FAILURE', 'ORCPT=rfc822;Teller@Bank.example']))
    ask(s.rcpt('other@bank.example', ['NOTIFY=NEVER']))
    ask(s.data(open(file, 'rb').read()))
";

/// Shows as JSON what the `email` package makes of a report.
const PARSER: &str = r"
import email, email.policy, json, sys
text = open(sys.argv[1], 'rb').read().decode('utf-8')
mail = email.message_from_string(text)
defects = [type(d).__name__ for part in mail.walk() for d in part.defects]
if not mail.is_multipart():
    defects.append('NoMultipartDefect')
def unfold(value):
    return ' '.join(str(value).split())
people, status, last = mail.get_payload() if not defects else (mail, mail, mail)
if status.get_content_type() == 'message/delivery-status':
    blocks = [b for b in status.get_payload() if len(b)]
else:
    first = status.get_payload(0) if status.is_multipart() else status
    rest = first.get_payload() if first is not status else ''
    blocks = [first] + [email.message_from_string(b) for b in rest.split('\n\n') if b.strip()]
def decoded(part):
    raw = part.get_payload(decode=True)
    return raw.decode('utf-8') if raw is not None else part.get_payload(0).as_string(policy=email.policy.SMTPUTF8)
def inner(part):
    if part.get('content-transfer-encoding') == 'quoted-printable' and part.is_multipart():
        import quopri
        return quopri.decodestring(part.get_payload(0).as_string().encode()).decode('utf-8')
    return decoded(part)
print(json.dumps({
    'type': mail.get_content_type(), 'report': mail.get_param('report-type'), 'to': mail['to'], 'subject': mail['subject'],
    'defects': [] if not defects else ['Defect: ' + d for d in defects],
    'types': [part.get_content_type() for part in (people, status, last)],
    'blocks': [{name.lower(): unfold(value) for name, value in block.items()} for block in blocks],
    'people': ' '.join(decoded(people).split()) if not defects else '', 'last': inner(last) if not defects else '',
}))
";
