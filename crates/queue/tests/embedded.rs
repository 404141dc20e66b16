//! What the embedded engine does beyond the others: it comes back, finds damage, and keeps its disk in order.

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sealpost_queue::{
    AcceptError, BodyReadError, BodyWriter, Deferral, EmbeddedSpool, Filter, Health, OpenError, QueueId, QueueView, Settings, Settlement,
    Spool, SpoolError, State,
};
use sealpost_types::{Octets, UnixMillis};
use support::{accept, accept_deferred, at, body, content, eventually, message, settings};

fn open(directory: &Path) -> EmbeddedSpool {
    EmbeddedSpool::open(directory, settings()).unwrap()
}

fn bodies(directory: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(directory.join("bodies")).unwrap().map(|file| file.unwrap().path()).collect()
}

/// Changes the database behind the back of a queue that is closed.
fn tamper(directory: &Path, sql: &str) {
    let changed = rusqlite::Connection::open(directory.join("queue.db")).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

#[tokio::test]
async fn what_was_under_way_is_due_at_once_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let to = ["a@one.example", "b@two.example"];
    let small = accept(&queue, at(0), &to, &content(1, 5_000)).await.unwrap();
    let large = accept(&queue, at(1), &["a@one.example"], &content(2, 150_000)).await.unwrap();
    let later = accept_deferred(&queue, at(2), &["a@one.example"], at(1_000)).await;
    queue.close().await.unwrap(); // with its leases still out
    let queue = open(directory.path());
    drop((small, large)); // and void
    let leases = queue.lease_due(at(1), 10, &[]).await.unwrap();
    assert_eq!(leases.len(), 3);
    for lease in &leases {
        let size = usize::try_from(lease.body().size().0).unwrap();
        assert_eq!(lease.body().to_vec().await.unwrap(), content(if size == 5_000 { 1 } else { 2 }, size));
        assert_eq!(lease.entry().attempts, 0);
    }
    assert_eq!(queue.next_due().await, Ok(Some(at(1_000))));
    assert_eq!(queue.lease_due(at(1_000), 10, &[]).await.unwrap()[0].id(), later);
    for lease in leases {
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_drop_without_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let id = accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    let last = queue.next_id();
    drop(queue);
    let queue = open(directory.path());
    assert_eq!(queue.lease_due(at(5), 10, &[]).await.unwrap()[0].id(), id);
    assert!(queue.next_id() > last);
}

/// A release outlives the process, and a queue of before there were any is opened.
#[tokio::test]
async fn releases_are_counted_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    queue.release_holds().await.unwrap();
    queue.close().await.unwrap();
    drop(queue);
    let queue = open(directory.path());
    assert_eq!(queue.releases(), 1);
    queue.close().await.unwrap();
    drop(queue);
    let old = rusqlite::Connection::open(directory.path().join("queue.db")).unwrap();
    let without = "DROP TABLE released; DROP INDEX entry_held; DROP INDEX entry_latest; ALTER TABLE entry DROP COLUMN latest; \
                   DROP INDEX entry_file; ALTER TABLE entry DROP COLUMN file_at; CREATE INDEX entry_file ON entry (file) WHERE file IS NOT NULL; \
                   PRAGMA user_version = 1";
    old.execute_batch(without).unwrap();
    drop(old);
    assert_eq!(open(directory.path()).releases(), 0);
}

#[tokio::test]
async fn ids_are_never_given_twice_though_nothing_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = None;
    for _ in 0..5 {
        let queue = open(directory.path());
        for _ in 0..10 {
            let id = queue.next_id();
            assert!(Some(id) > last, "{id} after {last:?}");
            last = Some(id);
        }
        queue.close().await.unwrap();
    }
    // A clock that was set back a year: as if the reservation lay a year ahead.
    let ahead = last.unwrap().number() + ((365 * 86_400_000_i64) << 20);
    tamper(directory.path(), &format!("UPDATE reserved SET id = {ahead}"));
    assert!(open(directory.path()).next_id() > QueueId::from_number(ahead).unwrap());
}

