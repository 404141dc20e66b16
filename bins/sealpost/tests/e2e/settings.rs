//! Settings of `sealpost.toml`, each shown to be read: with it the relay behaves in one way, without it in the other.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};

use crate::client::Client;
use crate::content::split_received;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";
const SMALL: &[u8] = b"Subject: x\r\n\r\nx\r\n";

fn with(more: &str) -> (Relay, Sink, House) {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).also(more);
    (house.start(), sink, house)
}

fn greeted(relay: &Relay) -> Client {
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client
}

// req: E5
#[test]
fn message_size() {
    let content = [SMALL, "0123456789\r\n".repeat(10_000).as_bytes()].concat();
    for (more, fits) in [("[limits]\nmessage_size = 65536\n", false), ("", true)] {
        let (relay, sink, _house) = with(more);
        let mut client = greeted(&relay);
        let declared = client.command(&format!("MAIL FROM:<{FROM}> SIZE={}", content.len())).unwrap();
        assert_eq!(declared.code, if fits { 250 } else { 552 }, "{}", declared.text);
        client.expect("RSET", 250).unwrap();
        let sent = client.send(FROM, &[TO], &content).unwrap();
        assert_eq!(sent.code, if fits { 250 } else { 552 }, "{}", sent.text);
        assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
        sink.wait_for(1 + usize::from(fits), LIMIT);
    }
}

#[test]
fn recipients() {
    for (more, most) in [("[limits]\nrecipients = 100\n", 100), ("[limits]\nrecipients = 150\n", 150)] {
        let (relay, _sink, _house) = with(more);
        let mut client = greeted(&relay);
        client.expect(&format!("MAIL FROM:<{FROM}>"), 250).unwrap();
        for number in 0..most {
            client.expect(&format!("RCPT TO:<b{number}@partner.example>"), 250).unwrap();
        }
        let reply = client.command("RCPT TO:<one@partner.example>").unwrap();
        assert!(reply.text.starts_with("452 4.5.3"), "{}", reply.text);
    }
}

#[test]
fn connections() {
    let (relay, _sink, _house) = with("[limits]\nconnections = 3\n");
    // what the start of the relay was seen by may still be there
    thread::sleep(Duration::from_millis(300));
    let held: Vec<_> = (0..3).map(|_| greeted(&relay)).collect();
    let error = Client::connect(relay.address).err().unwrap();
    assert!(error.to_string().starts_with("421"), "{error}");
    drop(held);
    thread::sleep(Duration::from_millis(300));
    greeted(&relay).quit();
}

/// The limits are those of the relay, not of each of its listeners.
#[test]
fn connections_of_all_listeners_together() {
    let other = free_address();
    let listener = format!("[[listener]]\naddress = \"{other}\"\ntls = \"none\"\n");
    let (relay, _sink, _house) = with(&format!("[limits]\nconnections = 3\n{listener}"));
    thread::sleep(Duration::from_millis(300));
    let _held = [greeted(&relay), greeted(&relay), Client::connect(other).unwrap()];
    for address in [relay.address, other] {
        let error = Client::connect(address).err().unwrap();
        assert!(error.to_string().starts_with("421"), "{error}");
    }
}

#[test]
fn connections_per_address() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    for (networks, refused) in [("192.0.2.0/24", true), ("127.0.0.0/8", false)] {
        let house = House::to(&sink).also("[limits]\nconnections_per_address = 2\n");
        house.write();
        fs::write(house.config(), house.config_text().replace("127.0.0.0/8", networks)).unwrap();
        let relay = house.start_again();
        thread::sleep(Duration::from_millis(300));
        let _held: Vec<_> = (0..2).map(|_| greeted(&relay)).collect();
        assert_eq!(Client::connect(relay.address).is_err(), refused, "{networks}");
    }
}

