//! `sealpost-probe ping` and `cert` against servers of OpenSSL.

mod with_openssl {
    use std::net::SocketAddr;
    use std::process::{Command, Output};

    use crate::authority::{Authority, Identity};
    use crate::equipment::{ends, object, probe};
    use crate::s_server::OpensslServer;

    const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

    /// A folder with what is trusted.
    fn trusting(authority: &Authority) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let anchors = folder.path().join("ca.pem");
        std::fs::write(&anchors, &authority.pem).unwrap();
        (folder, anchors.display().to_string())
    }

    fn run(command: &str, address: SocketAddr, anchors: &str, options: &[&str]) -> Output {
        let host = format!("localhost:{}", address.port());
        probe(&[&[command, &host, "--anchors", anchors], options].concat())
    }

    // req: A7
    #[test]
    #[ignore = "needs openssl"]
    fn ping_says_what_a_server_of_openssl_has() {
        let authority = Authority::new();
        let (_folder, anchors) = trusting(&authority);
        let (ecdsa, rsa, expired) = (authority.issue(&NAMES), authority.issue_rsa(&NAMES), authority.issue_expired(&NAMES));
        let (other, own) = (authority.issue(&["other.example"]), Identity::self_signed(&NAMES));
        for (identity, options, level, code, words) in [
            (&ecdsa, &["-tls1_2"][..], "verify", 0, "TLSv1.2"),
            (&ecdsa, &["-tls1_3"], "verify", 0, "TLSv1.3"),
            (&rsa, &["-tls1_2"], "verify", 0, "TLS_ECDHE_RSA_WITH_"),
            (&rsa, &[], "verify", 0, "TLSv1.3"),
            (&ecdsa, &["-groups", "P-256"], "verify", 0, "secp256r1"),
            (&expired, &[], "require", 0, "certificate expired "),
            (&expired, &[], "verify", 1, "certificate expired "),
            (&other, &[], "verify", 1, "it names other.example"),
            (&own, &[], "chain", 1, "self-signed certificate"),
            (&ecdsa, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], "require", 1, "protocol_version"),
            (&rsa, &["-tls1_2", "-cipher", "AES256-GCM-SHA384"], "require", 1, "handshake_failure"),
        ] {
            for implicit in [false, true] {
                let server = OpensslServer::start(identity, options);
                let address = if implicit { server.implicit } else { server.starttls };
                let more: &[&str] = if implicit { &["--level", level, "--implicit"] } else { &["--level", level] };
                let said = ends(&run("ping", address, &anchors, more), code);
                assert!(said.contains(words), "{options:?} {level} {implicit}: {said}");
            }
        }
    }

    /// The certificate that is shown is the one that openssl reads from its file.
    // req: A10
    #[test]
    #[ignore = "needs openssl"]
    fn cert_shows_what_openssl_shows() {
        let authority = Authority::new();
        let (folder, anchors) = trusting(&authority);
        for (identity, options) in [(authority.issue(&NAMES), &["-tls1_2"][..]), (authority.issue_rsa(&NAMES), &["-tls1_3"])] {
            let (certificate, _) = identity.write(folder.path());
            let asked = ["-noout", "-serial", "-fingerprint", "-sha256"];
            let read = Command::new("openssl").arg("x509").args(asked).arg("-in").arg(certificate).output().unwrap();
            let read = String::from_utf8(read.stdout).unwrap().to_ascii_lowercase().replace(':', "");
            for implicit in [false, true] {
                let server = OpensslServer::start(&identity, options);
                let address = if implicit { server.implicit } else { server.starttls };
                let more: &[&str] = if implicit { &["--json", "--implicit"] } else { &["--json"] };
                let shown = object(&run("cert", address, &anchors, more));
                assert_eq!(shown["server"]["trusted"], true, "{shown}");
                let text = shown["certificates"][0].to_string().to_ascii_lowercase().replace(':', "");
                for line in read.lines() {
                    let value = line.split_once('=').unwrap().1;
                    assert!(text.contains(value), "no {value} in {text}");
                }
            }
        }
    }
}
