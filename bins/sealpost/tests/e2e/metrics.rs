//! What a monitoring system is told: the numbers, and whether mail can be taken, each check with its control.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::dns::NameServer;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const SMALL: &[u8] = b"Subject: x\r\n\r\nx\r\n";

/// A relay with an address for metrics.
struct Watched {
    relay: Relay,
    house: House,
    metrics: SocketAddr,
}

/// The table of `sealpost.toml` for numbers at this address.
pub(crate) fn table(metrics: SocketAddr) -> String {
    format!("[metrics]\naddress = \"{metrics}\"\n")
}

impl Watched {
    fn start(house: House) -> Self {
        let metrics = free_address();
        let house = house.also(&table(metrics));
        Self { relay: house.start(), house, metrics }
    }

    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        get(self.metrics, path, headers)
    }

    /// A number; none if there is no such line.
    fn number(&self, line: &str) -> Option<f64> {
        number(&self.get("/metrics", "").1, line)
    }

    fn wait_for(&self, line: &str, least: f64) {
        self.wait_until(line, |number| number >= least);
    }

    fn wait_until(&self, line: &str, is_so: impl Fn(f64) -> bool) -> (u16, String) {
        let end = Instant::now() + LIMIT;
        loop {
            let (status, page) = self.get("/metrics", "");
            if number(&page, line).is_some_and(&is_so) {
                return (status, page);
            }
            assert!(Instant::now() < end, "{line} is never so\n{page}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a check is met, or is not and says this.
    fn wait_for_check(&self, check: &str, words: Option<&str>) {
        let end = Instant::now() + LIMIT;
        loop {
            let (status, text) = self.get("/readyz", "");
            let line = text.lines().find(|line| line.starts_with(check)).unwrap_or_else(|| panic!("no {check} in\n{text}"));
            let is_so = match words {
                None => line.contains(" ok "),
                Some(words) => line.contains(" FAILED ") && line.contains(words) && line.ends_with("is meant") && status == 503,
            };
            if is_so {
                assert_eq!(self.number(&format!("sealpost_ready{{check=\"{check}\"}}")), Some(if words.is_none() { 1.0 } else { 0.0 }));
                return;
            }
            assert!(Instant::now() < end, "{check} is never {words:?}\n{text}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// All numbers.
pub(crate) fn page(address: SocketAddr) -> String {
    get(address, "/metrics", "").1
}

fn number(page: &str, line: &str) -> Option<f64> {
    page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

/// The setting is read: without it nobody answers there.
// req: E9
#[test]
fn numbers_move_with_the_mail_on_both_hops() {
    let (house, [secure, clear]) = House::between_bank_and_clear("");
    let watched = Watched::start(house.also("[delivery]\nclient_certificate = 'cert.pem'\nclient_key = 'key.pem'\n"));
    let send = |to: &str| {
        let mut client = Client::secure(watched.relay.address, &watched.house.authority.client()).unwrap();
        assert_eq!(client.send(FROM, &[to], SMALL).unwrap().code, 250);
        client.quit();
    };
    assert_eq!(watched.number("sealpost_received_messages_total{tls=\"TLSv1.3\"}"), Some(0.0));
    send("a@bank.example");
    secure.wait_for(1, LIMIT);
    send("b@bank.example");
    secure.wait_for(2, LIMIT);
    send("c@clear.example");
    clear.wait_for(1, LIMIT);
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.send(FROM, &["d@clear.example", "e@clear.example"], SMALL).unwrap().code, 250);
    client.quit();
    clear.wait_for(2, LIMIT);
    watched.wait_for("sealpost_delivery_outcomes_total{level=\"opportunistic\",outcome=\"delivered\",reason=\"none\"}", 5.0);
    // Removals ride along with other work.
    let (status, page) = watched.wait_until("sealpost_queue_oldest_age_seconds", |age| age == 0.0);
    assert_eq!(status, 200);
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    for (line, expected) in [
        ("sealpost_received_messages_total{tls=\"TLSv1.3\"}", 3.0),
        ("sealpost_received_messages_total{tls=\"none\"}", 1.0),
        ("sealpost_tls_downgrades_total{hop=\"deliver\",reason=\"not-offered\"}", 3.0),
        ("sealpost_tls_downgrades_total{hop=\"deliver\",reason=\"failed\"}", 0.0),
        ("sealpost_tls_downgrades_total{hop=\"receive\",reason=\"not-tried\"}", 2.0),
        ("sealpost_connections_opened_total{hop=\"deliver\"}", 2.0),
        ("sealpost_connections_reused_total", 2.0),
        ("sealpost_connections{hop=\"deliver\",state=\"idle\"}", 2.0),
        ("sealpost_delivery_attempts_total{level=\"opportunistic\"}", 4.0),
        ("sealpost_queue_oldest_age_seconds", 0.0),
        ("sealpost_store_poisoned", 0.0),
        ("sealpost_policy_entries", 0.0),
    ] {
        assert_eq!(number(&page, line), Some(expected), "{line}\n{page}");
    }
    let counted = |begin: &str| page.lines().filter(|line| line.starts_with(begin)).collect::<Vec<_>>().join("\n");
    let handshakes = counted("sealpost_tls_handshakes_total{");
    assert!(handshakes.contains("hop=\"receive\",version=\"TLSv1.3\",group=\"") && handshakes.contains("hop=\"deliver\""), "{handshakes}");
    // The names of bank.example's server are not asked for, and its authority is trusted.
    assert_eq!(counted("sealpost_tls_verdicts_total{"), "sealpost_tls_verdicts_total{hop=\"deliver\",verdict=\"valid\"} 1");
    let octets = number(&page, "sealpost_received_bytes_total").unwrap();
    assert!(octets > 4.0 * SMALL.len() as f64, "{octets}");
    assert!(number(&page, "sealpost_store_commit_duration_seconds_count").unwrap() >= 4.0);
    assert!(number(&page, "process_resident_memory_bytes").unwrap() > 1e6 && number(&page, "process_open_fds").unwrap() > 3.0);
    let file = watched.house.file("cert.pem");
    let end = number(&page, &format!("sealpost_certificate_expiry_timestamp_seconds{{file=\"{}\"}}", file.display())).unwrap();
    assert!(end > number(&page, "sealpost_start_time_seconds").unwrap(), "{end}");
    // The same file is shown to servers: what it is for is told apart.
    let line = format!("sealpost_client_certificate_expiry_timestamp_seconds{{file=\"{}\"}}", file.display());
    assert_eq!(number(&page, &line), Some(end));
    assert!(!page.contains("bank.example") && !page.contains("alice"), "{page}");

    let (_, openmetrics) = watched.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0, text/plain; q=0.5\r\n");
    assert!(openmetrics.contains("application/openmetrics-text; version=1.0.0") && openmetrics.contains("# EOF\n"), "{openmetrics}");
    assert_eq!(watched.get("/metrics/more", "").0, 404);

    // Without the setting nobody answers.
    let quiet = House::new();
    let _relay = quiet.start();
    assert!(quiet.config_text().find("metrics").is_none());
}

/// What the API and the command line say is what the metrics say.
// req: E9
#[test]
fn the_numbers_of_the_queue_are_those_of_the_command_line() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"require\"\n");
    let watched = Watched::start(house);
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    for n in 0..3 {
        assert_eq!(client.send(FROM, &[&format!("b{n}@bank.example")], SMALL).unwrap().code, 250);
    }
    watched.wait_for("sealpost_delivery_outcomes_total{level=\"require\",outcome=\"deferred\",reason=\"no-starttls\"}", 3.0);
    assert!(watched.number("sealpost_host_failures_total{reason=\"no-starttls\"}").unwrap() >= 1.0);
    watched.house.says(&["queue", "hold", "--all"], 0);
    // The numbers of a moment ago may be given for a while.
    watched.wait_for("sealpost_queue_entries{state=\"held\"}", 3.0);
    let queued: serde_json::Value = serde_json::from_str(&watched.house.says(&["queue", "stats", "--json"], 0)).unwrap();
    let (_, page) = watched.get("/metrics", "");
    let state = |state: &str| number(&page, &format!("sealpost_queue_entries{{state=\"{state}\"}}"));
    for (word, expected) in [("fresh", 0.0), ("due", 0.0), ("held", 3.0), ("damaged", 0.0)] {
        assert_eq!((queued[word].as_f64(), state(word)), (Some(expected), Some(expected)), "{word}\n{page}");
    }
    assert_eq!((queued["deferred"].as_f64(), state("later")), (Some(0.0), Some(0.0)));
    assert_eq!(queued["octets"].as_f64(), number(&page, "sealpost_queue_size_bytes"));
    assert!(number(&page, "sealpost_queue_oldest_age_seconds").unwrap() > 0.0);
    let said = watched.house.says(&["queue", "stats"], 0);
    assert!(said.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["held", "3"]), "{said}");
}

#[test]
fn refusals_and_reloads_are_counted() {
    let house = House::new().policy("[[partner]]\ndomains = \"bank.example\"\nreceive = \"require\"\n");
    let watched = Watched::start(house.also("[limits]\nhops = 3\n"));
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.answer_to_mail("x@bank.example"), 530);
    client.expect(&format!("MAIL FROM:<{FROM}>"), 250).unwrap();
    client.expect("RCPT TO:<a%b@c.example>", 550).unwrap();
    client.expect("RSET", 250).unwrap();
    let looping = [b"Received: by a\r\n".repeat(5), SMALL.to_vec()].concat();
    assert_eq!(client.send(FROM, &["a@c.example"], &looping).unwrap().code, 554);
    for reason in ["no-tls", "recipient", "loop"] {
        assert_eq!(watched.number(&format!("sealpost_refusals_total{{reason=\"{reason}\"}}")), Some(1.0), "{reason}");
    }
    assert_eq!(watched.number("sealpost_refusals_total{reason=\"relaying\"}"), Some(0.0));

    client.expect("FROB", 500).unwrap();
    client.expect(&format!("MAIL FROM:<{FROM}> SIZE=9000000000"), 552).unwrap();
    client.quit();
    watched.wait_for("sealpost_refusals_total{reason=\"command\"}", 1.0);
    watched.wait_for("sealpost_refusals_total{reason=\"too-large\"}", 1.0);

    assert_eq!(watched.number("sealpost_policy_last_reload_successful"), Some(1.0));
    fs::write(watched.house.file("policy.toml"), "[[partner]]\ndomains = 7\n").unwrap();
    watched.house.says(&["reload"], 1);
    assert_eq!(watched.number("sealpost_policy_last_reload_successful"), Some(0.0));
    assert_eq!(watched.number("sealpost_policy_reloads_total{result=\"failure\"}"), Some(1.0));
    fs::write(watched.house.file("policy.toml"), "[[partner]]\ndomains = \"a.example\"\n").unwrap();
    watched.house.says(&["reload", "--force"], 0);
    assert_eq!(watched.number("sealpost_policy_last_reload_successful"), Some(1.0));
    assert_eq!(watched.number("sealpost_policy_generation"), Some(1.0));
}

// req: E9
#[test]
fn a_relay_in_order_is_alive_and_ready() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let watched = Watched::start(House::to(&sink));
    assert!(watched.get("/healthz", "").1.ends_with("alive\n"));
    let (status, text) = watched.get("/readyz", "");
    assert_eq!(status, 200, "{text}");
    for check in ["listeners", "store", "disk", "data_dir", "resolver", "certificates"] {
        assert!(text.lines().any(|line| line.starts_with(check) && line.contains(" ok ")), "{check}\n{text}");
    }
    for (path, headers) in [("/readyz?format=json", ""), ("/readyz", "Accept: application/json\r\n")] {
        let (_, answer) = watched.get(path, headers);
        let json: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((&json["ready"], json["checks"].as_array().unwrap().len()), (&serde_json::Value::Bool(true), 6), "{json}");
    }
}

// req: E9
#[test]
fn a_full_disk_is_told() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    let metrics = free_address();
    let house = house.also(&table(metrics));
    house.write();
    // More than any disk has.
    fs::write(house.config(), house.config_text().replace("[queue]\n", "[queue]\nreserve = 1000000000000000000\n")).unwrap();
    let watched = Watched { relay: house.start_again(), house, metrics };
    watched.wait_for_check("disk", Some("less than the reserve of"));
    watched.wait_for_check("store", None);
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client.expect(&format!("MAIL FROM:<{FROM}>"), 250).unwrap();
    client.expect("RCPT TO:<b@bank.example>", 250).unwrap();
    assert_eq!(client.command("DATA").unwrap().code, 452, "it tells the truth");
    assert_eq!(watched.number("sealpost_refusals_total{reason=\"store-full\"}"), Some(1.0));
}

