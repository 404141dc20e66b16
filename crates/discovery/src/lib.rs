//! What a recipient domain publishes about its mail servers: its MX hosts, their addresses, and the TLSA records that say
//! which certificates they have (DANE), each with what DNSSEC says of it; and its MTA-STS policy.
//!
//! Everything is asked through the trait [`Resolver`]: [`HickoryResolver`] asks real name servers, [`StaticResolver`]
//! answers from a table in memory, and an embedder may bring another. What an answer means for mail (no MX at all, a
//! null MX, a host that is no name) is decided here once, for all of them, by [`MxSet::from_records`].
//!
//! Policies are fetched over HTTPS and kept, in a file if there is one, until they end ([`MtaSts`], [`StsCache`]).
//!
//! It does not connect to mail servers, judges none of their certificates, and has no randomness of its own: the caller
//! brings the number that [`MxSet::in_order`] shuffles by. DNSSEC is validated here or by a name server that is trusted
//! ([`Dnssec`]); what nobody validated is [`Indeterminate`](sealpost_types::DnssecStatus::Indeterminate), never insecure.
//!
//! # Example
//! ```
//! use sealpost_discovery::{Resolver, StaticResolver, interleave};
//! use sealpost_types::Domain;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dns = StaticResolver::new();
//! let domain = Domain::parse("example.org")?;
//! dns.set_mx(&domain, vec![(20, "backup.example.org".into()), (10, "mx.example.org".into())]);
//! dns.set_addresses(&Domain::parse("mx.example.org")?, vec!["192.0.2.1".parse()?, "2001:db8::1".parse()?]);
//!
//! let hosts = dns.mx(&domain).await?.in_order(0);
//! assert_eq!(hosts[0].name.as_str(), "mx.example.org");
//! let addresses = interleave(&dns.addresses(&hosts[0].name).await?.list);
//! assert_eq!(addresses, ["2001:db8::1".parse::<std::net::IpAddr>()?, "192.0.2.1".parse()?]);
//! # Ok(()) }
//! ```
//!
//! # Limits
//! [`MX_HOSTS_TRIED`] hosts of a domain, [`ADDRESSES_TRIED`] addresses of a host, [`LOOKUP_TIMEOUT`] for one question;
//! [`STS_POLICY_OCTETS`], [`STS_POLICY_HOSTS`], [`STS_MAX_AGE`] and [`STS_POLICIES`] for MTA-STS.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod address;
mod dane;
mod error;
mod fixed;
mod hickory;
mod mx;
mod probe;
mod published;
mod resolver;
mod sts;
mod validation;

pub use address::{ADDRESSES_TRIED, Addresses, interleave, is_destination};
pub use dane::{Dane, TlsaSet, dane};
pub use error::{ResolveError, ResolverSetupError};
pub use fixed::StaticResolver;
pub use hickory::{AnchorsError, Dnssec, DnssecAnchors, HickoryResolver, LOOKUP_TIMEOUT};
pub use mx::{MX_HOSTS_TRIED, MxHost, MxSet};
pub use probe::ProbeError;
pub use published::Published;
pub use resolver::Resolver;
pub use sts::{
    HttpsSource, KeptPolicy, MtaSts, STS_CACHE_OCTETS, STS_MAX_AGE, STS_PAUSE, STS_POLICIES, STS_POLICY_HOSTS, STS_POLICY_OCTETS, StsCache,
    StsCacheError, StsFailure, StsFound, StsKept, StsNumbers, StsPolicyError, StsRecord, StsRecordError, StsRefreshed, StsSource,
    StsTrouble, parse_sts_policy,
};
pub use validation::Validation;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
