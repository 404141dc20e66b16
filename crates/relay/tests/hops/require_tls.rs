//! REQUIRETLS and `TLS-Required: No` (RFC 8689), on both hops.

use std::sync::Arc;

use sealpost_report::{Event, EventKind, RequireTlsMark};

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, letter, open_spool};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

/// The server of the bank, with a right certificate.
fn bank() -> Behaviour {
    Behaviour::secure(Kind::Right, "mx.bank.example")
}

/// The server of the sender, with a right certificate.
fn shop() -> Behaviour {
    Behaviour::secure(Kind::Right, "mx.shop.example")
}

/// A relay with this policy, the server of the bank, and that of the sender.
async fn relay(policy: &str, bank: Behaviour, shop: Behaviour) -> (Running, Mx, Mx) {
    let (bank, shop) = (Mx::start(bank).await, Mx::start(shop).await);
    let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&shop]).policy(policy);
    (house.start().await, bank, shop)
}

async fn send(relay: &Running, parameters: &str) {
    Client::secure(relay.address).await.send_with(FROM, parameters, &[TO], &letter("secrets")).await;
}

fn mark(event: &Event) -> Option<RequireTlsMark> {
    event.proof.as_ref().and_then(|proof| proof.require_tls)
}

/// RFC 8689 section 2: offered under TLS, and taken there only.
// req: E4
#[tokio::test]
async fn rfc8689_2_it_is_offered_under_tls() {
    let (relay, _bank, _shop) = relay("", bank(), shop()).await;
    let mut client = Client::clear(relay.address).await;
    assert!(!client.say("EHLO client.example").await.contains("REQUIRETLS"));
    assert!(client.say("MAIL FROM:<ann@shop.example> REQUIRETLS").await.starts_with("555 5.5.4 "));
    client.start_tls().await;
    assert!(client.say("EHLO client.example").await.contains("REQUIRETLS"));
    assert!(client.say("MAIL FROM:<ann@shop.example> REQUIRETLS").await.starts_with("250 "));
    drop(client);
    relay.shutdown().await;
}

/// RFC 8689 section 4.2.1: a host that announces it is given it, and the proof says so.
// req: E4 F6
#[tokio::test]
async fn rfc8689_4_2_1_it_is_handed_on() {
    let (relay, bank, shop) = relay("", bank().with("REQUIRETLS"), shop()).await;
    send(&relay, "REQUIRETLS").await;
    let message = bank.message().await;
    assert!(message.parameters.ends_with("REQUIRETLS") && message.tls.is_some(), "{}", message.parameters);
    let event = relay.first(EventKind::Delivered, TO).await;
    assert_eq!(mark(&event), Some(RequireTlsMark::HandedOn));
    let demand = &event.proof.as_ref().unwrap().demand;
    assert!(demand.contains("a trusted chain") && demand.contains("mx.bank.example"), "{demand}");
    assert_eq!(event.decided.as_ref().unwrap().source, "REQUIRETLS");
    // Mail that asks for nothing is given nothing, over the same server.
    send(&relay, "").await;
    assert!(!bank.messages(2).await.pop().unwrap().parameters.contains("REQUIRETLS"));
    assert_eq!(mark(&relay.wait(EventKind::Delivered, TO, 2).await[1]), None);
    relay.shutdown().await;
    assert_eq!(shop.count(), 0);
}

/// RFC 8689 section 4.2.1 and 5: where the host does not announce it the mail goes back at once, its body does not, and what
/// goes back asks for REQUIRETLS itself.
// req: E4 E5
#[tokio::test]
async fn rfc8689_5_without_it_the_mail_goes_back() {
    for announced in [true, false] {
        let own = if announced { shop().with("REQUIRETLS") } else { shop() };
        let (relay, bank, shop) = relay("", bank(), own).await;
        send(&relay, "REQUIRETLS RET=FULL").await;
        let told = shop.message().await;
        let text = told.text().replace("\r\n    ", " ");
        assert!(text.contains("Action: failed\r\nStatus: 5.7.30\r\n"), "{text}");
        assert!(text.contains("mx.bank.example does not announce REQUIRETLS, which the sender asks for"), "{text}");
        assert!(text.contains("TLS was demanded at the level \"verify\" by REQUIRETLS."), "{text}");
        assert!(text.contains("Subject: secrets") && !text.contains("The words of secrets"), "{text}");
        // Nobody on its way has to know it (section 5), but it travels over TLS.
        assert_eq!(told.parameters.contains("REQUIRETLS"), announced, "{}", told.parameters);
        assert!(told.tls.is_some());
        let event = relay.first(EventKind::Delivered, FROM).await;
        assert_eq!(mark(&event), Some(if announced { RequireTlsMark::HandedOn } else { RequireTlsMark::GradedDown }));
        let check = relay.first(EventKind::CheckTls, TO).await;
        assert_eq!((mark(&check), check.proof.as_ref().map(|proof| proof.satisfied)), (Some(RequireTlsMark::Asked), Some(false)));
        relay.shutdown().await;
        assert!(bank.said("MAIL").is_empty(), "the bank heard nothing of it");
    }
    // The negative control: the same mail without it is delivered, and with RET=FULL a refusal gives back all of it.
    let (relay, bank, shop) = relay("", bank().answering("RCPT", "550 5.1.1 nobody"), shop()).await;
    send(&relay, "RET=FULL").await;
    assert!(shop.message().await.text().contains("The words of secrets"));
    assert!(!bank.said("MAIL").is_empty());
    relay.shutdown().await;
}

