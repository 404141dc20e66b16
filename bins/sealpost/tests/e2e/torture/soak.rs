//! Mixed load for a long time, with reloads of the policy, new certificates and restarts: memory and open files stay flat, and nothing
//! is lost.
//!
//! `SOAK_SECONDS=3600` takes an hour, `SOAK_RATE` is in messages a second, `SOAK_CSV` names the file that gets a line every ten seconds.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;

use super::{Stop, number, take_log};
use crate::client::Client;
use crate::content::noise;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink, StartTls};

#[test]
fn memory_and_open_files_stay_flat() {
    let span = Duration::from_secs(number("SOAK_SECONDS", 6));
    let soak = Soak::new();
    let lives: Vec<Life> = thread::scope(|scope| {
        let (soak, _stop) = (&soak, Stop(&soak.stop));
        (0..SENDERS).for_each(|sender| drop(scope.spawn(move || soak.send(sender))));
        (0..LIVES).map(|life| soak.live(life, span / LIVES)).collect()
    });
    let verdict: Vec<String> = lives.iter().enumerate().map(|(life, samples)| format!("life {life}: {}", growth(samples))).collect();
    let lost = soak.finish();
    let (changes, seen) = (soak.changes.load(Ordering::SeqCst), soak.certificates.lock().unwrap().len() as u64);
    eprintln!(
        "{span:?}: {} messages acknowledged, {changes} new certificates, {seen} seen, {} policies\n{}",
        soak.acknowledged.lock().unwrap().len(),
        soak.policies.load(Ordering::SeqCst),
        verdict.join("\n")
    );
    assert_eq!(lost, 0, "recipients were lost");
    // The one that it began with, and each new one; but in a long run the last comes with the end.
    let is_long = lives.iter().all(|life| life.len() >= ENOUGH);
    assert!(seen + u64::from(is_long) > changes, "{seen} certificates were seen, {changes} were new");
    for life in lives.iter().filter(|life| life.len() >= ENOUGH) {
        let growth = growth(life);
        assert!(growth.resident <= growth.resident_before / 10 + 2048 && growth.files <= 10, "{growth}");
    }
}

/// The negative control of the verdict.
#[test]
fn what_grows_is_found_out() {
    let samples = |resident: fn(u64) -> u64, files: fn(u64) -> u64| -> Life {
        (0..120).map(|at| Sample { resident: resident(at), files: files(at), threads: 4 }).collect()
    };
    let flat = growth(&samples(|at| 30_000 + at % 7 * 100, |at| 40 + at % 5));
    let leaking = growth(&samples(|at| 30_000 + at * 100, |at| 40 + at));
    assert!(flat.resident < 500 && flat.files <= 2, "{flat}");
    assert!(leaking.resident > 5_000 && leaking.files > 50, "{leaking}");
}

/// What a relay held from its start to its end, every ten seconds.
type Life = Vec<Sample>;

struct Sample {
    /// KiB in memory.
    resident: u64,
    files: u64,
    threads: u64,
}

/// From the second quarter of a life to its last one, medians.
struct Growth {
    resident_before: u64,
    resident: u64,
    files_before: u64,
    files: u64,
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resident_before, resident, files_before, files } = self;
        write!(f, "{resident} KiB more than {resident_before} KiB, {files} open files more than {files_before}")
    }
}

fn growth(life: &[Sample]) -> Growth {
    let quarter = life.len() / 4;
    let median = |part: &[Sample], of: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = part.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let (before, last) = (&life[quarter..2 * quarter], &life[life.len() - quarter..]);
    let [resident_before, files_before] = [median(before, |sample| sample.resident), median(before, |sample| sample.files)];
    Growth {
        resident_before,
        resident: median(last, |sample| sample.resident).saturating_sub(resident_before),
        files_before,
        files: median(last, |sample| sample.files).saturating_sub(files_before),
    }
}

struct Soak {
    house: House,
    /// One takes everything, one sometimes nothing, one has no TLS.
    good: Sink,
    moody: Sink,
    clear: Sink,
    offering: Behaviour,
    /// With sessions that are resumed, and without.
    tls: [Arc<ClientConfig>; 2],
    csv: PathBuf,
    start: Instant,
    stop: AtomicBool,
    /// Messages are sent as fast as it goes.
    hurry: AtomicBool,
    next: AtomicU64,
    acknowledged: Mutex<HashSet<u64>>,
    arrived: Mutex<HashSet<u64>>,
    notices: AtomicU64,
    changes: AtomicU64,
    policies: AtomicU64,
    certificates: Mutex<HashSet<Vec<u8>>>,
}

