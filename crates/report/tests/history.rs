//! The history as its users see it: written, searched, read by another process, reopened, overrun.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_report::{
    Decided, Event, EventKind, EventResult, Filter, History, HistoryError, HistoryReader, HistorySettings, Proof, Row, StreamTarget,
    WAITING_EVENTS,
};
use sealpost_types::{CipherSuite, Domain, ForwardPath, Hop, KexGroup, Mailbox, TlsFacts, TlsVersion, UnixMillis};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn event(at: i64, kind: EventKind, id: &str, from: &str, to: &str) -> Event {
    Event::new(UnixMillis(at), kind, Hop::Deliver).of_message(id, mailbox(from).into()).for_recipient(ForwardPath::Mailbox(mailbox(to)))
}

fn proof() -> Arc<Proof> {
    let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), Some(KexGroup(0x11ec)), true);
    let mut proof = Proof::new(Some(facts), "verify with mx.bank.example", true);
    proof.subject = Some("CN=mx.bank.example".into());
    proof.spki_pin = Some("sha256//AAAA".into());
    proof.validation_path = vec!["CN=mx.bank.example".into(), "CN=CA".into()];
    proof.findings = vec!["the certificate expires in 3 days".into()];
    Arc::new(proof)
}

/// A life of two messages, in order.
fn story() -> Vec<Event> {
    let (a, b) = (("Q1", "alice@acme.example", "bob@bank.example"), ("Q2", "carol@bank.example", "dave@clinic.example"));
    let about = |at, kind, (id, from, to): (&str, &str, &str)| event(at, kind, id, from, to);
    let mut delivered = about(600, EventKind::Delivered, a);
    delivered.proof = Some(proof());
    delivered.decided = Some(Arc::new(Decided::new("verify", "policy.toml:12", "partner \"Bank\" says verify")));
    delivered.host = Some("mx.bank.example".into());
    delivered.address = Some("[2001:db8::1]:25".parse().unwrap());
    delivered.reply = Some("250 2.0.0 taken\n".into());
    delivered.attempts = Some(2);
    delivered.received_secure = Some(false);
    let mut check = about(300, EventKind::CheckTls, a).because("certificate expired 3 days ago");
    check.next_attempt = Some(UnixMillis(500));
    vec![
        about(100, EventKind::Received, a),
        about(200, EventKind::Received, b),
        check,
        about(400, EventKind::CheckTls, b).with_result(EventResult::Permanent),
        about(500, EventKind::DeletedByTlsPolicy, b),
        delivered,
    ]
}

fn filter(set: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    set(&mut filter);
    filter
}

fn times(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.event.at.0).collect()
}

// req: A9 F6
#[tokio::test]
async fn every_event_comes_back_as_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    for event in story() {
        history.record(event);
    }
    history.flush().await.unwrap();
    let rows = history.query(&filter(|f| f.newest_first = false)).await.unwrap();
    assert_eq!(rows.into_iter().map(|row| row.event).collect::<Vec<_>>(), story());
    history.close().await.unwrap();

    let history = History::open(directory.path()).unwrap();
    let rows = history.query(&Filter::default()).await.unwrap();
    assert_eq!(times(&rows), [600, 500, 400, 300, 200, 100], "still there, the newest first");
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    history.record_durably(story()).await.unwrap();
    let domain = |name| Some(Domain::parse(name).unwrap());
    let cases: Vec<(&str, Filter, Vec<i64>)> = vec![
        ("queue id", filter(|f| f.queue_id = Some("Q2".into())), vec![500, 400, 200]),
        ("domain, either end", filter(|f| f.domain = domain("bank.example")), vec![600, 500, 400, 300, 200, 100]),
        ("domain, recipient", filter(|f| f.domain = domain("clinic.example")), vec![500, 400, 200]),
        ("no such domain", filter(|f| f.domain = domain("example")), vec![]),
        ("kind", filter(|f| f.kinds = vec![EventKind::CheckTls]), vec![400, 300]),
        ("kinds", filter(|f| f.kinds = vec![EventKind::CheckTls, EventKind::Delivered]), vec![600, 400, 300]),
        ("result", filter(|f| f.result = Some(EventResult::Permanent)), vec![500, 400]),
        ("since", filter(|f| f.since = Some(UnixMillis(400))), vec![600, 500, 400]),
        ("until", filter(|f| f.until = Some(UnixMillis(400))), vec![300, 200, 100]),
        ("limit", filter(|f| f.limit = 2), vec![600, 500]),
        ("oldest first", filter(|f| (f.limit, f.newest_first) = (2, false)), vec![100, 200]),
        (
            "all together",
            filter(|f| {
                f.queue_id = Some("Q2".into());
                f.domain = domain("bank.example");
                f.kinds = vec![EventKind::CheckTls, EventKind::Received];
                f.result = Some(EventResult::Permanent);
                f.since = Some(UnixMillis(300));
                f.until = Some(UnixMillis(500));
            }),
            vec![400],
        ),
    ];
    for (what, filter, expected) in cases {
        assert_eq!(times(&history.query(&filter).await.unwrap()), expected, "{what}");
    }
}

