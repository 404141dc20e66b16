//! A running relay is managed: its policy changes under open sessions and waiting mail.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay, finish, free_address, sealpost};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@bank.example";

fn bank(hop: &str, level: &str) -> String {
    format!("# ours since 2019\n[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\n{hop} = \"{level}\"\n")
}

fn write_policy(house: &House, text: &str) {
    fs::write(house.file("policy.toml"), text).unwrap();
}

fn wait_for_log(relay: &Relay, words: &str) {
    let end = Instant::now() + LIMIT;
    while !relay.log().contains(words) {
        assert!(Instant::now() < end, "no {words:?} in\n{}", relay.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// By `sealpost reload` and by SIGHUP: the next command of a session that is open is decided by the new policy.
// req: E8 A5
#[test]
fn a_session_lives_through_a_reload_and_obeys_it() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).policy(&bank("receive", "require"));
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.answer_to_mail(TO), 530);

    write_policy(&house, &bank("receive", "opportunistic"));
    assert!(house.says(&["reload", "--dry-run"], 0).contains("nothing is changed"));
    assert_eq!(client.answer_to_mail(TO), 530, "a dry run changes nothing");
    assert!(house.says(&["reload"], 0).contains("in force: 1 entries, 1 before"));
    assert_eq!(client.answer_to_mail(TO), 250);

    write_policy(&house, &bank("receive", "require"));
    relay.hang_up();
    wait_for_log(&relay, "generation=2");
    assert_eq!(client.answer_to_mail(TO), 530);
}

/// Told with file, line and column; the old policy stays in force, whoever asked.
// req: E8
#[test]
fn a_broken_policy_is_refused_with_its_place() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).policy(&bank("receive", "require"));
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    write_policy(&house, &bank("receive", "requrie"));
    for arguments in [&["reload"][..], &["reload", "--force"], &["reload", "--dry-run"]] {
        let said = house.says(arguments, 1);
        assert!(said.contains("policy.toml:5:11") && said.contains("did you mean \"require\"?"), "{said}");
    }
    relay.hang_up();
    wait_for_log(&relay, "SIGHUP: the policy of before stays in force");
    assert!(relay.log().contains("policy.toml:5:11"));
    assert_eq!(client.answer_to_mail(TO), 530);
}

// req: E8
#[test]
fn a_policy_cut_short_needs_force() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let partners = |count: usize| (0..count).map(|n| format!("[[partner]]\ndomains = \"p{n}.example\"\n")).collect::<String>();
    let house = House::to(&sink).policy(&(partners(99) + &bank("receive", "require")));
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    write_policy(&house, &partners(94));
    let said = house.says(&["reload"], 1);
    assert!(said.contains("6 of 100 entries would go, more than 5 %: partner p94.example, partner p95.example"), "{said}");
    relay.hang_up();
    wait_for_log(&relay, "6 of 100 entries would go");
    assert_eq!(client.answer_to_mail(TO), 530);
    house.says(&["reload", "--force"], 0);
    assert_eq!(client.answer_to_mail(TO), 250);
}

/// As many entries as before are not the same entries: in the policy itself, and in a list that it includes.
// req: E8
#[test]
fn entries_that_are_exchanged_need_force() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let partners = |from: usize| (from..from + 50).map(|n| format!("[[partner]]\ndomains = \"p{n}.example\"\n")).collect::<String>();
    let rows = |from: usize| (from..from + 50).map(|n| format!("r{n}.example\n")).collect::<String>();
    let include = "[[include]]\nfile = \"rows.csv\"\nreceive = \"require\"\n";
    let house = House::to(&sink).policy(&(include.to_owned() + &partners(0)));
    fs::write(house.file("rows.csv"), rows(0)).unwrap();
    let _relay = house.start();

    // The same entries in another order, and five of a hundred exchanged, pass; the sixth does not.
    let mut turned: Vec<_> = partners(0).split_inclusive("example\"\n").map(str::to_owned).collect();
    turned.reverse();
    write_policy(&house, &(include.to_owned() + &turned.concat()));
    assert!(house.says(&["reload"], 0).contains("no entry differs"));
    write_policy(&house, &(include.to_owned() + &partners(6)));
    let said = house.says(&["reload"], 1);
    assert!(said.contains("6 of 100 entries would go") && said.contains("p0.example"), "{said}");
    write_policy(&house, &(include.to_owned() + &partners(5)));
    let said = house.says(&["reload"], 0);
    assert!(said.contains("in force: 100 entries, 100 before") && said.contains("5 added: partner p50.example"), "{said}");

    fs::write(house.file("rows.csv"), rows(6)).unwrap();
    let said = house.says(&["reload"], 1);
    assert!(said.contains("6 of 100 entries would go") && said.contains("r0.example in rows.csv"), "{said}");
    // What only moves, from a list into the policy, does not go.
    write_policy(
        &house,
        &(include.to_owned() + &partners(5) + &(0..6).map(|n| format!("[[partner]]\ndomains = \"r{n}.example\"\n")).collect::<String>()),
    );
    assert!(house.says(&["reload"], 0).contains("6 removed: r"));
}

