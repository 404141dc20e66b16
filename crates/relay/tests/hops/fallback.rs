//! Opportunistic TLS that fails: later, in clear, on a new connection, and the history says why. Nothing else falls back.

use std::time::Duration;

use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, free_address, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";

async fn sent(servers: &[&Mx], level: &str) -> Running {
    let relay = House::new().route("bank.example", servers).partner("bank.example", level).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("fallback")).await;
    relay
}

/// The commands of each session, without their arguments.
fn sessions(bank: &Mx) -> Vec<Vec<String>> {
    let record = bank.record();
    let mut sessions = vec![Vec::new(); record.sessions];
    for (session, secure, line) in &record.commands {
        let verb = line.split(' ').next().unwrap_or_default();
        sessions[session - 1].push(if *secure { format!("({verb})") } else { verb.to_owned() });
    }
    sessions
}

// req: B2 A9
#[tokio::test]
async fn a_failed_handshake_is_deferred_and_the_second_attempt_goes_in_clear() {
    // how many connections an attempt makes: a hello without an answer is followed by a smaller one
    for (broken, tries, words) in [
        (StartTls::Broken, 2, "the connection was lost during the handshake"),
        (StartTls::Refused("454 4.7.0 not now"), 1, "STARTTLS refused: 454 4.7.0 not now"),
        (StartTls::Refused("554 5.7.3 never"), 1, "STARTTLS refused: 554 5.7.3 never"),
    ] {
        let bank = Mx::start(Behaviour::plain().with_start_tls(broken)).await;
        let relay = sent(&[&bank], "\"opportunistic\"").await;
        let message = bank.message().await;
        assert!(message.tls.is_none());
        let sessions = sessions(&bank);
        assert_eq!(sessions.len(), 2 * tries + 1, "TLS, TLS again, then a new connection: {sessions:#?}");
        for tried in &sessions[..2 * tries] {
            assert_eq!(tried[..2], ["EHLO", "STARTTLS"]);
            assert!(!tried.contains(&"MAIL".to_owned()), "not on a connection where TLS failed: {tried:?}");
        }
        assert_eq!(sessions[2 * tries][..2], ["EHLO", "MAIL"], "STARTTLS is not tried there");

        let delivered = relay.first(EventKind::Delivered, TO).await;
        let reason = delivered.reason.as_deref().unwrap();
        assert!(reason.starts_with("in clear after TLS failed: ") && reason.contains(words), "{reason}");
        assert_eq!(delivered.attempts, Some(2));
        let kinds: Vec<_> = relay.events().iter().map(|event| event.kind).collect();
        let expected = [EventKind::Received, EventKind::CheckTls, EventKind::Deferred, EventKind::CheckTls, EventKind::Delivered];
        assert_eq!(kinds, expected);
        relay.shutdown().await;
    }
}

/// The negative control: the same servers, and mail that must not go in clear.
// req: A5 A8
#[tokio::test]
async fn mandatory_mail_never_falls_back() {
    for broken in [StartTls::Broken, StartTls::Refused("454 4.7.0 not now"), StartTls::Refused("554 5.7.3 never")] {
        for level in ["\"require\"", "\"verify\""] {
            let bank = Mx::start(Behaviour::plain().with_start_tls(broken.clone())).await;
            let relay = sent(&[&bank], level).await;
            relay.wait(EventKind::Deferred, TO, 3).await;
            assert!(bank.saw_no_mail_in_clear() && bank.count() == 0);
            relay.shutdown().await;
        }
    }
}

/// Being busy says nothing of TLS.
#[tokio::test]
async fn a_421_to_starttls_is_no_reason_to_go_in_clear() {
    let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Refused("421 4.3.2 busy"))).await;
    let relay = sent(&[&bank], "\"opportunistic\"").await;
    relay.wait(EventKind::Deferred, TO, 3).await;
    assert!(bank.saw_no_mail_in_clear());
    assert_eq!(relay.count(EventKind::CheckTls), 0);
    bank.change(Behaviour::secure(Kind::SelfSigned, "mx.bank.example"));
    assert!(bank.message().await.tls.is_some());
    relay.shutdown().await;
}

