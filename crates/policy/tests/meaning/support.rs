//! Short ways to ask a policy. Whoever asks here also checks that explaining a decision does not change it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sealpost_policy::{
    ClientFacts, DeliverDecision, DeliverFacts, HostDecision, HostFacts, Policy, ReceiveDecision, ReceiveFacts, Sts, Tlsa, Trace,
};
use sealpost_types::{
    CipherSuite, Domain, ForwardPath, KexGroup, Level, Mailbox, NextHop, ReversePath, TlsFacts, TlsVersion, TlsaRecord, UnixMillis,
};

pub(crate) fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// A sender; nothing is `<>`.
pub(crate) fn from(text: &str) -> ReversePath {
    if text.is_empty() { ReversePath::Null } else { Mailbox::parse(text).unwrap().into() }
}

pub(crate) fn to(text: &str) -> ForwardPath {
    Mailbox::parse(text).unwrap().into()
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// The decision on these facts, with its trace.
pub(crate) fn explained(policy: &Policy, facts: &DeliverFacts<'_>) -> (DeliverDecision, Trace) {
    let (decision, trace) = policy.explain_deliver(facts);
    assert_eq!(policy.decide_deliver(facts), decision, "{trace}");
    assert_eq!((&trace.demand, trace.level), (&decision.demand, decision.level), "{trace}");
    (decision, trace)
}

/// The decision on mail that came over TLS, in June 2026.
pub(crate) fn deliver(policy: &Policy, sender: &str, recipient: &str) -> DeliverDecision {
    explained(policy, &DeliverFacts::new(&from(sender), &to(recipient), true).at(noon(6, 15))).0
}

pub(crate) fn level(policy: &Policy, sender: &str, recipient: &str) -> Level {
    deliver(policy, sender, recipient).level
}

pub(crate) fn deliver_trace(policy: &Policy, sender: &str, recipient: &str) -> Trace {
    explained(policy, &DeliverFacts::new(&from(sender), &to(recipient), true).at(noon(6, 15))).1
}

/// The decision on a session, with its trace.
pub(crate) fn received(policy: &Policy, facts: &ReceiveFacts<'_>) -> (ReceiveDecision, Trace) {
    let (decision, trace) = policy.explain_receive(facts);
    assert_eq!(policy.decide_receive(facts), decision, "{trace}");
    (decision, trace)
}

/// The reply to a client in clear: at MAIL without a recipient, at RCPT with one.
pub(crate) fn in_clear(policy: &Policy, client: ClientFacts<'_>, sender: &str, recipient: Option<&str>) -> String {
    over(policy, client, None, sender, recipient)
}

/// The reply to a client with this TLS.
pub(crate) fn over(policy: &Policy, client: ClientFacts<'_>, tls: Option<&TlsFacts>, sender: &str, recipient: Option<&str>) -> String {
    let (sender, recipient) = (from(sender), recipient.map(to));
    let mut facts = ReceiveFacts::new(client.address, &sender).with_client(client).with_tls(tls);
    if let Some(recipient) = &recipient {
        facts = facts.with_recipient(recipient);
    }
    received(policy, &facts).0.refusal().map_or_else(|| "accept".to_owned(), ToString::to_string)
}

/// A client of which nothing is known but an address that no policy here names.
pub(crate) fn stranger() -> ClientFacts<'static> {
    at("203.0.113.9")
}

pub(crate) fn at(address: &str) -> ClientFacts<'static> {
    ClientFacts::new(address.parse().unwrap())
}

pub(crate) fn tls13(group: u16) -> TlsFacts {
    TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), Some(KexGroup(group)), false)
}

/// What is asked of this host, which the domain's MX records name without DNSSEC.
pub(crate) fn host(policy: &Policy, decision: &DeliverDecision, name: &str, tlsa: Tlsa<'_>, sts: Sts) -> HostDecision {
    let (next_hop, name) = (NextHop::Mx(domain("bank.example")), domain(name));
    policy.decide_host(decision, &HostFacts::new(&next_hop, Some(&name), false, ADDRESS).with_tlsa(tlsa).with_sts(sts))
}

/// A record that certificates can be held against.
pub(crate) fn record() -> TlsaRecord {
    TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
}

/// What is to be said of the sources beside what they ask: their names and the words for it.
pub(crate) fn notes(trace: &Trace) -> Vec<(String, &'static str)> {
    trace.steps.iter().filter_map(|step| Some((step.source.name().unwrap_or_default(), step.note?.code()))).collect()
}

/// Noon of a day of 2026.
pub(crate) fn noon(month: i64, day: i64) -> UnixMillis {
    const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let days = 20_454 + DAYS_BEFORE[usize::try_from(month - 1).unwrap()] + day - 1;
    UnixMillis((days * 24 + 12) * 3_600_000)
}

pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25)), 25);

pub(crate) const X25519: u16 = 0x001d;
pub(crate) const X25519MLKEM768: u16 = 0x11ec;