/// A list that is there and has nothing in it any more, with all of its entries or with the only one.
// req: E8
#[test]
fn an_emptied_list_needs_force() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let policy = |entries: &str| {
        let partners: String = (0..50).map(|n| format!("[[partner]]\ndomains = \"p{n}.example\"\n")).collect();
        format!(
            "{partners}[[include]]\nfile = \"rows.csv\"\nreceive = \"require\"\n[[list]]\nname = \"tls\"\nentries = \"{entries}\"\n\
             [[rule]]\nname = \"Enforced\"\nwhen.recipient.matches = \"tls\"\nthen.add_header.X-TLSLevel = \"Require\"\n"
        )
    };
    let house = House::to(&sink).policy(&policy("bank.example law.example"));
    fs::write(house.file("rows.csv"), "far.example\n").unwrap();
    let _relay = house.start();
    write_policy(&house, &policy("bank.example"));
    assert!(house.says(&["reload"], 0).contains("1 removed: law.example in list \"tls\""));
    write_policy(&house, &policy(""));
    assert!(house.says(&["reload"], 1).contains("nothing would be left in list \"tls\""));
    write_policy(&house, &policy("bank.example"));
    fs::write(house.file("rows.csv"), "# far.example\n").unwrap();
    assert!(house.says(&["reload"], 1).contains("nothing would be left in include \"rows.csv\""));
    assert!(house.says(&["reload", "--force"], 0).contains("1 removed: far.example in rows.csv"));
    let said = house.says(&["lists", "remove-entry", "tls", "bank.example"], 1);
    assert!(said.contains("nothing would be left in list \"tls\""), "{said}");
    house.says(&["lists", "remove-entry", "tls", "bank.example", "--force"], 0);
}

/// Who changed what, and in which file: by a command, by hand with SIGHUP, in a list. What changes nothing is not told of.
// req: E8
#[test]
fn changes_of_the_policy_stand_in_the_history() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let policy = "[[include]]\nfile = \"rows.csv\"\nreceive = \"require\"\n".to_owned() + &bank("receive", "require");
    let house = House::to(&sink).policy(&policy);
    fs::write(house.file("rows.csv"), "far.example\n").unwrap();
    let relay = house.start();
    let uid = rustix::process::getuid().as_raw();
    let (by, changed) = (format!("\"by\":\"uid {uid}"), "\"kind\":\"policy-changed\"");
    house.says(&["reload"], 0);
    house.says(&["domains", "set", "Bank", "deliver=require", "--dry-run"], 0);
    house.says(&["domains", "set", "Bank", "deliver=require"], 0);
    let history = house.wait_for_history(&[changed, &by, "policy.toml\"", "1 changed: partner bank.example"], LIMIT);
    assert_eq!(history.matches(changed).count(), 1, "{history}");
    house.says(&["domains", "add", "near.example", "--list", "rows.csv", "--even-if-unreachable"], 0);
    house.wait_for_history(&[changed, &by, "rows.csv\"", "1 added: near.example in rows.csv"], LIMIT);
    write_policy(&house, &policy.replace("bank.example", "bank.test"));
    relay.hang_up();
    let words = ["\"by\":\"SIGHUP\"", "1 added: partner bank.test; 1 removed: partner bank.example"];
    house.wait_for_history(&[changed, words[0], words[1]], LIMIT);
    let german = house.says(&["history", "--long", "--lang", "de"], 0);
    assert!(german.contains("Die Richtlinie wurde geändert") && german.contains("durch              SIGHUP"), "{german}");
    assert!(house.says(&["history", "--long"], 0).contains("changes            1 changed: partner bank.example"));
}

