//! The test equipment itself: each recorder is shown to record, each fault to be one.

use std::time::Duration;

use crate::authority::{Authority, Identity};
use crate::client::Client;
use crate::peers::Peer;
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_sink_records_mail_with_and_without_tls() {
    let authority = Authority::new();
    let sink = Sink::start(Behaviour::offering(&authority.issue(&["relay.test"])));
    let mut client = Client::secure(sink.address, &authority.client()).unwrap();
    let content = b"Subject: x\r\n\r\n.dot\r\n..two\r\nend\r\n";
    assert_eq!(client.send("a@a.example", &["b@b.example"], content).unwrap().code, 250);
    let mut client = Client::connect(sink.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client.send("clear@a.example", &["b@b.example"], b"").unwrap();
    client.expect("MAIL FROM:<a@a.example>", 250).unwrap();
    client.expect("RCPT TO:<b@b.example>", 250).unwrap();
    client.wire.send(b"BDAT 4\r\nab\r\nBDAT 2 LAST\r\n\r\n").unwrap();
    assert_eq!((client.reply().unwrap().code, client.reply().unwrap().code), (250, 250));
    let messages = sink.wait_for(3, LIMIT);
    assert_eq!(messages[0].content, content);
    assert_eq!(messages[0].tls.as_ref().unwrap().version, "TLSv1_3");
    assert_eq!((messages[1].from.as_str(), messages[1].content.as_slice()), ("clear@a.example", b"".as_slice()));
    assert_eq!((&messages[2].tls, messages[2].content.as_slice()), (&None, b"ab\r\n\r\n".as_slice()));
    assert_eq!(sink.mail_in_clear().len(), 7);
}

#[test]
fn a_client_refuses_the_certificates_that_are_meant_to_be_wrong() {
    let authority = Authority::new();
    for identity in [Identity::self_signed(&["relay.test"]), authority.issue_expired(&["relay.test"]), authority.issue(&["other.test"])] {
        let sink = Sink::start(Behaviour::offering(&identity));
        assert!(Client::secure(sink.address, &authority.client()).is_err());
    }
}

#[test]
fn a_careless_sink_is_fooled_and_a_strict_one_is_not() {
    let payload = b"Subject: x\r\n\r\nhi\n.\r\nMAIL FROM:<smuggled@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nsmuggled\r\n.\r\n";
    for (careless, expected) in [(true, 2), (false, 1)] {
        let sink = Sink::start(Behaviour { careless, ..Behaviour::new(StartTls::Absent) });
        let mut client = Client::connect(sink.address).unwrap();
        client.expect("EHLO client.example", 250).unwrap();
        client.envelope("a@a.example", &["b@b.example"]).unwrap();
        client.wire.send(payload).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        sink.wait_for(expected, LIMIT);
        client.quit();
        assert_eq!(sink.message_count(), expected);
    }
}

fn arrives(peer: &Peer, authority: &Authority, tls: &str) {
    let mut clear = Client::connect(peer.address).unwrap();
    clear.expect("EHLO client.example", 250).unwrap();
    assert!(clear.command("MAIL FROM:<a@a.example>").unwrap().code >= 500, "it must insist on TLS");
    let mut client = Client::secure(peer.address, &authority.client()).unwrap();
    assert_eq!(client.send("a@a.example", &["b@b.example"], b"Subject: x\r\n\r\nhello\r\n").unwrap().code, 250);
    let mail = String::from_utf8(peer.wait_for_mail(1, LIMIT).remove(0)).unwrap();
    assert!(mail.contains("hello") && mail.contains(tls), "{mail}");
}

mod with_postfix {
    use super::*;

    #[test]
    #[ignore = "needs Postfix"]
    fn takes_mail_over_tls() {
        let authority = Authority::new();
        arrives(&Peer::postfix(&authority.issue(&["relay.test"])), &authority, "using TLSv1.3");
    }

    #[test]
    #[ignore = "needs Postfix"]
    fn sends_mail_on_over_tls() {
        let authority = Authority::new();
        let sink = Sink::start(Behaviour::offering(&authority.issue(&["relay.test"])));
        let peer = Peer::postfix_client(&authority.issue(&["relay.test"]), sink.address, &authority.pem);
        let mut client = Client::secure(peer.address, &authority.client()).unwrap();
        client.send("a@a.example", &["b@b.example"], b"Subject: x\r\n\r\nhello\r\n").unwrap();
        assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
    }
}

mod with_opensmtpd {
    use super::*;

    #[test]
    #[ignore = "needs OpenSMTPD"]
    fn takes_mail_over_tls() {
        let authority = Authority::new();
        arrives(&Peer::opensmtpd(&authority.issue(&["relay.test"])), &authority, "TLSv1.3");
    }
}

mod with_exim {
    use super::*;

    #[test]
    #[ignore = "needs Exim"]
    fn takes_mail_over_tls() {
        let authority = Authority::new();
        arrives(&Peer::exim(&authority.issue(&["relay.test"])), &authority, "TLS1.3");
    }
}
