//! Hosts whose TLSA records cannot be looked up: what to ask of them is not known. (A7, B7)

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use crate::dns::{Lie, NameServer, Record};
use crate::equipment::{Sink, ends, probe};

/// A name server in front of another one. It says that everything is proven, and SERVFAIL of the root, so that this is not ruled out.
fn proving(dns: &NameServer) -> SocketAddr {
    let [front, back] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let (address, behind) = (front.local_addr().unwrap(), dns.address);
    thread::spawn(move || {
        let mut packet = [0; 1500];
        loop {
            let (length, from) = front.recv_from(&mut packet).unwrap();
            let answer = if packet[12] == 0 {
                [&packet[..2], &[0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0], &packet[12..17]].concat()
            } else {
                back.send_to(&packet[..length], behind).unwrap();
                let (length, _) = back.recv_from(&mut packet).unwrap();
                // the AD bit
                packet[3] |= 0x20;
                packet[..length].to_vec()
            };
            front.send_to(&answer, from).unwrap();
        }
    });
    address
}

/// `ping` said "there are none that can be used" where nobody had answered.
// req: A7 B7
#[test]
fn a_lookup_that_failed_is_no_answer() {
    let sink = Sink::start(&["--name", "mx.bank.example"]);
    let dns = NameServer::start(vec![("mx.bank.example", Record::A(Ipv4Addr::LOCALHOST))]);
    let (server, asked) = (format!("mx.bank.example:{}", sink.address.port()), proving(&dns).to_string());
    let run = |command: &[&str], level: &str, dnssec: &str, code: i32| {
        ends(&probe(&[command, &["--level", level, "--dns", &asked, "--dnssec", dnssec]].concat()), code)
    };
    let (ping, send) = (["ping", &server], ["send", "--to", "bob@bank.example", "--server", &server]);
    // the control: that there are none is an answer
    assert!(run(&ping, "dane-only", "trust-ad", 1).contains("there are none that can be used"));
    run(&send, "dane", "trust-ad", 0);
    dns.lies(&[("_tcp.mx.bank.example", Lie::Failed)]);
    for level in ["dane", "dane-only"] {
        let said = run(&ping, level, "trust-ad", 2);
        assert!(said.contains(" could not be tested: its TLSA records could not be looked up: "), "{said}");
        let said = run(&send, level, "trust-ad", 2);
        assert!(said.contains("not sent: mx.bank.example: its TLSA records could not be looked up: "), "{said}");
        for command in [&ping[..], &send] {
            let said = run(command, level, "off", 2);
            assert!(said.contains("nothing proves here what the DNS says"), "{said}");
        }
    }
    // the control: of a server that somebody named, no other level asks for records
    run(&ping, "require", "trust-ad", 0);
    run(&send, "require", "trust-ad", 0);
    assert_eq!(sink.told("message", 2).len(), 2);
}

mod with_port_25 {
    use super::*;

    /// `send` gave the message to a host that the relay passes over (RFC 7672 section 2.1.2).
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_mail_exchanger_is_passed_over_as_the_relay_does() {
        let start = |address: &str, name: &str| Sink::start_at(address, &["--name", name]);
        let (first, second) = (start("127.0.64.1:25", "mx1.bank.example"), start("127.0.64.2:25", "mx2.bank.example"));
        let dns = NameServer::start(vec![
            ("bank.example", Record::Mx(10, "mx1.bank.example")),
            ("bank.example", Record::Mx(20, "mx2.bank.example")),
            ("mx1.bank.example", Record::A([127, 0, 64, 1].into())),
            ("mx2.bank.example", Record::A([127, 0, 64, 2].into())),
        ]);
        let asked = proving(&dns).to_string();
        let send = |code: i32| ends(&probe(&["send", "--to", "bob@bank.example", "--dns", &asked, "--dnssec", "trust-ad"]), code);
        let failed = |names: [&'static str; 2]| dns.lies(&names.map(|name| (name, Lie::Failed)));
        failed(["_tcp.mx1.bank.example"; 2]);
        let said = send(0);
        assert!(said.contains("passed over: mx1.bank.example: its TLSA records could not be looked up: "), "{said}");
        assert_eq!((second.told("message", 1).len(), first.messages().len()), (1, 0));
        failed(["_tcp.mx1.bank.example", "_tcp.mx2.bank.example"]);
        let said = send(2);
        assert!(said.contains("not sent: mx2.bank.example: its TLSA records could not be looked up: "), "{said}");
        // the control
        dns.lies(&[]);
        send(0);
        assert_eq!((first.told("message", 1).len(), second.messages().len()), (1, 1));
    }
}
