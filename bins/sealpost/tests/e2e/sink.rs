//! A receiving server that does what a test tells it, faults included, and writes down everything it gets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::authority::Identity;
use crate::wire::{Agreed, Wire};

/// A server on a loopback port; it ends when this is dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// What it does about STARTTLS.
#[derive(Clone)]
pub(crate) enum StartTls {
    /// Offers it and shows this certificate.
    Offered(Arc<ServerConfig>),
    /// Does not offer it.
    Absent,
    /// Offers it and answers 454.
    Refused,
    /// Offers it, answers 220, and closes.
    Broken,
    /// Sends a reply in clear right behind its 220, as somebody on the path could, then shows this certificate.
    Injected(Arc<ServerConfig>),
}

/// What it does about everything else.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) start_tls: StartTls,
    /// Offers CHUNKING.
    pub(crate) chunking: bool,
    /// Announces REQUIRETLS under TLS (RFC 8689).
    pub(crate) require_tls: bool,
    /// Waits so long before it answers the end of the data.
    pub(crate) slow: Duration,
    /// Answers this verb, or commands that begin so, with this reply; no verb: the reply is the greeting, and the end.
    pub(crate) refuse: Option<(&'static str, &'static str)>,
    /// Takes bare CR and bare LF for line ends, as careless servers do.
    pub(crate) careless: bool,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Dots taken away, the end mark too.
    pub(crate) content: Vec<u8>,
    /// How the connection was secured; `None`: not at all.
    pub(crate) tls: Option<Agreed>,
    /// Which session of the sink it came by.
    pub(crate) session: usize,
    /// When it was complete, right before the answer.
    pub(crate) at: Instant,
}

/// A line that a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) session: usize,
    pub(crate) secure: bool,
    pub(crate) line: String,
}

#[derive(Default)]
struct Record {
    sessions: usize,
    open: usize,
    most_open: usize,
    said: Vec<Said>,
    messages: Vec<Message>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    record: Mutex<Record>,
    news: Condvar,
    closing: AtomicBool,
}

impl Behaviour {
    pub(crate) fn new(start_tls: StartTls) -> Self {
        Self { start_tls, chunking: true, require_tls: false, slow: Duration::ZERO, refuse: None, careless: false }
    }

    pub(crate) fn offering(identity: &Identity) -> Self {
        Self::new(StartTls::Offered(identity.server()))
    }
}

