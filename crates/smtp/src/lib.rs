//! SMTP without IO: a codec for commands and replies, a server session and a client session.
//!
//! It opens no socket, reads no clock and knows no TLS library; it does not decide, store, route or retry, and does not
//! look into header fields. The README has both sessions in one program.
//!
//! ```text
//!   octets ---> receive        LineCutter -> Command -> ServerSession -> ServerEvent
//!   owner  ---> answer            LineCutter -> Reply -> ClientSession -> ClientEvent
//!   time   ---> handle_timeout
//!   poll   ---> Send, Event, StartTls, WaitUntil, Close: in the order in which to do them
//! ```
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use sealpost_smtp::{Output, ServerConfig, ServerSession};
//! use sealpost_types::{Domain, Ticks};
//!
//! let config = Arc::new(ServerConfig::new(Domain::parse("mx.example")?));
//! let mut session = ServerSession::new(config, None, Ticks(0));
//! assert_eq!(session.poll(), Some(Output::Send(b"220 mx.example ESMTP\r\n")));
//! session.receive(b"MAIL FROM:<ann@a.example>\r\nNOOP\r\n", Ticks(1));
//! assert_eq!(session.poll(), Some(Output::Send(b"503 5.5.1 say EHLO first\r\n250 2.0.0 ok\r\n")));
//! # Ok::<(), sealpost_types::DomainError>(())
//! ```
//!
//! # Limits
//! [`Limits`] has them all; the constants beside it are those of RFC 5321 section 4.5.3. Content is never kept.
//!
//! # Features
//! None.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::string_slice))]

mod auth;
mod command;
mod data;
mod ehlo;
mod limits;
mod line;
mod params;
mod path;
mod reply;
mod session;

pub use auth::{AuthMechanism, Credentials, Secret};
pub use command::{Command, CommandError, HelloName, MailCommand, Parameter, RcptCommand, Verb};
pub use data::{BodyCheck, BodyFault, BodyTransfer, DataEncoder, DataScanner, Scan};
pub use ehlo::{Extension, Extensions, Offer, UnknownExtension};
pub use limits::{
    COMMAND_LINE_OCTETS, COMMAND_LINE_WITH_PARAMETERS_OCTETS, Limits, MESSAGE_OCTETS_AT_LEAST, RECIPIENTS_AT_LEAST, REPLY_LINE_OCTETS,
    TEXT_LINE_OCTETS,
};
pub use line::TextLine;
pub use reply::{Reply, ReplyError, ReplyReader};
pub use session::{
    Aborted, Answer, AnswerError, ClientConfig, ClientError, ClientEvent, ClientSession, ClientTimeouts, Greeting, Missing, NotReady,
    Output, ServerConfig, ServerEvent, ServerSession, ServerTimeouts, SessionRefusals, Stage, Transaction, TransactionError, missing_for,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
