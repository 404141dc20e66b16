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
    /// The subjects from that certificate to the trust anchor; empty if no path was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_path: Vec<String>,
    /// The demand that it was held against, in words.
    pub demand: String,
    /// Whether it met that demand.
    pub satisfied: bool,
    /// The host's name, where it was held against the certificate though it was learnt from DNS without DNSSEC: whoever
    /// forges that answer chooses the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_name: Option<Domain>,
    /// What the check found, demanded or not, the most telling first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
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
            validation_path: Vec::new(),
            demand: demand.into(),
            satisfied,
            insecure_name: None,
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
