//! Size, numbers, and what a crash leaves behind.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::client::Client;
use crate::content::{noise, split_received};
use crate::relay::House;
use crate::sink::{Behaviour, Sink};

const LIMIT: Duration = Duration::from_secs(120);

fn relay_and_sink() -> (House, Sink) {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["sink.test"])));
    let policy = "[defaults.external]\nreceive = \"require\"\ndeliver = \"require\"\n";
    let house = house.route("*", sink.address).policy(policy);
    (house, sink)
}

// req: E5
#[test]
fn fifty_mebibytes_take_little_memory() {
    let (house, sink) = relay_and_sink();
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send("alice@sender.example", &["bob@partner.example"], b"Subject: small\r\n\r\nx\r\n").unwrap();
    sink.wait_for(1, LIMIT);
    relay.reset_peak();
    let before = relay.memory("VmRSS");
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    content.extend(noise(50, 50 << 20));
    assert_eq!(client.send("alice@sender.example", &["bob@partner.example"], &content).unwrap().code, 250);
    let arrived = sink.wait_for(2, LIMIT).remove(1);
    let growth = relay.memory("VmHWM") - before;
    let (_, rest) = split_received(&arrived.content);
    assert!(rest == content, "the content was changed: {} octets, {} were sent", rest.len(), content.len());
    eprintln!("50 MiB: resident memory grew by {growth} KiB at most, from {before} KiB");
    assert!(growth < 32 << 10, "resident memory grew by {growth} KiB");
}

#[test]
fn two_hundred_connections_at_once() {
    let (house, sink) = relay_and_sink();
    let relay = house.start();
    let barrier = Arc::new(Barrier::new(CONNECTIONS));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (barrier, tls, address) = (Arc::clone(&barrier), house.authority.client(), relay.address);
            thread::spawn(move || {
                let mut client = Client::secure(address, &tls)?;
                // All are connected before the first one sends.
                barrier.wait();
                let content = format!("Subject: {number}\r\n\r\nx\r\n");
                client.send("alice@sender.example", &[&format!("bob{number}@partner.example")], content.as_bytes())
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap().unwrap().code, 250);
    }
    let arrived: HashSet<_> = sink.wait_for(CONNECTIONS, LIMIT).into_iter().map(|message| message.to[0].clone()).collect();
    assert_eq!(arrived.len(), CONNECTIONS);
}

/// `kill -9` again and again under load, with hundreds of messages queued: what got its 250 arrives, and whole.
#[test]
fn kill_9_loses_nothing() {
    let (house, sink) = relay_and_sink();
    let fast = Behaviour::offering(&house.authority.issue(&["sink.test"]));
    sink.change(Behaviour { slow: Duration::from_millis(100), ..fast.clone() });
    let mut relay = house.start();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let next = Arc::new(AtomicU64::new(0));
    let tls = house.authority.client();
    let clients: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (ledger, next, tls, address) = (Arc::clone(&ledger), Arc::clone(&next), Arc::clone(&tls), house.address);
            thread::spawn(move || sender(address, &tls, &next, &ledger))
        })
        .collect();
    for share in 1..=KILLS {
        let end = Instant::now() + LIMIT;
        while ledger.lock().unwrap().acknowledged.len() < MESSAGES / (KILLS + 1) * share {
            assert!(Instant::now() < end, "only {} messages were taken", ledger.lock().unwrap().acknowledged.len());
            thread::sleep(Duration::from_millis(5));
        }
        let queued = ledger.lock().unwrap().acknowledged.len().saturating_sub(sink.message_count());
        eprintln!("kill {share}: {queued} messages are queued");
        assert!(queued > 50, "the queue is too short for this test to mean anything: {queued}");
        if share == KILLS {
            sink.change(fast.clone());
        }
        relay.kill();
        relay = house.start_again();
    }
    for client in clients {
        client.join().unwrap();
    }
    let ledger = ledger.lock().unwrap();
    assert_eq!(ledger.acknowledged.len(), MESSAGES);
    let end = Instant::now() + LIMIT;
    let verdict = loop {
        let verdict = ledger.compare(sink.messages().into_iter().map(|message| split_received(&message.content).1));
        if verdict.lost == 0 || Instant::now() > end {
            break verdict;
        }
        thread::sleep(Duration::from_millis(200));
    };
    eprintln!("{KILLS} kills under a load of {MESSAGES} messages: {verdict:?}");
    assert_eq!((verdict.lost, verdict.damaged), (0, 0), "{verdict:?}");
    // Twice only what was between the server's 250 and the relay's durable note of it, or between the relay's 250 and the client.
    assert!(verdict.repeated <= KILLS * MOST_REPEATED, "{verdict:?}");
    drop(relay);
}

