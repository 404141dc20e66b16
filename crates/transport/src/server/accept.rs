//! The accept loop: one task per connection, and the orderly end of all of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use sealpost_smtp::ServerConfig;
use sealpost_types::WithCauses;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug, debug_span, warn};

use super::connection;
use super::gate::{Gate, Pass};
use super::proxy::{HeaderError, read_header};
use super::{ConnectionHandler, Refusal};
use crate::tls::{ClientCertificate, HandshakeError, TlsBackend};

/// How TLS comes about on a listener. Whether a message needs it is the policy's to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenerTls {
    /// Never: STARTTLS is not offered.
    None,
    /// By STARTTLS.
    #[default]
    StartTls,
    /// From the first octet on (RFC 8314 section 3).
    Implicit,
}

/// What a listener serves with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSettings {
    /// What each session says and holds to: host name, extensions, limits, time-outs per command.
    ///
    /// Its offer of STARTTLS follows from [`tls`](Self::tls).
    pub session: Arc<ServerConfig>,
    /// How TLS comes about.
    pub tls: ListenerTls,
    /// Whether clients are asked for a certificate in the handshake. They are not.
    pub client_certificate: ClientCertificate,
    /// How many connections are let in. Listeners with clones of one gate share its limits, as do clones of these settings.
    pub gate: Gate,
    /// Time for the PROXY header of a connection that must have one. 10 s.
    pub proxy_header_timeout: Duration,
    /// Time for a TLS handshake. 30 s.
    pub handshake_timeout: Duration,
    /// Time for the client to take a reply. 60 s.
    pub write_timeout: Duration,
    /// How many commands, or pieces of bodies, of one connection are looked at before others get their turn, however many it sends at
    /// once; eight times as many while no other sends more at once than that. 16.
    pub turn: usize,
}

/// A running listener.
///
/// Dropped, it takes no more connections, and its sessions end as they would at [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    gate: Gate,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

/// Whether sessions go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// They do.
    Running,
    /// Each ends as soon as it is in no transaction.
    Stopping,
    /// Each ends.
    Ending,
}

/// What every connection of a listener shares.
pub(super) struct Shared<B, H> {
    pub(super) settings: ServerSettings,
    pub(super) backend: Arc<B>,
    pub(super) handler: Arc<H>,
    /// How many connections are in the midst of more than one turn.
    pub(super) long_turns: Arc<AtomicUsize>,
}

impl ServerSettings {
    /// The defaults around a session configuration.
    #[must_use]
    pub fn new(session: Arc<ServerConfig>, tls: ListenerTls) -> Self {
        Self {
            session,
            tls,
            client_certificate: ClientCertificate::default(),
            gate: Gate::default(),
            proxy_header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            turn: 16,
        }
    }
}

impl Server {
    /// Serves every connection to `listener` until it is shut down.
    ///
    /// Must be called within a tokio runtime, which then runs the sessions.
    ///
    /// # Errors
    /// [`HandshakeError::NoIdentity`] within [`io::ErrorKind::InvalidInput`] if TLS is to be offered and `backend` has no
    /// certificate; else what the kernel says when asked for the listener's address.
    pub fn start<B, H>(listener: TcpListener, mut settings: ServerSettings, backend: Arc<B>, handler: Arc<H>) -> io::Result<Self>
    where
        B: TlsBackend,
        H: ConnectionHandler,
    {
        if settings.tls != ListenerTls::None && !backend.can_accept() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, HandshakeError::NoIdentity));
        }
        Arc::make_mut(&mut settings.session).offer.starttls = settings.tls == ListenerTls::StartTls;
        let address = listener.local_addr()?;
        let gate = settings.gate.clone();
        let (phase, watch) = watch::channel(Phase::Running);
        let shared = Arc::new(Shared { settings, backend, handler, long_turns: Arc::default() });
        let span = debug_span!("listener", %address);
        let task = tokio::spawn(accept(listener, shared, gate.clone(), watch).instrument(span));
        Ok(Self { address, gate, phase, task })
    }

    /// Where it listens: with the port that the kernel chose, if it was left to it.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open; those of other listeners that share its gate count, too.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gate.connections()
    }

    /// Stops: no more connections; idle sessions are told 421 4.3.2 at once, those in a transaction at its end or when
    /// `grace` is over. Returns when all have ended.
    ///
    /// # Limits
    /// What has not ended a second after `grace` is cut off.
    pub async fn shutdown(self, grace: Duration) {
        let Self { phase, mut task, .. } = self;
        phase.send_replace(Phase::Stopping);
        if timeout(grace, &mut task).await.is_ok() {
            return;
        }
        phase.send_replace(Phase::Ending);
        if timeout(LAST_WORDS, &mut task).await.is_err() {
            // The task owns the sessions: they end with it.
            task.abort();
        }
    }
}

