//! The queue in one directory of one host: an SQLite database, and files for large bodies.

mod accept;
mod change;
mod due;
mod find;
mod format;
mod groups;
mod leases;
mod record;
mod reserve;
mod salvage;
mod schema;
mod settle;
mod verify;
mod view;
mod woken;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Transaction, params};
use sealpost_store::{Recovery, Store};
use sealpost_types::{Destination, Octets, UnixMillis};

pub use verify::Verified;
pub use view::QueueView;
pub use writer::EmbeddedBodyWriter;

use self::schema::last_wake;
use crate::body::{Budget, Rows};
use crate::files::{Files, Place, Unclaimed};
use crate::id::{IdMaker, reservation};
use crate::wake::Waker;
use crate::{
    AcceptError, BodyReadError, Change, Changed, Disk, Filter, Health, Lease, Listed, NewMessage, OpenError, OutboxRow, QueueId, Selector,
    Settlement, Spool, SpoolError, Stats, Wake,
};

/// The queue in one directory, owned by this process. Cloning shares it.
///
/// ```text
/// directory/queue.db        the database: entries with their small bodies
/// directory/queue.db-wal    its write-ahead log
/// directory/queue.db.lock   held by the process that owns the queue
/// directory/queue.db.damaged-1, queue.db-wal.aside-1   what was found damaged, kept aside
/// directory/bodies/         larger bodies, in files that are used again and again
/// ```
///
/// # Example
/// ```
/// use sealpost_queue::{BodyWriter, EmbeddedSpool, NewMessage, Settings, Settlement, Spool};
/// use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Reception, Recipient, ReversePath, UnixMillis};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let queue = EmbeddedSpool::open(directory.path(), Settings::default())?;
/// let mut body = queue.body_writer(None)?;
/// body.write(b"Subject: hello\r\n\r\nworld\r\n").await?;
/// let now = UnixMillis(1_763_785_920_000);
/// let to = Recipient::new(ForwardPath::Mailbox(Mailbox::parse("b@example.org")?));
/// let envelope = Envelope::new(ReversePath::Null, vec![to]);
/// let message = NewMessage::split(queue.next_id(), Reception::local(now), envelope, UnixMillis(i64::MAX), |_| {
///     Destination::new("mx:example.org")
/// });
/// let mut leases = queue.accept(message, body).await?; // durable: now the client may hear 250
/// let lease = leases.remove(0);
/// assert_eq!(lease.body().as_slice(), Some(&b"Subject: hello\r\n\r\nworld\r\n"[..]));
/// queue.settle(lease, Settlement::finished()).await?; // delivered: the entry is gone
/// assert_eq!(queue.stats().await?.fresh, 0);
/// queue.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EmbeddedSpool(Arc<Engine>);

/// What of an [`EmbeddedSpool`] can be set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Bodies up to this size stand in the database, longer ones in files. Default 16 KiB.
    pub inline: Octets,
    /// Up to this size a body stands in the database too if nothing else is being accepted: a file would cost it a sync of its own, which
    /// nobody shares. Default 96 KiB.
    pub inline_alone: Octets,
    /// Memory for the bodies of leased entries, and for larger pieces of those that come in; beyond, bodies are read again when
    /// needed, and come in by smaller pieces. Default 16 MiB.
    pub memory: Octets,
    /// Space on the disk that accepting leaves alone. Default 64 MiB.
    pub reserve: Octets,
    /// Space on the disk that files which hold no body may take, to be used again. Default 256 MiB.
    pub recycle: Octets,
    /// How long an entry waits whose lease was dropped without an outcome. Default one minute.
    pub abandoned: Duration,
    /// Of the database.
    pub store: sealpost_store::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inline: Octets(16 << 10),
            inline_alone: Octets(96 << 10),
            memory: Octets(16 << 20),
            reserve: Octets(64 << 20),
            recycle: Octets(256 << 20),
            abandoned: Duration::from_secs(60),
            store: sealpost_store::Settings::default(),
        }
    }
}

