//! Takes events at once and writes them in batches.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealpost_store::WriteError;
use sealpost_types::{Retry, UnixMillis};
use tokio::sync::oneshot;

use super::books::{Books, Manner, bring_up_to_date, salvage_reported};
use super::day::Day;
use super::retain::Bounds;
use super::stream::Stream;
use super::throttle::Throttle;
use crate::{Event, HistoryError};

/// Events on their way to the files, and the thread that brings them there.
#[derive(Debug)]
pub(super) struct Pump {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) directory: PathBuf,
    pub(super) books: Books,
    pub(super) bounds: Bounds,
    pub(super) stream: Option<Stream>,
    /// Whether today alone takes too much space.
    pub(super) is_over: bool,
    /// Salvages files that nobody writes.
    pub(super) salvage: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    throttle: Throttle,
    batch: Batch,
    closed: bool,
}

#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    /// Events that somebody waits for: each group is written unless it is there.
    certain: Vec<(Vec<Event>, Answer)>,
    /// Who wants to know when all of the events above are written.
    flushes: Vec<Answer>,
    /// Dropped since the last batch was taken.
    dropped: u64,
}

type Answer = oneshot::Sender<Result<(), WriteError>>;

impl Pump {
    pub(super) fn start(desk: Desk) -> std::io::Result<Self> {
        let waiting = Waiting { throttle: Throttle::new(Instant::now()), batch: Batch::default(), closed: false };
        let inbox = Arc::new(Inbox { waiting: Mutex::new(waiting), wake: Condvar::new(), dropped: AtomicU64::new(0) });
        let theirs = inbox.clone();
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || theirs.run(desk))?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.inbox.lock();
        let waiting = &mut *waiting;
        let (were, due) = (waiting.batch.events.len(), waiting.throttle.due());
        if let Some(event) = waiting.throttle.pass(event, Instant::now()) {
            if waiting.batch.events.len() >= WAITING_EVENTS {
                waiting.batch.dropped += 1;
                self.inbox.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.batch.events.push(event);
        }
        let count = waiting.batch.events.len();
        let begun = were == 0 && count > 0;
        if begun || count == BATCH_EVENTS || waiting.throttle.due() != due {
            self.inbox.wake.notify_one();
        }
    }

    pub(super) async fn flush(&self) -> Result<(), HistoryError> {
        let (done, written) = oneshot::channel();
        self.inbox.lock().batch.flushes.push(done);
        self.inbox.wake.notify_one();
        Ok(written.await.unwrap_or(Err(WriteError::Closed))?)
    }

