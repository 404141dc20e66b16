//! Both sessions, driven by scripts, by each other and by chance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod client;
mod client_login;
mod pair;
mod pairs;
mod script;
mod server;
mod server_limits;
mod server_login;
mod smuggling;
