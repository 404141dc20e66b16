//! Servers whose TLS nobody here wrote: what is said of those of OpenSSL, handshake by handshake and certificate by certificate.

mod with_openssl {
    use std::process::Command;
    use std::time::Duration;

    use crate::authority::{Authority, Identity};
    use crate::client::Client;
    use crate::content::message;
    use crate::relay::{House, finish, sealpost};
    use crate::s_server::OpensslServer;

    const LIMIT: Duration = Duration::from_secs(30);
    const TO: &str = "teller@bank.example";
    const NAMES: [&str; 2] = ["bank.example", "127.0.0.1"];

    /// What the server shows, the options of `s_server`, what the entry asks; what a delivery says, or why there is none.
    type Case<'a> = (&'a Identity, Vec<&'a str>, &'a str, Outcome);
    type Outcome = Result<Vec<&'static str>, &'static str>;

    /// Whether the openssl that is here has this group.
    fn has_group(name: &str) -> bool {
        let listed = finish(Command::new("openssl").args(["list", "-kem-algorithms"]), LIMIT);
        String::from_utf8_lossy(&listed.stdout).contains(name)
    }

    /// What is delivered says how; what is not waits, with the reason.
    // req: A6 B8 F6
    #[test]
    #[ignore = "needs openssl"]
    fn each_verdict_on_a_server_of_openssl() {
        let authority = Authority::new();
        let (ecdsa, rsa) = (authority.issue(&NAMES), authority.issue_rsa(&NAMES));
        let mut cases: Vec<Case<'_>> = vec![
            (&ecdsa, vec!["-tls1_2"], "'verify'", Ok(vec!["TLSv1.2", "TLS_ECDHE_ECDSA_WITH_", "\"satisfied\":true"])),
            (&ecdsa, vec!["-tls1_3"], "'verify'", Ok(vec!["TLSv1.3", "\"findings\":[]"])),
            (&rsa, vec!["-tls1_2"], "'verify'", Ok(vec!["TLSv1.2", "TLS_ECDHE_RSA_WITH_"])),
            (&rsa, vec!["-tls1_3"], "'verify'", Ok(vec!["TLSv1.3", "\"findings\":[]"])),
            (
                &ecdsa,
                vec!["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
                "'verify'",
                Ok(vec!["TLS_CHACHA20_POLY1305_SHA256"]),
            ),
            (&ecdsa, vec!["-groups", "X25519"], "'verify'", Ok(vec!["\"group\":\"x25519\"", "\"post_quantum\":false"])),
            (&ecdsa, vec!["-groups", "P-256"], "'verify'", Ok(vec!["\"group\":\"secp256r1\""])),
            (&ecdsa, vec!["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], "'require'", Err("protocol_version")),
            (&rsa, vec!["-tls1_2", "-cipher", "AES256-GCM-SHA384"], "'require'", Err("handshake_failure")),
            (&ecdsa, vec!["-tls1_2"], "{ level = 'require', min_version = '1.3' }", Err("protocol_version")),
            (&ecdsa, vec!["-groups", "X25519"], "{ level = 'require', min_group = 'X25519MLKEM768' }", Err("handshake_failure")),
        ];
        if has_group("X25519MLKEM768") {
            cases.push((&ecdsa, vec!["-groups", "X25519MLKEM768"], "'verify'", Ok(vec!["X25519MLKEM768", "\"post_quantum\":true"])));
        }
        let (expired, other) = (authority.issue_expired(&NAMES), authority.issue(&["other.example"]));
        let (own, stranger) = (Identity::self_signed(&NAMES), Authority::named("Other Authority").issue(&NAMES));
        cases.extend([
            (&expired, vec![], "'verify'", Err("certificate expired ")),
            (&other, vec![], "'verify'", Err("no certificate for 127.0.0.1; it names other.example")),
            (&own, vec![], "'chain'", Err("self-signed certificate: issuer and subject are")),
            (&stranger, vec![], "'chain'", Err("which is no trust anchor and was not sent along")),
            // What nobody demands is found all the same.
            (&expired, vec![], "'require'", Ok(vec!["certificate expired ", "\"satisfied\":true"])),
            (&other, vec![], "'chain'", Ok(vec!["\"satisfied\":true", "DNS:other.example"])),
        ]);
        for (identity, options, level, expected) in cases {
            let shown = format!("{options:?} {level}");
            let server = OpensslServer::start(identity, &options);
            let policy = format!("[[partner]]\ndomains = 'bank.example'\ndeliver = {level}\n");
            let house = House::new().route("bank.example", server.starttls).policy(&policy);
            std::fs::write(house.file("ca.pem"), &authority.pem).unwrap();
            let relay = house.start();
            let mut client = Client::connect(relay.address).unwrap();
            client.expect("EHLO client.example", 250).unwrap();
            assert_eq!(client.send("alice@sender.example", &[TO], message("bank").as_bytes()).unwrap().code, 250);
            match expected {
                Ok(words) => {
                    assert!(server.wait_for(1, LIMIT)[0].contains("Subject: bank"), "{shown}");
                    house.wait_for_history(&[&["\"kind\":\"delivered\""], &words[..]].concat(), LIMIT);
                }
                Err(words) => {
                    house.wait_for_history(&["Processing: Check TLS", words], LIMIT);
                    assert_eq!(server.count(), 0, "{shown}");
                }
            }
        }
    }

    /// With STARTTLS and without.
    // req: A10
    #[test]
    #[ignore = "needs openssl"]
    fn cert_show_reads_what_a_server_of_openssl_shows() {
        let server = OpensslServer::start(&Authority::new().issue_rsa(&NAMES), &[]);
        for (address, more) in [(server.starttls, &[][..]), (server.implicit, &["--implicit"])] {
            let shown = finish(sealpost().args(["cert", "show", &address.to_string()]).args(more), LIMIT);
            let text = String::from_utf8(shown.stdout).unwrap();
            assert!(text.contains("bank.example") && text.contains("rsaEncryption"), "{more:?}: {text}");
        }
    }
}
