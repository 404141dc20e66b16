//! The log on stderr.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::LogFormat;

/// The log while it is open: dropped, it writes what has gathered.
#[must_use]
#[derive(Default)]
pub(crate) struct Log {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

/// Starts logging; `filter` is as `--log` describes it. Lines gather until [`Log::begin`].
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<Log, String> {
    let quieter = if filter == DEFAULT_FILTER { SAID_BY_THE_RELAY } else { "" };
    let parsed = EnvFilter::try_new(format!("{quieter}{filter}"))
        .map_err(|error| format!("--log {filter:?} cannot be read: {error}; a level such as \"info\" is meant"))?;
    let log = Log::default();
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(Appender(Arc::clone(&log.lines))).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(log)
}

impl Log {
    /// Writes from now on, by a thread of its own: called once the process may have a second one.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        self.write_to(io::stderr()).map_err(|error| format!("the log has no thread to write it: {error}"))
    }

    fn write_to(&mut self, out: impl Write + Send + 'static) -> io::Result<()> {
        let lines = Arc::clone(&self.lines);
        self.thread = Some(std::thread::Builder::new().name("log".into()).spawn(move || lines.write_to(out))?);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.lock().closed = true;
        self.lines.came.notify_one();
        match self.thread.take() {
            Some(thread) => drop(thread.join()),
            None => self.lines.write_to(io::stderr()),
        }
    }
}

/// Lines that nobody has written yet. One thread writes many at a time: whoever logs a line does not pay for the write.
#[derive(Debug, Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    came: Condvar,
    taken: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    octets: Vec<u8>,
    closed: bool,
}

impl Lines {
    /// Waits for room: a log that nobody reads must not fill the memory.
    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        while waiting.octets.len() >= WAITING_OCTETS && !waiting.closed {
            waiting = self.taken.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let begun = waiting.octets.is_empty();
        waiting.octets.extend_from_slice(line);
        drop(waiting);
        if begun {
            self.came.notify_one();
        }
    }

    /// Writes what comes until it is closed. A log that cannot be written is no reason to stop.
    fn write_to(&self, mut out: impl Write) {
        let mut writing = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.octets.is_empty() && !waiting.closed {
                waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.closed {
                waiting =
                    self.came.wait_timeout_while(waiting, GATHER, |waiting| !waiting.closed).unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut waiting.octets, &mut writing);
            let closed = waiting.closed;
            drop(waiting);
            self.taken.notify_all();
            let _ = out.write_all(&writing);
            if closed {
                return;
            }
            writing.clear();
            writing.shrink_to(KEPT_OCTETS);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each line to the thread that writes.
struct Appender(Arc<Lines>);

impl<'a> MakeWriter<'a> for Appender {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Appender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged where nobody says anything else.
pub(crate) const DEFAULT_FILTER: &str = "info";

/// What these warn of (answers without DNSSEC, a line of a kilobyte each) the relay tells itself, in words that say what follows from
/// it. Any other filter than the default hears them.
const SAID_BY_THE_RELAY: &str = "hickory_net=error,hickory_proto=error,hickory_resolver=error,";

/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(10);

/// Octets that wait at most, but for a line.
const WAITING_OCTETS: usize = 1 << 20;

/// Octets of memory that are kept for the next lines.
const KEPT_OCTETS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts writes, and writes one only when it may.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<(Vec<u8>, usize)>>, Arc<Mutex<()>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _may = self.1.lock().unwrap();
            let mut written = self.0.lock().unwrap();
            written.0.extend_from_slice(octets);
            written.1 += 1;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_in_order_and_many_at_a_time() {
        let out = Slow::default();
        let mut log = Log::default();
        log.write_to(out.clone()).unwrap();
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}\n")).collect();
        lines.iter().for_each(|line| log.lines.push(line.as_bytes()));
        drop(log);
        let written = out.0.lock().unwrap();
        assert_eq!(String::from_utf8_lossy(&written.0), lines.concat());
        assert!(written.1 < 100, "{} writes", written.1);
    }

    #[test]
    fn a_log_that_nobody_reads_does_not_fill_the_memory() {
        let out = Slow::default();
        let stuck = out.1.lock().unwrap();
        let mut log = Log::default();
        log.write_to(out.clone()).unwrap();
        let (lines, line) = (Arc::clone(&log.lines), [b'x'; 1000]);
        let writer = std::thread::spawn(move || (0..10_000).for_each(|_| lines.push(&line)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!writer.is_finished(), "it waits for room");
        assert!(log.lines.lock().octets.len() < WAITING_OCTETS + line.len());
        drop(stuck);
        writer.join().unwrap();
        drop(log);
        assert_eq!(out.0.lock().unwrap().0.len(), 10_000_000, "and nothing is lost");
    }
}
