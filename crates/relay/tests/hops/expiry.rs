//! The end of a lifetime: told to the sender, or deleted where TLS was the reason and the policy says so.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::{Change, Changed, Filter, MemorySpool, Spool as _, State};
use sealpost_report::{Clock as Zone, EventKind, Lang, TextStyle};

use crate::support::{Behaviour, Client, Clock, House, Kind, Mx, Running, StartTls, backend, free_address, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

/// A relay whose mail for the bank expires after an hour, with one message that was tried once, and the hour over.
async fn expired(bank: SocketAddr, sender: &Mx, from: &str, on_expiry: &str) -> (Running, MemorySpool) {
    let (clock, spool) = (Clock::default(), MemorySpool::new());
    let level = format!("{{ level = \"require\", lifetime = \"1h\", on_expiry = \"{on_expiry}\" }}");
    let house = House::new().route_to("bank.example", &[bank]).route("shop.example", &[sender]).partner("bank.example", &level);
    let relay = house.clock(&clock).start_with(spool.clone()).await;
    Client::secure(relay.address).await.send(from, &[TO], &letter("too late")).await;
    relay.first(EventKind::Deferred, TO).await;
    assert_eq!(relay.count(EventKind::Expired), 0, "not yet");
    clock.advance(Duration::from_secs(2 * 3600));
    (relay, spool)
}

async fn assert_empty(spool: &MemorySpool) {
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.leased), (0, 0, 0), "{stats:?}");
}

// req: B9 A9
#[tokio::test]
async fn what_expires_for_want_of_tls_bounces_with_the_reason() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
    let (relay, spool) = expired(bank.address, &sender, FROM, "bounce").await;
    let notification = sender.message().await;
    assert_eq!((notification.from.as_str(), notification.to.as_slice()), ("", [FROM.to_owned()].as_slice()));
    let text = notification.text();
    for words in ["Action: failed", "Status: 5.7.10", TO, "does not offer STARTTLS", "require"] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    relay.first(EventKind::Expired, TO).await;
    relay.first(EventKind::Bounced, TO).await;
    relay.first(EventKind::Delivered, FROM).await;
    assert_empty(&spool).await;
    assert!(bank.saw_no_mail_in_clear());
    relay.shutdown().await;
}

// req: A8 A9
#[tokio::test]
async fn what_expires_for_want_of_tls_is_deleted_where_the_policy_says_so() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
    let (relay, spool) = expired(bank.address, &sender, FROM, "delete").await;
    let deleted = relay.first(EventKind::DeletedByTlsPolicy, TO).await;
    let text = deleted.to_text(TextStyle::new(Lang::En, Zone::Utc));
    assert!(text.contains("deleted") && text.contains("TLS policy"), "{text}");
    assert!(relay.count(EventKind::CheckTls) >= 2, "each failure has its entry");
    assert_empty(&spool).await;
    assert_eq!(relay.handle.stats().deleted, 1);
    relay.shutdown().await;
    assert_eq!((sender.record().sessions, bank.count()), (0, 0));
}

/// It waits for an operator, untouched by time and policy, and goes out when it is let go.
// req: A8
#[tokio::test]
async fn what_expires_for_want_of_tls_is_held_where_the_policy_says_so() {
    let (bank, sender) = (Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await);
    let (relay, spool) = expired(bank.address, &sender, FROM, "hold").await;
    relay.first(EventKind::Expired, TO).await;
    relay.first(EventKind::Held, TO).await;
    let listed = spool.list(Filter::all().state(State::Held), 10).await.unwrap().remove(0);
    assert!(listed.reason.as_deref().is_some_and(|reason| reason.contains("does not offer STARTTLS")), "{listed:?}");
    let tried = relay.count(EventKind::CheckTls);
    bank.change(Behaviour::secure(Kind::SelfSigned, "mx.bank.example"));
    relay.set_policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = { level = \"require\", lifetime = \"1h\" }\n");
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("meanwhile")).await;
    assert_eq!(bank.message().await.fields("Subject"), ["meanwhile"]);
    assert_eq!((relay.count(EventKind::CheckTls), relay.handle.stats().held), (tried, 1), "nobody tries it");

    let now = listed.entry.unwrap().reception.at;
    assert_eq!(spool.change(vec![(listed.id, Change::Release { now, outbox: Vec::new() })]).await, Ok(vec![Changed::Done]));
    assert_eq!(bank.messages(2).await[1].fields("Subject"), ["too late"]);
    relay.first(EventKind::Delivered, TO).await;
    relay.shutdown().await;
    assert_eq!(sender.record().sessions, 0);
}

