//! The one file of all days, which earlier versions wrote: read on, also where it is damaged.

use std::sync::Arc;

use sealpost_report::{Decided, Event, EventKind, Filter, History, HistoryReader, Row, Shadow, ShadowOutcome};
use sealpost_store::rusqlite::Connection;
use sealpost_types::{Domain, ForwardPath, Hop, Mailbox, UnixMillis};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn event(at: i64, id: &str) -> Event {
    let event = Event::new(UnixMillis(at), EventKind::Delivered, Hop::Deliver).of_message(id, mailbox("a@a.example").into());
    event.for_recipient(ForwardPath::Mailbox(mailbox("b@b.example")))
}

fn filter(set: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    set(&mut filter);
    filter
}

fn times(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.event.at.0).collect()
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

/// What versions before wrote: one file of all days, here as its first schema had it.
const SINGLE: &str = "
    CREATE TABLE decisions (id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, trace TEXT NOT NULL) STRICT;
    CREATE INDEX decisions_by_digest ON decisions (digest);
    CREATE TABLE proofs (id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, proof TEXT NOT NULL) STRICT;
    CREATE INDEX proofs_by_digest ON proofs (digest);
    CREATE TABLE events (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, hop TEXT NOT NULL, result TEXT NOT NULL,
        queue_id TEXT, sender TEXT, sender_domain TEXT, recipient TEXT, recipient_domain TEXT, size INTEGER, next_hop TEXT, host TEXT,
        address TEXT, attempts INTEGER, next_attempt INTEGER, reason TEXT, reply TEXT, decision INTEGER, proof INTEGER) STRICT;
    CREATE INDEX events_by_time ON events (at);
    CREATE INDEX events_by_queue_id ON events (queue_id);
    CREATE INDEX events_by_kind ON events (kind, at);
    CREATE INDEX events_by_result ON events (result, at);
    CREATE INDEX events_by_sender_domain ON events (sender_domain, at);
    CREATE INDEX events_by_recipient_domain ON events (recipient_domain, at);
    INSERT INTO decisions VALUES (1, 7, 'verify', 'policy.toml:12', 'a trace');
    INSERT INTO events (at, kind, hop, result, queue_id, sender, sender_domain, recipient, recipient_domain, decision) VALUES
        (100, 'received', 'receive', 'success', 'Q1', 'a@a.example', 'a.example', 'b@b.example', 'b.example', 1),
        (200, 'delivered', 'deliver', 'success', 'Q1', 'a@a.example', 'a.example', 'b@b.example', 'b.example', 1),
        (200, 'delivered', 'deliver', 'success', 'Q1', 'a@a.example', 'a.example', 'c@b.example', 'b.example', 1);
    PRAGMA application_id = 0x53704869;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn the_single_file_of_before_is_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let db = Connection::open(directory.path().join("history.db")).unwrap();
    db.execute_batch(SINGLE).unwrap();
    drop(db);
    assert!(HistoryReader::open(directory.path()).is_err(), "only its owner may change it");
    let history = History::open(directory.path()).unwrap();
    let mut new = event(200, "Q2");
    new.received_secure = Some(true);
    new.level_header = Some("Try".to_owned());
    new.shadow = Some(Arc::new(Shadow::new("require", ShadowOutcome::NotJudged, None)));
    let later = event(DAY_MILLIS, "Q3");
    history.record_durably(vec![new.clone(), later]).await.unwrap();

    let all = history.query(&filter(|f| f.newest_first = false)).await.unwrap();
    assert_eq!(times(&all), [100, 200, 200, 200, DAY_MILLIS]);
    assert_eq!(all[0].event.decided, Some(Arc::new(Decided::new("verify", "policy.toml:12", "a trace"))));
    assert_eq!(all[3].event, new);
    let of_message = history.query(&filter(|f| f.queue_id = Some("Q1".into()))).await.unwrap();
    assert_eq!(times(&of_message), [200, 200, 100]);
    let of_kind = history.query(&filter(|f| (f.kinds, f.limit) = (vec![EventKind::Delivered], 2))).await.unwrap();
    assert_eq!(times(&of_kind), [DAY_MILLIS, 200]);
    for newest_first in [true, false] {
        for limit in 1..4 {
            let paged = by_pages(&history, filter(|f| (f.limit, f.newest_first) = (limit, newest_first))).await;
            assert_eq!(paged, history.query(&filter(|f| f.newest_first = newest_first)).await.unwrap(), "{newest_first} {limit}");
        }
    }
    history.close().await.unwrap();
    assert_eq!(HistoryReader::open(directory.path()).unwrap().query(&Filter::default()).unwrap().len(), 5);
}

