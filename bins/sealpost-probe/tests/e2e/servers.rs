//! Mail servers that no one here wrote, each in a root of its own: pinged, tested, sent to, loaded, and sending to the sink.

use std::time::Duration;

use crate::authority::Authority;
use crate::equipment::{Sink, ends, object, probe};
use crate::peers::Peer;

const LIMIT: Duration = Duration::from_secs(60);

/// Everything that the probe does with a server. It gives what `test` said.
fn served(start: impl FnOnce(&crate::authority::Identity) -> Peer) -> String {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("ca.pem");
    std::fs::write(&anchors, &authority.pem).unwrap();
    let (anchors, peer) = (anchors.display().to_string(), start(&authority.issue(&["localhost"])));
    let host = format!("localhost:{}", peer.address.port());
    let run = |command: &[&str], options: &[&str]| probe(&[command, &["--anchors", &anchors, "--dnssec", "off"], options].concat());
    let said = ends(&run(&["ping", &host], &["-4", "--level", "verify"]), 0);
    assert!(said.contains("TLSv1.3") && said.contains("the chain is trusted here"), "{said}");
    let tested = ends(&run(&["test", "bank.example", "--server", &host], &["--level", "verify", "--deep"]), 0);
    assert!(tested.contains("verify                would deliver"), "{tested}");
    let shown = object(&run(&["cert", &host], &["--json"]));
    assert_eq!((&shown["server"]["trusted"], &shown["server"]["findings"]), (&true.into(), &serde_json::json!([])), "{shown}");
    surveyed(&host, &anchors);
    let mail = ["send", "--to", "bob@bank.example", "--from", "ann@acme.example", "--server", &host];
    let said = ends(&run(&mail, &["--level", "verify", "--attach", &anchors]), 0);
    assert!(said.contains("bob@bank.example delivered: 250"), "{said}");
    peer.wait_for_mail(1, LIMIT);
    let output = run(&["load", &host], &["-n", "20", "-s", "2", "--level", "verify", "--json"]);
    ends(&output, 0);
    assert_eq!(object(&output)["accepted"], 20);
    peer.wait_for_mail(21, LIMIT);
    tested
}

/// A survey of a domain whose mail goes there, and what is suggested for it.
fn surveyed(host: &str, anchors: &str) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let config = write(
        "sealpost.toml",
        &format!(
            "hostname = 'relay.test'\ndata_dir = 'data'\n[tls]\ntrust_anchors = '{anchors}'\n[dns]\ndnssec = 'off'\n\
             [routes]\n'bank.example' = '{host}'\n"
        ),
    );
    let (list, found) = (write("list", "bank.example\n"), folder.path().join("found.jsonl").display().to_string());
    let said = ends(&probe(&["survey", &list, "--config", &config, "--level", "verify", "-o", &found]), 0);
    assert!(said.lines().any(|line| line.starts_with("bank.example ") && line.contains(" verify")), "{said}");
    let said = ends(&probe(&["suggest", &found]), 0);
    assert!(said.contains("\nbank.example\n\"\"\"\n") && said.contains("deliver = \"verify\""), "{said}");
}

mod with_postfix {
    use super::*;

    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_is_tested_and_takes_mail() {
        let said = served(Peer::postfix);
        assert!(said.contains("mail in clear: refused (530 5.7.0"), "{said}");
        assert!(said.contains("  TLSv1.2: taken\n    with      TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"), "{said}");
    }

    #[test]
    #[ignore = "needs Postfix"]
    fn postfix_sends_to_the_sink_and_tries_again() {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.issue(&["relay.test"]).write(folder.path());
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let sink =
            Sink::start(&["--name", "relay.test", "--certificate", &certificate, "--key", &key, "--reply", "RCPT*1=450 4.2.0 not yet"]);
        let peer = Peer::postfix_client(&authority.issue(&["localhost"]), sink.address, &authority.pem);
        let host = peer.address.to_string();
        let mail = ["send", "--to", "bob@bank.example", "--from", "ann@acme.example", "--server", &host, "--dnssec", "off"];
        ends(&probe(&mail), 0);
        sink.told("fault", 1);
        ends(&probe(&mail), 0);
        let message = &sink.told("message", 1)[0];
        assert_eq!((&message["from"], &message["tls"]["version"]), (&"ann@acme.example".into(), &"TLSv1.3".into()));
    }
}

mod with_opensmtpd {
    use super::*;

    #[test]
    #[ignore = "needs OpenSMTPD"]
    fn opensmtpd_is_tested_and_takes_mail() {
        served(Peer::opensmtpd);
    }
}

mod with_exim {
    use super::*;

    #[test]
    #[ignore = "needs Exim"]
    fn exim_is_tested_and_takes_mail() {
        served(Peer::exim);
    }
}
