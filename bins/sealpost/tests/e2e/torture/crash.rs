//! `kill -9` at random moments under load on both hops: whoever was acknowledged gets the mail, whole and over verified TLS, and gets
//! it twice only if the crash fell between the next server's 250 and the relay's durable record of it.
//!
//! `CRASH_ROUNDS=500` kills so often, `CRASH_SEED` chooses other moments.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustls::ClientConfig;

use super::{Random, copy, greets, number, take_log};
use crate::client::Client;
use crate::content::{noise, split_received};
use crate::relay::House;
use crate::sink::{Behaviour, Message, Sink};

// req: A8
#[test]
fn kill_9_at_random_moments_loses_nothing() {
    let rounds = number("CRASH_ROUNDS", 8);
    let found = Campaign::new(number("CRASH_SEED", 1)).run(rounds, None);
    eprintln!("{rounds} rounds of kill -9: {found:?}");
    assert!(found.acknowledged as u64 > rounds * 5, "hardly any mail was under way: {found:?}");
    assert_eq!((found.lost, found.damaged, found.unverified, found.without_cause), (0, 0, 0, 0), "{found:?}");
}

/// The negative control: a store that has forgotten what it held at the last kills is found out.
#[test]
fn a_store_that_forgets_is_found_out() {
    let found = Campaign::new(7).run(5, Some(2));
    assert!(found.lost > 0, "{found:?}");
}