/// The hour ends while the bank does not answer at all: what was certain before it fell silent still is.
// req: A8
#[tokio::test]
async fn what_expires_while_the_destination_is_silent_ends_as_it_was_found_last() {
    for (start_tls, held) in [(StartTls::Absent, 1), (StartTls::Offered(Arc::new(backend(Kind::SelfSigned, "mx.bank.example"))), 0)] {
        let (clock, sender) = (Clock::default(), Mx::start(Behaviour::plain()).await);
        let bank = Mx::start(Behaviour::plain().with_start_tls(start_tls).answering("RCPT", "450 4.2.1 mailbox busy")).await;
        let level = "{ level = \"require\", lifetime = \"1h\", on_expiry = \"hold\" }";
        let house = House::new().retry(Duration::from_secs(7200)).route("bank.example", &[&bank]).route("shop.example", &[&sender]);
        let relay = house.partner("bank.example", level).clock(&clock).start().await;
        let mut client = Client::secure(relay.address).await;
        client.send(FROM, &[TO], &letter("too late")).await;
        relay.first(EventKind::Deferred, TO).await;
        let address = bank.address;
        drop(bank);
        while TcpListener::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
        // Shortly before the end, another message finds out that nobody is there any more.
        clock.advance(Duration::from_secs(3590));
        client.send(FROM, &["eve@bank.example"], &letter("another")).await;
        relay.first(EventKind::Deferred, "eve@bank.example").await;
        clock.advance(Duration::from_secs(20));
        relay.first(EventKind::Expired, TO).await;
        if held == 0 {
            relay.first(EventKind::Bounced, TO).await;
        } else {
            relay.first(EventKind::Held, TO).await;
        }
        assert_eq!(relay.handle.stats().held, held);
        drop(client);
        relay.shutdown().await;
    }
}

/// The waits of the entry come before those of the queue, and those for TLS before the others.
#[tokio::test]
async fn an_entry_has_its_own_waits_and_tls_has_others() {
    let plain = Mx::start(Behaviour::plain()).await;
    let busy = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.busy.example").answering("RCPT", "450 4.2.1 mailbox busy")).await;
    let mut house = House::new().retry(Duration::from_secs(600)).retry_tls(Duration::from_secs(7200));
    for (domain, server, retry) in
        [("own.example", &plain, ", retry = \"24h\""), ("plain.example", &plain, ""), ("busy.example", &busy, "")]
    {
        house = house.route(domain, &[server]).partner(domain, &format!("{{ level = \"require\"{retry} }}"));
    }
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &["a@own.example", "b@plain.example", "c@busy.example"], &letter("waits")).await;
    for (to, wait) in [("a@own.example", 86_400), ("b@plain.example", 7200), ("c@busy.example", 600)] {
        let deferred = relay.first(EventKind::Deferred, to).await;
        let waits = deferred.next_attempt.unwrap().since(deferred.at).as_secs();
        assert!((wait * 9 / 10..=wait * 11 / 10).contains(&waits), "{to}: {waits} s");
    }
    relay.shutdown().await;
}

/// The negative control of the deletion: it is for TLS alone.
// req: A8
#[tokio::test]
async fn what_expires_for_another_reason_bounces_whatever_the_policy_says() {
    let busy = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.bank.example").answering("RCPT", "450 4.2.1 mailbox busy")).await;
    for (bank, words) in [(busy.address, "mailbox busy"), (free_address(), "refused")] {
        let sender = Mx::start(Behaviour::plain()).await;
        let (relay, spool) = expired(bank, &sender, FROM, "delete").await;
        let text = sender.message().await.text();
        assert!(text.contains("Status: 5.4.7") && text.contains(words), "{text}");
        relay.first(EventKind::Delivered, FROM).await;
        assert_eq!(relay.count(EventKind::DeletedByTlsPolicy), 0);
        assert_empty(&spool).await;
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_notification_that_fails() {
    // one that somebody else sent
    let bank = Mx::start(Behaviour::plain().answering("RCPT", "550 5.1.1 nobody")).await;
    let sender = Mx::start(Behaviour::plain().answering("RCPT", "550 5.1.1 nobody")).await;
    let spool = MemorySpool::new();
    let relay = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).start_with(spool.clone()).await;
    Client::secure(relay.address).await.send("", &[TO], &letter("notification")).await;
    relay.first(EventKind::Bounced, TO).await;
    assert_empty(&spool).await;
    assert_eq!(sender.record().sessions, 0);

    // and the relay's own; it is the negative control too: from somebody, the same mail does make one
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("mail")).await;
    relay.wait(EventKind::Bounced, TO, 2).await;
    relay.first(EventKind::Bounced, FROM).await;
    assert_empty(&spool).await;
    assert_eq!(sender.said("MAIL"), sender.said("MAIL FROM:<> "), "only a notification");
    assert_eq!(sender.said("MAIL").len(), 1);

    // and one that expires
    let (relay, spool) = {
        relay.shutdown().await;
        let plain = Mx::start(Behaviour::plain()).await;
        expired(plain.address, &sender, "", "bounce").await
    };
    relay.first(EventKind::Bounced, TO).await;
    assert_empty(&spool).await;
    assert_eq!(sender.said("MAIL").len(), 1);
    relay.shutdown().await;
}
