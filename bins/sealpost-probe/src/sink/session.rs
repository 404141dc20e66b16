//! One session: the dialogue, with the faults that were asked for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use sealpost_smtp::{AuthMechanism, BodyCheck, BodyFault, Command, DataScanner, Extensions, Offer, Secret};
use sealpost_transport::{ClientCertificate, RustlsBackend, TlsBackend as _};
use sealpost_types::{Domain, ForwardPath, Octets, ReversePath, TlsFacts};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::fault::{Deed, Faults, Stage};
use super::login::{self, Login};
use super::refusal;
use super::tally::Tally;
use crate::shown;

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: Domain,
    pub(super) offer: Offer,
    /// Keywords of EHLO that are left out.
    pub(super) without: Vec<String>,
    pub(super) tls: Option<Arc<RustlsBackend>>,
    pub(super) implicit: bool,
    pub(super) asks_for_certificate: bool,
    pub(super) users: Vec<Login>,
    pub(super) faults: Faults,
    pub(super) tally: Tally,
}

/// Serves one connection to its end. A client that breaks off is a fact, not a failure.
pub(super) async fn serve(server: Arc<Server>, tcp: TcpStream, client: SocketAddr, number: u64) {
    let _ = tcp.set_nodelay(true);
    let mut session = Session { server: &server, number, client, tls: None, begun: None, login: None };
    let ended = session.run(tcp).await;
    let reason = ended.err().map(|error| error.to_string());
    let shown = reason.clone().unwrap_or_else(|| "closed".to_owned());
    server.tally.tell(
        || format!("#{number} {client} {shown}"),
        || json!({ "event": "closed", "session": number, "client": client.to_string(), "reason": reason }),
    );
}

struct Session<'a> {
    server: &'a Server,
    number: u64,
    client: SocketAddr,
    tls: Option<TlsFacts>,
    begun: Option<Begun>,
    login: Option<String>,
}

/// A transaction under way.
struct Begun {
    from: ReversePath,
    to: Vec<ForwardPath>,
    content: Content,
}

/// What has come of the content.
#[derive(Default)]
struct Content {
    octets: u64,
    kept: Vec<u8>,
    check: BodyCheck,
}

/// How a stretch of dialogue ended.
#[derive(PartialEq, Eq)]
enum End {
    StartTls,
    Closed,
}

/// A stream, what is to be written to it, and the line at hand.
struct Wire<S> {
    stream: S,
    out: Vec<u8>,
    line: Vec<u8>,
}

