//! One session: the dialogue, with the faults that were asked for.

mod content;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealpost_smtp::{AuthMechanism, Command, Extensions, Offer, Secret};
use sealpost_transport::{ClientCertificate, RustlsBackend, TlsBackend as _};
use sealpost_types::{Domain, Octets, TlsFacts};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, BufReader};
use tokio::net::TcpStream;

use self::content::{Begun, Content, SIZE_LIMIT};
use self::wire::{Answered, Wire};
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

/// How a stretch of dialogue ended.
#[derive(PartialEq, Eq)]
enum End {
    StartTls,
    Closed,
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
            Some(Deed::Stall) => return refusal::silent(tcp).await,
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
            Command::Mail(_) if self.server.tally.is_full() => Ok(wire.usual("421 4.3.2 the last message has come")),
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

fn client_certificate(der: &[u8]) -> String {
    sealpost_cert::CertificateDetails::from_der(der)
        .map_or_else(|error| error.to_string(), |details| format!("{} {}", details.subject(), details.pin()))
}

const READ_OCTETS: usize = 32 * 1024;
