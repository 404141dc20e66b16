//! The relay's own certificates: several by name, renewed while it runs, and warned of before they end.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::{Authority, Identity};
use crate::client::Client;
use crate::relay::{House, Relay};
use crate::sink::{Behaviour, Sink};

const LIMIT: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Waits until the log says this.
fn wait_for_log(relay: &Relay, words: &str) {
    let end = Instant::now() + LIMIT;
    while !relay.log().contains(words) {
        assert!(Instant::now() < end, "the log never says {words:?}:\n{}", relay.log());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a client that trusts this authority alone gets through.
fn is_trusted(relay: &Relay, authority: &Authority) -> bool {
    Client::secure(relay.address, &authority.client()).is_ok()
}

/// Takes the place of the relay's certificate, the key first or last.
fn renew(house: &House, identity: &Identity) {
    fs::write(house.file("cert.pem"), &identity.certificate).unwrap();
    thread::sleep(Duration::from_millis(300));
    fs::write(house.file("key.pem"), &identity.key).unwrap();
}

// req: E8
#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let house = House::new();
    let relay = house.start();
    let mut session = Client::secure(relay.address, &house.authority.client()).unwrap();
    let other = Authority::new();
    assert!(!is_trusted(&relay, &other));
    renew(&house, &other.issue(&["relay.test"]));
    wait_for_log(&relay, "a new certificate is shown from now on");
    assert!(is_trusted(&relay, &other) && !is_trusted(&relay, &house.authority));
    session.expect("NOOP", 250).unwrap();
    assert!(!relay.log().contains("is refused"), "{}", relay.log());
}

// req: E8
#[test]
fn a_broken_renewal_keeps_the_old_one_and_says_why() {
    let house = House::new();
    let relay = house.start();
    let right = house.authority.issue(&["relay.test"]);
    let with = |certificate: &str, key: &str| Identity { certificate: certificate.to_owned(), key: key.to_owned() };
    let expired = house.authority.issue_expired(&["relay.test"]);
    let (one, another) = (house.authority.issue(&["relay.test"]), house.authority.issue(&["relay.test"]));
    for (broken, words) in [
        (with("garbage", &one.key), "no certificate found"),
        (with(&one.certificate, &another.key), "does not belong to the first certificate"),
        (expired, "certificate expired"),
        (with(&one.certificate, "garbage"), "no private key found"),
    ] {
        renew(&house, &broken);
        wait_for_log(&relay, words);
        assert!(is_trusted(&relay, &house.authority), "{words}");
        let said = house.says(&["reload"], 1);
        assert!(said.contains("cert.pem: the certificate of before is still shown: ") && said.contains(words), "{said}");
    }
    // Each is said once, and once more for who asked, not at every look.
    thread::sleep(Duration::from_secs(5));
    assert_eq!(relay.log().matches("a new certificate is refused").count(), 8, "{}", relay.log());
    renew(&house, &right);
    wait_for_log(&relay, "a new certificate is shown from now on");
    house.says(&["reload"], 0);
}

// req: E8
#[test]
fn a_signal_has_the_certificates_read_at_once() {
    let house = House::new().environment("SEALPOST_LOG", "debug");
    let relay = house.start();
    assert!(!relay.log().contains("the certificate is as it was"));
    relay.hang_up();
    wait_for_log(&relay, "the certificate is as it was");
    let other = Authority::new();
    renew(&house, &other.issue(&["relay.test"]));
    relay.hang_up();
    wait_for_log(&relay, "a new certificate is shown from now on");
    assert!(is_trusted(&relay, &other));
}

#[test]
fn the_end_of_a_certificate_is_warned_of() {
    for (expiry, warns) in [("", false), ("expiry_warning = \"30d\"\n", true)] {
        let house = House::new();
        house.authority.issue_lasting(&["relay.test"], DAY * 20 + DAY / 2).write(house.file("cert.pem").parent().unwrap());
        house.write();
        fs::write(house.config(), house.config_text().replace("[tls]\n", &format!("[tls]\n{expiry}"))).unwrap();
        let said = house.says(&["check"], 0);
        assert_eq!(said.contains("cert.pem: the certificate expires in 20 days"), warns, "{said}");
        let relay = house.start_again();
        let words = "the certificate expires in 20 days; no new one has come";
        if warns {
            wait_for_log(&relay, words);
        }
        assert_eq!(relay.log().contains(words), warns, "{}", relay.log());
    }
}

/// There is nothing better to be shown at a start.
#[test]
fn an_expired_certificate_is_served_and_warned_of() {
    let house = House::new();
    house.authority.issue_expired(&["relay.test"]).write(house.file("cert.pem").parent().unwrap());
    let relay = house.start();
    wait_for_log(&relay, "the certificate expired");
    let said = house.says(&["check"], 0);
    assert!(said.contains("warning") && said.contains("the certificate expired"), "{said}");
}

/// A bank under `verify` whose server takes so long for a message and has the first of two certificates, and a list that takes back the other.
fn revoking(slow: Duration) -> (House, Sink, Identity, Identity) {
    let policy = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'verify', names = 'mx.bank.example' }\n";
    let house = House::new().policy(policy);
    let (right, other) = (house.authority.issue(&["mx.bank.example"]), house.authority.issue(&["mx.bank.example"]));
    let sink = Sink::start(Behaviour { slow, ..Behaviour::offering(&right) });
    let house = house.route("*", sink.address);
    fs::write(house.file("crls.pem"), house.authority.revoke(&[&other])).unwrap();
    house.write();
    fs::write(house.config(), house.config_text().replace("[tls]\n", "[tls]\nrevocation_lists = \"crls.pem\"\n")).unwrap();
    (house, sink, right, other)
}

