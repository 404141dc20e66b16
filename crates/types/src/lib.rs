//! The words of the mail trade as passive values: what every other Sealpost crate passes around.
//!
//! A value that exists is a value that may be sent or compared: constructors refuse what the grammar refuses, so
//! that no line break, NUL or over-long name gets past them. There are no sockets, files, clocks or decisions here.
//!
//! # Example
//! ```
//! use sealpost_types::{Domain, Mailbox};
//!
//! let mailbox = Mailbox::parse("Jörg.Test@BÜCHER.example.")?;
//! assert_eq!(mailbox.domain().map(Domain::as_str), Some("xn--bcher-kva.example"));
//! assert_eq!(mailbox.to_string(), "Jörg.Test@xn--bcher-kva.example");
//! # Ok::<(), sealpost_types::MailboxError>(())
//! ```
//!
//! # Features
//! `serde`: every value that a queue or a report stores can be serialised.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::string_slice))]

mod blame;
mod causes;
mod demand;
mod destination;
mod dnssec;
mod domain;
mod dsn;
mod envelope;
mod failure_type;
mod fate;
mod files;
mod level;
mod mailbox;
mod path;
mod pin;
mod reception;
mod reply;
mod schedule;
mod sts;
mod time;
mod tls;
mod tlsa;
mod wire_key;
mod words;

pub use blame::{Blame, Retry};
pub use causes::WithCauses;
pub use demand::{
    Clause, Demand, FloorMissed, HostClause, HostDemand, NameMatch, NameRule, ReferenceName, ReferenceNameError, TlsRequirement,
};
pub use destination::{Destination, NextHop, NextHopError};
pub use dnssec::DnssecStatus;
pub use domain::{DOMAIN_OCTETS, Domain, DomainError, LABEL_OCTETS};
pub use dsn::{EnvelopeId, Notify, OriginalRecipient, Ret, XtextError};
pub use envelope::{BodyKind, Envelope, Recipient};
pub use failure_type::TlsFailureType;
pub use fate::{ClearFallback, Fate, OnExpiry, OnFailure};
pub use files::{AnchorFiles, ClientIdentity};
pub use level::{Hop, Level, UnknownLevel};
pub use mailbox::{AddressLiteral, LOCAL_PART_OCTETS, LocalPart, MailHost, Mailbox, MailboxError};
pub use path::{ForwardPath, PATH_OCTETS, ReversePath};
pub use pin::{PIN_OCTETS, Pin, PinError};
pub use reception::Reception;
pub use reply::{EnhancedStatus, ReplyCode, Severity};
pub use schedule::RetrySchedule;
pub use sts::{MxPattern, MxPatternError, StsMode, StsPolicy, UnknownStsMode};
pub use time::{Octets, SpanError, Ticks, UnixMillis, parse_span};
pub use tls::{CipherSet, CipherSuite, KexFloor, KexGroup, TlsFacts, TlsVersion, UnknownCipherSuite, UnknownKexFloor};
pub use tlsa::TlsaRecord;
pub use wire_key::WireKey;
