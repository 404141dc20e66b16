//! The history as its users see it: written, searched, read by another process, reopened, overrun.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_report::{
    Decided, Event, EventKind, EventResult, Filter, History, HistoryError, HistoryReader, Proof, Row, Shadow, ShadowOutcome, WAITING_EVENTS,
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
    delivered.decided = Some(Decided::new("verify", "policy.toml:12", "partner \"Bank\" says verify"));
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
        let mut page = filter(|f| (f.limit, f.newest_first) = (2, newest_first));
        let all = history.query(&filter(|f| f.newest_first = newest_first)).await.unwrap();
        let mut paged = Vec::new();
        loop {
            let rows = history.query(&page).await.unwrap();
            let Some(last) = rows.last() else { break };
            page.after = Some((last.event.at, last.id));
            paged.extend(rows);
        }
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
            event.decided = Some(decided.clone());
            history.record(event);
        }
        history.flush().await.unwrap();
    }
    let mut other = event(9000, EventKind::Delivered, "Q", "a@b.example", "c@d.example");
    other.proof = Some(Arc::new(Proof::new(None, "opportunistic", true)));
    history.record(other);
    history.flush().await.unwrap();
    let count = |sql: &str| {
        let db = sealpost_store::rusqlite::Connection::open(directory.path().join("history.db")).unwrap();
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
    // A lock held by somebody else: nothing can be written for now.
    let other = sealpost_store::rusqlite::Connection::open(directory.path().join("history.db")).unwrap();
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
    assert_eq!(rows.len() + dropped, given, "each one is there or counted");
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
    let db = sealpost_store::rusqlite::Connection::open(directory.path().join("history.db")).unwrap();
    db.execute_batch(
        "UPDATE events SET kind = 'gone' WHERE at = 100; UPDATE events SET recipient = '@@' WHERE at = 200; UPDATE proofs SET proof = '{'",
    )
    .unwrap();
    assert_eq!(times(&history.query(&Filter::default()).await.unwrap()), [500, 400, 300]);
}

#[test]
fn there_is_no_history_to_read_before_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = HistoryReader::open(&directory.path().join("none")).unwrap_err();
    assert!(matches!(&error, HistoryError::Missing { directory } if directory.ends_with("none")), "{error}");
    std::fs::create_dir(directory.path().join("history.db")).unwrap();
    let error = HistoryReader::open(directory.path()).unwrap_err();
    assert!(matches!(error, HistoryError::Open(_)), "what is there and is none is another matter: {error}");
}

/// A history of before entries knew how the message had come in.
#[tokio::test]
async fn an_older_history_is_read_and_written_on() {
    const FIRST_STEP_ALONE: &str = "ALTER TABLE events DROP COLUMN received_secure; ALTER TABLE events DROP COLUMN level_header;
        ALTER TABLE events DROP COLUMN shadow; PRAGMA user_version = 1";
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let old = event(100, EventKind::Delivered, "Q1", "a@a.example", "b@b.example");
    history.record_durably(vec![old.clone()]).await.unwrap();
    history.close().await.unwrap();
    let db = sealpost_store::rusqlite::Connection::open(directory.path().join("history.db")).unwrap();
    db.execute_batch(FIRST_STEP_ALONE).unwrap();
    drop(db);
    assert!(HistoryReader::open(directory.path()).is_err(), "only its owner may change it");
    let history = History::open(directory.path()).unwrap();
    let mut new = event(200, EventKind::Delivered, "Q2", "a@a.example", "b@b.example");
    new.received_secure = Some(true);
    new.level_header = Some("Try".to_owned());
    new.shadow = Some(Arc::new(Shadow::new("require", ShadowOutcome::NotJudged, None)));
    history.record_durably(vec![new.clone()]).await.unwrap();
    let rows = history.query(&filter(|f| f.newest_first = false)).await.unwrap();
    assert_eq!(rows.into_iter().map(|row| row.event).collect::<Vec<_>>(), [old, new]);
}
