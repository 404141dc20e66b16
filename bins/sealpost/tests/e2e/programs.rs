//! The mail programs that people use send through the relay over STARTTLS, and what they sent arrives over TLS, unchanged.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::authority::Identity;
use crate::client::{Client, stuffed};
use crate::content::{message, split_received};
use crate::peers::{self, Peer};
use crate::relay::{House, Relay, finish};
use crate::sink::{Behaviour, Message, Sink};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";

/// A relay that takes and sends mail over TLS only, and the server behind it.
struct Line {
    house: House,
    relay: Relay,
    sink: Sink,
}

impl Line {
    fn new() -> Self {
        let house = House::new();
        let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["sink.test"])));
        let policy = "[defaults.external]\nreceive = \"require\"\ndeliver = \"require\"\n";
        let house = house.route("*", sink.address).policy(policy);
        let relay = house.start();
        Self { house, relay, sink }
    }

    fn port(&self) -> String {
        self.relay.address.port().to_string()
    }

    fn authority(&self) -> String {
        self.house.file("ca.pem").display().to_string()
    }

    /// The one message that arrived, after its relay's Received field was checked and taken away.
    fn arrived(&self) -> (Message, Vec<u8>) {
        let message = self.sink.wait_for(1, LIMIT).remove(0);
        assert_eq!(message.tls.as_ref().unwrap().version, "TLSv1_3");
        assert_eq!((message.from.as_str(), message.to.as_slice()), (FROM, [TO.to_owned()].as_slice()));
        let (received, rest) = split_received(&message.content);
        assert!(received.contains("with ESMTPS") && received.contains("TLS") && received.contains("relay.test"), "{received}");
        (message, rest)
    }

    fn unchanged(&self, sent: &str) {
        assert_eq!(String::from_utf8(self.arrived().1).unwrap(), sent);
    }
}

fn run(command: &mut Command) -> String {
    let output = finish(command, LIMIT);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The raw client of these tests, so that the path itself is shown to work where no other program is there.
// req: B2
#[test]
fn a_raw_client_sends_unchanged() {
    let line = Line::new();
    let sent = message("raw");
    let mut client = Client::secure(line.relay.address, &line.house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &[TO], sent.as_bytes()).unwrap().code, 250);
    line.unchanged(&sent);
}

mod with_swaks {
    use super::*;

    #[test]
    #[ignore = "needs swaks"]
    fn swaks_sends_unchanged() {
        let (line, sent) = (Line::new(), message("swaks"));
        let file = line.house.file("message");
        fs::write(&file, sent.replace("\r\n", "\n")).unwrap();
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", "localhost", "--port", &line.port(), "--from", FROM, "--to", TO, "--helo", "client.example"]);
        swaks.args(["--tls", "--tls-verify", "--tls-ca-path", &line.authority(), "--data"]).arg(format!("@{}", file.display()));
        let shown = run(&mut swaks);
        assert!(shown.contains("TLS started with cipher TLSv1.3"), "{shown}");
        // swaks always ends the content with an empty line of its own
        let rest = String::from_utf8(line.arrived().1).unwrap();
        assert_eq!(rest.trim_end(), sent.trim_end());
    }

    /// A client that does not start TLS gets nothing through.
    #[test]
    #[ignore = "needs swaks"]
    fn swaks_in_clear_is_refused() {
        let line = Line::new();
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", "127.0.0.1", "--port", &line.port(), "--from", FROM, "--to", TO, "--helo", "client.example"]);
        let output = finish(&mut swaks, LIMIT);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && shown.contains("530 5.7.0"), "{shown}");
        assert_eq!(line.sink.session_count(), 0);
    }
}

mod with_openssl {
    use super::*;

