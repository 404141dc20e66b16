//! A history whose files are damaged: what happens now is recorded all the same, what can be read of the past stays, and the damaged
//! file is kept aside.
//!
//! Negative control: a store that does not salvage stops at the same files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealpost_report::{Event, EventKind, Filter, History, HistoryReader, Row};
use sealpost_store::{Migrations, Settings, Store};
use sealpost_types::{ForwardPath, Hop, Mailbox, UnixMillis};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
const PAGE: usize = 8192;
const EVENTS: i64 = 600;

fn event(at: i64) -> Event {
    let mailbox = |text: String| Mailbox::parse(&text).unwrap();
    let to = mailbox(format!("user{at}@domain{}.example", at % 7));
    Event::new(UnixMillis(at), EventKind::Delivered, Hop::Deliver)
        .of_message(format!("Q{at}"), mailbox("sender@hosted.example".to_owned()).into())
        .for_recipient(ForwardPath::Mailbox(to))
        .because("a reason that takes some room, so that there are many pages with entries on them")
}

/// A history of two days, closed; the file of the first.
async fn fill(directory: &Path) -> PathBuf {
    let history = History::open(directory).unwrap();
    history.record_durably((0..EVENTS).map(event).collect()).await.unwrap();
    history.record_durably(vec![event(DAY_MILLIS)]).await.unwrap();
    history.close().await.unwrap();
    directory.join("1970-01-01.db")
}

fn all() -> Filter {
    let mut filter = Filter::default();
    (filter.limit, filter.newest_first) = (usize::MAX, false);
    filter
}

fn of_domain(name: &str) -> Filter {
    let mut filter = all();
    filter.domain = Some(sealpost_types::Domain::parse(name).unwrap());
    filter
}

/// Overwrites pages, as a broken disk would.
fn break_pages(path: &Path, pages: &[usize]) {
    let mut bytes = std::fs::read(path).unwrap();
    for page in pages {
        bytes[(page - 1) * PAGE..page * PAGE].fill(0xa5);
    }
    std::fs::write(path, bytes).unwrap();
}

fn root_of(path: &Path, name: &str) -> usize {
    let db = sealpost_store::rusqlite::Connection::open(path).unwrap();
    let root: u32 = db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    usize::try_from(root).unwrap()
}

