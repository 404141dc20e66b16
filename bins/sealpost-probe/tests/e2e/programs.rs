//! Programs that no one here wrote: they send to the sink, and are pinged.

use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::equipment::{LIMIT, Sink, closed, ends, probe, said};

/// Runs it to its end, which must come in time.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("{program} {arguments:?} does not end: {}", said(&child.wait_with_output().unwrap()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

mod with_openssl {
    use super::*;

    fn s_server(options: &[&str]) -> (Killed, String, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let made = run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-days",
                "30",
                "-keyout",
                &file("key.pem"),
                "-out",
                &file("cert.pem"),
            ],
        );
        assert!(made.status.success(), "{}", said(&made));
        let address = closed().to_string();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &address, "-cert", &file("cert.pem"), "-key", &file("key.pem"), "-quiet"]).args(options);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + LIMIT;
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "openssl s_server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        (Killed(child), address, folder)
    }

    /// It shakes hands and says nothing under TLS: the handshake is told with its time, and the rest could not be tested.
    #[test]
    #[ignore = "needs openssl"]
    fn s_server_shakes_hands() {
        for options in [&["-tls1_2"][..], &["-tls1_3"]] {
            let (_server, address, _folder) = s_server(options);
            let said = ends(&probe(&["ping", &address, "--implicit", "--timeout", "2s"]), 2);
            assert!(said.contains("at banner: no answer") && said.contains("  handshake "), "{options:?}: {said}");
        }
    }

    #[test]
    #[ignore = "needs openssl"]
    fn s_server_without_our_versions_fails() {
        let (_server, address, _folder) = s_server(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
        let said = ends(&probe(&["ping", &address, "--implicit", "--timeout", "5s"]), 1);
        assert!(said.contains("at handshake"), "{said}");
    }

    #[test]
    #[ignore = "needs openssl"]
    fn s_client_gets_what_it_is_promised() {
        let sink = Sink::start(&[]);
        let connect = |options: &[&str]| {
            let (at, anchors) = (sink.at(), sink.anchors());
            let base = [
                "s_client",
                "-starttls",
                "smtp",
                "-connect",
                &at,
                "-CAfile",
                &anchors,
                "-verify_return_error",
                "-verify_hostname",
                "localhost",
            ];
            run("openssl", &[&base, options].concat())
        };
        assert!(said(&connect(&[])).contains("Verify return code: 0 (ok)"));
        assert!(said(&connect(&["-tls1_2"])).contains("TLSv1.2"));
        let old = Sink::start(&["--old-tls"]);
        let said = said(&run("openssl", &["s_client", "-starttls", "smtp", "-connect", &old.at()]));
        assert!(said.contains("alert protocol version"), "{said}");
    }
}

mod with_swaks {
    use super::*;

    fn swaks(sink: &Sink, options: &[&str]) -> Output {
        let (port, host) = (sink.address.port().to_string(), "127.0.0.1");
        let base = ["--server", host, "--port", &port, "--from", "ann@acme.example", "--to", "bob@bank.example"];
        run("swaks", &[&base, options].concat())
    }

    #[test]
    #[ignore = "needs swaks"]
    fn swaks_delivers_over_tls_with_a_login() {
        let sink = Sink::start(&["--user", "ann:secret"]);
        for mechanism in ["PLAIN", "LOGIN"] {
            let output = swaks(&sink, &["--tls", "--auth", mechanism, "--auth-user", "ann", "--auth-password", "secret"]);
            assert!(output.status.success(), "{}", said(&output));
        }
        let messages = sink.told("message", 2);
        assert!(messages.iter().all(|message| message["login"] == "ann" && message["tls"]["version"] == "TLSv1.3"), "{messages:?}");
        let wrong = swaks(&sink, &["--tls", "--auth", "LOGIN", "--auth-user", "ann", "--auth-password", "wrong"]);
        assert!(!wrong.status.success() && sink.messages().len() == 2, "{}", said(&wrong));
    }

    #[test]
    #[ignore = "needs swaks"]
    fn swaks_meets_the_faults() {
        let sink = Sink::start(&["--reply", "STARTTLS*1=454 4.7.0 no", "--close", "HANDSHAKE*1", "--reply", "RCPT*1=450 4.2.0 later"]);
        for part in ["454 4.7.0 no", "TLS startup failed", "450 4.2.0 later", "octets taken"] {
            let said = said(&swaks(&sink, &["--tls"]));
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(sink.told("message", 1).len(), 1);
    }
}

mod with_python {
    use super::*;

    const SEND: &str = r#"
import smtplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as smtp:
    context.check_hostname = False
    smtp.starttls(context=context)
    smtp.sendmail("ann@acme.example", ["bob@bank.example", "eve@bank.example"], "Subject: hi\r\n\r\n.dot\r\n")
"#;

    #[test]
    #[ignore = "needs Python"]
    fn smtplib_delivers_and_refuses_bad_certificates() {
        for (kind, good) in [("good", true), ("expired", false), ("weak", false)] {
            let sink = Sink::start(&["--kind", kind]);
            let output = run("python3", &["-c", SEND, &sink.address.port().to_string(), &sink.anchors()]);
            assert_eq!(output.status.success(), good, "{kind}: {}", said(&output));
            if good {
                assert_eq!(sink.told("message", 1)[0]["to"].as_array().unwrap().len(), 2);
                assert_eq!(sink.kept(), ["Subject: hi\r\n\r\n.dot\r\n"]);
                ends(&probe(&["ping", &sink.at()]), 0);
            }
        }
    }
}