/// RFC 5321 section 6.3: mail that came through too many hosts goes in circles.
#[test]
fn hops() {
    let content = |count: usize| [b"Received: from a by b; Sun, 22 Nov 2026 04:00:00 +0000\r\n".repeat(count), SMALL.to_vec()].concat();
    for (more, most) in [("", 50), ("[limits]\nhops = 5\n", 5)] {
        let (relay, sink, _house) = with(more);
        let mut client = greeted(&relay);
        let refused = client.send(FROM, &[TO], &content(most + 1)).unwrap();
        assert!(refused.text.starts_with("554 5.4.6"), "{}", refused.text);
        assert_eq!(client.send(FROM, &[TO], &content(most - 1)).unwrap().code, 250);
        sink.wait_for(1, LIMIT);
    }
}

/// Whether a client of this provider and these versions gets through to a relay with this line in `[tls]`; any other client does.
fn handshake_succeeds(setting: &str, provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> bool {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.write();
    fs::write(house.config(), house.config_text().replace("[tls]\n", &format!("[tls]\n{setting}\n"))).unwrap();
    let relay = house.start_again();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(house.authority.pem.as_bytes()).map(Result::unwrap));
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions).unwrap();
    let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Client::secure(relay.address, &house.authority.client()).unwrap().quit();
    Client::secure(relay.address, &client).is_ok()
}

// req: A6
#[test]
fn min_version() {
    for (version, works) in [("1.3", false), ("1.2", true)] {
        assert_eq!(handshake_succeeds(&format!("min_version = \"{version}\""), default_provider(), &[&TLS12]), works, "{version}");
    }
}

// req: F7
#[test]
fn min_group() {
    let classical = || {
        let mut provider = default_provider();
        provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
        provider
    };
    for (group, works) in [("post-quantum", false), ("secp384r1", false), ("x25519", true), ("any", true)] {
        assert_eq!(handshake_succeeds(&format!("min_group = \"{group}\""), classical(), &[&TLS13, &TLS12]), works, "{group}");
    }
}

// req: A6
#[test]
fn ciphers() {
    for (setting, works) in [
        ("ciphers = \"TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL\"", true),
        ("ciphers = \"HIGH:!AESGCM\"", false),
        ("ciphers13 = \"TLS_AES_256_GCM_SHA384\"", true),
    ] {
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).ends_with("AES_256_GCM_SHA384"));
        assert_eq!(handshake_succeeds(setting, provider, &[&TLS12]), works, "{setting}");
    }
}

// req: A6
#[test]
fn ciphers13() {
    for (setting, works) in [
        ("ciphers13 = \"TLS_AES_256_GCM_SHA384\"", false),
        ("ciphers13 = \"TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256\"", true),
        ("ciphers = \"fips\"", false),
        ("ciphers = \"ECDHE+AESGCM\"", true),
    ] {
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("CHACHA20"));
        assert_eq!(handshake_succeeds(setting, provider, &[&TLS13]), works, "{setting}");
    }
}

#[test]
fn listeners() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).listener("none");
    let relay = house.start();
    let hello = greeted(&relay).command("EHLO client.example").unwrap();
    assert!(!hello.text.contains("STARTTLS"), "{}", hello.text);
    drop(relay);

    let implicit = free_address();
    let house = House::to(&sink).also(&format!("[[listener]]\naddress = \"{implicit}\"\ntls = \"implicit\"\n"));
    let relay = house.start();
    let hello = greeted(&relay).command("EHLO client.example").unwrap();
    assert!(hello.text.contains("STARTTLS"), "{}", hello.text);
    let mut client = Client::connect_tls(implicit, &house.authority.client()).unwrap();
    let hello = client.expect("EHLO client.example", 250).unwrap();
    assert!(!hello.text.contains("STARTTLS"), "{}", hello.text);
    assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    let arrived = sink.wait_for(1, LIMIT);
    assert!(String::from_utf8_lossy(&arrived[0].content).contains("with ESMTPS"));
}

