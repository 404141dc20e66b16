//! Bounce at once: a failure of TLS that is certain to last, because it was the same so often in a row.

use std::time::Duration;

use sealpost_queue::MemorySpool;
use sealpost_report::{Event, EventKind};

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, letter, open_spool};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";
const TWICE: &str = "{ level = \"require\", on_failure = \"bounce\", bounce_after = 2 }";

/// A relay with one message for the bank, that tries again when it is told to and not before.
struct Patient {
    relay: Running,
    policy: String,
    attempts: usize,
}

impl Patient {
    async fn new(servers: &[&Mx], sender: &Mx, level: &str) -> Self {
        let policy = at(level);
        let relay = house(servers, sender).policy(&policy).start().await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("certain")).await;
        Self { relay, policy, attempts: 0 }
    }

    /// Waits for the end of an attempt, and gives what became of it.
    async fn outcome(&mut self) -> Event {
        self.attempts += 1;
        let ends = |event: &&std::sync::Arc<Event>| {
            let kinds = [EventKind::Deferred, EventKind::Bounced, EventKind::Delivered];
            kinds.contains(&event.kind) && event.recipient.as_ref().is_some_and(|path| path.to_string() == TO)
        };
        let what = format!("end of attempt {}", self.attempts);
        let events = self.relay.when(&what, |events| events.iter().filter(ends).count() >= self.attempts).await;
        let end = events.iter().filter(ends).nth(self.attempts - 1).unwrap();
        assert_eq!(end.attempts, u32::try_from(self.attempts).ok());
        Event::clone(end)
    }

    /// The same once more, at once. A policy that is set, if only the same one, closes the connections of before.
    async fn again(&mut self) -> Event {
        self.relay.set_policy(&self.policy);
        self.relay.retry_all().await;
        self.outcome().await
    }
}

fn at(level: &str) -> String {
    format!("[[partner]]\ndomains = \"bank.example\"\ndeliver = {level}\n")
}

fn house(servers: &[&Mx], sender: &Mx) -> House {
    House::new().retry(Duration::from_secs(3600)).route("bank.example", servers).route("shop.example", &[sender])
}

async fn sender() -> Mx {
    Mx::start(Behaviour::plain()).await
}

// req: F5 A9 B9
#[tokio::test]
async fn no_starttls_twice_in_a_row_is_certain() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, sender().await);
    let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).partner("bank.example", TWICE);
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("certain")).await;
    let bounced = relay.first(EventKind::Bounced, TO).await;
    assert_eq!(bounced.attempts, Some(2));
    let reason = bounced.reason.as_deref().unwrap();
    assert!(reason.contains("does not offer STARTTLS") && reason.ends_with("(2 times in a row)"), "{reason}");
    let of_recipient = |event: &&std::sync::Arc<Event>| event.recipient.as_ref().is_some_and(|path| path.to_string() == TO);
    let kinds: Vec<_> = relay.events().iter().filter(of_recipient).map(|event| event.kind).collect();
    let expected = [EventKind::Received, EventKind::CheckTls, EventKind::Deferred, EventKind::CheckTls, EventKind::Bounced];
    assert_eq!(kinds, expected);
    let notification = sender.message().await.text();
    for words in ["Action: failed", "Status: 5.7.10", TO, "does not offer STARTTLS", "(2 times in a row)"] {
        assert!(notification.contains(words), "{words} is missing in\n{notification}");
    }
    assert!(bank.saw_no_mail_in_clear());
    relay.shutdown().await;
}

/// The negative control: who does not ask for it gets every attempt of the lifetime.
// req: F5 A8
#[tokio::test]
async fn by_default_it_is_tried_again() {
    for level in ["\"require\"", "{ level = \"require\", on_failure = \"retry\" }"] {
        let (bank, sender) = (Mx::start(Behaviour::plain()).await, sender().await);
        let mut mail = Patient::new(&[&bank], &sender, level).await;
        assert_eq!(mail.outcome().await.kind, EventKind::Deferred);
        for _ in 0..4 {
            assert_eq!(mail.again().await.kind, EventKind::Deferred, "{level}");
        }
        bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
        assert_eq!(mail.again().await.kind, EventKind::Delivered);
        mail.relay.shutdown().await;
        assert_eq!(sender.count(), 0);
    }
}

