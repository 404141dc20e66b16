//! MTA-STS end to end: a policy that Python serves over HTTPS, records that BIND serves, exchangers on port 25, and the relay between them.

/// What needs BIND, Python, and root with ports 25 and 443 that nobody listens on.
pub(crate) mod with_web_on_port_443 {
    use std::fmt::Write as _;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::{Duration, Instant};

    use sealpost_cert::{TrustAnchors, certificates_from_pem, verify_server};
    use sealpost_types::{HostDemand, UnixMillis};

    use crate::authority::Identity;
    use crate::bind::{Bind, Signing, Zone};
    use crate::client::Client;
    use crate::content::message;
    use crate::relay::{House, Relay};
    use crate::sink::{Behaviour, Sink, StartTls};
    use crate::web::Web;

    pub(crate) const LIMIT: Duration = Duration::from_secs(40);
    const ECDSA: &str = "ECDSAP256SHA256";
    pub(crate) const TELLER: &str = "teller@bank.example";

    fn own_address() -> Ipv4Addr {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, low | 1, high.wrapping_add(155), NEXT.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) fn policy(mode: &str, mx: &str) -> String {
        format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n")
    }

    /// The bank: its exchanger, the host of its policy, and the zone that tells of both.
    pub(crate) struct Bank {
        bind: Bind,
        pub(crate) web: Web,
        pub(crate) sink: Sink,
        addresses: [Ipv4Addr; 2],
        signing: Signing,
        more: String,
    }

    impl Bank {
        /// With this policy under the id 1. The zone has `more` records.
        pub(crate) fn new(house: &House, behaviour: Behaviour, policy: &str, signing: Signing, more: &str) -> Self {
            let addresses = [own_address(), own_address()];
            let sink = Sink::start_at(SocketAddr::from((addresses[0], 25)), behaviour);
            let web = Web::start(addresses[1], &house.authority.issue(&["mta-sts.bank.example"]), policy);
            let root = Zone { name: "", signing, records: String::new() };
            let bind = Bind::serving(&[root, zone(addresses, signing, Some("1"), more)]);
            Self { bind, web, sink, addresses, signing, more: more.to_owned() }
        }

        /// Another id in DNS.
        pub(crate) fn announce(&mut self, id: &str) {
            self.bind.change(&zone(self.addresses, self.signing, Some(id), &self.more));
        }

        /// Somebody stands in for it: spoofs its record, and lets nobody to its policy.
        pub(crate) fn is_taken_over(&mut self, house: &House) {
            self.web.stop();
            self.announce("spoofed");
            self.sink.change(Shows::OtherName.behaviour(house));
        }

        /// A relay that asks this name server.
        pub(crate) fn known_to(&self, house: House) -> House {
            if self.signing == Signing::None {
                return house.also(&format!("[dns]\nservers = ['{}']\ndnssec = 'off'\n", self.bind.address));
            }
            std::fs::write(house.file("root.key"), self.bind.anchor()).unwrap();
            house.also(&format!("[dns]\nservers = ['{}']\ndnssec = 'validate'\ntrust_anchor = 'root.key'\n", self.bind.address))
        }

        fn saw_nothing_in_clear(&self) -> bool {
            self.sink.mail_in_clear().is_empty()
        }
    }

    fn zone([mx, web]: [Ipv4Addr; 2], signing: Signing, id: Option<&str>, more: &str) -> Zone {
        let mut records =
            format!("$TTL 1\nbank MX 10 mx.bank.example.\nmx.bank A {mx}\nmta-sts.bank A {web}\nshop MX 10 mx.bank.example.\n{more}");
        if let Some(id) = id {
            write!(records, "_mta-sts.bank TXT \"v=STSv1; id={id};\"\n_mta-sts.bank TXT \"something else\"\n").unwrap();
        }
        Zone { name: "example", signing, records }
    }

    pub(crate) fn hand_in(house: &House, relay: &Relay, to: &[&str]) {
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        assert_eq!(client.send("alice@sender.example", to, message("bank").as_bytes()).unwrap().code, 250);
    }

