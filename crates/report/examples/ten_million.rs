//! What a history of ten million entries costs: to write, and to search.
//!
//! ```console
//! $ cargo run --release -p sealpost-report --example ten_million -- DIRECTORY [ENTRIES] [DAYS]
//! ```
//! The directory is filled if it is empty, and searched. "first" is with none of the files in memory, nor open.

#![allow(clippy::print_stdout, reason = "what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use sealpost_report::{Decided, Event, EventKind, EventResult, Filter, History, HistoryReader, Proof};
use sealpost_types::{CipherSuite, Domain, ForwardPath, Hop, KexGroup, Mailbox, Octets, TlsFacts, TlsVersion, UnixMillis};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let directory = Path::new(&directory);
    let entries = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let days = arguments.next().map_or(Ok(30), |text| text.parse())?;
    if !directory.exists() {
        fill(directory, entries, days)?;
    }
    search(directory)
}

/// Mail of one relay: fifty hosted domains, and very many others, few of which have most of the mail.
fn fill(directory: &Path, entries: i64, days: i64) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let history = History::open(directory)?;
    let (started, cpu) = (Instant::now(), cpu());
    let mut random = Random(1);
    let mut written = 0;
    let step = days * DAY_MILLIS * 5 / (entries * 2);
    let mut at = START;
    while written < entries {
        let message = Message::new(&mut random, at, written);
        for event in message.events(&mut random) {
            history.record(event);
            written += 1;
            if written % 8192 == 0 {
                runtime.block_on(history.flush())?;
            }
        }
        at += step;
    }
    runtime.block_on(history.flush())?;
    let each = |micros: f64| micros / written as f64;
    println!("{written} entries written, {} dropped", history.dropped());
    println!(
        "  wall {:.1} us, CPU {:.1} us an entry, making them included",
        each(started.elapsed().as_secs_f64() * 1e6),
        each((self::cpu() - cpu) * 1e6)
    );
    drop(history);
    println!("  {} octets an entry on disk", size(directory)? / u64::try_from(written)?);
    Ok(())
}

fn search(directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut reader = HistoryReader::open(directory)?;
    let newest = reader.query(&filter(|f| f.limit = 1))?;
    let newest = &newest.first().ok_or("the history is empty")?.event;
    let middle = UnixMillis(START + (newest.at.0 - START) / 2);
    let some_id = reader.query(&filter(|f| (f.until, f.limit) = (Some(middle), 1)))?.first().and_then(|row| row.event.queue_id.clone());
    let domain = |name: &str| Domain::parse(name).ok();
    let rare = |f: &mut Filter| f.kinds = vec![EventKind::DeletedByTlsPolicy];
    let queries = [
        ("the newest", filter(|_| {})),
        ("a message, of the middle of the time", filter(|f| f.queue_id.clone_from(&some_id))),
        ("a message that does not exist", filter(|f| f.queue_id = Some("NONE".into()))),
        ("a domain with much mail", filter(|f| f.domain = domain("d0.example"))),
        ("a domain with little mail", filter(|f| f.domain = domain("d90001.example"))),
        ("a domain without mail", filter(|f| f.domain = domain("none.example"))),
        ("a time in the middle", filter(|f| (f.since, f.until) = (Some(middle), Some(UnixMillis(middle.0 + 3_600_000))))),
        ("a rare event", filter(rare)),
        ("a frequent event, the oldest", filter(|f| (f.kinds, f.newest_first) = (vec![EventKind::CheckTls], false))),
        ("a result", filter(|f| f.result = Some(EventResult::Permanent))),
        (
            "a domain with much mail and a rare event",
            filter(|f| {
                f.domain = domain("d0.example");
                rare(f);
            }),
        ),
        (
            "a domain, an event, a result and a time",
            filter(|f| {
                f.domain = domain("d7.example");
                f.kinds = vec![EventKind::CheckTls];
                f.result = Some(EventResult::Transient);
                f.since = Some(middle);
            }),
        ),
        ("a sender of a domain with little mail", filter(|f| f.sender = Mailbox::parse("u1@d90001.example").ok().map(Into::into))),
    ];
    println!("{:<44} {:>6} {:>9} {:>9}", "query, up to 100 entries", "found", "first ms", "again ms");
    for (what, filter) in queries {
        drop(reader);
        forget(directory)?;
        let start = Instant::now();
        reader = HistoryReader::open(directory)?;
        let found = reader.query(&filter)?.len();
        let first = start.elapsed();
        let start = Instant::now();
        for _ in 0..20 {
            reader.query(&filter)?;
        }
        println!("{what:<44} {found:>6} {:>9.2} {:>9.2}", first.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e3 / 20.0);
    }
    Ok(())
}

