//! Who may send to whom, and what is refused for want of TLS, recipient by recipient.

use std::net::IpAddr;

use sealpost_report::EventKind;
use sealpost_smtp::Reply;

use crate::support::{Behaviour, Client, House, Mx, Running, letter};

const HOSTED: &str = "[[domain]]\nname = \"acme.example\"\n";

/// A relay that trusts 127.0.0.2 alone, and hosts acme.example.
fn house(servers: &Mx) -> House {
    let mut house = House::new().route("acme.example", &[servers]).route("other.example", &[servers]).policy(HOSTED);
    house.config.rights.trusted_networks = vec!["127.0.0.2/32".parse().unwrap()];
    house
}

async fn trusted(relay: &Running) -> Client {
    Client::clear_from(IpAddr::from([127, 0, 0, 2]), relay.address).await
}

/// The code and the status of what is said to this recipient.
async fn asked(client: &mut Client, to: &str) -> String {
    let reply = client.say(&format!("RCPT TO:<{to}>")).await;
    reply.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn strangers_reach_hosted_domains_and_nothing_else() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = house(&server).start().await;
    let mut stranger = Client::clear(relay.address).await;
    // The sender's address proves nothing.
    stranger.say("MAIL FROM:<boss@acme.example>").await;
    assert_eq!(asked(&mut stranger, "bob@other.example").await, "550 5.7.1");
    assert_eq!(asked(&mut stranger, "bob@sub.acme.example").await, "550 5.7.1");
    assert_eq!(asked(&mut stranger, "bob@acme.example").await, "250 2.1.5");
    let refused = relay.first(EventKind::Refused, "bob@other.example").await;
    assert!(refused.reply.as_deref().is_some_and(|reply| reply.contains("relaying to other.example is not permitted")));
    stranger.say("RSET").await;
    stranger.send("boss@acme.example", &["bob@acme.example"], &letter("hosted")).await;
    assert_eq!(server.message().await.to, ["bob@acme.example"]);

    // The negative control: who is trusted may.
    trusted(&relay).await.send("ann@shop.example", &["bob@other.example"], &letter("relayed")).await;
    assert_eq!(server.messages(2).await[1].to, ["bob@other.example"]);
    drop(stranger);
    relay.shutdown().await;
}

#[tokio::test]
async fn recipients_that_hide_a_route_are_refused_to_everybody() {
    let server = Mx::start(Behaviour::plain()).await;
    let relay = house(&server).start().await;
    for mut client in [Client::clear(relay.address).await, trusted(&relay).await] {
        client.say("MAIL FROM:<ann@shop.example>").await;
        for to in ["bob%other.example@acme.example", "other.example!bob@acme.example", "bob@[127.0.0.1]", "bob@[IPv6:::1]"] {
            assert_eq!(asked(&mut client, to).await, "550 5.1.3", "{to}");
        }
        assert_eq!(asked(&mut client, "\"bob%other.example\"@acme.example").await, "250 2.1.5", "quoted, it is just a name");
    }
    relay.shutdown().await;
    assert_eq!(server.record().sessions, 0);
}

#[tokio::test]
async fn mail_for_the_postmaster_needs_no_right() {
    let server = Mx::start(Behaviour::plain()).await;
    let nobody = house(&server).start().await;
    let mut client = Client::clear(nobody.address).await;
    client.say("MAIL FROM:<ann@shop.example>").await;
    assert_eq!(asked(&mut client, "Postmaster").await, "550 5.1.1");
    drop(client);
    nobody.shutdown().await;

    let mut house = house(&server);
    house.config.rights.postmaster = Some("duty@other.example".parse().unwrap());
    let relay = house.start().await;
    Client::clear(relay.address).await.send("ann@shop.example", &["postmaster"], &letter("help")).await;
    assert_eq!(server.message().await.to, ["duty@other.example"]);
    relay.shutdown().await;
}

// req: D4 A5
#[tokio::test]
async fn only_the_recipient_that_asks_for_tls_is_refused_in_clear() {
    let server = Mx::start(Behaviour::plain()).await;
    let policy = "[[domain]]\nname = \"acme.example\"\nreceive = \"require\"\n[[domain]]\nname = \"other.example\"\n\
        [[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\nreceive = \"require\"\n";
    let relay = house(&server).policy(policy).start().await;
    let mut client = Client::clear(relay.address).await;
    let partner = client.say("MAIL FROM:<bob@bank.example>").await;
    assert!(partner.starts_with("530 5.7.0 ") && partner.contains("Bank"), "{partner}");
    client.say("MAIL FROM:<ann@shop.example>").await;
    assert_eq!(asked(&mut client, "bob@acme.example").await, "550 5.7.10");
    assert_eq!(asked(&mut client, "bob@other.example").await, "250 2.1.5");
    let octets = letter("in clear");
    client.send_octets(format!("BDAT {} LAST\r\n", octets.len()).as_bytes()).await;
    client.send_octets(&octets).await;
    assert!(client.reply().await.starts_with("250 2.0.0 "));
    assert_eq!(server.message().await.to, ["bob@other.example"]);

    // The negative control: the same over TLS.
    Client::secure(relay.address).await.send("bob@bank.example", &["bob@acme.example"], &letter("secure")).await;
    server.messages(2).await;
    drop(client);
    relay.shutdown().await;
}

#[tokio::test]
async fn the_hook_of_the_embedding_program_has_the_last_word() {
    let server = Mx::start(Behaviour::plain()).await;
    let spool = sealpost_queue::MemorySpool::new();
    let builder = house(&server).build(spool).accept_hook(|envelope, reception| {
        assert_eq!(reception.helo, "client.example");
        if envelope.reverse_path.to_string() == "eve@shop.example" { Err(Reply::fixed::<554, 7, 1>("not from you")) } else { Ok(()) }
    });
    let relay = Running::start(builder).await;
    let mut client = Client::clear(relay.address).await;
    assert_eq!(client.send("eve@shop.example", &["bob@acme.example"], &letter("no")).await, "554 5.7.1 not from you");
    assert!(client.send("ann@shop.example", &["bob@acme.example"], &letter("yes")).await.starts_with("250 "));
    assert_eq!(server.message().await.from, "ann@shop.example");
    assert_eq!(relay.handle.stats().accepted, 1);
    drop(client);
    relay.shutdown().await;
}
