//! What is asked of a hop: by one source, or joined from all.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::{AnchorFiles, CipherSet, Domain, DomainError, KexFloor, Pin, TlsFacts, TlsVersion, TlsaRecord};

/// Whether TLS is used at all. Ordered: a later one is stricter, and the strictest of all sources holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[allow(clippy::exhaustive_enums, reason = "the axis has these three points")]
pub enum TlsRequirement {
    /// It is not attempted.
    Never,
    /// It is used when offered.
    #[default]
    Opportunistic,
    /// Nothing travels without it.
    Mandatory,
}

/// A name that is looked for in a certificate: what we demand, not what was presented.
///
/// Written `mx.example`, `*.example` (every name below, at any depth), an IP address, or `cn:mx.example` for a certificate from
/// before alternative names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "String", into = "String"))]
#[non_exhaustive]
pub enum ReferenceName {
    /// This name.
    Exact(Domain),
    /// Every name below this one, not the name itself.
    Below(Domain),
    /// This address, as `iPAddress` alternative name.
    Address(IpAddr),
    /// This name, as common name of the subject. It is looked for only where somebody writes it (RFC 9525 section 2 has it no more).
    CommonName(Domain),
}

/// A text that is no [`ReferenceName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a certificate name: {cause}")]
#[non_exhaustive]
pub struct ReferenceNameError {
    /// The text.
    pub found: String,
    /// What is wrong with it.
    pub cause: DomainError,
}

/// Which names of the destination itself are right ones (`match` in a policy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum NameMatch {
    /// A securely known host, the next-hop domain, or a name below that domain.
    #[default]
    Domain,
    /// Also an MX host learnt without DNSSEC.
    Mx,
}

/// Which names are right, before a host is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct NameRule {
    /// Which names of the destination itself count.
    pub matching: NameMatch,
    /// Names that count beside them.
    pub names: Vec<ReferenceName>,
}

/// One thing that a certificate must prove, before a host is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Clause {
    /// The chain ends in a trust anchor, and every certificate of it is in date.
    Chain,
    /// [`Chain`](Self::Chain) with the anchors of these files, and no others.
    ChainTo(AnchorFiles),
    /// The certificate carries a right name.
    Identity(NameRule),
    /// The certificate's key is one of these, sorted.
    Pinned(Vec<Pin>),
    /// The host has secure TLSA records, and the certificate is what they say (RFC 7672).
    Dane,
    /// [`Dane`](Self::Dane) for a host with secure TLSA records, with TLS mandatory there; for others these clauses, sorted.
    DaneElse(Vec<Self>),
}

/// What a source asks of a hop, or the join of several sources.
///
/// # Limits
/// `clauses` is sorted and without duplicates, so that equal demands compare and hash as equal; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Demand {
    /// Whether TLS is used at all.
    pub tls: TlsRequirement,
    /// What the certificate must prove.
    pub clauses: Vec<Clause>,
    /// The lowest protocol version.
    pub min_version: TlsVersion,
    /// The weakest key exchange.
    pub min_group: KexFloor,
    /// The cipher suites that will do; all of them where none are named.
    pub ciphers: Option<CipherSet>,
}

/// One thing that the certificate of one host must prove: a [`Clause`] with its names filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HostClause {
    /// The chain ends in a trust anchor, and every certificate of it is in date.
    Chain,
    /// [`Chain`](Self::Chain) with the anchors of these files, and no others. No chain ends in one of a file that was not read.
    ChainTo(AnchorFiles),
    /// The certificate carries at least one of these names. None at all can match an empty list.
    Identity(Vec<ReferenceName>),
    /// The certificate's key is one of these. No key can match an empty list.
    Pinned(Vec<Pin>),
    /// The chain is what at least one of these records says (RFC 7672). No chain can match an empty list.
    Dane {
        /// The records.
        records: Vec<TlsaRecord>,
        /// The names of which one has to be in a certificate that leads to a trust anchor of a record (usage 2); none where no record
        /// names one.
        names: Vec<ReferenceName>,
    },
}

