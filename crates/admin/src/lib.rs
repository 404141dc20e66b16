//! A running relay is managed: HTTP with JSON over a unix socket, and over TCP where that is configured.
//!
//! ```text
//! sealpost ... ---- Client ---- unix socket --+
//!                                             +-- AdminServer -- RelayControl -- the relay, its policy file
//! other programs, HTTP ------- TCP, token ----+
//!
//! a monitoring system, HTTP ------------------- MetricsServer -- RelayControl: /metrics, /healthz, /readyz
//! ```
//!
//! What there is to ask stands in `openapi.json`, which the server gives at `/v1/openapi.json` and which is made from this
//! code. It serves no pages for people, and encrypts nothing: over a network it belongs behind a tunnel.
//!
//! # Example
//! ```no_run
//! use sealpost_admin::{AdminServer, Client};
//! use sealpost_relay::{Relay, read_config};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = read_config("sealpost.toml".as_ref())?;
//! let admin = config.admin.clone();
//! let ready = Relay::assemble(config)?.ready().await?;
//! let server = AdminServer::start(&admin, ready.control().clone()).await?;
//! let relay = ready.begin()?;
//! if let Some(socket) = admin.socket {
//!     println!("{:?}", Client::new(socket).status().await?);
//! }
//! server.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # Limits
//! A request of up to [`REQUEST_OCTETS`]; `connections` at a time on each of the two, and none that says nothing for `idle`: both stand in
//! `[admin]`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod access;
mod api;
mod client;
mod connection;
mod entries;
mod error;
mod follow;
mod history;
mod metrics;
mod model;
mod problem;
mod queue;
mod serve;
mod socket;
mod sts;

pub use api::{REQUEST_OCTETS, openapi};
pub use client::{Absence, Client, ClientError, Followed};
pub use entries::{Entries, Kind, ListError, Query, find_rows, rows_of_list, search_partners};
pub use error::AdminError;
pub use history::{HistoryEntry, HistoryPage, HistoryQuery, HistoryQueryError};
pub use metrics::MetricsServer;
pub use model::{Change, Counts, EditRequest, PolicyText, Queued, ReloadRequest, Row, RowCells, RowRequest, Settings, Status};
pub use problem::Problem;
pub use queue::{
    BadQueueId, QueueEntry, QueueFilter, QueueOutlook, QueuePage, QueueRecipient, QueueRequest, QueueResult, QueueShown, QueueState,
    QueueVerb, queue_id,
};
pub use serve::AdminServer;
pub use sts::{StsEntry, StsFailed, StsPage, StsQuery};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
