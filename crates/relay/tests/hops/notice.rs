//! What a notification gives back of the mail.

use sealpost_queue::MemorySpool;
use sealpost_relay::{Users, users_line};
use sealpost_report::EventKind;
use sealpost_types::DnssecStatus;

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, domain, letter};

/// The notification about mail that the bank refused, and whether it came back over TLS.
async fn returned(policy: &str, to_relay_over_tls: bool) -> (String, bool) {
    let bank = Mx::start(Behaviour::secure(Kind::Right, "mx.bank.example").answering("RCPT", "550 5.1.1 nobody")).await;
    let sender = Mx::start(Behaviour::secure(Kind::Right, "mx.shop.example")).await;
    let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).policy(policy);
    house.dns.set_dnssec(&domain("mx.bank.example"), DnssecStatus::Insecure);
    let relay = house.start().await;
    let mut client = if to_relay_over_tls { Client::secure(relay.address).await } else { Client::clear(relay.address).await };
    client.send("ann@shop.example", &["bob@bank.example"], &letter("secrets")).await;
    let message = sender.message().await;
    relay.first(EventKind::Delivered, "ann@shop.example").await;
    drop(client);
    relay.shutdown().await;
    (message.text(), message.tls.is_some())
}

fn partner(domain: &str, what: &str) -> String {
    format!("[[partner]]\ndomains = \"{domain}\"\n{what}\n")
}

/// Mail that had to travel over TLS does not come back by a way that need not.
// req: A5
#[tokio::test]
async fn guarded_mail_comes_back_as_headers_where_the_way_back_is_weaker() {
    for policy in [
        partner("bank.example", "deliver = \"require\""),
        partner("bank.example", "deliver = \"dane\""),
        partner("bank.example", "deliver = \"verify\"") + &partner("shop.example", "deliver = \"opportunistic\""),
        partner("bank.example", "deliver = \"verify\"") + &partner("shop.example", "deliver = \"require\""),
        partner("shop.example", "receive = \"require\""),
    ] {
        let (text, _) = returned(&policy, true).await;
        assert!(text.contains("Subject: secrets") && text.contains("text/rfc822-headers"), "{policy}\n{text}");
        assert!(!text.contains("The words of secrets"), "{policy}\n{text}");
    }
}

/// The negative controls: mail that nobody guarded, and a way back that is guarded as well.
#[tokio::test]
async fn other_mail_comes_back_whole() {
    let as_well = partner("bank.example", "deliver = \"require\"") + &partner("shop.example", "deliver = \"require\"");
    let better = partner("bank.example", "deliver = \"require\"") + &partner("shop.example", "deliver = \"verify\"");
    for (policy, to_relay_over_tls) in [(String::new(), true), (String::new(), false), (as_well, true), (better, true)] {
        let (text, over_tls) = returned(&policy, to_relay_over_tls).await;
        assert!(text.contains("The words of secrets") && text.contains("message/rfc822"), "{policy}\n{text}");
        assert!(over_tls, "mail made here counts as received over TLS");
    }
}

/// Nor does what a hosted domain's own server, known by its login, may hand in over TLS only; what others hand in does.
// req: B5
#[tokio::test]
async fn what_a_login_hands_in_over_tls_comes_back_no_less_guarded() {
    let policy = "[[domain]]\nname = \"acme.example\"\nservers = \"auth:ann\"\nsubmit = \"require\"\n";
    for (name, whole) in [("ann", false), ("bob", true)] {
        let bank = Mx::start(Behaviour::plain().answering("RCPT", "550 5.1.1 nobody")).await;
        let sender = Mx::start(Behaviour::plain()).await;
        let house = House::new().route("bank.example", &[&bank]).route("shop.example", &[&sender]).policy(policy);
        let lines = ["ann", "bob"].map(|name| users_line(name, b"hunter2").unwrap()).join("\n");
        let relay = Running::start(house.build(MemorySpool::new()).users(Users::parse("users", &lines).unwrap())).await;
        let mut client = Client::secure(relay.address).await;
        let login = if name == "ann" { "AGFubgBodW50ZXIy" } else { "AGJvYgBodW50ZXIy" };
        assert!(client.say(&format!("AUTH PLAIN {login}")).await.starts_with("235 "));
        client.send("ann@shop.example", &["bob@bank.example"], &letter("secrets")).await;
        let text = sender.message().await.text();
        assert!(text.contains("Subject: secrets"), "{text}");
        assert_eq!(text.contains("The words of secrets"), whole, "{name}\n{text}");
        drop(client);
        relay.shutdown().await;
    }
}
