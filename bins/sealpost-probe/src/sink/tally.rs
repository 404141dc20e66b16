//! What came, counted, told and kept.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealpost_types::Domain;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The counts and the output of one server.
#[derive(Debug)]
pub(super) struct Tally {
    json: bool,
    quiet: bool,
    maildir: Option<PathBuf>,
    name: Domain,
    pub(super) sessions: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) resumed: AtomicU64,
    messages: AtomicU64,
    recipients: AtomicU64,
    octets: AtomicU64,
    /// How many messages are waited for, if any.
    wanted: Option<u64>,
    came: Notify,
}

impl Tally {
    pub(super) fn new(json: bool, quiet: bool, maildir: Option<&Path>, name: &Domain, wanted: Option<u64>) -> Result<Self, String> {
        if let Some(folder) = maildir {
            for part in ["tmp", "new", "cur"] {
                let path = folder.join(part);
                fs::create_dir_all(&path).map_err(|error| format!("--maildir: cannot make {}: {error}", path.display()))?;
            }
        }
        Ok(Self {
            json,
            quiet,
            maildir: maildir.map(Path::to_owned),
            name: name.clone(),
            sessions: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            recipients: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            wanted,
            came: Notify::new(),
        })
    }

    /// Whether content has to be handed to [`keep`](Self::keep).
    pub(super) fn keeps(&self) -> bool {
        self.maildir.is_some()
    }

    /// One more message, counted when it was answered for.
    pub(super) fn count(&self, recipients: usize, octets: u64) {
        self.recipients.fetch_add(u64::try_from(recipients).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Whether as many messages came as are waited for.
    pub(super) fn is_full(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.messages.load(Ordering::Relaxed) >= wanted)
    }

    /// Waits until so many messages came; for ever without a number.
    pub(super) async fn full(&self) {
        while !self.is_full() {
            self.came.notified().await;
        }
    }

    /// Puts a message into the maildir, whole or not at all, and says under which name.
    pub(super) fn keep(&self, number: u64, content: &[u8]) -> io::Result<Option<PathBuf>> {
        let Some(folder) = &self.maildir else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let file = format!("{}.M{}P{}Q{number}.{}", now.as_secs(), now.subsec_micros(), std::process::id(), self.name);
        let (temporary, path) = (folder.join("tmp").join(&file), folder.join("new").join(&file));
        fs::write(&temporary, content)?;
        fs::rename(&temporary, &path)?;
        Ok(Some(path))
    }

    /// Tells of something, unless it is to be quiet.
    pub(super) fn tell(&self, text: impl FnOnce() -> String, object: impl FnOnce() -> Value) {
        if self.quiet {
            return;
        }
        self.print(if self.json { object().to_string() } else { text() });
    }

    /// Tells of something that is told in any case.
    pub(super) fn always(&self, text: &str, object: impl FnOnce() -> Value) {
        self.print(if self.json { object().to_string() } else { text.to_owned() });
    }

    /// Tells the sum.
    pub(super) fn sum(&self, time: Duration) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sessions, messages) = (of(&self.sessions), of(&self.messages));
        let (handshakes, octets) = (of(&self.handshakes), of(&self.octets));
        let text =
            format!("{messages} messages, {octets} octets in {sessions} sessions, {handshakes} under TLS; {:.1} s", time.as_secs_f64());
        self.always(&text, || {
            json!({ "event": "sum", "sessions": sessions, "handshakes": handshakes, "resumed": of(&self.resumed), "messages": messages,
                "recipients": of(&self.recipients), "octets": octets, "seconds": (time.as_secs_f64() * 1000.0).round() / 1000.0 })
        });
    }

    /// A reader that went away is no reason to stop serving.
    fn print(&self, mut line: String) {
        line.push('\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}
