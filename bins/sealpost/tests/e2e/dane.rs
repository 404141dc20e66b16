//! DANE end to end: zones that BIND signs and serves, exchangers on port 25 of loopback addresses, and the relay between them.

/// What needs BIND, and root with a port 25 that nobody listens on.
mod with_bind_on_port_25 {
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
    use crate::sink::{Behaviour, Sink, StartTls};

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
}
