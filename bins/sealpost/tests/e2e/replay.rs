//! A policy is tried on what a relay did, before it is in force.

use std::fs;
use std::process::Output;
use std::time::Duration;

use crate::client::Client;
use crate::content::message;
use crate::history::damage;
use crate::relay::House;
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

/// What `policy replay` says of this policy: its exit code, and one JSON value a line.
fn replay(house: &House, policy: &str) -> (Option<i32>, Vec<serde_json::Value>) {
    let output = run(house, policy, &["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn run(house: &House, policy: &str, more: &[&str]) -> Output {
    fs::write(house.file("new.toml"), policy).unwrap();
    let file = house.file("new.toml").display().to_string();
    house.run(&[&["policy", "replay", "--policy", &file, "--since", "1h"], more].concat())
}

/// `case would recipient`, sorted.
fn told(changes: &[serde_json::Value]) -> Vec<String> {
    let word = |change: &serde_json::Value, key: &str| change[key].as_str().unwrap_or("-").to_owned();
    let mut told: Vec<_> =
        changes.iter().map(|change| format!("{} {} {}", word(change, "case"), word(change, "would"), word(change, "recipient"))).collect();
    told.sort();
    told
}

fn require(domains: &str) -> String {
    format!("[[partner]]\nname = \"Strict\"\ndomains = \"{domains}\"\nreceive = \"require\"\ndeliver = \"require\"\n")
}

/// A relay sends to a host without TLS and to one with it, and one client hands its mail over in clear.
// req: F4
#[test]
fn a_stricter_policy_lists_exactly_what_it_would_have_stopped() {
    let (house, clear) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
    let secure = Sink::start(Behaviour::offering(&house.authority.issue(&["mx.secure.example"])));
    let house = house.route("clear.example", clear.address).route("secure.example", secure.address);
    let relay = house.start();
    let mut over_tls = Client::secure(relay.address, &house.authority.client()).unwrap();
    for number in 0..3 {
        let to = [format!("{number}@clear.example"), format!("{number}@secure.example")];
        let reply = over_tls.send("alice@one.example", &[&to[0], &to[1]], message("x").as_bytes()).unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    let mut in_clear = Client::connect(relay.address).unwrap();
    in_clear.expect("EHLO client.example", 250).unwrap();
    assert_eq!(in_clear.send("carol@two.example", &["3@secure.example"], message("x").as_bytes()).unwrap().code, 250);
    clear.wait_for(3, LIMIT);
    secure.wait_for(4, LIMIT);
    for to in ["2@clear.example", "2@secure.example", "3@secure.example"] {
        house.wait_for_history(&["\"delivered\"", to], LIMIT);
    }

    // What was in force: nothing differs. The relay is running.
    assert_eq!(replay(&house, ""), (Some(0), vec![]));
    // Everybody must have TLS: the mail that went in clear, and the one that came in clear.
    let (code, changes) = replay(&house, "[defaults.external]\nreceive = \"require\"\ndeliver = \"require\"\n");
    let expected = [
        "delivery not-go-out 0@clear.example",
        "delivery not-go-out 1@clear.example",
        "delivery not-go-out 2@clear.example",
        "reception refuse 3@secure.example",
    ];
    assert_eq!((code, told(&changes)), (Some(1), expected.map(str::to_owned).to_vec()));
    // The source is named with its place.
    let (code, changes) = replay(&house, &require("clear.example"));
    assert_eq!((code, told(&changes)), (Some(1), expected[..3].iter().map(|&line| line.to_owned()).collect()));
    let place = house.file("new.toml").display().to_string();
    for change in &changes {
        assert_eq!((change["file"].as_str(), change["line"].as_u64()), (Some(&*place), Some(1)), "{change}");
        assert!(change["queue_id"].is_string() && change["domain"] == "clear.example", "{change}");
    }
    // The certificate was never held against a name, and is known all the same. A route's host is an address here.
    let verify =
        |names: &str| format!("[[partner]]\ndomains = \"secure.example\"\ndeliver = {{ level = \"verify\", names = \"{names}\" }}\n");
    assert_eq!(replay(&house, &verify("mx.secure.example")), (Some(0), vec![]));
    let (code, changes) = replay(&house, &verify("mx.other.example"));
    assert_eq!((code, changes.len()), (Some(1), 4));
    assert!(changes.iter().all(|change| change["why"].as_str().unwrap().contains("names")), "{changes:#?}");
    // The relay stops, and its history is read all the same.
    drop(relay);
    let text = String::from_utf8(run(&house, &require("clear.example"), &[]).stdout).unwrap();
    assert!(text.contains("3 of 7 deliveries would not have gone out\n"), "{text}");
    assert!(text.contains("7 receptions: no difference\n") && !text.contains("waiting mails"), "{text}");
    assert!(text.contains("would not have gone out: it went in clear") && text.contains("new.toml:1)"), "{text}");
}

/// Mail went in clear to a host that offers TLS, because nobody tried it: that says nothing of the host.
// req: F4
#[test]
fn what_was_not_tried_is_not_known() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["mx.bank.example"])));
    let house = house.route("*", sink.address).policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"none\"\n");
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("x").as_bytes()).unwrap().code, 250);
    house.wait_for_history(&["\"delivered\"", "teller@bank.example", "\"no_tls\":\"not-tried\""], LIMIT);
    assert_eq!(replay(&house, ""), (Some(0), vec![]));
    let (code, changes) = replay(&house, &require("bank.example"));
    assert_eq!((code, told(&changes)), (Some(2), vec!["delivery untold teller@bank.example".to_owned()]));
}

