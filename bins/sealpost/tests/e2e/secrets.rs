//! Passwords, private keys and tokens are used, and told to nobody: not in the log at its most talkative, not in what is stored, not in
//! answers, not in error messages, and not in a core dump.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::KeyPair;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::content::contents;
use crate::relay::{House, Relay, finish, free_address, sealpost};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";

const PASSWORD: &str = "tr0ub4dor-and-3-horses";
/// `\0alice\0` and the password; the password alone; the same two of a wrong one.
const PLAIN: &str = "AGFsaWNlAHRyMHViNGRvci1hbmQtMy1ob3JzZXM=";
const ALONE: &str = "dHIwdWI0ZG9yLWFuZC0zLWhvcnNlcw==";
const WRONG: &str = "a-wrong-guess-of-eve";
const WRONG_PLAIN: &str = "AGFsaWNlAGEtd3JvbmctZ3Vlc3Mtb2YtZXZl";
const TOKEN: &str = "token-0123456789abcdef0123456789abcdef";

/// A relay that holds a secret of each kind, and what of each must be found nowhere.
struct Holder {
    house: House,
    _sink: Sink,
    admin: SocketAddr,
    secrets: Vec<String>,
}

impl Holder {
    fn new() -> Self {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let admin = free_address();
        let house = House::to(&sink)
            .environment("SEALPOST_LOG", "trace")
            .also("[auth]\nusers = \"users\"\n[delivery]\nclient_certificate = \"cert.pem\"\nclient_key = \"key.pem\"")
            .also(&format!("[admin]\naddress = \"{admin}\"\ntoken = \"token\"\n[tlsrpt]\nenabled = true\ndkim_key = \"dkim.pem\""));
        let dkim = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let line = hash(&house);
        let (_, digest) = line.trim_end().rsplit_once('$').unwrap();
        let mut secrets: Vec<_> = [PASSWORD, PLAIN, ALONE, WRONG, WRONG_PLAIN, TOKEN, digest].map(str::to_owned).to_vec();
        for pem in [&dkim, &fs::read_to_string(house.file("key.pem")).unwrap()] {
            secrets.extend(pem.lines().filter(|line| !line.starts_with("---") && line.len() > 8).map(str::to_owned));
        }
        for (name, content) in [("users", &line), ("token", &TOKEN.to_owned()), ("dkim.pem", &dkim)] {
            fs::write(house.file(name), content).unwrap();
        }
        Self { house, _sink: sink, admin, secrets }
    }

    /// Those that stand in this text, by their beginnings.
    fn found_in(&self, text: &str) -> Vec<&str> {
        self.secrets.iter().filter(|secret| text.contains(secret.as_str())).map(|secret| &secret[..8]).collect()
    }

