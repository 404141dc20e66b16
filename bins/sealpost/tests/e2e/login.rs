//! AUTH: a users file made with the command, clients that log in with it, and nothing of a password left anywhere.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::client::Client;
use crate::content::contents;
use crate::relay::{House, Relay, finish, sealpost};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";
const SMALL: &[u8] = b"Subject: x\r\n\r\nx\r\n";
const PASSWORD: &str = "correct-horse";
/// `alice NUL correct-horse` behind an empty authzid.
const LOGIN: &str = "AUTH PLAIN AGFsaWNlAGNvcnJlY3QtaG9yc2U=";

/// What the command prints for these octets on its standard input.
fn hash(house: &House, arguments: &[&str], input: &str) -> Output {
    let file = house.file("input");
    fs::write(&file, input).unwrap();
    finish(sealpost().args(["users", "hash"]).args(arguments).stdin(Stdio::from(fs::File::open(file).unwrap())), LIMIT)
}

fn line(house: &House, name: &str, password: &str) -> String {
    let output = hash(house, &["--name", name], &format!("{password}\n"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A relay that trusts no address, knows alice, and sends everything to a sink.
fn submission() -> (Relay, Sink, House) {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).also("[auth]\nusers = \"users\"\n");
    fs::write(house.file("users"), format!("# who may send\n{}", line(&house, "alice", PASSWORD))).unwrap();
    (distrusting(&house), sink, house)
}

fn distrusting(house: &House) -> Relay {
    house.write();
    fs::write(house.config(), house.config_text().replace("127.0.0.0/8", "192.0.2.0/24")).unwrap();
    house.start_again()
}

fn secure(relay: &Relay, house: &House) -> Client {
    Client::secure(relay.address, &house.authority.client()).unwrap()
}

// req: E5
#[test]
fn users() {
    let (relay, sink, house) = submission();
    let mut client = secure(&relay, &house);
    assert!(client.send(FROM, &[TO], SMALL).unwrap_err().to_string().contains("550 5.7.1"));
    client.expect("RSET", 250).unwrap();
    client.expect(LOGIN, 235).unwrap();
    assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    let arrived = sink.wait_for(1, LIMIT);
    assert!(String::from_utf8_lossy(&arrived[0].content).contains("with ESMTPSA id"));
    house.wait_for_history(&["received", TO, "\"login\":\"alice\""], LIMIT);
    client.quit();

    let (clear, mut guess) = (Client::connect(relay.address), secure(&relay, &house));
    let mut clear = clear.unwrap();
    clear.expect("EHLO client.example", 250).unwrap();
    assert!(clear.command(LOGIN).unwrap().text.starts_with("538 5.7.11"));
    // alice, wrong-horse
    assert!(guess.command("AUTH PLAIN AGFsaWNlAHdyb25nLWhvcnNl").unwrap().text.starts_with("535 5.7.8"));

    let stored = contents(&house.file("data"));
    assert!(stored.contains(FROM) && relay.log().contains("alice"), "the search finds what is there");
    let traces = format!("{}{}{stored}", relay.log(), house.history());
    for secret in [PASSWORD, "wrong-horse", "argon2", "AGFsaWNl", "Y29ycmVjdC1ob3JzZQ"] {
        assert!(!traces.contains(secret), "{secret}");
    }
    drop(relay);

    // Without the setting, nobody is asked for a password.
    let house = House::to(&sink);
    let relay = distrusting(&house);
    let mut client = secure(&relay, &house);
    assert!(!client.command("EHLO client.example").unwrap().text.contains("AUTH"));
    assert_eq!(client.command(LOGIN).unwrap().code, 502);
}

#[test]
fn a_changed_users_file_is_read_without_a_restart() {
    let (relay, _sink, house) = submission();
    fs::write(house.file("users"), line(&house, "alice", "another")).unwrap();
    assert_eq!(secure(&relay, &house).command(LOGIN).unwrap().code, 535);
    fs::write(house.file("users"), "alice\n").unwrap();
    assert_eq!(secure(&relay, &house).command(LOGIN).unwrap().code, 535);
    let log = relay.log();
    assert!(log.contains("users:1:1: no colon found") && log.contains("the one of before stays in force"), "{log}");
    fs::write(house.file("users"), line(&house, "alice", PASSWORD)).unwrap();
    assert_eq!(secure(&relay, &house).command(LOGIN).unwrap().code, 235);
}

#[test]
fn users_hash_says_what_it_wants() {
    let house = House::new();
    let bare = String::from_utf8(hash(&house, &[], "x\r\n").stdout).unwrap();
    assert!(bare.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && bare.lines().count() == 1, "{bare}");
    for (arguments, input, words) in [
        (&["--name", "a:b"][..], "x\n", "the name \"a:b\" holds a colon"),
        (&["--name", "ann"], "\n", "the password is empty"),
        (&["--name", "ann"], "", "the password is empty"),
    ] {
        let output = hash(&house, arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words), "{said}");
        assert!(output.stdout.is_empty());
    }
    let never = finish(sealpost().args(["users", "hash", "--password", "x"]), LIMIT);
    assert_eq!(never.status.code(), Some(64), "a password on the command line would show in every list of processes");
}

mod with_swaks {
    use super::*;

    // req: E5
    #[test]
    #[ignore = "needs swaks"]
    fn swaks_logs_in() {
        let (relay, sink, house) = submission();
        for (mechanism, password, code) in [("PLAIN", PASSWORD, 0), ("LOGIN", PASSWORD, 0), ("PLAIN", "wrong", 28)] {
            let mut swaks = Command::new("swaks");
            swaks.args(["--server", "localhost", "--port", &relay.address.port().to_string(), "--from", FROM, "--to", TO]);
            swaks.args(["--tls", "--tls-ca-path", &house.file("ca.pem").display().to_string(), "--helo", "client.example"]);
            let output = finish(swaks.args(["--auth", mechanism, "--auth-user", "alice", "--auth-password", password]), LIMIT);
            assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let arrived = sink.wait_for(2, LIMIT);
        assert!(arrived.iter().all(|message| String::from_utf8_lossy(&message.content).contains("ESMTPSA")));
    }
}

mod with_python {
    use super::*;

    // req: E5
    #[test]
    #[ignore = "needs Python"]
    fn smtplib_logs_in() {
        let (relay, sink, house) = submission();
        let script = "import smtplib, ssl, sys\n\
            host, port, ca, user, password, sender, to = sys.argv[1:]\n\
            with smtplib.SMTP(host, int(port), local_hostname='client.example') as s:\n\
            \x20   s.starttls(context=ssl.create_default_context(cafile=ca))\n\
            \x20   s.login(user, password)\n\
            \x20   s.sendmail(sender, [to], 'Subject: x\\r\\n\\r\\nx\\r\\n')\n";
        let (port, ca) = (relay.address.port().to_string(), house.file("ca.pem").display().to_string());
        for (password, right) in [(PASSWORD, true), ("wrong", false)] {
            let mut python = Command::new("python3");
            let output = finish(python.args(["-c", script, "localhost", &port, &ca, "alice", password, FROM, TO]), LIMIT);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), right, "{said}");
            assert!(right || said.contains("SMTPAuthenticationError: (535, b'5.7.8"), "{said}");
        }
        sink.wait_for(1, LIMIT);
    }
}
