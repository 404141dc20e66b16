//! DANE end to end: zones that BIND signs and serves, exchangers on port 25 of loopback addresses, and the relay between them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sealpost_cert::{TrustAnchors, certificates_from_pem, verify_server};
use sealpost_types::{HostDemand, UnixMillis};

use crate::authority::Identity;
use crate::bind::{Bind, Signing, Zone};
use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay};

const LIMIT: Duration = Duration::from_secs(40);
const DANE_ONLY: &str = "[[partner]]\ndomains = 'bank.example'\ndeliver = 'dane-only'\n";

fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [low, high, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, low | 1, high.wrapping_add(77), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// `3 1 1` and the digest of the certificate's key.
fn tlsa(identity: &Identity) -> String {
    let chain = certificates_from_pem(identity.certificate.as_bytes()).unwrap();
    let verdict = verify_server(&[&chain[0]], &HostDemand::default(), &TrustAnchors::default(), UnixMillis(0));
    let pin = verdict.leaf.unwrap().pin;
    pin.0.iter().fold("3 1 1 ".to_owned(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// The zone of bank.example, whose exchanger is here and has these records.
fn zone(signing: Signing, address: Ipv4Addr, records: &[String]) -> Zone {
    let tlsa: String = records.iter().map(|record| format!("_25._tcp.mx.bank TLSA {record}\n")).collect();
    Zone { name: "example", signing, records: format!("$TTL 1\nbank MX 10 mx.bank.example.\nmx.bank A {address}\n{tlsa}") }
}

fn bind(zone: Zone) -> Bind {
    Bind::serving(&[Zone { name: "", signing: Signing::Nsec(ECDSA), records: String::new() }, zone])
}

fn validating(house: House, bind: &Bind) -> House {
    std::fs::write(house.file("root.key"), bind.anchor()).unwrap();
    house.also(&format!("[dns]\nservers = ['{}']\ndnssec = 'validate'\ntrust_anchor = 'root.key'\n", bind.address))
}

fn hand_in(house: &House, relay: &Relay) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("bank").as_bytes()).unwrap().code, 250);
}

const ECDSA: &str = "ECDSAP256SHA256";

/// What needs BIND, and root with a port 25 that nobody listens on.
mod with_bind_on_port_25 {
    use super::*;
    use crate::sink::{Behaviour, Sink, StartTls};

    /// The whole story: delivered under DANE, refused when the certificate is another one, delivered again when the record is.
    // req: E1
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn mail_goes_out_under_dane_only_while_certificate_and_record_agree() {
        // Nobody but the records vouches for these.
        let [first, second] = ["mx.bank.example", "elsewhere.example"].map(|name| Identity::self_signed(&[name]));
        let address = own_address();
        let mut bind = bind(zone(Signing::Nsec(ECDSA), address, &[tlsa(&first)]));
        let sink = Sink::start_at(SocketAddr::from((address, 25)), Behaviour::offering(&first));
        let house = validating(House::new().policy(DANE_ONLY), &bind);
        let relay = house.start();
        hand_in(&house, &relay);
        assert!(sink.wait_for(1, LIMIT)[0].tls.is_some());
        let history = house.wait_for_history(&["\"kind\":\"delivered\"", "\"dane\":{\"base\":\"mx.bank.example\"", "3 1 1 "], LIMIT);
        assert!(history.contains("\"host_secure\":true"), "{history}");

        // The certificate changes and the record does not: somebody else is there.
        relay.kill();
        sink.change(Behaviour::offering(&second));
        let relay = house.start_again();
        hand_in(&house, &relay);
        house.wait_for_history(&["Processing: Check TLS", "no certificate of the chain is what the TLSA records say"], LIMIT);
        assert_eq!(sink.message_count(), 1);
        assert!(!sink.said().iter().any(|said| said.session > 0 && !said.secure && said.line.starts_with("MAIL")));

        // The record of the new one stands beside the old one's: what waits goes out.
        bind.change(&zone(Signing::Nsec(ECDSA), address, &[tlsa(&first), tlsa(&second)]));
        assert_eq!(sink.wait_for(2, LIMIT).len(), 2);
        drop(relay);
    }

    /// What a domain publishes counts for all its mail, without any entry: RFC 7672 section 2.2.
    // req: E1
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn published_records_hold_without_an_entry_and_unless_an_entry_ignores_them() {
        let ignoring = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'opportunistic', ignore_published = true }\nreason = 'broken'\n\
                        until = '2099-01-01'\n";
        let dane_else = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'dane', else = 'verify' }\n";
        let (right, wrong) = (Identity::self_signed(&["mx.bank.example"]), Identity::self_signed(&["other.example"]));
        let unusable = vec!["1 1 1 ".to_owned() + &"ab".repeat(32)];
        // policy, how the zone is signed, records, whether the host has the right certificate or no TLS at all, what becomes of it
        for (policy, signing, records, certificate, delivered) in [
            ("", Signing::Nsec(ECDSA), vec![tlsa(&right)], Some(&right), true),
            ("", Signing::Nsec(ECDSA), vec![tlsa(&right)], Some(&wrong), false),
            ("", Signing::Nsec(ECDSA), vec![tlsa(&right)], None, false),
            (ignoring, Signing::Nsec(ECDSA), vec![tlsa(&right)], Some(&wrong), true),
            // records of a zone that is not signed are nobody's word
            ("", Signing::None, vec![tlsa(&right)], Some(&wrong), true),
            // of which none can be used: TLS, whatever the certificate
            ("", Signing::Nsec(ECDSA), unusable.clone(), Some(&wrong), true),
            ("", Signing::Nsec(ECDSA), unusable, None, false),
            // no records: what `else` says, which this certificate does not do
            (dane_else, Signing::Nsec(ECDSA), vec![], Some(&right), false),
            (dane_else, Signing::Nsec(ECDSA), vec![tlsa(&right)], Some(&right), true),
        ] {
            let address = own_address();
            let shown = format!("{policy} {records:?}");
            let bind = bind(zone(signing, address, &records));
            let behaviour = certificate.map_or_else(|| Behaviour::new(StartTls::Absent), Behaviour::offering);
            let sink = Sink::start_at(SocketAddr::from((address, 25)), behaviour);
            let house = validating(House::new().policy(policy), &bind);
            let relay = house.start();
            hand_in(&house, &relay);
            if delivered {
                assert!(sink.wait_for(1, LIMIT)[0].tls.is_some(), "{shown}");
            } else {
                house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
                // a second attempt would be the one in clear
                std::thread::sleep(Duration::from_secs(3));
                assert_eq!(sink.message_count(), 0, "{shown}");
                assert!(sink.mail_in_clear().is_empty(), "{shown}");
            }
        }
    }

    /// Mirrored mail is tried over TLS, with any certificate, at hosts that take nothing in clear. A host under DANE got it that way too when
    /// another host of the same domain said that it wants TLS.
    // req: E1
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn a_host_that_wants_tls_frees_no_other_from_dane() {
        let [right, wrong] = ["mx.bank.example", "other.example"].map(|name| Identity::self_signed(&[name]));
        // the second is the control: without records the first host takes it
        for (records, delivered) in [(vec![tlsa(&right)], false), (vec![], true)] {
            let [first, second] = [own_address(), own_address()];
            let mut zone = zone(Signing::Nsec(ECDSA), first, &records);
            zone.records.push_str(&format!("bank MX 20 backup.bank.example.\nbackup.bank A {second}\n"));
            let bind = bind(zone);
            let sink = Sink::start_at(SocketAddr::from((first, 25)), Behaviour::offering(&wrong));
            let strict =
                Behaviour { refuse: Some(("MAIL", "530 5.7.0 Must issue a STARTTLS command first")), ..Behaviour::new(StartTls::Absent) };
            let backup = Sink::start_at(SocketAddr::from((second, 25)), strict);
            let house = validating(House::new().policy("[defaults.external]\ndeliver = 'mirror'\n"), &bind);
            let relay = house.start();
            let mut client = Client::connect(relay.address).unwrap();
            client.expect("EHLO client.example", 250).unwrap();
            assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("bank").as_bytes()).unwrap().code, 250);
            if delivered {
                assert_eq!(sink.wait_for(1, LIMIT).len(), 1);
            } else {
                backup.wait_for_line("MAIL", LIMIT);
                std::thread::sleep(Duration::from_secs(3));
                assert_eq!(sink.message_count(), 0);
            }
        }
    }

    /// A zone that is signed wrongly is no zone without signatures (RFC 7672 section 2.1.2): the mail waits, and the history says for what.
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn b13_mail_for_a_bogus_zone_waits() {
        for signing in [Signing::Expired, Signing::None] {
            let address = own_address();
            let bind = bind(zone(signing, address, &[]));
            let sink = Sink::start_at(SocketAddr::from((address, 25)), Behaviour::new(StartTls::Absent));
            let house = validating(House::new(), &bind);
            let relay = house.start();
            hand_in(&house, &relay);
            if signing == Signing::None {
                // the control: unsigned is another matter
                assert_eq!(sink.wait_for(1, LIMIT).len(), 1);
            } else {
                house.wait_for_history(&["\"kind\":\"deferred\"", "bank.example fails DNSSEC validation (bogus)"], LIMIT);
                assert_eq!(sink.session_count(), 0);
            }
        }
    }

    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn explain_says_what_is_published_and_check_whether_it_counts() {
        let identity = Identity::self_signed(&["mx.bank.example"]);
        let bind = bind(zone(Signing::Nsec(ECDSA), own_address(), &[tlsa(&identity)]));
        let house = validating(House::new().policy(DANE_ONLY), &bind);
        house.write();
        let text = house.says(&["explain", "--from", "a@sender.example", "--to", "t@bank.example", "--dns"], 0);
        for words in ["DNSSEC validation works", "mx.bank.example", "1 secure TLSA record at mx.bank.example", "3 1 1 ", "TLSv1.2 or later"]
        {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        let json = house.says(&["explain", "--from", "a@sender.example", "--to", "t@bank.example", "--dns", "--json"], 0);
        assert!(json.contains("\"securely_known\":true"), "{json}");
        assert!(house.says(&["check"], 0).contains("DANE         is used where it is published"));
    }

    /// A resolver that validates is believed where the operator says so, and nowhere else.
    // req: E1
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn the_ad_bit_of_a_resolver_counts_only_where_it_is_trusted() {
        let (right, wrong) = (Identity::self_signed(&["mx.bank.example"]), Identity::self_signed(&["other.example"]));
        // whom the relay asks, what it is told of DNSSEC, the certificate, whether the mail goes out, and under DANE
        for (validating, dnssec, identity, delivered, dane) in [
            (true, "trust-ad", &right, true, true),
            (true, "trust-ad", &wrong, false, false),
            // the controls: the same bit, and nobody was told to believe it
            (true, "off", &wrong, true, false),
            // no bit, no proof
            (false, "trust-ad", &wrong, true, false),
        ] {
            let shown = format!("{validating} {dnssec} {delivered}");
            let address = own_address();
            let bind = bind(zone(Signing::Nsec(ECDSA), address, &[tlsa(&right)]));
            let resolver = bind.resolver();
            let asked = if validating { resolver.address } else { bind.address };
            let sink = Sink::start_at(SocketAddr::from((address, 25)), Behaviour::offering(identity));
            let house = House::new().also(&format!("[dns]\nservers = ['{asked}']\ndnssec = '{dnssec}'\n"));
            let relay = house.start();
            hand_in(&house, &relay);
            if delivered {
                assert!(sink.wait_for(1, LIMIT)[0].tls.is_some(), "{shown}");
                let history = house.wait_for_history(&["\"kind\":\"delivered\"", "teller@bank.example"], LIMIT);
                assert_eq!(history.contains("\"dane\":{\"base\":\"mx.bank.example\""), dane, "{shown}: {history}");
                assert_eq!(history.contains("\"host_secure\":true"), dane, "{shown}: {history}");
            } else {
                house.wait_for_history(&["Processing: Check TLS", "no certificate of the chain is what the TLSA records say"], LIMIT);
                assert_eq!(sink.message_count(), 0, "{shown}");
            }
        }
    }

    /// maddy: a message with `TLS-Required: No` left its connection to others, which were then not checked. What a domain publishes does not
    /// count for such a message, and for no other.
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn b10_mail_with_tls_required_no_opens_no_way_for_others() {
        let (right, wrong) = (Identity::self_signed(&["mx.bank.example"]), Identity::self_signed(&["other.example"]));
        let address = own_address();
        let bind = bind(zone(Signing::Nsec(ECDSA), address, &[tlsa(&right)]));
        let sink = Sink::start_at(SocketAddr::from((address, 25)), Behaviour::offering(&wrong));
        let house = validating(House::new(), &bind);
        let relay = house.start();
        let optional = |subject: &str| {
            let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
            let content = format!("TLS-Required: No\r\nSubject: {subject}\r\n\r\nx\r\n");
            assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], content.as_bytes()).unwrap().code, 250);
        };
        optional("first");
        sink.wait_for(1, LIMIT);
        let sessions = sink.session_count();
        hand_in(&house, &relay);
        house.wait_for_history(&["Processing: Check TLS", "no certificate of the chain is what the TLSA records say"], LIMIT);
        assert_eq!(sink.message_count(), 1);
        assert!(sink.session_count() > sessions, "it had a connection of its own");
        // The control: another message of that kind does use the open one.
        let sessions = sink.session_count();
        optional("second");
        sink.wait_for(2, LIMIT);
        assert_eq!(sink.session_count(), sessions);
    }

    /// The ping asks for what the delivery would.
    // req: A7
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn domains_test_looks_at_what_is_published() {
        let (right, wrong) = (Identity::self_signed(&["mx.bank.example"]), Identity::self_signed(&["other.example"]));
        for (policy, identity, code, words) in [
            (DANE_ONLY, &right, 0, "DANE: right by 3 1 1 "),
            (DANE_ONLY, &wrong, 1, "that is not enough for `dane-only`: mail would wait"),
            ("", &right, 0, "DANE: right by 3 1 1 "),
            ("", &wrong, 1, "that is not what the domain publishes: mail would wait"),
        ] {
            let address = own_address();
            let bind = bind(zone(Signing::Nsec(ECDSA), address, &[tlsa(&right)]));
            let _sink = Sink::start_at(SocketAddr::from((address, 25)), Behaviour::offering(identity));
            let house = validating(House::new().policy(policy), &bind);
            house.write();
            let said = house.says(&["domains", "test", "bank.example"], code);
            assert!(said.contains(words), "{said}");
        }
        // What cannot be found out is no answer.
        let bind = bind(zone(Signing::Expired, own_address(), &[]));
        let house = validating(House::new().policy(DANE_ONLY), &bind);
        house.write();
        house.says(&["domains", "test", "bank.example"], 2);
    }

    /// Where nobody sets the bit, a policy that needs it does not come into force.
    #[test]
    #[ignore = "needs bind9, root and port 25"]
    fn without_an_ad_bit_dane_only_is_refused_at_the_start() {
        let identity = Identity::self_signed(&["mx.bank.example"]);
        let bind = bind(zone(Signing::Nsec(ECDSA), own_address(), &[tlsa(&identity)]));
        let resolver = bind.resolver();
        for (asked, code) in [(bind.address, 1), (resolver.address, 0)] {
            let house = House::new().policy(DANE_ONLY).also(&format!("[dns]\nservers = ['{asked}']\ndnssec = 'trust-ad'\n"));
            house.write();
            let said = house.says(&["check"], code);
            assert_eq!(said.contains("without the AD bit: these name servers do not validate"), code == 1, "{said}");
        }
    }
}