/// What was kept aside, without the files that SQLite keeps beside a database as long as somebody has it open.
fn aside(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains(".damaged-") && !name.ends_with("-shm") && !name.ends_with("-wal")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_found_damaged_while_it_is_written_is_salvaged_and_written() {
    for name in ["events", "events_by_queue_id", "moments", "sqlite_autoindex_domains_1", "sqlite_schema"] {
        let directory = tempfile::tempdir().unwrap();
        let path = fill(directory.path()).await;
        let root = if name == "sqlite_schema" { 1 } else { root_of(&path, name) };
        break_pages(&path, &[root]);
        // The negative control: nothing can be written there.
        let copy = directory.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(&path, copy.join("day.db")).unwrap();
        let write = "INSERT INTO domains (name) VALUES ('new.example'); INSERT INTO events (id, code, queue_id, sender_domain) VALUES (1, 1, 'Q', 1);
                     INSERT INTO moments VALUES (1, 1, 1)";
        let outcome = sealpost_store::rusqlite::Connection::open(copy.join("day.db")).and_then(|db| db.execute_batch(write));
        assert!(outcome.is_err(), "{name}");

        let history = History::open(directory.path()).unwrap();
        history.record_durably(vec![event(EVENTS)]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows = history.query(&all()).await.unwrap();
        assert_eq!(
            rows.len(),
            usize::try_from(EVENTS).unwrap() + 2,
            "{name}: the page above the entries was broken, and none with entries"
        );
        assert!(rows.iter().all(|row| row.event == event(row.event.at.0)), "{name}");
        let of_one = history.query(&of_domain("domain3.example")).await.unwrap();
        assert_eq!(of_one.len(), (0..=EVENTS).filter(|at| at % 7 == 3).count() + usize::from(DAY_MILLIS % 7 == 3), "{name}");
        assert_eq!(aside(&path), ["1970-01-01.db.damaged-1"], "{name}");
        history.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_page_costs_only_its_own_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = fill(directory.path()).await;
    let bytes = std::fs::read(&path).unwrap();
    let is_leaf = |page: &usize| bytes[(page - 1) * PAGE] == 13 && bytes[(page - 1) * PAGE + 4] > 10;
    let leaves: Vec<_> = (2..bytes.len() / PAGE).filter(is_leaf).collect();
    break_pages(&path, &[leaves[leaves.len() / 2]]);
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    reader.query(&all()).unwrap();
    assert_eq!(reader.unreadable().len(), 1);
    drop(reader);
    // Whoever found it left word, and the owner salvages it, though nothing is written to that day any more.
    let history = History::open(directory.path()).unwrap();
    let begin = Instant::now();
    while aside(&path).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    history.close().await.unwrap();
    let mut reader = HistoryReader::open(directory.path()).unwrap();
    let rows = reader.query(&all()).unwrap().len();
    assert!(reader.unreadable().is_empty(), "{:?}", reader.unreadable());
    let lost = usize::try_from(EVENTS).unwrap() + 1 - rows;
    assert!((5..60).contains(&lost), "{lost} entries were lost by one page");
}

/// What a query shows of this file, by number; nothing where the file cannot be read at all.
fn shown(directory: &Path) -> Vec<Row> {
    HistoryReader::open(directory).and_then(|mut reader| reader.query(&all())).unwrap_or_default()
}

/// An entry in which an octet has changed is left out and said, and never shown as if it had been written so.
#[tokio::test]
async fn no_changed_octet_is_shown_as_if_it_had_been_written_so() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    let with_proof = |at: i64| {
        let mut event = event(at);
        let proof = sealpost_report::Proof::new(None, "TLS, a trusted chain", at % 2 == 0);
        event.proof = Some(std::sync::Arc::new(proof));
        event.decided = Some(std::sync::Arc::new(sealpost_report::Decided::new("verify", "partner \"Bank\"", "the words of the trace")));
        event
    };
    history.record_durably((0..60).map(with_proof).collect()).await.unwrap();
    history.close().await.unwrap();
    let path = directory.path().join("1970-01-01.db");
    // The second is the control: where nothing is checked, much that was never written is shown.
    for is_checked in [true, false] {
        if !is_checked {
            let db = sealpost_store::rusqlite::Connection::open(&path).unwrap();
            db.execute_batch("UPDATE events SET checksum = NULL; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        let (good, right) = (std::fs::read(&path).unwrap(), shown(directory.path()));
        assert_eq!(right.len(), 60);
        let again = tempfile::tempdir().unwrap();
        let (mut wrong, mut missing) = (0, 0);
        for offset in (PAGE..good.len()).step_by(23) {
            for name in ["1970-01-01.db", "1970-01-01.db-wal", "1970-01-01.db-shm", "1970-01-01.db.damaged"] {
                let _ = std::fs::remove_file(again.path().join(name));
            }
            let mut bad = good.clone();
            bad[offset] ^= 1 << (offset % 8);
            std::fs::write(again.path().join("1970-01-01.db"), bad).unwrap();
            let rows = shown(again.path());
            wrong += rows.iter().filter(|row| !right.contains(row)).count();
            missing += usize::from(rows.len() < right.len());
        }
        assert!(missing > 20, "the damage does nothing: {missing}");
        assert_eq!(wrong == 0, is_checked, "{wrong} entries are shown that nobody wrote");
    }
}

/// A page was shorter for each damaged entry on it, and empty where there was nothing else: whoever went on as long as pages are full, or
/// not empty, ended there.
#[tokio::test]
async fn a_damaged_entry_ends_no_paging() {
    let directory = tempfile::tempdir().unwrap();
    let path = fill(directory.path()).await;
    let all_of_it = shown(directory.path());
    // Single ones, more in a row than a page has, one that an index leads to and that is gone, and the last one of the day.
    let is_damaged =
        |row: &Row| row.event.at.0 < DAY_MILLIS && (row.event.at.0 % 50 == 7 || matches!(row.event.at.0, 200..230 | 299 | 599));
    let damaged: Vec<i64> = all_of_it.iter().filter(|row| is_damaged(row)).map(|row| row.id).collect();
    let db = sealpost_store::rusqlite::Connection::open(&path).unwrap();
    for id in &damaged {
        db.execute("UPDATE events SET reason = 'something else' WHERE id = ?1", [id]).unwrap();
    }
    db.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM events WHERE queue_id = 'Q299'").unwrap();
    drop(db);
    for (newest_first, of_one) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut page = if of_one { of_domain("hosted.example") } else { all() };
        (page.limit, page.newest_first) = (7, newest_first);
        let mut right: Vec<&Row> = all_of_it.iter().filter(|row| !is_damaged(row)).collect();
        if newest_first {
            right.reverse();
        }
        let mut reader = HistoryReader::open(directory.path()).unwrap();
        for expected in right.chunks(7) {
            let rows = reader.query(&page).unwrap();
            assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{page:?}");
            let last = rows.last().unwrap();
            page.after = Some((last.event.at, last.id));
        }
        assert_eq!(reader.query(&page).unwrap(), [], "{page:?}");
    }
}

/// A start, and an entry about what happens now, with each of these octets changed.
#[tokio::test]
async fn no_changed_octet_stops_the_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = fill(directory.path()).await;
    let good = std::fs::read(&path).unwrap();
    let mut stopped = 0;
    let tried = (0..100).step_by(2).chain((100..good.len()).step_by(good.len() / 30));
    for offset in tried {
        let again = tempfile::tempdir().unwrap();
        let path = again.path().join("1970-01-01.db");
        let mut bad = good.clone();
        bad[offset] ^= 1 << (offset % 8);
        std::fs::write(&path, &bad).unwrap();
        let history = History::open(again.path()).unwrap();
        history.record_durably(vec![event(EVENTS)]).await.unwrap_or_else(|error| panic!("octet {offset}: {error}"));
        let is_there = |rows: Vec<Row>| rows.iter().any(|row| row.event.at.0 == EVENTS);
        let found = is_there(history.query(&all()).await.unwrap());
        history.close().await.unwrap();
        if !found {
            // What only a reader meets is salvaged by the next start, or within a minute.
            let history = History::open(again.path()).unwrap();
            history.record_durably(vec![event(EVENTS + 1)]).await.unwrap();
            assert!(is_there(history.query(&all()).await.unwrap()) && !aside(&path).is_empty(), "octet {offset}");
            history.close().await.unwrap();
        }
        // The negative control.
        std::fs::write(&path, &bad).unwrap();
        let schema = Migrations::new(0x5370_4864, &["SELECT 1"]);
        stopped += usize::from(Store::open(&path, &schema, &Settings::default()).is_err());
    }
    assert!(stopped > 5, "damage does nothing: {stopped}");
}

/// The counters of TLS reports stand beside the history, and stop nothing either.
#[test]
fn the_counters_of_reports_may_be_rubbish() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counters.db");
    std::fs::write(&path, vec![b'x'; 40_000]).unwrap();
    let schema = Migrations::new(0x544c_5352, &["SELECT 1"]);
    assert!(Store::open(&path, &schema, &Settings::default()).is_err(), "the negative control");
    drop(sealpost_report::tlsrpt::Book::open(&path).unwrap());
    assert_eq!(aside(&path), ["counters.db.damaged-1"]);
}