#[tokio::test]
async fn a_second_process_is_refused_and_may_look() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let id = accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    let error = EmbeddedSpool::open(directory.path(), settings()).unwrap_err();
    assert!(matches!(error, OpenError::Store(sealpost_store::OpenError::InUse { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains(&directory.path().display().to_string()) && text.contains(&std::process::id().to_string()), "{text}");
    let mut view = QueueView::open(directory.path()).unwrap();
    assert_eq!(view.stats().unwrap().deferred, 1);
    assert_eq!(view.show(id).unwrap(), queue.show(id).await.unwrap());
    assert_eq!(view.list(&Filter::all(), 10).unwrap(), queue.list(Filter::all(), 10).await.unwrap());
    queue.close().await.unwrap();
    assert_eq!(view.stats().unwrap().deferred, 1);
    assert_eq!(QueueView::open(directory.path()).unwrap().stats().unwrap().deferred, 1);
    assert!(QueueView::open(&directory.path().join("nowhere")).is_err());
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    // Before that it is handed out.
    queue.lease_due(at(5), 10, &[]).await.unwrap().remove(0).release();
    eventually(|| async { queue.stats().await.unwrap().leased == 0 }).await;
    let lease = accept(&queue, at(0), &["a@one.example"], b"under way").await.unwrap().remove(0);
    let begun = body(&queue, &content(3, 200_000)).await;
    queue.faults().danger_fail_next_commit();
    let error = accept(&queue, at(0), &["a@one.example"], &content(4, 200_000)).await.unwrap_err();
    assert!(matches!(error, AcceptError::Poisoned { .. }), "{error}");
    let error = queue.accept(message(queue.next_id(), at(0), &["a@one.example"]), begun).await.unwrap_err();
    assert!(matches!(error, AcceptError::Poisoned { .. }), "{error}");
    assert!(matches!(queue.body_writer(None), Err(SpoolError::Poisoned { .. })));
    assert!(matches!(queue.health(), Health::Poisoned { .. }));
    assert!(matches!(queue.settle(lease, Settlement::finished()).await, Err(SpoolError::Poisoned { .. })));
    // No attempt begins whose outcome could not be recorded: neither of that one nor of what was due all the time.
    assert!(matches!(queue.lease_due(at(5), 10, &[]).await, Err(SpoolError::Poisoned { .. })));
    assert!(matches!(queue.close().await, Err(SpoolError::Poisoned { .. })));
    let queue = open(directory.path());
    assert_eq!(queue.lease_due(at(5), 10, &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn below_the_reserve_nothing_is_accepted_but_outcomes_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    queue.close().await.unwrap();
    let mut settings = settings();
    settings.reserve = Octets(u64::MAX);
    let queue = EmbeddedSpool::open(directory.path(), settings).unwrap();
    assert!(matches!(queue.body_writer(None), Err(SpoolError::Full)));
    assert_eq!(queue.health(), Health::Full);
    let lease = queue.lease_due(at(5), 1, &[]).await.unwrap().remove(0);
    queue.settle(lease, Settlement::finished()).await.unwrap();
    assert_eq!(queue.stats().await.unwrap(), sealpost_queue::Stats::default());
}

#[tokio::test]
async fn an_accept_that_nobody_waits_for_is_not_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let writer = body(&queue, b"the client has gone").await;
    let mut accept = Box::pin(queue.accept(message(queue.next_id(), at(0), &["a@one.example"]), writer));
    std::future::poll_fn(|cx| {
        let _ = accept.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
    drop(accept);
    eventually(|| async { queue.stats().await.unwrap().deferred == 1 }).await;
    let due = queue.next_due().await.unwrap().unwrap();
    let lease = queue.lease_due(due, 1, &[]).await.unwrap().remove(0);
    assert_eq!(lease.body().to_vec().await.unwrap(), b"the client has gone");
}

#[tokio::test]
async fn each_changed_column_is_found() {
    let changes = [
        "message = 77",
        "destination = 'mx:other.example'",
        "created = created + 1",
        "expires = expires + 1",
        "attempts = attempts + 1",
        "octets = octets - 1",
        "body_check = body_check + 1",
        "body_check = -1",
        "envelope_check = envelope_check + 1",
        "recipients_check = 1 << 40",
        "file = 5",
        "envelope = replace(envelope, 'sender', 'Sender')",
        "envelope = '{}'",
        "envelope = cast(x'ff' || envelope AS TEXT)",
        "recipients = '[]'",
        "recipients = replace(recipients, 'a@one', 'b@one')",
        "body = NULL",
        "body = x'00'",
        "body = cast(replace(cast(body AS TEXT), 'g', 'h') AS BLOB)",
    ];
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let mut ids = Vec::new();
    for _ in 0..=changes.len() {
        let lease = accept(&queue, at(0), &["a@one.example"], b"good").await.unwrap().remove(0);
        ids.push(lease.id());
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1), "later"));
        queue.settle(lease, wait).await.unwrap();
    }
    queue.close().await.unwrap();
    for (change, id) in changes.iter().zip(&ids) {
        tamper(directory.path(), &format!("UPDATE entry SET {change} WHERE id = {}", id.number()));
    }
    let queue = open(directory.path());
    let leases = queue.lease_due(at(1), 100, &[]).await.unwrap();
    assert_eq!(leases.iter().map(|lease| lease.id()).collect::<Vec<_>>(), ids[changes.len()..]);
    assert_eq!(leases[0].body().to_vec().await.unwrap(), b"good");
    eventually(|| async { queue.stats().await.unwrap().damaged == changes.len() as u64 }).await;
    let aside = queue.list(Filter::all().state(State::Damaged), 100).await.unwrap();
    assert!(aside.iter().all(|entry| entry.reason.as_ref().is_some_and(|reason| !reason.is_empty())), "{aside:#?}");
    // They stay there, and do not come back.
    queue.close().await.unwrap();
    let queue = open(directory.path());
    assert_eq!(queue.stats().await.unwrap().damaged, changes.len() as u64);
    assert_eq!(queue.lease_due(at(1_000_000_000), 100, &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_shared_body_that_changed_or_went_is_found() {
    let directory = tempfile::tempdir().unwrap();
    for change in ["UPDATE body SET data = x'00'", "UPDATE body SET data = NULL", "DELETE FROM body"] {
        let queue = open(directory.path());
        let leases = accept(&queue, at(0), &["a@one.example", "b@two.example"], b"shared").await.unwrap();
        queue.close().await.unwrap();
        drop(leases);
        tamper(directory.path(), change);
        let queue = open(directory.path());
        let before = queue.stats().await.unwrap().damaged;
        assert!(queue.lease_due(at(0), 10, &[]).await.unwrap().is_empty(), "{change}");
        eventually(|| async { queue.stats().await.unwrap().damaged == before + 2 }).await;
        queue.close().await.unwrap();
    }
}

#[tokio::test]
async fn each_changed_octet_of_a_body_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let size = 300_000;
    let queue = open(directory.path());
    for _ in 0..3 {
        let lease = accept(&queue, at(0), &["a@one.example"], &content(1, size)).await.unwrap().remove(0);
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1), "later"));
        queue.settle(lease, wait).await.unwrap();
    }
    queue.close().await.unwrap();
    let files = bodies(directory.path());
    let [changed, short, gone] = &files[..] else { panic!("{files:?}") };
    std::fs::File::options().write(true).open(short).unwrap().set_len(size as u64 - 1).unwrap();
    std::fs::remove_file(gone).unwrap();
    let queue = open(directory.path());
    let lease = queue.lease_due(at(1), 10, &[]).await.unwrap().remove(0);
    eventually(|| async { queue.stats().await.unwrap().damaged == 2 }).await;
    let good = std::fs::read(changed).unwrap();
    for offset in [0, 1, 65_535, 65_536, 70_000, size - 1] {
        let mut bad = good.clone();
        bad[offset] ^= 1;
        std::fs::write(changed, &bad).unwrap();
        let mut reader = lease.body().reader();
        let mut read = 0;
        let error = loop {
            match reader.next_piece().await {
                Ok(Some(piece)) => read += piece.len(),
                Ok(None) => panic!("octet {offset} was not missed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, BodyReadError::Damaged { .. }), "{error}");
        assert!(read < size, "the last piece must not come");
    }
    std::fs::write(changed, &good).unwrap();
    assert_eq!(lease.body().to_vec().await.unwrap(), content(1, size));
    queue.set_aside(lease, "its checksum differs").await.unwrap();
    assert_eq!(queue.stats().await.unwrap().damaged, 3);
}

#[tokio::test]
async fn a_changed_octet_of_a_shared_file_costs_one_message() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    for number in 0..3 {
        let lease = accept(&queue, at(0), &["a@one.example"], &content(number, 20_000)).await.unwrap().remove(0);
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1), "later"));
        queue.settle(lease, wait).await.unwrap();
    }
    queue.close().await.unwrap();
    let files = bodies(directory.path());
    let [shared] = &files[..] else { panic!("{files:?}") };
    let good = std::fs::read(shared).unwrap();
    for (change, damaged) in [("octet", 1), ("shorter", 1), ("gone", 3)] {
        let mut bad = good.clone();
        match change {
            "octet" => bad[20_480 + 19_999] ^= 1,
            "shorter" => bad.truncate(2 * 20_480 + 19_999),
            _ => {}
        }
        if change == "gone" { std::fs::remove_file(shared) } else { std::fs::write(shared, &bad) }.unwrap();
        let queue = open(directory.path());
        let mut found = 3;
        for lease in queue.lease_due(at(1), 10, &[]).await.unwrap() {
            if let Ok(body) = lease.body().to_vec().await {
                let number = (0..3).find(|number| body == content(*number, 20_000));
                assert!(number.is_some(), "{change}: another one's octets");
                found -= 1;
            }
        }
        assert_eq!(found, damaged, "{change}");
        if change != "octet" {
            eventually(|| async { queue.stats().await.unwrap().damaged == damaged }).await;
        }
        // What was set aside is told by its row: as it was for the next change.
        queue.close().await.unwrap();
        tamper(directory.path(), "UPDATE entry SET state = 1, due = created");
    }
}

