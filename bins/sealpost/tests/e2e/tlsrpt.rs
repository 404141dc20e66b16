//! Reports about TLS (RFC 8460): those of others are read, and what the relay sees is told.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::relay::{House, finish, sealpost};

const LIMIT: Duration = Duration::from_secs(60);

const REPORT: &str = r#"{"organization-name":"Google Inc.","date-range":{"start-datetime":"2026-11-25T00:00:00Z","end-datetime":"2026-11-25T23:59:59Z"},"contact-info":"smtp-tls-reporting@google.com","report-id":"2026-11-25T00:00:00Z_bank.example","policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce","mx: mx.bank.example","max_age: 86400"],"policy-domain":"bank.example","mx-host":["mx.bank.example"]},"summary":{"total-successful-session-count":30,"total-failure-session-count":2},"failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mx.bank.example","receiving-ip":"192.0.2.2","failed-session-count":2}]}]}"#;

// req: E3
#[test]
fn reports_of_others_are_shown_from_files_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let packed = sealpost_report::tlsrpt::pack(REPORT.as_bytes());
    let mail = format!(
        "Subject: Report Domain: bank.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=x\r\n\r\n\
         --x\r\nContent-Type: text/plain\r\n\r\nsee below\r\n--x\r\nContent-Type: application/tlsrpt+json\r\n\r\n{REPORT}\r\n--x--\r\n"
    );
    let files = [file("r.json", REPORT.as_bytes()), file("google.com!bank.example!1!2.json.gz", &packed), file("r.eml", mail.as_bytes())];
    for name in &files {
        let output = finish(sealpost().args(["tlsrpt", "show", name]), LIMIT);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        for words in [
            "Google Inc.",
            "30 with TLS as asked, 2 failed",
            "bank.example: MTA-STS",
            "mode: enforce",
            "certificate-expired",
            "is past its end",
        ] {
            assert!(text.contains(words), "{name}: no {words:?} in\n{text}");
        }
    }
    let mut command = sealpost();
    command.args(["tlsrpt", "show", "-", "--json"]).stdin(Stdio::from(fs::File::open(&files[1]).unwrap()));
    let output = finish(&mut command, LIMIT);
    let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&output.stdout), value(REPORT.as_bytes()));

    for (content, words) in [
        (REPORT.replace("\"summary\"", "\"sum\"").into_bytes(), "policies[0]: line 1, column"),
        (REPORT.replace("\"summary\"", "\"sum\"").into_bytes(), "missing field `summary`"),
        (packed[..packed.len() / 2].to_vec(), "the gzip data cannot be unpacked"),
        (b"hello\n".to_vec(), "is neither JSON nor gzip nor a mail"),
        (sealpost_report::tlsrpt::pack(&vec![b' '; 64 << 20]), "unpacks to more than 16777216 octets"),
    ] {
        let name = file("wrong", &content);
        let output = finish(sealpost().args(["tlsrpt", "show", &name]), LIMIT);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(&name) && text.contains(words), "no {words:?} in {text}");
    }
    let output = finish(sealpost().args(["tlsrpt", "show", "/nowhere/r.json"]), LIMIT);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read /nowhere/r.json"));
}

