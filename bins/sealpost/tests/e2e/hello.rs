//! A box on the way that breaks off a TLS hello of more than a packet, as the post-quantum key exchange has it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink};

const LIMIT: Duration = Duration::from_secs(30);

/// Octets of a hello that the box lets pass: more than a classical one, fewer than one with a post-quantum share.
const ONE_PACKET: usize = 1000;

/// Passes on everything but a TLS hello of more than `limit` octets: there it closes. It lasts as long as the test.
fn box_before(server: SocketAddr, limit: usize) -> SocketAddr {
    let address = free_address();
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { return };
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pass(client, server, limit));
            thread::spawn(move || pass(back.0, back.1, usize::MAX));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize) {
    let mut piece = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        // A handshake record, and the length in its header.
        let is_large = piece[0] == 22 && usize::from(u16::from_be_bytes([piece[3], piece[4]])) > limit;
        if is_large || to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn send(house: &House, relay: &Relay, to: &str) {
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send("alice@sender.example", &[to], message(to).as_bytes()).unwrap().code, 250);
}

/// The mail goes out all the same, under TLS and at the first attempt; the history says what was left out and why, and what is demanded is not.
// req: F7
#[test]
fn a_box_that_chokes_on_the_large_hello_gets_the_mail_without_it_unless_it_is_demanded() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
    let policy = "[[partner]]\ndomains = 'bank.example'\ndeliver = 'verify'\n\
                  [[partner]]\ndomains = 'quantum.example'\ndeliver = { level = 'require', min_group = 'post-quantum' }\n";
    let choking = box_before(sink.address, ONE_PACKET);
    let house = house.route("bank.example", choking).route("quantum.example", choking).policy(policy);
    let relay = house.start();
    send(&house, &relay, "teller@bank.example");
    let mail = sink.wait_for(1, LIMIT).remove(0);
    assert_eq!(mail.tls.unwrap().group, "X25519");
    let history =
        house.wait_for_history(&["teller@bank.example", "\"kind\":\"delivered\"", "\"small_hello\":\"the connection was lost"], LIMIT);
    assert!(history.contains("without a post-quantum key exchange, of which the connection was lost"), "{history}");
    assert!(!history.contains("check-tls"), "{history}");
    let text = house.says(&["history", "--long", "--domain", "bank.example"], 0);
    assert!(text.contains("without a post-quantum key exchange: the connection was lost"), "{text}");
    assert!(relay.log().contains("a host does not answer TLS with a post-quantum key exchange"), "{}", relay.log());

    // Known or not: what is demanded is a failure of TLS there.
    send(&house, &relay, "clerk@quantum.example");
    house.wait_for_history(&["clerk@quantum.example", "\"kind\":\"check-tls\""], LIMIT);
    assert_eq!(sink.message_count(), 1);
    assert!(sink.mail_in_clear().is_empty());
}

/// The control of the test above: a box that lets all pass gets the post-quantum key exchange.
#[test]
fn control_a_box_that_lets_the_large_hello_pass_gets_it() {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
    let house = house.route("bank.example", box_before(sink.address, usize::MAX));
    let relay = house.start();
    send(&house, &relay, "teller@bank.example");
    assert_eq!(sink.wait_for(1, LIMIT).remove(0).tls.unwrap().group, "X25519MLKEM768");
    assert!(!house.wait_for_history(&["\"kind\":\"delivered\""], LIMIT).contains("small_hello"));
}
