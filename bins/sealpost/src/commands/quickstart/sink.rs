//! The receiving server of the quickstart: takes every message and forgets it.

use std::net::SocketAddr;
use std::sync::Arc;

use sealpost_smtp::{Credentials, MailCommand, RcptCommand, Reply, ServerConfig};
use sealpost_transport::{
    ConnectionHandler, ListenOptions, ListenerTls, Refusal, RustlsBackend, Server, ServerSettings, SessionHandler, listen,
};
use sealpost_types::Domain;

use crate::commands::{Failure, in_words};

/// Takes every message and forgets it.
pub(super) struct Sink;

/// One connection to it.
pub(super) struct SinkSession;

impl Sink {
    /// Starts a sink of this name on a free port of loopback.
    pub(super) fn start(name: &Domain, tls: Arc<RustlsBackend>) -> Result<Server, Failure> {
        let socket = listen(super::LOOPBACK.into(), &ListenOptions::default()).map_err(in_words)?;
        let settings = ServerSettings::new(Arc::new(ServerConfig::new(name.clone())), ListenerTls::StartTls);
        Server::start(socket, settings, tls, Arc::new(Self)).map_err(|error| format!("the receiving server does not start: {error}"))
    }
}

impl ConnectionHandler for Sink {
    type Session = SinkSession;

    async fn opened(&self, _client: SocketAddr) -> Result<SinkSession, Reply> {
        Ok(SinkSession)
    }
}

impl SessionHandler for SinkSession {
    type Sink = usize;

    async fn mail(&mut self, _command: &MailCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn rcpt(&mut self, _command: &RcptCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn body_start(&mut self) -> Result<usize, Reply> {
        Ok(0)
    }

    async fn body_chunk(&mut self, size: &mut usize, octets: &[u8]) -> Result<(), Reply> {
        *size += octets.len();
        Ok(())
    }

    async fn body_end(&mut self, size: usize) -> Reply {
        Reply::fixed::<250, 0, 0>(format!("Ok: {size} octets taken"))
    }

    async fn auth(&mut self, _credentials: Credentials) -> Result<(), Reply> {
        Err(Refusal::AuthUnavailable.reply())
    }
}
