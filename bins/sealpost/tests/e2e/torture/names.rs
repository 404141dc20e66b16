//! Name servers that say nothing, or lie: mail waits, or goes back to its sender, and never goes where a forger says.

/// What needs root and a port 25 that nobody listens on.
mod with_port_25 {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use crate::client::Client;
    use crate::content::message;
    use crate::dns::{Lie, NameServer, Record};
    use crate::relay::House;
    use crate::sink::{Behaviour, Sink};

    const LIMIT: Duration = Duration::from_secs(90);

    /// Each domain is lied about in one way, and what the history then says.
    const LIES: [(&str, Lie, &str); 7] = [
        ("silent.example", Lie::Silent, "no name server answered"),
        ("other-id.example", Lie::OtherId, "no name server answered"),
        ("other-question.example", Lie::OtherQuestion, "no name server answered"),
        ("other-source.example", Lie::OtherSource, "no name server answered"),
        ("truncated.example", Lie::Truncated, "could not be used"),
        ("failed.example", Lie::Failed, "the name server failed to answer"),
        ("garbage.example", Lie::Garbage, "no name server answered"),
    ];

    fn host(address: [u8; 4], behaviour: Behaviour) -> Sink {
        Sink::start_at(SocketAddr::from((Ipv4Addr::from(address), 25)), behaviour)
    }

    #[test]
    #[ignore = "needs root and port 25"]
    fn name_servers_that_lie_lose_nothing() {
        let house = House::new();
        let names: Vec<String> = LIES.iter().map(|(domain, ..)| format!("*.{domain}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let right = host([127, 0, 0, 65], Behaviour::offering(&house.authority.issue(&names)));
        // He has a good certificate too.
        let forger = host([127, 0, 0, 66], Behaviour::offering(&house.authority.issue(&names)));
        let records = LIES.iter().flat_map(|(domain, ..)| {
            let exchanger: &'static str = format!("mx.{domain}").leak();
            [(*domain, Record::Mx(10, exchanger)), (exchanger, Record::A(Ipv4Addr::new(127, 0, 0, 65)))]
        });
        let server = NameServer::start(records.collect());
        server.lies(&LIES.map(|(domain, lie, _)| (domain, lie)));
        let house = house.route("sender.example", right.address).policy("[defaults.external]\ndeliver = \"verify\"\n");
        let house = house.also(&server.table());
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        for (domain, ..) in LIES {
            let reply = client.send("alice@sender.example", &[&format!("bob@{domain}")], message("lie").as_bytes()).unwrap();
            assert_eq!(reply.code, 250);
        }
        for (domain, lie, word) in LIES {
            let history = house.wait_for_history(&["\"kind\":\"deferred\"", &format!("bob@{domain}")], LIMIT);
            let entry = history.lines().find(|line| line.contains("deferred") && line.contains(domain)).unwrap();
            assert!(entry.contains(word), "{lie:?}: {entry}");
        }
        assert_eq!((right.message_count(), forger.session_count()), (0, 0), "{:?}", forger.said());
        server.lies(&[]);
        let arrived = right.wait_for(LIES.len(), LIMIT);
        assert!(arrived.iter().all(|message| message.tls.is_some()));
        assert_eq!((arrived.len(), forger.session_count()), (LIES.len(), 0));
    }

    /// The negative control: an answer that fits is believed, as plain DNS is; the name in the certificate is what then counts. And a
    /// domain that is said not to be there goes back to the sender, who learns it: nothing vanishes.
    #[test]
    #[ignore = "needs root and port 25"]
    fn what_fits_is_believed() {
        let house = House::new();
        let forger = host([127, 0, 0, 67], Behaviour::offering(&house.authority.issue(&["mx.forger.example"])));
        let server = NameServer::start(vec![
            ("bank.example", Record::Mx(10, "mx.forger.example")),
            ("mx.forger.example", Record::A(Ipv4Addr::new(127, 0, 0, 67))),
            ("gone.example", Record::Mx(10, "mx.gone.example")),
        ]);
        server.lies(&[("gone.example", Lie::Gone)]);
        let sender = Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
        let house = house.route("sender.example", sender.address).policy("[defaults.external]\ndeliver = \"verify\"\n");
        let house = house.also(&server.table());
        let relay = house.start();
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        for to in ["teller@bank.example", "bob@gone.example"] {
            assert_eq!(client.send("alice@sender.example", &[to], message("fits").as_bytes()).unwrap().code, 250);
        }
        house.wait_for_history(&["Processing: Check TLS", "teller@bank.example"], LIMIT);
        assert!(forger.session_count() > 0 && forger.message_count() == 0);
        let notice = sender.wait_for(1, LIMIT).remove(0);
        let text = String::from_utf8_lossy(&notice.content).into_owned();
        assert!(notice.from.is_empty() && text.contains("bob@gone.example"), "{text}");
    }
}