async fn accept<B: TlsBackend, H: ConnectionHandler>(
    listener: TcpListener,
    shared: Arc<Shared<B, H>>,
    gate: Gate,
    mut phase: watch::Receiver<Phase>,
) {
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase > Phase::Running) => break,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let is_proxy = shared.handler.is_proxy(peer.ip().to_canonical());
                // Whom a proxy speaks for, and is counted, is known later.
                let exempt = is_proxy || shared.handler.is_exempt(peer.ip().to_canonical());
                match gate.enter(peer.ip(), exempt) {
                    Ok(pass) => {
                        let (shared, phase) = (Arc::clone(&shared), phase.clone());
                        sessions.spawn(async move {
                            if is_proxy {
                                serve_behind_proxy(tcp, peer, pass, &shared, phase).await;
                            } else {
                                serve(tcp, peer, pass, &shared, phase).await;
                            }
                        });
                    }
                    Err(refusal) => turn_away(tcp, peer, refusal, shared.settings.tls),
                }
            }
            Err(error) => {
                // Out of file descriptors or memory: what is open must end first. A client that is gone again: go on.
                warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

async fn serve<B: TlsBackend, H: ConnectionHandler>(
    tcp: TcpStream,
    client: SocketAddr,
    pass: Pass,
    shared: &Shared<B, H>,
    phase: watch::Receiver<Phase>,
) {
    connection::serve(tcp, client, shared, phase).instrument(debug_span!("session", %client)).await;
    drop(pass);
}

/// Learns who the client is, and serves it as if it had come by itself.
async fn serve_behind_proxy<B: TlsBackend, H: ConnectionHandler>(
    mut tcp: TcpStream,
    proxy: SocketAddr,
    mut pass: Pass,
    shared: &Shared<B, H>,
    mut phase: watch::Receiver<Phase>,
) {
    let header = tokio::select! {
        header = read_header(&mut tcp, shared.settings.proxy_header_timeout) => header,
        _ = phase.wait_for(|phase| *phase > Phase::Running) => return,
    };
    let client = match header {
        Ok(client) => client.unwrap_or(proxy),
        Err(HeaderError::Closed) => return debug!(%proxy, "{}", HeaderError::Closed),
        Err(error) => return warn!(%proxy, "closed: {}", WithCauses(&error)),
    };
    debug!(%proxy, %client, "behind a proxy");
    if !shared.handler.is_exempt(client.ip().to_canonical())
        && let Err(refusal) = pass.count_as(client.ip())
    {
        return turn_away(tcp, client, refusal, shared.settings.tls);
    }
    serve(tcp, client, pass, shared, phase).await;
}

/// Says why and closes, without waiting for anything: the kernel takes the few octets or they are lost.
fn turn_away(tcp: TcpStream, client: SocketAddr, refusal: Refusal, tls: ListenerTls) {
    debug!(%client, ?refusal, "turned away");
    if tls != ListenerTls::Implicit {
        let mut reply = Vec::new();
        refusal.reply().encode(&mut reply);
        let _ = tcp.try_write(&reply);
    }
}

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long sessions have to say 421 once the grace is over.
const LAST_WORDS: Duration = Duration::from_secs(1);