/// The negative control of the count: what is delivered twice without a crash in between, or long before it, is no crash's doing.
#[test]
fn copies_without_a_cause_are_counted() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let kills = [at(5_000), at(9_000)];
    let cases =
        [((0, 4_990), 1, Some(10)), ((0, 5_040), 1, Some(0)), ((0, 4_990), 0, None), ((0, 1_000), 1, None), ((1, 8_900), 2, Some(100))];
    for (first, second, window) in cases {
        let found = window_of((first.0, at(first.1)), second, &kills);
        assert_eq!(found, window.map(Duration::from_millis), "{first:?} and again in life {second}");
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Found {
    /// Recipients of messages that were answered with 250.
    acknowledged: usize,
    /// Copies that arrived, of these and of messages whose 250 the crash cut off.
    arrived: usize,
    lost: usize,
    /// Copies that are not what was sent.
    damaged: usize,
    /// Copies that came in clear.
    unverified: usize,
    /// Copies beyond the first that the crash explains.
    twice: usize,
    /// The longest time from a first copy to the crash that explains the second.
    longest_window: Duration,
    /// Copies beyond the first that no crash explains.
    without_cause: usize,
}

struct Campaign {
    house: House,
    sinks: [Sink; 3],
    behaviours: [Behaviour; 3],
    random: Random,
    load: Arc<Load>,
    kills: Vec<Instant>,
    /// The sessions that each sink had seen when the relay was killed.
    sessions: Vec<[usize; 3]>,
    arrivals: HashMap<Recipient, (usize, Instant)>,
    found: Found,
}

/// The number of a message, and which of its recipients.
type Recipient = (u64, usize);

/// What the senders share.
struct Load {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<Vec<u64>>,
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let house = House::new();
        // The demand is verified, so that what arrives has a name too.
        let identity = house.authority.issue(&["127.0.0.1"]);
        let prompt = Behaviour::offering(&identity);
        let slow = Behaviour { slow: Duration::from_millis(40), ..prompt.clone() };
        let behaviours = [prompt.clone(), slow, prompt];
        let sinks = behaviours.clone().map(Sink::start);
        let policy = "[defaults.external]\nreceive = \"require\"\ndeliver = \"verify\"\n";
        let house = DOMAINS.iter().zip(&sinks).fold(house, |house, (domain, sink)| house.route(domain, sink.address)).policy(policy);
        let load = Arc::new(Load {
            address: house.address,
            tls: house.authority.client(),
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        });
        Self {
            house,
            sinks,
            behaviours,
            random: Random::new(seed),
            load,
            kills: Vec::new(),
            sessions: Vec::new(),
            arrivals: HashMap::new(),
            found: Found::default(),
        }
    }

    /// Kills so often; `forget`: the store is put back in the end to what it was at this round.
    fn run(mut self, rounds: u64, forget: Option<u64>) -> Found {
        self.house.write();
        let senders: Vec<JoinHandle<()>> = (0..SENDERS).map(|seed| self.load.start(seed)).collect();
        let (data, aside) = (self.house.file("data"), self.house.file("aside"));
        for round in 0..rounds {
            self.moods(forget.is_some());
            self.one_life();
            take_log(&self.house);
            if forget == Some(round) {
                copy(&data, &aside).unwrap();
            }
        }
        self.load.stop.store(true, Ordering::SeqCst);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        if forget.is_some() {
            fs::remove_dir_all(&data).unwrap();
            fs::rename(&aside, &data).unwrap();
        }
        self.finish(forget.is_some())
    }

    /// Starts the relay and kills it, at any moment: in one life of five before it can have started.
    fn one_life(&mut self) {
        let relay = self.house.begin();
        let born = Instant::now();
        if self.random.below(5) == 0 {
            thread::sleep(Duration::from_millis(self.random.below(120)));
        } else {
            while !greets(&self.house) {
                assert!(born.elapsed() < LIMIT, "the relay does not start:\n{}", relay.log());
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(self.random.below(900)));
        }
        self.kills.push(Instant::now());
        relay.kill();
        self.sessions.push([0, 1, 2].map(|at| self.sinks[at].session_count()));
        self.collect();
    }

    /// The third server takes mail, or puts it off, so that some of it waits.
    fn moods(&self, refusing: bool) {
        let refuse = (refusing || self.kills.len() % 3 == 1).then_some(("RCPT", "450 4.2.0 not now"));
        self.sinks[2].change(Behaviour { refuse, ..self.behaviours[2].clone() });
    }

    fn collect(&mut self) {
        for sink in 0..self.sinks.len() {
            for message in self.sinks[sink].take() {
                self.arrived(sink, &message);
            }
        }
    }

    fn arrived(&mut self, sink: usize, message: &Message) {
        self.found.unverified += usize::from(message.tls.is_none());
        let life = self.sessions.iter().take_while(|seen| seen[sink] < message.session).count();
        let content = split_received(&message.content).1;
        for to in &message.to {
            let Some(recipient) = recipient_of(to).filter(|(number, _)| content_of(*number) == content) else {
                self.found.damaged += 1;
                continue;
            };
            self.found.arrived += 1;
            let Some(first) = self.arrivals.insert(recipient, (life, message.at)) else { continue };
            match window_of(first, life, &self.kills) {
                Some(window) => {
                    self.found.twice += 1;
                    self.found.longest_window = self.found.longest_window.max(window);
                }
                None => self.found.without_cause += 1,
            }
        }
    }

    /// One more life, in which nothing is in the way.
    fn finish(mut self, something_is_lost: bool) -> Found {
        self.sinks[2].change(self.behaviours[2].clone());
        let relay = self.house.start_again();
        let end = Instant::now() + if something_is_lost { Duration::from_secs(4) } else { LIMIT };
        loop {
            self.collect();
            let acknowledged = self.load.acknowledged.lock().unwrap();
            let each = || acknowledged.iter().flat_map(|number| (0..recipients_of(*number)).map(move |at| (*number, at)));
            self.found.acknowledged = each().count();
            self.found.lost = each().filter(|recipient| !self.arrivals.contains_key(recipient)).count();
            drop(acknowledged);
            if self.found.lost == 0 || Instant::now() > end {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        // What was cut off before its 250 may be in the queue too, and is delivered like the rest.
        while self.house.says(&["queue", "list", "--json"], 0).contains('{') {
            assert!(Instant::now() < end + LIMIT, "something stays in the queue");
            thread::sleep(Duration::from_millis(100));
        }
        self.collect();
        drop(relay);
        take_log(&self.house);
        self.found
    }
}

impl Load {
    /// A client that sends one message after the other until it is stopped.
    fn start(self: &Arc<Self>, seed: u64) -> JoinHandle<()> {
        let (load, mut random) = (Arc::clone(self), Random::new(seed));
        thread::spawn(move || {
            let mut client = None;
            while !load.stop.load(Ordering::SeqCst) {
                let number = load.next.fetch_add(1, Ordering::SeqCst);
                match load.send(&mut client, number) {
                    Ok(()) => load.acknowledged.lock().unwrap().push(number),
                    Err(_) => client = None,
                }
                thread::sleep(Duration::from_millis(5 + random.below(20)));
            }
        })
    }

    fn send(&self, client: &mut Option<Client>, number: u64) -> io::Result<()> {
        if client.is_none() {
            *client = Some(Client::secure(self.address, &self.tls)?);
        }
        let connection = client.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let to: Vec<String> = (0..recipients_of(number)).map(|at| address_of(number, at)).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let reply = connection.send("alice@sender.example", &to, &content_of(number))?;
        if reply.code == 250 { Ok(()) } else { Err(io::Error::other(reply.text)) }
    }
}

/// The time from the first copy to the crash that explains a second one in a later life; `None`: none explains it.
fn window_of((life, at): (usize, Instant), again: usize, kills: &[Instant]) -> Option<Duration> {
    let window = kills.get(life)?.saturating_duration_since(at);
    (again > life && window <= WINDOW).then_some(window)
}

fn recipients_of(number: u64) -> usize {
    if number.is_multiple_of(4) { 4 } else { 1 }
}

/// The recipients of one message are at several servers, and two of them at the same.
fn address_of(number: u64, at: usize) -> String {
    let domain = DOMAINS[(usize::try_from(number).unwrap_or_default() + at) % DOMAINS.len()];
    format!("m{number}-{at}@{domain}")
}

fn recipient_of(address: &str) -> Option<Recipient> {
    let (number, at) = address.strip_prefix('m')?.split_once('@')?.0.split_once('-')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

/// Most are small, some large enough for a file of their own, a few for several pieces.
fn content_of(number: u64) -> Vec<u8> {
    let size = match number % 20 {
        0 => 300_000,
        5 | 10 => 40_000,
        _ => 2_000,
    };
    let mut content = format!("Subject: {number}\r\n\r\n").into_bytes();
    content.extend(noise(number, size));
    content
}

const DOMAINS: [&str; 3] = ["prompt.example", "slow.example", "moody.example"];
const SENDERS: u64 = 8;
const LIMIT: Duration = Duration::from_secs(60);
/// The record of a delivery is written within 20 ms, or as soon as the disk and the processor let it.
const WINDOW: Duration = Duration::from_secs(2);
