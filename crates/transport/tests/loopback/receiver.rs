//! A handler that keeps what it is given, and can be told to wait or to refuse.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use sealpost_smtp::{Credentials, MailCommand, RcptCommand, Reply, ServerConfig};
use sealpost_transport::{
    ConnectionHandler, HandshakeError, ListenOptions, ListenerTls, Server, ServerSettings, SessionHandler, TlsBackend, listen,
};
use sealpost_types::{Domain, TlsFacts};
use tokio::sync::Semaphore;

/// What one listener received.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) clients: Mutex<Vec<SocketAddr>>,
    pub(crate) tls_failures: Mutex<usize>,
    pub(crate) aborted: Mutex<usize>,
    pub(crate) closed: Mutex<usize>,
    /// Largest piece of a body.
    pub(crate) largest_chunk: Mutex<usize>,
    pub(crate) refuse_body_at: Option<usize>,
    pub(crate) refuse_connections: bool,
    pub(crate) exempt: bool,
    /// Whether all peers are proxies.
    pub(crate) behind_proxy: bool,
    /// If there, `body_end` takes a permit before it answers.
    pub(crate) gate: Option<Semaphore>,
    /// Recipients that were asked about.
    pub(crate) recipients: Mutex<usize>,
    /// Who is told at which recipient, once.
    pub(crate) at_recipient: Mutex<Option<(usize, Told)>>,
    /// Each MAIL, and how many recipients had been asked about before it.
    pub(crate) mails: Mutex<Vec<(String, usize)>>,
}

/// Octets for a connection.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) std::net::TcpStream, pub(crate) &'static [u8]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) tls: Option<TlsFacts>,
}

pub(crate) struct Session {
    receiver: Arc<Receiver>,
    tls: Option<TlsFacts>,
    from: String,
    to: Vec<String>,
}

pub(crate) struct Handler(pub(crate) Arc<Receiver>);

impl Receiver {
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

impl ConnectionHandler for Handler {
    type Session = Session;

    async fn opened(&self, client: SocketAddr) -> Result<Session, Reply> {
        self.0.clients.lock().unwrap().push(client);
        if self.0.refuse_connections {
            return Err(Reply::fixed::<554, 7, 1>("not you"));
        }
        Ok(Session { receiver: Arc::clone(&self.0), tls: None, from: String::new(), to: vec![] })
    }

    fn is_exempt(&self, _client: IpAddr) -> bool {
        self.0.exempt
    }

    fn is_proxy(&self, _peer: IpAddr) -> bool {
        self.0.behind_proxy
    }
}

impl SessionHandler for Session {
    type Sink = Vec<u8>;

    fn tls_established(&mut self, facts: &TlsFacts, _client_chain: &[Vec<u8>]) {
        self.tls = Some(*facts);
    }

    fn tls_failed(&mut self, _error: &HandshakeError) {
        *self.receiver.tls_failures.lock().unwrap() += 1;
    }

    async fn mail(&mut self, command: &MailCommand) -> Result<(), Reply> {
        self.from = command.reverse_path.to_string();
        self.to.clear();
        let so_far = *self.receiver.recipients.lock().unwrap();
        self.receiver.mails.lock().unwrap().push((self.from.clone(), so_far));
        if self.from.starts_with("refused") { Err(Reply::fixed::<550, 7, 1>("not from you")) } else { Ok(()) }
    }

    async fn rcpt(&mut self, command: &RcptCommand) -> Result<(), Reply> {
        let mut recipients = self.receiver.recipients.lock().unwrap();
        *recipients += 1;
        if let Some((_, Told(mut tcp, octets))) = self.receiver.at_recipient.lock().unwrap().take_if(|(at, _)| *at == *recipients) {
            tcp.write_all(octets).unwrap();
        }
        drop(recipients);
        let to = command.forward_path.to_string();
        if to.starts_with("unknown") {
            return Err(Reply::fixed::<550, 1, 1>("no such user"));
        }
        self.to.push(to);
        Ok(())
    }

    async fn body_start(&mut self) -> Result<Vec<u8>, Reply> {
        Ok(Vec::new())
    }

    async fn body_chunk(&mut self, sink: &mut Vec<u8>, octets: &[u8]) -> Result<(), Reply> {
        let mut largest = self.receiver.largest_chunk.lock().unwrap();
        *largest = octets.len().max(*largest);
        drop(largest);
        sink.extend_from_slice(octets);
        match self.receiver.refuse_body_at {
            Some(limit) if sink.len() >= limit => Err(Reply::fixed::<452, 3, 1>("full")),
            _ => Ok(()),
        }
    }

    async fn body_end(&mut self, sink: Vec<u8>) -> Reply {
        if let Some(gate) = &self.receiver.gate {
            gate.acquire().await.unwrap().forget();
        }
        let message = Message { from: self.from.clone(), to: self.to.clone(), body: sink, tls: self.tls };
        self.receiver.messages.lock().unwrap().push(message);
        Reply::fixed::<250, 0, 0>("queued as 1")
    }

    fn aborted(&mut self) {
        *self.receiver.aborted.lock().unwrap() += 1;
    }

    async fn auth(&mut self, _credentials: Credentials) -> Result<(), Reply> {
        Err(Reply::fixed::<535, 7, 8>("unknown"))
    }

    fn closed(&mut self) {
        *self.receiver.closed.lock().unwrap() += 1;
    }
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig::new(Domain::parse("mx.receiver.example").unwrap())
}

/// Serves on a loopback port of the kernel's choice.
pub(crate) fn serve<B: TlsBackend>(settings: ServerSettings, backend: &Arc<B>, receiver: &Arc<Receiver>) -> Server {
    serve_on("127.0.0.1:0", settings, backend, receiver)
}

pub(crate) fn serve_on<B: TlsBackend>(address: &str, settings: ServerSettings, backend: &Arc<B>, receiver: &Arc<Receiver>) -> Server {
    let listener = listen(address.parse().unwrap(), &ListenOptions::default()).unwrap();
    Server::start(listener, settings, Arc::clone(backend), Arc::new(Handler(Arc::clone(receiver)))).unwrap()
}

/// A server with every default.
pub(crate) fn plain_server<B: TlsBackend>(tls: ListenerTls, backend: &Arc<B>, receiver: &Arc<Receiver>) -> Server {
    serve(ServerSettings::new(Arc::new(config()), tls), backend, receiver)
}