#[test]
fn check_says_how_reports_go_and_what_is_wrong_with_the_key() {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap().serialize_pem();
    let weak = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (more, content, code, words) in [
        ("", "", 0, "TLS reports  by HTTPS only"),
        ("dkim_key = 'dkim.pem'", key.as_str(), 0, "tlsrpt._domainkey.relay.test TXT \"v=DKIM1; k=rsa; s=tlsrpt; p=MII"),
        ("dkim_key = 'dkim.pem'", weak, 1, "dkim.pem: the private key is neither RSA"),
        ("dkim_key = 'other.pem'", "", 1, "cannot read [tlsrpt] dkim_key"),
    ] {
        let house = House::new().also(&format!("[tlsrpt]\nenabled = true\n{more}\n"));
        house.write();
        fs::write(house.file("dkim.pem"), content).unwrap();
        let text = house.says(&["check"], code);
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let house = House::new();
    house.write();
    assert!(!house.says(&["check"], 0).contains("TLS reports"));
    assert!(house.says(&["tlsrpt", "preview"], 1).contains("[tlsrpt] enabled = true"));
    assert!(house.says(&["tlsrpt", "preview", "--day", "today"], 1).contains("one such as 2026-11-26 is meant"));
}

/// What needs BIND, root with a port 25 that nobody listens on, and the DKIM library of Python.
mod with_bind_and_dkimpy_on_port_25 {
    use std::fmt::Write as _;
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::process::{Command, Stdio};
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use sealpost_cert::{TrustAnchors, certificates_from_pem, verify_server};
    use sealpost_report::tlsrpt::{TlsReport, read_report};
    use sealpost_store::rusqlite::Connection;
    use sealpost_types::{HostDemand, UnixMillis};
    use serde_json::Value;

    use crate::authority::Identity;
    use crate::bind::{Bind, Signing, Zone};
    use crate::client::Client;
    use crate::content::message;
    use crate::relay::{House, Relay};
    use crate::sink::{Behaviour, Sink, StartTls};

    const LIMIT: Duration = Duration::from_secs(40);

    /// Takes what is handed in over HTTPS: what stands before the body, and the body.
    struct Desk {
        port: u16,
        taken: Arc<Mutex<Vec<Request>>>,
    }

    /// What stands before the body, and the body.
    type Request = (String, Vec<u8>);

    impl Desk {
        fn start(config: Arc<ServerConfig>) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let (port, taken) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<_>>>::default());
            let record = Arc::clone(&taken);
            thread::spawn(move || {
                for tcp in listener.incoming() {
                    let tcp = tcp.unwrap();
                    tcp.set_read_timeout(Some(LIMIT)).unwrap();
                    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp);
                    let (mut octets, mut piece) = (Vec::new(), [0; 4096]);
                    let whole = loop {
                        let Ok(count @ 1..) = stream.read(&mut piece) else { break None };
                        octets.extend_from_slice(&piece[..count]);
                        let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                        let head = String::from_utf8_lossy(&octets[..end + 2]).to_ascii_lowercase();
                        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                        if octets.len() >= end + 4 + length {
                            break Some((head, octets[end + 4..].to_vec()));
                        }
                    };
                    let Some(whole) = whole else { continue };
                    record.lock().unwrap().push(whole);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
            Self { port, taken }
        }

        fn wait_for(&self, count: usize) -> Vec<Request> {
            wait(&format!("{count} reports over HTTPS"), || {
                let taken = self.taken.lock().unwrap();
                (taken.len() >= count).then(|| taken.clone())
            })
        }
    }

    fn wait<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "there was no {what}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn own_address(last: u8) -> Ipv4Addr {
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, low | 1, high.wrapping_add(55), last)
    }

    /// `3 1 1` and the digest of the certificate's key.
    fn tlsa(identity: &Identity) -> String {
        let chain = certificates_from_pem(identity.certificate.as_bytes()).unwrap();
        let verdict = verify_server(&[&chain[0]], &HostDemand::default(), &TrustAnchors::default(), UnixMillis(0));
        verdict.leaf.unwrap().pin.0.iter().fold("3 1 1 ".to_owned(), |mut text, octet| {
            write!(text, "{octet:02x}").unwrap();
            text
        })
    }

    fn hand_in(house: &House, relay: &Relay, to: &str) {
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        assert_eq!(client.send("alice@sender.example", &[to], message("report").as_bytes()).unwrap().code, 250);
    }

    /// What was counted today was counted yesterday.
    fn a_day_passes(house: &House) {
        let db = Connection::open(house.file("data/tlsrpt/counters.db")).unwrap();
        db.execute("UPDATE counted SET day = day - 1", []).unwrap();
    }

    /// RFC 8460 section 4.4: these fields, of these types, and no others.
    fn has_the_structure_of_the_rfc(report: &Value) {
        let fields = |value: &Value, needed: &[&str], possible: &[&str]| {
            let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
            assert!(needed.iter().all(|name| object.contains_key(*name)), "{needed:?} are not all in {value}");
            let known = |name: &String| needed.contains(&name.as_str()) || possible.contains(&name.as_str());
            assert!(object.keys().all(known), "{value}");
        };
        fields(report, &["organization-name", "date-range", "contact-info", "report-id", "policies"], &[]);
        fields(&report["date-range"], &["start-datetime", "end-datetime"], &[]);
        assert!(report["date-range"]["start-datetime"].as_str().unwrap().ends_with("T00:00:00Z"), "{report}");
        assert!(report["date-range"]["end-datetime"].as_str().unwrap().ends_with("T23:59:59Z"), "{report}");
        for policy in report["policies"].as_array().unwrap() {
            fields(policy, &["policy", "summary"], &["failure-details"]);
            fields(&policy["policy"], &["policy-type", "policy-domain"], &["policy-string", "mx-host"]);
            assert!(["tlsa", "sts", "no-policy-found"].contains(&policy["policy"]["policy-type"].as_str().unwrap()));
            fields(&policy["summary"], &["total-successful-session-count", "total-failure-session-count"], &[]);
            let mut failed = 0;
            for failure in policy["failure-details"].as_array().into_iter().flatten() {
                let possible =
                    ["receiving-mx-helo", "receiving-ip", "additional-information", "failure-reason-code", "receiving-mx-hostname"];
                fields(failure, &["result-type", "sending-mta-ip", "failed-session-count"], &possible);
                failure["sending-mta-ip"].as_str().unwrap().parse::<std::net::IpAddr>().unwrap();
                failed += failure["failed-session-count"].as_u64().unwrap();
            }
            assert_eq!(policy["summary"]["total-failure-session-count"].as_u64(), Some(failed));
        }
    }

    /// Whether dkimpy finds the signature right by the rules for reports, with nothing but the record that `sealpost check` shows.
    fn dkimpy_verifies(mail: &[u8], name: &str, record: &str) -> bool {
        let script = format!(
            "import sys, dkim\nfind = lambda name, timeout=5: {record:?}.encode() if name.rstrip(b'.') == {name:?}.encode() else None\n\
             print(dkim.verify(sys.stdin.buffer.read(), dnsfunc=find, minkey=1024, tlsrpt='strict'))"
        );
        let mut command = Command::new("/usr/bin/python3");
        let mut child = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(mail).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(["True", "False"].contains(&said.trim()), "dkimpy says {said:?}");
        said.trim() == "True"
    }

    /// The whole story: what is seen is counted, a day later it is told over HTTPS and by mail, once; the mail is signed, arrives even where
    /// TLS is what is wrong, and is in no report.
    // req: E3
    #[test]
    #[ignore = "needs bind9, root, port 25 and python3-dkim"]
    fn what_is_seen_of_tls_is_told_to_the_domains_once_and_signed() {
        let house = House::new();
        let [right, other] = ["mx.bank.example", "elsewhere.example"].map(|name| Identity::self_signed(&[name]));
        let desk = Desk::start(house.authority.issue(&["reports.example"]).server());
        let (bank, wrong, post) = (own_address(1), own_address(2), own_address(3));
        // Those of a roll-over, and one that means nothing for SMTP: all are told, in whatever order they come.
        let published = ["0 0 1 ", "3 1 1 "].map(|kind| format!("{kind}{}", "ab".repeat(32)));
        let [pkix, next] = published;
        let published = [next, tlsa(&right), pkix];
        let roll_over: String = published.iter().map(|record| format!("_25._tcp.mx.bank TLSA {record}\n")).collect();
        let records = format!(
            "$TTL 1\nbank MX 10 mx.bank.example.\nmx.bank A {bank}\n{roll_over}\
             _smtp._tls.bank TXT \"v=TLSRPTv1; \" \"rua=https://reports.example:{}/in,mailto:tls@post.example\"\n\
             wrong MX 10 mx.wrong.example.\nmx.wrong A {wrong}\n_25._tcp.mx.wrong TLSA {}\n\
             _smtp._tls.wrong TXT \"v=TLSRPTv1; rua=mailto:tls@wrong.example\"\n\
             post MX 10 mx.post.example.\nmx.post A {post}\n_smtp._tls.post TXT \"v=TLSRPTv1; rua=mailto:tls@post.example\"\nreports A 127.0.0.1\n",
            desk.port,
            tlsa(&right),
        );
        let signing = Signing::Nsec("ECDSAP256SHA256");
        let root = Zone { name: "", signing, records: String::new() };
        let bind = Bind::serving(&[root, Zone { name: "example", signing, records }]);
        let sink = |address, behaviour| Sink::start_at(SocketAddr::from((address, 25)), behaviour);
        let (bank, wrong) = (sink(bank, Behaviour::offering(&right)), sink(wrong, Behaviour::offering(&other)));
        let post = sink(post, Behaviour::new(StartTls::Absent));
        fs::write(house.file("root.key"), bind.anchor()).unwrap();
        let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        fs::write(house.file("dkim.pem"), key.serialize_pem()).unwrap();
        let house = house.also(&format!(
            "[dns]\nservers = ['{}']\ndnssec = 'validate'\ntrust_anchor = 'root.key'\n\
             [tlsrpt]\nenabled = true\norganization = 'Relay Ltd'\ncontact = 'tls@relay.test'\ndkim_key = 'dkim.pem'\ndelay = '0s'\n",
            bind.address
        ));
        let relay = house.start();
        hand_in(&house, &relay, "teller@bank.example");
        assert_eq!(bank.wait_for(1, LIMIT).len(), 1);
        hand_in(&house, &relay, "teller@wrong.example");
        house.wait_for_history(&["Processing: Check TLS", "teller@wrong.example"], LIMIT);
        let seen = wait("preview with both", || {
            let text = house.says(&["tlsrpt", "preview"], 0);
            (text.contains("To             bank.example") && text.contains("To             wrong.example")).then_some(text)
        });
        assert!(seen.contains("DANE (TLSA records)") && seen.contains("tlsa-invalid"), "{seen}");
        assert!(seen.contains("\nIn all         2 reports, sessions: 1 with TLS as asked, "), "{seen}");
        relay.terminate();
        assert!(relay.wait(LIMIT).success());
        a_day_passes(&house);

        let relay = house.start_again();
        let (head, body) = desk.wait_for(1).remove(0);
        assert!(head.starts_with("post /in http/1.1\r\n") && head.contains("content-type: application/tlsrpt+gzip\r\n"), "{head}");
        let unpacked = sealpost_report::tlsrpt::unpack(&body, 1 << 20).unwrap();
        let report: Value = serde_json::from_slice(&unpacked).unwrap();
        has_the_structure_of_the_rfc(&report);
        assert_eq!((report["organization-name"].as_str(), report["contact-info"].as_str()), (Some("Relay Ltd"), Some("tls@relay.test")));
        let told = &report["policies"][0]["policy"];
        assert_eq!((told["policy-type"].as_str(), told["policy-domain"].as_str()), (Some("tlsa"), Some("mx.bank.example")));
        let mut sorted = published;
        sorted.sort();
        assert_eq!(told["policy-string"], Value::from(sorted.to_vec()));
        assert_eq!(report["policies"][0]["summary"]["total-successful-session-count"].as_u64(), Some(1));

        let by_mail = post.wait_for(1, LIMIT).remove(0);
        assert_eq!((by_mail.from.as_str(), by_mail.to.as_slice()), ("tlsrpt@relay.test", ["tls@post.example".to_owned()].as_slice()));
        assert_eq!(serde_json::to_value(read_report(&by_mail.content).unwrap()).unwrap(), report, "both say the same");
        let despite = wrong.wait_for(1, LIMIT).remove(0);
        assert_eq!(despite.to, ["tls@wrong.example"], "the report arrives, and the mail that waits does not");
        let told: TlsReport = read_report(&despite.content).unwrap();
        has_the_structure_of_the_rfc(&serde_json::to_value(&told).unwrap());
        assert_eq!(told.policies[0].failure_details[0].result_type.as_str(), "tlsa-invalid");

        let shown = house.says(&["check"], 0);
        let line = shown.lines().find(|line| line.contains("._domainkey.")).unwrap();
        let (name, record) = line.trim().split_once(" TXT ").unwrap();
        for mail in [&by_mail.content, &despite.content] {
            assert!(dkimpy_verifies(mail, name, record.trim_matches('"')));
            // The control: one octet of the report.
            let text = String::from_utf8(mail.clone()).unwrap();
            let changed = text.replacen("This is an aggregate", "This is no aggregate", 1);
            assert!(changed != text && !dkimpy_verifies(changed.as_bytes(), name, record.trim_matches('"')));
        }

        // It went once, whatever is started again.
        let listed = house.says(&["tlsrpt", "list"], 0);
        assert_eq!(listed.lines().filter(|line| line.contains("  sent ")).count(), 3, "{listed}");
        let of = |words: &str| listed.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words} in {listed}"));
        assert!(of("bank.example -> https").contains("sessions: 1 with TLS as asked, 0 failed"), "{listed}");
        assert!(
            of("wrong.example -> ").contains("sessions: 0 with TLS as asked, ") && of("0 waiting").contains("3 sent, 0 dropped"),
            "{listed}"
        );
        relay.kill();
        let relay = house.start_again();
        hand_in(&house, &relay, "teller@post.example");
        post.wait_for(2, LIMIT);
        let seen = wait("preview of what came after the reports", || {
            let text = house.says(&["tlsrpt", "preview", "--domain", "post.example", "--json"], 0);
            serde_json::from_str::<Value>(&text).ok()
        });
        // The report that went there in clear is not among it; the mail, which is the control, is.
        assert_eq!(seen["policies"][0]["summary"]["total-failure-session-count"].as_u64(), Some(1), "{seen}");
        assert_eq!((desk.taken.lock().unwrap().len(), post.message_count(), wrong.message_count()), (1, 2, 1));
        drop(relay);
    }
}
