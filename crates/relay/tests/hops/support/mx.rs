//! A receiving server that does what a test tells it, faults included, and writes down everything it gets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sealpost_transport::{ClientCertificate, RustlsBackend, TlsBackend as _};
use sealpost_types::{CipherSuite, KexGroup, TlsFacts, TlsVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::wire::{Duplex, Wire};
use super::{Kind, PATIENCE, backend};

/// A receiving server. It ends when this is dropped, and refuses connections from then on.
pub(crate) struct Mx {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What it does; what is changed holds from the next command on, also on connections that are open.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) greeting: &'static str,
    pub(crate) start_tls: StartTls,
    pub(crate) extensions: Vec<&'static str>,
    /// What commands that begin so are answered with; the first that fits. Without a word it closes.
    pub(crate) replies: Vec<(&'static str, &'static str)>,
    /// What MAIL is answered with as long as there is no TLS.
    pub(crate) mail_in_clear: Option<&'static str>,
    pub(crate) body: Body,
}

/// What it does about STARTTLS.
#[derive(Clone)]
pub(crate) enum StartTls {
    /// Does not offer it.
    Absent,
    /// Offers it and shows this certificate.
    Offered(Arc<RustlsBackend>),
    /// The same with X25519 alone.
    Classical(TlsAcceptor),
    /// Offers it and answers this.
    Refused(&'static str),
    /// Offers it, says 220, and closes.
    Broken,
    /// Offers it, and sends a reply in clear right behind its 220.
    Injected,
}

/// What it does with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Taken,
    /// It answers once the behaviour is another one, as that says, unless the client closes first.
    Held,
    /// It closes when the first octets have come.
    CutOff,
    /// It takes all of it and closes without an answer.
    Unanswered,
    Refused(&'static str),
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) session: usize,
    pub(crate) from: String,
    /// The parameters of MAIL.
    pub(crate) parameters: String,
    pub(crate) to: Vec<String>,
    /// Without the dots of DATA.
    pub(crate) octets: Vec<u8>,
    pub(crate) tls: Option<TlsFacts>,
}

/// All that happened so far.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) sessions: usize,
    /// Sessions that have ended.
    pub(crate) ended: usize,
    /// Handshakes that came to their end.
    pub(crate) handshakes: usize,
    /// Command lines: the session, whether it was under TLS, the line.
    pub(crate) commands: Vec<(usize, bool, String)>,
    pub(crate) messages: Vec<Message>,
    /// Bodies that came and are held.
    pub(crate) held: usize,
    /// Every octet that came in clear.
    pub(crate) clear: Vec<u8>,
}

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    record: watch::Sender<Record>,
}

impl Behaviour {
    /// A server of today, without TLS.
    pub(crate) fn plain() -> Self {
        Self {
            greeting: "220 mx.test ESMTP",
            start_tls: StartTls::Absent,
            extensions: vec!["PIPELINING", "SIZE 104857600", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "SMTPUTF8"],
            replies: Vec::new(),
            mail_in_clear: None,
            body: Body::Taken,
        }
    }

    /// The same with such a certificate for this name.
    pub(crate) fn secure(kind: Kind, name: &str) -> Self {
        Self { start_tls: StartTls::Offered(Arc::new(backend(kind, name))), ..Self::plain() }
    }

    pub(crate) fn with_start_tls(self, start_tls: StartTls) -> Self {
        Self { start_tls, ..self }
    }

    pub(crate) fn without(mut self, extension: &str) -> Self {
        self.extensions.retain(|offered| offered.split(' ').next() != Some(extension));
        self
    }

    pub(crate) fn with(mut self, extension: &'static str) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(crate) fn answering(mut self, beginning: &'static str, reply: &'static str) -> Self {
        self.replies.push((beginning, reply));
        self
    }