/// The complete sweep of `damage.rs` found this: a bit made a number of a fresh row a text, the start writes that row, SQLite refuses to
/// write such a value back, and the queue could not be opened.
#[tokio::test]
async fn a_value_of_another_type_in_a_fresh_row_does_not_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let [damaged, sound] = [content(1, 500), content(2, 500)];
    let id = accept(&queue, at(0), &["a@one.example"], &damaged).await.unwrap().remove(0).id();
    std::mem::forget(accept(&queue, at(0), &["a@one.example"], &sound).await.unwrap());
    queue.close().await.unwrap();
    let connect = || rusqlite::Connection::open(directory.path().join("queue.db")).unwrap();
    let db = connect();
    let strict: String = db.query_row("SELECT sql FROM sqlite_schema WHERE name = 'entry'", [], |row| row.get(0)).unwrap();
    let set = |db: &rusqlite::Connection, sql: &str| {
        db.pragma_update(None, "writable_schema", true).unwrap();
        assert_eq!(db.execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = 'entry'", [sql]).unwrap(), 1);
    };
    set(&db, &strict.replace(" STRICT", ""));
    drop(db);
    let db = connect();
    db.execute("UPDATE entry SET file = 'text', state = 0 WHERE id = ?1", [id.number()]).unwrap();
    set(&db, &strict);
    drop(db);
    let queue = open(directory.path());
    assert!(queue.recovery().damage[0].contains("INTEGER column entry.file"), "{:?}", queue.recovery());
    let lease = queue.lease_due(at(0), 10, &[]).await.unwrap().remove(0);
    assert_eq!(lease.body().to_vec().await.unwrap(), sound);
    let aside: Vec<_> = queue.list(Filter::all().state(State::Damaged), 10).await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(aside, [id]);
}

