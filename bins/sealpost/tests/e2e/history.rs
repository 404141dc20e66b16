//! The history as an administrator, an auditor and a log shipper read it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sealpost_store::rusqlite::Connection;

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay, sealpost};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const STRICT: &str = "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliver = \"require\"\n";

/// A relay with one delivered message for other.example, and one for bank.example that waits for TLS.
fn two_messages(more: &str) -> (House, Relay, [Sink; 2]) {
    let house = House::new();
    let secure = Sink::start(Behaviour::offering(&house.authority.issue(&["sink.test"])));
    let clear = Sink::start(Behaviour::new(StartTls::Absent));
    let house = house.route("bank.example", clear.address).route("*", secure.address).policy(STRICT).also(more);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for (from, to) in [(FROM, "bob@other.example"), ("carol@shop.example", "teller@bank.example")] {
        assert_eq!(client.send(from, &[to], message("history").as_bytes()).unwrap().code, 250);
    }
    secure.wait_for(1, LIMIT);
    house.wait_for_history(&["\"delivered\"", "bob@other.example"], LIMIT);
    house.wait_for_history(&["\"check-tls\"", "teller@bank.example"], LIMIT);
    house.wait_for_history(&["\"deferred\"", "teller@bank.example"], LIMIT);
    (house, relay, [secure, clear])
}

fn kinds(lines: &str) -> Vec<String> {
    let kind = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned();
    lines.lines().map(kind).collect()
}

// req: A9
#[test]
fn the_history_is_filtered_the_same_beside_a_relay_and_without_one() {
    let (house, relay, _sinks) = two_messages("");
    let id = house
        .history()
        .lines()
        .find(|line| line.contains("bob@other"))
        .and_then(|line| Some(line.split("\"queue_id\":\"").nth(1)?.split('"').next()?.to_owned()));
    let id = id.unwrap();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--domain", "other.example"], &["received", "delivered"]),
        (&["--domain", "bank.example", "--event", "check-tls,received"], &["received", "check-tls"]),
        (&["--sender", FROM], &["received", "delivered"]),
        (&["--result", "transient", "--limit", "2"], &["check-tls", "deferred"]),
        (&["--id", &id], &["received", "delivered"]),
        (&["--until", "1h"], &[]),
        (&["--since", "1h", "--event", "delivered"], &["delivered"]),
        (&["--sender", "<>"], &[]),
        (&["--domain", "none.example"], &[]),
    ];
    let ask = |arguments: &[&str]| kinds(&house.says(&[&["history", "--json"], arguments].concat(), 0));
    // Deferrals may repeat: only the first of each kind counts.
    let first_of_each = |mut kinds: Vec<String>| {
        let mut seen = std::collections::HashSet::new();
        kinds.retain(|kind| seen.insert(kind.clone()));
        kinds
    };
    for (arguments, expected) in cases {
        assert_eq!(first_of_each(ask(arguments)), expected, "{arguments:?}, from the relay");
    }
    let last = house.says(&["history", "--json", "--domain", "other.example", "--limit", "1"], 0);
    let place = last.split("\"cursor\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let before = house.says(&["history", "--json", "--domain", "other.example", "--before", &place], 0);
    assert_eq!((kinds(&last), kinds(&before)), (vec!["delivered".to_owned()], vec!["received".to_owned()]));
    relay.terminate();
    relay.wait(LIMIT);
    for (arguments, expected) in cases {
        assert_eq!(first_of_each(ask(arguments)), expected, "{arguments:?}, from the files");
    }
    assert!(house.says(&["history", "--domain", "a b"], 1).contains("--domain"), "the parameter is named");
    assert!(house.says(&["history", "--event", "gone"], 64).contains("check-tls"), "the kinds are named");
}

// req: A9 F6
#[test]
fn what_people_read_is_short_in_a_list_and_whole_for_one_message() {
    let (house, _relay, _sinks) = two_messages("");
    let list = house.says(&["history", "--domain", "other.example"], 0);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 6 && lines[0].contains("Mail was received") && lines[3].contains("Mail was delivered"), "{list}");
    assert!(lines[4].trim() == "<alice@sender.example> -> <bob@other.example>" && lines[5].contains("TLSv1.3"), "{list}");
    assert!(!list.contains('\u{1b}'), "no colours where nobody sees them");
    let german = house.says(&["history", "--domain", "bank.example", "--event", "check-tls", "--lang", "de"], 0);
    assert!(german.contains("Verarbeitung läuft: TLS prüfen"), "{german}");
    let id = lines[0].split_whitespace().last().unwrap();
    let whole = house.says(&["history", "--id", id], 0);
    for words in ["TLS_AES_", "X25519MLKEM768 (post-quantum)", "key pin            sha256//", "certificate        CN=", "demand "] {
        assert!(whole.contains(words), "{words}: {whole}");
    }
    assert!(house.says(&["history", "--lang", "fr"], 64).contains("en, de"), "the languages are named");
}

