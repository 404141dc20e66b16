//! Servers that stall, drip, break off and talk nonsense at each stage of a session, and a cable that is cut for an hour: nothing is
//! lost, nothing travels below its level, and the history has the reason.
//!
//! The relay's clock runs faster than ours, so that time-outs of minutes take seconds. `PARTITION_MINUTES=60` cuts the cable for an hour of
//! the relays' time, and half of it the other way.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::faulty::{Deed, Faulty, Stage};
use super::{number, sped_up, take_log};
use crate::authority::Identity;
use crate::client::Client;
use crate::content::{message, noise, split_received};
use crate::relay::{House, free_address};
use crate::sink::{Behaviour, Sink};

const FROM: &str = "alice@sender.example";
const LIMIT: Duration = Duration::from_secs(60);
/// The relays' clocks, against ours.
const SPEED: u64 = 60;

/// What the history says of each fault.
fn reason(stage: Stage, deed: Deed) -> &'static str {
    match (stage, deed) {
        (Stage::Banner | Stage::Hello | Stage::StartTls, Deed::Stall | Deed::Drip) => "no answer within 300 s",
        (Stage::Banner | Stage::Hello | Stage::StartTls, Deed::Garbage) => "the reply has a bare LF",
        (Stage::Handshake, Deed::Stall | Deed::Drip) => "no answer within",
        (Stage::Handshake, Deed::Reset) => "the connection was lost during the handshake",
        (Stage::Mail | Stage::Rcpt, Deed::Stall | Deed::Drip) => "no answer within 300 s during the envelope",
        (Stage::Body, Deed::Reset) => "the server closed the connection",
        (_, Deed::Reset) => "connection reset",
        _ => "\"reason\":",
    }
}

#[test]
fn faults_at_each_stage_lose_nothing() {
    let house = House::new();
    let identity = house.authority.issue(&["127.0.0.1"]).server();
    let faults: Vec<_> = Stage::ALL.into_iter().flat_map(|stage| Deed::ALL.map(|deed| (stage, deed))).collect();
    let servers: Vec<_> = faults.iter().map(|fault| (domain(*fault), Faulty::start(*fault, Arc::clone(&identity)))).collect();
    let house = servers.iter().fold(house, |house, (domain, server)| house.route(domain, server.address));
    let house = sped_up(house, SPEED).policy("[defaults.external]\ndeliver = \"verify\"\n");
    let relay = house.start();
    let before = relay.memory("VmRSS");
    let mut client = connected(&house);
    // More than the buffers between take, where that matters.
    let size = |name: &str| if name.contains("body") { 3 << 20 } else { 1_000 };
    let content = |name: &str| [b"Subject: ".as_slice(), name.as_bytes(), b"\r\n\r\n", &noise(5, size(name))].concat();
    for (domain, _) in &servers {
        assert_eq!(client.send(FROM, &[&format!("bob@{domain}")], &content(domain)).unwrap().code, 250);
    }
    // Each has struck, and the relay has had enough of each. A delivery does not wait for the answer to QUIT, and a body that is
    // read slowly goes on being sent.
    let noted = |fault: &(Stage, Deed)| fault.0 != Stage::Quit && *fault != (Stage::Body, Deed::Drip);
    let end = Instant::now() + LIMIT;
    loop {
        let history = house.history();
        let entry = |domain: &str| history.lines().find(|line| line.contains(&format!("bob@{domain}")) && line.contains("transient"));
        let missing: Vec<_> = faults.iter().zip(&servers).filter(|(fault, (domain, _))| noted(fault) && entry(domain).is_none()).collect();
        if missing.is_empty() {
            for ((stage, deed), (domain, server)) in faults.iter().zip(&servers).filter(|(fault, _)| noted(fault)) {
                let entry = entry(domain).unwrap_or_default();
                assert!(entry.contains(reason(*stage, *deed)), "{domain}: {entry}");
                assert!(server.state.struck.load(Ordering::SeqCst) > 0, "{domain}");
            }
            break;
        }
        let names: Vec<_> = missing.iter().map(|(_, (domain, _))| domain).collect();
        assert!(Instant::now() < end, "nothing in the history of {names:?}");
        thread::sleep(Duration::from_millis(300));
    }
    servers.iter().for_each(|(_, server)| server.heal());
    let end = Instant::now() + LIMIT;
    loop {
        let history = house.history();
        let is_delivered = |domain: &str| history.lines().any(|line| line.contains("\"kind\":\"delivered\"") && line.contains(domain));
        let missing: Vec<_> = servers.iter().map(|(domain, _)| domain).filter(|domain| !is_delivered(domain)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "not delivered: {missing:?}");
        thread::sleep(Duration::from_millis(300));
    }
    for ((stage, _), (domain, server)) in faults.iter().zip(&servers) {
        // Nobody can know what a server has that does not answer the end of the body (RFC 1047); the end of one that is not read
        // may lie in the buffers between.
        assert!(server.copies() == 1 || matches!(stage, Stage::Body | Stage::End), "{domain}: {} copies", server.copies());
        let arrived = split_received(&server.state.taken.lock().unwrap()[0]).1;
        assert!(arrived.starts_with(&content(domain)[..900]) && arrived.len() >= content(domain).len(), "{domain}: another content");
        assert_eq!(server.state.in_clear.load(Ordering::SeqCst), 0, "{domain}: in clear");
    }
    let growth = relay.memory("VmHWM").saturating_sub(before);
    eprintln!("{} faults: resident memory grew by {growth} KiB at most", faults.len());
    take_log(&house);
}

