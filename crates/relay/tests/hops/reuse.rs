//! Connections serve many messages, and never one that asks for something else.

use std::sync::Arc;

use sealpost_report::EventKind;

use crate::numbers::{page, sum};
use crate::support::{Behaviour, Body, Client, House, Kind, Mx, StartTls, backend_and_pin, letter};

const FROM: &str = "ann@shop.example";

// req: E7
#[tokio::test]
async fn one_handshake_serves_many_messages() {
    let bank = Mx::start(Behaviour::secure(Kind::Right, "mx.bank.example")).await;
    let relay = House::new().route("bank.example", &[&bank]).partner("bank.example", "\"verify\"").start().await;
    let mut client = Client::secure(relay.address).await;
    for number in 1..=5 {
        client.send(FROM, &["bob@bank.example"], &letter(&format!("number {number}"))).await;
        relay.wait(EventKind::Delivered, "bob@bank.example", number).await;
    }
    assert_eq!((bank.count(), bank.record().sessions, bank.record().handshakes), (5, 1, 1));
    let proofs: Vec<_> = relay.wait(EventKind::Delivered, "bob@bank.example", 5).await.iter().map(|event| event.proof.clone()).collect();
    assert!(proofs.iter().all(|proof| proof.as_ref().is_some_and(|proof| proof.satisfied) && *proof == proofs[0]), "{proofs:#?}");
    drop(client);
    relay.shutdown().await;
    bank.when("QUIT", |record| record.commands.iter().any(|(_, _, line)| line == "QUIT"), |_| ()).await;
}

/// The same server, the same name: what was verified for one demand serves no other. Equal demands do share, which is the
/// negative control.
// req: E7
#[tokio::test]
async fn a_connection_never_serves_another_demand() {
    let (backend, pin) = backend_and_pin(Kind::Right, "mx.shared.example");
    let offered = StartTls::Offered(Arc::new(backend));
    let other = backend_and_pin(Kind::Right, "mx.shared.example").1;
    let pinned = format!("{{ level = \"pinned\", pins = [\"{pin}\"] }}");
    let more_pins = format!("{{ level = \"pinned\", pins = [\"{pin}\", \"{other}\"] }}");
    for (first, second, sessions) in [
        (pinned.as_str(), "\"verify\"", 2),
        ("\"verify\"", pinned.as_str(), 2),
        ("\"require\"", pinned.as_str(), 2),
        (pinned.as_str(), more_pins.as_str(), 2),
        (pinned.as_str(), pinned.as_str(), 1),
        ("\"require\"", "\"verify\"", 2),
        ("\"verify\"", "\"require\"", 2),
        ("\"verify\"", "{ level = \"verify\", names = [\"mx.other.example\"] }", 2),
        ("\"require\"", "{ level = \"require\", min_version = \"1.3\" }", 2),
        ("\"opportunistic\"", "\"require\"", 2),
        ("\"none\"", "\"opportunistic\"", 2),
        ("\"verify\"", "\"verify\"", 1),
        ("\"require\"", "\"require\"", 1),
    ] {
        let server = Mx::start(Behaviour::plain().with_start_tls(offered.clone())).await;
        let mut house = House::new().partner("a.example", first).partner("b.example", second);
        for domain in ["a.example", "b.example"] {
            house = house.route_via(domain, "mx.shared.example", &[server.address]);
        }
        let relay = house.start().await;
        let mut client = Client::secure(relay.address).await;
        for to in ["x@a.example", "y@b.example"] {
            client.send(FROM, &[to], &letter("reuse")).await;
            relay.first(EventKind::Delivered, to).await;
        }
        assert_eq!(server.record().sessions, sessions, "{first} and then {second}");
        drop(client);
        relay.shutdown().await;
    }
}