struct Engine {
    store: Store,
    files: Files,
    ids: IdMaker,
    /// Whether a longer reservation of ids is on its way.
    reserving: AtomicBool,
    /// Messages that are being accepted.
    accepting: AtomicUsize,
    leases: leases::Leases,
    /// One look for due entries at a time.
    looking: tokio::sync::Mutex<find::Place>,
    waker: Waker,
    wakes: Arc<woken::Wakes>,
    budget: Arc<Budget>,
    reserve: reserve::Reserve,
    /// The last place in the outbox; written by the writer's thread alone.
    outbox: AtomicI64,
    /// How often holds were released, as the database says.
    releases: AtomicU64,
    /// What was found damaged when it was opened.
    recovery: Recovery,
    verifier: OnceLock<verify::Verifier>,
    /// Ends of leases that could not be recorded yet.
    unrecorded: Mutex<Vec<(record::Record, record::Tried)>>,
    settings: Settings,
}

/// What is read once when the queue is opened.
struct Start {
    used_ids: i64,
    reserved: i64,
    outbox: i64,
    releases: u64,
    wakes: woken::Wakes,
    bodies: Vec<Place>,
}

impl EmbeddedSpool {
    /// Opens the queue in `directory`, and makes both if there is none. Blocks.
    ///
    /// What was under way when the queue was last open is due at once. A damaged database is replaced by a fresh one with all that
    /// can be read of it, and kept aside; [`EmbeddedSpool::recovery`] tells.
    ///
    /// # Errors
    /// [`OpenError::Store`]: another process owns it, a later version wrote it, or the database cannot be opened;
    /// [`OpenError::Io`]: the files of large bodies cannot be read, or the system
    /// refuses a thread.
    pub fn open(directory: &Path, settings: Settings) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE);
        let mark = directory.join(UNCLAIMED);
        let mut salvage = salvage::QueueSalvage::marking(&mark);
        let prepare = |tx: &Transaction<'_>| start(tx, wall_clock());
        let (store, start, recovery) = Store::open_salvaging(&path, &schema::MIGRATIONS, &settings.store, &mut salvage, prepare)?;
        let bodies = directory.join(BODIES);
        let io = |source| OpenError::Io { path: directory.to_owned(), source };
        // After damage a row may be missing whose body is still there, and a process that salvaged the rows may have died before this.
        let is_marked = mark.try_exists().map_err(io)?;
        let unclaimed = if recovery.rows > 0 || is_marked { Unclaimed::KeptAside } else { Unclaimed::UsedAgain };
        let files =
            Files::open(&bodies, &start.bodies, settings.recycle, unclaimed).map_err(|source| OpenError::Io { path: bodies, source })?;
        if is_marked {
            std::fs::remove_file(&mark).map_err(io)?;
        }
        // Space for bodies to come is worth less than that in which outcomes are recorded.
        let recycled = files.clone();
        let reserve = reserve::Reserve::watch(directory.to_owned(), settings.reserve, move || recycled.give_back()).map_err(io)?;
        let engine = Arc::new(Engine {
            store,
            files,
            ids: IdMaker::new(start.used_ids, start.reserved),
            reserving: AtomicBool::new(false),
            accepting: AtomicUsize::new(0),
            leases: leases::Leases::default(),
            looking: tokio::sync::Mutex::default(),
            waker: Waker::default(),
            wakes: Arc::new(start.wakes),
            budget: Budget::new(settings.memory),
            reserve,
            outbox: AtomicI64::new(start.outbox),
            releases: AtomicU64::new(start.releases),
            recovery,
            verifier: OnceLock::new(),
            unrecorded: Mutex::default(),
            settings,
        });
        let verifier = verify::Verifier::start(&engine).map_err(io)?;
        let _ = engine.verifier.set(verifier);
        Ok(Self(engine))
    }

    /// What was found damaged when it was opened, and what was done about it.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// Looks through the whole queue for damage, as it does by itself a minute after its start and once a day. Bodies in files are
    /// not read: they are verified whenever they are.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub async fn verify(&self) -> Result<Verified, SpoolError> {
        let engine = Arc::downgrade(&self.0);
        let pass = tokio::task::spawn_blocking(move || verify::pass(&engine, |_| true));
        pass.await.unwrap_or(Err(SpoolError::Closed))
    }

    /// What a test may make the store do.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn faults(&self) -> &sealpost_store::Faults {
        self.0.store.faults()
    }
}

