//! The files of the queue, as another program, or a broken disk, may have left them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sealpost_queue::{BodyWriter as _, Deferral, EmbeddedSpool, Filter, NewMessage, QueueView, Settings, Settlement, Spool, State};
use sealpost_store::rusqlite::{Connection, params};
use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Octets, Reception, Recipient, ReversePath, UnixMillis, WithCauses};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::choice::{Choices, text};
use crate::lines::check_error;

/// The columns `envelope` and `recipients` of a row, with sums that are right: whatever they say, the row is an entry or damage.
pub fn spool_row(input: &[u8]) {
    let at = input.iter().position(|octet| *octet == b'\n').unwrap_or(input.len());
    let (envelope, recipients) = input.split_at(at);
    let (envelope, recipients) = (text(envelope), text(recipients.get(1..).unwrap_or_default()));
    let (_scratch, copy) = copied();
    if !write_row(&copy.join("queue.db"), &envelope, &recipients) {
        return;
    }
    if let Ok(mut view) = QueueView::open(&copy) {
        let _ = view.list(&Filter::all(), 10).map(|all| all.iter().for_each(|listed| drop(format!("{listed:?}"))));
    }
    look(&copy);
}

/// The files with some octets changed, cut or grown: what comes back is what was stored, or somebody is told.
pub fn spool_files(input: &[u8]) {
    let (_scratch, copy) = copied();
    let mut choices = Choices::new(input);
    let name = choices.one_of(&["queue.db", "queue.db-wal", "bodies/shared-0", "queue.db"]);
    let mut octets = fs::read(copy.join(name)).unwrap_or_default();
    while !choices.is_empty() {
        let at = (choices.number() << 3 | usize::from(choices.octet() & 7)) % octets.len().max(1);
        match choices.octet() % 8 {
            0 => octets.truncate(at),
            1 => octets.extend_from_slice(choices.take(32)),
            2 => drop(octets.get_mut(at).map(|octet| *octet ^= choices.octet())),
            _ => {
                let new = choices.take(4);
                octets.iter_mut().skip(at).zip(new).for_each(|(octet, new)| *octet = *new);
            }
        }
    }
    fs::write(copy.join(name), octets).expect("a scratch file");
    look(&copy);
}

/// Opens a queue and takes all there is of it.
fn look(directory: &Path) {
    RUNTIME.block_on(async {
        let queue = match EmbeddedSpool::open(directory, settings()) {
            Ok(queue) => queue,
            Err(error) => return check_error(&WithCauses(&error)),
        };
        let _ = queue.verify().await;
        let _ = queue.stats().await;
        for _ in 0..8 {
            let Ok(leases) = queue.lease_due(UnixMillis(i64::MAX / 4), 10, &[]).await else { break };
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                if let Ok(body) = lease.body().to_vec().await {
                    assert!(body.is_empty() || TEMPLATE.bodies.contains(&body), "{} octets that nobody sent", body.len());
                }
                let _ = queue.settle(lease, Settlement::finished()).await;
            }
        }
        let _ = queue.list(Filter::all().state(State::Damaged), 10).await;
        let _ = queue.close().await;
    });
}

/// Puts these texts into the first row, with the sums that the queue itself would write.
fn write_row(path: &Path, envelope: &str, recipients: &str) -> bool {
    let Ok(db) = Connection::open(path) else { return false };
    let row = db.query_row(
        "SELECT id, message, created, expires, octets, body_check, file, file_at, destination, attempts FROM entry ORDER BY id LIMIT 1",
        [],
        |row| {
            let number = |at: usize| row.get::<_, Option<i64>>(at);
            let (id, message, created, expires, octets) = (number(0)?, number(1)?, number(2)?, number(3)?, number(4)?);
            let (body, file, file_at) = (row.get::<_, u32>(5)?, number(6)?, number(7)?);
            Ok((id.unwrap_or(0), message, created, expires, octets, body, file, file_at, row.get::<_, String>(8)?, row.get::<_, u32>(9)?))
        },
    );
    let (id, message, created, expires, octets, body, file, file_at, destination, attempts) = row.expect("the first row");
    let mut fixed = crc32fast::Hasher::new();
    let numbers = [id, message.unwrap_or(-1), created.unwrap_or(0), expires.unwrap_or(0), octets.unwrap_or(0), file.unwrap_or(-1)];
    numbers.iter().for_each(|number| fixed.update(&number.to_le_bytes()));
    file_at.iter().for_each(|at| fixed.update(&at.to_le_bytes()));
    fixed.update(&body.to_le_bytes());
    fixed.update(destination.as_bytes());
    fixed.update(&[0]);
    fixed.update(envelope.as_bytes());
    let mut waiting = crc32fast::Hasher::new();
    waiting.update(&id.to_le_bytes());
    waiting.update(&attempts.to_le_bytes());
    waiting.update(recipients.as_bytes());
    db.execute(
        "UPDATE entry SET envelope = ?1, envelope_check = ?2, recipients = ?3, recipients_check = ?4 WHERE id = ?5",
        params![envelope, fixed.finalize(), recipients, waiting.finalize(), id],
    )
    .is_ok()
}

/// A small queue as it lies on the disk, and the bodies in it.
struct Template {
    files: Vec<(&'static str, Vec<u8>)>,
    bodies: Vec<Vec<u8>>,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let scratch = scratch();
    let sizes = [40_usize, 900, 20_000];
    let bodies: Vec<Vec<u8>> = sizes.iter().map(|size| b"Subject: hello\r\n\r\n".iter().copied().cycle().take(*size).collect()).collect();
    let files = RUNTIME.block_on(async {
        let queue = EmbeddedSpool::open(scratch.path(), settings()).expect("a queue");
        for body in &bodies {
            let mut writer = queue.body_writer(None).expect("room");
            writer.write(body).await.expect("room");
            let to = |name: &str| Recipient::new(ForwardPath::Mailbox(Mailbox::parse(name).expect("a mailbox")));
            let envelope = Envelope::new(ReversePath::Null, vec![to("a@one.example"), to("b@two.example")]);
            let message = NewMessage::split(queue.next_id(), Reception::local(UnixMillis(7)), envelope, UnixMillis(i64::MAX / 2), |to| {
                Destination::new(&format!("mx:{}", to.path.domain().expect("a domain")))
            });
            for lease in queue.accept(message, writer).await.expect("room") {
                let wait = Settlement::deferred(lease.entry(), &Deferral::new(UnixMillis(9), "451 later"));
                queue.settle(lease, wait).await.expect("room");
            }
        }
        // As it is while it is open: with a log.
        let read = |name: &'static str| (name, fs::read(scratch.path().join(name)).unwrap_or_default());
        let files = ["queue.db", "queue.db-wal", "bodies/shared-0"].map(read).to_vec();
        queue.close().await.expect("a queue");
        files
    });
    Template { files, bodies }
});

fn copied() -> (TempDir, PathBuf) {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("bodies")).expect("a scratch folder");
    for (name, octets) in &TEMPLATE.files {
        fs::write(scratch.path().join(name), octets).expect("a scratch file");
    }
    let path = scratch.path().to_owned();
    (scratch, path)
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.store.page = Octets(1024);
    settings.abandoned = std::time::Duration::ZERO;
    settings
}

fn scratch() -> TempDir {
    let memory: PathBuf = "/dev/shm".into();
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a scratch folder")
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