/// A [`Demand`] on one host, with every name filled in: what a verdict on a certificate chain is given against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HostDemand {
    /// Whether TLS is used at all.
    pub tls: TlsRequirement,
    /// What the certificate must prove; sorted, without duplicates.
    pub clauses: Vec<HostClause>,
    /// The lowest protocol version.
    pub min_version: TlsVersion,
    /// The weakest key exchange.
    pub min_group: KexFloor,
    /// The cipher suites that will do; all of them where none are named.
    pub ciphers: Option<CipherSet>,
}

/// What a session lacks of the floors of a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloorMissed {
    /// Its protocol version is too old.
    Version {
        /// What it has.
        found: TlsVersion,
        /// What is asked.
        floor: TlsVersion,
    },
    /// Its key exchange is too weak, or it was resumed without one.
    Group {
        /// What it has.
        found: Option<crate::KexGroup>,
        /// What is asked.
        floor: KexFloor,
    },
    /// Its cipher suite is not one of those that will do.
    Cipher {
        /// What it has.
        found: crate::CipherSuite,
        /// What is asked.
        allowed: CipherSet,
    },
}

impl ReferenceName {
    /// Whether a host of this name has it. An address has no name, and a common name is no host's.
    #[must_use]
    pub fn covers(&self, name: &Domain) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(parent) => name.is_below(parent),
            Self::Address(_) | Self::CommonName(_) => false,
        }
    }
}

impl HostClause {
    /// Whether it asks for a chain to a trust anchor, whichever these are.
    #[must_use]
    pub fn is_chain(&self) -> bool {
        matches!(self, Self::Chain | Self::ChainTo(_))
    }
}

impl NameRule {
    /// A rule of its two parts.
    #[must_use]
    pub fn new(matching: NameMatch, names: Vec<ReferenceName>) -> Self {
        Self { matching, names }
    }
}

impl Demand {
    /// A demand of its parts; `clauses` in any order.
    #[must_use]
    pub fn new(tls: TlsRequirement, mut clauses: Vec<Clause>, min_version: TlsVersion) -> Self {
        clauses.sort();
        clauses.dedup();
        Self { tls, clauses, min_version, min_group: KexFloor::Any, ciphers: None }
    }

    /// The same with these floors beside the version.
    #[must_use]
    pub fn with_floors(mut self, min_group: KexFloor, ciphers: Option<CipherSet>) -> Self {
        self.min_group = min_group;
        self.ciphers = ciphers;
        self
    }

    /// The first floor that a session does not have: its version, its key exchange, its cipher suite.
    #[must_use]
    pub fn floor_missed(&self, facts: &TlsFacts) -> Option<FloorMissed> {
        floor_missed(facts, self.min_version, self.min_group, self.ciphers.as_ref())
    }

    /// Whether nothing may travel without TLS.
    #[must_use]
    pub fn is_mandatory(&self) -> bool {
        self.tls == TlsRequirement::Mandatory
    }
}

impl HostDemand {
    /// A demand of its parts; `clauses` in any order.
    #[must_use]
    pub fn new(tls: TlsRequirement, mut clauses: Vec<HostClause>, min_version: TlsVersion) -> Self {
        clauses.sort();
        clauses.dedup();
        Self { tls, clauses, min_version, min_group: KexFloor::Any, ciphers: None }
    }

    /// The same with these floors beside the version.
    #[must_use]
    pub fn with_floors(mut self, min_group: KexFloor, ciphers: Option<CipherSet>) -> Self {
        self.min_group = min_group;
        self.ciphers = ciphers;
        self
    }

    /// The first floor that a session does not have: its version, its key exchange, its cipher suite.
    #[must_use]
    pub fn floor_missed(&self, facts: &TlsFacts) -> Option<FloorMissed> {
        floor_missed(facts, self.min_version, self.min_group, self.ciphers.as_ref())
    }

