//! The mail relay as a library: listeners, decision, queue, delivery.
//!
//! A program brings the parts and gets a [`RelayHandle`]; the relay runs on the program's own tokio runtime. It installs
//! no signal handler, no log subscriber and no crypto provider, and any number of relays may run in one process.
//!
//! It keeps no mailboxes, filters no content and speaks no other protocol than SMTP.
//!
//! # Example
//! ```no_run
//! use sealpost_relay::{Relay, read_config};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = read_config("sealpost.toml".as_ref())?;
//! let relay = Relay::assemble(config)?.start().await?;
//! println!("listening on {:?}", relay.addresses());
//! relay.shutdown(std::time::Duration::from_secs(30)).await;
//! # Ok(()) }
//! ```
//!
//! # The way of one message
//! ```text
//!  client --> receive --> queue --> deliver --> next host
//!               |           ^          |
//!        decide_receive     +- settle -+- decide_deliver, decide_host
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

pub mod config;
pub mod replay;

mod account;
mod assemble;
mod builder;
mod certificates;
mod config_file;
mod control;
mod decided;
mod deliver;
mod engine;
mod error;
mod facts;
mod handle;
mod hook;
mod hosts;
mod lanes;
mod metrics;
mod mta_sts;
mod operate;
mod places;
pub mod policy_file;
mod prepared;
mod random;
mod reach;
mod ready;
mod receive;
mod reload;
mod resolver_watch;
mod revocation;
mod room;
mod route;
mod secret_files;
mod stats;
mod steady;
mod submit;
mod survey;
mod tasks;
mod tlsrpt;
mod trust;
mod unreachable;
mod users;
mod verdicts;
mod waking;
mod words;

use sealpost_discovery::{HickoryResolver, Resolver};
use sealpost_queue::{EmbeddedSpool, Spool};
use sealpost_transport::{RustlsBackend, TlsBackend};

pub use assemble::{
    history_directory, open_tls, queue_directory, read_client_anchors, read_client_identity, read_config, read_policy, read_trust_anchors,
    read_users,
};
pub use builder::{ReadyRelay, RelayBuilder};
pub use certificates::{CertificateError, CertificateOutcome, CertificateReload, expiry_warning};
pub use config_file::{ConfigChange, ConfigFile, LIVE};
pub use control::{RelayControl, RelayStatus};
pub use error::StartError;
pub use handle::RelayHandle;
pub use metrics::{MetricsFormat, SERIES, Series, SeriesKind};
pub use mta_sts::{forget_kept_sts_policy, kept_sts_policies};
pub use operate::{Outlook, QueueAction, QueueOutcome, QueueSelection, change_queue, outlook};
pub use places::{Places, process_is_confined};
pub use prepared::Prepared;
pub use reach::{Reach, ReachError, ReachHost, ReachSetupError, Reached, any_certificate};
pub use ready::{Check, Readiness};
pub use receive::client_certificate;
pub use reload::{Reload, ReloadError};
pub use route::next_hop;
pub use secret_files::{OpenSecret, open_secrets};
pub use stats::RelayStats;
pub use survey::{Survey, Surveyed, SurveyedHost};
pub use tlsrpt::{book_path, read_signer};
pub use users::{HASH_MEMORY_KIB, HASH_PASSES, Users, UsersLineError, password_hash, users_line};
pub use words::tls_reasons;

/// Where a relay begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Relay;

impl Relay {
    /// A relay of these parts.
    pub fn builder<S: Spool, R: Resolver, T: TlsBackend>(config: config::Config, spool: S, resolver: R, tls: T) -> RelayBuilder<S, R, T> {
        RelayBuilder::new(config, spool, resolver, tls)
    }

    /// A relay of the usual parts, opened as `config` says: the embedded queue and the history below its `data_dir`,
    /// rustls, and its name servers or the system's.
    ///
    /// # Errors
    /// [`StartError`]: what of these cannot be opened.
    pub fn assemble(config: config::Config) -> Result<RelayBuilder<EmbeddedSpool, HickoryResolver, RustlsBackend>, StartError> {
        Prepared::read(config)?.assemble()
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