/// A host that offers TLS and fails is passed over for one where it works; clear is for when none does.
#[tokio::test]
async fn another_host_with_tls_goes_before_clear() {
    let first = Mx::start(Behaviour::plain().with_start_tls(StartTls::Broken)).await;
    let second = Mx::start_beside(&first, Behaviour::secure(Kind::SelfSigned, "mx.bank.example")).await;
    let relay = sent(&[&first, &second], "\"opportunistic\"").await;
    assert!(second.message().await.tls.is_some());
    assert!(first.saw_no_mail_in_clear() && first.record().sessions == 2);
    assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(1));
    relay.shutdown().await;
}

/// One address has broken TLS, the other is dead: opportunistic mail is not held by that for as long as it lives.
#[tokio::test]
async fn a_dead_address_does_not_keep_mail_from_falling_back() {
    let first = Mx::start(Behaviour::plain().with_start_tls(StartTls::Broken)).await;
    let down = std::net::SocketAddr::new(free_address().ip(), first.address.port());
    let house = House::new().route_to("bank.example", &[first.address, down]).partner("bank.example", "\"opportunistic\"");
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("fallback")).await;
    assert!(first.message().await.tls.is_none());
    relay.shutdown().await;
}

/// `mirror` only follows the first hop: where the next one wants TLS, it gets it. `none` was written, and stays; the mail
/// waits, for its sender cannot help it.
// req: B3
#[tokio::test]
async fn a_server_that_wants_tls_gets_it_under_mirror_and_not_under_none() {
    for (level, goes) in [("\"mirror\"", true), ("\"none\"", false)] {
        let wants = Behaviour { mail_in_clear: Some("530 5.7.0 STARTTLS first"), ..Behaviour::secure(Kind::SelfSigned, "mx.bank.example") };
        let bank = Mx::start(wants).await;
        let relay = House::new().route("bank.example", &[&bank]).partner("bank.example", level).start().await;
        Client::clear(relay.address).await.send(FROM, &[TO], &letter("in clear")).await;
        if goes {
            assert!(bank.message().await.tls.is_some());
            assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(1));
        } else {
            let deferred = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
            assert!(deferred.reason.as_deref().is_some_and(|reason| reason.contains("the policy has it sent in clear")), "{deferred:?}");
            assert!(bank.said("STARTTLS").is_empty() && bank.count() == 0);
        }
        assert_eq!(relay.count(EventKind::Bounced), 0);
        relay.shutdown().await;
    }
}

/// A relay that sends to the bank opportunistically, and falls back when this says so.
async fn falling_back(bank: &Mx, when: &str) -> Running {
    sent(&[bank], &format!("{{ level = \"opportunistic\", clear_fallback = \"{when}\" }}")).await
}

// req: B2 A9
#[tokio::test]
async fn falling_back_at_once_takes_a_new_connection_in_the_same_attempt() {
    for (broken, tries) in [(StartTls::Broken, 2), (StartTls::Refused("454 4.7.0 not now"), 1), (StartTls::Refused("554 5.7.3 never"), 1)] {
        let bank = Mx::start(Behaviour::plain().with_start_tls(broken)).await;
        let relay = falling_back(&bank, "immediate").await;
        assert!(bank.message().await.tls.is_none());
        let sessions = sessions(&bank);
        assert_eq!(sessions.len(), tries + 1, "{sessions:#?}");
        assert!(!sessions[..tries].concat().contains(&"MAIL".to_owned()), "not on a connection where TLS failed");
        assert_eq!(sessions[tries][..2], ["EHLO", "MAIL"]);
        let delivered = relay.first(EventKind::Delivered, TO).await;
        assert_eq!(delivered.attempts, Some(1));
        assert!(delivered.reason.as_deref().is_some_and(|reason| reason.starts_with("in clear after TLS failed: ")), "{delivered:?}");
        let kinds: Vec<_> = relay.events().iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Received, EventKind::CheckTls, EventKind::Delivered]);
        relay.shutdown().await;
    }
}