impl Sink {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        // Somebody's outgoing connection may take a port that was free a moment ago.
        let listener = (0..10).find_map(|_| TcpListener::bind(crate::relay::free_address()).ok()).expect("a free port");
        Self::serve(listener, behaviour)
    }

    pub(crate) fn start_at(address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::serve(TcpListener::bind(address).unwrap(), behaviour)
    }

    fn serve(listener: TcpListener, behaviour: Behaviour) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            record: Mutex::new(Record::default()),
            news: Condvar::new(),
            closing: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.closing.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&accepting)) else { continue };
                {
                    let mut record = lock(&shared.record);
                    record.open += 1;
                    record.most_open = record.most_open.max(record.open);
                }
                // A client that breaks off is a fact, not a failure.
                thread::spawn(move || {
                    drop(session(stream, &shared));
                    lock(&shared.record).open -= 1;
                });
            }
        });
        Self { address, shared }
    }

    /// What holds for connections from now on.
    pub(crate) fn change(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        lock(&self.shared.record).messages.clone()
    }

    pub(crate) fn message_count(&self) -> usize {
        lock(&self.shared.record).messages.len()
    }

    /// The messages since the last call; they, and what clients said, are forgotten.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut record = lock(&self.shared.record);
        record.said.clear();
        std::mem::take(&mut record.messages)
    }

    pub(crate) fn session_count(&self) -> usize {
        lock(&self.shared.record).sessions
    }

    /// How many sessions there were at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        lock(&self.shared.record).most_open
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        lock(&self.shared.record).said.clone()
    }

    /// Every MAIL, RCPT, DATA and BDAT that came in clear.
    pub(crate) fn mail_in_clear(&self) -> Vec<Said> {
        let mail = |line: &str| ["MAIL", "RCPT", "DATA", "BDAT"].iter().any(|verb| line.to_ascii_uppercase().starts_with(verb));
        self.said().into_iter().filter(|said| !said.secure && mail(&said.line)).collect()
    }

    /// Waits until there are so many messages; panics with what there is after `limit`.
    pub(crate) fn wait_for(&self, count: usize, limit: Duration) -> Vec<Message> {
        self.wait(limit, |record| record.messages.len() >= count);
        let record = lock(&self.shared.record);
        assert!(
            record.messages.len() >= count,
            "{count} messages expected, got {}; clients said {:#?}",
            record.messages.len(),
            tail(&record.said)
        );
        record.messages.clone()
    }

    /// Waits until there were so many sessions.
    pub(crate) fn wait_for_sessions(&self, count: usize, limit: Duration) {
        self.wait(limit, |record| record.sessions >= count);
        let sessions = self.session_count();
        assert!(sessions >= count, "{count} sessions expected, got {sessions}");
    }

    /// Waits until some client said a line that begins so.
    pub(crate) fn wait_for_line(&self, beginning: &str, limit: Duration) {
        let heard = |record: &Record| record.said.iter().any(|said| said.line.starts_with(beginning));
        self.wait(limit, heard);
        assert!(heard(&lock(&self.shared.record)), "no client said {beginning}");
    }

    fn wait(&self, limit: Duration, done: impl Fn(&Record) -> bool) {
        let end = Instant::now() + limit;
        let mut record = lock(&self.shared.record);
        while !done(&record) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return };
            record = self.shared.news.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn session(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let behaviour = lock(&shared.behaviour).clone();
    let number = {
        let mut record = lock(&shared.record);
        record.sessions += 1;
        shared.news.notify_all();
        record.sessions
    };
    let mut session =
        Session { wire: Wire::new(stream)?, behaviour, shared, number, tls: None, from: None, to: Vec::new(), chunks: Vec::new() };
    if let Some(("", greeting)) = session.behaviour.refuse {
        session.wire.send(format!("{greeting}\r\n").as_bytes())?;
        // until the client is gone
        while session.wire.fill()? > 0 {}
        return Ok(());
    }
    session.wire.send(b"220 sink.test ESMTP\r\n")?;
    while let Some(line) = session.wire.line(!session.behaviour.careless)? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        session.note(&line);
        if !session.command(&line)? {
            break;
        }
    }
    Ok(())
}

struct Session<'a> {
    wire: Wire,
    behaviour: Behaviour,
    shared: &'a Shared,
    number: usize,
    tls: Option<Agreed>,
    from: Option<String>,
    to: Vec<String>,
    chunks: Vec<u8>,
}

