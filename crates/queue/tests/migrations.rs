//! A queue that an older version left behind is brought up to date, and all of it is still there.
//!
//! `fixtures/schema-N.sql` is a database of schema N, frozen as SQL text when that schema was the newest. Whoever adds a schema
//! writes the fixture of the one before it with `WRITE_FIXTURE=1 cargo test -p sealpost-queue --test migrations`, before the change.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use sealpost_queue::{Deferral, EmbeddedSpool, Filter, Listed, QueueView, SameVerdict, Settings, Settlement, Spool, State};
use support::{accept, accept_deferred, at, content, destination};

fn fixture(schema: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema-{schema}.sql"))
}

fn version(directory: &Path) -> u32 {
    let db = rusqlite::Connection::open(directory.join("queue.db")).unwrap();
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn newest() -> u32 {
    let directory = tempfile::tempdir().unwrap();
    drop(EmbeddedSpool::open(directory.path(), Settings::default()).unwrap());
    version(directory.path())
}

/// The queue of the fixture, as the older version left it.
fn lay_out(schema: u32, directory: &Path) {
    let text = std::fs::read_to_string(fixture(schema)).unwrap_or_else(|error| panic!("no fixture of schema {schema}: {error}"));
    rusqlite::Connection::open(directory.join("queue.db")).unwrap().execute_batch(&text).unwrap();
    lay_out_body(directory);
    assert_eq!(version(directory), schema);
}

/// The body in a file: up to schema 4 in one of its own.
fn lay_out_body(directory: &Path) {
    std::fs::create_dir(directory.join("bodies")).unwrap();
    for file in ["bodies/0", "bodies/shared-0"] {
        std::fs::write(directory.join(file), content(3, FILE_OCTETS)).unwrap();
    }
}

#[tokio::test]
async fn every_older_schema_is_brought_up_to_date() {
    let newest = newest();
    for schema in 1..newest {
        let directory = tempfile::tempdir().unwrap();
        lay_out(schema, directory.path());
        assert!(QueueView::open(directory.path()).is_err(), "whoever only looks does not migrate");
        let queue = EmbeddedSpool::open(directory.path(), Settings::default()).unwrap();
        check(&queue).await;
        queue.close().await.unwrap();
        assert_eq!(version(directory.path()), newest);
    }
}

/// All that [`fill`] put in is there.
async fn check(queue: &EmbeddedSpool) {
    let listed: Vec<Listed> = queue.list(Filter::all(), 100).await.unwrap();
    let by_destination: BTreeMap<_, _> = listed.iter().map(|entry| (entry.destination.as_str().to_owned(), entry)).collect();
    let of = |domain: &str| by_destination[destination(domain).as_str()];
    assert_eq!(listed.len(), 6);
    let states: Vec<_> = ["tls", "one", "two", "file", "fresh", "rotten"].map(|name| of(&format!("{name}.example")).state).into();
    assert_eq!(states, [State::Deferred, State::Deferred, State::Deferred, State::Deferred, State::Deferred, State::Damaged]);
    let tls = of("tls.example").entry.clone().unwrap();
    let deferral = tls.deferrals[0].clone().unwrap();
    assert_eq!((deferral.due, &*deferral.reason, deferral.tls_failure), (at(50), "no STARTTLS", true));
    assert_eq!(deferral.verdict, Some(SameVerdict::after("no-starttls".into(), None)));
    assert_eq!((tls.attempts, tls.envelope.recipients.len(), of("tls.example").due), (1, 2, Some(at(50))));
    assert_eq!(of("rotten.example").reason.as_deref(), Some("rotten"));
    let (one, two) = (of("one.example").entry.clone().unwrap(), of("two.example").entry.clone().unwrap());
    assert_eq!((one.message, one.id), (two.message, one.message));
    let last = listed.iter().map(|entry| entry.id).max().unwrap();
    assert!(queue.next_id() > last);
    assert_eq!(queue.outbox(10).await.unwrap().into_iter().map(|row| row.row).collect::<Vec<_>>(), [b"first".to_vec(), b"second".to_vec()]);
    let leases = queue.lease_due(at(1_000_000), 10, &[]).await.unwrap();
    assert_eq!(leases.len(), 5);
    for lease in leases {
        let (number, size) = match lease.entry().destination.as_str() {
            "mx:tls.example" => (1, 2_000),
            "mx:one.example" | "mx:two.example" => (2, 3_000),
            "mx:file.example" => (3, FILE_OCTETS),
            _ => (4, 100),
        };
        assert!(lease.body().to_vec().await.unwrap() == content(number, size), "{}", lease.entry().destination);
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    accept_deferred(queue, at(0), &["a@one.example"], at(5)).await;
}

/// One entry of each kind.
async fn fill(queue: &EmbeddedSpool) {
    let lease = accept(queue, at(0), &["a@tls.example", "b@tls.example"], &content(1, 2_000)).await.unwrap().remove(0);
    let mut deferral = Deferral::tls(at(50), "no STARTTLS");
    deferral.verdict = Some(SameVerdict::after("no-starttls".into(), None));
    let wait = Settlement::deferred(lease.entry(), &deferral).record(b"first".to_vec()).record(b"second".to_vec());
    queue.settle(lease, wait).await.unwrap();
    for lease in accept(queue, at(1), &["a@one.example", "b@two.example"], &content(2, 3_000)).await.unwrap() {
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(60), "451 later"));
        queue.settle(lease, wait).await.unwrap();
    }
    let lease = accept(queue, at(2), &["a@file.example"], &content(3, FILE_OCTETS)).await.unwrap().remove(0);
    let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(70), "451 later"));
    queue.settle(lease, wait).await.unwrap();
    let lease = accept(queue, at(3), &["a@rotten.example"], b"x").await.unwrap().remove(0);
    queue.set_aside(lease, "rotten").await.unwrap();
    std::mem::forget(accept(queue, at(4), &["a@fresh.example"], &content(4, 100)).await.unwrap());
}

/// Writes the fixture of the newest schema, if asked; else shows that it could be written and read.
#[tokio::test]
async fn the_newest_schema_can_be_frozen() {
    let directory = tempfile::tempdir().unwrap();
    let queue = EmbeddedSpool::open(directory.path(), Settings::default()).unwrap();
    fill(&queue).await;
    queue.close().await.unwrap();
    let text = dump(&rusqlite::Connection::open(directory.path().join("queue.db")).unwrap());
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        std::fs::write(fixture(newest()), &text).unwrap();
    }
    let again = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(again.path().join("queue.db")).unwrap().execute_batch(&text).unwrap();
    lay_out_body(again.path());
    check(&EmbeddedSpool::open(again.path(), Settings::default()).unwrap()).await;
    assert!(text.len() < 100_000);
}

/// The whole database as SQL text.
fn dump(db: &rusqlite::Connection) -> String {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
    let mut text = format!("PRAGMA application_id = {};\nPRAGMA user_version = {};\n", number("application_id"), number("user_version"));
    let mut schema = db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let parts = schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    for (kind, name, sql) in parts.unwrap().collect::<Result<Vec<(String, String, String)>, _>>().unwrap() {
        writeln!(text, "{sql};").unwrap();
        if kind != "table" {
            continue;
        }
        let mut select = db.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|column| quoted(row.get_ref(column).unwrap())).collect();
            writeln!(text, "INSERT INTO {name} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    text
}

fn quoted(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        ValueRef::Blob(bytes) => bytes.iter().fold("x'".to_owned(), |text, byte| text + &format!("{byte:02x}")) + "'",
    }
}

const FILE_OCTETS: usize = 20_000;