#[tokio::test]
async fn body_files_are_used_again() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("bodies")).unwrap();
    // One that lost its row, or never had one, is used first; what is not ours stays.
    std::fs::write(directory.path().join("bodies/17"), content(9, 1_000_000)).unwrap();
    std::fs::write(directory.path().join("bodies/README"), "somebody's").unwrap();
    let queue = open(directory.path());
    for n in 0..200 {
        let size = if n % 2 == 0 { 20_000 + usize::try_from(n).unwrap() * 250 } else { 300_000 };
        let content = content(n, size);
        let lease = accept(&queue, at(0), &["a@one.example"], &content).await.unwrap().remove(0);
        if n % 20 < 2 {
            assert!(lease.body().to_vec().await.unwrap() == content);
        }
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    let names: BTreeSet<_> = bodies(directory.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["17", "README", "shared-0"].map(Into::into).into(), "many messages need one file of each kind");
}

#[tokio::test]
async fn space_of_files_that_are_not_needed_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.recycle = Octets(1_500_000);
    let queue = EmbeddedSpool::open(directory.path(), settings).unwrap();
    let mut leases = Vec::new();
    for n in 0..20 {
        leases.extend(accept(&queue, at(0), &["a@one.example"], &content(n, 300_000)).await.unwrap());
        leases.extend(accept(&queue, at(0), &["a@one.example"], &content(n, 100_000)).await.unwrap());
    }
    assert_eq!(bodies(directory.path()).len(), 20 + 1);
    let on_disk = || bodies(directory.path()).iter().map(|path| path.metadata().map_or(0, |file| file.blocks() * 512)).sum::<u64>();
    assert!(on_disk() > 8_000_000, "{}", on_disk());
    for lease in leases {
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    eventually(|| async { bodies(directory.path()).len() <= 3 && on_disk() <= 1_500_000 }).await;
}