impl Soak {
    fn new() -> Self {
        let house = House::new();
        let offering = Behaviour::offering(&house.authority.issue(&["127.0.0.1"]));
        let [good, moody] = [(); 2].map(|()| Sink::start(offering.clone()));
        let clear = Sink::start(Behaviour::new(StartTls::Absent));
        let house = house
            .route("good.example", good.address)
            .route("sender.example", good.address)
            .route("moody.example", moody.address)
            .route("clear.example", clear.address)
            .route("dead.example", free_address())
            .policy(&policy(0));
        house.write();
        let csv = std::env::var_os("SOAK_CSV").map_or_else(|| house.file("soak.csv"), PathBuf::from);
        fs::write(&csv, "seconds,life,resident_kib,open_files,threads,acknowledged,arrived,notices\n").unwrap();
        let mut forgetful = ClientConfig::clone(&house.authority.client());
        forgetful.resumption = Resumption::disabled();
        let tls = [house.authority.client(), Arc::new(forgetful)];
        Self {
            house,
            good,
            moody,
            clear,
            offering,
            tls,
            csv,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            next: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            arrived: Mutex::default(),
            notices: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            policies: AtomicU64::new(0),
            certificates: Mutex::default(),
        }
    }

    /// From a start of the relay to its end in order.
    fn live(&self, life: u32, span: Duration) -> Life {
        let relay = self.house.start_again();
        if span >= STEP * u32::try_from(ENOUGH).unwrap() {
            self.fill_caches();
        }
        let (born, mut samples, mut tick) = (Instant::now(), Vec::new(), 0);
        while born.elapsed() < span {
            thread::sleep(STEP.min(span / 4));
            tick += 1;
            self.change(&relay, tick);
            self.collect();
            samples.push(self.sample(life, &relay));
        }
        relay.terminate();
        assert!(relay.wait(Duration::from_secs(60)).success(), "the relay ends in order");
        take_log(&self.house);
        samples
    }

    /// Databases keep pages in memory, up to a limit that a moderate rate reaches late: whoever looks for growth begins there.
    fn fill_caches(&self) {
        let acknowledged = || self.acknowledged.lock().unwrap().len();
        let enough = acknowledged() + FILLING;
        // The life before may have left it refusing, and on a slow machine this takes longer than the policy lets mail wait.
        self.moody.change(self.offering.clone());
        self.hurry.store(true, Ordering::SeqCst);
        while acknowledged() < enough {
            thread::sleep(Duration::from_millis(100));
            self.collect();
        }
        self.hurry.store(false, Ordering::SeqCst);
    }

    /// Every 20 s another policy, every minute other moods, every two minutes another certificate; in a short run each time.
    fn change(&self, relay: &Relay, tick: u64) {
        if tick.is_multiple_of(2) || tick < 6 {
            let number = self.policies.fetch_add(1, Ordering::SeqCst);
            fs::write(self.house.file("policy.toml"), policy(number)).unwrap();
            relay.hang_up();
        }
        if tick.is_multiple_of(12) || tick == 1 {
            self.house.authority.issue(&["relay.test", "localhost", "127.0.0.1"]).write(self.house.file("x").parent().unwrap());
            self.changes.fetch_add(1, Ordering::SeqCst);
            relay.hang_up();
        }
        let refuse = (tick % 12 < 3).then_some(("RCPT", "450 4.2.0 not now"));
        self.moody.change(Behaviour { refuse, ..self.offering.clone() });
    }

    fn collect(&self) {
        let mut arrived = self.arrived.lock().unwrap();
        for message in [&self.good, &self.moody].into_iter().flat_map(Sink::take) {
            assert!(message.tls.is_some(), "in clear");
            match message.to[0].strip_prefix('m').and_then(|to| to.split_once('@')?.0.parse().ok()) {
                Some(number) => drop(arrived.insert(number)),
                None => drop(self.notices.fetch_add(1, Ordering::SeqCst)),
            }
        }
        assert_eq!(self.clear.take().len(), 0, "something arrived where there is no TLS");
    }