/// What may be otherwise next time is no verdict, and the count begins anew behind it.
// req: F5
#[tokio::test]
async fn what_proves_nothing_starts_the_count_anew() {
    let unclear = [
        Behaviour::plain().with_start_tls(StartTls::Refused("454 4.7.0 not now")),
        Behaviour::plain().with_start_tls(StartTls::Refused("421 4.3.2 busy")),
        Behaviour::plain().with_start_tls(StartTls::Broken),
        Behaviour { greeting: "421 4.3.2 too many connections", ..Behaviour::plain() },
        Behaviour::secure(Kind::SelfSigned, HOST).answering("RCPT", "450 4.2.1 mailbox busy"),
    ];
    for behaviour in unclear {
        let (bank, sender) = (Mx::start(Behaviour::plain()).await, sender().await);
        let mut mail = Patient::new(&[&bank], &sender, TWICE).await;
        assert_eq!(mail.outcome().await.kind, EventKind::Deferred);
        bank.change(behaviour);
        for _ in 0..3 {
            assert_eq!(mail.again().await.kind, EventKind::Deferred, "it never bounces for this");
        }
        bank.change(Behaviour::plain());
        assert_eq!(mail.again().await.kind, EventKind::Deferred, "the first in a row again");
        assert_eq!(mail.again().await.kind, EventKind::Bounced);
        mail.relay.shutdown().await;
        assert!(bank.count() == 0);
    }
}

// req: F5
#[tokio::test]
async fn different_verdicts_do_not_count_together() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, sender().await);
    let mut mail = Patient::new(&[&bank], &sender, &TWICE.replace("require", "verify")).await;
    assert_eq!(mail.outcome().await.kind, EventKind::Deferred);
    let verdicts = [
        Behaviour::plain().with_start_tls(StartTls::Refused("554 5.7.3 never")),
        Behaviour::secure(Kind::Expired, HOST),
        Behaviour::secure(Kind::WrongName, HOST),
    ];
    for behaviour in verdicts {
        bank.change(behaviour);
        assert_eq!(mail.again().await.kind, EventKind::Deferred);
    }
    let bounced = mail.again().await;
    assert_eq!(bounced.kind, EventKind::Bounced, "the negative control: the same once more");
    let reason = bounced.reason.as_deref().unwrap();
    assert!(reason.contains("no certificate for mx.bank.example") && reason.ends_with("(2 times in a row)"), "{reason}");
    mail.relay.shutdown().await;
}

// req: F5
#[tokio::test]
async fn once_may_be_enough() {
    let (bank, sender) = (Mx::start(Behaviour::secure(Kind::WrongName, HOST)).await, sender().await);
    let level = "{ level = \"verify\", on_failure = \"bounce\", bounce_after = 1 }";
    let mut mail = Patient::new(&[&bank], &sender, level).await;
    let bounced = mail.outcome().await;
    assert_eq!(bounced.kind, EventKind::Bounced);
    assert!(!bounced.reason.as_deref().unwrap().contains("in a row"), "{bounced:?}");
    assert!(sender.message().await.text().contains("Status: 5.7.10"));
    mail.relay.shutdown().await;
}

/// A verdict on one address says nothing while another host cannot be asked.
// req: F5
#[tokio::test]
async fn every_host_has_to_say_the_same() {
    let sender = sender().await;
    let first = Mx::start(Behaviour::plain()).await;
    let second = Mx::start_beside(&first, Behaviour::plain().with_start_tls(StartTls::Refused("454 4.7.0 not now"))).await;
    let mut mail = Patient::new(&[&first, &second], &sender, TWICE).await;
    assert_eq!(mail.outcome().await.kind, EventKind::Deferred);
    for _ in 0..3 {
        assert_eq!(mail.again().await.kind, EventKind::Deferred);
    }
    second.change(Behaviour::plain());
    assert_eq!(mail.again().await.kind, EventKind::Deferred);
    assert_eq!(mail.again().await.kind, EventKind::Bounced);
    mail.relay.shutdown().await;
}

// req: F5
#[tokio::test]
async fn the_count_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, sender().await);
    let relay = house(&[&bank], &sender).policy(&at(TWICE)).start_with(open_spool(folder.path()).await).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("certain")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay.shutdown().await;

    let relay = house(&[&bank], &sender).policy(&at(TWICE)).start_with(open_spool(folder.path()).await).await;
    relay.retry_all().await;
    let bounced = relay.first(EventKind::Bounced, TO).await;
    assert!(bounced.reason.as_deref().is_some_and(|reason| reason.ends_with("(2 times in a row)")), "{bounced:?}");
    assert_eq!(relay.count(EventKind::Deferred), 0);
    relay.shutdown().await;
}

/// Mail that may go in clear does so; only where that is forbidden is a failure of TLS an end.
// req: F5 B2
#[tokio::test]
async fn what_may_go_in_clear_is_not_bounced() {
    for (fallback, expected) in [("second-attempt", EventKind::Delivered), ("never", EventKind::Bounced)] {
        let sender = sender().await;
        let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Refused("554 5.7.3 never"))).await;
        let level = format!("{{ level = \"opportunistic\", clear_fallback = \"{fallback}\", on_failure = \"bounce\", bounce_after = 1 }}");
        let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).partner("bank.example", &level);
        let relay = house.start_with(MemorySpool::new()).await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("certain")).await;
        relay.first(expected, TO).await;
        assert_eq!(bank.count(), usize::from(expected == EventKind::Delivered), "{fallback}");
        relay.shutdown().await;
    }
}