#[tokio::test]
async fn a_file_is_not_overwritten_while_it_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let first = content(1, 300_000);
    let lease = accept(&queue, at(0), &["a@one.example"], &first).await.unwrap().remove(0);
    let body = lease.body().clone();
    queue.settle(lease, Settlement::finished()).await.unwrap();
    let second = accept(&queue, at(0), &["a@one.example"], &content(2, 300_000)).await.unwrap();
    assert!(body.to_vec().await.unwrap() == first);
    assert_eq!(bodies(directory.path()).len(), 2);
    drop(body);
    let third = accept(&queue, at(0), &["a@one.example"], &content(3, 300_000)).await.unwrap();
    assert_eq!(bodies(directory.path()).len(), 2);
    for (n, lease) in [(2, &second[0]), (3, &third[0])] {
        assert!(lease.body().to_vec().await.unwrap() == content(n, 300_000));
    }
}

#[tokio::test]
async fn beyond_the_memory_for_bodies_they_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.memory = Octets(1_000);
    let queue = EmbeddedSpool::open(directory.path(), settings).unwrap();
    let first = accept(&queue, at(0), &["a@one.example"], &content(1, 900)).await.unwrap();
    assert!(first[0].body().as_slice().is_some());
    let second = accept(&queue, at(0), &["a@one.example", "b@two.example"], &content(2, 900)).await.unwrap();
    for lease in &second {
        assert_eq!(lease.body().as_slice(), None);
        assert_eq!(lease.body().to_vec().await.unwrap(), content(2, 900));
    }
    for lease in first {
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    assert!(accept(&queue, at(0), &["a@one.example"], &content(3, 900)).await.unwrap()[0].body().as_slice().is_some());
}

#[tokio::test]
async fn an_old_queue_is_neither_slow_nor_large_to_open() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    queue.close().await.unwrap();
    // 50,000 rows like it. Their checksums are wrong, as the ids differ: none of them is looked at by opening.
    let copy = "INSERT INTO entry SELECT id + n, message, state, destination, created, expires, due + n, attempts, reason, octets, \
                body_check, envelope_check, recipients_check, file, envelope, recipients, body, latest, file_at, wakes FROM entry, \
                (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) SELECT n FROM c)";
    tamper(directory.path(), copy);
    let begin = std::time::Instant::now();
    let queue = open(directory.path());
    let opened = begin.elapsed();
    assert_eq!(queue.next_due().await, Ok(Some(at(5))));
    let due = queue.lease_due(at(5), 1, &[]).await.unwrap();
    let found = begin.elapsed();
    assert_eq!(due.len(), 1);
    assert!(opened.as_millis() < 500 && found.as_millis() < 600, "open {opened:?}, first due {found:?}");
    assert_eq!(queue.stats().await.unwrap().deferred, 50_001);
    assert_eq!(queue.next_due().await, Ok(Some(UnixMillis(at(5).0 + 1))));
}

