//! A server that takes every message and shows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{Credentials, MailCommand, RcptCommand, Reply, ServerConfig};
use sealpost_transport::{ConnectionHandler, ListenOptions, ListenerTls, RustlsBackend, Server, ServerSettings, SessionHandler, listen};
use sealpost_types::{Domain, TlsFacts};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Outcome;

/// A server on a free loopback port that offers STARTTLS, takes every message and shows it.
#[derive(Debug)]
pub struct Inbox {
    server: Server,
    letters: UnboundedReceiver<Letter>,
}

/// A message as it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Letter {
    /// What was negotiated; none in clear.
    pub tls: Option<TlsFacts>,
    /// The message.
    pub text: String,
}

/// One connection to an [`Inbox`].
#[derive(Debug)]
pub struct InboxSession {
    tls: Option<TlsFacts>,
    letters: UnboundedSender<Letter>,
}

struct Door(UnboundedSender<Letter>);

impl Inbox {
    /// A server of this name that shows the certificate of `tls`.
    ///
    /// # Errors
    /// No free port on loopback.
    pub fn start(hostname: &str, tls: RustlsBackend) -> Outcome<Self> {
        let (sender, letters) = unbounded_channel();
        let session = ServerConfig::new(Domain::parse(hostname)?);
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &ListenOptions::default())?;
        let settings = ServerSettings::new(Arc::new(session), ListenerTls::StartTls);
        Ok(Self { server: Server::start(listener, settings, Arc::new(tls), Arc::new(Door(sender)))?, letters })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The next message.
    ///
    /// # Errors
    /// None within ten seconds.
    pub async fn next(&mut self) -> Outcome<Letter> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.letters.recv()).await?;
        Ok(next.ok_or("the inbox is closed")?)
    }

    /// Whether nothing came that was not taken with [`next`](Self::next).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }
}

impl ConnectionHandler for Door {
    type Session = InboxSession;

    async fn opened(&self, _client: SocketAddr) -> Result<InboxSession, Reply> {
        Ok(InboxSession { tls: None, letters: self.0.clone() })
    }
}

impl SessionHandler for InboxSession {
    type Sink = Vec<u8>;

    fn tls_established(&mut self, facts: &TlsFacts, _client_chain: &[Vec<u8>]) {
        self.tls = Some(*facts);
    }

    async fn mail(&mut self, _: &MailCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn rcpt(&mut self, _: &RcptCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn body_start(&mut self) -> Result<Vec<u8>, Reply> {
        Ok(Vec::new())
    }

    async fn body_chunk(&mut self, body: &mut Vec<u8>, octets: &[u8]) -> Result<(), Reply> {
        body.extend_from_slice(octets);
        Ok(())
    }

    async fn body_end(&mut self, body: Vec<u8>) -> Reply {
        // Nobody may be looking any more; the message counts as taken all the same.
        let _ = self.letters.send(Letter { tls: self.tls, text: String::from_utf8_lossy(&body).into_owned() });
        Reply::fixed::<250, 0, 0>("shown")
    }

    async fn auth(&mut self, _: Credentials) -> Result<(), Reply> {
        Err(Reply::fixed::<535, 7, 8>("nobody is known here"))
    }
}