// req: E9
#[test]
fn a_poisoned_store_is_told() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let watched = Watched::start(House::to(&sink));
    watched.wait_for_check("store", None);
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    fs::remove_file(watched.house.file("data/queue/queue.db-wal")).unwrap();
    assert_eq!(client.send(FROM, &["b@bank.example"], SMALL).unwrap().code, 451);
    watched.wait_for_check("store", Some("a file of the database is gone"));
    assert_eq!(watched.number("sealpost_store_poisoned"), Some(1.0));
    assert_eq!(watched.get("/healthz", "").0, 200, "it lives all the same");
}

// req: E9
#[test]
fn a_data_directory_that_is_gone_is_told() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let watched = Watched::start(House::to(&sink));
    watched.wait_for_check("data_dir", None);
    fs::rename(watched.house.file("data"), watched.house.file("elsewhere")).unwrap();
    watched.wait_for_check("data_dir", Some("No such file"));
    fs::rename(watched.house.file("elsewhere"), watched.house.file("data")).unwrap();
    watched.wait_for_check("data_dir", None);
}

// req: E9
#[test]
fn an_expired_certificate_is_told_until_a_new_one_comes() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.authority.issue_expired(&["relay.test"]).write(house.file("cert.pem").parent().unwrap());
    let watched = Watched::start(house);
    watched.wait_for_check("certificates", Some("cert.pem expired"));
    watched.house.authority.issue(&["relay.test"]).write(watched.house.file("cert.pem").parent().unwrap());
    watched.wait_for_check("certificates", None);
}