/// The negative control: a ledger that is given less, or damaged content, says so.
#[test]
fn the_ledger_notices_loss_and_damage() {
    let mut ledger = Ledger::default();
    ledger.acknowledged.extend(0..4);
    let half = |number| content(number)[..content(number).len() / 2].to_vec();
    let verdict = ledger.compare([content(0), content(0), half(1), content(3)].into_iter());
    assert_eq!((verdict.lost, verdict.damaged, verdict.repeated), (2, 1, 1));
}

/// Sends until all messages were acknowledged; what broke off is sent again.
fn sender(address: SocketAddr, tls: &Arc<ClientConfig>, next: &AtomicU64, ledger: &Mutex<Ledger>) {
    let mut client: Option<Client> = None;
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= MESSAGES as u64 {
            return;
        }
        let end = Instant::now() + LIMIT;
        while let Err(error) = send(&mut client, address, tls, number) {
            assert!(Instant::now() < end, "message {number} is never taken: {error}");
            client = None;
            thread::sleep(Duration::from_millis(20));
        }
        ledger.lock().unwrap().acknowledged.insert(number);
    }
}

fn send(client: &mut Option<Client>, address: SocketAddr, tls: &Arc<ClientConfig>, number: u64) -> io::Result<()> {
    if client.is_none() {
        *client = Some(Client::secure(address, tls)?);
    }
    let connection = client.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    let reply = connection.send("alice@sender.example", &["bob@partner.example"], &content(number))?;
    if reply.code == 250 { Ok(()) } else { Err(io::Error::other(reply.text)) }
}

/// Message `number`: most of them small, each eighth one large enough for a file of its own.
fn content(number: u64) -> Vec<u8> {
    let mut content = format!("Subject: {number}\r\n\r\n").into_bytes();
    content.extend(noise(number, if number.is_multiple_of(8) { 60_000 } else { 3_000 }));
    content
}

#[derive(Default)]
struct Ledger {
    acknowledged: HashSet<u64>,
}

#[derive(Debug)]
struct Verdict {
    lost: usize,
    damaged: usize,
    repeated: usize,
}

impl Ledger {
    fn compare(&self, arrived: impl Iterator<Item = Vec<u8>>) -> Verdict {
        let mut seen: HashMap<u64, usize> = HashMap::new();
        let mut damaged = 0;
        for bytes in arrived {
            let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
            let number = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("Subject: ")?.parse().ok());
            match number {
                Some(number) if content(number) == bytes => *seen.entry(number).or_default() += 1,
                _ => damaged += 1,
            }
        }
        let lost = self.acknowledged.iter().filter(|number| !seen.contains_key(number)).count();
        Verdict { lost, damaged, repeated: seen.values().map(|times| times - 1).sum() }
    }
}

const CONNECTIONS: usize = 200;
const MESSAGES: usize = 2000;
const SENDERS: usize = 20;
const KILLS: usize = 3;
/// What can be under way at once: the senders' messages, and the deliveries whose removal was not yet written.
const MOST_REPEATED: usize = 200;