/// Any refusal of such mail gives back its header alone, whatever RET says (RFC 8689 section 5).
// req: E4 E5
#[tokio::test]
async fn rfc8689_5_ret_full_is_disregarded() {
    let (relay, _bank, shop) = relay("", bank().with("REQUIRETLS").answering("RCPT", "550 5.1.1 nobody"), shop()).await;
    send(&relay, "REQUIRETLS RET=FULL").await;
    let text = shop.message().await.text();
    assert!(text.contains("Status: 5.1.1") && text.contains("Subject: secrets") && !text.contains("The words of secrets"), "{text}");
    relay.shutdown().await;
}

/// RFC 8689 section 4.2.1: without TLS, or with a certificate that proves nothing, it goes back as 5.7.10, and never in clear.
// req: E4
#[tokio::test]
async fn rfc8689_4_2_1_without_verified_tls_the_mail_goes_back() {
    let secure = |kind| Behaviour::secure(kind, "mx.bank.example").with("REQUIRETLS");
    let refusing = bank().with_start_tls(StartTls::Refused("502 5.5.1 not here"));
    for bank in [Behaviour::plain().with("REQUIRETLS"), secure(Kind::SelfSigned), secure(Kind::Expired), secure(Kind::WrongName), refusing]
    {
        let (relay, bank, shop) = relay("", bank, shop()).await;
        send(&relay, "REQUIRETLS").await;
        let text = shop.message().await.text();
        assert!(text.contains("Action: failed\r\nStatus: 5.7.10\r\n"), "{text}");
        relay.first(EventKind::CheckTls, TO).await;
        relay.shutdown().await;
        assert!(bank.said("MAIL").is_empty());
        // The negative control: opportunistic mail is taken by each of these servers.
    }
    for kind in [Kind::SelfSigned, Kind::Expired, Kind::WrongName] {
        let (relay, bank, _shop) = relay("", secure(kind), shop()).await;
        send(&relay, "").await;
        bank.message().await;
        relay.shutdown().await;
    }
}

/// A host that has trouble of a moment may have it later, and so the mail waits; it still asks for it after a restart.
// req: E4
#[tokio::test]
async fn it_waits_for_a_host_that_may_have_it_and_outlives_a_restart() {
    let (bank_mx, shop_mx) = (Mx::start(bank().with_start_tls(StartTls::Refused("454 4.7.0 later"))).await, Mx::start(shop()).await);
    let folder = tempfile::tempdir().unwrap();
    let house = || House::new().route("bank.example", &[&bank_mx]).route("shop.example", &[&shop_mx]);
    let relay = house().start_with(open_spool(folder.path()).await).await;
    send(&relay, "REQUIRETLS").await;
    relay.first(EventKind::Deferred, TO).await;
    relay.shutdown().await;
    bank_mx.change(bank().with("REQUIRETLS"));
    let relay = house().start_with(open_spool(folder.path()).await).await;
    assert!(bank_mx.message().await.parameters.ends_with("REQUIRETLS"));
    relay.shutdown().await;
    assert_eq!(shop_mx.count(), 0);
}

/// RFC 8689 section 4.2.1: every host is tried before the mail goes back.
// req: E4
#[tokio::test]
async fn another_host_may_announce_it() {
    let first = Mx::start(bank()).await;
    let (second, shop) = (Mx::start_beside(&first, bank().with("REQUIRETLS")).await, Mx::start(shop()).await);
    let relay = House::new().route("bank.example", &[&first, &second]).route("shop.example", &[&shop]).start().await;
    send(&relay, "REQUIRETLS").await;
    assert!(second.message().await.parameters.ends_with("REQUIRETLS"));
    relay.shutdown().await;
    assert!(first.said("MAIL").is_empty());
    assert_eq!(shop.count(), 0);
}