fn start(tx: &Transaction<'_>, now: UnixMillis) -> rusqlite::Result<Start> {
    let number = |sql| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
    // Nobody is trying them any more.
    let retake = concat!(
        "UPDATE entry INDEXED BY entry_fresh SET state = 1, due = created, wakes = ",
        last_wake!("entry.destination"),
        " WHERE state = 0"
    );
    tx.execute(retake, [])?;
    let wakes = woken::Wakes::load(tx)?;
    let used_ids = number("SELECT id FROM reserved")?.max(number("SELECT ifnull(max(id), 0) FROM entry")?);
    let reserved = reservation(used_ids, now);
    tx.execute("UPDATE reserved SET id = ?1", [reserved])?;
    let bodies = schema::bodies_in_files(tx)?;
    let outbox = number("SELECT ifnull(max(place), 0) FROM outbox")?;
    let releases = number("SELECT count FROM released")?.unsigned_abs();
    Ok(Start { used_ids, reserved, outbox, releases, wakes, bodies })
}

impl Spool for EmbeddedSpool {
    type Writer = EmbeddedBodyWriter;

    fn next_id(&self) -> QueueId {
        self.0.next_id()
    }

    fn body_writer(&self, size_hint: Option<Octets>) -> Result<EmbeddedBodyWriter, SpoolError> {
        self.0.ready()?;
        let engine = &self.0;
        Ok(EmbeddedBodyWriter::new(engine.files.clone(), engine.budget.clone(), engine.reserve.clone(), engine.settings.inline, size_hint))
    }

    fn accept(&self, message: NewMessage, body: EmbeddedBodyWriter) -> impl Future<Output = Result<Vec<Lease>, AcceptError>> + Send {
        self.0.clone().accept(message, body)
    }

    async fn lease_due(&self, now: UnixMillis, limit: usize, skip: &[Destination]) -> Result<Vec<Lease>, SpoolError> {
        self.0.clone().lease_due(find::Wanted { now, limit, skip: skip.to_owned() }).await
    }

    async fn next_due(&self) -> Result<Option<UnixMillis>, SpoolError> {
        self.0.clone().next_due().await
    }

    async fn due_after(&self, moment: UnixMillis) -> Result<Option<UnixMillis>, SpoolError> {
        Ok(self.0.store.read(move |db| schema::next_moment(db, moment)).await?.map(UnixMillis))
    }

    fn settle(&self, lease: Lease, settlement: Settlement) -> impl Future<Output = Result<(), SpoolError>> + Send {
        self.0.clone().settle(lease, settlement)
    }

