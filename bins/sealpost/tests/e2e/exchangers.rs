//! Mail that goes to the hosts that a domain's MX records name. These listen on port 25, on loopback addresses of this process.

/// What needs root and a port 25 that nobody listens on.
mod with_port_25 {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;

    use crate::client::Client;
    use crate::content::message;
    use crate::dns::{NameServer, Record};
    use crate::relay::{House, Relay};
    use crate::sink::{Behaviour, Sink, StartTls};

    const LIMIT: Duration = Duration::from_secs(30);

    fn own_address() -> Ipv4Addr {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, low | 1, high, NEXT.fetch_add(1, Ordering::SeqCst))
    }

    fn exchanger(address: Ipv4Addr, behaviour: Behaviour) -> Sink {
        Sink::start_at(SocketAddr::from((address, 25)), behaviour)
    }

    /// Hands in one message for the bank; a sink gets what goes to the sender.
    fn send(house: House, policy: &str, server: &NameServer, sender: &Sink) -> (House, Relay) {
        let house = house.route("sender.example", sender.address).policy(policy).also(&server.table());
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("bank").as_bytes()).unwrap().code, 250);
        (house, relay)
    }

    fn partner(deliver: &str) -> String {
        format!("[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliver = {deliver}\n")
    }

    // req: A5
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_host_without_tls_is_passed_over() {
        let (house, sender) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
        let (first, second) = (own_address(), own_address());
        let without = exchanger(first, Behaviour::new(StartTls::Absent));
        let with = exchanger(second, Behaviour::offering(&house.authority.issue(&["mx2.bank.example"])));
        let server = NameServer::start(vec![
            ("bank.example", Record::Mx(20, "mx2.bank.example")),
            ("bank.example", Record::Mx(10, "mx1.bank.example")),
            ("mx1.bank.example", Record::A(first)),
            ("mx2.bank.example", Record::A(second)),
        ]);
        let (_house, _relay) = send(house, &partner("\"require\""), &server, &sender);
        assert!(with.wait_for(1, LIMIT)[0].tls.is_some());
        assert_eq!(without.session_count(), 1, "the preferred host is tried first");
        assert!(without.mail_in_clear().is_empty());
    }

    /// Whoever forges the MX answer has a good certificate for a name of his own.
    // req: B8
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_host_of_another_domain_is_not_verified_by_its_own_name() {
        // the second round is the negative control: the operator says that names from plain DNS will do
        for (deliver, delivered) in [("\"verify\"", false), ("{ level = \"verify\", match = \"mx\" }", true)] {
            let (house, sender) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
            let address = own_address();
            let forger = exchanger(address, Behaviour::offering(&house.authority.issue(&["mx.forger.example"])));
            let server =
                NameServer::start(vec![("bank.example", Record::Mx(10, "mx.forger.example")), ("mx.forger.example", Record::A(address))]);
            let (house, _relay) = send(house, &partner(deliver), &server, &sender);
            if delivered {
                assert!(forger.wait_for(1, LIMIT)[0].tls.is_some());
                // the proof says what the verification rests on
                house.wait_for_history(&["\"kind\":\"delivered\"", "\"insecure_name\":\"mx.forger.example\""], LIMIT);
            } else {
                house.wait_for_history(&["Processing: Check TLS", "bank.example"], LIMIT);
                assert_eq!(forger.message_count(), 0);
                assert!(!forger.said().iter().any(|said| said.line.starts_with("MAIL")));
            }
        }
    }

    // req: B8
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_host_below_the_domain_is_verified() {
        let (house, sender) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
        let address = own_address();
        let bank = exchanger(address, Behaviour::offering(&house.authority.issue(&["mx.bank.example"])));
        let server = NameServer::start(vec![("bank.example", Record::Mx(10, "mx.bank.example")), ("mx.bank.example", Record::A(address))]);
        let (house, _relay) = send(house, &partner("\"verify\""), &server, &sender);
        assert!(bank.wait_for(1, LIMIT)[0].tls.is_some());
        let history = house.wait_for_history(&["\"kind\":\"delivered\""], LIMIT);
        assert!(!history.contains("insecure_name"), "{history}");
    }

    /// RFC 5321 section 5.1: without MX records, the domain's own address.
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_domain_without_mx_is_its_own_host() {
        let (house, sender) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
        let address = own_address();
        let bank = exchanger(address, Behaviour::offering(&house.authority.issue(&["bank.example"])));
        let server = NameServer::start(vec![("bank.example", Record::A(address))]);
        let (_house, _relay) = send(house, "", &server, &sender);
        assert!(bank.wait_for(1, LIMIT)[0].tls.is_some());
    }

    /// RFC 7505: a domain that says it takes no mail; and one that is not there. The sender learns it at once.
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_domain_that_takes_no_mail_bounces() {
        for records in [vec![("bank.example", Record::Mx(0, "."))], Vec::new()] {
            let (house, sender) = (House::new(), Sink::start(Behaviour::new(StartTls::Absent)));
            let server = NameServer::start(records);
            let (house, _relay) = send(house, "", &server, &sender);
            let notification = sender.wait_for(1, LIMIT).remove(0);
            assert_eq!((notification.from.as_str(), notification.to[0].as_str()), ("", "alice@sender.example"));
            let text = String::from_utf8_lossy(&notification.content).into_owned();
            assert!(text.contains("Action: failed") && text.contains("teller@bank.example"), "{text}");
            house.wait_for_history(&["teller@bank.example", "bounced"], LIMIT);
        }
    }
}
