//! The relay in numbers, since its start.

use sealpost_report::NoTls;
use sealpost_transport::{ConnectError, ConnectFault, Connection, HandshakeError, TlsBackend};
use sealpost_types::{Hop, Level, Octets, TlsFacts, TlsVersion};

use crate::words::{Counter, Fate, Handshake, HandshakeFault, Login, Reason, RefusedFor, Tally, VerdictWord, word};

/// What a relay did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Messages accepted.
    pub accepted: u64,
    /// Senders and recipients refused by policy or by right.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients deferred, each time counted.
    pub deferred: u64,
    /// Recipients given up with a notification or without a sender to notify.
    pub bounced: u64,
    /// Recipients deleted because of the TLS policy.
    pub deleted: u64,
    /// Recipients held because of it, each time counted.
    pub held: u64,
    /// Hosts where TLS could not be had as demanded.
    pub tls_failures: u64,
}

/// All that is counted: the numbers of [`RelayStats`] and of the metrics alike.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Messages accepted, by the TLS that they came over.
    pub(crate) received: Tally<Option<TlsVersion>>,
    pub(crate) received_octets: Counter,
    pub(crate) refusals: Tally<RefusedFor>,
    pub(crate) logins: Tally<Login>,
    /// Connections that clients opened, and that were opened to hosts.
    pub(crate) connections: Tally<Hop>,
    /// Connections of the pool that served again.
    pub(crate) reused: Counter,
    pub(crate) handshakes: Tally<(Hop, Handshake)>,
    pub(crate) handshake_failures: Tally<(Hop, HandshakeFault)>,
    pub(crate) verdicts: Tally<(Hop, VerdictWord)>,
    /// Recipients whose mail went in clear where TLS would have been used.
    pub(crate) downgrades: Tally<(Hop, NoTls)>,
    pub(crate) attempts: Tally<Level>,
    pub(crate) outcomes: Tally<(Level, Fate, Reason)>,
    pub(crate) host_failures: Tally<Reason>,
}

impl Counters {
    /// A message was accepted; `in_clear` is for how many recipients TLS was offered in vain.
    pub(crate) fn accepted(&self, tls: Option<&TlsFacts>, size: Octets, in_clear: usize) {
        self.received.add_one(tls.map(|facts| facts.version));
        self.received_octets.add(size.0);
        if tls.is_none() && in_clear > 0 {
            self.downgrades.add((Hop::Receive, NoTls::NotTried), in_clear as u64);
        }
    }

    /// A handshake came about.
    pub(crate) fn shaken(&self, hop: Hop, facts: TlsFacts) {
        self.handshakes.add_one((hop, facts.into()));
    }

    /// A handshake did not.
    pub(crate) fn not_shaken(&self, hop: Hop, error: &HandshakeError) {
        self.handshake_failures.add_one((hop, HandshakeFault::of(error)));
        if let HandshakeError::Unverified { verdict } = error {
            self.verdicts.add_one((hop, VerdictWord::of(verdict)));
        }
    }

    /// A connection to a host was opened.
    pub(crate) fn connected<T: TlsBackend>(&self, connection: &Connection<T>) {
        self.connections.add_one(Hop::Deliver);
        if let Some(facts) = connection.tls() {
            self.shaken(Hop::Deliver, *facts);
        }
        if let Some(verdict) = connection.verdict() {
            self.verdicts.add_one((Hop::Deliver, VerdictWord::of(verdict)));
        }
    }

    /// A connection to a host did not come about.
    pub(crate) fn not_connected(&self, error: &ConnectError) {
        self.host_failures.add_one(Reason::of_connect(error));
        if let ConnectFault::Handshake { cause } = &error.fault {
            self.not_shaken(Hop::Deliver, cause);
        }
    }

    /// A host took the mail for a recipient; `in_clear` is why without TLS, where that would have been used.
    pub(crate) fn delivered(&self, level: Level, in_clear: Option<NoTls>) {
        self.outcomes.add_one((level, Fate::Delivered, Reason::NONE));
        if let Some(why) = in_clear {
            self.downgrades.add_one((Hop::Deliver, why));
        }
    }

    pub(crate) fn snapshot(&self) -> RelayStats {
        let outcome = |fate: Fate| self.outcomes.sum(|words| words.get(1) == Some(&word(fate)));
        RelayStats {
            accepted: self.received.sum(|_| true),
            refused: self.refusals.deliberate(),
            delivered: outcome(Fate::Delivered),
            deferred: outcome(Fate::Deferred),
            bounced: outcome(Fate::Bounced),
            deleted: outcome(Fate::Deleted),
            held: outcome(Fate::Held),
            tls_failures: self.host_failures.about_tls(),
        }
    }
}