    /// Whether nothing may travel without TLS.
    #[must_use]
    pub fn is_mandatory(&self) -> bool {
        self.tls == TlsRequirement::Mandatory
    }

    /// Whether the certificate must prove anything.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        !self.clauses.is_empty()
    }
}

fn floor_missed(facts: &TlsFacts, version: TlsVersion, group: KexFloor, ciphers: Option<&CipherSet>) -> Option<FloorMissed> {
    if facts.version < version {
        return Some(FloorMissed::Version { found: facts.version, floor: version });
    }
    if facts.group.map(crate::KexGroup::strength).unwrap_or_default() < group {
        return Some(FloorMissed::Group { found: facts.group, floor: group });
    }
    let allowed = ciphers.filter(|allowed| !allowed.contains(facts.suite))?;
    Some(FloorMissed::Cipher { found: facts.suite, allowed: allowed.clone() })
}

impl fmt::Display for FloorMissed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found, floor } => write!(f, "{floor} or later is asked for, this session has {found}"),
            Self::Group { found: Some(found), floor } => {
                write!(f, "a key exchange of {floor} or stronger is asked for, this session has {found}")
            }
            Self::Group { found: None, floor } => {
                write!(f, "a key exchange of {floor} or stronger is asked for, this session has none of its own")
            }
            Self::Cipher { allowed, .. } if allowed.as_slice().is_empty() => f.write_str("no cipher suite is allowed by all who name some"),
            Self::Cipher { found, allowed } => write!(f, "one of the cipher suites {allowed} is asked for, this session has {found}"),
        }
    }
}

impl FromStr for ReferenceName {
    type Err = ReferenceNameError;

    fn from_str(text: &str) -> Result<Self, ReferenceNameError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let wrong = |cause| ReferenceNameError { found: text.to_owned(), cause };
        if let Some((CN, name)) = text.split_once(':') {
            return Domain::parse(name).map(Self::CommonName).map_err(wrong);
        }
        match text.strip_prefix("*.") {
            Some(parent) => Domain::parse(parent).map(Self::Below).map_err(wrong),
            None => Domain::parse(text).map(Self::Exact).map_err(wrong),
        }
    }
}

impl TryFrom<String> for ReferenceName {
    type Error = ReferenceNameError;

    fn try_from(text: String) -> Result<Self, ReferenceNameError> {
        text.parse()
    }
}

impl From<ReferenceName> for String {
    fn from(name: ReferenceName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ReferenceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Address(address) => address.fmt(f),
            Self::CommonName(name) => write!(f, "{CN}:{name}"),
        }
    }
}

/// What stands in front of a common name.
const CN: &str = "cn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness_is_the_order() {
        assert!(TlsRequirement::Never < TlsRequirement::Opportunistic);
        assert!(TlsRequirement::Opportunistic < TlsRequirement::Mandatory);
    }

    #[test]
    fn equal_demands_are_equal_whatever_the_order_of_their_clauses() {
        let a = HostClause::Chain;
        let b = HostClause::Identity(vec![]);
        let demand = |clauses| HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
        assert_eq!(demand(vec![a.clone(), b.clone()]), demand(vec![b, a.clone(), a]));
    }

    #[test]
    fn reference_names_are_read_and_written() {
        for text in ["mx.example.org", "*.example.org", "192.0.2.1", "2001:db8::1", "cn:mx.example.org", "cn:gateway"] {
            assert_eq!(text.parse::<ReferenceName>().map(|n| n.to_string()), Ok(text.to_owned()));
        }
        assert!("*.".parse::<ReferenceName>().is_err());
        for wrong in ["a.*.b", "cn:", "cn:*.example.org", "dns:mx.example.org"] {
            assert!(wrong.parse::<ReferenceName>().is_err(), "{wrong}");
        }
    }
}