    pub(crate) fn with_body(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

impl Mx {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_at(free_address(), behaviour).await
    }

    /// One on the port of another, on an address of its own.
    pub(crate) async fn start_beside(other: &Self, behaviour: Behaviour) -> Self {
        Self::start_at(SocketAddr::new(free_address().ip(), other.address.port()), behaviour).await
    }

    pub(crate) async fn start_at(address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let shared = Arc::new(Shared { behaviour: watch::Sender::new(behaviour), record: watch::Sender::new(Record::default()) });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                sessions.spawn(serve(tcp, Arc::clone(&accepting)));
            }
        });
        Self { address, shared, task }
    }

    /// What holds from now on.
    pub(crate) fn change(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// The record as it is.
    pub(crate) fn record(&self) -> watch::Ref<'_, Record> {
        self.shared.record.borrow()
    }

    /// Waits for the record to be so, and gives a part of it.
    pub(crate) async fn when<T>(&self, what: &str, condition: impl Fn(&Record) -> bool, part: impl Fn(&Record) -> T) -> T {
        let mut news = self.shared.record.subscribe();
        let found = timeout(PATIENCE, news.wait_for(|record| condition(record))).await.map(|result| part(&result.unwrap()));
        found.unwrap_or_else(|_| {
            let record = self.record();
            let last = &record.commands[record.commands.len().saturating_sub(30)..];
            panic!(
                "{what}: did not happen; {} sessions, {} messages, {} held, last said {last:?}",
                record.sessions,
                record.messages.len(),
                record.held
            )
        })
    }

    /// Waits until there are so many messages.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Message> {
        self.when(&format!("{count} messages"), |record| record.messages.len() >= count, |record| record.messages.clone()).await
    }

    /// The only message that there is; waits for it.
    pub(crate) async fn message(&self) -> Message {
        let mut messages = self.messages(1).await;
        assert_eq!(messages.len(), 1, "{messages:#?}");
        messages.remove(0)
    }

    pub(crate) fn count(&self) -> usize {
        self.record().messages.len()
    }

    /// Whether nothing that belongs to a mail ever came in clear.
    pub(crate) fn saw_no_mail_in_clear(&self) -> bool {
        let record = self.record();
        let clear = String::from_utf8_lossy(&record.clear);
        !["MAIL", "RCPT", "DATA", "BDAT", "@", "Subject"].iter().any(|word| clear.contains(word))
    }

    /// The command lines with this beginning.
    pub(crate) fn said(&self, beginning: &str) -> Vec<String> {
        self.record().commands.iter().map(|(_, _, line)| line).filter(|line| line.starts_with(beginning)).cloned().collect()
    }
}

impl Drop for Mx {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Message {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }

    /// The logical lines of this header field, in order.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let header = text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n\t", " ").replace("\r\n ", " ");
        let start = format!("{name}: ");
        header.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Record)) {
        self.record.send_modify(change);
    }
}

async fn serve(tcp: TcpStream, shared: Arc<Shared>) {
    let behaviour = shared.behaviour.borrow().clone();
    shared.note(|record| record.sessions += 1);
    let number = shared.record.borrow().sessions;
    let (from, to) = (None, Vec::new());
    let mut session = Session { wire: Wire::new(tcp), behaviour, shared, number, tls: None, from, to, chunks: Vec::new() };
    // A client that breaks off is a fact, not a failure.
    let _ = session.run().await;
    session.report_clear();
    session.shared.note(|record| record.ended += 1);
}

