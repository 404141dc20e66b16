//! What becomes of a recipient in one attempt.

use std::net::SocketAddr;
use std::sync::Arc;

use sealpost_discovery::Dane;
use sealpost_policy::{Barred, DeliverDecision};
use sealpost_queue::Deferral;
use sealpost_report::{Proof, RequireTlsMark, Shadow};
use sealpost_smtp::Reply;
use sealpost_transport::{ConnectError, ConnectFault, Connection, HandshakeError, TlsBackend};
use sealpost_types::{Domain, EnhancedStatus, NextHop, Severity, TlsRequirement, UnixMillis, WireKey};

use crate::account;
use crate::hosts::Host;
use crate::words::Reason;

/// What becomes of a recipient in one attempt.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A host took it.
    Delivered(Arc<Contact>, Reply),
    /// No host did, and one may later.
    Deferred(Trouble),
    /// A host, or the DNS, said that it never will.
    Failed(Trouble),
    /// No attempt was made: the destination is known not to answer.
    PutOff(Deferral),
}

/// The host that an answer came from, and what the connection to it was like.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    /// Its name, or its address in brackets.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    pub(crate) proof: Arc<Proof>,
    /// Whether it reports what becomes of a message, if it is asked to: it offers DSN (RFC 3461).
    pub(crate) reports: bool,
    /// Why it has less than it would have: it went in clear although TLS would have been used, or without a post-quantum key exchange.
    pub(crate) downgrade: Option<String>,
    /// Whether the connection has what entries in testing ask, where that is something else.
    pub(crate) shadow: Option<Arc<Shadow>>,
}

/// Why a recipient was not served.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// In plain words.
    pub(crate) reason: String,
    /// Whether it was TLS that could not be had: then the fate for TLS failures holds.
    pub(crate) tls: bool,
    /// Whether the host takes nothing in clear, and was talked to in clear.
    pub(crate) wants_tls: bool,
    /// Whether TLS failed at one host at least: then mail that may go in clear may do so at the next attempt.
    pub(crate) tls_at_a_host: bool,
    /// A word for a verdict on TLS that is certain to last, where it is one.
    pub(crate) verdict: Option<String>,
    /// Whether it is known from another message: then it is no further proof.
    pub(crate) recalled: bool,
    pub(crate) status: EnhancedStatus,
    /// What the host said.
    pub(crate) reply: Option<Reply>,
    pub(crate) host: Option<String>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) proof: Option<Arc<Proof>>,
}

/// Recipients of one entry that travel together: the same next hop, the same demand, the same fate.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) next_hop: NextHop,
    pub(crate) decision: DeliverDecision,
    /// Their indices in the entry's envelope.
    pub(crate) recipients: Vec<usize>,
}

impl Party {
    /// The same outcome for every recipient.
    pub(crate) fn all(&self, outcome: Outcome) -> Vec<Outcome> {
        vec![outcome; self.recipients.len()]
    }
}

impl Contact {
    /// The host that a connection leads to; `downgrade` is why it goes in clear although TLS was tried, `insecure_name` the
    /// name that its identity rests on where that was learnt without DNSSEC.
    pub(crate) fn new<T: TlsBackend>(
        host: &Host,
        key: &WireKey,
        connection: &mut Connection<T>,
        insecure_name: Option<&Domain>,
        downgrade: Option<&str>,
        shadow: Option<Shadow>,
        now: UnixMillis,
    ) -> Self {
        let proof = proof_of(host, key, connection, insecure_name, downgrade.is_some(), now);
        let downgrade = match connection.tls() {
            Some(_) => connection.small_hello().map(|why| format!("without a post-quantum key exchange, of which {why}")),
            None if key.demand.tls == TlsRequirement::Opportunistic => Some("in clear: the server does not offer STARTTLS".to_owned()),
            None => downgrade.map(|reason| format!("in clear after TLS failed: {reason}")),
        };
        let reports = connection.extensions().dsn();
        Self { host: host.shown(), address: host.address, proof, reports, downgrade, shadow: shadow.map(Arc::new) }
    }
}

/// A proof that goes with its connection, and what it rests on beside that.
struct KeptProof {
    proof: Arc<Proof>,
    host_secure: bool,
    insecure_name: Option<Domain>,
    is_downgraded: bool,
}