#[test]
fn what_happens_is_followed() {
    let (house, relay, _sinks) = two_messages("");
    let follow = |house: &House| {
        let mut command = sealpost();
        command.args(["history", "--follow", "--json", "--domain", "other.example", "--config"]).arg(house.config());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (told, heard) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        (child, heard)
    };
    let (mut child, heard) = follow(&house);
    let next = || kinds(&heard.recv_timeout(LIMIT).unwrap()).remove(0);
    assert_eq!([next(), next()], ["received", "delivered"], "what happened last comes first");
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send(FROM, &["teller@bank.example"], message("not asked for").as_bytes()).unwrap();
    client.send(FROM, &["bob@other.example"], message("more").as_bytes()).unwrap();
    assert_eq!([next(), next()], ["received", "delivered"], "what happens comes, once");
    assert!(heard.recv_timeout(Duration::from_secs(1)).is_err(), "and nothing else");
    relay.terminate();
    relay.wait(LIMIT);
    assert!(child.wait().unwrap().success(), "the end of the relay is the end");
    // Without a relay the files are looked at; somebody else may write them.
    let (mut child, heard) = follow(&house);
    for _ in 0..4 {
        heard.recv_timeout(LIMIT).unwrap();
    }
    let relay = house.start_again();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send(FROM, &["bob@other.example"], message("again").as_bytes()).unwrap();
    assert_eq!(kinds(&heard.recv_timeout(LIMIT).unwrap()), ["received"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A record of RFC 4180, as far as no cell has a line end.
fn cells(record: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for character in record.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().unwrap().push(other),
        }
    }
    cells
}

/// What a column of an export says in the first record with this text.
pub(crate) fn exported(csv: &str, record: &str, column: &str) -> String {
    let at = cells(csv.lines().next().unwrap()).iter().position(|name| name == column);
    let at = at.unwrap_or_else(|| panic!("no {column} in {csv}"));
    cells(csv.lines().find(|line| line.contains(record)).unwrap_or_else(|| panic!("no {record} in {csv}"))).swap_remove(at)
}

// req: F6
#[test]
fn an_auditor_gets_the_proof_of_a_domain_and_a_period() {
    let (house, _relay, _sinks) = two_messages("");
    let file = house.file("audit.csv");
    let said = house.says(&["history", "export", "--domain", "other.example", "--since", "1h", "--output", file.to_str().unwrap()], 0);
    assert!(said.contains("audit.csv: 2 entries"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    let records: Vec<Vec<String>> = text.lines().map(cells).collect();
    assert!(records.len() == 3 && records.iter().all(|record| record.len() == records[0].len()), "{text}");
    let column = |name: &str| exported(&text, ",delivered,", name);
    assert_eq!(
        (column("event"), column("tls_version"), column("key_exchange")),
        ("delivered".into(), "TLSv1.3".into(), "X25519MLKEM768".into())
    );
    assert_eq!((column("post_quantum"), column("demand_met")), ("true".into(), "true".into()));
    assert!(
        column("spki_pin").starts_with("sha256//")
            && column("certificate_subject").contains("CN=")
            && column("cipher_suite").starts_with("TLS_")
    );

    let json =
        house.says(&["history", "export", "--domain", "bank.example", "--since", "1h", "--format", "json", "--event", "check-tls"], 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["domain"], &json["entries"][0]["kind"]), (&"bank.example".into(), &"check-tls".into()));
    assert_eq!(json["entries"][0]["proof"]["satisfied"], false);
    let deferred = house.says(&["history", "export", "--domain", "bank.example", "--since", "1h", "--event", "deferred"], 0);
    let next = exported(&deferred, ",deferred,", "next_attempt");
    assert!(next.starts_with("20") && next.ends_with('Z'), "{deferred}");
    let none = house.says(&["history", "export", "--domain", "other.example", "--since", "2h", "--until", "1h"], 0);
    assert_eq!(none.lines().count(), 1, "another period: {none}");
}

/// An auditor got less than there is, and exit code 0.
// req: F6
#[test]
fn what_cannot_be_read_is_said_and_no_whole_export() {
    let (house, relay, _sinks) = two_messages("");
    damage(&house, "bob@other.example");
    let check = |place: &str| {
        // The other domain is the control.
        for (domain, is_missing) in [("other.example", true), ("bank.example", false)] {
            let wanted = ["--domain", domain, "--since", "1h"];
            let shown = house.says(&[&["history"], &wanted[..]].concat(), 0);
            let exported = house.says(&[&["history", "export"], &wanted[..]].concat(), i32::from(is_missing));
            for said in [shown, exported] {
                assert_eq!(said.contains(".db cannot be read, its entries are missing: "), is_missing, "{place}: {said}");
            }
        }
    };
    check("from the relay");
    relay.terminate();
    relay.wait(LIMIT);
    check("from the files");
}

/// Changes all entries of a message to this recipient, as a broken disk would.
pub(crate) fn damage(house: &House, recipient: &str) {
    let history = house.history();
    let line = history.lines().find(|line| line.contains(recipient)).unwrap();
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    let db = Connection::open(day(&house.file("data/history"), 0)).unwrap();
    let changed = db.execute("UPDATE events SET reason = 'something else' WHERE queue_id = ?1", [entry["queue_id"].as_str().unwrap()]);
    assert!(changed.unwrap() > 0, "{line}");
}

#[test]
fn the_stream_goes_where_the_setting_says() {
    for (setting, file) in [("stream = \"shipped.jsonl\"", "shipped.jsonl"), ("stream = \"stdout\"", "relay.log"), ("", "none")] {
        let (house, relay, _sinks) = two_messages(&format!("[history]\n{setting}\n"));
        relay.terminate();
        relay.wait(LIMIT);
        let text = fs::read_to_string(house.file(file)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"at\":")).collect();
        let delivered = lines.iter().filter(|line| line.contains("\"kind\":\"delivered\"")).count();
        assert_eq!(delivered, usize::from(!setting.is_empty()), "{setting}: {text}");
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
    }
}

/// The file of the day so many days ago.
pub(crate) fn day(folder: &Path, days: u64) -> PathBuf {
    let then = jiff::Timestamp::try_from(SystemTime::now() - Duration::from_secs(days * 86400)).unwrap();
    folder.join(format!("{}.db", then.strftime("%Y-%m-%d")))
}

#[test]
fn old_days_go_by_age_and_by_size() {
    for (setting, month_stays, week_stays) in [("", true, true), ("keep = \"20d\"", false, true), ("max_size = 16777216", false, false)] {
        let house = House::new().also(&format!("[history]\n{setting}\n"));
        house.write();
        let folder = house.file("data/history");
        fs::create_dir_all(&folder).unwrap();
        let (ancient, month, week) = (day(&folder, 100), day(&folder, 30), day(&folder, 7));
        for path in [&ancient, &month, &week] {
            fs::write(path, vec![0; 20 << 20]).unwrap();
        }
        let _relay = house.start();
        let end = Instant::now() + LIMIT;
        let expected = (false, month_stays, week_stays);
        while (ancient.exists(), month.exists(), week.exists()) != expected {
            assert!(Instant::now() < end, "{setting}: {:?}", (ancient.exists(), month.exists(), week.exists()));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The last entry of a message commits with its removal from the queue, so that it survives when the history cannot be
/// written and the relay then dies. What else was waiting for the history is lost by that: the negative control.
// req: A8 A9
#[test]
fn the_end_of_a_message_is_told_whatever_happens() {
    let policy = "[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\n\
        deliver = { level = \"require\", lifetime = \"3s\", on_expiry = \"delete\" }\n";
    let bank = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&bank).policy(policy);
    let relay = house.start();
    let lock = Connection::open(day(&house.file("data/history"), 0)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &["teller@bank.example"], message("fate").as_bytes()).unwrap().code, 250);
    let waits = |house: &House| {
        let queue = Connection::open(house.file("data/queue/queue.db")).unwrap();
        let count = |table: &str| queue.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
        (count("entry"), count("outbox"))
    };
    let end = Instant::now() + LIMIT;
    while waits(&house) != (0, 1) {
        assert!(Instant::now() < end, "{:?}", waits(&house));
        thread::sleep(Duration::from_millis(100));
    }
    relay.kill();
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    assert_eq!(house.history(), "", "nothing could be written");
    let _relay = house.start_again();
    let history = house.wait_for_history(&["deleted-by-tls-policy", "teller@bank.example"], LIMIT);
    assert_eq!(kinds(&history), ["deleted-by-tls-policy"], "what was recorded in memory alone is lost: {history}");
    assert_eq!(waits(&house).1, 0, "and it is told once");
}