/// Space on disk that new mail does not fill.
#[test]
fn reserve() {
    for (reserve, code) in [(1_u64 << 60, 452), (0, 250)] {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let house = House::to(&sink);
        house.write();
        fs::write(house.config(), house.config_text().replace("[queue]\n", &format!("[queue]\nreserve = {reserve}\n"))).unwrap();
        let relay = house.start_again();
        let mut client = greeted(&relay);
        let mut replies = [format!("MAIL FROM:<{FROM}>"), format!("RCPT TO:<{TO}>"), "DATA".to_owned()].into_iter();
        // it may say so at any step, at the latest at the end of the data
        let refused = replies.find_map(|line| Some(client.command(&line).unwrap()).filter(|reply| reply.code > 399));
        let last = refused.unwrap_or_else(|| {
            client.wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
            client.reply().unwrap()
        });
        assert_eq!(last.code, code, "{}", last.text);
    }
}

/// The authority that `verify` trusts is the one that is configured.
#[test]
fn trust_anchors() {
    let house = House::new();
    let other = crate::authority::Authority::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
    let house = house.route("*", sink.address).policy("[defaults.external]\ndeliver = \"verify\"\n");
    house.write();
    fs::write(house.file("ca.pem"), &other.pem).unwrap();
    let relay = house.start_again();
    let mut client = greeted(&relay);
    assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    house.wait_for_history(&["Processing: Check TLS", TO], LIMIT);
    assert_eq!(sink.message_count(), 0);
    relay.kill();
    fs::write(house.file("ca.pem"), &house.authority.pem).unwrap();
    let _relay = house.start_again();
    sink.wait_for(1, LIMIT);
}

/// A system without authorities stops nothing but mail that needs one, and the log says what to do.
#[test]
fn trust_anchors_of_a_system_that_has_none() {
    for (store, words) in
        [("", "name a file in [tls] trust_anchors"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "problems=1")]
    {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let house = House::to(&sink);
        let path = house.file("store.pem");
        fs::write(&path, store).unwrap();
        let house = house.environment("SSL_CERT_FILE", path.display().to_string());
        house.write();
        fs::write(house.config(), house.config_text().replace("trust_anchors = \"ca.pem\"\n", "")).unwrap();
        let relay = house.start_again();
        greeted(&relay).send(FROM, &[TO], SMALL).unwrap();
        sink.wait_for(1, LIMIT);
        assert!(relay.log().contains(words), "no {words:?} in\n{}", relay.log());
        let checked = String::from_utf8(house.run(&["check"]).stdout).unwrap();
        assert!(checked.contains("in order") && checked.contains("the system has no certificate authorities"), "{checked}");
    }
}

/// RFC 5321 section 4.5.1.
#[test]
fn postmaster() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.write();
    let text = house.config_text().replace("[relay]\n", "[relay]\npostmaster = \"admin@relay.example\"\n");
    fs::write(house.config(), text).unwrap();
    let relay = house.start_again();
    assert_eq!(greeted(&relay).send(FROM, &["Postmaster"], SMALL).unwrap().code, 250);
    assert_eq!(sink.wait_for(1, LIMIT)[0].to, ["admin@relay.example"]);
}

/// RFC 3461 section 5.2.2: to servers without DSN the relay reports success itself, to whom the setting says.
#[test]
fn success_notices() {
    for (line, told) in [("", true), ("success_notices = \"known\"\n", true), ("success_notices = \"none\"\n", false)] {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let house = House::to(&sink);
        house.write();
        fs::write(house.config(), house.config_text().replace("[relay]\n", &format!("[relay]\n{line}"))).unwrap();
        let relay = house.start_again();
        let mut client = greeted(&relay);
        for command in [&format!("MAIL FROM:<{FROM}>"), &format!("RCPT TO:<{TO}> NOTIFY=SUCCESS")] {
            client.expect(command, 250).unwrap();
        }
        client.expect("DATA", 354).unwrap();
        client.wire.send(&crate::client::stuffed(SMALL)).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        sink.wait_for(if told { 2 } else { 1 }, LIMIT);
        thread::sleep(Duration::from_millis(500));
        assert_eq!(sink.message_count(), if told { 2 } else { 1 }, "{line:?}");
    }
}