/// What needs BIND, Postfix, and root with a port 25 that nobody listens on.
mod with_bind_and_postfix {
    use super::*;
    use crate::peers::Peer;

    /// The seen-to-work of DANE: a real Postfix gets the mail while its certificate is what the zone says, and no longer.
    // req: E1
    #[test]
    #[ignore = "needs bind9, Postfix, root and port 25"]
    fn postfix_gets_mail_under_dane_only_until_its_certificate_changes() {
        let [first, second] = ["mx.bank.example", "mx.bank.example"].map(|name| Identity::self_signed(&[name]));
        let address = SocketAddr::from((own_address(), 25));
        let std::net::IpAddr::V4(ip) = address.ip() else { unreachable!() };
        let bind = bind(zone(Signing::Nsec(ECDSA), ip, &[tlsa(&first)]));
        let house = validating(House::new().policy(DANE_ONLY), &bind);
        let peer = Peer::postfix_at(address, &first);
        let relay = house.start();
        hand_in(&house, &relay);
        let mail = String::from_utf8(peer.wait_for_mail(1, LIMIT).remove(0)).unwrap();
        assert!(mail.contains("using TLSv1.3 with cipher"), "{mail}");
        house.wait_for_history(&["\"kind\":\"delivered\"", "\"matched\":\"3 1 1 "], LIMIT);
        drop(peer);

        let peer = Peer::postfix_at(address, &second);
        relay.kill();
        let relay = house.start_again();
        hand_in(&house, &relay);
        house.wait_for_history(&["Processing: Check TLS", "no certificate of the chain is what the TLSA records say"], LIMIT);
        assert!(peer.mail().is_empty(), "{:?}", peer.mail());
    }
}