/// Many entries of the same moment must neither be skipped nor come twice.
#[tokio::test]
async fn pages_hold_every_entry_once() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let moments = [100, 100, 100, 100, 200, 200, 50, 100, 300];
    for (number, at) in moments.into_iter().enumerate() {
        history.record(event(at, EventKind::Received, &format!("Q{number}"), "a@a.example", "b@b.example"));
    }
    history.flush().await.unwrap();
    for newest_first in [true, false] {
        let all = history.query(&filter(|f| f.newest_first = newest_first)).await.unwrap();
        let paged = by_pages(&history, filter(|f| (f.limit, f.newest_first) = (2, newest_first))).await;
        assert_eq!(paged.len(), moments.len());
        assert_eq!(paged, all);
    }
}

#[tokio::test]
async fn a_row_is_ids_of_what_many_share() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    for batch in 0..3 {
        let (proof, decided) = (proof(), Decided::new("verify", "policy.toml:12", "a long trace"));
        for at in 0..100 {
            let mut event = event(batch * 1000 + at, EventKind::Delivered, "Q", "a@b.example", "c@d.example");
            event.proof = Some(proof.clone());
            event.decided = Some(Arc::new(decided.clone()));
            history.record(event);
        }
        history.flush().await.unwrap();
    }
    let mut other = event(9000, EventKind::Delivered, "Q", "a@b.example", "c@d.example");
    other.proof = Some(Arc::new(Proof::new(None, "opportunistic", true)));
    history.record(other);
    history.flush().await.unwrap();
    let count = |sql: &str| {
        let db = sealpost_store::rusqlite::Connection::open(directory.path().join(DAY)).unwrap();
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM events"), 301);
    assert_eq!(count("SELECT count(*) FROM proofs"), 2);
    assert_eq!(count("SELECT count(*) FROM decisions"), 1);
}

#[tokio::test]
async fn what_comes_twice_out_of_an_outbox_is_there_once() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let outbox: Vec<Vec<u8>> = story().iter().map(Event::to_bytes).collect();
    let events = || outbox.iter().map(|bytes| Event::from_bytes(bytes).unwrap()).collect::<Vec<_>>();
    history.record_durably(events()).await.unwrap();
    drop(history);
    let history = History::open(directory.path()).unwrap();
    let mut again = events();
    again.push(event(600, EventKind::Delivered, "Q1", "alice@acme.example", "erin@bank.example"));
    history.record_durably(again).await.unwrap();
    let rows = history.query(&Filter::default()).await.unwrap();
    assert_eq!(times(&rows), [600, 600, 500, 400, 300, 200, 100], "another recipient is another event");
}

#[tokio::test]
async fn record_never_waits_and_says_what_it_drops() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    history.record_durably(vec![event(0, EventKind::Received, "Q", "a@b.example", "c@d.example")]).await.unwrap();
    // A lock held by somebody else: nothing can be written for now.
    let other = sealpost_store::rusqlite::Connection::open(directory.path().join(DAY)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let given = WAITING_EVENTS * 2;
    let started = Instant::now();
    for at in 0..given {
        history.record(event(i64::try_from(at).unwrap(), EventKind::Received, "Q", "a@b.example", "c@d.example"));
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let dropped = usize::try_from(history.dropped()).unwrap();
    assert!(dropped > 0, "more came than may wait");
    other.execute_batch("ROLLBACK").unwrap();
    history.flush().await.unwrap();
    let rows = history.query(&filter(|f| f.limit = usize::MAX)).await.unwrap();
    assert_eq!(rows.len() + dropped, given + 1, "each one is there or counted");
}

#[test]
fn dropping_the_history_writes_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    story().into_iter().for_each(|event| history.record(event));
    drop(history);
    let rows = HistoryReader::open(directory.path()).unwrap().query(&Filter::default()).unwrap();
    assert_eq!(rows.len(), story().len());
}

