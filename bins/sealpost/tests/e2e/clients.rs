//! Certificates of clients: whoever has one that can be verified is known by its names, everybody else is served as ever.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::ClientConfig;

use crate::authority::{Authority, Identity};
use crate::client::Client;
use crate::history::exported;
use crate::relay::{House, Relay, finish, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const SMALL: &[u8] = b"Subject: x\r\n\r\nx\r\n";
const NAME: &str = "out.acme.example";

/// A relay with two more listeners that ask for certificates: one with STARTTLS, one with TLS from the first octet.
struct Asking {
    relay: Relay,
    house: House,
    starttls: SocketAddr,
    implicit: SocketAddr,
    _sink: Sink,
}

impl Asking {
    fn new() -> Self {
        Self::prepared(|_| ())
    }

    /// With files that are changed before the start.
    fn prepared(prepare: impl FnOnce(&House)) -> Self {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let (starttls, implicit) = (free_address(), free_address());
        let listener = |address, tls| format!("[[listener]]\naddress = \"{address}\"\ntls = \"{tls}\"\nclient_certificates = true\n");
        let house = House::to(&sink).also(&listener(starttls, "starttls")).also(&listener(implicit, "implicit"));
        let house = house.environment("SEALPOST_LOG", "debug");
        house.write();
        prepare(&house);
        Self { relay: house.start_again(), house, starttls, implicit, _sink: sink }
    }

    /// The history's entry of a message that such a client sends.
    fn sent(&self, address: SocketAddr, config: &Arc<ClientConfig>, to: &str) -> String {
        let mut client =
            if address == self.implicit { Client::connect_tls(address, config).unwrap() } else { Client::secure(address, config).unwrap() };
        client.expect("EHLO client.example", 250).unwrap();
        assert_eq!(client.send(FROM, &[to], SMALL).unwrap().code, 250);
        client.quit();
        self.received(to)
    }

    fn received(&self, to: &str) -> String {
        let words = ["\"kind\":\"received\"", to];
        let history = self.house.wait_for_history(&words, LIMIT);
        history.lines().find(|line| words.iter().all(|word| line.contains(word))).unwrap().to_owned()
    }

    fn showing(&self, identity: &Identity) -> Arc<ClientConfig> {
        self.house.authority.client_showing(identity)
    }
}

fn names_it(entry: &str) -> bool {
    entry.contains(&format!("\"client_names\":[\"{NAME}\"]"))
}

#[test]
fn client_certificates() {
    let asking = Asking::new();
    let right = asking.showing(&asking.house.authority.issue(&[NAME]));
    assert!(names_it(&asking.sent(asking.starttls, &right, "starttls@partner.example")));
    assert!(names_it(&asking.sent(asking.implicit, &right, "implicit@partner.example")));
    // Without the setting, nobody is asked.
    assert!(!asking.sent(asking.relay.address, &right, "unasked@partner.example").contains("client_names"));
    assert!(!asking.relay.log().contains("proves no name"));

    // What cannot be verified is no reason to refuse anybody.
    let nothing = [
        ("none", asking.house.authority.client()),
        ("self-signed", asking.showing(&Identity::self_signed(&[NAME]))),
        ("expired", asking.showing(&asking.house.authority.issue_expired(&[NAME]))),
        ("unknown", asking.showing(&Authority::new().issue(&[NAME]))),
    ];
    for (what, config) in &nothing {
        let entry = asking.sent(asking.starttls, config, &format!("{what}@partner.example"));
        assert!(entry.contains("TLSv1.3") && !entry.contains("client_names"), "{what}: {entry}");
    }
    assert_eq!(asking.relay.log().matches("the client's certificate proves no name").count(), 3);
    let checked = String::from_utf8(asking.house.run(&["check"]).stdout).unwrap();
    assert_eq!(checked.matches("asks         for client certificates").count(), 2, "{checked}");
}

/// Why a certificate proves nothing stands in the history, for mail that is taken and for mail that is refused, and in the metrics.
// req: F6
#[test]
fn what_is_wrong_with_a_clients_certificate_is_told() {
    let (metrics, mut revoked) = (free_address(), None);
    let asking = Asking::prepared(|house| {
        let identity = house.authority.issue(&[NAME]);
        fs::write(house.file("crls.pem"), house.authority.revoke(&[&identity])).unwrap();
        revoked = Some(identity);
        let config = house.config_text().replace("[tls]\n", "[tls]\nrevocation_lists = \"crls.pem\"\n");
        fs::write(house.config(), format!("{config}[metrics]\naddress = \"{metrics}\"\n")).unwrap();
        let strict = "[[partner]]\nname = \"Strict\"\ndomains = \"strict.example\"\nreceive = \"chain\"\n";
        fs::write(house.file("policy.toml"), strict).unwrap();
    });
    let Asking { house, starttls, .. } = &asking;
    let authority = &house.authority;
    for (code, words, identity) in [
        ("expired", "certificate expired ", authority.issue_expired(&[NAME])),
        ("unknown-issuer", "which is no trust anchor and was not sent along", Authority::named("Other Authority").issue(&[NAME])),
        ("self-signed", "self-signed certificate: issuer and subject are", Identity::self_signed(&[NAME])),
        ("not-for-client-auth", "is not for TLS clients, only for", authority.issue_for(&[NAME], ExtendedKeyUsagePurpose::ServerAuth)),
        ("revoked", "was revoked by its issuer on 2026-01-01", revoked.unwrap()),
        ("valid", "\"client_names\":[\"out.acme.example\"]", authority.issue_for(&[NAME], ExtendedKeyUsagePurpose::ClientAuth)),
    ] {
        let config = authority.client_showing(&identity);
        let entry = asking.sent(*starttls, &config, &format!("{code}@partner.example"));
        assert!(entry.contains(words) && entry.contains("\"subject\":") && entry.contains("\"spki_pin\":\"sha256//"), "{code}: {entry}");
        assert_eq!(entry.contains("\"findings\":[]"), code == "valid", "{code}: {entry}");

        // Where a chain is asked for, the client reads why it has none.
        let mut client = Client::secure(*starttls, &config).unwrap();
        client.expect("EHLO client.example", 250).unwrap();
        if code == "valid" {
            client.expect("MAIL FROM:<eve@strict.example>", 250).unwrap();
            continue;
        }
        let reply = client.command("MAIL FROM:<eve@strict.example>").unwrap();
        let text = format!("{reply:?}");
        assert!(
            reply.code == 550 && text.contains("has no chain to a trust anchor of this relay: ") && text.contains(words),
            "{code}: {text}"
        );
        house.wait_for_history(&["\"kind\":\"refused\"", "strict.example", words, "\"findings\":[\""], LIMIT);
    }
    let csv = house.says(&["history", "export", "--domain", "partner.example", "--since", "1h", "--event", "received"], 0);
    for (who, column, says) in [
        ("valid@", "client_names", NAME),
        ("valid@", "certificate_names", &format!("DNS:{NAME}")),
        ("valid@", "findings", ""),
        ("revoked@", "client_names", ""),
        ("revoked@", "certificate_names", &format!("DNS:{NAME}")),
    ] {
        assert_eq!(exported(&csv, who, column), says, "{who} {column}: {csv}");
    }
    assert!(exported(&csv, "revoked@", "findings").contains("was revoked by its issuer"), "{csv}");
    let page = crate::metrics::page(metrics);
    for code in ["expired", "unknown-issuer", "self-signed", "not-for-client-auth", "revoked", "valid"] {
        let line = format!("sealpost_tls_verdicts_total{{hop=\"receive\",verdict=\"{code}\"}} 2");
        assert!(page.contains(&line), "no {line} in\n{page}");
    }
}

#[test]
fn client_anchors() {
    let authority = Authority::new();
    let revoked = authority.issue(&[NAME]);
    let asking = Asking::prepared(|house| {
        fs::write(house.file("clients.pem"), &authority.pem).unwrap();
        fs::write(house.file("crls.pem"), authority.revoke(&[&revoked])).unwrap();
        let files = "[tls]\nclient_anchors = \"clients.pem\"\nrevocation_lists = \"crls.pem\"\n";
        fs::write(house.config(), house.config_text().replace("[tls]\n", files)).unwrap();
    });
    let theirs = asking.showing(&authority.issue(&[NAME]));
    assert!(names_it(&asking.sent(asking.starttls, &theirs, "theirs@partner.example")));
    let revoked = asking.sent(asking.starttls, &asking.showing(&revoked), "revoked@partner.example");
    assert!(revoked.contains("was revoked by its issuer") && !names_it(&revoked), "{revoked}");
    let ours = asking.showing(&asking.house.authority.issue(&[NAME]));
    assert!(!names_it(&asking.sent(asking.starttls, &ours, "ours@partner.example")), "trusted as a server's, not as a client's");
}

mod with_openssl {
    use super::*;

    #[test]
    #[ignore = "needs openssl"]
    fn s_client_shows_its_certificate() {
        let asking = Asking::new();
        let folder = asking.house.file("client");
        fs::create_dir(&folder).unwrap();
        // a key so short that nothing that it signs is taken
        let (weak, weak_key) = (folder.join("weak.pem"), folder.join("weak.key.pem"));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak", "-addext", &format!("subjectAltName=DNS:{NAME}")]);
        assert!(finish(make.arg("-keyout").arg(&weak_key).arg("-out").arg(&weak), LIMIT).status.success());
        let right = asking.house.authority.issue(&[NAME]).write(&folder);
        for (to, version, (certificate, key), known) in [
            ("bob@partner.example", "-tls1_3", &right, true),
            ("carol@partner.example", "-tls1_2", &right, true),
            ("dave@partner.example", "-tls1_3", &(weak.clone(), weak_key.clone()), false),
            ("erin@partner.example", "-tls1_2", &(weak, weak_key), false),
        ] {
            let mut command = Command::new("timeout");
            command.args(["60", "openssl", "s_client", "-quiet", "-starttls", "smtp", "-name", "client.example", version]);
            command.arg("-connect").arg(asking.starttls.to_string()).arg("-CAfile").arg(asking.house.file("ca.pem"));
            command.args(["-cipher", "DEFAULT@SECLEVEL=0"]).arg("-cert").arg(certificate).arg("-key").arg(key);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
            let envelope = format!("EHLO client.example\r\nMAIL FROM:<{FROM}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
            for (said, code) in
                [(envelope.as_str(), "354 "), ("Subject: x\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok: queued"), ("QUIT\r\n", "221 ")]
            {
                input.write_all(said.as_bytes()).unwrap();
                assert!(output.by_ref().any(|line| line.unwrap().starts_with(code)), "{said:?} did not get {code}");
            }
            drop(input);
            child.wait().unwrap();
            let entry = asking.received(to);
            assert_eq!(names_it(&entry), known, "{entry}");
        }
    }
}