/// What a pin lets pass does not get in with `verify`, though both partners have the same server and its connection is open.
// req: E7 E6 B8
#[tokio::test]
async fn an_open_connection_to_a_pinned_server_serves_nobody_who_asks_for_a_chain() {
    let (backend, pin) = backend_and_pin(Kind::SelfSigned, "mx.shared.example");
    let server = Mx::start(Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(backend)))).await;
    let mut house = House::new().partner("b.example", "\"verify\"");
    house = house.partner("a.example", &format!("{{ level = \"pinned\", pins = [\"{pin}\"] }}"));
    for domain in ["a.example", "b.example"] {
        house = house.route_via(domain, "mx.shared.example", &[server.address]);
    }
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["x@a.example"], &letter("pinned")).await;
    relay.first(EventKind::Delivered, "x@a.example").await;
    client.send(FROM, &["y@b.example"], &letter("verified")).await;
    let check = relay.first(EventKind::CheckTls, "y@b.example").await;
    assert!(check.reason.as_deref().is_some_and(|reason| reason.contains("self-signed")), "{check:?}");
    client.send(FROM, &["x@a.example"], &letter("pinned")).await;
    relay.wait(EventKind::Delivered, "x@a.example", 2).await;
    relay.wait(EventKind::Deferred, "y@b.example", 2).await;
    assert!(server.messages(2).await.iter().all(|message| message.to == ["x@a.example"] && message.session == 1));
    drop(client);
    relay.shutdown().await;
}

/// A second connection to the same host for the same demand resumes the session of the first, and tells so; one for another
/// demand shakes hands anew, and its certificate is judged.
// req: E7 F6
#[tokio::test]
async fn a_ticket_serves_its_own_demand_and_no_other() {
    let (backend, pin) = backend_and_pin(Kind::Right, "mx.shared.example");
    let pinned = format!("{{ level = \"pinned\", pins = [\"{pin}\"] }}");
    let held = Behaviour::plain().with_start_tls(StartTls::Offered(Arc::new(backend))).with_body(Body::Held);
    for (first, second) in [("\"verify\"", "\"require\""), ("\"verify\"", pinned.as_str()), (pinned.as_str(), "\"verify\"")] {
        resume(&held, first, second).await;
    }
}

async fn resume(held: &Behaviour, first: &str, second: &str) {
    let server = Mx::start(held.clone()).await;
    let mut house = House::new().partner("a.example", first).partner("b.example", second);
    for domain in ["a.example", "b.example"] {
        house = house.route_via(domain, "mx.shared.example", &[server.address]);
    }
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["x@a.example"], &letter("first")).await;
    server.when("the first is under way", |record| record.held == 1, |_| ()).await;
    for subject in ["second", "third"] {
        client.send(FROM, &["x@a.example"], &letter(subject)).await;
    }
    server.when("another is under way", |record| record.held == 2, |_| ()).await;
    client.send(FROM, &["y@b.example"], &letter("other")).await;
    drop(client);
    server.when("the other is under way", |record| record.held == 3, |_| ()).await;
    server.change(held.clone().with_body(Body::Taken));

    let resumed = |event: &sealpost_report::Event| event.proof.as_ref().and_then(|proof| proof.tls).map(|tls| tls.resumed);
    let delivered = relay.wait(EventKind::Delivered, "x@a.example", 3).await;
    assert!(delivered.iter().any(|event| resumed(event) == Some(true)), "{delivered:#?}");
    assert!(delivered.iter().all(|event| event.proof.as_ref().is_some_and(|proof| proof.satisfied && proof.validation_path.len() == 2)));
    let other = relay.first(EventKind::Delivered, "y@b.example").await;
    assert_eq!(resumed(&other), Some(false), "{first} and then {second}");
    relay.shutdown().await;
}

/// A connection that was good for one policy is not for the next.
// req: E7 E8
#[tokio::test]
async fn a_new_policy_uses_no_old_connection() {
    let bank = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.bank.example")).await;
    let relay = House::new().route("bank.example", &[&bank]).start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["bob@bank.example"], &letter("before")).await;
    relay.first(EventKind::Delivered, "bob@bank.example").await;
    relay.set_policy("");
    client.send(FROM, &["bob@bank.example"], &letter("after")).await;
    relay.wait(EventKind::Delivered, "bob@bank.example", 2).await;
    assert_eq!((bank.record().sessions, bank.record().handshakes), (2, 2));
    let last = relay.wait(EventKind::Delivered, "bob@bank.example", 2).await.remove(1);
    assert_eq!(last.proof.as_ref().and_then(|proof| proof.tls).map(|tls| tls.resumed), Some(false), "nor an old ticket");
    drop(client);
    relay.shutdown().await;
}

