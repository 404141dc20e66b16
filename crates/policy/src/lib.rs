//! Which TLS level holds for a mail on each hop, and why: facts in, a decision with its trace out.
//!
//! It opens no socket or file and reads no clock; it verifies no certificate and finds no host. What it decides, others
//! must enforce.
//!
//! ```
//! use sealpost_policy::{DeliverFacts, Policy};
//! use sealpost_types::{ForwardPath, Mailbox, ReversePath};
//!
//! let policy = Policy::parse("policy.toml", r#"
//! [[partner]]
//! name = "Bank"
//! domains = "bank.example"
//! deliver = "require"
//! "#)?;
//! let from = ReversePath::from(Mailbox::parse("ann@shop.example")?);
//! let to = ForwardPath::from(Mailbox::parse("bob@mail.bank.example")?);
//! let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&from, &to, true));
//! assert!(decision.demand.is_mandatory());
//! assert_eq!(trace.short(), "require: partner \"Bank\" (policy.toml:2) raised tls to mandatory");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! policy.toml -> Policy --+-- decide_receive(client, TLS, sender, recipient) -> accept, or the reply that refuses
//!                         +-- decide_deliver(sender, recipient, header, came over TLS) -> demand, fate
//!                         +-- decide_host(that, next hop, host, TLSA, MTA-STS) -> demand with names, key of the connection
//! ```
//!
//! A document has defaults, owners, hosted domains, partners, named lists and message rules. The most specific entry holds,
//! field by field; sources of different kinds join, and none lowers what another asks. What each key means stands in
//! `docs/policy/levels.md`, with tables that are run as tests. The crate has no features.
//!
//! # Limits
//! 2^31 - 1 entries of a kind. A decision without a trace allocates only where sources differ so that their join is new, or
//! where mail is refused.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::string_slice))]

mod asked;
mod compile;
mod decide;
mod demand;
mod differences;
mod document;
mod edit;
mod exchange;
mod facts;
mod form;
mod header;
mod host;
mod layer;
mod lint;
mod network;
mod pattern;
mod policy;
mod require_tls;
mod rule;
mod scope;
mod setting;
mod table;
mod trace;

pub use asked::{Asked, FailureEnd, RefuseWith};
pub use compile::{Include, IncludeError};
pub use decide::{
    CertificateLack, DeliverDecision, DeliverShadow, REFUSAL_TEXT_OCTETS, ReceiveDecision, ReceiveShadow, ReceiveVerdict, Refusal,
    RefusalReason,
};
pub use demand::{covers, join};
pub use differences::{Differences, EntryId, NAMED, Named};
pub use document::{PolicyError, PolicyErrors, Problem};
pub use edit::{
    Changed, Edit, EditError, Entry, EntryForm, EntryKind, LIST_KEYS, Patch, PatchValue, PolicyText, RulePlace, TextError, TextProblem,
    diff, same_item,
};
pub use exchange::{
    CSV_ERRORS, Column, Consequence, CsvDefaults, CsvError, CsvErrors, CsvProblem, EditedRow, Exported, Fingerprints, Imported, Loss,
    NewRow, Row, RowEdit, RowsEdited, Warning, export_csv, export_domains_csv, export_lists_csv, export_postfix, export_postfix_policy,
    import_csv, import_csv_with, import_domains_csv, import_lists_csv, import_postfix, read_rows,
};
pub use facts::{ClientCertificate, ClientFacts, DeliverFacts, HeaderLevel, HostFacts, ReceiveFacts, Sts, Tlsa};
pub use form::{
    DefaultsForm, DomainForm, HeaderForm, HopForm, HopTable, IncludeForm, Items, ListForm, MatchForm, OwnerForm, PartnerForm, RuleForm,
    ScopeForm, ThenForm, WhenForm,
};
pub use header::{FIELD_NAME_OCTETS, FieldName, FieldNameError, HEADER_OCTETS, HeaderBlock};
pub use host::{Barred, HostDecision};
pub use lint::{Conflict, LINTS, Lint, Oddity, Unreachable};
pub use network::{ClientPattern, ClientPatternError, IpNetwork, as_ipv4};
pub use pattern::{
    AddressPattern, AddressPatternError, AddressSet, Face, Faces, LocalPattern, Pattern, PatternError, TAG_DELIMITERS, WRAPPERS, faces,
};
pub use policy::Policy;
pub use require_tls::RequireTls;
pub use rule::Direction;
pub use trace::{Axes, Axis, Note, Party, Place, Question, Source, SourceKind, Step, Trace, TraceKey};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
