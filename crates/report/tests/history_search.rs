//! Searches held against a plain list, where many entries share the few milliseconds that the history looks them up by.

use sealpost_report::{Event, EventKind, EventResult, Filter, History, HistoryReader};
use sealpost_store::rusqlite::Connection;
use sealpost_types::{Domain, ForwardPath, Hop, Mailbox, UnixMillis};

const DOMAINS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];
const KINDS: [EventKind; 3] = [EventKind::Received, EventKind::Delivered, EventKind::CheckTls];

/// A generator of numbers that is the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Many of them within 60 ms, in no order, each with a reason of its own.
fn crowd(count: usize) -> Vec<Event> {
    let mut random = Random(7);
    let event = |number: usize| {
        let mailbox = |random: &mut Random| Mailbox::parse(&format!("u@{}", DOMAINS[random.below(DOMAINS.len())])).unwrap();
        let at = UnixMillis(DAY_MILLIS / 2 + i64::try_from(random.below(60)).unwrap());
        let kind = KINDS[random.below(KINDS.len())];
        // One domain in hundreds of entries: what is rare must be found too.
        let to = if number % 211 == 3 { Mailbox::parse("u@rare.example").unwrap() } else { mailbox(&mut random) };
        let event = Event::new(at, kind, Hop::Deliver).of_message(format!("Q{number}"), mailbox(&mut random).into());
        event.for_recipient(ForwardPath::Mailbox(to)).because(format!("entry {number}"))
    };
    (0..count).map(event).collect()
}

fn filters() -> Vec<Filter> {
    let mut filters = Vec::new();
    for domain in [None, Some("a.example"), Some("rare.example"), Some("none.example")] {
        for kinds in [vec![], vec![EventKind::Delivered], vec![EventKind::Received, EventKind::CheckTls]] {
            for result in [None, Some(EventResult::Success)] {
                for (since, until) in [(None, None), (Some(13), Some(41)), (Some(59), None), (None, Some(4))] {
                    let time = |millis: Option<i64>| millis.map(|millis| UnixMillis(DAY_MILLIS / 2 + millis));
                    let mut filter = Filter::default();
                    filter.domain = domain.map(|name| Domain::parse(name).unwrap());
                    filter.kinds.clone_from(&kinds);
                    (filter.result, filter.since, filter.until) = (result, time(since), time(until));
                    filters.push(filter);
                }
            }
        }
    }
    filters
}

fn reasons(reader: &mut HistoryReader, filter: &Filter) -> Vec<(i64, String)> {
    let rows = reader.query(filter).unwrap();
    assert!(reader.unreadable().is_empty(), "{:?}", reader.unreadable());
    rows.into_iter().map(|row| (row.event.at.0, row.event.reason.unwrap())).collect()
}

/// Each filter gives what a walk through all of `events` gives, as one page and as many, from either end.
fn agree(reader: &mut HistoryReader, events: &[Event]) {
    for mut filter in filters() {
        let mut wanted: Vec<_> =
            events.iter().filter(|event| filter.matches(event)).map(|event| (event.at.0, event.reason.clone().unwrap())).collect();
        wanted.sort();
        for newest_first in [true, false] {
            filter.newest_first = newest_first;
            let whole = reasons(reader, &filter);
            let in_order = |pair: &[(i64, String)]| if newest_first { pair[0].0 >= pair[1].0 } else { pair[0].0 <= pair[1].0 };
            assert!(whole.windows(2).all(in_order), "{filter:?}");
            let mut found = whole.clone();
            found.sort();
            assert_eq!(found, wanted, "{filter:?}");

            let (mut paged, mut page) = (Vec::new(), filter.clone());
            page.limit = 37;
            while let Some(last) = reader.query(&page).unwrap().last() {
                paged.extend(reasons(reader, &page));
                page.after = Some((last.event.at, last.id));
            }
            assert_eq!(paged, whole, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn a_search_gives_what_a_walk_through_all_entries_gives() {
    let directory = tempfile::tempdir().unwrap();
    let events = crowd(900);
    let history = History::open(directory.path()).unwrap();
    // In pieces: what comes late stands between what is there.
    for piece in events.chunks(250) {
        history.record_durably(piece.to_vec()).await.unwrap();
    }
    history.close().await.unwrap();
    agree(&mut HistoryReader::open(directory.path()).unwrap(), &events);
    // A search that looks at them sees what they say: without them nothing is found by domain.
    let db = Connection::open(directory.path().join(DAY)).unwrap();
    let moments: i64 = db.query_row("SELECT count(*) FROM moments", [], |row| row.get(0)).unwrap();
    assert!((15..900).contains(&moments), "{moments}: entries of the same moment share a row");
    db.execute("DELETE FROM moments WHERE domain <> 0", []).unwrap();
    let mut filter = Filter::default();
    filter.domain = Some(Domain::parse("a.example").unwrap());
    assert!(reasons(&mut HistoryReader::open(directory.path()).unwrap(), &filter).is_empty());
}

/// Takes a file back to the first schema of a day: a row for each entry and domain, and an index over codes.
const AS_OF_BEFORE: &str = "
    CREATE INDEX events_by_code ON events (code);
    CREATE TABLE domain_events (
        domain INTEGER NOT NULL REFERENCES domains (id),
        code INTEGER NOT NULL REFERENCES codes (id),
        event INTEGER NOT NULL REFERENCES events (id),
        PRIMARY KEY (domain, code, event)
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO domain_events SELECT sender_domain, code, id FROM events;
    INSERT OR IGNORE INTO domain_events SELECT recipient_domain, code, id FROM events;
    DROP TABLE moments;
    PRAGMA user_version = 1;
    PRAGMA wal_checkpoint(TRUNCATE);
";

/// Also a day to which nothing is written any more.
#[tokio::test]
async fn files_of_the_version_before_are_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let events = crowd(300);
    let history = History::open(directory.path()).unwrap();
    history.record_durably(events.clone()).await.unwrap();
    history.close().await.unwrap();
    Connection::open(directory.path().join(DAY)).unwrap().execute_batch(AS_OF_BEFORE).unwrap();
    let mut reader = HistoryReader::open(directory.path());
    let is_readable = reader.as_mut().is_ok_and(|reader| reader.query(&Filter::default()).is_ok() && reader.unreadable().is_empty());
    assert!(!is_readable, "whoever only looks brings nothing up to date");

    let history = History::open(directory.path()).unwrap();
    let begin = std::time::Instant::now();
    while HistoryReader::open(directory.path())
        .map_or(true, |mut reader| reader.query(&Filter::default()).is_err() || !reader.unreadable().is_empty())
    {
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    history.close().await.unwrap();
    agree(&mut HistoryReader::open(directory.path()).unwrap(), &events);
}

const DAY: &str = "1970-01-01.db";
const DAY_MILLIS: i64 = 86_400_000;
