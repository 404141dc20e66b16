//! One short program per library of Sealpost: each shows how to embed it, and asserts its point.
//!
//! Run one with `cargo run -p sealpost-examples --example NAME`.
//!
//! | example | library | what it shows |
//! |---|---|---|
//! | `parse_session` | `sealpost-smtp` | a client's and a server's session, in memory, without a socket or a clock |
//! | `decide_policy` | `sealpost-policy` | a policy decides on both hops, and says why |
//! | `verify_certificate` | `sealpost-cert` | a verdict on a chain, and everything that is wrong with it |
//! | `queue_and_lease` | `sealpost-queue` | a message waits through a restart and is handed out when it is due |
//! | `send_verified` | `sealpost-transport` | one message over verified TLS, and none where the name is wrong |
//! | `embedded_relay` | `sealpost-relay` | the whole relay inside another program, with a hook and its events |
//!
//! What is here beside them is what they share: a throw-away [`Authority`], and an [`Inbox`] to send to.

mod authority;
mod inbox;

pub use authority::Authority;
pub use inbox::{Inbox, InboxSession, Letter};

/// What an example ends with.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
