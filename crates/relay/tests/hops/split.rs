//! One message, several recipients: each is decided and served on its own.

use std::sync::Arc;

use sealpost_queue::{MemorySpool, Spool as _};
use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Mx, StartTls, backend_and_pin, letter};

const FROM: &str = "ann@shop.example";

// req: A5 B9 D4
#[tokio::test]
async fn three_domains_are_delivered_held_and_refused() {
    let good = Mx::start(Behaviour::secure(Kind::Right, "mx.good.example")).await;
    let held = Mx::start(Behaviour::plain()).await;
    let gone = Mx::start(Behaviour::plain().answering("RCPT", "550 5.1.1 nobody of that name")).await;
    let sender = Mx::start(Behaviour::plain()).await;
    let house = House::new().route("good.example", &[&good]).route("held.example", &[&held]).route("gone.example", &[&gone]);
    let house = house.route("shop.example", &[&sender]).partner("good.example", "\"verify\"").partner("held.example", "\"require\"");
    let relay = house.start().await;
    let recipients = ["one@good.example", "two@held.example", "three@gone.example"];
    Client::secure(relay.address).await.send(FROM, &recipients, &letter("three ways")).await;

    let message = good.message().await;
    assert_eq!(message.to, ["one@good.example"]);
    assert!(message.fields("Received").iter().all(|field| !field.contains("held.example") && !field.contains("gone.example")));
    relay.wait(EventKind::CheckTls, "two@held.example", 2).await;
    assert!(held.saw_no_mail_in_clear());

    let notification = sender.message().await;
    assert_eq!((notification.from.as_str(), notification.to.as_slice()), ("", [FROM.to_owned()].as_slice()));
    let text = notification.text();
    assert!(text.contains("Final-Recipient: rfc822;three@gone.example") || text.contains("Final-Recipient: rfc822; three@gone.example"));
    assert!(text.contains("Status: 5.1.1") && text.contains("nobody of that name"), "{text}");
    assert!(!text.contains("one@") && !text.contains("two@"), "it names nobody else:\n{text}");
    assert_eq!(relay.count(EventKind::Bounced), 1);

    held.change(Behaviour::secure(Kind::SelfSigned, "mx.held.example"));
    assert_eq!(held.message().await.to, ["two@held.example"]);
    relay.shutdown().await;
    assert_eq!((good.count(), gone.count(), sender.count()), (1, 0, 1));
}

/// Two demands at one server never share a connection or a transaction; the negative control is that equal ones do.
// req: D4
#[tokio::test]
async fn recipients_of_different_demands_travel_apart_and_equal_ones_together() {
    for (other_level, together) in [("\"none\"", false), ("\"verify\"", false), ("\"require\"", true)] {
        let server = Mx::start(Behaviour::secure(Kind::Right, "mx.shared.example")).await;
        let mut house = House::new().partner("a.example", "\"require\"").partner("b.example", other_level);
        for domain in ["a.example", "b.example"] {
            house = house.route_via(domain, "mx.shared.example", &[server.address]);
        }
        let relay = house.start().await;
        Client::secure(relay.address).await.send(FROM, &["x@a.example", "y@b.example"], &letter("split")).await;
        let messages = server.messages(if together { 1 } else { 2 }).await;
        relay.first(EventKind::Delivered, "x@a.example").await;
        relay.first(EventKind::Delivered, "y@b.example").await;
        if together {
            assert_eq!((messages.len(), messages[0].to.len(), server.record().sessions), (1, 2, 1));
        } else {
            assert_ne!(messages[0].session, messages[1].session, "{other_level}");
            for message in &messages {
                assert_eq!(message.to.len(), 1);
                assert_eq!(message.tls.is_some(), message.to == ["x@a.example"] || other_level != "\"none\"");
            }
        }
        relay.shutdown().await;
    }
}

/// Three demands on one message, two of them at one and the same server: three deliveries, each as its own demand says.
// req: D4 E6
#[tokio::test]
async fn required_opportunistic_and_pinned_recipients_are_three_deliveries() {
    let (backend, pin) = backend_and_pin(Kind::SelfSigned, "mx.pinned.example");
    let plain = Mx::start(Behaviour::plain()).await;
    let secure = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.pinned.example")).await;
    let mut house = House::new().partner("strict.example", "\"require\"").partner("easy.example", "\"opportunistic\"");
    house = house.partner("pinned.example", &format!("{{ level = \"pinned\", pins = [\"{pin}\"] }}"));
    for domain in ["strict.example", "easy.example"] {
        house = house.route_via(domain, "mx.shared.example", &[plain.address]);
    }
    let relay = house.route("pinned.example", &[&secure]).start().await;
    let [strict, easy, pinned] = ["a@strict.example", "b@easy.example", "c@pinned.example"];
    Client::secure(relay.address).await.send(FROM, &[strict, easy, pinned], &letter("three demands")).await;

    let message = plain.message().await;
    assert!(message.to == [easy] && message.tls.is_none());
    for (to, level, words) in [(strict, "require", "does not offer STARTTLS"), (pinned, "pinned", "key")] {
        let deferred = relay.wait(EventKind::Deferred, to, 2).await.remove(1);
        assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some(level));
        assert!(deferred.reason.as_deref().is_some_and(|reason| reason.contains(words)), "{deferred:?}");
    }
    assert_eq!((plain.count(), secure.count()), (1, 0), "nothing of the others went along");
    assert!(plain.said("RCPT TO:<a@").is_empty() && secure.said("MAIL").is_empty());

    plain.change(Behaviour::secure(Kind::SelfSigned, "mx.shared.example"));
    secure.change(Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(backend))));
    let held = plain.messages(2).await.remove(1);
    assert!(held.to == [strict] && held.tls.is_some());
    assert_eq!(secure.message().await.to, [pinned]);
    relay.shutdown().await;
    assert_eq!((plain.count(), secure.count()), (2, 1), "each once");
}

