//! Verdicts on certificate chains, and the details of a certificate.
//!
//! Bytes, a demand and the time come in; a [`Verdict`] with everything that was found goes out. There are no sockets,
//! files or clocks here, and no TLS. Revocation is checked against the lists that are handed in ([`RevocationLists`]).
//!
//! # Example
//! ```
//! # use sealpost_cert::{TrustAnchors, certificates_from_pem, verify_server};
//! # use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};
//! # let (bundle, file) = (include_bytes!("../tests/fixtures/root.pem"), include_bytes!("../tests/fixtures/rsa2048.pem"));
//! let anchors = TrustAnchors::from_pem(bundle)?;
//! let chain = certificates_from_pem(file)?;
//! let clauses = vec![HostClause::Chain, HostClause::Identity(vec!["mx1.bank.example".parse()?])];
//! let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
//!
//! let verdict = verify_server(&[&chain[0]], &demand, &anchors, UnixMillis(1_781_481_600_000));
//! assert!(verdict.satisfied);
//! assert_eq!(verdict.path.last().map(String::as_str), Some("C=DE, O=Test Trust, CN=Test Root"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a verdict comes about
//! ```text
//! presented chain --> limits, reading --+--> path to an anchor (webpki decides) --+--> Verdict { satisfied, findings, .. }
//!                                       |      refused? walk the signatures, and  |
//!                                       |      say of each step what is wrong     |
//!                                       +--> names against the demanded ones -----+
//!                                       +--> TLSA records, if demanded -----------+
//! ```
//!
//! # Limits
//! [`CHAIN_CERTIFICATES`], [`CERTIFICATE_OCTETS`] and [`PATH_STEPS`] bound the work on a hostile chain; budgets bound
//! the signatures that are checked.
//!
//! # Features
//! `serde` (off by default): [`CertificateDetails`] can be serialised.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::string_slice))]

mod algorithm;
mod anchor;
mod certificate;
mod chain;
mod date;
mod details;
mod distinguished;
mod failure_type;
mod finding;
mod key;
mod name;
mod path;
mod pem;
mod pin;
mod revocation;
mod tlsa;
mod verify;

pub use anchor::{AnchorProblem, TrustAnchors};
pub use chain::{CERTIFICATE_OCTETS, CHAIN_CERTIFICATES, PATH_STEPS};
pub use details::{CertificateDetails, DetailsError};
pub use finding::{Finding, Malformed, Place, Position};
pub use key::PublicKey;
pub use name::{MatchedName, PresentedName};
pub use pem::{PemError, certificates_from_pem};
pub use pin::{DIGEST_OCTETS, Fingerprint, pin_of_key};
pub use revocation::{RevocationListError, RevocationLists};
pub use tlsa::{TLSA_RECORDS, TlsaMatch, usable_tlsa};
pub use verify::{LeafSummary, PRESENTED_NAMES, Verdict, verify_client, verify_server};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
