//! Why a decision came out as it did: every source that was asked, what it said, and what came of it.

mod key;
mod note;
mod recorder;
mod shown;
mod source;

use std::net::IpAddr;
use std::sync::Arc;

use sealpost_types::{Demand, Fate, ForwardPath, Hop, Level, ReversePath, TlsVersion};

use crate::asked::Asked;
use crate::facts::{ClientCertificate, DeliverFacts, ReceiveFacts};
use crate::pattern::Pattern;

pub use key::TraceKey;
pub use note::Note;
pub use source::{Place, Source, SourceKind};

pub(crate) use recorder::{NoTrace, Recorder, Seen, Tracer};

/// Every source that was asked for one decision, in the order of asking.
///
/// `Display` gives a block of text, a line a source; [`Trace::short`] one line for a history; `Serialize` all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// What was asked.
    pub question: Question,
    /// The level that came out.
    pub level: Level,
    /// The demand that came out.
    pub demand: Arc<Demand>,
    /// The fate that came out; none on the receive hop.
    pub fate: Option<Fate>,
    /// The sources: each party's from the most specific to what is built in.
    pub steps: Vec<Step>,
    /// What would have come out if entries in testing counted; none where that is the same.
    pub shadow: Option<(Level, Arc<Demand>)>,
}

/// The facts that a trace answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// The hop.
    pub hop: Hop,
    /// The client; none on the deliver hop.
    pub client: Option<IpAddr>,
    /// What the client's certificate proves, or why it proves nothing; none where it showed none.
    pub certificate: Option<ClientCertificate>,
    /// The sender.
    pub reverse_path: ReversePath,
    /// The recipient; none at MAIL.
    pub forward_path: Option<ForwardPath>,
    /// On the receive hop the TLS of the session, on the deliver hop what it came in over as far as is known.
    pub tls: Option<TlsVersion>,
    /// Whether the message comes, or came, in over TLS.
    pub secure: bool,
}

/// One source: what it says and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which source.
    pub source: Source,
    /// On whose behalf it was asked.
    pub party: Party,
    /// The pattern by which it covers the name; none for defaults.
    pub pattern: Option<Pattern>,
    /// What it says of this hop.
    pub asked: Arc<Asked>,
    /// What is to be said of it beside that: why it did not speak, or spoke otherwise than its level says.
    pub note: Option<Note>,
    /// Where it made the demand stricter than the sources asked before it and below it.
    pub raised: Axes,
    /// Where the outcome is what it says.
    pub decided: Axes,
}

/// Whose domain a source was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Party {
    /// The sender's.
    Sender,
    /// The recipient's.
    Recipient,
    /// Not a domain's: the client itself is known.
    Client,
    /// Nobody's: no source has a say, and what is built in holds.
    Nobody,
}

/// One thing that a decision settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Axis {
    /// Whether TLS is used.
    Tls,
    /// What the certificate must prove. Every source that asks something of it decides it: all clauses must hold.
    Certificate,
    /// The lowest protocol version.
    MinVersion,
    /// The weakest key exchange.
    MinGroup,
    /// Which cipher suites will do. Every source that names some decides it.
    Ciphers,
    /// How long mail is tried.
    Lifetime,
    /// How an expiry ends.
    OnExpiry,
    /// Whether a TLS failure that is certain to last bounces at once.
    OnFailure,
    /// When mail whose TLS failed may go in clear.
    ClearFallback,
    /// That what the recipient's domain publishes is left out of account.
    IgnorePublished,
    /// When mail is tried again.
    Retry,
    /// Which certificate is shown to a host that asks for one.
    ClientCertificate,
}

/// A set of [`Axis`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Axes(u16);

impl Axes {
    /// Whether the axis is in it.
    #[must_use]
    pub fn contains(self, axis: Axis) -> bool {
        self.0 & axis.bit() != 0
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, in the order of [`Axis`].
    pub fn iter(self) -> impl Iterator<Item = Axis> {
        Axis::ALL.into_iter().filter(move |axis| self.contains(*axis))
    }

    pub(crate) fn insert(&mut self, axis: Axis) {
        self.0 |= axis.bit();
    }
}

impl Axis {
    const ALL: [Self; 12] = [
        Self::Tls,
        Self::Certificate,
        Self::MinVersion,
        Self::MinGroup,
        Self::Ciphers,
        Self::Lifetime,
        Self::OnExpiry,
        Self::OnFailure,
        Self::ClearFallback,
        Self::IgnorePublished,
        Self::Retry,
        Self::ClientCertificate,
    ];

    fn bit(self) -> u16 {
        match self {
            Self::Tls => 1,
            Self::Certificate => 2,
            Self::MinVersion => 4,
            Self::MinGroup => 8,
            Self::Ciphers => 16,
            Self::Lifetime => 32,
            Self::OnExpiry => 64,
            Self::OnFailure => 128,
            Self::ClearFallback => 256,
            Self::IgnorePublished => 512,
            Self::Retry => 1024,
            Self::ClientCertificate => 2048,
        }
    }
}

impl Question {
    pub(crate) fn receive(facts: &ReceiveFacts<'_>) -> Self {
        Self {
            hop: Hop::Receive,
            client: Some(facts.client.address),
            certificate: facts.client.certificate.cloned(),
            reverse_path: facts.reverse_path.clone(),
            forward_path: facts.forward_path.cloned(),
            tls: facts.tls.map(|tls| tls.version),
            secure: facts.tls.is_some(),
        }
    }

    pub(crate) fn deliver(facts: &DeliverFacts<'_>) -> Self {
        Self {
            hop: Hop::Deliver,
            client: None,
            certificate: None,
            reverse_path: facts.reverse_path.clone(),
            forward_path: Some(facts.forward_path.clone()),
            tls: None,
            secure: facts.received_secure,
        }
    }
}
