//! `sealpost-probe suggest`: entries that hold, and that lower nothing.

use std::sync::Arc;

use sealpost_relay::policy_file::compile_at;
use sealpost_report::{Event, EventKind, History, NoTls, Proof};
use sealpost_types::{CipherSuite, Hop, KexGroup, Mailbox, TlsFacts, TlsVersion, UnixMillis};

use crate::equipment::{ends, probe};
use crate::survey::{World, named};

/// What is printed, and nothing that is said beside it.
fn printed(arguments: &[&str]) -> String {
    let output = probe(&[&["suggest"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `verify` of a domain by a policy.
fn holds(world: &World, domain: &str, policy: &str, code: i32) -> String {
    ends(&probe(&["test", domain, "--config", &world.path("sealpost.toml"), "--policy", policy]), code)
}

// req: A7 B7
#[test]
fn what_is_suggested_is_a_policy_and_holds() {
    let sinks = [
        named("mx.good.example", &[]),
        named("mx.other.example", &["--kind", "wrong-name"]),
        named("mx.self.example", &["--kind", "self-signed"]),
        named("mx.clear.example", &["--no-starttls"]),
    ];
    let domains = ["good.example", "other.example", "self.example", "clear.example"];
    let hosts = ["mx.good.example", "mx.other.example", "mx.self.example", "mx.clear.example"];
    // what a self-signed server shows is no anchor here
    std::fs::write(sinks[2].anchors(), "").unwrap();
    let world = World::new(&[0, 1, 2, 3].map(|number| (domains[number], hosts[number], &sinks[number])));
    let kept = world.path("found.jsonl");
    world.survey(&domains.join("\n"), &["-o", &kept]);
    let text = printed(&[&kept]);
    let file = world.write("suggested.toml", &text);
    compile_at(file.as_ref(), &text).unwrap_or_else(|error| panic!("{error}: {text}"));
    for (domain, level) in [("good.example", "verify"), ("other.example", "chain"), ("self.example", "require")] {
        let said = holds(&world, domain, &file, 0);
        assert!(said.contains(&format!("By {file}: {level}")) && said.contains("today: would deliver"), "{said}");
    }
    // no mail is lost for what was not suggested
    assert!(holds(&world, "clear.example", &file, 0).contains("would deliver in clear"), "{text}");
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(
        place("#   clear.example: ") < place("#   self.example (require): ")
            && place("#   self.example (require): ") < place("#   other.example (chain): "),
        "the weakest first: {text}"
    );
    assert!(
        place("deliver = \"require\"") < place("deliver = \"chain\"") && place("deliver = \"chain\"") < place("deliver = \"verify\""),
        "{text}"
    );
    // the negative control: one step stricter would not hold
    let stricter = world.write("stricter.toml", &text.replace("deliver = \"chain\"", "deliver = \"verify\""));
    holds(&world, "other.example", &stricter, 1);
}

/// A survey on a bad day must not become a policy for the good ones.
// req: B7
#[test]
fn nothing_that_is_there_is_lowered() {
    let sinks = [named("mx.a.gov.example", &["--kind", "self-signed"]), named("mx.b.gov.example", &[]), named("mx.shop.example", &[])];
    let world = World::new(&[
        ("a.gov.example", "mx.a.gov.example", &sinks[0]),
        ("b.gov.example", "mx.b.gov.example", &sinks[1]),
        ("shop.example", "mx.shop.example", &sinks[2]),
    ]);
    std::fs::write(world.path("ca.pem"), [1, 2].map(|number: usize| std::fs::read_to_string(sinks[number].anchors()).unwrap()).concat())
        .unwrap();
    let there = "# ours\n[[partner]]\nname = \"Government\"\ndomains = \"*.gov.example\"\ndeliver = \"verify\"\n\n[[partner]]\nname = \"Shop\"\ndomains = \"shop.example\"\ndeliver = { level = \"require\", on_expiry = \"delete\" }\n";
    let policy = world.obeys(there);
    let kept = world.path("found.jsonl");
    world.survey("a.gov.example\nb.gov.example\nshop.example\n", &["-o", &kept]);
    let text = printed(&[&kept, "--policy", &policy]);
    assert!(text.contains("#   a.gov.example: partner \"Government\" (") && text.contains("stays: verify"), "{text}");
    assert!(text.contains("#   b.gov.example: ") && text.contains("asks no less: verify"), "{text}");
    assert_eq!(text.matches("[[partner]]").count(), 1, "only the shop can do more: {text}");
    let both = world.write("both.toml", &format!("{there}{text}"));
    assert!(holds(&world, "shop.example", &both, 0).contains(": verify\n"), "raised");
    let said = holds(&world, "a.gov.example", &both, 1);
    assert!(said.contains(&format!("By {both}: verify")), "as strict as before, though it does not hold today: {said}");
    // the negative control: without knowledge of the policy, the suggestion for this name undercuts the wildcard
    let blind = world.write("blind.toml", &format!("{there}{}", printed(&[&kept])));
    assert!(holds(&world, "a.gov.example", &blind, 0).contains(&format!("By {blind}: require")));
    // the policy of --config counts as well as that of --policy
    assert_eq!(printed(&[&kept, "--config", &world.path("sealpost.toml")]), text);
}

#[test]
fn entries_may_be_in_testing_and_all_hosts_may_be_asked_for() {
    let sink = named("mx.good.example", &[]);
    let world = World::new(&[("good.example", "mx.good.example", &sink)]);
    let kept = world.path("found.jsonl");
    world.survey("good.example", &["-o", &kept]);
    let text = printed(&[&kept, "--testing", "--all-hosts"]);
    let file = world.write("suggested.toml", &text);
    assert!(text.contains("mode = \"testing\"") && holds(&world, "good.example", &file, 0).contains(": opportunistic\n"), "{text}");
    // two hosts, of which one is weak
    let mut row: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&kept).unwrap()).unwrap();
    for level in row["levels"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .filter(|level| level["level"] == "verify" || level["level"] == "verify (match = \"mx\")")
    {
        level["hosts"].as_array_mut().unwrap().push(serde_json::json!({ "host": "mx2", "result": "fails", "over_tls": true, "why": "x" }));
        level["words"] = "would deliver (not by mx2: x)".into();
    }
    std::fs::write(&kept, row.to_string()).unwrap();
    let text = printed(&[&kept]);
    assert!(text.contains("deliver = \"verify\"") && text.contains("#   good.example (verify): not by mx2: x"), "{text}");
    assert!(printed(&[&kept, "--all-hosts"]).contains("deliver = \"chain\""));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad").display().to_string();
    std::fs::write(&bad, "nonsense\n").unwrap();
    for arguments in
        [&["/nowhere"][..], &[&bad], &[&bad, "--since", "7d"], &["--all-hosts", "--config", "x"], &["--config", "/nowhere"], &[]]
    {
        ends(&probe(&[&["suggest"], arguments].concat()), 64);
    }
}

/// A delivery as the relay writes it down.
fn delivery(domain: &str, tls: bool, trusted: bool, names: &[&str]) -> Event {
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let mut event = Event::new(UnixMillis(now - 60_000), EventKind::Delivered, Hop::Deliver)
        .of_message("Q1", mailbox("ann@shop.example").into())
        .for_recipient(mailbox(&format!("bob@{domain}")).into());
    event.received_secure = Some(true);
    event.next_hop = Some(format!("mx:{domain}"));
    event.host = Some(format!("mx.{domain}"));
    event.address = Some("192.0.2.7:25".parse().unwrap());
    let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), Some(KexGroup(0x11ec)), false);
    let mut proof = Proof::new(tls.then_some(facts), "TLS if offered", true);
    proof.host_secure = Some(false);
    if tls {
        proof.subject = Some(format!("CN=mx.{domain}"));
        proof.names = Some(names.iter().map(|name| format!("DNS:{name}")).collect());
        proof.validation_path = if trusted { vec![format!("CN=mx.{domain}"), "CN=Test CA".into()] } else { Vec::new() };
    } else {
        proof.no_tls = Some(NoTls::NotOffered);
    }
    event.proof = Some(Arc::new(proof));
    event
}

#[test]
fn what_was_delivered_says_what_would_hold() {
    let sink = named("mx.good.example", &[]);
    let world = World::new(&[("good.example", "mx.good.example", &sink)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let history = History::open(&world.folder.path().join("data/history")).unwrap();
        for _ in 0..6 {
            history.record(delivery("bank.example", true, true, &["mx.bank.example"]));
            history.record(delivery("own.example", true, true, &["mx.own.example", "own.example"]));
            history.record(delivery("weak.example", true, false, &["mx.weak.example"]));
        }
        // one day the other host took it
        history.record(delivery("bank.example", true, true, &["elsewhere.example"]));
        history.record(delivery("clear.example", false, false, &[]));
        history.close().await.unwrap();
    });
    let config = world.path("sealpost.toml");
    let text = printed(&["--config", &config]);
    compile_at("suggested.toml".as_ref(), &text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let level = |domain: &str| {
        let entry = text.split("[[partner]]").skip(1).find(|entry| entry.lines().any(|line| line == domain));
        entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("deliver = ")))
    };
    assert_eq!(level("own.example"), Some("\"verify\""), "{text}");
    assert_eq!((level("bank.example"), level("weak.example")), (Some("\"chain\""), Some("\"require\"")), "{text}");
    assert_eq!(level("clear.example"), None);
    assert!(text.contains("#   clear.example: of 1 deliveries 1 would have been stopped"), "{text}");
    // what the relay's policy asks already is not asked again
    world.obeys("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = \"chain\"\n");
    let text = printed(&["--config", &config]);
    assert!(text.contains("#   bank.example: partner \"Bank\" (") && text.contains("asks no less: chain"), "{text}");
}