/// Not a test of its own: what the other process of `another_process_reads_while_this_one_writes` runs.
#[test]
fn other_process() {
    let Some(directory) = std::env::var_os("SEALPOST_TEST_HISTORY") else { return };
    let mut reader = HistoryReader::open(directory.as_ref()).unwrap();
    let rows = reader.query(&filter(|f| f.queue_id = Some("Q1".into()))).unwrap();
    assert_eq!(times(&rows), [600, 300, 100]);
    assert!(History::open(directory.as_ref()).is_err(), "one process alone writes it");
}

#[tokio::test]
async fn another_process_reads_while_this_one_writes() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    history.record_durably(story()).await.unwrap();
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap().len(), 6);

    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process"])
        .env("SEALPOST_TEST_HISTORY", directory.path())
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));

    history.record_durably(vec![event(700, EventKind::Received, "Q3", "a@b.example", "c@d.example")]).await.unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap().len(), 7, "an open reader sees what comes later");
}

#[tokio::test]
async fn a_damaged_row_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    history.record_durably(story()).await.unwrap();
    let db = sealpost_store::rusqlite::Connection::open(directory.path().join(DAY)).unwrap();
    db.execute_batch(
        "UPDATE codes SET kind = 'gone' WHERE kind = 'received'; UPDATE events SET recipient = '@@' WHERE id >> 20 = 300;
         UPDATE proofs SET proof = '{'",
    )
    .unwrap();
    assert_eq!(times(&history.query(&Filter::default()).await.unwrap()), [500, 400]);
}

/// It says who wrote to whom.
#[test]
fn the_history_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data").join("history");
    drop(History::open(&directory).unwrap());
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn there_is_no_history_to_read_before_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = HistoryReader::open(&directory.path().join("none")).unwrap_err();
    assert!(matches!(&error, HistoryError::Missing { directory } if directory.ends_with("none")), "{error}");
    std::fs::create_dir(directory.path().join(DAY)).unwrap();
    let error = HistoryReader::open(directory.path()).unwrap_err();
    assert!(matches!(error, HistoryError::Open(_)), "what is there and is none is another matter: {error}");
}

async fn by_pages(history: &History, mut page: Filter) -> Vec<Row> {
    let mut paged = Vec::new();
    loop {
        let rows = history.query(&page).await.unwrap();
        let Some(last) = rows.last() else { return paged };
        page.after = Some((last.event.at, last.id));
        paged.extend(rows);
    }
}

