//! SQLite as Sealpost uses it: open, lock, migrate, batch, poison.
//!
//! One process owns a store. One thread writes it and commits for everybody who waits: it takes what is there, runs
//! all of it in one transaction, syncs once, and then gives the answers. An answer therefore means *durable*.
//!
//! ```text
//! write() ─┐                       ┌─ BEGIN, jobs, COMMIT (one sync) ─ answers
//! write() ─┼─ inbox ─ writer thread┤
//! write_soon() (rides along) ──────┘        checkpoints: a thread and a connection of their own
//! read() ─── inbox ─ reader threads, each with its own connection
//! ```
//!
//! A damaged database stops the store. At the next start each row that can still be read goes into a fresh database and the
//! damaged one is kept aside ([`Store::open_salvaging`], [`Store::open_or_begin_anew`]); a log that is broken in its middle is kept aside too.
//!
//! What it does not do: know any table (the crates on top bring their [`Migrations`], their statements and their [`Salvage`]), or
//! serve several processes that write.
//!
//! This crate is for its sister crates: `rusqlite` shows in its interface, and must not show in theirs.
//!
//! # Example
//! ```
//! use sealpost_store::{Migrations, Settings, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! const NOTES: Migrations = Migrations::new(0x4e4f_5445, &["CREATE TABLE note (text TEXT NOT NULL) STRICT"]);
//! let store = Store::open(&directory.path().join("notes.db"), &NOTES, &Settings::default())?;
//! store.write(4, |tx| tx.execute("INSERT INTO note VALUES (?1)", ["kept"])).await?;   // durable
//! let text: String = store.read(|db| db.query_row("SELECT text FROM note", [], |row| row.get(0))).await?;
//! assert_eq!(text, "kept");
//! store.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Limits
//! [`BATCH_JOBS`] jobs or [`BATCH_OCTETS`] a transaction, [`INBOX_JOBS`] jobs waiting for room before `write` waits
//! itself, [`RIDE_ALONG`] for what is in no hurry; the write-ahead log in [`Settings`].
//!
//! # Features
//! `faults`: a store can be told to fail or to lie, for tests that must see it (`Store::faults`).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod checkpoint;
mod commits;
mod error;
mod faults;
mod files;
mod health;
mod inbox;
mod lock;
mod migrate;
mod open;
mod read;
mod reclaim;
mod salvage;
mod settings;
mod store;
mod writer;

pub use commits::{Commits, Distribution};
pub use error::{OpenError, ReadError, SqliteFailure, WriteError};
#[cfg(feature = "faults")]
pub use faults::Faults;
pub use health::Health;
pub use inbox::{BATCH_JOBS, BATCH_OCTETS, INBOX_JOBS, RIDE_ALONG};
pub use lock::Lock;
pub use migrate::Migrations;
pub use read::Reader;
pub use rusqlite;
pub use salvage::{Recovery, Salvage, SalvagedRow, SalvagedTables, is_reported_damaged, report_damage};
pub use settings::Settings;
pub use store::Store;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
