//! A hosted domain's own servers, and partners that show a certificate: who the client is decides what is asked of it.

use std::net::IpAddr;

use sealpost_queue::MemorySpool;
use sealpost_relay::{Users, users_line};
use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, anchors, letter, showing};

const FROM: &str = "ann@acme.example";
const TO: &str = "bob@other.example";
/// The servers of acme.example are 127.0.0.2, whoever logs in as acme-out, and whoever proves to be out.acme.example.
const ACME: &str = "[[domain]]\nname = \"acme.example\"\nservers = [\"127.0.0.2/32\", \"auth:acme-out\", \"cert:out.acme.example\"]\n\
    submit = \"require\"\n";
const BANK: &str =
    "[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\nreceive = { level = \"verify\", names = \"out.bank.example\" }\n";

/// A relay that trusts nobody by address alone, asks clients for certificates, and knows two logins.
async fn relay(server: &Mx, policy: &str) -> Running {
    let mut house = House::new().route("other.example", &[server]).route("acme.example", &[server]).policy(policy);
    house.config.rights.trusted_networks.clear();
    house.config.listeners[0].client_certificates = true;
    let lines = ["acme-out", "somebody"].map(|name| users_line(name, b"hunter2").unwrap()).join("\n");
    let builder = house.build(MemorySpool::new()).users(Users::parse("users", &lines).unwrap()).client_anchors(anchors());
    Running::start(builder).await
}

async fn from(host: u8, relay: &Running) -> Client {
    Client::clear_from(IpAddr::from([127, 0, 0, host]), relay.address).await
}

/// What is said to the first command that is not taken, of a mail to somebody outside; to none, that of RCPT.
async fn asked(client: &mut Client, reverse_path: &str) -> String {
    let mail = client.say(&format!("MAIL FROM:<{reverse_path}>")).await;
    if !mail.starts_with("250 ") {
        return mail;
    }
    let reply = client.say(&format!("RCPT TO:<{TO}>")).await;
    client.say("RSET").await;
    reply
}

// req: B5
#[tokio::test]
async fn own_servers_hand_mail_over_by_tls_or_not_at_all() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server, ACME).await;
    let mut own = from(2, &relay).await;
    for reverse_path in [FROM, "boss@other-sender.example", ""] {
        let reply = asked(&mut own, reverse_path).await;
        assert!(reply.starts_with("530 5.7.0 ") && reply.contains("acme.example"), "{reverse_path}: {reply}");
    }
    assert_eq!(relay.count(EventKind::Refused), 3);
    own.start_tls().await;
    own.send(FROM, &[TO], &letter("from our server")).await;
    assert_eq!(server.message().await.to, [TO]);
    let received = relay.first(EventKind::Received, TO).await;
    assert_eq!(received.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"));

    // The negative controls: others are not asked for TLS at MAIL, and may not relay, whatever sender they name.
    let mut stranger = from(3, &relay).await;
    assert!(asked(&mut stranger, FROM).await.starts_with("550 5.7.1 "));
    stranger.start_tls().await;
    assert!(asked(&mut stranger, FROM).await.starts_with("550 5.7.1 "));
    stranger.send("x@shop.example", &["ann@acme.example"], &letter("inbound")).await;
    server.messages(2).await;
    drop((own, stranger));
    relay.shutdown().await;
}

/// Who logs in under the name that is among `servers` is asked for what the domain's servers are; others who log in are not.
// req: B5 E5
#[tokio::test]
async fn a_login_makes_a_client_a_server_of_the_domain() {
    let server = Mx::start(Behaviour::plain()).await;
    let strict = ACME.replace("\"require\"", "{ level = \"verify\", names = \"out.acme.example\" }");
    let relay = relay(&server, &strict).await;
    // acme-out, somebody
    for (login, names_a_server) in [("AGFjbWUtb3V0AGh1bnRlcjI=", true), ("AHNvbWVib2R5AGh1bnRlcjI=", false)] {
        let mut client = Client::secure(relay.address).await;
        assert!(asked(&mut client, FROM).await.starts_with("550 5.7.1 "), "not before it logs in");
        assert!(client.say(&format!("AUTH PLAIN {login}")).await.starts_with("235 "));
        let reply = asked(&mut client, FROM).await;
        let expected = if names_a_server { "550 5.7.0 " } else { "250 " };
        assert!(reply.starts_with(expected), "{reply}");
    }
    // With the certificate as well, the demand is met.
    let mut client = Client::showing(relay.address, &showing(Kind::Right, "out.acme.example")).await;
    assert!(client.say("AUTH PLAIN AGFjbWUtb3V0AGh1bnRlcjI=").await.starts_with("235 "));
    client.send(FROM, &[TO], &letter("logged in")).await;
    server.message().await;
    let received = relay.first(EventKind::Received, TO).await;
    let proof = received.proof.as_ref().unwrap();
    assert_eq!(proof.login.as_deref(), Some("acme-out"));
    assert_eq!(proof.client_names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["out.acme.example"]);
    drop(client);
    relay.shutdown().await;
}

// req: B5 E6
#[tokio::test]
async fn a_certificate_makes_a_client_a_server_of_the_domain() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server, ACME).await;
    for (kind, name, may_relay) in [
        (Kind::Right, "out.acme.example", true),
        (Kind::Right, "other.acme.example", false),
        (Kind::SelfSigned, "out.acme.example", false),
        (Kind::Expired, "out.acme.example", false),
    ] {
        let mut client = Client::showing(relay.address, &showing(kind, name)).await;
        let reply = asked(&mut client, FROM).await;
        assert!(reply.starts_with(if may_relay { "250 " } else { "550 5.7.1 " }), "{kind:?} {name}: {reply}");
    }
    relay.shutdown().await;
}

// req: A5 E6
#[tokio::test]
async fn a_partner_may_have_to_show_its_certificate() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = relay(&server, &format!("{ACME}{BANK}")).await;
    let mail = "MAIL FROM:<eve@bank.example>";
    let mut client = Client::showing(relay.address, &showing(Kind::Right, "out.bank.example")).await;
    client.send("eve@bank.example", &["ann@acme.example"], &letter("proven")).await;
    server.message().await;
    let received = relay.first(EventKind::Received, "ann@acme.example").await;
    assert_eq!(received.decided.as_ref().map(|decided| decided.level.as_str()), Some("verify"));

    for (kind, name, words) in [
        (Kind::SelfSigned, "out.bank.example", "has no chain to a trust anchor of this relay: self-signed certificate"),
        (Kind::Expired, "out.bank.example", "has no chain to a trust anchor of this relay: certificate expired 10 days ago"),
        (Kind::Right, "out.shop.example", "has none of the names"),
    ] {
        let mut other = Client::showing(relay.address, &showing(kind, name)).await;
        let reply = other.say(mail).await;
        assert!(reply.starts_with("550 5.7.0 ") && reply.contains(words) && reply.contains("Bank"), "{kind:?}: {reply}");
        assert!(other.say("MAIL FROM:<eve@shop.example>").await.starts_with("250 "), "the negative control");
    }
    let reply = Client::secure(relay.address).await.say(mail).await;
    assert!(reply.starts_with("550 5.7.0 ") && reply.contains("with a client certificate only"), "{reply}");
    assert!(Client::clear(relay.address).await.say(mail).await.starts_with("530 5.7.0 "));
    drop(client);
    relay.shutdown().await;
}