#[tokio::test]
async fn each_day_has_its_file_and_pages_run_through_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let midnight = 3 * DAY_MILLIS;
    // Out of order, some of the same moment, around midnight and days apart.
    let moments = [midnight - 1, midnight, midnight, 5, midnight + 1, midnight, 9 * DAY_MILLIS, midnight - 1, 9 * DAY_MILLIS - 1, 4];
    for (number, at) in moments.into_iter().enumerate() {
        history.record(event(at, EventKind::Received, &format!("Q{number}"), "a@a.example", "b@b.example"));
        if number % 3 == 0 {
            history.flush().await.unwrap();
        }
    }
    history.flush().await.unwrap();
    for name in ["1970-01-01.db", "1970-01-03.db", "1970-01-04.db", "1970-01-09.db", "1970-01-10.db"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    let mut sorted = moments;
    sorted.sort_unstable();
    assert_eq!(times(&history.query(&filter(|f| f.newest_first = false)).await.unwrap()), sorted);
    for newest_first in [true, false] {
        for limit in 1..5 {
            let paged = by_pages(&history, filter(|f| (f.limit, f.newest_first) = (limit, newest_first))).await;
            assert_eq!(paged, history.query(&filter(|f| f.newest_first = newest_first)).await.unwrap(), "{newest_first} {limit}");
        }
    }
    let within = filter(|f| (f.since, f.until) = (Some(UnixMillis(midnight - 1)), Some(UnixMillis(midnight + 1))));
    assert_eq!(times(&history.query(&within).await.unwrap()), [midnight, midnight, midnight, midnight - 1, midnight - 1]);
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn settings(set: impl FnOnce(&mut HistorySettings)) -> HistorySettings {
    let mut settings = HistorySettings::default();
    set(&mut settings);
    settings
}

#[tokio::test]
async fn days_go_when_they_are_older_than_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let old = |days: i64| event(now() - days * DAY_MILLIS, EventKind::Received, &format!("Q{days}"), "a@a.example", "b@b.example");
    history.record_durably(vec![old(0), old(2), old(5), old(9)]).await.unwrap();
    history.close().await.unwrap();
    let ids = |history: Vec<Row>| history.into_iter().filter_map(|row| row.event.queue_id).collect::<Vec<_>>();

    let kept = History::open(directory.path()).unwrap();
    assert_eq!(ids(kept.query(&Filter::default()).await.unwrap()), ["Q0", "Q2", "Q5", "Q9"], "everything, unless a setting says otherwise");
    kept.close().await.unwrap();
    let history = History::open_with(directory.path(), settings(|s| s.keep = Duration::from_secs(4 * 86400))).unwrap();
    history.flush().await.unwrap();
    assert_eq!(ids(history.query(&Filter::default()).await.unwrap()), ["Q0", "Q2"]);
    let files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().filter_map(|file| file.unwrap().file_name().into_string().ok()).collect();
    assert_eq!(files.iter().filter(|name| name.ends_with(".db")).count(), 2, "{files:?}");
}

#[tokio::test]
async fn a_history_takes_no_more_space_than_it_may() {
    const MAX: u64 = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let history = History::open_with(directory.path(), settings(|s| s.max_size = sealpost_types::Octets(MAX))).unwrap();
    let yesterday = event(now() - DAY_MILLIS, EventKind::Received, "OLD", "a@a.example", "b@b.example");
    history.record_durably(vec![yesterday]).await.unwrap();
    history.close().await.unwrap();
    let mut last = 0;
    for round in 0..8 {
        // What takes too much is looked for at the start, and then every minute.
        let history = History::open_with(directory.path(), settings(|s| s.max_size = sealpost_types::Octets(MAX))).unwrap();
        for number in 0..1000 {
            let mut event = event(now(), EventKind::Received, &format!("Q{round}-{number}"), "a@a.example", "b@b.example");
            event.reply = Some("x".repeat(600));
            history.record(event);
            last = number;
        }
        history.flush().await.unwrap();
        history.close().await.unwrap();
    }
    let size: u64 = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 3 * MAX, "{size}: 8,000 entries of 600 octets take more than 6 MiB without a limit");
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    let newest = reader.query(&filter(|f| f.limit = 1)).unwrap();
    assert_eq!(newest[0].event.queue_id, Some(format!("Q7-{last}")), "the newest are there");
    assert!(reader.query(&filter(|f| f.queue_id = Some("OLD".into()))).unwrap().is_empty(), "the oldest went first");
    let walked = reader.query(&filter(|f| (f.domain, f.limit) = (Some(Domain::parse("a.example").unwrap()), usize::MAX))).unwrap();
    assert_eq!(walked.len(), reader.query(&filter(|f| f.limit = usize::MAX)).unwrap().len(), "all that is there is found by domain");
    let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "db")) {
        let db = sealpost_store::rusqlite::Connection::open(path).unwrap();
        let empty = "SELECT count(*) FROM moments WHERE moment NOT IN (SELECT id >> 22 FROM events)";
        assert_eq!(db.query_row(empty, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "what went is looked for no more");
    }
}