    #[test]
    #[ignore = "needs openssl"]
    fn openssl_s_client_sends_unchanged() {
        let (line, sent) = (Line::new(), message("openssl"));
        let mut command = Command::new("timeout");
        command.args(["60", "openssl"]);
        command.args(["s_client", "-quiet", "-starttls", "smtp", "-name", "client.example", "-connect", &line.relay.address.to_string()]);
        command.args(["-CAfile", &line.authority(), "-verify_return_error", "-verify_hostname", "relay.test"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = |code: &str| output.by_ref().map(|line| line.unwrap_or_default()).find(|line| line.starts_with(code));
        // s_client may or may not show replies to its own EHLO; DATA out of order marks where those to ours are over
        for (command, code) in [
            ("EHLO client.example\r\nDATA\r\n", "503 "),
            ("MAIL FROM:<alice@sender.example> BODY=8BITMIME\r\n", "250 "),
            ("RCPT TO:<bob@partner.example>\r\n", "250 "),
            ("DATA\r\n", "354 "),
            (String::from_utf8(stuffed(sent.as_bytes())).unwrap().as_str(), "250 "),
            ("QUIT\r\n", "221 "),
        ] {
            input.write_all(command.as_bytes()).unwrap();
            assert!(wait_for(code).is_some(), "{command:?} did not get {code}");
        }
        drop(input);
        child.wait().unwrap();
        line.unchanged(&sent);
    }
}

mod with_python {
    use super::*;

    #[test]
    #[ignore = "needs Python"]
    fn smtplib_sends_unchanged() {
        let (line, sent) = (Line::new(), message("smtplib"));
        let file = line.house.file("message");
        fs::write(&file, &sent).unwrap();
        let script = "import smtplib, ssl, sys\n\
            host, port, ca, file, sender, to = sys.argv[1:]\n\
            with smtplib.SMTP(host, int(port), local_hostname='client.example') as s:\n\
            \x20   s.starttls(context=ssl.create_default_context(cafile=ca))\n\
            \x20   print(s.sock.version())\n\
            \x20   s.sendmail(sender, [to], open(file, 'rb').read(), mail_options=['BODY=8BITMIME'])\n";
        let file = file.display().to_string();
        let shown = run(Command::new("python3").args(["-c", script, "localhost", &line.port(), &line.authority(), &file, FROM, TO]));
        assert!(shown.contains("TLSv1.3"), "{shown}");
        line.unchanged(&sent);
    }
}

mod with_msmtp {
    use super::*;

    #[test]
    #[ignore = "needs msmtp"]
    fn msmtp_sends_unchanged() {
        let (line, sent) = (Line::new(), message("msmtp"));
        let (file, config) = (line.house.file("message"), line.house.file("msmtprc"));
        fs::write(&file, sent.replace("\r\n", "\n")).unwrap();
        let settings = format!(
            "account default\nhost localhost\nport {}\ntls on\ntls_starttls on\ntls_trust_file {}\ndomain client.example\nfrom {FROM}\n",
            line.port(),
            line.authority()
        );
        fs::write(&config, settings).unwrap();
        let mut msmtp = Command::new("msmtp");
        run(msmtp.arg("-C").arg(&config).args(["--", TO]).stdin(fs::File::open(&file).unwrap()));
        line.unchanged(&sent);
    }
}

mod with_nodemailer {
    use super::*;

    #[test]
    #[ignore = "needs nodemailer"]
    fn nodemailer_sends_unchanged() {
        let (line, sent) = (Line::new(), message("nodemailer"));
        let file = line.house.file("message");
        fs::write(&file, &sent).unwrap();
        let script = "const [port, ca, file, from, to] = process.argv.slice(1), fs = require('fs');\n\
            const t = require('nodemailer').createTransport({ host: 'localhost', port: +port, secure: false, requireTLS: true,\n\
              name: 'client.example', tls: { ca: fs.readFileSync(ca) } });\n\
            t.sendMail({ envelope: { from, to: [to], use8BitMime: true }, raw: fs.readFileSync(file) })\n\
              .then((i) => console.log(i.response), (e) => { console.error(e); process.exit(1); });";
        let mut node = Command::new("node");
        node.env("NODE_PATH", peers::folder().join("nodemailer/usr/share/nodejs")).args(["-e", script]);
        node.args([&line.port(), &line.authority(), &file.display().to_string(), FROM, TO]);
        run(&mut node);
        line.unchanged(&sent);
    }
}

mod with_postfix {
    use super::*;

    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_sends_unchanged() {
        sends_unchanged(Peer::postfix_client);
    }

    /// A client with another library, which makes no handshake without it and names it itself.
    // req: F6 F7
    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_that_knows_post_quantum_alone_sends_unchanged() {
        let (line, postfix) = sends_unchanged(Peer::postfix_client_of_post_quantum);
        line.house.wait_for_history(&["\"kind\":\"received\"", "\"group\":\"X25519MLKEM768\"", "\"post_quantum\":true"], LIMIT);
        assert!(postfix.log().contains("TLSv1.3 with cipher") && postfix.log().contains("key-exchange X25519MLKEM768"));
    }

    /// Sends one message by a Postfix that is started so, whose next host is the relay.
    fn sends_unchanged(start: impl FnOnce(&Identity, SocketAddr, &str) -> Peer) -> (Line, Peer) {
        let (line, sent) = (Line::new(), message("postfix"));
        let identity = line.house.authority.issue(&["relay.test"]);
        let postfix = start(&identity, line.relay.address, &line.house.authority.pem);
        let mut client = Client::secure(postfix.address, &line.house.authority.client()).unwrap();
        client.expect(&format!("MAIL FROM:<{FROM}> BODY=8BITMIME"), 250).unwrap();
        client.expect(&format!("RCPT TO:<{TO}>"), 250).unwrap();
        client.expect("DATA", 354).unwrap();
        client.wire.send(&stuffed(sent.as_bytes())).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        let (received, rest) = split_received(&line.arrived().1);
        assert!(received.contains("(Postfix)"), "{received}");
        assert_eq!(String::from_utf8(rest).unwrap(), sent);
        assert!(
            postfix.log().contains("Verified TLS connection established to 127.0.0.1"),
            "the relay's certificate must have been verified"
        );
        (line, postfix)
    }
}
