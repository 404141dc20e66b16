//! What a decision is made from.

use std::net::{IpAddr, SocketAddr};

use sealpost_types::{Domain, ForwardPath, NextHop, Pin, ReversePath, TlsFacts, UnixMillis};

use crate::header::HeaderBlock;

/// Who a client is, as far as it has shown it.
///
/// Nothing of this is a claim: the address is the connection's (or a listed proxy's word), the login was checked with a
/// password, the names stand in a certificate whose chain was verified, the host name leads back to the address.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClientFacts<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The name that it authenticated as.
    pub login: Option<&'a str>,
    /// Its certificate.
    pub certificate: Option<&'a ClientCertificate>,
    /// Its name by reverse DNS, if that name leads back to the address.
    pub host_name: Option<&'a Domain>,
}

/// A certificate that a client showed in the handshake, with the proof that it holds the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// Whether its chain ends in a trust anchor and is in date.
    pub is_trusted: bool,
    /// Its DNS names.
    pub names: Vec<Domain>,
    /// The pin of its key.
    pub pin: Option<Pin>,
    /// The common name of its subject, if that is a name that a host could have; it counts only for a `names = ["cn:..."]`.
    pub common_name: Option<Domain>,
    /// Why it is not trusted, in words for the client and its administrator; none where that is not known, and where it is trusted.
    pub problem: Option<Box<str>>,
}

/// What is known of a session when a client names the sender, and then each recipient.
///
/// # Example
/// ```
/// # use sealpost_policy::{Policy, ReceiveFacts};
/// # use sealpost_types::{Mailbox, ReversePath};
/// let policy = Policy::parse("policy.toml", "[[partner]]\ndomains = 'bank.example'\nreceive = 'require'")?;
/// let from = ReversePath::from(Mailbox::parse("ann@bank.example")?);
/// let decision = policy.decide_receive(&ReceiveFacts::new("192.0.2.7".parse()?, &from));
/// assert_eq!(decision.refusal().map(|r| r.code.value()), Some(530)); // nothing was said of TLS: the session is in clear
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReceiveFacts<'a> {
    /// Who connected.
    pub client: ClientFacts<'a>,
    /// The TLS of the session; none in clear.
    pub tls: Option<&'a TlsFacts>,
    /// What MAIL said.
    pub reverse_path: &'a ReversePath,
    /// What RCPT said; none at MAIL, where only the sender's sources are asked.
    pub forward_path: Option<&'a ForwardPath>,
    /// The time; without it every `until` counts as past, which never makes a decision weaker.
    pub now: UnixMillis,
}

/// What is known of one recipient when its mail is to be sent on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeliverFacts<'a> {
    /// The sender.
    pub reverse_path: &'a ReversePath,
    /// The recipient.
    pub forward_path: &'a ForwardPath,
    /// Whether the message came in over TLS; mail that the relay made itself counts as such (`Reception::is_secure`).
    pub received_secure: bool,
    /// What the first X-TLSLevel field of a client in `header_trust` said.
    pub header_level: Option<HeaderLevel>,
    /// The header section, for rules that look at it; without it no such rule holds.
    pub header: Option<&'a HeaderBlock>,
    /// Whether MAIL said REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// Whether the header has a single valid `TLS-Required: No` (RFC 8689 section 3). REQUIRETLS makes it void.
    pub tls_optional: bool,
    /// The time; without it every `until` counts as past, which never makes a decision weaker.
    pub now: UnixMillis,
}

/// What an X-TLSLevel field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HeaderLevel {
    /// Opportunistic TLS, where less would have been used.
    Try,
    /// TLS or nothing.
    Require,
}

/// What is known of one host of the next hop.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HostFacts<'a> {
    /// What the host was found for.
    pub next_hop: &'a NextHop,
    /// Its name; none for a host that is known by its address alone.
    pub host: Option<&'a Domain>,
    /// Whether that name (or the bare address) was learnt securely: by a route, or by DNS with DNSSEC.
    pub securely_known: bool,
    /// Where the connection goes.
    pub address: SocketAddr,
    /// What DNS says of its certificate.
    pub tlsa: Tlsa<'a>,
    /// The names that a certificate may have which leads to a trust anchor of a TLSA record, the one that the records stand under first
    /// (RFC 7672 section 3.2.2); none means the host's own, if it is securely known, and the next hop's.
    pub tlsa_names: &'a [Domain],
    /// What the recipient's domain says of it by MTA-STS.
    pub sts: Sts,
}

/// What DNS says of a host's certificate (RFC 7672).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tlsa<'a> {
    /// It was not looked up, or the answer cannot be trusted: a demand for DANE does not hold.
    #[default]
    Unknown,
    /// There are no records, or the zone is not signed.
    Absent,
    /// There are secure records; `usable` are those that a certificate can be held against, perhaps none.
    Secure {
        /// The usable records.
        usable: &'a [sealpost_types::TlsaRecord],
    },
}

