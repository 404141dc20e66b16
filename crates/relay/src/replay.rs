//! Replay (F4): a policy that is not in force, held against what happened and against what waits.
//!
//! ```text
//! history entry ── its facts ── decide_* of the new policy ── three answers: the same, a change, cannot be told
//! ```
//!
//! It decides by what was kept of each session, and asks nobody: a host that was never tried with TLS is not known to have
//! it. There is no IO here; whoever reads history and queue hands over one entry after the other, and what is kept of
//! them is a [`Tally`].
//!
//! # Example
//! ```
//! use sealpost_policy::Policy;
//! use sealpost_relay::config::Config;
//! use sealpost_relay::replay::{Replay, Would};
//! use sealpost_report::{Event, EventKind, NoTls, Proof};
//! use sealpost_types::{Domain, Hop, Mailbox, UnixMillis};
//!
//! let config = Config::new(Domain::parse("relay.example")?, "/var/lib/sealpost".into());
//! let policy = Policy::parse("new.toml", "[[partner]]\ndomains = 'bank.example'\ndeliver = 'require'")?;
//! let mut event = Event::new(UnixMillis(0), EventKind::Delivered, Hop::Deliver)
//!     .of_message("Q1", Mailbox::parse("ann@shop.example")?.into())
//!     .for_recipient(Mailbox::parse("bob@bank.example")?.into());
//! event.received_secure = Some(true);
//! event.next_hop = Some("mx:bank.example".into());
//! event.host = Some("mx.bank.example".into());
//! event.address = Some("192.0.2.7:25".parse()?);
//! let mut proof = Proof::new(None, "TLS if offered", true);
//! proof.no_tls = Some(NoTls::NotOffered);
//! event.proof = Some(std::sync::Arc::new(proof));
//!
//! let judged = Replay::new(&config, &policy).event(&event).expect("a delivery is judged");
//! let change = judged.change.expect("it went in clear");
//! assert_eq!(change.would, Would::NotGoOut);
//! assert_eq!(change.source.map(|source| source.to_string()), Some("partner \"bank.example\" (new.toml:1)".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod deliver;
mod receive;
mod seen;
mod tally;
mod waiting;

use sealpost_policy::Policy;
use sealpost_report::{Event, EventKind};
use sealpost_types::Domain;

use crate::config::Config;

pub use change::{Case, Change, Gap, Why, Would};
pub use tally::{Count, Counted, GROUPS, Group, Tally};

/// Judges what happened by a policy that is not in force.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    config: &'a Config,
    policy: &'a Policy,
}

/// What a policy says of one thing that happened, or that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judged {
    /// What kind of thing it is.
    pub case: Case,
    /// The domain on whose behalf it is counted: the recipient's, or of what a client wanted to hand over for the sake of
    /// its sender, the sender's. None for `<>` and the like.
    pub domain: Option<Domain>,
    /// What would have been different; none if nothing.
    pub change: Option<Change>,
}

impl<'a> Replay<'a> {
    /// The kinds of entries that are judged: where a message's way through the relay began or ended. What was tried in between
    /// is told again by its end, or waits in the queue.
    pub const KINDS: [EventKind; 5] =
        [EventKind::Received, EventKind::Refused, EventKind::Delivered, EventKind::Bounced, EventKind::DeletedByTlsPolicy];

    /// A replay of this policy. Of the configuration its routes count, and who may relay.
    #[must_use]
    pub fn new(config: &'a Config, policy: &'a Policy) -> Self {
        Self { config, policy }
    }

    /// What the policy says of an entry of the history; nothing of an entry that no policy could change: one of another kind,
    /// a client turned away for something else than TLS, mail returned for something else than TLS.
    #[must_use]
    pub fn event(&self, event: &Event) -> Option<Judged> {
        match event.kind {
            EventKind::Received => Some(self.received(event)),
            EventKind::Refused => self.refused(event),
            EventKind::Delivered => Some(self.delivered(event)),
            EventKind::Bounced | EventKind::DeletedByTlsPolicy => self.failed(event),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
