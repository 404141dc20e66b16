//! Servers that misbehave: mail for them waits, mail for others flows, and the relay neither grows nor falls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

/// A server that treats each connection so. It ends with the process.
fn server(treat: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind(free_address()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The relay is right to break off.
            thread::spawn(move || drop(treat(stream)));
        }
    });
    address
}

/// Answers each line with the next of these pieces, the first one at once; then waits for the end.
fn script(mut stream: TcpStream, pieces: &[&[u8]]) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    for piece in pieces {
        stream.write_all(piece)?;
        if stream.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn forever(mut stream: TcpStream, start: &[u8], piece: &[u8]) -> std::io::Result<()> {
    stream.write_all(start)?;
    loop {
        stream.write_all(piece)?;
    }
}

type Treatment = fn(TcpStream) -> std::io::Result<()>;

/// Each of these ends an attempt at once, and none of them is a reason to bounce.
const ENDING: &[(&str, Treatment)] = &[
    ("closes", |_| Ok(())),
    ("greets-with-garbage", |stream| script(stream, &[b"\x16\x03\x01\x00\x00\xff\xff\r\n"])),
    ("greets-without-a-code", |stream| script(stream, &[b"hello\r\n"])),
    ("greets-with-code-999", |stream| script(stream, &[b"999 hello\r\n"])),
    ("greets-without-end", |stream| forever(stream, b"", b"220-more\r\n")),
    ("greets-in-one-endless-line", |stream| forever(stream, b"220 ", &[b'x'; 1000])),
    ("ends-lines-with-lf", |stream| forever(stream, b"220 hi\n", b"250 a\n")),
    ("changes-the-code-within-a-reply", |stream| script(stream, &[b"220 hi\r\n", b"250-a\r\n550 b\r\n"])),
    ("offers-without-end", |stream| forever(stream, b"220 hi\r\n", b"250-X-THING\r\n")),
    ("closes-after-ehlo", |mut stream| stream.write_all(b"220 hi\r\n").and_then(|()| stream.read(&mut [0; 100]).map(drop))),
    ("sends-nul", |stream| script(stream, &[b"220 hi\r\n", b"250 a\0b\r\n"])),
];

#[test]
fn misbehaving_servers_cost_nobody_else() {
    let good = Sink::start(Behaviour::new(StartTls::Absent));
    let house = ENDING.iter().fold(House::new(), |house, (name, treatment)| house.route(&format!("{name}.example"), server(*treatment)));
    let house = house.route("good.example", good.address);
    let relay = house.start();
    let before = relay.memory("VmRSS");
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for (name, _) in ENDING {
        let reply = client.send("alice@good.example", &[&format!("bob@{name}.example")], message(name).as_bytes()).unwrap();
        assert_eq!(reply.code, 250);
    }
    client.send("alice@good.example", &["bob@good.example"], message("good").as_bytes()).unwrap();
    good.wait_for(1, LIMIT);
    for (name, _) in ENDING {
        house.wait_for_history(&["\"deferred\"", &format!("bob@{name}.example")], LIMIT);
    }
    // Further attempts were made meanwhile; nothing bounced, nothing grew.
    client.send("alice@good.example", &["bob@good.example"], message("good").as_bytes()).unwrap();
    let froms: Vec<_> = good.wait_for(2, LIMIT).into_iter().map(|message| message.from).collect();
    assert_eq!(froms, ["alice@good.example", "alice@good.example"]);
    let growth = relay.memory("VmHWM").saturating_sub(before);
    assert!(growth < 32 << 10, "grew by {growth} KiB");
    assert!(!relay.log().contains("panicked"), "{}", relay.log());
}

/// Servers that say nothing, or a byte now and then, hold their own mail and no other.
#[test]
fn silent_servers_hold_up_nobody_else() {
    let good = Sink::start(Behaviour::new(StartTls::Absent));
    let silent = server(|mut stream| stream.read(&mut [0; 10]).map(drop));
    let trickling = server(|mut stream| {
        for byte in b"220 hi\r\n".iter().cycle() {
            stream.write_all(&[*byte])?;
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    });
    let house = House::new().route("silent.example", silent).route("trickling.example", trickling).route("good.example", good.address);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    for number in 0..60 {
        for domain in ["silent.example", "trickling.example"] {
            client.send("alice@good.example", &[&format!("bob{number}@{domain}")], message("held").as_bytes()).unwrap();
        }
    }
    let start = Instant::now();
    client.send("alice@good.example", &["bob@good.example"], message("good").as_bytes()).unwrap();
    good.wait_for(1, LIMIT);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