/// What a recipient's domain says of a host by MTA-STS (RFC 8461).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sts {
    /// Nothing, or a policy of mode `none`.
    #[default]
    Absent,
    /// A policy of mode `testing`: reported, and nothing else.
    Testing,
    /// A policy of mode `enforce`.
    Enforce {
        /// Whether the host matches one of the policy's `mx` patterns.
        host_matches: bool,
    },
}

impl<'a> ClientFacts<'a> {
    /// A client of which nothing but the address is known.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address, login: None, certificate: None, host_name: None }
    }
}

impl ClientCertificate {
    /// A certificate of its parts.
    #[must_use]
    pub fn new(is_trusted: bool, names: Vec<Domain>, pin: Option<Pin>) -> Self {
        Self { is_trusted, names, pin, common_name: None, problem: None }
    }

    /// The same with the common name of its subject.
    #[must_use]
    pub fn with_common_name(mut self, common_name: Option<Domain>) -> Self {
        self.common_name = common_name;
        self
    }

    /// The same with what is wrong with it.
    #[must_use]
    pub fn with_problem(mut self, problem: Option<Box<str>>) -> Self {
        self.problem = problem;
        self
    }
}

impl<'a> ReceiveFacts<'a> {
    /// A session in clear, at MAIL.
    #[must_use]
    pub fn new(client: IpAddr, reverse_path: &'a ReversePath) -> Self {
        Self { client: ClientFacts::new(client), tls: None, reverse_path, forward_path: None, now: UnixMillis::MAX }
    }

    /// The same with all that the client has shown of itself.
    #[must_use]
    pub fn with_client(mut self, client: ClientFacts<'a>) -> Self {
        self.client = client;
        self
    }

    /// The same with the TLS of the session.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<&'a TlsFacts>) -> Self {
        self.tls = tls;
        self
    }

    /// The same at RCPT.
    #[must_use]
    pub fn with_recipient(mut self, forward_path: &'a ForwardPath) -> Self {
        self.forward_path = Some(forward_path);
        self
    }

    /// The same at this time.
    #[must_use]
    pub fn at(mut self, now: UnixMillis) -> Self {
        self.now = now;
        self
    }
}

impl<'a> DeliverFacts<'a> {
    /// The facts of their parts.
    #[must_use]
    pub fn new(reverse_path: &'a ReversePath, forward_path: &'a ForwardPath, received_secure: bool) -> Self {
        Self {
            reverse_path,
            forward_path,
            received_secure,
            header_level: None,
            header: None,
            require_tls: false,
            tls_optional: false,
            now: UnixMillis::MAX,
        }
    }

    /// The same with what a trusted client's X-TLSLevel field said.
    #[must_use]
    pub fn with_header_level(mut self, level: Option<HeaderLevel>) -> Self {
        self.header_level = level;
        self
    }

    /// The same with what the sender says of TLS by RFC 8689: REQUIRETLS at MAIL, `TLS-Required: No` in the header.
    #[must_use]
    pub fn with_sender_choice(mut self, require_tls: bool, tls_optional: bool) -> Self {
        (self.require_tls, self.tls_optional) = (require_tls, tls_optional);
        self
    }

    /// The same with the header section.
    #[must_use]
    pub fn with_header(mut self, header: Option<&'a HeaderBlock>) -> Self {
        self.header = header;
        self
    }

    /// The same at this time.
    #[must_use]
    pub fn at(mut self, now: UnixMillis) -> Self {
        self.now = now;
        self
    }
}

impl HeaderLevel {
    /// What a trusted client's field means: `Try` in any case is [`Try`](Self::Try), and everything else is
    /// [`Require`](Self::Require), so that a slip never sends mail unprotected.
    #[must_use]
    pub fn of_client(value: &str) -> Self {
        Self::of_rule(value).unwrap_or(Self::Require)
    }

    /// What a rule's value means; nothing for a word that is neither `Require` nor `Try`, in any case.
    #[must_use]
    pub fn of_rule(value: &str) -> Option<Self> {
        let is = |word: &str| value.trim().eq_ignore_ascii_case(word);
        if is("require") { Some(Self::Require) } else { is("try").then_some(Self::Try) }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Try => "Try",
            Self::Require => "Require",
        }
    }
}

impl<'a> HostFacts<'a> {
    /// The facts of their parts. `host` of an MX is `securely_known` by DNSSEC only; a route's always is.
    #[must_use]
    pub fn new(next_hop: &'a NextHop, host: Option<&'a Domain>, securely_known: bool, address: SocketAddr) -> Self {
        Self { next_hop, host, securely_known, address, tlsa: Tlsa::Unknown, tlsa_names: &[], sts: Sts::Absent }
    }

    /// The same with what was found of TLSA records.
    #[must_use]
    pub fn with_tlsa(mut self, tlsa: Tlsa<'a>) -> Self {
        self.tlsa = tlsa;
        self
    }

    /// The same with the names that count for TLSA records, the one that they stand under first.
    #[must_use]
    pub fn with_tlsa_names(mut self, names: &'a [Domain]) -> Self {
        self.tlsa_names = names;
        self
    }

    /// The same with what the recipient's domain says by MTA-STS.
    #[must_use]
    pub fn with_sts(mut self, sts: Sts) -> Self {
        self.sts = sts;
        self
    }
}