/// Who holds a connection and says nothing, or not all of it, is cut off, and others have their turn; a slow answer is none.
#[test]
fn admin_connections_and_idle() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let address = free_address();
    let house = House::to(&sink).also(&format!("[admin]\naddress = \"{address}\"\nconnections = 2\nidle = \"1s\"\n"));
    let _relay = house.start();
    let open = || std::net::TcpStream::connect(address).unwrap();
    let ask = |mut stream: std::net::TcpStream, request: &str| {
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    let status = format!("GET /v1/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let begin = Instant::now();
    assert!(ask(open(), &status).starts_with("HTTP/1.1 200 "));
    // Two that are silent take both places: the third is answered when they are cut off.
    let (silent, half) = (open(), open());
    std::io::Write::write_all(&mut &half, b"GET /v1/status HTTP/1.1\r\nHost: 127").unwrap();
    thread::sleep(Duration::from_millis(100));
    let third = Instant::now();
    assert!(ask(open(), &status).starts_with("HTTP/1.1 200 "));
    assert!(third.elapsed() > Duration::from_millis(500), "it had to wait: {:?}", third.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "but not long: {:?}", begin.elapsed());
    assert!(ask(silent, "").is_empty());
    drop(half);
    // One that keeps its connection after an answer is silent as well.
    let kept = ask(open(), &status.replace("Connection: close\r\n", ""));
    assert!(kept.starts_with("HTTP/1.1 200 "), "{kept}");
    // A body that does not come.
    let request = "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nshort";
    let mut stream = std::os::unix::net::UnixStream::connect(house.file("data/admin.sock")).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("no more of the request came in 1s"), "{answer}");
}

/// What waits for TLS is not sent in clear because the policy was weakened, by mistake or not, until somebody says so.
// req: E8 A8
#[test]
fn weakening_holds_back_what_waits_for_tls() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).policy(&bank("deliver", "require"));
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send(FROM, &[TO], message("waits").as_bytes()).unwrap();
    house.wait_for_history(&["\"deferred\"", TO], LIMIT);
    write_policy(&house, &bank("deliver", "none"));
    house.says(&["reload"], 0);
    house.wait_for_history(&["\"deferred\"", "held by an earlier policy: require"], LIMIT);
    assert_eq!(sink.message_count(), 0);
    // Also after a restart: what holds the mail stands in the queue.
    drop(client);
    relay.kill();
    let _relay = house.start_again();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(sink.message_count(), 0);
    assert!(house.says(&["reload", "--apply-to-queue"], 0).contains("let go"));
    assert!(sink.wait_for(1, LIMIT)[0].tls.is_none());
}

/// Names or pins that are corrected let hosts in that the entry kept out before: mail that waits is not sent there until somebody says
/// that the new ones count for it. Who corrects them is told so.
// req: E8 A8 E6
#[test]
fn a_corrected_name_or_pin_holds_for_what_waits_when_somebody_says_so() {
    let pin = |byte: char| format!("sha256//{}=", byte.to_string().repeat(43));
    for (level, key, wrong) in [("verify", "names", "other.example".to_owned()), ("pinned", "pins", pin('A'))] {
        let house = House::new();
        let issued = house.authority.issue(&["mx.bank.example"]);
        fs::create_dir(house.file("shown")).unwrap();
        let (certificate, _) = issued.write(&house.file("shown"));
        let shown = finish(sealpost().args(["cert", "show"]).arg(certificate), LIMIT);
        let shown = String::from_utf8(shown.stdout).unwrap();
        let right = match key {
            "names" => "mx.bank.example",
            _ => shown.split_whitespace().find(|word| word.starts_with("sha256//")).unwrap_or_else(|| panic!("no pin in {shown}")),
        };
        let sink = Sink::start(Behaviour::offering(&issued));
        let policy =
            format!("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = {{ level = \"{level}\", {key} = \"{wrong}\" }}\n");
        let house = house.route("*", sink.address).policy(&policy);
        let relay = house.start();
        Client::secure(relay.address, &house.authority.client()).unwrap().send(FROM, &[TO], message("waits").as_bytes()).unwrap();
        house.wait_for_history(&["\"deferred\"", TO], LIMIT);
        let said = house.says(&["domains", "set", "Bank", &format!("deliver.{key}={right}")], 0);
        assert!(said.contains("note: 1 message waits. What was deferred for TLS stays under what was asked then"), "{said}");
        house.wait_for_history(&["\"deferred\"", &format!("held by an earlier policy: {level}")], LIMIT);
        assert_eq!(sink.message_count(), 0);
        house.says(&["reload", "--apply-to-queue"], 0);
        assert!(sink.wait_for(1, LIMIT)[0].tls.is_some(), "{level}: it goes out under the corrected entry");
    }
}

