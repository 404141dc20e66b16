//! Nothing is left of something: open files, memory, disk; or the time of day jumps. What was acknowledged is delivered all the same.
//!
//! `EXHAUSTION_EVERY=1` fails each call to the disk once as the first of many; otherwise some of them.

use std::collections::HashSet;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{number, take_log, with_clock};
use crate::client::Client;
use crate::content::{message, noise};
use crate::preloaded;
use crate::relay::{House, Relay, free_address};
use crate::sink::{Behaviour, Sink};

const FROM: &str = "alice@sender.example";
const LIMIT: Duration = Duration::from_secs(60);

fn house_and_sink() -> (House, Sink) {
    let house = House::new();
    let sink = Sink::start(Behaviour::offering(&house.authority.issue(&["127.0.0.1"])));
    let policy = "[defaults.external]\ndeliver = \"verify\"\n";
    (house.route("*", sink.address).policy(policy), sink)
}

/// Waits until each of these has arrived, over TLS.
fn all_arrive(sink: &Sink, mut wanted: HashSet<String>) {
    let end = Instant::now() + LIMIT;
    while !wanted.is_empty() {
        for message in sink.take() {
            assert!(message.tls.is_some(), "in clear");
            wanted.retain(|to| !message.to.contains(to));
        }
        assert!(Instant::now() < end, "lost: {wanted:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Where the process may open few files, clients beyond what these allow are turned away with a reply, and mail flows.
#[test]
fn few_open_files_are_shared_out() {
    let (house, sink) = house_and_sink();
    let house = house.also("[limits]\nconnections = 1000\n[delivery]\nconnections = 250\n");
    house.write();
    let relay = house.start_with_files(264);
    let mut clients: Vec<Client> = Vec::new();
    let mut turned_away = 0;
    for _ in 0..150 {
        match Client::connect(relay.address) {
            Ok(client) => clients.push(client),
            Err(error) => {
                assert!(error.to_string().starts_with("421 "), "{error}");
                turned_away += 1;
            }
        }
    }
    // (264 - 64) / 1.5, of which four fifths are for clients.
    assert_eq!((clients.len(), turned_away), (106, 44));
    let mut wanted = HashSet::new();
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect("EHLO client.example", 250).unwrap();
        let to = format!("m{number}@partner.example");
        assert_eq!(client.send(FROM, &[&to], &noise(number as u64, 30_000)).unwrap().code, 250);
        wanted.insert(to);
    }
    all_arrive(&sink, wanted);
    let log = relay.log();
    assert!(log.contains("this process may have 264"), "{log}");
    assert!(!log.contains("Too many open files"), "{log}");
}

/// Taken away while it runs, open files are missed by whoever needs one; what was acknowledged is not lost, and with them comes all
/// the rest. It is also the negative control of the test above: without a share, clients wait for a greeting that does not come.
#[test]
fn no_open_files_at_all_lose_nothing() {
    let (house, sink) = house_and_sink();
    let relay = house.start();
    let (mut wanted, mut refused) = (HashSet::new(), 0);
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    let mut send = |name: String, size| {
        let reply = client.send(FROM, &[&format!("{name}@partner.example")], &noise(3, size)).unwrap();
        assert!(reply.code == 250 || reply.code / 100 == 4, "{}", reply.text);
        if reply.code == 250 {
            wanted.insert(format!("{name}@partner.example"));
        } else {
            refused += 1;
        }
    };
    send("first".into(), 1000);
    let open = fs::read_dir(format!("/proc/{}/fd", relay.pid())).unwrap().count() as u64;
    let before = limit_files(&relay, open + 2);
    let waiting: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(relay.address).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    for number in 0..10 {
        send(format!("during{number}"), if number % 2 == 0 { 1000 } else { 50_000 });
    }
    let greeted = waiting.iter().filter(|stream| has_said_something(stream)).count();
    assert!(greeted < waiting.len(), "there were files enough");
    limit_files(&relay, before);
    let end = Instant::now() + LIMIT;
    while !waiting.iter().all(has_said_something) {
        assert!(Instant::now() < end, "not all were greeted in the end");
        thread::sleep(Duration::from_millis(50));
    }
    send("afterwards".into(), 50_000);
    eprintln!("without open files: {} taken, {refused} refused for now, {greeted} of {} greeted", wanted.len(), waiting.len());
    all_arrive(&sink, wanted);
    take_log(&house);
}

/// The limit of before.
fn limit_files(relay: &Relay, files: u64) -> u64 {
    let pid = Pid::from_raw(i32::try_from(relay.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
    before.current.unwrap()
}

fn has_said_something(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut [0; 1]).is_ok_and(|length| length > 0)
}

/// Messages made to fill a memory: the relay's grows by no more than for any other.
// req: E5
#[test]
fn no_message_makes_it_grow() {
    let (house, sink) = house_and_sink();
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    assert_eq!(client.send(FROM, &["first@partner.example"], &noise(1, 1 << 20)).unwrap().code, 250);
    all_arrive(&sink, HashSet::from(["first@partner.example".to_owned()]));
    let size = 12 << 20;
    let repeated = |piece: &str| piece.repeat(size / piece.len()).into_bytes();
    let messages: [(&str, Vec<u8>); 7] = [
        ("a line", [b"Subject: x\r\n\r\n".to_vec(), vec![b'x'; size]].concat()),
        ("a field", [b"Subject: ".to_vec(), vec![b'x'; size]].concat()),
        ("fields", repeated("X-Field: value\r\n")),
        ("folds", [b"Subject:".to_vec(), repeated(" x\r\n")].concat()),
        ("a level", [b"X-TLSLevel: ".to_vec(), vec![b'x'; size]].concat()),
        ("a name without end", vec![b'x'; size]),
        ("dots", repeated(".\r\n")),
    ];
    for (name, content) in messages {
        relay.reset_peak();
        let before = relay.memory("VmRSS");
        let to = format!("{}@partner.example", name.replace(' ', "-"));
        let reply = client.send(FROM, &[&to], &content).unwrap();
        assert!(reply.code == 250 || reply.code / 100 == 5, "{name}: {}", reply.text);
        if reply.code == 250 {
            all_arrive(&sink, HashSet::from([to]));
        }
        let growth = relay.memory("VmHWM").saturating_sub(before);
        eprintln!("{name} of {size} octets: {} and {growth} KiB more at most", reply.code);
        assert!(growth < 6 << 10, "{name}: resident memory grew by {growth} KiB");
    }
    // The sum of what is under way, in and out, is bounded too.
    relay.reset_peak();
    let before = relay.memory("VmRSS");
    let mut many: Vec<Client> = (0..40).map(|_| Client::secure(relay.address, &house.authority.client()).unwrap()).collect();
    many.iter_mut().for_each(|client| client.envelope(FROM, &["many@partner.example"]).unwrap());
    let piece = noise(2, 1 << 20);
    for _ in 0..4 {
        many.iter_mut().for_each(|client| client.wire.send(&piece).unwrap());
    }
    let growth = relay.memory("VmHWM").saturating_sub(before);
    eprintln!("40 messages of 4 MiB under way: {growth} KiB more at most");
    assert!(growth < 48 << 10, "resident memory grew by {growth} KiB");
}

/// The time of day is set a day ahead, and back: mail that waits is tried soon all the same, none is given up, and each comes once.
#[test]
fn jumps_of_the_clock_hold_up_nothing() {
    let later = free_address();
    let house = House::new();
    let identity = house.authority.issue(&["127.0.0.1"]);
    let house = with_clock(house.route("*", later).policy("[defaults.external]\ndeliver = \"verify\"\n"));
    let offset = house.file("offset");
    let house = house.environment("CLOCK_OFFSET", offset.display().to_string());
    let set = |seconds: i64| fs::write(&offset, seconds.to_string()).unwrap();
    set(0);
    let relay = house.start();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    let mut wanted = HashSet::new();
    for (number, jump) in [DAY, 0, -DAY, 0].into_iter().enumerate() {
        let to = format!("m{number}@partner.example");
        assert_eq!(client.send(FROM, &[&to], message("jump").as_bytes()).unwrap().code, 250);
        thread::sleep(Duration::from_millis(400));
        set(jump);
        thread::sleep(Duration::from_millis(400));
        wanted.insert(to);
    }
    let sink = Sink::start_at(later, Behaviour::offering(&identity));
    let began = Instant::now();
    let end = Instant::now() + LIMIT;
    while sink.messages().iter().filter(|message| !message.from.is_empty()).count() < wanted.len() {
        assert!(Instant::now() < end, "{} of {} arrived; {}", sink.message_count(), wanted.len(), relay.log());
        thread::sleep(Duration::from_millis(100));
    }
    // Senders are told that their mail is late; what else arrives is theirs.
    let arrived: Vec<String> = sink.take().into_iter().flat_map(|message| message.to).filter(|to| to.contains("partner")).collect();
    eprintln!("after jumps of a day: all delivered after {:?}", began.elapsed());
    assert_eq!((arrived.len(), arrived.into_iter().collect::<HashSet<_>>()), (wanted.len(), wanted));
    assert!(house.says(&["queue", "list", "--json"], 0).lines().all(|line| !line.starts_with('{')));
}

/// The disk below the whole relay fails from some call on, for a while or for good: clients are told so, and what they were told is
/// taken is delivered by the next start.
#[test]
fn a_failing_disk_below_the_relay_loses_nothing() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/queue/tests/failing_disk/fail.c");
    let shim = preloaded::library(&source).display().to_string();
    let (mut tried, mut taken, mut refused) = (0, 0, 0);
    for (calls, error, count, every) in [("write", ENOSPC, 40, 37), ("write", EIO, 100_000, 61), ("sync", EIO, 1, 11)] {
        for first in (1..).step_by(usize::try_from(number("EXHAUSTION_EVERY", every * 4)).unwrap()) {
            let (house, sink) = house_and_sink();
            let data = house.file("data").display().to_string();
            let house = house
                .environment("LD_PRELOAD", shim.clone())
                .environment("FAIL_BELOW", data)
                .environment("FAIL_CALLS", calls)
                .environment("FAIL_AT", first.to_string())
                .environment("FAIL_COUNT", count.to_string())
                .environment("FAIL_WITH", error.to_string());
            house.write();
            let (wanted, no) = send_while_it_fails(&house);
            let failed = fs::read_to_string(house.file("relay.log")).unwrap().lines().any(|line| line.starts_with("failed"));
            take_log(&house);
            let house = house.environment("FAIL_CALLS", "none");
            let _relay = house.start_again();
            (tried, taken, refused) = (tried + 1, taken + wanted.len(), refused + no);
            all_arrive(&sink, wanted);
            if !failed {
                break;
            }
        }
    }
    eprintln!("{tried} places at which the disk failed: {taken} messages taken and delivered, {refused} refused");
    assert!(refused > 0 && taken > tried, "{taken} taken and {refused} refused in {tried} runs");
}

/// Twelve messages to a relay whose disk fails; those that were taken, and how many were not.
fn send_while_it_fails(house: &House) -> (HashSet<String>, usize) {
    let (mut wanted, mut refused) = (HashSet::new(), 0);
    let mut relay = house.begin();
    let end = Instant::now() + LIMIT;
    while Client::connect(house.address).is_err() {
        if relay.has_ended() {
            return (wanted, 1);
        }
        assert!(Instant::now() < end, "{}", relay.log());
        thread::sleep(Duration::from_millis(10));
    }
    for number in 0..12 {
        let to = format!("m{number}@partner.example");
        let sent = Client::secure(house.address, &house.authority.client())
            .and_then(|mut client| client.send(FROM, &[&to], &noise(number, if number % 3 == 0 { 60_000 } else { 2_000 })));
        match sent {
            Ok(reply) if reply.code == 250 => drop(wanted.insert(to)),
            Ok(reply) => {
                assert!(reply.code / 100 == 4, "{}", reply.text);
                refused += 1;
            }
            Err(_) => refused += 1,
        }
    }
    relay.kill();
    (wanted, refused)
}

const DAY: i64 = 24 * 3600;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;