struct Session {
    wire: Wire,
    behaviour: Behaviour,
    shared: Arc<Shared>,
    number: usize,
    tls: Option<TlsFacts>,
    /// The path of MAIL and its parameters.
    from: Option<(String, String)>,
    to: Vec<String>,
    chunks: Vec<u8>,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        self.reply(self.behaviour.greeting).await?;
        while let Some(line) = self.wire.line().await? {
            self.report_clear();
            let secure = self.wire.is_secure();
            self.behaviour = self.shared.behaviour.borrow().clone();
            self.shared.note(|record| record.commands.push((self.number, secure, line.clone())));
            if !self.command(&line).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the session goes on.
    async fn command(&mut self, line: &str) -> io::Result<bool> {
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        if let Some((_, reply)) = self.behaviour.replies.iter().find(|(beginning, _)| line.starts_with(beginning)) {
            let reply = *reply;
            if reply.is_empty() {
                return Ok(false);
            }
            if verb == "BDAT" {
                self.chunk(line).await?;
            }
            self.reply(reply).await?;
            return Ok(!reply.starts_with("421"));
        }
        match verb.as_str() {
            "EHLO" => self.hello().await?,
            "STARTTLS" => return self.start_tls().await,
            "MAIL" if self.tls.is_none() && self.behaviour.mail_in_clear.is_some() => {
                self.reply(self.behaviour.mail_in_clear.unwrap_or_default()).await?;
            }
            "MAIL" => {
                self.reset();
                self.from = Some(path(line));
                self.reply("250 2.1.0 ok").await?;
            }
            "RCPT" if self.from.is_none() => self.reply("503 5.5.1 MAIL first").await?,
            "RCPT" => {
                self.to.push(path(line).0);
                self.reply("250 2.1.5 ok").await?;
            }
            "DATA" if self.to.is_empty() => self.reply("554 5.5.1 no recipients").await?,
            "DATA" => {
                self.reply("354 go on").await?;
                if self.behaviour.body == Body::CutOff {
                    self.wire.fill().await?;
                    return Ok(false);
                }
                // The CRLF in front makes the end mark of an empty message the same.
                self.wire.put_back(b"\r\n");
                let Some(stuffed) = self.wire.until(b"\r\n.\r\n").await? else { return Ok(false) };
                return self.finish(unstuffed(&stuffed)).await;
            }
            "BDAT" => {
                if self.behaviour.body == Body::CutOff {
                    self.wire.fill().await?;
                    return Ok(false);
                }
                let Some(chunk) = self.chunk(line).await? else { return Ok(false) };
                if self.to.is_empty() {
                    self.reply("503 5.5.1 no recipients").await?;
                    return Ok(true);
                }
                self.chunks.extend_from_slice(&chunk);
                if line.ends_with("LAST") {
                    let octets = std::mem::take(&mut self.chunks);
                    return self.finish(octets).await;
                }
                self.reply("250 2.0.0 ok").await?;
            }
            "RSET" => {
                self.reset();
                self.reply("250 2.0.0 ok").await?;
            }
            "NOOP" => self.reply("250 2.0.0 ok").await?,
            "QUIT" => {
                self.reply("221 2.0.0 bye").await?;
                return Ok(false);
            }
            _ => self.reply("500 5.5.1 what?").await?,
        }
        Ok(true)
    }

    async fn hello(&mut self) -> io::Result<()> {
        self.reset();
        let mut lines = vec!["mx.test"];
        lines.extend(&self.behaviour.extensions);
        if self.tls.is_none() && !matches!(self.behaviour.start_tls, StartTls::Absent) {
            lines.push("STARTTLS");
        }
        let last = lines.len() - 1;
        let line = |(at, line): (usize, &&str)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' });
        let reply: String = lines.iter().enumerate().map(line).collect();
        self.wire.send(reply.as_bytes()).await
    }

    async fn start_tls(&mut self) -> io::Result<bool> {
        match self.behaviour.start_tls.clone() {
            StartTls::Absent => self.reply("502 5.5.1 not here").await?,
            StartTls::Refused(reply) => {
                self.reply(reply).await?;
                return Ok(!reply.starts_with("421"));
            }
            StartTls::Broken => {
                self.reply("220 2.0.0 go on").await?;
                return Ok(false);
            }
            StartTls::Injected => {
                self.reply("220 2.0.0 go on\r\n250 mx.test").await?;
                // What follows in clear is noted, if the client is fooled.
                while self.wire.fill().await? > 0 {}
                return Ok(false);
            }
            StartTls::Offered(backend) => {
                self.reply("220 2.0.0 go on").await?;
                let Some(tcp) = self.wire.take_tcp() else { return Ok(false) };
                let Ok(shaken) = backend.accept(tcp, ClientCertificate::NotAsked).await else { return Ok(false) };
                self.secured(shaken.facts, shaken.stream);
            }
            StartTls::Classical(acceptor) => {
                self.reply("220 2.0.0 go on").await?;
                let Some(tcp) = self.wire.take_tcp() else { return Ok(false) };
                let Ok(stream) = acceptor.accept(tcp).await else { return Ok(false) };
                let connection = stream.get_ref().1;
                let suite = CipherSuite(connection.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into()));
                let group = connection.negotiated_key_exchange_group().map(|group| KexGroup(group.name().into()));
                self.secured(TlsFacts::new(TlsVersion::Tls1_3, suite, group, false), stream);
            }
        }
        Ok(true)
    }