/// Copies the entry of this id so often, with what stands in `columns` instead. The copies' checksums are wrong.
fn copy(directory: &Path, id: QueueId, times: usize, columns: [(&str, &str); 2]) {
    let all = "id + n, message, state, destination, created, expires, due, attempts, reason, octets, body_check, envelope_check, \
               recipients_check, file, envelope, recipients, body, latest, file_at, wakes";
    let all = columns.iter().fold(all.to_owned(), |all, (column, value)| all.replace(column, value));
    let numbers = format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {times}) SELECT n FROM c");
    tamper(directory, &format!("INSERT INTO entry SELECT {all} FROM entry, ({numbers}) WHERE id = {}", id.number()));
}

#[tokio::test]
async fn a_destination_with_very_much_mail_keeps_nothing_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let mut others = Vec::new();
    for n in 0..5 {
        let domain = format!("a@{}.example", ["aaa", "zzz"][n % 2]);
        others.push(accept_deferred(&queue, at(0), &[&domain], at(200_000 - n as i64)).await);
    }
    others.reverse();
    let late = accept_deferred(&queue, at(0), &["a@late.example"], at(300_000)).await;
    let slow = accept_deferred(&queue, at(0), &["a@slow.example"], at(5)).await;
    queue.close().await.unwrap();
    copy(directory.path(), slow, 100_000, [(" due,", " due + n,"), (" attempts,", " attempts,")]);
    let queue = open(directory.path());
    let skip = [support::destination("slow.example")];
    let begin = std::time::Instant::now();
    let found = queue.lease_due(at(250_000), 3, &skip).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(found.iter().map(|lease| lease.id()).collect::<Vec<_>>(), others[..3]);
    let rest = queue.lease_due(at(250_000), 10, &skip).await.unwrap();
    assert_eq!(rest.iter().map(|lease| lease.id()).collect::<Vec<_>>(), others[3..]);
    assert!(queue.lease_due(at(250_000), 10, &skip).await.unwrap().is_empty());
    assert_eq!(queue.lease_due(at(300_000), 1, &skip).await.unwrap()[0].id(), late);
    assert!(took.as_millis() < 1000, "{took:?}");
    // If it is not left alone, it comes first.
    assert_eq!(queue.lease_due(at(250_000), 1, &[]).await.unwrap()[0].id(), slow);
}

#[tokio::test]
async fn neither_do_very_many_destinations() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let mut others = BTreeSet::new();
    for domain in ["a@aaa.example", "a@n4000.example", "a@zzz.example"] {
        others.insert(accept_deferred(&queue, at(0), &[domain], at(2_000)).await);
    }
    let slow = accept_deferred(&queue, at(0), &["a@slow.example"], at(5)).await;
    queue.close().await.unwrap();
    copy(directory.path(), slow, 2_000, [(" due,", " due,"), (" attempts,", " attempts,")]);
    let last = QueueId::from_number(slow.number() + 2_000).unwrap();
    copy(directory.path(), last, 30_000, [(" destination,", " 'mx:n' || n,"), (" due,", " due + 10000000,")]);
    let queue = open(directory.path());
    let skip = [support::destination("slow.example")];
    let mut found = BTreeSet::new();
    let mut looks = 0;
    while found.len() < others.len() {
        looks += 1;
        assert!(looks < 10, "{found:?}");
        let begin = std::time::Instant::now();
        for lease in queue.lease_due(at(2_000), 1, &skip).await.unwrap() {
            assert!(found.insert(lease.id()));
            std::mem::forget(lease);
        }
        assert!(begin.elapsed().as_millis() < 1000, "{:?}", begin.elapsed());
    }
    assert_eq!(found, others);
}

#[tokio::test]
async fn a_body_may_come_in_any_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let all = content(5, 200_000);
    for piece in [1_000, 16 << 10, (16 << 10) + 1, 64 << 10, 150_000, 200_000] {
        for hint in [None, Some(Octets(200_000)), Some(Octets(u64::MAX))] {
            let mut writer = queue.body_writer(hint).unwrap();
            for piece in all.chunks(piece) {
                writer.write(piece).await.unwrap();
            }
            let message = message(queue.next_id(), at(0), &["a@one.example"]);
            let lease = queue.accept(message, writer).await.unwrap().remove(0);
            assert!(lease.body().to_vec().await.unwrap() == all, "pieces of {piece}");
            queue.settle(lease, Settlement::finished()).await.unwrap();
        }
    }
}