// req: E9
#[test]
fn name_servers_that_do_not_answer_are_told_where_they_are_needed() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = format!("[dns]\nservers = [\"{}\"]\n", silent.local_addr().unwrap());
    let watched = Watched::start(House::new().also(&nobody));
    watched.wait_for_check("resolver", Some("[dns] servers"));
    assert_eq!(watched.number("sealpost_resolver_up"), Some(0.0));
    drop(watched);
    let server = NameServer::start(Vec::new());
    let watched = Watched::start(House::new().also(&server.table()));
    watched.wait_for_check("resolver", None);
    assert_eq!(watched.number("sealpost_resolver_up"), Some(1.0));
    // With a route for all mail to an address nobody is asked.
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    Watched::start(House::to(&sink).also(&nobody)).wait_for_check("resolver", None);
}

/// What is under way may finish; a load balancer sends nothing more.
// req: E9
#[test]
fn a_relay_that_stops_says_so_until_its_end() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let watched = Watched::start(House::to(&sink));
    watched.wait_for_check("listeners", None);
    let mut client = Client::connect(watched.relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client.expect(&format!("MAIL FROM:<{FROM}>"), 250).unwrap();
    client.expect("RCPT TO:<b@bank.example>", 250).unwrap();
    client.expect("DATA", 354).unwrap();
    watched.relay.terminate();
    watched.wait_for_check("listeners", Some("shutting down"));
    assert_eq!(watched.get("/healthz", "").0, 200);
    client.wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    drop(client);
    assert!(watched.relay.wait(LIMIT).success());
    assert!(TcpStream::connect(watched.metrics).is_err());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let house = House::new().also(&table(address));
    house.write();
    assert!(house.says(&["check"], 0).contains(&format!("metrics at   http://{address}/metrics")));
    let said = house.says(&["run"], 1);
    assert!(said.contains(&format!("[metrics] address {address} cannot be listened on")), "{said}");
}