// req: B2 A9
#[tokio::test]
async fn where_falling_back_is_forbidden_mail_waits_for_tls() {
    let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Broken)).await;
    let relay = falling_back(&bank, "never").await;
    relay.wait(EventKind::CheckTls, TO, 4).await;
    assert!(bank.saw_no_mail_in_clear() && bank.count() == 0);
    bank.change(Behaviour::secure(Kind::SelfSigned, "mx.bank.example"));
    assert!(bank.message().await.tls.is_some());
    relay.shutdown().await;

    // A server that does not offer TLS has not failed at it: opportunistic mail goes.
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = falling_back(&bank, "never").await;
    assert!(bank.message().await.tls.is_none());
    relay.shutdown().await;
}

/// When to fall back is written around the entry that asks for TLS: that does not soften it.
// req: A5 A8
#[tokio::test]
async fn falling_back_at_once_is_for_opportunistic_mail_alone() {
    let around = "[defaults.external]\ndeliver = { level = \"opportunistic\", clear_fallback = \"immediate\" }\n";
    for (level, goes) in [("require", false), ("verify", false), ("opportunistic", true)] {
        let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Broken)).await;
        let house = House::new().route("bank.example", &[&bank]).policy(around).partner("bank.example", &format!("\"{level}\""));
        let relay = house.start().await;
        Client::secure(relay.address).await.send(FROM, &[TO], &letter("fallback")).await;
        if goes {
            assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(1), "the negative control");
        } else {
            relay.wait(EventKind::Deferred, TO, 3).await;
            assert!(bank.saw_no_mail_in_clear() && bank.count() == 0, "{level}");
        }
        relay.shutdown().await;
    }
}

/// A time-out or being busy is no failure of TLS, however early clear is allowed.
#[tokio::test]
async fn a_busy_server_is_not_talked_to_in_clear_at_once_either() {
    let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Refused("421 4.3.2 busy"))).await;
    let relay = falling_back(&bank, "immediate").await;
    relay.wait(EventKind::Deferred, TO, 3).await;
    assert!(bank.saw_no_mail_in_clear());
    relay.shutdown().await;
}

/// MAIL went over an open connection under TLS, and nobody answered: it does not go in clear in the same attempt. The attempt after it begins
/// nothing under TLS, and does: it is what was begun that kept it.
// req: A8 A9
#[tokio::test]
async fn what_was_begun_under_tls_does_not_go_in_clear_in_the_same_attempt() {
    // In chunks, the body would go with MAIL, and may have arrived.
    let bank = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.bank.example").without("CHUNKING")).await;
    let level = "{ level = \"opportunistic\", clear_fallback = \"immediate\" }";
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&bank]).partner("bank.example", level);
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &[TO], &letter("first")).await;
    relay.first(EventKind::Delivered, TO).await;
    let without_tls = Behaviour::plain().with_start_tls(StartTls::Refused("454 4.7.0 not now"));
    bank.change(without_tls.clone().answering("MAIL", ""));
    client.send(FROM, &[TO], &letter("second")).await;
    relay.first(EventKind::Deferred, TO).await;
    assert_eq!(sessions(&bank)[0].iter().filter(|verb| *verb == "(MAIL)").count(), 2, "{:#?}", sessions(&bank));
    assert!(bank.saw_no_mail_in_clear());
    bank.change(without_tls);
    relay.retry_all().await;
    let delivered = relay.wait(EventKind::Delivered, TO, 2).await.remove(1);
    assert!(delivered.reason.as_deref().is_some_and(|reason| reason.starts_with("in clear after TLS failed: ")), "{delivered:?}");
    drop(client);
    relay.shutdown().await;
}
