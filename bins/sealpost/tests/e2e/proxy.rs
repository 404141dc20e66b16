//! Listeners behind a proxy that speaks the PROXY protocol.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::relay::{House, Relay, finish, free_address};
use crate::sink::{Behaviour, Sink, StartTls};
use crate::wire::Wire;

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "alice@sender.example";
const TO: &str = "bob@partner.example";
const SMALL: &[u8] = b"Subject: x\r\n\r\nx\r\n";

/// A relay that trusts 203.0.113.7 and loopback, with two more listeners: one behind a proxy on loopback, and one behind a
/// proxy that does not exist.
struct Behind {
    relay: Relay,
    sink: Sink,
    house: House,
    proxied: SocketAddr,
    unproxied: SocketAddr,
}

impl Behind {
    fn new(tls: &str) -> Self {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let (proxied, unproxied) = (free_address(), free_address());
        let listener = |address, proxy| format!("[[listener]]\naddress = \"{address}\"\ntls = \"{tls}\"\nproxy = [\"{proxy}\"]\n");
        let house = House::to(&sink).also(&listener(proxied, "127.0.0.1/32")).also(&listener(unproxied, "192.0.2.10/32"));
        house.write();
        let trusting = house.config_text().replace("\"127.0.0.0/8\"", "\"127.0.0.0/8\", \"203.0.113.7/32\", \"2001:db8::7/128\"");
        std::fs::write(house.config(), trusting).unwrap();
        Self { relay: house.start_again(), sink, house, proxied, unproxied }
    }

    /// A connection that begins with these octets, under TLS behind them if so.
    fn client(&self, octets: &[u8], tls: bool) -> io::Result<Client> {
        let mut client = Client { wire: Wire::new(TcpStream::connect(self.proxied)?)? };
        client.wire.send(octets)?;
        if tls {
            client.wire.connect_tls(self.house.authority.client(), "relay.test")?;
        }
        match client.reply()? {
            reply if reply.code == 220 => {}
            reply => return Err(io::Error::other(reply.text)),
        }
        client.expect("EHLO client.example", 250)?;
        Ok(client)
    }
}

/// What a proxy says for a client: version 1.
fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4000 25\r\n").into_bytes()
}

/// The same in version 2.
fn v2(client: [u8; 4]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &client[..], &[127, 0, 0, 1], &[0x0f, 0xa0, 0, 25]].concat()
}

// req: E5
#[test]
fn proxy() {
    let behind = Behind::new("starttls");
    let refused = behind.client(&v1("203.0.113.8"), false).unwrap().send(FROM, &[TO], SMALL).unwrap_err();
    assert!(refused.to_string().contains("550 5.7.1"), "the proxy's own right is not the client's: {refused}");
    let mut client = behind.client(&v2([203, 0, 113, 7]), false).unwrap();
    client.start_tls(&behind.house.authority.client()).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    let arrived = behind.sink.wait_for(1, LIMIT);
    assert!(String::from_utf8_lossy(&arrived[0].content).contains("([203.0.113.7])"));
    behind.house.wait_for_history(&["received", TO, "203.0.113.7:4000"], LIMIT);

    let silent = behind.client(b"EHLO client.example\r\n", false).err().unwrap();
    assert!([io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&silent.kind()), "{silent}");
    let log = behind.relay.log();
    assert!(log.contains("closed: the connection begins with \"EHLO client.example"), "{log}");

    let checked = String::from_utf8(behind.house.run(&["check"]).stdout).unwrap();
    assert!(checked.contains("behind       127.0.0.1/32, which must begin with a PROXY header"), "{checked}");

    // Without the setting, or from elsewhere, there is no proxy.
    for address in [behind.relay.address, behind.unproxied] {
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.command("PROXY TCP4 203.0.113.7 127.0.0.1 4000 25").unwrap().code, 500);
        client.expect("EHLO client.example", 250).unwrap();
        assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    }
    behind.house.wait_for_history(&["received", TO, "127.0.0.1:"], LIMIT);
}

// req: E5
#[test]
fn implicit_tls_begins_behind_the_header() {
    let behind = Behind::new("implicit");
    let mut client = behind.client(&v1("203.0.113.7"), true).unwrap();
    assert_eq!(client.send(FROM, &[TO], SMALL).unwrap().code, 250);
    let arrived = behind.sink.wait_for(1, LIMIT);
    let content = String::from_utf8_lossy(&arrived[0].content).into_owned();
    assert!(content.contains("([203.0.113.7])") && content.contains("ESMTPS"), "{content}");
}

mod with_swaks {
    use super::*;

    #[test]
    #[ignore = "needs swaks"]
    fn swaks_speaks_for_clients_of_both_families_in_both_versions() {
        let behind = Behind::new("starttls");
        for (version, family, client, code) in [
            ("1", "TCP4", "203.0.113.7", 0),
            ("1", "TCP6", "2001:db8::7", 0),
            ("2", "AF_INET", "203.0.113.7", 0),
            ("2", "AF_INET6", "2001:db8::7", 0),
            ("2", "AF_INET", "203.0.113.8", 24),
        ] {
            let own = if client.contains(':') { "::1" } else { "127.0.0.1" };
            let mut swaks = Command::new("swaks");
            swaks.args(["--server", &behind.proxied.to_string(), "--from", FROM, "--to", TO, "--helo", "client.example", "--tls"]);
            swaks.args(["--proxy-version", version, "--proxy-family", family, "--proxy-source", client, "--proxy-source-port", "4000"]);
            let output = finish(swaks.args(["--proxy-dest", own, "--proxy-dest-port", "25"]), LIMIT);
            assert_eq!(output.status.code(), Some(code), "{client}: {}", String::from_utf8_lossy(&output.stdout));
        }
        let arrived = behind.sink.wait_for(4, LIMIT);
        let says = |words: &str| arrived.iter().filter(|mail| String::from_utf8_lossy(&mail.content).contains(words)).count();
        assert_eq!((says("([203.0.113.7])"), says("([IPv6:2001:db8::7])")), (2, 2));
    }
}