/// What an operator grades down goes out, and the proof says that nothing binds anybody beyond that host.
// req: E4 F6
#[tokio::test]
async fn graded_down_it_goes_out_over_tls() {
    let policy = |word: &str| format!("[defaults]\nrequiretls = '{word}'\n");
    for (word, kind) in [("require", Kind::SelfSigned), ("verify", Kind::Right)] {
        let (relay, bank, _shop) = relay(&policy(word), Behaviour::secure(kind, "mx.bank.example"), shop()).await;
        send(&relay, "REQUIRETLS").await;
        let message = bank.message().await;
        assert!(message.tls.is_some() && !message.parameters.contains("REQUIRETLS"), "{}", message.parameters);
        assert_eq!(mark(&*relay.first(EventKind::Delivered, TO).await), Some(RequireTlsMark::GradedDown), "{word}");
        relay.shutdown().await;
    }
    // What it is graded down to is still asked, and what fails is tried again as any other mail.
    for (word, bank) in [("verify", Behaviour::secure(Kind::SelfSigned, "mx.bank.example")), ("require", Behaviour::plain())] {
        let (relay, bank, shop) = relay(&policy(word), bank, shop()).await;
        send(&relay, "REQUIRETLS").await;
        relay.first(EventKind::Deferred, TO).await;
        relay.shutdown().await;
        assert!(bank.said("MAIL").is_empty(), "{word}");
        assert_eq!(shop.count(), 0, "{word}");
    }
    // And it is handed on to who announces it.
    let (relay, bank, _shop) = relay(&policy("require"), bank().with("REQUIRETLS"), shop()).await;
    send(&relay, "REQUIRETLS").await;
    assert!(bank.message().await.parameters.ends_with("REQUIRETLS"));
    relay.shutdown().await;
}

/// RFC 8689 section 4.2.1: an exchanger that plain DNS names is nobody in particular.
// req: E4
#[tokio::test]
async fn rfc8689_4_2_1_an_exchanger_of_plain_dns_will_not_do() {
    let shop = Mx::start(shop()).await;
    let house = House::new().route("shop.example", &[&shop]);
    let domain = |text| sealpost_types::Domain::parse(text).unwrap();
    house.dns.set_mx(&domain("bank.example"), vec![(10, "mx.bank.example".into())]);
    house.dns.set_addresses(&domain("mx.bank.example"), vec!["192.0.2.25".parse().unwrap()]);
    let relay = house.start().await;
    send(&relay, "REQUIRETLS").await;
    let text = shop.message().await.text().replace("\r\n    ", " ");
    assert!(text.contains("Status: 5.7.30"), "{text}");
    assert!(text.contains("mx.bank.example was learnt without DNSSEC and MTA-STS, and the sender asks for REQUIRETLS"), "{text}");
    relay.shutdown().await;
}

/// The notification's own way is not in clear: it waits for TLS.
// req: E4 E5
#[tokio::test]
async fn what_goes_back_never_goes_in_clear() {
    let (relay, _bank, shop) = relay("", bank(), Behaviour::plain()).await;
    send(&relay, "REQUIRETLS").await;
    relay.first(EventKind::Bounced, TO).await;
    relay.wait(EventKind::Deferred, FROM, 2).await;
    assert!(shop.said("MAIL").is_empty());
    // The negative control: a notification about other mail goes in clear there.
    relay.shutdown().await;
    let (relay, _bank, shop) = self::relay("", bank().answering("RCPT", "550 5.1.1 nobody"), Behaviour::plain()).await;
    send(&relay, "").await;
    assert!(shop.message().await.tls.is_none());
    relay.shutdown().await;
}

/// RFC 8689 section 3 and 4.1: a single `TLS-Required: No` is a source of its own, unless REQUIRETLS makes it void.
// req: E4 F1
#[tokio::test]
async fn rfc8689_4_1_tls_required_no_is_a_source() {
    let (relay, bank, _shop) = relay("", bank().with("REQUIRETLS"), shop()).await;
    let with = |fields: &str| [fields.as_bytes(), &letter("open")].concat();
    let mut client = Client::secure(relay.address).await;
    let sent = [
        ("", "TLS-Required: No\r\n", true),
        ("REQUIRETLS", "TLS-Required: No\r\n", false),
        ("", "TLS-Required: No\r\nTLS-Required: No\r\n", false),
        ("", "", false),
    ];
    for (parameters, fields, _) in sent {
        client.send_with(FROM, parameters, &[TO], &with(fields)).await;
    }
    let messages = bank.messages(sent.len()).await;
    assert!(messages.iter().any(|message| message.fields("TLS-Required") == ["No"]), "it stays in the header");
    let events: Vec<Arc<Event>> = relay.wait(EventKind::Delivered, TO, sent.len()).await;
    let told = events.iter().filter(|event| {
        let trace = &event.decided.as_ref().unwrap().trace;
        trace.contains("TLS-Required field left out what the domain publishes")
    });
    assert_eq!(told.count(), sent.iter().filter(|(_, _, counts)| *counts).count());
    drop(client);
    relay.shutdown().await;
}