/// Idle connections under several demands of one destination together were more than `connections_per_destination` allows.
// req: E7
#[tokio::test]
async fn demands_of_one_destination_share_its_limit() {
    // the second is the control: with room for both, both stay open
    for (limit, idle) in [(1, 1.0), (2, 2.0)] {
        let server = Mx::start(Behaviour::secure(Kind::Right, "mx.shared.example")).await;
        let mut house = House::new().partner("a.example", "\"verify\"").partner("b.example", "\"require\"");
        house.config.delivery.connections_per_destination = limit;
        for domain in ["a.example", "b.example"] {
            house = house.route_via(domain, "mx.shared.example", &[server.address]);
        }
        let relay = house.start().await;
        let mut client = Client::secure(relay.address).await;
        for to in ["x@a.example", "y@b.example", "x@a.example"] {
            let before = relay.count(EventKind::Delivered);
            client.send(FROM, &[to], &letter("limit")).await;
            relay
                .when("another delivery", |events| events.iter().filter(|event| event.kind == EventKind::Delivered).count() > before)
                .await;
        }
        let open = sum(&page(&relay).await, "sealpost_connections", "hop=\"deliver\",state=\"idle\"");
        assert_eq!((open, server.record().sessions), (idle, if limit == 1 { 3 } else { 2 }));
        drop(client);
        relay.shutdown().await;
    }
}

/// Idle connections to several addresses of one destination together were more than `connections_per_destination` allows.
// req: E7
#[tokio::test]
async fn addresses_of_one_destination_share_its_limit() {
    // the second is the control: with room for both, both stay open
    for (limit, idle) in [(1, 1.0), (2, 2.0)] {
        let first = Mx::start(Behaviour::secure(Kind::SelfSigned, "mx.shared.example")).await;
        let second = Mx::start_beside(&first, Behaviour::secure(Kind::Right, "mx.shared.example")).await;
        let mut house = House::new().partner("a.example", "\"verify\"").partner("b.example", "\"require\"");
        house.config.delivery.connections_per_destination = limit;
        for domain in ["a.example", "b.example"] {
            house = house.route_via(domain, "mx.shared.example", &[first.address, second.address]);
        }
        let relay = house.start().await;
        let mut client = Client::secure(relay.address).await;
        for to in ["x@a.example", "y@b.example"] {
            client.send(FROM, &[to], &letter("limit")).await;
            relay.first(EventKind::Delivered, to).await;
        }
        let open = sum(&page(&relay).await, "sealpost_connections", "hop=\"deliver\",state=\"idle\"");
        assert_eq!((open, first.record().messages.len(), second.record().messages.len()), (idle, 1, 1));
        drop(client);
        relay.shutdown().await;
    }
}

/// A server that closes a connection which lies idle: the next message goes over a new one at once, and nothing is deferred.
// req: E7
#[tokio::test]
async fn an_idle_connection_that_the_server_closed_costs_nothing() {
    let bank = Mx::start(Behaviour::plain().answering("NOOP", "421 4.3.2 bye")).await;
    let address = bank.address;
    let relay = House::new().route("bank.example", &[&bank]).start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["bob@bank.example"], &letter("first")).await;
    relay.first(EventKind::Delivered, "bob@bank.example").await;
    drop(bank);
    let bank = rebind(address).await;
    client.send(FROM, &["bob@bank.example"], &letter("second")).await;
    bank.message().await;
    relay.wait(EventKind::Delivered, "bob@bank.example", 2).await;
    assert_eq!(relay.count(EventKind::Deferred), 0);
    drop(client);
    relay.shutdown().await;
}

/// The server again, as soon as the port is free.
async fn rebind(address: std::net::SocketAddr) -> Mx {
    while std::net::TcpListener::bind(address).is_err() {
        tokio::task::yield_now().await;
    }
    Mx::start_at(address, Behaviour::plain()).await
}