/// The negative control: the same faults drive mail into clear that may go in clear.
#[test]
fn the_same_faults_are_seen_in_clear_mail() {
    let house = House::new();
    let identity = house.authority.issue(&["127.0.0.1"]).server();
    let server = Faulty::start((Stage::Handshake, Deed::Reset), identity);
    let house = house.route("*", server.address);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &["bob@partner.example"], b"Subject: clear\r\n\r\nx\r\n").unwrap().code, 250);
    let end = Instant::now() + LIMIT;
    while server.copies() == 0 {
        assert!(Instant::now() < end, "not delivered");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(server.state.in_clear.load(Ordering::SeqCst) > 0);
}

/// A server that shows another certificate at each attempt gets the mail at the one that is right.
#[test]
fn certificates_that_change_between_attempts() {
    let house = House::new();
    let other = House::new();
    let wrong: [(Identity, &str); 4] = [
        (Identity::self_signed(&["127.0.0.1"]), "self-signed certificate"),
        (house.authority.issue(&["other.example"]), "other.example"),
        (house.authority.issue_expired(&["127.0.0.1"]), "2021"),
        (other.authority.issue(&["127.0.0.1"]), "names as its issuer"),
    ];
    let right = Behaviour::offering(&house.authority.issue(&["127.0.0.1"]));
    let sink = Sink::start(Behaviour::offering(&wrong[0].0));
    let house = house.route("*", sink.address).policy("[defaults.external]\ndeliver = \"verify\"\n");
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &["bob@partner.example"], message("change").as_bytes()).unwrap().code, 250);
    for (identity, word) in &wrong {
        sink.change(Behaviour::offering(identity));
        house.wait_for_history(&["Processing: Check TLS", "bob@partner.example", word], LIMIT);
    }
    assert_eq!(sink.message_count(), 0, "somebody else got mail");
    assert!(!sink.said().iter().any(|said| said.line.starts_with("MAIL")));
    sink.change(right);
    sink.wait_for(1, LIMIT);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(sink.take().len(), 1, "it came once");
}

