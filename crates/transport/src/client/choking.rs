//! Hosts that choke on a TLS hello with a post-quantum key exchange.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_types::{KexFloor, TlsRequirement, UnixMillis, WireKey};

use super::error::ConnectFault;
use super::stage::ConnectStage;
use crate::tls::{HandshakeError, Progress};

/// Remembers addresses that answered a small hello and not the full one, so that each connection does not find it out again.
#[derive(Debug)]
pub(super) struct Choking {
    keep: Duration,
    known: Mutex<HashMap<SocketAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    until: UnixMillis,
    why: Arc<str>,
}

impl Choking {
    /// Remembers each for so long.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, known: Mutex::default() }
    }

    /// Why this address gets a small hello, if it does; after a while the full one is tried again.
    pub(super) fn recall(&self, address: SocketAddr, now: UnixMillis) -> Option<Arc<str>> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known.get(&address).filter(|known| known.until > now).map(|known| Arc::clone(&known.why))
    }

    /// It answered the small hello, and not the full one.
    pub(super) fn note(&self, address: SocketAddr, now: UnixMillis, why: Arc<str>) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < REMEMBERED || known.contains_key(&address) {
            known.insert(address, Known { until: now.after(self.keep), why });
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SocketAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a host may be talked to without a post-quantum key exchange: the demand puts up with it, and there are groups left.
pub(super) fn may_be_small(key: &WireKey) -> bool {
    key.demand.tls != TlsRequirement::Never && key.demand.min_group <= KexFloor::Bits192
}

/// Why it may have been the full hello that a host choked on, in words: nothing came for an answer, or an alert that says nothing else.
pub(super) fn suspicion(stage: ConnectStage, fault: &ConnectFault, progress: &Progress) -> Option<String> {
    if stage != ConnectStage::Handshake || progress.is_answered() {
        return None;
    }
    match fault {
        ConnectFault::TimedOut { .. } => Some("no answer came to it".to_owned()),
        ConnectFault::Handshake { cause: HandshakeError::Closed { kind } } => Some(format!("the connection was lost behind it ({kind})")),
        ConnectFault::Handshake { cause: HandshakeError::Alert { alert } } if !OF_OTHER_THINGS.contains(&alert.as_str()) => {
            Some(format!("it was answered with the alert {alert}"))
        }
        _ => None,
    }
}

/// Alerts that tell what is wrong, and that it is not the size of the hello.
const OF_OTHER_THINGS: &[&str] = &["protocol_version", "unrecognized_name", "insufficient_security", "no_application_protocol"];

/// Addresses remembered at most.
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use sealpost_types::{HostDemand, TlsVersion};

    use super::*;
    use crate::tls::AlertName;

    #[test]
    fn an_address_is_remembered_for_a_while() {
        let (choking, address) = (Choking::new(Duration::from_secs(60)), SocketAddr::from(([192, 0, 2, 1], 25)));
        assert_eq!(choking.recall(address, UnixMillis(0)), None);
        choking.note(address, UnixMillis(0), "no answer came to it".into());
        assert_eq!(choking.recall(address, UnixMillis(59_999)).as_deref(), Some("no answer came to it"));
        assert_eq!(choking.recall(address, UnixMillis(60_000)), None, "the full hello is tried again");
        assert_eq!(choking.recall(SocketAddr::from(([192, 0, 2, 1], 26)), UnixMillis(1)), None);
    }

    /// Whoever asks for a post-quantum key exchange gets it or nothing.
    // req: F7
    #[test]
    fn what_is_demanded_is_never_left_out() {
        let key = |tls, group| {
            let demand = HostDemand::new(tls, Vec::new(), TlsVersion::Tls1_2).with_floors(group, None);
            WireKey::new(SocketAddr::from(([192, 0, 2, 1], 25)), None, demand)
        };
        for (group, may) in [
            (KexFloor::Any, true),
            (KexFloor::Bits128, true),
            (KexFloor::Bits192, true),
            // of which the library has none but post-quantum ones
            (KexFloor::Bits256, false),
            (KexFloor::PostQuantum, false),
        ] {
            assert_eq!(may_be_small(&key(TlsRequirement::Mandatory, group)), may, "{group}");
        }
        assert!(!may_be_small(&key(TlsRequirement::Never, KexFloor::Any)));
    }

    #[test]
    fn only_a_hello_without_an_answer_is_suspected() {
        let alert = |name| ConnectFault::Handshake { cause: HandshakeError::Alert { alert: AlertName::new(name) } };
        let closed = ConnectFault::Handshake { cause: HandshakeError::Closed { kind: std::io::ErrorKind::ConnectionReset } };
        let certificate = ConnectFault::Handshake { cause: HandshakeError::Certificate { detail: "broken".into() } };
        let late = ConnectFault::TimedOut { after: Duration::from_secs(1) };
        let nothing = Progress::default();
        let suspected = |fault: &ConnectFault, progress: &Progress| suspicion(ConnectStage::Handshake, fault, progress).is_some();
        for (fault, is) in
            [(alert("decode_error"), true), (closed, true), (late, true), (alert("protocol_version"), false), (certificate, false)]
        {
            assert_eq!(suspected(&fault, &nothing), is, "{fault}");
            // A hello that was answered is none that anybody chokes on.
            let answered = Progress::default();
            answered.note(22);
            assert!(!suspected(&fault, &answered), "{fault}");
            let refused = Progress::default();
            refused.note(21);
            assert_eq!(suspected(&fault, &refused), is, "{fault}");
        }
        assert!(suspicion(ConnectStage::StartTls, &ConnectFault::TimedOut { after: Duration::ZERO }, &nothing).is_none());
    }
}
