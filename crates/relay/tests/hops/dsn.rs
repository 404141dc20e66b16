//! What a sender asks to hear (RFC 3461): handed on to servers that report, and answered here where they do not.

use std::time::Duration;

use proptest::prelude::*;
use sealpost_relay::config::SuccessNotices;
use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, Clock, House, Mx, Running, letter, open_spool};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

/// A relay, the server of the bank, and that of the sender.
async fn relay(bank: Behaviour) -> (Running, Mx, Mx) {
    let (bank, sender) = (Mx::start(bank).await, Mx::start(Behaviour::plain()).await);
    let relay = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).start().await;
    (relay, bank, sender)
}

fn refusing() -> Behaviour {
    Behaviour::plain().answering("RCPT", "550 5.1.1 nobody")
}

/// RFC 3461 section 5.2.1: everything is handed on as it came, and nothing is told here.
// req: E5
#[tokio::test]
async fn what_is_asked_is_handed_on_to_a_server_that_reports() {
    let (relay, bank, sender) = relay(Behaviour::plain().with("DSN")).await;
    let mut client = Client::secure(relay.address).await;
    assert!(client.say("EHLO client.example").await.contains("DSN"));
    let to = [
        (TO, "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@Bank.example"),
        ("cat@bank.example", "NOTIFY=NEVER"),
        ("dan@bank.example", ""),
        ("eve@bank.example", "ORCPT=utf-8;\\x{FC}@bank.example NOTIFY=failure"),
    ];
    client.send_asking(FROM, "RET=HDRS ENVID=QQ+2B314", &to, &letter("asked")).await;
    let message = bank.message().await;
    assert!(message.parameters.ends_with("RET=HDRS ENVID=QQ+2B314"), "{}", message.parameters);
    assert_eq!(
        bank.said("RCPT"),
        [
            "RCPT TO:<bob@bank.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@Bank.example",
            "RCPT TO:<cat@bank.example> NOTIFY=NEVER",
            "RCPT TO:<dan@bank.example>",
            "RCPT TO:<eve@bank.example> NOTIFY=FAILURE ORCPT=utf-8;\\x{FC}@bank.example",
        ]
    );
    // Mail that asked for nothing asks for nothing.
    client.send(FROM, &[TO], &letter("plain")).await;
    let plain = bank.messages(2).await.pop().unwrap();
    assert!(!plain.parameters.contains("RET") && !plain.parameters.contains("ENVID"), "{}", plain.parameters);
    assert_eq!(bank.said("RCPT").last().map(String::as_str), Some("RCPT TO:<bob@bank.example>"));
    relay.wait(EventKind::Delivered, TO, 2).await;
    drop(client);
    relay.shutdown().await;
    assert_eq!(sender.count(), 0, "the server reports, not the relay");
}

/// RFC 3461 section 5.2.2: to a server without DSN nothing is said of it, and who asked to hear of success is told.
// req: E5
#[tokio::test]
async fn where_the_next_server_does_not_report_the_relay_does() {
    let (relay, bank, sender) = relay(Behaviour::plain()).await;
    let mut client = Client::secure(relay.address).await;
    let to = [
        (TO, "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Bank.example"),
        ("cat@bank.example", "NOTIFY=NEVER"),
        ("dan@bank.example", "NOTIFY=FAILURE,DELAY"),
        ("eve@bank.example", ""),
    ];
    client.send_asking(FROM, "RET=FULL ENVID=314", &to, &letter("asked")).await;
    let message = bank.message().await;
    assert!(!message.parameters.contains("RET") && !message.parameters.contains("ENVID"), "{}", message.parameters);
    assert!(bank.said("RCPT").iter().all(|line| !line.contains("NOTIFY") && !line.contains("ORCPT")), "{:?}", bank.said("RCPT"));
    let told = sender.message().await;
    let text = told.text();
    assert_eq!((told.from.as_str(), told.to.as_slice()), ("", [FROM.to_owned()].as_slice()));
    for words in [
        "Original-Envelope-Id: 314\r\n",
        "Original-Recipient: rfc822; Bob@Bank.example\r\nFinal-Recipient: rfc822; bob@bank.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
        "Remote-MTA: dns; mx.bank.example\r\nDiagnostic-Code: smtp; 250 2.0.0 taken\r\n",
        "Received-From-MTA: dns; client.example ([127.0.0.1])\r\n",
        "Subject: asked\r\n",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    // Section 5.2.8 and 6.2: nobody else is in it, and success gives back no body.
    for words in ["cat@", "dan@", "eve@", "The words of asked"] {
        assert!(!text.contains(words), "{words:?} in {text}");
    }
    drop(client);
    relay.shutdown().await;
    assert_eq!(sender.count(), 1);
}

/// A stranger that forged its sender had the relay write to whom it liked, once for each mail.
// req: E5
#[tokio::test]
async fn who_may_not_relay_has_nobody_told_of_success() {
    use SuccessNotices::{All, Known, None};
    for (notices, is_trusted, told) in
        [(Known, false, false), (Known, true, true), (All, false, true), (All, true, true), (None, false, false), (None, true, false)]
    {
        let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
        let mut house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]);
        house.config.rights.success_notices = notices;
        if !is_trusted {
            house.config.rights.trusted_networks.clear();
        }
        let relay = house.policy("[[domain]]\nname = \"bank.example\"\n").start().await;
        let mut client = Client::secure(relay.address).await;
        client.send_asking(FROM, "", &[(TO, "NOTIFY=SUCCESS,FAILURE")], &letter("asked")).await;
        relay.first(EventKind::Delivered, TO).await;
        if told {
            assert!(sender.message().await.text().contains("Action: relayed\r\n"));
            relay.first(EventKind::Delivered, FROM).await;
        }
        // The control: of failure everybody is told.
        bank.change(refusing());
        client.send_asking(FROM, "", &[(TO, "NOTIFY=SUCCESS,FAILURE")], &letter("asked again")).await;
        let notice = sender.messages(usize::from(told) + 1).await.pop().unwrap();
        assert!(notice.text().contains("Action: failed\r\n"), "{notices:?} {is_trusted}");
        drop(client);
        relay.shutdown().await;
        assert_eq!(sender.count(), usize::from(told) + 1, "{notices:?} {is_trusted}");
    }
}