mod with_port_25 {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::dns::{NameServer, Record};
    use crate::equipment::{LIMIT, Sink};
    use crate::running::Running;

    /// A relay that delivered by MX says itself what would have held.
    // req: B7
    #[test]
    #[ignore = "needs root and port 25"]
    fn what_a_relay_delivered_becomes_an_entry_that_holds() {
        let sink = Sink::start_at("127.0.63.1:25", &["--name", "mx.bank.example"]);
        let records = vec![("bank.example", Record::Mx(10, "mx.bank.example")), ("mx.bank.example", Record::A([127, 0, 63, 1].into()))];
        let dns = NameServer::start(records);
        let world = World::new(&[]);
        let text = format!(
            "hostname = 'relay.test'\ndata_dir = 'data'\n[[listener]]\naddress = '127.0.0.1:0'\ntls = 'none'\n[tls]\ntrust_anchors = '{}'\n\
             [relay]\ntrusted_networks = ['127.0.0.0/8']\n{}dnssec = 'off'\n",
            sink.anchors(),
            dns.table()
        );
        world.write("sealpost.toml", &text);
        let running = Running::start(&world);
        let relay = running.handle.as_ref().unwrap().addresses()[0].to_string();
        let mail = ["send", "--server", &relay, "--level", "none", "--from", "ann@acme.example", "--to", "bob@bank.example"];
        ends(&probe(&mail), 0);
        sink.told("message", 1);
        let (config, end) = (world.path("sealpost.toml"), Instant::now() + LIMIT);
        let text = loop {
            let text = printed(&["--config", &config]);
            if text.contains("[[partner]]") {
                break text;
            }
            assert!(Instant::now() < end, "the delivery is written down within a moment: {text}");
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(text.contains("bank.example\n\"\"\"") && text.contains("few deliveries say so: 1"), "{text}");
        let file = world.write("suggested.toml", &text);
        let said = holds(&world, "bank.example", &file, 0);
        assert!(said.contains(&format!("By {file}: verify")) && said.contains("today: would deliver"), "{said}");
    }
}