#[tokio::test]
async fn the_stream_has_every_entry_also_after_log_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    let target = settings(|s| s.stream = Some(StreamTarget::File(path.clone())));
    let history = History::open_with(&directory.path().join("h"), target).unwrap();
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let wait = |path: &std::path::Path, count: usize| {
        for _ in 0..200 {
            if lines(path).len() >= count {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        lines(path)
    };
    story().into_iter().for_each(|event| history.record(event));
    history.flush().await.unwrap();
    assert_eq!(wait(&path, 6), story().iter().map(Event::to_json).collect::<Vec<_>>());
    std::fs::rename(&path, directory.path().join("history.jsonl.1")).unwrap();
    let last = event(900, EventKind::Expired, "Q9", "a@a.example", "b@b.example");
    history.record_durably(vec![last.clone()]).await.unwrap();
    assert_eq!(wait(&path, 1), [last.to_json()], "in a new file");
    history.close().await.unwrap();
    let missing = settings(|s| s.stream = Some(StreamTarget::File(directory.path().join("none/x"))));
    assert!(matches!(History::open_with(&directory.path().join("h"), missing), Err(HistoryError::Stream { .. })));
}

#[tokio::test]
async fn a_flood_of_refusals_is_few_rows_that_count_it() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let mut refusal = Event::new(UnixMillis(5), EventKind::Refused, Hop::Receive);
    refusal.address = Some("192.0.2.9:999".parse().unwrap());
    for _ in 0..100_000 {
        history.record(refusal.clone());
    }
    history.close().await.unwrap();
    let rows = HistoryReader::open(directory.path()).unwrap().query(&Filter::default()).unwrap();
    assert!(rows.len() < 100, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| 1 + row.event.more.unwrap_or(0)).sum::<u64>(), 100_000);
}

/// A day whose file was overwritten with rubbish hides no other day, and is set aside when there is something to write.
#[tokio::test]
async fn a_damaged_file_hides_no_other_day() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let of_day = |day: i64| event(day * DAY_MILLIS, EventKind::Received, "Q", "a@a.example", "b@b.example");
    history.record_durably(vec![of_day(0), of_day(1), of_day(2)]).await.unwrap();
    history.close().await.unwrap();
    std::fs::write(directory.path().join("1970-01-02.db"), vec![b'x'; 40_000]).unwrap();
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    assert_eq!(times(&reader.query(&Filter::default()).unwrap()), [2 * DAY_MILLIS, 0]);
    let unreadable = reader.unreadable();
    assert!(unreadable.len() == 1 && unreadable[0].0.ends_with("1970-01-02.db"), "{unreadable:?}");
    let history = History::open(directory.path()).unwrap();
    history.record_durably(vec![of_day(1)]).await.unwrap();
    assert_eq!(times(&history.query(&Filter::default()).await.unwrap()), [2 * DAY_MILLIS, DAY_MILLIS, 0]);
    assert!(directory.path().join("1970-01-02.db.damaged-1").exists());
}

#[test]
fn a_filter_says_the_same_of_an_event_as_of_a_row() {
    let domain = |name| Some(Domain::parse(name).unwrap());
    let filters = [
        Filter::default(),
        filter(|f| f.queue_id = Some("Q2".into())),
        filter(|f| f.domain = domain("bank.example")),
        filter(|f| f.domain = domain("clinic.example")),
        filter(|f| f.sender = Some(mailbox("alice@acme.example").into())),
        filter(|f| (f.sender, f.domain) = (Some(mailbox("alice@acme.example").into()), domain("bank.example"))),
        filter(|f| f.sender = Some(sealpost_types::ReversePath::Null)),
        filter(|f| (f.sender, f.queue_id) = (Some(mailbox("alice@acme.example").into()), Some("Q2".into()))),
        filter(|f| (f.kinds, f.result) = (vec![EventKind::CheckTls], Some(EventResult::Permanent))),
        filter(|f| (f.since, f.until) = (Some(UnixMillis(200)), Some(UnixMillis(500)))),
    ];
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    story().into_iter().for_each(|event| history.record(event));
    drop(history);
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    for filter in filters {
        let mut matching: Vec<i64> = story().iter().filter(|event| filter.matches(event)).map(|event| event.at.0).collect();
        matching.reverse();
        assert_eq!(times(&reader.query(&filter).unwrap()), matching, "{filter:?}");
    }
}

/// The file of the first day there is.
const DAY: &str = "1970-01-01.db";
const DAY_MILLIS: i64 = 86_400_000;