/// In clear one recipient is refused and the others of the same transaction are not (D1); over TLS all are taken.
// req: D1 D4
#[tokio::test]
async fn in_one_transaction_one_recipient_is_refused_and_another_accepted() {
    let server = Mx::start(Behaviour::plain()).await;
    let policy = "[[domain]]\nname = \"acme.example\"\nreceive = { level = \"require\", recipients = \"payroll\" }\n";
    let relay = House::new().route("acme.example", &[&server]).policy(policy).start().await;
    let mut client = Client::clear(relay.address).await;
    client.say("MAIL FROM:<ann@shop.example>").await;
    for (to, reply) in [("info", "250 2.1.5 "), ("payroll", "550 5.7.10 "), ("PayRoll+may", "550 5.7.10 "), ("sales", "250 2.1.5 ")] {
        let said = client.say(&format!("RCPT TO:<{to}@acme.example>")).await;
        assert!(said.starts_with(reply), "{to}: {said}");
    }
    let octets = letter("in clear");
    client.send_octets(format!("BDAT {} LAST\r\n", octets.len()).as_bytes()).await;
    client.send_octets(&octets).await;
    assert!(client.reply().await.starts_with("250 2.0.0 "));
    assert_eq!(server.message().await.to, ["info@acme.example", "sales@acme.example"]);
    let refused = relay.first(EventKind::Refused, "payroll@acme.example").await;
    assert!(refused.reply.as_deref().is_some_and(|reply| reply.starts_with("550 5.7.10 ")), "{refused:?}");

    // The negative control.
    Client::secure(relay.address).await.send(FROM, &["info@acme.example", "payroll@acme.example"], &letter("secure")).await;
    assert_eq!(server.messages(2).await[1].to, ["info@acme.example", "payroll@acme.example"]);
    drop(client);
    relay.shutdown().await;
}

/// 250, 450 and 550 in one transaction: one is served, one waits and is served alone, one goes back.
#[tokio::test]
async fn recipients_of_one_domain_fare_as_the_server_says() {
    let bank = Mx::start(
        Behaviour::plain()
            .answering("RCPT TO:<later@", "450 4.2.1 mailbox busy")
            .answering("RCPT TO:<never@", "550 5.1.1 nobody")
            .answering("RCPT TO:<full@", "552 5.2.2 mailbox full"),
    )
    .await;
    let sender = Mx::start(Behaviour::plain()).await;
    let spool = MemorySpool::new();
    let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]);
    let relay = house.start_with(spool.clone()).await;
    let recipients = ["now@bank.example", "later@bank.example", "never@bank.example", "full@bank.example"];
    Client::secure(relay.address).await.send(FROM, &recipients, &letter("mix")).await;

    assert_eq!(bank.message().await.to, ["now@bank.example"]);
    let text = sender.message().await.text();
    for gone in ["never@bank.example", "full@bank.example", "Status: 5.1.1", "Status: 5.2.2"] {
        assert!(text.contains(gone), "{gone} is missing in\n{text}");
    }
    assert!(!text.contains("later@") && !text.contains("now@"), "{text}");
    let deferred = relay.wait(EventKind::Deferred, "later@bank.example", 2).await.remove(1);
    assert_eq!(deferred.reply.as_deref(), Some("450 4.2.1 mailbox busy"));
    assert_eq!(deferred.attempts, Some(2));

    bank.change(Behaviour::plain());
    let messages = bank.messages(2).await;
    assert_eq!(messages[1].to, ["later@bank.example"]);
    relay.first(EventKind::Delivered, "later@bank.example").await;
    relay.shutdown().await;
    assert_eq!((bank.count(), sender.count()), (2, 1), "nobody got it twice, and one notification tells of both");
    assert!(spool.list(sealpost_queue::Filter::all(), 10).await.is_err(), "closed");
}

/// More than every server must take in one transaction (RFC 5321 section 4.5.3.1.8): several transactions, and nobody twice.
#[tokio::test]
async fn many_recipients_travel_in_several_transactions() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = House::new().route("bank.example", &[&bank]).start().await;
    let recipients: Vec<String> = (0..250).map(|number| format!("number{number:03}@bank.example")).collect();
    let asked: Vec<&str> = recipients.iter().map(String::as_str).collect();
    Client::secure(relay.address).await.send(FROM, &asked, &letter("to all")).await;
    let messages = bank.messages(3).await;
    assert!(messages.iter().all(|message| message.to.len() <= 100));
    let mut served: Vec<String> = messages.into_iter().flat_map(|message| message.to).collect();
    served.sort();
    assert_eq!(served, recipients);
    relay.shutdown().await;
    assert_eq!(bank.record().sessions, 1);
}