    fn ask(&self, request: &str, token: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n", self.admin);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn hash(house: &House) -> String {
    fs::write(house.file("input"), format!("{PASSWORD}\n")).unwrap();
    let input = Stdio::from(fs::File::open(house.file("input")).unwrap());
    let output = finish(sealpost().args(["users", "hash", "--name", "alice"]).stdin(input), LIMIT);
    fs::remove_file(house.file("input")).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Logs in, rightly and wrongly, in every form, and where it must not.
fn log_in(holder: &Holder, relay: &Relay) {
    let secure = || Client::secure(relay.address, &holder.house.authority.client()).unwrap();
    let mut client = secure();
    client.expect("AUTH LOGIN", 334).unwrap();
    client.expect("YWxpY2U=", 334).unwrap();
    client.expect(ALONE, 235).unwrap();
    assert_eq!(client.send(FROM, &[TO], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
    client.quit();
    for guess in [WRONG_PLAIN, PLAIN] {
        let mut client = secure();
        client.command(&format!("AUTH PLAIN {guess}")).unwrap();
        // Who is not understood says it again, as a command.
        client.command(guess).unwrap();
        client.command(ALONE).unwrap();
        client.command(&format!("AUTH PLAIN {ALONE}!")).unwrap();
        client.command(&format!("AUTH CRAM-MD5 {ALONE}")).unwrap();
    }
    let mut clear = Client::connect(relay.address).unwrap();
    clear.expect("EHLO client.example", 250).unwrap();
    for line in [format!("AUTH PLAIN {PLAIN}"), "AUTH LOGIN".to_owned(), ALONE.to_owned(), PASSWORD.to_owned()] {
        clear.command(&line).unwrap();
    }
}

#[test]
fn no_secret_is_told_by_log_history_answers_or_errors() {
    let holder = Holder::new();
    let house = &holder.house;
    let relay = house.start();
    log_in(&holder, &relay);
    house.wait_for_history(&["delivered", TO], LIMIT);
    let mut told = String::new();
    for arguments in [
        &["check"][..],
        &["explain", "--from", FROM, "--to", TO],
        &["explain", "--from", FROM, "--to", TO, "--json"],
        &["history", "--long"],
        &["history", "--json"],
        &["queue", "list"],
        &["queue", "stats"],
        &["domains", "list"],
        &["reload"],
        &["tlsrpt", "list"],
    ] {
        let output = house.run(arguments);
        told.push_str(&String::from_utf8_lossy(&output.stdout));
        told.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    for request in ["GET /v1/status", "GET /v1/policy", "GET /v1/entries/partner", "GET /v1/queue", "GET /v1/history", "POST /v1/reload"] {
        told.push_str(&holder.ask(request, TOKEN));
        told.push_str(&holder.ask(request, "a-wrong-token-0123456789abcdef01234567"));
        told.push_str(&holder.ask(request, &TOKEN[1..]));
    }
    assert!(told.contains("200 OK") && told.contains("401 Unauthorized") && told.contains("in order"), "{told}");
    assert_eq!(holder.found_in(&told), <[&str; 0]>::default(), "in what commands and the API say");

    // Each file is broken in a way that leaves its secret in it.
    let users = fs::read_to_string(house.file("users")).unwrap();
    let (key, dkim) = (fs::read_to_string(house.file("key.pem")).unwrap(), fs::read_to_string(house.file("dkim.pem")).unwrap());
    let mut errors = String::new();
    for (name, broken) in [
        ("users", users.replacen(':', " ", 1)),
        ("users", users.replacen("$argon2id", "$argon2x", 1)),
        ("users", users.trim_end().trim_end_matches(|c: char| c != '$').to_owned() + &users),
        ("key.pem", key.replacen("BEGIN PRIVATE KEY", "BEGIN PRIVATE", 1)),
        ("key.pem", key.replacen("-----END", "----END", 1)),
        ("key.pem", dkim.clone()),
        ("dkim.pem", dkim.replacen("-----BEGIN", "---BEGIN", 1)),
        ("dkim.pem", dkim.replacen('M', "N", 1)),
        ("token", format!("{TOKEN} {TOKEN}")),
    ] {
        let sound = fs::read_to_string(house.file(name)).unwrap();
        fs::write(house.file(name), &broken).unwrap();
        relay.hang_up();
        let output = house.run(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(name), "{name}: {said}");
        errors.push_str(&said);
        let reload = house.run(&["reload"]);
        errors.push_str(&String::from_utf8_lossy(&reload.stderr));
        fs::write(house.file(name), sound).unwrap();
    }
    assert_eq!(holder.found_in(&errors), <[&str; 0]>::default(), "in error messages:\n{errors}");

    let log = relay.log();
    assert!(log.contains("TRACE") && log.contains("alice"), "the log is not at its most talkative");
    assert_eq!(holder.found_in(&log), <[&str; 0]>::default(), "in the log");
    let stored = contents(&house.file("data"));
    assert!(stored.contains(FROM));
    assert_eq!(holder.found_in(&stored), <[&str; 0]>::default(), "in what is stored");

    // The negative control: what is said by way of a name is found, in the log and in the history.
    let mut client = Client::connect(relay.address).unwrap();
    client.expect(&format!("EHLO {PASSWORD}.example"), 250).unwrap();
    client.send(FROM, &[TO], b"Subject: x\r\n\r\nx\r\n").unwrap();
    house.wait_for_history(&[PASSWORD], LIMIT);
    assert_eq!(holder.found_in(&house.history()), [&PASSWORD[..8]]);
}

/// As long as the relay runs nobody reads its memory, and when it crashes nothing of it gets onto the disk.
#[test]
fn a_crash_leaves_no_core_dump() {
    let limits = |pid: u32| fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = |pid: u32| limits(pid).lines().find(|line| line.starts_with("Max core file size")).map(str::to_owned).unwrap();
    let house = House::new();
    house.write();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sealpost")]);
    let relay = house.start_under(shell);
    assert_eq!(core(relay.pid()).split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    kill_process(Pid::from_raw(i32::try_from(relay.pid()).unwrap()).unwrap(), Signal::ABORT).unwrap();
    let status = relay.wait(LIMIT);
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));

    // The negative control: another program, under the limits that this test has, may leave one.
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -c unlimited 2>/dev/null; kill -ABRT $$";
    let status = Command::new("sh").args(["-c", script]).current_dir(folder.path()).status().unwrap();
    let may_dump = fs::read_to_string("/proc/self/limits")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Max core file size") && line.split_whitespace().nth(5) == Some("unlimited"));
    assert!(status.core_dumped() || !may_dump, "{status}");
}

#[test]
fn secrets_that_everybody_may_read_are_warned_of() {
    let holder = Holder::new();
    let house = &holder.house;
    house.write();
    let set = |mode: u32| {
        for name in ["key.pem", "users", "token", "dkim.pem"] {
            fs::set_permissions(house.file(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o640);
    assert!(!house.says(&["check"], 0).contains("everybody on this host"));
    set(0o644);
    let said = house.says(&["check"], 0);
    for (name, what) in [("key.pem", "private key"), ("users", "users file"), ("token", "token"), ("dkim.pem", "DKIM key")] {
        let words = format!("{name}: everybody on this host may read or write the {what} (mode 644)");
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    let relay = house.start_again();
    assert_eq!(relay.log().matches("everybody on this host may read or write").count(), 4, "{}", relay.log());
}
