//! What a connection was like, for whoever has to show it later.

use sealpost_types::{Domain, TlsFacts};
use serde::{Deserialize, Serialize};

/// What a connection was like: its TLS, its certificate, and the demand that it met or did not meet.
///
/// One value serves every event of a connection: events share it by `Arc`, and the history stores it once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Proof {
    /// What was negotiated; none if the connection was in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// The name that a client proved with AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The names that a client proved with its certificate: those of its host names that a trusted chain vouches for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_names: Vec<Domain>,
    /// The subject of the certificate that the other end showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The digest of its public key, `sha256//...` as in a policy's `pins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_pin: Option<String>,
    /// The host names and addresses in that certificate, as OpenSSL writes them (`DNS:mx.example`); the first [`PROOF_NAMES`]
    /// of them. None where they were not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// The subjects from that certificate to the trust anchor; empty if no path was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_path: Vec<String>,
    /// The files of trust anchors that the policy names for it, which the path was held against. None where the usual anchors counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<String>,
    /// The file of the certificate that the relay showed, because the other end asked for one. None where it showed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Why the host was asked without a post-quantum key exchange, which it did not answer. None where it was asked with one, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_hello: Option<String>,
    /// The demand that it was held against, in words.
    pub demand: String,
    /// Whether it met that demand.
    pub satisfied: bool,
    /// Whether the host's own name was known for sure, by a route or by DNSSEC. None where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_secure: Option<bool>,
    /// Why there was no TLS. None where there was, and where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_tls: Option<NoTls>,
    /// The host's name, where it was held against the certificate though it was learnt from DNS without DNSSEC: whoever
    /// forges that answer chooses the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_name: Option<Domain>,
    /// What became of the sender's REQUIRETLS; none where it asked for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_tls: Option<RequireTlsMark>,
    /// What DNS said of the host's certificate, where that was secure (DANE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dane: Option<DaneProof>,
    /// What the recipient's domain says by MTA-STS; none where it says nothing, or that does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<StsProof>,
    /// What the check found, demanded or not, the most telling first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// The secure TLSA records of a host (RFC 7672).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DaneProof {
    /// The name that they stand under.
    pub base: Domain,
    /// How many there were.
    pub records: usize,
    /// How many of them a certificate can be held against.
    pub usable: usize,
    /// The one that the chain was right by, as it stands in DNS, and the certificate that it is about. None where no record was demanded, or
    /// none was about the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
}

/// The MTA-STS policy of the recipient's domain, held against a host (RFC 8461).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StsProof {
    /// `enforce` or `testing`; `none` where no policy could be had.
    pub mode: String,
    /// Which policy it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the connection lacks of what the policy asks, in plain words; none where it has everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<String>,
    /// Why no policy could be had, or none newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Why a connection to a host had no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoTls {
    /// It was not tried.
    NotTried,
    /// The host does not offer it.
    NotOffered,
    /// The host offers it, and it did not come about, or its certificate was not the one that is demanded.
    Failed,
    /// It came about, and lay below a floor of the demand.
    BelowFloor,
}

/// What became of a sender's REQUIRETLS at a host (RFC 8689).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RequireTlsMark {
    /// It was asked for, and the mail did not go out here.
    Asked,
    /// The host announced it, and was given it.
    HandedOn,
    /// The host does not announce it, and the operator had less insisted on: beyond this host nothing binds anybody.
    GradedDown,
}

impl DaneProof {
    /// Records under a name, of which none is known to be the right one.
    #[must_use]
    pub fn new(base: Domain, records: usize, usable: usize) -> Self {
        Self { base, records, usable, matched: None }
    }
}

impl StsProof {
    /// A policy of this mode that nothing is wrong with.
    #[must_use]
    pub fn new(mode: impl Into<String>) -> Self {
        Self { mode: mode.into(), id: None, lack: None, trouble: None }
    }
}

impl Proof {
    /// A proof without a certificate.
    #[must_use]
    pub fn new(tls: Option<TlsFacts>, demand: impl Into<String>, satisfied: bool) -> Self {
        Self {
            tls,
            login: None,
            client_names: Vec::new(),
            subject: None,
            spki_pin: None,
            names: None,
            validation_path: Vec::new(),
            anchors: None,
            shown: None,
            small_hello: None,
            demand: demand.into(),
            satisfied,
            host_secure: None,
            no_tls: None,
            insecure_name: None,
            require_tls: None,
            dane: None,
            sts: None,
            findings: Vec::new(),
        }
    }

    /// Whether the key exchange is safe from a quantum computer; unknown (none) in clear, and where a resumed TLS 1.2
    /// session had no key exchange of its own.
    #[must_use]
    pub fn is_post_quantum(&self) -> Option<bool> {
        self.tls.and_then(|facts| facts.group).map(sealpost_types::KexGroup::is_post_quantum)
    }
}

/// Names of a certificate that a proof keeps; where it has as many, there may be more.
pub const PROOF_NAMES: usize = 50;