#[tokio::test]
async fn the_single_file_of_before_may_be_rubbish() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("history.db"), vec![b'x'; 40_000]).unwrap();
    let history = History::open(directory.path()).unwrap();
    history.record_durably(vec![event(5, "Q1")]).await.unwrap();
    assert_eq!(history.query(&Filter::default()).await.unwrap().len(), 1);
    assert!(directory.path().join("history.db.damaged-1").exists());
}

/// Five hundred more entries, one a millisecond, on some thirty pages.
const MORE: &str = "
    WITH RECURSIVE moment (at) AS (VALUES (1000) UNION ALL SELECT at + 1 FROM moment WHERE at < 1499)
    INSERT INTO events (at, kind, hop, result, queue_id, sender, sender_domain, recipient, recipient_domain, reason)
    SELECT at, 'delivered', 'deliver', 'success', 'R' || at, 'a@a.example', 'a.example', 'b@b.example', 'b.example', hex(zeroblob(100))
    FROM moment;
";

fn file(more: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(SINGLE).unwrap();
    db.execute_batch(MORE).unwrap();
    db.execute_batch(more).unwrap();
    drop(db);
    (directory, path)
}

/// Its entries have no checksum, so what is noticed is what cannot be read as an entry.
#[tokio::test]
async fn an_entry_that_cannot_be_read_ends_no_paging() {
    let damage = "
        UPDATE events SET kind = 'no kind' WHERE at BETWEEN 1100 AND 1139 OR at = 1499;
        UPDATE events SET sender = 'no mailbox' WHERE at % 50 = 7;
    ";
    let (directory, _path) = file(damage);
    let history = History::open(directory.path()).unwrap();
    history.record_durably(vec![event(DAY_MILLIS, "Q3")]).await.unwrap();
    let is_damaged = |at: &i64| (1100..1140).contains(at) || *at == 1499 || (*at >= 1000 && at % 50 == 7);
    let mut right: Vec<i64> = [100, 200, 200].into_iter().chain(1000..1500).chain([DAY_MILLIS]).filter(|at| !is_damaged(at)).collect();
    for newest_first in [false, true] {
        for domain in [None, Some(Domain::parse("b.example").unwrap())] {
            let page = filter(|f| (f.limit, f.newest_first, f.domain) = (7, newest_first, domain));
            assert_eq!(times(&by_pages(&history, page).await), right, "{newest_first}");
        }
        right.reverse();
    }
    history.close().await.unwrap();
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    reader.query(&Filter::default()).unwrap();
    let told: Vec<_> = reader.unreadable().iter().map(|(path, problem)| (path.file_name().unwrap(), problem.as_str())).collect();
    assert!(matches!(told[..], [(name, problem)] if name == "history.db" && problem.starts_with("50 entries")), "{told:?}");
}

/// Whoever meets it leaves word, the next start salvages it.
#[tokio::test]
async fn a_broken_page_costs_only_its_own_entries() {
    let (directory, path) = file("");
    let history = History::open(directory.path()).unwrap();
    history.record_durably(vec![event(DAY_MILLIS, "Q3")]).await.unwrap();
    history.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Leaves of tables begin with 13; the first of them hold the schema and what came before.
    let leaves: Vec<usize> = (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == 13).collect();
    let broken = leaves[leaves.len() / 2] * PAGE;
    bytes[broken..broken + PAGE].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();

    let mut reader = HistoryReader::open(directory.path()).unwrap();
    let rows = reader.query(&Filter::default()).unwrap();
    assert_eq!(times(&rows), [DAY_MILLIS], "what is damaged hides no other file");
    assert_eq!(reader.unreadable().len(), 1, "and is told");
    drop(reader);

    let history = History::open(directory.path()).unwrap();
    history.close().await.unwrap();
    assert!(directory.path().join("history.db.damaged-1").exists());
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    let rows = reader.query(&Filter::default()).unwrap().len();
    assert!(reader.unreadable().is_empty(), "{:?}", reader.unreadable());
    let lost = 504 - rows;
    assert!((3..40).contains(&lost), "{lost} entries were lost by one page");
}

const PAGE: usize = 4096;
const DAY_MILLIS: i64 = 86_400_000;
