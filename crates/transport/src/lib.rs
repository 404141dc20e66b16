//! SMTP sessions over tokio and TLS: accept, connect, verify, pool.
//!
//! ```text
//!             TcpListener                                   WireKey: address, SNI, demand
//!                  |                                                 |
//!   Server: one task a connection                    Pool::take, or Connector::connect
//!     sealpost_smtp::ServerSession                     dial, EHLO, STARTTLS, handshake, EHLO
//!     <-> TlsBackend::accept                           <-> TlsBackend::connect: chain + demand -> Verdict
//!                  |                                                 |
//!   SessionHandler: mail, rcpt, body_chunk ...       Connection::deliver(Transaction, BodySource)
//!     answers with replies                             -> TransactionOutcome, then Pool::put
//! ```
//!
//! The sessions of `sealpost_smtp` decide what is said, `sealpost_cert` judges certificates, a [`SessionHandler`] answers
//! clients. This crate moves the octets, keeps the time and the limits, and lets no connection or ticket that was
//! verified for one demand serve another. It decides no policy, reads no configuration, looks nothing up in the DNS, and
//! starts no runtime: call it within tokio's. [`HttpsClient`] asks and hands in over HTTPS by the same TLS.
//!
//! # Example
//! A server that takes every message and keeps none, for as long as the program runs:
//! ```no_run
//! use std::net::SocketAddr;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use sealpost_cert::TrustAnchors;
//! use sealpost_smtp::{Credentials, MailCommand, RcptCommand, Reply, ServerConfig};
//! use sealpost_transport::{
//!     ConnectionHandler, ListenOptions, ListenerTls, RustlsBackend, RustlsSettings, Server, ServerIdentity, ServerSettings,
//!     SessionHandler, listen,
//! };
//! use sealpost_types::Domain;
//!
//! struct Sink;
//!
//! impl ConnectionHandler for Sink {
//!     type Session = Self;
//!     async fn opened(&self, _client: SocketAddr) -> Result<Self, Reply> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl SessionHandler for Sink {
//!     type Sink = ();
//!     async fn mail(&mut self, _: &MailCommand) -> Result<(), Reply> {
//!         Ok(())
//!     }
//!     async fn rcpt(&mut self, _: &RcptCommand) -> Result<(), Reply> {
//!         Ok(())
//!     }
//!     async fn body_start(&mut self) -> Result<(), Reply> {
//!         Ok(())
//!     }
//!     async fn body_chunk(&mut self, _: &mut (), _octets: &[u8]) -> Result<(), Reply> {
//!         Ok(())
//!     }
//!     async fn body_end(&mut self, _: ()) -> Reply {
//!         Reply::fixed::<250, 0, 0>("thrown away")
//!     }
//!     async fn auth(&mut self, _: Credentials) -> Result<(), Reply> {
//!         Err(Reply::fixed::<535, 7, 8>("nobody is known here"))
//!     }
//! }
//!
//! async fn serve() -> Result<Server, Box<dyn std::error::Error>> {
//!     let mut tls = RustlsSettings::new(Arc::new(TrustAnchors::default()));
//!     tls.identities = vec![ServerIdentity::from_pem_files(Path::new("fullchain.pem"), Path::new("key.pem"))?];
//!     let session = ServerConfig::new(Domain::parse("mx.receiver.example")?);
//!     let settings = ServerSettings::new(Arc::new(session), ListenerTls::StartTls);
//!     let listener = listen("[::1]:2525".parse()?, &ListenOptions::default())?;
//!     Ok(Server::start(listener, settings, Arc::new(RustlsBackend::new(tls)?), Arc::new(Sink))?)
//! }
//! ```
//!
//! # Limits
//! A connection in clear takes a read buffer of 32 KiB when octets are there and gives it back when they are consumed;
//! so does TLS below its records. A server holds no more of a body than that, a client 64 KiB.
//! [`ConnectionLimits`] at one [`Gate`], `sealpost_smtp::Limits` and the time-outs of both sessions hold for the rest.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod client;
mod clock;
mod https;
mod pool;
mod server;
mod stream;
mod tls;

pub use client::{
    BodySource, ConnectError, ConnectFault, ConnectOptions, ConnectStage, Connection, Connector, ConnectorSettings, DOMAINS_KNOWN, Ends,
    LoginError, MemoryBody, RecipientOutcome, StageTimes, TransactionEnd, TransactionOutcome, TransferError, TransferFault, TransferPhase,
    Watch,
};
pub use clock::WallClock;
pub use https::{HttpsAnswer, HttpsClient, HttpsError, HttpsFault, HttpsLimits, HttpsStage, HttpsUrl, HttpsUrlError};
pub use pool::{Pool, PoolSettings};
pub use server::{
    ConnectionHandler, ConnectionLimits, Gate, ListenError, ListenOptions, ListenerTls, ProxyHeader, ProxyHeaderError, Refusal, Server,
    ServerSettings, SessionHandler, TurnedAway, listen,
};
pub use tls::{
    AlertName, AnchorSwitch, BackendError, ClientCertificate, ClientHandshake, ClientIdentities, ClientIdentitySwitch, HandshakeError,
    Hello, IdentityError, IdentitySwitch, Progress, RustlsBackend, RustlsSettings, RustlsStream, SESSION_KEYS, SESSION_LIFETIME,
    ServerHandshake, ServerIdentity, SystemAnchors, TlsBackend, system_anchors,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