/// Mail was returned because the certificate is for another name.
// req: F4
#[test]
fn returned_mail_is_judged_by_the_certificate_that_was_seen() {
    let (house, other) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["mx.other.example"])));
    let verify = |name: &str| {
        format!("[[partner]]\ndomains = \"bank.example\"\ndeliver = {{ level = \"verify\", names = \"{name}\", lifetime = \"1s\" }}\n")
    };
    let house = house.route("bank.example", sink.address).route("sender.example", other.address).policy(&verify("mx.bank.example"));
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("x").as_bytes()).unwrap().code, 250);
    house.wait_for_history(&["\"bounced\"", "teller@bank.example"], LIMIT);
    let gone_out = (Some(1), vec!["failure go-out teller@bank.example".to_owned()]);
    let judged = |policy: &str| {
        let (code, changes) = replay(&house, policy);
        (code, told(&changes))
    };
    assert_eq!(judged(&verify("mx.bank.example")), (Some(0), vec![]));
    assert_eq!(judged(&verify("mx.third.example")), (Some(0), vec![]));
    assert_eq!(judged(&verify("mx.other.example")), gone_out);
    assert_eq!(judged(&require("bank.example")), gone_out);
}

/// Mail waits because the host has no TLS.
// req: F4
#[test]
fn the_queue_is_judged_too() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let strict = require("bank.example");
    let house = House::to(&sink).policy(&strict);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("x").as_bytes()).unwrap().code, 250);
    house.wait_for_history(&["\"deferred\"", "teller@bank.example"], LIMIT);
    assert_eq!(replay(&house, &strict), (Some(0), vec![]));
    let (code, changes) = replay(&house, "");
    assert_eq!((code, told(&changes)), (Some(1), vec!["waiting go-out teller@bank.example".to_owned()]), "{changes:#?}");
    assert_eq!(sink.message_count(), 0, "nothing was set free by asking");
}

/// "No difference" was said of what was left of a damaged history.
// req: F4
#[test]
fn what_cannot_be_read_is_no_yes() {
    let clear = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&clear);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for to in ["bob@first.example", "bob@second.example"] {
        assert_eq!(client.send("alice@one.example", &[to], message("x").as_bytes()).unwrap().code, 250);
        house.wait_for_history(&["\"delivered\"", to], LIMIT);
    }
    drop(relay);
    let judged = |policy: &str| {
        let output = run(&house, policy, &[]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap().contains(".db cannot be read, its entries are missing: "))
    };
    // The control: nothing differs, and nothing is missing.
    assert_eq!(judged(""), (Some(0), false));
    damage(&house, "bob@first.example");
    assert_eq!(judged(""), (Some(2), true));
    // What is left may differ for certain.
    assert_eq!(judged(&require("second.example")), (Some(1), true));
}

// req: F4
#[test]
fn what_cannot_be_tried_is_told_apart_from_what_differs() {
    let house = House::new();
    house.write();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = run(&house, "[[partner]]\ndomains = \"bank.example\"\ndeliver = \"requir\"\n", &[]);
    assert!(output.status.code() == Some(2) && said(&output).contains("new.toml:3:"), "{output:?}");
    let output = house.run(&["policy", "replay", "--policy", "gone.toml"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("gone.toml"), "{output:?}");
    let output = run(&house, "", &[]);
    assert!(output.status.success() && said(&output).contains("there is no history in"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("there is none\n"), "{output:?}");
    let policy = house.file("policy.toml").display().to_string();
    let output = house.run(&["policy", "replay", "--policy", &policy, "--since", "soon"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("--since: \"soon\""), "{output:?}");
}