/// What a connection was like: made once for all its messages, as long as what is known of the host stays the same.
fn proof_of<T: TlsBackend>(
    host: &Host,
    key: &WireKey,
    connection: &mut Connection<T>,
    insecure_name: Option<&Domain>,
    is_downgraded: bool,
    now: UnixMillis,
) -> Arc<Proof> {
    // TLSA records and MTA-STS policies are looked at for each message, and may be others.
    let may_change = matches!(host.published.dane, Dane::Secure { .. }) || account::sts_proof(host, || None).is_some();
    let still_true = |kept: &Arc<KeptProof>| {
        kept.host_secure == host.secure && kept.insecure_name.as_ref() == insecure_name && kept.is_downgraded == is_downgraded
    };
    if let Some(kept) = connection.kept::<KeptProof>().filter(|_| !may_change).filter(still_true) {
        return Arc::clone(&kept.proof);
    }
    let mut proof = account::connection_proof(host, key, connection, is_downgraded, now);
    proof.insecure_name = insecure_name.cloned();
    let proof = Arc::new(proof);
    if !may_change {
        let insecure_name = insecure_name.cloned();
        connection.keep(Arc::new(KeptProof { proof: Arc::clone(&proof), host_secure: host.secure, insecure_name, is_downgraded }));
    }
    proof
}

impl Contact {
    /// What becomes of the sender's REQUIRETLS here. A host that lacks what the sender insists on has not met the demand.
    pub(crate) fn mark_require_tls(&mut self, mark: RequireTlsMark) {
        let proof = Arc::make_mut(&mut self.proof);
        proof.require_tls = Some(mark);
        proof.satisfied &= mark != RequireTlsMark::Asked;
    }
}

impl Trouble {
    /// Trouble of which no host has said anything.
    pub(crate) fn new(reason: impl Into<String>, status: EnhancedStatus) -> Self {
        Self {
            reason: reason.into(),
            tls: false,
            tls_at_a_host: false,
            wants_tls: false,
            verdict: None,
            recalled: false,
            status,
            reply: None,
            host: None,
            address: None,
            proof: None,
        }
    }

    /// A host that may not be used, whatever it presents.
    pub(crate) fn barred(host: &Host, barred: Barred) -> Self {
        let (why, verdict) = match barred {
            Barred::NotInStsPolicy => ("is not named by the MTA-STS policy of the recipient's domain", None),
            Barred::NotKnownForSure => {
                ("was learnt without DNSSEC and MTA-STS, and the sender asks for REQUIRETLS", Some(NOT_KNOWN_FOR_SURE))
            }
            _ => ("may not be used", None),
        };
        let mut trouble = Self::new(format!("{} {why}", host.shown()), TLS_TROUBLE);
        trouble.tls = true;
        trouble.verdict = verdict.map(str::to_owned);
        trouble.host = Some(host.shown());
        trouble
    }

    /// Why, in one word of few.
    pub(crate) fn word(&self) -> Reason {
        if self.tls || self.tls_at_a_host {
            return Reason::of_verdicts(self.verdict.as_deref());
        }
        Reason::of(match (self.status.subject(), self.status.detail()) {
            _ if self.status == TIME_EXPIRED => "lifetime-over",
            _ if self.reply.is_some() => "refused",
            (4, 1) => "no-answer",
            (4, 2) => "connection-broken",
            (4, 3) => "dns",
            (7, 5) => "dns-bogus",
            (1, 2 | 10) | (4, 4 | 6) => "no-route",
            (3, 0) => "local",
            (3, 4) | (6, 3 | 7) => "lacks-extension",
            _ => "other",
        })
    }

    /// What a host answered.
    pub(crate) fn answered(contact: &Contact, reply: &Reply) -> Self {
        Self {
            reason: format!("{} said: {reply}", contact.host),
            tls: false,
            tls_at_a_host: false,
            wants_tls: contact.proof.tls.is_none() && demands_tls(reply),
            verdict: None,
            recalled: false,
            status: reply.status().unwrap_or_else(|| plain_status(reply)),
            reply: Some(reply.clone()),
            host: Some(contact.host.clone()),
            address: Some(contact.address),
            proof: Some(Arc::clone(&contact.proof)),
        }
    }
}

/// What to do with a recipient that a host refused, at RCPT or later; `downgrade` is why it was talked to in clear
/// although TLS was tried.
pub(crate) fn refused(contact: &Contact, reply: &Reply, at_rcpt: bool, downgrade: Option<&str>) -> Outcome {
    let mut trouble = Trouble::answered(contact, reply);
    if trouble.wants_tls {
        // The sender cannot help it: this host decided that the mail goes in clear, or its TLS failed.
        let why = downgrade.map_or_else(|| "the policy has it sent in clear".to_owned(), |reason| format!("TLS failed before: {reason}"));
        trouble.reason = format!("{} wants TLS or authentication, and {why}: {reply}", contact.host);
        return Outcome::Deferred(trouble);
    }
    // RFC 5321 section 4.5.3.1.10: some servers say 552 for too many recipients. Others say it for a full mailbox, 5.2.2.
    let too_many = at_rcpt && reply.code().value() == 552 && reply.status().is_none_or(|status| status == TOO_MANY_RECIPIENTS);
    match reply.severity() {
        Severity::Permanent if !too_many => Outcome::Failed(trouble),
        _ => Outcome::Deferred(trouble),
    }
}