/// A server of a hosted domain and whoever logs in are known, wherever they are.
#[tokio::test]
async fn servers_of_hosted_domains_are_told_of_success() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
    let mut house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]);
    house.config.rights.trusted_networks.clear();
    let relay = house.policy("[[domain]]\nname = \"shop.example\"\nservers = [\"127.0.0.1/32\"]\n").start().await;
    let mut client = Client::secure(relay.address).await;
    client.send_asking(FROM, "", &[(TO, "NOTIFY=SUCCESS")], &letter("asked")).await;
    assert!(sender.message().await.text().contains("Action: relayed\r\n"));
    drop(client);
    relay.shutdown().await;
}

/// RFC 3461 section 5.2.6: who asked not to hear of failure does not, and who asked for nothing does.
// req: E5
#[tokio::test]
async fn who_does_not_want_to_hear_of_failure_does_not() {
    for (asked, told) in [("NOTIFY=NEVER", false), ("NOTIFY=SUCCESS,DELAY", false), ("NOTIFY=FAILURE", true), ("", true)] {
        let (relay, _bank, sender) = relay(refusing()).await;
        let mut client = Client::secure(relay.address).await;
        client.send_asking(FROM, "", &[(TO, asked)], &letter("asked")).await;
        relay.first(EventKind::Bounced, TO).await;
        if told {
            let text = sender.message().await.text();
            assert!(text.contains("Action: failed\r\nStatus: 5.1.1\r\n"), "{asked}: {text}");
            relay.first(EventKind::Delivered, FROM).await;
        }
        drop(client);
        relay.shutdown().await;
        assert_eq!(sender.count(), usize::from(told), "{asked}");
    }
}

/// RFC 3461 section 4.3 and 6.2: RET says how much comes back, of octets beyond ASCII too.
// req: E5
#[tokio::test]
async fn the_body_comes_back_as_far_as_it_was_asked_for() {
    for (ret, subject, whole) in [("", "plain", true), ("RET=FULL", "plain", true), ("RET=HDRS", "plain", false)] {
        let (relay, _bank, sender) = relay(refusing()).await;
        Client::secure(relay.address).await.send_with(FROM, ret, &[TO], &letter(subject)).await;
        let text = sender.message().await.text();
        assert!(text.contains("Subject: plain"), "{text}");
        assert_eq!(text.contains("The words of plain"), whole, "{ret}: {text}");
        relay.shutdown().await;
    }
    let umlauts = b"Subject: plain\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n";
    for (ret, whole) in [("BODY=8BITMIME RET=FULL", true), ("BODY=8BITMIME", false)] {
        let (relay, _bank, sender) = relay(refusing()).await;
        Client::secure(relay.address).await.send_with(FROM, ret, &[TO], umlauts).await;
        let told = sender.message().await;
        assert_eq!(told.text().contains("Gr\u{fc}\u{df}e"), whole, "{ret}: {}", told.text());
        assert_eq!(told.parameters.contains("BODY=8BITMIME"), whole, "{}", told.parameters);
        relay.shutdown().await;
    }
}

