//! `sealpost-probe cert`: the certificates of a server and of a file. (A10)

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::equipment::{Sink, closed, ends, object, probe, said};

fn cert(sink: &Sink, options: &[&str]) -> Output {
    let (host, anchors) = (format!("localhost:{}", sink.address.port()), sink.anchors());
    probe(&[&["cert", &host, "--anchors", &anchors], options].concat())
}

/// Runs a command over this input.
fn over(input: &str, program: &str, arguments: &[&str]) -> Output {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

// req: A10
#[test]
fn a_servers_certificate_has_every_field_and_a_check() {
    let sink = Sink::start(&[]);
    let text = ends(&cert(&sink, &[]), 0);
    for part in [
        "Server:               localhost ",
        "Session:              TLSv1.3",
        "passes: the chain ends in",
        "Alternative names:",
        "Serial number:",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let expired = ends(&cert(&Sink::start(&["--kind", "expired"]), &[]), 0);
    assert!(expired.contains("Check:                certificate expired 3 days ago"), "{expired}");
}

#[test]
fn what_a_server_shows_is_the_same_from_a_file_and_from_standard_input() {
    let sink = Sink::start(&[]);
    let pem = ends(&cert(&sink, &["--pem"]), 0);
    let from_server = object(&cert(&sink, &["--json"]));
    let from_input: serde_json::Value =
        serde_json::from_slice(&over(&pem, env!("CARGO_BIN_EXE_sealpost-probe"), &["cert", "-", "--json"]).stdout).unwrap();
    assert_eq!((&from_server["certificates"], &from_server["tlsa"]), (&from_input["certificates"], &from_input["tlsa"]));
    assert!(from_input["server"].is_null() && from_server["server"]["trusted"] == true, "{from_server}");
    let file = sink.folder.path().join("chain.pem");
    std::fs::write(&file, &pem).unwrap();
    let file = file.display().to_string();
    assert_eq!(ends(&probe(&["cert", &file, "--pem"]), 0), pem);
}

#[test]
fn nothing_to_show_is_told_apart() {
    ends(&probe(&["cert", &closed().to_string()]), 1);
    ends(&probe(&["cert", "/nowhere.pem"]), 1);
    ends(&probe(&["cert", &Sink::start(&["--no-starttls"]).at()]), 1);
    ends(&probe(&["cert", &Sink::start(&["--reply", "BANNER=421 4.7.0 busy"]).at()]), 2);
    ends(&probe(&["cert"]), 64);
    ends(&probe(&["cert", "x", "--pem", "--json"]), 64);
}

mod with_openssl {
    use super::*;

    // req: A10
    #[test]
    #[ignore = "needs openssl"]
    fn the_record_to_publish_is_the_digest_that_openssl_makes() {
        let sink = Sink::start(&[]);
        let zone = ends(&cert(&sink, &["--tlsa"]), 0);
        let pem = ends(&cert(&sink, &["--pem"]), 0);
        let key = over(&pem, "openssl", &["x509", "-noout", "-pubkey"]);
        let der = over(&said(&key), "openssl", &["pkey", "-pubin", "-outform", "DER", "-out", "/dev/stdout"]);
        let file = sink.folder.path().join("key.der");
        std::fs::write(&file, &der.stdout).unwrap();
        let digest = Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(&file).output().unwrap();
        let digest = String::from_utf8(digest.stdout).unwrap();
        let expected = format!("_{}._tcp.localhost. IN TLSA 3 1 1 {}\n", sink.address.port(), &digest[..64]);
        assert_eq!(zone, expected);
    }
}
