//! The commands that a new user tries first.

use std::time::{Duration, Instant};

use crate::relay::{House, finish, sealpost};

const LIMIT: Duration = Duration::from_secs(60);

// req: F6 F7
#[test]
fn quickstart_shows_both_hops() {
    let start = Instant::now();
    let output = finish(sealpost().arg("quickstart").env_clear(), LIMIT);
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for words in ["TLSv1.3", "TLS_AES_", "X25519MLKEM768", "require", "verify", "why", "[defaults.external]"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert!(text.matches("TLSv1.3").count() >= 2, "both hops are shown:\n{text}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

// req: A10
#[test]
fn cert_show_has_every_field() {
    let house = House::new();
    let output = finish(sealpost().args(["cert", "show"]).arg(house.file("cert.pem")), LIMIT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // the signature algorithm by the name that OpenSSL gives it
    for words in ["relay.test", "localhost", "127.0.0.1", "DE", "Bavaria", "Munich", "ecdsa-with-SHA256", "Test Authority"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let serial = text.lines().find(|line| line.to_ascii_lowercase().contains("serial")).unwrap_or_default();
    assert!(serial.matches(':').count() > 4, "colon-separated hex is meant: {serial:?}");
}

// req: A10
#[test]
fn cert_show_asks_a_server() {
    let house = House::new();
    let relay = house.start();
    let output = finish(sealpost().args(["cert", "show", &relay.address.to_string()]), LIMIT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("relay.test") && text.contains("Test Authority"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Before the first mail, and before the first start.
#[test]
fn a_history_that_is_not_there_yet() {
    let house = House::new();
    house.write();
    let output = house.run(&["history", "--json"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no history in") && said.contains("data/history"), "{said}");
    drop(house.start());
    let output = house.run(&["history", "--json"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

// req: F1
#[test]
fn explain_names_the_entry_that_decided() {
    let house =
        House::new().policy("[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\nreceive = \"require\"\ndeliver = \"require\"\n");
    house.write();
    let output = house.run(&["explain", "--from", "alice@sender.example", "--to", "teller@bank.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("require") && text.contains("policy.toml:"), "{text}");
    // The negative control: nobody's entry decides for somebody else.
    let output = house.run(&["explain", "--from", "alice@sender.example", "--to", "bob@other.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("opportunistic") && !text.contains("require"), "{text}");
}