impl Session<'_> {
    /// Whether the session goes on.
    fn command(&mut self, line: &str) -> io::Result<bool> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        if let Some((_, reply)) =
            self.behaviour.refuse.filter(|(refused, _)| *refused == verb || (refused.contains(' ') && line.starts_with(refused)))
        {
            self.wire.send(format!("{reply}\r\n").as_bytes())?;
            return Ok(true);
        }
        match verb.as_str() {
            "EHLO" => self.hello()?,
            "HELO" => self.wire.send(b"250 sink.test\r\n")?,
            "STARTTLS" => return self.start_tls(),
            "MAIL" => {
                self.reset();
                self.from = Some(path(line));
                self.wire.send(b"250 2.1.0 OK\r\n")?;
            }
            "RCPT" if self.from.is_some() => {
                self.to.push(path(line));
                self.wire.send(b"250 2.1.5 OK\r\n")?;
            }
            "DATA" if !self.to.is_empty() => {
                self.wire.send(b"354 go on\r\n")?;
                let content = self.data()?;
                self.finish(content)?;
            }
            "BDAT" if !self.to.is_empty() => {
                let mut words = line.split_whitespace().skip(1);
                let length = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let chunk = self.wire.exactly(length)?;
                self.chunks.extend_from_slice(&chunk);
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST")) {
                    let content = std::mem::take(&mut self.chunks);
                    self.finish(content)?;
                } else {
                    self.wire.send(b"250 2.0.0 OK\r\n")?;
                }
            }
            "RSET" => {
                self.reset();
                self.wire.send(b"250 2.0.0 OK\r\n")?;
            }
            "NOOP" => self.wire.send(b"250 2.0.0 OK\r\n")?,
            "QUIT" => {
                self.wire.send(b"221 2.0.0 Bye\r\n")?;
                return Ok(false);
            }
            "RCPT" | "DATA" | "BDAT" => self.wire.send(b"503 5.5.1 Out of order\r\n")?,
            _ => self.wire.send(b"500 5.5.1 What?\r\n")?,
        }
        Ok(true)
    }

    fn hello(&mut self) -> io::Result<()> {
        let mut lines = vec!["sink.test", "PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"];
        if self.behaviour.chunking {
            lines.push("CHUNKING");
        }
        if self.tls.is_none() && !matches!(self.behaviour.start_tls, StartTls::Absent) {
            lines.push("STARTTLS");
        }
        if self.tls.is_some() && self.behaviour.require_tls {
            lines.push("REQUIRETLS");
        }
        let last = lines.len() - 1;
        let reply: String =
            lines.iter().enumerate().map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' })).collect();
        self.wire.send(reply.as_bytes())
    }

    fn start_tls(&mut self) -> io::Result<bool> {
        if self.wire.is_secure() {
            self.wire.send(b"503 5.5.1 TLS is on\r\n")?;
            return Ok(true);
        }
        let config = match self.behaviour.start_tls.clone() {
            StartTls::Offered(config) => {
                self.wire.send(b"220 2.0.0 go on\r\n")?;
                config
            }
            StartTls::Injected(config) => {
                self.wire.send(b"220 2.0.0 go on\r\n250 sink.test\r\n")?;
                config
            }
            StartTls::Absent => {
                self.wire.send(b"502 5.5.1 Not here\r\n")?;
                return Ok(true);
            }
            StartTls::Refused => {
                self.wire.send(b"454 4.7.0 TLS is not available\r\n")?;
                return Ok(true);
            }
            StartTls::Broken => {
                self.wire.send(b"220 2.0.0 go on\r\n")?;
                return Ok(false);
            }
        };
        if !self.wire.pending().is_empty() {
            self.note("(something in clear behind STARTTLS)");
            self.wire.forget_pending();
        }
        self.tls = Some(self.wire.accept_tls(config)?);
        self.reset();
        Ok(true)
    }

    fn data(&mut self) -> io::Result<Vec<u8>> {
        if self.behaviour.careless {
            return self.careless_data();
        }
        // The CRLF in front makes the end mark of an empty message the same.
        self.wire.put_back(b"\r\n");
        let mut content = self.wire.until(b"\r\n.\r\n")?;
        content.truncate(content.len() - 3);
        let mut lines = Vec::with_capacity(content.len());
        for line in content[2..].split_inclusive(|&byte| byte == b'\n') {
            let at_start = lines.is_empty() || lines.ends_with(b"\r\n");
            lines.extend_from_slice(if at_start { line.strip_prefix(b".").unwrap_or(line) } else { line });
        }
        Ok(lines)
    }

    /// Any of CR, LF and CRLF ends a line.
    fn careless_data(&mut self) -> io::Result<Vec<u8>> {
        let (mut content, mut line) = (Vec::new(), Vec::new());
        loop {
            let byte = self.wire.exactly(1)?[0];
            if byte != b'\r' && byte != b'\n' {
                line.push(byte);
                continue;
            }
            if byte == b'\r' && self.wire.pending().first() == Some(&b'\n') {
                self.wire.exactly(1)?;
            }
            if line == b"." {
                return Ok(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            content.extend_from_slice(b"\r\n");
            line.clear();
        }
    }

    fn finish(&mut self, content: Vec<u8>) -> io::Result<()> {
        thread::sleep(self.behaviour.slow);
        let message = Message {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            content,
            tls: self.tls.clone(),
            session: self.number,
            at: Instant::now(),
        };
        lock(&self.shared.record).messages.push(message);
        self.shared.news.notify_all();
        self.wire.send(b"250 2.0.0 Taken\r\n")
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
        self.chunks.clear();
    }

    fn note(&self, line: &str) {
        let said = Said { session: self.number, secure: self.tls.is_some(), line: line.to_owned() };
        lock(&self.shared.record).said.push(said);
        self.shared.news.notify_all();
    }
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(|| line.to_owned(), |(path, _)| path.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tail(said: &[Said]) -> &[Said] {
    &said[said.len().saturating_sub(30)..]
}