// req: E8
#[test]
fn strengthening_reaches_what_waits() {
    let address = free_address();
    let house = House::new().route("*", address).policy(&bank("deliver", "opportunistic"));
    house.write();
    // The next attempt would be made in an hour.
    fs::write(house.config(), house.config_text().replace("retry = [\"1s\"]", "retry = [\"1h\"]")).unwrap();
    let relay = house.start_again();
    Client::secure(relay.address, &house.authority.client()).unwrap().send(FROM, &[TO], message("waits").as_bytes()).unwrap();
    house.wait_for_history(&["\"deferred\"", TO], LIMIT);
    let sink = Sink::start_at(address, Behaviour::new(StartTls::Absent));
    write_policy(&house, &bank("deliver", "require"));
    house.says(&["reload"], 0);
    house.wait_for_history(&["\"check-tls\"", TO, "does not offer STARTTLS"], LIMIT);
    assert_eq!(sink.message_count(), 0);
}

#[test]
fn without_a_running_relay_there_is_nothing_to_reload() {
    let house = House::new();
    house.write();
    assert!(house.says(&["reload"], 1).contains("no relay answers on"));
    fs::write(house.config(), house.config_text() + "[admin]\nsocket = \"none\"\n").unwrap();
    assert!(house.says(&["reload"], 1).contains("SIGHUP"));
}

/// Who is greeted may ask: the socket is there before the first client is served.
// req: E8
#[test]
fn management_answers_before_clients_are_greeted() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).policy(&bank("receive", "require"));
    house.write();
    for _ in 0..5 {
        let starting = house.begin();
        let end = Instant::now() + LIMIT;
        while Client::connect(house.address).is_err() {
            assert!(Instant::now() < end, "nobody is greeted:\n{}", starting.log());
        }
        std::os::unix::net::UnixStream::connect(house.file("data/admin.sock")).expect("the socket is there when a client is greeted");
        house.says(&["domains", "set", "Bank", "receive=require"], 0);
        starting.kill();
    }
}

/// A command during the start is obeyed by the relay that starts, whether it changed the file or was answered.
// req: E8
#[test]
fn a_command_during_the_start_is_obeyed() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    for wait in [0, 5, 15, 30, 60, 120, 200] {
        let house = House::to(&sink).policy(&bank("receive", "opportunistic"));
        house.write();
        let relay = house.begin();
        thread::sleep(Duration::from_millis(wait));
        house.says(&["domains", "set", "Bank", "receive=require"], 0);
        let end = Instant::now() + LIMIT;
        let mut client = loop {
            match Client::connect(house.address) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < end, "{error}:\n{}", relay.log()),
            }
        };
        client.expect("EHLO client.example", 250).unwrap();
        assert_eq!(client.answer_to_mail(TO), 530, "after {wait} ms");
    }
    drop(house);
}

/// Also where the socket lies beside the policy, a command without a relay waits for nobody.
#[test]
fn a_socket_beside_the_policy_is_no_obstacle() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).also("[admin]\nsocket = \"here\"\n").policy(&bank("receive", "require"));
    house.write();
    assert!(house.says(&["domains", "set", "Bank", "deliver=require"], 0).contains("no relay runs"));
}