    fn settle_soon(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError> {
        self.0.settle_soon(lease, &settlement)
    }

    fn set_aside(&self, lease: Lease, reason: &str) -> impl Future<Output = Result<(), SpoolError>> + Send {
        self.0.clone().set_aside(lease, reason.to_owned())
    }

    async fn retry_now(&self, selector: Selector, now: UnixMillis) -> Result<u64, SpoolError> {
        match selector {
            Selector::All => self.0.clone().wake_all(now).await,
            Selector::Destinations(destinations) => self.0.clone().wake_destinations(destinations, now).await,
            Selector::Id(id) => self.0.wake_message(id, now).await,
        }
    }

    async fn change(&self, changes: Vec<(QueueId, Change)>) -> Result<Vec<Changed>, SpoolError> {
        self.0.clone().change(changes).await
    }

    fn wake(&self) -> Wake {
        self.0.waker.listen()
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        let mut stats = self.0.store.read(view::stats).await?;
        stats.leased = self.0.leases.count() as u64;
        Ok(stats)
    }

    async fn due(&self, now: UnixMillis) -> Result<u64, SpoolError> {
        let may_be_woken = self.0.wakes.are_open();
        Ok(self.0.store.read(move |db| view::due(db, now, may_be_woken)).await?)
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, SpoolError> {
        let mut listed = self.0.store.read(move |db| view::list(db, &filter, limit)).await?;
        listed.iter_mut().for_each(|entry| entry.leased = self.0.leases.is_held(entry.id));
        Ok(listed)
    }

    async fn show(&self, id: QueueId) -> Result<Option<Listed>, SpoolError> {
        let mut shown = self.0.store.read(move |db| view::show(db, id)).await?;
        shown.iter_mut().for_each(|entry| entry.leased = self.0.leases.is_held(entry.id));
        Ok(shown)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, SpoolError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.0.store.read(move |db| view::outbox(db, limit)).await?)
    }

    async fn outbox_done(&self, place: u64) -> Result<(), SpoolError> {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let remove = move |tx: &Transaction<'_>| tx.prepare_cached("DELETE FROM outbox WHERE place <= ?1")?.execute(params![place]);
        self.0.store.write(0, remove).await?;
        Ok(())
    }

    fn releases(&self) -> u64 {
        self.0.releases.load(Ordering::Acquire)
    }

    async fn release_holds(&self) -> Result<(), SpoolError> {
        let add_one =
            |tx: &Transaction<'_>| tx.query_row("UPDATE released SET count = count + 1 RETURNING count", [], |row| row.get::<_, i64>(0));
        let count = self.0.store.write(0, add_one).await?;
        self.0.releases.fetch_max(count.unsigned_abs(), Ordering::AcqRel);
        Ok(())
    }

    fn health(&self) -> Health {
        match self.0.ready() {
            Ok(()) => Health::Good,
            Err(SpoolError::Full) => Health::Full,
            Err(SpoolError::Poisoned { reason }) => Health::Poisoned { reason },
            Err(_) => Health::Closed,
        }
    }

    fn disk(&self) -> Option<Disk> {
        let directory = self.0.store.path().parent().map(Path::to_owned).unwrap_or_default();
        Some(Disk { directory, reserve: self.0.settings.reserve, commits: self.0.store.commits() })
    }

    async fn close(&self) -> Result<(), SpoolError> {
        self.0.close().await
    }
}

impl Engine {
    fn next_id(self: &Arc<Self>) -> QueueId {
        let now = wall_clock();
        let (id, extend) = self.ids.next(now);
        if extend && !self.reserving.swap(true, Ordering::AcqRel) {
            let reserved = reservation(self.ids.last(), now);
            let engine = self.clone();
            let write = move |tx: &Transaction<'_>| tx.prepare_cached("UPDATE reserved SET id = max(id, ?1)")?.execute([reserved]);
            self.store.write_soon(0, write, move |outcome| {
                if outcome.is_ok() {
                    engine.ids.extend(reserved);
                }
                engine.reserving.store(false, Ordering::Release);
            });
        }
        id
    }

    /// Whether a message would be accepted now.
    fn ready(&self) -> Result<(), SpoolError> {
        self.sound()?;
        if self.reserve.is_reached() { Err(SpoolError::Full) } else { Ok(()) }
    }

    /// Whether outcomes can be recorded: if not, no attempt may begin.
    fn sound(&self) -> Result<(), SpoolError> {
        match self.store.health() {
            sealpost_store::Health::Good => Ok(()),
            sealpost_store::Health::Poisoned { reason } => Err(SpoolError::Poisoned { reason }),
            _ => Err(SpoolError::Closed),
        }
    }

    async fn close(self: &Arc<Self>) -> Result<(), SpoolError> {
        self.record_rest();
        // Before the lock is let go of.
        let files = self.files.clone();
        let _ = tokio::task::spawn_blocking(move || files.close()).await;
        self.store.close().await?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.files.close();
    }
}

impl Rows for Engine {
    fn fetch(self: Arc<Self>, id: QueueId) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, BodyReadError>> + Send>> {
        Box::pin(async move {
            match self.store.read(move |db| schema::fetch(db, id.number())).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err(BodyReadError::Damaged { reason: "it is gone".into() }),
                Err(sealpost_store::ReadError::Closed) => Err(BodyReadError::Closed),
                Err(error) => Err(BodyReadError::Io { reason: error.to_string().into() }),
            }
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The wall clock: for ids, which only want to be roughly right.
pub(crate) fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The database, in the queue's directory.
const DATABASE: &str = "queue.db";

/// There between a salvage and the moment at which files of bodies that no row names are out of the way.
const UNCLAIMED: &str = "bodies.unclaimed";

/// The files of large bodies, in the queue's directory.
const BODIES: &str = "bodies";