    pub(super) async fn write_new(&self, events: Vec<Event>) -> Result<(), HistoryError> {
        let (done, written) = oneshot::channel();
        self.inbox.lock().batch.certain.push((events, done));
        self.inbox.wake.notify_one();
        Ok(written.await.unwrap_or(Err(WriteError::Closed))?)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.inbox.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> usize {
        self.inbox.lock().batch.events.len()
    }

    /// Writes what waits, and ends the thread. Blocks.
    pub(super) fn close(&mut self) {
        self.inbox.lock().closed = true;
        self.inbox.wake.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the history's thread panicked");
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inbox {
    fn run(&self, mut desk: Desk) {
        let mut kept_house = desk.keep_house(now());
        while let Some(batch) = self.take() {
            if batch.dropped > 0 {
                tracing::warn!(dropped = batch.dropped, "history entries were dropped: more came than could be written");
            }
            let outcome = self.write(&mut desk, batch.events, Manner::All);
            for flush in batch.flushes {
                let _ = flush.send(outcome.clone());
            }
            for (events, answer) in batch.certain {
                let _ = answer.send(self.write(&mut desk, events, Manner::New));
            }
            if kept_house.elapsed() >= HOUSEKEEPING || desk.is_over {
                kept_house = desk.keep_house(now());
            }
        }
    }

    /// Waits for something to write, and a while for more of it; nothing when closed and empty. Now and then an empty batch.
    fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        let idle_until = Instant::now() + HOUSEKEEPING;
        while waiting.batch.is_idle() && !waiting.closed {
            let now = Instant::now();
            let until = waiting.throttle.due().map_or(idle_until, |due| due.min(idle_until));
            if until <= now {
                break;
            }
            waiting = self.wake.wait_timeout(waiting, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !waiting.batch.events.is_empty() {
            let deadline = Instant::now() + BATCH_WAIT;
            while waiting.batch.may_wait() && !waiting.closed {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                waiting = self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let closed = waiting.closed;
        let summaries = waiting.throttle.summaries(Instant::now(), closed);
        let mut batch = std::mem::take(&mut waiting.batch);
        batch.events.extend(summaries);
        (!(closed && batch.is_idle())).then_some(batch)
    }

    /// Writes events day by day; while the disk is full they are tried again as long as the history is open.
    fn write(&self, desk: &mut Desk, events: Vec<Event>, manner: Manner) -> Result<(), WriteError> {
        let events = Arc::new(events);
        if let Some(stream) = desk.stream.as_ref().filter(|_| !events.is_empty()) {
            stream.push(&events);
        }
        let mut outcome = Ok(());
        for (day, events) in by_day(events) {
            let events = Arc::new(events);
            if let Err(error) = self.write_day(&mut desk.books, day, &events, manner) {
                if manner == Manner::All {
                    self.dropped.fetch_add(u64::try_from(events.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
                tracing::error!(%error, count = events.len(), "history entries could not be written");
                outcome = Err(error);
            }
        }
        outcome
    }

    fn write_day(&self, books: &mut Books, day: Day, events: &Arc<Vec<Event>>, manner: Manner) -> Result<(), WriteError> {
        loop {
            let Err(error) = books.write(day, events, manner) else { return Ok(()) };
            if error.retry() != Retry::Later || self.is_closed_after(RETRY_WAIT) {
                return Err(error);
            }
            tracing::warn!(%error, "history entries wait until they can be written");
        }
    }

    fn is_closed_after(&self, wait: Duration) -> bool {
        let waiting = self.lock();
        let (waiting, _) = self.wake.wait_timeout_while(waiting, wait, |waiting| !waiting.closed).unwrap_or_else(PoisonError::into_inner);
        waiting.closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Lets go of what is not to be kept. When that was.
    fn keep_house(&mut self, now: UnixMillis) -> Instant {
        self.salvage();
        self.is_over = self.bounds.enforce(&self.directory, &self.books.days(), now);
        if self.is_over
            && let Err(error) = self.books.thin_out(self.bounds.max_size)
        {
            tracing::error!(%error, "the oldest entries of the history cannot be removed");
        }
        Instant::now()
    }
}

impl Desk {
    /// Salvages damaged files; those of other days on a thread of its own, for that may take a while, as may what the first one does for
    /// files of an earlier version.
    fn salvage(&mut self) {
        self.books.salvage_open();
        if self.salvage.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (directory, open, opening) = (self.directory.clone(), self.books.days(), self.books.opening());
        let is_first = self.salvage.is_none();
        let thread = std::thread::Builder::new().name("history-salvage".into()).spawn(move || {
            salvage_reported(&directory, &open, &opening);
            if is_first {
                bring_up_to_date(&directory, &open, &opening);
            }
        });
        self.salvage = thread.map_err(|error| tracing::error!(%error, "no thread for damaged files of the history")).ok();
    }
}

impl Drop for Desk {
    /// Whoever opens the history next finds no file in use.
    fn drop(&mut self) {
        *self.books.opening().lock().unwrap_or_else(PoisonError::into_inner) = true;
        if self.salvage.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that salvages the history panicked");
        }
    }
}

impl Batch {
    /// Whether there is nothing to do.
    fn is_idle(&self) -> bool {
        self.events.is_empty() && self.is_unhurried()
    }

    /// Whether nobody waits for it.
    fn is_unhurried(&self) -> bool {
        self.certain.is_empty() && self.flushes.is_empty()
    }

    fn may_wait(&self) -> bool {
        self.events.len() < BATCH_EVENTS && self.is_unhurried()
    }
}

/// Events by their days, in the order of their times; those of the same moment in the order in which they came.
fn by_day(events: Arc<Vec<Event>>) -> Vec<(Day, Vec<Event>)> {
    let mut events = Arc::try_unwrap(events).unwrap_or_else(|shared| shared.to_vec());
    events.sort_by_key(|event| event.at);
    let is_one_day = match (events.first(), events.last()) {
        (Some(first), Some(last)) => Day::of(first.at) == Day::of(last.at),
        _ => return Vec::new(),
    };
    if let (true, Some(first)) = (is_one_day, events.first()) {
        return vec![(Day::of(first.at), events)];
    }
    let mut days: BTreeMap<Day, Vec<Event>> = BTreeMap::new();
    events.into_iter().for_each(|event| days.entry(Day::of(event.at)).or_default().push(event));
    days.into_iter().collect()
}

/// The time of the machine, by which old days go.
pub(super) fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// Events that wait to be written at most; further ones are dropped.
pub const WAITING_EVENTS: usize = 16 * 1024;

/// Events that are written without waiting for more.
pub const BATCH_EVENTS: usize = 2048;

/// How long the first event of a batch waits for others.
pub const BATCH_WAIT: Duration = Duration::from_millis(200);

/// How long to wait before a batch that the disk did not take is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// How often old days are looked for, and the size.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
