//! End-to-end tests: the real binary between real clients and real servers, over loopback.
//!
//! Tests that need a program of somebody else are `#[ignore]`d, one module a program (`with_...`); `./test` runs those
//! whose program is there and counts the rest as skipped.
#![allow(clippy::print_stderr, reason = "logs of a failed test")]

// the equipment
mod authority;
#[path = "../../../../crates/discovery/tests/bind/mod.rs"]
mod bind;
mod client;
mod content;
mod dns;
mod peers;
#[path = "../../../../crates/queue/tests/support/preloaded.rs"]
mod preloaded;
mod relay;
mod s_server;
mod sink;
mod web;
mod wire;

// the tests
mod anchors;
mod between;
mod certificates;
mod clients;
mod commands;
mod configuration;
mod confined;
mod dane;
mod defects;
mod delivery;
mod enforcement;
mod entries;
mod exchangers;
mod explain;
mod fate;
mod hello;
mod history;
mod hostile;
mod levels;
mod load;
mod login;
mod manage;
mod metrics;
mod mta_sts;
mod notices;
mod openssl;
mod programs;
mod proxy;
mod queue;
mod replay;
mod rows;
mod secrets;
mod servers;
mod service;
mod settings;
mod stop;
mod sts;
mod support;
mod terminal;
mod tlsrpt;
mod torture;
mod verdicts;