    fn sample(&self, life: u32, relay: &Relay) -> Sample {
        let files = fs::read_dir(format!("/proc/{}/fd", relay.pid())).unwrap().count();
        let sample = Sample { resident: relay.memory("VmRSS"), files: files as u64, threads: relay.memory("Threads") };
        let mut line = String::new();
        let Sample { resident, files, threads } = sample;
        let (acknowledged, arrived) = (self.acknowledged.lock().unwrap().len(), self.arrived.lock().unwrap().len());
        let (seconds, notices) = (self.start.elapsed().as_secs(), self.notices.load(Ordering::SeqCst));
        writeln!(line, "{seconds},{life},{resident},{files},{threads},{acknowledged},{arrived},{notices}").unwrap();
        fs::File::options().append(true).open(&self.csv).and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
        sample
    }

    /// One client: a connection for each message, or one for many; small messages, and large ones; some that break off.
    fn send(&self, sender: u64) {
        let pause = Duration::from_micros(1_000_000 * SENDERS / number("SOAK_RATE", 40));
        let mut client = None;
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            match self.one(&mut client, number) {
                Ok(true) => drop(self.acknowledged.lock().unwrap().insert(number)),
                Ok(false) => {}
                Err(_) => client = None,
            }
            let is_enough = sender.is_multiple_of(2) || number.is_multiple_of(50);
            if let Some(client) = client.take_if(|_| is_enough) {
                client.quit();
            }
            if !self.hurry.load(Ordering::SeqCst) {
                thread::sleep(pause);
            }
        }
    }

    /// Sends message `number`; whether it has to arrive.
    fn one(&self, client: &mut Option<Client>, number: u64) -> io::Result<bool> {
        if client.is_none() {
            let mut fresh = Client::connect(self.house.address)?;
            fresh.expect("EHLO client.example", 250)?;
            if number % 10 != 7 {
                let shown = fresh.start_tls(&self.tls[usize::from(number.is_multiple_of(3))])?.shown;
                self.certificates.lock().unwrap().extend(shown);
                fresh.expect("EHLO client.example", 250)?;
            }
            *client = Some(fresh);
        }
        let connection = client.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let size = if number.is_multiple_of(100) { 1 << 20 } else { [500, 3_000, 30_000][usize::try_from(number % 3).unwrap_or_default()] };
        if number % 40 == 39 {
            connection.envelope("alice@sender.example", &["bob@good.example"])?;
            connection.wire.send(&noise(number, size))?;
            return Err(io::Error::other("broken off on purpose"));
        }
        let domain = match number % 20 {
            3 => "clear.example",
            5 => "dead.example",
            4 | 8 | 12 | 16 => "moody.example",
            _ => "good.example",
        };
        let mut content = format!("Subject: {number}\r\n\r\n").into_bytes();
        content.extend(noise(number, size));
        let reply = connection.send("alice@sender.example", &[&format!("m{number}@{domain}")], &content)?;
        Ok(reply.code == 250 && matches!(domain, "moody.example" | "good.example"))
    }

    /// One more life for what waits; how many never arrive.
    fn finish(&self) -> usize {
        self.moody.change(self.offering.clone());
        let relay = self.house.start_again();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            self.collect();
            let lost = self.acknowledged.lock().unwrap().difference(&self.arrived.lock().unwrap()).count();
            if lost == 0 || Instant::now() > end {
                drop(relay);
                return lost;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A policy that differs a little each time. What cannot be delivered ends after a minute and a half.
fn policy(number: u64) -> String {
    let lifetime = 90 + number % 10;
    format!(
        "[defaults]\nlifetime = \"{lifetime}s\"\n[defaults.external]\nreceive = \"opportunistic\"\ndeliver = \"require\"\n\
         [[partner]]\nname = \"Good\"\ndomains = [\"good.example\"]\ndeliver = \"verify\"\n"
    )
}

const LIVES: u32 = 3;
const SENDERS: u64 = 4;
/// Messages that fill what a relay fills.
const FILLING: usize = 20_000;
/// Samples that make a life long enough for a verdict.
const ENOUGH: usize = 45;
const STEP: Duration = Duration::from_secs(10);