/// Of the relay's own file, what can be is obeyed at once, and the rest is named until the next start; a wrong one changes nothing.
// req: E8
#[test]
fn settings_are_read_again() {
    let (old, new) = (Sink::start(Behaviour::new(StartTls::Absent)), Sink::start(Behaviour::new(StartTls::Absent)));
    let house = House::to(&old).policy(&bank("receive", "require"));
    let relay = house.start();
    let send = || {
        let mut client = Client::connect(relay.address).unwrap();
        client.expect("EHLO client.example", 250).unwrap();
        client.send(FROM, &["bob@far.example"], message("x").as_bytes())
    };
    send().unwrap();
    old.wait_for(1, LIMIT);
    let text = house.config_text();
    let changed = text.replace(&old.address.to_string(), &new.address.to_string()) + "[limits]\nidle = \"1m\"\n";
    fs::write(house.config(), &changed).unwrap();
    let said = house.says(&["reload", "--dry-run"], 0);
    assert!(said.contains("would be in force: routes.\"*\"") && said.contains("in force after a restart only: limits.idle"), "{said}");
    send().unwrap();
    old.wait_for(2, LIMIT);
    let said = house.says(&["reload"], 0);
    assert!(said.contains("sealpost.toml: in force: routes.\"*\"") && said.contains("after a restart only: limits.idle"), "{said}");
    send().unwrap();
    new.wait_for(1, LIMIT);
    assert_eq!(old.message_count(), 2);
    // Nothing is wrong with the policy, but it is not read either where the file beside it is wrong.
    fs::write(house.config(), changed.replace("idle =", "idel =")).unwrap();
    write_policy(&house, &bank("receive", "opportunistic"));
    relay.hang_up();
    wait_for_log(&relay, "SIGHUP: settings and policy of before stay in force");
    assert!(relay.log().contains("idel"), "{}", relay.log());
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.answer_to_mail(TO), 530);
    // By SIGHUP as well, and rights with it: who was trusted is a stranger now.
    fs::write(house.config(), changed.replace("trusted_networks = [\"127.0.0.0/8\"]", "trusted_networks = []")).unwrap();
    relay.hang_up();
    wait_for_log(&relay, "keys=\"relay.trusted_networks\"");
    assert_eq!(client.answer_to_mail(TO), 250);
    assert!(send().is_err(), "it may not relay any more");
    assert!(relay.log().contains("keys=\"limits.idle\""), "what needs a restart is told again: {}", relay.log());
}

/// Where the socket is, and that there is none.
#[test]
fn admin_socket() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    for (more, path) in
        [("", Some("data/admin.sock")), ("[admin]\nsocket = \"here\"\n", Some("here")), ("[admin]\nsocket = \"none\"\n", None)]
    {
        let house = House::to(&sink).also(more);
        let relay = house.start();
        for candidate in ["data/admin.sock", "here"] {
            assert_eq!(house.file(candidate).exists(), path == Some(candidate), "{more:?}: {candidate}");
        }
        relay.terminate();
        relay.wait(LIMIT);
        assert!(path.is_none_or(|path| !house.file(path).exists()), "{more:?}: it is left behind");
    }
}

/// The socket of a relay that was killed is no obstacle.
#[test]
fn a_dead_socket_is_replaced() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.start().kill();
    assert!(house.file("data/admin.sock").exists());
    let _relay = house.start_again();
    house.says(&["reload"], 0);
}

/// Over TCP a token opens everything, and a weak one is refused before anybody listens.
#[test]
fn admin_address_and_token() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let address = free_address();
    let house = House::to(&sink).also(&format!("[admin]\naddress = \"{address}\"\ntoken = \"token\"\n"));
    house.write();
    assert!(house.says(&["check"], 1).contains("[admin] token"), "there is no such file");
    fs::write(house.file("token"), "short\n").unwrap();
    assert!(house.says(&["check"], 1).contains("at least 16"));
    fs::write(house.file("token"), "correct-horse-battery\n").unwrap();
    assert!(house.says(&["check"], 0).contains(&format!("{address} (with the token)")));
    let relay = house.start();
    wait_for_log(&relay, &format!("address={address}"));
    for (token, status) in [("correct-horse-battery", "HTTP/1.1 200 "), ("wrong-horse-battery-", "HTTP/1.1 401 ")] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = format!("POST /v1/reload HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.starts_with(status), "{answer}");
    }
}
