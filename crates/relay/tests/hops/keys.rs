//! Demands on the key and the key exchange: pins, and post-quantum groups.

use std::sync::Arc;

use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, StartTls, backend_and_pin, classical, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

async fn sent(bank: &Mx, level: &str) -> Running {
    let relay = House::new().route("bank.example", &[bank]).partner("bank.example", level).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("keys")).await;
    relay
}

fn pinned(pin: &impl std::fmt::Display) -> String {
    format!("{{ level = \"pinned\", pins = [\"{pin}\"] }}")
}

/// The key is what counts, whoever signed it and whatever its name.
// req: E6 B8
#[tokio::test]
async fn the_right_key_is_enough_and_another_is_not() {
    for kind in [Kind::SelfSigned, Kind::Expired, Kind::WrongName, Kind::Right] {
        let (right, pin) = backend_and_pin(kind, HOST);
        let (wrong, other) = backend_and_pin(Kind::Right, HOST);
        assert_ne!(pin, other);
        let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(wrong)))).await;
        let relay = sent(&bank, &pinned(&pin)).await;
        let check = relay.first(EventKind::CheckTls, TO).await;
        let (reason, proof) = (check.reason.as_deref().unwrap(), check.proof.as_ref().unwrap());
        assert!(reason.contains(&pin.to_string()) || reason.contains(&other.to_string()), "{reason}");
        assert!(!proof.satisfied && proof.spki_pin == Some(other.to_string()), "{proof:?}");
        assert!(proof.findings.iter().any(|finding| finding.contains(&other.to_string())), "{proof:?}");
        relay.first(EventKind::Deferred, TO).await;
        assert_eq!((bank.count(), bank.said("MAIL").len()), (0, 0));

        bank.change(Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(right))));
        assert!(bank.message().await.tls.is_some());
        let delivered = relay.first(EventKind::Delivered, TO).await;
        let proof = delivered.proof.as_ref().unwrap();
        assert!(proof.satisfied && proof.spki_pin == Some(pin.to_string()), "{kind:?}: {proof:?}");
        relay.shutdown().await;
    }
}

// req: E6 A8
#[tokio::test]
async fn a_pin_asks_for_tls_too() {
    let (_, pin) = backend_and_pin(Kind::Right, HOST);
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = sent(&bank, &pinned(&pin)).await;
    relay.wait(EventKind::CheckTls, TO, 3).await;
    assert!(bank.saw_no_mail_in_clear());
    relay.shutdown().await;
}

// req: F7
#[tokio::test]
async fn post_quantum_is_a_demand() {
    let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Classical(classical(HOST)))).await;
    let relay = sent(&bank, "{ level = \"verify\", min_group = \"post-quantum\" }").await;
    let check = relay.first(EventKind::CheckTls, TO).await;
    let proof = check.proof.as_ref().unwrap();
    assert!(!proof.satisfied && proof.demand.contains("key exchange post-quantum or stronger"), "{proof:?}");
    relay.wait(EventKind::Deferred, TO, 2).await;
    assert_eq!((bank.count(), bank.said("MAIL").len()), (0, 0));
    assert!(bank.saw_no_mail_in_clear());
    bank.change(Behaviour::secure(Kind::Right, HOST));
    bank.message().await;
    let delivered = relay.first(EventKind::Delivered, TO).await;
    assert_eq!(delivered.proof.as_ref().and_then(|proof| proof.is_post_quantum()), Some(true));
    relay.shutdown().await;
}

/// The negative control: the same server is good enough where nobody asks for more.
// req: F7
#[tokio::test]
async fn without_the_demand_a_classical_key_exchange_will_do() {
    let bank = Mx::start(Behaviour::plain().with_start_tls(StartTls::Classical(classical(HOST)))).await;
    let relay = sent(&bank, "\"verify\"").await;
    assert!(bank.message().await.tls.is_some());
    let delivered = relay.first(EventKind::Delivered, TO).await;
    assert_eq!(delivered.proof.as_ref().and_then(|proof| proof.is_post_quantum()), Some(false));
    relay.shutdown().await;
}
