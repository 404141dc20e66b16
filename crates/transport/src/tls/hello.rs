//! How a client begins a handshake, and how far it came.

use std::sync::atomic::{AtomicU8, Ordering};

/// What a client offers in its first flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hello {
    /// All that the demand allows, a post-quantum key exchange first: its share alone fills a packet.
    #[default]
    Full,
    /// No post-quantum key exchange, for servers and boxes on the way that choke on a hello of more than one packet.
    Small,
}

/// How far a handshake came, also for whoever breaks it off.
///
/// It is told by the first octet that the other side sends: a handshake record is an answer to the hello, an alert is none.
#[derive(Debug, Default)]
pub struct Progress(AtomicU8);

impl Progress {
    /// Whether the other side has begun to shake hands: whatever fails afterwards is not because of the hello.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HANDSHAKE
    }

    /// The first octet that came.
    pub(crate) fn note(&self, first: u8) {
        let _ = self.0.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// RFC 8446 section 5.1: the content type of handshake records.
const HANDSHAKE: u8 = 22;
