//! What happened to each message: the history, the notifications that senders get, and the reports about TLS that domains get.
//!
//! [`History`] keeps an [`Event`] for everything that happens to a message, with the [`Proof`] of the connection, in a
//! database for each day, off the path of the mail, for as long as [`HistorySettings`] says, and may stream it as JSON lines. Entries are read back with a [`Filter`], also by another process
//! ([`HistoryReader`]), and shown as text in several languages or as JSON lines. [`Dsn`] writes the message by which a
//! sender learns that mail was given up or is late. [`tlsrpt`] counts, writes, signs and reads reports about TLS (RFC 8460).
//!
//! It decides nothing: whether a notification is due, and what is recorded, is the caller's part. It sends nothing.
//!
//! # Example
//! ```
//! use sealpost_report::{Clock, Event, EventKind, Filter, History, Lang, TextStyle};
//! use sealpost_types::{Hop, UnixMillis};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let history = History::open(directory.path())?;
//! history.record(Event::new(UnixMillis(0), EventKind::CheckTls, Hop::Deliver).because("the server offers no STARTTLS"));
//! history.flush().await?;
//! let rows = history.query(&Filter::default()).await?;
//! let text = rows[0].event.to_text(TextStyle::new(Lang::De, Clock::Utc));
//! assert!(text.starts_with("1970-01-01T00:00:00.000Z  Verarbeitung läuft: TLS prüfen (bei der Zustellung)\n"));
//! # history.close().await?;
//! # Ok(()) }
//! ```
//!
//! # Limits
//! [`WAITING_EVENTS`] wait to be written, for [`BATCH_WAIT`] or until there are [`BATCH_EVENTS`]; a notification gives
//! back [`RETURNED_OCTETS`] of a message, or [`RETURNED_HEADER_OCTETS`] of its header.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod dsn;
mod error;
mod event;
mod history;
mod lines;
mod messages;
mod proof;
mod render;
mod time;
pub mod tlsrpt;

pub use dsn::{Action, Dsn, DsnRecipient, RETURNED_HEADER_OCTETS, RETURNED_OCTETS, Returned, may_notify};
pub use error::{EventBytesError, HistoryError};
pub use event::{Decided, Event, EventKind, EventResult, Shadow, ShadowOutcome, UnknownWord};
pub use history::{Answer, BATCH_EVENTS, BATCH_WAIT, Filter, History, HistoryReader, HistorySettings, Row, StreamTarget, WAITING_EVENTS};
pub use messages::{Lang, UnknownLang};
pub use proof::{DaneProof, NoTls, PROOF_NAMES, Proof, RequireTlsMark, StsProof};
pub use render::{JSON_FIELDS, TextStyle};
pub use time::{Clock, TimeError, parse_moment};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