    fn secured(&mut self, facts: TlsFacts, stream: impl Duplex + 'static) {
        self.tls = Some(facts);
        self.wire.secure(stream);
        self.shared.note(|record| record.handshakes += 1);
        self.reset();
    }

    async fn chunk(&mut self, line: &str) -> io::Result<Option<Vec<u8>>> {
        let length = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        self.wire.exactly(length).await
    }

    async fn finish(&mut self, octets: Vec<u8>) -> io::Result<bool> {
        self.report_clear();
        let mut body = self.behaviour.body;
        if body == Body::Held {
            self.shared.note(|record| record.held += 1);
            let mut behaviour = self.shared.behaviour.subscribe();
            let waited = tokio::select! {
                changed = behaviour.wait_for(|behaviour| behaviour.body != Body::Held) => Some(changed.map_err(io::Error::other)?.body),
                _ = self.wire.fill() => None, // nothing but the end can come
            };
            self.shared.note(|record| record.held -= 1);
            let Some(answered) = waited else { return Ok(false) };
            body = answered;
        }
        match body {
            Body::Refused(reply) => self.reply(reply).await?,
            Body::Unanswered | Body::CutOff | Body::Held => return Ok(false),
            Body::Taken => {
                let (from, parameters) = self.from.take().unwrap_or_default();
                let to = std::mem::take(&mut self.to);
                let message = Message { session: self.number, from, parameters, to, octets, tls: self.tls };
                self.shared.note(|record| record.messages.push(message));
                self.reply("250 2.0.0 taken").await?;
            }
        }
        self.reset();
        Ok(true)
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
        self.chunks.clear();
    }

    async fn reply(&mut self, reply: &str) -> io::Result<()> {
        self.wire.send(format!("{reply}\r\n").as_bytes()).await
    }

    fn report_clear(&mut self) {
        let clear = std::mem::take(&mut self.wire.clear);
        if !clear.is_empty() {
            self.shared.note(|record| record.clear.extend_from_slice(&clear));
        }
    }
}

/// An address on loopback that nobody listens on, and that is given out once.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [process, ..] = std::process::id().to_le_bytes();
    let [high, low] = [number / 200, number % 200].map(|part| u8::try_from(part).unwrap());
    let ip = [127, 1 + process % 200, 1 + high, 1 + low];
    std::net::TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap()
}

/// What stands between the angle brackets, and what stands behind them.
fn path(line: &str) -> (String, String) {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(path, rest)| (path.to_owned(), rest.trim().to_owned())).unwrap_or_default()
}

/// A body of DATA without its first CRLF, its end mark and the dots in front of its lines.
fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(stuffed.len());
    let mut rest = &stuffed[2..stuffed.len() - 3];
    while !rest.is_empty() {
        rest = rest.strip_prefix(b".").unwrap_or(rest);
        let end = rest.windows(2).position(|window| window == b"\r\n").map_or(rest.len(), |at| at + 2);
        octets.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
    }
    octets
}