    /// What the exchanger has for a certificate.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Shows {
        Right,
        OtherName,
        SelfSigned,
        NoTls,
    }

    impl Shows {
        pub(crate) fn behaviour(self, house: &House) -> Behaviour {
            match self {
                Self::Right => Behaviour::offering(&house.authority.issue(&["mx.bank.example"])),
                Self::OtherName => Behaviour::offering(&house.authority.issue(&["bank.example", "other.example"])),
                Self::SelfSigned => Behaviour::offering(&Identity::self_signed(&["mx.bank.example"])),
                Self::NoTls => Behaviour::new(StartTls::Absent),
            }
        }
    }

    /// RFC 8461 section 5, without any entry in the policy of the relay.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn enforce_goes_to_named_hosts_with_the_right_certificate_and_testing_goes_everywhere() {
        use Shows::{NoTls, OtherName, Right, SelfSigned};
        for (mode, mx, shows, outcome) in [
            ("enforce", "mx.bank.example", Right, Ok("\"sts\":{\"mode\":\"enforce\",\"id\":\"1\"}")),
            ("enforce", "*.bank.example", Right, Ok("\"sts\":{\"mode\":\"enforce\",\"id\":\"1\"}")),
            ("enforce", "mx.bank.example", OtherName, Err("mx.bank.example")),
            ("enforce", "mx.bank.example", SelfSigned, Err("self-signed")),
            ("enforce", "mx.bank.example", NoTls, Err("the server does not offer STARTTLS")),
            ("enforce", "*.mx.bank.example", Right, Err("mx.bank.example is not named by the MTA-STS policy")),
            ("testing", "mx.bank.example", Right, Ok("\"sts\":{\"mode\":\"testing\",\"id\":\"1\"}")),
            ("testing", "mx.bank.example", OtherName, Ok("\"sts\":{\"mode\":\"testing\",\"id\":\"1\",\"lack\":\"")),
            ("testing", "mx.bank.example", SelfSigned, Ok("\"sts\":{\"mode\":\"testing\",\"id\":\"1\",\"lack\":\"")),
            ("testing", "mx.bank.example", NoTls, Ok("\"sts\":{\"mode\":\"testing\",\"id\":\"1\",\"lack\":\"it went in clear\"}")),
            ("testing", "*.mx.bank.example", Right, Ok("\"lack\":\"the policy does not name the host\"")),
            ("none", "mx.bank.example", OtherName, Ok("\"kind\":\"delivered\"")),
        ] {
            let shown = format!("{mode} {mx} {shows:?}");
            let house = House::new();
            let bank = Bank::new(&house, shows.behaviour(&house), &policy(mode, mx), Signing::None, "");
            let house = bank.known_to(house);
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            match outcome {
                Ok(words) => {
                    assert_eq!(bank.sink.wait_for(1, LIMIT)[0].tls.is_some(), shows != NoTls, "{shown}");
                    house.wait_for_history(&["\"kind\":\"delivered\"", words], LIMIT);
                }
                Err(words) => {
                    house.wait_for_history(&["Processing: Check TLS", words], LIMIT);
                    // a second attempt would be the one in clear
                    std::thread::sleep(Duration::from_secs(3));
                    assert_eq!(bank.sink.message_count(), 0, "{shown}");
                    assert!(bank.saw_nothing_in_clear(), "{shown}");
                    // B4: it is a matter of now, whatever it is that is wrong.
                    assert!(!house.history().contains("\"kind\":\"bounced\""), "{shown}");
                }
            }
            assert_eq!(bank.web.fetches(), 1, "{shown}");
        }
    }

    /// The controls of the test above, and the ways out.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn what_does_not_count_is_not_obeyed() {
        let ignoring = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'opportunistic', ignore_published = true }\nreason = 'broken'\n\
                        until = '2099-01-01'\n";
        let wrong = policy("enforce", "mx.bank.example");
        let void = "version: STSv1\nmode: enforce\nnmx: mx.bank.example\nmax_age: 604800\n";
        // policy of the relay, its own file, the policy of the bank, whether it is fetched
        for (entries, settings, published, fetched) in [
            (ignoring, "", wrong.as_str(), false),
            ("", "[mta_sts]\nenabled = false\n", &wrong, false),
            // Zuplu/postfix-tlspol #95: a policy that is void stops no mail
            ("", "", void, true),
        ] {
            let house = House::new();
            let bank = Bank::new(&house, Shows::OtherName.behaviour(&house), published, Signing::None, "");
            let house = bank.known_to(house).policy(entries).also(settings);
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            assert!(bank.sink.wait_for(1, LIMIT)[0].tls.is_some());
            assert_eq!(bank.web.fetches(), usize::from(fetched));
            if fetched {
                house.wait_for_history(
                    &["\"kind\":\"delivered\"", "the MTA-STS policy of mta-sts.bank.example is void: the policy has no mx"],
                    LIMIT,
                );
            }
        }
    }

    /// RFC 8461 section 3.4: a policy is the recipient domain's word about its own MX, not about a next hop that somebody else chose.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn a_route_is_under_no_policy() {
        let house = House::new();
        let bank = Bank::new(&house, Shows::OtherName.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        let house = bank.known_to(house).route("bank.example", bank.sink.address);
        let relay = house.start();
        hand_in(&house, &relay, &[TELLER]);
        assert!(bank.sink.wait_for(1, LIMIT)[0].tls.is_some());
        assert_eq!(bank.web.fetches(), 0);
    }

    /// KumoMTA: a remote `testing` policy made an operator's own requirement an opportunistic one.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn b3_testing_lowers_nothing_that_an_entry_asks() {
        let entry = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'verify', match = 'mx' }\n";
        for (shows, delivered) in [(Shows::SelfSigned, false), (Shows::Right, true)] {
            let house = House::new();
            let bank = Bank::new(&house, shows.behaviour(&house), &policy("testing", "mx.bank.example"), Signing::None, "");
            let house = bank.known_to(house).policy(entry);
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            if delivered {
                assert_eq!(bank.sink.wait_for(1, LIMIT).len(), 1);
            } else {
                house.wait_for_history(&["Processing: Check TLS", "\"mode\":\"testing\""], LIMIT);
                std::thread::sleep(Duration::from_secs(3));
                assert_eq!(bank.sink.message_count(), 0);
            }
        }
    }

    /// Stalwart and KumoMTA: a spoofed id and a blocked fetch, or a restart, switched a policy off (RFC 8461 section 5.1).
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn b1_b2_a_policy_outlives_a_blocked_fetch_another_id_and_a_restart() {
        let house = House::new();
        let mut bank = Bank::new(&house, Shows::Right.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        let relay = house.start();
        hand_in(&house, &relay, &[TELLER]);
        bank.sink.wait_for(1, LIMIT);
        // In order, so that the delivery is recorded: it would be made again.
        relay.terminate();
        relay.wait(LIMIT);

        bank.is_taken_over(&house);
        let relay = house.start_again();
        hand_in(&house, &relay, &[TELLER]);
        let history = house.wait_for_history(&["Processing: Check TLS", "\"mode\":\"enforce\",\"id\":\"1\"", "cannot be fetched"], LIMIT);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(bank.sink.message_count(), 1, "{history}");
        let explained = house.says(&["explain", "--from", "a@sender.example", "--to", TELLER, "--dns"], 0);
        assert!(explained.contains("MTA-STS: enforce, policy 1") && explained.contains("cannot be fetched"), "{explained}");
        relay.kill();

        // The control: a relay that keeps nothing has nothing to go by.
        std::fs::remove_dir_all(house.file("data/mta-sts")).unwrap();
        let relay = house.start_again();
        assert_eq!(bank.sink.wait_for(2, LIMIT).len(), 2);
        drop(relay);
    }

    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn another_id_brings_another_policy() {
        let house = House::new();
        let mut bank = Bank::new(&house, Shows::Right.behaviour(&house), &policy("enforce", "old.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        let relay = house.start();
        hand_in(&house, &relay, &[TELLER]);
        house.wait_for_history(&["Processing: Check TLS", "is not named by the MTA-STS policy"], LIMIT);
        bank.web.publish(&policy("enforce", "mx.bank.example"));
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!((bank.sink.session_count(), bank.web.fetches()), (0, 1), "the id is the same");
        bank.announce("2");
        assert!(bank.sink.wait_for(1, LIMIT)[0].tls.is_some());
        house.wait_for_history(&["\"kind\":\"delivered\"", "\"sts\":{\"mode\":\"enforce\",\"id\":\"2\"}"], LIMIT);
        assert_eq!(bank.web.fetches(), 2);
        drop(relay);
    }

    /// KumoMTA #484: one domain's broken policy blocked, or freed, another's mail that goes to the same exchanger.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn the_policy_of_a_domain_rules_its_own_mail_alone() {
        let house = House::new();
        let bank = Bank::new(&house, Shows::OtherName.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        let relay = house.start();
        for _ in 0..2 {
            hand_in(&house, &relay, &[TELLER, "clerk@shop.example"]);
        }
        let messages = bank.sink.wait_for(2, LIMIT);
        house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(bank.sink.message_count(), 2);
        assert!(
            messages.iter().all(|message| message.to == ["<clerk@shop.example>"] || message.to == ["clerk@shop.example"]),
            "{messages:?}"
        );
        // The control: with the right certificate the bank gets its own.
        bank.sink.change(Shows::Right.behaviour(&house));
        assert_eq!(bank.sink.wait_for(4, LIMIT).len(), 4);
        drop(relay);
    }

    /// `3 1 1` and the digest of the certificate's key.
    fn tlsa(identity: &Identity) -> String {
        let chain = certificates_from_pem(identity.certificate.as_bytes()).unwrap();
        let pin = verify_server(&[&chain[0]], &HostDemand::default(), &TrustAnchors::default(), UnixMillis(0)).leaf.unwrap().pin;
        let digest: String = pin.0.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("_25._tcp.mx.bank TLSA 3 1 1 {digest}\n")
    }

    /// Snawoot/postfix-mta-sts-resolver #67: an MTA-STS policy overrode DANE that fails (RFC 8461 section 2).
    // req: E1, E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn dane_comes_first_and_is_not_rescued() {
        let own = Identity::self_signed(&["elsewhere.example"]);
        let other = Identity::self_signed(&["mx.bank.example"]);
        let good = policy("enforce", "mx.bank.example");
        // what the exchanger shows, its TLSA record, the policy, whether mail goes out
        for (shows_own, record, published, delivered) in [
            (true, tlsa(&own), good.clone(), true),
            (true, tlsa(&own), policy("enforce", "other.bank.example"), true),
            (false, tlsa(&other), good.clone(), false),
            // the control: without the record, the policy is what counts
            (false, String::new(), good.clone(), true),
            (true, String::new(), good, false),
        ] {
            let house = House::new();
            let behaviour = if shows_own { Behaviour::offering(&own) } else { Shows::Right.behaviour(&house) };
            let bank = Bank::new(&house, behaviour, &published, Signing::Nsec(ECDSA), &record);
            let house = bank.known_to(house);
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            if delivered {
                assert!(bank.sink.wait_for(1, LIMIT)[0].tls.is_some(), "{shows_own} {record}");
            } else {
                house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
                std::thread::sleep(Duration::from_secs(3));
                assert_eq!(bank.sink.message_count(), 0, "{shows_own} {record}");
                assert!(bank.saw_nothing_in_clear());
            }
        }
    }

    /// Whoever disturbs the DNS, so that nobody knows whether there is a policy, must not get mail in clear by disturbing TLS too.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn mail_does_not_fall_back_to_clear_while_it_is_not_known_whether_there_is_a_policy() {
        let entries = "[defaults.external]\ndeliver = { level = 'opportunistic', clear_fallback = 'immediate' }\n";
        // the second is the control: it is known that there is none
        for (record, delivered) in [("_mta-sts.bank NS ns.dead.example.\n", false), ("", true)] {
            let house = House::new();
            let mut bank = Bank::new(&house, Behaviour::new(StartTls::Refused), "", Signing::None, "");
            bank.bind.change(&zone(bank.addresses, Signing::None, None, record));
            let house = bank.known_to(house).policy(entries);
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            if delivered {
                assert!(bank.sink.wait_for(1, LIMIT)[0].tls.is_none());
            } else {
                house.wait_for_history(&["Processing: Check TLS", "whether there is an MTA-STS policy could not be found out"], LIMIT);
                std::thread::sleep(Duration::from_secs(3));
                assert!(bank.saw_nothing_in_clear());
            }
        }
    }

    /// RFC 8460 section 4.3.2: what a report says of MTA-STS.
    // req: E2, E3
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn reports_tell_what_came_of_the_policy() {
        let good = policy("enforce", "mx.bank.example");
        let asks = "_smtp._tls.bank TXT \"v=TLSRPTv1; rua=mailto:tls@bank.example\"\n";
        for (published, shows, told) in [
            (
                good.clone(),
                Shows::Right,
                vec![
                    "\"policy-type\":\"sts\"",
                    "mode: enforce",
                    "\"mx-host\":[\"mx.bank.example\"]",
                    "\"total-successful-session-count\":1",
                ],
            ),
            (good.clone(), Shows::OtherName, vec!["\"policy-type\":\"sts\"", "certificate-host-mismatch"]),
            (good, Shows::NoTls, vec!["\"policy-type\":\"sts\"", "starttls-not-supported"]),
            (policy("testing", "mx.bank.example"), Shows::OtherName, vec!["mode: testing", "certificate-host-mismatch"]),
            (
                policy("enforce", "old.bank.example"),
                Shows::Right,
                vec!["\"policy-type\":\"sts\"", "validation-failure", "mx-not-in-policy"],
            ),
            ("no policy".to_owned(), Shows::Right, vec!["sts-policy-invalid", "no-policy-found"]),
        ] {
            let house = House::new();
            let bank = Bank::new(&house, shows.behaviour(&house), &published, Signing::None, asks);
            let house = bank.known_to(house).also("[tlsrpt]\nenabled = true\n");
            let relay = house.start();
            hand_in(&house, &relay, &[TELLER]);
            let end = Instant::now() + LIMIT;
            loop {
                let text = house.says(&["tlsrpt", "preview", "--json"], 0);
                if told.iter().all(|words| text.contains(words)) {
                    break;
                }
                assert!(Instant::now() < end, "{published} {shows:?}: no {told:?} in {text}");
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }

    /// A host that takes the connection and says nothing: mail is late by `timeout` once, and not for good.
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn a_host_of_a_policy_that_says_nothing_does_not_stop_mail() {
        let house = House::new();
        let mut bank = Bank::new(&house, Shows::OtherName.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        bank.web.stop();
        let silent = std::net::TcpListener::bind((bank.addresses[1], 443)).unwrap();
        let house = bank.known_to(house).also("[mta_sts]\ntimeout = '2s'\n");
        let relay = house.start();
        let start = Instant::now();
        hand_in(&house, &relay, &[TELLER]);
        bank.sink.wait_for(1, Duration::from_secs(20));
        assert!(start.elapsed() >= Duration::from_secs(2), "it was waited for");
        house.wait_for_history(&["\"kind\":\"delivered\"", "the TLS handshake did not end within 2 s"], LIMIT);
        drop(silent);
    }

    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn explain_and_check_tell_of_the_policy() {
        let house = House::new();
        let bank = Bank::new(&house, Shows::Right.behaviour(&house), &policy("enforce", "other.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        house.write();
        let explain = ["explain", "--from", "a@sender.example", "--to", TELLER, "--dns"];
        let text = house.says(&explain, 0);
        for words in
            ["MTA-STS: enforce, policy 1, hosts other.bank.example", "holds until", "-> not used: the MTA-STS policy does not name it"]
        {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&house.says(&[&explain[..], &["--json"]].concat(), 0)).unwrap();
        let found = &json["deliver"]["dns"]["mta_sts"];
        assert_eq!((found["mode"].as_str(), found["mx"][0].as_str()), (Some("enforce"), Some("other.bank.example")), "{json}");
        bank.web.publish("no policy");
        let text = house.says(&explain, 0);
        assert!(text.contains("MTA-STS: the MTA-STS policy of mta-sts.bank.example is void"), "{text}");
        let json = house.says(&[&explain[..], &["--json"]].concat(), 0);
        assert!(json.contains("\"failure\":\"sts-policy-invalid\""), "{json}");
        assert!(house.says(&["check"], 0).contains("MTA-STS      is used where it is published"));
    }
}
