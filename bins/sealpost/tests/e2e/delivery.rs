//! The relay delivers to the servers that people run, over TLS that they note themselves.

use std::time::Duration;

use crate::authority::Identity;
use crate::client::{Client, stuffed};
use crate::content::{message, split_received};
use crate::peers::Peer;
use crate::relay::House;
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

/// Sends one message under `verify`, and looks for it in the server's mailbox with `proof` of TLS in its Received field.
fn delivers_to(start: impl FnOnce(&Identity) -> Peer, proof: &[&str]) -> House {
    let house = House::new();
    let peer = start(&house.authority.issue(&["mx.partner.example"]));
    let policy = "[[partner]]\nname = \"Partner\"\ndomains = [\"partner.example\"]\ndeliver = { level = \"verify\", names = [\"mx.partner.example\"] }\n";
    let house = house.route("partner.example", peer.address).policy(policy);
    let relay = house.start();
    let sent = message("delivery");
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["bob@partner.example"], sent.as_bytes()).unwrap().code, 250);
    let mail = String::from_utf8(peer.wait_for_mail(1, LIMIT).remove(0)).unwrap();
    // mailboxes have the line ends of their system
    let mail = mail.replace("\r\n", "\n");
    assert!(mail.ends_with(&sent.replace("\r\n", "\n")), "the message was changed:\n{mail}");
    let fields = mail.split_once("\n\n").unwrap().0;
    for word in proof {
        assert!(fields.contains(word), "no {word:?} in\n{fields}");
    }
    let history = house.wait_for_history(&["bob@partner.example", "TLSv1.3"], LIMIT);
    assert!(!history.contains("Check TLS"), "{history}");
    house
}

/// RFC 5321 section 4.4 and RFC 3848: the word for the protocol follows from the client's last greeting.
#[test]
fn the_received_field_says_how_the_client_greeted() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    for (number, (hello, word)) in
        [("HELO client.example", " with SMTP id "), ("EHLO client.example", " with ESMTP id ")].into_iter().enumerate()
    {
        client.expect(hello, 250).unwrap();
        assert_eq!(client.send("alice@sender.example", &["bob@partner.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
        let (received, _) = split_received(&sink.wait_for(number + 1, LIMIT)[number].content);
        assert!(received.contains(word), "no {word:?} in {received}");
    }
}

/// A client's X-TLSLevel is taken out of the header, however it is written and sent, and nothing else is.
// req: C5
#[test]
fn a_field_that_asks_for_a_level_never_arrives() {
    let header = "Subject: x\r\nx-tlslevel: Try\r\nTo: bob@partner.example\r\nX-TLSLEVEL \t:\r\n Require\r\n\tor not\r\nX-Other: y\r\n";
    let body = "\r\nX-TLSLevel: of the body\r\n.\r\n";
    let sent = format!("{header}{body}");
    let arrives = format!("Subject: x\r\nTo: bob@partner.example\r\nX-Other: y\r\n{body}");
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    // by DATA, with the size declared as it is sent
    client.expect(&format!("MAIL FROM:<alice@sender.example> SIZE={}", sent.len()), 250).unwrap();
    client.expect("RCPT TO:<bob@partner.example>", 250).unwrap();
    client.expect("DATA", 354).unwrap();
    client.wire.send(&stuffed(sent.as_bytes())).unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    // by BDAT, in pieces that cut the field's name and its fold
    for cut in ["x-tls", "Try", "X-TLSLEVEL", "X-TLSLEVEL \t:\r\n", "Require\r\n"] {
        client.expect("MAIL FROM:<alice@sender.example>", 250).unwrap();
        client.expect("RCPT TO:<bob@partner.example>", 250).unwrap();
        let (first, last) = sent.split_at(sent.find(cut).unwrap() + cut.len());
        client.wire.send(format!("BDAT {}\r\n{first}", first.len()).as_bytes()).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        client.wire.send(format!("BDAT {} LAST\r\n{last}", last.len()).as_bytes()).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
    }
    for message in sink.wait_for(6, LIMIT) {
        let (received, rest) = split_received(&message.content);
        assert!(!received.to_ascii_lowercase().contains("tlslevel"), "{received}");
        assert_eq!(String::from_utf8(rest).unwrap(), arrives);
    }
}

mod with_postfix {
    use super::*;

    // req: A5
    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_gets_mail_over_tls() {
        delivers_to(Peer::postfix, &["using TLSv1.3 with cipher", "with ESMTPS"]);
    }

    /// A server with another library, which takes no handshake without it and names it itself.
    // req: F6 F7
    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_that_knows_post_quantum_alone_gets_mail() {
        let house = delivers_to(Peer::postfix_of_post_quantum, &["using TLSv1.3 with cipher", "key-exchange X25519MLKEM768"]);
        house.wait_for_history(&["\"kind\":\"delivered\"", "\"group\":\"X25519MLKEM768\"", "\"post_quantum\":true"], LIMIT);
        let shown = house.says(&["history", "--long"], 0);
        assert!(shown.contains("X25519MLKEM768 (post-quantum)"), "{shown}");
    }

    /// The control of the test above: a relay that must do without it gets nowhere there.
    #[test]
    #[ignore = "needs Postfix"]
    fn control_postfix_that_knows_post_quantum_alone_takes_no_other() {
        let house = House::new();
        let peer = Peer::postfix_of_post_quantum(&house.authority.issue(&["mx.partner.example"]));
        // TLS 1.2 has no such key exchange.
        let policy = "[[partner]]\ndomains = 'partner.example'\ndeliver = { level = 'require', ciphers = ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] }\n";
        let house = house.route("partner.example", peer.address).policy(policy);
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        assert_eq!(client.send("alice@sender.example", &["bob@partner.example"], message("control").as_bytes()).unwrap().code, 250);
        house.wait_for_history(&["Processing: Check TLS", "handshake_failure"], LIMIT);
        assert!(peer.mail().is_empty());
    }
}

mod with_opensmtpd {
    use super::*;

    // req: A5
    #[test]
    #[ignore = "needs OpenSMTPD"]
    fn opensmtpd_gets_mail_over_tls() {
        delivers_to(Peer::opensmtpd, &["with ESMTPS id", "TLSv1.3:"]);
    }
}

mod with_exim {
    use super::*;

    // req: A5
    #[test]
    #[ignore = "needs Exim"]
    fn exim_gets_mail_over_tls() {
        delivers_to(Peer::exim, &["with esmtps", "TLS1.3"]);
    }
}
