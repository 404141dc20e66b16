//! The persistent retry queue of a mail relay: what is accepted is durable, and tried until it is settled.
//!
//! ```text
//! body_writer ─ accept ─┬─ durable ─► Lease ─ settle ─┬─ all served: gone
//!                       │                             └─ some wait: deferred ─ lease_due ─► Lease ...
//!                       └─ refused, nothing stored
//! ```
//!
//! The trait [`Spool`] speaks of entries, destinations, due times, leases and outcomes. [`EmbeddedSpool`] keeps them in
//! one directory and survives `kill -9`; [`MemorySpool`] keeps them in memory, for tests and for relays that may forget.
//!
//! What it does not do: decide where a message goes, when it is tried again or what becomes of it at the end (the relay
//! says so with each [`Settlement`]), or look at a clock: time is an argument.
//!
//! # Limits
//! Bodies of any size with bounded memory ([`BODY_PIECE`] at a time once they are large; small ones within
//! [`Settings::memory`]); a follow-up's body up to [`FOLLOW_UP_OCTETS`]. One process owns an embedded queue.
//!
//! # Features
//! `faults`: an [`EmbeddedSpool`] can be told to fail or to lie, for tests that must see it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod body;
mod embedded;
mod error;
mod files;
mod id;
mod lease;
mod look;
mod memory;
mod message;
mod pool;
mod shared;
mod spool;
mod wake;

pub use body::{BODY_PIECE, Body, BodyReader, BodyWriter};
pub use embedded::{EmbeddedBodyWriter, EmbeddedSpool, QueueView, Settings, Verified};
pub use error::{AcceptError, BodyReadError, BodyWriteError, FollowUpError, OpenError, SpoolError};
pub use id::{QueueId, QueueIdError};
pub use lease::{FOLLOW_UP_OCTETS, FollowUp, Lease, RECORD_TRIES, Settlement};
pub use look::{Change, Changed, Disk, Filter, Health, Listed, OutboxRow, Selector, State, Stats};
pub use memory::{MemoryBodyWriter, MemorySpool};
pub use message::{Deferral, Entry, Group, Hold, NewMessage, SameVerdict};
pub use sealpost_store::{Commits, Distribution, Recovery};
pub use spool::Spool;
pub use wake::Wake;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