fn filter(set: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    filter.limit = 100;
    set(&mut filter);
    filter
}

struct Message {
    id: String,
    at: i64,
    from: Mailbox,
    to: Mailbox,
    proof: Arc<Proof>,
    decided: Arc<Decided>,
}

impl Message {
    fn new(random: &mut Random, at: i64, number: i64) -> Self {
        let hosted = format!("u{}@h{}.example", random.below(200), random.below(50));
        // The square of a square: a tenth of the domains have more than half of the mail.
        let share = random.below(1_000_000) as f64 / 1e6;
        let other = format!("u{}@d{}.example", random.below(50), (share.powi(4) * 200_000.0) as u64);
        let (from, to) = if random.below(2) == 0 { (hosted, other) } else { (other, hosted) };
        let parse = |text: &str| Mailbox::parse(text).unwrap_or_else(|_| unreachable!("made above"));
        let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), Some(KexGroup(0x11ec)), random.below(2) == 0);
        let mut proof = Proof::new(Some(facts), "verify, a trusted chain", true);
        let host = format!("mx{}.example", random.below(3000));
        proof.subject = Some(format!("CN={host}"));
        proof.spki_pin = Some(format!("sha256//{host}+DImW+5JCeuQeRkm5NMpJWZG3hSuFU="));
        proof.validation_path = vec![format!("CN={host}"), "CN=R3,O=Some CA,C=US".into(), "CN=Root X1,O=Some CA,C=US".into()];
        let decided = Decided::new("require", "partner \"Bank\" (policy.toml:31)", "require: partner \"Bank\" (policy.toml:31) raised tls");
        Self {
            id: format!("{:013X}", 0x1000_0000_0000 + number * 977),
            at,
            from: parse(&from),
            to: parse(&to),
            proof: Arc::new(proof),
            decided: Arc::new(decided),
        }
    }

    fn events(&self, random: &mut Random) -> Vec<Event> {
        let mut events = vec![self.event(0, EventKind::Received)];
        if random.below(10) == 0 {
            events.push(self.event(80, EventKind::CheckTls).because("mx.example [192.0.2.1]:25: the certificate has expired"));
            events.push(self.event(81, EventKind::Deferred).because("mx.example [192.0.2.1]:25: the certificate has expired"));
        }
        let end = match random.below(100_000) {
            0..10 => EventKind::DeletedByTlsPolicy,
            10..500 => EventKind::Bounced,
            _ => EventKind::Delivered,
        };
        events.push(self.event(200, end));
        events
    }

    fn event(&self, after: i64, kind: EventKind) -> Event {
        let hop = if kind == EventKind::Received { Hop::Receive } else { Hop::Deliver };
        let mut event = Event::new(UnixMillis(self.at + after), kind, hop)
            .of_message(self.id.clone(), self.from.clone().into())
            .for_recipient(ForwardPath::Mailbox(self.to.clone()));
        event.size = Some(Octets(4096));
        event.host = Some("mx.example".into());
        event.address = "192.0.2.1:25".parse().ok();
        event.next_hop = Some("mx:d.example".into());
        event.attempts = Some(1);
        event.reply = Some("250 2.0.0 Ok: queued as 4F8A81234".into());
        event.decided = Some(Arc::clone(&self.decided));
        event.proof = Some(Arc::clone(&self.proof));
        event
    }
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn size(directory: &Path) -> Result<u64, Box<dyn Error>> {
    std::fs::read_dir(directory)?.map(|file| Ok(file?.metadata()?.len())).sum()
}

/// Has the system drop the files from its memory.
fn forget(directory: &Path) -> Result<(), Box<dyn Error>> {
    for file in std::fs::read_dir(directory)? {
        let file = std::fs::File::open(file?.path())?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// 2026-01-01.
const START: i64 = 1_767_225_600_000;
const DAY_MILLIS: i64 = 86_400_000;