/// A word for what is wrong with a host's TLS, if that is certain to last: it has none, or what it presents does not do.
///
/// A 4xx reply, a time-out or a handshake that breaks off may be otherwise next time. A certificate that does not do always has a finding.
pub(crate) fn verdict_word(error: &ConnectError) -> Option<String> {
    match &error.fault {
        ConnectFault::StartTlsNotOffered => Some("no-starttls".to_owned()),
        ConnectFault::StartTlsRefused { reply } if reply.severity() == Severity::Permanent => Some("starttls-refused".to_owned()),
        ConnectFault::Handshake { cause: HandshakeError::Unverified { verdict } } => {
            verdict.most_telling().map(|finding| finding.code().to_owned())
        }
        ConnectFault::Handshake { cause: HandshakeError::BelowFloor { .. } } => Some("below-floor".to_owned()),
        _ => None,
    }
}

/// Whether a refusal says that TLS has to come first.
///
/// # Wire
/// RFC 3207 section 4 (530), RFC 3463 section 3.8 (5.7.10, encryption needed).
fn demands_tls(reply: &Reply) -> bool {
    reply.code().value() == 530 || reply.status() == Some(ENCRYPTION_NEEDED)
}

/// The same status for what is tried again.
pub(crate) fn transient(status: EnhancedStatus) -> EnhancedStatus {
    EnhancedStatus::new(4, status.subject(), status.detail()).unwrap_or(TRANSIENT)
}

/// The status of a reply that has none: the class of its code, and nothing more.
fn plain_status(reply: &Reply) -> EnhancedStatus {
    if reply.severity() == Severity::Permanent { PERMANENT } else { TRANSIENT }
}

/// The verdicts on a host that are about REQUIRETLS, and not about its TLS.
pub(crate) const NO_REQUIRETLS: &str = "no-requiretls";
pub(crate) const NOT_KNOWN_FOR_SURE: &str = "not-known-for-sure";

const PERMANENT: EnhancedStatus = EnhancedStatus::constant::<5, 0, 0>();
const TRANSIENT: EnhancedStatus = EnhancedStatus::constant::<4, 0, 0>();

/// RFC 3463 section 3.6: too many recipients.
const TOO_MANY_RECIPIENTS: EnhancedStatus = EnhancedStatus::constant::<5, 5, 3>();

/// RFC 3463 section 2: done, and no more to say of it.
pub(crate) const DONE: EnhancedStatus = EnhancedStatus::constant::<2, 0, 0>();
/// RFC 3463 section 3.5: no answer from host.
pub(crate) const NO_ANSWER: EnhancedStatus = EnhancedStatus::constant::<4, 4, 1>();
/// RFC 3463 section 3.4: other or undefined mail system status.
pub(crate) const SYSTEM_TROUBLE: EnhancedStatus = EnhancedStatus::constant::<4, 3, 0>();
/// RFC 3463 section 3.5: unable to route.
pub(crate) const ROUTING_TROUBLE: EnhancedStatus = EnhancedStatus::constant::<4, 4, 4>();
/// RFC 3463 section 3.5: bad connection.
pub(crate) const BAD_CONNECTION: EnhancedStatus = EnhancedStatus::constant::<4, 4, 2>();
/// RFC 3463 section 3.5: delivery time expired.
pub(crate) const TIME_EXPIRED: EnhancedStatus = EnhancedStatus::constant::<5, 4, 7>();
/// RFC 5248 registry: encryption needed.
pub(crate) const ENCRYPTION_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 7, 10>();
/// RFC 8689 section 4.2.1: REQUIRETLS support required.
pub(crate) const REQUIRETLS_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 7, 30>();
/// RFC 3463 section 3.8: cryptographic failure.
pub(crate) const TLS_TROUBLE: EnhancedStatus = EnhancedStatus::constant::<4, 7, 5>();
/// RFC 3463 section 3.7: conversion required but not supported.
pub(crate) const CONVERSION_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 6, 3>();

/// RFC 6531 section 3.7.4.2: non-ASCII addresses not permitted for that recipient.
pub(crate) const UTF8_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 6, 7>();
/// RFC 3463 section 3.4: message too big for system.
pub(crate) const TOO_BIG: EnhancedStatus = EnhancedStatus::constant::<5, 3, 4>();
