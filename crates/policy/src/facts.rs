//! What a decision is made from.

use std::net::{IpAddr, SocketAddr};

use sealpost_types::{Domain, ForwardPath, NextHop, ReversePath, TlsFacts};

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
    pub client: IpAddr,
    /// The TLS of the session; none in clear.
    pub tls: Option<&'a TlsFacts>,
    /// What MAIL said.
    pub reverse_path: &'a ReversePath,
    /// What RCPT said; none at MAIL, where only the sender's sources are asked.
    pub forward_path: Option<&'a ForwardPath>,
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
}

impl<'a> ReceiveFacts<'a> {
    /// A session in clear, at MAIL.
    #[must_use]
    pub fn new(client: IpAddr, reverse_path: &'a ReversePath) -> Self {
        Self { client, tls: None, reverse_path, forward_path: None }
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
}

impl<'a> DeliverFacts<'a> {
    /// The facts of their parts.
    #[must_use]
    pub fn new(reverse_path: &'a ReversePath, forward_path: &'a ForwardPath, received_secure: bool) -> Self {
        Self { reverse_path, forward_path, received_secure }
    }
}

impl<'a> HostFacts<'a> {
    /// The facts of their parts. `host` of an MX is `securely_known` by DNSSEC only; a route's always is.
    #[must_use]
    pub fn new(next_hop: &'a NextHop, host: Option<&'a Domain>, securely_known: bool, address: SocketAddr) -> Self {
        Self { next_hop, host, securely_known, address }
    }
}