impl Session<'_> {
    async fn run(&mut self, tcp: TcpStream) -> io::Result<()> {
        if self.server.implicit {
            return self.secured(tcp, true).await;
        }
        let mut wire = Wire::new(BufReader::with_capacity(READ_OCTETS, tcp));
        match self.talk(&mut wire, true).await {
            Ok(End::Closed) => wire.close().await,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionReset {
                    refusal::reset(wire.stream.get_ref())?;
                }
                Err(error)
            }
            Ok(End::StartTls) => {
                let behind = wire.stream.buffer();
                if !behind.is_empty() {
                    let text = String::from_utf8_lossy(behind).into_owned();
                    self.tell("text in clear behind STARTTLS", json!({ "event": "injected-by-client", "text": text }));
                }
                self.secured(wire.stream.into_inner(), false).await
            }
        }
    }

    /// The handshake and what follows.
    async fn secured(&mut self, tcp: TcpStream, greet: bool) -> io::Result<()> {
        let Some(tls) = &self.server.tls else { return Err(io::Error::other("there is no certificate")) };
        if self.server.faults.old_tls {
            self.tell("handshake refused with protocol_version", json!({ "event": "fault", "stage": "HANDSHAKE", "deed": "old-tls" }));
            return refusal::too_old(tcp).await;
        }
        let (delay, deed) = self.strike(Stage::Handshake);
        tokio::time::sleep(delay.unwrap_or_default()).await;
        match deed {
            Some(Deed::Stall) => return std::future::pending().await,
            Some(_) => return refusal::broken_off(tcp).await,
            None => {}
        }
        let ask = if self.server.asks_for_certificate { ClientCertificate::Asked } else { ClientCertificate::NotAsked };
        let shaken = match tls.accept(tcp, ask).await {
            Ok(shaken) => shaken,
            Err(error) => {
                self.tell(&format!("handshake failed: {error}"), json!({ "event": "handshake-failed", "reason": error.to_string() }));
                return Ok(());
            }
        };
        let tally = &self.server.tally;
        tally.handshakes.fetch_add(1, Ordering::Relaxed);
        tally.resumed.fetch_add(u64::from(shaken.facts.resumed), Ordering::Relaxed);
        let shown = shaken.chain.first().map(|der| client_certificate(der));
        let text =
            format!("{}{}", shown::session(&shaken.facts), shown.as_ref().map(|name| format!(", client {name}")).unwrap_or_default());
        self.tell(&text, json!({ "event": "tls", "tls": shown::session_json(&shaken.facts), "resumed": shaken.facts.resumed, "client_certificate": shown }));
        (self.tls, self.begun) = (Some(shaken.facts), None);
        let mut wire = Wire::new(shaken.stream);
        self.talk(&mut wire, greet).await?;
        wire.close().await
    }

    /// Answers commands until the session ends or goes over to TLS.
    async fn talk<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, greet: bool) -> io::Result<End> {
        if greet && self.answer(wire, Stage::Banner, &format!("220 {} ESMTP sink", self.server.name)).await?.closes {
            return Ok(End::Closed);
        }
        while wire.line().await? {
            let answered = match Command::parse(&wire.line) {
                Ok(Command::StartTls) if self.server.tls.is_some() && self.tls.is_none() => {
                    let answered = self.answer(wire, Stage::StartTls, "220 2.0.0 go on").await?;
                    if answered.class == b'2' {
                        wire.out.extend_from_slice(self.server.faults.inject.as_deref().unwrap_or_default());
                        if self.server.faults.inject.is_some() {
                            wire.out.extend_from_slice(b"\r\n");
                            self.tell("text in clear behind 220", json!({ "event": "fault", "stage": "STARTTLS", "deed": "inject" }));
                        }
                        wire.flush().await?;
                        return Ok(End::StartTls);
                    }
                    answered
                }
                Ok(command) => self.command(wire, command).await?,
                Err(error) => wire.usual(&format!("501 5.5.4 {error}")),
            };
            if answered.closes {
                return Ok(End::Closed);
            }
        }
        Ok(End::Closed)
    }

    async fn command<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, command: Command) -> io::Result<Answered> {
        match command {
            Command::Ehlo(_) => {
                self.begun = None;
                let reply = self.extensions();
                self.answer(wire, Stage::Ehlo, reply.trim_end()).await
            }
            Command::Helo(_) => {
                self.begun = None;
                self.answer(wire, Stage::Ehlo, &format!("250 {}", self.server.name)).await
            }
            Command::Mail(mail) => {
                let answered = self.answer(wire, Stage::Mail, "250 2.1.0 sender ok").await?;
                self.begun =
                    (answered.class == b'2').then(|| Begun { from: mail.reverse_path, to: Vec::new(), content: Content::default() });
                Ok(answered)
            }
            Command::Rcpt(rcpt) if self.begun.is_some() => {
                let answered = self.answer(wire, Stage::Rcpt, "250 2.1.5 recipient ok").await?;
                if let (b'2', Some(begun)) = (answered.class, &mut self.begun) {
                    begun.to.push(rcpt.forward_path);
                }
                Ok(answered)
            }
            Command::Data if self.has_recipients() => self.data(wire).await,
            Command::Bdat { size, last } => self.bdat(wire, size, last).await,
            Command::Rcpt(_) | Command::Data => Ok(wire.usual("503 5.5.1 MAIL and RCPT come first")),
            Command::Rset => {
                self.begun = None;
                self.answer(wire, Stage::Rset, "250 2.0.0 ok").await
            }
            Command::Noop => self.answer(wire, Stage::Noop, "250 2.0.0 ok").await,
            Command::Quit => {
                let answered = self.answer(wire, Stage::Quit, "221 2.0.0 bye").await?;
                Ok(Answered { closes: true, ..answered })
            }
            Command::Auth { mechanism, initial } if self.tls.is_some() && !self.server.users.is_empty() => {
                self.auth(wire, &mechanism, initial).await
            }
            Command::Vrfy(_) => Ok(wire.usual("252 2.5.0 try RCPT")),
            _ => Ok(wire.usual("502 5.5.1 not here")),
        }
    }

    async fn data<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> io::Result<Answered> {
        let answered = self.answer(wire, Stage::Data, "354 go on, end with a dot").await?;
        let (b'3', Some(begun)) = (answered.class, &mut self.begun) else { return Ok(answered) };
        let mut scanner = DataScanner::new();
        wire.flush().await?;
        loop {
            let input = wire.stream.fill_buf().await?;
            if input.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let input = self.server.faults.read_rate.and_then(|rate| input.get(..piece(rate))).unwrap_or(input);
            let scan = scanner.scan(input);
            begun.content.take(input.get(scan.content).unwrap_or_default(), self.server.tally.keeps());
            wire.stream.consume(scan.used);
            slow_down(scan.used, self.server.faults.read_rate).await;
            if scan.ended {
                break;
            }
        }
        self.finish(wire, scanner.fault()).await
    }

    async fn bdat<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, size: Octets, last: bool) -> io::Result<Answered> {
        let mut left = size.0;
        let wanted = self.has_recipients();
        wire.flush().await?;
        while left > 0 {
            let input = wire.stream.fill_buf().await?;
            if input.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.server.faults.read_rate.map_or(usize::MAX, piece));
            let input = input.get(..most).unwrap_or(input);
            if let Some(begun) = self.begun.as_mut().filter(|_| wanted) {
                begun.content.check.check(input);
                begun.content.take(input, self.server.tally.keeps());
            }
            let used = input.len();
            left = left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
            wire.stream.consume(used);
            slow_down(used, self.server.faults.read_rate).await;
        }
        let Some(begun) = self.begun.as_mut().filter(|_| wanted) else { return Ok(wire.usual("503 5.5.1 MAIL and RCPT come first")) };
        if !last {
            return Ok(wire.usual("250 2.0.0 chunk taken"));
        }
        let fault = std::mem::take(&mut begun.content.check).finish();
        self.finish(wire, fault).await
    }

    /// Answers for the whole content, keeps it before that, and counts it after.
    async fn finish<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, fault: Option<BodyFault>) -> io::Result<Answered> {
        let Some(begun) = self.begun.take() else { return Ok(wire.usual("503 5.5.1 MAIL comes first")) };
        if let Some(fault) = fault {
            self.tell(&format!("message refused: {fault}"), json!({ "event": "refused", "reason": fault.to_string() }));
            return Ok(wire.usual(&format!("554 5.6.0 {fault}")));
        }
        let octets = begun.content.octets;
        if octets > SIZE_LIMIT {
            return Ok(wire.usual(&format!("552 5.3.4 {octets} octets, {SIZE_LIMIT} are allowed")));
        }
        let answered = self.answer(wire, Stage::Body, &format!("250 2.0.0 {octets} octets taken")).await?;
        let bare = |path: String| path.trim_matches(['<', '>']).to_owned();
        let from = bare(begun.from.to_string());
        let to: Vec<_> = begun.to.iter().map(|path| bare(path.to_string())).collect();
        let whom = format!("from <{from}> to {}", to.join(" "));
        if answered.class != b'2' {
            self.tell(&format!("message {whom} refused"), json!({ "event": "refused", "from": from, "to": to, "octets": octets }));
            return Ok(answered);
        }
        let kept = tokio::task::block_in_place(|| self.server.tally.keep(self.number, &begun.content.kept))?;
        let tls = self.tls.as_ref();
        let how = tls.map_or_else(|| "in clear".to_owned(), |tls| format!("over {}", tls.version));
        self.server
            .tally
            .tell(|| format!("#{} message {whom}: {octets} octets {how}", self.number), || self.message(&from, &to, octets, kept.as_ref()));
        self.server.tally.count(to.len(), octets);
        Ok(answered)
    }

    fn message(&self, from: &str, to: &[String], octets: u64, kept: Option<&PathBuf>) -> Value {
        json!({ "event": "message", "session": self.number, "client": self.client.to_string(), "from": from, "to": to, "octets": octets,
            "tls": self.tls.as_ref().map(shown::session_json), "login": self.login, "file": kept.map(|path| path.display().to_string()) })
    }

    async fn auth<S: AsyncBufRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        mechanism: &AuthMechanism,
        initial: Option<Secret>,
    ) -> io::Result<Answered> {
        let users = &self.server.users;
        let who = match (mechanism, initial) {
            (AuthMechanism::Plain, Some(response)) => login::plain_octets(users, response.reveal()),
            (AuthMechanism::Plain, None) => login::plain(users, &wire.ask("334 ").await?),
            (AuthMechanism::Login, _) => {
                let name = wire.ask("334 VXNlcm5hbWU6").await?;
                let password = wire.ask("334 UGFzc3dvcmQ6").await?;
                login::login(users, &name, &password)
            }
            _ => return Ok(wire.usual("504 5.5.4 PLAIN and LOGIN are known here")),
        };
        let usual = if who.is_some() { "235 2.7.0 welcome" } else { "535 5.7.8 nobody of that name and password" };
        let answered = self.answer(wire, Stage::Auth, usual).await?;
        self.login = who.filter(|_| answered.class == b'2');
        Ok(answered)
    }

    fn has_recipients(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| !begun.to.is_empty())
    }

    fn extensions(&self) -> String {
        let offered = self.server.offer.extensions(self.tls.is_some(), Octets(SIZE_LIMIT));
        let without = |line: &str| self.server.without.iter().any(|name| line.split(' ').next() == Some(name));
        let left: Extensions = offered.iter().filter(|extension| !without(&extension.to_string())).cloned().collect();
        let mut wire = Vec::new();
        left.to_reply(&self.server.name).encode(&mut wire);
        String::from_utf8_lossy(&wire).into_owned()
    }

    /// What strikes here now; it is told.
    fn strike(&self, stage: Stage) -> (Option<Duration>, Option<&Deed>) {
        let (delay, deed) = self.server.faults.at(stage);
        let name = match deed {
            Some(Deed::Reply(_)) => "reply",
            Some(Deed::Stall) => "stall",
            Some(Deed::Close) => "close",
            _ if delay.is_some() => "delay",
            _ => return (delay, deed),
        };
        self.tell(&format!("{name} at {}", stage.as_str()), json!({ "event": "fault", "stage": stage.as_str(), "deed": name }));
        (delay, deed)
    }

    /// Answers as usual, unless a fault strikes here.
    async fn answer<S: AsyncBufRead + AsyncWrite + Unpin>(&self, wire: &mut Wire<S>, stage: Stage, usual: &str) -> io::Result<Answered> {
        let (delay, deed) = self.strike(stage);
        if let Some(delay) = delay {
            wire.flush().await?;
            tokio::time::sleep(delay).await;
        }
        match deed {
            None | Some(Deed::Delay(_)) => Ok(wire.usual(usual)),
            Some(Deed::Reply(octets)) => {
                wire.out.extend_from_slice(octets);
                Ok(Answered::of(octets))
            }
            Some(Deed::Close) => {
                wire.flush().await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Deed::Stall) => {
                wire.flush().await?;
                // until the client is gone
                while !wire.stream.fill_buf().await?.is_empty() {
                    let some = wire.stream.fill_buf().await?.len();
                    wire.stream.consume(some);
                }
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    fn tell(&self, text: &str, mut object: Value) {
        self.server.tally.tell(
            || format!("#{} {} {text}", self.number, self.client),
            || {
                if let Some(object) = object.as_object_mut() {
                    object.insert("session".to_owned(), self.number.into());
                    object.insert("client".to_owned(), self.client.to_string().into());
                }
                object
            },
        );
    }
}

/// What was said.
#[derive(Clone, Copy, Debug)]
struct Answered {
    /// The first digit.
    class: u8,
    /// Whether the session ends with it.
    closes: bool,
}

impl Answered {
    fn of(octets: &[u8]) -> Self {
        Self { class: octets.first().copied().unwrap_or_default(), closes: octets.starts_with(b"421") }
    }
}

impl Content {
    fn take(&mut self, piece: &[u8], keep: bool) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if keep && self.octets <= SIZE_LIMIT {
            self.kept.extend_from_slice(piece);
        }
    }
}

impl<S: AsyncBufRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        Self { stream, out: Vec::new(), line: Vec::new() }
    }

    /// Answers when it is time to: behind the last command that has come.
    fn usual(&mut self, reply: &str) -> Answered {
        self.out.extend_from_slice(reply.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        Answered::of(reply.as_bytes())
    }

    /// Takes the next line, without its end; false at the end of the stream. What is to be said is said before it waits.
    async fn line(&mut self) -> io::Result<bool> {
        self.line.clear();
        loop {
            let is_there = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_fill_buf(cx).is_ready())).await;
            if !is_there {
                self.flush().await?;
            }
            let input = self.stream.fill_buf().await?;
            if input.is_empty() {
                return Ok(false);
            }
            let end = input.iter().position(|octet| *octet == b'\n');
            let used = end.map_or(input.len(), |end| end + 1);
            self.line.extend(input.iter().take(used));
            self.stream.consume(used);
            if end.is_some() {
                let length = self.line.strip_suffix(b"\r\n").or_else(|| self.line.strip_suffix(b"\n")).map_or(0, <[u8]>::len);
                self.line.truncate(length);
                return Ok(true);
            }
            if self.line.len() > LINE_OCTETS {
                return Err(io::Error::other("a line without end"));
            }
        }
    }

    /// Says this and takes the line that answers it.
    async fn ask(&mut self, what: &str) -> io::Result<Vec<u8>> {
        self.usual(what);
        if self.line().await? { Ok(self.line.clone()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }
}

/// How much is read at a time at this rate: a tenth of a second's.
fn piece(rate: u32) -> usize {
    usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
}

async fn slow_down(octets: usize, rate: Option<u32>) {
    if let Some(rate) = rate {
        let octets = f64::from(u32::try_from(octets).unwrap_or(u32::MAX));
        tokio::time::sleep(Duration::from_secs_f64(octets / f64::from(rate))).await;
    }
}

fn client_certificate(der: &[u8]) -> String {
    sealpost_cert::CertificateDetails::from_der(der)
        .map_or_else(|error| error.to_string(), |details| format!("{} {}", details.subject(), details.pin()))
}

/// What is announced with SIZE.
const SIZE_LIMIT: u64 = 64 * 1024 * 1024;

/// No command is longer.
const LINE_OCTETS: usize = 64 * 1024;

const READ_OCTETS: usize = 32 * 1024;
