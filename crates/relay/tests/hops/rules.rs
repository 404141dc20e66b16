//! Message rules on mail that passes: they hold the messages that they name, and go on doing so after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost_report::{Event, EventKind};

use crate::support::{Behaviour, Body, Client, House, Kind, Mx, letter, open_spool};

const FROM: &str = "ann@shop.example";
const BANK: &str = "bob@bank.example";
const CLINIC: &str = "joe@clinic.example";

/// The clinic is in a list.
const LISTED: &str = "[[list]]\nname = \"enforced\"\nentries = \"clinic.example\"\n\
    [[rule]]\nname = \"Enforced\"\nwhen = { direction = \"outbound\", recipient = { matches = \"enforced\" } }\n\
    then = { add_header = { X-TLSLevel = \"Require\" } }\n";
/// What says that it is secret is.
const SECRET: &str = "[[rule]]\nname = \"Secret\"\nwhen = { header = { name = \"Subject\", matches = \"*secret*\" } }\n\
    then = { add_header = { X-TLSLevel = \"Require\" } }\n";

/// A relay to the bank and the clinic, both of which are this server.
fn house(server: &Mx, policy: &str) -> House {
    House::new().route("bank.example", &[server]).route("clinic.example", &[server]).policy(policy)
}

// req: C1 C2 C3
#[tokio::test]
async fn a_rule_with_a_list_holds_mail_for_those_in_it() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = house(&server, LISTED).start().await;
    Client::secure(relay.address).await.send(FROM, &[BANK, CLINIC], &letter("results")).await;
    assert_eq!(server.message().await.to, [BANK]);
    let deferred = relay.wait(EventKind::Deferred, CLINIC, 2).await.remove(1);
    let decided = deferred.decided.as_ref().unwrap();
    assert!(decided.level == "require" && decided.source.contains("Enforced"), "{decided:?}");
    assert_eq!(server.count(), 1);
    server.change(Behaviour::secure(Kind::SelfSigned, "mx.clinic.example"));
    let held = server.messages(2).await.remove(1);
    assert!(held.tls.is_some() && held.to == [CLINIC]);
    assert!(held.fields("X-TLSLevel").is_empty(), "what a rule sets does not leave the relay either");
    relay.shutdown().await;
}

// req: C2
#[tokio::test]
async fn a_rule_with_a_header_condition_holds_that_message_alone() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = house(&server, SECRET).start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &[BANK], &letter("a Secret matter")).await;
    relay.first(EventKind::Deferred, BANK).await;
    for harmless in [letter("a public matter"), [letter("public"), b"Subject: secret\r\n".to_vec()].concat()] {
        client.send(FROM, &[BANK], &harmless).await;
    }
    assert_eq!(relay.wait(EventKind::Delivered, BANK, 2).await.len(), 2, "the body is no header");
    relay.wait(EventKind::Deferred, BANK, 3).await;
    assert!(server.messages(2).await.iter().all(|message| !message.text().contains("a Secret matter")));
    server.change(Behaviour::secure(Kind::SelfSigned, "mx.bank.example"));
    assert!(server.messages(3).await[2].text().contains("a Secret matter"));
    drop(client);
    relay.shutdown().await;
}

/// The relay keeps no header beside the message: it is read from the stored body, however large that is.
// req: C2
#[tokio::test]
async fn after_a_restart_a_rule_decides_the_same() {
    for octets in [0, 3_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let server = Mx::start(Behaviour::plain()).await;
        let house = || house(&server, SECRET).retry(Duration::from_secs(3600));
        let relay = house().start_with(open_spool(folder.path()).await).await;
        let body = [letter("a secret matter"), b"0123456789\r\n".repeat(octets / 12)].concat();
        let mut client = Client::secure(relay.address).await;
        client.send(FROM, &[BANK], &body).await;
        let first = relay.first(EventKind::Deferred, BANK).await;
        client.send(FROM, &[BANK], &letter("a public matter")).await;
        assert!(server.message().await.tls.is_none(), "the negative control");
        drop(client);
        relay.shutdown().await;

        let relay = house().start_with(open_spool(folder.path()).await).await;
        relay.retry_all().await;
        let second = relay.first(EventKind::Deferred, BANK).await;
        assert_eq!(second.attempts, Some(2));
        assert_eq!(second.decided, first.decided);
        assert!(second.decided.as_ref().is_some_and(|decided| decided.level == "require"), "{second:?}");
        assert_eq!(server.count(), 1);
        server.change(Behaviour::secure(Kind::SelfSigned, "mx.bank.example"));
        relay.retry_all().await;
        let held = server.messages(2).await.remove(1);
        assert!(held.tls.is_some() && held.octets.ends_with(&body));
        relay.shutdown().await;
    }
}

/// Empties the files below the folder that hold this text, and says how many.
fn empty(folder: &Path, text: &[u8]) -> usize {
    let mut emptied = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            emptied += empty(&path, text);
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text) {
            std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            emptied += 1;
        }
    }
    emptied
}

/// A message that may be one that a rule names, and cannot be read, goes nowhere. Without the rule its envelope at least is
/// shown to the server, which is the negative control.
// req: C2
#[tokio::test]
async fn where_the_header_cannot_be_read_nobody_is_asked_to_take_the_mail() {
    for (policy, mails) in [(SECRET, 1), ("", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let server = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
        let mut house = house(&server, policy);
        house.config.delivery.connections_per_destination = 1;
        let relay = house.start_with(open_spool(folder.path()).await).await;
        let mut client = Client::secure(relay.address).await;
        client.send(FROM, &[BANK], &letter("a public matter")).await;
        server.when("it is under way", |record| record.held == 1, |_| ()).await;
        // This one waits behind it, and is broken before its turn comes.
        let body = [letter("a secret matter"), b"0123456789\r\n".repeat(250_000)].concat();
        client.send(FROM, &[BANK], &body).await;
        assert_eq!(empty(folder.path(), b"The words of a secret"), 1);
        server.change(Behaviour::plain());
        let set_aside = |event: &Arc<Event>| event.reason.as_deref().is_some_and(|reason| reason.contains("the stored body is damaged"));
        relay.when("damage", |events| events.iter().any(set_aside)).await;
        assert_eq!((server.said("MAIL").len(), server.count()), (mails, 1));
        drop(client);
        relay.shutdown().await;
    }
}

/// The first rule that sets a level settles it; the same rules in the other order come to something else.
// req: C1 C4
#[tokio::test]
async fn the_order_of_rules_decides() {
    let easy =
        "[[rule]]\nname = \"Easy\"\nwhen = { recipient = { matches = \"enforced\" } }\nthen = { add_header = { X-TLSLevel = \"Try\" } }\n";
    let (list, enforced) = LISTED.split_once("[[rule]]").unwrap();
    let enforced = format!("[[rule]]{enforced}");
    for (rules, held) in [(format!("{list}{easy}{enforced}"), false), (format!("{list}{enforced}{easy}"), true)] {
        let server = Mx::start(Behaviour::plain()).await;
        let relay = house(&server, &rules).start().await;
        Client::secure(relay.address).await.send(FROM, &[CLINIC], &letter("order")).await;
        relay.first(if held { EventKind::Deferred } else { EventKind::Delivered }, CLINIC).await;
        assert_eq!(server.count(), usize::from(!held));
        relay.shutdown().await;
    }
}