mod with_unshare {
    use std::process::Command;

    use super::*;

    /// Runs a command within the mounts of the relay.
    fn within(relay: &Relay, command: &[&str]) {
        let pid = relay.pid().to_string();
        let status = Command::new("nsenter").args(["--mount", "--target", &pid]).args(command).status().unwrap();
        assert!(status.success(), "{command:?}");
    }

    // req: E9
    #[test]
    #[ignore = "needs unshare"]
    fn a_data_directory_that_turns_read_only_is_told() {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let metrics = free_address();
        let house = House::to(&sink).also(&table(metrics));
        house.write();
        let relay = house.start_unshared();
        let data = house.file("data").display().to_string();
        let watched = Watched { relay, house, metrics };
        watched.wait_for_check("data_dir", None);
        within(&watched.relay, &["mount", "--bind", &data, &data]);
        within(&watched.relay, &["mount", "-o", "remount,ro,bind", &data]);
        watched.wait_for_check("data_dir", Some("Read-only file system"));
        within(&watched.relay, &["umount", &data]);
        watched.wait_for_check("data_dir", None);
    }
}

mod with_promtool {
    use std::process::{Command, Stdio};

    use super::*;

    fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
        let mut child =
            Command::new("promtool").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }

    // req: E9
    #[test]
    #[ignore = "needs promtool"]
    fn promtool_finds_nothing_to_say() {
        let (house, [secure, clear]) = House::between_bank_and_clear("");
        let watched = Watched::start(house);
        let mut client = Client::secure(watched.relay.address, &watched.house.authority.client()).unwrap();
        assert_eq!(client.send(FROM, &["a@bank.example", "b@clear.example"], SMALL).unwrap().code, 250);
        secure.wait_for(1, LIMIT);
        clear.wait_for(1, LIMIT);
        watched.wait_for("sealpost_connections_opened_total{hop=\"deliver\"}", 2.0);
        let (_, answer) = watched.get("/metrics", "");
        let page = answer.split("\r\n\r\n").nth(1).unwrap();
        assert_eq!(promtool(&["check", "metrics"], page), (true, String::new()), "{page}");
        // The control: it does find what is wrong.
        let broken = format!("{page}# TYPE sealpost_wrong counter\nsealpost_wrong 1\n");
        assert!(!promtool(&["check", "metrics"], &broken).0);
    }

    #[test]
    #[ignore = "needs promtool"]
    fn the_alerts_of_the_book_are_rules() {
        let book = include_str!("../../../../docs/metrics.md");
        let rules = book.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), rules).unwrap();
        let (success, said) = promtool(&["check", "rules", &file.path().display().to_string()], "");
        assert!(success && said.contains("12 rules found"), "{said}");
    }
}