/// Two relays, one behind the other, and the cable between them is cut for a long time: at first it swallows, then it refuses.
#[test]
fn a_partition_between_two_relays_loses_nothing() {
    let minutes = number("PARTITION_MINUTES", 6);
    let half = Duration::from_secs(minutes * 60 / 2) / u32::try_from(SPEED).unwrap();
    let far = House::new();
    let sink = Sink::start(Behaviour::offering(&far.authority.issue(&["127.0.0.1"])));
    let far = sped_up(far.route("*", sink.address), SPEED).policy("[defaults.external]\nreceive = \"require\"\ndeliver = \"verify\"\n");
    let cable = Cable::lay(far.address);
    let near = sped_up(House::new().route("*", cable.address), SPEED).policy("[defaults.external]\ndeliver = \"verify\"\n");
    near.authority.issue(&["127.0.0.1"]).write(far.file("x").parent().unwrap());
    let _relays = (far.start(), near.start());
    let mut sent = 0;
    let mut load = |span: Duration| {
        let start = Instant::now();
        let mut client = connected(&near);
        while start.elapsed() < span {
            let body = format!("Subject: {sent}\r\n\r\n{}", String::from_utf8(noise(sent, 2_000)).unwrap());
            assert_eq!(client.send(FROM, &[&format!("m{sent}@partner.example")], body.as_bytes()).unwrap().code, 250);
            sent += 1;
            thread::sleep(Duration::from_millis(20));
        }
        sent
    };
    load(Duration::from_secs(1));
    cable.is(Cable::SWALLOWS);
    let cut_at = load(half);
    cable.is(Cable::REFUSES);
    load(half);
    let waited = sink.message_count();
    cable.is(Cable::WHOLE);
    let healed = Instant::now();
    let sent = load(Duration::from_secs(1));
    let mut copies: HashMap<String, usize> = HashMap::new();
    let end = Instant::now() + LIMIT;
    while copies.len() < usize::try_from(sent).unwrap() {
        for message in sink.take() {
            assert!(message.tls.is_some(), "in clear");
            *copies.entry(message.to[0].clone()).or_default() += 1;
        }
        assert!(Instant::now() < end, "{} of {sent} arrived", copies.len());
        thread::sleep(Duration::from_millis(50));
    }
    let all_there = healed.elapsed();
    let twice = copies.values().filter(|copies| **copies > 1).count();
    eprintln!(
        "{minutes} minutes without a cable, {cut_at} of {sent} messages before its second half: all arrived {:?} of the relays' time after \
         it was whole, {twice} of them twice",
        all_there * u32::try_from(SPEED).unwrap()
    );
    assert!(waited < usize::try_from(sent).unwrap(), "the cable was never cut");
    // Of a connection that falls silent behind a body nobody knows.
    assert!(twice <= 20, "{twice} messages came twice");
    let history = near.history();
    assert!(history.contains("\"kind\":\"deferred\""), "{history}");
    take_log(&near);
    take_log(&far);
}

/// A hurried relay gives a handshake half a second of ours, which a busy machine may take.
fn connected(house: &House) -> Client {
    let end = Instant::now() + LIMIT;
    loop {
        match Client::secure(house.address, &house.authority.client()) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

fn domain((stage, deed): (Stage, Deed)) -> String {
    format!("{deed:?}-at-{stage:?}.example").to_ascii_lowercase()
}

/// A way from one relay to the other that can be cut.
struct Cable {
    address: SocketAddr,
    state: Arc<AtomicU8>,
}

impl Cable {
    const WHOLE: u8 = 0;
    /// Nothing goes through, and nobody is told.
    const SWALLOWS: u8 = 1;
    /// All connections are reset.
    const REFUSES: u8 = 2;

    fn lay(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(free_address()).unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(AtomicU8::new(Self::WHOLE)));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || drop(Self::carry(&near, to, &state)));
            }
        });
        Self { address, state }
    }

    fn is(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn carry(near: &TcpStream, to: SocketAddr, state: &AtomicU8) -> io::Result<()> {
        while state.load(Ordering::SeqCst) == Self::SWALLOWS {
            thread::sleep(Duration::from_millis(10));
        }
        let far = TcpStream::connect(to)?;
        let both = thread::scope(|scope| {
            let there = scope.spawn(|| Self::copy(near, &far, state));
            (Self::copy(&far, near, state), there.join().unwrap())
        });
        both.0.and(both.1)
    }

    fn copy(mut from: &TcpStream, mut to: &TcpStream, state: &AtomicU8) -> io::Result<()> {
        from.set_read_timeout(Some(Duration::from_millis(10)))?;
        let mut piece = [0; 16384];
        loop {
            match state.load(Ordering::SeqCst) {
                Self::REFUSES => {
                    [from, to].into_iter().try_for_each(|end| SockRef::from(end).set_linger(Some(Duration::ZERO)))?;
                    from.shutdown(std::net::Shutdown::Both)?;
                    to.shutdown(std::net::Shutdown::Both)?;
                    return Ok(());
                }
                Self::SWALLOWS => thread::sleep(Duration::from_millis(10)),
                _ => match from.read(&mut piece) {
                    Ok(0) => return to.shutdown(std::net::Shutdown::Write),
                    Ok(length) => to.write_all(&piece[..length])?,
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}
