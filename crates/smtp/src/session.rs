//! Sessions: the two ends of a connection as state machines.

mod client;
mod server;

pub use self::client::{
    ClientConfig, ClientError, ClientEvent, ClientSession, ClientTimeouts, Missing, NotReady, Stage, Transaction, TransactionError,
    missing_for,
};
pub use self::server::{Aborted, Answer, AnswerError, Greeting, ServerConfig, ServerEvent, ServerSession, ServerTimeouts, SessionRefusals};

use sealpost_types::Ticks;

/// What a session wants done; the order of the variants in a drained `poll` is the order in which to do it.
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a driver has to do all of them")]
pub enum Output<'a, E> {
    /// Write these octets. They are lent until the next call of the session.
    Send(&'a [u8]),
    /// Something happened.
    Event(E),
    /// Write what came before, do the TLS handshake on the connection, then call `tls_ready`. Octets that the peer sent
    /// before it are never to be given to the session.
    StartTls,
    /// Call `handle_timeout` at this time, unless a later `WaitUntil` names another one. Calling it too early, or when
    /// nothing is waited for any more, does nothing.
    WaitUntil(Ticks),
    /// Write what came before and close the connection.
    Close,
}

/// Octets of memory that an empty output buffer may keep.
const KEPT_OCTETS: usize = 1024;

/// Octets of replies or commands that are waiting to be sent, with who has seen them.
#[derive(Debug, Default)]
struct Outbox {
    octets: Vec<u8>,
    lent: bool,
}

impl Outbox {
    /// Where to append. What was lent is forgotten first.
    fn open(&mut self) -> &mut Vec<u8> {
        self.recycle();
        &mut self.octets
    }

    fn len(&self) -> usize {
        if self.lent { 0 } else { self.octets.len() }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.lent = false;
    }

    fn lend(&mut self) -> &[u8] {
        self.lent = true;
        &self.octets
    }

    fn recycle(&mut self) {
        if self.lent {
            self.clear();
            if self.octets.capacity() > KEPT_OCTETS {
                self.octets = Vec::new();
            }
        }
    }
}