/// What was asked waits with the mail: it is there after a restart, and so is what the notification tells of it.
// req: E5
#[tokio::test]
async fn what_is_asked_outlives_a_restart() {
    let (bank, sender) = (Mx::start(Behaviour::plain().answering("RCPT", "450 4.2.1 later")).await, Mx::start(Behaviour::plain()).await);
    let folder = tempfile::tempdir().unwrap();
    let house = || House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]);
    let relay = house().start_with(open_spool(folder.path()).await).await;
    let mut client = Client::secure(relay.address).await;
    let to = [(TO, "NOTIFY=SUCCESS ORCPT=rfc822;Bob@Bank.example"), ("cat@bank.example", "NOTIFY=NEVER")];
    client.send_asking(FROM, "RET=HDRS ENVID=+2B314", &to, &letter("asked")).await;
    relay.first(EventKind::Deferred, TO).await;
    drop(client);
    relay.shutdown().await;
    bank.change(Behaviour::plain().with("DSN"));
    let relay = house().start_with(open_spool(folder.path()).await).await;
    assert!(bank.message().await.parameters.ends_with("RET=HDRS ENVID=+2B314"));
    let asked: Vec<_> = bank.said("RCPT").into_iter().filter(|line| line.contains("NOTIFY")).collect();
    assert_eq!(
        asked,
        ["RCPT TO:<bob@bank.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Bank.example", "RCPT TO:<cat@bank.example> NOTIFY=NEVER"]
    );
    relay.shutdown().await;
}

/// Expired mail says until when it was tried, and why it did not go out.
// req: E5
#[tokio::test]
async fn what_expired_tells_when_and_why() {
    let clock = Clock::default();
    let (bank, sender) =
        (Mx::start(Behaviour::plain().answering("RCPT", "450 4.2.1 mailbox busy")).await, Mx::start(Behaviour::plain()).await);
    let relay = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).clock(&clock).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("late")).await;
    relay.first(EventKind::Deferred, TO).await;
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    let text = sender.message().await.text().replace("\r\n    ", " ");
    for words in [
        "Action: failed\r\nStatus: 5.4.7\r\n",
        "Diagnostic-Code: smtp; 450 4.2.1 mailbox busy",
        "It was tried until ",
        "Last-Attempt-Date: ",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(!text.contains("Will-Retry-Until"), "{text}");
    relay.shutdown().await;
}

/// A sender beyond ASCII gets a notification that it can read (RFC 6533).
// req: E5
#[tokio::test]
async fn a_sender_beyond_ascii_is_told_in_its_own_script() {
    let (relay, _bank, sender) = relay(refusing()).await;
    let mut client = Client::secure(relay.address).await;
    client.send_with("j\u{fc}rgen@shop.example", "SMTPUTF8", &["b\u{f6}b@bank.example"], &letter("Gr\u{fc}\u{df}e")).await;
    let told = sender.message().await;
    let text = told.text();
    assert!(told.parameters.contains("SMTPUTF8") && told.parameters.contains("BODY=8BITMIME"), "{}", told.parameters);
    assert_eq!(told.to, ["j\u{fc}rgen@shop.example"]);
    for words in [
        "To: <j\u{fc}rgen@shop.example>",
        "message/global-delivery-status",
        "Final-Recipient: utf-8; b\u{f6}b@bank.example",
        "message/global\r\n",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    drop(client);
    relay.shutdown().await;
}

/// Whatever is asked of mail without a sender, however it ends: nobody is told. With a sender the same does tell.
// req: E5
#[test]
fn never_a_notification_about_a_notification() {
    let events = prop::sample::subsequence(vec!["SUCCESS", "FAILURE", "DELAY"], 0..=3);
    let ret = prop::sample::select(vec!["", "RET=FULL", "RET=HDRS"]);
    let auto = any::<bool>();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 12, ..ProptestConfig::default() });
    let result = runner.run(&(events, ret, auto, any::<bool>()), |(events, ret, auto, refused)| {
        runtime.block_on(async {
            for (from, told) in [("", false), (FROM, true)] {
                let behaviour = if refused { refusing() } else { Behaviour::plain() };
                let (relay, _bank, sender) = relay(behaviour).await;
                let notify = if events.is_empty() { String::new() } else { format!("NOTIFY={}", events.join(",")) };
                let mut body = if auto { b"Auto-Submitted: auto-replied\r\n".to_vec() } else { Vec::new() };
                body.extend_from_slice(&letter("asked"));
                Client::secure(relay.address).await.send_asking(from, ret, &[(TO, &notify)], &body).await;
                relay.first(if refused { EventKind::Bounced } else { EventKind::Delivered }, TO).await;
                let event = if refused { "FAILURE" } else { "SUCCESS" };
                let wanted = events.contains(&event) || (refused && events.is_empty());
                // The negative control: the same with a sender comes back, if it was asked for.
                if told && wanted {
                    sender.message().await;
                }
                relay.shutdown().await;
                assert_eq!(sender.count(), usize::from(told && wanted), "{from:?} {notify} {ret} {auto} {refused}");
            }
        });
        Ok(())
    });
    result.unwrap();
}