/// What is whole is left alone, in whatever state it is.
#[tokio::test]
async fn looking_through_a_sound_queue_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let under_way = accept(&queue, at(0), &["a@one.example", "b@two.example"], &content(1, 3_000)).await.unwrap();
    let rotten = accept(&queue, at(0), &["a@one.example"], b"x").await.unwrap().remove(0);
    queue.set_aside(rotten, "rotten").await.unwrap();
    let large = accept(&queue, at(0), &["a@one.example"], &content(2, 30_000)).await.unwrap().remove(0);
    let wait = Settlement::deferred(large.entry(), &Deferral::new(at(0).after(support::WEEK), "later"));
    queue.settle(large, wait).await.unwrap();
    let held = accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    queue.change(vec![(held, sealpost_queue::Change::Hold { outbox: Vec::new() })]).await.unwrap();
    for _ in 0..200 {
        accept_deferred(&queue, at(0), &["a@one.example"], at(5)).await;
    }
    let stats = queue.stats().await.unwrap();
    let found = queue.verify().await.unwrap();
    assert_eq!((found.entries, found.set_aside, found.put_right, found.damage), (205, 0, 0, Vec::new()));
    assert_eq!((queue.stats().await.unwrap(), queue.health()), (stats, Health::Good));
    drop(under_way);
    // The negative control: what no index leads to, or a due time in a far future, is found.
    tamper(directory.path(), "UPDATE entry SET due = due + 100000000000000 WHERE id = (SELECT max(id) FROM entry)");
    assert_eq!(queue.verify().await.unwrap().put_right, 1);
    eventually(|| async { queue.stats().await.unwrap().leased == 0 }).await;
    assert_eq!(queue.lease_due(at(10), 1_000, &[]).await.unwrap().len(), 200);
}

/// A body that is being received when the queue is closed: whoever opens it next may use its file for another.
#[tokio::test]
async fn what_is_still_being_received_touches_no_file_of_the_next_owner() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let mut unfinished = queue.body_writer(None).unwrap();
    unfinished.write(&vec![1; 600_000]).await.unwrap();
    eventually(|| async { bodies(directory.path()).len() == 1 }).await;
    queue.close().await.unwrap();
    let next = open(directory.path());
    let leases = accept(&next, at(0), &["a@one.example"], &content(1, 2_000_000)).await.unwrap();
    assert_eq!(bodies(directory.path()).len(), 1, "the file is used again");
    assert!(unfinished.write(&vec![1; 600_000]).await.is_err() || unfinished.write(&[1; 300_000]).await.is_err());
    drop((unfinished, queue));
    assert!(leases[0].body().to_vec().await.unwrap() == content(1, 2_000_000));
    assert_eq!(bodies(directory.path()).len(), 1);
}

#[tokio::test]
async fn a_body_that_is_accepted_alone_needs_no_sync_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let queue = EmbeddedSpool::open(directory.path(), Settings::default()).unwrap();
    let [first, second] = [content(1, 65_536), content(2, 65_536)];
    drop(accept(&queue, at(0), &["a@one.example"], &first).await.unwrap());
    assert_eq!(bodies(directory.path()).len(), 0, "it stands in the database");
    let to = ["a@one.example"];
    let (one, other) = tokio::join!(accept(&queue, at(0), &to, &first), accept(&queue, at(0), &to, &second));
    assert_eq!(bodies(directory.path()).len(), 1, "the second stands in a file");
    assert!(one.unwrap()[0].body().to_vec().await.unwrap() == first && other.unwrap()[0].body().to_vec().await.unwrap() == second);
    queue.close().await.unwrap();
    let queue = open(directory.path());
    for lease in queue.lease_due(at(100_000), 3, &[]).await.unwrap() {
        let body = lease.body().to_vec().await.unwrap();
        assert!(body == first || body == second);
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    assert_eq!(queue.stats().await.unwrap(), sealpost_queue::Stats::default());
}