fn send(house: &House, relay: &Relay) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("a@sender.example", &["b@bank.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().code, 250);
}

/// A list that comes while a message is under way: the connection that it took serves no other one.
// req: A10 E7
#[test]
fn a_new_revocation_list_reaches_connections_in_use() {
    let (house, sink, right, _) = revoking(Duration::from_secs(6));
    let relay = house.start_again();
    send(&house, &relay);
    sink.wait_for_line("MAIL", LIMIT);
    fs::write(house.file("crls.pem"), house.authority.revoke(&[&right])).unwrap();
    relay.hang_up();
    wait_for_log(&relay, "the revocation lists are obeyed from now on");
    assert!(!house.history().contains("\"kind\":\"delivered\""), "it is under way still");
    house.wait_for_history(&["\"kind\":\"delivered\""], LIMIT);
    send(&house, &relay);
    house.wait_for_history(&["certificate was revoked by its issuer", "Check TLS"], LIMIT);
    assert_eq!((sink.message_count(), sink.session_count()), (1, 2));
}

// req: A10
#[test]
fn a_server_whose_certificate_is_revoked_gets_no_mail() {
    let (house, sink, right, other) = revoking(Duration::ZERO);
    let said = house.says(&["check"], 0);
    assert!(said.contains("1 lists") && said.contains("should have been replaced by 2026-01-09"), "{said}");
    let relay = house.start_again();
    send(&house, &relay);
    sink.wait_for(1, LIMIT);
    // A list that cannot be read is refused; one that takes the certificate back counts from then on, for idle connections too.
    fs::write(house.file("crls.pem"), "garbage").unwrap();
    wait_for_log(&relay, "new revocation lists are refused");
    fs::write(house.file("crls.pem"), house.authority.revoke(&[&right])).unwrap();
    wait_for_log(&relay, "the revocation lists are obeyed from now on");
    send(&house, &relay);
    house.wait_for_history(&["certificate was revoked by its issuer", "Check TLS"], LIMIT);
    assert_eq!(sink.message_count(), 1);
    sink.change(Behaviour::offering(&other));
    sink.wait_for(2, LIMIT);
}

#[test]
fn a_further_certificate_that_is_wrong_is_named() {
    let house = House::new().also("[[tls.certificates]]\ncertificate = \"gone.pem\"\nprivate_key = \"gone.key.pem\"\n");
    house.write();
    assert!(house.says(&["check"], 1).contains("gone.pem"));
}

mod with_openssl {
    use std::process::Command;

    use super::*;
    use crate::relay::finish;

    /// The names in the certificate that a client gets which asks for this one.
    fn shown(relay: &Relay, asked: &[&str]) -> String {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-starttls", "smtp", "-connect", &relay.address.to_string()]).args(asked);
        let output = finish(&mut client, LIMIT);
        let pem = String::from_utf8_lossy(&output.stdout).into_owned();
        let certificate = pem.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_else(|| panic!("{asked:?}: {pem}"));
        let der = format!("-----BEGIN CERTIFICATE-----{certificate}");
        let chain = sealpost_cert::certificates_from_pem(&der.as_bytes()[..=der.rfind("-----").unwrap() + 4]);
        let chain = chain.unwrap_or_else(|error| panic!("{error}: {der}"));
        let details = sealpost_cert::CertificateDetails::from_der(&chain[0]).unwrap();
        details.alternative_names().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    #[ignore = "needs openssl"]
    fn the_certificate_is_that_of_the_name_which_is_asked_for() {
        let house = House::new()
            .also("[[tls.certificates]]\ncertificate = \"acme.pem\"\nprivate_key = \"acme.key.pem\"\n")
            .also("[[tls.certificates]]\ncertificate = \"wild.pem\"\nprivate_key = \"wild.key.pem\"\n");
        for (file, names) in [("acme", ["mail.acme.example", "acme.example"]), ("wild", ["*.wild.example", "wild.example"])] {
            let identity = house.authority.issue(&names);
            fs::write(house.file(&format!("{file}.pem")), &identity.certificate).unwrap();
            fs::write(house.file(&format!("{file}.key.pem")), &identity.key).unwrap();
        }
        let relay = house.start();
        for (asked, names) in [
            (&["-servername", "mail.acme.example"][..], "DNS:mail.acme.example DNS:acme.example"),
            (&["-servername", "mx7.wild.example"], "DNS:*.wild.example DNS:wild.example"),
            (&["-servername", "nobody.example"], "DNS:relay.test"),
            (&["-noservername"], "DNS:relay.test"),
            (&["-servername", "mail.acme.example", "-tls1_2"], "DNS:mail.acme.example DNS:acme.example"),
        ] {
            assert!(shown(&relay, asked).starts_with(names), "{asked:?}");
        }
        // One of several is renewed; the others stay.
        let identity = house.authority.issue(&["mail.acme.example", "new.acme.example"]);
        fs::write(house.file("acme.pem"), &identity.certificate).unwrap();
        fs::write(house.file("acme.key.pem"), &identity.key).unwrap();
        wait_for_log(&relay, "a new certificate is shown from now on");
        assert_eq!(shown(&relay, &["-servername", "new.acme.example"]), "DNS:mail.acme.example DNS:new.acme.example");
        assert!(shown(&relay, &["-servername", "mx7.wild.example"]).starts_with("DNS:*.wild.example"));
    }
}