#[test]
fn level_header() {
    for (policy, stays) in [("", "X-Level: b"), ("[defaults]\nheader = \"x-level\"\n", "X-TLSLevel: a")] {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let house = House::to(&sink).policy(policy);
        let relay = house.start();
        greeted(&relay).send(FROM, &[TO], b"X-TLSLevel: a\r\nX-Level: b\r\n\r\nx\r\n").unwrap();
        let (_, rest) = split_received(&sink.wait_for(1, LIMIT)[0].content);
        assert_eq!(String::from_utf8(rest).unwrap(), format!("{stays}\r\n\r\nx\r\n"));
    }
}

/// Without a certificate of the operator's, one is made at first start and kept.
#[test]
fn certificate_is_made_when_none_is_given() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink);
    house.write();
    let text = house.config_text().replace("certificate = \"cert.pem\"\nprivate_key = \"key.pem\"\n", "");
    fs::write(house.config(), text).unwrap();
    let made = || {
        let relay = house.start_again();
        let shown = crate::relay::finish(crate::relay::sealpost().args(["cert", "show", "--json", &relay.address.to_string()]), LIMIT);
        String::from_utf8(shown.stdout).unwrap()
    };
    let first = made();
    assert!(first.contains("relay.test"), "{first}");
    assert_eq!(first, made());
}

/// A log for programs: one JSON object a line.
#[test]
fn log_format() {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::to(&sink).environment("SEALPOST_LOG_FORMAT", "json");
    let relay = house.start();
    greeted(&relay).send(FROM, &[TO], SMALL).unwrap();
    sink.wait_for(1, LIMIT);
    let log = relay.log();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[test]
fn connections_per_destination() {
    for (more, most) in [("[delivery]\nconnections_per_destination = 2\n", 2), ("[delivery]\nconnections_per_destination = 8\n", 8)] {
        let slow = Behaviour { slow: Duration::from_millis(400), ..Behaviour::new(StartTls::Absent) };
        let sink = Sink::start(slow);
        let house = House::to(&sink).also(more);
        let relay = house.start();
        let mut client = greeted(&relay);
        for _ in 0..16 {
            client.send(FROM, &[TO], SMALL).unwrap();
        }
        sink.wait_for(16, LIMIT);
        let at_once = sink.most_at_once();
        assert!(at_once <= most && at_once > most / 2, "{at_once} connections at once, {most} allowed");
    }
}

/// How many connections there are to this port, as whoever opened them has it: those that it closed do not count, whether the other side has
/// noticed or not. The table is read line by line while one is closed for another, so that both may stand in it: it is read twice.
fn connections_to(port: u16) -> usize {
    lines_of(port).min(lines_of(port))
}

fn lines_of(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_open = |line: &&str| {
        let mut columns = line.split_whitespace();
        columns.nth(2).is_some_and(|remote| remote.ends_with(&format!(":{port:04X}"))) && columns.next() == Some("01")
    };
    table.lines().filter(is_open).count()
}

/// In all, those that lie idle until the next message included, whatever the destinations are.
#[test]
fn connections_in_all() {
    for (limit, at_least) in [(3, 2), (500, 6)] {
        let slow = Behaviour { slow: Duration::from_millis(150), ..Behaviour::new(StartTls::Absent) };
        let port = free_address().port();
        let sink = Sink::start_at(([0, 0, 0, 0], port).into(), slow);
        let mut house = House::new().also(&format!("[delivery]\nconnections = {limit}\n"));
        for number in 1..=6 {
            house = house.route(&format!("d{number}.example"), ([127, 0, 0, number], port).into());
        }
        let relay = house.start();
        let mut client = greeted(&relay);
        for round in 0..5 {
            for number in 1..=6 {
                client.send(FROM, &[&format!("r{round}@d{number}.example")], SMALL).unwrap();
            }
        }
        let (mut most, end) = (0, std::time::Instant::now() + LIMIT);
        while sink.message_count() < 30 {
            most = most.max(connections_to(port));
            assert!(std::time::Instant::now() < end, "{} of 30 messages came", sink.message_count());
            thread::sleep(Duration::from_millis(3));
        }
        most = most.max(connections_to(port));
        assert!(most <= limit && most >= at_least, "{most} connections, {limit} allowed");
    }
}
