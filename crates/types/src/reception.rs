//! How a message came in.

use std::net::IpAddr;

use crate::{TlsFacts, UnixMillis};

/// The facts of the receive hop that later decisions rest on; kept with the message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Reception {
    /// When it was accepted.
    pub at: UnixMillis,
    /// Who sent it; none for mail made by the relay itself.
    pub client: Option<IpAddr>,
    /// What the client said in EHLO or HELO.
    pub helo: String,
    /// The TLS of the session; none if it came in clear.
    pub tls: Option<TlsFacts>,
    /// What the first X-TLSLevel field said, if the client was one whose field counts.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub level_header: Option<String>,
    /// The name that the client proved with AUTH.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub login: Option<String>,
    /// Whether the client may send anywhere: by its login, its address, or because it is a server of a hosted domain.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub may_relay: bool,
    /// Whether the header has a single valid `TLS-Required: No` (RFC 8689), and REQUIRETLS does not make it void.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub tls_optional: bool,
    /// Whether it is a report about TLS that the relay itself made (RFC 8460): what its recipient publishes does not count for its
    /// delivery, and its delivery is in no report.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub is_tls_report: bool,
}

impl Reception {
    /// Mail from a client.
    #[must_use]
    pub fn from_client(at: UnixMillis, client: IpAddr, helo: String, tls: Option<TlsFacts>) -> Self {
        Self { client: Some(client), helo, tls, ..Self::local(at) }
    }

    /// The same from a client that may send anywhere, or may not.
    #[must_use]
    pub fn with_right_to_relay(mut self, may_relay: bool) -> Self {
        self.may_relay = may_relay;
        self
    }

    /// The same from a client that proved this name with AUTH.
    #[must_use]
    pub fn with_login(mut self, login: Option<String>) -> Self {
        self.login = login;
        self
    }

    /// Mail that the relay itself made: notifications and reports.
    #[must_use]
    pub fn local(at: UnixMillis) -> Self {
        Self {
            at,
            client: None,
            helo: String::new(),
            tls: None,
            level_header: None,
            login: None,
            may_relay: false,
            tls_optional: false,
            is_tls_report: false,
        }
    }

    /// A report about TLS that the relay itself made.
    #[must_use]
    pub fn tls_report(at: UnixMillis) -> Self {
        Self { is_tls_report: true, ..Self::local(at) }
    }

    /// Whether it counts as received over TLS: it was, or it was never on a wire.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.client.is_none()
    }
}
